"""The problems that a check of the schedules can find: one table of their kinds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: Kind → what it means. The documentation has the same list.
PROBLEM_KINDS = {
    "daemon not running": "the cron daemon does not run",
    "scheduler not reachable": "systemd has no session for the user, or the crontab cannot be read",
    "unit disabled": "the timer is stopped or disabled",
    "unit removed": "a unit file was deleted, or systemd has not loaded it",
    "unit changed": "a unit file was edited by hand",
    "line removed": "the line is no longer in the crontab",
    "line commented out": "the line is in the crontab as a comment",
    "line changed": "the line was edited by hand",
    "command gone": "the command `lcnb` was moved or deleted, for example with its virtual environment",
    "file gone": "the notebook, or the file with the token, does not exist or cannot be read",
    "account gone": "lcnb.toml no longer has the account",
    "disk full": "no room is left for runs or state",
    "time zone changed": "the machine has another time zone than at the installation",
    "machine off": "a planned time is before the last start of the machine",
    "missed": "a planned run did not start, and no cause is visible now",
    "late": "a run started after its grace time",
    "overlap": "a run did not start because the one before had not ended",
    "locked": "a run was skipped because another process held its lock (exit code 75)",
    "refused": "a run was refused before it began: token, parameter, confirmation (exit codes 2 and 6)",
    "failed": "the last run failed",
    "died": "the process of the last run was killed, or the machine went down",
    "hanging": "a run is past its time limit, or past the next planned time",
    "record damaged": "the description of an installed schedule cannot be read",
}  # fmt: skip


@dataclass(frozen=True)
class ScheduleProblem:
    """One problem of one schedule. `planned` is the planned time that it is about, if it is about one."""

    schedule: str
    kind: str
    text: str
    cure: str = ""
    planned: datetime | None = None

    @property
    def sentence(self) -> str:
        """The problem as a sentence, with its cure."""
        cure = f" {self.cure}" if self.cure else ""
        return f"{self.schedule}: {self.kind}: {self.text}.{cure}"
