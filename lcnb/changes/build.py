"""The builders that clients, forms and row selections call: a flow per wish that reads, checks, and returns changes.

No builder sends a write. What can be known before is checked here: the location accepts machines, plan and image are
offered there, the hostname is valid, the label is free, the password keeps the rule, the key is one, the machine is not
busy. Each check is in the class of its action (lcnb.changes.actions); this module gathers the functions.
"""

from __future__ import annotations

from dataclasses import replace

from lcnb.api.flows import Flow
from lcnb.api.models import Instance
from lcnb.changes.actions import ACTIONS
from lcnb.changes.actions.instances import (
    ChangePlan,
    CreateInstance,
    DeleteInstance,
    PowerAction,
    ResetPassword,
)
from lcnb.changes.actions.keys import DeleteKey
from lcnb.changes.actions.keys import add_key as add_sshkey
from lcnb.changes.actions.keys import generate_key as generate_key_pair
from lcnb.changes.actions.snapshots import CreateSnapshot, DeleteSnapshot, RenameSnapshot
from lcnb.changes.built import (
    BuiltChanges,
    MachineWork,
    change_machines,
    change_named_machines,
    combine_builds,
    satisfied_action,
)
from lcnb.changes.desired_state import DESIRED_COLUMNS, desired_changes
from lcnb.changes.key_material import checked_public_key, create_key_pair, key_fingerprint, key_weakness
from lcnb.changes.machine_specs import MachineSpec, checked_spec, spec_differences
from lcnb.changes.name_rules import NOTHING_SENT, checked_hostname, checked_label, slug_of
from lcnb.changes.reading import ReadCache, find_instances, read_instances, read_machines
from lcnb.errors import InputError
from lcnb.facts.wishes import describe_wish
from lcnb.secret import Secret

__all__ = [
    "DESIRED_COLUMNS",
    "BuiltChanges",
    "MachineSpec",
    "MachineWork",
    "ReadCache",
    "add_sshkey",
    "change_machines",
    "change_named_machines",
    "change_plan",
    "change_power",
    "checked_hostname",
    "checked_label",
    "checked_public_key",
    "combine_builds",
    "create_instance",
    "create_key_pair",
    "create_snapshot",
    "delete_instance",
    "delete_snapshot",
    "delete_sshkey",
    "desired_changes",
    "ensure_instance",
    "find_instances",
    "generate_key_pair",
    "key_fingerprint",
    "key_weakness",
    "read_instances",
    "rename_snapshot",
    "reset_password",
    "slug_of",
]


def create_instance(cache: ReadCache, spec: MachineSpec) -> Flow[BuiltChanges]:
    """Build a new machine; its label must be free."""
    spec = checked_spec(spec)
    change = yield from CreateInstance().build(cache, spec, (yield from read_machines(cache)))
    return BuiltChanges([change])


def ensure_instance(cache: ReadCache, spec: MachineSpec) -> Flow[BuiltChanges]:
    """Build a new machine, or no change when a machine of this label and spec exists.

    InputError when a machine of this label exists that differs from the spec.
    """
    hostname, spec = spec.hostname, checked_spec(spec)
    same = (yield from read_machines(cache)).machines_named(spec.label)
    if not same:
        return (yield from create_instance(cache, spec))
    if len(same) > 1:
        raise InputError(
            f"{len(same)} machines have the label {spec.label!r}; which is meant? {NOTHING_SENT}"
        )
    wrong = yield from spec_differences(cache, same[0], replace(spec, hostname=hostname))
    if wrong:
        raise InputError(f"{spec.label} exists, but {'; '.join(wrong)}. {NOTHING_SENT}")
    notes = [f"{spec.label} exists already, as asked for"]
    if spec.facts:
        notes.append(
            f"{spec.label} exists, so its facts are left alone (asked for: {describe_wish(spec.facts)}); "
            "tag, protect and expire change them"
        )
    return BuiltChanges([], notes, satisfied_action(same[0], CreateInstance.name))


def delete_instance(cache: ReadCache, machine: Instance) -> Flow[BuiltChanges]:
    """Build the deletion of a machine and its disk."""
    return DeleteInstance().build(cache, machine)


def change_power(machine: Instance, action: str) -> BuiltChanges:
    """Build "power on", "power off", "shut down" or "reboot"."""
    power = ACTIONS[action]
    if not isinstance(power, PowerAction):
        raise InputError(f"action {action!r}: expected a power action. {NOTHING_SENT}")
    return power.build(machine)


def reset_password(machine: Instance, password: Secret | None) -> BuiltChanges:
    """Build a new root password: a checked one, or None for a generated one, which `reveal` returns."""
    return ResetPassword().build(machine, password)


def change_plan(cache: ReadCache, machine: Instance, slug: str) -> Flow[BuiltChanges]:
    """Build another size at the same location."""
    return ChangePlan().build(cache, machine, slug)


def create_snapshot(machine: Instance, label: str) -> BuiltChanges:
    """Build a stored image of a machine."""
    return CreateSnapshot().build(machine, label)


def rename_snapshot(cache: ReadCache, slug: str, label: str) -> Flow[BuiltChanges]:
    """Build another label of a snapshot."""
    return RenameSnapshot().build(cache, slug, label)


def delete_snapshot(cache: ReadCache, slug: str) -> Flow[BuiltChanges]:
    """Build the deletion of a snapshot."""
    return DeleteSnapshot().build(cache, slug)


def delete_sshkey(cache: ReadCache, slug: str) -> Flow[BuiltChanges]:
    """Build the deletion of a key in the account; machines that have the key keep it."""
    return DeleteKey().build(cache, slug)
