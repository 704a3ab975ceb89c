"""For the runbook `resize_advisor`: suggest cheaper plans, and prepare the changes that apply the suggestions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.earlier_runs import changes_done
from lcnb.runbooks.toolkit.targets import check_label_list, comparable_label, find_by_label
from lcnb.runbooks.toolkit.typed_frames import typed_frame

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext

#: Columns of a plan, and of a machine, that describe the same part of the size.
_SIZE_PAIRS = {"core": "cpus", "memory": "memory", "disk": "total_disk_size"}


def suggest_plans(fleet: pd.DataFrame, plans: pd.DataFrame, currency: str | None = None) -> pd.DataFrame:
    """Return the machines for which a better plan is offered at their location, one row per machine.

    The suggested plan is the cheapest that has at least the CPUs, memory and disk of the machine: a disk cannot shrink,
    and the API does not report how much of a machine is used. A plan is suggested when it costs less than the present
    one, or when the present size is no longer offered. Prices are compared within one currency; `currency` (the symbol
    of the account) is used for machines whose currency is unknown.

    Columns: `label`, `identifier`, `state`, `location`, `plan`, `monthly_value`, `currencycode`, `suggested` (the
    plan), `suggested_value` (its price per month), `saves` (per month; missing when the present price is unknown),
    `why`.
    """
    rows = []
    for machine in plain_rows(fleet):
        here = plans[plans.location.str.upper() == str(machine["location"]).upper()]
        best = _cheapest_fitting_plan(machine, here, currency)
        price = machine["monthly_value"]
        if best is None or (price is not None and best["monthly_value"] >= price):
            continue
        if price is None and machine["plan"] is not None:
            continue  # the plan is offered without a price, so nothing can be compared
        rows.append(
            {
                **machine,
                "currencycode": best["currencycode"],
                "suggested": best["slug"],
                "suggested_value": best["monthly_value"],
                "saves": None if price is None else round(price - best["monthly_value"], 2),
                "why": "its size is no longer offered" if price is None else "costs less, not smaller",
            }
        )
    return typed_frame(rows, _ADVICE_DTYPES)


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
    """Return the machines whose size costs less at another location, the largest saving first.

    A machine cannot be moved, so only a new machine would save this. Prices are compared within one currency.

    Columns: `label`, `location`, `plan`, `monthly_value`, `currencycode`; `cheapest_at`, `there_plan` and `there_value`
    (location, plan and price per month there); `difference` (per month).
    """
    rows = []
    for machine in plain_rows(fleet[fleet.monthly_value.notna()]):
        others = plans[plans.location.str.upper() != str(machine["location"]).upper()]
        best = _cheapest_fitting_plan(machine, others, None)
        if best is not None and best["monthly_value"] < machine["monthly_value"]:
            difference = round(machine["monthly_value"] - best["monthly_value"], 2)
            there = {"cheapest_at": best["location"], "there_plan": best["slug"]}
            rows.append({**machine, **there, "there_value": best["monthly_value"], "difference": difference})
    found = typed_frame(rows, _ELSEWHERE_DTYPES)
    return found.sort_values("difference", ascending=False, ignore_index=True)


def _cheapest_fitting_plan(
    machine: Mapping[str, Any], plans: pd.DataFrame, currency: str | None
) -> dict[str, Any] | None:
    """Return the cheapest plan with at least the size of a machine, in its currency; None when no plan fits."""
    size = {name: machine[column] for name, column in _SIZE_PAIRS.items()}
    if None in size.values():
        return None
    fitting = [plan for plan in plain_rows(_plans_in_currency(machine, plans, currency)) if _fits(plan, size)]
    order = ("monthly_value", *_SIZE_PAIRS, "slug")
    return min(fitting, key=lambda plan: [plan[name] for name in order], default=None)


def _plans_in_currency(machine: Mapping[str, Any], plans: pd.DataFrame, currency: str | None) -> pd.DataFrame:
    """Return the plans in the currency of a machine; otherwise in that of the account, if any; otherwise all plans."""
    if machine["currencycode"] is not None:
        own: pd.DataFrame = plans[plans.currencycode == machine["currencycode"]]
        return own
    found: pd.DataFrame = plans[plans.shortcode == currency] if currency else plans
    return found if len(found) else plans


def _fits(plan: Mapping[str, Any], size: Mapping[str, Any]) -> bool:
    """Whether a plan has a price and at least this size."""
    if plan["monthly_value"] is None:
        return False
    return all(plan[name] is not None and plan[name] >= least for name, least in size.items())


def resize_changes(
    lc: LetsCloud, run: RunContext, advice: pd.DataFrame, labels: Sequence[str]
) -> SyncChangeSet:
    """Return the changes that give these machines their suggested plans. InputError for one without a suggestion."""
    check_label_list("apply_labels", labels)
    before = {comparable_name(entry.target) for entry in changes_done(run, lc, "change plan")}
    chosen = [label for label in labels if comparable_name(label) not in before]
    advised = set(map(comparable_label, advice.label))
    without = [label for label in chosen if comparable_name(label) not in advised]
    if without:
        raise InputError(
            f"there is no suggestion for {without[0]!r}",
            field="apply_labels",
            value=without[0],
            not_done="sent",
        )
    rows = find_by_label(advice, chosen)
    return lc.changes(
        lc.change_plan(identifier, plan=plan)
        for identifier, plan in zip(rows.identifier, rows.suggested, strict=True)
    )
