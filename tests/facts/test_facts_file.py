"""Facts files: what is read, what is refused with its line, and what an edit keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lcnb.errors import InputError
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import MachineFacts, Protection

HEADER = "identifier,label,tags,owner,note,protected,expires\n"


@pytest.fixture
def file(tmp_path: Path) -> FactsFile:
    return FactsFile(tmp_path / "facts.csv")


def test_round_trip(file: FactsFile) -> None:
    """What an edit writes is what is read; the same facts give the same bytes; a machine without facts has no row."""
    full = MachineFacts(
        "abc", "wéb, 01", {"project": 'shop, "online"', "legacy": ""}, "ana", "a note", Protection("a@h", datetime(2026, 1, 2, tzinfo=UTC)),
        datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),
    )  # fmt: skip
    file.edit({"abc": "", "def": "db-01"}, lambda one: full if one.identifier == "abc" else one)
    assert file.read() == {"abc": full}
    before = file.path.read_bytes()
    file.edit({"abc": ""}, lambda one: one)
    assert file.path.read_bytes() == before


BAD = {
    "an unknown column": (
        "identifier,protcted\nabc,yes\n",
        "line 1: unknown column 'protcted' (did you mean 'protected'?)",
    ),
    "no identifier": (HEADER + ",web-01,,,,,\n", "line 2: identifier: the identifier is missing"),
    "twice": (HEADER + "abc,,,,,,\nabc,,,,,yes,\n", "line 3: the machine abc is there twice"),
    "protection": (HEADER + "abc,,,,,perhaps,\n", "line 2: protected: expected yes"),
    "a time": (
        HEADER + "abc,,,,,,1.12.2026\n",
        "line 2: expires: expected a time such as",
    ),
    "a tag": (HEADER + "abc,,1x=2,,,,\n", "line 2: tag: expected a key"),
    "a conflict": (
        HEADER + "<<<<<<< HEAD\nabc,,,,,yes,\n",
        "line 2: a merge conflict of git is not resolved",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(file: FactsFile, name: str) -> None:
    """A file that is not understood is an error with its line, for readers and for edits, and stays as it is."""
    content, message = BAD[name]
    file.path.write_text(content)
    with pytest.raises(InputError) as caught:
        file.read()
    assert message in str(caught.value)
    with pytest.raises(InputError, match="Nothing was written"):
        file.edit({"abc": ""}, lambda one: replace(one, owner="me"))
    assert file.path.read_text() == content


def test_comments_and_hand_edits(file: FactsFile) -> None:
    """Comments are kept, columns may be missing, and a protection by hand counts."""
    file.path.write_text("# our machines\nidentifier;protected\nabc;Yes\n# later\n")
    file.edit({"def": "db-01"}, lambda one: replace(one, owner="me"))
    assert file.read()["abc"].protected
    assert file.path.read_text().startswith("# our machines\n# later\nidentifier,")
