"""Retries: which ends are attempted again, how long the pauses are, and what the one record of the run says."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

import lcnb
from conftest import LCNB, Call, HandClock, record, wait_until, write_notebook
from lcnb.errors import InputError, ParameterError, ServerError
from lcnb.runbooks import ends
from lcnb.runbooks.records import index
from lcnb.runbooks.retries import RetryLog, RetryPolicy, check_policy, is_passing
from lcnb.runbooks.run import run_runbook

PARAMETERS = ("account: str | None = None\ndry_run: bool = True", "parameters")
#: The number of attempts that have ended before.
NUMBER = """
import lcnb, os, signal
before = len(list((lcnb.run().folder / "attempts").glob("*")))
"""
#: Reads the account; the first two attempts do not wait long for a provider that fails.
READ = f"""{NUMBER}
lc = lcnb.connect(account, timeout=3 if before < 2 else 60)
lcnb.run().log(f"attempt {{before + 1}}")
lcnb.run().attention("machines are read") if before < 2 else None
machines = lc.instances()
lcnb.run().save("machines", machines)
"""
DOWN = {"rules": [{"kind": "error-before", "status": 503, "method": "GET", "path": "^/instances$"}]}


def set_faults(sandbox: lcnb.sandbox.SandboxProcess, faults: dict[str, Any]) -> None:
    with httpx.Client(trust_env=False, headers={"api-token": sandbox.token}) as control:
        control.post(sandbox.base_url.replace("/api", "/_sandbox/faults"), json=faults).raise_for_status()


def sent_writes(sandbox: lcnb.sandbox.SandboxProcess) -> list[str]:
    with httpx.Client(trust_env=False, headers={"api-token": sandbox.token}) as client:
        log = client.get(sandbox.base_url.replace("/api", "/_sandbox/log")).json()
    return [each["path"] for each in log if each["method"] != "GET"]


# --- the rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "error", "passing"),
    [
        (ends.CELL_FAILED, "ServerError", True),
        (ends.CELL_FAILED, "ConnectionFailed", True),
        (ends.CELL_FAILED, "ConnectionLost", True),
        (ends.CELL_FAILED, "DeadlineExceeded", True),
        (ends.CELL_FAILED, "BadReply", True),
        (ends.CELL_FAILED, "RateLimited", True),
        (ends.CELL_FAILED, "ConnectionResetError", True),
        (ends.DIED, "", True),
        (ends.CELL_FAILED, "AuthenticationError", False),
        (ends.CELL_FAILED, "Refused", False),
        (ends.CELL_FAILED, "ValidationError", False),
        (ends.CELL_FAILED, "ParameterError", False),
        (ends.CELL_FAILED, "ZeroDivisionError", False),
        (ends.CELL_FAILED, "Drifted", False),
        (ends.CELL_FAILED, "JournalError", False),
        (ends.NOT_CONFIRMED, "ConfirmationMissing", False),
        (ends.LOCKED, "Locked", False),
        (ends.MISUSED, "", False),
        (ends.TIMED_OUT, "DeadlineExceeded", False),
        (ends.PARTLY, "ServerError", False),
        (ends.RUN_FAILED, "", False),
        (ends.TERMINATED, "", False),
        (ends.DONE, "", False),
        (ends.ATTENTION, "", False),
    ],
)
def test_passing_ends(end: ends.End, error: str, *, passing: bool) -> None:
    """Only the network, the provider and a dead kernel pass; input, refusals, limits and attention do not."""
    assert is_passing(end.because("why"), error) is passing


def test_own_exit_code_is_no_retry() -> None:
    """A cell that calls sys.exit(n) has decided how the run ends."""
    assert not is_passing(ends.CELL_FAILED.because("SystemExit: 9", 9), "SystemExit")


@pytest.mark.parametrize(
    ("wait", "pauses"),
    [(30, [30, 60, 120, 240, 480, 900, 900]), (600, [600, 900, 900]), (2000, [2000, 2000]), (0.5, [0.5, 1])],
)
def test_pauses(wait: float, pauses: list[float]) -> None:
    """A pause is twice as long as the one before, up to 15 minutes; a first pause that is longer stays as it is."""
    policy = RetryPolicy(20, wait)
    assert [policy.pause_s(number) for number in range(1, len(pauses) + 1)] == pauses


@pytest.mark.parametrize(("retries", "wait"), [(-1, None), (21, None), (True, None), (1.5, None), (1, 0), (1, -3), (1, float("inf"))])  # fmt: skip
def test_bad_policies(retries: Any, wait: float | None) -> None:
    """A number of retries or a pause that makes no sense is refused before anything is started."""
    with pytest.raises(InputError, match="Nothing was started"):
        check_policy(retries, wait)


def failed_log(policy: RetryPolicy, timeout: float | None = None) -> tuple[RetryLog, HandClock]:
    clock = HandClock()

    def sleep(seconds: float) -> None:
        clock.now += seconds

    return RetryLog(policy, timeout, clock, sleep), clock


FAILED = ends.CELL_FAILED.because("cell 2: ServerError: 503")


def test_limit_of_the_whole_run() -> None:
    """A pause that would end after the time limit of the run is not begun, and the reason says so."""
    log, clock = failed_log(RetryPolicy(5, 30), timeout=100)
    clock.now += 20
    assert log.may_retry(FAILED, "ServerError", None)
    log.add(datetime.now(UTC), FAILED)
    log.wait(lambda *texts: None)
    assert (log.seconds_left(), log.spent_s()) == (50, 50)
    assert not log.may_retry(FAILED, "ServerError", None)
    assert "after the time limit" in log.refusal


def test_wait_reports_and_can_be_interrupted() -> None:
    """The wait reports each second which attempt failed, why, and when the next one begins; Ctrl-C ends it."""
    log, _ = failed_log(RetryPolicy(2, 3))
    log.add(datetime.now(UTC), FAILED)
    seen: list[tuple[int, int, str]] = []
    log.wait(lambda *shown: seen.append(shown))
    assert seen[0] == (1, 3, "attempt 1 of 3 failed (cell 2: ServerError: 503); next in 3 s")
    assert len(seen) == 3

    def interrupt(*shown: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.wait(interrupt)


@pytest.mark.parametrize("status", ["failed", "partly", "died"])
def test_begun_changes_are_never_retried(status: str) -> None:
    """Whatever ended a run that had begun changes, it is not attempted again, and the reason names the next step."""
    log, _ = failed_log(RetryPolicy(2, 3))
    end = ends.RunEnd(status, 3, "why")  # type: ignore[arg-type]
    assert not log.may_retry(end, "ServerError", "1 change made. Continue: lcnb resume RUN")
    assert log.refusal == "Not retried: 1 change made. Continue: lcnb resume RUN"


# --- runs -----------------------------------------------------------------------------------------------


def test_third_attempt(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """The provider fails twice and the third attempt is done: one run, one record, all three attempts in it."""
    path = write_notebook(tmp_path / "read.ipynb", PARAMETERS, READ)
    set_faults(fleet, DOWN)
    texts: list[str] = []

    def progress(number: int, total: int, text: str) -> None:
        texts.append(text)
        if text.startswith("attempt 2 of 4"):
            set_faults(fleet, {})

    run = run_runbook(str(path), retries=3, retry_wait=0.1, progress=progress)
    (folder,) = (each.parent for each in (tmp_path / "runs").glob("*/run.json"))
    facts = record(folder)
    assert (run.status, facts["status"], facts["exit_code"], run.folder) == ("done", "done", 0, folder)
    assert [(each["number"], each["status"], each["folder"]) for each in facts["attempts"]] == [
        (1, "failed", "attempts/1"),
        (2, "failed", "attempts/2"),
        (3, "done", ""),
    ]
    assert all("ServerError" in each["reason"] for each in facts["attempts"][:2])
    times = [each[name] for each in facts["attempts"] for name in ("began", "ended")]
    assert times == sorted(times)
    assert facts["attention"] == [], "what earlier attempts noted does not count for the last one"
    for number in (1, 2):
        kept = nbformat.read(folder / "attempts" / str(number) / "read.ipynb", as_version=4)
        assert kept.metadata.lcnb.status == "failed"
        assert f"attempts/{number}/read.ipynb" in facts["files"]
    assert "attempt 3" in (folder / "run.log").read_text(encoding="utf-8")
    assert (folder / "machines.csv").is_file()
    assert not index.verify_runs(folder.parent).problems
    assert len(index.last_lines(folder.parent)) == 1
    assert any(text.startswith("attempt 1 of 4 failed") for text in texts)
    assert "<dt>Attempts</dt><dd>3</dd>" in run.report.read_text(encoding="utf-8")


CHANGES = """
import lcnb
lc = lcnb.connect(account, timeout=5)
lcnb.run().apply(lc.power_off(label="web-01"), dry_run=dry_run, wait=False)
lc.instances()
"""


def test_changed_run_is_not_retried(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """The provider fails after a change was made: the run ends, nothing is sent again, and `resume` is the next step."""
    path = write_notebook(
        tmp_path / "off.ipynb", PARAMETERS, CHANGES.replace("lc.instances()", "lc.profile()")
    )
    set_faults(
        fleet, {"rules": [{"kind": "error-before", "status": 503, "method": "GET", "path": "^/profile$"}]}
    )
    run = run_runbook(str(path), {"dry_run": False}, confirm=True, retries=3, retry_wait=0.1)
    facts = record(run.folder)
    assert (run.status, run.exit_code, len(sent_writes(fleet))) == ("failed", 3, 1)
    wanted = f"Not retried: changes are resumed, never retried. 1 change made (power off web-01), 0 open. Continue: lcnb resume {run.folder.name}"  # fmt: skip
    assert wanted in (run.error or "")
    assert wanted in facts["reason"]
    assert wanted in run.report.read_text(encoding="utf-8")
    assert [each["status"] for each in facts["attempts"]] == ["failed"]


def test_unknown_outcome_is_not_retried(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """A write whose answer was lost may have been made: the run is not attempted again."""
    reboot = CHANGES.replace("power_off", "reboot")
    path = write_notebook(tmp_path / "reboot.ipynb", PARAMETERS, reboot)
    set_faults(fleet, {"rules": [{"kind": "error-after", "status": 503, "method": "POST|PUT"}]})
    run = run_runbook(str(path), {"dry_run": False}, confirm=True, retries=3, retry_wait=0.1)
    facts = record(run.folder)
    assert [each["outcome"] for each in facts["changes"]] == ["unknown"]
    assert len(sent_writes(fleet)) == 1
    assert "Not retried: changes are resumed" in facts["reason"]
    assert "1 open. Continue: lcnb resume" in (run.error or facts["reason"])


def test_died_before_the_first_change(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path, call: Call) -> None:
    """A kernel that is killed before anything was sent is started again; the command prints the earlier attempts."""
    die = "if before < 1: os.kill(os.getpid(), signal.SIGKILL)"
    path = write_notebook(tmp_path / "off.ipynb", PARAMETERS, NUMBER, die, CHANGES)
    done = call("run", str(path), "-p", "dry_run=false", "--yes", "--retries", "1", "--retry-wait", "0.1")
    assert done.code == 0, done.err
    assert "attempt 1: died" in done.out
    assert len(sent_writes(fleet)) == 1
    shown = call("show", "last").out
    assert "attempts/1" in shown


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("1/0", 3),
        ("import sys; sys.exit(9)", 9),
        ("import lcnb; lcnb.run().attention('look')", 8),
        ("import lcnb; raise lcnb.InputError('wrong')", 3),
    ],
)
def test_own_failures_are_not_retried(cell: str, code: int, tmp_path: Path) -> None:
    """The notebook's own failures, exits and requests for attention are not attempted again."""
    run = run_runbook(str(write_notebook(tmp_path / "own.ipynb", cell)), retries=3, retry_wait=0.1)
    facts = record(run.folder)
    assert (run.exit_code, facts["attempts"]) == (code, [])
    assert "retried" not in facts["reason"]


