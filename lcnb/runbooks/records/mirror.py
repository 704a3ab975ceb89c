"""The folder of a store on this machine: runs work in it, and runs of other machines are read into it.

A run that worked here belongs to this machine: nothing that comes from the store replaces its files, and its last
record counts even when another machine has declared it abandoned meanwhile. Runs of other machines are copies.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from lcnb.errors import StoreConflict, StoreError, StoreUnavailable
from lcnb.files import write_atomically
from lcnb.folders import store_url
from lcnb.object_store import ABSENT, StoredEntry, StoreLimits, open_store
from lcnb.parallel import map_in_threads
from lcnb.runbooks.records import index
from lcnb.runbooks.records.artifacts import APPROVAL_FILE, RECORD_FILE, fingerprint_file
from lcnb.runbooks.records.run_record import RunRecord, list_run_folders, parse_record, read_run
from lcnb.runbooks.records.run_store import CLOCKS, RunStore, file_key, is_file_name
from lcnb.runbooks.records.sync_state import (
    STATE_FOLDER,
    SyncState,
    delete_state,
    is_foreign,
    iter_known_runs,
    read_state,
    write_state,
)

A = TypeVar("A")

#: Seconds without a heartbeat after which a run counts as abandoned. A heartbeat comes every `uploading.BEAT_S`.
ABANDONED_AFTER_S = 300.0
#: Records and files that are read at the same time.
PARALLEL_READS = 8
#: How long reading commands and uploads wait for the store.
READ_LIMITS = StoreLimits(total_s=10.0)
PUSH_LIMITS = StoreLimits(request_s=120.0, total_s=120.0)
#: Seconds to wait for another process that reads the store into the same folder.
LOCK_TIMEOUT_S = 60.0
_LOCK_FILE = "lock"
_CHECKED_FILE = "conditions-checked"


class Mirror:
    """The runs of a store, and their folder on this machine. Methods raise StoreUnavailable as those of RunStore."""

    def __init__(self, folder: Path, store: RunStore, *, abandoned_after_s: float | None = None) -> None:
        self.folder = folder
        self.store = store
        self.abandoned_after_s = abandoned_after_s or ABANDONED_AFTER_S

    # --- from the store ---------------------------------------------------------------------------------

    def pull_records(self) -> dict[str, datetime]:
        """Read new records of other machines; return the runs whose heartbeat has stopped, and when it did."""
        with self._locked():
            listed = self.store.list_records()
            pruned = self._pull_index()
            listed = {run: each for run, each in listed.items() if run not in pruned and is_file_name(run)}
            wanted = [run for run, each in listed.items() if self._is_outdated(run, each)]
            self._read_in_threads(self.pull_record, wanted)
            self._forget_runs(pruned.intersection(iter_known_runs(self.folder)))
            return self._silent_runs(listed)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder: a process must not write an older record over a newer one."""
        from filelock import FileLock, Timeout

        folder = self.folder / STATE_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            with FileLock(folder / _LOCK_FILE, timeout=LOCK_TIMEOUT_S, mode=0o600):
                yield
        except Timeout:
            raise StoreError(
                f"another process has been reading {self.store.url} into {self.folder} for {LOCK_TIMEOUT_S:g} s"
            ) from None

    def _is_outdated(self, run: str, listed: StoredEntry) -> bool:
        """Whether the record here is missing, is of another version, or lost bytes in a power failure or by an edit."""
        try:
            size = (self.folder / run / RECORD_FILE).stat().st_size
        except OSError:
            return True
        state = read_state(self.folder / run)
        # No version replaces that of a run that worked here.
        return state.foreign and (state.version, size) != (listed.version, listed.size)

    def pull_record(self, run: str) -> None:
        """Read the record of a run of another machine into its folder."""
        found = self.store.read_record(run)
        if found is None:
            return
        folder = self.folder / run
        folder.mkdir(mode=0o700, exist_ok=True)
        write_state(folder, SyncState(version=found.version, foreign=True, pushed=True))
        write_atomically(folder / RECORD_FILE, found.data, sync=False)

    def _pull_index(self) -> set[str]:
        """Read the index into the folder; return the ids of pruned runs."""
        found = self.store.read_index()
        if found is not None:
            write_atomically(self.folder / index.INDEX_FILE, found.data, sync=False)
        return {run for run, line in index.last_lines(self.folder).items() if line.event == index.PRUNED}

    def _forget_runs(self, gone: Iterable[str]) -> None:
        """Remove runs that another machine has pruned, and no others: a listing that lacks a run says nothing.

        A run that has not been pushed is kept.
        """
        for run in gone:
            folder = self.folder / run
            if read_state(folder).pushed:
                shutil.rmtree(folder, ignore_errors=True)
                delete_state(folder)

    def _store_time(self) -> datetime | None:
        """Return the time of the store; None for a user who may only read, and cannot learn it."""
        try:
            return self.store.read_time(machine_name())
        except StoreUnavailable as error:
            if error.refused:
                return None
            raise

    def _silent_runs(self, listed: Mapping[str, StoredEntry]) -> dict[str, datetime]:
        """Return the runs of other machines that have not ended and whose heartbeat has stopped, and when it did.

        Both times are the store's, so the clocks of the machines do not matter. A run whose machine ended between the
        last record and its line gets the line here.
        """
        lines = index.last_lines(self.folder)
        found = [read_run(self.folder / run) for run in listed if is_foreign(self.folder / run)]
        unsure = [run for run in found if run.facts.get("closed") is False or run.id not in lines]
        if not unsure:
            return {}
        now = self._store_time()
        if now is None:
            return {}
        beats = self.store.list_beats()
        signs = {
            run.id: max(listed[run.id].modified, beats.get(run.id, listed[run.id].modified)) for run in unsure
        }
        since = now - timedelta(seconds=self.abandoned_after_s)
        return self._without_ended([run for run in unsure if signs[run.id] < since], signs)

    def _without_ended(
        self, silent: Sequence[RunRecord], signs: Mapping[str, datetime]
    ) -> dict[str, datetime]:
        """Return the last signs of those runs that have not ended; the others get their line in the index."""
        self.store.add_lines([run.id for run in silent if run.is_closed])
        return {run.id: signs[run.id] for run in silent if not run.is_closed}

    def pull_files(self, run: str) -> None:
        """Read the files of a run of another machine into its folder: all, or for a run that goes on those uploaded."""
        folder = self.folder / run
        if (folder / RECORD_FILE).is_file() and (approval := self.store.read_approval(run)):
            write_atomically(folder / APPROVAL_FILE, approval.data, sync=False)
        if not is_foreign(folder):
            return
        facts = read_run(folder).facts
        files = facts.get("files") if facts.get("closed") else self._uploaded_files(run)
        self.copy_files([(folder, files)])

    def _uploaded_files(self, run: str) -> Mapping[str, Any]:
        beat = self.store.read_beat(run)
        return beat.files if beat else {}

    def copy_files(self, runs: Iterable[tuple[Path, Any]]) -> None:
        """Copy files of runs into folders that are named like them; each has the `files` of its record.

        A file that is missing in the store or has other bytes is left out.
        """
        wanted = [
            (folder, name, known)
            for folder, files in runs
            if isinstance(files, dict)
            for name, known in files.items()
        ]
        self._read_in_threads(lambda item: self._copy_file(*item), wanted)

    def _read_in_threads(self, read: Callable[[A], None], items: Iterable[A]) -> None:
        map_in_threads(read, items, PARALLEL_READS, self.store.store.cancel_requests)

    def _copy_file(self, folder: Path, name: str, known: Any) -> None:
        sha256 = known.get("sha256") if isinstance(known, dict) else None
        if not is_file_name(name) or name in (RECORD_FILE, APPROVAL_FILE):
            return
        if not isinstance(sha256, str) or not sha256.isalnum():
            return
        path = folder / name
        if path.is_file() and fingerprint_file(path)["sha256"] == sha256:
            return
        content = self.store.read_file(folder.name, name, sha256)
        if content is not None and hashlib.sha256(content).hexdigest() == sha256:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, content, sync=False)

    # --- to the store -----------------------------------------------------------------------------------

    def begun_runs(self) -> list[str]:
        """Return the ids of pending runs that other machines wait for: those in the store without their end."""
        return [run for run in self.pending_runs() if read_state(self.folder / run).version]

    def pending_runs(self) -> list[str]:
        """Return the ids of runs that have ended here and are not whole in the store, the oldest first."""
        folders = [path for path in list_run_folders(self.folder) if not read_state(path).pushed]
        return [path.name for path in folders if read_run(path).is_closed]

    def push_run(self, run: str) -> None:
        """Upload a run that has ended: its files, its record, its line of the index. It can be repeated.

        StoreError when a file was changed after the run ended, or when the run was pruned; the run stays here then.
        """
        self.check_conditions()
        folder = self.folder / run
        content = (folder / RECORD_FILE).read_bytes()
        files = _listed_files(folder, content)
        for name, known in files.items():
            self.push_file(folder, name, str(known["sha256"]))
        self._push_record(folder, content)
        self.store.add_lines([run])
        state = read_state(folder)
        state.pushed = True
        write_state(folder, state)
        with suppress(StoreError):  # what is left over takes space and nothing else
            self.store.delete_beat(run)
            self.store.delete_files(run, files)

    def push_file(self, folder: Path, name: str, sha256: str) -> None:
        """Upload a file, unless it was uploaded before. StoreError when it has no longer this hash."""
        state, key = read_state(folder), file_key(folder.name, name, sha256)
        if key in state.uploaded:
            return
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            content = f"{error}".encode()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise StoreError(f"{folder / name} was changed after its run ended", not_done="uploaded")
        self.store.write_file(folder.name, name, content)
        state.uploaded.append(key)
        write_state(folder, state)

    def push_approval(self, run: str) -> None:
        """Upload the approval of a planned run, in place of one that is not valid any more."""
        found = self.store.read_approval(run)
        content = (self.folder / run / APPROVAL_FILE).read_bytes()
        if found is None or found.data != content:
            self.store.write_approval(run, content, found.version if found else None)

    def _push_record(self, folder: Path, content: bytes) -> None:
        """Write the last record of a run that worked here, in place of whatever another machine wrote."""
        state = read_state(folder)
        while True:
            try:
                state.version = self.store.write_record(folder.name, content, state.version or None)
                break
            except StoreConflict as conflict:
                if conflict.current is None:
                    self._check_not_pruned(folder.name)
                elif conflict.current.data == content:
                    state.version = conflict.current.version
                    break
                state.version = conflict.current.version if conflict.current else ""
        write_state(folder, state)

    def _check_not_pruned(self, run: str) -> None:
        if run in self._pull_index():
            raise StoreError(
                f"the run {run} was pruned in {self.store.url}: it is only in {self.folder / run} now",
                not_done="uploaded",
            )

    def close_silent_run(self, run: str, content: bytes) -> bool:
        """Upload the record, and the files that it names, with which this machine closes a run of another one.

        Returns False, and changes nothing that counts, when the run has gone on meanwhile.
        """
        folder = self.folder / run
        files: Mapping[str, Any] = (parse_record(content) or {}).get("files") or {}
        for name in files:
            self.store.write_file(run, name, (folder / name).read_bytes())
        try:
            self.store.write_record(run, content, read_state(folder).version)
        except StoreConflict:
            return False
        self.store.add_lines([run])
        self.pull_record(run)
        return True

    def check_conditions(self) -> None:
        """Raise StoreError when the store ignores the conditions of writes. It is checked once per machine."""
        checked = self.folder / STATE_FOLDER / _CHECKED_FILE
        if checked.exists():
            return
        check_conditions(self.store)
        checked.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(checked, "", sync=False)

    # --- prune ------------------------------------------------------------------------------------------

    def prune_run(self, run: str) -> None:
        """Delete a run from the store and from this machine."""
        folder = self.folder / run
        self.store.prune_run(run)
        shutil.rmtree(folder)
        delete_state(folder)


