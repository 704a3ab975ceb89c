"""What runbooks change: planned, confirmed, made once, gone on with after any end, one at a time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

import lcnb
from conftest import LCNB, Call, record, saved, wait_until, write_notebook
from lcnb.errors import ConfirmationMissing, InputError, Locked, RunTimeout
from lcnb.runbooks import rerun
from lcnb.runbooks.engine import papermill_client, run_job
from lcnb.runbooks.outcomes import summarize_changes
from lcnb.runbooks.records.run_record import read_run
from lcnb.runbooks.run import run_runbook

PARAMETERS = ("account: str | None = None\ndry_run: bool = True  # only show", "parameters")
OFF = """
import lcnb
lc = lcnb.connect(account)
changes = lc.power_off(label="web-01") + lc.power_off(label="web-03")
lcnb.run().apply(changes, dry_run=dry_run, wait=False)
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A runbook that turns two machines off."""
    return write_notebook(tmp_path / "off.ipynb", "# Off\n\nTurns two off.", PARAMETERS, OFF, "print('end')")


def writes(sandbox: lcnb.sandbox.SandboxProcess) -> list[str]:
    """The writes that have reached the sandbox."""
    headers = {"api-token": sandbox.token}
    with httpx.Client(trust_env=False, headers=headers) as client:
        log = client.get(sandbox.base_url.replace("/api", "/_sandbox/log")).json()
    return [f"{each['method']} {each['path']}" for each in log if each["method"] != "GET"]


def folders(place: Path) -> list[Path]:
    return [path.parent for path in sorted(place.glob("runs/*/run.json"))]


def states() -> dict[str, str]:
    with lcnb.connect() as lc:
        frame = lc.instances()
    return dict(zip(frame.label, frame.state, strict=True))


def test_dry_run(fleet: lcnb.sandbox.SandboxProcess, book: Path) -> None:
    """A dry run sends no write; the planned changes stand beside the report, in the record and in the page."""
    run = run_runbook(str(book)).check()
    assert writes(fleet) == []
    changes = record(run.folder)["changes"]
    assert [(each["action"], each["target"], each["outcome"]) for each in changes] == [
        ("power off", "web-01", "not made"),
        ("power off", "web-03", "not made"),
    ]
    kept = pd.read_parquet(run.folder / "changes.parquet")
    assert kept.outcome.tolist() == ["not made", "not made"]
    assert "not made" in run.report.read_text(encoding="utf-8")


def test_confirmed(fleet: lcnb.sandbox.SandboxProcess, book: Path) -> None:
    """With dry_run=False and a confirmation the changes are made, and told with their outcomes."""
    run = run_runbook(str(book), {"dry_run": False}, confirm=True).check()
    assert len(writes(fleet)) == 2
    assert [each["outcome"] for each in record(run.folder)["changes"]] == ["done", "done"]
    assert record(run.folder)["confirmed"] == "yes"
    with lcnb.connect() as lc:
        assert set(lc.journal().run) == {run.folder.name}


INTERRUPTED = OFF + "\nimport os, signal, time\nos.kill(os.getppid(), signal.{signal})\ntime.sleep(600)"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interrupted_says_what_was_made(
    name: str, code: int, fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path, call: Call
) -> None:
    """A run that is interrupted after its changes says which it has made, and how to go on."""
    path = write_notebook(tmp_path / "off.ipynb", PARAMETERS, INTERRUPTED.replace("{signal}", name))
    ended = call("run", str(path), "-p", "dry_run=false", "--yes")
    assert ended.code == code, ended.err
    (folder,) = folders(tmp_path)
    line = "2 changes made (power off web-01, power off web-03), 0 open. Continue: lcnb resume"
    assert f"{line} {folder.name}\n" in ended.err


@pytest.mark.parametrize(
    ("outcomes", "line"),
    [
        (["done", "unknown"], "1 change made (power off m-0), 1 open. Continue: lcnb resume RUN"),
        (["not tried", "failed"], "0 changes made, 1 failed, 1 open. Continue: lcnb resume RUN"),
        (
            ["done"] * 5 + ["twins"],
            "5 changes made (power off m-0, power off m-1, power off m-2 and 2 more), 1 twins, 0 open. "
            "Continue: lcnb resume RUN",
        ),
    ],
)
def test_line_of_changes(outcomes: list[str], line: str) -> None:
    """The line of a run that did not end well counts what was made, failed and is open."""
    changes = [
        {"action": "power off", "target": f"m-{number}", "outcome": outcome}
        for number, outcome in enumerate(outcomes)
    ]
    assert summarize_changes(changes, "RUN", ended_well=False) == line


def test_line_of_a_dry_run(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path, call: Call) -> None:
    """A dry run says that it was one, and what makes its changes; a run without changes that there was nothing to do."""
    source = "import lcnb\nfrom lcnb.frames.selection import select\nlc = lcnb.connect()\n"
    source += (
        "chosen = select(lc.inventory(), selection)\nlcnb.run().apply(chosen.lc.power_off(), dry_run=dry_run)"
    )
    path = write_notebook(
        tmp_path / "off.ipynb", ('selection: str = ""\ndry_run: bool = True', "parameters"), source
    )
    elsewhere = tmp_path / "its own"
    ended = call("run", str(path), "-p", "selection=label == 'web-01'", "--runs-dir", str(elsewhere))
    assert ended.code == 0, ended.err
    (folder,) = (each.parent for each in elsewhere.glob("*/run.json"))
    assert f"dry run: 1 change, none made; make them: lcnb apply '{folder}'\n" in ended.out
    ended = call("run", str(path))
    assert "no machine is selected: nothing to do. Select machines: -p selection=" in ended.out
    ended = call("run", str(path), "-p", "selection=label == 'nosuch'", "-p", "dry_run=false", "--yes")
    assert "nothing to do for the selection \"label == 'nosuch'\"\n" in ended.out
    assert writes(fleet) == []


def test_nobody_confirmed(fleet: lcnb.sandbox.SandboxProcess, book: Path, tmp_path: Path) -> None:
    """dry_run=False without a confirmation is refused before anything is started."""
    with pytest.raises(ConfirmationMissing, match=r"Nothing was started.*lcnb plan-run off"):
        run_runbook(str(book), {"dry_run": "false"})
    assert not (tmp_path / "runs").exists()


def test_refused_in_a_cell(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """A notebook that writes without having the parameter is refused by the change itself: exit code 6."""
    source = "import lcnb\nlc = lcnb.connect()\nlc.power_off(label='web-01').apply()"
    run = run_runbook(str(write_notebook(tmp_path / "sly.ipynb", source, "1")))
    assert (run.status, run.exit_code) == ("refused", 6)
    assert (record(run.folder)["status"], saved(run.folder).metadata.lcnb.status) == ("refused", "refused")
    assert writes(fleet) == []


# --- planned, then applied ------------------------------------------------------------------------------


def test_plan_run_and_apply(fleet: lcnb.sandbox.SandboxProcess, book: Path, call: Call) -> None:
    """`lcnb plan-run` shows and keeps the changes, `lcnb apply RUN` makes them, a second time it refuses."""
    planned = call("plan-run", str(book))
    assert (planned.code, writes(fleet)) == (0, [])
    (name,) = re.findall(r"lcnb apply (\S+)", planned.out)
    assert f"dry run: 2 changes, none made; make them: lcnb apply {name}" in planned.out
    assert "outcome" not in planned.out
    applied = call("apply", name)
    assert applied.code == 0, applied.err
    before, after = applied.out.split(str(book.parent / "runs"), 1)
    assert "outcome" not in before
    assert re.search("power off +web-03 .* done", after), applied.out
    assert "2 changes made (power off web-01, power off web-03), 0 open\n" in after
    assert len(writes(fleet)) == 2
    assert {states()["web-01"], states()["web-03"]} <= {"off", "busy"}
    again_applied = call("apply", name)
    assert again_applied.code == 3
    assert "no longer as it was" in again_applied.err or "already" in again_applied.err
    assert len(writes(fleet)) == 2


def drift_gone(book: Path) -> None:
    with lcnb.connect() as lc:
        lc.delete_instance(label="web-03").apply(confirm=True)


def drift_off(book: Path) -> None:
    with lcnb.connect() as lc:
        lc.power_off(label="web-03").apply(confirm=True, wait=True)


def drift_notebook(book: Path) -> None:
    book.write_text(book.read_text(encoding="utf-8").replace("web-03", "web-04"), encoding="utf-8")


@pytest.mark.parametrize(
    ("drift", "error", "told"),
    [
        (drift_gone, None, "no machine|web-03"),
        (drift_off, None, "no longer|already"),
        (drift_notebook, InputError, "has changed since the run"),
    ],
)
def test_drift(drift: Any, error: Any, told: str, fleet: lcnb.sandbox.SandboxProcess, book: Path) -> None:
    """A planned run is not applied when the account or the notebook has changed since: nothing is sent."""
    planned = read_run(run_runbook(str(book), {"dry_run": True}).check().folder)
    drift(book)
    before = writes(fleet)
    if error:
        with pytest.raises(error, match=told):
            rerun.apply_run(planned)
    else:
        run = rerun.apply_run(planned)
        assert run.exit_code == 3
        assert re.search(told, run.error or "")
    assert writes(fleet) == before


def test_nothing_to_apply(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """A run that planned nothing cannot be applied."""
    path = write_notebook(tmp_path / "plain.ipynb", PARAMETERS, "1")
    with pytest.raises(InputError, match="planned no changes"):
        rerun.apply_run(read_run(run_runbook(str(path)).folder))


# --- broken, then resumed -------------------------------------------------------------------------------

FAILS = OFF + "\nif not __import__('pathlib').Path(r'{flag}').exists(): 1/0\n"


def test_resume(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path, call: Call) -> None:
    """A run that failed after its changes goes on without making them again."""
    flag = tmp_path / "mended"
    more = "lcnb.run().apply(lc.reboot(label='db-01'), dry_run=dry_run, name='more', wait=False)"
    path = write_notebook(tmp_path / "off.ipynb", PARAMETERS, FAILS.replace("{flag}", str(flag)), more)
    broken = run_runbook(str(path), {"dry_run": False}, confirm=True)
    assert (broken.status, broken.exit_code, len(writes(fleet))) == ("failed", 3, 2)
    flag.touch()
    done = call("resume", broken.folder.name, "--yes")
    assert done.code == 0, done.err
    sent = writes(fleet)
    assert len(sent) == len(set(sent)) == 3
    (folder,) = (each for each in folders(tmp_path) if each != broken.folder)
    assert record(folder)["resumes"] == [broken.folder.name]


PROVISION = """
import functools, operator, os, signal, threading
import lcnb
lc = lcnb.connect(account)
names = [f"node-{number}" for number in range(4)]
there = set(lc.instances().label)
parts = [lc.create_instance(name, location="MIA1", plan="1vcpu-1gb-10ssd", image="debian-12-x86_64")
         for name in names if name not in there]
