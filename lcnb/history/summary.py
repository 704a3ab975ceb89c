"""What one recorded reading found, and the list of all readings."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from lcnb.history.moments import to_datetime
from lcnb.history.readings import INSTANCES
from lcnb.history.stored import StoredHistory
from lcnb.history.timeline import time_column

if TYPE_CHECKING:
    import pandas as pd


class RecordedReading(NamedTuple):
    """What a reading found, compared with the complete reading before it; `problem` says why it is not complete."""

    at: datetime
    machines: int
    appeared: int
    gone: int
    changed: int
    problem: str | None = None

    def __str__(self) -> str:
        if self.problem is not None:
            return f"the reading is not complete, so the history of the machines is unchanged: {self.problem}"
        count = "1 machine" if self.machines == 1 else f"{self.machines} machines"
        return (
            f"{count} at {self.at:%Y-%m-%d %H:%M:%S} UTC: {self.appeared} appeared, {self.gone} gone, "
            f"{self.changed} changed since the reading before"
        )


def newest_reading(stored: StoredHistory) -> RecordedReading:
    """Return what the newest reading of the machines found. The account must have been read."""
    newest = stored.readings(INSTANCES)[-1]
    at = to_datetime(newest.at)
    if not newest.complete:
        return RecordedReading(at, 0, 0, 0, 0, newest.problem or "unknown")
    opened, closed = stored.changes_at(INSTANCES, newest.at)
    return RecordedReading(
        at,
        stored.count_open(INSTANCES),
        len(opened - closed),
        len(closed - opened),
        len(opened & closed),
    )


def readings_frame(stored: StoredHistory) -> pd.DataFrame:
    """Return all readings of an account, the oldest first.

    Columns: at (`datetime64[us, UTC]`), kind, complete (`boolean`), problem (why a reading is not complete).
    """
    import pandas as pd

    found = stored.readings()
    frame = pd.DataFrame(
        {
            "at": time_column(each.at for each in found),
            "kind": pd.Series([each.kind for each in found], dtype="str"),
            "complete": pd.Series([each.complete for each in found], dtype="boolean"),
            "problem": pd.Series([each.problem for each in found], dtype="str"),
        }
    )
    frame.attrs["lcnb"] = {"kind": "readings"}
    return frame
