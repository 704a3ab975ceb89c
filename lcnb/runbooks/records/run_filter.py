"""Which runs `lcnb runs --status failed --runbook inventory --since 7d` lists, and the short ids that it shows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import get_args

from lcnb.errors import InputError
from lcnb.runbooks.ends import RunStatus
from lcnb.runbooks.records.run_record import RunRecord
from lcnb.suggestions import did_you_mean
from lcnb.times import is_duration, past_time


def select_runs(
    found: Iterable[RunRecord],
    *,
    status: str | None = None,
    runbook: str | None = None,
    since: str | None = None,
    now: datetime | None = None,
) -> list[RunRecord]:
    """Return the runs with this status, of this runbook, that started at `since` or later; None selects every run.

    `since` is a date or time of ISO 8601, in UTC unless it names a time zone, or a number of days, hours or minutes
    before `now`: 7d, 12h, 30m. Raises InputError for another `since`, for a status that no run can have, and for a
    runbook that is not shipped and of which there is no run.

    >>> select_runs([], since="7d")
    []
    """
    runs = list(found)
    start = None if since is None else parse_since(since, now or datetime.now(UTC))
    if status is not None:
        status = _checked_name("--status", status.lower(), "status", get_args(RunStatus))
    if runbook is not None:
        from lcnb.runbooks.notebook.find import shipped_names

        known = {*shipped_names(), *filter(None, map(_runbook_name, runs))}
        runbook = _checked_name("--runbook", runbook, "runbook", sorted(known))
    return [
        run
        for run in runs
        if status in (None, run.status)
        and runbook in (None, _runbook_name(run))
        and (start is None or _started_since(run, start))
    ]


def _started_since(run: RunRecord, start: datetime) -> bool:
    """Whether a run started at a time or later; a record without its time does not say so."""
    return run.started is not None and run.started >= start


def _runbook_name(run: RunRecord) -> str | None:
    name: str | None = run.typed_fact("runbook", str)
    return name


def _checked_name(option: str, value: str, what: str, known: Sequence[str]) -> str:
    if value in known:
        return value
    raise InputError(
        f"no run can be found by the {what} {value!r}{did_you_mean(value, known)}. Known: {', '.join(known)}",
        field=option,
        value=value,
    )


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time that `--since` names. Raises InputError for a text that is no time.

    >>> parse_since("2d", datetime(2026, 11, 30, tzinfo=UTC)).isoformat()
    '2026-11-28T00:00:00+00:00'
    >>> parse_since("2026-11-30 08:00", datetime(2026, 12, 1, tzinfo=UTC)).isoformat()
    '2026-11-30T08:00:00+00:00'
    """
    span = text.replace(" ", "")
    found = past_time(span if is_duration(span) else text, now)
    if found is None:
        raise InputError(
            field="--since",
            expected="a date or time such as 2026-11-30 or 2026-11-30T08:00, or a span such as 7d, 12h, 30m",
            value=text,
        )
    return found


#: Characters of a short id: the time with which an id begins.
SHORT_ID_LENGTH = 16


def short_ids(names: Iterable[str]) -> dict[str, str]:
    """Return for each id its beginning that commands accept: at least the time, and no other id begins with it.

    >>> short_ids(["20261130T060000Z-drift-a1", "20261130T070000Z-drift-b2"])["20261130T060000Z-drift-a1"]
    '20261130T060000Z'
    """
    ordered = sorted(set(names))
    found = {}
    for before, name, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        shared = max(len(os.path.commonprefix([name, other])) for other in (before, after))  # noqa: RUF071 - characters
        found[name] = name[: max(SHORT_ID_LENGTH, shared + 1)]
    return found
