"""The one table of how a run can end: status, exit code, sentence, color class.

Commands, batches, reports and forms take statuses and exit codes from here, and a test compares the documented exit
codes with `ENDS`. A status may have several rows (`failed` is a failing cell or a full disk), an exit code may too.
`RunEnd` is how one run ended; `End.because(reason)` makes it. Only typing is imported here, because each
command, and `lcnb --help`, waits for this module.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

RunStatus = Literal[
    "running", "done", "attention", "failed", "died", "timeout", "interrupted", "refused", "partly", "locked",
    "abandoned", "damaged", "lost", "not started",
]  # fmt: skip
#: The color class of a status: what reports, forms and terminals derive a color from.
Tone = Literal["good", "open", "warning", "bad"]


class RunEnd(NamedTuple):
    """How one run ended: its status, exit code and reason. A run that has not ended yet has status `running`."""

    status: RunStatus
    exit_code: int
    reason: str = ""

    @property
    def completed(self) -> bool:
        """Whether the run was carried out to its end."""
        return self.status in COMPLETED_STATUSES


class State(NamedTuple):
    """A status that a run's record can show: the sentence that explains it, and its color class."""

    status: RunStatus
    sentence: str
    tone: Tone


class End(NamedTuple):
    """A way in which a command that runs something ends: a status as in `State`, with its exit code."""

    status: RunStatus
    sentence: str
    tone: Tone
    exit_code: int

    def because(self, reason: str, exit_code: int | None = None) -> RunEnd:
        """The end of one run, with its reason and, where a notebook chose one, another exit code.

        >>> CELL_FAILED.because("cell 2: SystemExit: 9", exit_code=9)
        RunEnd(status='failed', exit_code=9, reason='cell 2: SystemExit: 9')
        """
        return RunEnd(self.status, self.exit_code if exit_code is None else exit_code, reason)


DONE = End("done", "everything was done", "good", 0)
ATTENTION = End("attention", "done, but the runbook asks for attention", "warning", 8)
RUN_FAILED = End(
    "failed",
    "the provider, the network or the disk failed, or the provider does not accept the token",
    "bad",
    1,
)
CELL_FAILED = End("failed", "a cell failed; `sys.exit(n)` in a cell gives n instead", "bad", 3)
MISUSED = End(
    "refused",
    "wrong usage, name, parameter or configuration, or a refused change; nothing was started",
    "bad",
    2,
)
NOT_CONFIRMED = End("refused", "nobody confirmed the changes; nothing was sent", "bad", 6)
TIMED_OUT = End(
    "timeout", "a cell or the run took too long, or a change was made and not seen finished in time", "bad", 4
)
DIED = End("died", "the kernel died", "bad", 5)
PARTLY = End(
    "partly",
    "only some of the changes were made, one was made twice, or an outcome is not known",
    "warning",
    7,
)
LOCKED = End("locked", "another process has the lock, or nobody can know", "bad", 75)
HUNG_UP = End("interrupted", "ended by SIGHUP: the terminal was closed", "warning", 129)
INTERRUPTED = End("interrupted", "ended by Ctrl-C", "warning", 130)
TERMINATED = End("interrupted", "ended by SIGTERM", "warning", 143)
#: These two only in the table of a batch: the executor lost the run, or did not start it.
LOST = End("lost", "the executor lost the run of this row", "bad", 1)
NOT_STARTED = End("not started", "the run of this row was not started", "bad", 1)

ENDS = (
    DONE, RUN_FAILED, MISUSED, CELL_FAILED, TIMED_OUT, DIED, NOT_CONFIRMED, PARTLY, ATTENTION, LOCKED,
    HUNG_UP, INTERRUPTED, TERMINATED, LOST, NOT_STARTED,
)  # fmt: skip

RUNNING = State("running", "the run has not ended yet", "open")
#: What a job says of its end while it runs.
NOT_ENDED = RunEnd(RUNNING.status, 0)
ABANDONED = State("abandoned", "the process of the run ended and could not record how", "bad")
DAMAGED = State("damaged", "the record of the run cannot be read", "bad")
#: Statuses of records that have no exit code.
STATES = (RUNNING, ABANDONED, DAMAGED)

COMPLETED_STATUSES = (DONE.status, ATTENTION.status)
EXIT_CODES = tuple(sorted({end.exit_code for end in ENDS}))
#: The signals that end a run cleanly, by their exit code.
SIGNAL_OF_CODE = {TERMINATED.exit_code: "SIGTERM", HUNG_UP.exit_code: "SIGHUP"}
#: What some errors that a cell raises say about the whole run.
END_OF_ERROR = {
    "AuthenticationError": RUN_FAILED,
    "ConfirmationMissing": NOT_CONFIRMED,
    "ApprovalMissing": NOT_CONFIRMED,
    "Locked": LOCKED,
}
_TONES: dict[str, Tone] = {
    **{end.status: end.tone for end in ENDS},
    **{state.status: state.tone for state in STATES},
}


def status_tone(status: str) -> Tone:
    """The color class of a status; `bad` for a status that this version does not know.

    >>> status_tone("partly")
    'warning'
    """
    return _TONES.get(status, "bad")
