"""The group `lcnb` and its entry point: every known error becomes one text on stderr and an exit code.

Only click is imported here; pandas, httpx and the rest load in the command that needs them, so that
`lcnb --help` answers at once. Exit codes: 0 done; 1 the provider or the network failed; 2 wrong usage,
parameter or configuration; 3 a cell of a runbook failed; 4 a time limit was reached; 5 the kernel died; 6 nobody
confirmed the change; 7 only a part of the changes was made; 8 a check in the runbook failed; 75 another process has
the lock; 129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM. `lcnb batch` has its own table in `lcnb.cli.batch`.
"""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import lcnb
from lcnb import streams
from lcnb.cli.batch import batch_command
from lcnb.cli.changes import COMMANDS as CHANGES
from lcnb.cli.listings import COMMANDS as LISTINGS
from lcnb.cli.local import COMMANDS as LOCAL
from lcnb.cli.runbooks import COMMANDS as RUNBOOKS
from lcnb.cli.runs import COMMANDS as RUNS
from lcnb.cli.schedule import schedule_group
from lcnb.runbooks.ends import INTERRUPTED, LOCKED, MISUSED, NOT_CONFIRMED, RUN_FAILED
from lcnb.signals import resend_lost_signal

if TYPE_CHECKING:
    pass


class _SuggestingGroup(click.Group):
    """Suggests the near command for a misspelt one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from lcnb.suggestions import did_you_mean

            near = did_you_mean(args[0], self.commands)
            ctx.fail(f"no command {args[0]!r}{near}. `lcnb --help` lists them.")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _bypass_click():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _bypass_click():
            return super().invoke(ctx)


class _BypassedError(Exception):
    """Ctrl-C or a closed pipe (not a standard stream), carried past click, which would make its own end of either."""


@contextmanager
def _bypass_click() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as error:
        raise _BypassedError(error) from error


@click.group(
    cls=_SuggestingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(lcnb.__version__, prog_name="lcnb")
def cli() -> None:
    """Your LetsCloud account as tables and runbooks.

    Try it without an account: lcnb demo
    """
    from lcnb.display.terminal import show_warnings

    show_warnings()


for command in (*LISTINGS, *LOCAL, *CHANGES, *RUNBOOKS, *RUNS, batch_command, schedule_group):
    cli.add_command(command)


# --- the way in -----------------------------------------------------------------------------------------


def main() -> None:
    """`lcnb`: every known error becomes one text on stderr and its exit code."""
    streams.open_streams()
    sys.unraisablehook = resend_lost_signal
    try:
        cli(prog_name="lcnb", standalone_mode=False)
        code = 0
    except click.exceptions.Abort:
        code = INTERRUPTED.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        _print_notes(stop)
    except _BypassedError as ended:
        code = _report_error(ended.args[0])
    except BaseException as error:
        code = _report_error(error)
    # The first thing at the exit: an interrupt finds nothing more to end, and what cleans up is not cut short.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(streams.finish_output(code))


def _report_error(error: BaseException) -> int:
    from lcnb.errors import ConfigError, ConfirmationMissing, InputError, LcnbError, Locked

    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        _print_notes(error)
        return INTERRUPTED.exit_code
    if not isinstance(error, LcnbError | OSError):
        raise error
    from lcnb.display.terminal import print_error

    print_error(error)
    _print_notes(error)
    if isinstance(error, ConfirmationMissing):
        return NOT_CONFIRMED.exit_code
    if isinstance(error, Locked):
        return LOCKED.exit_code
    return (MISUSED if isinstance(error, InputError | ConfigError) else RUN_FAILED).exit_code


def _print_notes(error: BaseException) -> None:
    """What was noted on the way, such as the folder of a run that was ended."""
    for note in getattr(error, "__notes__", []):
        print(note, file=sys.stderr)
