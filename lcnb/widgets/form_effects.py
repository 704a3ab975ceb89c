"""What a form requests from its runner: load choices, build a ChangeSet, apply it, start a run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.secret import Secret
from lcnb.widgets.form_fields import FieldValues, FormField

if TYPE_CHECKING:
    pass


# --- effects: what is to be done outside ----------------------------------------------------------------


@dataclass(frozen=True)
class LoadChoices:
    """Read the choices of a field; answer by `loaded` or `refused`."""

    field: FormField
    values: FieldValues
    turn: int


@dataclass(frozen=True)
class BuildChanges:
    """Make the ChangeSet; answer by `built` or `refused`."""

    values: FieldValues
    secrets: Mapping[str, Secret]
    turn: int


@dataclass(frozen=True)
class ApplyChanges:
    """Apply a ChangeSet, or resume one (`changes` is None); answer by `progressed`, `finished` or `failed`."""

    changes: ChangeSet | None
    changeset: str
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    #: The one that was stopped, and may still be at it: it ends first.
    after: threading.Event | None = None


@dataclass(frozen=True)
class StartRun:
    """Run a runbook, make what its dry run in `plan` planned, or settle a run in `resumes` and go on with it.

    Answer by `cell`, `run_ended` or `run_failed`.
    """

    given: FieldValues
    #: How the run is told to end (`lcnb.runbooks.batch.stops.LocalStop`).
    stop: Any
    plan: Path | None = None
    resumes: Path | None = None

    @property
    def dry(self) -> bool:
        """Whether it is one that changes nothing."""
        return self.plan is None and self.resumes is None


Effect = LoadChoices | BuildChanges | ApplyChanges | StartRun
Effects = tuple[Effect, ...]
