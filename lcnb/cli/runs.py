"""The commands about earlier runs: list, show, open, compare, run again, prune, verify."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import (
    OUTPUT_FORMATS,
    WholeNumber,
    account_options,
    output_option,
    runs_dir_option,
    sandbox_settings,
    table_options,
)
from lcnb.cli.run_options import confirm_option, kernel_options
from lcnb.runbooks.ends import DONE, NOT_CONFIRMED, RUN_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lcnb.display.row_choice import RowChoice
    from lcnb.runbooks.records.run_record import RunRecord


def _find_run(name: str, runs_dir: str | None) -> RunRecord:
    from lcnb.runbooks.records.find import find_run

    return find_run(name, runs_dir)


@click.group(invoke_without_command=True)
@click.option("--status", metavar="STATUS", help="List only runs with this status, such as failed.")
@click.option("--runbook", metavar="NAME", help="List only runs of this runbook.")
@click.option(
    "--since", metavar="TIME", help="List only runs since a time in UTC, such as 2026-11-30, or 7d, 12h."
)
@click.option(
    "--refused", is_flag=True, help="List the starts of schedules that were refused, with the reason."
)
@table_options(*OUTPUT_FORMATS)
@runs_dir_option
@click.pass_context
def runs_group(
    ctx: click.Context,
    refused: bool,
    status: str | None,
    runbook: str | None,
    since: str | None,
    output: str,
    choice: RowChoice,
    runs_dir: str | None,
) -> None:
    """List runs, the newest first.

    Commands that take a RUN accept its id, a unique beginning of the id, its folder, or the word last.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = runs_dir
        return
    from lcnb.display.terminal import fit_message, print_line, print_rows
    from lcnb.folders import resolve_runs_folder
    from lcnb.runbooks.records.find import no_runs_sentence
    from lcnb.runbooks.records.history import list_runs, run_rows
    from lcnb.runbooks.records.run_filter import select_runs, short_ids

    if refused:
        from lcnb.runbooks.records.refused import list_refused_starts, refused_rows

        kept = list_refused_starts(runs_dir)
        starts = select_runs(kept, status=status, runbook=runbook, since=since)
        print_rows(refused_rows(starts), output, choice)
        return
    kept = list_runs(runs_dir)
    found = select_runs(kept, status=status, runbook=runbook, since=since)
    # A pipe gets whole ids: what it stores must still be unique when there are more runs.
    ids = short_ids(run.id for run in kept) if sys.stdout.isatty() and not choice.wide else {}
    print_rows(run_rows(found), output, choice, shown={"id": ids})
    if not kept:
        sentence = no_runs_sentence(resolve_runs_folder(runs_dir))
        print_line((fit_message(sentence, sys.stderr), ""), stream=sys.stderr)
    for run in found:
        if run.problem:
            print_line((f"{run.id}: {run.problem}", ""), stream=sys.stderr)


@runs_group.command()
@click.option(
    "--keep",
    type=WholeNumber(0),
    required=True,
    metavar="N",
    help="Keep the newest N runs, and the newest N refused starts.",
)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@runs_dir_option
@click.pass_obj
def prune_command(outer: str | None, keep: int, yes: bool, runs_dir: str | None) -> None:
    """Delete the oldest runs that have ended, and refused starts."""
    from lcnb.display.terminal import print_line
    from lcnb.runbooks.records.history import prune_runs, runs_to_prune
    from lcnb.runbooks.records.refused import delete_refused_starts, refused_starts_to_prune

    found, refused = runs_to_prune(keep, runs_dir or outer), refused_starts_to_prune(keep, runs_dir or outer)
    if not found and not refused:
        click.echo("nothing to delete")
        return
    if not yes and not _confirm_prune(found, len(refused)):
        click.echo("nothing was deleted", err=True)
        sys.exit(NOT_CONFIRMED.exit_code)
    deleted, left = prune_runs(found)
    delete_refused_starts(refused)
    for each in [*deleted, *refused]:
        click.echo(f"deleted {each.folder}")
    for each, reason in left:
        print_line((f"not deleted: {each.folder}: {reason}", ""), stream=sys.stderr)
    sys.exit(RUN_FAILED.exit_code if left else DONE.exit_code)


@runs_group.command()
@click.option(
    "--since", default="24h", show_default=True, metavar="TIME", help="Begin at a time, or 7d, 12h, 30m ago."
)
@click.option("--runbook", metavar="NAME", help="Only runs of this runbook.")
@runs_dir_option
@click.pass_obj
def digest_command(outer: str | None, since: str, runbook: str | None, runs_dir: str | None) -> None:
    """Send one notification about several runs.

    LCNB_NOTIFY says where. The message lists the runs that are not done, with their reports, and counts the others.
    It is printed as well.
    """
    import socket

    from lcnb.display.terminal import print_line
    from lcnb.runbooks.publish.messages import digest_message
    from lcnb.runbooks.publish.notifications import send_message
    from lcnb.runbooks.records.history import list_runs
    from lcnb.runbooks.records.run_filter import select_runs
    from lcnb.runbooks.records.settled import fetch_run_files

    found = select_runs(list_runs(runs_dir or outer), runbook=runbook, since=since)
    found = [run if run.status == DONE.status else fetch_run_files(run) for run in found]
    message = digest_message(found, since, socket.gethostname())
    send_message(message)
    print_line((message.title, ""))
    print_line((message.text, ""))


