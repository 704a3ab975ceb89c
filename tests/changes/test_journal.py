"""The journal when its disk is full, and when a clock is set."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lcnb.changes.journal import Journal, JournalEntry
from lcnb.errors import AlreadyApplied
from lcnb.leases.clock import Moment

#: A process whose files may not grow any more, as on a full disk, begins a ChangeSet that needs more space.
FULL_DISK = """
import resource, sys
from pathlib import Path
from lcnb.changes.journal import Journal, JournalEntry

journal = Journal(Path(sys.argv[1]))
journal.begin("small", [], account=None, base_url="http://127.0.0.1")
size = journal.path.stat().st_size + 8192
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
entries = [
    JournalEntry("large", number, "planned", "reboot instance", "web-01", "PUT", "/x", None, {"pad": "x" * 3000})
    for number in range(2000)
]
journal.begin("large", entries, account=None, base_url="http://127.0.0.1")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of files")
def test_full_disk_is_named(tmp_path: Path) -> None:
    """SQLite undoes a transaction by itself when the disk is full; the error names the disk, not a second rollback."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert "JournalError: the journal" in last
    assert "disk" in last.partition(" cannot be used: ")[2].partition(".")[0]
    assert "rollback" not in last
    assert "so nothing was sent. Free some space" in last


OWNER: dict[str, Any] = {"account": None, "base_url": "http://127.0.0.1", "token": "t"}


@pytest.mark.parametrize("given_up", [True, False])
@pytest.mark.parametrize(
    ("boot", "steady_s", "wall_s", "certain_s", "pending"),
    [
        ("first", 10, 10, 10, True),
        ("first", 500, 500, 500, False),
        ("first", 10, 86_400, 10, True),  # the wall clock was set forward
        ("first", 500, -86_400, 500, False),  # and back
        ("second", -900, 10, 0, True),  # after a restart, or on another computer
        ("second", -900, 86_400, 0, False),
    ],
)
def test_age_of_an_attempt(
    tmp_path: Path, given_up: bool, boot: str, steady_s: float, wall_s: float, certain_s: float, pending: bool
) -> None:
    """Setting the wall clock changes nothing; after a restart `resume` is certain of nothing, and waits."""
    entry = JournalEntry("one", 0, "planned", "power off", "web-01", "PUT", "/x", None, {"identifier": "a"})
    first = Journal(tmp_path, clock=lambda: Moment(1000.0, 1_800_000_000.0), boot="first")
    first.begin("one", [entry], **OWNER)
    first.record_attempt("one", 0, [])
    if given_up:
        first.record_giving_up("one", 0)
    attempt_s = 60.0
    passed = 0.0 if given_up else attempt_s
    now = Moment(1000.0 + steady_s + passed, 1_800_000_000.0 + wall_s + passed)

    later = Journal(tmp_path, clock=lambda: now, boot=boot)
    assert later.certain_age_s(later.entries("one")[0], attempt_s) == certain_s
    limits = {"pending_s": 150.0, "attempt_s": attempt_s}
    assert bool(later.unsettled("one", **limits)) == pending
    if pending:
        with pytest.raises(AlreadyApplied, match="may still take effect"):
            later.check_settled({"a": "power on web-01"}, **OWNER, **limits)
    else:
        later.check_settled({"a": "power on web-01"}, **OWNER, **limits)


def test_journal_of_an_older_version(tmp_path: Path) -> None:
    """A journal without the steady clock is read; nothing is certain about its attempts."""
    journal = Journal(tmp_path)
    entry = JournalEntry("one", 0, "planned", "power off", "web-01", "PUT", "/x", None, {"identifier": "a"})
    journal.begin("one", [entry], **OWNER)
    journal.record_attempt("one", 0, [])
    with closing(sqlite3.connect(journal.path)) as db, db:
        for column in ("steady", "boot"):
            db.execute(f"ALTER TABLE change DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 3")

    (found,) = journal.entries("one")
    assert (found.state, found.steady, found.boot) == ("sent", None, None)
    assert journal.certain_age_s(found, 60.0) == 0.0
    journal.record_giving_up("one", 0)
    assert journal.entries("one")[0].boot is not None