changes = functools.reduce(operator.add, parts) if parts else None
if changes is not None:
    lcnb.run().apply(changes, dry_run=dry_run, wait=False)
"""
#: The third of the creates is not answered: whoever looks finds the run in the middle of them.
SILENT = {"rules": [{"kind": "stall", "method": "POST", "path": "instances", "nth": 3}]}


def script(sandbox: lcnb.sandbox.SandboxProcess, faults: dict[str, Any]) -> None:
    with httpx.Client(trust_env=False, headers={"api-token": sandbox.token}) as control:
        control.post(sandbox.base_url.replace("/api", "/_sandbox/faults"), json=faults).raise_for_status()


def test_killed_and_resumed(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path, call: Call) -> None:
    """A run that is killed with its kernel in the middle of its creates makes each machine once after `resume`."""
    flag = tmp_path / "killed"
    wait = f"import pathlib, time\nwhile not pathlib.Path(r'{flag}').exists(): time.sleep(0.02)"
    path = write_notebook(tmp_path / "nodes.ipynb", PARAMETERS, PROVISION, wait)
    script(fleet, SILENT)
    command = [LCNB, "run", str(path), "-p", "dry_run=false", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as process:  # fmt: skip
        wait_until(lambda: len(writes(fleet)) >= 3)
        kill_all(process.pid)
    flag.touch()
    (folder,) = folders(tmp_path)
    assert record(folder)["status"] == "running"
    done = call("resume", folder.name, "--yes")
    assert done.code == 0, done.err
    with lcnb.connect() as lc:
        labels = lc.instances().label.tolist()
    assert sorted(each for each in labels if each.startswith("node-")) == [f"node-{n}" for n in range(4)]


def kill_all(pid: int) -> None:
    import psutil

    parent = psutil.Process(pid)
    family = [*parent.children(recursive=True), parent]
    for each in family:
        each.kill()
    psutil.wait_procs(family)


# --- partly done ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_partly(on_error: str, fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """A run some of whose changes failed is `partly` with exit code 7, whether its cell raised or went on."""
    source = OFF.replace("wait=False", f"wait=False, on_error={on_error!r}")
    script(fleet, {"rules": [{"kind": "html", "status": 403, "path": "power-off", "nth": 2}]})
    path = write_notebook(tmp_path / "part.ipynb", PARAMETERS, source)
    run = run_runbook(str(path), {"dry_run": False}, confirm=True)
    assert (run.status, run.exit_code) == ("partly", 7)
    assert [each["outcome"] for each in record(run.folder)["changes"]] == ["done", "failed"]
    assert saved(run.folder).metadata.lcnb.status == "partly"
    assert "partly" in run.report.read_text(encoding="utf-8")


# --- one at a time --------------------------------------------------------------------------------------


def test_100_race(tmp_path: Path) -> None:
    """Of 100 processes that want one lock at once exactly one gets it; when it is killed the lock is free."""
    code = (
        "import sys\n"
        "from lcnb.runbooks.locks import runbook_lock\nfrom lcnb.runbooks.notebook.find import find_runbook\n"
        "from lcnb.errors import Locked\nimport pathlib, os\n"
        "book = find_runbook('inventory')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "pids = []\n"
        "for n in range(25):\n"
        "    pid = os.fork()\n"
        "    if pid: pids.append(pid); continue\n"
        "    try:\n"
        "        with runbook_lock(book, None, {}, 0, writes=False):\n"
        "            os.write(1, b'won\\n'); sys.stdin.readline()\n"
        "        os._exit(0)\n"
        "    except Locked: os.write(1, b'locked\\n'); os._exit(75)\n"
        "sys.stdin.readline()\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        for each in racers:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in racers:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        told = [each.stdout.readline().strip() for each in racers for _ in range(25)]  # type: ignore[union-attr]
        assert sorted(told) == ["locked"] * 99 + ["won"]
    finally:
        for each in racers:
            kill_all(each.pid)
            each.wait()
            each.stdin.close()  # type: ignore[union-attr]
            each.stdout.close()  # type: ignore[union-attr]
    from lcnb.runbooks.locks import runbook_lock
    from lcnb.runbooks.notebook.find import find_runbook

    with runbook_lock(find_runbook("inventory"), None, {}, 0, writes=False):
        pass


@pytest.mark.parametrize(
    ("first", "second", "excluded"),
    [
        ((True, 1), (True, 2), "with dry_run=False"),
        ((False, 1), (False, 1), "with these parameters"),
        ((False, 1), (False, 2), None),
        ((True, 1), (False, 1), None),
        ((False, 1), (True, 1), None),
    ],
)
def test_which_runs_exclude_each_other(
    first: tuple[bool, int], second: tuple[bool, int], excluded: str | None
) -> None:
    """Changing runs exclude each other, reading runs those with the same parameters; the two kinds run together."""
    from lcnb.runbooks.locks import runbook_lock
    from lcnb.runbooks.notebook.find import find_runbook

    book = find_runbook("inventory")
    with runbook_lock(book, None, {"n": first[1]}, 0, writes=first[0]):
        refusal = pytest.raises(Locked, match=excluded) if excluded else nullcontext()
        with refusal, runbook_lock(book, None, {"n": second[1]}, 0, writes=second[0]):
            pass


def test_locked(tmp_path: Path, call: Call) -> None:
    """A runbook that another process runs with the same parameters is refused: exit code 75, no folder; with others
    it runs, and with `--no-lock` too."""
    slow = write_notebook(
        tmp_path / "slow.ipynb",
        ("n: int = 1", "parameters"),
        f"import pathlib, time\npathlib.Path(r'{tmp_path}/on').touch()\n"
        f"while not pathlib.Path(r'{tmp_path}/over').exists() and n == 1: time.sleep(0.05)",
    )
    with subprocess.Popen([LCNB, "run", str(slow)], stdout=subprocess.DEVNULL) as first:
        try:
            wait_until((tmp_path / "on").exists)
            second = call("run", str(slow))
            assert (second.code, second.out) == (75, "")
            words = " ".join(second.err.split())
            assert "another process runs slow with these parameters" in words
            assert "Nothing was started" in words
            with pytest.raises(Locked):
                run_runbook(str(slow), {})
            assert run_runbook(str(slow), {"n": 2}).status == "done"
            assert len(folders(tmp_path)) == 2
        finally:
            (tmp_path / "over").touch()
        assert first.wait() == 0


def test_machine_locked(fleet: lcnb.sandbox.SandboxProcess) -> None:
    """A machine that one ChangeSet works on is refused to another one; nothing is sent by that."""
    with lcnb.connect() as lc, lcnb.connect() as other:
        first, second = lc.power_off(label="web-01"), other.reboot(label="web-01")
        refused: list[str] = []

        def meanwhile(ended: int, total: int, text: str) -> None:
            if not refused:
                with pytest.raises(Locked, match="another process is changing web-01") as error:
                    second.apply(confirm=True)
                refused.append(str(error.value))

        first.apply(confirm=True, progress=meanwhile)
        assert len(refused) == 1
        assert len(writes(fleet)) == 1


# --- limits ---------------------------------------------------------------------------------------------

BEGUN = "import pathlib, signal, time\nbegun = pathlib.Path({begun!r})\n"
CLEANS_UP = BEGUN + "try:\n    begun.touch()\n    time.sleep(1000)\nfinally:\n    print('cleaned up')"
DEAF = BEGUN + "signal.signal(2, signal.SIG_IGN)\nbegun.touch()\nwhile True: time.sleep(0.1)"
QUICK = BEGUN + "begun.touch()"


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a cell makes when it has begun. Until then no limit passes, however slow the machine is.

    The time of a run stands still until then, and has passed afterwards.
    """
    path, client = tmp_path / "begun", papermill_client.CellRunner
    limit, handle = client._get_timeout, client._async_handle_timeout

    def get_timeout(self: Any, cell: Any) -> float | None:
        given = limit(self, cell)
        return given if cell is None or "begun.touch" in cell.source else None

    async def handle_timeout(self: Any, timeout: float, cell: Any = None) -> Any:
        while not path.exists():
            await asyncio.sleep(0.02)
        return await handle(self, timeout, cell)

    monkeypatch.setattr(client, "_get_timeout", get_timeout)
    monkeypatch.setattr(client, "_async_handle_timeout", handle_timeout)
    monkeypatch.setattr(run_job.RunJob, "age", lambda job: (job.timeout or 0.0) if path.exists() else 0.0)
    return path


