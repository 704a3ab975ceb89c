"""Which times the runbook `changes` compares, and what its cards and charts add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sample_readings import NOW, read_at

from lcnb.errors import InputError
from lcnb.history.comparison import COMPARISON_DTYPES
from lcnb.runbooks.toolkit import account_changes, readings
from lcnb.runbooks.toolkit.typed_frames import typed_frame


def hours_ago(at: Any) -> float | None:
    return None if at is None else (NOW - at) / timedelta(hours=1)


# What → readings, `since`, hours since the last run, the two times that are compared (hours ago), part of the note.
PERIODS: dict[str, tuple[pd.DataFrame, str | None, float | None, tuple[float | None, float | None], str]] = {
    "first run": (read_at(0), None, None, (None, 0), "There is nothing to compare with yet: the next run"),
    "first run with a history": (read_at(48, 0), None, None, (None, 0), "-p since=2026-11-29T12:00:00Z"),
    "never read": (read_at(incomplete=(0,)), None, None, (None, None), "never read completely"),
    "never read, with a time": (read_at(incomplete=(0,)), "7d", None, (168, None), "never read completely"),
    "last run": (read_at(48, 24, 0), None, 24, (24, 0), "the last run, at 2026-11-30 12:00 UTC"),
    "a time": (read_at(48, 24, 0), "30h", 24, (30, 0), "Compared with 2026-11-30 06:00 UTC"),
    "a time before the history": (read_at(48, 24, 0), "7d", 24, (48, 0), "The history begins later"),
    "a time with an offset": (read_at(48, 0), "2026-11-30T09:00-03:00", None, (24, 0), "2026-11-30 12:00 UTC"),
    "the newest is incomplete": (read_at(48, 24, incomplete=(0,)), None, 48, (48, 24), "The newest complete reading is of 2026-11-30"),
}  # fmt: skip


@pytest.mark.parametrize("name", PERIODS)
def test_period(name: str) -> None:
    """The last run, or the given time, is compared with the newest complete reading."""
    known, since, last, expected, note = PERIODS[name]
    ended = None if last is None else NOW - timedelta(hours=last)
    period = account_changes.choose_period(known, since, ended, NOW)
    assert (hours_ago(period.since), hours_ago(period.until)) == expected
    assert note in repr(account_changes.period_note(period))


@pytest.mark.parametrize("since", ["soon", "2026-12-02", "7", "-7d", "2026-13-01"])
def test_refused_time(since: str) -> None:
    """A text that is no time, or a time that has not come yet, is refused."""
    with pytest.raises(InputError, match=r"^since: "):
        account_changes.choose_period(read_at(0), since, None, NOW)


def test_last_compared(tmp_path: Path) -> None:
    """The end that the newest run of this account saved counts; damaged files and those of other accounts do not."""
    known = read_at(72, 48, 24, 0)

    def save(run: str, frame: pd.DataFrame) -> None:
        (tmp_path / run).mkdir()
        frame.to_parquet(tmp_path / run / "period.parquet", index=False)

    own = tmp_path / "20261201T120000Z-changes-zz"
    own.mkdir()
    assert account_changes.last_compared(own, known) is None
    for run, hours in (("20261128", 72), ("20261130", 24), ("20261129", 48), ("20261201", 12)):
        end = NOW - timedelta(hours=hours)
        save(run, account_changes.ComparedPeriod(end, end, end, "").frame())
    save("20261202 nothing read", account_changes.ComparedPeriod(None, None, None, "").frame())
    save("20261203 something else", pd.DataFrame({"until": [1]}))
    save("20261204 no such column", pd.DataFrame({"x": [1]}))
    for run, content in (("20261205 damaged", b"PAR1"), ("20261206 empty", b"")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "period.parquet").write_bytes(content)
    (tmp_path / "20261207 folder" / "period.parquet").mkdir(parents=True)
    assert hours_ago(account_changes.last_compared(own, known)) == 24
    assert account_changes.last_compared(own, read_at(0)) is None
    end = NOW - timedelta(hours=48)
    account_changes.ComparedPeriod(end, end, end, "").frame().to_parquet(own / "period.parquet", index=False)
    assert hours_ago(account_changes.last_compared(own, known)) == 48


def changes(*rows: tuple[str, float | None, str | None]) -> pd.DataFrame:
    return typed_frame(
        [
            {"change": kind, "identifier": "i", "label": "web-01", "monthly_difference": amount, "currencycode": code, "not_after": NOW}
            for kind, amount, code in rows
        ],
        COMPARISON_DTYPES,
    )  # fmt: skip


def test_differences() -> None:
    """Differences are added up by currency; what has no price is counted, and what was there only in between is not."""
    found = changes(
        ("appeared", 10.0, "USD"), ("gone", -4.0, "USD"), ("gone", -1.0, "USD"), ("changed", 0.0, "BRL"),
        ("changed", None, "USD"), ("temporary", None, None), ("appeared", 7.0, "BRL"),
    )  # fmt: skip
    drawn = {code: amounts.to_dict() for amounts, _, code in account_changes.difference_charts(found)}
    assert drawn == {"USD": {"appeared": 10.0, "gone": -5.0}, "BRL": {"appeared": 7.0}}
    period = account_changes.ComparedPeriod(NOW, NOW, NOW, "")
    cards = repr(account_changes.change_cards(found, period)).splitlines()
    assert cards == [
        "appeared: 2", "gone: 2", "changed: 2", "appeared and gone again: 1", "BRL per month: +7.00", "USD per month: +5.00",
        "without a known price: 1",
    ]  # fmt: skip
    assert account_changes.shown_changes(found).change.tolist()[-2:] == [
        "appeared and gone again",
        "appeared",
    ]
    assert not list(account_changes.difference_charts(changes()))


# --- gaps -----------------------------------------------------------------------------------------------------


def test_gaps() -> None:
    """A time without a complete reading is named in full, with why, when it overlaps the period."""
    known = read_at(100, 60, 50, 20, 0, incomplete=(40, 30))
    found = readings.list_gaps(known, NOW - timedelta(hours=55), NOW, 24)
    assert found.hours.tolist() == [30]
    assert found.why.tolist() == ["2 readings were not complete: HTTP 500"]
    found = readings.list_gaps(known, NOW - timedelta(hours=99), NOW, 24)
    assert found.hours.tolist() == [40, 30]
    assert found.why.iloc[0] == "the account was not read"
    for nothing in (read_at(), read_at(50), read_at(50, 0, kind="locations")):
        found = readings.list_gaps(nothing, NOW - timedelta(hours=55), NOW, 24)
        assert found.dtypes.astype(str).to_dict() == readings.GAP_DTYPES
        assert not len(found)


def test_period_times() -> None:
    """A period ends now or at a time; one that ends before it begins is refused."""
    assert readings.period_times("24h", None, NOW) == (NOW - timedelta(hours=24), NOW)
    assert readings.period_times("2026-11-01", "2026-11-02", NOW)[1] == datetime(2026, 11, 2, tzinfo=UTC)
    with pytest.raises(InputError, match=r"until: .* is before since"):
        readings.period_times("2026-11-02", "2026-11-01", NOW)
