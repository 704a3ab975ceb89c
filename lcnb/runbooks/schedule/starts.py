"""The log of the starts of an installed schedule, also of those that ended without a run: refused, locked, no disk.

`lcnb run` appends one line when it begins and one when it ends, if LCNB_SCHEDULE names the schedule that started it. A
start that cannot be written is no reason to fail. The file is replaced when it is large; the one before is kept.

It is in the state folder, because it must be written also when the runs folder cannot be. What a person looks up of a
start that was refused, by whichever scheduler, is in the runs folder: `lcnb.runbooks.records.refused`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError, LcnbError
from lcnb.folders import make_state_folder
from lcnb.runbooks.ends import RUNNING, RunEnd
from lcnb.runbooks.engine.secret_pipe import inherited_secrets
from lcnb.runbooks.environment import SCHEDULE_VARIABLE
from lcnb.runbooks.error_ends import end_of_error
from lcnb.runbooks.judgement import judge_interrupt
from lcnb.runbooks.records.process import identify_process, is_gone
from lcnb.runbooks.schedule.installed import schedules_folder
from lcnb.secret import Secret, mask_secrets

if TYPE_CHECKING:
    from lcnb.runbooks.result import RunResult

#: A file of starts that is larger than this is replaced by an empty one.
MAX_FILE_BYTES = 1_000_000
MAX_REASON_CHARACTERS = 500


@dataclass
class ScheduledStart:
    """One start of `lcnb run` by a schedule. `end` is None while it has not ended, or if nothing recorded its end."""

    at: datetime
    process: dict[str, Any] = field(default_factory=dict)
    end: RunEnd | None = None
    ended_at: datetime | None = None
    #: The folder of the run; None when it ended before it had one.
    folder: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether its process is gone without a recorded end."""
        return self.end is None and bool(self.process) and is_gone(self.process)


@contextmanager
def record_start(
    started: datetime | None = None, *, hide: Iterable[Secret] = ()
) -> Iterator[list[RunResult]]:
    """Record that a scheduled run begins, and how it ends. The block appends the result of the run to the list.

    `hide` are secrets to mask in the reason, besides those of the environment. Without LCNB_SCHEDULE in the environment
    nothing is recorded.
    """
    results: list[RunResult] = []
    name = os.environ.get(SCHEDULE_VARIABLE)
    if not name or "/" in name or name.startswith("."):
        yield results
        return
    process = identify_process()
    start = {"at": _utc_text(started), "pid": process["pid"], "process": process}
    _append_line(name, {"event": "started", **start})
    try:
        yield results
    except BaseException as error:
        folder = getattr(error, "folder", None)
        _append_line(name, _end_facts(start, _end_of_exception(error), folder, hide))
        raise
    end = [RunEnd(each.status, each.exit_code, each.error or "") for each in results]  # type: ignore[arg-type]
    if end:
        _append_line(name, _end_facts(start, end[0], results[0].folder, hide))


def record_wrong_options(reason: str, *, hide: Iterable[Secret] = ()) -> None:
    """Record a start that ended before the command began, because an option was wrong."""
    with suppress(InputError), record_start(hide=hide):
        raise InputError(reason)


def _end_of_exception(error: BaseException) -> RunEnd:
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return judge_interrupt(error)
    return end_of_error(error).because(str(error))


def _end_facts(
    start: dict[str, Any], end: RunEnd, folder: Path | None, hide: Iterable[Secret]
) -> dict[str, Any]:
    reason = mask_secrets(end.reason, *hide, *inherited_secrets())[:MAX_REASON_CHARACTERS]
    return {
        "event": "ended",
        "at": _utc_text(None),
        "pid": start["pid"],
        "started": start["at"],
        "status": end.status,
        "exit_code": end.exit_code,
        "reason": reason,
        "folder": str(folder) if folder else None,
    }


def _utc_text(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds")


def starts_file(name: str) -> Path:
    """Return the file of the starts of a schedule."""
    return schedules_folder() / f"{name}.starts.jsonl"


def _older_file(path: Path) -> Path:
    return path.with_suffix(".old.jsonl")


def _append_line(name: str, facts: dict[str, Any]) -> None:
    with suppress(OSError, LcnbError):  # a full disk must not keep the run from reporting how it ended
        path = starts_file(name)
        make_state_folder(path.parent)
        if path.exists() and path.stat().st_size > MAX_FILE_BYTES:
            path.replace(_older_file(path))
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        finally:
            os.close(handle)


def read_starts(name: str) -> list[ScheduledStart]:
    """Return the recorded starts of a schedule, the oldest first; lines that cannot be read are left out."""
    found: dict[tuple[str, int], ScheduledStart] = {}
    path = starts_file(name)
    for file in (_older_file(path), path):
        try:
            lines = file.read_bytes().decode("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                _add_line(found, json.loads(line))
    return sorted(found.values(), key=lambda each: each.at)


def _add_line(found: dict[tuple[str, int], ScheduledStart], facts: dict[str, Any]) -> None:
    if facts["event"] == "started":
        at = datetime.fromisoformat(facts["at"])
        found[facts["at"], facts["pid"]] = ScheduledStart(at, dict(facts["process"]))
        return
    start = found.setdefault(
        (facts["started"], facts["pid"]), ScheduledStart(datetime.fromisoformat(facts["started"]))
    )
    start.end = RunEnd(facts["status"], int(facts["exit_code"]), str(facts["reason"]))
    start.ended_at = datetime.fromisoformat(facts["at"])
    start.folder = facts["folder"]


def is_running(start: ScheduledStart) -> bool:
    """Whether the start has not ended, as far as this machine knows."""
    return (start.end is None or start.end.status == RUNNING.status) and not start.is_lost
