"""`lcnb runs --status --runbook --since`: which runs are listed, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lcnb.errors import InputError
from lcnb.runbooks.records.run_filter import parse_since, select_runs, short_ids
from lcnb.runbooks.records.run_record import RunRecord

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def run(day: int, runbook: str | None = "inventory", status: str = "done", **facts: Any) -> RunRecord:
    name = f"202611{day:02d}T080000Z-{runbook}-{day:06x}"
    known = {"id": name, "runbook": runbook, "status": status, "closed": True, **facts}
    return RunRecord(Path("runs") / name, known)


RUNS = [
    run(30),
    run(29, "drift", "failed"),
    run(28, "my_own", "attention"),
    RunRecord(Path("runs/20261127T080000Z-x-1"), problem="no run.json"),
    RunRecord(Path("runs/odd"), problem="run.json is damaged"),
]


@pytest.mark.parametrize(
    ("wanted", "days"),
    [
        ({}, ["30", "29", "28", "27", "?"]),
        ({"status": "FAILED"}, ["29"]),
        ({"status": "damaged"}, ["27", "?"]),
        ({"status": "running"}, []),
        ({"runbook": "my_own"}, ["28"]),
        ({"runbook": "price_compare"}, []),
        ({"since": "36h"}, ["30", "29"]),
        ({"since": "2026-11-28"}, ["30", "29", "28"]),
        ({"since": "2026-11-28T09:00+01:00"}, ["30", "29", "28"]),
        ({"since": "2026-11-28T08:00:01"}, ["30", "29"]),
        ({"since": "3d", "status": "attention"}, ["28"]),
    ],
)
def test_selection(wanted: dict[str, str], days: list[str]) -> None:
    """Runs are selected by status in any case, runbook and start; one without a start is in no span of time."""
    found = select_runs(RUNS, now=NOW, **wanted)
    assert [f"{each.started.day}" if each.started else "?" for each in found] == days


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"status": "fialed"}, r"--status: .*'fialed' \(did you mean 'failed'\?\)"),
        ({"runbook": "inventroy"}, r"--runbook: .*'inventroy' \(did you mean 'inventory'\?\)"),
        ({"since": "yesterday"}, r"--since: expected a date or time .*, got 'yesterday'"),
        ({"since": "7"}, "--since: expected"),
        ({"since": "999999d"}, "--since: expected"),
        ({"since": ""}, "--since: expected"),
    ],
)
def test_refused(wanted: dict[str, str], message: str) -> None:
    """A value that no run can have is refused with a near one, instead of an empty table."""
    with pytest.raises(InputError, match=message):
        select_runs(RUNS, now=NOW, **wanted)


def test_since_units() -> None:
    """Days, hours and minutes, with or without a space and in capitals."""
    spans = ["1d", "24 h", "1440M"]
    assert {parse_since(each, NOW) for each in spans} == {datetime(2026, 11, 29, 12, tzinfo=UTC)}


def test_short_ids() -> None:
    """The short id of a run is the time in its id, or so much of the id as no other run begins with."""
    names = [
        "20261130T060000Z-inventory-a1",
        "20261130T060000Z-inventory-b2",
        "20261130T070000Z-drift-c3",
        "mine",
    ]
    found = short_ids(names)
    assert found == {
        names[0]: "20261130T060000Z-inventory-a", names[1]: "20261130T060000Z-inventory-b",
        names[2]: "20261130T070000Z", "mine": "mine",
    }  # fmt: skip
    for name, short in found.items():
        assert [each for each in names if each.startswith(short)] == [name]
    assert short_ids(["x", "xy"]) == {"x": "x", "xy": "xy"}
