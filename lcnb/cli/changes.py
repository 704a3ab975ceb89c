"""The commands that change something, and those that read the journal.

Each builds a ChangeSet and hands it to `_carry_out`: shown, confirmed, applied. `--dry-run` only shows it,
`--yes` confirms beforehand. Exit codes: 0 made; 1 refused or failed; 4 not finished within the time-out;
6 nobody confirmed; 7 partly made, or an outcome is not known.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUTS, account_options, connect, output_option, runs_dir_option

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.changeset import ChangeSet
    from lcnb.secret import Secret

PARTLY, TIMED_OUT, NOT_CONFIRMED = 7, 4, 6
#: Said before changes that may have been sent already are gone on with.
LOOKS_FIRST = "resume looks at the account first, and sends only the changes whose effect is not there"


def _change_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Only show what would be done."),
        click.option("--yes", is_flag=True, help="It has been looked at: do not ask."),
        click.option("--wait", is_flag=True, help="Wait until it is ready, off, gone or built."),
        click.option("--timeout", type=float, metavar="S", help="Seconds that --wait may take (1200)."),
        click.option("--go-on", is_flag=True, help="After a change that failed go on with the others."),
        output_option(*OUTPUTS),
    ):
        command = option(command)
    return account_options(command)


def _carry_out(changes: ChangeSet, *, dry_run: bool, yes: bool, output: str, **how: Any) -> None:
    """Show, confirm, apply, print the result; the exit code tells how it ended."""
    from lcnb.display.terminal import check_output, print_changes

    check_output(output)
    if dry_run or not len(changes):
        print_changes(changes, output)
        return
    if yes and output == "table":
        print_changes(changes)
    _finish(lambda go: changes.apply(**go), output, yes=yes, **how)  # type: ignore[attr-defined]


def _finish(
    work: Callable[[dict[str, Any]], pd.DataFrame],
    output: str,
    *,
    yes: bool,
    wait: bool,
    timeout: float | None,
    go_on: bool,
) -> None:
    from lcnb import streams
    from lcnb.display.terminal import change_progress, check_output, print_error, print_made_frame
    from lcnb.errors import ChangeFailed, ConfirmationMissing, WaitTimeout

    check_output(output)
    code = 0
    try:
        with change_progress() as progress:
            how = {"wait": wait, "timeout": timeout, "on_error": "continue" if go_on else "stop"}
            result = work({**how, "confirm": True if yes else progress.confirm, "progress": progress})
    except (ChangeFailed, WaitTimeout) as error:
        print_error(error)
        if error.result is None:
            raise
        result = error.result
        code = TIMED_OUT if isinstance(error, WaitTimeout) else 1
    except ConfirmationMissing as error:
        print_error(error)
        sys.exit(NOT_CONFIRMED)
    streams.mark_acted()
    if progress.declined and not len(result):
        sys.exit(NOT_CONFIRMED)
    print_made_frame(result, output)
    sys.exit(_exit_code(result, code))


def _exit_code(result: pd.DataFrame, code: int) -> int:
    outcomes = set(result["outcome"])
    if outcomes == {"not tried"}:
        return NOT_CONFIRMED  # somebody was asked, and said no
    if outcomes & {"unknown", "twins"} or ("done" in outcomes and outcomes & {"failed", "not tried"}):
        return PARTLY
    return 1 if "failed" in outcomes else code


def _each(labels: Sequence[str], identifiers: Sequence[str], one: Callable[..., ChangeSet]) -> ChangeSet:
    if not labels and not identifiers:
        raise click.UsageError("name at least one machine, by its label or by --identifier.")
    parts = [one(label=label) for label in labels]
    parts += [one(identifier) for identifier in identifiers]
    return reduce(add, parts)


def _password(file: str | None) -> Secret | None:
    """A password from a file or stdin: on the command line every user of the machine could read it."""
    from lcnb.secret import Secret

    if file is None:
        return None
    text = _line_of_stdin("--password-file") if file == "-" else _text_of(file, "--password-file")
    return Secret(text.rstrip("\r\n"))


def _line_of_stdin(what: str) -> str:
    from lcnb.errors import InputError

    try:
        return sys.stdin.readline().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InputError(
            f"{what} -: what comes in is not {sys.stdin.encoding} text. Nothing was sent."
        ) from None


def _text_of(file: str, what: str) -> str:
    """The text of a file that was named on the command line. InputError when it cannot be read."""
    from lcnb.errors import InputError
    from lcnb.files import NotText, read_text

    try:
        return read_text(Path(file))
    except (OSError, NotText) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise InputError(f"{what} {file}: {reason}. Nothing was sent.") from None


_password_option = click.option(
    "--password-file", metavar="FILE", help="File with the root password; - reads a line of stdin."
)
_identifier_option = click.option(
    "--identifier", "identifiers", multiple=True, help="A machine by its identifier; repeatable."
)


# --- machines -------------------------------------------------------------------------------------------


@click.command()
@click.argument("label")
@click.option("--location", required=True, metavar="SLUG")
@click.option("--plan", required=True, metavar="SLUG")
@click.option("--image", required=True, metavar="SLUG")
@click.option("--hostname", help="By default made from the label.")
@click.option("--ssh-key", metavar="SLUG", help="A key of the account.")
@_password_option
@click.option("--ensure", is_flag=True, help="Nothing to do when it exists as asked for.")
@_change_options
def create(
    label: str,
    location: str,
    plan: str,
    image: str,
    hostname: str | None,
    ssh_key: str | None,
    password_file: str | None,
    ensure: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Create a machine; its LABEL must be free."""
    with connect(account, sandbox) as lc:
        build = lc.ensure_instance if ensure else lc.create_instance
        changes = build(
            label,
            location=location,
            plan=plan,
            image=image,
            hostname=hostname,
            ssh_key=ssh_key,
            password=_password(password_file),
        )
        _carry_out(changes, **how)


