"""Read listings from responses: pages, wrappers and odd shapes become a `Listing` of plain JSON records.

A response whose shape is not understood raises BadReply: it must never be taken for an empty account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from lcnb.api.calls import Call
from lcnb.api.fields import Drift, identifying_names
from lcnb.api.flows import Flow, without_frames
from lcnb.api.models import MODELS
from lcnb.api.raw_records import RawRecords
from lcnb.errors import BadReply


class Listing:
    """Records with their JSON paths, and the odd places found while reading them.

    Records that came as RawRecords are decoded when `records` is first used.
    """

    def __init__(
        self,
        records: list[tuple[str, Mapping[str, Any]]] | None = None,
        drift: list[Drift] | None = None,
        read_at: datetime | None = None,
    ) -> None:
        #: When it was read, if a part of it comes from a cache; otherwise None.
        self.read_at = read_at
        self.drift = [] if drift is None else drift
        #: The locations that were read, for a listing by location whose parts do not come from a cache.
        self.locations: tuple[str, ...] = ()
        self._records = [] if records is None else records
        self._rows: list[RawRecords] = []

    def __repr__(self) -> str:
        return f"Listing({len(self)} records, drift={self.drift!r})"

    def __len__(self) -> int:
        return len(self._records) + sum(map(len, self._rows))

    @property
    def records(self) -> list[tuple[str, Mapping[str, Any]]]:
        """All records, each with its JSON path."""
        rows, self._rows = self._rows, []
        for page in rows:
            self._records.extend((record_path(place), page[index]) for index, place in enumerate(page.places))
        return self._records

    @records.setter
    def records(self, records: list[tuple[str, Mapping[str, Any]]]) -> None:
        self._records, self._rows = records, []

    @property
    def rows(self) -> Sequence[RawRecords]:
        """The records as bytes, in pages; empty if the listing is empty, or if some exist only as `records`."""
        return () if self._records else self._rows

    def iter_records(self) -> Iterator[Mapping[str, Any]]:
        """Yield each record without its path, and leave those that are bytes as they are for `rows`."""
        yield from (record for _, record in self._records)
        for page in self._rows:
            yield from page

    def add(self, rows: RawRecords) -> None:
        """Add a page of records."""
        self._rows.append(rows)
        self.drift.extend(_skipped_row(record_path(place), other) for place, other in rows.others.items())


def record_path(place: int, path: str = "$.data") -> str:
    """Return the JSON path of a record in a list."""
    return f"{path}[{place}]"


#: How deep records may be wrapped: `{"data": {"instances": {"data": [...]}}}`.
MAX_WRAPPERS = 4


def read_listing(call: Call) -> Flow[Listing]:
    """Read all records of a listing; follow pages if the response has them.

    Raises BadReply for a response whose shape is not understood: it must never be taken for an empty account.
    """
    return without_frames(_read_pages(call))


def _read_pages(call: Call) -> Flow[Listing]:
    marks = identifying_fields(call)
    found = Listing()
    last_page = total = 0
    envelope = yield call
    for page in range(2, 10_000):
        holders: list[Mapping[str, Any]] = [envelope.document]
        if isinstance(envelope.data, RawRecords):
            if not envelope.data.empty and not envelope.data.any_has(marks):
                raise _no_record_error(call, "$.data", marks)
            found.add(envelope.data)
        else:
            path, data = unwrap_records(call, envelope.document, marks, holders)
            records = list(iter_records(call, data, path, marks, found.drift))
            if not records:
                _check_nothing_else(call, holders)
            found.records.extend(records)
        _note_errors(call, found, holders)
        last_page, total = max(last_page, _last_page(holders)), max(total, _reported_total(holders))
        if page > last_page and not _has_next_page(holders):
            if page > 2:
                _check_distinct(found, marks)
            _check_total(call, found, total)
            _note_unread_pages(found, holders)
            return found
        next_call = replace(call, path=f"{call.path}?page={page}", summary=f"{call.summary}, page {page}")
        before, envelope = envelope, (yield next_call)
        if envelope.document == before.document:
            found.drift.append(Drift("$", "reports more pages, but the next page is the same one"))
            return found
    raise BadReply(f"{call.method} {call.path}: more than 10,000 pages.", method=call.method, path=call.path)


def identifying_fields(call: Call) -> tuple[str, ...]:
    """Return the fields of which each record in the response has at least one, as the model states them.

    Raises LookupError if lcnb.api.models has no model for the path: the call was added without one.
    """
    name = _resource_name(call)
    if name not in MODELS:
        raise LookupError(
            f"{call.method} {call.path}: lcnb.api.models.MODELS has no {name!r}. Add the model of its records there."
        )
    return identifying_names(MODELS[name])


def _resource_name(call: Call) -> str:
    """Return the listing that a path is about: `sshkeys` for `/sshkeys` and `/sshkeys/mine`."""
    names = call.path.partition("?")[0].split("/")[1:]  # names of listings and identifiers alternate
    return names[(len(names) - 1) // 2 * 2]


def unwrap_records(
    call: Call, document: Mapping[str, Any], marks: Sequence[str], holders: list[Mapping[str, Any]]
) -> tuple[str, Any]:
    """Return the path and the value that holds the records; add the wrappers around it to `holders`.

    Known wrappers: `data` (Laravel's paginator puts the rows one level deeper) and the name of the listing.
    """
    names = ("data", _resource_name(call))
    path, data = "$", document
    for _ in range(MAX_WRAPPERS):
        given = [each for each in names if data.get(each) is not None]
        if not given:
            return f"{path}.data", None  # null or missing: no records
        name = next((each for each in given if data[each]), given[0])
        path, data = f"{path}.{name}", data[name]
        if not isinstance(data, Mapping) or is_record(data, marks) or not any(each in data for each in names):
            break
        holders.append(data)
    return path, data


#: Fields of a response next to its records.
_METADATA_FIELDS = ("links", "meta", "pagination")


def _check_nothing_else(call: Call, holders: Sequence[Mapping[str, Any]]) -> None:
    """Raise BadReply for a response without records that holds something else: that may be the records."""
    for holder in holders:
        for name, value in holder.items():
            if (
                name not in _METADATA_FIELDS
                and isinstance(value, Mapping | list)
                and value
                and value not in holders
            ):
                raise _shape_error(call, "$", f"it has no records, but it has {name!r}")


def _note_errors(call: Call, found: Listing, holders: Sequence[Mapping[str, Any]]) -> None:
    """Note an error that a response reports next to its records: raise BadReply if it has none."""
    name = next((name for each in holders for name in ("error", "errors") if each.get(name)), None)
    if name is None:
        return
    if not len(found):
        raise _shape_error(call, "$", f"it has no records, but it has {name!r}")
    found.drift.append(Drift("$", f"has {name!r} next to its records, some of which may be missing"))


def is_record(data: Mapping[str, Any], marks: Sequence[str]) -> bool:
    """Whether an object has one of the identifying fields."""
    return not set(marks).isdisjoint(data)


def iter_records(
    call: Call, data: Any, path: str, marks: Sequence[str], drift: list[Drift]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the records in a list, in an object keyed by position, or in null; note and leave out odd rows.

    Raises BadReply if the list has entries, but no record.
    """
    entries = list(_iter_entries(call, data, path, marks))
    if entries and not any(isinstance(each, Mapping) and is_record(each, marks) for _, each in entries):
        raise _no_record_error(call, path, marks)
    for where, record in entries:
        if isinstance(record, Mapping):
            yield where, record
        else:
            drift.append(_skipped_row(where, record))


def _no_record_error(call: Call, path: str, marks: Sequence[str]) -> BadReply:
    return _shape_error(call, path, f"nothing in it is a record with {' or '.join(marks)}")


def _shape_error(call: Call, path: str, problem: str) -> BadReply:
    return BadReply(
        f"{call.method} {call.path}: the shape of {path} is not understood: {problem}. "
        "lcnb does not treat it as an empty listing.",
        method=call.method,
        path=call.path,
    )


def _skipped_row(where: str, record: Any) -> Drift:
    kind = "null" if record is None else type(record).__name__
    return Drift(where, f"expected an object, got {kind}; the row was left out")


def _iter_entries(call: Call, data: Any, path: str, marks: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if data is None:
        return
    if isinstance(data, list):
        yield from ((record_path(place, path), record) for place, record in enumerate(data))
    elif isinstance(data, Mapping) and is_record(data, marks):
        yield path, data
    elif isinstance(data, Mapping):
        yield from ((f"{path}[{key!r}]", record) for key, record in data.items())
    else:
        raise _shape_error(call, path, f"expected a list, got {type(data).__name__}")


def _iter_paging(holders: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield each object of a response that may report the number of pages or records."""
    for holder in holders:
        yield holder
        meta = holder.get("meta")
        for each in (
            meta,
            holder.get("pagination"),
            meta.get("pagination") if isinstance(meta, Mapping) else None,
        ):
            if isinstance(each, Mapping):
                yield each


def _has_next_page(holders: Sequence[Mapping[str, Any]]) -> bool:
    for holder in _iter_paging(holders):
        links = holder.get("links")
        if holder.get("next_page_url") or (isinstance(links, Mapping) and links.get("next")):
            return True
    return False


def _last_page(holders: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of pages that a response reports next to its own page number; 0 if it reports none."""
    return max(
        (
            _whole_number(holder.get("last_page", holder.get("total_pages")))
            for holder in _iter_paging(holders)
            if _whole_number(holder.get("current_page"))
        ),
        default=0,
    )


def _whole_number(value: Any) -> int:
    """Return a number that a response reports, which PHP may write as a text; 0 for anything else."""
    try:
        return 0 if isinstance(value, bool) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0


#: Fields with which paginations that lcnb does not follow report more records.
_MORE_FIELDS = ("has_more", "has_next", "next_cursor", "next")


def _note_unread_pages(found: Listing, holders: Sequence[Mapping[str, Any]]) -> None:
    """Note when a response reports more records in a way that lcnb does not follow."""
    for holder in _iter_paging(holders):
        links = holder.get("links")
        for place in (holder, links if isinstance(links, Mapping) else {}):
            more = next(
                (
                    name
                    for name in _MORE_FIELDS
                    if isinstance(place.get(name), str | bool | int) and place[name]
                ),
                None,
            )
            if more is not None:
                found.drift.append(Drift("$", f"{more} reports more records, which were not read"))
                return


def _check_distinct(found: Listing, marks: Sequence[str]) -> None:
    """Note when several pages hold a record twice: records moved while the pages were read, and one may be missing."""
    keys = [str(record[marks[0]]) for record in found.iter_records() if record.get(marks[0])]
    twice = len(keys) - len(set(keys))
    if twice:
        found.drift.append(
            Drift(
                "$",
                f"{twice} records came on two pages: the listing changed meanwhile, and others may be missing",
            )
        )


def _reported_total(holders: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of all records that a response reports; 0 if it reports none."""
    names = ("total", "count", "total_count")
    return max((_whole_number(each.get(name)) for each in _iter_paging(holders) for name in names), default=0)


def _check_total(call: Call, found: Listing, total: int) -> None:
    """Check that a listing has as many records as it reports: raise BadReply if it has none, else note it."""
    if total > len(found) + len(found.drift):
        if not len(found):
            raise _shape_error(call, "$", f"it reports {total} records, but has none")
        found.drift.append(Drift("$", f"reports {total} records, but has {len(found)}"))