def _listed_files(folder: Path, record: bytes) -> Mapping[str, Mapping[str, Any]]:
    """Return the files that the record of an ended run lists. StoreError for a list that lcnb does not write."""
    files = (parse_record(record) or {}).get("files") or {}
    if isinstance(files, dict) and all(
        isinstance(each, dict) and "sha256" in each for each in files.values()
    ):
        return files
    raise StoreError(
        f"{folder / RECORD_FILE} lists its files as this version of lcnb does not: it was changed, or a newer version "
        "wrote it",
        not_done="uploaded",
    )


def check_conditions(store: RunStore) -> None:
    """Raise StoreError when the store writes an object although the condition of the write does not hold."""
    key = f"{CLOCKS}/conditions-{secrets.token_hex(8)}"
    version = store.store.write(key, b"1", expected=ABSENT)
    second = store.store.write(key, b"2", expected=version)
    held = 0
    for expected in (ABSENT, version):
        try:
            store.store.write(key, b"3", expected=expected)
        except StoreConflict:
            held += 1
    store.store.delete(key)
    if held < 2 or not second:
        raise StoreError(
            f"{store.url} ignores If-None-Match or If-Match, so machines would overwrite each other's records",
            cure="Use a store that supports conditional writes.",
            not_done="uploaded",
        )


def mirror_of(folder: Path, limits: StoreLimits | None = None) -> Mirror | None:
    """Return the store that a runs folder belongs to; None for an ordinary folder. ConfigError as in `open_store`."""
    url = store_url(folder)
    return None if url is None else Mirror(folder, RunStore(open_store(url, limits or READ_LIMITS)))


def machine_name() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]
