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

from lcnb.transport.rate_limit import State, from_text, steady, to_text

#: Seconds that one permit may wait for the lock of its row: its holder may be suspended.
PATIENCE_S = 3.0

T = TypeVar("T")


# --- the row as text ------------------------------------------------------------------------------------

_SIZE = 512


# --- the rows -------------------------------------------------------------------------------------------

Deed = Callable[[State, float], tuple[State, T]]


class Row(Protocol):
    """A state that can be changed in one step. `where` names it for people, without secrets."""

    where: str

    def change(self, deed: Deed[T]) -> T:
        """Replace the state by what the deed makes of it; its second result is the answer.

        A deed may be asked more than once. Raises OSError when the row cannot be used.
        """


#: Held while a row is changed: on NFS a file lock does not hold off the threads of one process.
_threads = threading.Lock()


def _after_fork() -> None:
    global _threads
    _threads = threading.Lock()  # the parent's other threads, one of which may hold it, are not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class MemoryRow:
    """The budget of this process alone."""

    where = "memory of this process"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.state = State()
        self._clock = clock

    def change(self, deed: Deed[T]) -> T:
        with _threads:
            self.state, answer = deed(*steady(self.state, self._clock()))
            return answer


class FileRow:
    """The budget of this machine, in a file.

    The file is opened for each change: so nothing is shared with a forked child, and one that was deleted is
    made again. A write is one system call into one page: a process that is killed leaves it whole.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.where = str(path)
        self._clock = clock

    def change(self, deed: Deed[T]) -> T:
        give_up = time.monotonic() + PATIENCE_S
        with _threads:
            while True:
                # Not a bare handle: an interrupt in between would leave it open.
                with _open(self.where) as file:
                    handle = file.fileno()
                    _lock(handle, give_up)
                    try:
                        if os.fstat(handle).st_nlink:  # else it was deleted before the lock was ours
                            return self._changed(handle, deed)
                    finally:
                        # Closing is not enough: a child forked in between has the file open too.
                        _unlock(handle)

    def _changed(self, handle: int, deed: Deed[T]) -> T:
        # The clock is read under the lock: read before, two processes would turn it back all the time.
        state, now = steady(from_text(os.read(handle, _SIZE)), self._clock())
        new, answer = deed(state, now)
        if new is not state:
            _overwrite(handle, to_text(new))
        return answer


def _overwrite(handle: int, text: bytes) -> None:
    line = text.ljust(_SIZE - 1) + b"\n"
    os.lseek(handle, 0, os.SEEK_SET)
    if os.write(handle, line) != len(line):
        raise OSError("the row was written in part")


def _open(path: str) -> io.FileIO:
    """The file of a row; made when it is not there."""
    try:
        return io.FileIO(path, "r+")
    except FileNotFoundError:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return io.FileIO(path, "r+", opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)


def _lock(handle: int, give_up: float) -> None:
    while not _try_lock(handle):
        if time.monotonic() >= give_up:
            raise TimeoutError("another process holds the lock of the row")
        time.sleep(50e-6)  # a blocking lock wakes no sooner, but waits for ever for a suspended process


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, _SIZE, os.SEEK_SET)  # behind the text: Windows' locks hold off readers too
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _SIZE, os.SEEK_SET)
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
