"""`lcnb runbooks`, `run`, `plan-run` and `warm`: list runbooks and run them, for real or as a dry run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUT_FORMATS, sandbox_settings, table_options
from lcnb.cli.recorded_starts import RecordedCommand, record_scheduled_start
from lcnb.cli.run_options import confirm_option, parse_parameters, run_options, set_variables

if TYPE_CHECKING:
    from pathlib import Path

    from lcnb.display.row_choice import RowChoice
    from lcnb.runbooks.records.run_record import RunRecord
    from lcnb.runbooks.result import RunResult


@click.command()
@click.argument("name", required=False)
@table_options(*OUTPUT_FORMATS)
def runbooks_command(name: str | None, output: str, choice: RowChoice) -> None:
    """List the shipped runbooks, or the parameters of one."""
    from lcnb.display.terminal import print_rows
    from lcnb.runbooks.notebook.help import describe_runbooks

    print_rows(describe_runbooks(name), output, choice)


class _RunbookHelpCommand(RecordedCommand):
    """A command whose `NAME --help` shows the page of that runbook."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the page of a runbook for `NAME --help`; else parse as usual."""
        if any(each in ctx.help_option_names for each in args):
            name = next((each for each in args if not each.startswith("-")), None)
            if name is not None:
                from lcnb.runbooks.notebook.find import find_runbook
                from lcnb.runbooks.notebook.help import help_text

                click.echo(help_text(find_runbook(name), ctx.make_formatter(), ctx.command_path))
                ctx.exit()
        return super().parse_args(ctx, args)


@click.command(cls=_RunbookHelpCommand)
@click.argument("name")
@confirm_option
@run_options
def run_command(name: str, **options: Any) -> None:
    """Run a runbook and keep its report.

    NAME is a shipped runbook (`lcnb runbooks` lists them) or a notebook file. `lcnb run NAME --help` describes the
    runbook and its parameters.
    """
    sys.exit(_start_run(name, **options))


@click.command("plan-run", cls=_RunbookHelpCommand)
@click.argument("name")
@run_options
def plan_run_command(name: str, **options: Any) -> None:
    """Make a dry run and keep the changes that it plans.

    `lcnb apply RUN` makes exactly these changes, unless the account has changed since.
    """
    from lcnb.errors import ParameterError
    from lcnb.runbooks.notebook.find import find_runbook

    if not any(each.name == "dry_run" for each in find_runbook(name).parameters):
        raise ParameterError(f"{name} has no parameter dry_run: it changes nothing. Run it: lcnb run {name}")
    if any(pair.partition("=")[0] == "dry_run" for pair in options["pairs"]):
        raise ParameterError("-p dry_run: plan-run always makes a dry run. Nothing was started.")
    options["pairs"] = (*options["pairs"], "dry_run=true")
    sys.exit(_start_run(name, confirm=False, print_outcome=_print_plan, **options))


def _print_run_outcomes(result: RunResult) -> None:
    """Print the outcomes of the changes of a run, or the command that makes what its dry run planned."""
    from lcnb.cli.printing import print_run_changes
    from lcnb.display.terminal import print_line
    from lcnb.runbooks import ends
    from lcnb.runbooks.outcomes import summarize_changes, was_confirmed
    from lcnb.runbooks.records.run_record import read_run, require_readable

    recorded = require_readable(read_run(result.folder))
    parameters = recorded.facts.get("parameters", {})
    made = [each for each in recorded.facts.get("changes", []) if was_confirmed(each)]
    line = ""
    if made:
        print_run_changes(made)
        line = summarize_changes(
            made, recorded.folder.name, ended_well=result.status in ends.COMPLETED_STATUSES
        )
    elif "dry_run" in parameters and result.status in ends.COMPLETED_STATUSES:
        line = _dry_run_line(recorded)
    if line:
        print_line((line, ""))


def _dry_run_line(ended: RunRecord) -> str:
    """The last line of a run that changed nothing: nothing to do, or how to make the planned changes."""
    from lcnb.runbooks.rerun import recorded_plan

    parameters = ended.facts["parameters"]
    planned = recorded_plan(ended)
    if not planned:
        chosen = parameters.get("selection")
        if chosen == "":
            return (
                "no machine is selected: nothing to do. Select machines: -p selection=..., or selection=all"
            )
        return f"nothing to do for the selection {chosen!r}" if chosen else "nothing to do"
    if parameters["dry_run"] is not True:
        return ""
    changes = "1 change" if len(planned) == 1 else f"{len(planned)} changes"
    return f"dry run: {changes}, none made; make them: lcnb apply {_run_argument(ended.folder)}"


def _run_argument(folder: Path) -> str:
    """What names this run to a command: its id, or its folder where that is not in the usual place."""
    from lcnb.folders import runs_dir

    return folder.name if folder.parent == runs_dir().absolute() else shlex.quote(str(folder))


def _start_run(
    name: str,
    *,
    pairs: tuple[str, ...],
    account: str | None,
    sandbox: bool,
    confirm: bool,
    print_outcome: Callable[[RunResult], None] = _print_run_outcomes,
    env_file: str | None = None,
    **limits: Any,
) -> int:
    """Run a runbook with the options of the command line; return the exit code."""
    with record_scheduled_start(click.get_current_context()) as results:
        if env_file is not None:
            set_variables(env_file)
        from lcnb.runbooks.run import run_runbook

        given = parse_parameters(pairs)
        settings = sandbox_settings(account, sandbox)

        def run(**how: Any) -> RunResult:
            result = run_runbook(name, given, account=account, settings=settings, confirm=confirm, **how)
            results.append(result)
            return result

        return run_and_print(run, print_outcome, **limits)


def run_and_print(
    work: Callable[..., RunResult],
    print_outcome: Callable[[RunResult], None] = _print_run_outcomes,
    *,
    runs_dir: str | None = None,
    no_lock: bool = False,
    lock_wait: float = 0,
    **limits: Any,
) -> int:
    """Run with progress in the terminal, print how the run ended, and return its exit code."""
    from lcnb import streams
    from lcnb.cli.printing import print_result
    from lcnb.display.progress import cell_progress
    from lcnb.signals import hold_signals

    with cell_progress() as progress:
        result = work(progress=progress, folder=runs_dir, lock_wait=None if no_lock else lock_wait, **limits)
    streams.mark_action_done()
    with hold_signals():
        print_result(result)
        print_outcome(result)
    return result.exit_code


def _print_plan(result: RunResult) -> None:
    """Print the changes that a dry run planned, and how to make them."""
    from lcnb.cli.printing import print_run_changes
    from lcnb.runbooks import ends
    from lcnb.runbooks.records.run_record import read_run
    from lcnb.runbooks.rerun import recorded_plan

    if result.status in ends.COMPLETED_STATUSES and (planned := recorded_plan(read_run(result.folder))):
        print_run_changes(planned)
    _print_run_outcomes(result)


@click.command()
def warm_command() -> None:
    """Keep a process ready, so that runs start at once.

    It waits until it is interrupted (Ctrl-C, SIGTERM); active runs end first. `lcnb run`, `lcnb plan-run` and `lcnb
    batch` of the same user, Python and state folder use it automatically. Linux only.
    """
    from lcnb.runbooks.engine.warm import user_server_folder
    from lcnb.runbooks.engine.warm_server import become_server

    become_server(f"warm runs: lcnb run uses this process (in {user_server_folder()}); Ctrl-C ends it")


COMMANDS = (runbooks_command, run_command, plan_run_command, warm_command)
