"""How much the machines cost, and how long the account's balance lasts.

Currencies are never added up or converted. What the API does not report is shown as not known, never guessed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from lcnb.api.models import CURRENCY_SYMBOLS, Profile
from lcnb.display import formats, markup, panels
from lcnb.flags import checked_flag
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

#: Prices are a month; the provider charges by the hour, 730 of them a month (an assumption).
DAYS_PER_MONTH = 730 / 24
#: A projection reaches no further than this.
MAX_PROJECTION_DAYS = 365


# --- balance_runway -------------------------------------------------------------------------------------


def spend_by_currency(fleet: pd.DataFrame) -> pd.DataFrame:
    """What an inventory costs, one row a currency; machines without a price have a last row without money.

    Columns: currencycode, machines, running (`Int64`), a_day, monthly_value, not_running (`Float64`;
    the last is the part of `monthly_value` that is for machines which are not running).
    """
    dtypes = {
        "currencycode": "str",
        "machines": "Int64",
        "running": "Int64",
        "a_day": "Float64",
        "monthly_value": "Float64",
        "not_running": "Float64",
    }
    priced = fleet[_has_price(fleet)]
    rows = [_currency_spend(str(code), part) for code, part in priced.groupby("currencycode")]
    rows.sort(key=lambda row: -row["machines"])
    left = fleet[~_has_price(fleet)]
    if len(left):
        rows.append({"machines": len(left), "running": _count_running(left)})
    return typed_frame(rows, dtypes)


def _has_price(fleet: pd.DataFrame) -> pd.Series[bool]:
    return (fleet.monthly_value.notna() & fleet.currencycode.notna()).astype(bool)


def _count_running(fleet: pd.DataFrame) -> int:
    return int((fleet.state == "running").sum())


def _currency_spend(code: str, part: pd.DataFrame) -> dict[str, Any]:
    total = float(part.monthly_value.sum())
    return {
        "currencycode": code,
        "machines": len(part),
        "running": _count_running(part),
        "a_day": total / DAYS_PER_MONTH,
        "monthly_value": total,
        "not_running": float(part[(part.state != "running").fillna(True)].monthly_value.sum()),
    }


@dataclass(frozen=True)
class Runway:
    """How long a prepaid balance lasts at what the machines cost now.

    `days` is None when it cannot be told (`unknown` says why), `inf` when nothing is charged. `at_most` names
    what is charged too and could not be counted: with any, the balance ends earlier than `days` says.
    """

    currencycode: str | None
    balance: float | None
    monthly_value: float
    days: float | None
    unknown: str = ""
    at_most: tuple[str, ...] = ()

    @property
    def a_day(self) -> float:
        """What a day costs, in the account's currency."""
        return self.monthly_value / DAYS_PER_MONTH

    def marks(self, now: datetime, days: float) -> dict[str, datetime]:
        """What a picture of the projection points at: when it is gone, and the day it should reach."""
        end = self.ends(now)
        return {f"in {days:g} days": now + timedelta(days=days)} | (
            {f"gone on {end.day} {end:%b %Y}": end} if end and (end - now).days < MAX_PROJECTION_DAYS else {}
        )

    @property
    def days_text(self) -> str:
        """`12.4`, `at most 12.4`, `unlimited`, or `not known`."""
        if self.days is None:
            return "not known"
        if math.isinf(self.days):
            return "unlimited"
        return f"{'at most ' if self.at_most and self.days else ''}{self.days:,.1f}"

    def lasts(self, days: float) -> bool:
        """Whether it is known to last so many days."""
        return self.days is not None and self.days >= days

    def missing(self, days: float) -> float | None:
        """How much must be added to last so many days at the cost that is known; None when nothing is known."""
        if self.days is None or self.balance is None or math.isinf(self.days):
            return 0.0 if self.days is not None else None
        return max(0.0, self.a_day * days - self.balance)

    def ends(self, now: datetime) -> datetime | None:
        """When the balance is gone; None when never, not known, or not within the years that dates reach."""
        if self.days is None or self.days > 365 * 100:
            return None
        return now + timedelta(days=self.days)


