"""Keep what a client reads: a flow that reads the account, and then stores the reading in the history.

Reading an account never fails because of the history. A reading that cannot be stored is left out, with one warning
per process; it is logged, as that of the rate budget is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from lcnb.api.flows import Flow, LocalWork
from lcnb.config import Settings
from lcnb.errors import ApiError, HistoryError, InputError, TransportError
from lcnb.facts.facts_file import FactsFile
from lcnb.history.folding import Reading
from lcnb.history.readings import INSTANCES, facts_reading, failed_readings
from lcnb.history.saved_tables import Row, table_readings
from lcnb.history.store import AccountIdentity, HistoryFile
from lcnb.history.stored import StoredHistory
from lcnb.transport.budget import budget_key

#: Seconds by which the clocks of two machines that share a state folder may differ.
CLOCK_TOLERANCE_S = 60.0

T = TypeVar("T")
logger = logging.getLogger("lcnb.history")

_warned = False


class HistoryRecorder:
    """The history of the account of a client. `clock` returns the seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.file = HistoryFile(settings.state_dir)
        self.identity = AccountIdentity(settings.base_url, budget_key(settings.token), settings.account)
        self.enabled = settings.history
        self.clock = clock
        self.facts = FactsFile(settings.facts_path)

    def record(
        self,
        flow: Flow[T],
        describe: Callable[[T], Sequence[Reading]],
        kind: str = "",
        *,
        required: bool = False,
    ) -> Flow[T]:
        """Run a flow that reads the account, store what it read, and return its result.

        Args:
            flow: The flow.
            describe: Returns the readings that its result contains.
            kind: What could not be read if the flow fails; "" stores nothing then.
            required: Raise HistoryError if the reading cannot be stored.
        """
        if not self.enabled:
            return (yield from flow)
        try:
            found = yield from flow
        except (ApiError, TransportError) as error:
            if kind:
                yield LocalWork("history", partial(self._store, partial(failed_readings, kind, error)))
            raise
        yield LocalWork("history", partial(self._store, partial(describe, found), required))
        return found

    def read(self) -> AbstractContextManager[StoredHistory]:
        """Open the history of this account until now for reading. HistoryError when that cannot be read."""
        return self.file.read(self.identity, int((self.clock() + CLOCK_TOLERANCE_S) * 1000))

    def import_table(self, columns: Iterable[str], rows: Iterable[Row], at: int) -> bool:
        """Store a saved inventory as the reading of its time; return False if that reading is stored already.

        Raises InputError for a table that is no inventory, HistoryError when the history cannot be written.
        """
        with self.read() as stored:
            found = table_readings(stored, columns, rows, at)
        return self.file.fold(self.identity, found, at, imported=True) > 0

    def _store(self, readings: Callable[[], Sequence[Reading]], required: bool = False) -> None:
        at = int(self.clock() * 1000)
        try:
            found = list(readings())
            if any(each.kind == INSTANCES and each.complete for each in found):
                found += self._facts_readings()
            self.file.fold(self.identity, found, at)
        except HistoryError as error:
            if required:
                raise error.restate(not_done="kept") from None
            _warn_once(f"the reading was not kept: {error}")

    def _facts_readings(self) -> list[Reading]:
        """Return the facts at the time of a listing; nothing for an unreadable file, which others report."""
        try:
            return [facts_reading(self.facts.read())]
        except InputError:
            return []


def _warn_once(text: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        logger.warning("%s", text)
