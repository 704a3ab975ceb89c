"""Sums in one currency: by the rates that the user gives, with what is not in the sum."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import lcnb
from lcnb.errors import InputError
from lcnb.frames.totals import Total

PRICES = [(5.4, "USD"), (16.55, "USD"), (90.0, "BRL"), (None, None), (None, "USD")]
ROWS = [{"monthly_value": value, "currencycode": code} for value, code in PRICES]
FRAME = pd.DataFrame(PRICES, columns=["monthly_value", "currencycode"]).astype(
    {"monthly_value": "Float64", "currencycode": "str"}
)


@pytest.mark.parametrize("table", [ROWS, FRAME], ids=["rows", "frame"])
@pytest.mark.parametrize(
    ("how", "amount", "currencycode"),
    [
        ({"rates": {"BRL": 0.18}}, 38.15, "USD"),
        ({"rates": {"BRL": 0.18}, "to": "USD"}, 38.15, "USD"),
        ({"rates": {"USD": 5.5}}, 210.725, "BRL"),
        ({"rates": {"USD": 0.9, "BRL": 0.16}, "to": "EUR"}, 34.155, "EUR"),
        ({"rates": {"BRL": 0.18, "USD": 1, "EUR": 1.1}, "to": "USD"}, 38.15, "USD"),
        ({"rates": {"BRL": 1, "EUR": 1.1}}, 111.95, "USD"),
    ],
)
def test_total(table: Any, how: dict[str, Any], amount: float, currencycode: str) -> None:
    """A rate says what one unit is worth in the currency of the sum; that is the one without a rate, or `to`."""
    found = lcnb.total(table, **how)
    assert (float(found), found.currencycode) == (pytest.approx(amount), currencycode)
    assert (found.priced, found.unpriced) == (3, 2)
    assert found.amounts == {"BRL": 90.0, "USD": pytest.approx(21.95)}


@pytest.mark.parametrize(
    ("table", "how", "problem"),
    [
        (ROWS, {}, r"prices are in BRL and USD, .* Pass what one BRL is worth in USD: rates=\{'BRL': \.\.\.\}"),
        (ROWS, {"rates": {"EUR": 1.1}}, r"no rate for BRL and USD\. Only the currency of the sum needs none"),
        (ROWS, {"rates": {"BLR": 0.18}, "to": "USD"}, r"no rate for BRL \(did you mean 'BLR'\?\)"),
        (ROWS, {"to": "USD"}, "no rate for BRL. Pass what one BRL is worth in USD"),
        (ROWS, {"rates": {"USD": 0.9, "BRL": 0.16}}, r"not clear which currency they convert to\. Name it: to="),
        (ROWS, {"rates": {"USD": 2, "BRL": 0.16}, "to": "USD"}, "USD is the currency of the sum, so its rate is 1"),
        (ROWS, {"rates": {"BRL": 0}}, r"rates\['BRL'\]: expected a number above 0, got 0"),
        (ROWS, {"rates": {"BRL": "0.18"}}, "expected a number above 0, got '0.18'"),
        (ROWS, {"rates": {"BRL": float("nan")}}, "expected a number above 0, got nan"),
        (ROWS, {"rates": {"BRL": True}}, "expected a number above 0, got True"),
        (FRAME, {"column": "monthly_valu"}, r"no column 'monthly_valu' \(did you mean 'monthly_value'\?\)"),
        ([{"monthly_value": 1}], {}, "no column 'currencycode'"),
        (["x"], {}, "expected a frame, or rows with prices, got 'x'"),
    ],
)  # fmt: skip
def test_refused(table: Any, how: dict[str, Any], problem: str) -> None:
    """A rate is never guessed: what is missing is named, with what to pass."""
    with pytest.raises(InputError, match=problem):
        lcnb.total(table, **how)


@pytest.mark.parametrize(
    ("table", "expected", "text"),
    [
        ([], Total(0.0, None, {}, 0, 0), "0.00: 0 rows"),
        (FRAME[3:], Total(0.0, None, {}, 0, 2), "0.00: 0 rows, and 2 without a price, not in the sum"),
        (FRAME[:1], Total(5.4, "USD", {"USD": 5.4}, 1, 0), "5.40 USD: 1 row"),
    ],
)
def test_small_tables(table: Any, expected: Total, text: str) -> None:
    """Prices in one currency need no rate, and a table without prices has no currency."""
    found = lcnb.total(table)
    assert found == expected
    assert repr(found) == text


def test_listings(served: Any) -> None:
    """An inventory, plans in two currencies and a table of spending can be added up."""
    _, lc = served()
    fleet = lc.inventory()
    found = lcnb.total(fleet, rates={"BRL": 0.18}, to="USD")
    assert found.priced + found.unpriced == len(fleet)
    assert found.unpriced == int(fleet.monthly_value.isna().sum()) > 0
    assert float(lcnb.total(fleet[fleet.currencycode == "USD"])) == pytest.approx(found.amounts["USD"])
    assert lcnb.total(lc.plans(), rates={"BRL": 0.18}, to="USD").unpriced == 0
