"""The upload of runs that have ended while their store was away: what `lcnb runs push` does."""

from __future__ import annotations

from collections.abc import Callable

from lcnb.errors import StoreError
from lcnb.runbooks.records.mirror import Mirror


def push_runs(
    mirror: Mirror, pending: list[str], on_end: Callable[[str, StoreError | OSError | None], None]
) -> int:
    """Upload runs, and return how many were not uploaded.

    `on_end` gets the id of each run, and the reason why it was not uploaded. An interrupt has a note that says what was
    uploaded, and the next step.
    """
    uploaded = 0
    try:
        for run in pending:
            error = _push_run(mirror, run)
            uploaded += error is None
            on_end(run, error)
    except (KeyboardInterrupt, SystemExit) as stop:
        stop.add_note(
            f"uploaded: {uploaded} of {len(pending)} runs. The others are whole on this machine; a run that was copied "
            "in part is not shown elsewhere as ended. To go on: lcnb runs push"
        )
        raise
    return len(pending) - uploaded


def _push_run(mirror: Mirror, run: str) -> StoreError | OSError | None:
    try:
        mirror.push_run(run)
    except (StoreError, OSError) as error:
        return error
    return None
