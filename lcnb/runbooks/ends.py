"""How a run can end: each status with its exit code and the sentence that explains it.

The README, docstrings and commands are generated from this table or tested against it. Only small modules are
imported here, because the command line needs the exit codes too.
"""

from __future__ import annotations

from typing import Literal

RunStatus = Literal[
    "running", "done", "attention", "failed", "died", "timeout", "interrupted", "refused", "locked"
]
#: The signals that end a run cleanly, by their exit code.
SIGNAL_OF_CODE = {143: "SIGTERM", 129: "SIGHUP"}
#: What some errors that a cell raises say about the run: its status and exit code.
END_OF_ERROR: dict[str, tuple[RunStatus, int]] = {
    "ConfirmationMissing": ("refused", 6),
    "Locked": ("locked", 75),
}

#: A run that asks for attention was carried out to its end.
COMPLETED_STATUSES = ("done", "attention")
ATTENTION_CODE = 8
