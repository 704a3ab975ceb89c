"""Applying and resuming, for clients and runbooks: the functions that they call, gathered from their modules.

`sending` makes the changes, `settling` finds out what happened to them, `resuming` continues from the journal,
`results` has frames and errors, `locks` keeps other processes away.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lcnb.changes.changeset import ChangeSet
from lcnb.changes.results import combined_result, unapplied_frame
from lcnb.changes.resuming import open_changesets, prepare_resume, restore_flow, unfinished_changes
from lcnb.changes.session import POLL_DELAYS_S
from lcnb.changes.starting import DEFAULT_WAIT_S, check_arguments, check_settled

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEFAULT_WAIT_S",
    "POLL_DELAYS_S",
    "AsyncChangeSet",
    "SyncChangeSet",
    "check_arguments",
    "check_settled",
    "combined_result",
    "open_changesets",
    "prepare_resume",
    "restore_flow",
    "unfinished_changes",
    "untouched_frame",
]

#: What the methods of LetsCloud return: `changes.apply()` returns a frame.
SyncChangeSet = ChangeSet["pd.DataFrame"]
#: What the methods of AsyncLetsCloud return: `await changes.apply()` returns a frame.
AsyncChangeSet = ChangeSet[Coroutine[Any, Any, "pd.DataFrame"]]


def untouched_frame(changes: ChangeSet[Any]) -> pd.DataFrame:
    """Return the result frame of a ChangeSet that was not applied."""
    return unapplied_frame(changes.id, changes.changes, changes.notes)
