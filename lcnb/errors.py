"""Every error that lcnb raises, and its warnings.

    LcnbError
    ├── ConfigError                 an account, token, base URL or setting is missing or wrong
    │   ├── TokenMissing            no place that was looked at has a token
    │   └── ReadOnly                the settings make the account read-only; nothing was sent
    ├── InputError (ValueError)     an argument is wrong; nothing was sent or started
    │   ├── ParameterError          a runbook parameter: unknown name, wrong type, value not allowed
    │   ├── ConfirmationMissing     a change that nobody confirmed; nothing was sent
    │   │   └── ApprovalMissing     no second person approved it, in an account that requires that
    │   └── ChangesRefused          machines that cannot be changed now (`.refused` lists them); nothing was sent
    ├── ApiError                    the provider refused the request
    │   ├── AuthenticationError     401: the token is missing or wrong
    │   ├── PermissionDenied        403
    │   ├── NotFound                404, or no such machine, key or snapshot
    │   ├── Conflict                409
    │   ├── ValidationError         400, 413, 422: the provider did not accept the request
    │   ├── RateLimited             429, and waiting would exceed the deadline
    │   ├── ServerError             5xx, after the retries that are safe
    │   └── Refused                 HTTP 200 with success: false
    ├── TransportError              there was no usable response
    │   ├── ConnectionFailed        nothing was sent: DNS, refused, TLS
    │   ├── ConnectionLost          sent, then reset or closed before a complete response
    │   ├── DeadlineExceeded        the deadline in seconds passed (also a TimeoutError)
    │   └── BadReply                a response that is not the API's: HTML, empty, half a body
    ├── ChangeError                 not every change was made (the result says which)
    │   ├── Drifted                 the account has changed since the changes were planned; nothing was sent
    │   ├── Protected               a machine is protected against this change; nothing was sent
    │   ├── AlreadyApplied          this ChangeSet was applied before, or is being applied now; nothing was sent
    │   ├── ChangeFailed            a change failed, or its outcome is unknown
    │   └── WaitTimeout             made, but its final state was not seen in time (also a TimeoutError)
    ├── JournalError                the journal cannot be read or written; nothing was sent
    ├── HistoryError                the history of the account cannot be read or written
    ├── StoreError                  the object store of runs and leases did not do what was asked
    │   ├── StoreUnavailable        it did not answer before the deadline, or refused
    │   └── StoreConflict           another write was first; nothing was written
    ├── Locked                      another process changes the same machine or runs the same runbook, or may do so
    ├── RunError                    a runbook run failed
    │   ├── CellFailed              a cell raised; the message shows it
    │   ├── KernelDied              the kernel could not start, or ended during the run
    │   └── RunTimeout              a cell or the whole run took too long (also a TimeoutError)
    ├── QueryTimeout                a query in SQL took too long (also a TimeoutError)
    └── SandboxError                the sandbox could not be started

    DriftWarning (UserWarning)      a response was odd in places; the good rows were kept
    ConfigWarning (UserWarning)     a setting was used although something about it is wrong
    HistoryWarning (UserWarning)    the history has no answer to a question, such as the cost after one reading
    StoreWarning (UserWarning)      the store of runs did not answer; what is known on this machine was used

An error carries facts, and its message is built from them in one place (`LcnbError`). Facts are attributes, all of
them optional keyword arguments, so that every error can be pickled (a batch sends them between processes). A program
reads the facts and never the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from lcnb.refused_machine import RefusedMachine
    from lcnb.stored_objects import StoredObject

#: Characters of a wrong value that a message shows.
MAX_VALUE_CHARACTERS = 80


class LcnbError(Exception):
    """The root: `except lcnb.LcnbError` catches all that lcnb raises on purpose.

    The facts, from which the message is built in this order:

    - `field`: the parameter, option, variable or column that is wrong ("" when the error is about none).
    - `problem`: what is wrong. Pass it first, or pass `expected`, which makes it `expected EXPECTED, got VALUE`.
    - `cure`: what the reader can do, as a sentence.
    - `not_done`: the past participle of what did not happen: "sent", "started", "written". The message ends with
      `consequence`, for example "Nothing was sent."

    `value` is the wrong value itself, for programs; the message shows it only together with `expected`.
    `sent` says whether a request has left this machine: True, False, or None when that is not known. Each class has
    its default; `not_done` makes it False.

    >>> error = InputError(field="timeout", expected="seconds above 0", value=-1, not_done="sent")
    >>> print(error)
    timeout: expected seconds above 0, got -1. Nothing was sent.
    >>> error.field, error.value, error.sent
    ('timeout', -1, False)
    >>> print(error.restate(cure="Pass timeout=60.", not_done="started"))
    timeout: expected seconds above 0, got -1. Pass timeout=60. Nothing was started.
    """

    field: str = ""
    value: Any = None
    problem: str = ""
    cure: str = ""
    not_done: str = ""
    sent: bool | None = None
    #: The message.
    args: tuple[Any, ...]

    def __init__(self, problem: str = "", *, expected: str = "", **facts: Any) -> None:
        if expected:
            problem = f"expected {expected}, got {describe_value(facts.get('value'))}"
        if facts.get("not_done"):
            facts.setdefault("sent", False)
        super().__init__(problem)
        self.restate(problem=problem, **facts)

    @property
    def consequence(self) -> str:
        """What did not happen, as a sentence such as "Nothing was sent."; "" when the error does not say."""
        return f"Nothing was {self.not_done}." if self.not_done else ""

    @property
    def statement(self) -> str:
        """The message without its last sentence, the consequence: to be joined with other messages."""
        problem = f"{self.field}: {self.problem}" if self.field else self.problem
        if not self.cure:
            return problem
        space = "" if problem.endswith("\n") else " "  # a list of several lines ends with its own line
        return f"{_end_sentence(problem)}{space}{_end_sentence(self.cure)}".strip()

    def restate(self, **facts: Any) -> Self:
        """Replace facts of this error and rebuild its message. Return the error itself.

        For code that calls a check on behalf of another task: `error.restate(not_done="written")` instead of a
        search for words in the message.
        """
        self.__dict__.update(facts)
        statement, consequence = self.statement, self.consequence
        self.args = (f"{_end_sentence(statement)} {consequence}".strip() if consequence else statement,)
        return self

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook prints for this error; IPython calls it."""
        from lcnb.cell_traceback import cell_traceback

        return cell_traceback(self)


