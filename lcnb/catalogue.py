"""Locations, plans and images as they were read a short while ago, kept in the state folder for all processes.

They change rarely and cost a call for each location. They are kept for `keep_s` seconds in a file of the account;
whoever finds one missing or old asks the provider under the lock of that file, and the others wait for what comes.
Only reads use it: what decides a change is asked anew (`build`). A damaged file counts as missing, and a state
folder that cannot be used costs nothing but the calls.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lcnb import calls
from lcnb.calls import Do, Flow, Listing, Pause, Wanted
from lcnb.errors import LcnbError
from lcnb.files import write_atomically
from lcnb.models import Drift, without_secrets
from lcnb.rows import UNREADABLE
from lcnb.secret import Secret

if TYPE_CHECKING:
    from filelock import FileLock

#: Seconds between two looks at what another one is fetching, and until it is fetched without the lock.
LOOK_S, PATIENCE_S = 0.02, 20.0
#: Seconds after which the catalogue of a token that nobody uses is removed; sandboxes bring a new one each.
FORGET_S = 2 * 86_400.0


#: What is kept of one listing: when it was read, its records, its drift.
Entry = dict[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """The kept listings of one account, in one file; `keep_s` 0 keeps none. The clock is the wall's, in seconds."""

    path: Path
    keep_s: float
    #: Ask anew, and keep what comes.
    refresh: bool = False
    clock: Callable[[], float] = time.time

    def __call__(self, wanted: Wanted) -> Flow[dict[str, Listing | LcnbError]]:
        """The listings of these names: kept, or fetched by their flows, all at once, and kept; a refusal is not."""
        if not self.keep_s:
            return (yield from calls.fresh(wanted))
        asked = self.clock()
        lock: contextlib.AbstractContextManager[Any] | None = None
        waited = 0.0
        kept: dict[str, Entry] = {} if self.refresh else (yield Do("catalogue", self._load))
        while not self._all(wanted, kept, asked):
            if lock is not None or waited >= PATIENCE_S:
                return (yield from self._fetched(wanted, kept, asked, lock or contextlib.nullcontext()))
            lock = yield Do("lock of the catalogue", partial(_lock, self.path))
            if lock is None:
                yield Pause(LOOK_S, "waiting for the catalogue, which another one reads")
                waited += LOOK_S
            kept = yield Do("catalogue", self._load)  # another one may have come and gone before the lock
        with lock or contextlib.nullcontext():
            return {name: _listing(kept[name]) for name in wanted}

    def _fetched(
        self,
        wanted: Wanted,
        kept: dict[str, Entry],
        asked: float,
        lock: contextlib.AbstractContextManager[Any],
    ) -> Flow[dict[str, Listing | LcnbError]]:
        new: dict[str, Entry] = {}

        def noted(name: str) -> Flow[Listing]:
            found = yield from wanted[name]()
            new[name] = _entry(found, self.clock())  # at once: others are still under way
            return found

        with lock:
            missing = [name for name in wanted if not self._good(kept.get(name), asked)]
            found = yield from calls.fresh({name: partial(noted, name) for name in missing})
            yield Do("keep the catalogue", partial(self._save, {**kept, **new}))
        return {name: found[name] if name in found else _listing(kept[name]) for name in wanted}

    def _all(self, wanted: Wanted, kept: dict[str, Entry], asked: float) -> bool:
        return all(self._good(kept.get(name), asked) for name in wanted)

    def _good(self, entry: Entry | None, asked: float) -> bool:
        if entry is None or (self.refresh and entry["at"] < asked):
            return False
        return 0 <= self.clock() - float(entry["at"]) < self.keep_s

    def _load(self) -> dict[str, Entry]:
        try:
            found = msgspec.json.decode(self.path.read_bytes())
            return {name: entry for name, entry in found["kept"].items() if _sound(entry)}
        except (OSError, *UNREADABLE, TypeError, LookupError, AttributeError):
            return {}

    def _save(self, kept: dict[str, Entry]) -> None:
        now = self.clock()
        young = {name: entry for name, entry in kept.items() if 0 <= now - entry["at"] < self.keep_s}
        with contextlib.suppress(OSError, UnicodeEncodeError, RecursionError):
            write_atomically(self.path, msgspec.json.encode({"kept": young}), sync=False)


def _entry(found: Listing, at: float) -> Entry:
    records = [(where, without_secrets(record)) for where, record in found.records]
    return {"at": at, "records": records, "drift": [(each.path, each.problem) for each in found.drift]}


def _listing(entry: Entry) -> Listing:
    records = [(where, record) for where, record in entry["records"]]
    drift = [Drift(where, problem) for where, problem in entry["drift"]]
    return Listing(records, drift, datetime.fromtimestamp(entry["at"], UTC))


def _sound(entry: Any) -> bool:
    """Whether this is what `_entry` made, as JSON tells it."""
    return (
        isinstance(entry["at"], int | float)
        and 0 <= entry["at"] < 1e11
        and all(type(where) is str and type(record) is dict for where, record in entry["records"])
        and all(type(where) is str and type(problem) is str for where, problem in entry["drift"])
    )


def open_catalogue(state_dir: Path, token: Secret, base_url: str, keep_s: float) -> Catalogue:
    """The catalogue of the account that a token opens at a base URL. Nothing is read or made yet."""
    text = f"lcnb-catalogue\0{base_url}\0{token.reveal()}"
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Catalogue(state_dir / f"catalogue-{key}.json", keep_s)


def _lock(path: Path) -> contextlib.AbstractContextManager[None] | None:
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
        _forget_old(path.parent)
    return _held(lock)


@contextlib.contextmanager
def _held(lock: FileLock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release()


def _forget_old(state_dir: Path) -> None:
    with contextlib.suppress(OSError):
        for path in state_dir.glob("catalogue-*"):
            if time.time() - path.stat().st_mtime > FORGET_S:
                path.unlink()
