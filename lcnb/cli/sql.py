"""`lcnb sql`: a question in SQL over the account, or over several."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lcnb.cli.options import (
    OUTPUT_FORMATS,
    account_options,
    accounts_option,
    chosen_accounts,
    connect_client,
    table_options,
)

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.display.row_choice import RowChoice


@click.command()
@click.argument("query")
@accounts_option("Ask all accounts of lcnb.toml, or these.")
@table_options(*OUTPUT_FORMATS)
@account_options
def sql_command(
    query: str, accounts: str | None, output: str, choice: RowChoice, account: str | None, sandbox: bool
) -> None:
    """Answer a question in SQL.

    QUERY is one SELECT, or - to read it from stdin. "SHOW TABLES" lists the tables, "DESCRIBE inventory" the columns
    of one. Only the tables that the query names are read; it cannot read files or change anything. The first column
    of each table is the name of the account.
    """
    from lcnb.display.terminal import check_output, print_frame

    if accounts and (account or sandbox):
        raise click.UsageError("use --accounts, or one of --account and --sandbox.")
    check_output(output)
    print_frame(_answer(_query_text(query), accounts, account, sandbox), output, choice)


def _answer(query: str, accounts: str | None, account: str | None, sandbox: bool) -> pd.DataFrame:
    if accounts:
        from lcnb.multi_account import sql

        chosen = chosen_accounts(None, accounts)
        return sql(query, accounts=None if isinstance(chosen, bool) else chosen)
    with connect_client(account, sandbox) as lc:
        return lc.sql(query)


def _query_text(query: str) -> str:
    """The query itself: read from stdin for `-`."""
    return sys.stdin.read() if query == "-" else query


COMMANDS = (sql_command,)
