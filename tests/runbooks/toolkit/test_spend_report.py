"""What the runbook `spend` draws and adds up of the frames of `lc.spend`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from sample_readings import NOW, read_at

from lcnb.history.spending import SPENDING_DTYPES
from lcnb.runbooks.toolkit import spending

DAY = datetime(2026, 11, 1, tzinfo=UTC)


def spent(*rows: tuple[int, str | None, str | None, float | None, float | None], freq: str = "day", **more: Any) -> pd.DataFrame:  # fmt: skip
    """A frame of `lc.spend`: day number, group, currency, bounds."""
    columns = {
        freq: pd.Series([DAY + timedelta(days=row[0]) for row in rows], dtype="datetime64[us, UTC]"),
        **{name: pd.Series([row[place] for row in rows], dtype=SPENDING_DTYPES[name])
           for place, name in enumerate(("group", "currencycode", "lower", "upper"), 1)},
    }  # fmt: skip
    defaults: dict[str, Any] = {
        "machines": 1,
        "unpriced": 0,
        "hours": 24.0,
        "uncertain_hours": 0.0,
        "longest_gap_hours": 1.0,
    }
    for name, value in (defaults | more).items():
        columns[name] = pd.Series(value, index=range(len(rows)), dtype=SPENDING_DTYPES[name])
    return pd.DataFrame(columns)


def test_names_of_missing_groups() -> None:
    """Machines without the tag are in a group with a name."""
    frame = spent((0, None, "USD", 1, 1), (0, "shop", "USD", 1, 1))
    assert spending.name_groups(frame, "tag:project").group.tolist() == ["(no project)", "shop"]
    assert spending.name_groups(frame, "owner").group.tolist() == ["(no owner)", "shop"]


def test_daily_bounds() -> None:
    """A partial day is scaled to a full one, a day without the group costs nothing, small groups are added up."""
    frame = spent(
        (0, "a", "USD", 1, 2), (2, "a", "USD", 4, 4), (1, "b", "USD", 3, 3), hours=[6.0, 24.0, 24.0]
    )
    lower, upper = spending._daily_bounds(frame, frame.day)
    assert lower.columns.tolist() == ["a", "b"]
    assert lower.a.tolist() == [4, 0, 4]
    assert upper.a.tolist() == [8, 0, 4]
    assert lower.b.tolist() == [0, 3, 0]
    many = spent(*[(0, f"g{number}", "USD", number, number + 1) for number in range(9)])
    lower, upper = spending._daily_bounds(many, many.day)
    assert lower.columns.tolist() == ["g8", "g7", "g6", "g5", "g4", "others"]
    assert (lower.others.tolist(), upper.others.tolist()) == ([6], [10])


def test_one_chart_per_currency() -> None:
    """Each currency has its own picture; machines without a price are in none."""
    frame = spent((0, "a", "USD", 1, 2), (0, "b", "BRL", 3, 4), (0, "a", None, None, None))
    text = repr(spending.spend_charts(frame, "tag:project"))
    assert text.splitlines() == [
        "Cost per day by project. At 1 Nov 2026: b: 3.00 to 4.00 BRL",
        "Cost per day by project. At 1 Nov 2026: a: 1.00 to 2.00 USD",
    ]
    for nothing in (spent(), spent((0, "a", None, None, None)), spent((0, "a", "USD", 0, 0), hours=0.0)):
        assert repr(spending.spend_charts(nothing, "plan")) == "There is no cost to show."


def test_months() -> None:
    """In each month and currency the groups come first, the dearest on top, then the total; unpriced machines last."""
    months = spent((0, "a", "USD", 1, 2), (0, "b", "USD", 5, 5), (0, "a", "BRL", 3, 4), (0, "a", None, None, None), (30, "a", "USD", 1, 1), freq="month")  # fmt: skip
    totals = spent((0, "all", "USD", 6, 7), (0, "all", "BRL", 3, 4), (0, "all", None, None, None), (30, "all", "USD", 1, 1), freq="month")  # fmt: skip
    table = spending.month_table(months, totals)
    rows = [f"{month} {code} {group}" for month, code, group in zip(table.month, table.currencycode.fillna("-"), table.group, strict=True)]  # fmt: skip
    assert rows == [
        "2026-11 BRL a", "2026-11 BRL total", "2026-11 USD b", "2026-11 USD a", "2026-11 USD total", "2026-11 - a",
        "2026-11 - total", "2026-12 USD a", "2026-12 USD total",
    ]  # fmt: skip
    assert spending.total_marks(table).group.tolist() == [row.endswith("total") for row in rows]
    empty = spending.month_table(spent(freq="month"), spent(freq="month"))
    assert empty.dtypes.astype(str).to_dict() == table.dtypes.astype(str).to_dict()


def test_cards() -> None:
    """The bounds of all months are added up within one currency."""
    totals = spent((0, "all", "USD", 6, 7), (30, "all", "USD", 1, 1), (0, "all", "BRL", 3, 3.001), (0, "all", None, None, None), freq="month", unpriced=[0, 0, 0, 2])  # fmt: skip
    assert repr(spending.spend_cards(totals, pd.DataFrame(index=range(3)))).splitlines() == [
        "BRL in this time: 3.00",
        "USD in this time: 7.00 to 8.00",
        "machines without a price: 2",
        "gaps between readings: 3",
    ]


@pytest.mark.parametrize(
    ("hours", "wanted", "texts"),
    [
        ((), (48, 0), ["never read completely"]),
        ((1,), (48, 0), ["nothing to show yet: the history of this account begins at 2026-12-01 11:00 UTC"]),
        ((48, 0), (48, 0), ["Counted from 2026-11-29 12:00 UTC to 2026-12-01 12:00 UTC. Between"]),
        ((24, 5), (48, 0), ["Earlier costs are not known", "Later costs are not known: the newest complete reading is of 2026-12-01 07:00"]),
    ],
)  # fmt: skip
def test_coverage(hours: tuple[float, ...], wanted: tuple[float, float], texts: list[str]) -> None:
    """It is said which time was counted, and what of the wanted time nobody knows."""
    frame = spent()
    if len(hours) > 1:
        frame.attrs["lcnb"] = {
            name: (NOW - timedelta(hours=each)).isoformat()
            for name, each in zip(("begin", "end"), (hours[0], hours[-1]), strict=True)
        }
    period = [NOW - timedelta(hours=each) for each in wanted]
    note = repr(spending.coverage_note(frame, read_at(*hours), period))
    assert all(text in note for text in texts)
