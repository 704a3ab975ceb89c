"""The table of all runs (`lcnb.runs`), and the deletion of old ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.runbooks.records import abandoned, index
from lcnb.runbooks.records.store import Kept, _kept, _place, _text, kept

if TYPE_CHECKING:
    import pandas as pd


#: The columns of `lcnb.runs()` and their dtypes.
COLUMNS = {
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
    place = _place(folder)
    abandoned.settle(place)
    return frame(kept(place))


def frame(found: Iterable[Kept]) -> pd.DataFrame:
    """Runs as the frame that `runs` gives."""
    import pandas as pd

    rows = [_row(each) for each in found]
    columns = {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in COLUMNS.items()}
    table = pd.DataFrame(columns)
    table.attrs["lcnb"] = {"kind": "runs"}
    return table


def _row(each: Kept) -> dict[str, Any]:
    attention, changes = each.record.get("attention"), each.record.get("changes")
    return {
        "id": _text(each.id),
        "runbook": each.value("runbook", str),
        "status": _text(each.status),
        "exit_code": each.value("exit_code", int),
        "started": each.started,
        "duration_s": each.value("duration_s", int | float),
        "account": each.value("account", str),
        "user": each.value("user", str),
        "host": each.value("host", str),
        "attention": len(attention) if isinstance(attention, list) else None,
        "changes": len(changes) if isinstance(changes, list) else None,
        "problem": each.problem and _text(each.problem),
        "folder": _text(each.folder),
    }


# --- retention ------------------------------------------------------------------------------------------


def to_prune(keep: int, folder: str | Path | None = None) -> list[Kept]:
    """The ended runs beyond the newest `keep`, the oldest first; never a running or damaged one."""
    place = _place(folder)
    abandoned.settle(place)
    return [each for each in kept(place) if each.finished][keep:][::-1]


def prune(found: Iterable[Kept]) -> tuple[list[Kept], list[tuple[Kept, str]]]:
    """Delete these runs, each with its line in the index; gives those deleted, and the others with the reason.

    The line comes first: a run that a power cut left half deleted is told by `verify`.
    """
    deleted, left = [], []
    for each in found:
        try:
            with index.locked(each.folder.parent):
                if not _kept(each.folder).finished:
                    left.append((each, "it is not there any more, or it has not ended"))
                    continue
                line = index.ended(each.folder.parent).get(each.id)
                if line is None or line.event != index.PRUNED:
                    index.append(
                        each.folder.parent, index.PRUNED, each.id, line.sha256 if line else index.FIRST
                    )
                shutil.rmtree(each.folder)
            deleted.append(each)
        except OSError as error:
            left.append((each, error.strerror or str(error)))
    return deleted, left
