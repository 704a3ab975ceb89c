"""`lcnb plan` and `lcnb apply`: make the account as a file describes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import change_options, confirm_and_apply
from lcnb.cli.options import OUTPUT_FORMATS, account_options, connect_client, output_option, runs_dir_option
from lcnb.cli.run_changes import check_run_options, find_run_folder

if TYPE_CHECKING:
    from lcnb.changes.changeset import ChangeSet


# --- desired state --------------------------------------------------------------------------------------


_prune_option = click.option("--prune", is_flag=True, help="Delete machines that are not in FILE.")
_delete_all_option = click.option(
    "--allow-delete-all",
    is_flag=True,
    help="With --prune: also when that deletes every machine of the account.",
)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@_prune_option
@_delete_all_option
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan, for `lcnb apply PLAN`.")
@output_option(*OUTPUT_FORMATS)
@account_options
def plan_command(
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
    from lcnb.display.previews import print_changes
    from lcnb.runbooks.toolkit.fleet_file import read_fleet

    desired = read_fleet(file)
    with connect_client(account, sandbox) as lc:
        changes = lc.plan(desired, prune=prune, allow_delete_all=allow_delete_all)
        print_changes(changes, output)
        if out:
            print(f"saved: {_save_plan(changes, out)}", file=sys.stderr)


def _save_plan(changes: ChangeSet, out: str) -> Path:
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
@_delete_all_option
@runs_dir_option
@change_options
def apply_command(
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
    from lcnb.runbooks.toolkit.fleet_file import read_fleet

    if not Path(what).is_file():
        from lcnb.cli.run_changes import apply_run

        folder = find_run_folder(what, runs_dir)
        check_run_options(account, sandbox, prune=prune, allow_delete_all=allow_delete_all, **how)
        sys.exit(apply_run(folder, yes=how["yes"], runs_dir=runs_dir))
    if runs_dir:
        raise click.UsageError(f"--runs-dir: {what} is a file, not a run.")
    with connect_client(account, sandbox) as lc:
        if Path(what).suffix == ".json":
            if prune:
                raise click.UsageError(
                    "--prune belongs to the planning: lcnb plan FILE.csv --prune --out ..."
                )
            changes: ChangeSet = lc.load_changes(what)
        else:
            changes = lc.plan(read_fleet(what), prune=prune, allow_delete_all=allow_delete_all)
        confirm_and_apply(changes, **how)
