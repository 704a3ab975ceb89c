"""Where the rate budget is stored: in the memory of this process, or in a file under a lock.

The state is a file of its own, not a row in SQLite: with four processes SQLite's busy handler sleeps too long
(see benchmarks/budget). A state that is lost or damaged costs one burst or one 429, so there is no fsync."""

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

#: Seconds that one permit may wait for the lock of its row: its holder may be suspended.
LOCK_TIMEOUT_S = 3.0

T = TypeVar("T")


# --- the row as text ------------------------------------------------------------------------------------

_STATE_SIZE_BYTES = 512


# --- the rows -------------------------------------------------------------------------------------------

StateChange = Callable[[BudgetState, float], tuple[BudgetState, T]]


class BudgetStore(Protocol):
    """A state that can be changed in one step. `where` names it for people, without secrets."""

    where: str

    def change(self, deed: StateChange[T]) -> T:
        """Replace the state by what the deed makes of it; its second result is the answer.

        A deed may be asked more than once. Raises OSError when the row cannot be used.
        """


#: Held while a row is changed: on NFS a file lock does not hold off the threads of one process.
_thread_lock = threading.Lock()


def _renew_lock() -> None:
    global _thread_lock
    _thread_lock = (
        threading.Lock()
    )  # the parent's other threads, one of which may hold it, are not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class MemoryBudgetStore:
    """The budget of this process alone."""

    where = "memory of this process"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.state = BudgetState()
        self._clock = clock

    def change(self, deed: StateChange[T]) -> T:
        with _thread_lock:
            self.state, answer = deed(*adjust_clock(self.state, self._clock()))
            return answer


class FileBudgetStore:
    """The budget of this machine, in a file.

    The file is opened for each change: so nothing is shared with a forked child, and one that was deleted is
    made again. A write is one system call into one page: a process that is killed leaves it whole.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.where = str(path)
        self._clock = clock

    def change(self, deed: StateChange[T]) -> T:
        give_up = time.monotonic() + LOCK_TIMEOUT_S
        with _thread_lock:
            while True:
                # Not a bare handle: an interrupt in between would leave it open.
                with _open_file(self.where) as file:
                    handle = file.fileno()
                    _lock_file(handle, give_up)
                    try:
                        if os.fstat(handle).st_nlink:  # else it was deleted before the lock was ours
                            return self._changed(handle, deed)
                    finally:
                        # Closing is not enough: a child forked in between has the file open too.
                        _unlock(handle)

    def _changed(self, handle: int, deed: StateChange[T]) -> T:
        # The clock is read under the lock: read before, two processes would turn it back all the time.
        state, now = adjust_clock(decode_state(os.read(handle, _STATE_SIZE_BYTES)), self._clock())
        new, answer = deed(state, now)
        if new is not state:
            _write_state(handle, encode_state(new))
        return answer


def _write_state(handle: int, text: bytes) -> None:
    line = text.ljust(_STATE_SIZE_BYTES - 1) + b"\n"
    os.lseek(handle, 0, os.SEEK_SET)
    if os.write(handle, line) != len(line):
        raise OSError("the row was written in part")


def _open_file(path: str) -> io.FileIO:
    """The file of a row; made when it is not there."""
    try:
        return io.FileIO(path, "r+")
    except FileNotFoundError:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return io.FileIO(path, "r+", opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _lock_file(handle: int, give_up: float) -> None:
    while not _try_lock(handle):
        if time.monotonic() >= give_up:
            raise TimeoutError("another process holds the lock of the row")
        time.sleep(50e-6)  # a blocking lock wakes no sooner, but waits for ever for a suspended process


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(
            handle, _STATE_SIZE_BYTES, os.SEEK_SET
        )  # behind the text: Windows' locks hold off readers too
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _STATE_SIZE_BYTES, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
