"""Files that are whole or not there: written to a temporary name, synced, renamed."""

from __future__ import annotations

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
            _check(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def _check(path: Path, data: bytes) -> None:
    if path.read_bytes() != data:
        raise OSError(errno.EIO, "other bytes were read back than were written")
