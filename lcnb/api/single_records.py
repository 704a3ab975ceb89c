"""Flows that read one typed record, or one fact of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from lcnb.api import queries
from lcnb.api.calls import Call, get_instance
from lcnb.api.fields import Record
from lcnb.api.flows import Envelope, Flow
from lcnb.api.models import Instance
from lcnb.api.record_reader import read_record
from lcnb.errors import ConfirmationMissing, InputError, NotFound
from lcnb.flags import NOTHING_SENT, checked_flag
from lcnb.names import same_name
from lcnb.secret import Secret
from lcnb.suggestions import did_you_mean

R = TypeVar("R", bound=Record)


def read_typed(model: type[R], record: Flow[Mapping[str, Any]]) -> Flow[R]:
    """Return the record that a flow reads as a typed object."""
    return read_record(model, (yield from record), "$.data", [])


def find_instance(identifier: str | None, label: str | None) -> Flow[Instance]:
    """Return the machine with this identifier, or the only one with this label.

    Raises InputError unless exactly one of them is given, and if several machines have the label; NotFound if no
    machine matches.
    """
    if (identifier is None) == (label is None):
        raise InputError(f"pass the identifier of a machine, or label=..., one of the two. {NOTHING_SENT}")
    if identifier is not None:
        return (yield from read_typed(Instance, queries.read_instance(identifier)))
    listing = yield from queries.list_instances()
    machines = [read_record(Instance, record, "$.data", []) for _, record in listing.records]
    return _only_match(machines, label)


def _only_match(machines: list[Instance], label: str | None) -> Instance:
    matches = [machine for machine in machines if same_name(machine.label, label)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        identifiers = ", ".join(machine.identifier or "still building" for machine in matches)
        raise InputError(
            f"{len(matches)} machines have the label {label!r}: {identifiers}. Pass an identifier."
        )
    suggestion = did_you_mean(str(label), [machine.label for machine in machines if machine.label])
    raise NotFound(f"no machine has the label {label!r}{suggestion}", method="GET", path="/instances")


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
