"""The runs that a schedule has started: its recorded starts, joined with the records of the runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from lcnb.errors import InputError
from lcnb.runbooks.ends import ABANDONED, COMPLETED_STATUSES, DIED, LOCKED, NOT_CONFIRMED, RUNNING
from lcnb.runbooks.records.run_record import RunRecord
from lcnb.runbooks.records.settled import read_settled_runs
from lcnb.runbooks.schedule.installed import InstalledSchedule
from lcnb.runbooks.schedule.starts import ScheduledStart, read_starts

#: What an occurrence is for a check: completed, still running, or the kind of the problem.
Verdict = Literal["completed", "running", "locked", "refused", "failed", "died"]


@dataclass(frozen=True)
class Occurrence:
    """One run that a schedule started, or its attempt to start one. Times are in UTC."""

    at: datetime
    status: str
    exit_code: int | None = None
    reason: str = ""
    run: str = ""

    @property
    def verdict(self) -> Verdict:
        """How it ended, in the words of a check."""
        if self.status in COMPLETED_STATUSES:
            return "completed"
        if self.status == RUNNING.status:
            return "running"
        if self.status in (ABANDONED.status, DIED.status):
            return "died"
        if self.status == LOCKED.status and not self.run:
            return "locked"
        return "refused" if self.status == NOT_CONFIRMED.status and not self.run else "failed"


def read_runs_of(schedules: Iterable[InstalledSchedule]) -> dict[str, list[RunRecord]]:
    """Return runs folder → its runs, the newest first; runs whose process was killed are settled before.

    A folder that cannot be read has no runs.
    """
    found: dict[str, list[RunRecord]] = {}
    for folder in {each.runs_dir for each in schedules}:
        try:
            found[folder] = read_settled_runs(Path(folder))
        except InputError:
            found[folder] = []
    return found


def read_occurrences(schedule: InstalledSchedule, runs: Sequence[RunRecord]) -> list[Occurrence]:
    """Return what the schedule has started since it was installed, the oldest first.

    `runs` are the runs of its folder. A start without a record, and a record without a start, count too: a full disk
    may have lost one of them.
    """
    own = {run.id: run for run in runs if run.facts.get("schedule") == schedule.name}
    found: list[Occurrence] = []
    for start in read_starts(schedule.name):
        run = _pop_run(start, own)
        found.append(_join(start, run))
    found += [_of_record(run) for run in own.values() if run.started is not None]
    return sorted((each for each in found if each.at >= schedule.installed), key=lambda each: each.at)


def _pop_run(start: ScheduledStart, own: dict[str, RunRecord]) -> RunRecord | None:
    if start.folder:
        return own.pop(Path(start.folder).name, None)
    pid = start.process.get("pid")
    run = next(
        (
            run
            for run in own.values()
            if run.facts.get("pid") == pid and run.started and run.started >= start.at
        ),
        None,
    )
    return own.pop(run.id) if run else None


def _join(start: ScheduledStart, run: RunRecord | None) -> Occurrence:
    if run is not None:
        return _of_record(run, start.at)
    if start.end is not None:
        name = Path(start.folder).name if start.folder else ""
        return Occurrence(start.at, start.end.status, start.end.exit_code, start.end.reason, name)
    if start.is_lost:
        return Occurrence(start.at, DIED.status, reason="its process ended without a record")
    return Occurrence(start.at, RUNNING.status)


def _of_record(run: RunRecord, at: datetime | None = None) -> Occurrence:
    started = at or run.started
    if started is None:
        raise ValueError(f"the run {run.id} has no start")
    return Occurrence(
        started, run.status, run.typed_fact("exit_code", int), run.typed_fact("reason", str) or "", run.id
    )
