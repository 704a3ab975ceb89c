"""What a notebook wants people to know: attention notes and checks, a line of JSON each in `notes.jsonl`.

The kernel appends, the runner reads when the run has ended. A line that is not whole (a kernel that was
killed while it wrote) is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NOTES_FILE = "notes.jsonl"
LOG_FILE = "run.log"


@dataclass(frozen=True)
class Note:
    """`ok` is None for an attention note; for a check it says whether it held."""

    at: str
    text: str
    ok: bool | None = None

    @property
    def attention(self) -> bool:
        """Whether somebody has to look: an attention note, or a check that failed."""
        return self.ok is not True


def utc_timestamp() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_note(folder: Path, note: Note) -> Note:
    """Append a note to the folder's notes, and a line to its log."""
    _append_line(folder / NOTES_FILE, json.dumps(asdict(note), ensure_ascii=False))
    kind = {None: "ATTENTION", True: "check ok", False: "CHECK FAILED"}[note.ok]
    append_log(folder, f"{kind}: {note.text}", note.at)
    return note


def append_log(folder: Path, text: str, at: str | None = None) -> str:
    """Append a time-stamped line to the folder's log, and give it; further lines of the text are indented."""
    line = f"{at or utc_timestamp()} " + "\n    ".join(text.splitlines() or [""])
    _append_line(folder / LOG_FILE, line)
    return line


def _append_line(path: Path, line: str) -> None:
    """One write: lines of several processes do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode("utf-8", "replace"))
    finally:
        os.close(handle)


def read_notes(folder: Path) -> list[Note]:
    """The notes of a folder in their order; none where there is no such file, or none that can be read."""
    path = folder / NOTES_FILE
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return []
    return [note for line in content.decode("utf-8", "replace").split("\n") if (note := _parse_note(line))]


def _parse_note(line: str) -> Note | None:
    try:
        each = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(each, dict) or not all(isinstance(each.get(name), str) for name in ("at", "text")):
        return None
    ok = each.get("ok")
    return Note(each["at"], each["text"], ok) if ok is None or isinstance(ok, bool) else None


def attention_texts(notes: Iterable[Note]) -> list[str]:
    """The texts that somebody has to look at."""
    return [note.text for note in notes if note.attention]


def note_facts(folder: Path) -> dict[str, Any]:
    """The notes as run.json keeps them: attention notes (failed checks among them), and all checks."""
    notes = read_notes(folder)
    return {
        "attention": [{"at": note.at, "text": note.text} for note in notes if note.attention],
        "checks": [asdict(note) for note in notes if note.ok is not None],
    }