@runs_group.command()
@runs_dir_option
@click.pass_obj
def push_command(outer: str | None, runs_dir: str | None) -> None:
    """Upload runs that have ended while their store was away.

    A run whose runs folder is a store (LCNB_RUNS_DIR=s3://bucket/prefix) is uploaded while it runs. When the store does
    not answer, the run stays on this machine until this command uploads it. After 120 seconds without an answer, no
    other run is tried. The exit code is 1 if a run could not be uploaded.
    """
    from lcnb.display.progress import upload_progress
    from lcnb.display.terminal import print_line
    from lcnb.errors import InputError
    from lcnb.folders import resolve_runs_folder
    from lcnb.runbooks.records import abandoned
    from lcnb.runbooks.records.mirror import PUSH_LIMITS, mirror_of
    from lcnb.runbooks.records.pushing import push_runs
    from lcnb.signals import exit_on_signals

    folder = resolve_runs_folder(runs_dir or outer)
    mirror = mirror_of(folder, PUSH_LIMITS)
    if mirror is None:
        raise InputError(f"{folder} is a folder, not a store: there is nothing to upload")
    abandoned.settle_runs(folder)
    pending = mirror.pending_runs()

    def print_end(run: str, error: Exception | None) -> None:
        if error is None:
            click.echo(f"uploaded {run}")
        else:
            print_line((f"not uploaded: {run}: {error}", ""), stream=sys.stderr)

    with exit_on_signals(), upload_progress() as progress:
        tally = push_runs(mirror, pending, print_end, progress)
    if tally.not_tried:
        count = "1 run" if len(tally.not_tried) == 1 else f"{len(tally.not_tried)} runs"
        sentence = f"not tried: {count}, because the store did not answer. Upload them later: lcnb runs push"
        print_line((sentence, ""), stream=sys.stderr)
    if not pending:
        click.echo(f"all runs of this machine are in {mirror.store.url}")
    sys.exit(RUN_FAILED.exit_code if tally.failed else DONE.exit_code)


def _confirm_prune(found: Sequence[RunRecord], refused: int) -> bool:
    """Show the runs that would be deleted, and ask."""
    from lcnb.display.row_choice import RowChoice
    from lcnb.display.terminal import print_rows
    from lcnb.runbooks.records.history import run_rows

    print_rows(run_rows(found), choice=RowChoice(columns=("id", "runbook", "status", "started")))
    starts = f" and {refused} refused starts" if refused else ""
    return _ask_yes_no(f"Delete {len(found)} runs with all their files{starts}?")


def _ask_yes_no(question: str) -> bool:
    """Ask on stderr; the answer is no where nobody can be asked."""
    from lcnb.changes.changeset import typed_answer

    click.echo(f"{question} [y/N]: ", err=True, nl=False)
    return typed_answer("", note="not confirmed: nothing was deleted").lower() in ("y", "yes")


@click.command()
@click.argument("run")
@output_option("table", "json")
@runs_dir_option
def show_command(run: str, output: str, runs_dir: str | None) -> None:
    """Show the record of a run."""
    import json

    from lcnb.cli.printing import print_run
    from lcnb.runbooks.records.run_record import require_readable

    found = require_readable(_find_run(run, runs_dir))
    if output == "json":
        click.echo(json.dumps(found.facts, ensure_ascii=False, indent=2))
    else:
        print_run(found)


@click.command(name="open")
@click.argument("run", default="last")
@runs_dir_option
def open_command(run: str, runs_dir: str | None) -> None:
    """Open the report of a run in the browser.

    Without a RUN the report of the last one is opened.
    """
    import webbrowser

    from lcnb.errors import InputError

    found = _find_run(run, runs_dir)
    report = found.folder / "report.html"
    if not report.is_file():
        raise InputError(f"the run {found.id} ({found.status}) has no report. Its folder: {found.folder}")
    click.echo(str(report))
    try:
        webbrowser.open(report.as_uri())
    except (webbrowser.Error, OSError):
        pass  # without a browser the printed path is enough


@click.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@table_options(*OUTPUT_FORMATS)
@runs_dir_option
def diff_command(first: str, second: str, output: str, choice: RowChoice, runs_dir: str | None) -> None:
    """Compare two runs.

    The table lists differences in parameters, versions, notebook, status and result tables.
    """
    from lcnb.display.terminal import print_frame
    from lcnb.runbooks.records.compare import compare_runs

    frame = compare_runs(_find_run(first, runs_dir), _find_run(second, runs_dir))
    if output == "table" and frame.empty:
        click.echo("no difference")
    else:
        print_frame(frame, output, choice)


