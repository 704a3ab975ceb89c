"""The runs of several machines in one object store.

    runs/ID.json                    the record of a run, as run.json; replaced by compare-and-swap
    files/ID/SHA256/NAME            a file of a run, under the hash of its content: it never changes
    approvals/ID.json               the approval of a planned run by a second person, as approval.json
    beats/ID.json                   the heartbeat of a run that goes on, with the files that it has uploaded
    index.jsonl                     the index of all runs (see `index`), extended by compare-and-swap
    clocks/NAME                     written to learn the time of the store

The record decides. A run is ended when its record says so, its files come before that record and its line of the index
after it. A file whose upload was cut, or arrives late, has a key that no record names. A process that ends between
record and line leaves a run without a line, and whoever notices adds it: `add_lines` looks at the record after it has
read the index, so the last line of a run always belongs to its last record.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from lcnb.errors import StoreConflict, StoreError
from lcnb.object_store import ABSENT, ObjectStore, StoredEntry, StoredObject
from lcnb.runbooks.records import index
from lcnb.runbooks.records.run_record import parse_record

#: Event, run and hash of a line that is to be added to the index.
NewLine = tuple[str, str, str]

RECORDS, FILES, BEATS, CLOCKS, APPROVALS = "runs", "files", "beats", "clocks", "approvals"
#: Attempts to extend the index while other machines extend it as well.
INDEX_ATTEMPTS = 200
#: Seconds of the longest pause between two of these attempts.
INDEX_PAUSE_S = 1.0


@dataclass(frozen=True)
class Beat:
    """The heartbeat of a run: the time of the store at which it was written, and the files uploaded by then."""

    written: datetime
    files: Mapping[str, Mapping[str, Any]]


class RunStore:
    """The objects of runs in a store. Every method raises StoreUnavailable when the store does not answer in time."""

    def __init__(self, store: ObjectStore, sleep: Callable[[float], None] = time.sleep) -> None:
        self.store = store
        self._sleep = sleep

    @property
    def url(self) -> str:
        """The URL of the store."""
        return self.store.url

    # --- records ----------------------------------------------------------------------------------------

    def list_records(self) -> dict[str, StoredEntry]:
        """Return the listed record of each run, by its id."""
        found = self.store.list(RECORDS)
        return {PurePosixPath(each.key).stem: each for each in found if each.key.endswith(".json")}

    def read_record(self, run: str) -> StoredObject | None:
        """Return the record of a run, or None."""
        return self.store.read(_record_key(run))

    def write_record(self, run: str, content: bytes, expected: str | None) -> str:
        """Write the record of a run in place of the version `expected` (None: it must be new); return its version.

        Raises StoreConflict when another machine has written it.
        """
        return self.store.write(_record_key(run), content, expected=expected or ABSENT)

    # --- files ------------------------------------------------------------------------------------------

    def write_file(self, run: str, name: str, content: bytes) -> None:
        """Write a file of a run. Its key holds its hash, so a second write changes nothing."""
        self.store.write(file_key(run, name, hashlib.sha256(content).hexdigest()), content)

    def read_file(self, run: str, name: str, sha256: str) -> bytes | None:
        """Return the content of a file; None when it is missing. The caller checks its hash."""
        found = self.store.read(file_key(run, name, sha256))
        return found.data if found else None

    # --- approvals --------------------------------------------------------------------------------------

    def read_approval(self, run: str) -> StoredObject | None:
        """Return the approval of a planned run, or None."""
        return self.store.read(_approval_key(run))

    def write_approval(self, run: str, content: bytes, expected: str | None) -> None:
        """Write the approval of a planned run in place of the version `expected` (None: it must be new).

        Raises StoreConflict when another machine has written one.
        """
        self.store.write(_approval_key(run), content, expected=expected or ABSENT)

    # --- heartbeats -------------------------------------------------------------------------------------

    def write_beat(self, run: str, number: int, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a heartbeat; `number` makes it differ from the one before.

        One that arrives late does no harm: it lists files that are there, and shows that the run went on until then.
        """
        self.store.write(_beat_key(run), json.dumps({"beat": number, "files": files}).encode())

    def read_beat(self, run: str) -> Beat | None:
        """Return the last heartbeat of a run; None without one."""
        found = self.store.read(_beat_key(run))
        if found is None:
            return None
        facts = parse_record(found.data) or {}
        files = facts.get("files")
        return Beat(found.modified, files if isinstance(files, dict) else {})

    def list_beats(self) -> dict[str, datetime]:
        """Return the time of the store at which each run that goes on has sent its last heartbeat."""
        return {PurePosixPath(each.key).stem: each.modified for each in self.store.list(BEATS)}

    def delete_beat(self, run: str) -> None:
        """Delete the heartbeat of a run that has ended."""
        self.store.delete(_beat_key(run))

    def read_time(self, machine: str) -> datetime:
        """Return the present time of the store, whatever the clock of this machine says."""
        key = f"{CLOCKS}/{machine}"
        self.store.write(key, str(random.getrandbits(64)).encode())
        found = self.store.read(key)
        if found is None:
            raise StoreError(f"{key} in {self.url} was deleted while it was read")
        return found.modified

    # --- index ------------------------------------------------------------------------------------------

    def read_index(self) -> StoredObject | None:
        """Return the index, or None."""
        return self.store.read(index.INDEX_FILE)

    def add_lines(self, runs: Iterable[str]) -> None:
        """Add the line of each run whose record is closed and has none yet. A pruned run gets no line."""
        wanted = list(runs)
        self._extend_index(lambda lines: self._missing_ends(wanted, lines))

    def _missing_ends(self, runs: Iterable[str], lines: list[index.IndexLine]) -> list[NewLine]:
        last = {line.run: line for line in lines}
        found = []
        for run in runs:
            record, line = self.read_record(run), last.get(run)
            facts = parse_record(record.data) if record else None
            if record and facts and facts.get("closed") is True:
                sha256 = hashlib.sha256(record.data).hexdigest()
                if line is None or (line.event == index.ENDED and line.sha256 != sha256):
                    found.append((index.ENDED, run, sha256))
        return found

    def _lost_lines(self, torn: bytes, lines: list[index.IndexLine]) -> list[NewLine]:
        """Return what takes the place of a last line that was cut: `pruned` as it says, an end from the run's record.

        When it does not say which run it was, that is one of the runs without a line.
        """
        event, run = index.read_torn_line(torn)
        last = {line.run: line for line in lines}
        if event == index.PRUNED:
            return [(event, run, last[run].sha256 if run in last else index.ZERO_HASH)]
        return self._missing_ends([run] if run else sorted(self.list_records().keys() - last.keys()), lines)

    def prune_run(self, run: str) -> None:
        """Add the line `pruned` of a run, then delete its files, and its record last."""

        def missing(lines: list[index.IndexLine]) -> list[NewLine]:
            line = next((each for each in reversed(lines) if each.run == run), None)
            if line is not None and line.event == index.PRUNED:
                return []
            return [(index.PRUNED, run, line.sha256 if line else index.ZERO_HASH)]

        self._extend_index(missing)
        self.delete_files(run)
        self.delete_beat(run)
        self.store.delete(_approval_key(run))
        self.store.delete(_record_key(run))

    def delete_files(self, run: str, kept: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Delete the files of a run, except those in `kept`."""
        keys = {file_key(run, name, str(known.get("sha256"))) for name, known in (kept or {}).items()}
        for each in self.store.list(f"{FILES}/{run}"):
            if each.key not in keys:
                self.store.delete(each.key)

    def _extend_index(self, missing: Callable[[list[index.IndexLine]], list[NewLine]]) -> None:
        """Append the lines that `missing` returns for the lines of the index, by compare-and-swap.

        `missing` reads records after the index was read. A record that changes later gets its own line later, and that
        one makes this write a conflict or comes after it. A last line that was cut is replaced by a whole one.
        """
        for attempt in range(INDEX_ATTEMPTS):
            found = self.read_index()
            whole, torn = index.split_torn_line(found.data if found else b"")
            lines = index.parse_index(whole + b"\n" if whole else b"")[0]
            wanted = missing(lines)
            if torn:
                mine = [run for _, run, _ in wanted]
                wanted = [line for line in self._lost_lines(torn, lines) if line[1] not in mine] + wanted
            if not wanted:
                return
            try:
                self.store.write(
                    index.INDEX_FILE, _add_lines(whole, wanted), expected=found.version if found else ABSENT
                )
                return
            except StoreConflict:
                pause = min(INDEX_PAUSE_S, 0.02 * 2 ** min(attempt, 10))
                self._sleep(pause * random.uniform(0.2, 1))  # noqa: S311 - spreads the attempts of many machines
        raise StoreError(
            f"other machines keep changing the index of {self.url}", cure="Try again: lcnb runs push."
        )


def _add_lines(whole: bytes, lines: Iterable[NewLine]) -> bytes:
    """Return an index, whose last line end was cut off, with further lines and its line end."""
    for event, run, sha256 in lines:
        whole = (whole + b"\n" if whole else b"") + index.next_line(whole, event, run, sha256)[:-1]
    return whole + b"\n"


def _record_key(run: str) -> str:
    return f"{RECORDS}/{run}.json"


def _approval_key(run: str) -> str:
    return f"{APPROVALS}/{run}.json"


def _beat_key(run: str) -> str:
    return f"{BEATS}/{run}.json"


def file_key(run: str, name: str, sha256: str) -> str:
    """Return the key of a file. Its last part is for people who look into the store; the hash decides.

    >>> file_key("RUN", "plots/cost per month.svg", "ab12")
    'files/RUN/ab12/cost_per_month.svg'
    """
    return f"{FILES}/{run}/{sha256}/{re.sub(r'[^A-Za-z0-9_.-]', '_', PurePosixPath(name).name)[-80:].strip('.') or '_'}"


def is_file_name(name: object) -> bool:
    """Whether a name in a record is a file inside the folder of its run, as everything that comes from a store must be.

    >>> [is_file_name(name) for name in ("report.html", "plots/a.svg", "../a", "/a", "a/../b", "")]
    [True, True, False, False, False, False]
    """
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    if os.name == "nt" and ("\\" in name or ":" in name):  # elsewhere these are letters, as in `12:30.csv`
        return False
    return not name.startswith("/") and not any(part in ("", ".", "..") for part in name.split("/"))
