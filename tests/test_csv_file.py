"""The one reader of CSV files: what it understands, what it refuses, and that nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcnb.csv_file import read_csv
from lcnb.errors import InputError

HEADER = "label,state\n"

# What a file holds (text as UTF-8, or bytes) → the rows: line and values.
READ: list[tuple[str | bytes, list[tuple[int, dict[str, str]]]]] = [
    (HEADER + "db#2,off\n", [(2, {"label": "db#2", "state": "off"})]),
    (HEADER + "web #1 of 2,off\n", [(2, {"label": "web #1 of 2", "state": "off"})]),
    (HEADER + '"#1",off\n', [(2, {"label": "#1", "state": "off"})]),
    (HEADER + '"a\n# b",off\nc,\n', [(2, {"label": "a\n# b", "state": "off"}), (4, {"label": "c"})]),
    ("# fleet\n" + HEADER + "#a,off\nb,off\n", [(4, {"label": "b", "state": "off"})]),
    *[
        (HEADER + f"{text},\n", [(2, {"label": text})])
        for text in ("NA", "N/A", "null", "NULL", "nan", "NaN", "None", "n/a", "-nan", "<NA>", "007", "1e3", "True")
    ],
    (HEADER + ",\n\na,\n , \n\n\"\",\"\"\n", [(4, {"label": "a"})]),
    (HEADER + ",,,,\na,off\n", [(3, {"label": "a", "state": "off"})]),
    ("label;state\nweb-01;off\n;\n;;;\n", [(2, {"label": "web-01", "state": "off"})]),
    ("label;state\n\"a;b\";off\n", [(2, {"label": "a;b", "state": "off"})]),
    ("label\tstate\na,b\toff\n", [(2, {"label": "a,b", "state": "off"})]),
    ("sep=;\nlabel;state\na;off\n", [(3, {"label": "a", "state": "off"})]),
    ("label , state \na, off\n", [(2, {"label": "a", "state": "off"})]),
    ("label,state,,\na,off,,\n", [(2, {"label": "a", "state": "off"})]),
    ("\n,,\nlabel,state\na,off\n", [(4, {"label": "a", "state": "off"})]),
    ('label, state\na, "x, y"\n', [(2, {"label": "a", "state": "x, y"})]),
    ("label\nweb-01\nweb-02", [(2, {"label": "web-01"}), (3, {"label": "web-02"})]),
    ("label,state\r\na,off\r\n", [(2, {"label": "a", "state": "off"})]),
    ("label,state\ra,off\r", [(2, {"label": "a", "state": "off"})]),
    (b"\xef\xbb\xbflabel,state\na,off\n", [(2, {"label": "a", "state": "off"})]),
    (b'\xef\xbb\xbf"label","state"\n"a","off"\n', [(2, {"label": "a", "state": "off"})]),
    ("sta\u0303te,label\noff,a\n", [(2, {"st\u00e3te": "off", "label": "a"})]),
    (HEADER, []),
    (HEADER + "#a,off\n#b,off\n", []),
]  # fmt: skip

# What a file holds → what the message says.
REFUSED: list[tuple[str | bytes, str]] = [
    ("", "is empty"),
    ("\n\n,,\n", "is empty"),
    ("# label\n", "is empty"),
    (HEADER + "a,off,\n", r"line 2: more values than columns \(3, not 2\)"),
    (HEADER + "a,off\nb,off,x,y\nc\n", r"line 3: more values than columns .*; line 4: fewer values"),
    (HEADER + "a;off\n", r"line 2: fewer values than columns .*read with commas"),
    ("label;state\na,off\n", "line 2: fewer values than columns .*read with semicolons"),
    (HEADER + '"a\nb",off\nc,off,x\n', "line 4: more values"),
    (HEADER + "#a\n\nc\n", "line 4: fewer values"),
    (HEADER + "a,off\n  # b,off\n", "line 3: a comment begins at the very start of a line; quote"),
    ("label,,state\na,x,off\n", "line 2: the value 'x' is in a column without a name"),
    ("label,label\na,b\n", "line 1: the column 'label' is there twice"),
    ("label,label \na,b\n", "the column 'label' is there twice"),
    ("s\u00e3o,sa\u0303o\na,b\n", "the column 's\u00e3o' is there twice"),
    (HEADER + 'a,off\n"b,off\n', "line 3: unexpected end of data"),
    (HEADER + 'a,"o"ff\n', "line 2: .*expected after"),
    ("label\nerp-s\u00e3o\n".encode("cp1252"), "line 2 is not UTF-8, but perhaps Windows-1252.*save it as CSV UTF-8"),
    ("label\na\n".encode("utf-16"), "UTF-16 text.*save it as CSV UTF-8"),
    ("label\na\n".encode("utf-16-le"), "UTF-16 text"),
    ("label\na\n".encode("utf-32"), "UTF-16 text or no text"),
]  # fmt: skip


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("content", "rows"), READ, ids=lambda value: repr(value)[:40])
def test_a2_read(content: str | bytes, rows: list[tuple[int, dict[str, str]]], tmp_path: Path) -> None:
    """Every value is the text that is written; comments start a line; only an empty cell is missing."""
    found = read_csv(written(tmp_path / "f.csv", content))
    assert [(row.line, dict(row.values)) for row in found.rows] == rows


@pytest.mark.parametrize(("content", "problem"), REFUSED, ids=lambda value: repr(value)[:40])
def test_d6_refused(content: str | bytes, problem: str, tmp_path: Path) -> None:
    """What cannot be meant is refused in one line that names the file, the line, the reason and the cure."""
    path = written(tmp_path / "f.csv", content)
    with pytest.raises(InputError, match=problem) as refused:
        read_csv(path, not_done="started")
    text = str(refused.value)
    assert text.startswith(str(path))
    assert text.endswith("Nothing was started.")
    assert "\n" not in text


@pytest.mark.parametrize("name", ["missing.csv", "folder"])
def test_a3_unreadable(name: str, tmp_path: Path) -> None:
    """A missing file and a folder are errors, never an empty file."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"cannot be read: (No such file|Is a directory)"):
        read_csv(tmp_path / name)


def test_many_problems(tmp_path: Path) -> None:
    """Of many wrong rows the first are named, and the rest are counted."""
    path = written(tmp_path / "f.csv", HEADER + "a\n" * 25)
    with pytest.raises(InputError, match=r"line 21: fewer .*; and 5 more\."):
        read_csv(path)


def test_comments_are_kept(tmp_path: Path) -> None:
    """Comments are known by their line: what they leave out can be shown."""
    found = read_csv(written(tmp_path / "f.csv", "# fleet\n" + HEADER + "#a,off\n"))
    assert found.comments == {1: "# fleet", 3: "#a,off"}
