"""The commands that change machines, ssh keys and snapshots: each builds a ChangeSet and applies it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import change_options, confirm_and_apply, skip_busy_option
from lcnb.cli.options import InputFile, connect_client

if TYPE_CHECKING:
    from lcnb.api.machine_names import MachineName
    from lcnb.secret import Secret


def _named_machines(names: Sequence[str], identifiers: Sequence[str]) -> list[MachineName]:
    """Return the machines of a command line. UsageError when none is named."""
    from lcnb.api.machine_names import MachineName

    if not names and not identifiers:
        raise click.UsageError("name at least one machine, by its label or by --identifier.")
    return [
        *(MachineName(each) for each in names),
        *(MachineName(each, "identifier") for each in identifiers),
    ]


def _read_password(file: str | None) -> Secret | None:
    """Read a password from a file or stdin; on the command line every user of the machine could read it."""
    from lcnb.secret import Secret

    if file is None:
        return None
    text = _read_stdin_line("--password-file") if file == "-" else _read_text_file(file, "--password-file")
    return Secret(text.rstrip("\r\n"))


def _read_stdin_line(option: str) -> str:
    """Read one line of stdin. InputError when it is not text."""
    from lcnb.errors import InputError

    try:
        return sys.stdin.readline().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InputError(f"{option} -: stdin is not {sys.stdin.encoding} text. Nothing was sent.") from None


def _read_text_file(file: str, option: str) -> str:
    """Read a file that the command line names. InputError when it cannot be read."""
    from pathlib import Path

    from lcnb.errors import InputError
    from lcnb.files import NotText, read_text

    try:
        return read_text(Path(file))
    except (OSError, NotText) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InputError(f"{option} {file}: {reason}. Nothing was sent.") from None


_password_option = click.option(
    "--password-file", metavar="FILE", help="Read the root password from FILE; - reads a line of stdin."
)
_identifier_option = click.option(
    "--identifier",
    "identifiers",
    metavar="ID",
    multiple=True,
    help="Identifier of a machine whose name is ambiguous; repeatable.",
)


# --- machines -------------------------------------------------------------------------------------------


@click.command()
@click.argument("label")
@click.option("--location", required=True, metavar="SLUG", help="Location (list them: lcnb locations).")
@click.option("--plan", required=True, metavar="SLUG", help="Plan (list them: lcnb plans).")
@click.option("--image", required=True, metavar="SLUG", help="Image (list them: lcnb images).")
@click.option("--hostname", metavar="NAME", help="Host name (default: derived from the label).")
@click.option("--ssh-key", metavar="SLUG", help="SSH key that may log in (list them: lcnb sshkeys).")
@_password_option
@click.option("--ensure", is_flag=True, help="Do nothing if this machine exists already.")
@click.option(
    "--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Give it this tag, or a bare key; repeatable."
)
@click.option("--owner", metavar="NAME", help="Store who answers for it.")
@click.option("--expires-in", metavar="TIME", help="Let it expire after this time: 30m, 8h, 7d.")
@click.option(
    "--expires-at", metavar="TIME", help="Let it expire then: 2026-12-01 or 2026-12-01T18:00 (UTC)."
)
@click.option("--protect", is_flag=True, help="Protect it: lcnb refuses what interrupts or ends it.")
@change_options
def create_command(
    label: str,
    location: str,
    plan: str,
    image: str,
    hostname: str | None,
    ssh_key: str | None,
    password_file: str | None,
    ensure: bool,
    tags: tuple[str, ...],
    owner: str | None,
    expires_in: str | None,
    expires_at: str | None,
    protect: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Create a machine.

    LABEL is your name for it; no other machine may have it.
    """
    if expires_in is not None and expires_at is not None:
        raise click.UsageError("pass --expires-in or --expires-at, not both.")
    from lcnb.times import parse_duration

    with connect_client(account, sandbox) as lc:
        build = lc.ensure_instance if ensure else lc.create_instance
        changes = build(
            label,
            location=location,
            plan=plan,
            image=image,
            hostname=hostname,
            ssh_key=ssh_key,
            password=_read_password(password_file),
            tags=tags,
            owner=owner,
            expires=parse_duration(expires_in, "--expires-in") if expires_in is not None else expires_at,
            protect=protect,
        )
        confirm_and_apply(changes, **how)


