"""How a run ended, out of its cells, changes and notes: one row per rule."""

from __future__ import annotations

import pytest

from lcnb.runbooks.ends import (
    CELL_FAILED,
    DIED,
    DONE,
    INTERRUPTED,
    NOT_CONFIRMED,
    RUN_FAILED,
    TIMED_OUT,
    RunEnd,
)
from lcnb.runbooks.judgement import judge, judge_cell_error, judge_interrupt
from lcnb.runbooks.records.notes import Note

WELL = DONE.because("")
RAISED = CELL_FAILED.because("cell 2: ChangeFailed: 1 of 2")


def note(text: str, ok: bool | None = None) -> Note:
    return Note("2026-01-01T00:00:00+00:00", text, ok)


@pytest.mark.parametrize(
    ("cells", "outcomes", "notes", "expected"),
    [
        (WELL, [], [], WELL),
        (WELL, ["done", "done"], [], WELL),
        (WELL, ["not made", "done"], [], WELL),
        (DONE.because("ended by exit() in cell 2"), [], [], RunEnd("done", 0, "ended by exit() in cell 2")),
        (WELL, ["done", "failed"], [], RunEnd("partly", 7, "changes: 1 done, 1 failed")),
        (WELL, ["unknown"], [], RunEnd("partly", 7, "changes: 1 unknown")),
        (WELL, ["failed", "not tried"], [], RunEnd("failed", 3, "changes: 1 failed, 1 not tried")),
        (RAISED, [], [], RAISED),
        (RAISED, ["failed"], [], RAISED),
        (RAISED, ["done", "done"], [], RAISED),
        (RAISED, ["done", "failed"], [], RunEnd("partly", 7, f"changes: 1 done, 1 failed; {RAISED.reason}")),
        (RAISED, ["unknown", "not made"], [], RunEnd("partly", 7, f"changes: 1 unknown; {RAISED.reason}")),
        (WELL, ["twins"], [], RunEnd("partly", 7, "changes: 1 twins")),
        (RUN_FAILED.because("disk"), ["done", "unknown"], [], RunEnd("partly", 7, "changes: 1 done, 1 unknown; disk")),
        (DIED.because("killed"), ["done", "unknown"], [], RunEnd("died", 5, "killed")),
        (TIMED_OUT.because("late"), ["unknown"], [note("look")], RunEnd("timeout", 4, "late")),
        (INTERRUPTED.because("interrupted"), ["not tried"], [], RunEnd("interrupted", 130, "interrupted")),
        (NOT_CONFIRMED.because("nobody"), ["not made"], [], RunEnd("refused", 6, "nobody")),
        (WELL, [], [note("web-03 is locked")], RunEnd("attention", 8, "web-03 is locked")),
        (WELL, ["done"], [note("one"), note("held", True), note("two", False)], RunEnd("attention", 8, "one\ntwo")),
        (WELL, [], [note("held", True)], WELL),
        (RAISED, [], [note("look")], RAISED),
        (WELL, ["done", "failed"], [note("look")], RunEnd("partly", 7, "changes: 1 done, 1 failed")),
    ],
)  # fmt: skip
def test_judge(cells, outcomes, notes, expected):
    """A failure of the cells comes before unfinished changes, and these before attention notes."""
    assert judge(cells, [{"outcome": each} for each in outcomes], notes) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("ValueError", "no such label", RunEnd("failed", 3, "cell 4: ValueError: no such label")),
        ("SystemExit", "0", RunEnd("done", 0, "ended by sys.exit in cell 4")),
        ("SystemExit", "None", RunEnd("done", 0, "ended by sys.exit in cell 4")),
        ("SystemExit", "", RunEnd("done", 0, "ended by sys.exit in cell 4")),
        ("SystemExit", "9", RunEnd("failed", 9, "cell 4: SystemExit: 9")),
        ("SystemExit", "-1", RunEnd("failed", 255, "cell 4: SystemExit: -1")),
        ("SystemExit", "256", RunEnd("failed", 1, "cell 4: SystemExit: 256")),
        ("SystemExit", "no machines", RunEnd("failed", 1, "cell 4: SystemExit: no machines")),
        ("ConfirmationMissing", "nobody", RunEnd("refused", 6, "cell 4: ConfirmationMissing: nobody")),
        ("AuthenticationError", "401", RunEnd("failed", 1, "cell 4: AuthenticationError: 401")),
        ("Locked", "web-01", RunEnd("locked", 75, "cell 4: Locked: web-01")),
    ],
)
def test_judge_cell_error(name, text, expected):
    """What a cell raised says how the run ended, and `sys.exit` with which code."""
    assert judge_cell_error(4, name, text) == expected


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (KeyboardInterrupt(), RunEnd("interrupted", 130, "interrupted")),
        (SystemExit(143), RunEnd("interrupted", 143, "ended by SIGTERM")),
        (SystemExit(129), RunEnd("interrupted", 129, "ended by SIGHUP")),
        (SystemExit("text"), RunEnd("interrupted", 143, "ended by SIGTERM")),
    ],
)
def test_judge_interrupt(stop, expected):
    """A signal ends a run with its own exit code."""
    assert judge_interrupt(stop) == expected
