"""Read runs whose ends are known: those whose process was killed are settled first (`abandoned`)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lcnb.errors import InputError
from lcnb.runbooks.records.run_record import RunRecord, read_run, read_runs


def read_settled_runs(folder: Path) -> list[RunRecord]:
    """Read all runs of a runs folder, the newest first; abandoned ones are settled before.

    InputError when the folder cannot be read.
    """
    found = read_runs(folder)
    return read_runs(folder) if _settle_abandoned(folder, found) else found


def read_settled_run(folder: Path) -> RunRecord:
    """Read the run in `folder`, and settle it before when it is abandoned."""
    found = read_run(folder)
    return read_run(folder) if _settle_abandoned(folder.parent, [found]) else found


def settle_abandoned_runs(folder: Path) -> None:
    """Settle the abandoned runs of a runs folder. Raises nothing, so that reading never fails."""
    with suppress(InputError):
        _settle_abandoned(folder, read_runs(folder))


def _settle_abandoned(folder: Path, found: list[RunRecord]) -> bool:
    """Settle the runs of a folder when one of those that were found is abandoned; return whether one is."""
    if not any(run.is_abandoned for run in found):
        return False
    from lcnb.runbooks.records import abandoned  # loads the journal, which most readers do not need

    abandoned.settle_runs(folder)
    return True
