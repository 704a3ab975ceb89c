"""`lcnb runbooks`, `run`, `plan-run` and `warm`: list runbooks and run them, for real or as a dry run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUTS, connect, output_option
from lcnb.cli.run_options import _run_options, _set_variables, given_parameters

if TYPE_CHECKING:
    from lcnb.runbooks.records import resume
    from lcnb.runbooks.result import RunResult


@click.command()
@click.argument("name", required=False)
@output_option(*OUTPUTS)
def runbooks(name: str | None, output: str) -> None:
    """The runbooks that can be run; with a NAME, its parameters."""
    from lcnb.display.terminal import print_frame
    from lcnb.runbooks.notebook.help import describe

    print_frame(describe(name), output)


class _RunCommand(click.Command):
    """`lcnb run NAME --help` is the page of that runbook."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(each in ctx.help_option_names for each in args):
            name = next((each for each in args if not each.startswith("-")), None)
            if name is not None:
                from lcnb.runbooks.notebook.find import find
                from lcnb.runbooks.notebook.help import help_text

                click.echo(help_text(find(name), ctx.make_formatter(), ctx.command_path))
                ctx.exit()
        return super().parse_args(ctx, args)


@click.command(cls=_RunCommand)
@click.argument("name")
@click.option("--yes", is_flag=True, help="The changes that it makes are confirmed (for dry_run=false).")
@_run_options
def run(name: str, yes: bool, **options: Any) -> None:
    """Run a runbook and keep its report.

    NAME is a shipped one (lcnb runbooks lists them) or a notebook file. `lcnb run NAME --help` tells what it is for
    and its parameters.
    """
    sys.exit(_start(name, confirm=yes, **options))


@click.command("plan-run", cls=_RunCommand)
@click.argument("name")
@_run_options
def plan_run(name: str, **options: Any) -> None:
    """Run a runbook dry and keep the changes that it would make.

    `lcnb apply RUN` makes exactly these, unless the account has changed.
    """
    from lcnb.errors import ParameterError
    from lcnb.runbooks.notebook.find import find

    if not any(each.name == "dry_run" for each in find(name).parameters):
        raise ParameterError(f"{name} has no parameter dry_run: it changes nothing. Run it: lcnb run {name}")
    if any(pair.partition("=")[0] == "dry_run" for pair in options["pairs"]):
        raise ParameterError("-p dry_run: plan-run is the dry run. Nothing was started.")
    options["pairs"] = (*options["pairs"], "dry_run=true")
    code = _start(name, confirm=False, tell=_print_plan, **options)
    sys.exit(code)


def _print_outcomes(result: RunResult) -> None:
    """The outcomes of the changes that a run has made, or that it was a dry run and what makes its changes."""
    from lcnb.cli.printing import print_made
    from lcnb.display.terminal import stdout
    from lcnb.runbooks import ends
    from lcnb.runbooks.outcomes import changes_line, is_made
    from lcnb.runbooks.records import resume

    recorded = resume.Recorded.read(result.folder)
    parameters = recorded.facts.get("parameters", {})
    made = [each for each in recorded.facts.get("changes", []) if is_made(each)]
    line = ""
    if made:
        print_made(made)
        line = changes_line(made, recorded.folder.name, ended_well=result.status in ends.ENDED_WELL)
    elif "dry_run" in parameters and result.status in ends.ENDED_WELL:
        line = _dry_line(recorded)
    if line:
        stdout().print(line, markup=False, highlight=False, soft_wrap=True)


def _dry_line(ended: resume.Recorded) -> str:
    """What a run that has made nothing came to."""
    parameters = ended.facts["parameters"]
    if not ended.planned:
        chosen = parameters.get("selection")
        if chosen == "":
            return "no machine is selected: nothing to do. Select some: -p selection=..., or selection=all"
        return f"nothing to do for the selection {chosen!r}" if chosen else "nothing to do"
    if parameters["dry_run"] is not True:
        return ""
    count = len(ended.planned)
    return f"dry run: {count} change{'s' if count > 1 else ''}, none made; make them: lcnb apply {_named(ended.folder)}"


def _named(folder: Path) -> str:
    """How a command finds a run: by its id, or by its folder where that is not in the usual place."""
    from lcnb.folders import runs_dir

    return folder.name if folder.parent == runs_dir().absolute() else shlex.quote(str(folder))


def _start(
    name: str,
    *,
    pairs: tuple[str, ...],
    account: str | None,
    sandbox: bool,
    confirm: bool,
    tell: Callable[[RunResult], None] = _print_outcomes,
    env_file: str | None = None,
    **limits: Any,
) -> int:
    if env_file is not None:
        _set_variables(env_file)
    from lcnb.runbooks.run import run_runbook

    given = given_parameters(pairs)
    settings = connect(account, True).settings if sandbox else None
    return carry_out(
        lambda **how: run_runbook(name, given, account=account, settings=settings, confirm=confirm, **how),
        tell,
        **limits,
    )


def carry_out(
    work: Callable[..., RunResult],
    tell: Callable[[RunResult], None] = _print_outcomes,
    *,
    runs_dir: str | None = None,
    no_lock: bool = False,
    lock_wait: float = 0,
    **limits: Any,
) -> int:
    """Run with progress in the terminal, print how it ended; gives the exit code."""
    from lcnb import streams
    from lcnb.cli.printing import print_result
    from lcnb.display.progress import cell_progress
    from lcnb.signals import held

    with cell_progress() as progress:
        result = work(progress=progress, folder=runs_dir, lock_wait=None if no_lock else lock_wait, **limits)
    streams.mark_acted()
    with held():
        print_result(result)
        tell(result)
    return result.exit_code


def _print_plan(result: RunResult) -> None:
    from lcnb.cli.printing import print_made
    from lcnb.runbooks import ends
    from lcnb.runbooks.records import resume

    if result.status in ends.ENDED_WELL and (planned := resume.Recorded.read(result.folder).planned):
        print_made(planned)
    _print_outcomes(result)


@click.command()
def warm() -> None:
    """Make runs start at once: wait, with all imported, for `lcnb run`.

    Runs until it is interrupted (Ctrl-C, SIGTERM); runs that are under way end first. `lcnb run`, `lcnb plan-run` and
    `lcnb batch` of the same user, Python and state folder use it by themselves. Linux only.
    """
    from lcnb.runbooks.engine.warm import folder_of_all
    from lcnb.runbooks.engine.warm_server import stay

    stay(f"warm runs: lcnb run uses this process (in {folder_of_all()}); Ctrl-C ends it")


COMMANDS = (runbooks, run, plan_run, warm)
