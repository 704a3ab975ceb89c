"""Saved tables of two runs are compared row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lcnb.runbooks.records.compare import compare_runs
from lcnb.runbooks.records.find import find_run
from recorded_runs import make_run

NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"label": ["a"], "n": [1.5]}, {"label": ["a"], "n": [1.5]}, []),
        ({"label": ["a"], "n": [NAN]}, {"label": ["a"], "n": [NAN]}, []),
        ({"label": ["a"], "n": [NAN]}, {"label": ["a"], "n": [2.0]}, [("a", "changed", "n", None, "2.0")]),
        ({"n": [1], "slug": ["x"]}, {"n": [2], "slug": ["x"]}, [("x", "changed", "n", "1", "2")]),
        ({"label": ["a"]}, {"label": []}, [("a", "removed", None, None, None)]),
        ({"label": ["a"], "old": [1]}, {"label": ["a"], "new": [1]}, [(None, "removed", "old", None, None), (None, "added", "new", None, None)]),
        ({"label": ["a", "a"], "n": [1, 1]}, {"label": ["a", "a"], "n": [1, 2]}, [("a, 1", "removed", None, None, None), ("a, 2", "added", None, None, None)]),
        ({"label": ["a", "a"], "id": [1, 2], "n": [3, 4]}, {"label": ["a", "a"], "id": [2, 1], "n": [4, 5]}, [("1", "changed", "n", "3", "5")]),
        ({"label": ["a"], "tags": [["x", "y"]]}, {"label": ["a"], "tags": [["x"]]}, [("a", "changed", "tags", "['x' 'y']", "['x']")]),
        ({}, {}, []),
    ],
)  # fmt: skip
def test_diff_tables(one: Any, other: Any, found: list[Any], tmp_path: Path) -> None:
    """Rows of saved tables are matched by a column that names them, whatever their order; else whole."""
    runs = []
    for number, table in enumerate((one, other)):
        folder = make_run(tmp_path / "runs", number, started="")
        pd.DataFrame(table).to_parquet(folder / "t.parquet")
        runs.append(find_run(folder.name))
    rows = [
        tuple(None if value != value else value for value in row)
        for row in compare_runs(*runs).itertuples(index=False)
    ]
    assert rows == [("table t", *row) for row in found]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("label,n\na,007\n", "label,n\na,7\n", [("a", "changed", "n", "007", "7")]),
        ("label,n\na,1.0\n", "label,n\na,1\n", [("a", "changed", "n", "1.0", "1")]),
        ("label,n\na,1.10\n", "label,n\na,1.1\n", [("a", "changed", "n", "1.10", "1.1")]),
        ("label,n\na,NA\n", "label,n\na,\n", [("a", "changed", "n", "NA", None)]),
        ("label,n\na,null\n", "label,n\na,nan\n", [("a", "changed", "n", "null", "nan")]),
        ("label,n\na,TRUE\n", "label,n\na,True\n", [("a", "changed", "n", "TRUE", "True")]),
        ("label,n\na, x\n", "label,n\na,x\n", [("a", "changed", "n", " x", "x")]),
        ("label,n\na,12345678901234567890\n", "label,n\na,12345678901234567891\n",
         [("a", "changed", "n", "12345678901234567890", "12345678901234567891")]),
        ("label\n007\n7\n", "label\n7\n", [("007", "removed", None, None, None)]),
        ("label\n#a\n", "label\n", [("#a", "removed", None, None, None)]),
        ("label\nNA\n", "label\nNA\n", []),
        ("x,x\n1,2\n", "x,x\n1,3\n", [("1", "changed", "x.1", "2", "3")]),
        ("label,n\na,1,2\n", "label,n\na,1\n", None),
    ],
)  # fmt: skip
def test_d13_diff_of_csv(one: str, other: str, found: list[Any] | None, tmp_path: Path) -> None:
    """Tables that were saved as CSV are compared as the texts that they hold."""
    runs = []
    for number, text in enumerate((one, other)):
        folder = make_run(tmp_path / "runs", number, started="")
        (folder / "t.csv").write_text(text)
        runs.append(find_run(folder.name))
    rows = [
        tuple(None if value != value else value for value in row)
        for row in compare_runs(*runs).itertuples(index=False)
    ]
    if found is None:
        assert [row[2] for row in rows] == ["unreadable"]
    else:
        assert rows == [("table t", *row) for row in found]


def test_diff_files(tmp_path: Path) -> None:
    """A table that only one run has is listed, and so is a file that is not a table."""
    one, other = (make_run(tmp_path / "runs", number) for number in range(2))
    (one / "only.csv").write_text("a\n1\n")
    (one / "bad.parquet").write_text("no")
    (other / "bad.parquet").write_text("no")
    found = compare_runs(find_run(one.name), find_run(other.name))
    assert found[["what", "change"]].to_numpy().tolist() == [
        ["table bad", "unreadable"],
        ["table only", "removed"],
    ]
