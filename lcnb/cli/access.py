"""The commands that give access to a machine: wait until it is ready, and show its initial root password."""

from __future__ import annotations

import os

import click

from lcnb.cli.options import account_options, connect_client


@click.command()
@click.argument("machines", nargs=-1, required=True, metavar="MACHINE...")
@click.option("--timeout", type=float, metavar="S", help="Wait at most S seconds (default: 1200).")
@account_options
def wait_command(
    machines: tuple[str, ...], timeout: float | None, account: str | None, sandbox: bool
) -> None:
    """Wait until machines run and have an address.

    MACHINE is a label. The exit code is 4 if one is not ready in time.
    """
    from lcnb.changes.starting import DEFAULT_WAIT_S
    from lcnb.runbooks.preflight import check_seconds
    from lcnb.runbooks.toolkit.waiting import wait_until_ready

    limit = check_seconds("--timeout", timeout) or DEFAULT_WAIT_S
    with connect_client(account, sandbox) as lc:
        found = [
            lc.instance(name) for name in machines
        ]  # an unknown name is refused before anything is waited for
        wait_until_ready(lc, [each.label or "" for each in found], timeout=limit)
        for each in found:
            ready = lc.instance(identifier=each.identifier) if each.identifier else lc.instance(each.label)
            click.echo(f"{ready.label}: ssh root@{ready.ipv4 or ready.ipv6}")


@click.command()
@click.argument("machine", required=False)
@click.option("--identifier", metavar="ID", help="Identifier of the machine, instead of MACHINE.")
@account_options
def reveal_command(machine: str | None, identifier: str | None, account: str | None, sandbox: bool) -> None:
    """Print the initial root password of MACHINE, a label or an identifier.

    The provider stores it. It is printed on stdout and kept nowhere; in the cells of a run it is refused, because it
    would be saved with the notebook.
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
