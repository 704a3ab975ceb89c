"""A folder as an object store: whole writes, and conditions that hold among all processes that see the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lcnb.files import write_atomically
from lcnb.stored_objects import (
    ABSENT,
    ANY,
    AttemptConflict,
    AttemptFailed,
    Expected,
    StoredEntry,
    StoredObject,
)

#: The folder of the lock files below the folder of the store. No key may begin with it.
LOCK_FOLDER = ".lcnb-locks"


class FolderBackend:
    """Objects as files. The version of one is the SHA-256 of its content."""

    def __init__(self, folder: str, lock_timeout_s: float) -> None:
        self._folder = Path("/", folder)
        self._timeout = lock_timeout_s

    def read(self, key: str) -> StoredObject | None:
        """The object, or None."""
        path = self._folder / key
        try:
            with path.open("rb") as file:
                data = file.read()
                modified = file_time(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise _attempt_error(error) from None
        return StoredObject(data, content_version(data), modified)

    def write(self, key: str, data: bytes, expected: Expected) -> str:
        """The new version. AttemptConflict when the object is another one than expected."""
        path = self._folder / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked(key):
                if expected is not ANY:
                    current = self.read(key)
                    if expected != (ABSENT if current is None else current.version):
                        raise AttemptConflict
                write_atomically(path, data)
        except OSError as error:
            raise _attempt_error(error) from None
        return content_version(data)

    def delete(self, key: str) -> None:
        """Delete it, if it is there."""
        path = self._folder / key
        try:
            with self._locked(key):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _attempt_error(error) from None

    def list(self, prefix: str) -> list[StoredEntry]:
        """All objects below the folder; files that are being written are none."""
        found = []
        try:
            for path in (self._folder / prefix).rglob("*"):
                key = path.relative_to(self._folder).as_posix()
                if not path.name.startswith(".") and not key.startswith(LOCK_FOLDER):
                    entry = _entry(key, path)
                    found += [entry] if entry else []
        except OSError as error:
            raise _attempt_error(error) from None
        return found

    def cancel_requests(self) -> None:
        """Do nothing: the calls of the system cannot be cancelled."""

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a key among all processes. AttemptFailed when another one holds it for too long."""
        from filelock import FileLock, Timeout

        folder = self._folder / LOCK_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(key.encode()).hexdigest()[:2]  # 256 lock files serve all keys
        try:
            lock = FileLock(folder / f"{name}.lock", timeout=self._timeout, mode=0o600)
            lock.acquire()
        except Timeout:
            raise AttemptFailed("another process holds the lock of the folder") from None
        try:
            yield
        finally:
            lock.release()


def content_version(data: bytes) -> str:
    """The version of an object in a folder."""
    return hashlib.sha256(data).hexdigest()


def file_time(path: Path) -> datetime:
    """When the file was written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _entry(key: str, path: Path) -> StoredEntry | None:
    """The line of a file; None for a folder, and for a file that was deleted meanwhile."""
    try:
        if not path.is_file():
            return None
        data = path.read_bytes()
        return StoredEntry(key, len(data), content_version(data), file_time(path))
    except FileNotFoundError:
        return None


def _attempt_error(error: OSError) -> AttemptFailed:
    return AttemptFailed(
        error.strerror or str(error), permanent=not isinstance(error, TimeoutError | BlockingIOError)
    )
