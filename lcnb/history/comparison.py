"""What changed between two times: machines that appeared, are gone, or have other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lcnb.errors import InputError
from lcnb.frames.provenance import frame_facts
from lcnb.history.moments import milliseconds
from lcnb.history.past import reading_time
from lcnb.history.stored import StoredHistory
from lcnb.history.timeline import VALUE_COLUMNS, Span, Timeline, time_column

if TYPE_CHECKING:
    import pandas as pd

APPEARED, GONE, CHANGED, TEMPORARY = "appeared", "gone", "changed", "temporary"
#: Columns in which a difference is no change of a machine, or is shown by another column.
_NOT_COMPARED = ("identifier", "account", "city", "country", "currencycode", "price_note")
#: The columns of a comparison and their dtypes.
COMPARISON_DTYPES = {
    "change": "str", "identifier": "str", "label": "str", "what": "str", "monthly_difference": "Float64",
    "currencycode": "str", "not_before": "datetime64[us, UTC]", "not_after": "datetime64[us, UTC]",
}  # fmt: skip

Values = Mapping[str, Any]


class MachineChange(NamedTuple):
    """A machine before and after; None where it is not there. The times are in milliseconds since 1970."""

    identifier: str
    before: Values | None
    after: Values | None
    not_before: int | None
    not_after: int | None
    temporary: bool = False


def compare_inventories(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return what changed between two inventories, such as `lc.inventory(at=...)` and `lc.inventory()`.

    All columns that both have are compared, except those that follow from others. Machines without an identifier
    (still being built) are left out. Columns and dtypes are those of `lc.compare()`; `not_before` and `not_after` are
    the times of the two readings, missing where a frame does not have one. Raises InputError for a frame without the
    columns identifier and label, or with two machines of one identifier.

    >>> import lcnb
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> compare_inventories(fleet, fleet.iloc[1:]).change.tolist()
    ['gone']
    """
    rows = [_rows_by_identifier(name, frame) for name, frame in (("before", before), ("after", after))]
    shared = [str(name) for name in before if name in after and name not in _NOT_COMPARED]
    begin, end = _fetched_at(before), _fetched_at(after)
    identifiers = list(dict.fromkeys([*rows[0], *rows[1]]))
    changes = (
        MachineChange(identifier, rows[0].get(identifier), rows[1].get(identifier), begin, end)
        for identifier in identifiers
    )
    return _comparison_frame([each for each in changes if _differs(each, shared)], shared)


def account_changes(stored: StoredHistory, since: int, until: int) -> pd.DataFrame:
    """Return what changed in an account between two times, in milliseconds since 1970, from its history.

    The columns are described at `lc.compare`. Raises InputError if there is no reading until `since`.
    """
    reading_time(stored, since, "since")
    timeline = Timeline(stored)
    start, stop = timeline.position(since + 1) - 1, timeline.position(until + 1) - 1
    changes = [
        change
        for identifier, spans in timeline.spans()
        for change in _machine_changes(identifier, spans, start, stop, timeline.times)
    ]
    changes.sort(key=lambda change: change.not_after or 0)
    return _comparison_frame(changes, VALUE_COLUMNS)


def _machine_changes(
    identifier: str, spans: Sequence[Span], start: int, stop: int, times: Sequence[int]
) -> Iterator[MachineChange]:
    before, after = _span_at(spans, start), _span_at(spans, stop)
    if before is not None and after is not None:
        if _differs_between(before.values, after.values, VALUE_COLUMNS):
            last, first = before.end - 1, after.first
            yield MachineChange(identifier, before.values, after.values, times[last], times[first])
    elif after is not None:
        first = _presence(spans, stop)[0]
        yield MachineChange(identifier, None, after.values, times[first - 1], times[first])
    elif before is not None:
        end = _presence(spans, start)[1]
        yield MachineChange(identifier, before.values, None, times[end - 1], times[end])
    else:
        inner = [span for span in spans if start < span.first and span.end <= stop]
        if inner:
            seen = inner[-1].values
            limits = times[inner[0].first - 1], times[inner[-1].end]
            yield MachineChange(identifier, seen, seen, *limits, temporary=True)


def _span_at(spans: Sequence[Span], position: int) -> Span | None:
    return next((span for span in spans if span.first <= position < span.end), None)


