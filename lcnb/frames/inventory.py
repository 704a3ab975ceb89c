"""The inventory: machines with location, inferred plan, monthly price and facts, for one account or several."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lcnb.api import queries
from lcnb.api.fields import Drift, fields_of
from lcnb.api.models import Instance, Profile
from lcnb.api.record_reader import read_record
from lcnb.facts.machine_facts import KnownFacts
from lcnb.frames.columns import DTYPES
from lcnb.frames.facts_frame import FACT_COLUMNS, fact_values
from lcnb.frames.listings import read_records
from lcnb.frames.pricing import infer_price
from lcnb.frames.provenance import INCOMPLETE, attach_provenance, warn_about_drift
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

#: Columns with plan and price, with dtype, unit and meaning.
PRICE_COLUMNS = {
    "plan": ("str", "", "slug of the plan that its location, CPUs, memory and disk point to"),
    "monthly_value": (
        "Float64",
        "currency",
        "price of that plan per month, in the currency of `currencycode`",
    ),
    "currencycode": ("str", "", "USD or BRL"),
    "price_note": ("str", "", "why no plan or price could be inferred; missing where one was"),
}
#: Columns that `inventory()` adds to those of a machine, with dtype, unit and meaning.
ADDED_COLUMNS = {**PRICE_COLUMNS, **FACT_COLUMNS}
INVENTORY_COLUMNS = [
    "identifier",
    "label",
    "hostname",
    "state",
    "location",
    "city",
    "country",
    *PRICE_COLUMNS,
    "cpus",
    "memory",
    "total_disk_size",
    "ipv4",
    "ipv6",
    "template_label",
    *FACT_COLUMNS,
]


def inventory_frame(
    parts: queries.InventoryParts,
    account: str | None = None,
    client: str | None = None,
    facts: KnownFacts = MappingProxyType({}),
    read_at: datetime | None = None,
) -> pd.DataFrame:
    """Return the machines of one account with location, inferred plan, monthly price and facts.

    `read_at` is the time when the machines were listed; now by default.
    """
    rows, drift = priced_inventory(parts, facts)
    frame = attach_provenance("inventory", rows.frame(), drift, account, client, read_at)
    frame.attrs["lcnb"] |= rows.facts
    return frame


def inventory_rows(parts: queries.InventoryParts, facts: KnownFacts = MappingProxyType({})) -> Rows:
    """Return the same rows without pandas. Odd values are reported once, by the same DriftWarning."""
    rows, drift = priced_inventory(parts, facts)
    warn_about_drift("inventory", drift)
    return rows


def accounts_inventory_frame(
    found: Mapping[str, queries.InventoryParts], failed: Mapping[str, str], facts: Mapping[str, KnownFacts]
) -> pd.DataFrame:
    """Return the inventories of several accounts as one frame with `account` as its first column.

    Args:
        found: Account and what was read of it.
        failed: Account and the reason why it could not be read. Each becomes drift.
        facts: Account and the facts of its machines.
    """
    drift = [Drift(f"account {name}", f"unavailable: {why}") for name, why in failed.items()]
    lacking = [f"{each.path}: {each.problem}" for each in drift]
    values: list[tuple[Any, ...]] = []
    for name, each in found.items():
        rows, odd = priced_inventory(each, facts.get(name, {}))
        lacking += [f"{name}: {rows.facts[INCOMPLETE]}"] if INCOMPLETE in rows.facts else []
        values += [(name, *row) for row in rows]
        drift += [Drift(f"{name}: {one.path}", one.problem) for one in odd]
    frame = Rows("inventory", {"account": "str", **inventory_dtypes()}, values).frame()
    frame = attach_provenance("inventory", frame, drift, None, None)
    frame.attrs["lcnb"] |= {INCOMPLETE: lacking[0]} if lacking else {}
    return frame


def priced_inventory(parts: queries.InventoryParts, facts: KnownFacts) -> tuple[Rows, list[Drift]]:
    """Return the machines of one account with prices and facts, and everything that was odd in the listings.

    The facts of the rows say why machines may be missing, if so.
    """
    machines, drift = read_records("instances", parts.instances)
    places, place_drift = read_records("locations", parts.locations)
    plans, plan_drift = read_records("plans", parts.plans)
    currency = read_record(Profile, parts.profile, "$.data", drift).currency
    known_places = {place.slug.upper(): place for place in places if place.slug}  # type: ignore[attr-defined]
    values = []
    for machine in machines:
        price = infer_price(machine, plans, currency, parts.plans.drift)  # type: ignore[arg-type]
        row = {
            **_machine_values(machine, known_places),
            **dict(zip(PRICE_COLUMNS, price, strict=True)),
            **fact_values(machine.identifier, facts),  # type: ignore[attr-defined]
        }
        values.append(tuple([row[name] for name in INVENTORY_COLUMNS]))
    rows = Rows("inventory", inventory_dtypes(), values, _missing_records(parts))
    return rows, drift + place_drift + plan_drift


def _missing_records(parts: queries.InventoryParts) -> dict[str, str]:
    """Return why machines may be missing, as a fact of the rows: a record that could not be read, or unread pages."""
    odd = parts.instances.drift
    return {INCOMPLETE: f"{odd[0].path}: {odd[0].problem}"} if odd else {}


def _machine_values(machine: Any, places: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a machine; a missing city or country comes from the listing of locations."""
    place = places.get((machine.location or "").upper())
    return {
        **vars(machine),
        "city": machine.city or getattr(place, "city", None),
        "country": machine.country or getattr(place, "country", None),
    }


def inventory_dtypes() -> dict[str, str]:
    """The dtype of each column of an inventory, which does not depend on its machines."""
    own = {each.name: DTYPES[each.type] for each in fields_of(Instance)}
    return {
        name: ADDED_COLUMNS[name][0] if name in ADDED_COLUMNS else own[name] for name in INVENTORY_COLUMNS
    }


def by_location(inventory: pd.DataFrame) -> pd.DataFrame:
    """Count machines and add up their prices by location and currency.

    Returns one row per location and currency; currencies are never added up. Columns: location, machines (`Int64`),
    running (`Int64`), monthly_value (`Float64`), currencycode. Machines without a price have a separate row, in which
    `monthly_value` and `currencycode` are missing.
    """
    groups = inventory.assign(running=inventory.state == "running").groupby(
        ["location", "currencycode"], dropna=False
    )
    frame = groups.agg(
        machines=("state", "size"),
        running=("running", "sum"),
        monthly_value=("monthly_value", lambda prices: prices.sum(min_count=1)),
    ).reset_index()
    dtypes = {"machines": "Int64", "running": "Int64", "monthly_value": "Float64"}
    return frame[["location", "machines", "running", "monthly_value", "currencycode"]].astype(dtypes)
