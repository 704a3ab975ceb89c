"""`lcnb schedule export`: the file by which another system runs a runbook at its time."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lcnb.cli.run_options import kernel_options
from lcnb.runbooks.schedule.systems import SYSTEMS


@click.group()
def schedule_group() -> None:
    """Runbooks at their time: files for cron, systemd, Kubernetes, Airflow and GitHub."""


@schedule_group.command()
@click.argument("name")
@click.option(
    "--cron",
    required=True,
    metavar="EXPR",
    help='Five fields, such as "30 6 * * 1-5", or a word such as @daily.',
)
@click.option("--to", required=True, type=click.Choice(tuple(SYSTEMS)), help="The system that keeps time.")
@click.option(
    "-p", "--parameter", "pairs", metavar="NAME=VALUE", multiple=True, help="A parameter; repeatable."
)
@kernel_options
@click.option("--account", metavar="NAME", help="An account of the lcnb.toml where it will run.")
@click.option("--timezone", metavar="TZ", help="Such as America/Sao_Paulo.")
@click.option("--label", metavar="NAME", help="How unit, job or DAG is called (lcnb-RUNBOOK).")
@click.option("--image", metavar="IMAGE", help="For k8s: a container image that has lcnb.")
@click.option("--yes", is_flag=True, help="The changes of each run are confirmed (for dry_run=false).")
@click.option("--out", type=click.Path(), help="A file or a folder to write; printed by default.")
def export_command(
    name: str,
    cron: str,
    to: str,
    pairs: tuple[str, ...],
    account: str | None,
    timezone: str | None,
    label: str | None,
    image: str | None,
    yes: bool,
    out: str | None,
    kernel: str | None,
    cwd: str | None,
) -> None:
    """A file of that system which calls `lcnb run NAME`; it never holds the token."""
    from lcnb.cli.run_options import parse_parameters
    from lcnb.runbooks.schedule import entry
    from lcnb.runbooks.schedule import export as schedules

    with schedules.say_nothing_written():
        given = parse_parameters(pairs)
    files = schedules.export_schedule(
        name,
        cron,
        to,
        parameters=given,
        account=account,
        timezone=timezone,
        label=label,
        image=image or entry.PLACEHOLDER_IMAGE,
        kernel=kernel,
        cwd=cwd,
        confirm=yes,
    )
    if out is None:
        sys.stdout.write(
            "\n".join(f"# --- {key}\n{text}" if len(files) > 1 else text for key, text in files.items())
        )
    else:
        for path in _write_files(files, Path(out)):
            click.echo(path)


def _write_files(files: dict[str, str], out: Path) -> list[Path]:
    from lcnb.errors import InputError
    from lcnb.files import write_atomically

    folder = out.is_dir() or len(files) > 1
    if folder and out.is_file():
        raise InputError(f"--out {out}: there are {len(files)} files, so it must be a folder")
    if folder:
        out.mkdir(parents=True, exist_ok=True)
    return [write_atomically(out / name if folder else out, text, mode=0o644) for name, text in files.items()]