@pytest.mark.parametrize(
    ("limits", "cells", "reason", "letters"),
    [
        ({"cell_timeout": 1}, ["1", CLEANS_UP, "3"], "cell 2: it took longer than 1 s", ["completed", "failed", "skipped"]),
        ({"timeout": 1}, ["1", CLEANS_UP, "3"], "cell 2: the run took longer than 1 s", ["completed", "failed", "skipped"]),
        ({"timeout": 3600}, ["1", QUICK, "3"], "before cell 3: the run took longer than 3600 s", ["completed", "completed", "skipped"]),
    ],
)  # fmt: skip
def test_timeout(
    limits: dict[str, float], cells: list[str], reason: str, letters: list[str], tmp_path: Path, begun: Path
) -> None:
    """What takes too long is interrupted, may clean up, and the run is a `timeout` with exit code 4."""
    sources = [cell.replace("{begun!r}", repr(str(begun))) for cell in cells]
    run = run_runbook(str(write_notebook(tmp_path / "slow.ipynb", *sources)), **limits)
    assert (run.status, run.exit_code) == ("timeout", 4)
    facts, notebook = record(run.folder), saved(run.folder)
    assert (facts["status"], facts["exit_code"], notebook.metadata.lcnb.status) == ("timeout", 4, "timeout")
    assert reason in facts["reason"]
    assert [cell.metadata.papermill.status for cell in notebook.cells] == letters
    if letters[1] == "failed":
        assert notebook.cells[1].outputs[0].text == "cleaned up\n"
    with pytest.raises(RunTimeout):
        run.check()


