"""How a run ended, decided by pure functions: from its cells, its changes and its notes.

The first reason to end counts, so the cells come first: `judge_cell_error` and `judge_interrupt` say how they ended.
`judge` then looks at what the run changed, and at last at what the notebook asks attention for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lcnb.runbooks.ends import (
    ATTENTION,
    CELL_FAILED,
    DONE,
    END_OF_ERROR,
    INTERRUPTED,
    PARTLY,
    SIGNAL_OF_CODE,
    TERMINATED,
    RunEnd,
)
from lcnb.runbooks.outcomes import was_confirmed
from lcnb.runbooks.records.notes import Note, attention_texts


def judge(cells: RunEnd, changes: Iterable[Mapping[str, Any]], notes: Iterable[Note]) -> RunEnd:
    """How a run ended.

    Args:
        cells: how its cells ended.
        changes: its changes with their outcomes (`outcomes.run_changes`). Changes that were only shown do not count.
        notes: what its notebook noted: attention notes, and checks.

    >>> judge(DONE.because(""), [{"outcome": "done"}], [Note("2026-01-01T00:00:00+00:00", "web-03 is locked")])
    RunEnd(status='attention', exit_code=8, reason='web-03 is locked')
    """
    end = _judge_changes(cells, changes)
    texts = attention_texts(notes)
    return ATTENTION.because("\n".join(texts)) if texts and end.status == DONE.status else end


def _judge_changes(cells: RunEnd, changes: Iterable[Mapping[str, Any]]) -> RunEnd:
    outcomes = Counter(str(change["outcome"]) for change in changes if was_confirmed(change))
    if outcomes.total() == outcomes["done"] or cells.status not in (DONE.status, CELL_FAILED.status):
        return cells
    reason = "changes: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    if outcomes["done"] or outcomes["unknown"] or outcomes["twins"]:
        return PARTLY.because(reason if cells.status == DONE.status else f"{reason}; {cells.reason}")
    return CELL_FAILED.because(reason) if cells.status == DONE.status else cells


def judge_cell_error(number: int, name: str, text: str) -> RunEnd:
    """How the cells ended when cell `number` raised an error of this name, with this text.

    `sys.exit(0)` is how a notebook ends early and well; any other `sys.exit` is a failure with that exit code.

    >>> judge_cell_error(2, "ValueError", "no such label").exit_code
    3
    """
    code = _system_exit_code(text) if name == "SystemExit" else None
    if code == 0:
        return DONE.because(f"ended by sys.exit in cell {number}")
    return END_OF_ERROR.get(name, CELL_FAILED).because(f"cell {number}: {name}: {text}", code)


def _system_exit_code(text: str) -> int:
    """The exit code of `sys.exit(n)`; 1 for `sys.exit("text")`."""
    text = text.strip()
    if text in ("", "None", "0"):
        return 0
    return (int(text) & 0xFF or 1) if text.removeprefix("-").isdecimal() else 1


def judge_interrupt(stop: BaseException) -> RunEnd:
    """How a run ended that Ctrl-C, SIGTERM or a closed terminal ended.

    >>> judge_interrupt(SystemExit(129))
    RunEnd(status='interrupted', exit_code=129, reason='ended by SIGHUP')
    """
    if isinstance(stop, KeyboardInterrupt):
        return INTERRUPTED.because("interrupted")
    code = getattr(stop, "code", None)
    code = code if isinstance(code, int) else TERMINATED.exit_code
    return TERMINATED.because(f"ended by {SIGNAL_OF_CODE.get(code, 'SIGTERM')}", code)
