"""Files that are whole or not there: written to a temporary name, synced, renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o600, sync: bool = True) -> Path:
    """Write a file in one step: a reader sees the old one or the new one, never a part. Returns the path.

    `sync=False`: not forced to the disk, for what may be lost with the machine's power.
    Raises OSError (no space, no permission); then the old file is untouched and nothing is left over.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
