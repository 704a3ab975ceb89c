"""Start one row of a batch in a process of its own, wait for it, and return how it ended as a plain dict.

`run_row` forks a warm process (`forkserver`) or starts `python -m lcnb.runbooks.batch.child`. It can be called in a thread, in a
process pool or on another machine. No secret is in the task: the child finds the token by the account's name or in its environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, cast

from lcnb import python_process
from lcnb.errors import RunError
from lcnb.runbooks import ends
from lcnb.runbooks.batch.child import find_run_folder
from lcnb.runbooks.batch.stops import BatchStop, LocalStop
from lcnb.runbooks.engine import warm_server
from lcnb.runbooks.engine.warm import WarmProcess
from lcnb.secret import Secret, mask_secrets
from lcnb.tokens import TOKEN_VARIABLES

if TYPE_CHECKING:
    from lcnb.config import Settings
    from lcnb.runbooks.execution import ProgressCallback

#: How long a run that was told to stop may take to end its kernel and write its record.
STOP_GRACE_S = 20.0
POLL_S = 0.1
NOT_STARTED = ends.NOT_STARTED.status
#: What is told of each row.
RESULT_FIELDS = ("row", "status", "exit_code", "seconds", "folder", "error")


def account_environment(settings: Settings) -> dict[str, str | None]:
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
    stop: BatchStop | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Run one row of a batch: {row, runbook, sha256, parameters, account, runs_dir} → how it ended.

    Or one run by itself: `plan` (the folder of a dry run) makes what that planned, `lock_wait` says how long to
    wait for another process, and `progress` is called as cells begin.

    Gives {row, status, exit_code, seconds, folder, error}. `env` is laid over this process's environment (None
    takes a variable away). A child that dies is told as `died`, with the last words on its stderr; nothing is
    raised for it.
    """
    result: dict[str, Any] = dict.fromkeys(RESULT_FIELDS) | {"row": task["row"], "status": NOT_STARTED}
    try:
        may_begin = stop is None or stop.begin(task["row"])
    except RunError as unknown:
        return result | {
            "status": ends.MISUSED.status,
            "exit_code": ends.MISUSED.exit_code,
            "error": str(unknown),
        }
    if not may_begin:
        if stop is not None and not stop.asked():
            result |= {"status": ends.LOST.status, "exit_code": ends.LOST.exit_code, "error": LOST_MESSAGE}
        return result
    began = time.monotonic()
    environment = child_environment(env)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = _start_process(task, environment, out, err)
        with process:
            stdin = cast("IO[bytes]", process.stdin)
            try:
                stdin.write(json.dumps(dict(task)).encode() + b"\n")
                stdin.flush()
            except BrokenPipeError:
                pass  # it is gone already; its exit code and stderr tell more
            wait_for_exit(process, stop, _make_progress_reader(out, progress))
            told = _read_result(out)
        result["seconds"] = round(time.monotonic() - began, 2)
        result |= told or _died_result(process, task, _stderr_tail(err, environment))
    return result


def _start_process(
    task: Mapping[str, Any], env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> subprocess.Popen[bytes] | WarmProcess:
    """A process for the run: a fork of one that has all imported, or, where that cannot be had, a new one."""
    if task.get("engine") != "kernel" and (
        warm := warm_server.spawn_process("child", [], env=env, stdout=out, stderr=err)
    ):
        return warm
    return subprocess.Popen(
        python_process.module_command("lcnb.runbooks.batch.child"),
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=err,
        env=env,
        start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, once
    )


LOST_MESSAGE = (
    "the worker that ran it was lost, and whether the run ended is not known: it was not started again. Look at "
    "that worker's runs; `lcnb batch --resume` starts it again"
)


def _make_progress_reader(out: IO[bytes], progress: ProgressCallback | None) -> Callable[[], None]:
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


def wait_for_exit(
    process: subprocess.Popen[bytes] | WarmProcess, stop: BatchStop | None, tell: Callable[[], None]
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
            killed_at = time.monotonic() + STOP_GRACE_S
        elif time.monotonic() > killed_at or (isinstance(stop, LocalStop) and stop.now.is_set()):
            process.kill()


def _read_result(out: IO[bytes]) -> dict[str, Any] | None:
    out.seek(0)
    lines = out.read().decode("utf-8", "replace").splitlines()
    try:
        told = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return told if isinstance(told, dict) and "status" in told else None


def _stderr_tail(err: IO[bytes], env: Mapping[str, str]) -> str:
    err.seek(max(0, err.seek(0, os.SEEK_END) - 4000))
    secrets = [Secret(env[name]) for name in TOKEN_VARIABLES if env.get(name)]
    return mask_secrets(err.read().decode("utf-8", "replace").strip(), *secrets)


def _died_result(
    process: subprocess.Popen[bytes] | WarmProcess, task: Mapping[str, Any], words: str
) -> dict[str, Any]:
    """A child that could not say how it ended."""
    code = process.returncode or 0
    try:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    except ValueError:
        how = f"by signal {-code}"
    last = f": {words.splitlines()[-1]}" if words else ""
    folder = find_run_folder(process.pid, task)
    return {
        "status": (
            ends.TERMINATED if code == -signal.SIGTERM else ends.DIED
        ).status,  # told to end before it listened
        "exit_code": 128 - code if code < 0 else code or 1,
        "folder": folder,
        "error": f"the process of the run ended {how}{last}",
    }