@click.command()
@click.argument("labels", nargs=-1, metavar="LABEL...")
@_identifier_option
@_change_options
def delete(
    labels: tuple[str, ...], identifiers: tuple[str, ...], account: str | None, sandbox: bool, **how: Any
) -> None:
    """Delete machines and their disks. It cannot be undone."""
    with connect(account, sandbox) as lc:
        _carry_out(_each(labels, identifiers, lc.delete_instance), **how)


@click.command()
@click.argument("action", type=click.Choice(["on", "off", "shutdown", "reboot"]))
@click.argument("labels", nargs=-1, metavar="LABEL...")
@_identifier_option
@_change_options
def power(
    action: str,
    labels: tuple[str, ...],
    identifiers: tuple[str, ...],
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Turn machines on or off, shut them down, reboot them."""
    with connect(account, sandbox) as lc:
        ways = {"on": lc.power_on, "off": lc.power_off, "shutdown": lc.shutdown, "reboot": lc.reboot}
        _carry_out(_each(labels, identifiers, ways[action]), **how)


@click.command()
@click.argument("labels", nargs=-1, metavar="LABEL...")
@click.option("--plan", required=True, metavar="SLUG")
@_identifier_option
@_change_options
def resize(
    labels: tuple[str, ...],
    plan: str,
    identifiers: tuple[str, ...],
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Change the plan of machines; the price difference is shown."""
    with connect(account, sandbox) as lc:

        def one(identifier: str | None = None, *, label: str | None = None) -> ChangeSet:
            return lc.change_plan(identifier, label=label, plan=plan)

        _carry_out(_each(labels, identifiers, one), **how)


@click.command("reset-password")
@click.argument("label", required=False)
@click.option("--identifier", help="The machine by its identifier.")
@_password_option
@_change_options
def reset_password(
    label: str | None,
    identifier: str | None,
    password_file: str | None,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Set a new root password; without a file lcnb makes one."""
    with connect(account, sandbox) as lc:
        changes = lc.reset_password(identifier, label=label, password=_password(password_file))
        _carry_out(changes, **how)


# --- keys -----------------------------------------------------------------------------------------------


@click.group()
def key() -> None:
    """Add, generate and delete ssh keys (lcnb sshkeys lists them)."""


@key.command("add")
@click.argument("title")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Overwrite a key of the same title.")
@_change_options
def key_add(title: str, file: str, replace: bool, account: str | None, sandbox: bool, **how: Any) -> None:
    """Add the public key in FILE, such as ~/.ssh/id_ed25519.pub."""
    text = _text_of(file, "public key")
    with connect(account, sandbox) as lc:
        _carry_out(lc.add_sshkey(title, text, replace=replace), **how)


@key.command("generate")
@click.argument("title")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--type", "key_type", type=click.Choice(["ed25519", "rsa"]), default="ed25519")
@click.option("--replace", is_flag=True, help="Overwrite a key of the same title.")
@click.option("--on-server", is_flag=True, help="Let the provider make the pair.")
@_change_options
def key_generate(
    title: str,
    file: str,
    key_type: str,
    replace: bool,
    on_server: bool,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Make a pair; the private half goes into FILE (mode 0600)."""
    with connect(account, sandbox) as lc:
        changes = lc.generate_sshkey(
            title, file, key_type=key_type, replace=replace, generate_on_server=on_server
        )
        _carry_out(changes, **how)


@key.command("delete")
@click.argument("slug")
@_change_options
def key_delete(slug: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Delete a key of the account; machines that have it keep it."""
    with connect(account, sandbox) as lc:
        _carry_out(lc.delete_sshkey(slug), **how)


# --- snapshots ------------------------------------------------------------------------------------------


@click.group()
def snapshot() -> None:
    """Create, rename and delete snapshots (lcnb snapshots lists them)."""


@snapshot.command("create")
@click.argument("machine")
@click.option("--label", required=True, help="The snapshot's own name.")
@_change_options
def snapshot_create(machine: str, label: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Store an image of the machine with the label MACHINE."""
    with connect(account, sandbox) as lc:
        _carry_out(lc.create_snapshot(of=machine, label=label), **how)


@snapshot.command("rename")
@click.argument("slug")
@click.argument("label")
@_change_options
def snapshot_rename(slug: str, label: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Give the snapshot SLUG another LABEL."""
    with connect(account, sandbox) as lc:
        _carry_out(lc.rename_snapshot(slug, label), **how)


@snapshot.command("delete")
@click.argument("slug")
@_change_options
def snapshot_delete(slug: str, account: str | None, sandbox: bool, **how: Any) -> None:
    """Delete the snapshot SLUG. It cannot be undone."""
    with connect(account, sandbox) as lc:
        _carry_out(lc.delete_snapshot(slug), **how)


# --- desired state --------------------------------------------------------------------------------------


_prune_option = click.option("--prune", is_flag=True, help="Delete machines that are not in FILE.")
_allow_option = click.option(
    "--allow-delete-all",
    is_flag=True,
    help="With --prune: also when that deletes every machine of the account.",
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@_prune_option
@_allow_option
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan, for `lcnb apply PLAN`.")
@output_option(*OUTPUTS)
@account_options
def plan(
    file: str,
    prune: bool,
    allow_delete_all: bool,
    out: str | None,
    output: str,
    account: str | None,
    sandbox: bool,
) -> None:
    """Show what would make the account as FILE (CSV) says.

    Columns: label, location, plan, image, hostname, ssh_key, state. An empty cell is not compared; a line that begins
    with # is a comment.
    """
    from lcnb.display.terminal import print_changes
    from lcnb.runbooks.toolkit.targets import read_fleet

    desired = read_fleet(file)
    with connect(account, sandbox) as lc:
        changes = lc.plan(desired, prune=prune, allow_delete_all=allow_delete_all)
        print_changes(changes, output)
        if out:
            print(f"saved: {_save(changes, out)}", file=sys.stderr)


def _save(changes: ChangeSet, out: str) -> Path:
    """The plan in its file. LcnbError when it cannot be written."""
    from lcnb.errors import LcnbError

    try:
        return changes.save(out)
    except OSError as error:
        raise LcnbError(
            f"--out {out}: the plan cannot be written: {error.strerror or error}. Nothing was sent. Choose another "
            "--out, in a folder that is there, may be written, and has space."
        ) from None


@click.command()
@click.argument("what", metavar="FILE|RUN")
@_prune_option
@_allow_option
@runs_dir_option
@_change_options
def apply(
    what: str,
    prune: bool,
    allow_delete_all: bool,
    runs_dir: str | None,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Make the account as FILE says, or make what a dry run planned.

    FILE is a CSV, or a plan that `lcnb plan --out` saved. RUN is a run of `lcnb plan-run`: its id, the beginning of
    one, its folder, or the word last. A saved plan and a planned run are refused when the account is no longer as it
    was.
    """
    from lcnb.runbooks.toolkit.targets import read_fleet

    if not Path(what).is_file():
        from lcnb.cli.runbooks import apply_run

        folder = _run_folder(what, runs_dir)
        _only_a_run(account, sandbox, prune=prune, allow_delete_all=allow_delete_all, **how)
        sys.exit(apply_run(folder, yes=how["yes"], runs_dir=runs_dir))
    if runs_dir:
        raise click.UsageError(f"--runs-dir: {what} is a file, not a run.")
    with connect(account, sandbox) as lc:
        if Path(what).suffix == ".json":
            if prune:
                raise click.UsageError(
                    "--prune belongs to the planning: lcnb plan FILE.csv --prune --out ..."
                )
            changes: ChangeSet = lc.load_changes(what)
        else:
            changes = lc.plan(read_fleet(what), prune=prune, allow_delete_all=allow_delete_all)
        _carry_out(changes, **how)


def _run_folder(name: str, runs_dir: str | None) -> Path:
    """The folder of a RUN, found as every command finds it. InputError when there is none, or more than one."""
    from lcnb.errors import InputError
    from lcnb.runbooks.records.history import find_run, is_path

    try:
        return find_run(name, runs_dir).folder
    except InputError as error:
        if is_path(name):
            raise InputError(f"no file and {error}. Nothing was sent.") from None
        raise InputError(f"no file {name!r}, and {error} Nothing was sent.") from None


def _only_a_run(account: str | None, sandbox: bool, **how: Any) -> None:
    """A run has its own account, and its own way to wait and to go on."""
    given = [
        name
        for name, value in how.items()
        if value and name in ("prune", "allow_delete_all", "wait", "timeout", "go_on", "dry_run")
    ]
    if account or sandbox or given:
        names = [*given, *(["account"] if account else []), *(["sandbox"] if sandbox else [])]
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise click.UsageError(f"{options}: not for a run, which has its own account, parameters and limits.")


# --- the journal ----------------------------------------------------------------------------------------


@click.command()
@output_option(*OUTPUTS)
def journal(output: str) -> None:
    """Every change that was begun, by whom, and its outcome."""
    _print_journal(output, pending=False)


@click.command()
@output_option(*OUTPUTS)
def pending(output: str) -> None:
    """Changes without an outcome; `lcnb resume` settles them."""
    _print_journal(output, pending=True)


def _print_journal(output: str, *, pending: bool) -> None:
    from lcnb.changes.journal import Journal
    from lcnb.display.terminal import print_frame
    from lcnb.folders import state_dir

    print_frame(Journal(state_dir()).frame(pending=pending), output)


@click.command()
@click.argument("changeset", metavar="[CHANGESET|RUN]", required=False)
@runs_dir_option
@_change_options
def resume(
    changeset: str | None,
    runs_dir: str | None,
    dry_run: bool,
    yes: bool,
    output: str,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Go on with changes that have no outcome, or with a broken run.

    Without a name: all of the account. A CHANGESET: that one. A RUN: its changes are settled, then its notebook goes on
    with what is left; what was done is not done again.
    """
    from lcnb.changes import apply as applying
    from lcnb.display.terminal import print_changes

    if changeset and _is_run(changeset, runs_dir):
        from lcnb.cli.runbooks import resume_run

        folder = _run_folder(changeset, runs_dir)
        _only_a_run(account, sandbox, dry_run=dry_run, go_on=how["go_on"])
        sys.exit(resume_run(folder, yes=yes, runs_dir=runs_dir, wait=True, timeout=how["timeout"]))

    with connect(account, sandbox) as lc:
        found = applying.open_changesets(lc, changeset)
        if dry_run or not found or (yes and output == "table"):
            for name in found:
                print_changes(applying.left_over(lc, name), output)
            if not found:
                print("nothing is open for this account", file=sys.stderr)
            if dry_run or not found:
                return
        print(LOOKS_FIRST, file=sys.stderr)
        _finish(lambda go: lc.resume(changeset, **go), output, yes=yes, **how)


def _is_run(name: str, runs_dir: str | None) -> bool:
    """Whether a name is that of a run. InputError when several runs begin with it; the journal's names are no run's."""
    from lcnb.errors import InputError
    from lcnb.runbooks.records.history import find_run, is_path

    if name == "last" or is_path(name):
        return True
    try:
        find_run(name, runs_dir)
    except InputError as error:
        if hasattr(error, "candidates"):
            raise
        return False
    return True


COMMANDS = (
    create,
    delete,
    power,
    resize,
    reset_password,
    key,
    snapshot,
    plan,
    apply,
    journal,
    pending,
    resume,
)
