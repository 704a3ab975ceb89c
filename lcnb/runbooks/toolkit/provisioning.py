"""For the runbook `provision`: the changes that create the machines of a fleet file, and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.earlier_runs import changes_done

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


#: Columns that the fleet file of `provision` may have.
NEW_COLUMNS = ("label", "location", "plan", "image", "hostname", "ssh_key")


def missing_machines(lc: LetsCloud, run: RunContext, rows: pd.DataFrame) -> SyncChangeSet:
    """Return the changes that create the machines of these rows. A machine that exists as the row says is left alone.

    InputError for a row without a location, plan or image, and for a label whose machine differs from the row.
    """
    before = {comparable_name(entry.target) for entry in changes_done(run, lc, "create instance")}
    wanted = plain_rows(rows)
    for row in wanted:
        missing = [name for name in ("location", "plan", "image") if not row.get(name)]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise InputError(f"{row['label']}: {', '.join(missing)} {verb} missing", not_done="sent")
    return lc.changes(
        lc.ensure_instance(**row) for row in wanted if comparable_name(row["label"]) not in before
    )


def created_labels(lc: LetsCloud, run: RunContext, made: pd.DataFrame) -> list[str]:
    """Return the labels of the machines that this run and the runs that it resumes have created.

    `made` is the result of applying the changes.
    """
    before = [entry.target for entry in changes_done(run, lc, "create instance")]
    return list(dict.fromkeys([*before, *made.target[made.outcome == "done"]]))
