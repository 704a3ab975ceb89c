"""A cron expression that every scheduler reads the same way, and what it is in systemd's words.

cronsim parses it (as Debian's cron: with a day of the month *and* a weekday, either is enough). What
schedulers read differently is refused with the way to say it; names and Sunday as 7 are rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lcnb.errors import InputError

if TYPE_CHECKING:
    from cronsim import CronSim

_EXAMPLE = (
    'Five fields: minute, hour, day of month, month, weekday; "30 6 * * 1-5" is 06:30 from Monday to Friday.'
)
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_RANGES = (range(60), range(24), range(1, 32), range(1, 13), range(7))


@dataclass(frozen=True)
class Cron:
    """When: for each field the values that fit, or None for a star. With both days given, either is enough."""

    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    days: tuple[int, ...] | None
    months: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None

    def __str__(self) -> str:
        """As text for cron, Kubernetes, GitHub and Airflow: numbers, lists and ranges alone."""
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join("*" if values is None else _spans(values, "-") for values in fields)

    def next(self, after: datetime) -> datetime:
        """The first moment after that one, in its time zone.

        >>> parse("0 6 * * 7").next(datetime(2026, 11, 24)).isoformat()
        '2026-11-29T06:00:00'
        """
        return next(_sim(str(self), after))

    def on_calendar(self, timezone: str | None = None) -> list[str]:
        """Lines for systemd's OnCalendar, which together mean the same.

        >>> parse("*/20 6 13 * 5").on_calendar("UTC")
        ['*-*-13 06:00,20,40:00 UTC', 'Fri *-*-* 06:00,20,40:00 UTC']
        """
        months, hours, minutes = (
            _spans(values, "..", 2) if values else "*" for values in (self.months, self.hours, self.minutes)
        )
        rest = f"{hours}:{minutes}:00" + (f" {timezone}" if timezone else "")
        days = _spans(self.days, "..", 2) if self.days else "*"
        lines = [f"*-{months}-{days} {rest}"] if self.days or not self.weekdays else []
        if self.weekdays:
            names = ",".join(_WEEKDAYS[each] for each in self.weekdays)
            lines.append(f"{names} *-{months}-* {rest}")
        return lines


def parse(text: str) -> Cron:
    """The expression as values. InputError says what is wrong with it, or read differently somewhere.

    >>> str(parse("0 6 * jan-mar sun,6"))
    '0 6 * 1-3 0,6'
    """
    parts = text.split()
    if len(parts) != 5:
        raise _wrong(text, f"it has {len(parts)} fields. {_EXAMPLE}")
    names = ("minute", "hour", "day of month", "month", "weekday")
    for name, part in zip(names, parts, strict=True):
        if re.search(r"(?<![\d-])\d+/", part):
            raise _wrong(
                text, f"{name} {part!r}: some read a start with a step, some do not; say it as 5-59/15"
            )
        if name in ("day of month", "weekday") and re.search(r"#|\?|\b(L|LW|\d+[LW])\b", part, re.IGNORECASE):
            raise _wrong(
                text, f"{name} {part!r}: L, W, # and ? are not known to every scheduler; list the days"
            )
    days, weekdays = parts[2], parts[4]
    if "*" not in (days, weekdays) and (days.startswith("*") or weekdays.startswith("*")):
        raise _wrong(
            text,
            "a step after a star beside another day is 'and' for some and 'or' for others; list the days",
        )
    sim = _sim(text, datetime(2026, 1, 1))
    weekdays_found = {
        each % 7 for each in sim.weekdays if isinstance(each, int)
    }  # a pair is 5#2, refused above
    found = (sim.minutes, sim.hours, sim.days, sim.months, weekdays_found)
    values = [
        None if part == "*" or (number in (0, 1, 3) and set(full) <= set(each)) else tuple(sorted(each))
        for number, (part, each, full) in enumerate(zip(parts, found, _RANGES, strict=True))
    ]
    full_days, full_weekdays = values[2] == tuple(_RANGES[2]), values[4] == tuple(_RANGES[4])
    if values[2] and values[4] and (full_days or full_weekdays):  # either is enough, and one is each day
        values[2] = values[4] = None
    elif full_days or full_weekdays:
        values[2], values[4] = (None, values[4]) if full_days else (values[2], None)
    return Cron(*values)


def timezone(name: str | None) -> str | None:
    """A time zone's name, if there is such a one. InputError otherwise."""
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"no time zone {name!r}; they are called as America/Sao_Paulo, or UTC") from None
    return name


def _sim(text: str, after: datetime) -> CronSim:
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(text, after)
    except CronSimError as wrong:
        raise _wrong(text, f"{wrong}. {_EXAMPLE}") from None


def _wrong(text: str, what: str) -> InputError:
    return InputError(f"cron {text!r}: {what[0].lower()}{what[1:]}")


def _spans(values: Iterable[int], to: str, width: int = 1) -> str:
    """`1-5,7` for 1, 2, 3, 4, 5, 7; a span begins at three numbers."""
    spans: list[list[int]] = []
    for value in values:
        if spans and value == spans[-1][-1] + 1:
            spans[-1].append(value)
        else:
            spans.append([value])
    texts = []
    for span in spans:
        if len(span) > 2:
            texts.append(f"{span[0]:0{width}}{to}{span[-1]:0{width}}")
        else:
            texts += [f"{each:0{width}}" for each in span]
    return ",".join(texts)
