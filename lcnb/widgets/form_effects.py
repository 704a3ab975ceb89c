"""What a form requests from its runner: load choices, build a ChangeSet, apply it, start a run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.secret import Secret
from lcnb.widgets.form_fields import Field, Values

if TYPE_CHECKING:
    pass


# --- effects: what is to be done outside ----------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """Read the choices of a field; answer by `loaded` or `refused`."""

    field: Field
    values: Values
    turn: int


@dataclass(frozen=True)
class Build:
    """Make the ChangeSet; answer by `built` or `refused`."""

    values: Values
    secrets: Mapping[str, Secret]
    turn: int


@dataclass(frozen=True)
class Apply:
    """Apply a ChangeSet, or resume one (`changes` is None); answer by `progressed`, `finished` or `failed`."""

    changes: ChangeSet | None
    changeset: str
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    #: The one that was stopped, and may still be at it: it ends first.
    after: threading.Event | None = None


@dataclass(frozen=True)
class Run:
    """Run a runbook, make what its dry run in `plan` planned, or settle a run in `resumes` and go on with it.

    Answer by `cell`, `run_ended` or `run_failed`.
    """

    given: Values
    #: How the run is told to end (`lcnb.runbooks.batch.stops.Local`).
    stop: Any
    plan: Path | None = None
    resumes: Path | None = None

    @property
    def dry(self) -> bool:
        """Whether it is one that changes nothing."""
        return self.plan is None and self.resumes is None


Effect = Load | Build | Apply | Run
Effects = tuple[Effect, ...]
