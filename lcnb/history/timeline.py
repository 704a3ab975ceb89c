"""Machines over time: spans in which a machine was seen with the same values, with plan and price inferred.

Everything is said by the complete listings of machines, the readings. A span lasts from the reading `first` to the one
before `end` (positions in `Timeline.times`). Prices and facts that changed in between count from the next reading on.
What happened between two readings is not known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from lcnb.api.models import Instance, Plan, Profile
from lcnb.api.record_reader import read_record
from lcnb.errors import InputError
from lcnb.facts.machine_facts import MachineFacts
from lcnb.frames.inventory import inventory_dtypes
from lcnb.frames.pricing import InferredPrice, infer_price
from lcnb.history.moments import to_datetime
from lcnb.history.past import catalogue_records
from lcnb.history.readings import FACTS, INSTANCES, PROFILE, PROFILE_KEY, plans_kind, read_facts
from lcnb.history.stored import StoredHistory, StoredVersion
from lcnb.names import same_name
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

#: The columns of an inventory that a span has the values of.
VALUE_COLUMNS = (
    "label", "hostname", "state", "location", "plan", "monthly_value", "currencycode", "cpus", "memory",
    "total_disk_size", "ipv4", "ipv6", "template_label", "tags", "owner", "note", "protected", "expires",
)  # fmt: skip
#: Those of them that come from the facts file, as it writes them.
FACT_NAMES = ("tags", "owner", "note", "protected", "expires")
#: The columns of `lc.history()` between the identifier and the times.
HISTORY_COLUMNS = (
    "label", "state", "location", "plan", "monthly_value", "currencycode", "cpus", "memory", "total_disk_size",
    "ipv4",
)  # fmt: skip


class Span(NamedTuple):
    """A machine with the same values at the readings from `first` to `end`, without `end`."""

    identifier: str
    first: int
    end: int
    values: Mapping[str, Any]
    facts: MachineFacts


class Timeline:
    """The machines of an account at all readings. It reads from the file while that is open."""

    def __init__(self, stored: StoredHistory) -> None:
        self._stored = stored
        #: The times of the complete listings of machines, in milliseconds since 1970.
        self.times = stored.complete_times(INSTANCES)
        self._prices = _PriceHistory(stored, self.times)
        self._machines: dict[int, Instance] = {}
        self._facts: dict[str, list[tuple[int, int, MachineFacts]]] = {}

    def spans(self) -> Iterator[tuple[str, list[Span]]]:
        """Yield each machine with its spans in order; neighbors differ in a value, or the machine was gone between."""
        versions = self._stored.versions(INSTANCES)
        records = self._stored.contents(version.content for version in versions)
        self._machines = {number: read_record(Instance, record, "", []) for number, record in records.items()}
        self._facts = self._read_facts()
        for identifier, own in groupby(versions, lambda version: version.key):
            yield identifier, _joined(each for version in own for each in self._version_spans(version))

    def position(self, at: int) -> int:
        """Return the position of the first reading at or after a time; the number of readings if there is none."""
        return bisect_left(self.times, at)

    def newest_facts(self) -> dict[str, MachineFacts]:
        """Return the facts of each machine as the newest reading found them."""
        return {
            key: parts[-1][2] for key, parts in self._read_facts().items() if parts[-1][1] == len(self.times)
        }

    def _read_facts(self) -> dict[str, list[tuple[int, int, MachineFacts]]]:
        """Return for each machine its facts with the first reading that had them, and the one without them."""
        versions = self._stored.versions(FACTS)
        records = self._stored.contents(version.content for version in versions)
        found: dict[str, list[tuple[int, int, MachineFacts]]] = {}
        for each in versions:
            part = self.position(each.opened), self._end(each), read_facts(records[each.content])
            found.setdefault(each.key, []).append(part)
        return found

    def _facts_at(self, identifier: str, position: int) -> MachineFacts:
        parts = self._facts.get(identifier, ())
        found = (facts for first, end, facts in parts if first <= position < end)
        return next(found, MachineFacts(identifier))

    def _end(self, version: StoredVersion) -> int:
        return len(self.times) if version.closed is None else self.position(version.closed)

    def _version_spans(self, version: StoredVersion) -> Iterator[Span]:
        machine = self._machines[version.content]
        first, end = self.position(version.opened), self._end(version)
        marks = {first, *self._prices.changes_between(machine.location, first, end), end}
        for part in self._facts.get(version.key, ()):
            marks.update(mark for mark in part[:2] if first < mark < end)
        own = {name: getattr(machine, name, None) for name in VALUE_COLUMNS}
        for begin, stop in pairwise(sorted(marks)):
            plan, monthly, code, _ = self._prices.price(machine, begin)
            facts = self._facts_at(version.key, begin)
            cells = facts.row()
            values = own | {"plan": plan, "monthly_value": monthly, "currencycode": code}
            values |= {name: cells[name] or None for name in FACT_NAMES}
            yield Span(version.key, begin, stop, values, facts)


def _joined(spans: Iterable[Span], columns: Sequence[str] = VALUE_COLUMNS) -> list[Span]:
    """Join spans that follow each other without a difference in these columns."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if (
            last
            and last.end == span.first
            and all(last.values[name] == span.values[name] for name in columns)
        ):
            found[-1] = last._replace(end=span.end)
        else:
            found.append(span)
    return found


