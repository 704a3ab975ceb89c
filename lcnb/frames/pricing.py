"""What a machine costs: the plan and the price that its location and size point to.

The API does not say which plan a machine has.
"""

from __future__ import annotations

from collections.abc import Sequence

from lcnb.api.fields import Drift
from lcnb.api.models import CURRENCY_SYMBOLS, Instance, Plan

#: Prices are per month, and the provider charges per hour. A month is assumed to have 730 hours.
HOURS_PER_MONTH = 730
DAYS_PER_MONTH = HOURS_PER_MONTH / 24

#: Plan slug, monthly price, currency code, and the reason for a missing price.
InferredPrice = tuple[str | None, float | None, str | None, str | None]


def infer_price(
    machine: Instance, plans: Sequence[Plan], currency: str | None, drift: Sequence[Drift] = ()
) -> InferredPrice:
    """Return plan slug, monthly price, currency code and, when there is no price, the reason.

    Args:
        machine: The machine. Its plan is the one of its location with the same CPUs, memory and disk.
        plans: The plans of all locations.
        currency: The account's currency as a symbol. It decides when a size is offered in several currencies.
        drift: What was odd in the listing of plans, for the reason.
    """
    if reason := _missing_facts(machine):
        return _no_price(reason)
    location = str(machine.location)
    here = [plan for plan in plans if plan.location and plan.location.upper() == location.upper()]
    if not here:
        refused = [each.problem for each in drift if each.path == f"plans of {location}"]
        return _no_price(f"no plans of {location} are known" + "".join(f": {why}" for why in refused))
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    same_size = [plan for plan in here if (plan.core, plan.memory, plan.disk) == size]
    return _price_of_match(machine, _prefer_currency(same_size, currency))


def _missing_facts(machine: Instance) -> str:
    """What of a machine's location and size is missing, as a reason; "" when nothing is."""
    if not machine.location:
        return "its location is missing"
    missing = [name for name in ("cpus", "memory", "total_disk_size") if getattr(machine, name) is None]
    if missing:
        return f"its {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing"
    return ""


def _price_of_match(machine: Instance, matches: Sequence[Plan]) -> InferredPrice:
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
    """The distinct plans in the account's currency; those of all currencies when none is in it."""
    own = [
        plan
        for plan in plans
        if currency and currency in (plan.shortcode, _currency_symbol(plan.currencycode))
    ]
    distinct = {(plan.slug, plan.currencycode, plan.monthly_value): plan for plan in own or plans}
    return list(distinct.values())


def _currency_symbol(code: str | None) -> str | None:
    return CURRENCY_SYMBOLS.get(code or "")
