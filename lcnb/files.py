"""Files: written whole or not at all (a temporary name, synced, renamed), and read as UTF-8 text."""

from __future__ import annotations

import codecs
import errno
import os
import tempfile
from pathlib import Path


def write_atomically(
    path: Path, content: str | bytes, *, mode: int = 0o600, sync: bool = True, read_back: bool = False
) -> Path:
    """Write a file in one step: a reader sees the old one or the new one, never a part. Returns the path.

    `sync=False`: not forced to the disk, for what may be lost with the machine's power. `read_back=True`: the new file
    is read before it takes the old one's place, for what must not be lost.
    Raises OSError (no space, no permission, other bytes read back); then the old file is untouched and nothing is left
    over.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.chmod(mode)
        if read_back:
            _verify_content(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


class NotText(ValueError):
    """A file is no UTF-8 text; the message says why and how to mend it, and shows nothing of what it holds."""


def read_text(path: Path, cure: str = "save it as UTF-8") -> str:
    """The text of a file that people or other programs wrote: UTF-8, a byte order mark at its start left out.

    Raises OSError, or NotText for another encoding (UTF-16 of Windows tools, Windows-1252 of spreadsheets).
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise NotText(f"it is UTF-16 text or no text at all, not UTF-8: {cure}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotText(f"line {line} is not UTF-8, but perhaps Windows-1252 or Latin-1: {cure}") from None


def _verify_content(path: Path, data: bytes) -> None:
    if path.read_bytes() != data:
        raise OSError(errno.EIO, "other bytes were read back than were written")
