"""A query from its text to its result: parse, check, load, run.

>>> with open_question("show tables") as question:  # parsed: the tables are known
...     run_here(question.prepare([], 60))  # checked against columns and types; nothing was sent
...     # question.add(account, listings) for those of question.listings
...     frame = run_here(question.answer(60))
>>> frame.name[0]
'facts'
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lcnb.api.fields import Drift
from lcnb.api.flows import Flow, Pause
from lcnb.api.listing_reader import Listing
from lcnb.api.queries import InventoryParts
from lcnb.errors import InputError
from lcnb.facts.machine_facts import KnownFacts
from lcnb.sql_queries import tables
from lcnb.sql_queries.engine import Parameters, Session, ThreadTask
from lcnb.sql_queries.statement import find_tables

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
#: Seconds between two looks at a running query: most end within the first ones.
FIRST_POLL_S, MAX_POLL_S = 0.001, 0.05


class Question:
    """A query and the tables that it names. `open_question` creates one."""

    def __init__(self, session: Session, query: str, parameters: Parameters) -> None:
        names = tables.table_names()
        found = find_tables(session.parse(query), query, names)
        named = {each.name for each in found.read}
        self._session, self._query, self._parameters = session, query, parameters
        self._lists_tables = found.lists_tables
        self._declared = sorted(named | {each.name for each in found.described})
        #: The listings of the API that must be fetched.
        self.listings = sorted(named & tables.API_TABLES.keys())
        self._rows: dict[str, list[pd.DataFrame]] = {name: [] for name in self.listings}
        self._drift: list[Drift] = []
        #: Account → the facts of its machines, if the query names the inventory.
        self._facts: dict[str | None, KnownFacts] = {}

    def __enter__(self) -> Question:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def prepare(self, clients: Iterable[tuple[str | None, tables.LocalReader]], limit_s: float) -> Flow[None]:
        """Read the local tables, and check the query against the columns of all tables, within some seconds.

        Sends nothing.
        """
        clients = list(clients)
        if "inventory" in self.listings:
            self._facts = {account: client._facts_file.read() for account, client in clients}
        for name in self._declared:
            local = name in tables.LOCAL_TABLES
            frame = tables.local_frame(name, clients) if local else tables.empty_frame(name)
            self._session.load(name, frame)
        if not self._lists_tables:
            yield from self._wait(self._session.start_check(self._query, self._parameters), limit_s)

    def add(self, account: str | None, found: Mapping[str, Listing | InventoryParts]) -> None:
        """Add the rows that were fetched from an account."""
        for name, listing in found.items():
            frame, drift = tables.listing_rows(name, listing, account, self._facts.get(account, {}))
            self._rows[name].append(frame)
            self._drift += drift

    def add_failure(self, account: str, reason: str) -> None:
        """Note that an account could not be read: the result says so, and the others are used."""
        self._drift.append(Drift(f"account {account}", f"unavailable: {reason}"))

    def answer(self, limit_s: float, account: str | None = None) -> Flow[pd.DataFrame]:
        """Run the query within some seconds, and return its result."""
        if self._lists_tables:
            return self._with_provenance(tables.tables_frame(), account)
        import pandas as pd

        from lcnb.frames.arrow import result_frame

        for name, frames in self._rows.items():
            if frames:
                self._session.load(
                    name, pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
                )
        task = self._session.start_query(self._query, self._parameters)
        return self._with_provenance(result_frame((yield from self._wait(task, limit_s))), account)

    def _wait(self, task: ThreadTask[T], limit_s: float) -> Flow[T]:
        """Return the result of a task; raise QueryTimeout after some seconds. A flow, so that any driver can wait."""
        pause_s, deadline = FIRST_POLL_S, time.monotonic() + limit_s
        while not task.wait(0.0):
            if time.monotonic() > deadline:
                raise self._session.time_limit_error(task, limit_s)
            yield Pause(pause_s, "waiting for the result of the query")
            pause_s = min(2 * pause_s, MAX_POLL_S)
        return task.result()

    def _with_provenance(self, frame: pd.DataFrame, account: str | None) -> pd.DataFrame:
        from lcnb.frames.provenance import attach_provenance

        return attach_provenance("sql", frame, self._drift, account, None)


def run_here(flow: Flow[T]) -> T:
    """Return the result of a flow that only pauses."""
    try:
        while True:
            time.sleep(next(flow).seconds)  # type: ignore[union-attr] # the flows of a question only pause
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def open_question(query: str, parameters: Parameters | None = None) -> Question:
    """Return a query whose tables are known; use it in a `with` statement.

    Raises InputError for a query that is wrong, names an unknown table or does more than read, and when DuckDB is not
    installed. Nothing is sent.
    """
    if not isinstance(query, str) or not is_encodable(query):
        raise InputError(field="query", expected="SQL as text", value=query, not_done="sent")
    values = _checked_parameters(parameters)
    session = Session()
    try:
        return Question(session, query, values)
    except BaseException:
        session.close()
        raise


def is_encodable(text: str) -> bool:
    """Whether a text can be passed to DuckDB: it has no half of a surrogate pair.

    >>> is_encodable("São 😀"), is_encodable("\\ud800")
    (True, False)
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _checked_parameters(parameters: Parameters | None) -> Parameters:
    """Return the values for the parameters of a query, as Python objects; raise InputError for anything else."""
    if parameters is None:
        return []
    if isinstance(parameters, Mapping):
        return {str(name): _plain_value(value) for name, value in parameters.items()}
    if isinstance(parameters, list | tuple):
        return [_plain_value(value) for value in parameters]
    raise InputError(
        field="parameters",
        expected="a list of values, or a dict with names",
        value=parameters,
        not_done="sent",
    )


def _plain_value(value: Any) -> Any:
    """Return a value of numpy as one of Python, which DuckDB knows."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return value.item() if is_scalar else value