@dataclass(frozen=True)
class _PriceHistory:
    """The price of each size at each location, at each reading of the machines."""

    stored: StoredHistory
    times: Sequence[int]

    def changes_between(self, location: str | None, first: int, end: int) -> list[int]:
        """Return the readings between two at which a price of a location, or the currency of the account, changed."""
        marks = {*self._marks(PROFILE), *(self._marks(plans_kind(location)) if location else ())}
        return sorted(mark for mark in marks if first < mark < end)

    def price(self, machine: Instance, position: int) -> InferredPrice:
        """Return plan, price, currency and note of a machine at a reading."""
        location = machine.location
        epoch = bisect_right(self._marks(plans_kind(location)), position) if location else 0
        currency = self._currency(bisect_right(self._marks(PROFILE), position))
        size = (location, machine.cpus, machine.memory, machine.total_disk_size, epoch, currency)
        if size not in self._known:
            plans = self._plans(plans_kind(location), epoch) if location else []
            self._known[size] = infer_price(machine, plans, currency)
        return self._known[size]

    @cached_property
    def _known(self) -> dict[tuple[Any, ...], InferredPrice]:
        return {}

    @cached_property
    def _marks_by_kind(self) -> dict[str, list[int]]:
        return {}

    @cached_property
    def _plans_by_epoch(self) -> dict[tuple[str, int], list[Plan]]:
        return {}

    def _marks(self, kind: str) -> list[int]:
        """Return the readings of machines at which records of a kind had changed; the first state has no mark."""
        if kind not in self._marks_by_kind:
            first = self.stored.first_complete(kind) or 0
            moments = {
                moment
                for version in self.stored.versions(kind)
                for moment in (version.opened, version.closed)
                if moment is not None and moment > first
            }
            self._marks_by_kind[kind] = sorted({bisect_left(self.times, moment) for moment in moments})
        return self._marks_by_kind[kind]

    def _records(self, kind: str, epoch: int) -> dict[str, Any]:
        """Return the records of a kind after so many of its marks."""
        marks = self._marks(kind)
        if not epoch:
            return catalogue_records(self.stored, kind, 0)
        position = marks[epoch - 1]
        return (
            catalogue_records(self.stored, kind, self.times[position]) if position < len(self.times) else {}
        )

    def _plans(self, kind: str, epoch: int) -> list[Plan]:
        if (kind, epoch) not in self._plans_by_epoch:
            self._plans_by_epoch[kind, epoch] = [
                read_record(Plan, record, "", []) for record in self._records(kind, epoch).values()
            ]
        return self._plans_by_epoch[kind, epoch]

    @cached_property
    def _currencies(self) -> dict[int, str | None]:
        return {}

    def _currency(self, epoch: int) -> str | None:
        if epoch not in self._currencies:  # each span needs it
            record = self._records(PROFILE, epoch).get(PROFILE_KEY, {})
            self._currencies[epoch] = read_record(Profile, record, "", []).currency
        return self._currencies[epoch]


