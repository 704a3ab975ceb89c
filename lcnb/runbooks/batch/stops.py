"""Stop flags of a batch: whether running rows must end, and whether a row may still start.

The flags are kept in this process (LocalStop), as files of a shared folder (FolderStop), or on a Dask scheduler
(`cluster`).
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lcnb.errors import RunError


class BatchStop(Protocol):
    """What a row's process asks before it starts and while it runs."""

    def is_requested(self) -> bool:
        """Return whether running rows must end."""

    def request_stop(self) -> None:
        """Make running rows end and keep other rows from starting."""

    def claim_row(self, row: int) -> bool:
        """Mark a row as started; return False if it must not start, because it was started before or the batch ends."""

    def is_row_started(self, row: int) -> bool:
        """Return whether a row has started, as far as these flags know."""


class LocalStop:
    """Flags within this process: `stop` ends running rows with SIGTERM, `now` kills them."""

    def __init__(self) -> None:
        self.stop, self.now = threading.Event(), threading.Event()

    def is_requested(self) -> bool:
        """Return whether running rows must end."""
        return self.stop.is_set()

    def request_stop(self) -> None:
        """Make running rows end and keep other rows from starting."""
        self.stop.set()

    def claim_row(self, row: int) -> bool:
        """Return whether the row may start; within one process no row is started twice."""
        return not self.stop.is_set()

    def is_row_started(self, row: int) -> bool:
        """Return False: the future of a thread knows it, and refuses to be cancelled."""
        return False


@dataclass(frozen=True)
class FolderStop:
    """Flags as files of a folder that all workers share: `stop`, and one file per started row.

    An executor may repeat a task when its worker is lost. The runbook may have changed something by then, so a row
    never starts twice.
    """

    folder: Path

    def is_requested(self) -> bool:
        """Return whether running rows must end."""
        return (self.folder / "stop").exists()

    def request_stop(self) -> None:
        """Make running rows end and keep other rows from starting."""
        (self.folder / "stop").touch(mode=0o600)

    def claim_row(self, row: int) -> bool:
        """Mark a row as started and return whether it may start. RunError when this worker cannot know it."""
        if self.is_requested():
            return False
        try:
            os.close(os.open(self._row_flag(row), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            raise RunError(
                f"this worker cannot find out whether the row was started before: {self.folder}: {error.strerror}. "
                "It was not started. The workers of an executor need the batch's folder on a shared disk (folder=, "
                "LCNB_RUNS_DIR); the workers of a Dask cluster do not."
            ) from None
        return not self.is_requested()  # who requests a stop looks at the flags after it

    def is_row_started(self, row: int) -> bool:
        """Return whether a worker has marked the row as started."""
        return self._row_flag(row).exists()

    def _row_flag(self, row: int) -> Path:
        return self.folder / f"{row:04}"
