"""The files of a run: their list, their sizes and hashes, and the removal of secrets from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lcnb.files import write_atomically

RECORD_FILE = "run.json"
#: The approval of a planned run by a second person: written after the run has ended.
APPROVAL_FILE = "approval.json"


def list_files(folder: Path) -> list[Path]:
    """List every file below a run's folder, except its record, its approval, and symbolic links."""
    apart = (folder / RECORD_FILE, folder / APPROVAL_FILE)
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path not in apart
    )


def fingerprint_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file of a run, by its path relative to the folder."""
    return {path.relative_to(folder).as_posix(): fingerprint_file(path) for path in list_files(folder)}


def fingerprint_file(path: Path) -> dict[str, Any]:
    """Return the size (`bytes`) and the SHA-256 (`sha256`) of a file, which is read in pieces."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, such as a notebook, in hexadecimal digits. OSError when it cannot be read."""
    return str(fingerprint_file(path)["sha256"])


def move_files(folder: Path, name: str) -> None:
    """Move all files and folders of a run into its new folder `name`; its record, hidden files and `name` stay."""
    target = folder / name
    target.mkdir(mode=0o700, parents=True)
    first = Path(name).parts[0]
    for path in sorted(folder.iterdir()):
        if path.name not in (RECORD_FILE, first) and not path.name.startswith("."):
            path.rename(target / path.name)


def redact_files(folder: Path, redact: Callable[[str], str]) -> list[str]:
    """Redact every text file of a run, and delete a binary file that holds a secret; return these problems."""
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
