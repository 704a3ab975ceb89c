"""Facts in frames: their columns, and what the inventory says about machines with, without and beyond facts."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

import lcnb
from lcnb.errors import InputError
from lcnb.facts.machine_facts import MachineFacts, Protection
from lcnb.frames.facts_frame import fact_values, facts_frame

DAY = datetime(2026, 12, 1, 8, tzinfo=UTC)
FULL = MachineFacts(
    "aaa", "web-01", {"project": "shop", "legacy": ""}, "ana", "a note", Protection("ana@pc", DAY), DAY
)


def plain(values: object) -> list[object]:
    return [None if pd.isna(each) else each for each in values]  # type: ignore[attr-defined]


def test_facts_frame() -> None:
    """One row per machine, by label; what a machine does not have is missing, and `protected` never is."""
    frame = facts_frame(
        [FULL, MachineFacts("bbb", "db-01", owner="me"), MachineFacts("ccc", protection=Protection())]
    )
    assert frame["identifier"].tolist() == ["ccc", "bbb", "aaa"]
    assert plain(frame["tags"]) == [None, None, "legacy; project=shop"]
    assert plain(frame["protected"]) == [True, False, True]
    assert plain(frame["protected_by"]) == [None, None, "ana@pc"]
    assert plain(frame["expires"]) == plain(frame["protected_at"]) == [None, None, pd.Timestamp(DAY)]
    assert facts_frame([]).dtypes.equals(frame.dtypes)


def test_fact_values() -> None:
    """A machine without facts is not protected; of one without an identifier this is not known."""
    none = {"tags": None, "owner": None, "note": None, "protected": None, "expires": None}
    facts = {"aaa": FULL}
    assert fact_values("aaa", facts) == {
        "tags": "legacy; project=shop", "owner": "ana", "note": "a note", "protected": True, "expires": DAY,
    }  # fmt: skip
    assert fact_values("zzz", facts) == none | {"protected": False}
    assert fact_values(None, facts) == none


def test_inventory_has_facts(lc: lcnb.LetsCloud) -> None:
    """The inventory has the facts of its machines by identifier, whatever label the file says; the rest has none."""
    machine = lc.instance(label="web-01")
    lc.settings.facts_path.parent.mkdir(exist_ok=True)
    lc.settings.facts_path.write_text(
        "identifier,label,tags,owner,expires\n"
        f"{machine.identifier},web-99,project=shop,ana,2026-12-01T10:00:00+02:00\n"
        "gone,web-03,project=blog,,\n"
    )
    fleet = lc.inventory().set_index("label")
    assert fleet.loc["web-01", ["tags", "owner", "protected"]].tolist() == ["project=shop", "ana", False]
    assert fleet.loc["web-01", "expires"] == pd.Timestamp(DAY)
    assert fleet["tags"].count() == 1
    assert lc.facts()["label"].tolist() == ["web-03", "web-99"]


def test_unreadable_facts(lc: lcnb.LetsCloud) -> None:
    """No inventory is read when the facts file cannot be read: a protection may be among its lines."""
    lc.settings.facts_path.parent.mkdir(exist_ok=True)
    lc.settings.facts_path.write_text("identifier,protected\nabc,perhaps\n")
    for read in (lc.inventory, lc.facts):
        with pytest.raises(InputError, match=r"line 2: protected: expected yes.*Nothing was sent"):
            read()
