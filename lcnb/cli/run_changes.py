"""`lcnb apply RUN` and `lcnb resume RUN`: make what a dry run planned, settle and continue a broken run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import EXIT_NOT_CONFIRMED, RESUME_NOTICE
from lcnb.cli.runbooks import run_and_print

if TYPE_CHECKING:
    from lcnb.changes.changeset import ChangeSet

#: Options of `apply` and `resume` that only apply to changes, not to a run.
_CHANGE_OPTIONS = ("prune", "allow_delete_all", "wait", "timeout", "go_on", "dry_run")


def find_run_folder(name: str, runs_dir: str | None) -> Path:
    """Return the folder of a RUN, found as every command finds it. InputError for no run, or more than one."""
    from lcnb.errors import InputError
    from lcnb.runbooks.records.store import find_run, is_run_path

    try:
        return find_run(name, runs_dir).folder
    except InputError as error:
        if is_run_path(name):
            raise InputError(f"no file and {error}. Nothing was sent.") from None
        raise InputError(f"no file {name!r}, and {error} Nothing was sent.") from None


def check_run_options(account: str | None, sandbox: bool, **how: Any) -> None:
    """Raise UsageError for options that a run brings itself: account, waiting, limits."""
    given = [name for name, value in how.items() if value and name in _CHANGE_OPTIONS]
    if account or sandbox or given:
        names = [*given, *(["account"] if account else []), *(["sandbox"] if sandbox else [])]
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise click.UsageError(
            f"{options}: not allowed with a run, which has its own account, parameters and limits."
        )


def is_run_name(name: str, runs_dir: str | None) -> bool:
    """Return whether a name is that of a run, not of a ChangeSet. InputError when it fits several runs."""
    from lcnb.errors import InputError
    from lcnb.runbooks.records.store import find_run, is_run_path

    if name == "last" or is_run_path(name):
        return True
    try:
        find_run(name, runs_dir)
    except InputError as error:
        if hasattr(error, "candidates"):
            raise
        return False
    return True


def apply_run(folder: Path, *, yes: bool, runs_dir: str | None = None) -> int:
    """Show, confirm and make what a dry run planned; return the exit code.

    Without a terminal nobody can be asked: naming the run confirms its plan.
    """
    from lcnb.cli.printing import print_run_changes
    from lcnb.runbooks.records import resume

    planned = resume.RecordedRun.read(folder)
    resume.check_plan(planned)
    print_run_changes(planned.planned)
    count = len(planned.planned)
    if not yes and not _is_confirmed(
        f"Make {'this change' if count == 1 else f'these {count} changes'}? Type yes: "
    ):
        click.echo("not confirmed: nothing was sent", err=True)
        return EXIT_NOT_CONFIRMED
    return run_and_print(lambda **how: resume.apply_run(planned, **how), runs_dir=runs_dir)


def resume_run(folder: Path, *, yes: bool, runs_dir: str | None = None, **how: Any) -> int:
    """Settle the open changes of a run, then continue its notebook with the rest; return the exit code."""
    from lcnb import streams
    from lcnb.changes.progress import change_progress
    from lcnb.display.previews import print_changes
    from lcnb.display.terminal import print_frame
    from lcnb.runbooks.records import resume

    broken = resume.RecordedRun.read(folder)
    with change_progress() as progress:

        def confirm(left: ChangeSet) -> bool:
            progress.stop()
            click.echo(RESUME_NOTICE, err=True)
            if yes:
                print_changes(left)
            return yes or progress.confirm(left)

        results = resume.settle_changes(broken, confirm, progress=progress, **how)
    streams.mark_action_done()
    if progress.declined:
        return EXIT_NOT_CONFIRMED
    for result in results:
        print_frame(result)
    return run_and_print(lambda **limits: resume.resume_run(broken, **limits), runs_dir=runs_dir)


def _is_confirmed(question: str) -> bool:
    """Ask at a terminal; elsewhere the name of the plan was the confirmation."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input(question).strip().lower() in ("y", "yes")
