"""A copy of the runs of a store as they are now, to compare it with the index: what `verify` reads."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lcnb.errors import StoreError
from lcnb.object_store import StoredObject
from lcnb.parallel import map_in_threads
from lcnb.runbooks.records import index
from lcnb.runbooks.records.artifacts import RECORD_FILE
from lcnb.runbooks.records.mirror import PARALLEL_READS, Mirror
from lcnb.runbooks.records.run_record import parse_record
from lcnb.runbooks.records.run_store import RunStore, is_file_name
from lcnb.runbooks.records.sync_state import STATE_FOLDER

#: Copies that are taken until no run has ended meanwhile, and the seconds between two of them.
COPY_ATTEMPTS, COPY_PAUSE_S = 20, 0.5


@contextmanager
def copied_runs(
    mirror: Mirror, only: Iterable[str] | None = None, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Path]:
    """Yield a new folder with the index and the runs of a store (all, or the ids in `only`), read anew.

    It is deleted at the end. StoreUnavailable when the store does not answer, StoreError when runs end all the time.
    """
    place = mirror.folder / STATE_FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix="verify-") as name:
        folder = Path(name)
        content, records = _read_index_and_records(mirror.store, only, sleep)
        (folder / index.INDEX_FILE).write_bytes(content)
        files = []
        for run, record in records.items():
            (folder / run).mkdir()
            (folder / run / RECORD_FILE).write_bytes(record.data)
            facts = parse_record(record.data) or {}
            files.append((folder / run, facts.get("files") if facts.get("closed") is True else {}))
        mirror.copy_files(files)
        yield folder


def _read_records(store: RunStore, only: Container[str] | None) -> dict[str, StoredObject]:
    """Return the records of the store, or of the runs in `only`, by the id of the run."""
    listed = [run for run in store.list_records() if is_file_name(run) and (only is None or run in only)]
    records = map_in_threads(store.read_record, listed, PARALLEL_READS, store.store.cancel_requests)
    return {run: record for run, record in zip(listed, records, strict=True) if record}


def _read_index_and_records(
    store: RunStore, only: Iterable[str] | None, sleep: Callable[[float], None]
) -> tuple[bytes, dict[str, StoredObject]]:
    """Return the index and the records of one moment: no line was added while the records were read."""
    chosen = None if only is None else set(only)
    for attempt in range(COPY_ATTEMPTS):
        before = store.read_index()
        found = _read_records(store, chosen)
        after = store.read_index()
        content = before.data if before else b""
        if content == (after.data if after else b"") and (
            attempt == COPY_ATTEMPTS - 1 or not _ends_now(content, found)
        ):
            return content, found
        sleep(COPY_PAUSE_S)
    raise StoreError(f"runs keep ending in {store.url}", cure="Verify again when fewer runs go on.")


def _ends_now(content: bytes, records: dict[str, StoredObject]) -> bool:
    """Whether a run has its last record and no line: its machine may be about to add it."""
    known = {line.run for line in index.parse_index(content)[0]}
    return any(
        (parse_record(record.data) or {}).get("closed") is True
        for run, record in records.items()
        if run not in known
    )
