"""For the runbook `price_compare`: compare the prices of plans across locations, one currency at a time."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lcnb.display import markup, panels, tables
from lcnb.runbooks.toolkit.reporting import join_html
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

SIZE_COLUMNS = ["core", "memory", "disk"]
OFFER_DTYPES = {
    "currencycode": "str",
    "size": "str",
    "plan": "str",
    "core": "Int64",
    "memory": "Int64",
    "disk": "Int64",
    "bandwidth": "Int64",
    "location": "str",
    "city": "str",
    "country": "str",
    "available": "boolean",
    "monthly_value": "Float64",
    "left_out": "str",
}
CHEAPEST_DTYPES = {
    "currencycode": "str",
    "size": "str",
    "plan": "str",
    "places": "Int64",
    "cheapest_at": "str",
    "monthly_value": "Float64",
    "dearest_at": "str",
    "dearest_value": "Float64",
    "difference_percent": "Float64",
}


def list_offers(plans: pd.DataFrame, locations: pd.DataFrame) -> pd.DataFrame:
    """Return each plan at each location with its price: one row per plan and location.

    Columns (`OFFER_DTYPES`): `memory` is in MB, `disk` and `bandwidth` in GB, `monthly_value` per month; `available`
    says whether machines can be created at the location (missing when the API does not report it); `left_out` says why
    the price cannot be compared (missing when it can).

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> list_offers(lc.plans(), lc.locations()).query("location == 'LON1'").available.unique().tolist()
    [False]
    """
    places = {str(row["slug"]).upper(): row for row in frame_records(locations) if is_known(row["slug"])}
    return typed_frame([_offer_row(row, places) for row in frame_records(plans)], OFFER_DTYPES)


def _offer_row(plan: dict[str, Any], places: dict[str, dict[str, Any]]) -> dict[str, Any]:
    place = places.get(str(plan["location"]).upper(), {})
    holes = [name for name in (*SIZE_COLUMNS, "location", "currencycode") if not is_known(plan[name])]
    price = plan["monthly_value"]
    if holes:
        reason = f"unknown: {', '.join(holes)}"
    elif not is_known(price):
        reason = "it has no price"
    elif price <= 0:
        reason = f"its price is {price:.2f}"
    else:
        reason = None
    size = (
        None
        if any(not is_known(plan[name]) for name in SIZE_COLUMNS)
        else size_text(*(plan[name] for name in SIZE_COLUMNS))
    )
    return {**plan, **{n: place.get(n) for n in ("city", "country", "available")}} | {
        "plan": plan["slug"],
        "size": size,
        "left_out": reason,
    }


def size_text(core: int, memory: int, disk: int) -> str:
    """Return a size as people read it.

    >>> size_text(2, 4096, 30)
    '2 CPU, 4 GB, 30 GB disk'
    """
    return f"{core} CPU, {memory / 1024:g} GB, {disk} GB disk"


def cheapest_by_size(offered: pd.DataFrame) -> pd.DataFrame:
    """Return where each size costs least and where it costs most: one row per currency and size.

    Locations that are closed for new machines are left out; where the API does not say, they are taken to be open.

    Columns (`CHEAPEST_DTYPES`): `currencycode`, `size`, `plan`; `places` is the number of open locations; `cheapest_at`
    and `monthly_value` are the locations and the price per month there; `dearest_at`, `dearest_value` and
    `difference_percent` are missing when the price is the same everywhere. All prices are missing when no open location
    offers the size.
    """
    rows = []
    for (code, *_), part in _comparable_offers(offered).groupby(["currencycode", *SIZE_COLUMNS]):
        open_ones = part[_is_open(part)]
        row: dict[str, Any] = {
            "currencycode": code,
            "size": part["size"].iloc[0],
            "plan": ", ".join(sorted(set(part["plan"].dropna()))) or None,
            "places": int(open_ones.location.nunique()),
        }
        if len(open_ones):
            least, most = float(open_ones.monthly_value.min()), float(open_ones.monthly_value.max())
            row |= {
                "cheapest_at": _locations_at_price(open_ones, least),
                "monthly_value": least,
                "dearest_at": _locations_at_price(open_ones, most) if most > least else None,
                "dearest_value": most if most > least else None,
                "difference_percent": 100 * (most / least - 1) if most > least else None,
            }
        rows.append(row)
    return typed_frame(rows, CHEAPEST_DTYPES)


def _comparable_offers(offered: pd.DataFrame) -> pd.DataFrame:
    """Return one offer per currency, size and location: the cheaper one where there are two."""
    rows = offered[offered.left_out.isna()].sort_values("monthly_value", kind="stable")
    return rows.drop_duplicates(["currencycode", *SIZE_COLUMNS, "location"])


def _is_open(offered: pd.DataFrame) -> pd.Series[bool]:
    return offered.available.fillna(True).astype(bool)


def _locations_at_price(offered: pd.DataFrame, price: float) -> str:
    return ", ".join(sorted(offered[offered.monthly_value == price].location))


def price_matrix(offered: pd.DataFrame, currencycode: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the prices of one currency (one row per size, one column per location), and a mask of the cheapest.

    The mask has the same rows and columns: True where no open location is cheaper. A closed location has `(closed)` in
    the name of its column and is never True.
    """
    here = _comparable_offers(offered)
    here = here[here.currencycode == currencycode].copy()
    here["place"] = here.location.where(_is_open(here), here.location + " (closed)")
    sizes = here.sort_values(SIZE_COLUMNS)["size"].drop_duplicates()
    places = here.sort_values("location").place.drop_duplicates()

    def table(values: str, rows: pd.DataFrame) -> pd.DataFrame:
        wide = rows.pivot_table(index="size", columns="place", values=values, aggfunc="min")
        wide = wide.reindex(index=pd.Index(sizes, name="size"), columns=pd.Index(places))
        return wide.rename_axis(columns=None).astype("Float64")

    prices = table("monthly_value", here)
    candidates = table("monthly_value", here[_is_open(here)])
    least = candidates.min(axis=1)
    return prices, candidates.eq(least, axis=0).fillna(False).astype(bool)


