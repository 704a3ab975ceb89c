"""Tables as workbooks for Excel: each value has the type of its column, and a text is never anything else."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import LCNB, Call
from lcnb.display.workbook import MAX_TEXT_LENGTH, workbook_bytes
from lcnb.errors import InputError
from lcnb.rows import TIME_DTYPE, Rows

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def sheet_of(data: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(data)).active


def written(value: object, dtype: str) -> Any:
    """The cell of one value in a column of this dtype."""
    return sheet_of(workbook_bytes(Rows("x", {"a": dtype}, [(value,)])))["A2"]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "@x", "+5", "-5", "007", "1e3", "12345678901234567", "TRUE", "2026-11-30", "http://x.example", "mailto:a@b",
     "=cmd|' /C calc'!A0", "{=1}", "#N/A", " web-01 ", "são", "😀", "a\nb", "_x0041_"],
)  # fmt: skip
def test_texts_stay_texts(text: str) -> None:
    """A label that looks like a formula, a number, a date or a link is written as the text that it is."""
    cell = written(text, "str")
    assert (cell.data_type, cell.value, cell.hyperlink) == ("s", text, None)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1))  # fmt: skip
def test_any_text(text: str) -> None:
    """Whatever a label holds is read back as the same text."""
    cell = written(text, "str")
    assert (cell.data_type, cell.value) == ("s", text)


@pytest.mark.parametrize(
    ("value", "dtype", "kind", "read"),
    [
        (5, "Int64", "n", 5),
        (2**53, "Int64", "n", 2**53),
        (2**53 + 1, "Int64", "s", str(2**53 + 1)),
        (5.4, "Float64", "n", 5.4),
        (float("nan"), "Float64", "s", "nan"),
        (float("inf"), "Float64", "s", "inf"),
        (Decimal("5.40"), "object", "n", 5.4),
        (True, "boolean", "b", True),
        (False, "boolean", "b", False),
        (NOON, TIME_DTYPE, "d", datetime(2026, 11, 30, 12, 0)),
        (NOON.astimezone(timezone(timedelta(hours=-3))), TIME_DTYPE, "d", datetime(2026, 11, 30, 12, 0)),
        (date(2026, 11, 30), "object", "d", datetime(2026, 11, 30)),
        (datetime(1899, 1, 1, tzinfo=UTC), TIME_DTYPE, "s", "1899-01-01 00:00:00+00:00"),
        (["a", 1], "object", "s", "['a', 1]"),
        (None, "Int64", "n", None),
        (None, "str", "n", None),
    ],
)
def test_types(value: object, dtype: str, kind: str, read: object) -> None:
    """Numbers, flags and times have their types; what Excel cannot hold exactly is a text, and a missing value is empty."""
    cell = written(value, dtype)
    assert (cell.data_type, cell.value) == (kind, read)


def test_layout() -> None:
    """The header is frozen and names the time zone, and a column is as wide as its values."""
    rows = Rows("runs", {"id": "str", "started": TIME_DTYPE}, [("20261130T120000Z-inventory-abc", NOON)])
    sheet = sheet_of(workbook_bytes(rows))
    assert (sheet.title, sheet.freeze_panes, sheet.auto_filter.ref) == ("runs", "A2", "A1:B2")
    assert [cell.value for cell in sheet[1]] == ["id", "started (UTC)"]
    assert sheet.column_dimensions["A"].width > 25
    assert 15 < sheet.column_dimensions["B"].width < 30
    bare = sheet_of(workbook_bytes(rows, header=False))
    assert (bare["A1"].value, bare.freeze_panes) == ("20261130T120000Z-inventory-abc", None)


def test_empty() -> None:
    """A table without rows has its header."""
    sheet = sheet_of(workbook_bytes(Rows("plans", {"slug": "str"}, [])))
    assert [[cell.value for cell in row] for row in sheet] == [["slug"]]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            Rows("x", {"a": "str"}, [("x" * (MAX_TEXT_LENGTH + 1),)]),
            "a text of column a has 32,768 characters",
        ),
        (Rows("x", {"a": "str"}, [("😀" * 17_000,)]), "a text of column a has 34,000 characters"),
        (
            Rows("x", {"a": "Int64"}, [(1,)] * 1_048_576),
            "at most 1,048,576 rows, and this table has 1,048,577",
        ),
        (
            Rows("x", {f"a{n}": "str" for n in range(16_385)}, []),
            "at most 16,384 columns, and this table has 16,385",
        ),
    ],
    ids=["long", "wide characters", "rows", "columns"],
)
def test_too_large(rows: Rows, problem: str) -> None:
    """What a sheet cannot hold is refused; nothing is cut silently."""
    with pytest.raises(InputError, match=problem):
        workbook_bytes(rows)


@pytest.mark.parametrize(
    "command",
    [("inventory",), ("instances",), ("plans", "--location", "MIA1"), ("sql", "select label, memory from instances")],
    ids=" ".join,
)  # fmt: skip
def test_commands(command: tuple[str, ...], call: Call, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-o xlsx` has the rows and columns of `-o json`, also sorted and limited."""
    _, client = served()
    monkeypatch.setenv("LCNB_BASE_URL", client.settings.base_url)
    monkeypatch.setenv("LETSCLOUD_API_KEY", client.settings.token.reveal())
    chosen = ("--sort", "label", "--limit", "5") if "plans" not in command else ("--limit", "5")
    done = call(*command, "-o", "xlsx", *chosen)
    assert (done.code, done.err) == (0, "")
    header, *values = sheet_of(done.data).iter_rows(values_only=True)
    expected = json.loads(call(*command, "-o", "json", *chosen).out)
    assert [name.removesuffix(" (UTC)") for name in header] == list(expected[0])
    assert [list(row) for row in values] == [
        [value if value != [] else None for value in row.values()] for row in expected
    ]


def test_terminal() -> None:
    """A workbook is not printed to a terminal: the message says how to write a file."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [LCNB, "runs", "-o", "xlsx"], stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=600
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert "xlsx is binary; send it to a file: lcnb ... -o xlsx > file.xlsx" in done.stderr


def test_missing_library(call: Call, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without XlsxWriter the command to install it is named, and a change is refused before it is sent."""
    sandbox, client = served()
    monkeypatch.setenv("LCNB_BASE_URL", client.settings.base_url)
    monkeypatch.setenv("LETSCLOUD_API_KEY", client.settings.token.reveal())
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    for command in (("inventory",), ("power", "off", "web-01", "--yes")):
        done = call(*command, "-o", "xlsx")
        assert done.code == 2
        assert "pip install 'lcnb[xlsx]'" in done.err
    assert [entry for entry in sandbox.log if entry["method"] != "GET"] == []
