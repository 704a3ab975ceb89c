"""Machines that cannot be changed now: one error lists them with their reasons, or they are left out with a note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from lcnb.api.models import Instance
from lcnb.errors import ChangesRefused
from lcnb.names import comparable_name
from lcnb.refused_machine import RefusedMachine


class LeftOut(str):
    """The note that a machine was left out, because it cannot be changed now; `.machine` has the facts.

    >>> str(LeftOut(RefusedMachine("web-01", "a1", "busy", "busy")))
    'web-01 was left out: busy'
    """

    machine: RefusedMachine

    def __new__(cls, machine: RefusedMachine) -> Self:
        """Build the text of the note from its facts."""
        note = super().__new__(cls, f"{machine.name} was left out: {machine.reason}")
        note.machine = machine
        return note


def refusal(machine: Instance, kind: str, reason: str) -> ChangesRefused:
    """Return the error that one machine cannot be changed now. `reason` follows the label and a colon."""
    return refusal_error([RefusedMachine(machine.label, machine.identifier, reason, kind)])


#: What a person can do about one machine, by the kind of its refusal.
_CURES = {
    "busy": "Try again later.",
    "building": "Try again later.",
    "suspended": "Ask the provider's support.",
    "state": "Power it on instead.",
}


def refusal_error(refused: Sequence[RefusedMachine]) -> ChangesRefused:
    """Return one error that lists these machines. Machines with the same reason share a line."""
    if len(refused) == 1:
        cure = _CURES.get(refused[0].kind, "")
        problem = f"{_unique_name(refused[0], refused)} cannot be changed now: {refused[0].reason}"
        return ChangesRefused(problem, refused=tuple(refused), cure=cure, not_done="sent")
    by_reason: dict[str, list[str]] = {}
    for each in refused:
        by_reason.setdefault(each.reason, []).append(_unique_name(each, refused))
    lines = [f"  {', '.join(names)}: {reason}.\n" for reason, names in by_reason.items()]
    cures = []
    if any(each.skippable for each in refused):
        cures.append(
            "Leave out what is busy, being built or suspended: --skip-busy, in Python skip_busy=True."
        )
    if any(not each.skippable for each in refused):
        cures.append("Leave out the others by name, or remove the cause.")
    return ChangesRefused(
        f"{len(refused)} machines cannot be changed now:\n" + "".join(lines),
        refused=tuple(refused),
        cure=" ".join(cures),
        not_done="sent",
    )


def _unique_name(machine: RefusedMachine, others: Sequence[RefusedMachine]) -> str:
    """Return the label of a machine, with its identifier if another refused machine has the same label."""
    same = [each for each in others if comparable_name(each.label) == comparable_name(machine.label)]
    return f"{machine.name} ({machine.identifier})" if len(same) > 1 and machine.label else machine.name
