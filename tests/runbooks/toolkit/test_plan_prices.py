"""Prices are compared within one currency, and a closed location is never the cheapest."""

from __future__ import annotations

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from lcnb.api.models import Location, Plan
from lcnb.frames.columns import records_frame
from lcnb.runbooks.toolkit import (
    plan_prices,
    reporting,
)

PLACES = records_frame(
    Location,
    [Location("MIA1", "US", "Miami", True), Location("LON1", "UK", "London", False), Location("SFO1", "US", "SF", None)],
)  # fmt: skip


def plan(location: str | None, price: float | None, code: str | None = "USD", core: int | None = 1) -> Plan:
    return Plan(f"{core}cpu", location, code, None, core, 1024, 10, 1000, price)


def offers_of(*plans: Plan) -> pd.DataFrame:
    return plan_prices.list_offers(records_frame(Plan, plans), PLACES)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (plan("MIA1", 5.0), None),
        (plan("mia1", 5.0), None),
        (plan("XYZ9", 5.0), None),
        (plan("MIA1", None), "it has no price"),
        (plan("MIA1", 0.0), "its price is 0.00"),
        (plan("MIA1", -5.0), "its price is -5.00"),
        (plan("MIA1", 5.0, None), "unknown: currencycode"),
        (plan("MIA1", 5.0, core=None), "unknown: core"),
        (plan(None, 5.0), "unknown: location"),
        (Plan(), "unknown: core, memory, disk, location, currencycode"),
    ],
)
def test_left_out(row: Plan, reason: str | None) -> None:
    """What cannot be compared is left out with its reason; the rest is compared."""
    found = offers_of(row)
    assert found.left_out.fillna("").tolist() == [reason or ""]
    assert len(plan_prices.cheapest_by_size(found)) == (reason is None)


def test_closed_is_never_cheapest() -> None:
    """A location that is closed is shown, named so, and neither marked nor called the cheapest."""
    found = offers_of(plan("MIA1", 6.0), plan("LON1", 1.0), plan("SFO1", 5.0))
    prices, marked = plan_prices.price_matrix(found, "USD")
    assert prices.columns.tolist() == ["LON1 (closed)", "MIA1", "SFO1"]
    assert prices.iloc[0].tolist() == [1.0, 6.0, 5.0]
    assert marked.iloc[0].tolist() == [False, False, True]
    row = plan_prices.cheapest_by_size(found).iloc[0]
    assert (row.cheapest_at, row.monthly_value, row.dearest_at, row.places) == ("SFO1", 5.0, "MIA1", 2)
    assert row.difference_percent == pytest.approx(20)
    assert plan_prices.fitting_offers(found, 1, 1, 0).location.tolist() == ["SFO1", "MIA1"]
    assert plan_prices.closed_locations(found) == ["LON1"]
    said = repr(plan_prices.closed_note(found))
    assert "No machine can be created at LON1" in said
    assert "whether SFO1 can be used" in said


def test_only_closed() -> None:
    """A size that only closed locations offer has no cheapest place."""
    found = offers_of(plan("LON1", 1.0))
    assert plan_prices.cheapest_by_size(found).cheapest_at.isna().all()
    assert not plan_prices.price_matrix(found, "USD")[1].to_numpy().any()
    assert not len(plan_prices.fitting_offers(found, 1, 1, 0))


def test_currencies_stay_apart() -> None:
    """Prices of two currencies are never compared: each has its own cheapest place."""
    found = offers_of(
        plan("MIA1", 5.0), plan("SFO1", 6.0), plan("MIA1", 30.0, "BRL"), plan("SFO1", 20.0, "BRL")
    )
    cheapest = plan_prices.cheapest_by_size(found).set_index("currencycode").cheapest_at.to_dict()
    assert cheapest == {"BRL": "SFO1", "USD": "MIA1"}
    assert plan_prices.offered_currencies(found) == ["BRL", "USD"]
    assert plan_prices.basket_prices(found, "BRL")[0].to_dict() == {"SFO1": 20.0, "MIA1": 30.0}


def test_ties_and_doubles() -> None:
    """Equal prices share the place, and of two prices of one size at one place the lower counts."""
    found = offers_of(plan("MIA1", 5.0), plan("SFO1", 5.0), plan("SFO1", 9.0))
    row = plan_prices.cheapest_by_size(found).iloc[0]
    assert (row.cheapest_at, row.places) == ("MIA1, SFO1", 2)
    assert pd.isna(row.dearest_at)
    assert plan_prices.price_matrix(found, "USD")[1].iloc[0].tolist() == [True, True]


def test_basket() -> None:
    """The basket holds the sizes that all open locations offer; one location alone is not compared."""
    found = offers_of(
        plan("MIA1", 5.0), plan("SFO1", 6.0), plan("SFO1", 9.0, core=2), plan("LON1", 1.0, core=2)
    )
    sums, count = plan_prices.basket_prices(found, "USD")
    assert (sums.to_dict(), count) == ({"MIA1": 5.0, "SFO1": 6.0}, 1)
    assert plan_prices.basket_prices(offers_of(plan("MIA1", 5.0)), "USD")[1] == 0


def test_no_offers() -> None:
    """No plan at all gives empty frames of the same columns and dtypes, and sentences."""
    nothing, some = offers_of(), offers_of(plan("MIA1", 5.0))
    assert_frame_equal(nothing, some.iloc[:0].reset_index(drop=True))
    assert_frame_equal(plan_prices.cheapest_by_size(nothing), plan_prices.cheapest_by_size(some).iloc[:0])
    assert plan_prices.fitting_offers(nothing, 1, 1, 0).dtypes.equals(
        plan_prices.fitting_offers(some, 1, 1, 0).dtypes
    )
    assert repr(plan_prices.price_tables(nothing)) == "No prices to compare."
    assert "No plan is offered" in repr(plan_prices.closed_note(nothing))
    assert repr(reporting.money_bars([])) == "No amounts to show."
