"""Start one row of a batch in a separate process, wait for it, and return its result as a plain dict.

`run_row` forks a warm process (`forkserver`) or starts `python -m lcnb.runbooks.batch.child`. It can be called in a
thread, in a process pool or on another computer. The task holds no secret: the child finds the token by the name of the
account or in its environment.
"""

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
from lcnb.config import account_variables
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

#: Seconds that a run has, after SIGTERM, to end its kernel and write its record.
STOP_GRACE_S = 20.0
POLL_S = 0.1
NOT_STARTED = ends.NOT_STARTED.status
#: The keys of a row's result.
RESULT_FIELDS = ("row", "status", "exit_code", "seconds", "folder", "error")


def account_environment(settings: Settings) -> dict[str, str | None]:
    """Return the environment variables that make a process use `settings`; None removes a variable.

    The token is passed in the environment, so that it is written to no file.
    """
    variables: dict[str, str | None] = dict.fromkeys([*TOKEN_VARIABLES, "LCNB_ACCOUNT"])
    return variables | {
        TOKEN_VARIABLES[0]: settings.token.reveal(),
        "LCNB_BASE_URL": settings.base_url,
        "LCNB_TIMEOUT": f"{settings.timeout:g}",
        "LCNB_STATE_DIR": str(settings.state_dir),
        **account_variables(settings),
    }


def child_environment(env: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return this process's environment, updated by `env`; None removes a variable."""
    return {name: text for name, text in {**os.environ, **(env or {})}.items() if text is not None}


def run_row(
    task: Mapping[str, Any],
    env: Mapping[str, str | None] | None = None,
    stop: BatchStop | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Run one row of a batch in a child process and return its result, with the keys of RESULT_FIELDS.

    Args:
        task: what `BatchPlan.row_task` returns. A single run may also have `plan`, the folder of a dry run to apply,
            `lock_wait`, the seconds to wait for another run of the same runbook, and `lock_name` (`run_runbook`).
        env: updates the environment of the child; None removes a variable.
        stop: the flags of the batch.
        progress: called before each cell.

    A child that crashes gives the status `died` and the last line of its stderr; no error is raised for it.
    """
    result: dict[str, Any] = dict.fromkeys(RESULT_FIELDS) | {"row": task["row"], "status": NOT_STARTED}
    try:
        may_start = stop is None or stop.claim_row(task["row"])
    except RunError as unknown:
        return result | {
            "status": ends.MISUSED.status,
            "exit_code": ends.MISUSED.exit_code,
            "error": str(unknown),
        }
    if not may_start:
        if stop is not None and not stop.is_requested():
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
                pass  # it has ended already; its exit code and stderr say why
            wait_for_exit(process, stop, _make_progress_reader(out, progress))
            reported = _read_result(out)
        result["seconds"] = round(time.monotonic() - began, 2)
        result |= reported or _died_result(process, task, _stderr_tail(err, environment))
    return result


def _start_process(
    task: Mapping[str, Any], env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> subprocess.Popen[bytes] | WarmProcess:
    """Start a process for the run: a fork of the warm process where one is available, else a new process."""
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
        start_new_session=True,  # Ctrl-C in the terminal reaches only this process, which ends the children
    )


LOST_MESSAGE = (
    "the worker that ran this row was lost, so it is unknown whether the run ended; it was not started again. Check "
    "the runs on that worker; `lcnb batch --resume` starts the row again"
)


def _make_progress_reader(out: IO[bytes], progress: ProgressCallback | None) -> Callable[[], None]:
    """Return a function that reports new lines of progress; it uses `pread`, as a seek would move the child too."""
    place, rest = 0, b""

    def report_new_lines() -> None:
        nonlocal place, rest
        if progress is None or not hasattr(os, "pread"):
            return
        new = os.pread(out.fileno(), 65536, place)
        place += len(new)
        *lines, rest = (rest + new).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "cell" in message:
                progress(*message["cell"])

    return report_new_lines


def wait_for_exit(
    process: subprocess.Popen[bytes] | WarmProcess, stop: BatchStop | None, on_poll: Callable[[], None]
) -> None:
    """Wait for the child's end and call `on_poll` meanwhile; a stop sends SIGTERM, and SIGKILL after STOP_GRACE_S."""
    kill_after: float | None = None
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
        on_poll()
        if stop is None or not stop.is_requested():
            continue
        if kill_after is None:
            process.terminate()
            kill_after = time.monotonic() + STOP_GRACE_S
        elif time.monotonic() > kill_after or (isinstance(stop, LocalStop) and stop.now.is_set()):
            process.kill()


def _read_result(out: IO[bytes]) -> dict[str, Any] | None:
    out.seek(0)
    lines = out.read().decode("utf-8", "replace").splitlines()
    try:
        result = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return result if isinstance(result, dict) and "status" in result else None


def _stderr_tail(err: IO[bytes], env: Mapping[str, str]) -> str:
    err.seek(max(0, err.seek(0, os.SEEK_END) - 4000))
    secrets = [Secret(env[name]) for name in TOKEN_VARIABLES if env.get(name)]
    return mask_secrets(err.read().decode("utf-8", "replace").strip(), *secrets)


def _died_result(
    process: subprocess.Popen[bytes] | WarmProcess, task: Mapping[str, Any], stderr: str
) -> dict[str, Any]:
    """Return the result of a child that ended without reporting one."""
    code = process.returncode or 0
    try:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    except ValueError:
        how = f"by signal {-code}"
    last = f": {stderr.splitlines()[-1]}" if stderr else ""
    folder = find_run_folder(process.pid, task)
    return {
        # SIGTERM: it came before the child handled it.
        "status": (ends.TERMINATED if code == -signal.SIGTERM else ends.DIED).status,
        "exit_code": 128 - code if code < 0 else code or 1,
        "folder": folder,
        "error": f"the process of the run ended {how}{last}",
    }
