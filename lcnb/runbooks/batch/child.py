"""One run in a process of its own, and the process that it runs in.

`run_row` has it forked (`forkserver`), or starts `python -m lcnb.runbooks.batch.child` where that cannot be, waits for
it and gives how it ended as a plain dict. So it can be called in a thread, in a pool of processes or on a machine
of a cluster: papermill's working directory and signals are a process's, and a run that takes its process along
takes nothing else.

The child reads one line of JSON from its stdin and writes one to its stdout. The stdin stays open while the
parent lives: when it ends, so does the run, as by SIGTERM. No secret travels by either: the child finds the
token by the account's name or in its environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from lcnb import python_process
from lcnb.config import TOKEN_VARIABLES
from lcnb.errors import ConfigError, InputError, RunError
from lcnb.folders import runs_dir
from lcnb.runbooks.engine import forkserver
from lcnb.runbooks.engine.warm import WarmProcess
from lcnb.secret import Secret, mask
from lcnb.streams import open_streams

if TYPE_CHECKING:
    from lcnb.config import Settings

#: Called as cells begin: how many are done, how many there are, title.
Progress = Callable[[int, int, str], object]
#: How long a run that was told to stop may take to end its kernel and write its record.
GRACE_S = 20.0
#: How long a row that changes an account waits for the one before it: they must not work on it at the same time.
LOCK_WAIT_S = 86_400.0
POLL_S = 0.1
NOT_STARTED = "not started"
#: What is told of each row.
RESULT = ("row", "status", "exit_code", "seconds", "folder", "error")


class Stop(Protocol):
    """Whether the batch is being stopped, and whether a row may (still) begin."""

    def asked(self) -> bool:
        """Whether running rows are to be ended."""

    def ask(self) -> None:
        """End the running rows."""

    def begin(self, row: int) -> bool:
        """Whether this row may start: False when it was started before, elsewhere."""


class Local:
    """A stop within this process: `now` kills what `stop` had asked to end."""

    def __init__(self) -> None:
        self.stop, self.now = threading.Event(), threading.Event()

    def asked(self) -> bool:
        return self.stop.is_set()

    def ask(self) -> None:
        self.stop.set()

    def begin(self, row: int) -> bool:
        return not self.stop.is_set()


@dataclass(frozen=True)
class FolderStop:
    """A batch's flags as files of a folder that its workers see: that it is to stop, and which rows have begun.

    An executor may run a task again whose worker was lost; the runbook may have changed something by then.
    """

    folder: Path

    def asked(self) -> bool:
        return (self.folder / "stop").exists()

    def ask(self) -> None:
        (self.folder / "stop").touch(mode=0o600)

    def begin(self, row: int) -> bool:
        """Whether the row had not begun anywhere; from now on it has. RunError where that cannot be known."""
        if self.asked():
            return False
        try:
            os.close(os.open(self.folder / f"{row:04}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            raise RunError(
                f"whether this row was begun before cannot be known on this worker: {self.folder}: {error.strerror}. "
                "It was not started. The workers of an executor need the batch's folder on a disk that they share "
                "(folder=, LCNB_RUNS_DIR); those of a Dask cluster need none."
            ) from None
        return True


def environment(settings: Settings) -> dict[str, str | None]:
    """What a process gets beside this one's environment to use `settings`: the token, never by a record."""
    beside: dict[str, str | None] = dict.fromkeys([*TOKEN_VARIABLES, "LCNB_ACCOUNT"])
    return beside | {
        TOKEN_VARIABLES[0]: settings.token.reveal(),
        "LCNB_BASE_URL": settings.base_url,
        "LCNB_TIMEOUT": f"{settings.timeout:g}",
        "LCNB_STATE_DIR": str(settings.state_dir),
    }


def child_environment(env: Mapping[str, str | None] | None) -> dict[str, str]:
    """This process's environment with `env` over it; None takes a variable away."""
    return {name: text for name, text in {**os.environ, **(env or {})}.items() if text is not None}


