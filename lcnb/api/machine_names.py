"""The one lookup of machines by the names that people pass: a label, an identifier, or either of the two."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from lcnb.api.models import Instance
from lcnb.errors import InputError, NotFound
from lcnb.names import comparable_name
from lcnb.suggestions import did_you_mean

_NOUNS = {"either": "label or identifier", "label": "label", "identifier": "identifier"}


class MachineName(NamedTuple):
    """A name that a user passed, and what it can be."""

    text: str
    by: Literal["either", "label", "identifier"] = "either"


class MachineIndex:
    """Machines by their names. Labels are compared as people see them, identifiers exactly.

    >>> web = Instance(identifier="a1", label="web-01 ")
    >>> MachineIndex([web]).find(MachineName("web-01")) == [web]
    True
    """

    def __init__(self, machines: Iterable[Instance]) -> None:
        self._machines = list(machines)
        self._by_label: dict[str, list[int]] = {}
        self._by_identifier: dict[str, list[int]] = {}
        for place, each in enumerate(self._machines):
            self._by_label.setdefault(comparable_name(each.label), []).append(place)
            self._by_identifier.setdefault(each.identifier or "", []).append(place)

    def find(self, name: MachineName) -> list[Instance]:
        """Return the machines of a name, in their order; more than one if the name is ambiguous."""
        label = comparable_name(name.text) if name.by != "identifier" else ""
        identifier = name.text if name.by != "label" else ""
        places = {
            place
            for key, known in ((label, self._by_label), (identifier, self._by_identifier))
            if key  # a missing label or identifier is no name
            for place in known.get(key, ())
        }
        return [self._machines[place] for place in sorted(places)]


#: Machines as users name them: a label, an identifier, a record, or several of them.
MachineNames: TypeAlias = str | Instance | Iterable[str | Instance | MachineName]


def checked_name(
    machine: str | None, label: str | None, identifier: str | None, *, field: str = "machine"
) -> MachineName:
    """Return the one name among these. InputError for none, several, or one that is no text."""
    given = [
        (name, value, by)
        for name, value, by in ((field, machine, "either"), ("label", label, "label"),
                                ("identifier", identifier, "identifier"))
        if value is not None
    ]  # fmt: skip
    if len(given) != 1:
        raise _not_one_name()
    name, value, by = given[0]
    if not isinstance(value, str) or not comparable_name(value):
        raise InputError(field=name, expected=f"the {_NOUNS[by]} of a machine", value=value, not_done="sent")
    return MachineName(value, by)  # type: ignore[arg-type]


def checked_names(
    machines: MachineNames | None, label: str | None, identifier: str | None
) -> list[MachineName]:
    """Return the names that a user passed. InputError for anything else; an empty list is one without names."""
    if machines is None or isinstance(machines, str):
        return [checked_name(machines, label, identifier, field="machines")]
    if label is not None or identifier is not None:
        raise _not_one_name()
    if isinstance(machines, Instance):
        machines = [machines]
    if isinstance(machines, Mapping) or not isinstance(machines, Iterable) or hasattr(machines, "columns"):
        raise _not_names(machines)
    return [_checked_item(each) for each in machines]


def _checked_item(machine: str | Instance | MachineName) -> MachineName:
    if isinstance(machine, MachineName):
        return machine
    if isinstance(machine, Instance) and machine.identifier:
        return MachineName(machine.identifier, "identifier")
    text = machine.label if isinstance(machine, Instance) else machine
    if not isinstance(text, str) or not comparable_name(text):
        raise _not_names(machine)
    return MachineName(text)


def _not_one_name() -> InputError:
    return InputError(
        "pass one machine: its label or identifier, or label=..., or identifier=...", not_done="sent"
    )


def _not_names(value: object) -> InputError:
    frame = hasattr(value, "columns")
    return InputError(
        field="machines",
        expected="a label, an identifier, or a list of them",
        value=type(value).__name__ if frame else value,
        cure="Rows have the same methods: frame.lc.power_off()." if frame else "",
        not_done="sent",
    )


def only_machine(
    machines: Sequence[Instance],
    name: MachineName,
    *,
    unreadable: Collection[str] = (),
    not_done: str = "sent",
) -> Instance:
    """Return the only machine of this name. NotFound if there is none, InputError if there are several."""
    found = MachineIndex(machines).find(name)
    if not found:
        raise unknown_machines_error({name: ""}, machines, unreadable, not_done=not_done)
    if len(found) > 1:
        raise several_machines_error(name, found, not_done=not_done)
    return found[0]


def known_identifier(machine: Instance, *, not_done: str) -> str:
    """Return the identifier of a machine. InputError while it has none."""
    if not machine.identifier:
        raise InputError(
            f"{machine.label} is still being built and has no identifier yet",
            field="machines",
            not_done=not_done,
        )
    return machine.identifier


def several_machines_error(name: MachineName, found: Sequence[Instance], *, not_done: str) -> InputError:
    """Return the error for a name of several machines, which lists all of them."""
    several_labels = len({comparable_name(each.label) for each in found}) > 1
    texts = [
        (each.identifier or "one still being built") + (f" (label {each.label!r})" if several_labels else "")
        for each in found
    ]
    noun = "name" if name.by == "either" else name.by
    return InputError(
        f"{len(found)} machines have the {noun} {name.text!r}: {', '.join(texts)}",
        field="machines",
        value=name.text,
        cure="Pass an identifier." if not several_labels else "Pass the identifier as identifier=...",
        not_done=not_done,
    )


def unknown_machines_error(
    names: Mapping[MachineName, str],
    machines: Sequence[Instance],
    unreadable: Collection[str] = (),
    *,
    not_done: str,
) -> NotFound:
    """Return the error that lists unknown names, each with the nearest one or with the note that it has here."""
    texts: dict[str, list[str]] = {}
    has_hint = False
    for name, note in names.items():
        hint = f" ({note})" if note else did_you_mean(name.text, _known_names(machines, name.by))
        has_hint = has_hint or bool(hint)
        texts.setdefault(_NOUNS[name.by], []).append(f"{name.text!r}{hint}")
    clauses = [f"no machine has the {noun} {'; '.join(some)}" for noun, some in texts.items()]
    damage = f". A part of the listing cannot be read: {next(iter(unreadable))}" if unreadable else ""
    return NotFound(
        f"{', and '.join(clauses)}{damage}",
        cure="" if has_hint else "lc.instances() or `lcnb instances` lists all machines.",
        method="GET",
        path="/instances",
        not_done=not_done,
    )


def _known_names(machines: Sequence[Instance], by: str) -> list[str]:
    labels = [each.label for each in machines if each.label and by != "identifier"]
    return labels + [each.identifier for each in machines if each.identifier and by != "label"]
