"""The table of all runs (`lcnb.runs`), and the deletion of old ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.runbooks.records import abandoned, index
from lcnb.runbooks.records.store import RunRecord, encodable_text, find_runs_folder, read_run, read_runs

if TYPE_CHECKING:
    import pandas as pd


#: The columns of `lcnb.runs()` and their dtypes.
RUN_COLUMNS = {
    "id": "str", "runbook": "str", "status": "str", "exit_code": "Int64", "started": "datetime64[us, UTC]",
    "duration_s": "Float64", "account": "str", "user": "str", "host": "str", "attention": "Int64",
    "changes": "Int64", "problem": "str", "folder": "str",
}  # fmt: skip


def runs(folder: str | Path | None = None) -> pd.DataFrame:
    """The runs that are kept, a row each, the newest first; always the same columns and dtypes.

    `folder` is where runs are kept (`LCNB_RUNS_DIR` or `./runs` by default). Times are in UTC, `duration_s` in
    seconds; `attention` counts notes and failed checks, `changes` the changes that a run made (missing where
    its record does not tell). `problem` says what is wrong with a record; its row has what could be read.
    Runs whose process is gone are settled as `abandoned`. InputError when the folder cannot be read.

    >>> import lcnb
    >>> list(lcnb.runs().columns[:5])
    ['id', 'runbook', 'status', 'exit_code', 'started']
    """
    place = find_runs_folder(folder)
    abandoned.settle_runs(place)
    return runs_frame(read_runs(place))


def runs_frame(found: Iterable[RunRecord]) -> pd.DataFrame:
    """Runs as the frame that `runs` gives."""
    import pandas as pd

    rows = [_row_values(each) for each in found]
    columns = {
        name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in RUN_COLUMNS.items()
    }
    table = pd.DataFrame(columns)
    table.attrs["lcnb"] = {"kind": "runs"}
    return table


def _row_values(each: RunRecord) -> dict[str, Any]:
    attention, changes = each.record.get("attention"), each.record.get("changes")
    return {
        "id": encodable_text(each.id),
        "runbook": each.value("runbook", str),
        "status": encodable_text(each.status),
        "exit_code": each.value("exit_code", int),
        "started": each.started,
        "duration_s": each.value("duration_s", int | float),
        "account": each.value("account", str),
        "user": each.value("user", str),
        "host": each.value("host", str),
        "attention": len(attention) if isinstance(attention, list) else None,
        "changes": len(changes) if isinstance(changes, list) else None,
        "problem": each.problem and encodable_text(each.problem),
        "folder": encodable_text(each.folder),
    }


# --- retention ------------------------------------------------------------------------------------------


def runs_to_prune(keep: int, folder: str | Path | None = None) -> list[RunRecord]:
    """The ended runs beyond the newest `keep`, the oldest first; never a running or damaged one."""
    place = find_runs_folder(folder)
    abandoned.settle_runs(place)
    return [each for each in read_runs(place) if each.finished][keep:][::-1]


def prune_runs(found: Iterable[RunRecord]) -> tuple[list[RunRecord], list[tuple[RunRecord, str]]]:
    """Delete these runs, each with its line in the index; gives those deleted, and the others with the reason.

    The line comes first: a run that a power cut left half deleted is told by `verify`.
    """
    deleted, left = [], []
    for each in found:
        try:
            with index.lock_index(each.folder.parent):
                if not read_run(each.folder).finished:
                    left.append((each, "it is not there any more, or it has not ended"))
                    continue
                line = index.last_lines(each.folder.parent).get(each.id)
                if line is None or line.event != index.PRUNED:
                    index.append_line(
                        each.folder.parent, index.PRUNED, each.id, line.sha256 if line else index.ZERO_HASH
                    )
                shutil.rmtree(each.folder)
            deleted.append(each)
        except OSError as error:
            left.append((each, error.strerror or str(error)))
    return deleted, left
