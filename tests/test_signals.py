"""Interrupts at the edges of a run: before its first record, after its last cell, inside a finalizer."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import record, saved, write_notebook
from lcnb.runbooks import execution
from lcnb.runbooks.run import run_runbook
from lcnb.signals import hold_signals


@pytest.mark.parametrize("step", ["find_commit", "write_atomically"])
def test_before(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before its record is written, a run leaves no folder."""

    def stop(*args: object, **options: object) -> Any:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(execution, step, stop)
    path = write_notebook(tmp_path / "night.ipynb", "1")
    with pytest.raises(KeyboardInterrupt):
        run_runbook(str(path), folder=tmp_path / "runs")
    assert [each for each in (tmp_path / "runs").iterdir() if each.is_dir()] == []


def test_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt that comes when the cells have ended is too late: result, record and notebook say done."""
    came = []

    def stop(*args: object) -> None:
        came.append(signal.raise_signal(signal.SIGINT))

    monkeypatch.setattr(execution, "notify", stop)
    path = write_notebook(tmp_path / "night.ipynb", "1")
    run = run_runbook(str(path), folder=tmp_path / "runs").check()
    facts = record(run.folder)
    assert came
    assert (facts["status"], facts["exit_code"], facts["closed"]) == ("done", 0, True)
    assert saved(run.folder).metadata.lcnb.status == "done"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_held() -> None:
    """Held signals are listed, not lost, and signals work as before afterwards."""
    with hold_signals() as came:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGINT, signal.SIGTERM]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


SWALLOWED = """
import signal, sys, threading, time
from lcnb.signals import resend_lost_signal
def start_slowly(timer, start=threading.Timer.start):
    start(timer)
    time.sleep({delay})  # the signal is due while the main thread is still in the hook
threading.Timer.start = start_slowly
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
sys.unraisablehook = resend_lost_signal
class Last:
    def __del__(self):
        signal.raise_signal({number})
last = Last()
try:
    del last
    time.sleep(600)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("delay", [0, 0.3])
@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_swallowed(number: int, code: int, delay: float) -> None:
    """An interrupt that Python drops in a finalizer still ends the process, and nothing is printed; on a slow machine too."""
    program = SWALLOWED.replace("{number}", str(number)).replace("{delay}", str(delay))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (code, "")
