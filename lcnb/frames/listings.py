"""Records become DataFrames by `models`: same columns, same order, same dtypes for 0, 1, n or damaged rows.

Dtypes: texts `str`, whole numbers `Int64`, flags `boolean`, other numbers and money `Float64`; a missing
value is missing, never 0 or "". No column holds a secret. `frame.attrs["lcnb"]` says which listing it is,
of which account, when it was read (UTC), and what was odd in the answer (`drift`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import pandas as pd
from pandas.api.extensions import ExtensionArray

from lcnb.api import calls
from lcnb.api.models import (
    CURRENCY_SYMBOLS,
    MODELS,
    Drift,
    Field,
    Instance,
    Plan,
    Profile,
    Record,
    fields_of,
    read,
)
from lcnb.config import did_you_mean
from lcnb.errors import DriftWarning, InputError

DTYPES: dict[type, str] = {str: "str", int: "Int64", float: "Float64", bool: "boolean", tuple: "str"}
#: Drift beyond this many places is counted, not listed: attrs are copied with every frame operation.
DRIFT_SHOWN = 50

#: Columns that `inventory()` adds to those of a machine, with dtype, unit and meaning.
PRICED = {
    "plan": ("str", "", "slug of the plan that its location, CPUs, memory and disk point to"),
    "monthly_value": ("Float64", "currency", "price of that plan a month, in the currency of `currencycode`"),
    "currencycode": ("str", "", "USD or BRL"),
    "price_note": ("str", "", "why no plan or price could be inferred; missing where one was"),
}
INVENTORY = [
    "identifier",
    "label",
    "hostname",
    "state",
    "location",
    "city",
    "country",
    *PRICED,
    "cpus",
    "memory",
    "total_disk_size",
    "ipv4",
    "ipv6",
    "template_label",
]


# --- building -------------------------------------------------------------------------------------------


def listing(
    kind: str, found: calls.Listing, account: str | None = None, client: str | None = None
) -> pd.DataFrame:
    """The frame of one listing; odd places are reported once, as a DriftWarning and in `attrs`."""
    if kind == "instances" and any(found.rows):
        from lcnb.frames.arrow import machines

        frame, odd = machines(found.rows)
        return _report(kind, frame, [*found.drift, *odd], account, client, found.read_at)
    records, drift = _read(kind, found)
    return _report(kind, frame_of(MODELS[kind], records), drift, account, client, found.read_at)


def _read(kind: str, found: calls.Listing) -> tuple[list[Record], list[Drift]]:
    drift = list(found.drift)
    return [read(MODELS[kind], record, path, drift) for path, record in found.records], drift


def frame_of(model: type[Record], records: Sequence[Record]) -> pd.DataFrame:
    """One row a record, one column a field of the model."""
    return pd.DataFrame(
        {each.name: _column(each, map(attrgetter(each.name), records)) for each in fields_of(model)},
        index=pd.RangeIndex(len(records)),
    )


def _column(field: Field, values: Iterable[Any]) -> ExtensionArray:
    return _array(map(cell, values) if field.type is tuple else values, DTYPES[field.type])


def cell(value: Any) -> Any:
    """A field's value as it stands in a column: texts of a list are joined, and an empty text counts as missing."""
    return (", ".join(value) or None) if type(value) is tuple else value


def _array(values: Iterable[Any], dtype: str) -> ExtensionArray:
    return pd.array(list(values), dtype=dtype)  # type: ignore[call-overload,no-any-return] # a name of DTYPES


