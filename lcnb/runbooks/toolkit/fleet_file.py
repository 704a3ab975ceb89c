"""For the runbooks `provision` and `drift`: read a fleet file (CSV), and report how the account differs from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lcnb.changes.accessor import plain_rows
from lcnb.changes.build import DESIRED_COLUMNS
from lcnb.changes.built import FixedDifference
from lcnb.csv_file import read_csv, separator_hint
from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.runbooks.toolkit.targets import has_label
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    from lcnb.changes.apply import SyncChangeSet


def read_fleet(path: str | Path, columns: Sequence[str] = DESIRED_COLUMNS) -> pd.DataFrame:
    """Return the rows of a CSV file, one row per machine.

    `columns` are the columns that the file may have; `label` is required and each label must be unique. All columns
    are texts (dtype `str`) without surrounding spaces, and an empty cell is a missing value. `attrs["lcnb"]` has the
    comment lines, so that a plan with deletions can check whether a comment was meant as a machine. InputError with
    the line and the reason when the file cannot be read as a fleet.
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
            near = did_you_mean(name, [each for each in columns if each not in names])
            if "label" not in names:
                near = ", and the column label is missing"
            raise InputError(
                f"{path}: {name!r} is not a column of a fleet{near}. Columns: {', '.join(columns)}",
                value=name,
                cure=separator_hint(names),
                not_done="sent",
            )
    if "label" not in names:
        raise InputError(
            f"{path}: the column label is missing. Columns: {', '.join(columns)}", not_done="sent"
        )


def _check_labels(path: str | Path, rows: Sequence[tuple[int, dict[str, str]]]) -> None:
    seen: dict[str, int] = {}
    for line, row in rows:
        label = row.get("label")
        if label is None:
            raise InputError(f"{path}, line {line}: the label is missing", not_done="sent")
        if label in seen:
            raise InputError(
                f"{path}, line {line}: the label {label!r} is already in line {seen[label]}",
                value=label,
                not_done="sent",
            )
        seen[label] = line


def find_differences(changes: SyncChangeSet, wanted: pd.DataFrame, live: pd.DataFrame) -> pd.DataFrame:
    """Return the differences between the account and a fleet file, one row per difference.

    Args:
        changes: the plan that makes the account match the file.
        wanted: the rows of the file. live: the inventory.

    Columns, all `str`: `label`; `what` (missing, differs, cannot be changed in place, or not in the file); `is` (the
    present value, or the reason); `should_be` (the value of the file, missing when there is none).
    """
    rows: list[tuple[str | None, str, str | None, str | None]] = []
    for each in changes:
        if each.action == "create instance":
            rows.append((each.target, "missing", None, each.after))
        elif each.action != "delete instance":
            rows.append((each.target, "differs", each.before, each.after))
    fixed = [note for note in changes.notes if isinstance(note, FixedDifference)]
    rows += [(note.label, "cannot be changed in place", note.reason, None) for note in fixed]
    others = plain_rows(live[~has_label(live, wanted.label)])
    rows += [
        (each["label"], "not in the file", f"{each['state']} at {each['location']}", None) for each in others
    ]
    columns = ["label", "what", "is", "should_be"]
    return pd.DataFrame(rows, columns=columns).astype("str")
