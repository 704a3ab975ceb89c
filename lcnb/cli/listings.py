"""The commands that print a listing of the account: instances, inventory, locations, plans, images, sshkeys, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUT_FORMATS, account_options, connect_client, output_option

if TYPE_CHECKING:
    from lcnb.client import LetsCloud


# --- listings -------------------------------------------------------------------------------------------


def _location_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--location", metavar="SLUG", help="Only this location, such as MIA1.")(command)


def _print_listing(
    name: str, account: str | None, sandbox: bool, output: str, *args: Any, **match: Any
) -> None:
    from lcnb.display.terminal import print_frame

    with connect_client(account, sandbox) as lc:
        frame = getattr(lc, name)(*args)
        for column, wanted in match.items():
            if wanted is not None:
                frame = frame[_match_rows(lc, frame, column, wanted)]
    print_frame(frame, output)


def _match_rows(lc: LetsCloud, frame: Any, column: str, wanted: str) -> Any:
    """Rows whose value is `wanted` in any case; a location is checked, since a typo would show an empty list."""
    if column == "location" and wanted.lower() not in {str(value).lower() for value in frame[column]}:
        known = lc.locations()["slug"].dropna().tolist()
        if wanted.lower() not in {slug.lower() for slug in known}:
            from lcnb.api.queries import unknown_location_error

            raise unknown_location_error(wanted, known)
    return frame[column].str.lower() == wanted.lower()


STATE_CHOICES = click.Choice(["running", "off", "building", "busy", "suspended"], case_sensitive=False)


@click.command()
@_location_option
@click.option("--state", type=STATE_CHOICES, help="Only machines in this state.")
@output_option(*OUTPUT_FORMATS)
@account_options
def instances_command(
    location: str | None, state: str | None, output: str, account: str | None, sandbox: bool
) -> None:
    """Machines as the API lists them (memory in MB, disk in GB)."""
    _print_listing("instances", account, sandbox, output, location=location, state=state)


@click.command()
@_location_option
@click.option("--state", type=STATE_CHOICES, help="Only machines in this state.")
@output_option(*OUTPUT_FORMATS)
@account_options
def inventory_command(
    location: str | None, state: str | None, output: str, account: str | None, sandbox: bool
) -> None:
    """Machines with inferred plan and price a month."""
    _print_listing("inventory", account, sandbox, output, location=location, state=state)


@click.command()
@output_option(*OUTPUT_FORMATS)
@account_options
def locations_command(output: str, account: str | None, sandbox: bool) -> None:
    """Places where machines can run."""
    _print_listing("locations", account, sandbox, output)


@click.command()
@_location_option
@output_option(*OUTPUT_FORMATS)
@account_options
def plans_command(location: str | None, output: str, account: str | None, sandbox: bool) -> None:
    """Sizes and their prices a month, of all locations or one."""
    _print_listing("plans", account, sandbox, output, location)


@click.command()
@_location_option
@output_option(*OUTPUT_FORMATS)
@account_options
def images_command(location: str | None, output: str, account: str | None, sandbox: bool) -> None:
    """Operating systems and one-click images, of all locations or one."""
    _print_listing("images", account, sandbox, output, location)


@click.command()
@output_option(*OUTPUT_FORMATS)
@account_options
def sshkeys_command(output: str, account: str | None, sandbox: bool) -> None:
    """Public keys that new machines can be given."""
    _print_listing("sshkeys", account, sandbox, output)


@click.command()
@output_option(*OUTPUT_FORMATS)
@account_options
def snapshots_command(output: str, account: str | None, sandbox: bool) -> None:
    """Stored images of machines (size in GB)."""
    _print_listing("snapshots", account, sandbox, output)


@click.command()
@output_option("table", "json")
@account_options
def profile_command(output: str, account: str | None, sandbox: bool) -> None:
    """The account's holder, currency and balance."""
    from lcnb.display.records import print_record

    with connect_client(account, sandbox) as lc:
        print_record([(each.name, each.about.unit, value) for each, value in lc.profile().rows()], output)


# --- the machine that lcnb runs on ----------------------------------------------------------------------


@click.command()
@output_option(*OUTPUT_FORMATS)
def accounts_command(output: str) -> None:
    """Accounts and where each token comes from; never the token."""
    from lcnb.display.terminal import print_frame
    from lcnb.token_places import accounts as listed

    print_frame(listed(), output)


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
