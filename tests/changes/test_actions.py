"""An action is one class: the registry, and what a new action needs."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import lcnb
from benchmarks.virtual import client
from conftest import TOKEN
from lcnb.api.calls import Call
from lcnb.api.models import Instance
from lcnb.changes.actions import ACTIONS
from lcnb.changes.actions.base import MachineAction, check_ready
from lcnb.changes.built import BuiltChanges
from lcnb.changes.change import Change
from lcnb.config import Settings
from lcnb.sandbox import Clock, Sandbox, World


def test_registry() -> None:
    """Plan files and the journal name these actions; each class has a docstring, a build or a builder, and one kind."""
    assert list(ACTIONS) == [
        "create instance", "delete instance", "power on", "power off", "shut down", "reboot", "reset password",
        "change plan", "add ssh key", "replace ssh key", "generate ssh key", "delete ssh key", "create snapshot",
        "rename snapshot", "delete snapshot",
    ]  # fmt: skip
    for action in ACTIONS.values():
        assert inspect.getdoc(type(action))
        assert {action.kind, action.target_kind} <= {"instance", "sshkey", "snapshot"}


def test_what_is_never_sent_twice() -> None:
    """A reboot leaves no trace, so it is never sent again; deletes prove themselves by an absence."""
    assert [name for name, action in ACTIONS.items() if not action.may_be_resent] == ["reboot"]
    assert {name for name, action in ACTIONS.items() if action.deletes} == {
        "delete instance",
        "delete ssh key",
        "delete snapshot",
    }


class Rebuild(MachineAction):
    """Stand-in for an action that a later release adds."""

    name = "rebuild"
    irreversible = True
    goal = "off"

    def build(self, machine: Instance) -> BuiltChanges:
        """Build the change of a machine that is ready."""
        check_ready(machine)
        path = f"/instances/{machine.identifier}/power-off"
        call = Call("PUT", path, "rebuild the instance", "set")
        return BuiltChanges([self.machine_change(machine, call, machine.state or "", "off")])

    def took_effect(self, change: Change, record: Any) -> bool:
        """Whether the machine is off."""
        return bool(record.state == "off")


def test_a_new_action_is_one_class(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its class in the registry, an action is previewed, confirmed, applied, settled and waited for."""
    monkeypatch.setitem(ACTIONS, Rebuild.name, Rebuild())
    lc = client(Sandbox(World(Clock(0), fleet=5), TOKEN), settings)
    built = Rebuild().build(lc.instance(label="web-01"))
    changes = lcnb.ChangeSet(built.changes, lc)

    assert changes.challenge == "web-01"
    result = changes.apply(confirm=True, wait=True)
    assert result[["action", "outcome"]].values.tolist() == [["rebuild", "done"]]
    assert lc.instance(label="web-01").state == "off"
