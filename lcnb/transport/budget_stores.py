"""Where the rate budget is stored: in the memory of this process, or in a file under a lock.

The state is a separate file, not a row in SQLite: with four processes SQLite's busy handler sleeps too long
(see benchmarks/budget). A lost or damaged state costs one burst or one 429, so writes are not synced to disk."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from lcnb.transport.rate_limit import BudgetState, adjust_clock, decode_state, encode_state

#: Seconds that a permit may wait for the lock of its file: the process that holds it may be suspended.
LOCK_TIMEOUT_S = 3.0

T = TypeVar("T")


_STATE_SIZE_BYTES = 512

#: Returns the new state and a result, from the state and the time.
StateChange = Callable[[BudgetState, float], tuple[BudgetState, T]]


class BudgetStore(Protocol):
    """A state that can be changed atomically. `stored_in` names its place for people, without secrets."""

    stored_in: str

    def change(self, update: StateChange[T]) -> T:
        """Replace the state by the one that `update` returns, and return the result of `update`.

        `update` may be called more than once. Raises OSError if the store cannot be used.
        """


#: Held while a state changes: on NFS a file lock does not exclude the threads of one process.
_thread_lock = threading.Lock()


def _renew_lock() -> None:
    global _thread_lock
    # Another thread of the parent may hold the lock; that thread does not exist in the child.
    _thread_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class MemoryBudgetStore:
    """The budget of this process alone."""

    stored_in = "memory of this process"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.state = BudgetState()
        self._clock = clock

    def change(self, update: StateChange[T]) -> T:
        """Change the state under the lock of this process."""
        with _thread_lock:
            self.state, result = update(*adjust_clock(self.state, self._clock()))
            return result


class FileBudgetStore:
    """The budget of this machine, in a file.

    The file is opened for each change, so that nothing is shared with a forked child, and a deleted file is created
    again. A write is one system call within one page: a killed process leaves the file complete.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.stored_in = str(path)
        self._clock = clock

    def change(self, update: StateChange[T]) -> T:
        """Change the state under the lock of the file."""
        give_up = time.monotonic() + LOCK_TIMEOUT_S
        with _thread_lock:
            while True:
                # A file object closes the handle also when an interrupt comes in between.
                with _open_file(self.stored_in) as file:
                    handle = file.fileno()
                    _lock_file(handle, give_up)
                    try:
                        if os.fstat(handle).st_nlink:  # otherwise the file was deleted before we got its lock
                            return self._change_locked(handle, update)
                    finally:
                        # Closing is not enough: a child that was forked in between also has the file open.
                        _unlock_file(handle)

    def _change_locked(self, handle: int, update: StateChange[T]) -> T:
        # Read the clock under the lock: read before it, two processes would keep turning it back.
        state, now = adjust_clock(decode_state(os.read(handle, _STATE_SIZE_BYTES)), self._clock())
        new, result = update(state, now)
        if new is not state:
            _write_state(handle, encode_state(new))
        return result


def _write_state(handle: int, text: bytes) -> None:
    line = text.ljust(_STATE_SIZE_BYTES - 1) + b"\n"
    os.lseek(handle, 0, os.SEEK_SET)
    if os.write(handle, line) != len(line):
        raise OSError("the state was written only in part")


def _open_file(path: str) -> io.FileIO:
    """Open the file of a budget; create it if it is missing."""
    try:
        return io.FileIO(path, "r+")
    except FileNotFoundError:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return io.FileIO(path, "r+", opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _lock_file(handle: int, give_up: float) -> None:
    while not _try_lock_file(handle):
        if time.monotonic() >= give_up:
            raise TimeoutError("another process holds the lock of the rate budget")
        time.sleep(50e-6)  # a blocking lock wakes no sooner, and waits forever for a suspended process


if sys.platform == "win32":
    import msvcrt

    def _try_lock_file(handle: int) -> bool:
        # Lock the byte after the text: a lock on Windows excludes readers as well.
        os.lseek(handle, _STATE_SIZE_BYTES, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _unlock_file(handle: int) -> None:
        os.lseek(handle, _STATE_SIZE_BYTES, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock_file(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock_file(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
