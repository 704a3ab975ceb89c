"""The tables of SQL queries: what each holds, where it comes from, and its column `account`.

A listing of the API is fetched only for a query that names it; its columns are known before. A local table is read from
this machine, so reading it sends nothing. Each new table is one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lcnb.api.fields import Drift
from lcnb.api.listing_reader import Listing
from lcnb.api.queries import InventoryParts
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import KnownFacts

if TYPE_CHECKING:
    import pandas as pd


class LocalReader(Protocol):
    """What local tables need of a client."""

    @property
    def _facts_file(self) -> FactsFile: ...

    def journal(self) -> pd.DataFrame:
        """Return every change that was begun from the state folder of the client."""


class LocalTable(NamedTuple):
    """A table that is read without a request."""

    meaning: str
    #: Read it for one client.
    read: Callable[[Any], pd.DataFrame]
    #: It holds all accounts at once, and has their names in its own column `account`.
    shared: bool = False


#: Listings of the API: name → meaning. `lcnb.describe(NAME)` lists their columns.
API_TABLES = {
    "instances": "machines as the API lists them",
    "inventory": "machines with location, inferred plan, monthly price and facts",
    "plans": "plans of all locations with their prices",
    "images": "images of all locations",
    "locations": "places where machines can run",
    "sshkeys": "public keys for new machines",
    "snapshots": "snapshots of machines",
}
LOCAL_TABLES = {
    "facts": LocalTable("tags, owner, note, protection and expiry of machines", lambda lc: lc.facts()),
    "history": LocalTable("machines over time, one row per version", lambda lc: lc.history()),
    "journal": LocalTable("changes that lcnb began on this machine", lambda lc: lc.journal(), shared=True),
    # A public function of a package below this one: it is called as users call it, and needs no client.
    "runs": LocalTable("runs of runbooks", lambda _: import_module("lcnb").runs(), shared=True),
}


def table_names() -> list[str]:
    """Return the names of all tables, sorted.

    >>> table_names()[:3]
    ['facts', 'history', 'images']
    """
    return sorted({*API_TABLES, *LOCAL_TABLES})


def tables_frame() -> pd.DataFrame:
    """Return the answer to SHOW TABLES: one row per table, with its name and what it holds, both `str`."""
    import pandas as pd

    meanings = {**API_TABLES, **{name: each.meaning for name, each in LOCAL_TABLES.items()}}
    rows = [(name, meanings[name]) for name in table_names()]
    return pd.DataFrame(rows, columns=["name", "description"], dtype="str")


def empty_frame(name: str) -> pd.DataFrame:
    """Return a listing of the API without rows: the columns and dtypes that it will have."""
    import pandas as pd

    from lcnb.frames.description import describe

    about = describe(name)
    columns = zip(about["column"], about["dtype"], strict=True)
    return add_account(pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in columns}), None)


def listing_rows(
    name: str, found: Listing | InventoryParts, account: str | None, facts: KnownFacts
) -> tuple[pd.DataFrame, list[Drift]]:
    """Return the frame of a listing with its column `account`, and what was odd in it."""
    if isinstance(found, InventoryParts):
        from lcnb.frames.inventory import priced_inventory

        rows, drift = priced_inventory(found, facts)
        frame = rows.frame()
    else:
        from lcnb.frames.listings import read_frame

        frame, drift = read_frame(name, found)
    return add_account(frame, account), [Drift(f"{name}: {each.path}", each.problem) for each in drift]


def local_frame(name: str, clients: Iterable[tuple[str | None, LocalReader]]) -> pd.DataFrame:
    """Return a local table for these clients, each with the name of its account."""
    import pandas as pd

    table = LOCAL_TABLES[name]
    if table.shared:
        return add_account(table.read(next(iter(clients))[1]), None)
    return pd.concat(
        [add_account(table.read(client), account) for account, client in clients], ignore_index=True
    )


def add_account(frame: pd.DataFrame, account: str | None) -> pd.DataFrame:
    """Return the frame with `account` as its first column: its own one if it has one, else this name in each row."""
    import pandas as pd

    own = frame["account"].array if "account" in frame else pd.array([account] * len(frame), dtype="str")
    rest = frame.drop(columns="account", errors="ignore")
    rest.insert(0, "account", pd.Series(own, index=rest.index))
    return rest
