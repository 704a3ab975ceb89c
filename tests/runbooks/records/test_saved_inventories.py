"""Inventories that earlier runs saved become readings of their time, whatever was read before or after."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import lcnb
from conftest import Call, HandClock
from lcnb.api.queries import InventoryParts
from lcnb.frames.inventory import inventory_frame
from lcnb.history.readings import inventory_readings
from lcnb.runbooks.records.saved_inventories import import_saved_inventories
from lcnb.sandbox import Sandbox

#: 2026-11-02 10:00 UTC.
START = 1_793_613_600.0
Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]


def save_run(
    folder: Path, lc: lcnb.LetsCloud, frame: pd.DataFrame, hour: int, suffix: str, **facts: Any
) -> Path:
    """A run as the runbook `inventory` leaves it."""
    run = folder / f"20261102T{10 + hour}0000Z-inventory-{hour:04x}"
    run.mkdir(parents=True)
    at = datetime.fromtimestamp(START + hour * 3600, UTC)
    record = {
        "id": run.name, "runbook": "inventory", "status": "done", "closed": True, "started": at.isoformat(),
        "parameters": {"location": None, "state": None, "currency": None}, "account": lc.settings.account,
        "base_url": lc.settings.base_url, **facts,
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(record))
    if suffix == "parquet":
        frame.to_parquet(run / "inventory.parquet", index=False)
    elif suffix == "csv":
        frame.to_csv(run / "inventory.csv", index=False, lineterminator="\n")
    return run


def identified(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.dropna(subset="identifier").sort_values("identifier").reset_index(drop=True)


@pytest.fixture
def year(served: Served) -> Year:
    """A client without a history, the clock of its history, and the inventories of six hours, with their listings."""
    sandbox, lc = served(fleet=15)
    clock = HandClock()
    lc._history.clock = clock
    lc._history.enabled = False
    frames, parts = {}, {}
    for hour in range(6):
        clock.now = START + hour * 3600
        parts[hour] = lc._parts()
        frames[hour] = inventory_frame(parts[hour])
        at = datetime.fromtimestamp(clock.now, UTC)
        frames[hour].attrs["lcnb"]["fetched_at"] = at.isoformat(timespec="milliseconds")
        machines = sandbox.world.machines
        machines[hour].update(label="NA" if hour else 'São;"x"', booted=not machines[hour]["booted"])
        machines.pop()
    lc._history.enabled = True
    return lc, clock, frames, parts


Year = tuple[lcnb.LetsCloud, HandClock, dict[int, pd.DataFrame], dict[int, InventoryParts]]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("live", [(), (5,), (0, 3, 5)])
def test_import(suffix: str, live: tuple[int, ...], year: Year, tmp_path: Path) -> None:
    """The inventory of each saved time is the saved one; live readings before and after stay as they were; twice is once."""
    lc, clock, frames, parts = year
    for hour, frame in frames.items():
        save_run(tmp_path / "runs", lc, frame, hour, suffix)
    for hour in live:  # what a client kept when it was read
        clock.now = START + hour * 3600 + 60
        lc._history._store(lambda hour=hour: inventory_readings(parts[hour]))
    first = import_saved_inventories(lc, tmp_path / "runs")
    assert (len(first.imported), first.known, first.left_out) == (6, [], {})
    clock.now = START + 6 * 3600
    history, readings = lc.history(), lc.readings()
    again = import_saved_inventories(lc, tmp_path / "runs")
    assert (again.imported, len(again.known)) == ([], 6)
    assert_frame_equal(lc.history(), history)
    assert_frame_equal(lc.readings(), readings)
    for hour, frame in frames.items():
        past = lc.inventory(at=datetime.fromtimestamp(START + hour * 3600, UTC))
        unpriced = frame.price_note.notna()  # the reason is that of the plans which were known then
        assert_frame_equal(
            identified(past).drop(columns="price_note"), identified(frame).drop(columns="price_note")
        )
        assert (
            unpriced.sum()
            == past.price_note.notna().sum() + frame[frame.identifier.isna()].price_note.notna().sum()
        )


def test_import_between_readings(served: Served, tmp_path: Path) -> None:
    """Where live readings say the same before or after, an import makes no new version."""
    _, lc = served(fleet=15)
    clock = HandClock()
    lc._history.clock = clock
    for hour in (0, 2):
        clock.now = START + hour * 3600
        frame = lc.inventory()
    with lc._history.read() as stored:
        before = stored.versions("instances"), stored.versions("plans of MIA1")
    frame.attrs["lcnb"]["fetched_at"] = datetime.fromtimestamp(START + 3600, UTC).isoformat()
    save_run(tmp_path / "runs", lc, frame, 1, "parquet")
    assert len(import_saved_inventories(lc, tmp_path / "runs").imported) == 1
    with lc._history.read() as stored:
        assert (stored.versions("instances"), stored.versions("plans of MIA1")) == before
        assert len(stored.complete_times("instances")) == 3


LEFT_OUT: list[tuple[str, dict[str, Any], str, str]] = [
    ("failed", {"status": "failed"}, "parquet", "did not complete (failed)"),
    ("filtered", {"parameters": {"location": "MIA1"}}, "parquet", "only some machines (location: MIA1)"),
    ("nothing saved", {}, "", "it saved no table"),
]


@pytest.mark.parametrize(
    ("facts", "suffix", "reason"), [row[1:] for row in LEFT_OUT], ids=[row[0] for row in LEFT_OUT]
)
def test_left_out(facts: dict[str, Any], suffix: str, reason: str, year: Year, tmp_path: Path) -> None:
    """A table that is not the whole inventory of its time is left out, with the reason."""
    lc, _, frames, _ = year
    run = save_run(tmp_path / "runs", lc, frames[0], 0, suffix, **facts)
    result = import_saved_inventories(lc, tmp_path / "runs")
    assert result.imported == []
    assert reason in result.left_out[run.name]
    assert len(lc.readings()) == 0


def test_incomplete_listing(year: Year, tmp_path: Path) -> None:
    """A listing whose rows could not all be read is left out; one with an odd value is imported."""
    lc, _, frames, _ = year
    for hour, path in enumerate(["$.data[3]", "$", "$.data[3].cpus"]):
        frames[hour].attrs["lcnb"] |= {"drift": [{"path": path, "problem": "odd"}], "drift_count": 1}
        save_run(tmp_path / "runs", lc, frames[hour], hour, "parquet")
    result = import_saved_inventories(lc, tmp_path / "runs")
    assert (len(result.imported), len(result.left_out)) == (1, 2)


def test_damaged_tables(year: Year, tmp_path: Path) -> None:
    """A table that cannot be read or is no inventory is left out, and the others are imported."""
    lc, _, frames, _ = year
    for hour in range(3):
        save_run(tmp_path / "runs", lc, frames[hour], hour, "parquet")
    first, second = sorted((tmp_path / "runs").iterdir())[:2]
    (first / "inventory.parquet").write_bytes(b"PAR1 no table")
    odd = frames[1][["label"]]
    odd.attrs = frames[1].attrs
    odd.to_parquet(second / "inventory.parquet", index=False)
    result = import_saved_inventories(lc, tmp_path / "runs")
    assert len(result.imported) == 1
    assert "cannot be read" in result.left_out[first.name]
    assert "no column identifier" in result.left_out[second.name]


def test_other_accounts(year: Year, tmp_path: Path) -> None:
    """Runs of another account or another runbook are no part of the history."""
    lc, _, frames, _ = year
    for hour, facts in enumerate(
        [{"account": "other"}, {"base_url": "https://other.example.com"}, {"runbook": "drift"}]
    ):
        save_run(tmp_path / "runs", lc, frames[hour], hour, "parquet", **facts)
    result = import_saved_inventories(lc, tmp_path / "runs")
    assert (result.imported, result.left_out) == ([], {})


def test_command(year: Year, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb history import` says what it did."""
    lc, _, frames, _ = year
    monkeypatch.setenv("LETSCLOUD_API_KEY", lc.settings.token.reveal())
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    save_run(tmp_path / "runs", lc, frames[0], 0, "parquet")
    failed = save_run(tmp_path / "runs", lc, frames[1], 1, "parquet", status="failed")
    for count in ("1 imported, 0 imported before", "0 imported, 1 imported before"):
        done = call("history", "import", "--runs-dir", str(tmp_path / "runs"))
        assert done.code == 0, done.err
        assert (
            done.out
            == f"saved inventories: {count}, 1 left out\nleft out: {failed.name}: the run did not complete (failed)\n"
        )
    shown = call("history", "show", "-o", "csv")
    assert shown.out.count("\n") == len(identified(frames[0])) + 1
    at = call("inventory", "--at", "2026-11-02T10:30", "-o", "csv")
    assert at.out.count("\n") == len(identified(frames[0])) + 1