def describe_value(value: object) -> str:
    """A wrong value as a message shows it: its repr, cut where it is long.

    >>> describe_value("false"), describe_value(3), describe_value(None)
    ("'false'", '3', 'None')
    """
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"


def _end_sentence(text: str) -> str:
    """The text with a full stop, unless it ends a sentence already."""
    return text if not text or text.rstrip("\n").endswith((".", "!", "?", "…", ".)", ":")) else f"{text}."


class ConfigError(LcnbError):
    """An account, token, base URL or setting is missing or wrong."""

    sent: bool | None = False


class TokenMissing(ConfigError):
    """No place that was looked at has a token (`.looked_at` lists the places)."""

    looked_at: tuple[str, ...] = ()


class ReadOnly(ConfigError):
    """The settings make the account read-only; nothing was sent. `.reason` is the setting that says so."""

    reason: str = ""


class InputError(LcnbError, ValueError):
    """An argument is wrong; nothing was sent or started."""

    sent: bool | None = False


class ParameterError(InputError):
    """A runbook parameter: unknown name, wrong type, or a value that is not allowed."""


class ConfirmationMissing(InputError):
    """A change that nobody confirmed; nothing was sent."""


class ApprovalMissing(ConfirmationMissing):
    """Changes that no second person has approved, in an account that requires it; nothing was sent."""


class ChangesRefused(InputError):
    """Machines that cannot be changed now; nothing was sent.

    `.refused` lists each of them: label, identifier, reason, kind.
    """

    refused: tuple[RefusedMachine, ...] = ()


class ApiError(LcnbError):
    """The provider refused the request.

    `.method` and `.path` name the call. `.status` is the HTTP status, `.provider_message` the provider's message (None
    when it gave none). `.tries` is the number of times that the call was sent. `.brief` is the message without that
    number.
    """

    sent: bool | None = True
    method: str = ""
    path: str = ""
    status: int | None = None
    provider_message: str | None = None
    tries: int = 1
    brief: str = ""


class AuthenticationError(ApiError):
    """401: the token is missing or wrong. Never retried."""


class PermissionDenied(ApiError):
    """403: the token may not do this."""


class NotFound(ApiError):
    """404, or no such machine, key or snapshot in the account."""


class Conflict(ApiError):
    """409: the state of the machine, key or snapshot does not allow this now."""


