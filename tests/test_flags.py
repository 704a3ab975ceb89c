"""Flags: True and False are taken, in the whole public API and in each shipped runbook, and nothing else is."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import lcnb
from benchmarks.virtual import client
from by_hand import NOTEBOOKS, run_cells, world
from lcnb.api import calls
from lcnb.changes.build import create_key_pair
from lcnb.config import Settings
from lcnb.errors import InputError
from lcnb.flags import check_parameters, checked_flag
from lcnb.runbooks.current import RunContext
from lcnb.runbooks.run import run_runbook
from lcnb.runbooks.toolkit import account_balance
from lcnb.widgets.admin_page import serve_page

NO_FLAGS: list[Any] = [
    "false", "False", "no", "", "true", "0", 0, 1, 0.0, None, pd.NA, np.int64(0), np.array([False]), [], object(),
]  # fmt: skip
FRAME = pd.DataFrame({"label": ["web-01"]})
#: What each function needs besides its flags.
NEEDED: dict[str, Any] = {
    "desired": FRAME,
    "title": "new",
    "label": "web-99",
    "location": "MIA1",
    "plan": "1vcpu-1gb-10ssd",
    "image": "debian-12-x86_64",
    "machines": "web-01",
    "public_key": create_key_pair("ed25519")[0],
    "file": "new.key",
    "call": calls.delete_instance("a" * 14),
    "name": "inventory",
    "batch": "no-such-batch",
    "on_error": "stop",
}


def flags_of(function: Callable[..., Any]) -> list[str]:
    """The parameters that are declared as flags, or as a flag or something else."""
    return [
        name
        for name, each in inspect.signature(function).parameters.items()
        if "bool" in str(each.annotation) or str(each.annotation) == "Confirm"
    ]


def methods(kind: type) -> list[Callable[..., Any]]:
    return [each for name, each in inspect.getmembers(kind, callable) if not name.startswith("_")]


PUBLIC = [
    lcnb.connect,
    lcnb.AsyncLetsCloud.connect,
    *methods(lcnb.LetsCloud),
    *methods(lcnb.AsyncLetsCloud),
    lcnb.ChangeSet.apply,
    RunContext.apply,
    lcnb.admin,
    lcnb.batch,
    lcnb.resume_batch,
    lcnb.runbook,
    run_runbook,
    serve_page,
    account_balance.compute_runway,
]
FLAGS = [(function, flag) for function in PUBLIC for flag in flags_of(function)]


def test_a8_public_functions_are_found() -> None:
    """The table below has every function that `lcnb` offers and that takes a flag."""
    assert len(FLAGS) > 30
    offered = [getattr(lcnb, name) for name in lcnb.__all__]
    with_flags = {each for each in offered if inspect.isfunction(each) and flags_of(each)}
    assert with_flags <= {function for function, _ in FLAGS}


@pytest.mark.parametrize(("function", "flag"), FLAGS, ids=[f"{f.__qualname__}-{flag}" for f, flag in FLAGS])
def test_a8_no_text_or_number_is_a_flag(
    function: Callable[..., Any],
    flag: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is neither True nor False is refused by name, before a request is sent or a folder is made."""
    monkeypatch.chdir(tmp_path)
    box = world()
    lc = client(box, settings)
    changes = lc.power_off(label="web-01")
    sent = len([entry for entry in box.log if entry["method"] != "GET"])
    selves: dict[str, Any] = {
        "LetsCloud": lc,
        "AsyncLetsCloud": lcnb.AsyncLetsCloud(settings),
        "ChangeSet": changes,
        "RunContext": RunContext(tmp_path),
    }
    needed = {**NEEDED, "changes": changes, "profile": None, "fleet": None, "dry_run": True}
    owner = function.__qualname__.partition(".")[0]
    for value in NO_FLAGS:
        if value is None and flag == "confirm" and "Confirm" in str(inspect.signature(function)):
            continue  # then somebody is asked
        if isinstance(value, list | np.ndarray) and flag == "accounts":
            continue  # names of accounts
        if isinstance(value, str) and flag == "accounts":
            continue  # refused in other words
        names = [
            name
            for name, each in inspect.signature(function).parameters.items()
            if name in needed and (each.default is inspect.Parameter.empty or name == "call")
        ]
        given = {**{name: needed[name] for name in names}, flag: value}
        bound = [selves[owner]] if "self" in inspect.signature(function).parameters else []
        with pytest.raises(
            InputError, match=rf"^{flag}: expected True or False, got .*(sent|started|computed)\."
        ):
            result = function(*bound, **given)
            if inspect.isawaitable(result):
                asyncio.run(_awaited(selves["AsyncLetsCloud"], box, settings, result))
    assert len([entry for entry in box.log if entry["method"] != "GET"]) == sent
    assert not list(tmp_path.glob("runs/*"))


async def _awaited(lc: Any, box: Any, settings: Settings, result: Any) -> Any:
    """Listings are answered from the sandbox: the flag is refused without the network."""
    sync = client(box, settings)

    async def run(flow: Any, *, each_call: bool = False) -> Any:
        return sync._wire.run(flow, each_call=each_call)

    lc._wire.run = run
    return await result