def test_bad_parameters_are_not_retried(tmp_path: Path) -> None:
    """A wrong parameter is refused at once, with retries as without."""
    path = write_notebook(tmp_path / "read.ipynb", ("days: int = 1", "parameters"))
    with pytest.raises(ParameterError):
        run_runbook(str(path), {"days": "many"}, retries=3, progress=lambda *shown: pytest.fail("it waits"))


def test_check_of_parameters_is_retried(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """The check of a parameter against the account is repeated too; the attempt is in the record of the run."""
    path = write_notebook(
        tmp_path / "where.ipynb", ('location: str = ""  # lcnb: location', "parameters"), "print(location)"
    )
    fails = itertools.count()

    def check() -> str:
        if next(fails) < 2:
            raise ServerError("503")
        return "checked"

    log, _ = failed_log(RetryPolicy(2, 1))
    assert log.repeat(check, lambda *shown: None) == "checked"
    assert [each.reason for each in log.attempts] == ["before the run: ServerError: 503"] * 2
    assert run_runbook(str(path), {"location": "MIA1"}, retries=1).status == "done"


def test_check_that_keeps_failing() -> None:
    """When the check fails in each attempt, the last error is raised, and nothing was started."""

    def check() -> str:
        raise ServerError("503")

    log, _ = failed_log(RetryPolicy(2, 1))
    with pytest.raises(ServerError) as caught:
        log.repeat(check, lambda *shown: None)
    assert caught.value.__notes__ == ["attempts: 3. Nothing was started."]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_waits(number: signal.Signals, tmp_path: Path) -> None:
    """A signal ends the wait between two attempts: the run is interrupted, and its record has the failed attempt."""
    path = write_notebook(tmp_path / "dies.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    command = [LCNB, "run", str(path), "--retries", "1", "--retry-wait", "3600"]

    def waiting() -> bool:
        found = [json.loads(each.read_text()) for each in (tmp_path / "runs").glob("*/run.json")]
        return bool(found and found[0]["attempts"] and found[0]["status"] == "running")

    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        wait_until(waiting)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=600)
    facts = record(next((tmp_path / "runs").glob("*/run.json")).parent)
    assert process.returncode == 128 + number, err
    assert (facts["status"], facts["closed"]) == ("interrupted", True)
    assert [each["status"] for each in facts["attempts"]] == ["died", "interrupted"]


def test_rows_of_a_batch(tmp_path: Path) -> None:
    """Each row of a batch is attempted again by itself, in its own record."""
    die = "if number == 2 and before < 1: os.kill(os.getpid(), signal.SIGKILL)"
    path = write_notebook(tmp_path / "rows.ipynb", ("number: int = 1", "parameters"), NUMBER, die)
    frame = lcnb.batch(str(path), [{"number": 1}, {"number": 2}], retries=1, retry_wait=0.1, engine="kernel")
    assert frame.status.tolist() == ["done", "done"]
    attempts = [record(Path(folder))["attempts"] for folder in frame.folder]
    assert [len(each) for each in attempts] == [0, 2]
