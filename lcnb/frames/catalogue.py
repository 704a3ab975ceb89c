"""Locations, plans and images as they were read a short while ago, kept in the state folder for all processes.

They change rarely and cost a call for each location. They are kept for `keep_s` seconds in a file of the account;
whoever finds one missing or old asks the provider under the lock of that file, and the others wait for what comes. What
is old still tells what will be asked after the locations, so that all is asked at once; what came of them decides.
Only reads use it: what decides a change is asked anew (`build`). A damaged file counts as missing, and a state
folder that cannot be used costs nothing but the calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
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

#: Seconds between two looks at what another one is fetching, and until it is fetched without the lock.
POLL_INTERVAL_S, MAX_LOCK_WAIT_S = 0.02, 20.0
#: Seconds after which what was kept is removed, and the catalogue of a token that nobody uses; sandboxes bring a new
#: one each.
EXPIRE_AFTER_S = 2 * 86_400.0


T = TypeVar("T")
#: What is kept of one listing: when it was read, its records, its drift.
CachedListing = dict[str, Any]


@dataclass(frozen=True)
class CachedCatalogue:
    """The kept listings of one account, in one file; `keep_s` 0 keeps none. The clock is the wall's, in seconds."""

    path: Path
    keep_s: float
    #: Ask anew, and keep what comes.
    refresh: bool = False
    clock: Callable[[], float] = time.time

    def __call__(self, stages: Callable[[], StagedFlow[T]]) -> Flow[T]:
        """The result of the stages, given what was kept or what is fetched now, and kept; a refusal is not."""
        if not self.keep_s:
            return (yield from staged_flows.run_uncached(stages))
        asked = self.clock()
        kept: dict[str, CachedListing] = {} if self.refresh else (yield LocalWork("catalogue", self._load))
        new: dict[str, CachedListing] = {}
        found: dict[str, Listing | LcnbError] = {}
        answers: dict[str, Listing | LcnbError] | None = None
        running = stages()
        with contextlib.ExitStack() as held:
            alone = False
            while True:
                try:
                    wanted = running.send(answers)  # type: ignore[arg-type] # None to begin with
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                if not alone and self._missing(wanted, kept, asked):
                    alone, kept = yield from self._waited(wanted, asked, held)
                missing = {
                    name: fetch
                    for name, fetch in self._missing(wanted, kept, asked).items()
                    if name not in found
                }
                if missing:
                    ahead = {} if found else self._missing(_expected_listings(stages, kept), kept, asked)
                    found |= yield from self._fetched(missing, ahead, new)
                    # At once: who wants no more than this need not wait for what is slow or fails after it.
                    yield LocalWork("keep the catalogue", partial(self._save, {**kept, **new}))
                answers = {
                    name: found[name] if name in found else _restore_listing(kept[name]) for name in wanted
                }

    def _fetched(
        self, missing: ListingRequests, ahead: ListingRequests, new: dict[str, CachedListing]
    ) -> Flow[dict[str, Listing | LcnbError]]:
        """What is missing, and at the same time what will be missing next; what fails of that is asked when it is."""
        noted = {name: self._noted(name, fetch, new) for name, fetch in {**missing, **ahead}.items()}
        found = yield from staged_flows.read_concurrently(noted, guessed=ahead.keys() - missing.keys())
        return {name: each for name, each in found.items() if name in missing or isinstance(each, Listing)}

    def _waited(
        self, wanted: ListingRequests, asked: float, held: contextlib.ExitStack
    ) -> Flow[tuple[bool, dict[str, CachedListing]]]:
        """Whether to fetch what is missing, with the lock if it comes in time, and what is kept by then."""
        waited = 0.0
        while True:
            lock = yield LocalWork("lock of the catalogue", partial(_try_lock, self.path))
            if lock is not None:
                held.enter_context(lock)
            kept = yield LocalWork(
                "catalogue", self._load
            )  # another one may have come and gone before the lock
            alone = lock is not None or waited >= MAX_LOCK_WAIT_S
            if alone or not self._missing(wanted, kept, asked):
                return alone, kept
            yield Pause(POLL_INTERVAL_S, "waiting for the catalogue, which another one reads")
            waited += POLL_INTERVAL_S

    def _noted(self, name: str, fetch: ListingFetch, new: dict[str, CachedListing]) -> ListingFetch:
        def noted() -> Flow[Listing]:
            found = yield from fetch()
            new[name] = _cache_entry(found, self.clock())  # at once: others are still under way
            return found

        return noted

    def _missing(
        self, wanted: ListingRequests, kept: dict[str, CachedListing], asked: float
    ) -> ListingRequests:
        return {name: fetch for name, fetch in wanted.items() if not self._good(kept.get(name), asked)}

    def _good(self, entry: CachedListing | None, asked: float) -> bool:
        if entry is None or (self.refresh and entry["at"] < asked):
            return False
        return 0 <= self.clock() - float(entry["at"]) < self.keep_s

    def _load(self) -> dict[str, CachedListing]:
        try:
            found = msgspec.json.decode(self.path.read_bytes())
            return {name: entry for name, entry in found["kept"].items() if _is_valid_entry(entry)}
        except (OSError, *DECODE_ERRORS, TypeError, LookupError, AttributeError):
            return {}

    def _save(self, kept: dict[str, CachedListing]) -> None:
        now = self.clock()
        # Old ones answer nothing, but they tell what will be wanted next.
        oldest = now - max(self.keep_s, EXPIRE_AFTER_S)
        still = {name: entry for name, entry in kept.items() if oldest < entry["at"] <= now}
        with contextlib.suppress(OSError, UnicodeEncodeError, RecursionError):
            write_atomically(self.path, msgspec.json.encode({"kept": still}), sync=False)


def _expected_listings(
    stages: Callable[[], StagedFlow[T]], kept: Mapping[str, CachedListing]
) -> ListingRequests:
    """All that the stages would want if what is kept, however old, were still true."""
    running, expected = stages(), dict[str, ListingFetch]()
    answers: dict[str, Listing | LcnbError] | None = None
    with contextlib.suppress(StopIteration, LookupError, LcnbError):
        while True:
            wanted = running.send(answers)  # type: ignore[arg-type] # None to begin with
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
    """Whether this is what `_entry` made, as JSON tells it."""
    return (
        isinstance(entry["at"], int | float)
        and 0 <= entry["at"] < 1e11
        and all(type(where) is str and type(record) is dict for where, record in entry["records"])
        and all(type(where) is str and type(problem) is str for where, problem in entry["drift"])
    )


def open_catalogue(state_dir: Path, token: Secret, base_url: str, keep_s: float) -> CachedCatalogue:
    """The catalogue of the account that a token opens at a base URL. Nothing is read or made yet."""
    text = f"lcnb-catalogue\0{base_url}\0{token.reveal()}"
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return CachedCatalogue(state_dir / f"catalogue-{key}.json", keep_s)


def _try_lock(path: Path) -> contextlib.AbstractContextManager[None] | None:
    """The lock of a catalogue, held; one that does nothing where there can be none; None while another one has it."""
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
