"""The commands that give access to a machine: wait until it is ready, and show its initial root password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from lcnb.cli.options import Number, account_options, connect_client

if TYPE_CHECKING:
    from lcnb.runbooks.toolkit.waiting import Usable


@click.command()
@click.argument("machines", nargs=-1, required=True, metavar="MACHINE...")
@click.option(
    "--for",
    "level",
    type=click.Choice(["running", "ssh", "cloud-init"]),
    default="running",
    help="Also wait until they answer by SSH, or until cloud-init has ended.",
)
@click.option("--timeout", type=Number(), metavar="S", help="Wait at most S seconds (default: 1200).")
@account_options
def wait_command(
    machines: tuple[str, ...], level: Usable, timeout: float | None, account: str | None, sandbox: bool
) -> None:
    """Wait until machines run and have an address.

    MACHINE is a label or an identifier. The exit code is 4 if one is not ready in time.
    """
    from lcnb.runbooks.preflight import check_seconds
    from lcnb.runbooks.toolkit.waiting import wait_for_machines

    limit = check_seconds("--timeout", timeout)
    with connect_client(account, sandbox) as lc:
        for label, command in wait_for_machines(lc, machines, level, timeout=limit):
            click.echo(f"{label}: {command}")


@click.command()
@click.argument("machine", required=False)
@click.option("--identifier", metavar="ID", help="Identifier of the machine, instead of MACHINE.")
@account_options
def reveal_command(machine: str | None, identifier: str | None, account: str | None, sandbox: bool) -> None:
    """Print the initial root password of a machine.

    MACHINE is a label or an identifier. The provider stores the password. It is printed on stdout and kept nowhere; in
    the cells of a run it is refused, because it would be saved with the notebook.
    """
    from lcnb.errors import InputError
    from lcnb.runbooks.environment import RUN_FOLDER_VARIABLE

    if os.environ.get(RUN_FOLDER_VARIABLE):
        raise InputError(
            "reveal prints a password, and the notebook of this run would keep it",
            cure="Use lc.reveal(...) there: it prints as stars.",
            not_done="sent",
        )
    with connect_client(account, sandbox) as lc:
        click.echo(lc.reveal(machine, identifier=identifier).reveal())


COMMANDS = (wait_command, reveal_command)
