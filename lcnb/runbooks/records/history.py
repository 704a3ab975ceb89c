"""The table of all runs (`lcnb.runs`), and the deletion of old runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.runbooks.records import abandoned, index
from lcnb.runbooks.records.run_record import (
    RunRecord,
    encodable_text,
    read_run,
    read_runs,
    resolve_runs_folder,
)

if TYPE_CHECKING:
    import pandas as pd


#: The columns of `lcnb.runs()` and their dtypes.
RUN_COLUMNS = {
    "id": "str", "runbook": "str", "status": "str", "exit_code": "Int64", "started": "datetime64[us, UTC]",
    "duration_s": "Float64", "account": "str", "user": "str", "host": "str", "attention": "Int64",
    "changes": "Int64", "problem": "str", "folder": "str",
}  # fmt: skip


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
    place = resolve_runs_folder(folder)
    abandoned.settle_runs(place)
    return runs_frame(read_runs(place))


def runs_frame(found: Iterable[RunRecord]) -> pd.DataFrame:
    """Return runs as the DataFrame that `runs` returns."""
    import pandas as pd

    rows = [_row_values(run) for run in found]
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in RUN_COLUMNS.items()
    }
    table = pd.DataFrame(columns)
    table.attrs["lcnb"] = {"kind": "runs"}
    return table


def _row_values(run: RunRecord) -> dict[str, Any]:
    attention, changes = run.facts.get("attention"), run.facts.get("changes")
    return {
        "id": encodable_text(run.id),
        "runbook": run.typed_fact("runbook", str),
        "status": encodable_text(run.status),
        "exit_code": run.typed_fact("exit_code", int),
        "started": run.started,
        "duration_s": run.typed_fact("duration_s", int | float),
        "account": run.typed_fact("account", str),
        "user": run.typed_fact("user", str),
        "host": run.typed_fact("host", str),
        "attention": len(attention) if isinstance(attention, list) else None,
        "changes": len(changes) if isinstance(changes, list) else None,
        "problem": run.problem and encodable_text(run.problem),
        "folder": encodable_text(run.folder),
    }


# --- retention ------------------------------------------------------------------------------------------


def runs_to_prune(keep: int, folder: str | Path | None = None) -> list[RunRecord]:
    """Return the ended runs except the newest `keep`, the oldest first; never a running or damaged run."""
    place = resolve_runs_folder(folder)
    abandoned.settle_runs(place)
    return [run for run in read_runs(place) if run.is_closed][keep:][::-1]


def prune_runs(found: Iterable[RunRecord]) -> tuple[list[RunRecord], list[tuple[RunRecord, str]]]:
    """Delete runs and add a line to the index for each; return the deleted runs, and the others with the reason.

    The line is written first, so that `verify` reports a run that a power cut left half deleted.
    """
    deleted, left = [], []
    for run in found:
        try:
            with index.lock_index(run.folder.parent):
                if not read_run(run.folder).is_closed:
                    left.append((run, "it was deleted meanwhile, or it has not ended"))
                    continue
                line = index.last_lines(run.folder.parent).get(run.id)
                if line is None or line.event != index.PRUNED:
                    index.append_line(
                        run.folder.parent, index.PRUNED, run.id, line.sha256 if line else index.ZERO_HASH
                    )
                shutil.rmtree(run.folder)
            deleted.append(run)
        except OSError as error:
            left.append((run, error.strerror or str(error)))
    return deleted, left
