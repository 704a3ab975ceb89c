"""Options that many commands share, and the client that they choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

OUTPUT_FORMATS = ("table", "json", "csv", "parquet")


def account_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--sandbox` and `--account`."""
    for option in (
        click.option(
            "--sandbox", is_flag=True, help="Ask a made-up LetsCloud on this machine; needs no token."
        ),
        click.option("--account", metavar="NAME", help="An account of lcnb.toml (see: lcnb accounts)."),
    ):
        command = option(command)
    return command


def runs_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--runs-dir`."""
    return click.option("--runs-dir", type=click.Path(file_okay=False), help="Where runs are kept.")(command)


def output_option(*choices: str) -> Callable[..., Any]:
    """`-o`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(choices),
        default="table",
        show_default=True,
        help="What to print.",
    )


def connect_client(account: str | None, sandbox: bool) -> LetsCloud:
    """The client that the options name."""
    from lcnb.client import connect as connected

    return connected(account, sandbox=sandbox)
