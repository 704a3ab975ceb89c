"""A cron expression that every scheduler reads the same way, and what it is in systemd's words.

Each field is first written out as numbers, because schedulers differ in what they accept beyond that: names, Sunday
as 7, ranges over the end (`fri-mon`, `22-2`), a start with a step (`0/15`), `?`, and words such as `@daily`. cronsim
then parses it (as Debian's cron: with a day of the month *and* a weekday, either is enough). What has no equivalent
in every scheduler is refused, and the message names an expression that has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lcnb.errors import InputError

if TYPE_CHECKING:
    from cronsim import CronSim

_EXAMPLE_TEXT = (
    'Five fields: minute, hour, day of month, month, weekday; "30 6 * * 1-5" is 06:30 from Monday to Friday.'
)
_WEEKDAY_ABBREVIATIONS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_WEEKDAY_NAMES = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_MONTH_NAMES = (
    "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER",
    "DECEMBER",
)  # fmt: skip
#: What cron, systemd, Kubernetes and Airflow mean by these words.
_SHORTCUTS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True)
class _CronField:
    """A field of an expression: its name, its values (in the order in which a range runs), their names."""

    name: str
    values: range
    names: tuple[str, ...] = ()


_CRON_FIELDS = (
    _CronField("minute", range(60)),
    _CronField("hour", range(24)),
    _CronField("day of month", range(1, 32)),
    _CronField("month", range(1, 13), _MONTH_NAMES),
    _CronField("weekday", range(7), _WEEKDAY_NAMES),
)


@dataclass(frozen=True)
class CronExpression:
    """When: for each field the values that fit, or None for a star. With both days given, either is enough."""

    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    days: tuple[int, ...] | None
    months: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None

    def __str__(self) -> str:
        """As text for cron, Kubernetes, GitHub and Airflow: numbers, lists and ranges alone."""
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join("*" if values is None else _format_spans(values, "-") for values in fields)

    def next(self, after: datetime) -> datetime:
        """The first moment after that one, in its time zone.

        >>> parse("0 6 * * 7").next(datetime(2026, 11, 24)).isoformat()
        '2026-11-29T06:00:00'
        """
        return next(_make_cronsim(str(self), str(self), after))

    def on_calendar(self, timezone: str | None = None) -> list[str]:
        """Lines for systemd's OnCalendar, which together mean the same.

        >>> parse("*/20 6 13 * 5").on_calendar("UTC")
        ['*-*-13 06:00,20,40:00 UTC', 'Fri *-*-* 06:00,20,40:00 UTC']
        """
        months, hours, minutes = (
            _format_spans(values, "..", 2) if values else "*"
            for values in (self.months, self.hours, self.minutes)
        )
        rest = f"{hours}:{minutes}:00" + (f" {timezone}" if timezone else "")
        days = _format_spans(self.days, "..", 2) if self.days else "*"
        lines = [f"*-{months}-{days} {rest}"] if self.days or not self.weekdays else []
        if self.weekdays:
            names = ",".join(_WEEKDAY_ABBREVIATIONS[each] for each in self.weekdays)
            lines.append(f"{names} *-{months}-* {rest}")
        return lines


def parse_cron(text: str) -> CronExpression:
    """The expression as values. InputError says what is wrong with it, or read differently somewhere.

    >>> str(parse("0/20 6 * jan-mar FRI-mon"))
    '0,20,40 6 * 1-3 0,1,5,6'
    """
    parts = _split_fields(text)
    days, weekdays = ("*" if part == "?" else part for part in (parts[2], parts[4]))
    parts[2], parts[4] = days, weekdays
    for number in range(len(parts)):
        _refuse_extensions(text, parts, number)
    if "*" not in (days, weekdays) and (days.startswith("*") or weekdays.startswith("*")):
        raise _cron_error(
            text,
            "a step after a star beside another day is 'and' for some and 'or' for others; list the days",
        )
    written = [_expand_field(text, field, part) for field, part in zip(_CRON_FIELDS, parts, strict=True)]
    sim = _make_cronsim(text, " ".join(written), datetime(2026, 1, 1))
    weekdays_found = {each % 7 for each in sim.weekdays if isinstance(each, int)}
    found = (sim.minutes, sim.hours, sim.days, sim.months, weekdays_found)
    values = [
        None
        if part == "*" or (number in (0, 1, 3) and set(field.values) <= set(each))
        else tuple(sorted(each))
        for number, (part, each, field) in enumerate(zip(written, found, _CRON_FIELDS, strict=True))
    ]
    full_days, full_weekdays = (values[each] == tuple(_CRON_FIELDS[each].values) for each in (2, 4))
    if values[2] and values[4] and (full_days or full_weekdays):  # either is enough, and one is each day
        values[2] = values[4] = None
    elif full_days or full_weekdays:
        values[2], values[4] = (None, values[4]) if full_days else (values[2], None)
    return CronExpression(*values)


def _split_fields(text: str) -> list[str]:
    """The five fields; a word such as `@daily` has five too. InputError for another number of fields."""
    parts = text.split()
    if parts and parts[0].startswith("@"):
        fields = _SHORTCUTS.get(parts[0].lower()) if len(parts) == 1 else None
        if fields is None:
            raise _cron_error(
                text,
                f"this is no time that every scheduler knows; {', '.join(_SHORTCUTS)} are. {_EXAMPLE_TEXT}",
            )
        return fields.split()
    if len(parts) == 5:
        return parts
    raise _cron_error(
        text, f"it has {len(parts)} fields. {''.join(_suggest_without_seconds(parts))}{_EXAMPLE_TEXT}"
    )


def _suggest_without_seconds(parts: list[str]) -> Iterator[str]:
    """What to say in place of an expression with seconds or a year, as far as that is an expression."""
    if len(parts) not in (6, 7):
        return
    readings = [("the first field is the seconds", parts[1:6])]
    if len(parts) == 6:
        last = "year" if re.fullmatch(r"\d{4}", parts[5]) else "seconds"
        readings = [*readings, (f"the last field is the {last}", parts[:5])]
    for condition, five in readings:
        with suppress(InputError):
            parse_cron(" ".join(five))
            yield f'If {condition}, say it as "{" ".join(five)}". '


def _refuse_extensions(text: str, parts: Sequence[str], number: int) -> None:
    """InputError for the signs of single schedulers, with what every scheduler knows in their place."""
    field, part = _CRON_FIELDS[number], parts[number]
    where = f"{field.name} {part!r}"

    def instead(**fields: str) -> str:
        given = {"day": parts[2], "weekday": parts[4], **fields}
        return f'"{parts[0]} {parts[1]} {given["day"]} {parts[3]} {given["weekday"]}"'

    if number == 4 and re.search(r"#|\b(L|\d+L|[A-Z]{3}L)\b", part, re.IGNORECASE):
        weekly = re.sub(r"#\d+|(?<=\w)L\b", "", part, flags=re.IGNORECASE)
        weekly = re.sub(r"\bL\b", "6", weekly, flags=re.IGNORECASE)
        cure = f"{instead(weekday=weekly)} runs every week, and the notebook can look at the date"
        raise _cron_error(text, f"{where}: L, W and # are not known to every scheduler; {cure}")
    if number == 2 and re.search(r"#|\b(L|LW|\d+W)\b", part, re.IGNORECASE):
        if "W" in part.upper():
            cure = f"{instead(day='*', weekday='1-5')} runs on each working day"
        else:
            cure = f"{instead(day='28')} runs on the last day that every month has"
        raise _cron_error(text, f"{where}: L, W and # are not known to every scheduler; {cure}")
    if "?" in part:
        raise _cron_error(text, f"{where}: ? is known for days only, where it means *; say *")
    if re.search(r"\bH\b|~", part, re.IGNORECASE):
        some = field.values[len(field.values) // 3]
        raise _cron_error(
            text, f"{where}: H and ~ are not known to every scheduler; choose a number, such as {some}"
        )


def _expand_field(text: str, field: _CronField, part: str) -> str:
    """The field as a star or a list of numbers. What is no list of numbers, ranges and steps is left as it is."""
    found: set[int] = set()
    for item in part.split(","):
        span, slash, step_text = item.partition("/")
        step = int(step_text) if step_text.isdecimal() else 0
        start_text, dash, end_text = span.partition("-")
        start, end = _field_value(field, start_text), _field_value(field, end_text)
        if step > len(field.values):
            raise _cron_error(
                text,
                f"{field.name} {part!r}: the field has {len(field.values)} values, so a step of {step} takes only the "
                'first. Give the step to the next field: "0 */2 * * *" is every two hours',
            )
        if (slash and not step) or (span != "*" and (start is None or (dash and end is None))):
            return part
        if span == "*":
            values = list(field.values)
        elif start is not None and end is not None:
            values = _wrapped_range(field, start, end)
        elif start is not None and slash:
            values = _open_range(text, field, part, start, step)
        else:
            values = [start] if start is not None else []
        found |= {each % 7 if field.names is _WEEKDAY_NAMES else each for each in values[:: step or 1]}
    return "*" if part == "*" else ",".join(map(str, sorted(found)))


def _field_value(field: _CronField, text: str) -> int | None:
    """A number or a name (three letters of it or more, in any case) as a value; Sunday may be 7."""
    if len(text) >= 3 and text.isascii() and text.isalpha():
        found = [number for number, name in enumerate(field.names) if name.startswith(text.upper())]
        return field.values[found[0]] if found else None
    if not text.isdecimal() or not text.isascii():
        return None
    number = int(text)
    return number if number in field.values or (field.names is _WEEKDAY_NAMES and number == 7) else None


def _wrapped_range(field: _CronField, start: int, end: int) -> list[int]:
    """From `start` to `end`, over the end of the field where that is the way: Friday to Monday, 22 to 2."""
    if start <= end:
        return list(range(start, end + 1))
    first, count = field.values[0], len(field.values)
    return [first + (each - first) % count for each in range(start, end + count + 1)]


def _open_range(text: str, field: _CronField, part: str, start: int, step: int) -> list[int]:
    """From `start` to the end of the field. A week ends on Saturday for some, on Sunday for others."""
    values = list(range(start, field.values[-1] + 1))
    if field.names is _WEEKDAY_NAMES and (7 - start) % step == 0 and start % 7:
        raise _cron_error(
            text,
            f"{field.name} {part!r}: a week ends on day 6 for some schedulers, on 7 for others; list the days",
        )
    return values or [0]


def checked_timezone(name: str | None) -> str | None:
    """A time zone's name, if there is such a one. InputError otherwise."""
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"no time zone {name!r}; they are called as America/Sao_Paulo, or UTC") from None
    return name


def _make_cronsim(text: str, written: str, after: datetime) -> CronSim:
    """cronsim's reading of the fields that are written out; an error shows the text that was given."""
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(written, after)
    except CronSimError as wrong:
        raise _cron_error(text, f"{wrong}. {_EXAMPLE_TEXT}") from None


def _cron_error(text: str, what: str) -> InputError:
    return InputError(f"cron {text!r}: {what[0].lower()}{what[1:]}")


def _format_spans(values: Iterable[int], to: str, width: int = 1) -> str:
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