def test_deaf(tmp_path: Path, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that ignores the interrupt is killed after its grace."""
    monkeypatch.setattr("lcnb.runbooks.engine.papermill_client.INTERRUPT_GRACE_S", 0.5)
    source = DEAF.replace("{begun!r}", repr(str(begun)))
    run = run_runbook(str(write_notebook(tmp_path / "deaf.ipynb", source, "2")), cell_timeout=1)
    assert (run.status, run.exit_code) == ("timeout", 4)
    assert [cell.metadata.papermill.status for cell in saved(run.folder).cells] == ["failed", "skipped"]


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "10"])
def test_bad_limit(value: Any, tmp_path: Path) -> None:
    """A limit that is no number of seconds above 0 is refused."""
    with pytest.raises(InputError, match="timeout: expected seconds above 0"):
        run_runbook(str(write_notebook(tmp_path / "a.ipynb", "1")), timeout=value)


def test_interrupted_cleans_up(tmp_path: Path) -> None:
    """A runbook that is ended by SIGTERM may clean up, and what it says then is kept."""
    begun = tmp_path / "begun"
    path = write_notebook(tmp_path / "long.ipynb", CLEANS_UP.replace("{begun!r}", repr(str(begun))))
    with subprocess.Popen(
        [LCNB, "run", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until(begun.exists)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 143, errors
    (folder,) = folders(tmp_path)
    assert "cleaned up" in json.dumps(saved(folder).cells[0].outputs)


def test_outputs_of_an_early_interrupt() -> None:
    """Outputs can be read before nbclient has prepared a cell for them: an interrupt may come that early."""
    assert papermill_client.CellRunner.clear_before_next_output is False


def test_output_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs beyond the limit are left out, and that is told once."""
    monkeypatch.setattr("lcnb.runbooks.engine.outputs.MAX_CELL_BYTES", 100_000)
    source = "for n in range(50):\n    print('x' * 10_000, flush=True)"
    run = run_runbook(str(write_notebook(tmp_path / "chatty.ipynb", source, "print('next')"))).check()
    (first, second) = saved(run.folder).cells
    text = "".join(output.text for output in first.outputs)
    assert 50_000 < len(text) < 120_000
    assert text.count("more output is left out") == 1
    assert "".join(output.text for output in second.outputs) == "next\n"


def test_run_help(call: Call) -> None:
    """`lcnb run NAME --help` tells what a runbook is for, and each parameter with type, default and meaning."""
    told = call("run", "inventory", "--help")
    assert told.code == 0
    words = " ".join(told.out.split())
    assert "The fleet as it is now" in words
    assert (
        "location only this location, such as MIA1 (otherwise all locations). [a text or None; default None]"
        in words
    )
    assert call("run", "inventroy", "--help").code == 2
    assert "--cell-timeout" in call("run", "--help").out


# --- many runs ------------------------------------------------------------------------------------------


def test_batch_of_changes(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """Rows that change the account need a confirmation, and one works on it at a time."""
    one = ("account: str | None = None\ndry_run: bool = True\nlabel: str = ''", "parameters")
    source = OFF.replace(
        'lc.power_off(label="web-01") + lc.power_off(label="web-03")', "lc.power_off(label=label)"
    )
    path = write_notebook(tmp_path / "one.ipynb", one, source)
    rows = [{"label": label, "dry_run": False} for label in ("web-01", "web-03")]
    with pytest.raises(ConfirmationMissing, match=r"2 of the rows \(row 1 first\) have dry_run=False"):
        lcnb.batch(str(path), rows)
    assert writes(fleet) == []
    frame = lcnb.batch(str(path), rows, confirm=True, workers=2)
    assert frame.status.tolist() == ["done", "done"], frame.error.tolist()
    assert len(writes(fleet)) == 2


def test_d9_apply_finds_a_run(
    fleet: lcnb.sandbox.SandboxProcess,
    book: Path,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`lcnb apply` and `lcnb resume` find a RUN as `lcnb show` does: by `last`, prefix, folder, and --runs-dir."""
    kept = tmp_path / "kept elsewhere"
    planned = run_runbook(str(book), folder=kept).check().folder
    where = ["--runs-dir", str(kept)]
    ways = [["last", *where], [planned.name[:12], *where], [planned.name, *where], [f"{planned}/"]]
    for words in ways:
        assert f"the run {planned.name} is done: there is nothing to resume" in call("resume", *words).err
    monkeypatch.chdir(kept)
    assert "there is nothing to resume" in call("resume", planned.name).err
    applied = call("apply", "last", *where, "--yes")
    assert applied.code == 0, applied.err
    assert len(writes(fleet)) == 2


@pytest.mark.parametrize("command", ["apply", "resume"])
def test_d9_not_one_run(command: str, fleet: lcnb.sandbox.SandboxProcess, call: Call, tmp_path: Path) -> None:
    """A beginning of several runs is refused with their ids, and no run with what there is; nothing is sent."""
    ids = [f"20261129T22000{number}Z-off-00000{number}" for number in range(2)]
    for name in ids:
        (tmp_path / "runs" / name).mkdir(parents=True)
        told = {"id": name, "status": "done", "closed": True}
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps(told), encoding="utf-8")
    several = call(command, ids[0][:3])
    assert several.code == 2
    assert all(each in several.err for each in ids)
    none = call(command, "no-such-name")
    assert none.code == 2
    assert "no-such-name" in none.err
    assert writes(fleet) == []