def _report(
    kind: str,
    frame: pd.DataFrame,
    drift: list[Drift],
    account: str | None,
    client: str | None,
    read_at: datetime | None = None,
) -> pd.DataFrame:
    frame.attrs["lcnb"] = {
        "kind": kind,
        "account": account,
        "client": client,
        "fetched_at": (read_at or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        "drift": [{"path": each.path, "problem": each.problem} for each in drift[:DRIFT_SHOWN]],
        "drift_count": len(drift),
    }
    if drift:
        first = f"{drift[0].path}: {drift[0].problem}"
        others = len(drift) - 1
        more = f" (and {others} more place{'s' if others > 1 else ''})" if others else ""
        warnings.warn(
            f"{kind}: the answer was odd at {first}{more}. Good rows were kept, odd values are missing; "
            f"frame.attrs['lcnb']['drift'] lists them.",
            DriftWarning,
            stacklevel=_asked_from(),
        )
    return frame


def _asked_from() -> int:
    """The `stacklevel` of the line that asked lcnb: Python shows a warning once for each such line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "lcnb":
        level, frame = level + 1, frame.f_back
    return level


# --- the inventory --------------------------------------------------------------------------------------


def inventory(
    parts: calls.InventoryParts, account: str | None = None, client: str | None = None
) -> pd.DataFrame:
    """Machines joined with location, inferred plan and monthly price."""
    return _report("inventory", *_inventory(parts), account, client)


def inventory_of_accounts(
    found: Mapping[str, calls.InventoryParts], failed: Mapping[str, str]
) -> pd.DataFrame:
    """The inventories of several accounts as one, `account` first; accounts that could not be read are drift."""
    drift = [Drift(f"account {name}", f"not to be had: {why}") for name, why in failed.items()]
    parts = []
    for name, each in found.items():
        frame, odd = _inventory(each)
        frame.insert(0, "account", pd.Series([name] * len(frame), dtype="str"))
        parts.append(frame)
        drift += [Drift(f"{name}: {one.path}", one.problem) for one in odd]
    return _report("inventory", pd.concat(parts, ignore_index=True), drift, None, None)


def _inventory(parts: calls.InventoryParts) -> tuple[pd.DataFrame, list[Drift]]:
    machines, drift = _read("instances", parts.instances)
    places, place_drift = _read("locations", parts.locations)
    plans, plan_drift = _read("plans", parts.plans)
    currency = read(Profile, parts.profile, "$.data", drift).currency
    frame = frame_of(Instance, machines)
    _complete_places(frame, places)
    priced = [price(machine, plans, currency, parts.plans.drift) for machine in machines]  # type: ignore[arg-type]
    for position, (name, (dtype, _, _)) in enumerate(PRICED.items()):
        frame[name] = _array((row[position] for row in priced), dtype)
    return frame[INVENTORY].copy(), drift + place_drift + plan_drift


def inventory_dtypes() -> dict[str, str]:
    """Column → dtype of every inventory, whatever machines there are."""
    own = {each.name: DTYPES[each.type] for each in fields_of(Instance)}
    return {name: PRICED[name][0] if name in PRICED else own[name] for name in INVENTORY}


def _complete_places(frame: pd.DataFrame, places: Sequence[Any]) -> None:
    """City and country from the locations' listing where the machine's own record leaves them out."""
    known = {place.slug.upper(): place for place in places if place.slug}
    for name in ("city", "country"):
        found = [
            getattr(known.get(slug.upper()), name, None) if isinstance(slug, str) else None
            for slug in frame["location"]
        ]
        frame[name] = frame[name].fillna(pd.Series(found, dtype="str"))


Priced = tuple[str | None, float | None, str | None, str | None]


def price(
    machine: Instance, plans: Sequence[Plan], currency: str | None, drift: Sequence[Drift] = ()
) -> Priced:
    """Plan slug, monthly price, currency code and, where there is no price, the reason.

    An instance carries no plan: the one at its location with the same CPUs, memory and disk is taken. Where
    the same size is offered in several currencies, the account's own (`currency`, a symbol) decides.
    """
    if not machine.location:
        return _no_price("its location is not told")
    missing = [name for name in ("cpus", "memory", "total_disk_size") if getattr(machine, name) is None]
    if missing:
        return _no_price(f"its {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not told")
    here = [plan for plan in plans if plan.location and plan.location.upper() == machine.location.upper()]
    if not here:
        refused = [each.problem for each in drift if each.path == f"plans of {machine.location}"]
        return _no_price(f"no plans of {machine.location} are known" + "".join(f": {why}" for why in refused))
    wanted = (machine.cpus, machine.memory, machine.total_disk_size)
    matches = _one_currency([p for p in here if (p.core, p.memory, p.disk) == wanted], currency)
    if not matches:
        return _no_price(
            f"no plan at {machine.location} has {machine.cpus} CPUs, {machine.memory} MB, "
            f"{machine.total_disk_size} GB"
        )
    if len(matches) > 1:
        return _no_price(f"several plans match: {', '.join(sorted(str(plan.slug) for plan in matches))}")
    plan = matches[0]
    if plan.monthly_value is None:
        return plan.slug, None, plan.currencycode, f"the plan {plan.slug} has no price"
    return plan.slug, plan.monthly_value, plan.currencycode, None


def _no_price(reason: str) -> Priced:
    return None, None, None, reason


def _one_currency(plans: list[Plan], currency: str | None) -> list[Plan]:
    own = [plan for plan in plans if currency and currency in (plan.shortcode, _symbol(plan.currencycode))]
    distinct = {(plan.slug, plan.currencycode, plan.monthly_value): plan for plan in own or plans}
    return list(distinct.values())


def _symbol(code: str | None) -> str | None:
    return CURRENCY_SYMBOLS.get(code or "")


def by_location(inventory: pd.DataFrame) -> pd.DataFrame:
    """Machines and money by location and currency: the first summary that people ask of an inventory.

    One row a location and currency, the currencies never added up: location, machines (`Int64`), running
    (`Int64`), monthly_value (`Float64`), currencycode. Machines without a price have a row of their own, with
    `monthly_value` and `currencycode` missing.
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


# --- describing -----------------------------------------------------------------------------------------


def describe(name: str) -> pd.DataFrame:
    """What the columns of a listing mean, made from the models that make the listing.

    Args:
        name: `instances`, `inventory`, `locations`, `plans`, `images`, `sshkeys`, `snapshots` or `profile`.

    Returns a frame with one row a column, all `str`: column, dtype, unit (MB, GB, currency), description,
    wire (where the value stands in the API's record; missing for a derived one). Raises InputError for
    another name.

    >>> import lcnb
    >>> lcnb.describe("plans").set_index("column").loc["memory", "unit"]
    'MB'
    """
    if name == "inventory":
        rows = [_inventory_row(column) for column in INVENTORY]
    elif name in MODELS:
        rows = [_row(each) for each in fields_of(MODELS[name])]
    else:
        known = [*MODELS, "inventory"]
        raise InputError(f"no listing {name!r}{did_you_mean(name, known)}. Listings: {', '.join(known)}")
    columns = ("column", "dtype", "unit", "description", "wire")
    frame = pd.DataFrame(rows, columns=list(columns)).astype("str")
    frame.attrs["lcnb"] = {"kind": "describe", "of": name}
    return frame


def _row(field: Field) -> tuple[str, str, str | None, str, str | None]:
    wire = None if field.about.derive else ".".join(field.wire)
    return field.name, DTYPES[field.type], field.about.unit or None, field.about.help, wire


def _inventory_row(column: str) -> tuple[str, str, str | None, str, str | None]:
    if column in PRICED:
        dtype, unit, meaning = PRICED[column]
        return column, dtype, unit or None, meaning, None
    return _row(next(each for each in fields_of(Instance) if each.name == column))


def facts(frame: pd.DataFrame) -> Mapping[str, Any]:
    """`frame.attrs["lcnb"]`, or an empty mapping for a frame that lcnb did not make."""
    found = frame.attrs.get("lcnb", {})
    return found if isinstance(found, Mapping) else {}