def test_a8_flags_of_numpy() -> None:
    """A flag out of a frame is one."""
    frame = pd.DataFrame({"n": [1, 2]})
    assert checked_flag("prune", (frame.n == 1).iloc[0]) is True
    assert checked_flag("prune", np.False_) is False
    check_parameters(prune=np.True_, dry_run=False)


@pytest.mark.parametrize("answer", ["no", "yes", 0, 1, None, [], pd.NA])
def test_a8_answers_of_a_function(answer: Any, settings: Settings) -> None:
    """A function that confirms answers True or False: the answer "no" confirms nothing."""
    box = world()
    changes = client(box, settings).power_off(label="web-01")
    with pytest.raises(InputError, match="the answer of confirm: expected True or False"):
        changes.apply(lambda shown: answer)
    assert [entry["method"] for entry in box.log if entry["method"] != "GET"] == []
    assert changes.apply(lambda shown: False).outcome.tolist() == ["not tried"]
    assert changes.apply(lambda shown: True).outcome.tolist() == ["done"]


def test_a8_checks_of_a_text() -> None:
    """The text "no" is not a check that held."""
    with pytest.raises(InputError, match="'no' is neither true nor false"):
        RunContext(Path()).check("no", "all machines are on")


def declared_flags(name: str) -> list[str]:
    """The parameters of a shipped runbook that are declared as flags."""
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    source = next(
        "".join(cell["source"])
        for cell in notebook["cells"]
        if "parameters" in cell["metadata"].get("tags", [])
    )
    return [line.partition(":")[0] for line in source.splitlines() if ": bool" in line]


BOOKS = [
    (path.stem, flag) for path in sorted(NOTEBOOKS.glob("*.ipynb")) for flag in declared_flags(path.stem)
]


@pytest.mark.parametrize(("name", "flag"), BOOKS)
def test_a8_flags_of_runbooks(
    name: str, flag: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each flag of each shipped runbook is checked where papermill, which checks nothing, has passed it on."""
    monkeypatch.chdir(tmp_path)
    box = world()
    lc = client(box, settings)
    for value in ("false", "no", "", 0, 1, None):
        with pytest.raises(
            InputError, match=rf"^{flag}: .*In papermill: `-p {flag} True` or `-p {flag} False`"
        ):
            run_cells(name, lc, tmp_path, {flag: value})
    assert not box.log


# What papermill's command line passes → what the drift runbook makes of `prune`.
PASSED = [
    (["-p", "prune", "false"], "prune: expected True or False, got the text 'false'"),
    (["-r", "prune", "False"], "prune: expected True or False, got the text 'False'"),
    (["-p", "prune", "0"], "prune: expected True or False, got 0"),
    (["-y", "prune: 'no'"], "prune: expected True or False, got the text 'no'"),
    (["-p", "dry_run", "0"], "dry_run: expected True or False, got 0"),
    (["-p", "prune", "False"], ""),
    (["-y", "prune: false"], ""),
]


@pytest.mark.parametrize(("passed", "told"), PASSED)
def test_a8_papermill(
    passed: list[str], told: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What papermill writes into the drift runbook for a flag is a flag, or is refused before the first request."""
    from papermill.cli import papermill

    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.csv").write_text("label\nweb-01\n")
    prepare = ["--prepare-only", "--no-progress-bar", "-k", "python3", "-p", "fleet", "f.csv"]
    done = CliRunner().invoke(papermill, [str(NOTEBOOKS / "drift.ipynb"), "out.ipynb", *prepare, *passed])
    assert done.exit_code == 0, done.output
    box = world()
    lc = client(box, settings)
    if told:
        with pytest.raises(InputError, match=told):
            run_cells(tmp_path / "out.ipynb", lc, tmp_path, {})
        assert not box.log
        return
    assert run_cells(tmp_path / "out.ipynb", lc, tmp_path, {})["prune"] is False


@pytest.mark.parametrize(
    ("name", "passed", "told"),
    [
        (
            "decommission",
            "-p labels web-01 -p confirm_labels web-01",
            "parameter labels: 'web-01' is not a list",
        ),
        (
            "decommission",
            "-y labels:|[web-01] -p confirm_labels web-01",
            "parameter confirm_labels: 'web-01' is not a list",
        ),
        ("resize_advisor", "-p apply_labels web-01", "parameter apply_labels: 'web-01' is not a list"),
        ("health_watch", "-p ports 22", "parameter ports: 22 is not a list"),
        ("power_schedule", "-p selection all -y {power:|off}", "parameter power: False is a flag"),
        ("power_schedule", "-p selection all -p power of", "parameter power: 'of' is not one of 'on', 'off'"),
    ],
)
def test_values_of_papermill(
    name: str, passed: str, told: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What papermill makes of a value that a shipped runbook does not take is refused before the first request."""
    from papermill.cli import papermill

    monkeypatch.chdir(tmp_path)
    words = [word.replace("|", " ") for word in passed.split()]
    prepare = ["--prepare-only", "--no-progress-bar", "-k", "python3", *words]
    done = CliRunner().invoke(papermill, [str(NOTEBOOKS / f"{name}.ipynb"), "out.ipynb", *prepare])
    assert done.exit_code == 0, done.output
    box = world()
    with pytest.raises(InputError, match=told):
        run_cells(tmp_path / "out.ipynb", client(box, settings), tmp_path, {})
    assert not box.log
