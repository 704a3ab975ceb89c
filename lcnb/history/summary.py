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
    """What a reading found, compared with the complete reading before it; `problem` says why it is not complete.

    `before` is the time of the reading before it, None for the first one. `later` is the time of a reading that has not
    come yet, because the clock was wrong once; None if there is none.
    """

    at: datetime
    machines: int
    appeared: int
    gone: int
    changed: int
    problem: str | None = None
    before: datetime | None = None
    later: datetime | None = None

    def __str__(self) -> str:
        if self.problem is not None:
            return f"the reading is not complete, so the history of the machines is unchanged: {self.problem}"
        count = "1 machine" if self.machines == 1 else f"{self.machines} machines"
        text = f"{count} at {_time_text(self.at)}: "
        if self.before is None:
            text += "the first complete reading of this account"
        else:
            text += (
                f"{self.appeared} appeared, {self.gone} gone, {self.changed} changed since the reading before, "
                f"of {_time_text(self.before)}"
            )
        if self.later is not None:
            text += (
                f"; the history also has a reading of {_time_text(self.later)}, which is ignored until then: "
                "the clock of this machine is or was wrong"
            )
        return text


def _time_text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def newest_reading(stored: StoredHistory) -> RecordedReading:
    """Return what the newest reading of the machines found. The account must have been read."""
    found = stored.readings(INSTANCES)
    later = to_datetime(found[-1].at) if found[-1].at > stored.until else None
    newest = [each for each in found if each.at <= stored.until][-1]
    at = to_datetime(newest.at)
    if not newest.complete:
        return RecordedReading(at, 0, 0, 0, 0, newest.problem or "unknown", later=later)
    before = stored.last_complete(INSTANCES, newest.at - 1)
    opened, closed = stored.changes_at(INSTANCES, newest.at)
    return RecordedReading(
        at,
        stored.count_at(INSTANCES, newest.at),
        len(opened - closed),
        len(closed - opened),
        len(opened & closed),
        before=None if before is None else to_datetime(before),
        later=later,
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
