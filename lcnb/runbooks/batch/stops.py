"""Stop flags of a batch: whether it is being stopped, and whether a row may still begin.

They exist within one process (LocalStop), as files of a shared folder (FolderStop), and on a Dask scheduler (`cluster`)."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lcnb.errors import RunError

if TYPE_CHECKING:
    pass


class BatchStop(Protocol):
    """Whether the batch is being stopped, and whether a row may (still) begin."""

    def asked(self) -> bool:
        """Whether running rows are to be ended."""

    def ask(self) -> None:
        """End the running rows."""

    def begin(self, row: int) -> bool:
        """Whether this row may start: False when it was started before, elsewhere."""


class LocalStop:
    """A stop within this process: `now` kills what `stop` had asked to end."""

    def __init__(self) -> None:
        self.stop, self.now = threading.Event(), threading.Event()

    def asked(self) -> bool:
        return self.stop.is_set()

    def ask(self) -> None:
        self.stop.set()

    def begin(self, row: int) -> bool:
        return not self.stop.is_set()


@dataclass(frozen=True)
class FolderStop:
    """A batch's flags as files of a folder that its workers see: that it is to stop, and which rows have begun.

    An executor may run a task again whose worker was lost; the runbook may have changed something by then.
    """

    folder: Path

    def asked(self) -> bool:
        return (self.folder / "stop").exists()

    def ask(self) -> None:
        (self.folder / "stop").touch(mode=0o600)

    def begin(self, row: int) -> bool:
        """Whether the row had not begun anywhere; from now on it has. RunError where that cannot be known."""
        if self.asked():
            return False
        try:
            os.close(os.open(self.folder / f"{row:04}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            raise RunError(
                f"whether this row was begun before cannot be known on this worker: {self.folder}: {error.strerror}. "
                "It was not started. The workers of an executor need the batch's folder on a disk that they share "
                "(folder=, LCNB_RUNS_DIR); those of a Dask cluster need none."
            ) from None
        return True
