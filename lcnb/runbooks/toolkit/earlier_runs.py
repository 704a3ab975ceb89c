"""For all runbooks that change machines: what the runs that this run resumes have done, according to the journal.

With it a resumed run does not repeat a change, and does not fail because a change was already made.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.changes.apply import DEFAULT_WAIT_S
from lcnb.changes.journal import Journal, JournalEntry
from lcnb.runbooks.toolkit.waiting import wait_until_free

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


def work_time(run: RunContext) -> datetime:
    """Return the UTC time of this work, to the second.

    It is the time of the plan that is applied, otherwise of the run that is resumed, otherwise of this run; now where
    no run has a time in its name. What was due in a plan is thus still due, and nothing else is, when it is applied.

    >>> import lcnb
    >>> work_time(lcnb.run()).tzname()
    'UTC'
    """
    for name in (Path(run.confirmed).name, *run.resumes[:1], run.folder.name):
        found = re.match(r"\d{8}T\d{6}Z-", name)
        if found:
            with suppress(ValueError):
                return datetime.strptime(found[0], "%Y%m%dT%H%M%SZ-").replace(tzinfo=UTC)
    return datetime.now(UTC).replace(microsecond=0)


def work_date(run: RunContext) -> str:
    """Return the UTC date of `work_time`, such as 2026-11-24. A plan made before midnight means the same after it."""
    return f"{work_time(run):%Y-%m-%d}"


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
