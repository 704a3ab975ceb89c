"""A cache of locations, plans and images in the state folder, shared by all processes.

They change rarely and cost one call per location. One file per account keeps them for `keep_s` seconds. The process
that finds a listing missing or old fetches it under the lock of that file; the others wait for the result. An old
listing of locations still shows which listings will be needed next, so that all are fetched at once; only new listings
are returned. The cache serves reads only: `lcnb.changes.build` always fetches what decides a change. A damaged file
counts as missing. When the state folder cannot be used, every read fetches its listings.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lcnb.api import staged_flows
from lcnb.api.fields import Drift
from lcnb.api.flows import Flow, LocalWork, Pause
from lcnb.api.listing_reader import Listing
from lcnb.api.raw_records import DECODE_ERRORS
from lcnb.api.record_reader import drop_secret_fields
from lcnb.api.staged_flows import ListingFetch, ListingRequests, StagedFlow
from lcnb.errors import LcnbError
from lcnb.files import write_atomically
from lcnb.secret import Secret

if TYPE_CHECKING:
    from filelock import FileLock

#: Seconds between two checks for what another process fetches, and seconds after which to fetch without the lock.
POLL_INTERVAL_S, MAX_LOCK_WAIT_S = 0.02, 20.0
#: Seconds after which a cached listing is deleted, and the whole file of an unused token. Each sandbox has a new token.
EXPIRE_AFTER_S = 2 * 86_400.0

T = TypeVar("T")
#: One cached listing: the time when it was read, its records, its drift.
CachedListing = dict[str, Any]


@dataclass(frozen=True)
class CachedCatalogue:
    """The cached listings of one account, in one file. `keep_s=0` caches nothing. `clock` returns Unix time."""

    path: Path
    keep_s: float
    #: Fetch every listing, and store it.
    refresh: bool = False
    clock: Callable[[], float] = time.time

    def __call__(self, stages: Callable[[], StagedFlow[T]]) -> Flow[T]:
        """Run the stages with cached or fetched listings, and return their result. A refused listing is not stored."""
        if not self.keep_s:
            return (yield from staged_flows.run_uncached(stages))
        new: dict[str, CachedListing] = {}
        with contextlib.ExitStack() as held:
            try:
                return (yield from self._run_stages(stages, new, held))
            except LcnbError:
                if new:
                    yield self._keep({**self._load(), **new})
                raise

    def _run_stages(
        self,
        stages: Callable[[], StagedFlow[T]],
        new: dict[str, CachedListing],
        held: contextlib.ExitStack,
    ) -> Flow[T]:
        started_at = self.clock()
        kept: dict[str, CachedListing] = {} if self.refresh else (yield LocalWork("catalogue", self._load))
        found: dict[str, Listing | LcnbError] = {}
        answers: dict[str, Listing | LcnbError] | None = None
        running = stages()
        may_fetch, unsaved = False, list[LocalWork]()
        while True:
            try:
                wanted = running.send(answers)  # type: ignore[arg-type] # None at first
            except StopIteration as end:
                yield from unsaved
                return end.value  # type: ignore[no-any-return]
            if not may_fetch and self._select_missing(wanted, kept, started_at):
                may_fetch, kept = yield from self._wait_for_lock(wanted, started_at, held)
            missing = self._select_missing(wanted, kept, started_at)
            missing = {name: fetch for name, fetch in missing.items() if name not in found}
            if missing:
                expected = {} if found else _expected_listings(stages, kept)
                ahead = self._select_missing(expected, kept, started_at)
                found |= yield from self._fetch_listings(missing, ahead, new, unsaved)
                # Written while the next listings are read: a process that needs no more does not wait for those.
                unsaved = [self._keep({**kept, **new})]
            answers = {
                name: found[name] if name in found else _restore_listing(kept[name]) for name in wanted
            }

    def _fetch_listings(
        self,
        missing: ListingRequests,
        ahead: ListingRequests,
        new: dict[str, CachedListing],
        meanwhile: Sequence[LocalWork],
    ) -> Flow[dict[str, Listing | LcnbError]]:
        """Fetch the missing listings, and at the same time those that will be needed next; run `meanwhile`, too.

        A listing of `ahead` that fails is left out: it is fetched again when it is needed.
        """
        requests = {
            name: self._store_when_read(name, fetch, new) for name, fetch in {**missing, **ahead}.items()
        }
        guessed = ahead.keys() - missing.keys()
        found = yield from staged_flows.read_concurrently(requests, guessed, meanwhile)
        return {name: each for name, each in found.items() if name in missing or isinstance(each, Listing)}

    def _wait_for_lock(
        self, wanted: ListingRequests, started_at: float, held: contextlib.ExitStack
    ) -> Flow[tuple[bool, dict[str, CachedListing]]]:
        """Wait for the lock, or until another process has stored what is wanted.

        Returns whether this process may fetch, and the cached listings. After MAX_LOCK_WAIT_S it may fetch without the
        lock.
        """
        waited = 0.0
        while True:
            lock = yield LocalWork("lock of the catalogue", partial(_try_lock, self.path))
            if lock is not None:
                held.enter_context(lock)
            # Another process may have stored it before the lock.
            kept = yield LocalWork("catalogue", self._load)
            may_fetch = lock is not None or waited >= MAX_LOCK_WAIT_S
            if may_fetch or not self._select_missing(wanted, kept, started_at):
                return may_fetch, kept
            yield Pause(POLL_INTERVAL_S, "waiting for the catalogue, which another process reads")
            waited += POLL_INTERVAL_S

    def _store_when_read(self, name: str, fetch: ListingFetch, new: dict[str, CachedListing]) -> ListingFetch:
        def read_and_store() -> Flow[Listing]:
            found = yield from fetch()
            new[name] = _cache_entry(found, self.clock())  # before the other requests end
            return found

        return read_and_store

    def _select_missing(
        self, wanted: ListingRequests, kept: dict[str, CachedListing], started_at: float
    ) -> ListingRequests:
        return {
            name: fetch for name, fetch in wanted.items() if not self._is_current(kept.get(name), started_at)
        }

    def _is_current(self, entry: CachedListing | None, started_at: float) -> bool:
        if entry is None or (self.refresh and entry["at"] < started_at):
            return False
        return 0 <= self.clock() - float(entry["at"]) < self.keep_s

    def _load(self) -> dict[str, CachedListing]:
        try:
            found = msgspec.json.decode(self.path.read_bytes())
            return {name: entry for name, entry in found["kept"].items() if _is_valid_entry(entry)}
        except (OSError, *DECODE_ERRORS, TypeError, LookupError, AttributeError):
            return {}

    def _keep(self, kept: dict[str, CachedListing]) -> LocalWork:
        return LocalWork("keep the catalogue", partial(self._save, kept))

    def _save(self, kept: dict[str, CachedListing]) -> None:
        now = self.clock()
        # Old listings are not returned, but they show which listings will be needed next.
        oldest = now - max(self.keep_s, EXPIRE_AFTER_S)
        still = {name: entry for name, entry in kept.items() if oldest < entry["at"] <= now}
        with contextlib.suppress(OSError, UnicodeEncodeError, RecursionError):
            write_atomically(self.path, msgspec.json.encode({"kept": still}), sync=False)


def _expected_listings(
    stages: Callable[[], StagedFlow[T]], kept: Mapping[str, CachedListing]
) -> ListingRequests:
    """Return all listings that the stages would need if every cached listing, however old, were still correct."""
    running, expected = stages(), dict[str, ListingFetch]()
    answers: dict[str, Listing | LcnbError] | None = None
    with contextlib.suppress(StopIteration, LookupError, LcnbError):
        while True:
            wanted = running.send(answers)  # type: ignore[arg-type] # None at first
            expected |= wanted
            answers = {name: _restore_listing(kept[name]) for name in wanted}
    return expected


def _cache_entry(found: Listing, at: float) -> CachedListing:
    records = [(where, drop_secret_fields(record)) for where, record in found.records]
    return {"at": at, "records": records, "drift": [(each.path, each.problem) for each in found.drift]}


def _restore_listing(entry: CachedListing) -> Listing:
    records = [(where, record) for where, record in entry["records"]]
    drift = [Drift(where, problem) for where, problem in entry["drift"]]
    return Listing(records, drift, datetime.fromtimestamp(entry["at"], UTC))


def _is_valid_entry(entry: Any) -> bool:
    """Whether a decoded value has the form that `_cache_entry` returns."""
    return (
        isinstance(entry["at"], int | float)
        and 0 <= entry["at"] < 1e11
        and all(type(where) is str and type(record) is dict for where, record in entry["records"])
        and all(type(where) is str and type(problem) is str for where, problem in entry["drift"])
    )


def open_catalogue(state_dir: Path, token: Secret, base_url: str, keep_s: float) -> CachedCatalogue:
    """Return the catalogue of the account of a token at a base URL. Nothing is read or written yet.

    `keep_s` is the number of seconds for which listings are cached; 0 caches nothing.
    """
    text = f"lcnb-catalogue\0{base_url}\0{token.reveal()}"
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return CachedCatalogue(state_dir / f"catalogue-{key}.json", keep_s)


def _try_lock(path: Path) -> contextlib.AbstractContextManager[None] | None:
    """Take the lock of a catalogue. Returns None while another process holds it.

    Where no lock can be made, the result is a context that does nothing.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"), timeout=0, thread_local=False)
        lock.acquire()
    except Timeout:
        return None
    except (OSError, NotImplementedError):
        return contextlib.nullcontext()
    if not path.exists():
        _delete_expired(path.parent)
    return _release_at_end(lock)


@contextlib.contextmanager
def _release_at_end(lock: FileLock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release()


def _delete_expired(state_dir: Path) -> None:
    with contextlib.suppress(OSError):
        for path in state_dir.glob("catalogue-*"):
            if time.time() - path.stat().st_mtime > EXPIRE_AFTER_S:
                path.unlink()
