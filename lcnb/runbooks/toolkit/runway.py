"""For the runbook `balance_runway` and the metrics of Prometheus: how long the balance of an account lasts.

Without pandas, so that a command that prints metrics starts fast. Currencies are never added up or converted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from lcnb.api.models import CURRENCY_SYMBOLS, Profile
from lcnb.frames.pricing import DAYS_PER_MONTH

#: A projection ends after at most so many days.
MAX_PROJECTION_DAYS = 365
#: An end of the balance later than this is not shown as a date.
MAX_END_DAYS = 365 * 100


class MachinePrice(NamedTuple):
    """What a machine costs per month; a machine has no price unless both are known."""

    monthly_value: float | None
    currencycode: str | None


class CurrencyCost(NamedTuple):
    """What the machines with a price in one currency cost per month. Without a currency: those without a price."""

    currencycode: str | None
    machines: int
    monthly_value: float


@dataclass(frozen=True)
class Runway:
    """How long a prepaid balance lasts if the machines keep costing what they cost now.

    Amounts are in `currencycode`, the currency of the account. `days` is None when it is unknown (`unknown_reason` says
    why), and infinite when nothing is charged. `uncounted` describes charges in other currencies or without a price:
    if there are any, the balance ends earlier than `days` says.
    """

    currencycode: str | None
    balance: float | None
    monthly_value: float
    days: float | None
    unknown_reason: str = ""
    uncounted: tuple[str, ...] = ()

    @property
    def cost_per_day(self) -> float:
        """What the machines cost per day, in the currency of the account."""
        return self.monthly_value / DAYS_PER_MONTH

    @property
    def days_text(self) -> str:
        """The days as text, rounded down: `12.4`, `at most 12.4`, `unlimited` or `not known`."""
        if self.days is None:
            return "not known"
        if math.isinf(self.days):
            return "unlimited"
        return f"{'at most ' if self.uncounted and self.days else ''}{math.floor(self.days * 10) / 10:,.1f}"

    def lasts(self, days: float) -> bool:
        """Whether the balance is known to last so many days."""
        return self.days is not None and self.days >= days

    def missing_amount(self, days: float) -> float | None:
        """Return how much must be paid in for the balance to last so many days; None when that is unknown."""
        if self.days is None:
            return None
        if self.balance is None or math.isinf(self.days):
            return 0.0
        return max(0.0, self.cost_per_day * days - self.balance)

    def end_time(self, now: datetime) -> datetime | None:
        """Return when the balance is used up; None when that is unknown, never, or more than a hundred years away."""
        if self.days is None or self.days > MAX_END_DAYS:
            return None
        return now + timedelta(days=self.days)

    def chart_marks(self, now: datetime, days: float) -> dict[str, datetime]:
        """Return the moments to mark in a chart: when `days` have passed, and when the balance is used up."""
        marks, end = {f"in {days:g} days": now + timedelta(days=days)}, self.end_time(now)
        if end and (end - now).days < MAX_PROJECTION_DAYS:
            marks[f"used up on {end.day} {end:%b %Y}"] = end
        return marks


def cost_by_currency(prices: Iterable[MachinePrice]) -> list[CurrencyCost]:
    """Return what machines cost per month: one entry per currency, the most machines first, then those without a price.

    >>> cost_by_currency([MachinePrice(5.4, "USD"), MachinePrice(None, None), MachinePrice(10.0, "USD")])[0]
    CurrencyCost(currencycode='USD', machines=2, monthly_value=15.4)
    """
    values: dict[str | None, list[float]] = {}
    for value, code in prices:
        known = value is not None and code is not None
        values.setdefault(code if known else None, []).append(value if known and value is not None else 0.0)
    costs = [CurrencyCost(code, len(each), float(sum(each))) for code, each in values.items()]
    return sorted(
        costs, key=lambda cost: (cost.currencycode is None, -cost.machines, cost.currencycode or "")
    )


def runway_of_prices(profile: Profile, prices: Sequence[MachinePrice], *, prepaid: bool = True) -> Runway:
    """Return how long the balance lasts for machines with these prices; `compute_runway` takes an inventory.

    >>> runway_of_prices(Profile(currency="$", balance=15.0), [MachinePrice(30.0, "USD")]).days_text
    '15.2'
    """
    code = currency_code(profile.currency)
    costs = cost_by_currency(prices)
    monthly = _monthly_value(costs, code)

    def runway(days: float | None, unknown_reason: str = "", uncounted: tuple[str, ...] = ()) -> Runway:
        return Runway(code, profile.balance, monthly, days, unknown_reason, uncounted)

    if not prepaid:
        return runway(None, "the account is post-paid, so its balance is no limit")
    if not prices:
        return runway(math.inf)
    if profile.balance is None:
        return runway(None, "the API reports no balance")
    if profile.balance <= 0:
        return runway(0.0)
    if code is None:
        return runway(None, _unknown_currency(profile))
    uncounted = tuple(_cost_text(each) for each in costs if each.currencycode != code)
    if monthly > 0:
        return runway(profile.balance / (monthly / DAYS_PER_MONTH), uncounted=uncounted)
    if uncounted:
        return runway(None, f"no machine has a price in {code} ({'; '.join(uncounted)})")
    return runway(math.inf)


def _monthly_value(costs: Iterable[CurrencyCost], code: str | None) -> float:
    """Return what the machines with a price in this currency cost per month; 0.0 for an unknown currency."""
    return sum((each.monthly_value for each in costs if code and each.currencycode == code), start=0.0)


def _unknown_currency(profile: Profile) -> str:
    """Say why the currency of the account is not known."""
    if profile.currency:
        return f"the currency {profile.currency} of the account is unknown"
    return "the API reports no currency of the account"


def currency_code(symbol: str | None) -> str | None:
    """Return the code of a currency that the API names by its symbol or code; None for an unknown one.

    >>> currency_code("R$"), currency_code("usd"), currency_code("?")
    ('BRL', 'USD', None)
    """
    codes = {symbol: code for code, symbol in CURRENCY_SYMBOLS.items()} | {
        code: code for code in CURRENCY_SYMBOLS
    }
    return codes.get((symbol or "").strip().upper())


def _cost_text(cost: CurrencyCost) -> str:
    """Describe what is charged in another currency, or has no price."""
    count = f"{cost.machines} machine{'s' if cost.machines != 1 else ''}"
    if cost.currencycode is None:
        return f"{count} without a known price"
    return f"{cost.monthly_value:,.2f} {cost.currencycode} per month for {count}"
