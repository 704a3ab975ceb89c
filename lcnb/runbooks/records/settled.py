"""Read runs whose ends are known: those whose process was killed are settled first (`abandoned`).

The folder of a store is brought up to date before: `refresh_runs`.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.errors import InputError, StoreError, StoreWarning
from lcnb.folders import store_url
from lcnb.runbooks.records.run_record import RunRecord, read_run, read_runs

if TYPE_CHECKING:
    from lcnb.runbooks.records.mirror import Mirror


def read_settled_runs(folder: Path) -> list[RunRecord]:
    """Read all runs of a runs folder, the newest first; abandoned ones are settled before.

    InputError when the folder cannot be read.
    """
    refresh_runs(folder)
    found = read_runs(folder)
    return read_runs(folder) if _settle_abandoned(folder, found) else found


def read_settled_run(folder: Path) -> RunRecord:
    """Read the run in `folder`, and settle it before when it is abandoned."""
    refresh_runs(folder.parent)
    found = read_run(folder)
    return read_run(folder) if _settle_abandoned(folder.parent, [found]) else found


def settle_abandoned_runs(folder: Path) -> None:
    """Settle the abandoned runs of a runs folder. Raises nothing, so that reading never fails."""
    with suppress(InputError):
        read_settled_runs(folder)


def fetch_run_files(run: RunRecord) -> RunRecord:
    """Read the files of a run from its store, unless they are here; return the run. A missing store is reported."""
    if mirror := find_mirror(run.folder.parent):
        try:
            mirror.pull_files(run.id)
        except (StoreError, OSError) as error:
            _report(error, f"The files of {run.id} that are here may not be all.")
    return run


def share_approval(run: RunRecord) -> None:
    """Upload the approval of a planned run to its store, where other machines find it.

    Raises StoreError when that fails: then the approval is only on this machine.
    """
    if mirror := find_mirror(run.folder.parent):
        try:
            mirror.push_approval(run.id)
        except StoreError as error:
            raise error.restate(
                cure=f"The approval is only on this machine. Repeat: lcnb approve {run.id}"
            ) from None


def refresh_runs(folder: Path) -> None:
    """Read what is new in the store of a runs folder, and settle runs whose heartbeat has stopped.

    A store that does not answer is reported, and the runs are those that were known here before.
    """
    mirror = find_mirror(folder)
    if mirror is None:
        return
    from lcnb.runbooks.records import abandoned

    try:
        for run, last in mirror.pull_records().items():
            abandoned.settle_silent_run(mirror, run, last)
    except (StoreError, OSError) as error:
        _report(error, "The runs are those that were known on this machine before.")
        return
    _settle_abandoned(folder, read_runs(folder))
    for run in mirror.begun_runs():
        with suppress(StoreError, OSError):  # it stays pending, and `lcnb runs push` says why
            mirror.push_run(run)


def find_mirror(folder: Path) -> Mirror | None:
    """Return the store that a runs folder belongs to; None for an ordinary folder. ConfigError as in `open_store`."""
    if store_url(folder) is None:
        return None
    from lcnb.runbooks.records.mirror import mirror_of  # loads what an ordinary folder does not need

    return mirror_of(folder)


def _report(error: StoreError | OSError, consequence: str) -> None:
    problem = error.statement if isinstance(error, StoreError) else str(error)
    warnings.warn(f"{problem.rstrip('.')}. {consequence}", StoreWarning, stacklevel=4)


def _settle_abandoned(folder: Path, found: list[RunRecord]) -> bool:
    """Settle the runs of a folder when one of those that were found is abandoned; return whether one is."""
    if not any(run.is_abandoned for run in found):
        return False
    from lcnb.runbooks.records import abandoned  # loads the journal, which most readers do not need

    abandoned.settle_runs(folder)
    return True
