"""For the runbook `balance_runway`: what the machines cost, and how long the balance of the account lasts.

Currencies are never added up or converted. A value that the API does not report is shown as unknown, never guessed.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from lcnb.api.models import Profile
from lcnb.display import formats, markup, panels
from lcnb.flags import checked_flag
from lcnb.frames.pricing import DAYS_PER_MONTH
from lcnb.runbooks.toolkit.reporting import CheckResult
from lcnb.runbooks.toolkit.runway import MAX_PROJECTION_DAYS, MachinePrice, Runway, runway_of_prices
from lcnb.runbooks.toolkit.typed_frames import is_known, typed_frame

SPEND_DTYPES = {
    "currencycode": "str",
    "machines": "Int64",
    "running": "Int64",
    "daily_value": "Float64",
    "monthly_value": "Float64",
    "not_running": "Float64",
}


def spend_by_currency(fleet: pd.DataFrame) -> pd.DataFrame:
    """Return what the machines of an inventory cost: one row per currency, the most machines first.

    Columns (`SPEND_DTYPES`): `currencycode`; `machines` and `running` are counts; `daily_value` and `monthly_value`
    are amounts; `not_running` is the part of `monthly_value` for machines that are not running. Machines without a
    price are counted in a last row, whose currency and amounts are missing.
    """
    priced = fleet[_has_price(fleet)]
    rows = [_currency_spend(str(code), part) for code, part in priced.groupby("currencycode")]
    rows.sort(key=lambda row: -row["machines"])
    left = fleet[~_has_price(fleet)]
    if len(left):
        rows.append({"machines": len(left), "running": _count_running(left)})
    return typed_frame(rows, SPEND_DTYPES)


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
        "daily_value": total / DAYS_PER_MONTH,
        "monthly_value": total,
        "not_running": float(part[(part.state != "running").fillna(True)].monthly_value.sum()),
    }


def compute_runway(profile: Profile, fleet: pd.DataFrame, *, prepaid: bool = True) -> Runway:
    """Return how long the balance of the account lasts for the machines of an inventory.

    Machines that are off or suspended are counted: they may be charged. The API does not report whether an account is
    prepaid, so pass `prepaid=False` for one that is not; its balance is no limit.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> compute_runway(lc.profile(), lc.inventory()).currencycode
    'USD'
    """
    prepaid = checked_flag("prepaid", prepaid, not_done="computed")
    prices = [
        MachinePrice(*(each if is_known(each) else None for each in row))
        for row in zip(fleet.monthly_value, fleet.currencycode, strict=True)
    ]
    return runway_of_prices(profile, prices, prepaid=prepaid)


def runway_check(runway: Runway, days: float) -> CheckResult:
    """Return the arguments of `lcnb.run().check`: whether the balance lasts so many days.

    >>> runway_check(Runway("USD", 100.0, 240.0, 12.6), 30).problem_text
    'Balance lasts 12.6 days; at least 30 were wanted'
    """
    if runway.days is None:
        return CheckResult(
            False,
            f"Balance lasts at least {days:g} days",
            f"It is not known whether the balance lasts {days:g} days: {runway.unknown_reason}",
        )
    if math.isinf(runway.days):
        return CheckResult(True, "Nothing is charged, so the balance lasts", "The balance does not last")
    lasts = f"Balance lasts {runway.days_text} days"
    wanted = f"at least {days:g} {'was' if days == 1 else 'were'} wanted"
    return CheckResult(
        runway.lasts(days), lasts, f"{lasts}; {wanted}" if runway.days else "The balance is used up"
    )


def runway_note(runway: Runway, days: float, now: datetime) -> markup.Html:
    """Say when the balance is used up, how much is missing for `days`, and which charges were not counted."""
    end, missing = runway.end_time(now), runway.missing_amount(days)
    if runway.days is None:
        sentences = [f"It is not known how long the balance lasts: {runway.unknown_reason}."]
    elif runway.days == 0:
        sentences = [
            "The balance is used up. The provider disables all machines and terminates them later: add funds now."
        ]
    elif math.isinf(runway.days):
        sentences = ["Nothing is charged at present, so the balance stays as it is."]
    elif end is None:
        sentences = ["At this rate the balance lasts for more than a hundred years."]
    else:
        sentences = [f"At this rate the balance is used up on {end:%A}, {end.day} {end:%B %Y, %H:%M} UTC."]
    if missing:
        amount = formats.money(missing, runway.currencycode or "")
        sentences.append(f"To last {days:g} days it needs {amount} more.")
    if runway.uncounted:
        sentences.append(
            f"It will be used up earlier, because these charges are not counted: {'; '.join(runway.uncounted)}."
        )
    return panels.note(" ".join(sentences))


def project_balance(runway: Runway, now: datetime, days: float) -> pd.DataFrame:
    """Return the balance day by day, from `now` until some time after `days` or after its end, at most one year.

    Columns: `at` (UTC) and `balance` (`Float64`, in the currency of the account, never below 0). The moment when the
    balance is used up has its own row. The frame has no rows when the runway is unknown or unlimited.
    """
    if runway.days is None or runway.balance is None or math.isinf(runway.days):
        return pd.DataFrame(
            {"at": pd.Series(dtype="datetime64[us, UTC]"), "balance": pd.Series(dtype="Float64")}
        )
    length = min(MAX_PROJECTION_DAYS, max(days, runway.days) * 1.15)
    steps = sorted({*range(math.ceil(length) + 1), *([runway.days] if runway.days < length else [])})
    rows = {
        "at": pd.Series([now + timedelta(days=step) for step in steps]).astype("datetime64[us, UTC]"),
        "balance": pd.Series(
            [max(0.0, runway.balance - runway.cost_per_day * step) for step in steps], dtype="Float64"
        ),
    }
    return pd.DataFrame(rows)
