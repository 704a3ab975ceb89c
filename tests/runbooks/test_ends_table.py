"""The table of ends: documented exit codes, statuses and color classes agree with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from lcnb.runbooks.ends import (
    CELL_FAILED,
    COMPLETED_STATUSES,
    ENDS,
    EXIT_CODES,
    STATES,
    RunStatus,
    status_tone,
)

ROOT = Path(__file__).parents[2]


def table_codes(text: str) -> set[int]:
    """The exit codes in the first column of a Markdown table with the columns code and meaning."""
    table = re.search(
        r"^\| *(?:exit )?code *\|.*\n\|[ :|-]+\n((?:\|.*\n)+)", text, re.IGNORECASE | re.MULTILINE
    )
    rows = table[1].splitlines() if table else []
    return {int(code) for row in rows for code in re.findall(r"\d+", row.split("|")[1])}


def paragraph_codes(text: str) -> set[int]:
    """The exit codes in a paragraph such as `Exit codes: 0 done; 1 ...; 130 and 143 interrupted.`"""
    paragraph = re.search(r"Exit codes: (.+?)(?: Of a batch|\n\n)", text, re.DOTALL)
    parts = re.split(r"[;:]", paragraph[1]) if paragraph else []
    return {int(code) for part in parts for code in re.findall(r"\b\d+\b", part.split(" (")[0])}


def documented_codes() -> set[int]:
    texts = [path.read_text() for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md")]
    return next(filter(None, map(table_codes, texts)), None) or next(
        filter(None, map(paragraph_codes, texts))
    )


def test_documented_codes():
    """Users find every exit code of the table in the documentation, and no other code."""
    codes = documented_codes()

    assert codes <= set(EXIT_CODES)
    assert set(EXIT_CODES) - codes <= {129}  # SIGHUP may be explained with the other signals


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (
            "| code | meaning |\n|---:|---|\n| 0 | done |\n| 129, 130 | at most 3 signals |\n\n5",
            {0, 129, 130},
        ),
        ("| Exit code | Meaning |\n| --- | --- |\n| `75` | locked |\n", {75}),
        ("no table", set()),
    ],
)
def test_codes_of_a_table(text, codes):
    """The codes are those of the first column."""
    assert table_codes(text) == codes


def test_statuses():
    """The type `RunStatus` lists exactly the statuses of the table."""
    assert {state.status for state in (*ENDS, *STATES)} == set(get_args(RunStatus))


def test_rows_of_a_status():
    """Rows that share a status share its color class, and a row has a code and sentence of its own."""
    assert all(status_tone(end.status) == end.tone for end in (*ENDS, *STATES))
    assert len({(end.status, end.exit_code) for end in ENDS}) == len(ENDS)
    assert len({state.sentence for state in (*ENDS, *STATES)}) == len(ENDS) + len(STATES)
    assert status_tone("a status of a later version") == "bad"


def test_exit_code_of_success():
    """Only `done` has exit code 0; a completed run is `done` or `attention`."""
    assert [end.status for end in ENDS if end.exit_code == 0] == ["done"]
    assert [end.status for end in ENDS if end.because("").completed] == list(COMPLETED_STATUSES)


def test_own_exit_code():
    """A notebook may choose the exit code of its failure."""
    end = CELL_FAILED.because("cell 2: SystemExit: 9", 9)

    assert (end.status, end.exit_code, end.reason) == ("failed", 9, "cell 2: SystemExit: 9")
