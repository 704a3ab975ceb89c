"""The commands that print a listing of the account: instances, inventory, locations, plans, images, sshkeys, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from lcnb.cli.options import (
    EXPORT_FORMATS,
    OUTPUT_FORMATS,
    account_options,
    connect_client,
    output_option,
    table_options,
)

if TYPE_CHECKING:
    from lcnb.display.row_choice import RowChoice

STATE_CHOICES = click.Choice(["running", "off", "building", "busy", "suspended"], case_sensitive=False)

_location_option = click.option("--location", metavar="SLUG", help="List only this location, such as MIA1.")


def _machine_options(*more_formats: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the options of both lists of machines; `more_formats` are further values of `-o`."""
    state = click.option("--state", type=STATE_CHOICES, help="List only machines in this state.")

    def add_options(command: Callable[..., None]) -> Callable[..., None]:
        return _location_option(
            state(table_options(*OUTPUT_FORMATS, *more_formats)(account_options(command)))
        )

    return add_options


def _listing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every listing."""
    return table_options(*OUTPUT_FORMATS)(account_options(command))


def _print_listing(
    name: str,
    account: str | None,
    sandbox: bool,
    output: str,
    choice: RowChoice,
    *,
    location: str | None = None,
    at: str | None = None,
    **wanted: str | None,
) -> None:
    """Print the listing of this name, now or at a time of the past, of one location or all, filtered by columns."""
    from lcnb.cli.filtering import matching_rows
    from lcnb.display.terminal import print_rows

    by_location = name in ("plans", "images")
    with connect_client(account, sandbox) as lc:
        rows = lc._rows(name, location if by_location else None, at)
        if not by_location:
            wanted["location"] = location
        rows = rows.select(matching_rows(lc, len(rows), rows.column, wanted))
    print_rows(rows, output, choice)


@click.command()
@_machine_options()
def instances_command(
    location: str | None,
    state: str | None,
    output: str,
    choice: RowChoice,
    account: str | None,
    sandbox: bool,
) -> None:
    """List machines as the API describes them.

    Memory is in MB, disk in GB.
    """
    _print_listing("instances", account, sandbox, output, choice, location=location, state=state)


@click.command()
@click.option(
    "--at",
    metavar="TIME",
    help="List the machines of that date or time (UTC), from the history: 2026-11-01, 2026-11-01T09:30, 24h (ago).",
)
@click.option(
    "--file",
    metavar="PATH",
    type=click.Path(dir_okay=False),
    help="With a format for another tool: write to this file, whole or not at all; - for stdout.",
)
@click.option("--host", metavar="NAME", help="With -o ansible: print the variables of this host.")
@_machine_options(*EXPORT_FORMATS)
def inventory_command(
    at: str | None,
    file: str | None,
    host: str | None,
    location: str | None,
    state: str | None,
    output: str,
    choice: RowChoice,
    account: str | None,
    sandbox: bool,
) -> None:
    """List machines with their plan and monthly price.

    The API does not report the plan of a machine: lcnb infers it from location, CPUs, memory and disk.

    The formats after parquet are for other tools. They need a complete inventory: if a machine may be missing, nothing
    is written and the exit code is 1.
    """
    if output in EXPORT_FORMATS:
        from lcnb.cli.exporting import Export, write_export

        write_export(Export(output, account, sandbox, location, state, host), file, at, choice)
        return
    if file or host:
        option = "--file" if file else "--host"
        raise click.UsageError(f"{option}: -o {output} has no such option. For a file: -o {output} > FILE.")
    _print_listing("inventory", account, sandbox, output, choice, at=at, location=location, state=state)


@click.command()
@_listing_options
def locations_command(output: str, choice: RowChoice, account: str | None, sandbox: bool) -> None:
    """List the locations where machines can run."""
    _print_listing("locations", account, sandbox, output, choice)


@click.command()
@_location_option
@_listing_options
def plans_command(
    location: str | None, output: str, choice: RowChoice, account: str | None, sandbox: bool
) -> None:
    """List plans with their monthly prices."""
    _print_listing("plans", account, sandbox, output, choice, location=location)


@click.command()
@_location_option
@_listing_options
def images_command(
    location: str | None, output: str, choice: RowChoice, account: str | None, sandbox: bool
) -> None:
    """List operating systems and one-click images."""
    _print_listing("images", account, sandbox, output, choice, location=location)


@click.command()
@_listing_options
def sshkeys_command(output: str, choice: RowChoice, account: str | None, sandbox: bool) -> None:
    """List the public keys for new machines."""
    _print_listing("sshkeys", account, sandbox, output, choice)


@click.command()
@_listing_options
def snapshots_command(output: str, choice: RowChoice, account: str | None, sandbox: bool) -> None:
    """List snapshots of machines; their size is in GB."""
    _print_listing("snapshots", account, sandbox, output, choice)


@click.command()
@output_option("table", "json")
@account_options
def profile_command(output: str, account: str | None, sandbox: bool) -> None:
    """Show the account's holder, currency and balance."""
    from lcnb.display.records import print_record

    with connect_client(account, sandbox) as lc:
        print_record([(each.name, each.about.unit, value) for each, value in lc.profile().rows()], output)


@click.command()
@table_options(*OUTPUT_FORMATS)
def accounts_command(output: str, choice: RowChoice) -> None:
    """List accounts and the source of each token.

    The tokens themselves are never shown.
    """
    from lcnb.display.terminal import print_rows
    from lcnb.token_places import account_rows

    print_rows(account_rows(), output, choice)


COMMANDS = (
    instances_command,
    inventory_command,
    locations_command,
    plans_command,
    images_command,
    sshkeys_command,
    snapshots_command,
    profile_command,
    accounts_command,
)
