"""`Lease`: what a process renews while it holds locks, and what proves that it still holds them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from lcnb.errors import Locked, StoreConflict, StoreUnavailable
from lcnb.leases.clock import Moment, current_moment
from lcnb.leases.records import LeaseRecord, LeaseTimes, lease_key
from lcnb.stored_objects import ABSENT, Expected, StoredEntry, StoredObject

#: How often a renewal follows the renewals of other processes of the same run.
_MAX_FOLLOWED = 5


class LeaseStore(Protocol):
    """Where leases and locks are: an ObjectStore, or a Redis with the same rules."""

    @property
    def url(self) -> str:
        """Its name for people, without secrets."""

    def read(self, key: str) -> StoredObject | None:
        """Return the object, or None; StoreUnavailable."""

    def write(self, key: str, data: bytes, *, expected: Expected = ...) -> str:
        """Write the object if it is the expected one, and return its version; StoreConflict, StoreUnavailable."""

    def delete(self, key: str) -> None:
        """Delete the object; StoreUnavailable."""

    def list(self, prefix: str = "") -> list[StoredEntry]:
        """Return the objects below a folder; StoreUnavailable."""

    def cancel_requests(self) -> None:
        """End the requests for which other threads wait, where that is possible; StoreUnavailable there."""


class Lease:
    """A lease that this process may renew: its own, or that of the run that it belongs to. Safe in threads."""

    def __init__(
        self,
        store: LeaseStore,
        record: LeaseRecord,
        times: LeaseTimes,
        *,
        version: Expected = ABSENT,
        clock: Callable[[], Moment] = current_moment,
    ) -> None:
        self.store = store
        self.times = times
        self.clock = clock
        self.record = record
        self._version = version
        #: The moment before the last renewal that succeeded was sent.
        self._proven_from: Moment | None = None
        #: Why it has ended for good.
        self._end = ""
        #: Why the last renewal failed.
        self._failure = ""
        self._lock = threading.Lock()

    @classmethod
    def begin(
        cls,
        store: LeaseStore,
        record: LeaseRecord,
        times: LeaseTimes,
        *,
        clock: Callable[[], Moment] = current_moment,
    ) -> Lease:
        """Store a new lease. StoreUnavailable when that is not known to have succeeded."""
        lease = cls(store, record, times, clock=clock)
        lease.renew()
        return lease

    @classmethod
    def join(
        cls,
        store: LeaseStore,
        lease_id: str,
        times: LeaseTimes,
        *,
        clock: Callable[[], Moment] = current_moment,
    ) -> Lease:
        """Return the lease of the run that this process belongs to, renewed. Locked when it has ended."""
        found = store.read(lease_key(lease_id))
        if found is None:
            raise Locked(
                "the lock of this run has ended, so its notebook must not change anything. Nothing was sent"
            )
        record = LeaseRecord.decode(lease_key(lease_id), found.data)
        lease = cls(store, record, times, version=found.version, clock=clock)
        lease._follow(found)
        lease.renew()
        return lease

    # --- renewing ---------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Renew the lease, unless it has ended. StoreUnavailable when that is not known to have succeeded."""
        with self._lock:
            for _ in range(_MAX_FOLLOWED):
                if self._end:
                    return
                began = self.clock()
                record = replace(self.record, renewals=self.record.renewals + 1)
                try:
                    version = self.store.write(record.key, record.encode(), expected=self._version)
                except StoreConflict as conflict:
                    self._follow(conflict.current)
                    continue
                except StoreUnavailable as error:
                    self._failure = error.statement
                    raise
                self.record, self._version, self._proven_from, self._failure = record, version, began, ""
                return

    def name_run(self, run: str) -> None:
        """Show other machines to which run the lease belongs, if the store is there."""
        with self._lock:
            self.record = replace(self.record, run=run)
        with suppress(StoreUnavailable):
            self.renew()

    def _follow(self, found: StoredObject | None) -> None:
        """Take over what another process of this run has stored, or notice that the lease has ended."""
        if found is None:
            self._end = "it was ended"
            return
        record = LeaseRecord.decode(self.record.key, found.data)
        if record.ended:
            self._end = "another process saw no renewal for too long and ended it"
        self.record, self._version = record, found.version

    # --- proving ----------------------------------------------------------------------------------------

    def left_s(self) -> float:
        """Return the seconds in which requests may still be started; negative when the lock is not proven."""
        if self._end or self._proven_from is None:
            return -math.inf
        return self.times.proven_s - self.clock().longest_since(self._proven_from)

    def problem(self) -> str:
        """Return why no request may be started now; empty when one may. Sends nothing."""
        if self._end:
            return f"the lock is lost: {self._end}"
        if self.left_s() >= self.times.reserve_s:
            return ""
        why = self._failure or "this process did not run for too long"
        return f"the lock cannot be proven any more: {why}"

    def ensure(self) -> str:
        """Renew the lease if half of its time has passed; return why no request may be started, or nothing."""
        if not self._end and self.left_s() < self.times.proven_s / 2:
            with suppress(StoreUnavailable):
                self.renew()
        return self.problem()

    # --- ending -----------------------------------------------------------------------------------------

    def end(self, unsettled: Sequence[str] = (), stays_s: float = 0.0) -> str | None:
        """End the lease, which releases its locks. StoreUnavailable when it will end by itself instead.

        `unsettled`: changes that may still take effect: the lease then stays for `stays_s` seconds, and its version is
        returned.
        """
        with self._lock:
            try:
                if not self._end and unsettled:
                    return self._store_unsettled(list(unsettled), stays_s)
                if not self._end:
                    self.store.delete(self.record.key)
                return None
            finally:
                self._end = self._end or "this process has ended it"

    def _store_unsettled(self, unsettled: list[str], stays_s: float) -> str | None:
        record = replace(
            self.record,
            renewals=self.record.renewals + 1,
            unsettled=unsettled,
            lease_s=stays_s,
            locks=unsettled,
        )
        try:
            return self.store.write(record.key, record.encode(), expected=self._version)
        except StoreConflict:  # another process has ended it
            return None
