"""A fleet file is read as it is meant, or refused with the line and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from lcnb.errors import InputError
from lcnb.runbooks.toolkit import fleet_file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("plan\nx\n", "the column label is missing"),
        ("label,label\nx,y\n", "the column 'label' is there twice"),
        ("label,locaton\n", "'locaton' is not a column of a fleet .did you mean 'location'"),
        ("label,plan\nx\n", "line 2: fewer values than columns"),
        ("label\nx,y\n", "line 2: more values than columns"),
        ("label,plan\n,y\n", "line 2: the label is missing"),
        ('label\n"x\n', "line 2: unexpected end of data"),
        ("label\n\xff", "line 2 is not UTF-8"),
    ],
)
def test_bad_fleet(text: str, message: str, tmp_path: Path) -> None:
    """A file that cannot be meant is refused with its line and the reason."""
    path = tmp_path / "fleet.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        fleet_file.read_fleet(path)


def test_fleet(tmp_path: Path) -> None:
    """Spaces, empty cells, empty lines, a byte order mark and `NA` as a label are read as they are meant."""
    path = tmp_path / "fleet.csv"
    path.write_text("\ufefflabel, plan\n web-01 ,\n,\n\nNA,x\n", encoding="utf-8")
    fleet = fleet_file.read_fleet(path)
    assert fleet.label.tolist() == ["web-01", "NA"]
    assert fleet.plan.isna().tolist() == [True, False]
    assert set(map(str, fleet.dtypes)) == {"str"}
