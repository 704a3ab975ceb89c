"""The upload of runs that have ended while their store was away: what `lcnb runs push` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lcnb.errors import StoreError, StoreUnavailable
from lcnb.runbooks.records.mirror import Mirror


@dataclass
class PushTally:
    """The ids of runs by what became of them."""

    uploaded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    #: The store did not answer before it was their turn.
    not_tried: list[str] = field(default_factory=list)


def push_runs(
    mirror: Mirror,
    pending: list[str],
    on_end: Callable[[str, StoreError | OSError | None], None],
    progress: Callable[[int, int, str], None],
) -> PushTally:
    """Upload runs. After the first for which the store did not answer until the limit, no other one is tried.

    Args:
        mirror: The folder of the store.
        pending: The ids of the runs.
        on_end: Called with the id of each run that was tried, and the reason why it was not uploaded, or None.
        progress: Called with the number of finished runs, the number of all, and what is done or waited for.

    An interrupt has a note that says what was uploaded, and the next step.
    """
    tally = PushTally()
    try:
        for number, run in enumerate(pending):

            def show(what: str, number: int = number, run: str = run) -> None:
                progress(number, len(pending), f"{run}: {what}")

            error = _push_run(mirror, run, show)
            (tally.failed if error else tally.uploaded).append(run)
            on_end(run, error)
            if isinstance(error, StoreUnavailable) and not error.refused:
                tally.not_tried = pending[number + 1 :]
                break
    except (KeyboardInterrupt, SystemExit) as stop:
        stop.add_note(
            f"uploaded: {len(tally.uploaded)} of {len(pending)} runs. The others are whole on this machine; a run that "
            "was copied in part is not shown elsewhere as ended. To go on: lcnb runs push"
        )
        raise
    return tally


def _push_run(mirror: Mirror, run: str, show: Callable[[str], None]) -> StoreError | OSError | None:
    store = mirror.store.store
    store.on_wait = lambda problem: show(f"waits for {store.url}: {problem}")
    show(f"uploading to {store.url}")
    try:
        mirror.push_run(run)
    except (StoreError, OSError) as error:
        return error
    return None
