"""Machines that cannot be changed now: all of them are listed at once, and some can be left out."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import lcnb
from benchmarks.virtual import client
from conftest import TOKEN
from lcnb import LetsCloud
from lcnb.api.machine_names import MachineIndex, MachineName
from lcnb.api.models import Instance
from lcnb.config import Settings
from lcnb.refused_machine import RefusedMachine
from lcnb.sandbox import Clock, Sandbox, World


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(World(Clock(0)), TOKEN)


@pytest.fixture
def lc(box: Sandbox, settings: Settings) -> LetsCloud:
    """A client of this sandbox, on its clock, without sockets."""
    return client(box, settings)


def states(box: Sandbox) -> dict[str, list[dict[str, Any]]]:
    """The sandbox's machines by what is wrong with them; `ready` are the others."""
    kinds: dict[str, list[dict[str, Any]]] = {"suspended": [], "building": [], "busy": [], "ready": []}
    for each in box.world.machines:
        kind = "suspended" if each["suspended"] else "building" if not each["built"] else "busy"
        kinds[kind if kind != "busy" or each["locked"] else "ready"].append(each)
    return kinds


def writes(box: Sandbox) -> list[str]:
    return [each["path"] for each in box.log if each["method"] != "GET"]


WAYS: dict[str, Callable[..., Any]] = {
    "rows": lambda lc, **how: lc.instances().lc.power_on(**how),
    "rows, delete": lambda lc, **how: lc.instances().lc.snapshot("{label} now", **how),
    "names": lambda lc, **how: lc.power_on(lc.instances().label.tolist(), **how),
    "records": lambda lc, **how: lc.power_on(
        [Instance(label=label) for label in lc.instances().label], **how
    ),
    "desired state": lambda lc, **how: lc.plan(
        lc.instances()[["label"]].assign(state="running").drop_duplicates(), **how
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_at_once(box: Sandbox, lc: LetsCloud, way: str) -> None:
    """One error lists every machine that is busy, being built or suspended, and `skip_busy` leaves out just these."""
    found = states(box)
    with pytest.raises(lcnb.ChangesRefused, match="Nothing was sent") as refused:
        WAYS[way](lc)
    wanted = {(each["label"], kind) for kind in ("busy", "building", "suspended") for each in found[kind]}
    assert {(each.label, each.kind) for each in refused.value.refused} == wanted
    assert all(label in str(refused.value) for label, _ in wanted)
    assert pickle.loads(pickle.dumps(refused.value)).refused == refused.value.refused
    changes = WAYS[way](lc, skip_busy=True)
    left_out = [note.machine for note in changes.notes if hasattr(note, "machine")]
    assert {(each.label, each.kind) for each in left_out} == wanted
    assert all(f"note: {note}" in repr(changes) for note in changes.notes)
    assert not {each.target for each in changes} & {label for label, _ in wanted}
    assert writes(box) == []


def test_rest_proceeds(box: Sandbox, lc: LetsCloud) -> None:
    """With `skip_busy` the ready machines are changed, and the result has the notes on the others."""
    busy, ready = states(box)["busy"][0], states(box)["ready"][0]
    fleet = lc.instances()
    rows = fleet[fleet.label.isin([busy["label"], ready["label"]])]
    result = rows.lc.snapshot("kept", skip_busy=True).apply(confirm=True)
    assert result.target.tolist() == [ready["label"]]
    assert result.attrs["lcnb"]["notes"] == (f"{busy['label']} was left out: busy, an action is in progress",)


def test_protected_are_listed_too_and_never_left_out(box: Sandbox, lc: LetsCloud) -> None:
    """A protected machine is in the same list; `skip_busy` still refuses it."""
    busy, ready = states(box)["busy"][0]["label"], states(box)["ready"][0]
    lc.protect(ready["label"])
    with pytest.raises(lcnb.ChangesRefused) as both:
        lc.power_off([busy, ready["label"]])
    assert [(each.label, each.kind) for each in both.value.refused] == [
        (busy, "busy"),
        (ready["label"], "protected"),
    ]
    with pytest.raises(lcnb.Protected) as one:
        lc.power_off([busy, ready["label"]], skip_busy=True)
    assert [each[:2] for each in one.value.refused] == [(ready["label"], ready["identifier"])]
    assert writes(box) == []


def test_plans(lc: LetsCloud) -> None:
    """A plan that a location does not offer, and a disk that would shrink, are reasons of single machines."""
    with pytest.raises(lcnb.ChangesRefused) as refused:
        lc.instances().lc.change_plan("1vcpu-1gb-10ssd", skip_busy=True)
    assert {each.kind for each in refused.value.refused} == {"disk"}
    with pytest.raises(lcnb.ChangesRefused, match="MIA1") as unknown:
        lc.change_plan(["web-01", "web-03"], plan="1vcpu-1gb-10sd")
    assert {each.kind for each in unknown.value.refused} == {"plan"}


def test_rows_without_identifier(lc: LetsCloud) -> None:
    """A row without identifier is one that is being built if its state says so; any other is never left out."""
    fleet = lc.instances()
    rows = fleet[fleet.label == "web-01"].assign(identifier=None)
    with pytest.raises(lcnb.ChangesRefused, match="without an identifier") as refused:
        rows.lc.power_off(skip_busy=True)
    assert refused.value.refused == (
        RefusedMachine("web-01", None, "without an identifier", "no identifier"),
    )


def test_skip_busy_is_a_flag(box: Sandbox, lc: LetsCloud) -> None:
    """Any other value than True and False is refused."""
    for way in WAYS.values():
        with pytest.raises(lcnb.InputError, match="skip_busy: expected True or False"):
            way(lc, skip_busy="false")


# --- names ----------------------------------------------------------------------------------------------


def test_names(box: Sandbox, lc: LetsCloud) -> None:
    """A label, an identifier, and a record find the same machine; so do `label=` and `identifier=`."""
    machine = states(box)["ready"][0]
    label, identifier = machine["label"], machine["identifier"]
    for changes in (
        lc.reboot(label),
        lc.reboot(identifier),
        lc.reboot(f" {label} "),
        lc.reboot(Instance(identifier=identifier)),
        lc.reboot([label, identifier]),
        lc.reboot(label=label),
        lc.reboot(identifier=identifier),
    ):
        assert [each.identifier for each in changes] == [identifier]
    assert {lc.instance(label).identifier, lc.instance(identifier).identifier} == {identifier}
    assert lc.reveal(label) == lc.reveal(identifier=identifier)
    assert len(lc.create_snapshot(identifier, label="x")) == 1
    with pytest.raises(lcnb.NotFound, match="no machine has the identifier"):
        lc.reboot(identifier=label)
    with pytest.raises(lcnb.NotFound, match="no machine has the label"):
        lc.reboot(label=identifier)


def test_ambiguous_names(box: Sandbox, lc: LetsCloud) -> None:
    """Twins, and a label that is the identifier of another machine, are an error that lists both machines."""
    one, other = states(box)["ready"][:2]
    calls: list[Callable[[str], Any]] = [
        lc.power_off, lc.reboot, lc.delete_instance, lc.reset_password, lc.instance, lc.reveal,
        lambda name: lc.change_plan(name, plan="x"), lambda name: lc.create_snapshot(name, label="x"),
        lambda name: lc.tag(name, "legacy"),
    ]  # fmt: skip
    for label in (one["label"], one["identifier"]):
        other["label"] = label
        lc._cache.forget_listings()
        for call in calls:
            with pytest.raises(lcnb.InputError, match="2 machines have the name") as several:
                call(label)
            assert one["identifier"] in str(several.value)
            assert other["identifier"] in str(several.value)
    assert lc.instance(identifier=one["identifier"]).label == one["label"]
    assert [each.target for each in lc.reboot(identifier=one["identifier"])] == [one["label"]]


@pytest.mark.parametrize("names", [3, {"a": 1}, "", " ", [""], [None], b"x", Instance()], ids=type)
def test_no_names(box: Sandbox, lc: LetsCloud, names: Any) -> None:
    """What names no machine is refused with what is expected, and nothing is asked."""
    with pytest.raises(lcnb.InputError, match=r"expected (a|the) label"):
        lc.power_off(names)
    assert not box.log


def test_frame_as_names(lc: LetsCloud) -> None:
    """A frame has the methods itself: its rows say in which state the machines were seen."""
    with pytest.raises(lcnb.InputError, match=r"frame.lc.power_off\(\)"):
        lc.power_off(lc.instances())  # type: ignore[arg-type]


def test_no_machines_are_no_changes(lc: LetsCloud) -> None:
    """An empty list selects nothing."""
    assert len(lc.power_off([])) == 0


def test_exact_names_match_one_way() -> None:
    """`by` says what a name may be; an empty identifier is no name."""
    machine = Instance(identifier="a1", label="web")
    index = MachineIndex([machine, Instance(identifier="", label="")])
    ways = ("either", "label", "identifier")
    assert [index.find(MachineName("a1", by)) for by in ways] == [[machine], [], [machine]]
    assert [index.find(MachineName("web", by)) for by in ways] == [[machine], [machine], []]
    assert [index.find(MachineName("", by)) for by in ways] == [[], [], []]


def test_ambiguous_names_are_found_in_order() -> None:
    """Every machine of a name is found once, in the order of the listing, also if it is its label and identifier."""
    twins = [
        Instance(identifier="b2", label="a1"),
        Instance(identifier="a1", label="a1"),
        Instance(label="a1 "),
    ]
    assert MachineIndex(twins).find(MachineName("a1")) == twins
    assert MachineIndex(twins).find(MachineName("a1", "identifier")) == twins[1:2]
