"""The account changes while a set is applied: no change meets another machine than the one that it was planned for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from changes.test_apply import ACTIONS, NEW, interrupted, labels, sandbox, turn

import lcnb
from benchmarks.virtual import client
from lcnb.config import Settings
from lcnb.sandbox import Sandbox


def writes(box: Sandbox) -> list[str]:
    return [entry["path"] for entry in box.log if entry["method"] != "GET"]


def machine(box: Sandbox, label: str) -> dict[str, Any]:
    return next(each for each in box.world.machines if each["label"] == label)


OF_A_MACHINE = ["delete", "power off", "shutdown", "change plan", "reset password", "snapshot"]


@pytest.mark.parametrize("way", ["apply", "resume"])
@pytest.mark.parametrize("action", OF_A_MACHINE)
def test_not_sent_again_to_another_machine(settings: Settings, action: str, way: str) -> None:
    """A change that was lost is not sent again when its machine has another label by then, also by `resume`."""
    box = sandbox(rules=[{"kind": "lose-before", "method": "PUT|DELETE|POST", "times": 1}])
    lc = client(box, settings)
    changes, one = ACTIONS[action][0](lc), machine(box, "web-01")
    if way == "apply":
        lc._wire.before = lambda name: one.update(label="prod-db") if name == "given up" else None  # type: ignore[attr-defined]
        result = changes.apply(confirm=True, on_error="continue")
    else:
        interrupted(lc, changes)
        one["label"] = "prod-db"
        turn(box)
        result = lc.resume(confirm=True, on_error="continue")
    assert (result.outcome.tolist(), len(writes(box))) == (["unknown"], 1)
    assert "not sent again: web-01" in result.detail[0]
    assert "label is 'prod-db', was 'web-01'" in result.detail[0]


@pytest.mark.parametrize("what", ["delete key", "rename", "delete snapshot"])
def test_not_sent_again_to_another_key_or_snapshot(settings: Settings, what: str) -> None:
    """A lost change of a key or snapshot is not sent again when somebody has put another one in its place."""
    box = sandbox(rules=[{"kind": "lose-before", "method": "PUT|DELETE", "times": 1}])
    lc = client(box, settings)
    changes = ACTIONS[what][0](lc)

    def change(name: str) -> None:
        if name == "given up":
            box.world.snapshots[0]["label"] = "of somebody else"
            box.world.sshkeys[:] = [{**each, "public_key": "ssh-ed25519 AAAA"} for each in box.world.sshkeys]

    lc._wire.before = change  # type: ignore[attr-defined]
    result = changes.apply(confirm=True, on_error="continue")
    assert (result.outcome.tolist(), len(writes(box))) == (["unknown"], 1)


#: What happens to the second machine of a set while the provider takes its time for the first one.
MEANWHILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "label": lambda one: one.update(label="prod-db"),
    "state": lambda one: one.update(booted=not one["booted"]),
    "identifier of another machine": lambda one: one.update(label="new", hostname="new"),
}


@pytest.mark.parametrize("how", MEANWHILE)
@pytest.mark.parametrize("action", ["delete_instance", "power_off", "reset_password"])
def test_a_slow_set_looks_again(settings: Settings, action: str, how: str) -> None:
    """In a set that takes long, a machine that is no longer as planned is not changed, and the set ends there."""
    box = sandbox(rules=[{"kind": "slow", "seconds": 90, "after": True, "method": "PUT|DELETE", "nth": 1}])
    lc = client(box, settings)
    changes = getattr(lc, action)(["web-01", "api-01", "db-01"])
    other = machine(box, "api-01")
    lc._wire.before = lambda name: MEANWHILE[how](other) if name == "sending" else None  # type: ignore[attr-defined]
    with pytest.raises(
        lcnb.ChangeFailed, match=r"failed: .* api-01: no longer as planned, not sent"
    ) as caught:
        changes.apply(confirm=True)
    assert caught.value.result is not None
    assert caught.value.result.outcome.tolist() == ["done", "failed", "not tried"]
    assert len(writes(box)) == 1


def test_a_label_that_is_taken_meanwhile(settings: Settings) -> None:
    """In a set that takes long, no machine is created under a label that somebody else has taken meanwhile."""
    box = sandbox(rules=[{"kind": "slow", "seconds": 90, "after": True, "method": "POST", "nth": 1}])
    lc, elsewhere = (
        client(box, replace(settings, state_dir=settings.state_dir / name)) for name in ("here", "there")
    )
    changes = lc.create_instance("first", **NEW) + lc.create_instance("second", **NEW)
    begun: list[str] = []

    def take_label(name: str) -> None:
        if name == "sending" and not begun:
            begun.append(name)
            elsewhere.create_instance("second", **NEW).apply(confirm=True)

    lc._wire.before = take_label  # type: ignore[attr-defined]
    result = changes.apply(confirm=True, on_error="continue")
    assert result.outcome.tolist() == ["done", "failed"]
    assert "a machine with the label 'second' exists" in result.detail[1]
    assert labels(box)["second"] == 1


@pytest.mark.parametrize("second", ["change plan", "delete"])
def test_relabelled_while_it_was_busy(settings: Settings, second: str) -> None:
    """A change that waits for an earlier one of its machine is not sent when the machine has another label then."""
    box = sandbox(rules=[{"kind": "slow", "seconds": 1, "delay": 30, "method": "PUT", "nth": 1}])
    lc = client(box, settings)
    changes, one = lc.power_off(label="web-01") + ACTIONS[second][0](lc), machine(box, "web-01")
    lc._wire.before = lambda name: one.update(label="prod-db") if name == "ended" else None  # type: ignore[attr-defined]
    result = changes.apply(confirm=True, on_error="continue")
    assert result.outcome.tolist() == ["done", "failed"]
    assert len(writes(box)) == 1


@pytest.mark.parametrize("shown", [("slug", "label"), ("slug",), ("label",)], ids="+".join)
def test_the_response_shows_another_snapshot(settings: Settings, shown: tuple[str, ...]) -> None:
    """A response that shows another snapshot than the new one does not name the new one: the listing does."""
    box = sandbox()
    lc = client(box, settings)
    changes = lc.create_snapshot(of="web-01", label="kept")
    original, old = box.handle, box.world.snapshots[0]

    def handle(request: Any) -> Any:
        reply = original(request)
        if request.method != "POST":
            return reply
        document = json.loads(reply.body)
        document["data"].update({name: old[name] for name in shown})
        return replace(reply, body=json.dumps(document).encode())

    box.handle = handle  # type: ignore[method-assign]
    result = changes.apply(confirm=True)
    new = next(each["slug"] for each in box.world.snapshots if each["label"] == "kept")
    assert (result.outcome.tolist(), result.identifier.tolist()) == (["done"], [new])
