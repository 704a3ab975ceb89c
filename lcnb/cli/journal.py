"""`lcnb journal`, `lcnb pending` and `lcnb resume`: the changes that were started, and those without an outcome."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import RESUME_NOTICE, apply_and_print, change_options
from lcnb.cli.options import OUTPUT_FORMATS, connect_client, output_option, runs_dir_option
from lcnb.cli.run_changes import check_run_options, find_run_folder, is_run_name

if TYPE_CHECKING:
    pass


# --- the journal ----------------------------------------------------------------------------------------


@click.command()
@output_option(*OUTPUT_FORMATS)
def journal_command(output: str) -> None:
    """Every change that was begun, by whom, and its outcome."""
    _print_journal(output, pending=False)


@click.command()
@output_option(*OUTPUT_FORMATS)
def pending_command(output: str) -> None:
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
    """Go on with changes that have no outcome, or with a broken run.

    Without a name: all of the account. A CHANGESET: that one. A RUN: its changes are settled, then its notebook goes on
    with what is left; what was done is not done again.
    """
    from lcnb.changes import apply as applying
    from lcnb.display.previews import print_changes

    if changeset and is_run_name(changeset, runs_dir):
        from lcnb.cli.run_changes import resume_run

        folder = find_run_folder(changeset, runs_dir, "run")
        check_run_options(account, sandbox, dry_run=dry_run, go_on=how["go_on"])
        sys.exit(resume_run(folder, yes=yes, runs_dir=runs_dir, wait=True, timeout=how["timeout"]))

    with connect_client(account, sandbox) as lc:
        found = applying.open_changesets(lc, changeset)
        if dry_run or not found or (yes and output == "table"):
            for name in found:
                print_changes(applying.unfinished_changes(lc, name), output)
            if not found:
                print("nothing is open for this account", file=sys.stderr)
            if dry_run or not found:
                return
        print(RESUME_NOTICE, file=sys.stderr)
        apply_and_print(lambda go: lc.resume(changeset, **go), output, yes=yes, **how)
