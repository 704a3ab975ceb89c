"""The inventories that earlier runs of the runbook `inventory` saved, as readings for the history of their account."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lcnb.csv_file import read_csv
from lcnb.errors import InputError
from lcnb.folders import resolve_runs_folder
from lcnb.frames.provenance import frame_facts
from lcnb.history.moments import milliseconds
from lcnb.runbooks.ends import COMPLETED_STATUSES
from lcnb.runbooks.records.run_record import RunRecord
from lcnb.runbooks.records.settled import fetch_run_files, read_settled_runs

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

RUNBOOK, TABLE = "inventory", "inventory"
#: Parameters with which that runbook saves a part of the machines only.
FILTERS = ("location", "state", "currency")
#: The path of an odd value in a record: all else that was odd may hide a whole record.
_VALUE_PATH = re.compile(r".*\]\.\w.*")


class _NotUsable(Exception):
    """Why a saved table is no reading."""


class SavedTable(NamedTuple):
    """A saved inventory: its columns, rows and time in milliseconds since 1970."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    at: int


@dataclass
class ImportResult:
    """What an import did: the runs whose tables were stored, those that were stored already, and others with why."""

    imported: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def import_saved_inventories(lc: LetsCloud, folder: str | Path | None = None) -> ImportResult:
    """Add the inventories that earlier runs of this account saved to its history, the oldest first.

    Args:
        lc: A client of the account. A run belongs to it if its record has the same base URL and account name.
        folder: The runs folder; by default `LCNB_RUNS_DIR` or `./runs`.

    A table that shows only some machines is left out: it would make the others look gone. Nothing is requested, and an
    import can be repeated. Raises InputError when the folder cannot be read, HistoryError when the history cannot be
    written.
    """
    result = ImportResult()
    for run in reversed(read_settled_runs(resolve_runs_folder(folder))):
        if run.typed_fact("runbook", str) != RUNBOOK or not _is_of_account(run, lc):
            continue
        try:
            table = _read_table(fetch_run_files(run))
            is_new = lc._history.import_table(*table)
        except (_NotUsable, InputError) as problem:
            result.left_out[run.id] = str(problem)
        else:
            (result.imported if is_new else result.known).append(run.id)
    return result


def _is_of_account(run: RunRecord, lc: LetsCloud) -> bool:
    settings = lc.settings
    return (run.typed_fact("account", str), run.typed_fact("base_url", str)) == (
        settings.account,
        settings.base_url,
    )


def _read_table(run: RunRecord) -> SavedTable:
    parameters = run.typed_fact("parameters", dict) or {}
    used = [name for name in FILTERS if parameters.get(name)]
    if run.status not in COMPLETED_STATUSES:
        raise _NotUsable(f"the run did not complete ({run.status})")
    if used:
        raise _NotUsable(f"it has only some machines ({used[0]}: {parameters[used[0]]})")
    path = run.folder / f"{TABLE}.parquet"
    return _read_parquet(path) if path.is_file() else _read_csv(run, run.folder / f"{TABLE}.csv")


def _read_parquet(path: Path) -> SavedTable:
    """Read a table that holds the time of its reading, and what was odd in it."""
    import pandas as pd

    from lcnb.changes.accessor import plain_rows

    try:
        frame = pd.read_parquet(path)
        facts = frame_facts(frame)
        at = milliseconds(datetime.fromisoformat(facts["fetched_at"]))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise _NotUsable(f"{path.name} cannot be read: {error}") from None
    odd = [each["path"] for each in facts["drift"] if not _VALUE_PATH.fullmatch(each["path"])]
    if odd or facts["drift_count"] > len(facts["drift"]):
        raise _NotUsable(f"the listing may have been incomplete (odd at {odd[0] if odd else 'many places'})")
    return SavedTable([str(name) for name in frame], plain_rows(frame), at)


def _read_csv(run: RunRecord, path: Path) -> SavedTable:
    """Read a table without its time: it was read after the start of the run, which took seconds."""
    if run.started is None:
        raise _NotUsable("the record has no time")
    if not path.is_file():
        raise _NotUsable("it saved no table")
    table = read_csv(path, not_done="written")
    return SavedTable(table.columns, [row.values for row in table.rows], milliseconds(run.started))


def iter_result_lines(result: ImportResult) -> Iterator[str]:
    """Yield what an import did, for people: a sentence, and a line for each table that was left out."""
    yield (
        f"saved inventories: {len(result.imported)} imported, {len(result.known)} imported before, "
        f"{len(result.left_out)} left out"
    )
    yield from (f"left out: {run}: {reason}" for run, reason in result.left_out.items())
