"""For the runbooks `changes` and `spend`: since when an account was read, and where nobody looked."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.errors import InputError
from lcnb.history.moments import parse_moment, to_datetime
from lcnb.history.readings import INSTANCES
from lcnb.runbooks.toolkit.reporting import CheckResult
from lcnb.runbooks.toolkit.typed_frames import typed_frame

if TYPE_CHECKING:
    from lcnb.history.summary import RecordedReading

GAP_DTYPES = {
    "after": "datetime64[us, UTC]",
    "before": "datetime64[us, UTC]",
    "hours": "Float64",
    "why": "str",
}


def complete_times(readings: pd.DataFrame) -> list[pd.Timestamp]:
    """Return when the machines were read completely, the oldest first. `readings` is a frame of `lc.readings()`."""
    of_machines = readings[(readings.kind == INSTANCES) & readings.complete]
    return sorted(of_machines["at"].tolist())


def list_gaps(readings: pd.DataFrame, since: datetime, until: datetime, min_hours: float) -> pd.DataFrame:
    """Return the times longer than `min_hours` without a complete reading of the machines, the oldest first.

    Args:
        readings: a frame of `lc.readings()`.
        since, until: only gaps that overlap this time are returned, in full.
        min_hours: a shorter time is no gap.

    Columns (`GAP_DTYPES`): `after` and `before`, the two complete readings; `hours` between them; `why` says that
    nobody read the account, or counts the readings in between that were not complete, with the reason of the last.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> reading = lc.record()
    >>> len(list_gaps(lc.readings(), reading.at, reading.at, 24))
    0
    """
    rows: list[dict[str, Any]] = []
    for before, after in pairwise(complete_times(readings)):
        hours = (after - before).total_seconds() / 3600
        if hours > min_hours and before < until and after > since:
            between = readings[
                (readings.kind == INSTANCES) & (readings["at"] > before) & (readings["at"] < after)
            ]
            rows.append(
                {"after": before, "before": after, "hours": hours, "why": _describe_failures(between)}
            )
    return typed_frame(rows, GAP_DTYPES)


def _describe_failures(failed: pd.DataFrame) -> str:
    if not len(failed):
        return "the account was not read"
    count = f"{len(failed)} reading{' was' if len(failed) == 1 else 's were'} not complete"
    return f"{count}: {failed.problem.iloc[-1]}"


def period_times(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the begin and the end of a period; without `until` it ends now. InputError for a text that is no time.

    >>> from datetime import UTC
    >>> period_times("24h", None, datetime(2026, 11, 24, 6, 30, tzinfo=UTC))[0].isoformat()
    '2026-11-23T06:30:00+00:00'
    """
    begin = to_datetime(parse_moment("since", since, now.timestamp()))
    end = to_datetime(parse_moment("until", until, now.timestamp())) if until else now
    if end < begin:
        raise InputError(
            f"{format_time(end)} is before since ({format_time(begin)})",
            field="until",
            value=until,
            cure="Pass the earlier time as since.",
        )
    return begin, end


def reading_check(reading: RecordedReading) -> CheckResult:
    """Return the arguments of `lcnb.run().check`: whether the machines were read completely."""
    return CheckResult(
        reading.problem is None,
        "The reading of the machines is complete",
        f"The reading of the machines is not complete: {reading.problem}; the newest complete one is used",
    )


def format_time(at: datetime) -> str:
    """Return a time as reports show it.

    >>> from datetime import UTC
    >>> format_time(datetime(2026, 11, 24, 6, 30, tzinfo=UTC))
    '2026-11-24 06:30 UTC'
    """
    return f"{at:%Y-%m-%d %H:%M} UTC"
