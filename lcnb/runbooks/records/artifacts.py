"""The files of a run: which they are, their hashes, and that none of them holds a secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lcnb.files import write_atomically

RECORD_FILE = "run.json"


def list_files(folder: Path) -> list[Path]:
    """Every file below a run's folder but its record; links are left out."""
    found = folder.rglob("*")
    return sorted(
        path for path in found if path.is_file() and not path.is_symlink() and path != folder / RECORD_FILE
    )


def fingerprint_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file, by its name below the folder."""
    return {path.relative_to(folder).as_posix(): fingerprint_file(path) for path in list_files(folder)}


def fingerprint_file(path: Path) -> dict[str, Any]:
    """`bytes` and `sha256` of a file, read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def redact_files(folder: Path, redact: Callable[[str], str]) -> list[str]:
    """No file may hold a secret: a text is redacted, another file is taken away, and that is told."""
    problems = []
    for path in list_files(folder):
        content = path.read_bytes()
        text = content.decode("utf-8", "surrogateescape")
        redacted = redact(text)
        if redacted == text:
            continue
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            path.unlink()
            problems.append(f"{path.name} held the API token and was removed")
        else:
            write_atomically(path, redacted)
    return problems
