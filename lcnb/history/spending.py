"""What the machines cost over time, with a lower and an upper bound, because nobody looks all the time.

At a reading it is known which machines there are and what each costs per month. Between two readings the assumption
is: at each moment a machine was as one of the two readings found it. So while a machine is the same at both, its cost
is exact; where it appeared, is gone or changed its plan, price or group, the lower bound has the cheaper of both for
the whole time between them, and the upper bound the dearer. What the assumption excludes is not counted: a machine that
existed only between two readings, or had a third plan there. `longest_gap_hours` shows how long nobody looked.

A month of a price has 730 hours. Machines that are off are counted: they may be charged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lcnb.errors import InputError
from lcnb.facts.machine_facts import MachineFacts
from lcnb.frames.grouping import GROUP_COLUMNS, OWNER, TAG_PREFIX, check_group
from lcnb.frames.pricing import HOURS_PER_MONTH
from lcnb.history.moments import format_moment, milliseconds, to_datetime
from lcnb.history.past import reading_time
from lcnb.history.stored import StoredHistory
from lcnb.history.timeline import Span, Timeline, time_column

if TYPE_CHECKING:
    import pandas as pd

#: Value of `freq` → name of the first column.
PERIODS = {"D": "day", "MS": "month"}
#: The group of all machines.
EVERYTHING = "all"
MS_PER_HOUR = 3_600_000.0
#: Decimals of amounts: sums of many machines are exact to less than that.
AMOUNT_DECIMALS = 6
SPENDING_DTYPES = {
    "group": "str", "currencycode": "str", "lower": "Float64", "upper": "Float64", "machines": "Int64",
    "unpriced": "Int64", "hours": "Float64", "uncertain_hours": "Float64", "longest_gap_hours": "Float64",
}  # fmt: skip


class Cell(NamedTuple):
    """A group of machines in one currency; without a currency, those without a price."""

    group: str | None
    currencycode: str | None


class _Charge(NamedTuple):
    """A machine in a cell, at a price per month."""

    cell: Cell
    monthly: float


@dataclass
class _CellIntervals:
    """The intervals of the machines of a cell: begin, end, and bounds of the monthly cost in it."""

    rows: list[tuple[int, int, float, float]] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)

    def add(self, machine: str, begin: int, end: int, lower: float, upper: float) -> None:
        if end > begin:
            self.rows.append((begin, end, lower, upper))
            self.machines.append(machine)


def spending_frame(
    stored: StoredHistory,
    since: int,
    until: int,
    by: str | None = None,
    freq: str = "D",
    tags: str = "then",
) -> pd.DataFrame:
    """Return what the machines of an account cost, per period, group and currency, from its history.

    `since` and `until` are in milliseconds since 1970. The other arguments and the columns are described at `lc.spend`.
    """
    if freq not in PERIODS:
        raise InputError(field="freq", expected="'D' (days) or 'MS' (months)", value=freq)
    timeline = Timeline(stored)
    if not timeline.times:
        reading_time(stored, until, "until")
    group_of = _make_grouping(timeline, by, tags)
    begin, end = max(since, timeline.times[0]), min(until, timeline.times[-1])
    edges = _period_edges(begin, end, freq)
    cells: dict[Cell, _CellIntervals] = defaultdict(_CellIntervals)
    for identifier, spans in timeline.spans():
        charges = [_span_charge(span, group_of) for span in spans]
        _add_intervals(identifier, charges, timeline.times, cells)
    frame = _cells_frame(cells, edges, timeline.times, PERIODS[freq])
    if frame.empty:
        frame.attrs["lcnb"]["reason"] = _empty_reason(timeline.times, since, until, edges)
    return frame


def _empty_reason(times: Sequence[int], since: int, until: int, edges: Sequence[int]) -> str:
    """Return why there is no cost to count."""
    if edges:
        return "no machine was listed in this time"
    if len(times) == 1:
        return (
            f"this account was read once, at {format_moment(times[0])}, and cost is counted between two readings. Each "
            "later reading adds to it; `lcnb record` makes one, for example every hour"
        )
    return (
        f"the time from {format_moment(since)} to {format_moment(until)} is not between the first and the last reading "
        f"({format_moment(times[0])} and {format_moment(times[-1])})"
    )


# --- groups ---------------------------------------------------------------------------------------------

#: Returns the group of a span; None where the machine has no such value.
_Grouping = Callable[[Span], str | None]


def _make_grouping(timeline: Timeline, by: str | None, tags: str) -> _Grouping:
    if tags not in ("then", "now"):
        raise InputError(field="tags", expected="'then' or 'now'", value=tags)
    if by is None:
        return lambda span: EVERYTHING
    check_group(by)
    if by in GROUP_COLUMNS:
        return lambda span: span.values[by]
    if tags == "then":
        return lambda span: _fact_text(span.facts, by)
    newest = timeline.newest_facts()
    return lambda span: _fact_text(newest.get(span.identifier), by)


def _fact_text(facts: MachineFacts | None, name: str) -> str | None:
    """Return the owner of a machine, or the value of a tag, which is its key for a bare one."""
    if facts is None:
        return None
    if name == OWNER:
        return facts.owner or None
    key = name.removeprefix(TAG_PREFIX)
    return (facts.tags[key] or key) if key in facts.tags else None


def _span_charge(span: Span, group_of: _Grouping) -> tuple[int, int, _Charge]:
    monthly, code = span.values["monthly_value"], span.values["currencycode"]
    priced = monthly is not None and code is not None
    cell = Cell(group_of(span), code if priced else None)
    return span.first, span.end, _Charge(cell, monthly if priced else 0.0)


# --- bounds ---------------------------------------------------------------------------------------------


def _add_intervals(
    machine: str,
    charges: Sequence[tuple[int, int, _Charge]],
    times: Sequence[int],
    cells: Mapping[Cell, _CellIntervals],
) -> None:
    """Add what a machine may have cost: exactly between equal readings, with bounds where it changed."""
    previous_end, previous = 0, None
    for first, end, charge in charges:
        if previous is not None and previous_end < first:  # it was gone in between
            _add_transition(machine, previous, None, previous_end, times, cells)
            previous = None
        _add_transition(machine, previous, charge, first, times, cells)
        cells[charge.cell].add(machine, times[first], times[end - 1], charge.monthly, charge.monthly)
        previous_end, previous = end, charge
    if previous is not None:
        _add_transition(machine, previous, None, previous_end, times, cells)


def _add_transition(
    machine: str,
    before: _Charge | None,
    after: _Charge | None,
    position: int,
    times: Sequence[int],
    cells: Mapping[Cell, _CellIntervals],
) -> None:
    """Add the time between a reading and the one before it, at which a machine was something else or absent."""
    if not 0 < position < len(times):
        return
    begin, end = times[position - 1], times[position]
    if before is not None and after is not None and before.cell == after.cell:
        bounds = sorted((before.monthly, after.monthly))
        cells[before.cell].add(machine, begin, end, bounds[0], bounds[1])
        return
    for charge in (before, after):
        if charge is not None:
            cells[charge.cell].add(machine, begin, end, 0.0, charge.monthly)


# --- periods --------------------------------------------------------------------------------------------


def _period_edges(begin: int, end: int, freq: str) -> list[int]:
    """Return the begin, each start of a day or month (UTC) after it, and the end; nothing if there is no time."""
    if end <= begin:
        return []
    edges, start = [begin], period_start(begin, freq)
    while (start := _next_period(start, freq)) and milliseconds(start) < end:
        edges.append(milliseconds(start))
    return [*edges, end]


def period_start(at: int, freq: str) -> datetime:
    """Return the begin of the day or month (UTC) of a time in milliseconds since 1970."""
    day = to_datetime(at).replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if freq == "MS" else day


def _next_period(start: datetime, freq: str) -> datetime:
    if freq == "D":
        return start + timedelta(days=1)
    return datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)


def _cells_frame(
    cells: Mapping[Cell, _CellIntervals], edges: Sequence[int], times: Sequence[int], name: str
) -> pd.DataFrame:
    import pandas as pd

    freq = next(freq for freq, column in PERIODS.items() if column == name)
    starts = [milliseconds(period_start(edge, freq)) for edge in edges[:-1]]
    gaps = _longest_gaps(edges, times)
    rows: list[tuple[Any, ...]] = []
    for cell in sorted(cells, key=_cell_order):
        rows += _cell_rows(cell, cells[cell], edges, starts, gaps)
    rows.sort(key=lambda row: row[0])  # stable: by period, then by group and currency
    columns: dict[str, Any] = {name: time_column(row[0] for row in rows)}
    for place, (column, dtype) in enumerate(SPENDING_DTYPES.items(), 1):
        columns[column] = pd.Series([row[place] for row in rows], dtype=dtype)
    frame = pd.DataFrame(columns)
    frame.attrs["lcnb"] = {"kind": "spending"}
    if len(edges):
        frame.attrs["lcnb"] |= {
            key: to_datetime(edge).isoformat(timespec="milliseconds")
            for key, edge in (("begin", edges[0]), ("end", edges[-1]))
        }
    return frame


def _cell_order(cell: Cell) -> tuple[bool, str, str]:
    """Return what sorts cells: by group and currency; those without come last."""
    return cell.group is None, cell.group or "", cell.currencycode or "~"


def _cell_rows(
    cell: Cell, intervals: _CellIntervals, edges: Sequence[int], starts: Sequence[int], gaps: Sequence[float]
) -> Iterator[tuple[Any, ...]]:
    if not intervals.rows or not edges:
        return
    bounds = _cost_bounds(intervals, edges)
    uncertain = _uncertain_hours(intervals, edges)
    counts = _count_machines(intervals, edges)
    priced = cell.currencycode is not None
    for place, start in enumerate(starts):
        if not counts[place]:
            continue
        yield (
            start,
            cell.group,
            cell.currencycode,
            *(bounds[place] if priced else (None, None)),
            counts[place],
            0 if priced else counts[place],
            (edges[place + 1] - edges[place]) / MS_PER_HOUR,
            round(float(uncertain[place]), AMOUNT_DECIMALS),
            gaps[place],
        )


def _cost_bounds(intervals: _CellIntervals, edges: Sequence[int]) -> list[tuple[float, float]]:
    """Return for each period the lower and the upper bound of the cost; `intervals` has at least one."""
    begin, end, lower, upper = (np.array(each, dtype=float) for each in zip(*intervals.rows, strict=True))
    low = _integrate(begin, end, lower, edges) / MS_PER_HOUR / HOURS_PER_MONTH
    extra = _integrate(begin, end, upper - lower, edges) / MS_PER_HOUR / HOURS_PER_MONTH
    return [
        (_rounded_amount(cost), _rounded_amount(cost + max(0.0, more)))
        for cost, more in zip(low, extra, strict=True)
    ]


def _rounded_amount(amount: float) -> float:
    """Return an amount with AMOUNT_DECIMALS; a difference of large sums may be just below zero."""
    return round(max(0.0, float(amount)), AMOUNT_DECIMALS)


def _uncertain_hours(intervals: _CellIntervals, edges: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return for each period the hours of the intervals whose bounds differ; equal intervals count once."""
    open_rows = sorted({(row[0], row[1]) for row in intervals.rows if row[2] != row[3]})
    if not open_rows:
        return np.zeros(len(edges) - 1)
    begin, end = (np.array(each, dtype=float) for each in zip(*open_rows, strict=True))
    return _integrate(begin, end, np.ones(len(open_rows)), edges) / MS_PER_HOUR


