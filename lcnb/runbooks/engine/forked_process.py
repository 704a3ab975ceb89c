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
#: Handles below this are for those that a run brings with their numbers.
MIN_HANDLE = 200
#: As nbclient starts a kernel: the sources of cells are not kept in the user's history.
NO_HISTORY_ARGUMENT = "--HistoryManager.hist_file=:memory:"


def die_with_parent(runner: int) -> None:
    """The runner may be killed without a word; nobody would then end a cell that goes on for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(1)


def move_handle(handle: int) -> int:
    import fcntl  # not on Windows, where there are no warm runs

    moved = fcntl.fcntl(handle, fcntl.F_DUPFD_CLOEXEC, MIN_HANDLE)
    os.close(handle)
    return moved


def standard_stream(number: int, name: str) -> Any:
    """A standard stream as Python makes it when it starts."""
    mode = "w" if number else "r"
    raw = FileIO(number, mode, closefd=False)
    raw.name = f"<{name}>"
    buffer = BufferedWriter(raw) if number else BufferedReader(raw)
    errors = "backslashreplace" if number == 2 else "strict"
    stream: Any = TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=number == 2)
    stream.mode = mode
    return stream


def adopt_environment(env: Mapping[str, str], cwd: str) -> None:
    """After a fork: the environment and folder of whoever asked, and chance of one's own."""
    import random

    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    time.tzset()
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