def run_row(
    task: Mapping[str, Any],
    env: Mapping[str, str | None] | None = None,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run one row of a batch: {row, runbook, sha256, parameters, account, runs_dir} → how it ended.

    Or one run by itself: `plan` (the folder of a dry run) makes what that planned, `lock_wait` says how long to
    wait for another process, and `progress` is called as cells begin.

    Gives {row, status, exit_code, seconds, folder, error}. `env` is laid over this process's environment (None
    takes a variable away). A child that dies is told as `died`, with the last words on its stderr; nothing is
    raised for it.
    """
    result: dict[str, Any] = dict.fromkeys(RESULT) | {"row": task["row"], "status": NOT_STARTED}
    try:
        may_begin = stop is None or stop.begin(task["row"])
    except RunError as unknown:
        return result | {"status": "refused", "exit_code": 2, "error": str(unknown)}
    if not may_begin:
        if stop is not None and not stop.asked():
            result |= {"status": "lost", "exit_code": 1, "error": LOST}
        return result
    began = time.monotonic()
    environment = child_environment(env)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _start(task, environment, out, err)
        with process:
            stdin = cast("IO[bytes]", process.stdin)
            try:
                stdin.write(json.dumps(dict(task)).encode() + b"\n")
                stdin.flush()
            except BrokenPipeError:
                pass  # it is gone already; its exit code and stderr tell more
            _wait(process, stop, _teller(out, progress))
            told = _last_line(out)
        result["seconds"] = round(time.monotonic() - began, 2)
        result |= told or _died(process, task, _tail(err, environment))
    return result


def _start(
    task: Mapping[str, Any], env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> subprocess.Popen[bytes] | WarmProcess:
    """A process for the run: a fork of one that has all imported, or, where that cannot be had, a new one."""
    if task.get("engine") != "kernel" and (
        warm := forkserver.spawn("child", [], env=env, stdout=out, stderr=err)
    ):
        return warm
    return subprocess.Popen(
        python_process.command("lcnb.runbooks.batch.child"),
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
        env=env,
        start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, once
    )


LOST = (
    "the worker that ran it was lost, and whether the run ended is not known: it was not started again. Look at "
    "that worker's runs; `lcnb batch --resume` starts it again"
)


def _teller(out: IO[bytes], progress: Progress | None) -> Callable[[], None]:
    """Tells the lines of progress that have come since. Read at a place: to seek would move the child's end too."""
    place, rest = 0, b""

    def tell() -> None:
        nonlocal place, rest
        if progress is None or not hasattr(os, "pread"):
            return
        new = os.pread(out.fileno(), 65536, place)
        place += len(new)
        *lines, rest = (rest + new).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "cell" in told:
                progress(*told["cell"])

    return tell


def _wait(
    process: subprocess.Popen[bytes] | WarmProcess, stop: Stop | None, tell: Callable[[], None]
) -> None:
    """Until the child has ended; asked to stop, it gets SIGTERM and GRACE_S, and then is killed."""
    killed_at: float | None = None
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
        tell()
        if stop is None or not stop.asked():
            continue
        if killed_at is None:
            process.terminate()
            killed_at = time.monotonic() + GRACE_S
        elif time.monotonic() > killed_at or (isinstance(stop, Local) and stop.now.is_set()):
            process.kill()


def _last_line(out: IO[bytes]) -> dict[str, Any] | None:
    out.seek(0)
    lines = out.read().decode("utf-8", "replace").splitlines()
    try:
        told = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return told if isinstance(told, dict) and "status" in told else None


def _tail(err: IO[bytes], env: Mapping[str, str]) -> str:
    err.seek(max(0, err.seek(0, os.SEEK_END) - 4000))
    secrets = [Secret(env[name]) for name in TOKEN_VARIABLES if env.get(name)]
    return mask(err.read().decode("utf-8", "replace").strip(), *secrets)


