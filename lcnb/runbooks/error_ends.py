"""The end of a command that an error ended: one exit code for each class of error, in every command."""

from __future__ import annotations

from lcnb.errors import (
    AlreadyApplied,
    ConfigError,
    ConfirmationMissing,
    Drifted,
    InputError,
    Locked,
    NotFound,
    Protected,
    WaitTimeout,
)
from lcnb.runbooks.ends import LOCKED, MISUSED, NOT_CONFIRMED, RUN_FAILED, TIMED_OUT, End

#: Nothing was sent or started, and the same command is refused again until something is corrected.
_REFUSALS = (InputError, ConfigError, NotFound, Protected, AlreadyApplied, Drifted)


def end_of_error(error: BaseException) -> End:
    """Return how a command ends that raises this error before it has changed or run anything.

    >>> end_of_error(NotFound("no machine has the label 'web-1'")).exit_code
    2
    """
    if isinstance(error, ConfirmationMissing):
        return NOT_CONFIRMED
    if isinstance(error, Locked):
        return LOCKED
    if isinstance(error, WaitTimeout):
        return TIMED_OUT
    return MISUSED if isinstance(error, _REFUSALS) else RUN_FAILED
