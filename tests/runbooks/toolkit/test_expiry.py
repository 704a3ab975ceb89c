"""Which machines end when their time is over, which are left alone, and that the account decides what exists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from benchmarks.virtual import client
from by_hand import run_cells
from changing_cases import TODAY, failing, machines, parameters, prepared, write_files, writes
from conftest import MANY, TOKEN
from lcnb.config import Settings
from lcnb.errors import Drifted, InputError
from lcnb.facts.machine_facts import MachineFacts, Protection
from lcnb.runbooks.toolkit import expiry
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.sandbox.faults import Faults

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fleet(*rows: tuple[str | None, str | None, str | None]) -> pd.DataFrame:
    """An inventory of machines with these identifiers, labels and states."""
    known = {
        name: pd.Series(values, dtype="str")
        for name, values in zip(("identifier", "label", "state"), zip(*rows, strict=True), strict=True)
    }
    return pd.DataFrame(
        {**known, "location": "MIA1", "currencycode": "USD", "monthly_value": pd.Series([5.0] * len(rows), dtype="Float64")}
    )  # fmt: skip


def facts(*each: MachineFacts) -> dict[str, MachineFacts]:
    return {one.identifier: one for one in each}


def past(identifier: str, label: str, hours: float = 1, **more: Any) -> MachineFacts:
    return MachineFacts(identifier, label, expires=NOW - hours * HOUR, **more)


# What → machines, the facts of the machine `a`, status, part of the reason.
CASES: dict[str, tuple[list[tuple[str | None, str | None, str | None]], MachineFacts, str, str]] = {
    "past": ([("a", "ci-01", "running")], past("a", "ci-01"), "due", ""),
    "exactly now": ([("a", "ci-01", "running")], past("a", "ci-01", 0), "due", ""),
    "within the warning": ([("a", "ci-01", "running")], past("a", "ci-01", -24), "soon", ""),
    "later": ([("a", "ci-01", "running")], past("a", "ci-01", -24.1), "later", ""),
    "protected": ([("a", "ci-01", "running")], past("a", "ci-01", protection=Protection("ana@desk", NOW)), "left alone", "by ana@desk 2026-12-01"),
    "protected by hand": ([("a", "ci-01", "running")], past("a", "ci-01", protection=Protection()), "left alone", "it is protected"),
    "protected and soon": ([("a", "ci-01", "running")], past("a", "ci-01", -1, protection=Protection()), "soon", "it is protected"),
    "busy": ([("a", "ci-01", "busy")], past("a", "ci-01"), "left alone", "it is busy"),
    "suspended": ([("a", "ci-01", "suspended")], past("a", "ci-01"), "left alone", "it is suspended"),
    "no state": ([("a", "ci-01", None)], past("a", "ci-01"), "left alone", "unknown state"),
    "no label": ([("a", None, "running")], past("a", "ci-01"), "left alone", "it has no label"),
    "renamed": ([("a", "ci-02", "running")], past("a", "ci-01"), "due", ""),
    "no label in the file": ([("a", "ci-02", "running")], past("a", ""), "due", ""),
    "label moved on": ([("a", "old", "running"), ("b", "ci-01", "running")], past("a", "ci-01"), "left alone", "now the label of the machine b"),
    "twins": ([("a", "ci-01", "running"), ("b", " ci-01", "running")], past("a", "ci-01"), "left alone", "another machine has the same label"),
    "twins as people see them": ([("a", "são", "running"), ("b", "sa\u0303o", "running")], past("a", "são"), "left alone", "same label"),
    "rebuilt": ([("b", "ci-01", "running")], past("a", "ci-01"), "replaced", "the machine b, which has no expiry"),
    "gone": ([("b", "ci-02", "running")], past("a", "ci-01"), "gone", "not in the account"),
    "gone, without a label": ([("b", None, "running")], past("a", ""), "gone", "not in the account"),
    "rebuilt, without identifier yet": ([(None, "ci-01", "building")], past("a", "ci-01"), "replaced", "the machine (being built)"),
    "twin without identifier yet": ([("a", "ci-01", "running"), (None, "ci-01", "building")], past("a", "ci-01"), "left alone", "another machine has the same label"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_status(name: str) -> None:
    """The identifier decides; a machine ends only when it is past its time and nothing about it is doubtful."""
    rows, known, status, why = CASES[name]
    found = expiry.list_expiries(fleet(*rows), facts(known), NOW, expiry.ExpiryRules("delete"))
    assert found.status.tolist() == [status]
    assert found.dtypes.astype(str).to_dict() == expiry.EXPIRY_DTYPES
    assert why in (found.why.iloc[0] if why else "")
    assert pd.isna(found.why.iloc[0]) == (not why)


def test_an_off_machine_is_deleted_and_not_powered_off() -> None:
    """A machine that is off has ended already, unless it is to be deleted."""
    rows, known = fleet(("a", "ci-01", "off")), facts(past("a", "ci-01"))
    status = {
        action: expiry.list_expiries(rows, known, NOW, expiry.ExpiryRules(action)).status.tolist()
        for action in expiry.ACTIONS
    }
    assert status == {"power off": ["ended"], "delete": ["due"]}


def test_a_successor_with_an_expiry_is_known() -> None:
    """A gone machine whose label another one has is no finding when that one has an expiry of its own."""
    known = facts(past("a", "ci-01", 50), past("b", "ci-01", -100))
    found = expiry.list_expiries(fleet(("b", "ci-01", "running")), known, NOW, expiry.ExpiryRules())
    assert found.status.tolist() == ["gone", "later"]


def test_limit() -> None:
    """At most so many machines end, the earliest first; those that a resumed run has ended count."""
    rows = fleet(*[(f"i{number}", f"ci-{number}", "running") for number in range(5)])
    known = facts(*[past(f"i{number}", f"ci-{number}", number + 1) for number in range(5)])
    rules = expiry.ExpiryRules("delete", max_machines=3)
    for before, due in ((0, ["ci-4", "ci-3", "ci-2"]), (2, ["ci-4"]), (7, [])):
        found = expiry.list_expiries(rows, known, NOW, rules, before)
        assert found.label[found.status == "due"].tolist() == due
        spared = found[found.status == "left alone"]
        assert len(spared) == 5 - len(due)
        assert spared.why.str.contains("only 3 may end at once").all()


@pytest.mark.parametrize(
    "given",
    [{"action": "reboot"}, {"max_machines": True}, {"max_machines": 1.5}, {"warn_hours": -1}, {"warn_hours": float("nan")}],
)  # fmt: skip
def test_refused_rules(given: dict[str, Any]) -> None:
    """A rule that cannot be meant is refused with its name, and nothing was sent."""
    (name,) = given
    with pytest.raises(InputError, match=rf"^{name}: expected .*Nothing was sent\.$"):
        expiry.ExpiryRules(**given)


def test_no_facts_and_no_machines() -> None:
    """Without an expiry, or without machines, the table is empty and has the same columns."""
    for known in ({}, facts(MachineFacts("a", "ci-01", tags={"env": "ci"}))):
        found = expiry.list_expiries(world_inventory(0), known, NOW, expiry.ExpiryRules())
        assert not len(found)
        assert found.dtypes.astype(str).to_dict() == expiry.EXPIRY_DTYPES
        assert expiry.count_by_time_left(found).empty
        assert all(each.ok for each in expiry.expiry_checks(found, expiry.ExpiryRules(), dry_run=True))  # fmt: skip


def world_inventory(size: int) -> pd.DataFrame:
    sandbox = Sandbox(World(Clock(0), fleet=size), TOKEN, rate_limit=MANY)
    with serve_in_thread(sandbox) as base_url, lcnb.connect(token=TOKEN, base_url=base_url) as lc:
        return lc.inventory()


def test_groups() -> None:
    """Each machine of the account that expires is in one group of the chart; machines that are gone are in none."""
    hours = {"a": 1, "b": 0, "c": -24, "d": -25, "e": -24 * 30, "f": -24 * 31, "gone": 5}
    rows = fleet(*[(each, each, "running") for each in [*"abcdef", "x", "y"]])
    known = facts(*[past(each, each, number) for each, number in hours.items()])
    found = expiry.list_expiries(rows, known, NOW, expiry.ExpiryRules())
    assert expiry.count_by_time_left(found).to_dict() == {
        "past": 2, "within a day": 1, "within a week": 1, "within 30 days": 1, "later": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("ci-01", "ci-01 before its end 2026-12-01"),
        ("sa\u0303o ", "são before its end 2026-12-01"),
        ("a\u200bb", "a?b before its end 2026-12-01"),
        ("x" * 255, "x" * 200 + " before its end 2026-12-01"),
    ],
)
def test_title(label: str, title: str) -> None:
    """Every label of a machine gives a title that a snapshot may have."""
    assert expiry.snapshot_title(label, "2026-12-01") == title


# --- cell by cell, with a clock that is turned ----------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_a_failed_snapshot_keeps_its_machine(place: Path, settings: Settings) -> None:
    """A machine whose snapshot failed is not deleted; the others are, and the run asks for attention."""
    broken = machines(prepared())["web-01"]["identifier"]
    box = failing(f"{broken}/snapshot")
    names = run_cells("expire", client(box, settings), place / "run", parameters("expire", place, dry_run=False))  # fmt: skip
    assert {"web-01", "api-01"} & set(machines(box)) == {"web-01"}
    assert "1 machine has no complete snapshot and stays: web-01" in names["run"].attentions[-1]
    assert names["made"].outcome.tolist() == ["failed", "done"]


def test_an_unfinished_snapshot_keeps_its_machine(place: Path, settings: Settings) -> None:
    """A machine whose snapshot is not built in time is not deleted, and an older snapshot of that name does not count."""
    box = prepared()
    old = {"size": 1.0, "os_reference": "x", "reference": "y", "build": True, "locations": ["DAL1"]}
    box.world.snapshots.append({"slug": "old", "label": f"web-01 before its end {TODAY}", **old})
    broken = machines(box)["web-01"]["identifier"]
    rule = {"kind": "stuck", "method": "POST", "path": f"{broken}/snapshot"}
    box.faults = Faults.read({"seed": 1, "rules": [rule]})
    given = {**parameters("expire", place, dry_run=False), "wait_minutes": 5}
    names = run_cells("expire", client(box, settings), place / "run", given)
    assert {"web-01", "api-01"} & set(machines(box)) == {"web-01"}
    assert "1 machine has no complete snapshot and stays: web-01" in names["run"].attentions[-1]


def test_fewer_than_approved(place: Path, settings: Settings) -> None:
    """Of an approved plan, the deletion of a machine whose snapshot failed is left out; nothing is added."""
    dry = place / "runs" / f"{TODAY.replace('-', '')}T000000Z-plan-aaaaaa"
    broken = machines(prepared())["web-01"]["identifier"]
    box = failing(f"{broken}/snapshot")
    run_cells("expire", client(box, settings), dry, parameters("expire", place, dry_run=True), confirmed="")
    assert writes(box) == []
    given = parameters("expire", place, dry_run=False)
    run_cells("expire", client(box, settings), place / "a", given, confirmed=str(dry))
    assert {"web-01", "api-01", "worker-01"} & set(machines(box)) == {"web-01", "worker-01"}
    with pytest.raises(Drifted, match="worker-01 was not planned"):
        run_cells("expire", client(box, settings), place / "b", {**given, "max_machines": 9}, confirmed=str(dry))  # fmt: skip
    assert "worker-01" in machines(box)


def test_moved_and_protected_after_the_plan(place: Path, settings: Settings) -> None:
    """What was approved is not made when the facts file protects a machine, or gives it more time, by then."""
    dry = place / "runs" / f"{TODAY.replace('-', '')}T000000Z-plan-aaaaaa"
    box = prepared()
    run_cells("expire", client(box, settings), dry, parameters("expire", place, dry_run=True), confirmed="")
    before = settings.facts_path.read_text()
    for now in (before.replace(",web-01,2026", ",web-01,2999"), before.replace("web-01,2026-01-03T00:00:00+02:00,", "web-01,2026-01-03T00:00:00+02:00,yes")):  # fmt: skip
        assert now != before
        settings.facts_path.write_text(now)
        with pytest.raises(Drifted, match="web-01"):
            run_cells("expire", client(box, settings), place / "a", parameters("expire", place, dry_run=False), confirmed=str(dry))  # fmt: skip
    assert writes(box) == []


def test_power_off(place: Path, settings: Settings) -> None:
    """By default a machine is only powered off; once more, nothing is left to do."""
    box = prepared()
    for folder in ("a", "b"):
        given = {"snapshot_first": False, "dry_run": False}
        run_cells("expire", client(box, settings), place / folder, given)
        assert len(writes(box)) == 3
    on = {label for label, machine in machines(box).items() if machine["booted"]}
    assert {"web-01", "api-01", "worker-01"} & on == set()
    assert {"db-01", "mail", "vpn-01"} <= on


def test_an_unreadable_facts_file_ends_nothing(place: Path, settings: Settings) -> None:
    """With a facts file that cannot be read, nothing is sent: a protection may be among the unreadable lines."""
    text = settings.facts_path.read_text()
    for wrong in (text.replace("2026-01-04T00:00:00Z", "tomorrow"), text + "<<<<<<< HEAD\n", text.replace("protected", "protectd", 1)):  # fmt: skip
        settings.facts_path.write_text(wrong)
        box = prepared()
        with pytest.raises(InputError, match=r"facts\.csv, line \d"):
            run_cells("expire", client(box, settings), place / "run", parameters("expire", place, dry_run=False))  # fmt: skip
        assert writes(box) == []
