"""Files: written whole or not at all (a temporary name, synced, renamed), and read as UTF-8 text."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lcnb.errors import LcnbError


def write_atomically(
    path: Path,
    content: str | bytes,
    *,
    mode: int = 0o600,
    group: int | None = None,
    sync: bool = True,
    read_back: bool = False,
) -> Path:
    """Write a file in one step and return its path. A reader sees the old file or the new one, never a part.

    Args:
        path: The file. Its folder must exist.
        content: Bytes, or a text that is written as UTF-8.
        mode: The permissions of the file.
        group: The number of its group, if this user may set it.
        sync: Force the file to the disk. False for content that may be lost in a power failure.
        read_back: Compare the new file with `content` before it replaces the old one.

    Raises OSError, which names the file, when the disk is full, the folder may not be written, or different bytes are
    read back, and for a device or pipe, which would end up as a file. Then the old file is unchanged and no temporary
    file is left.
    """
    if is_stream(path):
        raise OSError(errno.EINVAL, "it is a device or a pipe", str(path))
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        return _write_and_rename(path, data, mode=mode, group=group, sync=sync, read_back=read_back)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # not the temporary one
        raise


def _write_and_rename(
    path: Path, data: bytes, *, mode: int, group: int | None, sync: bool, read_back: bool
) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if group is not None:
            _set_group(temporary, group)
        temporary.chmod(mode)
        if read_back:
            _verify_content(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


#: What a disk reports when it is full, when the user's share of it is, and when it is broken.
_DISK_FAILURES = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG, errno.EIO})
DISK_CURE = "Free some space on that disk, or choose another one."


def is_disk_failure(error: BaseException) -> bool:
    """Whether an error says that the disk is full or broken: then no other command line would have helped."""
    return isinstance(error, OSError) and error.errno in _DISK_FAILURES


def write_error(
    error: OSError, problem: str, *, refused: type[LcnbError], cure: str = "", **facts: Any
) -> LcnbError:
    """Return the error for a file or folder that cannot be written, with the reason of the system.

    Args:
        error: What the system reported.
        problem: What cannot be done, such as "the file a.csv cannot be written".
        refused: The class for a name that was given wrong, such as a folder that does not exist. A full or broken disk
            is an LcnbError, so that each command ends alike: with exit code 1.
        cure: The cure for a wrong name. For a disk it is to free some space.
        facts: Further facts of the error, such as `not_done`.

    >>> from lcnb.errors import InputError
    >>> full = OSError(errno.ENOSPC, "No space left on device")
    >>> print(write_error(full, "the file a.csv cannot be written", refused=InputError))
    the file a.csv cannot be written: No space left on device. Free some space on that disk, or choose another one.
    """
    from lcnb.errors import LcnbError

    text = f"{problem}: {error.strerror or error}"
    if is_disk_failure(error):
        return LcnbError(text, cure=DISK_CURE, **facts)
    return refused(text, cure=cure, **facts)


def replace_file(path: Path, content: str | bytes, *, mode: int = 0o600, keep_mode: bool = True) -> Path:
    """Write a file that belongs to a user in one step, and return its path.

    A symbolic link stays, and the file that it names is replaced. A file that exists keeps its group and permissions;
    its owner may always read and write it. `mode` has those of a new file; without `keep_mode` those of every file.
    Raises OSError as `write_atomically` does.
    """
    try:
        # The link /dev/stdout names no path that exists.
        target = path if is_stream(path) else path.resolve()
    except RuntimeError:
        raise OSError(errno.ELOOP, "its symbolic links form a loop", str(path)) from None
    if not target.exists():
        return write_atomically(target, content, mode=mode)
    kept = kept_mode(target) if keep_mode else mode
    return write_atomically(target, content, mode=kept, group=target.stat().st_gid)


def kept_mode(path: Path, mode: int = 0o600) -> int:
    """Return the permissions that a file has when it is replaced; `mode` for a new one."""
    return path.stat().st_mode & 0o777 | 0o600 if path.exists() else mode


def is_stream(path: Path) -> bool:
    """Return whether the path is that of a device, pipe or socket, such as /dev/stdout."""
    try:
        found = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(found) or stat.S_ISDIR(found))


class BackgroundWrite:
    """Writes a file as `write_atomically` does, in a thread: to force it to the disk takes milliseconds of waiting.

    >>> written = BackgroundWrite(Path(tempfile.mkdtemp(), "a.txt"))
    >>> written.start("one")
    >>> written.finish()
    >>> written.path.read_text()
    'one'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def start(self, content: str, *, sync: bool = True) -> None:
        """Begin to write, after the write before has ended. OSError of that one."""
        self.finish()
        self._thread = threading.Thread(target=self._write, args=(content, sync))
        try:
            self._thread.start()
        except RuntimeError:  # the system has no room for another thread
            self._thread = None
            self._write(content, sync)

    def finish(self) -> None:
        """Wait until the file is written. OSError when it could not be; then the old one is unchanged."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _write(self, content: str, sync: bool) -> None:
        try:
            write_atomically(self.path, content, sync=sync)
        except OSError as error:
            self._error = error


class NotText(ValueError):
    """A file is not UTF-8 text. The message says why and what to do, and shows nothing of the content."""


def read_text(path: Path, cure: str = "save it as UTF-8") -> str:
    """Return the text of a UTF-8 file that a user or another program wrote, without a byte order mark.

    Raises OSError, or NotText for another encoding (UTF-16 of Windows tools, Windows-1252 of spreadsheets). `cure` ends
    the message of NotText.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise NotText(f"it is UTF-16 text or no text at all, not UTF-8: {cure}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotText(f"line {line} is not UTF-8, but perhaps Windows-1252 or Latin-1: {cure}") from None


def _set_group(path: Path, group: int) -> None:
    if not hasattr(os, "chown"):
        return
    try:
        os.chown(path, -1, group)
    except PermissionError:
        pass  # the user is in no such group: the file has that of the user


def _verify_content(path: Path, data: bytes) -> None:
    if path.read_bytes() != data:
        raise OSError(errno.EIO, "the bytes read back differ from the bytes written")
