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

A message names the thing, the value and the cure. Facts that a program needs are attributes, all
optional keyword arguments, so that every error can be pickled (a batch sends them between processes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


class LcnbError(Exception):
    """The root: `except lcnb.LcnbError` catches all that lcnb raises on purpose."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.__dict__.update(facts)


class ConfigError(LcnbError):
    """An account, token, base URL or setting is missing or wrong."""


class TokenMissing(ConfigError):
    """No token in any of the places that were looked at (`.looked_at` lists them)."""

    looked_at: tuple[str, ...] = ()


class InputError(LcnbError, ValueError):
    """What was passed cannot be right; nothing was sent or started."""


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


class ConnectionLost(TransportError):
    """The request was sent; the connection ended before a whole answer came."""


class DeadlineExceeded(TransportError, TimeoutError):
    """The deadline (seconds, for the whole call with its retries) passed."""


class BadReply(TransportError):
    """An answer that is not the API's: HTML, empty, half a body, not an envelope."""


class ChangeError(LcnbError):
    """Changes were not all made. `.result` is a frame with a row a change (None when nothing was begun)."""

    result: pd.DataFrame | None = None


class Drifted(ChangeError):
    """The account is no longer as it was when the changes were planned; nothing was sent."""


class AlreadyApplied(ChangeError):
    """This ChangeSet was applied before, or is being applied now; nothing was sent."""


class ChangeFailed(ChangeError):
    """A change failed, or its outcome is not known; the message and `.result` say which."""


class WaitTimeout(ChangeError, TimeoutError):
    """The changes were made, but one was not seen in its final state within the deadline."""


class JournalError(LcnbError):
    """The journal cannot be read or written; nothing was sent."""


class Locked(LcnbError):
    """Another process works on the same machine, or runs the same runbook; this one did nothing."""


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


class DriftWarning(UserWarning):
    """An answer was odd in places: the good rows were kept, the odd cells are missing values.

    `frame.attrs["lcnb"]["drift"]` lists each place (JSON path and problem).
    """


class ConfigWarning(UserWarning):
    """A setting was used although something about it is to be mended; the message names the cure."""
