"""The options of commands that start a run: kernel, limits, variables and parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcnb.cli.options import account_options

if TYPE_CHECKING:
    pass


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


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    file = click.option(
        "--env-file",
        metavar="FILE",
        help="Variables for this run, as lines NAME='value'; read, never run by a shell. -FILE: it may be missing.",
    )
    return click.option(
        "-p", "--parameter", "pairs", metavar="NAME=VALUE", multiple=True, help="A parameter; repeatable."
    )(_limit_options(kernel_options(account_options(file(command)))))


def set_variables(file: str) -> None:
    """Set the variables of a file for this process; one that is called `-FILE` may be missing, as in a unit."""
    from lcnb.env_file import read_variables

    path = Path(file.removeprefix("-")).expanduser()
    if path.exists() or not file.startswith("-"):
        os.environ.update({name: secret.reveal() for name, secret in read_variables(path).items()})


def parse_parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    from lcnb.errors import ParameterError
    from lcnb.runbooks.notebook.types import WrittenText

    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ParameterError(f"-p {pair!r}: expected NAME=VALUE", not_done="started")
        if key in given:
            raise ParameterError(f"-p {key}: given twice, {given[key]!r} and {value!r}", not_done="started")
        given[key] = WrittenText(value)
    return given
