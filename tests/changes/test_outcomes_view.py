"""What a ChangeSet shows before and after it is applied, and what it refuses when it is applied again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import lcnb
from benchmarks.virtual import client
from conftest import TOKEN
from lcnb import LetsCloud
from lcnb.changes.changeset import ChangeSet
from lcnb.config import Settings
from lcnb.runbooks.outcomes import NOT_MADE, planned_changes, run_changes
from lcnb.sandbox import Clock, Sandbox, World


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(World(Clock(0)), TOKEN)


@pytest.fixture
def lc(box: Sandbox, settings: Settings) -> LetsCloud:
    """A client of this sandbox, on its clock, without sockets."""
    return client(box, settings)


def shown(changes: ChangeSet[Any]) -> str:
    return f"{changes!r} {changes._repr_html_()}"


def writes(box: Sandbox) -> int:
    return sum(each["method"] != "GET" for each in box.log)


def refuse(changes: ChangeSet[Any]) -> bool:
    raise AssertionError("somebody was asked")


def test_outcomes_after_apply(lc: LetsCloud) -> None:
    """Before `apply` a ChangeSet is "not applied"; afterwards it shows each outcome, in the order of the changes."""
    changes = lc.changes([lc.power_off("web-03"), lc.power_off("web-01")])
    assert "not applied" in repr(changes)
    assert "not applied" in changes._repr_html_()
    assert changes.result is None
    result = changes.apply(confirm=True)
    assert changes.result is not None
    assert changes.result.equals(result)
    assert "not applied" not in shown(changes)
    assert changes.status() == "2 done"
    text = repr(changes)
    assert 0 < text.index("1. done: power off web-03") < text.index("2. done: power off web-01")


def test_declined_is_not_applied(lc: LetsCloud) -> None:
    """Changes that somebody declined are not applied, and may be applied later."""
    changes = lc.power_off("web-01")
    changes.apply(confirm=False)
    assert (changes.result, changes.status()) == (None, "not applied")
    assert changes.apply(confirm=True).outcome.tolist() == ["done"]


def test_failed_apply_shows_outcomes(box: Sandbox, lc: LetsCloud, settings: Settings) -> None:
    """After ChangeFailed, too, the ChangeSet shows what was done, what failed and what was not tried."""
    changes = lc.power_off(["web-01", "web-03", "api-01"])
    guard = client(box, settings)

    def protect(ended: int, total: int, step: str) -> None:
        if step == "power off web-01":
            guard.protect("web-03")

    with pytest.raises(lcnb.ChangeFailed) as failed:
        changes.apply(confirm=True, progress=protect)
    assert changes.result is failed.value.result
    assert changes.status() == "1 done, 1 failed, 1 not tried"
    assert "2. failed: power off web-03: not sent: web-03" in repr(changes)
    assert "not applied" not in shown(changes)


def test_already_applied_before_anybody_is_asked(box: Sandbox, lc: LetsCloud, tmp_path: Any) -> None:
    """Applying again raises AlreadyApplied at once, also for a saved plan that another client applied."""
    changes = lc.power_off("web-01")
    path = changes.save(tmp_path / "plan.json")
    loaded = lc.load_changes(path)
    changes.apply(confirm=True)
    sent = writes(box)
    for again in (changes, loaded):
        for confirm in (refuse, None, True):
            with pytest.raises(lcnb.AlreadyApplied, match="was applied at"):
                again.apply(confirm=confirm)
        with pytest.raises(lcnb.AlreadyApplied):
            again.check_allowed()
    assert "applied before: 1 done" in repr(loaded)
    assert writes(box) == sent


def test_interrupted_apply_is_not_called_unapplied(lc: LetsCloud) -> None:
    """After an interrupted apply the ChangeSet says that it was begun, and how to go on."""
    changes = lc.power_off(["web-01", "web-03"])

    def interrupt(ended: int, total: int, step: str) -> None:
        if ended == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        changes.apply(confirm=True, progress=interrupt)
    assert f"lcnb resume {changes.id}" in changes.status()
    assert "not applied" not in shown(changes)


@pytest.mark.parametrize("text", ["web-01", " web-01 "])
def test_typed_text(lc: LetsCloud, text: str) -> None:
    """`confirm` may be the text that has to be typed."""
    assert lc.delete_instance("web-01").apply(confirm=text).outcome.tolist() == ["done"]


@pytest.mark.parametrize("text", ["", "yes", "True", "WEB-01", "web-03", "web-01\u200b1"])
def test_wrong_text(box: Sandbox, lc: LetsCloud, text: str) -> None:
    """Another text is refused with both texts; nothing is sent."""
    with pytest.raises(lcnb.InputError, match=r"confirm: expected the text 'web-01', got .*Nothing was sent"):
        lc.delete_instance("web-01").apply(confirm=text)
    assert writes(box) == 0


def test_text_where_none_is_needed(box: Sandbox, lc: LetsCloud) -> None:
    """A text for changes that need none is refused, with the cure."""
    with pytest.raises(
        lcnb.InputError, match=r"expected True or False.*need no typed text: pass confirm=True"
    ):
        lc.power_off("web-01").apply(confirm="web-01")
    assert writes(box) == 0


def test_two_currencies(box: Sandbox, lc: LetsCloud) -> None:
    """A change from a plan in one currency to a plan in another one shows both prices and both differences."""
    change = replace(
        lc.power_off("web-01")[0],
        action="change plan", monthly_before=5.4, monthly_after=90.0, currencycode="BRL", currencycode_before="USD",
    )  # fmt: skip
    changes = ChangeSet([change], lc)
    assert changes.monthly_difference() == {"USD": -5.4, "BRL": 90.0}
    assert changes.summary() == "1 change, -5.40 USD a month, +90.00 BRL a month"
    assert changes.preview_frame()["a month"].tolist() == ["5.40 USD → 90.00 BRL"]
    assert type(change).from_plan(json.loads(json.dumps(change.plan()))) == change


def test_machines_of_two_currencies(lc: LetsCloud) -> None:
    """Machines whose prices are in two currencies: each row has its price, and each currency its sum."""
    fleet = lc.inventory()
    one = fleet[fleet.currencycode == "USD"].query("state == 'off'").head(1)
    other = fleet[fleet.currencycode == "BRL"].query("state == 'running'").head(1)
    changes = lc.delete_instance([*one.identifier, *other.identifier])
    assert set(changes.monthly_difference()) == {"USD", "BRL"}


def test_plan_of_a_run_is_in_true_order(lc: LetsCloud, settings: Settings, tmp_path: Any) -> None:
    """The plan of a run lists changes in the order in which the notebook plans them, with their notes."""
    folder = tmp_path / "a-run"
    folder.mkdir()
    lc.create_snapshot("web-01", label="before").save(folder / "snapshots.json")
    lc.power_off(["web-01", "web-02"]).save(folder / "power.json")
    lc.delete_instance("web-03").save(folder / "deletes.json")
    (folder / "other.json").write_text("[]")
    planned = planned_changes(folder, lc)
    wanted = ["create snapshot", "power off", "delete instance"]
    assert [each.action for each in planned] == wanted
    assert planned.notes == ("web-02 is off already",)
    recorded = run_changes(folder, settings)
    assert [(each["action"], each["outcome"]) for each in recorded] == [(name, NOT_MADE) for name in wanted]
