"""The commands about facts: tag, untag, protect, unprotect, expire, facts. Facts are in a file of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUT_FORMATS, account_options, connect_client, output_option, table_options
from lcnb.runbooks.ends import ATTENTION

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud
    from lcnb.display.row_choice import RowChoice


def _machine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add MACHINES, `--select`, `-o` and the options of the account."""
    selection = click.option(
        "--select",
        "selection",
        metavar="TEXT",
        help="Select machines, as in: state == 'off' (instead of MACHINES).",
    )
    words = click.argument("words", nargs=-1, metavar="MACHINES...")
    return words(selection(output_option(*OUTPUT_FORMATS)(account_options(command))))


def _edit_and_print(
    edit: str,
    arguments: Sequence[str | None],
    machines: Sequence[str],
    selection: str | None,
    output: str,
    account: str | None,
    sandbox: bool,
    **options: Any,
) -> None:
    """Call the client's method of this name for the machines that are named or selected, and print their facts."""
    from lcnb.display.terminal import check_output, print_rows

    if selection is not None and machines:
        raise click.UsageError(
            f"--select {selection!r} is followed by {' '.join(machines)!r}: put the whole selection in quotes, as in "
            "--select \"state == 'off'\", or name machines without --select."
        )
    if selection is None and not machines:
        raise click.UsageError("name machines by label or identifier, or pass --select.")
    check_output(output)
    with connect_client(account, sandbox) as lc:
        found = list(machines) if selection is None else _selected_machines(lc, selection)
        changed = lc._edited_rows(edit, found, *arguments, **options)
    print_rows(changed, output)


def _selected_machines(lc: LetsCloud, selection: str) -> pd.DataFrame:
    """Return the selected machines, with a warning for a value that no machine has. InputError when there are none."""
    from lcnb.display.terminal import print_warning
    from lcnb.errors import InputError
    from lcnb.frames.selection import select
    from lcnb.frames.unmatched import describe_selection

    machines = lc.inventory()
    chosen = select(machines, selection)
    problem = describe_selection(machines, selection, len(chosen))
    if not len(chosen):
        raise InputError(f"--select: {problem}", value=selection, not_done="written")
    if problem:
        print_warning(f"--select: {problem}")
    return _identified_machines(chosen)


def _identified_machines(chosen: pd.DataFrame) -> pd.DataFrame:
    """Return the machines that have an identifier, with a warning that names the others. InputError when none has."""
    from lcnb.display.terminal import print_warning
    from lcnb.errors import InputError

    unnamed = chosen["identifier"].isna()
    names = ", ".join(chosen["label"][unnamed].dropna())
    if unnamed.all():
        raise InputError(f"--select: {names}: still being built, without an identifier", not_done="written")
    if unnamed.any():
        print_warning(f"left out: {names} (still being built, without an identifier)")
    return chosen[~unnamed]


@click.command()
@click.argument("words", nargs=-1, metavar="MACHINES... KEY=VALUE...")
@click.option("--key", "keys", metavar="KEY", multiple=True, help="Add a tag without a value; repeatable.")
@click.option(
    "--select",
    "selection",
    metavar="TEXT",
    help="Select machines, as in: state == 'off' (instead of MACHINES).",
)
@output_option(*OUTPUT_FORMATS)
@account_options
def tag_command(words: tuple[str, ...], keys: tuple[str, ...], selection: str | None, **where: Any) -> None:
    """Give machines tags such as project=shop.

    MACHINES are labels or identifiers. A word with = is a tag: name a machine whose label contains = by its identifier.
    """
    tags, machines = _tags_and_machines(words)
    if not tags and not keys:
        named = f" {words[-1]!r} has no =." if words else ""
        raise click.UsageError(f"name at least one tag: KEY=VALUE such as project=shop, or --key KEY.{named}")
    if not machines and selection is None:
        raise click.UsageError(
            "no machine is named: each word with = is a tag. Name machines by label or identifier, or pass --select."
        )
    if wrong := [each for each in keys if "=" in each]:
        raise click.UsageError(f"--key {wrong[0]}: a tag with a value is written without --key.")
    _edit_and_print("tag", (*tags, *keys), machines, selection, **where)


