"""A selection that compares with a value that no machine has, or selects no machine, is described."""

from __future__ import annotations

import pandas as pd
import pytest
from test_selection import FLEET, TAGGED

from lcnb.frames.selection import select
from lcnb.frames.unmatched import describe_selection, find_unmatched

#: Selection → what is said of its values; the rest of each clause is not compared.
VALUES: dict[str, list[str]] = {
    "all": [],
    "": [],
    "location == 'MIA1'": [],
    "location == 'MIA9'": ["no machine has location 'MIA9' (did you mean 'MIA1'?)"],
    "'MIA9' == location": ["no machine has location 'MIA9' (did you mean 'MIA1'?)"],
    "location != 'MIA9'": ["no machine has location 'MIA9'"],
    "not location == 'mia1'": ["no machine has location 'mia1' (did you mean 'MIA1'?)"],
    "location == 'Tokyo'": ["no machine has location 'Tokyo'"],
    "location == 'MIA9' or location == 'MIA9'": ["no machine has location 'MIA9'"],
    "label in ['web-01', 'web-1', 'x']": ["no machine has label 'web-1' (did you mean 'web-01'?)", "no machine has label 'x'"],
    "label not in ['web-9']": ["no machine has label 'web-9'"],
    "label == ' web-01 '": [],
    "label.str.startswith(('web-', 'wbe-'))": ["no machine has a label that starts with 'wbe-'"],
    "label.str.endswith('-09')": ["no machine has a label that ends with '-09'"],
    "label.str.contains('mail')": ["no machine has a label that contains 'mail'"],
    "cpus == 3": ["no machine has cpus 3 (the nearest is "],
    "cpus in [1, 64]": ["no machine has cpus 64 (the nearest is 8)"],
    "cpus > 1000": [],
    "cpus == -1e3": ["no machine has cpus -1000 (the nearest is 1)"],
    "state == 'suspended'": [],
    "state in ['busy', 'off']": [],
    "locked == True": [],
    "label == location": [],
}  # fmt: skip


@pytest.mark.parametrize(("selection", "clauses"), VALUES.items())
def test_values(selection: str, clauses: list[str]) -> None:
    """Each text or number that no machine has is named once, with the nearest; states, flags and limits are not."""
    found = find_unmatched(FLEET, selection)
    assert len(found) == len(clauses), found
    for text, begin in zip(found, clauses, strict=True):
        assert text.startswith(begin)
    assert find_unmatched(FLEET.iloc[:0], selection) == []


def test_tags() -> None:
    """The value of a tag is compared as a column is; that a key exists is checked before."""
    found = find_unmatched(TAGGED, "tag.project == 'shpo' or tag.project.str.startswith('Q') or tag.legacy")
    assert found[0].startswith("no machine has tag.project 'shpo' (did you mean 'shop'?)")
    assert found[1:] == ["no machine has a tag.project that starts with 'Q'"]
    assert find_unmatched(TAGGED, "expires == '2001-01-01' or expires < now or protected") == []


@pytest.mark.parametrize(
    ("machines", "selection", "said"),
    [
        (5, "location == 'MIA1'", ""),
        (5, "all", ""),
        (5, "state == 'suspended'", "selection \"state == 'suspended'\": it selects none of the 5 machines"),
        (5, "cpus > 99", "selection 'cpus > 99': it selects none of the 5 machines"),
        (1, "cpus > 99", "selection 'cpus > 99': it selects no machine"),
        (0, "all", "selection 'all': the account has no machines"),
        (5, " ", "selection '': an empty selection selects no machine; write all for all"),
        (5, "location in ['MIA1', 'MIA9']", "selection \"location in ['MIA1', 'MIA9']\": no machine has location 'MIA9' (did you mean 'MIA1'?)"),
        (5, "location == 'MIA9'", "selection \"location == 'MIA9'\": no machine has location 'MIA9' (did you mean 'MIA1'?)"),
    ],
)  # fmt: skip
def test_described(machines: int, selection: str, said: str) -> None:
    """A selection without a problem is described by nothing; one that selects nothing always has a description."""
    fleet: pd.DataFrame = FLEET.iloc[:machines]
    assert describe_selection(fleet, selection, len(select(fleet, selection))) == said


def test_many_values() -> None:
    """A long list of labels that no machine has is cut."""
    text = describe_selection(FLEET, f"label in {[f'x{number}' for number in range(99)]}", 0)
    assert "label 'x4'" in text
    assert text.endswith("; and 94 more")
    assert len(text) < 600
