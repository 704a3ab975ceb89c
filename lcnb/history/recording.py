"""Keep what a client reads: a flow that reads the account, and then stores the reading in the history.

Reading an account never fails because of the history. A reading that cannot be stored is left out, with one warning
per process.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from lcnb.api.flows import Flow, LocalWork
from lcnb.config import Settings
from lcnb.errors import ApiError, HistoryError, HistoryWarning, TransportError
from lcnb.frames.provenance import caller_stacklevel
from lcnb.history.folding import Reading
from lcnb.history.readings import INSTANCES, facts_reading, failed_readings
from lcnb.history.store import AccountIdentity, HistoryFile
from lcnb.history.stored import StoredHistory
from lcnb.transport.budget import budget_key

T = TypeVar("T")
#: Identifier → name → text: what lcnb itself knows about machines.
Facts = Mapping[str, Mapping[str, str]]

_warned = False


class HistoryRecorder:
    """The history of the account of a client. `clock` returns the seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        read_facts: Callable[[], Facts] | None = None,
    ) -> None:
        self.file = HistoryFile(settings.state_dir)
        self.identity = AccountIdentity(settings.base_url, budget_key(settings.token), settings.account)
        self.enabled = settings.history
        self.clock = clock
        #: Returns the facts about machines, which are stored with each listing of machines.
        self.read_facts = read_facts

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
        """Open the history of this account for reading. HistoryError when that cannot be read."""
        return self.file.read(self.identity)

    def _store(self, readings: Callable[[], Sequence[Reading]], required: bool = False) -> None:
        at = int(self.clock() * 1000)
        try:
            found = list(readings())
            if any(each.kind == INSTANCES and each.complete for each in found) and self.read_facts:
                found.append(facts_reading(self.read_facts()))
            self.file.fold(self.identity, found, at)
        except HistoryError as error:
            if required:
                raise
            _warn_once(f"the reading was not kept: {error}")


def _warn_once(text: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(text, HistoryWarning, stacklevel=caller_stacklevel())