def _tags_and_machines(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that are tags, which are those with =, and the other words."""
    return [each for each in words if "=" in each], [each for each in words if "=" not in each]


@click.command()
@_machine_options
@click.option(
    "--key", "keys", metavar="KEY", multiple=True, required=True, help="Key of a tag to remove; repeatable."
)
def untag_command(words: tuple[str, ...], keys: tuple[str, ...], selection: str | None, **where: Any) -> None:
    """Remove tags of machines.

    MACHINES are labels or identifiers, also those of machines that are gone.
    """
    _edit_and_print("untag", keys, words, selection, **where)


@click.command()
@_machine_options
def protect_command(words: tuple[str, ...], selection: str | None, **where: Any) -> None:
    """Refuse changes that interrupt or end machines.

    MACHINES are labels or identifiers. The facts file records who protected them and when.
    """
    _edit_and_print("protect", (), words, selection, **where)


@click.command()
@_machine_options
def unprotect_command(words: tuple[str, ...], selection: str | None, **where: Any) -> None:
    """Lift the protection of machines.

    MACHINES are labels or identifiers, also those of machines that are gone.
    """
    _edit_and_print("unprotect", (), words, selection, **where)


@click.command()
@_machine_options
@click.option("--in", "in_", metavar="TIME", help="Time from now: 30m, 8h, 7d.")
@click.option("--at", metavar="TIME", help="Date or time: 2026-12-01 or 2026-12-01T18:00 (UTC).")
@click.option("--never", is_flag=True, help="Let the machines not expire.")
def expire_command(
    words: tuple[str, ...], selection: str | None, in_: str | None, at: str | None, never: bool, **where: Any
) -> None:
    """Set when machines may be ended.

    Nothing ends them by itself: a runbook or a person does. MACHINES are labels or identifiers.
    """
    if (in_ is not None) + (at is not None) + never != 1:
        raise click.UsageError("pass one of --in, --at and --never.")
    from lcnb.errors import InputError

    try:
        _edit_and_print("expire", (in_,), words, selection, at=at, never=never, **where)
    except InputError as error:
        if error.field == "expires":
            error.restate(field="--at" if in_ is None else "--in")
        raise


# --- the file -------------------------------------------------------------------------------------------


@click.group(invoke_without_command=True)
@table_options(*OUTPUT_FORMATS)
@account_options
@click.pass_context
def facts_group(
    ctx: click.Context, output: str, choice: RowChoice, account: str | None, sandbox: bool
) -> None:
    """List tags, owner, note, protection and expiry of machines.

    They are in a CSV file of this machine, which `lcnb doctor` names. Nothing is sent.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = (account, sandbox)
        return
    from lcnb.display.terminal import print_rows

    with connect_client(account, sandbox) as lc:
        print_rows(lc._facts_rows(), output, choice)


@facts_group.command("check")
@click.option(
    "--require", metavar="KEY", multiple=True, help="Key that each machine needs as a tag; repeatable."
)
@table_options(*OUTPUT_FORMATS)
@account_options
@click.pass_obj
def check_facts_command(
    outer: tuple[str | None, bool],
    require: tuple[str, ...],
    output: str,
    choice: RowChoice,
    account: str | None,
    sandbox: bool,
) -> None:
    """Compare the facts file with the account.

    Lists machines that are gone or replaced, expired, renamed, and without tags. The exit code is 8 if there are any.
    """
    from lcnb.display.terminal import print_rows

    with connect_client(account or outer[0], sandbox or outer[1]) as lc:
        found = lc._check_rows(require)
    print_rows(found, output, choice)
    if len(found):
        sys.exit(ATTENTION.exit_code)


@facts_group.command("set")
@_machine_options
@click.option("--owner", metavar="NAME", help="Who answers for the machines; '' removes it.")
@click.option("--note", metavar="TEXT", help="A note; '' removes it.")
@click.pass_obj
def set_facts_command(
    outer: tuple[str | None, bool],
    words: tuple[str, ...],
    selection: str | None,
    owner: str | None,
    note: str | None,
    output: str,
    account: str | None,
    sandbox: bool,
) -> None:
    """Set owner or note of machines.

    MACHINES are labels or identifiers.
    """
    if owner is None and note is None:
        raise click.UsageError("pass --owner, --note, or both.")
    where: dict[str, Any] = {
        "output": output,
        "account": account or outer[0],
        "sandbox": sandbox or outer[1],
    }
    _edit_and_print("set_facts", (), words, selection, owner=owner, note=note, **where)


@facts_group.command("move")
@click.argument("identifier")
@click.argument("machine")
@output_option(*OUTPUT_FORMATS)
@account_options
@click.pass_obj
def move_facts_command(
    outer: tuple[str | None, bool],
    identifier: str,
    machine: str,
    output: str,
    account: str | None,
    sandbox: bool,
) -> None:
    """Move the facts of a machine that is gone to another one.

    IDENTIFIER is that of the machine that is gone; MACHINE, by label or identifier, has no facts yet.
    """
    from lcnb.display.terminal import print_rows

    with connect_client(account or outer[0], sandbox or outer[1]) as lc:
        print_rows(lc._edited_rows("move_facts", identifier, machine), output)


@facts_group.command("remove")
@click.argument("identifiers", nargs=-1, required=True, metavar="IDENTIFIER...")
@output_option(*OUTPUT_FORMATS)
@account_options
@click.pass_obj
def remove_facts_command(
    outer: tuple[str | None, bool],
    identifiers: tuple[str, ...],
    output: str,
    account: str | None,
    sandbox: bool,
) -> None:
    """Remove the facts of machines that are gone.

    `lcnb facts check` lists their identifiers. The facts that were removed are printed.
    """
    from lcnb.display.terminal import print_rows

    with connect_client(account or outer[0], sandbox or outer[1]) as lc:
        print_rows(lc._edited_rows("remove_facts", identifiers), output)


COMMANDS = (tag_command, untag_command, protect_command, unprotect_command, expire_command, facts_group)
