"""Which runs that failed are attempted again, and how long the pauses between attempts are (`--retries`).

An attempt is repeated only if it ended by something that passes (the network, an error of the provider, a kernel that
died) and if its run had sent no change. Whether it had is decided by the journal, which records every change before it
is sent, so a change whose outcome is unknown counts. Such a run is resumed (`lcnb resume RUN`), never retried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from lcnb.changes.journal import OPEN_STATES, JournalEntry
from lcnb.errors import InputError, LcnbError, RateLimited, ServerError, TransportError
from lcnb.runbooks.ends import CELL_FAILED, DIED, RUN_FAILED, RunEnd
from lcnb.runbooks.preflight import check_seconds

T = TypeVar("T")
#: Called with numbers and a text while a run waits for its next attempt; as `execution.ProgressCallback`.
WaitProgress = Callable[[int, int, str], object]
#: Errors that pass: the provider could not be reached, did not answer in full, or answered with 429 or 5xx.
PASSING_ERRORS: tuple[type[BaseException], ...] = (TransportError, ServerError, RateLimited, ConnectionError)
MAX_RETRIES = 20
DEFAULT_RETRY_WAIT_S = 30.0
#: The pause doubles with each attempt up to this time. A first pause that is longer is never shortened.
MAX_RETRY_WAIT_S = 900.0


def _class_names(kinds: Iterable[type[BaseException]]) -> frozenset[str]:
    """Return the names of classes and of all their subclasses."""
    names: set[str] = set()
    for kind in kinds:
        names |= {kind.__name__, *_class_names(kind.__subclasses__())}
    return frozenset(names)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a run is attempted again, and the seconds before the second attempt; each further pause is doubled.

    >>> policy = RetryPolicy(retries=3, wait_s=60)
    >>> [policy.pause_s(number) for number in (1, 2, 3)]
    [60.0, 120.0, 240.0]
    """

    retries: int = 0
    wait_s: float = DEFAULT_RETRY_WAIT_S

    def pause_s(self, number: int) -> float:
        """Return the seconds to wait after attempt `number`, which counts from 1."""
        return min(self.wait_s * float(2 ** (number - 1)), max(self.wait_s, MAX_RETRY_WAIT_S))


def check_policy(retries: object, wait_s: float | None) -> RetryPolicy:
    """Return the policy. InputError for a number of retries that is not from 0 to MAX_RETRIES, or a pause not above 0.

    >>> check_policy(2, None)
    RetryPolicy(retries=2, wait_s=30.0)
    """
    if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= MAX_RETRIES:
        raise InputError(
            field="retries",
            expected=f"a whole number from 0 to {MAX_RETRIES}",
            value=retries,
            not_done="started",
        )
    return RetryPolicy(retries, check_seconds("retry_wait", wait_s) or DEFAULT_RETRY_WAIT_S)


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run, as `run.json` lists it under `attempts`.

    `folder` holds what an earlier attempt left, relative to the folder of the run; it is empty for the last attempt,
    whose files are those of the run, and for one that ended before its run had a folder.
    """

    number: int
    began: str
    ended: str
    status: str
    exit_code: int
    reason: str
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the attempt as plain values."""
        return asdict(self)


def is_passing(end: RunEnd, error_name: str) -> bool:
    """Whether a run ended by something that passes: a kernel that died, or a cell with an error of the network.

    `error_name` is the class of the error that the failing cell raised; a cell that exits with its own code has decided
    how the run ends. Bad input, refusals, time limits and requests for attention do not pass.

    >>> is_passing(CELL_FAILED.because("cell 2: ServerError: 503"), "ServerError")
    True
    >>> is_passing(CELL_FAILED.because("cell 2: ValueError: no such label"), "ValueError")
    False
    """
    if end.status == DIED.status:
        return True
    return end[:2] == (CELL_FAILED.status, CELL_FAILED.exit_code) and error_name in _PASSING_NAMES


_PASSING_NAMES = _class_names(PASSING_ERRORS)


