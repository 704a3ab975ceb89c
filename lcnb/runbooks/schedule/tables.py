"""Installed schedules and their problems as tables, and as the message of a notification."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lcnb.rows import TIME_DTYPE, Column, Rows, rows_of
from lcnb.runbooks.ends import ATTENTION
from lcnb.runbooks.publish.messages import MAX_DESCRIBED, Message
from lcnb.runbooks.schedule.check import ScheduleStatus
from lcnb.runbooks.schedule.installed import InstalledSchedule
from lcnb.runbooks.schedule.problems import ScheduleProblem


def schedule_rows(statuses: Iterable[ScheduleStatus]) -> Rows:
    """Return installed schedules as rows: what is installed, the next planned time, the last run and how it ended.

    Times are in UTC; `timezone` is the one in which `cron` is meant.
    """
    return rows_of(statuses, _SCHEDULE_COLUMNS, kind="schedules")


def short_times(rows: Rows) -> dict[str, dict[Any, str]]:
    """Return column → time → its text to the minute, for `print_rows`; the times are in UTC."""
    names = [name for name, dtype in rows.dtypes.items() if dtype == TIME_DTYPE]
    return {
        name: {at: f"{at:%Y-%m-%d %H:%M}" for at in rows.column(name) if at is not None} for name in names
    }


def problem_rows(statuses: Iterable[ScheduleStatus]) -> Rows:
    """Return the problems as rows, those of one schedule after the other."""
    return rows_of(list_problems(statuses), _PROBLEM_COLUMNS, kind="schedule problems")


def list_problems(statuses: Iterable[ScheduleStatus]) -> list[ScheduleProblem]:
    """Return the problems of all schedules."""
    return [problem for each in statuses for problem in each.problems]


def problem_message(statuses: Sequence[ScheduleStatus], host: str) -> Message:
    """Return the message about the problems, one line each."""
    lines = [f"! {each.sentence}" for each in list_problems(statuses)]
    more = [f"and {len(lines) - MAX_DESCRIBED} more"] if len(lines) > MAX_DESCRIBED else []
    title = f"schedules on {host}: {ATTENTION.status}"
    return Message(
        "the check of the schedules", title, "\n".join([*lines[:MAX_DESCRIBED], *more]), ATTENTION.status
    )


def _fact(name: str) -> Any:
    def read(status: ScheduleStatus) -> Any:
        return getattr(status.schedule, name) if isinstance(status.schedule, InstalledSchedule) else None

    return read


def _last(name: str) -> Any:
    return lambda status: getattr(status.last, name) if status.last else None


_SCHEDULE_COLUMNS: Sequence[Column[ScheduleStatus]] = (
    ("name", "str", lambda status: status.schedule.name),
    ("runbook", "str", _fact("runbook")),
    ("system", "str", _fact("system")),
    ("cron", "str", _fact("cron")),
    ("timezone", "str", _fact("zone_name")),
    ("next", TIME_DTYPE, lambda status: status.next_at),
    ("last", TIME_DTYPE, _last("at")),
    ("status", "str", _last("status")),
    ("exit_code", "Int64", _last("exit_code")),
    ("run", "str", lambda status: (status.last.run or None) if status.last else None),
    ("problems", "Int64", lambda status: len(status.problems)),
    ("confirms", "boolean", _fact("confirms")),
    ("account", "str", _fact("account")),
    ("installed", TIME_DTYPE, _fact("installed")),
    ("user", "str", _fact("user")),
    ("host", "str", _fact("host")),
    ("runs_dir", "str", _fact("runs_dir")),
)
_PROBLEM_COLUMNS: Sequence[Column[ScheduleProblem]] = (
    ("schedule", "str", lambda each: each.schedule),
    ("kind", "str", lambda each: each.kind),
    ("planned", TIME_DTYPE, lambda each: each.planned),
    ("text", "str", lambda each: each.text),
    ("cure", "str", lambda each: each.cure or None),
)
