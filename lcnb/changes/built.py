"""`BuiltChanges`: the result of building, and how several builds become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from lcnb.api.flows import Flow
from lcnb.api.models import Instance
from lcnb.changes.change import Change
from lcnb.changes.reading import ReadCache, find_instance


class FixedDifference(str):
    """The note that a machine differs in something that cannot be changed in place; its facts are attributes.

    >>> note = FixedDifference("web-01", "it is at MIA1, not at NYC1")
    >>> str(note)
    'web-01 cannot be changed in place: it is at MIA1, not at NYC1'
    >>> note.label
    'web-01'
    """

    label: str | None
    reason: str

    def __new__(cls, label: str | None, reason: str) -> Self:
        """Build the text of the note from its facts."""
        note = super().__new__(cls, f"{label} cannot be changed in place: {reason}")
        note.label, note.reason = label, reason
        return note


@dataclass(frozen=True)
class BuiltChanges:
    """Changes, and notes about what was left out, each with its reason."""

    changes: list[Change]
    notes: list[str] = field(default_factory=list)
    #: What is as wanted already: identifier → what was wanted. It is only certain while no change of it is open.
    as_wanted: dict[str, str] = field(default_factory=dict)

    def add(self, part: BuiltChanges) -> None:
        """Add everything of another part."""
        self.changes.extend(part.changes)
        self.notes.extend(part.notes)
        self.as_wanted.update(part.as_wanted)


#: Builds the changes of one machine.
MachineWork = Callable[[Instance], "BuiltChanges | Flow[BuiltChanges]"]


def satisfied_action(machine: Instance, action: str) -> dict[str, str]:
    """Return the `as_wanted` entry of a machine that needs no change."""
    return {machine.identifier: f"{action} {machine.label}"} if machine.identifier else {}


def change_machine(
    cache: ReadCache, identifier: str | None, label: str | None, work: MachineWork
) -> Flow[BuiltChanges]:
    """Build a change of one machine, found by its identifier or its label."""
    machine = yield from find_instance(cache, identifier, label)
    return (yield from change_machines([machine], work))


def change_machines(machines: Sequence[Instance], work: MachineWork) -> Flow[BuiltChanges]:
    """Build the same change of several machines."""
    return (yield from combine_builds(_build_machine(machine, work) for machine in machines))


def _build_machine(machine: Instance, work: MachineWork) -> Flow[BuiltChanges]:
    built = work(machine)
    return built if isinstance(built, BuiltChanges) else (yield from built)


def combine_builds(parts: Iterable[Flow[BuiltChanges]]) -> Flow[BuiltChanges]:
    """Run several builds and return their changes as one."""
    built = BuiltChanges([])
    for flow in parts:
        part = yield from flow
        built.add(part)
    return built
