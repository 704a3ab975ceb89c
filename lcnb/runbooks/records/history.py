"""The table of all runs (`lcnb.runs`), and the deletion of old runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import StoreError
from lcnb.folders import resolve_runs_folder
from lcnb.rows import TIME_DTYPE, Column, Rows, rows_of
from lcnb.runbooks.records import index
from lcnb.runbooks.records.run_record import (
    RunRecord,
    encodable_text,
    read_run,
)
from lcnb.runbooks.records.settled import find_mirror, read_settled_runs

if TYPE_CHECKING:
    import pandas as pd


def runs(folder: str | Path | None = None) -> pd.DataFrame:
    """Return the kept runs as a DataFrame, one row per run, the newest first; columns and dtypes never change.

    Args:
        folder: the runs folder; by default `LCNB_RUNS_DIR` or `./runs`.

    Times are in UTC, `duration_s` is in seconds. `attention` counts attention notes and failed checks, `changes` the
    changes of the run; it is missing where the record does not say. `problem` says what is wrong with a record; the
    other columns then hold what could be read. A run whose process was killed is recorded as `abandoned` first.
    Raises InputError when the folder cannot be read.

    >>> import lcnb
    >>> list(lcnb.runs().columns[:5])
    ['id', 'runbook', 'status', 'exit_code', 'started']
    """
    return run_rows(list_runs(folder)).frame()


def list_runs(folder: str | Path | None = None) -> list[RunRecord]:
    """Return the kept runs, the newest first; abandoned ones are settled before. InputError as in `runs`."""
    return read_settled_runs(resolve_runs_folder(folder))


def run_rows(found: Iterable[RunRecord]) -> Rows:
    """Return runs as rows, without pandas; `runs` returns their frame."""
    return rows_of(found, _RUN_COLUMNS, kind="runs")


def _typed_fact(name: str, kind: Any) -> Callable[[RunRecord], Any]:
    return lambda run: run.typed_fact(name, kind)


def _count_of(name: str) -> Callable[[RunRecord], int | None]:
    def count(run: RunRecord) -> int | None:
        items = run.facts.get(name)
        return len(items) if isinstance(items, list) else None

    return count


_RUN_COLUMNS: Sequence[Column[RunRecord]] = (
    ("id", "str", lambda run: encodable_text(run.id)),
    ("runbook", "str", _typed_fact("runbook", str)),
    ("status", "str", lambda run: encodable_text(run.status)),
    ("exit_code", "Int64", _typed_fact("exit_code", int)),
    ("started", TIME_DTYPE, lambda run: run.started),
    ("duration_s", "Float64", _typed_fact("duration_s", int | float)),
    ("account", "str", _typed_fact("account", str)),
    ("user", "str", _typed_fact("user", str)),
    ("host", "str", _typed_fact("host", str)),
    ("attention", "Int64", _count_of("attention")),
    ("changes", "Int64", _count_of("changes")),
    ("problem", "str", lambda run: run.problem and encodable_text(run.problem)),
    ("folder", "str", lambda run: encodable_text(run.folder)),
)
#: The columns of `lcnb.runs()` and their dtypes.
RUN_COLUMNS = {name: dtype for name, dtype, _ in _RUN_COLUMNS}


# --- retention ------------------------------------------------------------------------------------------


def runs_to_prune(keep: int, folder: str | Path | None = None) -> list[RunRecord]:
    """Return the ended runs except the newest `keep`, the oldest first; never a running or damaged run."""
    return [run for run in list_runs(folder) if run.is_closed][keep:][::-1]


def prune_runs(found: Iterable[RunRecord]) -> tuple[list[RunRecord], list[tuple[RunRecord, str]]]:
    """Delete runs and add a line to the index for each; return the deleted runs, and the others with the reason.

    The line is written first, so that `verify` reports a run that a power cut left half deleted.
    """
    found, deleted, left = list(found), [], []
    for run in found:
        try:
            with index.lock_index(run.folder.parent):
                if not read_run(run.folder).is_closed:
                    left.append((run, "it was deleted meanwhile, or it has not ended"))
                    continue
                _prune_run(run)
            deleted.append(run)
        except (KeyboardInterrupt, SystemExit) as stop:
            stop.add_note(f"deleted: {len(deleted)} of {len(found)} runs. To go on, repeat the command")
            raise
        except (OSError, StoreError) as error:
            left.append((run, (isinstance(error, OSError) and error.strerror) or str(error)))
    return deleted, left


def _prune_run(run: RunRecord) -> None:
    import shutil

    folder = run.folder.parent
    if mirror := find_mirror(folder):
        mirror.prune_run(run.id)
        return
    line = index.last_lines(folder).get(run.id)
    if line is None or line.event != index.PRUNED:
        index.append_line(folder, index.PRUNED, run.id, line.sha256 if line else index.ZERO_HASH)
    shutil.rmtree(run.folder)