@click.command()
@click.argument("run")
@confirm_option
@runs_dir_option
@kernel_options
@account_options
def rerun_command(run: str, runs_dir: str | None, account: str | None, sandbox: bool, **options: Any) -> None:
    """Run a notebook again, with the same parameters.

    The account is the same too, unless --account or --sandbox is given.
    """
    from lcnb.cli.runbooks import run_and_print
    from lcnb.display.terminal import print_warning
    from lcnb.runbooks.rerun import has_notebook_changed, rerun_notebook

    found = _find_run(run, runs_dir)
    if has_notebook_changed(found):
        print_warning(f"the notebook has changed since the run {found.id}")
    settings = sandbox_settings(account, sandbox)
    code = run_and_print(
        lambda **how: rerun_notebook(found, account=account, settings=settings, **options, **how),
        runs_dir=runs_dir,
    )
    sys.exit(code)


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_dir_option
def verify_command(names: tuple[str, ...], runs_dir: str | None) -> None:
    """Check that no file of a run was changed after it ended.

    The files of all runs, or of each RUN, are compared with the hashes in their records, and the records with the index
    of the runs folder. Nothing is signed: a person who can write to the folder can also write a new index. To detect
    that, store the printed hash elsewhere and compare it. The exit code is 1 if something was changed.
    """
    problems = [
        _verify_folder(folder, run_ids) for folder, run_ids in _run_ids_by_folder(names, runs_dir).items()
    ]
    sys.exit(RUN_FAILED.exit_code if any(problems) else DONE.exit_code)


def _run_ids_by_folder(names: tuple[str, ...], runs_dir: str | None) -> dict[Path, list[str] | None]:
    """Runs folder → the ids of the named runs in it; None for all, when no run is named."""

    from lcnb.folders import resolve_runs_folder

    if not names:
        return {resolve_runs_folder(runs_dir): None}
    folders: dict[Path, list[str] | None] = {}
    for found in (_find_run(name, runs_dir) for name in names):
        folders.setdefault(found.folder.parent, []).append(found.id)  # type: ignore[union-attr]
    return folders


def _verify_folder(folder: Path, run_ids: list[str] | None) -> int:
    """Verify runs of a folder, print what was found, and return the number of problems."""
    from contextlib import nullcontext

    from lcnb.display.terminal import print_line, print_warning
    from lcnb.runbooks.records import index
    from lcnb.runbooks.records.mirror import mirror_of
    from lcnb.runbooks.records.settled import settle_abandoned_runs
    from lcnb.runbooks.records.store_copy import copied_runs

    settle_abandoned_runs(folder)
    mirror = mirror_of(folder)
    with copied_runs(mirror, run_ids) if mirror else nullcontext(folder) as compared:
        result = index.verify_runs(compared, run_ids)
    for each in result.problems:
        where = "/".join(filter(None, (each.run, each.file)))
        print_line((f"{where}: {each.problem}", ""), stream=sys.stderr)
    verdict = f"{len(result.problems)} problems" if result.problems else "all as written"
    if pending := mirror.pending_runs() if mirror else []:
        print_warning(f"{len(pending)} runs are only on this machine, and were not verified: lcnb runs push")
    where = mirror.store.url if mirror else str(folder)
    runs = f"{result.runs} run{'' if result.runs == 1 else 's'}"
    click.echo(f"{where}: {runs}, {result.files} files: {verdict}; the index ends with {result.head}")
    return len(result.problems)


@click.command("approve")
@click.argument("run")
@click.option(
    "--note", default="", metavar="TEXT", help="A sentence to keep with the approval, such as a ticket."
)
@click.option("--yes", is_flag=True, help="Approve without asking.")
@runs_dir_option
def approve_command(run: str, note: str, yes: bool, runs_dir: str | None) -> None:
    """Approve the changes that another user planned.

    RUN is a dry run of `lcnb plan-run`. `lcnb apply RUN` then makes exactly these changes. An account requires this
    with approve = "other" in lcnb.toml.
    """
    from lcnb.cli.printing import print_run_changes
    from lcnb.runbooks import rerun
    from lcnb.runbooks.records.approval import approve_run, check_approver
    from lcnb.runbooks.records.settled import share_approval

    planned = _find_run(run, runs_dir)
    rerun.check_plan(planned, to_approve=True)
    check_approver(planned)
    facts = planned.facts
    click.echo(
        f"{facts.get('title')}, planned by {facts.get('user')}@{facts.get('host')} at {facts.get('started')}"
    )
    print_run_changes(rerun.recorded_plan(planned))
    if not yes and not _ask_yes_no("Approve these changes?"):
        click.echo("not approved: nothing was changed", err=True)
        sys.exit(NOT_CONFIRMED.exit_code)
    approval = approve_run(planned, note)
    share_approval(planned)
    click.echo(f"{approval}. Make the changes: lcnb apply {planned.id}")


COMMANDS = (
    runs_group,
    show_command,
    open_command,
    diff_command,
    rerun_command,
    verify_command,
    approve_command,
)
