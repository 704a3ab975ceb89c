"""Points in time in the history: whole milliseconds since 1970 (UTC). `lcnb.times` reads those that people write."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.times import past_time

if TYPE_CHECKING:
    import pandas as pd

    Moment = str | date | datetime | pd.Timestamp

MOMENT_EXAMPLES = (
    "Examples: 2026-11-01 (midnight UTC), 2026-11-01T09:30 (UTC), 2026-11-01T09:30-03:00, 24h, 7d, 4w"
)


def parse_moment(name: str, value: Any, now: float) -> int:
    """Return a point in time in milliseconds since 1970.

    Args:
        name: The parameter, for the message.
        value: A date, a time, or a text: a date or time in ISO format, or how long ago (`24h`, `7d`, `4w`). A time
            without an offset is in UTC; a date is its midnight in UTC.
        now: The present, in seconds since 1970.

    Raises InputError for anything else, and for a time that has not come yet.

    >>> parse_moment("at", "1970-01-02", now=200_000.0)
    86400000
    >>> parse_moment("at", "24h", now=200_000.0)
    113600000
    """
    moment = past_time(value, datetime.fromtimestamp(now, UTC))
    if moment is None:
        raise InputError(field=name, expected="a date or time", value=value, cure=MOMENT_EXAMPLES)
    found = milliseconds(moment)
    if found > now * 1000:
        raise InputError(
            f"{moment.isoformat()} has not come yet", field=name, value=value, cure=MOMENT_EXAMPLES
        )
    return found


def milliseconds(moment: datetime) -> int:
    """Return a time with an offset in milliseconds since 1970, rounded down."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def to_datetime(at: int) -> datetime:
    """Return milliseconds since 1970 as a time in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)


def format_moment(at: int) -> str:
    """Return milliseconds since 1970 as people read them: `2026-11-01 09:30:00 UTC`."""
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S} UTC"