def history_frame(
    stored: StoredHistory, machine: str | None = None, account: str | None = None
) -> pd.DataFrame:
    """Return machines over time, one row per machine and version.

    Args:
        stored: The history of an account.
        machine: The label or identifier of a machine; None for all. A label finds each machine that ever had it.
        account: The account's name, for `attrs`.

    Columns: identifier, HISTORY_COLUMNS with the dtypes of an inventory, `first_seen` and `last_seen`
    (`datetime64[us, UTC]`), the first and the last reading with these values, `present` (`boolean`), whether the newest
    complete reading has them, and `ended` (`str`), how the version ended: `changed` when the next reading had the
    machine with other values, `gone` when it did not have it; missing for a version that is present. Raises InputError
    for a machine that the history does not have.
    """
    import pandas as pd

    timeline = Timeline(stored)
    rows = _history_spans(timeline, machine)
    dtypes = inventory_dtypes()
    count = len(timeline.times)
    columns: dict[str, Any] = {"identifier": pd.Series([row.identifier for row in rows], dtype="str")}
    for name in HISTORY_COLUMNS:
        columns[name] = pd.Series([row.values[name] for row in rows], dtype=dtypes[name])
    columns["first_seen"] = time_column(timeline.times[row.first] for row in rows)
    columns["last_seen"] = time_column(timeline.times[row.end - 1] for row in rows)
    columns["present"] = pd.Series([row.end == count for row in rows], dtype="boolean")
    columns["ended"] = pd.Series(_ends(rows, count), dtype="str")
    frame = pd.DataFrame(columns)
    frame.attrs["lcnb"] = {"kind": "history", "account": account, "readings": count, **_last_time(timeline)}
    return frame


def _ends(spans: Sequence[Span], readings: int) -> list[str | None]:
    """Return how each of these spans ended, None for one that the newest reading has; they are in order."""
    begins = {(span.identifier, span.first) for span in spans}
    return [
        None if span.end == readings else "changed" if (span.identifier, span.end) in begins else "gone"
        for span in spans
    ]


def _history_spans(timeline: Timeline, machine: str | None) -> list[Span]:
    """Return the spans of one or all machines, joined where HISTORY_COLUMNS are equal. InputError if unknown."""
    found = [
        _joined(spans, HISTORY_COLUMNS)
        for identifier, spans in timeline.spans()
        if machine is None or _is_machine(machine, identifier, spans)
    ]
    if machine is not None and not found:
        raise _unknown_machine(timeline, machine)
    return [span for spans in found for span in spans]


def time_column(moments: Iterable[int | None]) -> pd.Series[Any]:
    """Return milliseconds since 1970 as a column of dtype `datetime64[us, UTC]`."""
    import pandas as pd

    found = pd.Series([None if each is None else each * 1000 for each in moments], dtype="Int64")
    return (
        found.astype("datetime64[us]").dt.tz_localize("UTC")
        if len(found)
        else pd.Series(dtype="datetime64[us, UTC]")
    )


def _last_time(timeline: Timeline) -> dict[str, str]:
    if not timeline.times:
        return {}
    return {"fetched_at": to_datetime(timeline.times[-1]).isoformat(timespec="milliseconds")}


def _is_machine(wanted: str, identifier: str, spans: Iterable[Span]) -> bool:
    return identifier == wanted or any(same_name(span.values["label"], wanted) for span in spans)


def _unknown_machine(timeline: Timeline, wanted: str) -> InputError:
    known = {span.values["label"] for _, spans in timeline.spans() for span in spans if span.values["label"]}
    return InputError(
        f"the history has no machine with the label or identifier {wanted!r}{did_you_mean(wanted, known)}",
        field="machine",
        value=wanted,
    )
