"""The changes that create the machines of a fleet file, and the labels of those created."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.earlier_runs import changes_done
from lcnb.runbooks.toolkit.targets import NOTHING_SENT

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


# --- provision ------------------------------------------------------------------------------------------

#: Columns of the file that `provision` takes.
NEW_COLUMNS = ("label", "location", "plan", "image", "hostname", "ssh_key")


def missing_machines(lc: LetsCloud, run: RunContext, rows: pd.DataFrame) -> SyncChangeSet:
    """What makes the machines of these rows; one that is there as asked for is left alone.

    InputError for a row that lacks a place, plan or image, or whose machine is there and is another one.
    """
    before = {comparable_name(entry.target) for entry in changes_done(run, lc, "create instance")}
    wanted = plain_rows(rows)
    for row in wanted:
        missing = [name for name in ("location", "plan", "image") if not row.get(name)]
        if missing:
            raise InputError(f"{row['label']}: {', '.join(missing)} is missing. {NOTHING_SENT}")
    return lc.changes(
        lc.ensure_instance(**row) for row in wanted if comparable_name(row["label"]) not in before
    )


def created_labels(lc: LetsCloud, run: RunContext, made: pd.DataFrame) -> list[str]:
    """The labels of the machines that this work has made: in this run, and in those that it goes on with."""
    before = [entry.target for entry in changes_done(run, lc, "create instance")]
    return list(dict.fromkeys([*before, *made.target[made.outcome == "done"]]))