@click.command()
@click.argument("machines", nargs=-1, metavar="MACHINE...")
@_identifier_option
@skip_busy_option
@change_options
def delete_command(
    machines: tuple[str, ...],
    identifiers: tuple[str, ...],
    skip_busy: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Delete machines and their disks.

    MACHINE is a label or an identifier. This cannot be undone.
    """
    with connect_client(account, sandbox) as lc:
        changes = lc.delete_instance(_named_machines(machines, identifiers), skip_busy=skip_busy)
        confirm_and_apply(changes, **how)


@click.command()
@click.argument("action", type=click.Choice(["on", "off", "shutdown", "reboot"]))
@click.argument("machines", nargs=-1, metavar="MACHINE...")
@_identifier_option
@skip_busy_option
@change_options
def power_command(
    action: str,
    machines: tuple[str, ...],
    identifiers: tuple[str, ...],
    skip_busy: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Turn machines on or off, shut them down, or reboot them.

    MACHINE is a label or an identifier. `shutdown` asks the operating system to stop; `off` cuts the power.
    """
    with connect_client(account, sandbox) as lc:
        builders = {"on": lc.power_on, "off": lc.power_off, "shutdown": lc.shutdown, "reboot": lc.reboot}
        changes = builders[action](_named_machines(machines, identifiers), skip_busy=skip_busy)
        confirm_and_apply(changes, **how)


@click.command()
@click.argument("machines", nargs=-1, metavar="MACHINE...")
@click.option("--plan", required=True, metavar="SLUG", help="New plan (list them: lcnb plans).")
@_identifier_option
@skip_busy_option
@change_options
def resize_command(
    machines: tuple[str, ...],
    plan: str,
    identifiers: tuple[str, ...],
    skip_busy: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Change the plan of machines and show the price difference.

    MACHINE is a label or an identifier.
    """
    with connect_client(account, sandbox) as lc:
        changes = lc.change_plan(_named_machines(machines, identifiers), plan=plan, skip_busy=skip_busy)
        confirm_and_apply(changes, **how)


@click.command("reset-password")
@click.argument("machine", required=False)
@click.option("--identifier", metavar="ID", help="Identifier of the machine, instead of MACHINE.")
@_password_option
@change_options
def reset_password_command(
    machine: str | None,
    identifier: str | None,
    password_file: str | None,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Set a new root password of a machine.

    MACHINE is a label or an identifier.
    Without --password-file lcnb generates one; `lcnb reveal MACHINE` shows it.
    """
    with connect_client(account, sandbox) as lc:
        changes = lc.reset_password(machine, identifier=identifier, password=_read_password(password_file))
        confirm_and_apply(changes, **how)


# --- ssh keys -------------------------------------------------------------------------------------------


@click.group()
def key_group() -> None:
    """Add, generate and delete SSH keys.

    `lcnb sshkeys` lists them.
    """


@key_group.command("add")
@click.argument("title")
@click.argument("file", type=InputFile())
@click.option("--replace", is_flag=True, help="Replace the key that has this title.")
@change_options
def add_key_command(
    title: str, file: str, replace: bool, account: str | None, sandbox: bool, **how: Any
) -> None:
    """Add the public key in FILE, such as ~/.ssh/id_ed25519.pub.

    TITLE is your name for the key.
    """
    text = _read_text_file(file, "public key")
    with connect_client(account, sandbox) as lc:
        confirm_and_apply(lc.add_sshkey(title, text, replace=replace), **how)


@key_group.command("generate")
@click.argument("title")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--type",
    "key_type",
    type=click.Choice(["ed25519", "rsa"]),
    default="ed25519",
    show_default=True,
    help="Type of the key pair.",
)
@click.option("--replace", is_flag=True, help="Replace the key that has this title.")
@click.option(
    "--on-server", is_flag=True, help="Let the provider generate the pair, and send the private key back."
)
@change_options
def generate_key_command(
    title: str,
    file: str,
    key_type: str,
    replace: bool,
    on_server: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Generate a key pair and add its public key.

    The private key is written to FILE (mode 0600). TITLE is your name for the key.
    """
    with connect_client(account, sandbox) as lc:
        changes = lc.generate_sshkey(
            title, file, key_type=key_type, replace=replace, generate_on_server=on_server
        )
        confirm_and_apply(changes, **how)


@key_group.command("delete")
@click.argument("slug")
@change_options
def delete_key_command(slug: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Delete the key SLUG from the account.

    Machines that already have the key keep it.
    """
    with connect_client(account, sandbox) as lc:
        confirm_and_apply(lc.delete_sshkey(slug), **how)


# --- snapshots ------------------------------------------------------------------------------------------


@click.group()
def snapshot_group() -> None:
    """Create, rename and delete snapshots.

    `lcnb snapshots` lists them.
    """


@snapshot_group.command("create")
@click.argument("machine")
@click.option("--label", required=True, metavar="NAME", help="Label of the snapshot.")
@change_options
def create_snapshot_command(machine: str, label: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Store an image of MACHINE, a label or an identifier."""
    with connect_client(account, sandbox) as lc:
        confirm_and_apply(lc.create_snapshot(machine, label=label), **how)


@snapshot_group.command("rename")
@click.argument("slug")
@click.argument("label")
@change_options
def rename_snapshot_command(slug: str, label: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Give the snapshot SLUG another LABEL."""
    with connect_client(account, sandbox) as lc:
        confirm_and_apply(lc.rename_snapshot(slug, label), **how)


@snapshot_group.command("delete")
@click.argument("slug")
@change_options
def delete_snapshot_command(slug: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Delete the snapshot SLUG.

    This cannot be undone.
    """
    with connect_client(account, sandbox) as lc:
        confirm_and_apply(lc.delete_snapshot(slug), **how)


COMMANDS = (
    create_command,
    delete_command,
    power_command,
    resize_command,
    reset_password_command,
    key_group,
    snapshot_group,
)
