"""The process of one run: it reads the task from stdin, runs it, and writes progress and the result to stdout.

Every message is one line of JSON. The parent keeps stdin open while it lives; when stdin closes, the run ends as if by
SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import ConfigError, InputError, RunError
from lcnb.folders import resolve_runs_folder
from lcnb.runbooks import ends
from lcnb.runbooks.error_ends import end_of_error
from lcnb.streams import open_streams

if TYPE_CHECKING:
    from lcnb.runbooks.execution import ProgressCallback

#: Seconds that a row which changes an account waits for another run of the same runbook and account.
ROW_LOCK_TIMEOUT_S = 86_400.0


def find_run_folder(pid: int, task: Mapping[str, Any]) -> str | None:
    """Return the folder of the run that the process `pid` has recorded, for a run that could not report it."""
    from lcnb.runbooks.records.run_record import find_run_of_process

    run = find_run_of_process(pid, resolve_runs_folder(task.get("runs_dir")))
    return str(run.folder) if run else None


# --- in the child ---------------------------------------------------------------------------------------


def main() -> None:
    """Read the task, run it, and report its result; what the run prints goes to stderr."""
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    open_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process with SIGTERM
    signal.signal(signal.SIGTERM, _exit_on_signal)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    result = _run_task(task, lambda *cell: print(json.dumps({"cell": cell}), file=reports, flush=True))
    print(json.dumps(result), file=reports, flush=True)
    os._exit(result["exit_code"] & 0xFF)  # no thread of a library may keep the process alive


def _exit_on_signal(number: int, frame: object) -> None:
    raise SystemExit(ends.TERMINATED.exit_code)


def _exit_with_parent() -> None:
    """Wait until the parent closes our stdin or ends, then end the run with SIGTERM."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _run_task(task: Mapping[str, Any], progress: ProgressCallback) -> dict[str, Any]:
    from lcnb.runbooks import rerun
    from lcnb.runbooks.records.run_record import read_run
    from lcnb.runbooks.run import run_runbook

    options: dict[str, Any] = {
        "folder": task["runs_dir"],
        "lock_wait": task.get("lock_wait", ROW_LOCK_TIMEOUT_S),
        "engine": task.get("engine") or "auto",
        "progress": progress,
    }
    options |= {name: task[name] for name in ("kernel", "cwd", "retries", "retry_wait") if task.get(name)}
    try:
        if task.get("plan"):
            result = rerun.apply_run(read_run(Path(task["plan"])), **options)
        else:
            _check_same_notebook(task)
            result = run_runbook(
                task["runbook"],
                task["parameters"],
                account=task["account"],
                confirm=task["confirm"],
                resumes=rerun.settle_predecessors(task["previous"], task["confirm"])
                if task["previous"]
                else (),
                **options,
            )
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        folder = getattr(error, "folder", None)
        return {
            **_error_result(error),
            "folder": str(folder) if folder else find_run_folder(os.getpid(), task),
        }
    return {
        "status": result.status,
        "exit_code": result.exit_code,
        "folder": str(result.folder),
        "error": result.error,
    }


def _check_same_notebook(task: Mapping[str, Any]) -> None:
    """Raise InputError when this computer's notebook is not the one of the batch, or was edited meanwhile."""
    from lcnb.runbooks.notebook.find import find_runbook
    from lcnb.runbooks.records.artifacts import hash_file

    path = find_runbook(task["runbook"]).path
    if hash_file(path) != task["sha256"]:
        raise InputError(
            f"{path} is not the notebook that this batch was started with. Nothing was started for this row. "
            "`lcnb batch --resume` uses the notebook as it is now."
        )


def _error_result(error: BaseException) -> dict[str, Any]:
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return {
            "status": ends.TERMINATED.status,
            "exit_code": ends.TERMINATED.exit_code,
            "error": "interrupted: the batch was ended",
        }
    text = (
        str(error)
        if isinstance(error, RunError | InputError | ConfigError)
        else f"{type(error).__name__}: {error}"
    )
    end = end_of_error(error)
    return {"status": end.status, "exit_code": end.exit_code, "error": text}


if __name__ == "__main__":
    main()