def _integrate(
    begin: np.ndarray[Any, Any], end: np.ndarray[Any, Any], rates: np.ndarray[Any, Any], edges: Sequence[int]
) -> np.ndarray[Any, Any]:
    """Return for each period between edges the sum of rate × time over all intervals."""
    origin = edges[0]
    moments = np.array(edges, dtype=float) - origin

    def passed(marks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return for each edge the sum of rate × time since the mark, over the marks before it."""
        marks = np.maximum(marks - origin, 0.0)
        order = np.argsort(marks, kind="stable")
        sorted_marks, weights = marks[order], rates[order]
        sums = np.concatenate([[0.0], np.cumsum(weights)])
        moments_sums = np.concatenate([[0.0], np.cumsum(weights * sorted_marks)])
        before = np.searchsorted(sorted_marks, moments)
        return np.asarray(sums[before] * moments - moments_sums[before])

    return np.diff(passed(begin) - passed(end))


def _count_machines(intervals: _CellIntervals, edges: Sequence[int]) -> list[int]:
    """Return how many machines were in the cell in each period, or may have been."""
    machines: list[set[str]] = [set() for _ in edges[1:]]
    for machine, (begin, end, _, _) in zip(intervals.machines, intervals.rows, strict=True):
        first = max(0, int(np.searchsorted(edges, begin, side="right")) - 1)
        last = min(len(machines), int(np.searchsorted(edges, end, side="left")))
        for place in range(first, last):
            machines[place].add(machine)
    return [len(each) for each in machines]


def _longest_gaps(edges: Sequence[int], times: Sequence[int]) -> list[float]:
    """Return for each period the longest time between two readings that overlaps it, in hours."""
    moments = np.array(times, dtype=float)
    gaps = np.diff(moments)
    found = []
    for begin, end in pairwise(edges):
        first = max(0, int(np.searchsorted(moments, begin, side="right")) - 1)
        last = int(np.searchsorted(moments, end, side="left"))
        found.append(float(gaps[first:last].max()) / MS_PER_HOUR if last > first else 0.0)
    return found
