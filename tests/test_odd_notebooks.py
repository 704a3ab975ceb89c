"""Notebooks that people really have, and cells that do what they should not: the run is told truly all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from conftest import PYTHON3, record, saved, statuses, write_notebook
from lcnb.errors import InputError, RunError
from lcnb.runbooks.chain import verify
from lcnb.runbooks.find import find
from lcnb.runbooks.run import RunResult, run_runbook

TRESPASSES = """
import os, subprocess, lcnb
os.symlink("/etc/passwd", "link.txt"), os.symlink("/etc", "folder"), os.symlink("nowhere", "dangling"), os.mkfifo("pipe")
os.remove("run.json"), os.symlink("victim.txt", "run.json"), os.symlink("victim.txt", "report.html")
open("victim.txt", "w").write("as it was")
open("trespasses.ipynb", "w").write("junk")
subprocess.Popen(["sleep", "40"])
os.chdir("/")
lcnb.run().log("kept where the run is")
"""
CLOSES = "import os\nos.close(1), os.close(2)\nprint('told all the same')"


def old(path: Path) -> Path:
    """Of format 4.0: without ids, with the outputs of an earlier run, a raw cell, and a byte order mark."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "raw", "source": "n = 7 {", "metadata": {}},
        {"cell_type": "code", "source": ["n: int = 1\n", "m = 2"], "metadata": {"tags": ["parameters"]}},
        {"cell_type": "code", "source": "assert (n, m) == (5, 2)\n1/0", "metadata": {}},
        {"cell_type": "code", "source": "'not run'", "metadata": {}},
    ]
    stale = {"output_type": "stream", "name": "stdout", "text": "of an earlier run"}
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [stale], "execution_count": 9}
    notebook = {"nbformat": 4, "nbformat_minor": 0, "metadata": {"kernelspec": PYTHON3}, "cells": cells}
    path.write_text(json.dumps(notebook), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("encoding", "problem"), [("utf-8-sig", ""), ("utf-16", "UTF-16 text"), ("cp1252", "not UTF-8")]
)
def test_d8_encodings(encoding: str, problem: str, tmp_path: Path) -> None:
    """A byte order mark in a notebook is left out; another encoding is one line that names the cure."""
    path = write_notebook(tmp_path / "book.ipynb", ("place: str = 'S\u00e3o Paulo'", "parameters"))
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
    path.write_text(text, encoding=encoding)
    if not problem:
        assert find(str(path)).parameters[0].default == "S\u00e3o Paulo"
        return
    with pytest.raises(InputError, match=rf"{problem}.*save it as UTF-8\. Nothing was started\.$") as refused:
        find(str(path))
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    """The runs of the odd notebooks, two at a time."""
    place = tmp_path_factory.mktemp("odd {0} ü")
    odd: dict[str, Callable[[], RunResult]] = {
        "old": lambda: run_runbook(str(old(place / "old.ipynb")), {"n": "5"}, folder=place / "runs"),
        "empty": lambda: run_runbook(str(write_notebook(place / "empty.ipynb")), folder=place / ("x" * 200)),
        "closes": lambda: run_runbook(str(write_notebook(place / "c" / "closes.ipynb", CLOSES, "2")), folder=place / "runs"),
        "trespasses": lambda: run_runbook(
            str(write_notebook(place / "t" / "trespasses.ipynb", TRESPASSES, "3")), folder=place / "runs"
        ),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("HOME", str(place))
        return dict(zip(odd, pool.map(lambda work: work(), odd.values()), strict=True))


def test_old(runs: dict[str, RunResult]) -> None:
    """An old notebook runs as it is; no output of an earlier run is taken for one of this run."""
    run = runs["old"]
    assert (run.status, run.exit_code, record(run.folder)["parameters"]) == ("failed", 3, {"n": 5, "m": 2})
    assert "ZeroDivisionError" in (run.error or "")
    assert "of an earlier run" not in nbformat.writes(saved(run.folder))
    assert [each for each in statuses(run.folder) if each != "skipped"] == ["completed"] * 2 + ["failed"]


def test_empty(runs: dict[str, RunResult]) -> None:
    """A notebook without cells is done, in a folder with a long and odd name."""
    run = runs["empty"].check()
    assert saved(run.folder).cells == []
    assert run.report.is_file()


def test_closes(runs: dict[str, RunResult]) -> None:
    """What a cell prints is kept though it has closed the handles below."""
    run = runs["closes"].check()
    assert "told all the same" in str(saved(run.folder).cells[0].outputs)


def test_trespasses(runs: dict[str, RunResult]) -> None:
    """Links, a moved working directory, a child that stays and a record written over change nothing of what is told."""
    run = runs["trespasses"].check()
    assert not (run.folder / "run.json").is_symlink()
    assert not (run.folder / "report.html").is_symlink()
    assert record(run.folder)["status"] == "done"
    assert (run.folder / "victim.txt").read_text() == "as it was"
    assert "kept where the run is" in (run.folder / "run.log").read_text()
    assert statuses(run.folder) == ["completed", "completed"]
    assert sorted(record(run.folder)["files"]) == ["report.html", "run.log", "trespasses.ipynb", "victim.txt"]
    assert verify(run.folder.parent, [run.folder.name]).problems == []


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ([("raw", "parameters"), ("code", "parameters")], "cell 1 is tagged `parameters` and is no code"),
        (
            [("code", "parameters"), ("markdown", "parameters")],
            "cell 2 is tagged `parameters` and is no code",
        ),
        ([("code", "parameters"), ("code", "parameters")], "cells 1 and 2 are both tagged `parameters`"),
        (
            [("code", "parameters"), ("code", "injected-parameters")],
            "cell 2 holds the parameters of an earlier run",
        ),
    ],
)
def test_unclear(tags: list[tuple[str, str]], told: str, tmp_path: Path) -> None:
    """A notebook in which what is given would not count, or what an earlier run was given would, is refused."""
    made = [
        {"cell_type": kind, "source": "n = 1", "metadata": {"tags": [tag]}, "outputs": []}
        for kind, tag in tags
    ]
    path = tmp_path / "two.ipynb"
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made}), encoding="utf-8"
    )
    with pytest.raises(InputError, match=rf"{told}.* Nothing was started\.$"):
        find(str(path))


def test_folder_deleted(tmp_path: Path) -> None:
    """A run whose cell deletes its folder has failed, and that is told."""
    cell = "import os, shutil\nshutil.rmtree(os.environ['LCNB_RUN_DIR'])"
    path = write_notebook(tmp_path / "night.ipynb", cell)
    with pytest.raises(
        RunError, match=r"could not be written: No such file or directory\. The run itself: failed"
    ):
        run_runbook(str(path), folder=tmp_path / "runs")


def test_no_place_for_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder that cannot be written is told with the cure, and nothing is started."""
    monkeypatch.setenv("LCNB_STATE_DIR", str(tmp_path / "file" / "state"))
    (tmp_path / "file").touch()
    path = write_notebook(tmp_path / "night.ipynb", "1")
    with pytest.raises(
        RunError, match=r"the lock of night cannot be made in .*Nothing was started\. .*LCNB_STATE_DIR"
    ):
        run_runbook(str(path), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
