"""The choices of the account's forms, read from the account: locations, plans, images, keys, snapshots, machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lcnb.widgets.form_fields import Choice, FieldValues

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud


def has_value(value: Any) -> bool:
    """Return whether a cell of a frame has a value."""
    import pandas as pd

    return not pd.isna(value) and value != ""


def location_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return all locations; those that are sold out are marked."""
    rows = lc.locations().to_dict("records")
    return [_location_choice(row) for row in rows if has_value(row["slug"])]


def _location_choice(row: Mapping[Any, Any]) -> Choice:
    name = f"{row['slug']} – {row['city']}"
    if has_value(row["available"]) and not row["available"]:
        return Choice(
            row["slug"],
            f"{name} (sold out)",
            f"{row['slug']} takes no new machines now. Choose another location.",
        )
    return Choice(row["slug"], name)


def plan_size_text(row: Mapping[Any, Any]) -> str:
    """Return the size of a plan, such as `2 CPUs, 4 GB, 30 GB disk`."""
    cpus = "1 CPU" if row["core"] == 1 else f"{row['core']} CPUs"
    return f"{cpus}, {row['memory'] / 1024:g} GB, {row['disk']} GB disk"


def _in_own_currency(lc: LetsCloud, plans: pd.DataFrame) -> pd.DataFrame:
    """Return each plan once; in the account's currency if it is sold in two."""
    mine = lc.profile().currency
    order = (plans.shortcode != mine).argsort(kind="stable")
    return plans.iloc[order].drop_duplicates("slug").sort_values("monthly_value")


def plan_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the plans of the chosen location with their prices, the cheapest first."""
    rows = _in_own_currency(lc, lc.plans(values["location"])).dropna(subset=["slug"]).to_dict("records")
    return [
        Choice(
            row["slug"], f"{plan_size_text(row)} – {_price_text(row['monthly_value'], row['currencycode'])}"
        )
        for row in rows
    ]


def _price_text(value: Any, code: Any) -> str:
    return f"{value:,.2f} {code} per month" if has_value(value) else "price unknown"


def image_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the images of the chosen location."""
    rows = lc.images(values["location"]).dropna(subset=["slug"]).sort_values("distro").to_dict("records")
    return [
        Choice(row["slug"], str(row["distro"] if has_value(row["distro"]) else row["slug"])) for row in rows
    ]


def key_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the SSH keys of the account."""
    rows = lc.sshkeys().dropna(subset=["slug"]).to_dict("records")
    return [Choice(row["slug"], f"{row['title']} ({row['slug']})") for row in rows]


def snapshot_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the snapshots of the account."""
    rows = lc.snapshots().dropna(subset=["slug"]).to_dict("records")
    return [Choice(row["slug"], f"{row['label']} – {row['size']:g} GB ({row['slug']})") for row in rows]


def machine_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the machines that can be changed, by label; the identifier distinguishes machines with the same label."""
    rows = lc.instances().dropna(subset=["identifier"]).sort_values("label").to_dict("records")
    return [
        Choice(row["identifier"], f"{row['label']} – {row['state']}, {row['location']} ({row['identifier']})")
        for row in rows
    ]


def resize_choices(lc: LetsCloud, values: FieldValues) -> list[Choice]:
    """Return the plans that all picked machines can change to, with the price difference per month."""
    fleet = lc.inventory()
    picked = fleet[fleet.identifier.isin(values["machines"])]
    common: dict[str, list[dict[Any, Any]]] = {}
    for place in picked.location.dropna().unique():
        for row in _in_own_currency(lc, lc.plans(place)).to_dict("records"):
            common.setdefault(row["slug"], []).append({**row, "location": place})
    everywhere = [rows for rows in common.values() if len(rows) == picked.location.nunique()]
    everywhere = [rows for rows in everywhere if rows[0]["disk"] >= picked.total_disk_size.max()]
    return [
        Choice(rows[0]["slug"], f"{plan_size_text(rows[0])} – {_difference_text(rows, picked)}")
        for rows in everywhere
    ]


def _difference_text(rows: list[dict[Any, Any]], picked: pd.DataFrame) -> str:
    """Return `44.50 USD per month each (+26.80 USD)`, with the difference for all machines, per currency."""
    prices = {row["location"]: row for row in rows}
    sums: dict[str, float] = {}
    for _, machine in picked.iterrows():
        row = prices[machine.location]
        if not has_value(machine.monthly_value) or machine.currencycode != row["currencycode"]:
            return f"{_price_text(rows[0]['monthly_value'], rows[0]['currencycode'])}, difference unknown"
        code = str(row["currencycode"])
        sums[code] = sums.get(code, 0.0) + row["monthly_value"] - machine.monthly_value
    text = ", ".join(f"{value:+,.2f} {code}" for code, value in sums.items())
    if all(abs(value) < 0.005 for value in sums.values()):
        text = "unchanged"
    return f"{_price_text(rows[0]['monthly_value'], rows[0]['currencycode'])} each ({text})"
