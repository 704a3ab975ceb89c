"""Suggest a cheaper plan for each machine, and the changes that apply the suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.earlier_runs import changes_done
from lcnb.runbooks.toolkit.targets import NOTHING_SENT, check_label_list, comparable_label, find_by_label

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


# --- sizes and prices -----------------------------------------------------------------------------------


def suggest_plans(fleet: pd.DataFrame, plans: pd.DataFrame, currency: str | None = None) -> pd.DataFrame:
    """For each machine the cheapest plan at its location that is nowhere smaller, where that is worth a look.

    A disk cannot shrink, and nothing tells how much of a machine is used; so a plan is suggested where it costs less
    than the present one, or where the present size is no plan that is offered. Prices are compared within a currency
    only; `currency` (the account's symbol) decides where the machine's own is not known.

    Columns: label, identifier, state, location, plan, monthly_value, currencycode, suggested, suggested_value, saves
    (missing where the present price is not known), why.
    """
    rows = []
    for machine in plain_rows(fleet):
        here = plans[plans.location.str.upper() == str(machine["location"]).upper()]
        best = _cheapest_fitting_plan(machine, here, currency)
        price = machine["monthly_value"]
        if best is None or (price is not None and best["monthly_value"] >= price):
            continue
        if price is None and machine["plan"] is not None:
            continue  # its plan is offered, and has no price
        rows.append(
            {
                **machine,
                "currencycode": best["currencycode"],
                "suggested": best["slug"],
                "suggested_value": best["monthly_value"],
                "saves": None if price is None else round(price - best["monthly_value"], 2),
                "why": "its size is no plan here" if price is None else "costs less, nowhere smaller",
            }
        )
    return _typed_columns(rows, _ADVICE_DTYPES)


_ADVICE_DTYPES = {
    "label": "str",
    "identifier": "str",
    "state": "str",
    "location": "str",
    "plan": "str",
    "monthly_value": "Float64",
    "currencycode": "str",
    "suggested": "str",
    "suggested_value": "Float64",
    "saves": "Float64",
    "why": "str",
}
_ELSEWHERE_DTYPES = {
    "label": "str",
    "location": "str",
    "plan": "str",
    "monthly_value": "Float64",
    "currencycode": "str",
    "cheapest_at": "str",
    "there_plan": "str",
    "there_value": "Float64",
    "difference": "Float64",
}


def cheaper_elsewhere(fleet: pd.DataFrame, plans: pd.DataFrame) -> pd.DataFrame:
    """Machines whose size costs less at another location, in the same currency: what only a new machine could save.

    Columns: label, location, plan, monthly_value, currencycode, cheapest_at, there_plan, there_value, difference.
    """
    rows = []
    for machine in plain_rows(fleet[fleet.monthly_value.notna()]):
        others = plans[plans.location.str.upper() != str(machine["location"]).upper()]
        best = _cheapest_fitting_plan(machine, others, None)
        if best is not None and best["monthly_value"] < machine["monthly_value"]:
            difference = round(machine["monthly_value"] - best["monthly_value"], 2)
            there = {"cheapest_at": best["location"], "there_plan": best["slug"]}
            rows.append({**machine, **there, "there_value": best["monthly_value"], "difference": difference})
    return _typed_columns(rows, _ELSEWHERE_DTYPES).sort_values(
        "difference", ascending=False, ignore_index=True
    )


def _cheapest_fitting_plan(
    machine: Mapping[str, Any], plans: pd.DataFrame, currency: str | None
) -> dict[str, Any] | None:
    """The cheapest plan that is nowhere smaller than a machine, in its currency; None when there is none."""
    size = [machine[name] for name in ("cpus", "memory", "total_disk_size")]
    if None in size:
        return None
    if machine["currencycode"] is None:
        own = plans[plans.shortcode == currency] if currency else plans
        plans = own if len(own) else plans
    else:
        plans = plans[plans.currencycode == machine["currencycode"]]
    fitting = [
        plan
        for plan in plain_rows(plans)
        if plan["monthly_value"] is not None
        and all(
            plan[name] is not None and plan[name] >= least
            for name, least in zip(("core", "memory", "disk"), size, strict=True)
        )
    ]
    order = ("monthly_value", "core", "memory", "disk", "slug")
    return min(fitting, key=lambda plan: [plan[name] for name in order], default=None)


def _typed_columns(rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in dtypes.items()}
    )


def resize_changes(
    lc: LetsCloud, run: RunContext, advice: pd.DataFrame, labels: Sequence[str]
) -> SyncChangeSet:
    """What gives the machines of these labels their suggested plans. InputError for one without a suggestion."""
    check_label_list("apply_labels", labels)
    before = {comparable_name(entry.target) for entry in changes_done(run, lc, "change plan")}
    chosen = [label for label in labels if comparable_name(label) not in before]
    advised = set(map(comparable_label, advice.label))
    without = [label for label in chosen if comparable_name(label) not in advised]
    if without:
        raise InputError(f"apply_labels: there is no suggestion for {without[0]!r}. {NOTHING_SENT}")
    rows = find_by_label(advice, chosen)
    return lc.changes(
        lc.change_plan(identifier, plan=plan)
        for identifier, plan in zip(rows.identifier, rows.suggested, strict=True)
    )
