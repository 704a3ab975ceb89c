"""Runs whose process was killed are settled once, in every place, by the next command."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

import lcnb
from conftest import TOKEN, record, saved
from lcnb.changes.journal import Journal, JournalEntry
from lcnb.folders import state_dir
from lcnb.runbooks.records import abandoned, index, process
from lcnb.runbooks.run import run_runbook
from recorded_runs import LCNB, ME, gone_process, make_run, write_notebook

SETTLE = """
import sys
from pathlib import Path
from lcnb.runbooks.records import abandoned
sys.stdin.readline()
print(*abandoned.settle_runs(Path(sys.argv[1])))
"""


def test_abandoned(tmp_path: Path) -> None:
    """A run whose process was killed is settled once, by one of many who look at once, in every place."""
    place = tmp_path / "runs"
    long = "import os, time\nlcnb.run().attention('look')\nopen('begun', 'w').write(str(os.getpid())); time.sleep(3600)"
    path = write_notebook(tmp_path / "long.ipynb", "import lcnb", "x: int = 1", long, "print('after')")
    with subprocess.Popen([*LCNB, "run", str(path)]) as runner:
        deadline = time.monotonic() + 600
        while not (begun := [each for each in place.glob("*/begun") if each.read_text()]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (folder,) = (each.parent for each in begun)
        assert lcnb.runs().status.tolist() == ["running"]
        assert index.verify_runs(place).problems == []
        kernel = psutil.Process(int(begun[0].read_text()))
        assert record(folder)["kernel_process"]["pid"] == kernel.pid
        runner.kill()
    command = [sys.executable, "-c", SETTLE, str(place)]
    lookers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for each in lookers:
        assert each.stdin
        each.stdin.write("go\n")
        each.stdin.flush()
    settled = [each.communicate(timeout=600)[0].strip() for each in lookers]
    assert sorted(settled) == ["", "", "", folder.name]
    assert process.is_gone({**ME, "pid": kernel.pid, "started": record(folder)["kernel_process"]["started"]})
    facts = record(folder)
    assert (facts["status"], facts["exit_code"], facts["closed"]) == ("abandoned", None, True)
    assert facts["reason"] == f"its process ({runner.pid} on {socket.gethostname()}) was killed or crashed"
    assert [each["text"] for each in facts["attention"]] == ["look"]
    notebook = saved(folder)
    assert notebook.metadata.lcnb.status == "abandoned"
    assert notebook.metadata.papermill.exception
    assert notebook.cells[-1].metadata.papermill.status == "unknown"
    nbformat.validate(notebook)
    assert [line.run for line in index.read_index(place)[0]] == [folder.name]
    assert index.verify_runs(place).problems == []
    assert lcnb.runs().status.tolist() == ["abandoned"]


def test_next_run_settles(tmp_path: Path) -> None:
    """Starting a run settles the runs that were abandoned before."""
    left = make_run(tmp_path / "runs", 1, closed=False, status="running", process=gone_process())
    run_runbook(str(write_notebook(tmp_path / "a.ipynb", "1"))).check()
    assert record(left)["status"] == "abandoned"
    assert index.verify_runs(tmp_path / "runs").problems == []


@pytest.mark.parametrize("before", ["running", "done", "failed"])
def test_killed_late(before: str, tmp_path: Path) -> None:
    """A run killed after its cells, while it wrote its report, is abandoned, and its reason says how it had ended."""
    left = make_run(tmp_path / "runs", 1, closed=False, status=before, process=gone_process())
    (left / "raw.txt").write_text("made late")
    assert abandoned.settle_runs(left.parent) == [left.name]
    facts = record(left)
    assert facts["status"] == "abandoned"
    assert (f"had ended: {before}" in facts["reason"]) == (before != "running")
    assert set(facts["files"]) == {"nightly.ipynb", "raw.txt"}
    assert abandoned.settle_runs(left.parent) == []


def test_killed_between(tmp_path: Path) -> None:
    """A process killed between its line in the index and its record leaves nothing that stays wrong."""
    left = make_run(tmp_path / "runs", 1, closed=False, status="done", process=gone_process())
    index.append_line(left.parent, index.ENDED, left.name, "a" * 64)
    assert [each.problem for each in index.verify_runs(left.parent).problems] == [
        "was changed after the run ended"
    ]
    abandoned.settle_runs(left.parent)
    assert index.verify_runs(left.parent).problems == []


def test_settle_hides_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of an abandoned run are searched for the tokens of the user who settles it."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    left = make_run(tmp_path / "runs", 1, closed=False, status="running", process=gone_process())
    (left / "raw.txt").write_text(f"the token is {TOKEN}")
    (left / "bad.ipynb").write_text("{")
    abandoned.settle_runs(left.parent)
    assert (left / "raw.txt").read_text() == "the token is *****"
    assert record(left)["problems"] == ["bad.ipynb cannot be read and was not changed"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only(tmp_path: Path) -> None:
    """In a folder that cannot be written into an abandoned run is listed as that, and verify works."""
    left = make_run(tmp_path / "runs", 1, closed=False, status="running", process=gone_process())
    left.parent.chmod(0o500)
    try:
        assert lcnb.runs().status.tolist() == ["abandoned"]
        assert index.verify_runs(left.parent).problems == []
    finally:
        left.parent.chmod(0o700)


def test_abandoned_changes(tmp_path: Path) -> None:
    """The record of an abandoned run lists the changes of the journal: a sent one is `unknown`."""
    left = make_run(tmp_path / "runs", 1, closed=False, status="running", process=gone_process())
    names = ("identifier", "before", "after", "monthly_before", "monthly_after", "currencycode")
    plan = {"action": "power off", "target": "web-01", **dict.fromkeys(names)}
    entry = JournalEntry(
        "cs-1", 0, "planned", "power off", "web-01", "PUT", "/instances/1/power-off", None, plan
    )
    journal = Journal(state_dir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LCNB_RUN_DIR", str(left))
        journal.begin("cs-1", [entry], account=None, base_url="https://api.example.com/api")
    journal.record_attempt("cs-1", 0, [])
    abandoned.settle_runs(left.parent)
    assert [(each["target"], each["outcome"]) for each in record(left)["changes"]] == [("web-01", "unknown")]
    assert lcnb.runs().changes.tolist() == [1]


def test_live_runs_are_left(tmp_path: Path) -> None:
    """A run whose process lives, or is on another machine, stays `running`."""
    elsewhere = {**gone_process(), "boot": "x", "host": "elsewhere"}
    for number, known in enumerate((ME, elsewhere, None)):
        make_run(tmp_path / "runs", number, closed=False, status="running", process=known)
    assert lcnb.runs().status.tolist() == ["running"] * 3
    assert not (tmp_path / "runs" / index.INDEX_FILE).exists()
