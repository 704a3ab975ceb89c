"""One run as its folder records it, and the list of all runs of a runs folder.

`read_run` is the only reader of `run.json`. It never raises an error: a record that cannot be read has the status
`damaged` and a `problem`. `require_readable` turns that problem into an InputError for commands that need the record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lcnb.errors import InputError
from lcnb.runbooks.ends import ABANDONED, DAMAGED
from lcnb.runbooks.records import process
from lcnb.runbooks.records.artifacts import RECORD_FILE


@dataclass(frozen=True)
class RunRecord:
    """A run's folder and the facts of its `run.json`; `problem` says what is wrong with that file."""

    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: str | None = None

    @property
    def id(self) -> str:
        """The name of the run's folder."""
        return self.folder.name

    @property
    def status(self) -> str:
        """The recorded status; `damaged` without a readable record, `abandoned` when the run's process is gone."""
        if not self.facts:
            return DAMAGED.status
        return ABANDONED.status if self.is_abandoned else str(self.facts["status"])

    @property
    def is_abandoned(self) -> bool:
        """Whether the process that had to close this record is gone."""
        known = self.facts.get("process")
        return self.facts.get("closed") is False and isinstance(known, dict) and process.is_gone(known)

    @property
    def is_closed(self) -> bool:
        """Whether the run has ended and its record is final; False for a damaged record."""
        return self.facts.get("closed") is True

    @property
    def resumes(self) -> list[str]:
        """The ids of the earlier runs that this run continues, the first one first."""
        return [str(name) for name in self.typed_fact("resumes", list) or ()]

    @property
    def started(self) -> datetime | None:
        """The start in UTC, from the record or else from the id."""
        return _parse_start(self.typed_fact("started", str) or "") or _parse_start(self.id[:16])

    @property
    def ended(self) -> datetime | None:
        """The end in UTC: the start and the duration of the record."""
        seconds = self.typed_fact("duration_s", int | float)
        return None if self.started is None or seconds is None else self.started + timedelta(seconds=seconds)

    def typed_fact(self, name: str, kind: Any) -> Any:
        """Return a fact of the record; None if it is missing, has another type, or does not fit into a DataFrame."""
        value = self.facts.get(name)
        if isinstance(value, str):
            value = encodable_text(value)
        if isinstance(value, int | float) and not abs(value) < 2**53:
            return None
        return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _parse_start(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo and 1970 <= at.year < 9999 else None


def encodable_text(value: object) -> str:
    """Return a text that UTF-8 can encode; file names and JSON may hold characters that it cannot."""
    return str(value).encode("utf-8", "replace").decode()


# --- reading --------------------------------------------------------------------------------------------


def read_run(folder: Path) -> RunRecord:
    """Read the record of the run in `folder`; a missing or damaged `run.json` is reported by `problem`."""
    folder = folder.absolute()
    try:
        facts = parse_record((folder / RECORD_FILE).read_bytes())
    except FileNotFoundError:
        return RunRecord(folder, problem=f"no {RECORD_FILE}")
    except OSError as error:
        return RunRecord(folder, problem=f"{RECORD_FILE} cannot be read: {error.strerror}")
    if facts is None:
        return RunRecord(folder, problem=f"{RECORD_FILE} is damaged")
    if not isinstance(facts.get("status"), str) or not isinstance(facts.get("closed"), bool):
        return RunRecord(folder, problem=f"{RECORD_FILE} is not a record of lcnb")
    problem = None if facts.get("id") == folder.name else f"the record is that of {facts.get('id')}"
    return RunRecord(folder, facts, problem)


def parse_record(content: bytes) -> dict[str, Any] | None:
    """Parse the bytes of a `run.json`; return None if they are not a JSON object."""
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def require_readable(run: RunRecord, consequence: str = "") -> RunRecord:
    """Return the run if its record is readable. InputError otherwise; `consequence` is its last sentence."""
    if not run.facts:
        message = f"the run {run.id} cannot be read: {run.problem}. Its files are in {run.folder}."
        raise InputError(f"{message} {consequence}".rstrip())
    return run


def read_runs(folder: Path) -> list[RunRecord]:
    """Read all runs of a runs folder, the newest first. InputError when the folder cannot be read."""
    try:
        found = [read_run(path) for path in list_run_folders(folder)]
    except OSError as error:
        raise InputError(f"the runs in {folder} cannot be read: {error.strerror or error}") from None
    found = [run for run in found if run.facts or run.folder.exists()]  # another process may have pruned one
    return sorted(
        found, key=lambda run: (run.started.timestamp() if run.started else 0.0, run.id), reverse=True
    )


def find_run_of_process(pid: int, folder: Path) -> RunRecord | None:
    """Return the newest run of a runs folder that the process `pid` started, or None."""
    try:
        paths = list_run_folders(folder)
    except OSError:
        return None
    return next((run for path in reversed(paths) if (run := read_run(path)).facts.get("pid") == pid), None)


# --- folders --------------------------------------------------------------------------------------------


def list_run_folders(folder: Path, without: Container[str] = ()) -> list[Path]:
    """List the folders that hold a `run.json`, or whose name begins with a time and that hold visible files.

    Hidden files do not count: a run that is just starting has one, which becomes its record. Folders with the names in
    `without` are not looked at.
    """
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if path.name not in without)
    paths = (path for path in named if path.is_dir() and not path.is_symlink())
    return sorted(path for path in paths if _is_run_folder(path))


def _is_run_folder(path: Path) -> bool:
    try:
        if (path / RECORD_FILE).is_file():
            return True
        return bool(re.match(r"\d{8}T\d{6}Z-", path.name)) and any(
            not each.name.startswith(".") for each in path.iterdir()
        )
    except OSError:
        return True  # it belongs to another user, and is listed as a run that cannot be read
