"""Inventories that were saved before there was a history, as readings of their time.

A saved table has the columns of an inventory, and not the records of the API. So its records are made from its columns.
Where the reading before or after it has a record that says the same, that one is used: the import then changes nothing
but what is known about the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lcnb.api.fields import Record
from lcnb.api.models import Instance, Plan
from lcnb.api.record_reader import read_record
from lcnb.errors import InputError
from lcnb.history.contents import Content
from lcnb.history.folding import Reading
from lcnb.history.readings import INSTANCES, listing_contents, plan_key, plans_kind
from lcnb.history.stored import StoredHistory

#: The columns that a saved inventory must have.
REQUIRED_COLUMNS = ("identifier", "label", "state", "location")
#: What the flags of the API say for each state of the inventory.
STATE_FLAGS: dict[str | None, dict[str, bool]] = {
    "running": {"booted": True, "built": True, "locked": False, "suspended": False},
    "off": {"booted": False, "built": True, "locked": False, "suspended": False},
    "busy": {"built": True, "locked": True, "suspended": False},
    "building": {"built": False, "suspended": False},
    "suspended": {"suspended": True},
}
#: Fields of a machine in both a table and a record.
_INSTANCE_FIELDS = (
    "label", "hostname", "state", "location", "cpus", "memory", "total_disk_size", "ipv4", "ipv6", "template_label",
)  # fmt: skip
_PLAN_FIELDS = ("slug", "location", "currencycode", "core", "memory", "disk", "monthly_value")

#: A row of a saved table: a missing value has no entry or is None.
Row = Mapping[str, Any]


def table_readings(
    stored: StoredHistory, columns: Iterable[str], rows: Iterable[Row], at: int
) -> list[Reading]:
    """Return what a saved inventory says about an account, in the light of what is stored about it.

    Args:
        stored: The history of the account.
        columns: The columns of the table.
        rows: Its rows. A machine without an identifier was being built, and is left out.
        at: When it was read, in milliseconds since 1970.

    Raises InputError for a table that is no inventory.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in set(columns)]
    if missing:
        raise InputError(f"the table has no column {missing[0]}, so it is no inventory", not_done="written")
    listed = [row for row in rows if row.get("identifier")]
    known = _Known(stored, INSTANCES, at, Instance, _INSTANCE_FIELDS)
    machines = [known.preferred(str(row["identifier"]), _instance_record(row)) for row in listed]
    keys = [str(row["identifier"]) for row in listed]
    return [
        Reading(INSTANCES, dict(zip(keys, listing_contents(machines, Instance), strict=True))),
        *_plan_readings(stored, listed, at),
    ]


def _instance_record(row: Row) -> dict[str, Any]:
    """Return a record from which the columns of the row follow."""
    names = ("identifier", "label", "hostname", "cpus", "memory", "total_disk_size", "template_label")
    record = {name: row[name] for name in names if row.get(name) is not None}
    place = {
        name: row[column]
        for name, column in (("slug", "location"), ("city", "city"), ("country", "country"))
        if row.get(column) is not None
    }
    addresses = [{"address": row[name]} for name in ("ipv4", "ipv6") if row.get(name) is not None]
    return {**record, "location": place, "ip_addresses": addresses, **STATE_FLAGS.get(row.get("state"), {})}


def _plan_readings(stored: StoredHistory, rows: Iterable[Row], at: int) -> Iterator[Reading]:
    """Yield the plans of each location that the machines had, besides those that were known at the time."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row.get("plan") and row.get("location"):
            record = _plan_record(row)
            found.setdefault(str(row["location"]), {})[plan_key(record)] = record
    for location, records in found.items():
        kind = plans_kind(location)
        known = _Known(stored, kind, at, Plan, _PLAN_FIELDS)
        plans = {**known.before, **{key: known.preferred(key, each) for key, each in records.items()}}
        contents: list[Content] = list(listing_contents(plans.values(), Plan))
        yield Reading(kind, dict(zip(plans, contents, strict=True)))


def _plan_record(row: Row) -> dict[str, Any]:
    return {
        "slug": row["plan"],
        "location": row["location"],
        "currencycode": row.get("currencycode"),
        "core": row.get("cpus"),
        "memory": row.get("memory"),
        "disk": row.get("total_disk_size"),
        "monthly_value": row.get("monthly_value"),
    }


class _Known:
    """The records of a kind at the readings before and after a time."""

    def __init__(
        self, stored: StoredHistory, kind: str, at: int, model: type[Record], names: Iterable[str]
    ) -> None:
        following = stored.first_complete(kind, at)
        self.before = stored.records_at(kind, at)
        self._after = {} if following is None else stored.records_at(kind, following)
        self._model, self._names = model, tuple(names)

    def preferred(self, key: str, record: dict[str, Any]) -> dict[str, Any]:
        """Return the stored record of a key if it says the same as a record of the table, else that record."""
        wanted = self._values(record)
        for records in (self.before, self._after):
            if key in records and self._values(records[key]) == wanted:
                stored: dict[str, Any] = records[key]
                return stored
        return record

    def _values(self, record: Mapping[str, Any]) -> list[Any]:
        found = read_record(self._model, record, "", [])
        return [getattr(found, name) for name in self._names]