def _died(
    process: subprocess.Popen[bytes] | WarmProcess, task: Mapping[str, Any], words: str
) -> dict[str, Any]:
    """A child that could not say how it ended."""
    code = process.returncode or 0
    try:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    except ValueError:
        how = f"by signal {-code}"
    last = f": {words.splitlines()[-1]}" if words else ""
    folder = _folder_of(process.pid, task)
    return {
        "status": "interrupted" if code == -signal.SIGTERM else "died",  # told to end before it listened
        "exit_code": 128 - code if code < 0 else code or 1,
        "folder": folder,
        "error": f"the process of the run ended {how}{last}",
    }


def _folder_of(pid: int, task: Mapping[str, Any]) -> str | None:
    """The run's folder as its record tells it, for a run that could not tell it itself."""
    for record in sorted(Path(task.get("runs_dir") or runs_dir()).glob("*/run.json"), reverse=True):
        try:
            if json.loads(record.read_text(encoding="utf-8")).get("pid") == pid:
                return str(record.parent)
        except (OSError, ValueError, AttributeError):
            continue
    return None


# --- in the child ---------------------------------------------------------------------------------------


def main() -> None:
    """Read the task, run it, tell how it ended; what anybody prints goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    open_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end, by SIGTERM
    signal.signal(signal.SIGTERM, _end)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told = _run(task, lambda *cell: print(json.dumps({"cell": cell}), file=answer, flush=True))
    print(json.dumps(told), file=answer, flush=True)
    os._exit(told["exit_code"] & 0xFF)  # nothing that a library left behind may keep the process


def _end(number: int, frame: object) -> None:
    raise SystemExit(143)


def _end_with_parent() -> None:
    """The parent holds the other end of our stdin: when it is gone, the run ends as by SIGTERM."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _run(task: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    from lcnb.runbooks.records import resume
    from lcnb.runbooks.run import run_runbook

    how: dict[str, Any] = {
        "folder": task["runs_dir"],
        "lock_wait": task.get("lock_wait", LOCK_WAIT_S),
        "engine": task.get("engine") or "auto",
        "progress": progress,
    }
    how |= {name: task[name] for name in ("kernel", "cwd") if task.get(name)}
    try:
        if task.get("plan"):
            result = resume.apply_run(resume.Recorded.read(Path(task["plan"])), **how)
        else:
            _same_notebook(task)
            result = run_runbook(
                task["runbook"],
                task["parameters"],
                account=task["account"],
                confirm=task["confirm"],
                resumes=resume.settled(task["previous"], task["confirm"]) if task["previous"] else (),
                **how,
            )
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        folder = getattr(error, "folder", None)
        return {
            **_ended(error),
            "folder": str(folder) if folder else _folder_of(os.getpid(), task),
        }
    return {
        "status": result.status,
        "exit_code": result.exit_code,
        "folder": str(result.folder),
        "error": result.error,
    }


def _same_notebook(task: Mapping[str, Any]) -> None:
    """All rows of a batch run the same notebook, also on another machine and when it is edited meanwhile."""
    from lcnb.runbooks.notebook.find import find

    path = find(task["runbook"]).path
    if hashlib.sha256(path.read_bytes()).hexdigest() != task["sha256"]:
        raise InputError(
            f"{path} is not the notebook that this batch was started with. Nothing was started for this row; "
            "`lcnb batch --resume` takes it as it is now."
        )


def _ended(error: BaseException) -> dict[str, Any]:
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return {"status": "interrupted", "exit_code": 143, "error": "interrupted: the batch was ended"}
    text = (
        str(error)
        if isinstance(error, RunError | InputError | ConfigError)
        else f"{type(error).__name__}: {error}"
    )
    refused = isinstance(error, InputError | ConfigError)
    code = getattr(error, "exit_code", None) or (2 if refused else 1)
    return {"status": "refused" if refused else "failed", "exit_code": code, "error": text}


if __name__ == "__main__":
    main()
