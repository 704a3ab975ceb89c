"""Tables as lines: which columns fit, what is cut, and that no text of a label can disturb a terminal."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcnb.display.row_choice import RowChoice, arrange_rows, default_columns
from lcnb.display.row_layout import cell_text, cut_text, layout_rows, text_width, wrap_text
from lcnb.display.terminal import print_line, print_rows, print_table
from lcnb.errors import InputError
from lcnb.rows import TIME_DTYPE, Rows

MACHINES = Rows(
    "inventory",
    {"label": "str", "state": "str", "location": "str", "plan": "str", "monthly_value": "Float64", "currencycode": "str",
     "ipv4": "str", "cpus": "Int64"},
    [
        ("web-10", "running", "MIA1", "1vcpu-1gb-10ssd", 5.4, "USD", "192.0.2.1", 1),
        ("web-2", "off", "SAO1", "8vcpu-32gb-240ssd", 812.05, "BRL", "192.0.2.20", 8),
        ("Db", None, None, None, None, None, None, None),
    ],
)  # fmt: skip
TYPES = {"str": st.text(max_size=12), "Int64": st.integers(-999, 99999), "Float64": st.floats(-99, 1e6), "boolean": st.booleans()}  # fmt: skip


def texts(rows: Rows, choice: RowChoice | None = None, width: int | None = None) -> list[str]:
    choice = choice or RowChoice()
    table = layout_rows(arrange_rows(rows, choice), choice, width)
    return ["".join(text for text, _ in line) for line in table.lines]


def test_price_with_its_currency() -> None:
    """A price names its currency, unless the currency has a column of its own."""
    lines = texts(MACHINES, RowChoice(columns=("label", "price")))
    assert lines == ["label        price", "web-10    5.40 USD", "web-2   812.05 BRL", "Db               –"]
    lines = texts(MACHINES, RowChoice(columns=("price", "currency"), limit=1))
    assert lines == ["price  currency", " 5.40  USD     "]


@pytest.mark.parametrize(
    ("sort", "labels"),
    [
        ("label", ["Db", "web-2", "web-10"]),
        ("-label", ["web-10", "web-2", "Db"]),
        ("price", ["web-10", "web-2", "Db"]),
        ("-monthly_value", ["web-2", "web-10", "Db"]),
        ("STATE", ["web-2", "web-10", "Db"]),
        ("-ipv4", ["web-2", "web-10", "Db"]),
    ],
)
def test_sort(sort: str, labels: list[str]) -> None:
    """Numbers in a text count as numbers, capitals do not count, and a missing value is last in both directions."""
    assert arrange_rows(MACHINES, RowChoice(sort=sort)).column("label") == labels


@pytest.mark.parametrize("option", ["columns", "sort"])
def test_unknown_column(option: str) -> None:
    """An unknown column is refused with the most similar name."""
    choice = RowChoice(columns=("lable",)) if option == "columns" else RowChoice(sort="-lable")
    with pytest.raises(InputError, match=rf"--{option}: no column 'lable' \(did you mean 'label'\?\)"):
        print_rows(MACHINES, choice=choice)


def test_data_has_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    """Only `--columns` takes columns away from data; `--limit` and `--sort` choose rows, `--no-header` the first line."""
    print_rows(MACHINES, "csv", RowChoice(limit=0, wide=True))
    print_rows(MACHINES, "csv", RowChoice(columns=("ipv4", " Price", "ipv4"), limit=1))
    print_rows(MACHINES, "csv", RowChoice(columns=("label",), header=False, limit=1))
    lines = [",".join(MACHINES.dtypes), "ipv4,monthly_value", "192.0.2.1,5.4", "web-10"]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("choice", "hint"),
    [
        (None, "2 columns omitted; a wider terminal shows more"),
        (RowChoice(), "2 columns omitted; --wide shows all"),
    ],
)
def test_hint_names_an_option_that_exists(
    choice: RowChoice | None, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where columns are omitted, a command without `--wide` does not advise it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "48")
    stream = Terminal()
    print_table(MACHINES, choice, stream=stream)
    assert re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()[-1] == hint


def test_without_header_no_room_for_it() -> None:
    """Without headings a column is as wide as its cells: a single number is printed alone, for a script."""
    rows = Rows("", {"count_star()": "Int64"}, [(60,)])
    assert texts(rows, RowChoice(header=False)) == ["60"]


def test_no_order() -> None:
    """Values that cannot be compared, such as the structs of a query, are refused as an order."""
    rows = Rows("", {"s": "object"}, [({"a": 1},), ({"a": 2},)])
    with pytest.raises(InputError, match="--sort: the values of the column 's' have no order"):
        arrange_rows(rows, RowChoice(sort="s"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\r\nb", "a  b"),
        ("a\u202eb", "a\\u202eb"),
        ("tab\there", "tab here"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("S\u00e3o", "S\u00e3o"),
    ],
)
def test_text_that_would_disturb(text: str, shown: str) -> None:
    """A label cannot color, clear or reverse what a terminal shows, and takes one line."""
    assert cell_text(text) == shown


def test_message_that_would_disturb() -> None:
    """A label inside a message cannot do it either; the lines of a message stay lines."""
    stream = io.StringIO()
    print_line(("error:", ""), (" a\x1b[2Jb\u202ec\n  d\té \U0001f468\u200d\U0001f469", ""), stream=stream)
    shown = "error: a\\x1b[2Jb\\u202ec\n  d\té \U0001f468\u200d\U0001f469\n"
    assert stream.getvalue() == shown


def test_wide_characters_are_aligned() -> None:
    """Characters that take two places count as two."""
    rows = Rows("x", {"label": "str", "n": "Int64"}, [("\u6771\u4eac", 1), ("abcd", 2), ("e\u0301", 3)])
    lines = texts(rows)
    assert len({text_width(line) for line in lines}) == 1
    assert cut_text("\u6771\u4eac\u90fd", 4) == "\u6771\u2026"


@given(
    data=st.data(),
    width=st.integers(1, 120),
    columns=st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=8),
    wide=st.booleans(),
)
def test_nothing_is_wider_than_the_terminal(
    data: st.DataObject, width: int, columns: list[str], wide: bool
) -> None:
    """A table is as wide as the terminal at most. Where that cannot be, each row is a block with whole values."""
    dtypes = {f"column{number}": kind for number, kind in enumerate(columns)}
    row = st.tuples(*(st.none() | TYPES[kind] for kind in columns))
    rows = Rows("x", dtypes, data.draw(st.lists(row, max_size=4)))
    lines = texts(rows, RowChoice(wide=wide), width)
    if max(map(text_width, lines), default=0) > width:
        cells = [cell_text(value) for row in rows for value in row]
        assert [line.split("  ", 1)[1] for line in lines if line] == cells
    elif len(rows):
        assert len(lines) in (len(rows) + 2, len(rows) * (len(columns) + 1) - 1)


def test_pipe_and_empty() -> None:
    """In a pipe a table is plain text without spaces at the end; an empty one says so, and without a header nothing."""
    out = io.StringIO()
    print_table(MACHINES, RowChoice(), stream=out)
    assert "\x1b" not in out.getvalue()
    assert not re.search(" $", out.getvalue(), re.MULTILINE)
    for header, expected in ((True, "label\nno rows\n"), (False, "")):
        out = io.StringIO()
        print_table(Rows("x", {"label": "str"}, []), RowChoice(header=header), stream=out)
        assert out.getvalue() == expected


def test_colors_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR brings colors into a pipe, in which still nothing is cut; NO_COLOR takes them away."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    print_table(MACHINES, RowChoice(), stream=out)
    assert "\x1b[" in out.getvalue()
    assert "8vcpu-32gb-240ssd" in out.getvalue()


def test_times_and_defaults() -> None:
    """Times are shown in UTC to the second; a table of an unknown kind shows every column."""
    at: Any = datetime(2026, 11, 30, 6, 0, 41, 123456, UTC)
    rows = Rows("other", {"at": TIME_DTYPE, "ok": "boolean"}, [(at, True)])
    assert texts(rows)[1] == "2026-11-30 06:00:41  yes"
    assert default_columns(rows) == ["at", "ok"]


@pytest.mark.parametrize(
    ("kind", "column", "dtype", "heading"),
    [
        ("journal", "at", TIME_DTYPE, "at UTC"),
        ("", "last_seen", "datetime64[ns, UTC]", "last_seen UTC"),
        ("", "begins", "datetime64[us]", "begins"),
        *((kind, "total_disk_size", "Int64", "disk GB") for kind in ("instances", "inventory", "history")),
        ("plans", "memory", "Int64", "memory MB"),
        ("plans", "monthly_value", "Float64", "price"),
        ("snapshots", "size", "Float64", "size GB"),
        ("", "memory", "Int64", "memory"),
    ],
)
def test_units(kind: str, column: str, dtype: str, heading: str) -> None:
    """The heading of a printed table names the unit or time zone of its values, and can be passed to `--sort`."""
    rows = Rows(kind, {column: dtype}, [])
    assert texts(rows)[0] == heading
    assert arrange_rows(rows, RowChoice(sort=heading)).dtypes == {column: dtype}


def test_sentences_are_wrapped() -> None:
    """A sentence that is wider than its column continues below; nothing of it is cut, and no column is omitted."""
    sentence = "Turns the selected machines on or off. Machines that are already in the desired state stay."
    rows = Rows(
        "runbooks", {"name": "str", "purpose": "str"}, [("power_schedule", sentence), ("x", "Short.")]
    )
    table = layout_rows(rows, RowChoice(), 50)
    lines = ["".join(text for text, _ in line) for line in table.lines]
    assert (table.omitted, table.cut) == (0, False)
    assert all(text_width(line) <= 50 for line in lines)
    assert " ".join(" ".join(line[16:] for line in lines[2:-1]).split()) == sentence
    assert [line[:16].strip() for line in lines[2:]] == ["power_schedule", *[""] * (len(lines) - 4), "x"]


@given(text=st.text(max_size=60), width=st.integers(2, 30))
def test_wrapping_keeps_the_words(text: str, width: int) -> None:
    """Wrapped lines have every character of the words, and none is wider than the column."""
    lines = wrap_text(text, width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(text_width(line) <= width for line in lines)


def test_times_are_not_cut() -> None:
    """In a narrow terminal a time is whole: columns are omitted instead, and then each row is a block."""
    at: Any = datetime(2026, 11, 30, 6, 0, 41, tzinfo=UTC)
    dtypes = {
        "label": "str",
        "plan": "str",
        "first_seen": TIME_DTYPE,
        "last_seen": TIME_DTYPE,
        "ended": "str",
    }
    rows = Rows("history", dtypes, [("erp-s\u00e3o-paulo", "8vcpu-32gb-240ssd", at, at, None)])
    for width in (80, 60, 44, 20):
        assert "".join(texts(rows, width=width)).count("2026-11-30 06:00:41") == 2
