"""Commands that record their starts: where no terminal shows a message, a schedule would leave no trace.

There are two records, because two questions are answered in two places. `lcnb.runbooks.schedule.starts` is the log of
an installed schedule: each start with its time and its end, in the state folder of its machine, also when the runs
folder cannot be written. `lcnb.runbooks.records.refused` has what was refused of a runs folder, whatever had started
it. Both are written here only, with the same secrets masked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.run_options import option_value, set_variables

if TYPE_CHECKING:
    from lcnb.runbooks.result import RunResult
    from lcnb.secret import Secret

_GIVEN = "lcnb.given"


class RecordedCommand(click.Command):
    """A command that records why it did not start, and notifies people, where it has no terminal."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the command line; wrong usage is recorded."""
        given = list(args)
        with _record_refusals(info_name or "", given):
            try:
                ctx = super().make_context(info_name, args, parent, **extra)
            except click.ClickException as error:
                _record_wrong_options(error, given)
                raise
        ctx.meta[_GIVEN] = given
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; an error that it raises before a run exists is recorded."""
        with _record_refusals(ctx.params.get("name") or ctx.info_name or "", ctx.meta.get(_GIVEN, [])):
            return super().invoke(ctx)


def record_scheduled_start(ctx: click.Context) -> AbstractContextManager[list[RunResult]]:
    """Record the start and the end of a run that an installed schedule starts, also of one that is refused.

    The block appends the result of the run to the list.
    """
    if not _is_scheduled():
        return nullcontext([])
    from lcnb.runbooks.schedule.starts import record_start

    return record_start(hide=_given_secrets(ctx.meta.get(_GIVEN, [])))


def has_terminal() -> bool:
    """Whether a person may see what is printed: stdin, stdout or stderr is a terminal."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def _is_scheduled() -> bool:
    from lcnb.runbooks.environment import SCHEDULE_VARIABLE

    return bool(os.environ.get(SCHEDULE_VARIABLE))


def _record_wrong_options(error: click.ClickException, given: Sequence[str]) -> None:
    """Record that the command line of a schedule is wrong, so that `lcnb schedule check` knows why nothing ran."""
    if _is_scheduled():
        from lcnb.runbooks.schedule.starts import record_wrong_options

        record_wrong_options(error.format_message(), hide=_given_secrets(given))


@contextmanager
def _record_refusals(name: str, given: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not has_terminal() and _is_refusal(error):
            _report_refusal(name, given, error)
        raise


def _is_refusal(error: Exception) -> bool:
    """Whether a command ended before it had a run with a record of its own.

    The lock of a run that is active is no refusal: that run has its own record.
    """
    from lcnb import streams
    from lcnb.errors import LcnbError, Locked

    if isinstance(error, Locked) or streams.is_action_done():
        return False
    return isinstance(error, LcnbError | click.UsageError) and getattr(error, "folder", None) is None


def _report_refusal(name: str, given: Sequence[str], error: Exception) -> None:
    """Record the refusal in the runs folder of the command, and notify its people."""
    from lcnb.display.terminal import print_warning
    from lcnb.errors import LcnbError, RunError
    from lcnb.runbooks.ends import MISUSED
    from lcnb.runbooks.error_ends import end_of_error
    from lcnb.runbooks.refused_start import report_refused_start

    end, reason = end_of_error(error), str(error)
    if isinstance(error, click.UsageError):
        end, reason = MISUSED, error.format_message()
        name = given[0] if given and not given[0].startswith("-") else name
        with suppress(LcnbError, OSError):
            if file := option_value(given, "--env-file"):
                set_variables(file)  # it may name the runs folder and whom to notify
    problems = report_refused_start(
        name,
        end,
        reason,
        account=option_value(given, "--account"),
        folder=option_value(given, "--runs-dir"),
        record=not isinstance(error, RunError),
        hide=_given_secrets(given),
    )
    for problem in problems:
        print_warning(problem)


def _given_secrets(given: Sequence[str]) -> list[Secret]:
    """Return the values of the parameters of a command line whose names are those of secrets."""
    from lcnb.runbooks.notebook.secret_names import is_secret_name
    from lcnb.secret import Secret

    pairs = [word.partition("=") for word in given]
    return [Secret(value) for key, _, value in pairs if value and is_secret_name(key)]
