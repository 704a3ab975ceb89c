"""`lcnb journal`, `lcnb pending` and `lcnb resume`: the changes that were started, and those without an outcome."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import apply_and_print, change_options, resume_notice
from lcnb.cli.options import OUTPUT_FORMATS, connect_client, runs_dir_option, table_options
from lcnb.cli.run_changes import check_run_options, find_run_folder, is_run_name, resume_run

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.display.row_choice import RowChoice


@click.command()
@table_options(*OUTPUT_FORMATS)
def journal_command(output: str, choice: RowChoice) -> None:
    """List all changes with user, time and outcome."""
    _print_journal(output, choice, pending=False)


@click.command()
@table_options(*OUTPUT_FORMATS)
def pending_command(output: str, choice: RowChoice) -> None:
    """List changes without an outcome.

    `lcnb resume` settles them.
    """
    _print_journal(output, choice, pending=True)


def _print_journal(output: str, choice: RowChoice, *, pending: bool) -> None:
    from lcnb.changes.journal import Journal
    from lcnb.display.terminal import print_rows
    from lcnb.folders import state_dir

    print_rows(Journal(state_dir()).rows(pending=pending), output, choice)


@click.command()
@click.argument("changeset", metavar="[CHANGESET|RUN]", required=False)
@runs_dir_option
@change_options
def resume_command(
    changeset: str | None,
    runs_dir: str | None,
    dry_run: bool,
    yes: bool,
    output: str,
    account: str | None,
    sandbox: bool,
    **how: Any,
) -> None:
    """Settle changes without an outcome, or resume a run.

    Without an argument all open changes of the account are settled; with a CHANGESET only its changes. The changes of
    a RUN are settled first; then its notebook continues with the rest. Changes that are done are not sent again.
    """
    from lcnb.changes.apply import open_changesets

    if changeset and is_run_name(changeset, runs_dir):
        folder = find_run_folder(changeset, runs_dir, "run")
        check_run_options(account, sandbox, dry_run=dry_run, go_on=how["go_on"])
        sys.exit(resume_run(folder, yes=yes, runs_dir=runs_dir, wait=True, timeout=how["timeout"]))

    with connect_client(account, sandbox) as lc:
        found = open_changesets(lc, changeset)
        if not found:
            print("nothing is open for this account", file=sys.stderr)
            return
        if dry_run or (yes and output == "table"):
            _print_open_changes(lc, found, output)
        if dry_run:
            return
        print(resume_notice(lc.settings), file=sys.stderr)
        apply_and_print(lambda options: lc.resume(changeset, **options), output, yes=yes, **how)


def _print_open_changes(lc: LetsCloud, changesets: Sequence[str], output: str) -> None:
    from lcnb.changes.apply import unfinished_changes
    from lcnb.display.previews import print_changes

    for name in changesets:
        print_changes(unfinished_changes(lc, name), output)


COMMANDS = (journal_command, pending_command, resume_command)