def begun_changes(entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Return the changes that were sent, or that `lcnb resume` may still send, of the journal entries of a run."""
    return [entry for entry in entries if entry.tries or entry.state in OPEN_STATES]


@dataclass
class RetryLog:
    """The attempts of one run: what has ended, and whether another attempt may begin.

    `timeout` limits all attempts and pauses together, in seconds from now; None for no limit. `clock` and `sleep` are
    those of the `time` module.
    """

    policy: RetryPolicy
    timeout: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    attempts: list[Attempt] = field(default_factory=list)
    #: Why a failed run was not attempted again, as sentences with the next step; empty when that is not to be said.
    refusal: str = ""

    def __post_init__(self) -> None:
        self._began = self.clock()

    def restart_clock(self) -> None:
        """Let the time limit begin now, unless an attempt has ended before: waiting for a lock is not limited."""
        if not self.attempts:
            self._began = self.clock()

    def seconds_left(self) -> float | None:
        """Return the seconds until the deadline of the run; None without one."""
        return None if self.timeout is None else self.timeout - (self.clock() - self._began)

    def spent_s(self) -> float:
        """Return the seconds that earlier attempts and the pauses after them took; 0 for the first attempt."""
        return self.clock() - self._began if self.attempts else 0.0

    @property
    def number(self) -> int:
        """The number of the attempt that runs now, from 1."""
        return len(self.attempts) + 1

    def may_retry(self, end: RunEnd, error_name: str, begun: str | None) -> bool:
        """Whether the run that ended so may be attempted again. If not, `refusal` may say why.

        `begun` says which changes the run had begun, with the next step; None when there were none.
        """
        if not self.policy.retries or end.completed:
            return False
        if begun is not None:
            self.refusal = f"Not retried: {begun}"
        elif not is_passing(end, error_name):
            return False
        elif self.number > self.policy.retries:
            self.refusal = f"Not retried any more: {self.number} attempts have failed."
        elif not self._pause_fits():
            self.refusal = "Not retried: the next attempt would begin after the time limit of the run."
        return not self.refusal

    def _pause_fits(self) -> bool:
        left = self.seconds_left()
        return left is None or self.policy.pause_s(self.number) < left

    def facts(self) -> dict[str, Any]:
        """Return what `run.json` says: the allowed retries, the attempts, and why there is no further one."""
        return {
            "retries": asdict(self.policy),
            "attempts": [each.to_json() for each in self.attempts],
            "not_retried": self.refusal,
        }

    def add(self, began: datetime, end: RunEnd, folder: str = "") -> None:
        """Add the attempt that has ended now."""
        first, last = (at.isoformat(timespec="milliseconds") for at in (began, datetime.now(UTC)))
        self.attempts.append(Attempt(self.number, first, last, *end, folder))

    def wait(self, progress: WaitProgress) -> None:
        """Wait before the next attempt, and report each second how long. An interrupt ends it like anything else."""
        number = len(self.attempts)
        over = self.clock() + self.policy.pause_s(number)
        reason = self.attempts[-1].reason.partition("\n")[0][:80]
        while (left := over - self.clock()) > 0:
            text = f"attempt {number} of {self.policy.retries + 1} failed ({reason}); next in {left:.0f} s"
            progress(number, self.policy.retries + 1, text)
            self.sleep(min(1.0, left))

    def repeat(self, check: Callable[[], T], progress: WaitProgress) -> T:
        """Return what a check before the run returns, and repeat it while it raises an error that passes.

        Nothing has been started then, so there is nothing that may have changed. The last error is raised.
        """
        while True:
            began = datetime.now(UTC)
            try:
                return check()
            except PASSING_ERRORS as error:
                end = RUN_FAILED.because(f"before the run: {type(error).__name__}: {error}")
                if self.number > self.policy.retries or not self._pause_fits():
                    self._note_attempts(error)
                    raise
                self.add(began, end)
            self.wait(progress)

    def _note_attempts(self, error: BaseException) -> None:
        if self.attempts and isinstance(error, LcnbError):
            with suppress(TypeError):
                error.add_note(f"attempts: {self.number}. Nothing was started.")


def describe_attempts(attempts: Sequence[Attempt]) -> list[str]:
    """Return one line for each attempt that another one followed."""
    return [
        f"attempt {each.number}: {each.status}: {each.reason.partition(chr(10))[0]}" for each in attempts[:-1]
    ]
