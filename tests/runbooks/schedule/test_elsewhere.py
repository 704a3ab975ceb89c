"""Runbooks under plain papermill and jupyter-scheduler: confirmation and parameters, where there is no `lcnb run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

import lcnb
from conftest import LEAN_JUPYTER, MANY, TOKEN
from lcnb.errors import ConfirmationMissing, ParameterError
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.sandbox import start

PASTED = 2026 - 12 - 25  # what jupyter-scheduler makes of a date without quotes


# --- parameters that are pasted ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (date, PASTED),
        (str, PASTED),
        (str | None, 2026 - 11),
        (Optional[datetime], 2026 - 12 - 25),  # noqa: UP045
        (Path, 10 / 5),
        (Literal["USD", "BRL"] | None, 5),
        (Annotated[str, "a slug"], 1 - 2),
        (list[str], ["web-1", 3]),
        (list[str] | None, [PASTED]),
        (bytes, 1),
    ],
)
def test_b9_numbers_for_texts(declared: Any, value: object) -> None:
    """A number where a text, a date or a path was declared is refused with the likely cause and the way to type it."""
    with pytest.raises(
        ParameterError, match=r"parameter day: .* is a number.*2026-12-25 becomes.*needs quotes"
    ) as caught:
        lcnb.run().check_types({"__annotations__": {"day": declared}, "day": value})
    assert '"2026-12-25". Nothing was sent.' in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        (list[str], "web-01", r"'web-01' is not a list.* -y 'x: \[\"web-01\"\]'"),
        (list[str], "", "'' is not a list"),
        (list[str] | None, "web-01", "is not a list"),
        (Annotated[list[str], "labels"], "[web-01]", "is not a list"),
        (list[int], 22, r"22 is not a list.* -y 'x: \[22\]'"),
        (list[str], False, "False is not a list"),
        (list[str], {"web-01": 1}, "is not a list"),
        (list, "a", "is not a list"),
        (set[str], "a", "is not a list"),
        (list[str], ["web-01", False], "False is a flag"),
        (
            Literal["on", "off"],
            False,
            r"False is a flag.* needs quotes in papermill's -y, such as 'x: \"off\"'",
        ),
        (str, True, "True is a flag"),
        (Path | None, False, "False is a flag"),
        (Literal["on", "off"], "of", "'of' is not one of 'on', 'off'"),
        (Literal["on", "off"], {"on": 1}, "is not one of"),
        (Literal["on", "off"] | None, "On", "'On' is not one of 'on', 'off', None"),
        (Literal["on", "off"], ["on"], "is not one of"),
        (list[Literal["a", "b"]], ["a", "c"], "'c' is not one of"),
    ],
)
def test_values_of_papermill(declared: Any, value: object, problem: str) -> None:
    """One value for a list, a flag for a text, and a word that is not among the declared ones are refused with the cure."""
    with pytest.raises(ParameterError, match=rf"^parameter x: .*{problem}.* Nothing was sent\.$"):
        lcnb.run().check_types({"__annotations__": {"x": declared}, "x": value})


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (list[str] | None, None),
        (list[str], None),
        (list[str], Path),
        (Literal["on", "off"], None),
        (list[str] | str, "web-01"),
        (list[str], ()),
        (Literal["on", "off"] | None, None),
        (Literal["on"] | int, 5),
        (date, "2026-12-25"),
        (int, 1989),
        (float, 3),
        (int | str, 1989),
        (bool, True),
        (bool, 1),
        (str, None),
        (Literal[1, 2], 1),
        (Annotated[int, "ge 1"], 5),
        (list[Annotated[int, "port"]], [22]),
        (list[str], ["a"]),
        (list, [1]),
        (Any, 1989),
        (object, 1),
        (dict[str, int], {"a": 1}),
        ("str", 5),
    ],
)
def test_b9_what_fits(declared: Any, value: object) -> None:
    """A value of the declared type passes, and so does a number for a type that is not known."""
    lcnb.run().check_types({"__annotations__": {"day": declared}, "day": value})


def test_b9_annotations_of_later_pythons() -> None:
    """Where annotations are worked out when they are asked for, they are asked for."""
    with pytest.raises(ParameterError, match="parameter day"):
        lcnb.run().check_types({"__annotate__": lambda form: {"day": str}, "day": PASTED})
    lcnb.run().check_types({})


@pytest.mark.parametrize("name", shipped_names())
def test_b9_each_shipped_runbook(
    name: str, account_env: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each shipped runbook refuses a number for each of its texts, in the cell that uses them first."""
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(find_runbook(name).path, as_version=4)
    parameters, first = [cell.source for cell in notebook.cells if cell.cell_type == "code"][:2]
    texts = [
        each.name
        for each in find_runbook(name).parameters
        if "text" in each.type_text or "path" in each.type_text
    ]
    for text in texts:
        if text == "account":
            continue  # an account of that name is asked for before
        cell = f"{parameters}\n{text} = 2026-12-25"
        namespace: dict[str, Any] = {}
        exec(compile(cell, "parameters", "exec", dont_inherit=True), namespace)
        if not isinstance(find_default(name, text), list):
            with pytest.raises(ParameterError, match=f"parameter {text}: 1989 is a number"):
                exec(compile(first, "first", "exec", dont_inherit=True), namespace)


