"""For all runbooks that change machines: what the runs that this run resumes have done, according to the journal.

With it a resumed run does not repeat a change, and does not fail because a change was already made.
"""

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


def work_date(run: RunContext) -> str:
    """Return the UTC date of this work, such as 2026-11-24.

    It is the date of the plan that is applied or of the run that is resumed, and today's date otherwise. A plan made
    before midnight thus means the same after it.
    """
    for name in (*run.resumes[:1], Path(run.confirmed).name):
        found = re.match(r"(\d{4})(\d\d)(\d\d)T\d{6}Z-", name)
        if found:
            return "-".join(found.groups())
    return f"{datetime.now(UTC):%Y-%m-%d}"


def changes_done(run: RunContext, lc: LetsCloud, action: str) -> list[JournalEntry]:
    """Return the journal entries of one action, such as "create instance", that the resumed runs have completed."""
    journal = Journal(lc.settings.state_dir)
    entries = [entry for name in run.resumes for entry in journal.entries(run=name)]
    return [entry for entry in entries if entry.action == action and entry.state == "done"]


def wait_for_changes(run: RunContext, lc: LetsCloud, *, timeout: float = DEFAULT_WAIT_S) -> None:
    """In a resumed run, wait until the machines that it changed before are no longer busy (`timeout` in seconds)."""
    if run.resumes:
        journal = Journal(lc.settings.state_dir)
        touched = {entry.identifier for name in run.resumes for entry in journal.entries(run=name)}
        wait_until_free(lc, [each for each in touched if each], timeout=timeout)
