"""Every error that lcnb raises, and its warnings.

    LcnbError
    ├── ConfigError                 an account, token, base URL or setting is missing or wrong
    │   └── TokenMissing            no token in any of the places that were looked at
    ├── InputError (ValueError)     what was passed cannot be right; nothing was sent or started
    │   ├── ParameterError          a runbook parameter: unknown name, wrong type, value not allowed
    │   └── ConfirmationMissing     a write that nobody confirmed; nothing was sent
    ├── ApiError                    the provider answered, and the answer is no
    │   ├── AuthenticationError     401: the token is missing or wrong
    │   ├── PermissionDenied        403
    │   ├── NotFound                404, or no such machine, key or snapshot
    │   ├── Conflict                409
    │   ├── ValidationError         400, 413, 422: the provider did not accept the request
    │   ├── RateLimited             429, and waiting would pass the deadline
    │   ├── ServerError             5xx, after the retries that are safe
    │   └── Refused                 HTTP 200 with success: false
    ├── TransportError              no usable answer came
    │   ├── ConnectionFailed        nothing was sent: DNS, refused, TLS
    │   ├── ConnectionLost          sent, then reset or closed before a whole answer
    │   ├── DeadlineExceeded        the deadline in seconds passed (also a TimeoutError)
    │   └── BadReply                an answer that is not the API's: HTML, empty, half a body
    ├── ChangeError                 changes were not all made (the result says which)
    │   ├── Drifted                 the account is no longer as it was when the changes were planned; nothing was sent
    │   ├── AlreadyApplied          this ChangeSet was applied before, or is being applied now; nothing was sent
    │   ├── ChangeFailed            a change failed, or its outcome is not known
    │   └── WaitTimeout             made, but not seen in its final state in time (also a TimeoutError)
    ├── JournalError                the journal cannot be read or written; nothing was sent
    ├── Locked                      another process works on the same machine or runs the same runbook
    ├── RunError                    a runbook run did not end as it should
    │   ├── CellFailed              a cell raised; the message shows it
    │   ├── KernelDied              the kernel could not start, or ended in the middle
    │   └── RunTimeout              a cell or the whole run took too long (also a TimeoutError)
    └── SandboxError                the sandbox could not be started

    DriftWarning (UserWarning)      an answer was odd in places; the good rows were kept
    ConfigWarning (UserWarning)     a setting was used although something about it is to be mended

An error carries facts, and its message is built from them in one place (`LcnbError`). Facts are attributes, all of
them optional keyword arguments, so that every error can be pickled (a batch sends them between processes). A program
reads the facts and never the message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

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
        return f"{_end_sentence(problem)} {_end_sentence(self.cure)}".strip() if self.cure else problem

    def restate(self, **facts: Any) -> Self:
        """Replace facts of this error, and build its message anew. Returns the error itself.

        For code that calls a check on behalf of another task: `error.restate(not_done="written")` instead of a
        search for words in the message.
        """
        self.__dict__.update(facts)
        statement, consequence = self.statement, self.consequence
        self.args = (f"{_end_sentence(statement)} {consequence}".strip() if consequence else statement,)
        return self


def describe_value(value: object) -> str:
    """A wrong value as a message shows it: its repr, cut where it is long.

    >>> describe_value("false"), describe_value(3), describe_value(None)
    ("'false'", '3', 'None')
    """
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"


def _end_sentence(text: str) -> str:
    """The text with a full stop, unless it ends a sentence already."""
    return text if not text or text.endswith((".", "!", "?", "…", ".)", ":")) else f"{text}."


class ConfigError(LcnbError):
    """An account, token, base URL or setting is missing or wrong."""

    sent = False


class TokenMissing(ConfigError):
    """No token in any of the places that were looked at (`.looked_at` lists them)."""

    looked_at: tuple[str, ...] = ()


class InputError(LcnbError, ValueError):
    """What was passed cannot be right; nothing was sent or started."""

    sent = False


class ParameterError(InputError):
    """A runbook parameter: unknown name, wrong type, or a value that is not allowed."""


class ConfirmationMissing(InputError):
    """A write that nobody confirmed; nothing was sent."""


class ApiError(LcnbError):
    """The provider answered, and the answer is no.

    `.method` and `.path` name the call, `.status` is the HTTP status, `.provider_message` the provider's
    own words (None when it gave none), `.tries` how often the call was sent, `.brief` what happened and what
    to do next, without how often it was sent.
    """

    sent = True
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
    """409: the state of the thing does not allow it now."""


class ValidationError(ApiError):
    """400, 413 or 422: the provider did not accept the request as it was."""


class RateLimited(ApiError):
    """429, and waiting as told would pass the deadline (`.retry_after` in seconds, or None)."""

    retry_after: float | None = None


class ServerError(ApiError):
    """5xx, after the retries that are safe."""


class Refused(ApiError):
    """HTTP 200 with `success: false`; `.provider_message` says why."""


class TransportError(LcnbError):
    """No usable answer came. `.method`, `.path`, `.tries` and `.brief` as for ApiError."""

    method: str = ""
    path: str = ""
    tries: int = 1
    brief: str = ""


class ConnectionFailed(TransportError):
    """Nothing was sent: name not found, connection refused, TLS not trusted."""

    sent = False


class ConnectionLost(TransportError):
    """The request was sent; the connection ended before a whole answer came."""

    sent = True


class DeadlineExceeded(TransportError, TimeoutError):
    """The deadline (seconds, for the whole call with its retries) passed."""


class BadReply(TransportError):
    """An answer that is not the API's: HTML, empty, half a body, not an envelope."""

    sent = True


class ChangeError(LcnbError):
    """Changes were not all made. `.result` is a frame with a row a change (None when nothing was begun)."""

    result: pd.DataFrame | None = None


class Drifted(ChangeError):
    """The account is no longer as it was when the changes were planned; nothing was sent."""

    sent = False


class AlreadyApplied(ChangeError):
    """This ChangeSet was applied before, or is being applied now; nothing was sent."""

    sent = False


class ChangeFailed(ChangeError):
    """A change failed, or its outcome is not known; the message and `.result` say which."""


class WaitTimeout(ChangeError, TimeoutError):
    """The changes were made, but one was not seen in its final state within the deadline."""

    sent = True


class JournalError(LcnbError):
    """The journal cannot be read or written; nothing was sent."""

    sent = False


class Locked(LcnbError):
    """Another process works on the same machine, or runs the same runbook; this one did nothing."""

    sent = False


class RunError(LcnbError):
    """A runbook run did not end as it should. `.folder` holds what there is of it (None: nothing was made)."""

    folder: Path | None = None


class CellFailed(RunError):
    """A cell raised; the message shows the cell and its error."""


class KernelDied(RunError):
    """The kernel could not start, or ended in the middle of a run."""


class RunTimeout(RunError, TimeoutError):
    """A cell, or the whole run, took longer than it was allowed to."""


class SandboxError(LcnbError):
    """The sandbox could not be started."""

    sent = False


class DriftWarning(UserWarning):
    """An answer was odd in places: the good rows were kept, the odd cells are missing values.

    `frame.attrs["lcnb"]["drift"]` lists each place (JSON path and problem).
    """


class ConfigWarning(UserWarning):
    """A setting was used although something about it is to be mended; the message names the cure."""