def find_default(name: str, text: str) -> Any:
    return next(each.default for each in find_runbook(name).parameters if each.name == text)


# --- confirmation ---------------------------------------------------------------------------------------


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A sandbox of its own whose actions end at once; gives the label of a machine that runs."""
    with start(token=TOKEN, fleet=6, speed=1000, rate_limit=MANY) as box:
        monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
        monkeypatch.setenv("LCNB_BASE_URL", box.base_url)
        monkeypatch.delenv("LCNB_RUN_CONFIRM", raising=False)
        monkeypatch.chdir(tmp_path)
        yield next(label for label, state in machines().items() if state == "running")


def machines() -> dict[str, str]:
    with lcnb.connect() as lc:
        fleet = lc.instances()
        return dict(zip(fleet.label, fleet.state, strict=True))


def test_b8_papermill(account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under plain papermill a change is refused with advice that works there: following it makes the change."""
    given = {"selection": f"label == '{account}'", "power": "off", "dry_run": False}

    def run() -> None:
        papermill.execute_notebook(
            find_runbook("power_schedule").path, tmp_path / "out.ipynb", given, progress_bar=False
        )

    with pytest.raises(PapermillExecutionError) as caught:
        run()
    assert "Nothing was sent" in caught.value.evalue
    assert "--yes) once" not in caught.value.evalue
    assert "LCNB_RUN_CONFIRM=yes papermill" in caught.value.evalue
    assert machines()[account] == "running"
    monkeypatch.setenv("LCNB_RUN_CONFIRM", "yes")
    run()
    assert machines()[account] != "running"


JOB = """
import json, sys
from jupyter_scheduler.executors import DefaultExecutionManager
from jupyter_scheduler.models import DescribeJob
from jupyter_scheduler.orm import Job, create_session, create_tables

path, folder = sys.argv[1:3]
url = f"sqlite:///{folder}/jobs.sqlite"
create_tables(url)
for parameters in json.loads(sys.argv[3]):
    with create_session(url)() as session:
        job = Job(name="j", input_filename="b.ipynb", runtime_environment_name="e", url="", status="CREATED",
                  create_time=1, update_time=1, parameters=parameters, output_formats=["ipynb"])
        session.add(job)
        session.commit()
        number = job.job_id
    places = {"input": path, "ipynb": f"{folder}/out.ipynb"}
    DefaultExecutionManager(job_id=number, root_dir=folder, db_url=url, staging_paths=places).process()
    with create_session(url)() as session:
        done = session.query(Job).filter(Job.job_id == number).first()
        print(json.dumps([done.status, done.status_message]))
"""


@pytest.mark.fresh_python
def test_b8_b9_jupyter_scheduler(account: str, tmp_path: Path) -> None:
    """jupyter-scheduler's own manager: a pasted date is refused with the cause; the confirmation of the advice works."""
    pytest.importorskip("sqlalchemy")
    right = {"selection": json.dumps(f"label == '{account}'"), "power": '"off"', "dry_run": "False"}
    wrong = {**right, "selection": "2026-12-25"}
    source = shutil.copy(find_runbook("power_schedule").path, tmp_path / "b.ipynb")
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(source), str(tmp_path), json.dumps([wrong, right])],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "LCNB_RUN_CONFIRM": "yes", "PYTHONPATH": LEAN_JUPYTER},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (failed, message), (completed, _) = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert failed == "FAILED"
    assert "parameter selection: 1989 is a number" in message
    assert completed == "COMPLETED"
    assert machines()[account] != "running"


def test_b8_in_the_process(account: str) -> None:
    """Without a terminal `lcnb.run().apply` names the variable, and what it confirms; changes.apply names confirm=True."""
    with lcnb.connect() as lc:
        with pytest.raises(ConfirmationMissing, match=r"LCNB_RUN_CONFIRM=yes papermill .* every notebook"):
            lcnb.run().apply(lc.power_off(label=account), dry_run=False)
        with pytest.raises(ConfirmationMissing, match="confirm=True"):
            lc.power_off(label=account).apply()
