"""A selection is a text that names rows: what it may say, what it refuses, and that it never runs anything."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lcnb
from lcnb.errors import InputError
from lcnb.frames.selection import dtype_kind, parse_selection, select

ROWS = [
    ("web-01", "running", "MIA1", 1, 5.4, True),
    ("web-02", "off", "SAO1", 2, 40.0, False),
    ("db-01", "running", None, 8, None, None),
    ("db-02", None, "MIA1", None, 20.0, True),
    (None, "off", "DAL1", 4, 10.0, False),
]
FLEET = pd.DataFrame(
    {
        "label": pd.Series([row[0] for row in ROWS], dtype="str"),
        "state": pd.Series([row[1] for row in ROWS], dtype="str"),
        "location": pd.Series([row[2] for row in ROWS], dtype="str"),
        "cpus": pd.Series([row[3] for row in ROWS], dtype="Int64"),
        "monthly_value": pd.Series([row[4] for row in ROWS], dtype="Float64"),
        "locked": pd.Series([row[5] for row in ROWS], dtype="boolean"),
        "at": pd.Series(range(5), dtype="datetime64[ns]"),
    }
)

# A selection → the positions of the rows that it names.
GOOD: dict[str, list[int]] = {
    "": [],
    "   ": [],
    "all": [0, 1, 2, 3, 4],
    " all ": [0, 1, 2, 3, 4],
    "state == 'running'": [0, 2],
    'state == "running"': [0, 2],
    "'running' == state": [0, 2],
    "state != 'running'": [1, 4],
    "not state == 'running'": [1, 4],
    "state == 'running' and location == 'MIA1'": [0],
    "state == 'running' or location == 'MIA1'": [0, 2, 3],
    "not (state == 'running' or location == 'MIA1')": [1, 4],
    "not (state == 'running' and location == 'MIA1')": [1, 4],
    "label in ['web-01', 'db-02']": [0, 3],
    "label in ('web-01',)": [0],
    "label in {'web-01'}": [0],
    "label in []": [],
    "label not in ['web-01']": [1, 2, 3],
    "cpus > 1": [1, 2, 4],
    "cpus >= 2 and cpus <= 4": [1, 4],
    "2 <= cpus <= 4": [1, 4],
    "cpus > -1": [0, 1, 2, 4],
    "cpus in [1, 8]": [0, 2],
    "monthly_value < 20.5": [0, 3, 4],
    "monthly_value > cpus": [0, 1, 4],
    "location < 'E'": [4],
    "locked": [0, 3],
    "not locked": [1, 4],
    "locked == True": [0, 3],
    "locked != True": [1, 4],
    "label.str.startswith('web-')": [0, 1],
    "not label.str.startswith('web-')": [2, 3],
    "label.str.startswith(('web-', 'db-'))": [0, 1, 2, 3],
    "label.str.endswith('-01')": [0, 2],
    "label.str.contains('b-')": [0, 1, 2, 3],
    "label.str.contains('.')": [],
    "state == label": [],
    "state == 'suspended'": [],
    "state in [' off', 'busy']": [1, 4],
    "state.str.endswith('ing')": [0, 2],
    "(state\n == 'off')": [1, 4],
}

# A selection → what its refusal tells.
BAD: dict[str, str] = {
    "label.str.startswith('')": "is true for every text: write all",
    "label.str.contains('')": "is true for every text: write all",
    "not label.str.endswith(('-01', ''))": "is true for every text: write all",
    "stat == 'running'": "there is no column 'stat'.*did you mean 'state'",
    "state": "the column state alone is not a condition",
    "state = 'running'": "it compares with one =; write ==",
    "label == 'a=b' and": "cannot be read",
    "state ==": "cannot be read",
    "state == 'a' & cpus == 1": r"& and \| are not supported",
    "(state == 'a') & (cpus == 1)": r"& and \| are not supported here; use and, or",
    "~(state == 'a')": "~ is not supported here; use not",
    "state == None": "a missing value never selects",
    "state is 'running'": "`is` is not supported here",
    "1 == 1": "not compared with a column",
    "True": "True is not supported here",
    "1": "1 is not supported here",
    "cpus > 'a'": "cpus is a number, and 'a' is a text",
    "state > 1": "state is a text, and 1 is a number",
    "state == 'runing'": r"no machine can have the state 'runing' \(did you mean 'running'\?\)\. States: running, off, building",
    "state != 'runing'": "no machine can have the state 'runing'",
    "'Off' == state": r"no machine can have the state 'Off' \(did you mean 'off'\?\)",
    "state == ''": "no machine can have the state ''",
    "locked or not state in ['off', 'stopped']": "no machine can have the state 'stopped'",
    "state.str.startswith('run ')": r"no state matches \.str\.startswith\('run '\)",
    "state.str.contains(('unn', 'x'))": r"no state matches \.str\.contains\('x'\)",
    "locked > True": "by == or != only",
    "cpus in ['a']": "cpus is a number, and 'a' is a text",
    "cpus == True": "cpus is a number, and True is a flag",
    "'web' in label": "`in` needs a column on its left",
    "label in other": "`in` needs a column on its left",
    "label in [state]": "state is not supported here",
    "at == 1": "the column at cannot be selected by",
    "cpus.str.startswith('1')": "cpus is a number, not a text",
    "label.str.contains('web|db')": "plain text here, not for the pattern",
    "label.str.contains('web', na=False)": "takes one text and no other argument",
    "label.str.startswith(state)": "state is not supported here",
    "label.str.startswith(1)": "takes a text, not 1",
    "label.str.match('a')": r"is not one of \.str\.startswith",
    "label.str.__class__('a')": "is not one of",
    "label.startswith('a')": "is not supported here",
    "label.__class__ == 'a'": "not compared with a column",
    "__import__('os').system('x') == 1": "is not supported here|not compared with a column",
    "open('x')": "is not supported here",
    "@x == state": "cannot be read",
    "[state for state in 'ab']": "is not supported here",
    "(lambda: 1)()": "is not supported here",
    "state == f'{1}'": "is not supported here",
    "cpus + 1 > 2": "not compared with a column|is not supported",
    "state := 'a'": "cannot be read",
    "(state := 'a') == label": "is not supported here",
    "state == b'a'": "is not supported here",
    "cpus == 1j": "is not supported here",
    "state if locked else label": "is not supported here",
    "not " * 60 + "locked": "nested too deep",
    "(" * 500 + "locked" + ")" * 500: "cannot be read",
    "locked or " * 1000 + "locked": "more than 4000",
    "a\0b": "cannot be read",
    "cpus == " + "9" * 5000: "more than 4000",
}  # fmt: skip


@pytest.mark.parametrize(("selection", "rows"), GOOD.items())
def test_selects(selection: str, rows: list[int]) -> None:
    """A selection names its rows, whichever side a missing value stands on; form, order and columns stay."""
    chosen = select(FLEET, selection)
    assert chosen.index.tolist() == rows
    assert chosen.dtypes.equals(FLEET.dtypes)
    assert len(select(FLEET.iloc[:0], selection)) == 0


@pytest.mark.parametrize(("selection", "message"), BAD.items(), ids=[key[:40] for key in BAD])
def test_refuses(selection: str, message: str) -> None:
    """What is no selection is refused, with the text, the reason, and how one looks."""
    with pytest.raises(InputError, match=message) as error:
        select(FLEET, selection)
    assert "Examples: state == 'running'" in str(error.value)
    with pytest.raises(InputError):
        select(FLEET.iloc[:0], selection)


@pytest.mark.parametrize("selection", [None, 1, True, ["all"], b"all"])
def test_no_text(selection: Any) -> None:
    """What is no text is no selection."""
    with pytest.raises(InputError, match="expected a text"):
        select(FLEET, selection)


def test_other_states() -> None:
    """A state that rows have can be selected, even if it is none that a machine can have."""
    frame = FLEET.assign(state="archived")
    assert len(select(frame, "state == 'archived'")) == len(frame)
    with pytest.raises(InputError, match="States: running, off, building, busy, suspended, archived"):
        select(frame, "state == 'archive'")


def test_of_lcnb(lc: lcnb.LetsCloud) -> None:
    """The rows of an inventory that are selected can be changed as any others of it."""
    off = select(lc.inventory(), "state == 'off'")
    assert len(off.lc.power_on()) == len(off) > 3
    assert len(select(lc.inventory(), "").lc.power_on()) == 0


# --- tags and times -------------------------------------------------------------------------------------

MACHINES = [
    ("a", "legacy; project=shop", "ana", True, "2020-01-01T08:00:00Z"),
    ("b", "cost-center=12; project=Sh\u00e3o", None, False, "2099-01-01T00:00:00Z"),
    ("c", None, None, False, None),
    (None, None, None, None, None),  # still being built
]
TAGGED = pd.DataFrame(
    {
        "identifier": pd.Series([row[0] for row in MACHINES], dtype="str"),
        "tags": pd.Series([row[1] for row in MACHINES], dtype="str"),
        "owner": pd.Series([row[2] for row in MACHINES], dtype="str"),
        "protected": pd.Series([row[3] for row in MACHINES], dtype="boolean"),
        "expires": pd.Series(pd.to_datetime([row[4] for row in MACHINES])).astype("datetime64[us, UTC]"),
        "seen": pd.Series(pd.to_datetime(["2021-01-01T00:00:00Z"] * 4)).astype("datetime64[us, UTC]"),
    }
)

TAG_SELECTIONS: dict[str, list[int]] = {
    "tag.project == 'shop'": [0],
    "'shop' == tag.project": [0],
    "tag.project != 'shop'": [1],
    "not tag.project == 'shop'": [1],
    "tag.project in ['shop', 'Sha\u0303o']": [0, 1],
    "tag.project not in ['shop']": [1],
    "tag.project.str.startswith('s')": [0],
    "tag['cost-center'] == '12'": [1],
    "tag['cost-center'].str.contains('1')": [1],
    "tag.legacy": [0],
    "tag.legacy == ''": [0],
    "not tag.legacy": [1, 2],
    "not tag.legacy and not protected": [1, 2],
    "tag.project == owner": [],
    "protected": [0],
    "not protected": [1, 2],
    "expires < now": [0],
    "now < expires": [1],
    "not expires < now": [1],
    "expires < '2026-12-01'": [0],
    "expires == '2020-01-01T10:00+02:00'": [0],
    "expires in ['2020-01-01T08:00', '2021-01-01']": [0],
    "'2019-01-01' < expires <= '2099-01-01'": [0, 1],
    "expires < seen": [0],
    "expires > seen and tag.project.str.startswith('S')": [1],
}
BAD_TAG_SELECTIONS: dict[str, str] = {
    "tag.projct == 'shop'": r"no machine has a tag 'projct' \(did you mean 'project'\?\)\. Tags: cost-center, legacy, project",
    "not tag.keep": "no machine has a tag 'keep'",
    "tag == 'shop'": r"there is no column 'tag' \(write tag\.KEY\)",
    "tag": r"there is no column 'tag' \(write tag\.KEY\)",
    "tag.str.startswith('s')": r"there is no column 'tag' \(write tag\.KEY\)",
    "tag[1] == 'shop'": "the key of a tag is a text",
    "tag['a b'] == 'shop'": "expected a key of letters",
    "tag[project] == 'shop'": "project is not supported here",
    "tag.project.a == 'x'": "is not compared with a column",
    "tag.project == 12": r"tag\.project is a text, and 12 is a number",
    "tag.project.upper() == 'X'": "not compared with a column|is not supported here",
    "owner.project == 'x'": "is not compared with a column",
    "expires < 'soon'": r"'soon' is not a time; write '2026-12-01'",
    "expires < '2026-13-01'": "is not a time",
    "expires in ['2026-12-01', 'x']": "'x' is not a time",
    "expires < 5": "expires is a time, and 5 is a number",
    "owner < now": "owner is a text, and now is a time",
    "now < '2026-12-01'": "now is not compared with a column",
    "now": "now is not supported here|there is no column 'now'",
    "expires": "the column expires alone is not a condition",
    "expires.str.startswith('2026')": "expires is a time, not a text",
}  # fmt: skip


@pytest.mark.parametrize(("selection", "rows"), TAG_SELECTIONS.items())
def test_selects_by_facts(selection: str, rows: list[int]) -> None:
    """Tags, flags and times select; what is missing does not, except that a machine may lack a tag."""
    assert select(TAGGED, selection).index.tolist() == rows
    assert len(select(TAGGED.iloc[:0], selection)) == 0


@pytest.mark.parametrize(("selection", "message"), BAD_TAG_SELECTIONS.items())
def test_refuses_facts(selection: str, message: str) -> None:
    """A tag that no machine has is refused like an unknown column: `not` of a misspelt key would select everything."""
    with pytest.raises(InputError, match=message):
        select(TAGGED, selection)


def test_rows_without_tags() -> None:
    """Rows that cannot have tags are not selected by them."""
    with pytest.raises(InputError, match="these rows have no tags; the rows of inventory"):
        select(FLEET, "tag.project == 'shop'")


def test_form_of_facts() -> None:
    """Without rows every key is accepted, for the check before a run."""
    for selection in TAG_SELECTIONS:
        parse_selection(selection)
        parse_selection(selection, {str(name): dtype_kind(dtype) for name, dtype in TAGGED.dtypes.items()})


WORDS = st.sampled_from([
    "label", "state", "cpus", "locked", "monthly_value", "nothing", "tag.a", "tag['a']", "now", "expires", "'web-01'", "'a|b'", "1", "-2.5", "True", "None",
    "==", "!=", "<", ">=", "in", "not in", "is", "and", "or", "not", "(", ")", "[", "]", ",", "&", "~", "+", "@",
    ".str", ".startswith(", ".contains('w')", ".__class__", "__import__('os')", "lambda:", ":=", "if", "else", "\\", "'",
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(WORDS, max_size=12).map(" ".join)))
def test_any_text(selection: str) -> None:
    """Any text either is refused as a wrong input or gives some of the rows; nothing else comes of it."""
    try:
        chosen = select(FLEET, selection)
    except InputError:
        return
    assert set(chosen.index) <= set(FLEET.index)
    if selection.strip() not in ("", "all"):
        assert any(name in selection for name in FLEET)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_checked_means_works(selection: str) -> None:
    """What passes the check with a frame's columns does not fail on its rows."""
    try:
        test = parse_selection(
            selection, {str(name): dtype_kind(dtype) for name, dtype in FLEET.dtypes.items()}
        )
    except InputError:
        return
    for row in ROWS:
        names = ("label", "state", "location", "cpus", "monthly_value", "locked")
        assert test(dict(zip(names, row, strict=True))) in (True, False, None)
