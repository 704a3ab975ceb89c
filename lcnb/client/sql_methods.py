"""Questions in SQL, as a method of both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lcnb.api import queries
from lcnb.api.flows import Flow
from lcnb.api.listing_reader import Listing
from lcnb.api.queries import InventoryParts
from lcnb.client.derivation import Steps, client_method, wait_for
from lcnb.config import Settings
from lcnb.history import readings
from lcnb.history.recording import HistoryRecorder

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.sql_queries.engine import Parameters


class SqlMethods:
    """The part of a client that answers SQL."""

    settings: Settings
    _catalogue_cache: Any
    _history: HistoryRecorder

    @client_method
    def sql(self, query: str, parameters: Parameters | None = None) -> Steps[pd.DataFrame]:
        """Return the answer to a question in SQL over the tables of this account, by DuckDB (`lcnb[sql]`).

        Args:
            query: one SELECT, such as `select location, count(*) from inventory group by 1`. SHOW TABLES lists the
                tables, DESCRIBE the columns of one. The first column of each table is `account`.
            parameters: values for `$1`, `$2` (a list) or `$name` (a dict).

        Only the tables that the query names are read. It cannot read files or Python variables, reach the network or
        change anything; it may take as long as a method of the client (`timeout`).

        Returns a frame: texts `str`, whole numbers `Int64`, other numbers `Float64`, flags `boolean`, dates and times
        `datetime64[us, UTC]`, durations `timedelta64[us]`, lists and structs Python objects. Raises InputError for a
        wrong query, before anything is sent, and QueryTimeout.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.sql("select count(*) as machines from inventory where state = $1", ["running"]).machines[0] > 0
        np.True_
        """
        from lcnb.sql_queries.question import open_question

        with open_question(query, parameters) as question:
            account, limit_s = self.settings.account, self.settings.timeout
            local: Any = [(account, self)]  # a whole client has what local tables need
            yield from wait_for(question.prepare(local, limit_s), each_call=True)
            question.add(account, (yield from wait_for(self._listings_flow(question.listings))))
            return (yield from wait_for(question.answer(limit_s, account), each_call=True))

    @client_method
    def _listings(self, names: list[str]) -> Steps[dict[str, Listing | InventoryParts]]:
        """Return listings of the account as they were read; `lcnb.sql` joins those of several accounts."""
        return (yield from wait_for(self._listings_flow(names)))

    def _listings_flow(self, names: list[str]) -> Flow[dict[str, Listing | InventoryParts]]:
        """Return the flow that reads these listings and keeps what the history holds of them."""
        flow = queries.read_listings(names, self._catalogue_cache)
        has_machines = {readings.INSTANCES, "inventory"} & set(names)
        return self._history.record(flow, readings.query_readings, readings.INSTANCES if has_machines else "")
