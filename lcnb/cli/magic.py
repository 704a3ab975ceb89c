"""`%load_ext lcnb`: the command's listings as a line in a notebook, giving DataFrames.

    %lcnb instances --location MIA1 --state running
    %lcnb plans --location MIA1
    web = %lcnb inventory

It only reads; what changes something is a method, a form or a command.
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
)
STATES = ("running", "off", "building", "busy", "suspended")
OPTIONS = ("--location", "--state", "--account", "--sandbox")


class _MagicParser(argparse.ArgumentParser):
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


def lcnb(line: str) -> pd.DataFrame:
    """A listing as a DataFrame: `inventory`, `instances`, `plans`, ... with --location, --state, --account, --sandbox.

    >>> from lcnb.cli.magic import lcnb
    >>> lcnb("plans --location MIA1 --sandbox").location.unique().tolist()
    ['MIA1']
    """
    asked = _build_parser().parse_args(shlex.split(line))
    if asked.listing not in LISTINGS:
        raise InputError(
            f"%lcnb {asked.listing}: no such listing{did_you_mean(asked.listing, LISTINGS)}. Listings: "
            f"{', '.join(LISTINGS)}"
        )
    frame = _read_listing(asked)
    for column in ("location", "state"):
        wanted = getattr(asked, column)
        if wanted is not None:
            if column not in frame:
                raise InputError(f"%lcnb {asked.listing} has no {column}; leave --{column} out")
            frame = frame[frame[column].str.lower() == wanted.lower()]
    return frame


def _read_listing(asked: argparse.Namespace) -> pd.DataFrame:
    if asked.listing == "accounts":
        from lcnb.token_places import accounts

        return accounts()
    from lcnb.client import connect

    with connect(asked.account, sandbox=asked.sandbox) as client:
        if asked.listing in ("plans", "images") and asked.location:
            return getattr(client, asked.listing)(asked.location)  # type: ignore[no-any-return]
        return getattr(client, asked.listing)()  # type: ignore[no-any-return]


def complete_line(shell: Any, event: Any) -> list[str]:
    """What may come next on the line: a listing, an option, a state."""
    words = event.line.split()
    before = words[-2] if event.symbol and len(words) > 1 else (words[-1] if words else "")
    if before == "--state":
        return list(STATES)
    if before in ("%lcnb", "lcnb"):
        return list(LISTINGS)
    return list(OPTIONS)


def register_magic(shell: Any) -> None:
    """Register the magic and its completion with an IPython shell."""
    shell.register_magic_function(lcnb, magic_kind="line")
    shell.set_hook("complete_command", complete_line, str_key="%lcnb")
