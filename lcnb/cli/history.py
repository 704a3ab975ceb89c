"""`lcnb record` and `lcnb history`: read the account for its history, and look at what earlier readings found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from lcnb.cli.options import OUTPUT_FORMATS, account_options, connect_client, runs_dir_option, table_options

if TYPE_CHECKING:
    from lcnb.display.row_choice import RowChoice

_SINCE_HELP = "Begin at this date or time: 2026-11-01, 2026-11-01T09:30 (UTC), or 24h, 7d, 4w (so long ago)."


def _period_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--since` and `--until`."""
    since = click.option("--since", metavar="TIME", required=True, help=_SINCE_HELP)
    until = click.option(
        "--until", metavar="TIME", help="End at this date or time (default: the newest reading)."
    )
    return since(until(command))


@click.command()
@account_options
def record_command(account: str | None, sandbox: bool) -> None:
    """Read the account once and keep it in its history.

    For a schedule, such as once per hour. Every other reading of lcnb is kept as well. The exit code is 8 if the
    listing of machines was not complete.
    """
    from lcnb.runbooks.ends import ATTENTION

    with connect_client(account, sandbox) as lc:
        found = lc.record()
    print(found)
    if found.problem is not None:
        sys.exit(ATTENTION.exit_code)


@click.group()
def history_group() -> None:
    """Show what earlier readings of the account found."""


@history_group.command("show")
@click.argument("machine", required=False)
@table_options(*OUTPUT_FORMATS)
@account_options
def show_history_command(
    machine: str | None, output: str, choice: RowChoice, account: str | None, sandbox: bool
) -> None:
    """List the versions of machines with first and last sighting.

    A version has ended when the machine changed, which begins its next version, or when it was gone. MACHINE is a label
    or identifier, also of a machine that is gone; without it all machines are listed.
    """
    from lcnb.display.terminal import print_frame

    with connect_client(account, sandbox) as lc:
        print_frame(lc.history(machine), output, choice)


@history_group.command("readings")
@table_options(*OUTPUT_FORMATS)
@account_options
def readings_command(output: str, choice: RowChoice, account: str | None, sandbox: bool) -> None:
    """List all readings and whether they were complete."""
    from lcnb.display.terminal import print_frame

    with connect_client(account, sandbox) as lc:
        print_frame(lc.readings(), output, choice)


@history_group.command("compare")
@_period_options
@table_options(*OUTPUT_FORMATS)
@account_options
def compare_command(
    since: str, until: str | None, output: str, choice: RowChoice, account: str | None, sandbox: bool
) -> None:
    """List machines that appeared, are gone or changed."""
    from lcnb.display.terminal import print_frame

    with connect_client(account, sandbox) as lc:
        print_frame(lc.compare(since, until), output, choice)


@history_group.command("spend")
@_period_options
@click.option(
    "--by", metavar="GROUP", help="Group by location, plan, label, state, template_label, owner or tag:KEY."
)
@click.option("--months", is_flag=True, help="Add up per month instead of per day.")
@click.option("--tags-now", is_flag=True, help="Use the tags of the newest reading, not those of the time.")
@table_options(*OUTPUT_FORMATS)
@account_options
def spend_command(
    since: str,
    until: str | None,
    by: str | None,
    months: bool,
    tags_now: bool,
    output: str,
    choice: RowChoice,
    account: str | None,
    sandbox: bool,
) -> None:
    """List the cost per day, with lower and upper bounds.

    Days and months are those of UTC. The bounds differ where a machine appeared, changed or went between two readings.
    """
    from lcnb.display.terminal import print_frame

    freq, tags = "MS" if months else "D", "now" if tags_now else "then"
    with connect_client(account, sandbox) as lc:
        print_frame(lc.spend(since, until, by=by, freq=freq, tags=tags), output, choice)


@history_group.command("import")
@runs_dir_option
@account_options
def import_command(runs_dir: str | None, account: str | None, sandbox: bool) -> None:
    """Add the inventories that earlier runs saved.

    They become readings of their time. Tables that show only some machines are left out. It can be repeated.
    """
    from lcnb.runbooks.records.saved_inventories import import_saved_inventories, iter_result_lines

    with connect_client(account, sandbox) as lc:
        for line in iter_result_lines(import_saved_inventories(lc, runs_dir)):
            click.echo(line)


COMMANDS = (record_command, history_group)
