"""The options of commands that start a run: kernel, limits, variables and parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

from lcnb.cli.options import Number, WholeNumber, account_options, runs_dir_option

ENGINE_CHOICES = click.Choice(["auto", "kernel"], case_sensitive=False)

#: `-p`, of each command that takes parameters.
parameter_option = click.option(
    "-p",
    "--parameter",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a parameter of the runbook; repeatable.",
)
#: `--yes`, of each command that can start a run which changes something.
confirm_option = click.option(
    "--yes", "confirm", is_flag=True, help="Confirm the changes of the run (needed for dry_run=false)."
)
#: `--engine`, of each command that starts runs.
engine_option = click.option(
    "--engine",
    type=ENGINE_CHOICES,
    default="auto",
    show_default=True,
    help="kernel: always start a Jupyter kernel; auto: use `lcnb warm` if it is running.",
)


def retry_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--retries` and `--retry-wait`."""
    retries = click.option(
        "--retries",
        type=WholeNumber(0, 20),
        default=0,
        metavar="N",
        help="Try again up to N times if the network or the provider failed before anything was changed.",
    )
    wait = click.option(
        "--retry-wait",
        type=Number(),
        metavar="S",
        help="Wait S seconds before the first retry (default: 30); each further wait is doubled, up to 900.",
    )
    return retries(wait(command))


def kernel_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--kernel` and `--cwd`."""
    kernel = click.option(
        "--kernel", metavar="NAME", help="Use this Jupyter kernel instead of the notebook's."
    )
    cwd = click.option(
        "--cwd",
        metavar="FOLDER",
        type=click.Path(file_okay=False),
        help="Folder in which cells open files (default: the folder of the run).",
    )
    return kernel(cwd(command))


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        runs_dir_option,
        click.option("--timeout", type=Number(), metavar="S", help="Limit the whole run to S seconds."),
        click.option("--cell-timeout", type=Number(), metavar="S", help="Limit each cell to S seconds."),
        click.option(
            "--lock-wait",
            type=Number(),
            default=0,
            metavar="S",
            help="Wait S seconds for another run of the same notebook to end.",
        ),
        click.option(
            "--no-lock", is_flag=True, help="Run even while another process runs the same notebook."
        ),
        click.option("--pdf", is_flag=True, help="Also write the report as PDF (needs Chromium)."),
        engine_option,
    )
    for add_option in reversed(options):  # `--help` then lists them in this order
        command = add_option(command)
    return command


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `lcnb run` and `lcnb plan-run`."""
    env_file = click.option(
        "--env-file",
        metavar="FILE",
        help="Read variables for the run from FILE (lines NAME='value'); -FILE may be missing.",
    )
    return parameter_option(_limit_options(retry_options(kernel_options(account_options(env_file(command))))))


def set_variables(file: str) -> None:
    """Set the variables of a file for this process. A leading - means that the file may be missing, as in systemd."""
    from pathlib import Path

    from lcnb.env_file import read_variables

    path = Path(file.removeprefix("-")).expanduser()
    if path.exists() or not file.startswith("-"):
        os.environ.update({name: secret.reveal() for name, secret in read_variables(path).items()})


def option_value(words: Sequence[str], option: str) -> str | None:
    """Return the value of an option of a command line that could not be parsed; as with click, the last one counts.

    >>> option_value(["inventory", "--runs-dir", "/a", "--runs-dir=/b"], "--runs-dir")
    '/b'
    """
    value = None
    for word, following in zip(words, [*words[1:], None], strict=False):
        if word == option:
            value = following
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
    return value


def parse_parameters(pairs: tuple[str, ...]) -> dict[str, str]:
    """Parse the NAME=VALUE pairs of `-p`. ParameterError for anything else, or a repeated name.

    >>> parse_parameters(("location=MIA1", "label=a=b"))
    {'location': 'MIA1', 'label': 'a=b'}
    """
    from lcnb.errors import ParameterError
    from lcnb.runbooks.notebook.types import WrittenText

    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ParameterError(
                f"-p {pair!r}: expected NAME=VALUE, as in -p location=MIA1", value=pair, not_done="started"
            )
        if key in given:
            raise ParameterError(f"-p {key}: given twice, {given[key]!r} and {value!r}", not_done="started")
        given[key] = WrittenText(value)
    return given
