"""`lcnb apply RUN` and `lcnb resume RUN`: make what a dry run planned, settle and continue a broken run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.applying import resume_notice
from lcnb.cli.runbooks import run_and_print
from lcnb.runbooks.ends import NOT_CONFIRMED

if TYPE_CHECKING:
    from pathlib import Path

    from lcnb.changes.changeset import ChangeSet

#: Options of `apply` and `resume` that only apply to changes, not to a run.
_CHANGE_OPTIONS = (
    "prune", "allow_delete_all", "skip_busy", "max_delete", "wait", "timeout", "go_on", "dry_run",
)  # fmt: skip


def find_run_folder(name: str, runs_dir: str | None, noun: str = "file or run") -> Path:
    """Return the folder of a RUN. InputError, with what `noun` says was looked for, for no run or more than one."""
    from lcnb.flags import NOTHING_SENT
    from lcnb.runbooks.records.find import find_run

    return find_run(name, runs_dir, noun=noun, consequence=NOTHING_SENT).folder


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
    """Return whether a name is that of one or more runs, and not of a ChangeSet."""
    from lcnb.runbooks.records.find import is_run_path, match_runs

    return name == "last" or is_run_path(name) or bool(match_runs(name, runs_dir))


def apply_run(folder: Path, *, yes: bool, runs_dir: str | None = None) -> int:
    """Show, confirm and make what a dry run planned; return the exit code.

    Without a terminal nobody can be asked: naming the run confirms its plan.
    """
    from lcnb.cli.printing import print_run_changes
    from lcnb.runbooks import rerun
    from lcnb.runbooks.records.run_record import read_run

    planned = read_run(folder)
    rerun.check_plan(planned)
    print_run_changes(rerun.recorded_plan(planned))
    count = len(rerun.recorded_plan(planned))
    if not yes and not _is_confirmed(
        f"Make {'this change' if count == 1 else f'these {count} changes'}? Type yes: "
    ):
        click.echo("not confirmed: nothing was sent", err=True)
        return NOT_CONFIRMED.exit_code
    return run_and_print(lambda **how: rerun.apply_run(planned, **how), runs_dir=runs_dir)


def resume_run(folder: Path, *, yes: bool, runs_dir: str | None = None, **how: Any) -> int:
    """Settle the open changes of a run, then continue its notebook with the rest; return the exit code."""
    from lcnb import streams
    from lcnb.changes.progress import change_progress
    from lcnb.display.previews import print_changes
    from lcnb.display.terminal import print_frame
    from lcnb.runbooks import rerun
    from lcnb.runbooks.records.run_record import read_run

    broken = read_run(folder)
    with change_progress() as progress:

        def confirm(left: ChangeSet) -> bool:
            progress.stop()
            click.echo(resume_notice(left.settings), err=True)
            if yes:
                print_changes(left)
            return yes or progress.confirm(left)

        results = rerun.settle_changes(broken, confirm, progress=progress, **how)
    streams.mark_action_done()
    if progress.declined:
        return NOT_CONFIRMED.exit_code
    for result in results:
        print_frame(result)
    return run_and_print(lambda **limits: rerun.resume_run(broken, **limits), runs_dir=runs_dir)


def _is_confirmed(question: str) -> bool:
    """Ask at a terminal; elsewhere the name of the plan was the confirmation."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    from lcnb.changes.changeset import typed_answer

    return typed_answer(question).lower() in ("y", "yes")
