"""Flows that read one typed record, or one fact of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from lcnb.api import queries
from lcnb.api.calls import Call, get_instance
from lcnb.api.fields import Record
from lcnb.api.flows import Envelope, Flow
from lcnb.api.machine_names import MachineName, known_identifier, only_machine
from lcnb.api.models import Instance
from lcnb.api.record_reader import read_record
from lcnb.errors import ConfirmationMissing, NotFound
from lcnb.flags import NOTHING_SENT, checked_flag
from lcnb.secret import Secret

R = TypeVar("R", bound=Record)


def read_typed(model: type[R], record: Flow[Mapping[str, Any]]) -> Flow[R]:
    """Return the record that a flow reads as a typed object."""
    return read_record(model, (yield from record), "$.data", [])


def find_instance(name: MachineName) -> Flow[Instance]:
    """Return the only machine of this name; an identifier that is known to be one needs no listing.

    Raises InputError if several machines have the name, NotFound if no machine has it.
    """
    if name.by == "identifier":
        return (yield from read_typed(Instance, queries.read_instance(name.text)))
    listing = yield from queries.list_instances()
    machines = [read_record(Instance, record, "$.data", []) for _, record in listing.records]
    unreadable = [f"{each.path}: {each.problem}" for each in listing.drift]
    return only_machine(machines, name, unreadable=unreadable, not_done="")


def find_initial_password(name: MachineName) -> Flow[Secret]:
    """Return the initial root password of the only machine of this name. Errors as `find_instance`."""
    if name.by == "identifier":
        return (yield from read_initial_password(name.text))
    machine = yield from find_instance(name)
    return (yield from read_initial_password(known_identifier(machine, not_done="sent")))


def read_initial_password(identifier: str) -> Flow[Secret]:
    """Return the initial root password of a machine; raise NotFound if the provider does not return one."""
    record = yield from queries.read_instance(identifier)
    password = record.get("initial_root_password")
    if not isinstance(password, str) or not password:
        raise NotFound(
            f"the provider returns no initial password of {identifier}: the machine was created with only an ssh key, "
            "or it is still being built. A reset-password sets a new one.",
            method="GET",
            path=get_instance(identifier).path,
        )
    return Secret(password)


def send_confirmed(call: Call, confirm: bool) -> Flow[Mapping[str, Any]]:
    """Send a call and return the whole JSON document; raise ConfirmationMissing for a write without `confirm`."""
    if not checked_flag("confirm", confirm) and call.effect != "read":
        raise ConfirmationMissing(
            f"{call.method} {call.path} changes the account: pass confirm=True. {NOTHING_SENT}"
        )
    envelope: Envelope = yield call
    return envelope.document
