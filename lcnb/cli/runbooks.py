"""The commands that run a runbook: as it is, as a dry run, as the approved dry run, as the rest of a broken run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUTS, account_options, connect, output_option

if TYPE_CHECKING:
    from lcnb.changes.changeset import ChangeSet
    from lcnb.runbooks.records import resume
    from lcnb.runbooks.run import RunResult


@click.command()
@click.argument("name", required=False)
@output_option(*OUTPUTS)
def runbooks(name: str | None, output: str) -> None:
    """The runbooks that can be run; with a NAME, its parameters."""
    from lcnb.display.terminal import print_frame
    from lcnb.runbooks.notebook.find import describe

    print_frame(describe(name), output)


class _RunCommand(click.Command):
    """`lcnb run NAME --help` is the page of that runbook."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(each in ctx.help_option_names for each in args):
            name = next((each for each in args if not each.startswith("-")), None)
            if name is not None:
                from lcnb.runbooks.notebook.find import find, help_text

                click.echo(help_text(find(name), ctx.make_formatter(), ctx.command_path))
                ctx.exit()
        return super().parse_args(ctx, args)


def kernel_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--kernel` and `--cwd`."""
    for option in (
        click.option(
            "--cwd",
            metavar="FOLDER",
            type=click.Path(file_okay=False),
            help="The folder in which cells open files; by default the run's own, where its report is.",
        ),
        click.option(
            "--kernel",
            metavar="NAME",
            help="The Jupyter kernel to use, instead of the one the notebook names.",
        ),
    ):
        command = option(command)
    return command


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--engine",
            type=click.Choice(["auto", "kernel"], case_sensitive=False),
            default="auto",
            help="kernel: a Jupyter kernel in any case, also where a warm run could be had (lcnb warm).",
        ),
        click.option("--pdf", is_flag=True, help="Print the report as PDF too (needs Chromium)."),
        click.option("--no-lock", is_flag=True, help="Run even while another process runs the same."),
        click.option(
            "--lock-wait", type=float, default=0, metavar="S", help="Seconds to wait for that one's end."
        ),
        click.option("--cell-timeout", type=float, metavar="S", help="Seconds that a cell may take."),
        click.option("--timeout", type=float, metavar="S", help="Seconds that the whole run may take."),
        click.option(
            "--runs-dir", type=click.Path(file_okay=False), help="Where the run's own folder is made."
        ),
    ):
        command = option(command)
    return command


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    file = click.option(
        "--env-file",
        metavar="FILE",
        help="Variables for this run, as lines NAME='value'; read, never run by a shell. -FILE: it may be missing.",
    )
    return click.option(
        "-p", "--parameter", "pairs", metavar="NAME=VALUE", multiple=True, help="A parameter; repeatable."
    )(_limit_options(kernel_options(account_options(file(command)))))


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
    from lcnb.display.terminal import print_made, stdout
    from lcnb.runbooks.effects import changes_line, is_made
    from lcnb.runbooks.records import resume

    recorded = resume.Recorded.read(result.folder)
    parameters = recorded.facts.get("parameters", {})
    made = [each for each in recorded.facts.get("changes", []) if is_made(each)]
    line = ""
    if made:
        print_made(made)
        line = changes_line(made, recorded.folder.name, ended_well=result.status in resume.ENDED_WELL)
    elif "dry_run" in parameters and result.status in resume.ENDED_WELL:
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


def _set_variables(file: str) -> None:
    """Set the variables of a file for this process; one that is called `-FILE` may be missing, as in a unit."""
    from lcnb.config import read_variables

    path = Path(file.removeprefix("-")).expanduser()
    if path.exists() or not file.startswith("-"):
        os.environ.update({name: secret.reveal() for name, secret in read_variables(path).items()})


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
    from lcnb.display.terminal import cell_progress, print_result
    from lcnb.signals import held

    with cell_progress() as progress:
        result = work(progress=progress, folder=runs_dir, lock_wait=None if no_lock else lock_wait, **limits)
    streams.mark_acted()
    with held():
        print_result(result)
        tell(result)
    return result.exit_code


def _print_plan(result: RunResult) -> None:
    from lcnb.display.terminal import print_made
    from lcnb.runbooks.records import resume

    if result.status in resume.ENDED_WELL and (planned := resume.Recorded.read(result.folder).planned):
        print_made(planned)
    _print_outcomes(result)


@click.command()
def warm() -> None:
    """Make runs start at once: wait, with all imported, for `lcnb run`.

    Runs until it is interrupted (Ctrl-C, SIGTERM); runs that are under way end first. `lcnb run`, `lcnb plan-run` and
    `lcnb batch` of the same user, Python and state folder use it by themselves. Linux only.
    """
    from lcnb.runbooks.engine.forkserver import stay
    from lcnb.runbooks.engine.warm import folder_of_all

    stay(f"warm runs: lcnb run uses this process (in {folder_of_all()}); Ctrl-C ends it")


def given_parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    from lcnb.errors import ParameterError
    from lcnb.runbooks.notebook.parameters import Written

    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ParameterError(f"-p {pair!r}: expected NAME=VALUE. Nothing was started.")
        if key in given:
            raise ParameterError(f"-p {key}: given twice, {given[key]!r} and {value!r}. Nothing was started.")
        given[key] = Written(value)
    return given


# --- going on with a run --------------------------------------------------------------------------------


def apply_run(folder: Path, *, yes: bool, runs_dir: str | None = None) -> int:
    """`lcnb apply RUN`: shown, confirmed (by naming it, where nobody can be asked), made."""
    from lcnb.display.terminal import print_made
    from lcnb.runbooks.records import resume

    planned = resume.Recorded.read(folder)
    resume.check_plan(planned)
    print_made(planned.planned)
    count = len(planned.planned)
    if not yes and not _asked(
        f"Make {'this change' if count == 1 else f'these {count} changes'}? Type yes: "
    ):
        click.echo("not confirmed: nothing was sent", err=True)
        return 6
    return carry_out(lambda **how: resume.apply_run(planned, **how), runs_dir=runs_dir)


def resume_run(folder: Path, *, yes: bool, runs_dir: str | None = None, **how: Any) -> int:
    """`lcnb resume RUN`: what it left open is settled, then its notebook goes on with the rest."""
    from lcnb import streams
    from lcnb.cli.changes import LOOKS_FIRST, NOT_CONFIRMED
    from lcnb.display.terminal import change_progress, print_changes, print_frame
    from lcnb.runbooks.records import resume

    broken = resume.Recorded.read(folder)
    with change_progress() as progress:

        def confirm(left: ChangeSet) -> bool:
            progress.stop()
            click.echo(LOOKS_FIRST, err=True)
            if yes:
                print_changes(left)
            return yes or progress.confirm(left)

        results = resume.settle(broken, confirm, progress=progress, **how)
    streams.mark_acted()
    if progress.declined:
        return NOT_CONFIRMED
    for result in results:
        print_frame(result)
    return carry_out(lambda **limits: resume.resume_run(broken, **limits), runs_dir=runs_dir)


def _asked(question: str) -> bool:
    """Where nobody sits at a terminal, that the plan was named is the answer."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input(question).strip().lower() in ("y", "yes")


COMMANDS = (runbooks, run, plan_run, warm)
