"""The upload of a run while it goes on: its first record, its notebook from time to time, and a heartbeat.

Everything happens in a thread: a store that is slow or away never delays a cell. What could not be uploaded is uploaded
when the run has ended (`finish`), or later by `lcnb runs push`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lcnb.errors import StoreConflict, StoreError
from lcnb.object_store import PART_BYTES, StoreLimits, open_store
from lcnb.parallel import CANCEL_AGAIN_S
from lcnb.runbooks.records import mirror as mirrors
from lcnb.runbooks.records.artifacts import RECORD_FILE, fingerprint_file
from lcnb.runbooks.records.run_record import parse_record
from lcnb.runbooks.records.run_store import RunStore
from lcnb.runbooks.records.sync_state import read_state, write_state

#: Seconds between two uploads of a run that goes on: the heartbeat, and what has changed.
BEAT_S = 20.0
BEAT_LIMITS = StoreLimits(total_s=30.0)
_PUSH_ADVICE = "To upload it: lcnb runs push"
#: Seconds that the end of a run waits for a store that did not answer while it ran.
AWAY_LIMIT_S = 10.0
#: Seconds that the end of an interrupted run waits for each response.
INTERRUPTED_LIMIT_S = 2.0


class _Stopped(Exception):
    """The run has ended: what was not uploaded yet is uploaded by `finish`."""


class RunUpload:
    """The upload of one run. `notebook` is the file of its folder that is saved without secrets while it runs."""

    def __init__(self, folder: Path, notebook: Path, url: str, *, beat_s: float | None = None) -> None:
        self._folder, self._notebook, self._url, self._beat_s = folder, notebook, url, beat_s or BEAT_S
        self._stop, self._is_over = threading.Event(), threading.Event()
        self._is_over.set()
        self._store = RunStore(open_store(url, BEAT_LIMITS, sleep=self._wait_to_retry))
        self._mirror = mirrors.Mirror(folder.parent, self._store)
        self._thread = threading.Thread(target=self._keep_uploading, daemon=True)
        self._files: dict[str, Mapping[str, Any]] = {}
        self._sent_record = b""
        self._beats = 0
        self._is_away = self._is_superseded = self._is_interrupted = False

    def start(self) -> None:
        """Begin to upload, after the first record was written."""
        self._is_over.clear()
        self._thread.start()

    def stop(self, *, interrupted: bool = False) -> None:
        """End the uploads of the running run, before its last record is written.

        It waits for the request that goes on. An interrupt, now or before (`interrupted`), cancels that.
        """
        self._is_interrupted = interrupted
        self._stop.set()
        try:
            # Not `join`: after an interrupt, Python 3.11 takes the thread for ended.
            if not self._is_interrupted:
                self._is_over.wait()
        except (KeyboardInterrupt, SystemExit):  # too late to change how the run has ended
            self._is_interrupted = True
        while not self._is_over.is_set():
            self._store.store.cancel_requests()
            self._is_over.wait(CANCEL_AGAIN_S)

    def finish(self) -> str:
        """Upload the run that has ended. Return what could not be done, as a sentence; "" when all is in the store.

        Ctrl-C and SIGTERM end the upload, and change nothing about how the run has ended.
        """
        limits = mirrors.PUSH_LIMITS
        if self._is_away or self._is_interrupted:
            limit_s = INTERRUPTED_LIMIT_S if self._is_interrupted else AWAY_LIMIT_S
            limits = replace(limits, total_s=limit_s, request_s=limit_s)
        try:
            store = RunStore(open_store(self._url, limits))
            mirrors.Mirror(self._folder.parent, store).push_run(self._folder.name)
        except (StoreError, OSError) as error:
            problem = error.statement if isinstance(error, StoreError) else error.strerror or str(error)
            return f"the run is only on this machine: {problem.rstrip('.')}. {_PUSH_ADVICE}"
        except (KeyboardInterrupt, SystemExit):
            return f"the upload of the run was interrupted. {_PUSH_ADVICE}"
        return ""

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped

    def _wait_to_retry(self, seconds: float) -> None:
        self._is_away = True
        self._wait(seconds)

    def _keep_uploading(self) -> None:
        try:
            while True:
                try:
                    self._upload()
                    self._is_away = False
                except (StoreError, OSError):
                    self._is_away = True
                self._wait(self._beat_s)
        except _Stopped:
            pass
        finally:
            self._is_over.set()

    def _upload(self) -> None:
        self._mirror.check_conditions()
        self._upload_record()
        self._upload_notebook()
        self._beats += 1
        self._store.write_beat(self._folder.name, self._beats, self._files)

    def _upload_record(self) -> None:
        """Upload the record as long as it is open: its last version comes after its files."""
        content = (self._folder / RECORD_FILE).read_bytes()
        if content == self._sent_record or self._is_superseded or not _is_open(content):
            return
        state = read_state(self._folder)
        try:
            state.version = self._store.write_record(self._folder.name, content, state.version or None)
        except StoreConflict as conflict:
            # An earlier upload arrived late, or another machine took this run for abandoned. Only the last record of
            # this run replaces that one.
            state.version = conflict.current.version if conflict.current else ""
            self._is_superseded = conflict.current is not None and not _is_open(conflict.current.data)
            write_state(self._folder, state)
            return
        write_state(self._folder, state)
        self._sent_record = content

    def _upload_notebook(self) -> None:
        if not self._notebook.is_file() or self._notebook.stat().st_size > PART_BYTES:
            return  # a heartbeat must not wait for a long upload
        known = fingerprint_file(self._notebook)
        if self._files.get(self._notebook.name) == known:
            return
        try:
            self._mirror.push_file(self._folder, self._notebook.name, str(known["sha256"]))
        except StoreError as error:
            if error.not_done != "uploaded":
                raise
            return  # it was saved again meanwhile
        self._files = {self._notebook.name: known}


def _is_open(record: bytes) -> bool:
    return (parse_record(record) or {}).get("closed") is False
