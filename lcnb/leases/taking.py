"""`LockTaker`: how a lock is taken, and when a lease of another process may be ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lcnb.errors import Locked, StoreConflict
from lcnb.leases.lease import Lease
from lcnb.leases.records import LeaseRecord, LockName, LockRecord, lease_key
from lcnb.leases.sightings import Sightings
from lcnb.stored_objects import ABSENT, Expected, StoredObject


def utc_text() -> str:
    """Return the current UTC time as a message shows it."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class TakenLock:
    """A lock that points to the lease of this process."""

    name: LockName
    fence: int
    version: str
    #: It belonged to a process of this machine that ended. What that sent last may still take effect, until this moment
    #: of the steady clock.
    inherited_until: float = -math.inf


@dataclass(frozen=True)
class _Inheritance:
    """A lock is free for this machine only, until a moment of the steady clock."""

    until: float


class LockTaker:
    """Takes locks for a lease."""

    def __init__(
        self, lease: Lease, sightings: Sightings, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._lease = lease
        self.store = lease.store
        self._sightings = sightings
        self._sleep = sleep

    def take(self, name: LockName, wait_s: float, not_done: str) -> TakenLock:
        """Take a lock, and wait for it at most `wait_s` seconds.

        Locked with the holder when it is not free by then; `not_done` is what then did not happen, such as "sent".
        StoreUnavailable when it is not known who holds it.
        """
        deadline = self._now() + wait_s
        while True:
            found = self.store.read(name.key)
            lock = LockRecord.decode(name.key, found.data) if found else LockRecord(name.what)
            holder = self._find_holder(lock)
            if holder is None or isinstance(holder, _Inheritance):
                if taken := self._try_take(name, lock, found):
                    return replace(taken, inherited_until=holder.until) if holder else taken
                continue
            left = deadline - self._now()
            if left <= 0:
                raise Locked(self._refusal(name, *holder, not_done))
            self._sleep(min(self._lease.times.poll_s, left))

    def _now(self) -> float:
        return self._lease.clock().steady

    def _try_take(self, name: LockName, lock: LockRecord, found: StoredObject | None) -> TakenLock | None:
        expected: Expected = ABSENT if found is None else found.version
        mine = replace(
            lock, what=name.what, fence=lock.fence + 1, lease=self._lease.record.id, since=utc_text()
        )
        try:
            return TakenLock(name, mine.fence, self.store.write(name.key, mine.encode(), expected=expected))
        except StoreConflict:
            return None

    def _find_holder(self, lock: LockRecord) -> tuple[LeaseRecord, float] | _Inheritance | None:
        """Return the lease that holds a lock and the seconds for which it was seen unchanged; None when it is free."""
        if lock.lease is None or lock.lease == self._lease.record.id:
            return None
        found = self.store.read(lease_key(lock.lease))
        if found is None:
            self._sightings.forget(lock.lease)
            return None
        holder = LeaseRecord.decode(lease_key(lock.lease), found.data)
        unchanged_s = self._sightings.unchanged_s(holder.id, found.version)
        if (holder.ended and not holder.unsettled) or unchanged_s >= holder.lease_s:
            return None if self._end(holder, found) else (holder, 0.0)
        # A holder that shares the lock files of this machine has ended: this process has the lock file of its lock now.
        place = self._lease.record.place
        if place is not None and holder.place == place:
            return self._inherit(holder, found, unchanged_s) or (holder, 0.0)
        return holder, unchanged_s

    def _inherit(self, holder: LeaseRecord, found: StoredObject, unchanged_s: float) -> _Inheritance | None:
        """Let this machine have the locks of its ended process; None when their lease was renewed meanwhile.

        Other machines wait for the margin: the lease stays, so that none of its locks is free before.
        """
        if holder.unsettled:
            return _Inheritance(self._now() + holder.lease_s - unchanged_s)
        margin_s = self._lease.times.margin_s
        left = replace(holder, ended=True, unsettled=holder.locks, lease_s=margin_s)
        try:
            version = self.store.write(holder.key, left.encode(), expected=found.version)
        except StoreConflict:
            return None
        self._sightings.unchanged_s(holder.id, version)
        return _Inheritance(self._now() + margin_s)

    def _end(self, holder: LeaseRecord, found: StoredObject) -> bool:
        """End a lease, so that its holder cannot renew it any more; False when that renewed it meanwhile."""
        if not holder.ended:
            ended = replace(holder, ended=True)
            try:
                self.store.write(holder.key, ended.encode(), expected=found.version)
            except StoreConflict:
                return False
        self.store.delete(holder.key)
        self._sightings.forget(holder.id)
        return True

    def _refusal(self, name: LockName, holder: LeaseRecord, unchanged_s: float, not_done: str) -> str:
        again = f"try again in {max(1.0, holder.lease_s - unchanged_s):,.0f} s"
        if holder.unsettled:
            return (
                f"{name.what} was changed by {holder.holder()}; that was interrupted and may still take effect. "
                f"Nothing was {not_done} here; {again}."
            )
        return (
            f"{name.what} is locked by {holder.holder()}. Nothing was {not_done} here; try again when that has ended. "
            f"If that process has died, its lock in {self.store.url} ends by itself: {again}."
        )