def _presence(spans: Sequence[Span], position: int) -> tuple[int, int]:
    """Return the first reading of the unbroken presence around a position, and the reading after it."""
    first = end = position
    for span in reversed(spans):
        if span.first <= first <= span.end:
            first = span.first
    for span in spans:
        if span.first <= end < span.end:
            end = span.end
    return first, end


# --- the frame ------------------------------------------------------------------------------------------


def _comparison_frame(changes: Sequence[MachineChange], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    rows = [(*_row(change, columns), change.not_before, change.not_after) for change in changes]
    frame = pd.DataFrame(
        {
            name: time_column(row[place] for row in rows)
            if dtype.startswith("datetime64")
            else pd.Series([row[place] for row in rows], dtype=dtype)
            for place, (name, dtype) in enumerate(COMPARISON_DTYPES.items())
        }
    )
    frame.attrs["lcnb"] = {"kind": "comparison"}
    return frame


def _row(change: MachineChange, columns: Sequence[str]) -> tuple[Any, ...]:
    """Return the cells of a change, without those of the times."""
    shown = change.after or change.before or {}
    before, after = change.before or {}, change.after or {}
    what = difference_text(before, after, columns) if _is_changed(change) else _place_text(shown)
    difference, code = _price_difference(change)
    return _change_kind(change), change.identifier, shown.get("label"), what or None, difference, code


def _is_changed(change: MachineChange) -> bool:
    """Whether a machine is there before and after; a temporary one is there in between only."""
    return bool(change.before and change.after) and not change.temporary


def _change_kind(change: MachineChange) -> str:
    if change.temporary:
        return TEMPORARY
    if _is_changed(change):
        return CHANGED
    return APPEARED if change.after else GONE


def difference_text(before: Values, after: Values, columns: Sequence[str]) -> str:
    """Return the old and the new value of each column that differs, such as `state: running → off`.

    >>> difference_text({"state": "running", "cpus": 1}, {"state": "off", "cpus": 2}, ["state", "cpus"])
    'state: running → off; cpus: 1 → 2'
    """
    return "; ".join(
        f"{name}: {_text(before.get(name))} → {_text(after.get(name))}"
        for name in columns
        if name not in _NOT_COMPARED and before.get(name) != after.get(name)
    )


def _place_text(values: Values) -> str:
    """Return the location and the plan of a machine, as far as they are known."""
    return ", ".join(str(values[name]) for name in ("location", "plan") if values.get(name))


def _price_difference(change: MachineChange) -> tuple[float | None, str | None]:
    """Return what a change adds to the monthly cost, and its currency; missing where a price is unknown."""
    before, after = change.before, change.after
    codes = {values["currencycode"] for values in (before, after) if values and values.get("currencycode")}
    code = codes.pop() if len(codes) == 1 else None
    prices = [0.0 if values is None else values.get("monthly_value") for values in (before, after)]
    if code is None or None in prices:
        return None, code
    return round(prices[1] - prices[0], 2), code  # type: ignore[operator] # checked above


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _differs(change: MachineChange, columns: Sequence[str]) -> bool:
    if change.before is None or change.after is None:
        return True
    return _differs_between(change.before, change.after, columns)


def _differs_between(before: Values, after: Values, columns: Sequence[str]) -> bool:
    return any(before.get(name) != after.get(name) for name in columns if name not in _NOT_COMPARED)


def _rows_by_identifier(name: str, frame: pd.DataFrame) -> dict[str, Values]:
    import pandas as pd

    missing = [each for each in ("identifier", "label") if each not in frame]
    if missing:
        raise InputError(
            f"the frame has no column {missing[0]}", field=name, cure="Pass frames of lc.inventory()."
        )
    rows: dict[str, Values] = {}
    for row in frame[frame["identifier"].notna()].to_dict("records"):
        values = {str(key): None if pd.isna(value) else value for key, value in row.items()}
        identifier = str(values["identifier"])
        if identifier in rows:
            raise InputError(
                f"two machines have the identifier {identifier}",
                field=name,
                cure="Pass the inventory of one account.",
            )
        rows[identifier] = values
    return rows


def _fetched_at(frame: pd.DataFrame) -> int | None:
    text = frame_facts(frame).get("fetched_at")
    return milliseconds(datetime.fromisoformat(text)) if isinstance(text, str) else None
