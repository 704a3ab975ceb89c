"""Print runs, batches and their changes in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcnb.display import terminal
from lcnb.display.palette import MISSING_STYLE, TONE_STYLES
from lcnb.display.row_choice import RowChoice
from lcnb.display.terminal import frame_rows, print_error, print_line, print_table, print_warning
from lcnb.errors import InputError
from lcnb.runbooks.ends import ATTENTION, COMPLETED_STATUSES, DONE, status_tone

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.rows import Rows
    from lcnb.runbooks.records.run_record import RunRecord
    from lcnb.runbooks.result import RunResult


def print_batch(rows: Rows, output: str = "table") -> None:
    """Print how the rows of a batch ended: a table with the first line of each error and the folder, or data."""
    first_lines = {error: error.partition("\n")[0] for error in rows.column("error") if error}
    terminal.print_rows(rows, output, shown={"error": first_lines})
    for problem in rows.facts["problems"]:
        print_warning(problem)
    if output == "table":
        done = rows.column("status").count(DONE.status)
        style = TONE_STYLES["good" if done == len(rows) else "bad"]
        print_line((f"{done} of {len(rows)} done", style), (f" {rows.facts['folder']}", ""))


def print_result(result: RunResult) -> None:
    """Print how a run ended: the failing cell on stderr, the folder and its files on stdout."""
    if result.error:
        print_line((result.error, ""), stream=sys.stderr)
    for problem in result.problems:
        print_warning(problem)
    for line in result.earlier_attempts:
        print_line((line, MISSING_STYLE))
    tone = status_tone(result.status) if result.status in COMPLETED_STATUSES else "bad"
    print_line((result.status, TONE_STYLES[tone]), (f" {result.folder}", ""))
    for path in result.files:
        name = f"{path}  (open this one)" if path == result.report else path.relative_to(result.folder)
        print_line((f"  {name}", ""))


def print_run(run: RunRecord) -> None:
    """Print the record of a run: one line per fact, then attention, the checks that passed, and files."""
    for name, text in _record_texts(run):
        print_line((f"{name:<16}", MISSING_STYLE), (f" {text}", ""))
    for mark, style, texts in (
        ("attempt", MISSING_STYLE, _attempt_texts(run)),
        ("attention", TONE_STYLES[ATTENTION.tone], _message_texts(run, "attention")),
        ("check", "", _other_checks(run)),
    ):
        for text in texts:
            print_line((mark, style), (f" {text}", ""))
    if approval := _approval_text(run):
        print_line(("approval", ""), (f" {approval}", ""))
    for name in run.typed_fact("files", dict) or ():
        print_line((f"  {run.folder / name}", ""))


def _approval_text(run: RunRecord) -> str:
    """Return who approved a planned run; "" if nobody did."""
    from lcnb.runbooks.records.approval import read_approval

    try:
        return str(read_approval(run) or "")
    except InputError as error:
        return error.statement


#: Fields of a record that `print_run` prints separately, or that are only for programs.
_SKIPPED_FIELDS = (
    "attempts",
    "retries",
    "not_retried",
    "attention",
    "checks",
    "files",
    "process",
    "kernel_process",
    "settled",
    "format",
    "closed",
    "given",
)


def _record_texts(run: RunRecord) -> Iterator[tuple[str, str]]:
    """The names and values of the fields that are printed."""
    for name, value in run.facts.items():
        skipped = name in _SKIPPED_FIELDS or (name == "reason" and run.status == ATTENTION.status)
        if not skipped and value not in (None, "", [], {}):
            yield (
                name,
                json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value),
            )


def _attempt_texts(run: RunRecord) -> list[str]:
    """The attempts of a run that was attempted more than once: when each began, how it ended, what it left."""
    attempts = [each for each in run.typed_fact("attempts", list) or () if isinstance(each, dict)]
    return [
        f"{each.get('number')} at {each.get('began')}: {each.get('status')}: "
        f"{str(each.get('reason')).partition(chr(10))[0]} {each.get('folder')}".rstrip(": ")
        for each in attempts
    ]


def _message_texts(run: RunRecord, name: str) -> list[str]:
    """The messages in a field."""
    return [str(each.get("text")) for each in run.typed_fact(name, list) or () if isinstance(each, dict)]


def _other_checks(run: RunRecord) -> list[str]:
    """The checks that are not printed with what needs attention, each with its result."""
    listed = _message_texts(run, "attention")
    checks = [each for each in run.typed_fact("checks", list) or () if isinstance(each, dict)]
    return [
        f"{'ok' if each.get('ok') else 'failed'}: {each.get('text')}"
        for each in checks
        if each.get("ok") or str(each.get("text")) not in listed
    ]


def print_run_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """Print the changes in the record of a run."""
    from lcnb.changes.outcomes_view import recorded_frame
    from lcnb.runbooks.outcomes import was_confirmed

    frame = recorded_frame(changes)
    if not any(map(was_confirmed, changes)):
        del frame["outcome"]  # planned changes have no outcome yet
    print_table(frame_rows(frame), RowChoice(wide=True))


def print_outcomes(frame: pd.DataFrame, output: str) -> None:
    """Print the outcomes of changes. If that fails, say on stderr where they are recorded: the changes were sent."""
    try:
        terminal.print_frame(frame, output)
    except Exception as odd:
        print_error(odd)
        print(
            f"The result of the changes cannot be printed as {output}. `lcnb journal` lists the changes; the exit code "
            "says how they ended.",
            file=sys.stderr,
        )
