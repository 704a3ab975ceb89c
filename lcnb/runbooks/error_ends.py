"""The end of a command that an error ended: one exit code for each class of error, in every command."""

from __future__ import annotations

from lcnb.errors import ConfigError, ConfirmationMissing, InputError, Locked, NotFound, WaitTimeout
from lcnb.runbooks.ends import LOCKED, MISUSED, NOT_CONFIRMED, RUN_FAILED, TIMED_OUT, End


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
    return MISUSED if isinstance(error, InputError | ConfigError | NotFound) else RUN_FAILED
