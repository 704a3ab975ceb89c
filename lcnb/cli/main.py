"""The group `lcnb` and its entry point: every known error becomes one text on stderr and an exit code.

Only click is imported here; pandas, httpx and the rest load in the command that needs them, so that
`lcnb --help` answers at once. `lcnb.runbooks.ends` has the table of exit codes, and `lcnb.cli.batch` says which of them
`lcnb batch` returns.
"""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import lcnb
from lcnb import streams
from lcnb.cli import (
    batch,
    changes,
    desired_state,
    facts,
    history,
    journal,
    listings,
    local,
    runbooks,
    runs,
    schedule,
    sql,
)
from lcnb.runbooks.ends import DONE, INTERRUPTED, LOCKED, MISUSED, NOT_CONFIRMED, RUN_FAILED
from lcnb.signals import resend_lost_signal

#: The modules with commands, each with a tuple COMMANDS.
MODULES = (
    listings, sql, local, changes, desired_state, facts, journal, history, runbooks, runs, batch, schedule,
)  # fmt: skip


class _SuggestingGroup(click.Group):
    """The group `lcnb`: suggests a similar command for a misspelt one, and leaves interrupts to `main`."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, or suggest a similar one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from lcnb.suggestions import did_you_mean

            near = did_you_mean(args[0], self.commands)
            ctx.fail(f"no command {args[0]!r}{near}. `lcnb --help` lists them.")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line, with interrupts passed to `main`."""
        with _bypass_click():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command, with interrupts passed to `main`."""
        with _bypass_click():
            return super().invoke(ctx)


class _BypassedError(Exception):
    """Ctrl-C or a broken pipe, wrapped so that click does not handle it in its own way."""


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
    """Work with a LetsCloud account: tables, changes and runbooks.

    To try it without an account, run `lcnb demo`.
    """
    from lcnb.display.terminal import show_warnings

    show_warnings()


for module in MODULES:
    for command in module.COMMANDS:
        cli.add_command(command)


# --- entry point ----------------------------------------------------------------------------------------


def main() -> None:
    """Run the command line: print each known error as one text on stderr, and exit with its code."""
    streams.open_streams()
    sys.unraisablehook = resend_lost_signal
    try:
        cli(prog_name="lcnb", standalone_mode=False)
        code = DONE.exit_code
    except click.exceptions.Abort:
        code = INTERRUPTED.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        _print_notes(stop)
    except _BypassedError as ended:
        code = report_error(ended.args[0])
    except BaseException as error:
        code = report_error(error)
    # Runs first at exit: a further interrupt would only cut the cleanup short.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(streams.finish_output(code))


def report_error(error: BaseException) -> int:
    """Print an error on stderr and return its exit code. Re-raise one that lcnb does not know."""
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
    return MISUSED.exit_code if isinstance(error, InputError | ConfigError) else RUN_FAILED.exit_code


def _print_notes(error: BaseException) -> None:
    """Print the notes of an exception, such as the folder of an interrupted run."""
    for note in getattr(error, "__notes__", []):
        print(note, file=sys.stderr)
