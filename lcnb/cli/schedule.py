"""`lcnb schedule`: install a schedule on this machine and watch it, or export it for another system."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUT_FORMATS, Number, table_options
from lcnb.cli.run_options import kernel_options, parameter_option, retry_options
from lcnb.runbooks.ends import ATTENTION, DONE
from lcnb.runbooks.schedule.systems import SYSTEMS

if TYPE_CHECKING:
    from pathlib import Path

    from lcnb.display.row_choice import RowChoice
    from lcnb.runbooks.schedule.check import ScheduleStatus


@click.group()
def schedule_group() -> None:
    """Run runbooks at set times: install, watch, export."""


def _schedule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what runs and when."""
    options = (
        click.option(
            "--cron",
            required=True,
            metavar="EXPR",
            help='Five cron fields, such as "30 6 * * 1-5", or a word such as @daily.',
        ),
        parameter_option,
        click.option(
            "--account",
            metavar="NAME",
            help="Use this account of lcnb.toml on the machine that starts the runs.",
        ),
        click.option(
            "--timezone", metavar="TZ", help="Time zone of the schedule, such as America/Sao_Paulo."
        ),
        click.option(
            "--label", metavar="NAME", help="Name of the schedule, unit, job or DAG (default: lcnb-RUNBOOK)."
        ),
        click.option(
            "--yes",
            "confirm",
            is_flag=True,
            help="Let every run make its changes without asking (needed for dry_run=false).",
        ),
        click.option("--timeout", type=Number(), metavar="S", help="Limit each run to S seconds."),
        retry_options,
        kernel_options,
    )
    for add_option in reversed(options):
        command = add_option(command)
    return command


@schedule_group.command("install")
@click.argument("name")
@click.option(
    "--to", required=True, type=click.Choice(("systemd", "cron")), help="System that starts the runs."
)
@_schedule_options
@click.option("--grace", metavar="TIME", default="15m", show_default=True, help="How late a run may start.")
@click.option("--replace", is_flag=True, help="Replace the installed schedule of the same name.")
def install_command(
    name: str, cron: str, to: str, pairs: tuple[str, ...], grace: str, replace: bool, **options: Any
) -> None:
    """Run a runbook at set times on this machine.

    systemd: a timer of this user in ~/.config/systemd/user, which makes up for a run that was missed while the machine
    was off. cron: a block in this user's crontab; other lines stay as they are. Every run is started without anybody
    at the terminal. The token is not stored: the printed notes say where it is read.
    """
    from datetime import UTC, datetime

    from lcnb.cli.run_options import parse_parameters
    from lcnb.runbooks.schedule.export import say_nothing_written
    from lcnb.runbooks.schedule.install import install_schedule
    from lcnb.times import parse_duration

    with say_nothing_written():
        given = parse_parameters(pairs)
        lateness = parse_duration(grace, "--grace")
    done = install_schedule(
        name,
        cron,
        to,
        now=datetime.now(UTC),
        replace_existing=replace,
        grace=lateness,
        parameters=given,
        **options,
    )
    schedule = done.schedule
    verb = "replaced" if done.replaced else "installed"
    following = schedule.timetable.next(datetime.now(UTC))
    when = f"next run {following:%Y-%m-%d %H:%M} UTC" if following else "it has no next run"
    click.echo(f"{verb} {schedule.name} ({schedule.system}, {schedule.cron} {schedule.zone_name}): {when}")
    if schedule.confirms:
        click.echo("every run makes its changes without asking (--yes)")
    for line in schedule.timetable.describe_clock_changes(datetime.now(UTC)):
        click.echo(line)
    for line in _comment_lines(schedule.lines):
        click.echo(line)
    for note in done.notes:
        click.echo(f"note: {note}", err=True)


def _comment_lines(lines: list[str]) -> list[str]:
    """Return the notes about the token, which the installed file has as comments."""
    return [line.removeprefix("# ") for line in lines if line.startswith("# ") and "token" in line.lower()]


@schedule_group.command("list")
@table_options(*OUTPUT_FORMATS)
def list_command(output: str, choice: RowChoice) -> None:
    """List installed schedules: next run, last run and how it ended."""
    from datetime import UTC, datetime

    from lcnb.display.terminal import print_line, print_rows
    from lcnb.runbooks.schedule.check import check_schedules
    from lcnb.runbooks.schedule.tables import list_problems, schedule_rows, short_times

    statuses = check_schedules(datetime.now(UTC))
    rows = schedule_rows(statuses)
    print_rows(rows, output, choice, shown=short_times(rows) if output == "table" else {})
    if output == "table":
        for each in statuses:
            for line in each.clock_changes:
                print_line((f"{each.schedule.name}: {line}", ""))
    count = len(list_problems(statuses))
    if count:
        problems = "1 problem" if count == 1 else f"{count} problems"
        print_line((f"{problems}: lcnb schedule check", ""), stream=sys.stderr)


