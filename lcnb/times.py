"""Times and durations as people write them: `2026-11-01`, `2026-11-01T09:30-03:00`; `30m`, `8h`, `7d`, `1d12h`.

All times of lcnb are in UTC, so a time without an offset is in UTC, and a day begins at midnight UTC: the same text
means the same on a laptop and on a server.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from lcnb.errors import InputError

#: Unit → its name as an argument of timedelta.
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_FORM = re.compile("".join(rf"(?:(?P<{name}>[0-9]{{1,9}}){unit})?" for unit, name in _UNITS.items()))


def to_utc(value: object) -> datetime | None:
    """Return a date, a time, or an ISO text of one, as a time in UTC; None for anything else.

    >>> to_utc("2026-11-01T09:30-03:00").isoformat()
    '2026-11-01T12:30:00+00:00'
    >>> to_utc("2026-11-01").isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime) and value == value:  # NaT is a datetime too
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def is_duration(text: object) -> bool:
    """Whether a text has the form of a duration, such as `8h`."""
    return isinstance(text, str) and bool(text.strip()) and bool(_FORM.fullmatch(text.strip().lower()))


def past_time(value: object, now: datetime) -> datetime | None:
    """Return a time, or how long ago it was (`7d`), as a time in UTC; None for anything else.

    >>> past_time("24h", datetime(2026, 11, 2, tzinfo=UTC)).isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    if not isinstance(value, str) or not is_duration(value):
        return to_utc(value)
    try:
        return now - parse_duration(value)
    except (InputError, OverflowError):
        return None


def parse_duration(text: str | timedelta, field: str = "") -> timedelta:
    """Return a duration above 0. InputError, which names `field`, for anything else.

    Numbers are whole and each has its unit: w, d, h, m (minutes) or s, from the longest to the shortest.

    >>> parse_duration("1d12h")
    datetime.timedelta(days=1, seconds=43200)
    """
    found: timedelta | None = text if isinstance(text, timedelta) else None
    if isinstance(text, str) and (match := _FORM.fullmatch(text.strip().lower())):
        try:
            found = timedelta(**{name: int(number) for name, number in match.groupdict("0").items()})
        except OverflowError:
            found = None
    if found is None or found <= timedelta(0):
        above = " above 0" if found is not None else ""
        expected = f"a duration{above} such as 30m, 8h, 7d or 1d12h, without spaces"
        raise InputError(field=field, expected=expected, value=text)
    return found
