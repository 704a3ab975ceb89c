"""`RefusedMachine`: a machine that cannot be changed now, as an error and a note hold it."""

from __future__ import annotations

from typing import NamedTuple


class RefusedMachine(NamedTuple):
    """A machine that cannot be changed now, and why. `kind` is the reason as one word, for programs:

    `busy`, `building`, `suspended`, `protected`, `no identifier`, `plan`, `disk`, `state`, `location`.
    """

    label: str | None
    identifier: str | None
    reason: str
    kind: str

    @property
    def name(self) -> str:
        """The label, or the identifier of a machine without one."""
        return self.label or self.identifier or "a machine without a name"

    @property
    def skippable(self) -> bool:
        """Whether `skip_busy` leaves the machine out: it is busy, still being built, or suspended."""
        return self.kind in ("busy", "building", "suspended")
