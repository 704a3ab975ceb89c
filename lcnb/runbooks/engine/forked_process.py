"""What a forked process takes over from the process that requested it: limits, environment, folder, streams."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import Any

PR_SET_PDEATHSIG = 1
#: Handles below this number are reserved for those that a run brings with their own numbers.
MIN_HANDLE = 200
#: nbclient starts a kernel with it: the sources of cells are not saved in the user's history.
NO_HISTORY_ARGUMENT = "--HistoryManager.hist_file=:memory:"


def die_with_parent(runner: int) -> None:
    """End this process when its parent dies: a killed runner could not end a cell that never ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(1)


def move_handle(handle: int) -> int:
    """Move a handle to a number that no run uses; return the new number."""
    import fcntl  # not on Windows, where there are no warm runs

    moved = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, MIN_HANDLE)
    os.close(handle)
    return moved


def reserve_handles() -> list[int]:
    """Open all free handles below MIN_HANDLE and return them: until they are closed, others get higher numbers."""
    reserved = []
    while (handle := os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) < MIN_HANDLE:
        reserved.append(handle)
    os.close(handle)
    return reserved


def standard_stream(number: int, name: str) -> Any:
    """Return a standard stream as Python creates it at its start; `name` is such as "stdout"."""
    mode = "w" if number else "r"
    raw = FileIO(number, mode, closefd=False)
    raw.name = f"<{name}>"
    buffer = BufferedWriter(raw) if number else BufferedReader(raw)
    errors = "backslashreplace" if number == 2 else "strict"
    stream: Any = TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=number == 2)
    stream.mode = mode
    return stream


def open_null_streams() -> None:
    """Leave stdin and stdout of the parent for the null device. stderr stays until the run brings its own."""
    null = os.open(os.devnull, os.O_RDWR)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if number < 2:
            os.dup2(null, number, inheritable=True)
        setattr(sys, name, standard_stream(number, name))
        setattr(sys, f"__{name}__", getattr(sys, name))
    os.close(null)


def wait_behind_runs() -> None:
    """Let runs that are going on come first while this process prepares itself. `adopt_limits` ends that."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def adopt_limits(limits: Mapping[str, Any]) -> None:
    """Take over the limits of another process (`warm.process_limits`), at most those of this one."""
    import resource

    for name, (soft, hard) in limits["resources"].items():
        number = getattr(resource, f"RLIMIT_{name}")
        highest = resource.getrlimit(number)[1]
        if highest != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > highest):
            hard = highest
            soft = min(soft, hard) if soft != resource.RLIM_INFINITY else hard
        resource.setrlimit(number, (soft, hard))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.umask(limits["umask"])
    with suppress(PermissionError):  # only root may become less nice
        os.setpriority(os.PRIO_PROCESS, 0, limits["nice"])
    signal.pthread_sigmask(signal.SIG_SETMASK, limits["blocked"])


def adopt_environment(env: Mapping[str, str], cwd: str) -> None:
    """Take over an environment and a folder after a fork, and seed the random number generators."""
    import random

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    tempfile.tempdir = None  # it depends on the environment
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
