"""Machines with clocks of their own, on a time that only a test moves, and one real store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lcnb.errors import StoreUnavailable
from lcnb.leases.clock import Moment
from lcnb.leases.lease import Lease, LeaseStore
from lcnb.leases.records import LOCK_FOLDER, LeaseRecord, LeaseTimes, LockName
from lcnb.leases.sightings import Sightings
from lcnb.leases.taking import LockTaker, TakenLock, utc_text
from lcnb.stored_objects import ABSENT, Expected, StoredEntry, StoredObject

TIMES = LeaseTimes(margin_s=270.0)
WEB_01 = LockName(f"{LOCK_FOLDER}/instance-a.json", "web-01 (a)")


@dataclass
class World:
    """The true time in seconds."""

    now: float = 0.0


@dataclass
class Machine:
    """A computer: its wall clock is off, its steady clock began at another time, and it has a folder of its own."""

    name: str
    world: World
    folder: Path
    wall_offset: float = 0.0
    steady_offset: float = 0.0
    ids: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    def clock(self) -> Moment:
        return Moment(self.world.now + self.steady_offset, self.world.now + self.wall_offset)

    def sleep(self, seconds: float) -> None:
        self.world.now += seconds

    def begin(self, store: LeaseStore, times: LeaseTimes = TIMES) -> Lease:
        """Begin a lease of a process of this machine."""
        self.ids += 1
        record = LeaseRecord(
            f"{self.name}-{self.ids}", "ana", self.name, 1, utc_text(), None, times.lease_s, self.name
        )
        return Lease.begin(store, record, times, clock=self.clock)

    def take(
        self,
        lease: Lease,
        name: LockName = WEB_01,
        wait_s: float = 0.0,
        sleep: Callable[[float], None] | None = None,
    ) -> TakenLock:
        """Take a lock by the lease; Locked when another machine has it."""
        sightings = Sightings(self.folder, clock=self.clock, boot=self.name)
        return LockTaker(lease, sightings, sleep=sleep or self.sleep).take(name, wait_s, "sent")


@dataclass
class TroubledStore:
    """A store that fails when a test wants it: before an operation, or after it when its response is lost."""

    store: LeaseStore
    before: Callable[[], None] = lambda: None
    lost: int = 0
    away: bool = False
    url: str = "the store"
    operations: list[str] = field(default_factory=list)

    def _enter(self, operation: str) -> None:
        self.before()
        self.operations.append(operation)
        if self.away:
            raise StoreUnavailable("the store did not answer")

    def _leave(self) -> None:
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the response was lost")

    def read(self, key: str) -> StoredObject | None:
        self._enter("read")
        return self.store.read(key)

    def write(self, key: str, data: bytes, *, expected: Expected = ABSENT) -> str:
        self._enter("write")
        version = self.store.write(key, data, expected=expected)
        self._leave()
        return version

    def delete(self, key: str) -> None:
        self._enter("delete")
        self.store.delete(key)

    def list(self, prefix: str = "") -> list[StoredEntry]:
        return self.store.list(prefix)

    def cancel_requests(self) -> None:
        self.store.cancel_requests()
