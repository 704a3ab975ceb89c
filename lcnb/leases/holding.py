"""`hold_locks`: take locks across machines, renew their lease in a thread meanwhile, and release them."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from lcnb.errors import LcnbError, Locked, StoreUnavailable
from lcnb.leases.clock import Moment, current_moment
from lcnb.leases.lease import Lease, LeaseStore
from lcnb.leases.place import SharedPlace
from lcnb.leases.records import RUN_LEASE_VARIABLE, LeaseRecord, LeaseTimes, LockName
from lcnb.leases.sightings import Sightings, folder_identity
from lcnb.leases.taking import LockTaker, TakenLock, utc_text
from lcnb.parallel import map_in_threads
from lcnb.shortening import name_first

logger = logging.getLogger("lcnb.leases")
#: Seconds for which an interrupted process tries to release its locks, which otherwise end by themselves.
RELEASE_LIMIT_S = 1.0
#: Locks that are taken at the same time.
TAKING_THREADS = 8


@dataclass(frozen=True)
class Holder:
    """Who takes locks: what other machines show. `not_done` ends a refusal: "sent" or "started"."""

    user: str
    host: str
    run: str | None
    not_done: str


@dataclass
class HeldLocks:
    """Locks that this process holds: its own lease, and that of the run that it belongs to."""

    leases: list[Lease]
    #: Key of a lock → its fencing token.
    fences: dict[str, int] = field(default_factory=dict)
    #: Changes that may still take effect when the locks are released.
    unsettled: list[str] = field(default_factory=list)
    #: Until this moment of the steady clock, what an ended process of this machine has sent may still take effect.
    inherited_until: float = -math.inf

    @property
    def lease(self) -> Lease:
        """The lease of this process."""
        return self.leases[0]

    def facts(self) -> dict[str, object]:
        """Return what a record says of the lock: the store, the fencing token and what is locked."""
        return {
            "store": self.lease.store.url,
            "fence": max(self.fences.values(), default=None),
            "what": self.lease.record.locks,
        }

    def unsettled_end(self) -> tuple[list[str], float]:
        """Return what may still take effect when the locks are released, and the seconds for which it may."""
        if self.unsettled:
            return self.unsettled, self.lease.times.margin_s
        left_s = self.inherited_until - self.lease.clock().steady
        return (self.lease.record.locks, left_s) if left_s > 0 else ([], 0.0)

    def ensure(self) -> str:
        """Renew where it is time; return why no request may be started, or nothing."""
        return next(filter(None, [each.ensure() for each in self.leases]), "")

    def check(self) -> float:
        """Return the seconds in which a request must be started; Locked when none may be. Sends nothing."""
        for each in self.leases:
            if problem := each.problem():
                raise Locked(f"{problem}. The request was not sent")
        return min(each.left_s() for each in self.leases)


@contextmanager
def hold_locks(
    place: SharedPlace,
    names: Sequence[LockName],
    holder: Holder,
    times: LeaseTimes,
    folder: Path,
    *,
    wait_s: float = 0.0,
    clock: Callable[[], Moment] = current_moment,
) -> Iterator[HeldLocks]:
    """Hold locks that exclude other machines.

    Args:
        place: where the locks are.
        names: what to lock.
        holder: what other machines show.
        times: the times of the lease.
        folder: the folder of the lock files of this machine.
        wait_s: seconds to wait for all of the locks.
        clock: the clock of the lease.

    Locked when another process holds one of them, or when that is not known.
    """
    deadline = clock().steady + wait_s
    names = sorted(names, key=lambda each: each.key)
    with ExitStack() as held:
        for each in names:
            _lock_file(held, folder, each, max(0.0, deadline - clock().steady), holder)
        try:
            locks = held.enter_context(_hold_leases(place, names, holder, times, folder, clock))
            taker = LockTaker(locks.lease, Sightings(folder, clock=clock))
            for taken in _take_all(taker, names, max(0.0, deadline - clock().steady), holder):
                locks.fences[taken.name.key] = taken.fence
                locks.inherited_until = max(locks.inherited_until, taken.inherited_until)
        except StoreUnavailable as error:
            raise _unknown_holder(place, names, holder, error) from None
        yield locks


def _lock_file(held: ExitStack, folder: Path, name: LockName, wait_s: float, holder: Holder) -> None:
    """Hold a lock file of this machine: a lease of this machine that has the lock then belongs to an ended process."""
    from filelock import FileLock, Timeout

    path = folder / f"lease-{hashlib.sha256(name.key.encode()).hexdigest()[:24]}.lock"
    try:
        held.enter_context(FileLock(path, timeout=wait_s))
    except Timeout:
        raise Locked(
            f"another process of this machine has locked {name.what}. Nothing was {holder.not_done}; try again when "
            "that has ended"
        ) from None


def _take_all(taker: LockTaker, names: Sequence[LockName], wait_s: float, holder: Holder) -> list[TakenLock]:
    if wait_s > 0 or len(names) == 1:
        return [taker.take(each, wait_s, holder.not_done) for each in names]
    return map_in_threads(
        lambda each: taker.take(each, 0.0, holder.not_done),
        names,
        TAKING_THREADS,
        taker.store.cancel_requests,
    )


def _unknown_holder(
    place: SharedPlace, names: Sequence[LockName], holder: Holder, error: StoreUnavailable
) -> Locked:
    named = name_first([each.what for each in names], 1)
    return Locked(
        f"it is not known whether another machine has locked {named}: {error.statement.rstrip('.')}. "
        f"Nothing was {holder.not_done}. Try again later. While no other machine changes this account, unset "
        f"{place.variable} for one command to go on without locks across machines",
        is_unknown=True,
    )


@contextmanager
def _hold_leases(
    place: SharedPlace,
    names: Sequence[LockName],
    holder: Holder,
    times: LeaseTimes,
    folder: Path,
    clock: Callable[[], Moment],
) -> Iterator[HeldLocks]:
    """Begin a lease, join that of the run, renew both in a thread, and end the own one."""
    store = place.open(times.lease_s)
    record = LeaseRecord(
        id=secrets.token_hex(12),
        user=holder.user,
        host=holder.host,
        pid=os.getpid(),
        since=utc_text(),
        run=holder.run,
        lease_s=times.lease_s,
        place=folder_identity(folder),
        locks=[each.what for each in names],
    )
    lease = Lease.begin(store, record, times, clock=clock)
    locks = HeldLocks([lease])
    try:
        locks.leases += _join_run(store, times, clock)
        with _renew_in_thread(locks):
            yield locks
    finally:
        is_interrupted = isinstance(sys.exception(), KeyboardInterrupt | SystemExit)
        try:
            unsettled, stays_s = locks.unsettled_end()
            with _limit_time(store) if is_interrupted else nullcontext():
                version = lease.end(unsettled, stays_s)
            if version:
                Sightings(folder, clock=clock).unchanged_s(record.id, version)
        except StoreUnavailable as error:
            logger.warning(
                "the locks of %s were not released (%s); they end by themselves after %.0f s",
                ", ".join(record.locks[:3]),
                error.statement,
                times.lease_s,
            )


@contextmanager
def _limit_time(store: LeaseStore) -> Iterator[None]:
    """Cancel a renewal that goes on, and after RELEASE_LIMIT_S what the block requests: the store may not answer."""
    store.cancel_requests()
    limit = threading.Timer(RELEASE_LIMIT_S, store.cancel_requests)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def _join_run(store: LeaseStore, times: LeaseTimes, clock: Callable[[], Moment]) -> list[Lease]:
    run_lease = os.environ.get(RUN_LEASE_VARIABLE)
    return [Lease.join(store, run_lease, times, clock=clock)] if run_lease else []


@contextmanager
def _renew_in_thread(locks: HeldLocks) -> Iterator[None]:
    """Renew the leases until the block ends."""
    over = threading.Event()

    def renew_until_over() -> None:
        times = locks.lease.times
        wait_s = times.renew_s
        while not over.wait(wait_s):
            wait_s = times.renew_s
            for each in locks.leases:
                try:
                    each.renew()
                except LcnbError as error:
                    logger.warning("the lock could not be renewed: %s", error.statement)
                    wait_s = times.renew_s / 4

    thread = threading.Thread(target=renew_until_over, name="lcnb-leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
