"""What a forked process takes over from the process that requested it: environment, folder, handles, streams."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
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


def adopt_environment(env: Mapping[str, str], cwd: str) -> None:
    """Take over an environment and a folder after a fork, and seed the random number generators."""
    import random

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
