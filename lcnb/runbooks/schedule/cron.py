"""Read cron expressions so that every scheduler reads them the same way, and translate them for systemd.

Each field is first written out as numbers, because schedulers differ in everything else: names, Sunday as 7, ranges
over the end of a field (`fri-mon`, `22-2`), a start with a step (`0/15`), `?`, and words such as `@daily`. Then cronsim
parses the result as Debian's cron does: when both a day of the month and a weekday are given, either is enough. An
expression that some scheduler cannot express is refused, and the message suggests one that all of them can.
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
#: What these words mean in cron, systemd, Kubernetes and Airflow.
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
    """One of the five fields: its name, its values in ascending order, and the names of the values."""

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


#: The values of a field, in ascending order; None represents a star.
_Values = tuple[int, ...] | None


@dataclass(frozen=True)
class CronExpression:
    """The times of a schedule: for each field its values, or None for a star.

    When both `days` and `weekdays` are given, a day that is in either of them is enough.
    """

    minutes: _Values
    hours: _Values
    days: _Values
    months: _Values
    weekdays: _Values

    def __str__(self) -> str:
        """Return the expression for cron, Kubernetes, GitHub and Airflow, with numbers, lists and ranges only."""
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join("*" if values is None else _format_spans(values, "-") for values in fields)

    @property
    def has_fixed_times(self) -> bool:
        """Whether both hour and minute are given: cron treats such a schedule differently when clocks change."""
        return bool(self.hours and self.minutes)

    def times(self, after: datetime) -> Iterator[datetime]:
        """Yield the scheduled times after `after`, in order; the end of the iteration is decades away.

        Pass a time without a zone: the yielded times are then those of a clock on the wall, whatever clocks change.
        """
        return _make_cronsim(str(self), str(self), after)

    def next(self, after: datetime) -> datetime:
        """Return the first scheduled time after `after`, in the same time zone.

        >>> parse_cron("0 6 * * 7").next(datetime(2026, 11, 24)).isoformat()
        '2026-11-29T06:00:00'
        """
        return next(_make_cronsim(str(self), str(self), after))

    def on_calendar(self, timezone: str | None = None) -> list[str]:
        """Return lines for systemd's OnCalendar which together mean the same.

        >>> parse_cron("*/20 6 13 * 5").on_calendar("UTC")
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
    """Return the times that an expression means.

    InputError when the expression is wrong, or when schedulers would read it differently.

    >>> str(parse_cron("0/20 6 * jan-mar FRI-mon"))
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
            "a star with a step next to another day means 'and' for some schedulers and 'or' for others; list the days",
        )
    numbers = [_expand_field(text, field, part) for field, part in zip(_CRON_FIELDS, parts, strict=True)]
    sim = _make_cronsim(text, " ".join(numbers), datetime(2026, 1, 1))
    weekdays_found = {each % 7 for each in sim.weekdays if isinstance(each, int)}
    found = (sim.minutes, sim.hours, sim.days, sim.months, weekdays_found)
    minutes, hours, month_days, months, week_days = (
        None if part == "*" else tuple(sorted(each)) for part, each in zip(numbers, found, strict=True)
    )
    month_days, week_days = _combine_days(month_days, week_days)
    return CronExpression(
        minutes=_star_if_full(_CRON_FIELDS[0], minutes),
        hours=_star_if_full(_CRON_FIELDS[1], hours),
        days=month_days,
        months=_star_if_full(_CRON_FIELDS[3], months),
        weekdays=week_days,
    )


def _star_if_full(field: _CronField, values: _Values) -> _Values:
    """Return None, which represents a star, when the values are all that the field has."""
    return None if values is None or set(field.values) <= set(values) else values


def _combine_days(days: _Values, weekdays: _Values) -> tuple[_Values, _Values]:
    """Simplify the two fields for days. Either is enough, so when one of them is every day, both become a star."""
    found = (_star_if_full(_CRON_FIELDS[2], days), _star_if_full(_CRON_FIELDS[4], weekdays))
    return (None, None) if days and weekdays and None in found else found


def _split_fields(text: str) -> list[str]:
    """Return the five fields, also for a word such as `@daily`. InputError for another number."""
    parts = text.split()
    if parts and parts[0].startswith("@"):
        fields = _SHORTCUTS.get(parts[0].lower()) if len(parts) == 1 else None
        if fields is None:
            raise _cron_error(
                text,
                f"not every scheduler knows this word; they all know {', '.join(_SHORTCUTS)}. {_EXAMPLE_TEXT}",
            )
        return fields.split()
    if len(parts) == 5:
        return parts
    raise _cron_error(
        text, f"it has {len(parts)} fields. {''.join(_suggest_without_seconds(parts))}{_EXAMPLE_TEXT}"
    )


def _suggest_without_seconds(parts: list[str]) -> Iterator[str]:
    """Yield the expression that is left without the seconds or the year, as far as it is valid."""
    if len(parts) not in (6, 7):
        return
    readings = [("the first field is the seconds", parts[1:6])]
    if len(parts) == 6:
        last = "year" if re.fullmatch(r"\d{4}", parts[5]) else "seconds"
        readings = [*readings, (f"the last field is the {last}", parts[:5])]
    for condition, five in readings:
        with suppress(InputError):
            parse_cron(" ".join(five))
            yield f'If {condition}, write "{" ".join(five)}". '


def _refuse_extensions(text: str, parts: Sequence[str], number: int) -> None:
    """InputError for signs that only some schedulers know; the message suggests what all of them know."""
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
        raise _cron_error(text, f"{where}: ? is known for days only, where it means *; write *")
    if re.search(r"\bH\b|~", part, re.IGNORECASE):
        some = field.values[len(field.values) // 3]
        raise _cron_error(
            text, f"{where}: H and ~ are not known to every scheduler; choose a number, such as {some}"
        )


def _expand_field(text: str, field: _CronField, part: str) -> str:
    """Return a field as a star or a list of numbers. What cannot be read as numbers is left for cronsim to refuse."""
    if part == "*":
        return part
    found: set[int] = set()
    for item in part.split(","):
        values = _item_values(text, field, part, item)
        if values is None:
            return part
        found |= {each % 7 if field.names is _WEEKDAY_NAMES else each for each in values}
    return ",".join(map(str, sorted(found)))


def _item_values(text: str, field: _CronField, part: str, item: str) -> list[int] | None:
    """Return the values of one item, such as `5`, `mon-fri` or `0-30/10`; None when it is not made of numbers."""
    span, slash, step_text = item.partition("/")
    step = int(step_text) if step_text.isdecimal() else 0
    if step > len(field.values):
        raise _cron_error(
            text,
            f"{field.name} {part!r}: the field has {len(field.values)} values, so a step of {step} takes only the "
            'first. Give the step to the next field: "0 */2 * * *" is every two hours',
        )
    if slash and not step:
        return None
    if span == "*":
        return list(field.values)[:: step or 1]
    start_text, dash, end_text = span.partition("-")
    start, end = _field_value(field, start_text), _field_value(field, end_text)
    if start is None or (dash and end is None):
        return None
    if end is not None:
        return _wrapped_range(field, start, end)[:: step or 1]
    return _open_range(text, field, part, start, step)[::step] if slash else [start]


def _field_value(field: _CronField, text: str) -> int | None:
    """Return the value of a number or of a name with at least three letters. Sunday may be 7."""
    if not text.isascii():
        return None
    if len(text) >= 3 and text.isalpha():
        return next(
            (
                value
                for value, name in zip(field.values, field.names, strict=False)
                if name.startswith(text.upper())
            ),
            None,
        )
    if not text.isdecimal():
        return None
    number = int(text)
    return number if number in field.values or (field.names is _WEEKDAY_NAMES and number == 7) else None


def _wrapped_range(field: _CronField, start: int, end: int) -> list[int]:
    """Return the values from `start` to `end`, over the end of the field if needed: Friday to Monday, 22 to 2."""
    if start <= end:
        return list(range(start, end + 1))
    first, count = field.values[0], len(field.values)
    return [first + (each - first) % count for each in range(start, end + count + 1)]


def _open_range(text: str, field: _CronField, part: str, start: int, step: int) -> list[int]:
    """Return the values from `start` to the end of the field. InputError where schedulers end the week differently."""
    values = list(range(start, field.values[-1] + 1))
    if field.names is _WEEKDAY_NAMES and (7 - start) % step == 0 and start % 7:
        raise _cron_error(
            text,
            f"{field.name} {part!r}: a week ends on day 6 for some schedulers, on day 7 for others; list the days",
        )
    return values or [0]


def checked_timezone(name: str | None) -> str | None:
    """Return the name of a time zone unchanged. InputError when this machine does not know the zone."""
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"no time zone {name!r}; use a name such as America/Sao_Paulo or UTC") from None
    return name


def _make_cronsim(text: str, written: str, after: datetime) -> CronSim:
    """Parse fields that are written out as numbers. An error quotes the text that the user gave."""
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(written, after)
    except CronSimError as wrong:
        raise _cron_error(text, f"{wrong}{_wrong_field(text)}. {_EXAMPLE_TEXT}") from None


def _wrong_field(text: str) -> str:
    """Return the first field that is not made of values of its range, with that range; "" when there is none."""
    for field, part in zip(_CRON_FIELDS, text.split(), strict=False):
        if part != "?" and _expand_field(text, field, part) == part and not re.fullmatch(r"[\d,]+|\*", part):
            return f" {part!r}"
        numbers = [int(each) for each in re.findall(r"\d+", part.partition("/")[0])]
        if any(each not in field.values and each != 7 for each in numbers):
            return f" {part!r}, which must be from {field.values[0]} to {field.values[-1]}"
    return ""


def _cron_error(text: str, problem: str) -> InputError:
    return InputError(f"cron {text!r}: {problem[0].lower()}{problem[1:]}")


def _format_spans(values: Iterable[int], to: str, width: int = 1) -> str:
    """Return values as text, with ranges of at least three numbers.

    >>> _format_spans([1, 2, 3, 5, 6], "-"), _format_spans([1, 2, 3], "..", width=2)
    ('1-3,5,6', '01..03')
    """
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
