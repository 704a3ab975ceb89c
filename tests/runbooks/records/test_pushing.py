"""`lcnb runs push`: what it shows while it waits, where it stops, and how it is interrupted."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from silent_store import ended, interrupt_main_thread, silent_store

from conftest import lcnb_here, wait_until
from lcnb.display import progress
from lcnb.display.progress import upload_progress
from lcnb.errors import StoreError, StoreUnavailable
from lcnb.folders import runs_dir
from lcnb.object_store import StoreLimits
from lcnb.runbooks.records import mirror as mirrors
from lcnb.runbooks.records.mirror import Mirror, mirror_of
from lcnb.runbooks.records.pushing import push_runs
from recorded_runs import ME, make_run

#: A request lasts longer than the test may take: only an interrupt ends it.
LONG = StoreLimits(connect_s=900, read_s=900, request_s=900, total_s=900)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store, in which this machine keeps its runs."""
    monkeypatch.setenv("LCNB_RUNS_DIR", f"file://{tmp_path}/bucket")
    monkeypatch.setenv("LCNB_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "bucket"


def pending_runs(count: int) -> list[str]:
    return [make_run(runs_dir(), each, process=ME).name for each in range(1, count + 1)]


def found_mirror() -> Mirror:
    found = mirror_of(runs_dir())
    assert found
    return found


@pytest.mark.parametrize(
    ("error", "tried"),
    [
        (StoreUnavailable("the store did not write a", refused=False), 1),
        (StoreUnavailable("the store did not write a", refused=True), 3),
        (StoreError("changed after its run ended"), 3),
        (OSError("no such file"), 3),
    ],
)
def test_stops(error: Exception, tried: int, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is tried with one run; other problems may be those of a single run."""
    runs = pending_runs(3)

    def fail(self: Mirror, run: str) -> None:
        raise error

    monkeypatch.setattr(Mirror, "push_run", fail)
    ends: list[str] = []
    tally = push_runs(found_mirror(), runs, lambda run, error: ends.append(run), lambda *step: None)
    assert (tally.uploaded, tally.failed, tally.not_tried) == ([], runs[:tried], runs[tried:])
    assert ends == tally.failed
    pushed = lcnb_here("runs", "push")
    assert (pushed.returncode, pushed.stdout) == (1, "")
    assert pushed.stderr.count("not uploaded: ") == tried
    sentence = "not tried: 2 runs, because the store did not answer. Upload them later: lcnb runs push"
    assert (sentence in pushed.stderr) == (tried == 1)


def test_progress(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress names the run, and the reason for which it waits between two attempts."""
    runs = pending_runs(2)
    monkeypatch.setattr(mirrors, "READ_LIMITS", StoreLimits(first_wait_s=0.001, longest_wait_s=0.001))
    mirror = found_mirror()
    backend: Any = mirror.store.store._backend
    write, failures = backend.write, [TimeoutError("the disk does not answer")]

    def write_later(key: str, data: bytes, expected: Any) -> str:
        if failures and key.startswith("files/"):
            from lcnb.folder_store import _attempt_error

            raise _attempt_error(failures.pop())
        result: str = write(key, data, expected)
        return result

    monkeypatch.setattr(backend, "write", write_later)
    steps: list[tuple[int, int, str]] = []
    tally = push_runs(mirror, runs, lambda run, error: None, lambda *step: steps.append(step))
    url = f"file://{bucket}"
    assert tally.uploaded == runs
    assert [(done, total, re.sub(r"/+", "/", text)) for done, total, text in steps] == [
        (done, 2, re.sub(r"/+", "/", text))
        for done, text in [
            (0, f"{runs[0]}: uploading to {url}"),
            (0, f"{runs[0]}: waits for {url}: the disk does not answer"),
            (1, f"{runs[1]}: uploading to {url}"),
        ]
    ]


@pytest.mark.parametrize(("slow_s", "printed"), [(0.0, "RUN: waits for the store (1 of 2)\n"), (3600.0, "")])
def test_slow_step(
    slow_s: float, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal, a run that takes long is one line, and one that does not is none."""
    monkeypatch.setattr(progress, "SLOW_STEP_S", slow_s)
    found = [""]

    def is_printed() -> bool:
        found.append(capsys.readouterr().err)
        return "".join(found) == printed

    with upload_progress() as report:
        report(0, 2, "RUN: waits for the store")
        report(0, 2, "RUN: waits for the store")
        wait_until(is_printed)
    assert is_printed()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_push(number: int, code: int, bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and SIGTERM end `lcnb runs push`, which says what was uploaded and how to go on."""
    pytest.importorskip("obstore")
    monkeypatch.setenv("LCNB_RUNS_DIR", "s3://bucket/x")
    monkeypatch.setattr(mirrors, "PUSH_LIMITS", LONG)
    runs = pending_runs(2)
    with silent_store(lambda: interrupt_main_thread(number)) as silent:
        pushed = lcnb_here("runs", "push")
        assert ended(silent)
    assert (pushed.returncode, pushed.stdout) == (code, "")
    assert "uploaded: 0 of 2 runs. The others are whole on this machine" in pushed.stderr
    assert pushed.stderr.endswith("To go on: lcnb runs push\n")
    assert found_mirror().pending_runs() == runs