@schedule_group.command("remove")
@click.argument("name", metavar="SCHEDULE")
def remove_command(name: str) -> None:
    """Remove an installed schedule.

    Its runs stay, and a run that is active goes on.
    """
    from lcnb.runbooks.schedule.install import remove_schedule

    for line in remove_schedule(name):
        click.echo(line)
    click.echo(f"{name} is no longer installed")


@schedule_group.command("check")
@click.argument("names", metavar="[SCHEDULE]...", nargs=-1)
@click.option(
    "--since", metavar="TIME", default="24h", show_default=True, help="Check the planned runs of this time."
)
@click.option("--notify", is_flag=True, help="Also send the problems to LCNB_NOTIFY.")
@table_options(*OUTPUT_FORMATS)
def check_command(names: tuple[str, ...], since: str, notify: bool, output: str, choice: RowChoice) -> None:
    """Check that planned runs happened and the next ones will.

    The exit code is 8 if a planned run did not start within its grace time, if the last run failed, or if something
    keeps the next run from starting. The last planned run is always checked, earlier ones as far as --since reaches.
    """
    from datetime import UTC, datetime

    from lcnb.display.terminal import check_output, print_line, print_rows
    from lcnb.runbooks.schedule.check import check_schedules
    from lcnb.runbooks.schedule.tables import list_problems, problem_rows
    from lcnb.times import parse_duration

    check_output(output)
    statuses = check_schedules(datetime.now(UTC), parse_duration(since, "--since"), names)
    problems = list_problems(statuses)
    if output != "table":
        print_rows(problem_rows(statuses), output, choice)
    else:
        for each in problems:
            print_line((each.sentence, ""))
        if not problems:
            click.echo(_good_news(statuses))
    if notify and problems:
        _notify(statuses)
    sys.exit(ATTENTION.exit_code if problems else DONE.exit_code)


def _good_news(statuses: list[ScheduleStatus]) -> str:
    if not statuses:
        return "no schedule is installed"
    return f"{len(statuses)} schedule{'' if len(statuses) == 1 else 's'}: no problems"


def _notify(statuses: list[ScheduleStatus]) -> None:
    """Send the problems; a notification that fails is reported and does not change the exit code."""
    import socket

    from lcnb.display.terminal import print_warning
    from lcnb.errors import LcnbError
    from lcnb.runbooks.publish.notifications import send_message
    from lcnb.runbooks.schedule.tables import problem_message

    try:
        send_message(problem_message(statuses, socket.gethostname()))
    except (LcnbError, RuntimeError) as error:
        print_warning(str(error))


@schedule_group.command("export")
@click.argument("name")
@click.option("--to", required=True, type=click.Choice(tuple(SYSTEMS)), help="System that starts the runs.")
@_schedule_options
@click.option("--image", metavar="IMAGE", help="Container image that contains lcnb (for k8s).")
@click.option(
    "--out", metavar="PATH", type=click.Path(), help="Write to this file or folder (default: print)."
)
def export_command(
    name: str,
    cron: str,
    to: str,
    pairs: tuple[str, ...],
    image: str | None,
    out: str | None,
    **options: Any,
) -> None:
    """Write a file with which a system calls `lcnb run NAME`.

    The file never contains the token. Its first lines say in which time zone the runs start, what happens when clocks
    change, where the token belongs, and what every run changes without asking (--yes).
    """
    from pathlib import Path

    from lcnb.cli.run_options import parse_parameters
    from lcnb.runbooks.schedule import entry
    from lcnb.runbooks.schedule.export import export_schedule, say_nothing_written

    with say_nothing_written():
        given = parse_parameters(pairs)
    files = export_schedule(
        name, cron, to, parameters=given, image=image or entry.PLACEHOLDER_IMAGE, **options
    )
    if out is None:
        sys.stdout.write(
            "\n".join(f"# --- {key}\n{text}" if len(files) > 1 else text for key, text in files.items())
        )
    else:
        for path in _write_files(files, Path(out)):
            click.echo(path)


def _write_files(files: dict[str, str], out: Path) -> list[Path]:
    """Write the files into a folder, or a single one as `out`; return their paths."""
    from lcnb.errors import InputError
    from lcnb.files import replace_file, write_error

    into_folder = out.is_dir() or len(files) > 1
    if into_folder and out.is_file():
        raise InputError(f"--out {out}: is a file, but {len(files)} files are written. Name a folder.")
    try:
        if into_folder:
            out.mkdir(parents=True, exist_ok=True)
        paths = {name: out / name if into_folder else out for name in files}
        for name, text in files.items():
            replace_file(paths[name], text, mode=0o644)
        return list(paths.values())
    except OSError as error:
        raise write_error(
            error,
            f"{error.filename} cannot be written",
            refused=InputError,
            cure="Choose another --out, in a folder that exists and is writable.",
            field="--out",
            value=str(out),
        ) from None


COMMANDS = (schedule_group,)
