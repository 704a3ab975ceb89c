"""Options that many commands share, and the client that they choose."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.config import Settings

OUTPUT_FORMATS = ("table", "json", "csv", "parquet", "xlsx")
#: The formats of `lcnb inventory` for other tools; `lcnb.exports.formats` writes them.
EXPORT_FORMATS = ("ssh-config", "ansible", "ansible-script", "terraform", "prometheus", "prometheus-sd")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class WholeNumber(click.IntRange):
    """A whole number, in the words of people: click's own name for it is "integer range"."""

    name = "whole number"


class Number(click.types.FloatParamType):
    """A number, in the words of people: click's own name for it is "float"."""

    name = "number"


class NumberRange(click.FloatRange):
    """A number between two others, in the words of people: click's own name for it is "float range"."""

    name = "number"


class InputFile(click.Path):
    """A file that a command reads. The message for a missing one says where it was looked for, and what is there."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail with the nearest name."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            raise click.BadParameter(f"{error.message}{_nearest_files(value)}", ctx, param) from None


def _nearest_files(value: str) -> str:
    """Describe where a file was looked for; "" for one that is there and cannot be read."""
    from pathlib import Path

    from lcnb.suggestions import nearest_name

    path = Path(value).absolute()
    if path.is_dir():
        return " Name a file."
    if path.exists():
        return ""
    folder = path.parent
    if not folder.is_dir():
        return f" There is no folder {folder}."
    same_kind = {each.stem: each.name for each in folder.glob(f"*{path.suffix}") if each.is_file()}
    near = same_kind.get(nearest_name(path.stem, same_kind) or "")
    return f" It was looked for in {folder}{f' (did you mean {near!r}?)' if near else ''}."


def account_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--account` and `--sandbox`."""
    sandbox = click.option("--sandbox", is_flag=True, help="Use the sandbox instead of your account.")
    account = click.option(
        "--account", metavar="NAME", help="Use this account of lcnb.toml (list them: lcnb accounts)."
    )
    return account(sandbox(command))


def accounts_option(help_text: str) -> Decorator:
    """Return a decorator that adds `--accounts`; `chosen_accounts` reads it."""
    return click.option("--accounts", metavar="all|A,B", help=help_text)


def chosen_accounts(account: str | None, accounts: str | None) -> list[str] | bool:
    """Return the names of the accounts, True for all of lcnb.toml, or an empty list for the default account."""
    if account:
        return [account]
    if accounts == "all":
        return True
    return [each.strip() for each in (accounts or "").split(",") if each.strip()]


def runs_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--runs-dir`."""
    return click.option(
        "--runs-dir",
        metavar="FOLDER",
        type=click.Path(file_okay=False),
        callback=_use_store,
        help="Folder that contains the runs (default: LCNB_RUNS_DIR, or ./runs).",
    )(command)


def _use_store(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Make a store that --runs-dir names the place of locks too, in this process and the kernels that it starts."""
    if value is not None and "://" in value:
        os.environ["LCNB_RUNS_DIR"] = value
    return value


def output_option(*choices: str) -> Decorator:
    """Return a decorator that adds `-o` with these formats."""
    many = len(choices) > len(OUTPUT_FORMATS)  # their names do not fit into the line of the option
    return click.option(
        "-o",
        "--output",
        type=click.Choice(choices),
        metavar="FORMAT" if many else None,
        default="table",
        show_default=True,
        help=f"Format of the output: {', '.join(choices)}." if many else "Format of the output.",
    )


def table_options(*choices: str) -> Decorator:
    """Return a decorator that adds `-o` with these formats, and the options that choose columns and rows of a table.

    The command receives `output` and `choice`, a RowChoice.
    """

    def add_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_choice(
            *, columns: str | None, wide: bool, sort: str, limit: int | None, no_header: bool, **others: Any
        ) -> Any:
            from lcnb.display.row_choice import RowChoice

            names = [name.strip() for name in (columns or "").split(",") if name.strip()]
            if columns is not None and not names:
                raise click.UsageError("--columns: name at least one column, as in --columns label,state.")
            return command(choice=RowChoice(names, wide, sort, limit, not no_header), **others)

        chosen: Callable[..., Any] = with_choice
        for add_option in reversed(_TABLE_OPTIONS):
            chosen = add_option(chosen)
        return output_option(*choices)(chosen)

    return add_options


_TABLE_OPTIONS = (
    click.option("--columns", metavar="A,B,...", help="Show these columns."),
    click.option("--wide", is_flag=True, help="Show all columns in the table."),
    click.option(
        "--sort", metavar="COLUMN", default="", help="Sort by this column; -COLUMN sorts downwards."
    ),
    click.option("--limit", type=WholeNumber(0), metavar="N", help="Show at most N rows."),
    click.option("--no-header", is_flag=True, help="Omit the names of the columns."),
)


def connect_client(account: str | None, sandbox: bool) -> LetsCloud:
    """Return a client of the account that the options choose."""
    from lcnb.client import connect
    from lcnb.display.terminal import show_logged_warnings

    show_logged_warnings()
    return connect(account, sandbox=sandbox)


def sandbox_settings(account: str | None, sandbox: bool) -> Settings | None:
    """Return the settings of a new sandbox for `--sandbox`, or None: then the account's settings are read later."""
    return connect_client(account, True).settings if sandbox else None
