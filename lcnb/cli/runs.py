"""The commands about runs that were made: list, show, open, compare, run again, prune, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcnb.cli.options import OUTPUT_FORMATS, account_options, connect_client, output_option, runs_dir_option
from lcnb.cli.run_options import kernel_options

if TYPE_CHECKING:
    from lcnb.runbooks.records.run_record import RunRecord


def _find_run(name: str, runs_dir: str | None) -> RunRecord:
    from lcnb.runbooks.records.find import find_run

    return find_run(name, runs_dir)


@click.group(invoke_without_command=True)
@click.option("--status", metavar="STATUS", help="Only runs that ended so, such as failed.")
@output_option(*OUTPUT_FORMATS)
@runs_dir_option
@click.pass_context
def runs_group(ctx: click.Context, status: str | None, output: str, runs_dir: str | None) -> None:
    """The runs that are kept, the newest first.

    A RUN, in the commands that take one, is an id, the beginning of one, a folder, or the word last.
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = runs_dir
        return
    from lcnb.display.terminal import print_frame, stderr_console
    from lcnb.runbooks.records.history import runs as listed

    frame = listed(runs_dir)
    if status is not None:
        frame = frame[frame["status"] == status.lower()]
    print_frame(frame, output)
    for run, problem in frame.loc[frame["problem"].notna(), ["id", "problem"]].itertuples(index=False):
        stderr_console().print(f"{run}: {problem}", markup=False, soft_wrap=True)


@runs_group.command()
@click.option("--keep", type=click.IntRange(0), required=True, metavar="N", help="How many ended runs stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@runs_dir_option
@click.pass_obj
def prune_command(outer: str | None, keep: int, yes: bool, runs_dir: str | None) -> None:
    """Delete the oldest runs that have ended."""
    from lcnb.display.terminal import print_frame, stderr_console
    from lcnb.runbooks.records.history import prune_runs as delete
    from lcnb.runbooks.records.history import runs_frame, runs_to_prune

    found = runs_to_prune(keep, runs_dir or outer)
    if not found:
        click.echo("nothing to delete")
        return
    if not yes:
        print_frame(runs_frame(found)[["id", "runbook", "status", "started"]])
        if not _ask_yes_no(f"Delete {len(found)} runs with all their files?"):
            click.echo("nothing was deleted", err=True)
            sys.exit(6)
    deleted, left = delete(found)
    for each in deleted:
        click.echo(f"deleted {each.folder}")
    for each, reason in left:
        stderr_console().print(f"not deleted: {each.folder}: {reason}", markup=False, soft_wrap=True)
    sys.exit(1 if left else 0)


def _ask_yes_no(question: str) -> bool:
    """What a person answers; no where nobody can be asked."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


@click.command()
@click.argument("run")
@output_option("table", "json")
@runs_dir_option
def show_command(run: str, output: str, runs_dir: str | None) -> None:
    """What the record of a run says."""
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
    """Open the report of a run (the last one by default) in the browser."""
    import webbrowser

    from lcnb.errors import InputError

    found = _find_run(run, runs_dir)
    report = found.folder / "report.html"
    if not report.is_file():
        raise InputError(
            f"the run {found.id} ({found.status}) has no report. What there is of it: {found.folder}"
        )
    click.echo(str(report))
    try:
        webbrowser.open(report.as_uri())
    except (webbrowser.Error, OSError):
        pass  # no browser here: its path was printed


@click.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@output_option(*OUTPUT_FORMATS)
@runs_dir_option
def diff_command(first: str, second: str, output: str, runs_dir: str | None) -> None:
    """What differs between two runs: parameters, versions, notebook, end, tables."""
    from lcnb.display.terminal import print_frame
    from lcnb.runbooks.records.compare import compare_runs as compared

    frame = compared(_find_run(first, runs_dir), _find_run(second, runs_dir))
    if output == "table" and frame.empty:
        click.echo("no difference")
    else:
        print_frame(frame, output)


@click.command()
@click.argument("run")
@click.option("--yes", is_flag=True, help="The changes that it makes are confirmed (for dry_run=false).")
@runs_dir_option
@kernel_options
@account_options
def rerun_command(
    run: str, yes: bool, runs_dir: str | None, account: str | None, sandbox: bool, **where: str | None
) -> None:
    """Run the same notebook again, with the same parameters and account."""
    from lcnb.cli.runbooks import run_and_print
    from lcnb.display.terminal import stderr_console
    from lcnb.runbooks.rerun import has_notebook_changed
    from lcnb.runbooks.rerun import rerun_notebook as again

    found = _find_run(run, runs_dir)
    if has_notebook_changed(found):
        stderr_console().print(
            f"[yellow]warning:[/] the notebook has changed since the run {found.id}", soft_wrap=True
        )
    settings = connect_client(account, True).settings if sandbox else None
    code = run_and_print(
        lambda **how: again(found, account=account, settings=settings, confirm=yes, **where, **how),
        runs_dir=runs_dir,
    )
    sys.exit(code)


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_dir_option
def verify_command(names: tuple[str, ...], runs_dir: str | None) -> None:
    """Check that no byte of a run was changed after it ended.

    Compares the files of all runs, or of those named, with the hashes in their records, and the records with
    the index of the runs folder. Nothing is signed: who may write there can make a whole new index. So keep
    the hash that is printed elsewhere, and compare it. Exit code 1 when something was changed.
    """
    from lcnb.display.terminal import stderr_console
    from lcnb.folders import runs_dir as default
    from lcnb.runbooks.records import abandoned, index

    places: dict[Path, list[str] | None] = {}
    if names:
        for found in (_find_run(name, runs_dir) for name in names):
            places.setdefault(found.folder.parent, []).append(found.id)  # type: ignore[union-attr]
    else:
        places[Path(runs_dir).expanduser().absolute() if runs_dir else default()] = None
    failed = False
    for place, only in places.items():
        abandoned.settle_runs(place)
        result = index.verify_runs(place, only)
        for each in result.problems:
            where = "/".join(filter(None, (each.run, each.file)))
            stderr_console().print(f"{where}: {each.problem}", markup=False, soft_wrap=True)
        failed = failed or bool(result.problems)
        told = f"{len(result.problems)} problems" if result.problems else "all as written"
        click.echo(
            f"{place}: {result.runs} runs, {result.files} files: {told}; the index ends with {result.head}"
        )
    sys.exit(1 if failed else 0)


COMMANDS = (runs_group, show_command, open_command, diff_command, rerun_command, verify_command)