def compute_runway(profile: Profile, fleet: pd.DataFrame, *, prepaid: bool = True) -> Runway:
    """How long the balance of `profile` lasts for the machines of an inventory.

    Machines that are off or suspended are counted: they are not known to be free. The API does not tell
    whether an account is prepaid; where it is not, its balance is no limit and nothing can be told.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> runway(lc.profile(), lc.inventory()).currencycode
    'USD'
    """
    prepaid = checked_flag("prepaid", prepaid, not_done="computed")
    code = _currency_code(profile.currency)
    priced = fleet[_has_price(fleet)]
    own = priced[priced.currencycode == code] if code else priced.iloc[:0]
    monthly = float(own.monthly_value.sum())

    def found(days: float | None, unknown: str = "", at_most: tuple[str, ...] = ()) -> Runway:
        return Runway(code, profile.balance, monthly, days, unknown, at_most)

    if not prepaid:
        return found(None, "the account is post-paid, so its balance is no limit")
    if not len(fleet):
        return found(math.inf)
    if profile.balance is None:
        return found(None, "the account does not tell its balance")
    if profile.balance <= 0:
        return found(0.0)
    if code is None:
        return found(None, f"the account's currency is {profile.currency or 'not told'}")
    at_most = _uncounted_costs(fleet, code)
    if monthly <= 0:
        if at_most:
            return found(None, f"no machine has a price in {code} ({'; '.join(at_most)})")
        return found(math.inf)
    return found(profile.balance / (monthly / DAYS_PER_MONTH), at_most=at_most)


def _currency_code(symbol: str | None) -> str | None:
    codes = {symbol: code for code, symbol in CURRENCY_SYMBOLS.items()} | {
        code: code for code in CURRENCY_SYMBOLS
    }
    return codes.get((symbol or "").strip().upper())


def _uncounted_costs(fleet: pd.DataFrame, code: str) -> tuple[str, ...]:
    """What is charged beside the account's own currency, in words."""
    costs = spend_by_currency(fleet)
    words = []
    for row in frame_records(costs[(costs.currencycode != code).fillna(True)]):
        count = f"{row['machines']} machine{'s' if row['machines'] != 1 else ''}"
        if is_known(row["currencycode"]):
            words.append(f"{row['monthly_value']:,.2f} {row['currencycode']} a month for {count}")
        else:
            words.append(f"{count} without a known price")
    return tuple(words)


def runway_note(found: Runway, days: float, now: datetime) -> markup.Html:
    """What it means, in words: when the balance is gone, what is missing for `days`, what was not counted."""
    end, missing = found.ends(now), found.missing(days)
    words = []
    if found.days is None:
        words.append(f"How long the balance lasts cannot be told: {found.unknown}.")
    elif found.days == 0:
        words.append(
            "The balance is gone: the provider disables all machines, and terminates them. Pay in now."
        )
    elif math.isinf(found.days):
        words.append("Nothing is charged at present, so the balance does not go down.")
    elif end is None:
        words.append("At this rate the balance lasts for more than a hundred years.")
    else:
        words.append(f"At this rate the balance is gone on {end:%A}, {end.day} {end:%B %Y, %H:%M} UTC.")
    if missing:
        words.append(
            f"To last {days:g} days it needs {formats.money(missing, found.currencycode or '')} more."
        )
    if found.at_most:
        words.append(f"It is gone earlier than that, since this is not counted: {'; '.join(found.at_most)}.")
    return panels.note(" ".join(words))


def project_balance(found: Runway, now: datetime, days: float) -> pd.DataFrame:
    """The balance day by day from `now`, until a while after `days` or after its end, a year at the most.

    Columns: at (UTC), balance (`Float64`, the account's currency), never below 0. No row when the runway is
    not known or unlimited. The moment when the balance is gone has a row of its own.
    """
    if found.days is None or found.balance is None or math.isinf(found.days):
        return pd.DataFrame({"at": pd.Series(dtype="datetime64[us, UTC]"), "balance": _empty_amounts()})
    length = min(MAX_PROJECTION_DAYS, max(days, found.days) * 1.15)
    steps = sorted({*range(math.ceil(length) + 1), *([found.days] if found.days < length else [])})
    rows = {
        "at": pd.Series([now + timedelta(days=step) for step in steps]).astype("datetime64[us, UTC]"),
        "balance": pd.Series(
            [max(0.0, found.balance - found.a_day * step) for step in steps], dtype="Float64"
        ),
    }
    return pd.DataFrame(rows)


def _empty_amounts() -> pd.Series[Any]:
    return pd.Series(dtype="Float64")
