"""What a machine costs: the plan and the price that its location and size point to.

The API does not say which plan a machine has."""

from __future__ import annotations

from collections.abc import Sequence

from lcnb.api.fields import Drift
from lcnb.api.models import CURRENCY_SYMBOLS, Instance, Plan

InferredPrice = tuple[str | None, float | None, str | None, str | None]


def infer_price(
    machine: Instance, plans: Sequence[Plan], currency: str | None, drift: Sequence[Drift] = ()
) -> InferredPrice:
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
    matches = _prefer_currency([p for p in here if (p.core, p.memory, p.disk) == wanted], currency)
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


def _no_price(reason: str) -> InferredPrice:
    return None, None, None, reason


def _prefer_currency(plans: list[Plan], currency: str | None) -> list[Plan]:
    own = [
        plan
        for plan in plans
        if currency and currency in (plan.shortcode, _currency_symbol(plan.currencycode))
    ]
    distinct = {(plan.slug, plan.currencycode, plan.monthly_value): plan for plan in own or plans}
    return list(distinct.values())


def _currency_symbol(code: str | None) -> str | None:
    return CURRENCY_SYMBOLS.get(code or "")
