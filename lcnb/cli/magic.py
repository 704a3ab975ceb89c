"""`%load_ext lcnb`: the listings of the command, and questions in SQL, as a magic that returns DataFrames.

    %lcnb instances --location MIA1 --state running
    %lcnb plans --location MIA1
    web = %lcnb inventory

    %%lcnb sql
    select location, count(*) as machines from inventory group by 1

The magic only reads. Changes are made by methods of the client, forms and commands.
"""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from lcnb.errors import InputError
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

LISTINGS = (
    "inventory",
    "instances",
    "locations",
    "plans",
    "images",
    "sshkeys",
    "snapshots",
    "accounts",
    "journal",
    "facts",
)
STATES = ("running", "off", "building", "busy", "suspended")
OPTIONS = ("--location", "--state", "--account", "--sandbox")
#: The first word of a cell whose other lines are a question in SQL.
SQL = "sql"


class _MagicParser(argparse.ArgumentParser):
    """A parser that raises InputError: SystemExit would end the kernel."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"%lcnb: {message}. {self.format_usage().strip()}")


def _build_parser() -> _MagicParser:
    parser = _MagicParser(prog="%lcnb", add_help=False, allow_abbrev=False)
    parser.add_argument("listing")
    parser.add_argument("--location", metavar="SLUG")
    parser.add_argument("--state", choices=STATES)
    parser.add_argument("--account", metavar="NAME")
    parser.add_argument("--sandbox", action="store_true")
    return parser


def lcnb(line: str, cell: str | None = None) -> pd.DataFrame:
    """Return a listing as a DataFrame, such as `inventory`, `instances` or `plans`; or the answer to `%%lcnb sql`.

    Options: --location SLUG, --state STATE, --account NAME, --sandbox; for SQL the last two. InputError for a line
    that it cannot read.

    >>> from lcnb.cli.magic import lcnb
    >>> lcnb("plans --location MIA1 --sandbox").location.unique().tolist()
    ['MIA1']
    >>> lcnb("sql --sandbox", "select count(*) as machines from instances").machines[0]
    np.int64(60)
    """
    words = shlex.split(line) if cell is not None or line.split()[:1] != [SQL] else [SQL]
    options = _build_parser().parse_args(words)
    if cell is not None or options.listing == SQL:
        return _answer_sql(options, cell)
    if options.listing not in LISTINGS:
        raise InputError(
            f"%lcnb {options.listing}: no such listing{did_you_mean(options.listing, LISTINGS)}. Listings: "
            f"{', '.join(LISTINGS)}"
        )
    if options.listing == "accounts":
        from lcnb.token_places import accounts

        frame = accounts()
        _wanted_values(options, frame)
        return frame
    return _read_listing(options)


def _answer_sql(options: argparse.Namespace, query: str | None) -> pd.DataFrame:
    from lcnb.client import connect

    if options.listing != SQL or query is None:
        raise InputError(
            f"%lcnb {options.listing}: a question in SQL starts with the line %%lcnb sql and continues in the cell"
        )
    if options.location or options.state:
        raise InputError("%%lcnb sql has no --location and --state; use WHERE in the query")
    with connect(options.account, sandbox=options.sandbox) as client:
        return client.sql(query)


def _read_listing(options: argparse.Namespace) -> pd.DataFrame:
    from lcnb.cli.filtering import matching_rows
    from lcnb.client import connect

    with connect(options.account, sandbox=options.sandbox) as client:
        method = getattr(client, options.listing)
        by_location = options.listing in ("plans", "images") and options.location
        frame = method(options.location) if by_location else method()
        flags = matching_rows(client, len(frame), frame.__getitem__, _wanted_values(options, frame))
        selected: pd.DataFrame = frame.loc[flags]
        return selected


def _wanted_values(options: argparse.Namespace, frame: pd.DataFrame) -> dict[str, str]:
    """Column → wanted value, of the options that were given. InputError when the listing has no such column."""
    wanted = {name: getattr(options, name) for name in ("location", "state")}
    for name, value in wanted.items():
        if value is not None and name not in frame:
            raise InputError(f"%lcnb {options.listing} has no {name}; leave --{name} out")
    return wanted


def complete_line(shell: Any, event: Any) -> list[str]:
    """Return what can follow on the line: listings, options or states; after `%%lcnb` the word `sql`."""
    words = event.line.split()
    before = words[-2] if event.symbol and len(words) > 1 else (words[-1] if words else "")
    if before == "--state":
        return list(STATES)
    if before == "%%lcnb":
        return [SQL]
    if before in ("%lcnb", "lcnb"):
        return list(LISTINGS)
    return list(OPTIONS)


def register_magic(shell: Any) -> None:
    """Register the magic and its completion with an IPython shell."""
    shell.register_magic_function(lcnb, magic_kind="line_cell")
    shell.set_hook("complete_command", complete_line, str_key="%lcnb")
    shell.set_hook("complete_command", complete_line, str_key="%%lcnb")
