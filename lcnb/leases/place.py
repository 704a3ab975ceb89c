"""Where locks across machines are: the store of runs, else Redis, else nowhere."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lcnb.config import redis_url
from lcnb.leases.lease import LeaseStore
from lcnb.leases.records import LEASE_FOLDER, LeaseRecord
from lcnb.object_store import StoreLimits, is_store_url, open_store
from lcnb.secret import Secret

#: A renewal has to fail well before the lease is over.
STORE_LIMITS = StoreLimits(
    connect_s=3.0, read_s=5.0, request_s=6.0, total_s=12.0, first_wait_s=0.2, longest_wait_s=1.0
)
#: Leases that a listing reads at most.
MAX_LISTED = 100


@dataclass(frozen=True)
class SharedPlace:
    """A store or Redis, and the variable that names it.

    The URL of a store contains no secret. As a Secret it would be masked in the records of runs.
    """

    variable: str
    url: str | Secret

    def open(self, trusted_after_s: float) -> LeaseStore:
        """Return the store; nothing is sent yet. ConfigError when its URL or library is wrong.

        `trusted_after_s`: how long a Redis must have been running, because it may have lost leases when it started.
        """
        if isinstance(self.url, Secret):
            from lcnb.leases.redis_leases import RedisLeaseStore

            return RedisLeaseStore(self.url, trusted_after_s)
        return open_store(self.url, STORE_LIMITS)


def shared_place() -> SharedPlace | None:
    """Return where locks across machines are, by the environment; None when they hold on this machine only.

    A store is preferred: a Redis that fails over may lose the newest lease.
    """
    runs = os.environ.get("LCNB_RUNS_DIR", "")
    if is_store_url(runs):
        return SharedPlace("LCNB_RUNS_DIR", runs)
    url = redis_url()
    return SharedPlace("LCNB_REDIS_URL", url) if url else None


def read_leases(store: LeaseStore) -> list[LeaseRecord]:
    """Return the leases that have not ended, the newest first, at most MAX_LISTED. StoreUnavailable, Locked."""
    entries = sorted(store.list(LEASE_FOLDER), key=lambda each: each.modified, reverse=True)[:MAX_LISTED]
    found = [(each.key, store.read(each.key)) for each in entries]
    records = [LeaseRecord.decode(key, stored.data) for key, stored in found if stored is not None]
    return [each for each in records if not each.ended]