def price_tables(offered: pd.DataFrame) -> markup.Html:
    """Return the price matrix of each currency as a table in which the cheapest locations are marked."""
    drawn = []
    for code in offered_currencies(offered):
        prices, marked = price_matrix(offered, code)
        drawn.append(tables.table(prices, mark=marked, caption=f"{code} per month"))
    return join_html(drawn, "No prices to compare.")


def offered_currencies(offered: pd.DataFrame) -> list[str]:
    """Return the currencies of the offers that can be compared."""
    return sorted(offered[offered.left_out.isna()].currencycode.unique())


def closed_locations(offered: pd.DataFrame) -> list[str]:
    """Return the locations where no machine can be created at present."""
    return sorted(offered[~_is_open(offered)].location.dropna().unique())


def closed_note(offered: pd.DataFrame) -> markup.Html:
    """Say which locations are closed for new machines, and for which the API does not report it."""
    places = closed_locations(offered)
    silent = sorted(offered[offered.available.isna()].location.dropna().unique())
    words = []
    if places:
        words.append(
            f"No machine can be created at {', '.join(places)} at present; prices there are shown, but never marked."
        )
    if silent:
        words.append(
            f"The API does not report whether {', '.join(silent)} can be used; this report assumes so."
        )
    if not len(offered):
        words.append("No plan is offered.")
    return panels.note(" ".join(words) or "Machines can be created at every location.")


def basket_prices(offered: pd.DataFrame, currencycode: str) -> tuple[pd.Series[Any], int]:
    """Return what one machine of each size costs per month at each open location, and the number of sizes.

    Only sizes that all open locations offer are counted, so that the sums can be compared; the cheapest location comes
    first. The sums are empty when there are fewer than two locations, or no size that all of them offer.
    """
    here = _comparable_offers(offered)
    here = here[(here.currencycode == currencycode) & _is_open(here)]
    wide = here.pivot_table(
        index=SIZE_COLUMNS, columns="location", values="monthly_value", aggfunc="min"
    ).dropna()
    if wide.shape[1] < 2 or not len(wide):
        return pd.Series(dtype="float64"), 0
    return wide.sum().astype("float64").sort_values(kind="stable"), len(wide)


def fitting_offers(
    offered: pd.DataFrame, cpus: int, memory_gb: float, disk_gb: int, most: int = 5
) -> pd.DataFrame:
    """Return the cheapest offers with at least this size at open locations, at most `most` per currency.

    `memory_gb` is in units of 1024 MB. Columns: `currencycode`, `monthly_value`, `plan`, `core`, `memory` (MB), `disk`
    (GB), `location`, `city`.
    """
    here = _comparable_offers(offered)
    fits = (here.core >= cpus) & (here.memory >= memory_gb * 1024) & (here.disk >= disk_gb)
    order = ["currencycode", "monthly_value", "core", "memory", "disk", "location"]
    found = here[fits & _is_open(here)].sort_values(order, kind="stable")
    columns = ["currencycode", "monthly_value", "plan", "core", "memory", "disk", "location", "city"]
    return found.groupby("currencycode").head(most)[columns].reset_index(drop=True)
