"""For the runbook `schedule_watch`: the installed schedules of this machine and their problems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcnb.runbooks.schedule.check import ScheduleStatus, check_schedules
from lcnb.runbooks.schedule.tables import list_problems, problem_rows, schedule_rows
from lcnb.times import parse_duration

if TYPE_CHECKING:
    import pandas as pd

SHOWN_COLUMNS = ("name", "runbook", "cron", "timezone", "next", "last", "status", "problems")


def read_statuses(since: str, now: datetime | None = None) -> list[ScheduleStatus]:
    """Check every schedule that is installed on this machine, for the planned runs of the last `since`, such as 24h.

    InputError for another text.
    """
    return check_schedules(now or datetime.now(UTC), parse_duration(since, "since"))


def schedule_frame(statuses: Sequence[ScheduleStatus]) -> pd.DataFrame:
    """Return one row per installed schedule; times are in UTC, `timezone` is that of `cron`."""
    return schedule_rows(statuses).frame()


def problem_frame(statuses: Sequence[ScheduleStatus]) -> pd.DataFrame:
    """Return one row per problem: schedule, kind, planned time, text and cure."""
    return problem_rows(statuses).frame()


def schedule_checks(statuses: Sequence[ScheduleStatus]) -> Iterator[tuple[bool, str, str]]:
    """Yield the arguments of `run.check`: one check for each schedule, with all that is wrong with it."""
    for each in statuses:
        name = each.schedule.name
        found = " ".join(problem.sentence for problem in each.problems)
        yield (
            not each.problems,
            f"{name}: every planned run happened, and the next one will start",
            found or name,
        )


def key_figures(statuses: Sequence[ScheduleStatus]) -> dict[str, Any]:
    """Return the numbers at the top of the report."""
    return {
        "schedules": len(statuses),
        "without a problem": sum(not each.problems for each in statuses),
        "problems": len(list_problems(statuses)),
    }


def clock_notes(statuses: Sequence[ScheduleStatus]) -> str:
    """Return what happens to planned runs when clocks change, as a text; "" when no run is affected."""
    return "\n".join(f"{each.schedule.name}: {line}" for each in statuses for line in each.clock_changes)
