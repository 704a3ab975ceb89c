"""Starts that were refused: something was wrong before the run had a folder, and nobody was at a terminal.

They are in the folder `refused` of the runs folder, each with a `run.json` as a run has: status, exit code, reason,
time, account. That folder has no index, because a refused start has no files whose change would matter.

Any scheduler may have begun it: cron, systemd, Airflow. The log of what an installed schedule has started, and when, is
another record: `lcnb.runbooks.schedule.starts`.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lcnb.files import write_atomically
from lcnb.folders import resolve_runs_folder
from lcnb.rows import TIME_DTYPE, Column, Rows, rows_of
from lcnb.runbooks.records.artifacts import RECORD_FILE
from lcnb.runbooks.records.run_record import RunRecord, encodable_text, read_runs

REFUSED_FOLDER = "refused"
#: The newest starts that stay when another one is recorded: a job that starts each minute would fill a disk.
MAX_KEPT = 1000


def record_refused_start(facts: Mapping[str, Any], folder: str | Path | None = None) -> Path:
    """Write the record of a refused start into a runs folder and return its path. OSError when it cannot be written.

    `facts` has no secret: `runbook`, `status`, `exit_code`, `reason`, `account`, `user`, `host`.
    """
    started = datetime.now(UTC)
    name = re.sub(r"[^\w-]+", "-", str(facts["runbook"])).strip("-")[:60] or "notebook"
    parent = _refused_folder(folder)
    path = parent / f"{started:%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(3)}"
    path.mkdir(mode=0o700, parents=True)
    times = {"started": started.isoformat(timespec="milliseconds"), "closed": True}
    record = {"format": 1, "id": path.name, **facts, **times}
    try:
        write_atomically(path / RECORD_FILE, json.dumps(record, ensure_ascii=False, indent=2))
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
        raise
    delete_refused_starts(refused_starts_to_prune(MAX_KEPT, folder))
    return path / RECORD_FILE


def list_refused_starts(folder: str | Path | None = None) -> list[RunRecord]:
    """Return the refused starts of a runs folder, the newest first. InputError when the folder cannot be read."""
    return read_runs(_refused_folder(folder))


def refused_rows(found: Iterable[RunRecord]) -> Rows:
    """Return refused starts as rows."""
    return rows_of(found, _REFUSED_COLUMNS, kind="refused")


def refused_starts_to_prune(keep: int, folder: str | Path | None = None) -> list[RunRecord]:
    """Return all refused starts except the newest `keep`, the oldest first."""
    return list_refused_starts(folder)[keep:][::-1]


def delete_refused_starts(found: Iterable[RunRecord]) -> None:
    """Delete the records of refused starts; one that another process has deleted meanwhile is no error."""
    for each in found:
        with suppress(OSError):
            shutil.rmtree(each.folder)


def _refused_folder(folder: str | Path | None) -> Path:
    return resolve_runs_folder(folder) / REFUSED_FOLDER


_REFUSED_COLUMNS: Sequence[Column[RunRecord]] = (
    ("started", TIME_DTYPE, lambda run: run.started),
    ("runbook", "str", lambda run: run.typed_fact("runbook", str)),
    ("status", "str", lambda run: encodable_text(run.status)),
    ("exit_code", "Int64", lambda run: run.typed_fact("exit_code", int)),
    ("reason", "str", lambda run: run.problem or run.typed_fact("reason", str)),
    ("account", "str", lambda run: run.typed_fact("account", str)),
    ("user", "str", lambda run: run.typed_fact("user", str)),
    ("host", "str", lambda run: run.typed_fact("host", str)),
    ("folder", "str", lambda run: encodable_text(run.folder)),
)
