"""`BuiltChanges`: the result of building, and how several builds become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from lcnb.api.flows import Flow
from lcnb.api.machine_names import MachineName
from lcnb.api.models import Instance
from lcnb.changes.change import Change
from lcnb.changes.reading import ReadCache, find_instances
from lcnb.changes.refusals import LeftOut, refusal
from lcnb.errors import ChangesRefused
from lcnb.refused_machine import RefusedMachine


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
    #: Machines that cannot be changed now. The client raises one error that lists them.
    refused: list[RefusedMachine] = field(default_factory=list)

    def add(self, part: BuiltChanges) -> None:
        """Add everything of another part."""
        self.changes.extend(part.changes)
        self.notes.extend(part.notes)
        self.as_wanted.update(part.as_wanted)
        self.refused.extend(part.refused)

    def leave_out_busy(self) -> None:
        """Turn refused machines that are busy, being built or suspended into notes. The others stay refused."""
        self.notes.extend(LeftOut(each) for each in self.refused if each.skippable)
        self.refused[:] = [each for each in self.refused if not each.skippable]


#: Builds the changes of one machine.
MachineWork = Callable[[Instance], "BuiltChanges | Flow[BuiltChanges]"]


def satisfied_action(machine: Instance, action: str) -> dict[str, str]:
    """Return the `as_wanted` entry of a machine that needs no change."""
    return {machine.identifier: f"{action} {machine.label}"} if machine.identifier else {}


def change_named_machines(
    cache: ReadCache, names: Sequence[MachineName], work: MachineWork, *, skip_busy: bool = False
) -> Flow[BuiltChanges]:
    """Build the same change of the machines of these names, in their order."""
    machines = yield from find_instances(cache, names)
    return (yield from change_machines(machines, work, skip_busy=skip_busy))


def change_machines(
    machines: Sequence[Instance], work: MachineWork, *, skip_busy: bool = False
) -> Flow[BuiltChanges]:
    """Build the same change of several machines; `.refused` lists those that cannot be changed now.

    `skip_busy`: leave out, with a note, the machines that are busy, being built or suspended.
    """
    built = yield from combine_builds(collect_refusals(_build_machine(each, work)) for each in machines)
    if skip_busy:
        built.leave_out_busy()
    return built


def collect_refusals(build: Flow[BuiltChanges]) -> Flow[BuiltChanges]:
    """Run a build; where it refuses a machine, return the refusal instead of raising it."""
    try:
        return (yield from build)
    except ChangesRefused as error:
        return BuiltChanges([], refused=list(error.refused))


def _build_machine(machine: Instance, work: MachineWork) -> Flow[BuiltChanges]:
    if not machine.identifier:
        building = machine.state in ("building", "busy")
        reason = "still being built, without an identifier yet" if building else "without an identifier"
        raise refusal(machine, "building" if building else "no identifier", reason)
    built = work(machine)
    return built if isinstance(built, BuiltChanges) else (yield from built)


def combine_builds(parts: Iterable[Flow[BuiltChanges]]) -> Flow[BuiltChanges]:
    """Run several builds and return their changes as one."""
    built = BuiltChanges([])
    for flow in parts:
        part = yield from flow
        built.add(part)
    return built
