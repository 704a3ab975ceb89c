"""`lcnb plan` and `lcnb apply`: make the account as a file describes it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import change_options, confirm_and_apply, skip_busy_option
from lcnb.cli.options import (
    OUTPUT_FORMATS,
    InputFile,
    NumberRange,
    account_options,
    connect_client,
    output_option,
    runs_dir_option,
)
from lcnb.cli.run_changes import apply_run, check_run_options, find_run_folder

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from lcnb.changes.changeset import ChangeSet
    from lcnb.client import LetsCloud


_prune_option = click.option("--prune", is_flag=True, help="Delete machines that FILE does not list.")
_delete_all_option = click.option(
    "--allow-delete-all", is_flag=True, help="Let --prune delete every machine of the account."
)
_max_delete_option = click.option(
    "--max-delete",
    "max_delete_percent",
    metavar="PERCENT",
    type=NumberRange(0, 100),
    help="Let --prune delete at most so many percent of the machines (otherwise 20).",
)


@click.command()
@click.argument("file", type=InputFile())
@_prune_option
@_delete_all_option
@skip_busy_option
@_max_delete_option
@click.option(
    "--out", metavar="PLAN", type=click.Path(dir_okay=False), help="Save the plan for `lcnb apply PLAN`."
)
@output_option(*OUTPUT_FORMATS)
@account_options
def plan_command(
    file: str,
    prune: bool,
    allow_delete_all: bool,
    skip_busy: bool,
    max_delete_percent: float | None,
    out: str | None,
    output: str,
    account: str | None,
    sandbox: bool,
) -> None:
    """Show the changes that make the account match a CSV file.

    FILE has the columns label, location, plan, image, hostname, ssh_key and state. Empty cells are not compared; lines
    that begin with # are comments.
    """
    from lcnb.display.previews import print_changes
    from lcnb.runbooks.toolkit.fleet_file import read_fleet

    desired = read_fleet(file)
    with connect_client(account, sandbox) as lc:
        changes = _plan_changes(lc, desired, prune, allow_delete_all, max_delete_percent, skip_busy=skip_busy)
        print_changes(changes, output)
        if out:
            print(f"saved: {_save_plan(changes, out)}", file=sys.stderr)


def _plan_changes(
    lc: LetsCloud,
    desired: pd.DataFrame,
    prune: bool,
    allow_delete_all: bool,
    max_delete_percent: float | None,
    *,
    skip_busy: bool,
) -> ChangeSet:
    """Return the changes that make the account match `desired`."""
    from lcnb.changes.desired_state import MAX_DELETE_PERCENT

    most = MAX_DELETE_PERCENT if max_delete_percent is None else max_delete_percent
    return lc.plan(
        desired,
        prune=prune,
        allow_delete_all=allow_delete_all,
        skip_busy=skip_busy,
        max_delete_percent=most,
    )


def _save_plan(changes: ChangeSet, out: str) -> Path:
    """Save the plan and return its path. InputError where it cannot be written, LcnbError when the disk is full."""
    from lcnb.errors import InputError
    from lcnb.files import write_error

    try:
        return changes.save(out)
    except OSError as error:
        raise write_error(
            error,
            f"the plan {out} cannot be written",
            refused=InputError,
            cure="Choose another --out, in a folder that exists and is writable.",
            field="--out",
            value=out,
            not_done="sent",
        ) from None


@click.command()
@click.argument("source", metavar="FILE|RUN")
@_prune_option
@_delete_all_option
@skip_busy_option
@_max_delete_option
@runs_dir_option
@change_options
def apply_command(
    source: str,
    prune: bool,
    allow_delete_all: bool,
    skip_busy: bool,
    max_delete_percent: float | None,
    runs_dir: str | None,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Apply a CSV file, a saved plan, or a planned run.

    FILE is a CSV file, or a plan that `lcnb plan --out` saved. RUN is a run of `lcnb plan-run`: its id, a unique
    beginning of the id, its folder, or the word last. A saved plan and a planned run are refused if the account has
    changed since.
    """
    from pathlib import Path

    from lcnb.runbooks.toolkit.fleet_file import read_fleet

    if not Path(source).is_file():
        folder = find_run_folder(source, runs_dir)
        given = {
            "prune": prune,
            "allow_delete_all": allow_delete_all,
            "skip_busy": skip_busy,
            "max_delete": max_delete_percent is not None,
        }
        check_run_options(account, sandbox, **given, **how)
        sys.exit(apply_run(folder, yes=how["yes"], runs_dir=runs_dir))
    if runs_dir:
        raise click.UsageError(f"--runs-dir: {source} is a file, not a run.")
    with connect_client(account, sandbox) as lc:
        if Path(source).suffix == ".json":
            if skip_busy:
                raise click.UsageError(
                    "--skip-busy: a saved plan is complete. Plan again: lcnb plan FILE.csv --skip-busy --out ..."
                )
            if prune:
                raise click.UsageError(
                    "--prune: a saved plan is already complete. Plan again: lcnb plan FILE.csv --prune --out ..."
                )
            changes: ChangeSet = lc.load_changes(source)
        else:
            changes = _plan_changes(
                lc, read_fleet(source), prune, allow_delete_all, max_delete_percent, skip_busy=skip_busy
            )
        confirm_and_apply(changes, **how)


COMMANDS = (plan_command, apply_command)
