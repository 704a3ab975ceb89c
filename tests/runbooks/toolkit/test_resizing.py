"""A plan is suggested where it costs less, never a smaller one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.virtual import client
from changing_cases import (
    prepared,
    write_files,
)
from lcnb.config import Settings
from lcnb.runbooks.toolkit import resizing


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the fleet files that CASES name."""
    return write_files(tmp_path)


def test_advice(place: Path, settings: Settings) -> None:
    """A plan is suggested where it costs less or where the size is none, never a smaller one or across currencies."""
    box = prepared()
    lc = client(box, settings)
    fleet, plans = lc.inventory(), lc.plans()
    advice = resizing.suggest_plans(fleet, plans, lc.profile().currency)
    assert dict(zip(advice.label, advice.suggested, strict=True))["web-01"] == "4vcpu-8gb-80ssd"
    assert advice.saves.isna().all()
    assert set(advice.label) == set(fleet.label[fleet.plan.isna() & fleet.location.notna()])
    dear = plans.copy()
    dear.loc[dear.slug == "1vcpu-2gb-20ssd", "monthly_value"] = 40.0
    fleet.loc[fleet.plan == "1vcpu-2gb-20ssd", "monthly_value"] = 40.0
    advice = resizing.suggest_plans(fleet, dear, "$")
    cheaper = advice[advice.saves.notna()]
    assert len(cheaper)
    assert (cheaper.suggested_value < cheaper.monthly_value).all()
    elsewhere = resizing.cheaper_elsewhere(lc.inventory(), plans)
    assert (elsewhere.difference > 0).all()
    priced = plans.set_index(["location", "slug", "currencycode"]).monthly_value
    for each in elsewhere.itertuples():
        assert (
            priced[each.cheapest_at, each.there_plan, each.currencycode]
            == each.there_value
            < each.monthly_value
        )
    assert resizing.suggest_plans(fleet.iloc[:0], plans.iloc[:0]).dtypes.equals(advice.dtypes)
