"""The `lcnb` command: each subcommand about a screen, no logic of its own.

Only click is imported here; pandas, httpx and the rest load in the command that needs them, so that
`lcnb --help` answers at once. Exit codes: 0 done; 1 the provider or the network failed; 2 wrong usage,
parameter or configuration; 3 a cell of a runbook failed; 4 it took too long; 5 its kernel died; 6 a change that
nobody confirmed; 7 changes were made in part; 8 a runbook's own check failed; 75 another process has the lock;
129, 130, 143 ended by SIGHUP, Ctrl-C, SIGTERM. Those of `lcnb batch` stand in cli_batch.
"""

from __future__ import annotations

import atexit
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import lcnb
from lcnb import streams
from lcnb.cli.batch import batch
from lcnb.cli.changes import COMMANDS as CHANGES
from lcnb.cli.options import OUTPUTS, account_options, connect, output_option
from lcnb.cli.runbooks import COMMANDS as RUNBOOKS
from lcnb.cli.runs import COMMANDS as RUNS
from lcnb.cli.schedule import schedule
from lcnb.signals import send_lost_again

if TYPE_CHECKING:
    from lcnb.client import LetsCloud


class _Commands(click.Group):
    """Suggests the near command for a misspelt one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from lcnb.config import did_you_mean

            near = did_you_mean(args[0], self.commands)
            ctx.fail(f"no command {args[0]!r}{near}. `lcnb --help` lists them.")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _past_click():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _past_click():
            return super().invoke(ctx)


class _Ended(Exception):
    """Ctrl-C or a closed pipe (not a standard stream), carried past click, which would make its own end of either."""


@contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as error:
        raise _Ended(error) from error


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(lcnb.__version__, prog_name="lcnb")
def cli() -> None:
    """Your LetsCloud account as tables and runbooks.

    Try it without an account: lcnb demo
    """
    from lcnb.display.terminal import show_warnings

    show_warnings()


# --- listings -------------------------------------------------------------------------------------------


def _location_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--location", metavar="SLUG", help="Only this location, such as MIA1.")(command)


def _print_listing(
    name: str, account: str | None, sandbox: bool, output: str, *args: Any, **match: Any
) -> None:
    from lcnb.display.terminal import print_frame

    with connect(account, sandbox) as lc:
        frame = getattr(lc, name)(*args)
        for column, wanted in match.items():
            if wanted is not None:
                frame = frame[_matching(lc, frame, column, wanted)]
    print_frame(frame, output)


def _matching(lc: LetsCloud, frame: Any, column: str, wanted: str) -> Any:
    """Rows whose value is `wanted` in any case; a location is checked, since a typo would show an empty list."""
    if column == "location" and wanted.lower() not in {str(value).lower() for value in frame[column]}:
        known = lc.locations()["slug"].dropna().tolist()
        if wanted.lower() not in {slug.lower() for slug in known}:
            from lcnb.api.calls import unknown_location

            raise unknown_location(wanted, known)
    return frame[column].str.lower() == wanted.lower()


STATES = click.Choice(["running", "off", "building", "busy", "suspended"], case_sensitive=False)


@cli.command()
@_location_option
@click.option("--state", type=STATES, help="Only machines in this state.")
@output_option(*OUTPUTS)
@account_options
def instances(
    location: str | None, state: str | None, output: str, account: str | None, sandbox: bool
) -> None:
    """Machines as the API lists them (memory in MB, disk in GB)."""
    _print_listing("instances", account, sandbox, output, location=location, state=state)


@cli.command()
@_location_option
@click.option("--state", type=STATES, help="Only machines in this state.")
@output_option(*OUTPUTS)
@account_options
def inventory(
    location: str | None, state: str | None, output: str, account: str | None, sandbox: bool
) -> None:
    """Machines with inferred plan and price a month."""
    _print_listing("inventory", account, sandbox, output, location=location, state=state)


@cli.command()
@output_option(*OUTPUTS)
@account_options
def locations(output: str, account: str | None, sandbox: bool) -> None:
    """Places where machines can run."""
    _print_listing("locations", account, sandbox, output)


@cli.command()
@_location_option
@output_option(*OUTPUTS)
@account_options
def plans(location: str | None, output: str, account: str | None, sandbox: bool) -> None:
    """Sizes and their prices a month, of all locations or one."""
    _print_listing("plans", account, sandbox, output, location)


@cli.command()
@_location_option
@output_option(*OUTPUTS)
@account_options
def images(location: str | None, output: str, account: str | None, sandbox: bool) -> None:
    """Operating systems and one-click images, of all locations or one."""
    _print_listing("images", account, sandbox, output, location)


@cli.command()
@output_option(*OUTPUTS)
@account_options
def sshkeys(output: str, account: str | None, sandbox: bool) -> None:
    """Public keys that new machines can be given."""
    _print_listing("sshkeys", account, sandbox, output)


@cli.command()
@output_option(*OUTPUTS)
@account_options
def snapshots(output: str, account: str | None, sandbox: bool) -> None:
    """Stored images of machines (size in GB)."""
    _print_listing("snapshots", account, sandbox, output)


@cli.command()
@output_option("table", "json")
@account_options
def profile(output: str, account: str | None, sandbox: bool) -> None:
    """The account's holder, currency and balance."""
    from lcnb.display.terminal import print_record

    with connect(account, sandbox) as lc:
        print_record(lc.profile(), output)


