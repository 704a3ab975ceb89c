"""How a run can end: each status with its exit code and the sentence that explains it.

The README, docstrings and commands are generated from this table or tested against it. Only small modules are
imported here, because the command line needs the exit codes too.
"""

from __future__ import annotations

from typing import Literal

Status = Literal[
    "running", "done", "attention", "failed", "died", "timeout", "interrupted", "refused", "locked"
]
#: The signals that end a run cleanly, by their exit code.
END_SIGNALS = {143: "SIGTERM", 129: "SIGHUP"}
#: What some errors that a cell raises say about the run: its status and exit code.
ENDS: dict[str, tuple[Status, int]] = {"ConfirmationMissing": ("refused", 6), "Locked": ("locked", 75)}

#: A run that asks for attention was carried out to its end.
ENDED_WELL = ("done", "attention")
ATTENTION = 8
