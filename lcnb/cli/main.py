"""The group `lcnb` and its entry point: every known error becomes one text on stderr and an exit code.

Only click is imported here. The module of a command is imported when it is called; pandas, httpx and the rest load in
the command that needs them. `lcnb.runbooks.ends` has the table of exit codes, and `lcnb.cli.batch` says which of them
`lcnb batch` returns.
"""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

import lcnb
from lcnb import streams
from lcnb.cli.help_pages import add_pages
from lcnb.runbooks.ends import DONE, INTERRUPTED
from lcnb.signals import resend_lost_signal

#: Module in lcnb.cli → the commands that it has, in its tuple COMMANDS.
MODULES = {
    "listings": (
        "instances", "inventory", "locations", "plans", "images", "sshkeys", "snapshots", "profile", "accounts",
    ),
    "sql": ("sql",),
    "local": ("doctor", "sandbox", "admin", "demo"),
    "changes": ("create", "delete", "power", "resize", "reset-password", "key", "snapshot"),
    "access": ("wait", "reveal"),
    "desired_state": ("plan", "apply"),
    "facts": ("tag", "untag", "protect", "unprotect", "expire", "facts"),
    "journal": ("journal", "pending", "resume"),
    "history": ("record", "history"),
    "runbooks": ("runbooks", "run", "plan-run", "warm"),
    "runs": ("runs", "show", "open", "diff", "rerun", "verify", "approve"),
    "batch": ("batch",),
    "schedule": ("schedule",),
}  # fmt: skip


#: Words that people try as a command → the words that do it here.
OTHER_WORDS = {
    "help": "--help",
    **dict.fromkeys(("list", "ls", "machines", "servers", "status"), "inventory"),
    **dict.fromkeys(("start", "on"), "power on"),
    **dict.fromkeys(("stop", "off"), "power off"),
    "shutdown": "power shutdown",
    **dict.fromkeys(("reboot", "restart"), "power reboot"),
    **dict.fromkeys(("rm", "remove", "destroy"), "delete"),
    **dict.fromkeys(("login", "token", "check"), "doctor"),
    "ssh": "wait",
    "password": "reveal",
    **dict.fromkeys(("report", "log", "logs"), "show last"),
    "cron": "schedule",
}
#: The values of --wait besides "ready", which is meant without a value.
WAIT_LEVELS = ("ssh", "cloud-init")
#: New objects after which Python searches for cycles. Importing makes many objects and no garbage: with Python's own
#: threshold a short command spends a tenth of its time on searches that find nothing.
GC_THRESHOLD = 10_000


def join_wait_values(args: list[str]) -> list[str]:
    """Return the words of a command line with a value for each `--wait`: `--wait=ready` where none is given.

    click reads the next word as the value of such an option, also where it is the label of a machine.

    >>> join_wait_values(["create", "--wait", "ssh", "web-99"]), join_wait_values(["delete", "--wait", "web-99"])
    (['create', '--wait=ssh', 'web-99'], ['delete', '--wait=ready', 'web-99'])
    """
    joined: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*joined, word, *words]
        if word == "--wait":
            word += f"={words.pop(0) if words and words[0] in WAIT_LEVELS else 'ready'}"
        joined.append(word)
    return joined


class _LazyGroup(click.Group):
    """The group `lcnb`: imports the module of a command when it is used, and suggests one for a misspelt name.

    Interrupts are left to `main`.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(name for names in MODULES.values() for name in names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, whose module is imported now; None for an unknown name."""
        module = next((module for module, names in MODULES.items() if cmd_name in names), None)
        if module is None:
            return None
        commands: tuple[click.Command, ...] = import_module(f"lcnb.cli.{module}").COMMANDS
        command = next(each for each in commands if each.name == cmd_name)
        add_pages(command, cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command, or suggest a similar one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from lcnb.suggestions import did_you_mean

            word = args[0].lower()
            near = did_you_mean(word, self.list_commands(ctx))
            if word in OTHER_WORDS:
                near = f" (use `lcnb {OTHER_WORDS[word]}`)"
            ctx.fail(f"no command {args[0]!r}{near}. `lcnb --help` lists them.")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, on which the value of --wait is optional."""
        return super().parse_args(ctx, join_wait_values(args))

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
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(lcnb.__version__, prog_name="lcnb")
def cli() -> None:
    """Work with a LetsCloud account: tables, changes and runbooks.

    To try it without an account, run `lcnb demo`.
    """
    from lcnb.display.terminal import show_warnings

    show_warnings()


# --- entry point ----------------------------------------------------------------------------------------


def main() -> None:
    """Run the command line: print each known error as one text on stderr, and exit with its code."""
    gc.set_threshold(GC_THRESHOLD)
    streams.open_streams()
    sys.unraisablehook = resend_lost_signal
    try:
        cli(prog_name="lcnb", standalone_mode=False)
        code = DONE.exit_code
    except click.exceptions.Abort:
        code = INTERRUPTED.exit_code
    except click.ClickException as error:
        from lcnb.cli.usage_errors import show_usage_error

        show_usage_error(error)
        code = error.exit_code
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        _print_notes(stop)
    except _BypassedError as ended:
        code = report_error(ended.args[0])
    except BaseException as error:
        code = report_error(error)
    # Otherwise Python searches all modules for cycles at its end, which takes a fifth of the time of a short command.
    atexit.register(gc.freeze)
    # Runs first at exit: a further interrupt would only cut the cleanup short.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(streams.finish_output(code))


def report_error(error: BaseException) -> int:
    """Print an error on stderr and return its exit code. Re-raise one that lcnb does not know."""
    from lcnb.errors import LcnbError

    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        _print_notes(error)
        return INTERRUPTED.exit_code
    if not isinstance(error, LcnbError | OSError):
        raise error
    from lcnb.display.terminal import print_error
    from lcnb.files import DISK_CURE, is_disk_failure
    from lcnb.runbooks.error_ends import end_of_error

    print_error(LcnbError(str(error), cure=DISK_CURE) if is_disk_failure(error) else error)
    _print_notes(error)
    return end_of_error(error).exit_code


def _print_notes(error: BaseException) -> None:
    """Print the notes of an exception, such as the folder of an interrupted run."""
    for note in getattr(error, "__notes__", []):
        print(note, file=sys.stderr)
