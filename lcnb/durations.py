"""Durations as people write them: `30m`, `8h`, `7d`, `1d12h`."""

from __future__ import annotations

import re
from datetime import timedelta

from lcnb.errors import InputError

#: Unit → its name as an argument of timedelta.
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_FORM = re.compile("".join(rf"(?:(?P<{name}>[0-9]{{1,9}}){unit})?" for unit, name in _UNITS.items()))


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
        raise InputError(field=field, expected="a duration such as 30m, 8h, 7d or 1d12h", value=text)
    return found
