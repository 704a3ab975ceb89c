"""The actions on machines: create, delete, power on and off, shut down, reboot, reset password, change plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lcnb.api import calls
from lcnb.api.flows import Flow
from lcnb.api.models import Instance, Plan
from lcnb.api.passwords import new_password
from lcnb.changes.actions.base import (
    ABSENT,
    BUSY,
    SHOWN,
    Action,
    Evidence,
    MachineAction,
    MonthlyCost,
    SimilarChanges,
    check_not_busy,
    check_ready,
)
from lcnb.changes.built import BuiltChanges, satisfied_action
from lcnb.changes.change import Change
from lcnb.changes.live_account import LiveAccount
from lcnb.changes.lookups import find_current_price, find_image, find_location, find_plan, find_sshkey
from lcnb.changes.machine_specs import MachineSpec
from lcnb.changes.name_rules import NOTHING_SENT
from lcnb.changes.reading import ListedMachines, ReadCache
from lcnb.changes.refusals import refusal
from lcnb.changes.tasks import ChangeTask, command_to_wait, machine_command
from lcnb.errors import InputError
from lcnb.facts.connection import Connection, read_connection, ssh_command
from lcnb.facts.machine_facts import tag_values
from lcnb.facts.wishes import describe_wish
from lcnb.names import lookalike_form, same_name
from lcnb.secret import Secret

_CREATE_FIELDS = ("location_slug", "plan_slug", "hostname", "label", "image_slug", "ssh_slug", "password")


class CreateInstance(Action):
    """Make a machine. Its label must be free before, and identifies it afterwards."""

    name = "create instance"
    kind = "instance"
    goal = "ready"
    creates = True

    def build(self, cache: ReadCache, spec: MachineSpec, there: ListedMachines) -> Flow[Change]:
        """Build the change from a checked spec; its label must be free in `there`."""
        label, hostname = spec.label, spec.hostname
        if there.machines_named(label):
            raise InputError(
                f"label {label!r}: a machine of this label exists, and the provider would make a second one. Choose "
                f"another label. {NOTHING_SENT}"
            )
        there.check_free(label)
        location = yield from find_location(cache, spec.location, for_new=True)
        plan = yield from find_plan(cache, location, spec.plan)
        image = yield from find_image(cache, location, spec.image)
        body: dict[str, Any] = {
            "location_slug": location,
            "plan_slug": plan.slug,
            "hostname": hostname,
            "label": label,
            "image_slug": image.slug,
        }
        if spec.ssh_key is not None:
            body["ssh_slug"] = (yield from find_sshkey(cache, spec.ssh_key)).slug
        if spec.password is not None:
            body["password"] = spec.password
        elif spec.ssh_key is None:
            body["password"] = Secret(new_password())
        cost = MonthlyCost(0.0, plan.monthly_value, plan.currencycode)
        return Change(
            self.name,
            label,
            calls.create_instance(body),
            None,
            "",
            "; ".join(filter(None, [f"{plan.slug} at {location}, {image.slug}", describe_wish(spec.facts)])),
            *cost,
            expect={"hostname": hostname},
            made_password=spec.password is None and "password" in body,
            facts=spec.facts,
        )

    def request_of(self, change: Change) -> calls.Call:
        """Return the request with the fields that a create has."""
        given = change.call.body or {}
        body = {name: given[name] for name in _CREATE_FIELDS if name in given}
        return calls.create_instance({**body, "label": change.target, "hostname": change.expect["hostname"]})

    def known_identifiers(self, change: Change, live: LiveAccount) -> frozenset[str]:
        """Return the machines that could be taken for the new one: a similar label, or its hostname."""
        return frozenset(
            each.identifier
            for each in live.records_of("instance")
            if each.identifier and _resembles(change, each)
        )

    def find_drift(self, change: Change, live: LiveAccount, *, label_only: bool = False) -> str:
        """Return a problem unless it is certain that the label is free."""
        if live.machines.machines_named(change.target):
            return f"a machine with the label {change.target!r} exists"
        hidden = live.machines.hiding_place(change.target)
        return (
            f"a machine with the label {change.target!r} may exist, because a part of the listing cannot be read: "
            f"{hidden}"
            if hidden
            else ""
        )

    def find_evidence(self, task: ChangeTask, live: LiveAccount, similar: SimilarChanges) -> Evidence:
        """Look for machines with the label and hostname that were not there before.

        Where another machine may be the new one, nobody knows whether it was made, and it must not be made again.
        """
        new = _new_machines(task, live)
        if not new:
            doubt = _possible_machine(task, live)
            return Evidence("doubtful", None, doubt) if doubt else ABSENT
        if len(new) == 1:
            task.note_machine(new[0])
            return Evidence("shown", new[0].identifier) if new[0].identifier else Evidence("unnamed")
        names = [each.identifier or "one still without identifier" for each in new]
        detail = f"{len(new)} machines were made: {', '.join(names)}. Keep one, and delete the others by identifier"
        return Evidence("twins", names[0], detail)

    def goal_state(self, change: Change, record: Any) -> tuple[bool, str]:
        """Check that the machine runs and has an address."""
        return bool(record.state == "running" and record.ip_addresses), str(record.state)

    def next_step(self, task: ChangeTask) -> str:
        """Return how to log in, or how to wait until that is possible."""
        return f"{_login(task)} {_create_credential(task)}"


def _login(task: ChangeTask) -> str:
    """Return the ssh command of a machine, after how to wait while it is being built."""
    label, address = task.change.target, task.address
    ssh = ssh_command(address or "ADDRESS", _wished_connection(task.change))
    if address and task.machine_state not in (None, "building"):
        return f"{label}: {ssh}."
    lacks = "is still being built" if address else "has no address yet"
    return (
        f"{label} {lacks}: {command_to_wait([task])} waits until it is ready "
        f"(in Python: apply(wait={task.awaited or True!r})). "
        f"Then: {ssh}."
    )


def _wished_connection(change: Change) -> Connection:
    """Return what the tags of a new machine say about reaching it; nothing for tags that cannot be used."""
    try:
        return read_connection(tag_values(change.facts.get("tags", "")))
    except InputError:
        return Connection()


def _create_credential(task: ChangeTask) -> str:
    """Return with which key or password people log in to a new machine."""
    body = task.change.call.body or {}
    if "ssh_slug" not in body:
        return _password_place(task)
    key = f"Log in with the private key of {body['ssh_slug']}."
    return key if "password" not in body else f"{key} {_password_place(task)}"


def _password_place(task: ChangeTask) -> str:
    """Return where the root password is, and how to see it once."""
    if not (task.change.made_password or task.renewed):
        return "The root password is the one that you set."
    shown = f"{machine_command('reveal', [task])} or lc.reveal({task.change.target!r}).reveal() shows it"
    return f"lcnb generated the root password, and the provider stores it: {shown}."


def _new_machines(task: ChangeTask, live: LiveAccount) -> list[Instance]:
    """Return the machines that a create has made: its label, its hostname, and not there before."""
    return [
        each
        for each in live.records_of("instance")
        if same_name(each.label, task.change.target)
        and (each.hostname is None or _has_hostname(task.change, each))
        and (each.identifier or "") not in task.known
    ]


def _possible_machine(task: ChangeTask, live: LiveAccount) -> str:
    """Return what may be the machine of a create that no listing shows under its label and hostname; "" for nothing.

    The provider may store a label or hostname in another form than it was sent.
    """
    for each in live.records_of("instance"):
        if _resembles(task.change, each) and (each.identifier or "") not in task.known:
            name = each.identifier or "a machine that is still being built"
            return f"{name} is new and may be this one: its label is {each.label!r}, its hostname {each.hostname!r}"
    hidden = live.machines.hiding_place(task.change.target)
    return f"It may be in a part of the listing that cannot be read: {hidden}" if hidden else ""


def _resembles(change: Change, machine: Instance) -> bool:
    """Whether a machine can be the one that a create makes, by its label or by its hostname."""
    label = lookalike_form(machine.label)
    return bool(label and label == lookalike_form(change.target)) or _has_hostname(change, machine)


def _has_hostname(change: Change, machine: Instance) -> bool:
    """Whether a machine has the hostname of a create. A provider may add a domain, and case means nothing."""
    wanted = str(change.expect.get("hostname") or "").lower()
    found = (machine.hostname or "").lower()
    return bool(wanted) and (found == wanted or found.startswith(f"{wanted}."))


class DeleteInstance(MachineAction):
    """Delete a machine and its disk."""

    name = "delete instance"
    irreversible = True
    refused_when_protected = True
    goal = "gone"
    deletes = True

    def request_of(self, change: Change) -> calls.Call:
        """Return the request that deletes the machine of a change."""
        return calls.delete_instance(change.identifier or "")

    def build(self, cache: ReadCache, machine: Instance) -> Flow[BuiltChanges]:
        """Build the change of a machine that is not busy."""
        check_not_busy(machine)
        _, monthly, currency, _ = yield from find_current_price(cache, machine)
        call = calls.delete_instance(machine.identifier or "")
        cost = MonthlyCost(monthly, 0.0 if monthly is not None else None, currency)
        return BuiltChanges([self.machine_change(machine, call, machine.state or "", "gone", cost=cost)])


class PowerAction(MachineAction):
    """An action that turns a machine on or off."""

    def request_for(self, identifier: str) -> calls.Call:
        """Return the request for a machine."""
        raise NotImplementedError

    def request_of(self, change: Change) -> calls.Call:
        """Return the request for the machine of a change."""
        return self.request_for(change.identifier or "")

    def build(self, machine: Instance) -> BuiltChanges:
        """Build the change of a machine; one that is in the state already is left alone, with a note."""
        check_ready(machine)
        if machine.state == self.goal:
            notes = [f"{machine.label} is {self.goal} already"]
            return BuiltChanges([], notes, satisfied_action(machine, self.name))
        return self._power_change(machine)

    def _power_change(self, machine: Instance) -> BuiltChanges:
        call = self.request_for(machine.identifier or "")
        return BuiltChanges([self.machine_change(machine, call, machine.state or "", self.goal)])

    def took_effect(self, change: Change, record: Any) -> bool:
        """Whether the machine is on or off, as asked."""
        return bool(record.state == change.after)


class PowerOn(PowerAction):
    """Turn a machine on."""

    name = "power on"
    goal = "running"

    def request_for(self, identifier: str) -> calls.Call:
        """Return the request for a machine."""
        return calls.power_on(identifier)


class PowerOff(PowerAction):
    """Turn a machine off at once, without asking its system."""

    name = "power off"
    refused_when_protected = True
    goal = "off"

    def request_for(self, identifier: str) -> calls.Call:
        """Return the request for a machine."""
        return calls.power_off(identifier)


class Shutdown(PowerAction):
    """Ask the system of a machine to stop."""

    name = "shut down"
    refused_when_protected = True
    goal = "off"

    def request_for(self, identifier: str) -> calls.Call:
        """Return the request for a machine."""
        return calls.shutdown(identifier)


class Reboot(PowerAction):
    """Restart a machine. It leaves no trace in the account, so it is never sent twice.

    A protected machine may be rebooted: it runs on afterwards, with the same data, plan and password.
    """

    name = "reboot"
    goal = "running"
    may_be_resent = False
    acceptance_suffices = True

    def request_for(self, identifier: str) -> calls.Call:
        """Return the request for a machine."""
        return calls.reboot(identifier)

    def build(self, machine: Instance) -> BuiltChanges:
        """Build the change of a machine that is not off."""
        check_ready(machine)
        if machine.state == "off":
            raise refusal(machine, "state", "off")
        return self._power_change(machine)

    def record_evidence(self, task: ChangeTask, record: Any, raw: Mapping[str, Any]) -> Evidence:
        """A busy machine is the only sign of a reboot."""
        return SHOWN if record.state == "busy" else ABSENT


class ResetPassword(MachineAction):
    """Set a new root password."""

    name = "reset password"
    irreversible = True
    refused_when_protected = True
    goal = "unlocked"
    acceptance_suffices = True

    def request_of(self, change: Change) -> calls.Call:
        """Return the request with the password of a change."""
        return calls.reset_password(change.identifier or "", (change.call.body or {})["password"])

    def build(self, machine: Instance, password: Secret | None) -> BuiltChanges:
        """Build the change with the checked password that was passed, or with a generated one."""
        check_ready(machine)
        new = password if password is not None else Secret(new_password())
        call = calls.reset_password(machine.identifier or "", new)
        change = self.machine_change(
            machine, call, "the password", "a new one", made_password=password is None
        )
        return BuiltChanges([change])

    def record_evidence(self, task: ChangeTask, record: Any, raw: Mapping[str, Any]) -> Evidence:
        """Compare the password of the listing. Where it shows none, it suffices that the machine was busy."""
        sent = (task.change.call.body or {}).get("password")
        shown = raw.get("initial_root_password")
        if shown and isinstance(sent, Secret) and sent == Secret(str(shown)):
            return SHOWN
        if record.state == "busy":
            return BUSY
        return SHOWN if task.seen_busy and not shown else ABSENT

    def goal_state(self, change: Change, record: Any) -> tuple[bool, str]:
        """Check that the machine is no longer busy."""
        return record.state != "busy", str(record.state)

    def next_step(self, task: ChangeTask) -> str:
        """Return how to log in with the new password."""
        return f"{_login(task)} {_password_place(task)}"


class ChangePlan(MachineAction):
    """Give a machine another size at the same location."""

    name = "change plan"
    refused_when_protected = True
    goal = "resized"

    def request_of(self, change: Change) -> calls.Call:
        """Return the request for the plan that a change names."""
        return calls.change_plan(change.identifier or "", change.after)

    def build(self, cache: ReadCache, machine: Instance, slug: str) -> Flow[BuiltChanges]:
        """Build the change to a plan that the location offers and whose disk is not smaller."""
        if not machine.location:
            raise refusal(
                machine, "location", "its location is missing in the listing, so its plans are unknown"
            )
        try:
            plan = yield from find_plan(cache, machine.location, slug)
        except InputError as error:  # another location may offer the plan
            raise refusal(machine, "plan", error.statement) from None
        now, monthly, currency, note = yield from find_current_price(cache, machine)
        if (machine.cpus, machine.memory, machine.total_disk_size) == (plan.core, plan.memory, plan.disk):
            notes = [f"{machine.label} is {plan.slug} already"]
            return BuiltChanges([], notes, satisfied_action(machine, self.name))
        check_ready(machine)
        _check_disk(machine, plan)
        other_currency = currency if currency != plan.currencycode else None
        change = self.machine_change(
            machine,
            calls.change_plan(machine.identifier or "", plan.slug or ""),
            now or f"unknown ({note})",
            plan.slug or "",
            cost=MonthlyCost(monthly, plan.monthly_value, plan.currencycode, other_currency),
            goal={"cpus": plan.core, "memory": plan.memory, "total_disk_size": plan.disk},
        )
        return BuiltChanges([change])

    def took_effect(self, change: Change, record: Any) -> bool:
        """Whether the machine has the size of the new plan."""
        goal = change.expect.get("goal", {})
        return bool(goal) and all(getattr(record, name) == value for name, value in goal.items())

    def goal_state(self, change: Change, record: Any) -> tuple[bool, str]:
        """Check that the machine has the new size and is no longer busy."""
        size = f"{record.cpus} CPUs, {record.memory} MB, {record.total_disk_size} GB"
        return record.state != "busy" and self.took_effect(change, record), f"{record.state}, {size}"


def _check_disk(machine: Instance, plan: Plan) -> None:
    if machine.total_disk_size and plan.disk and plan.disk < machine.total_disk_size:
        raise refusal(
            machine,
            "disk",
            f"its disk has {machine.total_disk_size} GB, the disk of {plan.slug} {plan.disk} GB, and a disk cannot "
            "shrink without losing data",
        )
