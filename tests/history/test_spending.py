"""What machines cost between two times: exact where nothing changed, and bounds that hold where something did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from lcnb.errors import InputError
from lcnb.facts.machine_facts import MachineFacts
from lcnb.frames.pricing import HOURS_PER_MONTH
from lcnb.history.contents import make_content
from lcnb.history.folding import Reading
from lcnb.history.readings import facts_reading, plans_kind
from lcnb.history.spending import spending_frame
from lcnb.history.store import AccountIdentity, HistoryFile

HOUR = 3_600_000
ME = AccountIdentity("https://api.example.com/api", "key-1", None)
#: 2026-11-01 00:00 UTC.
START = 1_793_491_200_000
#: Price per month of a machine by its number of CPUs, so that an hour costs as many USD.
PRICES = {cpus: f"{cpus * HOURS_PER_MONTH}.00" for cpus in (1, 2, 4)}
COLUMNS = (
    "day:datetime64[us, UTC] group:str currencycode:str lower:Float64 upper:Float64 machines:Int64 unpriced:Int64 "
    "hours:Float64 uncertain_hours:Float64 longest_gap_hours:Float64"
)

Machines = dict[str, dict[str, Any]]
Tags = dict[str, dict[str, str]]


def machine(identifier: str, cpus: int = 1, location: str = "MIA1") -> dict[str, Any]:
    return {
        "identifier": identifier, "label": f"web-{identifier}", "booted": True, "built": True, "locked": False, "cpus": cpus, "memory": 1024,
        "total_disk_size": 10, "location": {"slug": location},
    }  # fmt: skip


def plans(location: str) -> Reading:
    records = {
        str(cpus): {
            "slug": f"{cpus}cpu", "core": cpus, "memory": 1024, "disk": 10, "monthly_value": price, "location": location,
            "currencycode": "BRL" if location == "SAO1" else "USD",
        }
        for cpus, price in PRICES.items()
    }  # fmt: skip
    return Reading(plans_kind(location), {key: make_content(each) for key, each in records.items()})


@pytest.fixture
def fold(tmp_path: Path) -> Callable[..., None]:
    file = HistoryFile(tmp_path)

    def fold(hour: float, *machines: dict[str, Any], tags: Tags | None = None) -> None:
        readings = [
            Reading("instances", {each["identifier"]: make_content(each) for each in machines}),
            plans("MIA1"),
            plans("SAO1"),
        ]
        if tags is not None:
            readings.append(facts_reading({key: MachineFacts(key, tags=each) for key, each in tags.items()}))
        file.fold(ME, readings, START + int(hour * HOUR))

    return fold


@pytest.fixture
def spend(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    def spend(since: float = 0, until: float = 10_000, **how: Any) -> pd.DataFrame:
        with HistoryFile(tmp_path).read(ME) as stored:
            return spending_frame(stored, START + int(since * HOUR), START + int(until * HOUR), **how)

    return spend


Fold = Callable[..., None]
Spend = Callable[..., pd.DataFrame]


def rows(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    return (
        frame[list(columns)]
        .astype(object)
        .where(frame[list(columns)].notna(), None)
        .itertuples(index=False, name=None)
    )


def test_exact(fold: Fold, spend: Spend) -> None:
    """Where nothing changed the bounds are equal, whatever the time between the readings."""
    fold(0, machine("a"), machine("b", 2))
    fold(7, machine("a"), machine("b", 2))
    fold(10, machine("a"), machine("b", 2))
    frame = spend()
    assert " ".join(f"{name}:{dtype}" for name, dtype in frame.dtypes.items()) == COLUMNS
    assert list(rows(frame, "group", "currencycode", "lower", "upper", "machines")) == [
        ("all", "USD", 30, 30, 2)
    ]
    assert list(rows(frame, "unpriced", "hours", "uncertain_hours", "longest_gap_hours")) == [(0, 10, 0, 7)]


#: The machines at 0 h, 4 h and 6 h, and the bounds of the six hours.
BOUNDS: dict[str, tuple[list[list[dict[str, Any]]], float, float, float]] = {
    "appeared": ([[], [machine("a")], [machine("a")]], 2, 6, 4),
    "gone": ([[machine("a")], [machine("a")], []], 4, 6, 2),
    "gone and back": ([[machine("a")], [], [machine("a")]], 0, 6, 6),
    "resized": ([[machine("a", 4)], [machine("a", 1)], [machine("a", 1)]], 6, 18, 4),
    "replaced by its like": ([[machine("a")], [machine("b")], [machine("b")]], 2, 10, 4),
    "appeared at the end": (
        [[machine("z", 2)], [machine("z", 2)], [machine("a"), machine("z", 2)]],
        12,
        14,
        2,
    ),
}


@pytest.mark.parametrize("case", list(BOUNDS))
def test_bounds(case: str, fold: Fold, spend: Spend) -> None:
    """A change between two readings may have been at any time between them."""
    states, lower, upper, uncertain = BOUNDS[case]
    for hour, state in zip((0, 4, 6), states, strict=True):
        fold(hour, *state)
    assert list(rows(spend(), "lower", "upper", "uncertain_hours")) == [(lower, upper, uncertain)]


def test_days_and_months(fold: Fold, spend: Spend) -> None:
    """Days and months are those of UTC; only the time between the readings, and within the limits, is counted."""
    fold(20, machine("a"))
    fold(24 * 30 + 6, machine("a"))
    days = spend(until=24 * 2 + 3)
    assert list(rows(days, "day", "lower", "hours")) == [
        (pd.Timestamp(f"2026-11-0{day}", tz=UTC), hours, hours) for day, hours in ((1, 4), (2, 24), (3, 3))
    ]
    months = spend(freq="MS")
    assert list(rows(months, "month", "upper")) == [
        (pd.Timestamp("2026-11-01", tz=UTC), 700.0),
        (pd.Timestamp("2026-12-01", tz=UTC), 6.0),
    ]
    assert months.attrs["lcnb"]["begin"] == "2026-11-01T20:00:00.000+00:00"


def test_currencies_and_unpriced(fold: Fold, spend: Spend) -> None:
    """Currencies are never added up; machines without a price have a row without amounts."""
    for hour in (0, 2):
        fold(hour, machine("a"), machine("b", 2, "SAO1"), machine("c", 3), machine("d", 3))
    assert list(rows(spend(), "currencycode", "lower", "upper", "machines", "unpriced")) == [
        ("BRL", 4, 4, 1, 0),
        ("USD", 2, 2, 1, 0),
        (None, None, None, 2, 2),
    ]


def test_groups(fold: Fold, spend: Spend) -> None:
    """A machine that changed its group may have cost nothing or all in both of them."""
    fold(0, machine("a"), machine("b"))
    fold(4, machine("a"), {**machine("b"), "label": "renamed"})
    assert list(rows(spend(by="label"), "group", "lower", "upper")) == [
        ("renamed", 0, 4),
        ("web-a", 4, 4),
        ("web-b", 0, 4),
    ]
    assert list(rows(spend(by="plan"), "group", "lower", "upper")) == [("1cpu", 8, 8)]
    assert list(rows(spend(by="location"), "group", "lower", "upper")) == [("MIA1", 8, 8)]


def test_tags(fold: Fold, spend: Spend) -> None:
    """Tags count from the reading that first had them, or as they are now."""
    both = (machine("a"), machine("b"))
    fold(0, *both, tags={"a": {"project": "shop"}})
    fold(4, *both, tags={"a": {"project": "lab", "legacy": ""}})
    fold(6, *both, tags={"a": {"project": "lab", "legacy": ""}})
    assert list(rows(spend(by="tag:project"), "group", "lower", "upper")) == [
        ("lab", 2, 6),
        ("shop", 0, 4),
        (None, 6, 6),
    ]
    assert list(rows(spend(by="tag:project", tags="now"), "group", "lower", "upper")) == [
        ("lab", 6, 6),
        (None, 6, 6),
    ]
    assert list(rows(spend(by="tag:legacy"), "group", "lower", "upper")) == [("legacy", 2, 6), (None, 6, 10)]


def test_no_time(fold: Fold, spend: Spend) -> None:
    """One reading, or a period outside of the readings, has no rows but all columns."""
    fold(5, machine("a"))
    for frame in (spend(), spend(0, 2), spend(6, 8)):
        assert len(frame) == 0
        assert " ".join(f"{name}:{dtype}" for name, dtype in frame.dtypes.items()) == COLUMNS


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"freq": "W"}, r"freq: expected 'D' \(days\) or 'MS' \(months\), got 'W'"),
        ({"by": "locaton"}, r"by: machines cannot be grouped by 'locaton'.*location.*tag:KEY"),
        ({"by": "tag:"}, r"by: machines cannot be grouped by 'tag:'"),
        ({"by": 3}, r"by: machines cannot be grouped by 3"),
        ({"tags": "later"}, r"tags: expected 'then' or 'now', got 'later'"),
    ],
)
def test_wrong_arguments(how: dict[str, Any], message: str, fold: Fold, spend: Spend) -> None:
    """A wrong argument is named, with what is possible."""
    fold(0, machine("a"))
    with pytest.raises(InputError, match=message):
        spend(**how)


def test_never_read(spend: Spend) -> None:
    """An account without a reading is refused with the cure."""
    with pytest.raises(InputError, match=r"no reading of this account yet.*lcnb record"):
        spend()


def test_start_is_a_day() -> None:
    """The tests begin at midnight of the first of a month."""
    assert datetime.fromtimestamp(START / 1000, UTC) == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("readings", "period", "reason"),
    [
        (
            [0],
            (0, 5),
            r"was read once, at .* UTC, and cost is counted between two readings\. .*`lcnb record`",
        ),
        ([0, 4], (5, 9), r"is not between the first and the last reading \("),
        ([], (0, 9), "no machine was listed in this time"),
        ([0, 4], (0, 9), ""),
    ],
)
def test_empty_table_says_why(
    fold: Fold, spend: Spend, readings: list[float], period: tuple[float, float], reason: str
) -> None:
    """A table without rows has its reason, and no other table has one."""
    for hour in readings:
        fold(hour, machine("a", 1 + hour))
    if not readings:
        fold(0)
        fold(4)
    frame = spend(*period)
    assert frame.empty is bool(reason)
    assert (
        re.search(reason, frame.attrs["lcnb"].get("reason", ""))
        if reason
        else "reason" not in frame.attrs["lcnb"]
    )


def test_reason_is_a_warning(served: Any) -> None:
    """The client warns of a table without rows, at the line that called it."""
    _, lc = served(fleet=3)
    lc.inventory()
    with pytest.warns(lcnb.HistoryWarning, match="spend: this account was read once") as caught:
        assert lc.spend("1h").empty
    assert caught[0].filename == __file__
