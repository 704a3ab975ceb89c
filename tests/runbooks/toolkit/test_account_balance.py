"""What the machines cost and how long the balance lasts; unknown values are never guessed."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from lcnb.api.models import Profile
from lcnb.runbooks.toolkit import (
    account_balance,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def fleet_of(*machines: tuple[float | None, str | None]) -> pd.DataFrame:
    """An inventory of machines that cost so much in that currency."""
    columns = {
        "label": pd.Series([f"m{number}" for number in range(len(machines))], dtype="str"),
        "state": pd.Series(["running"] * len(machines), dtype="str"),
        "monthly_value": pd.Series([price for price, _ in machines], dtype="Float64"),
        "currencycode": pd.Series([code for _, code in machines], dtype="str"),
    }
    return pd.DataFrame(columns)


MONTH = 730 / 24


#: Name → balance, currency symbol, machines, days, as text, what is said.
RUNWAYS: dict[str, tuple[float | None, str | None, list[tuple[float | None, str | None]], float | None, str, str]] = {
    "a month": (30.0, "$", [(10.0, "USD"), (20.0, "USD")], MONTH, "30.4", "used up on Thursday, 24 December 2026"),
    "reais": (30.0, "R$", [(30.0, "BRL")], MONTH, "30.4", "used up on"),
    "code for symbol": (30.0, "USD", [(30.0, "USD")], MONTH, "30.4", "used up on"),
    "other currency": (30.0, "$", [(30.0, "USD"), (90.0, "BRL")], MONTH, "at most 30.4", "90.00 BRL per month for 1 machine"),
    "a price missing": (30.0, "$", [(30.0, "USD"), (None, None)], MONTH, "at most 30.4", "1 machine without a known price"),
    "price without currency": (30.0, "$", [(30.0, "USD"), (5.0, None)], MONTH, "at most 30.4", "without a known price"),
    "no machine": (30.0, "$", [], math.inf, "unlimited", "stays as it is"),
    "no machine, nothing left": (0.0, "$", [], math.inf, "unlimited", "stays as it is"),
    "nothing left": (0.0, "$", [(30.0, "USD")], 0.0, "0.0", "terminates them"),
    "below nothing": (-5.0, "$", [(30.0, "USD")], 0.0, "0.0", "needs 35.00 USD more"),
    "nothing left, no price": (0.0, "$", [(None, None)], 0.0, "0.0", "terminates them"),
    "no balance": (None, "$", [(30.0, "USD")], None, "not known", "reports no balance"),
    "no currency": (30.0, None, [(30.0, "USD")], None, "not known", "reports no currency"),
    "unknown currency": (30.0, "€", [(30.0, "USD")], None, "not known", "the currency € of the account is unknown"),
    "only other currency": (30.0, "$", [(90.0, "BRL")], None, "not known", "no machine has a price in USD"),
    "no price": (30.0, "$", [(None, None)], None, "not known", "no machine has a price in USD"),
    "free": (30.0, "$", [(0.0, "USD")], math.inf, "unlimited", "stays as it is"),
    "for ever": (1e300, "$", [(0.01, "USD")], None, "", "more than a hundred years"),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNWAYS)
def test_runway(case: str) -> None:
    """The days are computed where they can be, are an upper bound where something is not counted, and never guessed."""
    balance, symbol, machines, days, text, said = RUNWAYS[case]
    found = account_balance.compute_runway(Profile(currency=symbol, balance=balance), fleet_of(*machines))
    if case != "for ever":
        assert found.days == pytest.approx(days)
        assert found.days_text == text
    assert said in repr(account_balance.runway_note(found, MONTH, NOW))
    projection = account_balance.project_balance(found, NOW, 30)
    assert projection.dtypes.astype(str).tolist() == ["datetime64[us, UTC]", "Float64"]
    assert len(projection) == 0 if found.days in (None, math.inf) else projection.balance.min() >= 0


@pytest.mark.parametrize(
    ("days", "lasts", "missing"), [(30, True, 0.0), (31, False, 0.575342), (365, False, 330.0)]
)
def test_enough(days: int, lasts: bool, missing: float) -> None:
    """A balance that lasts long enough misses nothing; otherwise the missing amount is known."""
    found = account_balance.compute_runway(Profile(currency="$", balance=30.0), fleet_of((30.0, "USD")))
    assert found.lasts(days) is lasts
    assert found.missing_amount(days) == pytest.approx(missing)


@pytest.mark.parametrize("case", ["no balance", "no currency", "unknown currency", "no price"])
def test_unknown_is_not_enough(case: str) -> None:
    """A runway that is not known is never said to be long enough."""
    balance, symbol, machines, *_ = RUNWAYS[case]
    found = account_balance.compute_runway(Profile(currency=symbol, balance=balance), fleet_of(*machines))
    assert not found.lasts(1)
    assert found.missing_amount(30) is None
    assert found.end_time(NOW) is None


def test_postpaid() -> None:
    """The balance of a post-paid account is no limit."""
    found = account_balance.compute_runway(
        Profile(currency="$", balance=0.0), fleet_of((30.0, "USD")), prepaid=False
    )
    assert (found.days, found.days_text) == (None, "not known")
    assert "post-paid" in repr(account_balance.runway_note(found, 30, NOW))


def test_projection() -> None:
    """The balance goes down evenly to zero, has the moment of its end, and stays there."""
    found = account_balance.compute_runway(Profile(currency="$", balance=15.0), fleet_of((30.0, "USD")))
    rows = account_balance.project_balance(found, NOW, 30)
    assert rows["at"].iloc[0] == NOW
    assert rows.balance.iloc[0] == 15.0
    assert rows.balance.is_monotonic_decreasing
    gone = rows[rows.balance < 1e-9]["at"].iloc[0]
    assert abs(gone - (NOW + timedelta(days=MONTH / 2))) < timedelta(seconds=1)
    assert rows["at"].iloc[-1] >= NOW + timedelta(days=30)
    assert list(found.chart_marks(NOW, 30)) == ["in 30 days", "used up on 9 Dec 2026"]


def test_spend() -> None:
    """Each currency has a row of its own, what has no price a row without money; nothing is added across."""
    fleet = fleet_of((10.0, "USD"), (20.0, "USD"), (90.0, "BRL"), (None, None), (7.0, None))
    fleet.loc[1, "state"] = "off"
    costs = account_balance.spend_by_currency(fleet)
    assert costs.currencycode.fillna("").tolist() == ["USD", "BRL", ""]
    assert costs.machines.tolist() == [2, 1, 2]
    assert costs.monthly_value.fillna(-1).tolist() == [30.0, 90.0, -1]
    assert costs.not_running.fillna(-1).tolist() == [20.0, 0.0, -1]
    assert costs.daily_value.iloc[0] == pytest.approx(30 / MONTH)
    assert_frame_equal(account_balance.spend_by_currency(fleet.iloc[:0]), costs.iloc[:0])


@pytest.mark.parametrize(
    ("balance", "monthly", "days", "ok", "said"),
    [
        (12.6, MONTH, 30, False, "Balance lasts 12.6 days; at least 30 were wanted"),
        (29.96, MONTH, 30, False, "Balance lasts 29.9 days; at least 30 were wanted"),
        (0.5, MONTH, 1, False, "Balance lasts 0.5 days; at least 1 was wanted"),
        (42.0, MONTH, 30, True, "Balance lasts 42.0 days"),
        (0.0, MONTH, 30, False, "The balance is used up"),
        (30.0, 0.0, 30, True, "Nothing is charged, so the balance lasts"),
        (None, MONTH, 30, False, "It is not known whether the balance lasts 30 days: the API reports no balance"),
    ],
)  # fmt: skip
def test_check(balance: float | None, monthly: float, days: float, ok: bool, said: str) -> None:
    """The check says how long the balance lasts, never rounded up, and how long was wanted if that is longer."""
    fleet = fleet_of((monthly, "USD")) if monthly else fleet_of()
    found = account_balance.compute_runway(Profile(currency="$", balance=balance), fleet)
    check = account_balance.runway_check(found, days)
    assert check.ok is ok
    assert (check.ok_text if ok else check.problem_text) == said
    assert check.ok_text != check.problem_text
