"""What the text of a parameter means is checked before the start: `Annotated[str, "past time"]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import Call, write_notebook
from lcnb.errors import ParameterError
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.notebook.parameters import check_values
from lcnb.runbooks.records.run_record import list_run_folders

CELL = (
    "from typing import Annotated\n"
    'since: Annotated[str, "past time"] = "7d"\n'
    'until: Annotated[str, "past time"] | None = None\n'
    'by: Annotated[str, "group of machines"] = "tag:project"\n'
    'days: Annotated[list[str], "a remark of the author"] = []'
)


@pytest.fixture
def book(tmp_path: Path) -> Any:
    return find_runbook(
        str(write_notebook(tmp_path / "own.ipynb", (CELL, "parameters"), "print(since, until, by)"))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("since", "2026-01-01"), ("since", "24h"), ("since", "2026-01-01T09:30-03:00"), ("until", "none"), ("until", "1d"),
     ("by", "owner"), ("by", "location"), ("by", "tag:project"), ("days", '["x"]')],
)  # fmt: skip
def test_accepted(book: Any, name: str, value: str) -> None:
    """A text with the meaning is passed on as it is; other remarks in Annotated mean nothing."""
    checked = check_values(book.parameters, {name: value})
    assert checked[name] in (value, None, ["x"])


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("since", "7dayz", r"'7dayz' is not a past time \(such as 2026-11-01, .*7d or 4w\)"),
        ("since", "2999-01-01", r"is not a past time \(it has not come yet\)"),
        ("until", "yesterday", "is not a past time or None"),
        ("by", "ower", r"is not a group of machines \(.*did you mean 'owner'\?"),
        ("by", "tag:", r"Groups: label, location, plan, state, template_label, owner, tag:KEY\)"),
    ],
)
def test_refused(book: Any, name: str, value: str, problem: str) -> None:
    """A text without the meaning is refused with examples, and nothing is started."""
    with pytest.raises(ParameterError, match=problem) as caught:
        check_values(book.parameters, {name: value})
    assert str(caught.value).startswith(f"parameter {name}: ")
    assert str(caught.value).endswith("Nothing was started.")


@pytest.mark.parametrize("pair", ["by=ower", "since=7dayz", "until=x"])
def test_own_notebook(book: Any, pair: str, call: Call, tmp_path: Path) -> None:
    """The check belongs to the declaration: a notebook of one's own has it too, before a folder is made."""
    done = call("run", str(book.path), "-p", pair)
    assert done.code == 2, done.err
    assert list_run_folders(tmp_path / "runs") == []


def test_shown_types(book: Any) -> None:
    """Help shows the meaning in place of the type."""
    assert [str(each.type) for each in book.parameters[:3]] == [
        "past time",
        "past time or None",
        "group of machines",
    ]
