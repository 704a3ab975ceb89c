"""What a form requests from its runner: load choices, build a ChangeSet, apply it, start a run, save facts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lcnb.changes.changeset import ChangeSet
from lcnb.secret import Secret
from lcnb.widgets.form_fields import FieldValues, FormField


@dataclass(frozen=True)
class LoadChoices:
    """Read the choices of a field; report them by `Form.choices_loaded`, or the error by `Form.effect_refused`."""

    field: FormField
    values: FieldValues
    turn: int


@dataclass(frozen=True)
class BuildChanges:
    """Build the ChangeSet; report it by `Form.changes_built`, or the error by `Form.effect_refused`."""

    values: FieldValues
    secrets: Mapping[str, Secret]
    turn: int


@dataclass(frozen=True)
class ApplyChanges:
    """Apply a ChangeSet, or resume one (`changes` is None).

    Report by `Form.apply_progressed`, `apply_finished` or `apply_failed`.
    """

    changes: ChangeSet | None
    changeset: str
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    #: The end of an earlier apply that was stopped and may still be running: wait for it first.
    after: threading.Event | None = None


@dataclass(frozen=True)
class StartRun:
    """Run a runbook, apply the plan of the dry run in `plan`, or resume the broken run in `resumes`.

    Report by `RunForm.cell_started`, `run_ended` or `run_failed`.
    """

    given: FieldValues
    #: Ends the run when it is set (`lcnb.runbooks.batch.stops.LocalStop`).
    stop: Any
    plan: Path | None = None
    resumes: Path | None = None

    @property
    def is_dry(self) -> bool:
        """Whether this run changes nothing."""
        return self.plan is None and self.resumes is None


@dataclass(frozen=True)
class EditFacts:
    """Save facts about machines; report it by `FactsForm.facts_saved` or `facts_refused`."""

    values: FieldValues


Effect = LoadChoices | BuildChanges | ApplyChanges | StartRun | EditFacts
Effects = tuple[Effect, ...]
