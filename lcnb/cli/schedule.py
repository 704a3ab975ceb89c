"""`lcnb schedule export`: a file with which another system runs a runbook on a schedule."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lcnb.cli.run_options import confirm_option, kernel_options, parameter_option
from lcnb.runbooks.schedule.systems import SYSTEMS

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def schedule_group() -> None:
    """Export runbooks to cron, systemd, Kubernetes and others."""


@schedule_group.command()
@click.argument("name")
@click.option(
    "--cron",
    required=True,
    metavar="EXPR",
    help='Five cron fields, such as "30 6 * * 1-5", or a word such as @daily.',
)
@click.option("--to", required=True, type=click.Choice(tuple(SYSTEMS)), help="System that starts the runs.")
@parameter_option
@kernel_options
@click.option(
    "--account", metavar="NAME", help="Use this account of lcnb.toml on the machine that starts the runs."
)
@click.option("--timezone", metavar="TZ", help="Time zone of the schedule, such as America/Sao_Paulo.")
@click.option("--label", metavar="NAME", help="Name of the unit, job or DAG (default: lcnb-RUNBOOK).")
@click.option("--image", metavar="IMAGE", help="Container image that contains lcnb (for k8s).")
@confirm_option
@click.option(
    "--out", metavar="PATH", type=click.Path(), help="Write to this file or folder (default: print)."
)
def export_command(
    name: str,
    cron: str,
    to: str,
    pairs: tuple[str, ...],
    account: str | None,
    timezone: str | None,
    label: str | None,
    image: str | None,
    confirm: bool,
    out: str | None,
    kernel: str | None,
    cwd: str | None,
) -> None:
    """Write a file with which a system calls `lcnb run NAME`.

    The file never contains the token.
    """
    from pathlib import Path

    from lcnb.cli.run_options import parse_parameters
    from lcnb.runbooks.schedule import entry
    from lcnb.runbooks.schedule.export import export_schedule, say_nothing_written

    with say_nothing_written():
        given = parse_parameters(pairs)
    files = export_schedule(
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
        confirm=confirm,
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
    from lcnb.files import write_atomically

    into_folder = out.is_dir() or len(files) > 1
    if into_folder and out.is_file():
        raise InputError(f"--out {out}: is a file, but {len(files)} files are written. Name a folder.")
    if into_folder:
        out.mkdir(parents=True, exist_ok=True)
    return [
        write_atomically(out / name if into_folder else out, text, mode=0o644) for name, text in files.items()
    ]


COMMANDS = (schedule_group,)
