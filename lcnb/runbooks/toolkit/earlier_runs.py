"""What the runs that this one continues have done, according to the journal.

So a resumed runbook neither repeats a change nor fails because it was made."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.changes.apply import DEFAULT_WAIT_S
from lcnb.changes.journal import Journal, JournalEntry
from lcnb.runbooks.toolkit.waiting import wait_until_free

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


# --- what went before -----------------------------------------------------------------------------------


def work_date(run: RunContext) -> str:
    """The UTC date of this work: that of the plan which is applied, or of the run which is resumed, else today's.

    So what was planned before midnight is the same after it.
    """
    for name in (*run.resumes[:1], Path(run.confirmed).name):
        found = re.match(r"(\d{4})(\d\d)(\d\d)T\d{6}Z-", name)
        if found:
            return "-".join(found.groups())
    return f"{datetime.now(UTC):%Y-%m-%d}"


def changes_done(run: RunContext, lc: LetsCloud, action: str) -> list[JournalEntry]:
    """The changes of one kind that the runs which this one goes on with have made."""
    journal = Journal(lc.settings.state_dir)
    entries = [entry for name in run.resumes for entry in journal.entries(run=name)]
    return [entry for entry in entries if entry.action == action and entry.state == "done"]


def wait_for_changes(run: RunContext, lc: LetsCloud, *, timeout: float = DEFAULT_WAIT_S) -> None:
    """In a resumed run, wait until nothing that it did before is still going on."""
    if run.resumes:
        journal = Journal(lc.settings.state_dir)
        touched = {entry.identifier for name in run.resumes for entry in journal.entries(run=name)}
        wait_until_free(lc, [each for each in touched if each], timeout=timeout)
