"""Attention notes and checks of a run: one JSON line per note in `notes.jsonl`, and lines of text in `run.log`.

The kernel appends notes; the runner reads them when the run has ended. An incomplete line, left by a kernel that was
killed while it wrote, is skipped.
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
#: In the metadata of a notebook's output that shows a note: the text of the note.
OUTPUT_MARK = "lcnb_note"


@dataclass(frozen=True)
class Note:
    """A note with its UTC time. `ok` is None for an attention note, and the result of a check otherwise.

    The text of a check says what was found: that of a failed check describes the problem.
    """

    at: str
    text: str
    ok: bool | None = None

    @property
    def attention(self) -> bool:
        """Whether the note needs attention: an attention note, or a check that failed."""
        return self.ok is not True


def utc_timestamp(timespec: str = "seconds") -> str:
    """Return the current time in UTC as ISO 8601, to the second or to another `timespec` of `datetime.isoformat`."""
    return datetime.now(UTC).isoformat(timespec=timespec)


def append_note(folder: Path, note: Note) -> Note:
    """Append a note to the folder's notes and a line to its log; return the note."""
    _append_line(folder / NOTES_FILE, json.dumps(asdict(note), ensure_ascii=False))
    append_log(folder, f"{'ATTENTION' if note.attention else 'check ok'}: {note.text}", note.at)
    return note


def append_log(folder: Path, text: str, at: str | None = None) -> str:
    """Append a text with its time to the folder's log and return what was written; further lines are indented."""
    line = f"{at or utc_timestamp()} " + "\n    ".join(text.splitlines() or [""])
    _append_line(folder / LOG_FILE, line)
    return line


def _append_line(path: Path, line: str) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode("utf-8", "replace"))
    finally:
        os.close(handle)


def read_notes(folder: Path) -> list[Note]:
    """Read the notes of a folder in their order; an empty list when the file is missing or unreadable."""
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
    """Return the texts of the notes that need attention."""
    return [note.text for note in notes if note.attention]


def note_facts(folder: Path) -> dict[str, Any]:
    """Return the notes in the form of run.json: those that need attention, and all checks."""
    notes = read_notes(folder)
    return {
        "attention": [{"at": note.at, "text": note.text} for note in notes if note.attention],
        "checks": [asdict(note) for note in notes if note.ok is not None],
    }