class ValidationError(ApiError):
    """400, 413 or 422: the provider did not accept the request as it was."""


class RateLimited(ApiError):
    """429, and waiting would exceed the deadline. `.retry_after` is the requested wait in seconds, or None."""

    retry_after: float | None = None


class ServerError(ApiError):
    """5xx, after the retries that are safe."""


class Refused(ApiError):
    """HTTP 200 with `success: false`; `.provider_message` says why."""


class TransportError(LcnbError):
    """There was no usable response. `.method`, `.path`, `.tries` and `.brief` are as in ApiError."""

    method: str = ""
    path: str = ""
    tries: int = 1
    brief: str = ""


class ConnectionFailed(TransportError):
    """Nothing was sent: name not found, connection refused, TLS not trusted."""

    sent: bool | None = False


class ConnectionLost(TransportError):
    """The request was sent; the connection ended before the response was complete."""

    sent: bool | None = True


class DeadlineExceeded(TransportError, TimeoutError):
    """The deadline passed: the seconds for the whole call, including its retries."""


class BadReply(TransportError):
    """A response that is not the API's: HTML, empty, half a body, not an envelope."""

    sent: bool | None = True


class ChangeError(LcnbError):
    """Not every change was made. `.result` is a frame with one row per change (None when nothing was begun)."""

    result: pd.DataFrame | None = None


class Drifted(ChangeError):
    """The account has changed since the changes were planned; nothing was sent."""

    sent: bool | None = False


class Protected(ChangeError):
    """A machine is protected against this change; nothing was sent.

    `.machines` holds the identifiers of all protected machines that the changes would interrupt or end, `.refused` the
    machines with their labels and reasons.
    """

    sent: bool | None = False
    machines: tuple[str, ...] = ()
    refused: tuple[RefusedMachine, ...] = ()


class AlreadyApplied(ChangeError):
    """This ChangeSet was applied before, or is being applied now; nothing was sent."""

    sent: bool | None = False


class ChangeFailed(ChangeError):
    """A change failed, or its outcome is unknown; the message and `.result` say which."""


class WaitTimeout(ChangeError, TimeoutError):
    """The changes were made, but the final state of one was not seen before the deadline."""

    sent: bool | None = True


class JournalError(LcnbError):
    """The journal cannot be read or written; nothing was sent."""

    sent: bool | None = False


class HistoryError(LcnbError):
    """The history of the account cannot be read or written. Reading the account itself never raises it."""


class StoreError(LcnbError):
    """The object store of runs and leases did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store did not answer before the deadline, or refused. `.tries` is the number of attempts.

    `.url` is the URL of the store. `.refused` says that the store answered and another attempt would fail as well, for
    example because of wrong credentials. After a write, `.sent` is None when the write may have arrived.
    """

    url: str = ""
    tries: int = 1
    refused: bool = False


class StoreConflict(StoreError):
    """Another write was first; nothing was written. `.current` is the object that was found, or None."""

    sent = False
    current: StoredObject | None = None


class Locked(LcnbError):
    """Another process changes the same machine, or runs the same runbook, or nobody can know; this one did nothing.

    `.is_unknown`: the store of the locks did not answer, so whether another machine holds them is not known.
    """

    sent: bool | None = False
    is_unknown: bool = False


class RunError(LcnbError):
    """A runbook run failed. `.folder` is the folder of the run (None when it was not made)."""

    folder: Path | None = None


class CellFailed(RunError):
    """A cell raised; the message shows the cell and its error."""


class KernelDied(RunError):
    """The kernel could not start, or ended during the run."""


class RunTimeout(RunError, TimeoutError):
    """A cell or the whole run exceeded its time limit."""


class QueryTimeout(LcnbError, TimeoutError):
    """A query in SQL took longer than the timeout of its client, and was stopped."""


class SandboxError(LcnbError):
    """The sandbox could not be started."""

    sent: bool | None = False


class DriftWarning(UserWarning):
    """A response was odd in places: the good rows were kept, odd values are missing.

    `frame.attrs["lcnb"]["drift"]` lists each place (JSON path and problem).
    """


class ConfigWarning(UserWarning):
    """A setting was used although something about it is wrong; the message names the cure."""


class HistoryWarning(UserWarning):
    """The history has no answer to a question; the message says why, such as a single reading."""


class StoreWarning(UserWarning):
    """The store of runs did not answer: the runs are those that are known on this machine."""
