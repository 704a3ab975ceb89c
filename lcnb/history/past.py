"""The inventory of an account as it was at a time, from the history alone: nothing is requested from the provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lcnb.api.listing_reader import Listing
from lcnb.api.queries import InventoryParts, instance_location
from lcnb.errors import InputError
from lcnb.facts.machine_facts import KnownFacts
from lcnb.frames.inventory import inventory_frame, inventory_rows
from lcnb.history.moments import format_moment, to_datetime
from lcnb.history.readings import (
    FACTS,
    INSTANCES,
    LOCATIONS,
    PLANS_PREFIX,
    PROFILE,
    PROFILE_KEY,
    plans_kind,
    read_facts,
)
from lcnb.history.stored import StoredHistory
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd


def past_inventory(
    stored: StoredHistory, at: int, account: str | None = None, field: str = "at"
) -> pd.DataFrame:
    """Return the inventory at a time, in milliseconds since 1970: what the last complete reading until then listed.

    Columns and dtypes are those of `inventory()`. `attrs["lcnb"]` has `fetched_at`, the time of that reading, and
    `past`, by which `frame.lc` refuses to change the machines. Machines that were still being built are missing.
    Raises InputError if there is no such reading; `field` names the argument.
    """
    read_at = reading_time(stored, at, field)
    parts, facts = inventory_parts(stored, at), past_facts(stored, at)
    frame = inventory_frame(parts, account, None, facts, to_datetime(read_at))
    frame.attrs["lcnb"]["past"] = True
    return frame


def past_rows(stored: StoredHistory, at: int, field: str = "at") -> Rows:
    """Return the same rows without pandas, for a command that prints them."""
    reading_time(stored, at, field)
    return inventory_rows(inventory_parts(stored, at), past_facts(stored, at))


def past_facts(stored: StoredHistory, at: int) -> KnownFacts:
    """Return the facts of each machine at a time, by its identifier."""
    return {key: read_facts(record) for key, record in stored.records_at(FACTS, at).items()}


def reading_time(stored: StoredHistory, at: int, field: str) -> int:
    """Return the time of the last complete listing of machines until `at`; InputError if there is none."""
    found = stored.last_complete(INSTANCES, at)
    if found is not None:
        return found
    first = stored.first_complete(INSTANCES)
    failed = stored.readings(INSTANCES) if first is None else []
    if failed:
        raise InputError(
            "there is no complete reading of this account yet: "
            f"that of {format_moment(failed[-1].at)} is not: {failed[-1].problem}",
            field=field,
            value=format_moment(at),
            cure="`lcnb history readings` lists all.",
        )
    raise InputError(
        "there is no reading of this account yet"
        if first is None
        else f"there is no reading before {format_moment(at)}; the first one is of {format_moment(first)}",
        field=field,
        value=format_moment(at),
        cure=(
            "Each `lc.inventory()` or `lcnb record` is kept (unless LCNB_HISTORY=0)"
            if first is None
            else "Pass a later time."
        ),
    )


def inventory_parts(stored: StoredHistory, at: int) -> InventoryParts:
    """Return the listings of which the inventory at a time consists."""
    machines = stored.records_at(INSTANCES, at)
    used = {instance_location(record) for record in machines.values()} - {None}
    plans = Listing()
    for slug in sorted(filter(None, used)):
        found = catalogue_records(stored, plans_kind(slug), at)
        plans.records.extend((f"{PLANS_PREFIX}{slug}", record) for record in found.values())
    profile = catalogue_records(stored, PROFILE, at).get(PROFILE_KEY, {})
    return InventoryParts(
        _listing(INSTANCES, machines.items()),
        _listing(LOCATIONS, catalogue_records(stored, LOCATIONS, at).items()),
        profile,
        plans,
    )


def catalogue_records(stored: StoredHistory, kind: str, at: int) -> dict[str, Any]:
    """Return locations, plans or profile at a time; before their first reading, what that one found.

    They change rarely, and an account may have been listed before its prices were.
    """
    if stored.last_complete(kind, at) is None:
        at = stored.first_complete(kind) or at
    return stored.records_at(kind, at)


def _listing(kind: str, records: Iterable[tuple[str, Any]]) -> Listing:
    return Listing([(f"{kind}[{key!r}]", record) for key, record in records])
