"""The journal when its disk is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