# --- the machine that lcnb runs on ----------------------------------------------------------------------


@cli.command()
@output_option(*OUTPUTS)
def accounts(output: str) -> None:
    """Accounts and where each token comes from; never the token."""
    from lcnb.config import accounts as listed
    from lcnb.display.terminal import print_frame

    print_frame(listed(), output)


@cli.command()
@account_options
def doctor(account: str | None, sandbox: bool) -> None:
    """Check token, network, limits, versions and Jupyter kernel."""
    from lcnb.cli.doctor import examine
    from lcnb.display.terminal import stdout

    settings = connect(None, True).settings if sandbox else None
    console = stdout()
    failed = 0
    for check in examine(account, settings=settings):
        failed += not check.ok
        mark = "[green]ok  [/]" if check.ok else "[bold red]FAIL[/]"
        console.print(f"{mark} [bold]{check.name}[/]: ", end="")
        console.print(check.found, markup=False, highlight=False, soft_wrap=True)
    sys.exit(1 if failed else 0)


@cli.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one."
)
@click.option("--state", type=click.Path(dir_okay=False), help="File that keeps the account over restarts.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="How much faster its clock runs.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, another fleet.")
@click.option("--fleet", type=click.IntRange(0), help="Number of machines at the start.")
@click.option("--token", metavar="T", help="The token to accept; a random one by default.")
@click.option("--shapes", default="list", show_default=True, help="Which documented shapes answers take.")
@click.option("--rate-limit", type=click.IntRange(1), help="Calls an hour for each token.")
@click.option(
    "--faults",
    metavar="FILE_OR_JSON",
    help="A script of what goes wrong; `python -m lcnb.sandbox --help` tells its form and all kinds.",
)
def sandbox(**options: Any) -> None:
    """A LetsCloud on this machine: real HTTP, made-up machines.

    The first line printed tells its base URL and token. Ctrl-C ends it.
    """
    from lcnb.sandbox import serve

    sys.exit(serve(**{name: value for name, value in options.items() if value is not None}))


@cli.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Only addresses of this machine are taken."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--dark", is_flag=True, help="The dark theme.")
@click.option(
    "--idle",
    type=click.IntRange(10),  # less, and it may end before its page has come
    default=600,
    show_default=True,
    help="Seconds after which the kernel of a closed page ends.",
)
@account_options
def admin(host: str, port: int, dark: bool, idle: int, account: str | None, sandbox: bool) -> None:
    """Forms for everything, as a web page on this machine.

    The first line printed is its address, with a token in it. Ctrl-C ends it.
    """
    from lcnb.widgets.admin_page import serve

    serve(account, sandbox=sandbox, host=host, port=port, dark=dark, idle_s=idle, told=click.echo)


# --- runbooks -------------------------------------------------------------------------------------------


@cli.command()
@click.option("--runs-dir", type=click.Path(file_okay=False), help="Where the run's own folder is made.")
def demo(runs_dir: str | None) -> None:
    """See it work: a made-up fleet, read over HTTP into a report. Needs no account."""
    from lcnb.cli.runbooks import carry_out
    from lcnb.client import LetsCloud
    from lcnb.config import resolve
    from lcnb.display.terminal import frame_table, stdout
    from lcnb.frames.listings import by_location
    from lcnb.runbooks.run import run_runbook
    from lcnb.sandbox import start

    with start() as server:
        settings = resolve(token=server.token, base_url=server.base_url)
        stdout().print(f"a sandbox LetsCloud answers at {server.base_url}", highlight=False, soft_wrap=True)
        with LetsCloud(settings) as lc:
            summary = by_location(lc.inventory())
        stdout().print(frame_table(summary, title="The fleet by location; cost a month"))
        code = carry_out(lambda **how: run_runbook("inventory", settings=settings, **how), runs_dir=runs_dir)
    sys.exit(code)


for command in (*CHANGES, *RUNBOOKS, *RUNS, batch, schedule):
    cli.add_command(command)


# --- the way in -----------------------------------------------------------------------------------------


def main() -> None:
    """`lcnb`: every known error becomes one text on stderr and its exit code."""
    streams.open_streams()
    sys.unraisablehook = send_lost_again
    try:
        cli(prog_name="lcnb", standalone_mode=False)
        code = 0
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        _tell_notes(stop)
    except _Ended as ended:
        code = _told(ended.args[0])
    except BaseException as error:
        code = _told(error)
    # The first thing at the exit: an interrupt finds nothing more to end, and what cleans up is not cut short.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(streams.finish(code))


def _told(error: BaseException) -> int:
    from lcnb.errors import ConfigError, ConfirmationMissing, InputError, LcnbError, Locked

    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        _tell_notes(error)
        return 130
    if not isinstance(error, LcnbError | OSError):
        raise error
    from lcnb.display.terminal import print_error

    print_error(error)
    _tell_notes(error)
    if isinstance(error, ConfirmationMissing):
        return 6
    if isinstance(error, Locked):
        return 75
    return 2 if isinstance(error, InputError | ConfigError) else 1


def _tell_notes(error: BaseException) -> None:
    """What was noted on the way, such as the folder of a run that was ended."""
    for note in getattr(error, "__notes__", []):
        print(note, file=sys.stderr)
