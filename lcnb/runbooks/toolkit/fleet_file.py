"""Read a fleet file (CSV), and report how the account differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.changes.build import DESIRED_COLUMNS
from lcnb.csv_file import read_csv
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.targets import NOTHING_SENT, has_label
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet


# --- a fleet as a file ----------------------------------------------------------------------------------


def read_fleet(path: str | Path, columns: Sequence[str] = DESIRED_COLUMNS) -> pd.DataFrame:
    """The rows of a CSV file with some of these columns and a label in each; an empty cell is missing.

    All columns are texts, spaces around values are no part of them. `attrs["lcnb"]` has the lines that are comments:
    a plan that deletes looks whether one of them could be meant as a machine. InputError with the line and the reason
    for a file that cannot be meant so.
    """
    found = read_csv(path)
    _check_columns(path, found.columns, columns)
    rows = [
        (row.line, {name: comparable_name(text) for name, text in row.values.items()}) for row in found.rows
    ]
    _check_labels(path, rows)
    frame = pd.DataFrame(
        {name: pd.Series([row.get(name) for _, row in rows], dtype="str") for name in found.columns}
    )
    label_first = found.columns[0] == "label"
    frame.attrs["lcnb"] = {"kind": "fleet", "comments": list(found.comments.values()) if label_first else []}
    return frame


def _check_columns(path: str | Path, names: Sequence[str], columns: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise InputError(
                f"{path}: {name!r} is not a column of a fleet{did_you_mean(name, columns)}. Columns: "
                f"{', '.join(columns)}. {NOTHING_SENT}"
            )
    if "label" not in names:
        raise InputError(f"{path}: there is no column label. Columns: {', '.join(columns)}. {NOTHING_SENT}")


def _check_labels(path: str | Path, rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    seen: dict[str, int] = {}
    for line, row in rows:
        label = row.get("label")
        if label is None:
            raise InputError(f"{path}, line {line}: the label is missing. {NOTHING_SENT}")
        if label in seen:
            raise InputError(
                f"{path}, line {line}: the label {label!r} stands in line {seen[label]} too. {NOTHING_SENT}"
            )
        seen[label] = line


# --- drift ----------------------------------------------------------------------------------------------


def find_differences(changes: SyncChangeSet, wanted: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """In what the account is not as a fleet file says; columns label, what, is, should_be, all `str`.

    what: missing, differs, cannot be changed in place, not in the file.
    """
    rows: list[tuple[str | None, str, str | None, str | None]] = []
    for each in changes:
        if each.action == "create instance":
            rows.append((each.target, "missing", None, each.after))
        elif each.action != "delete instance":
            rows.append((each.target, "differs", each.before, each.after))
    for note in changes.notes:
        label, found, why = note.partition(" cannot be changed in place: ")
        if found:
            rows.append((label, "cannot be changed in place", why, None))
    others = plain_rows(live[~has_label(live, wanted.label)])
    rows += [
        (each["label"], "not in the file", f"{each['state']} at {each['location']}", None) for each in others
    ]
    columns = ["label", "what", "is", "should_be"]
    return pd.DataFrame(rows, columns=columns).astype("str")
