"""The state of a form at one moment: its phase, and everything that a view shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.names import same_name
from lcnb.refused_machine import RefusedMachine
from lcnb.widgets.form_fields import Choice, FieldValues

if TYPE_CHECKING:
    import pandas as pd


class Phase(StrEnum):
    """The phase of a form."""

    EDIT = "edit"
    LOADING = "loading"
    CONFIRM = "confirm"
    BUSY = "busy"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


END_PHASES = (Phase.DONE, Phase.FAILED, Phase.UNKNOWN)


@dataclass(frozen=True)
class FormState:
    """Everything that a view shows. `errors` belong to fields; `notice` belongs to the whole form."""

    phase: Phase = Phase.EDIT
    values: FieldValues = field(default_factory=dict)
    #: Field → how often the form itself set its value; a view sets a control only when this number grows.
    settings: Mapping[str, int] = field(default_factory=dict)
    #: Secret field → number of characters that the form stores.
    taken: Mapping[str, int] = field(default_factory=dict)
    choices: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    loading: frozenset[str] = frozenset()
    asked: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""
    alert: bool = False
    changes: ChangeSet | None = None
    #: Text to be typed as confirmation; empty when a click is enough.
    challenge: str = ""
    typed: str = ""
    progress: tuple[int, int, str] = (0, 0, "")
    stopped: bool = False
    result: pd.DataFrame | None = None
    changeset: str = ""
    #: Machines that the last review refused, with their reasons, and those that were left out of this one.
    refused: tuple[RefusedMachine, ...] = ()
    left_out: tuple[RefusedMachine, ...] = ()
    #: How a runbook ended (`runbook_process.FinishedRun`).
    run: Any = None

    @property
    def can_confirm(self) -> bool:
        """Whether a click on the confirmation has an effect."""
        return self.phase is Phase.CONFIRM and (not self.challenge or same_name(self.typed, self.challenge))
