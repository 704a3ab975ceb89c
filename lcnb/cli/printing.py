"""How runs, batches and their changes are printed by the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcnb.display import terminal
from lcnb.display.terminal import escape_markup, frame_table, print_error, stderr_console, stdout_console
from lcnb.runbooks.ends import ATTENTION, DONE

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.runbooks.records.run_record import RunRecord
    from lcnb.runbooks.result import RunResult


def print_batch(frame: pd.DataFrame, output: str = "table") -> None:
    """How the rows of a batch ended: a table with the first line of each error, and where the batch is; or data."""
    if output != "table":
        terminal.print_frame(frame, output)
        return
    terminal.print_frame(frame.assign(error=frame["error"].str.partition("\n")[0]))
    facts = frame.attrs["lcnb"]
    done = int((frame["status"] == DONE.status).sum())
    color = "green" if done == len(frame) else "bold red"
    console = stdout_console()
    console.print(
        f"[{color}]{done} of {len(frame)} done[/] {escape_markup(facts['folder'])}",
        soft_wrap=True,
        highlight=False,
    )


def print_result(result: RunResult) -> None:
    """How a run ended: the failing cell on stderr, the folder and its files on stdout."""
    if result.error:
        stderr_console().print(result.error, markup=False, soft_wrap=True)
    for problem in result.problems:
        stderr_console().print(f"[yellow]warning:[/] {escape_markup(problem)}", soft_wrap=True)
    console = stdout_console()
    colors: dict[str, str] = {DONE.status: "green", ATTENTION.status: "bold yellow"}
    color = colors.get(result.status, "bold red")
    console.print(
        f"[{color}]{result.status}[/] {escape_markup(str(result.folder))}", soft_wrap=True, highlight=False
    )
    for path in result.files:
        name = f"{path}  (open this one)" if path == result.report else path.relative_to(result.folder)
        console.print(f"  {escape_markup(str(name))}", soft_wrap=True, highlight=False)


def print_run(run: RunRecord) -> None:
    """The record of a run: a line a fact, then what asks for attention, the checks, and the files."""
    console = stdout_console()
    for name, value in run.facts.items():
        own = name in _SKIPPED_FIELDS or (name == "reason" and run.status == ATTENTION.status)
        if own or value in (None, "", [], {}):
            continue
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
        console.print(f"[dim]{name:<16}[/] {escape_markup(text)}", highlight=False, soft_wrap=True)
    for mark, texts in (
        ("[bold yellow]attention[/] ", _message_texts(run, "attention")),
        ("check ", _message_texts(run, "checks")),
    ):
        for text in texts:
            console.print(f"{mark}{escape_markup(text)}", highlight=False, soft_wrap=True)
    for name in run.typed_fact("files", dict) or ():
        console.print(f"  {escape_markup(str(run.folder / name))}", highlight=False, soft_wrap=True)


#: Parts of a record that have lines of their own, or are for programs.
_SKIPPED_FIELDS = (
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


def _message_texts(run: RunRecord, name: str) -> list[str]:
    words = {True: "ok: ", False: "failed: ", None: ""}
    found = [each for each in run.typed_fact(name, list) or () if isinstance(each, dict)]
    return [f"{words.get(each.get('ok'), '')}{each.get('text')}" for each in found]


def print_run_changes(changes: Sequence[Mapping[str, Any]]) -> None:
    """The changes of a run, as its record has them."""
    from lcnb.changes.changeset import recorded_frame
    from lcnb.runbooks.outcomes import was_confirmed

    frame = recorded_frame(changes)
    if not any(map(was_confirmed, changes)):
        del frame["outcome"]  # they are only planned, and may be made next
    stdout_console().print(frame_table(frame, wide=True))


def print_outcomes(frame: pd.DataFrame, output: str) -> None:
    """What came of changes, which are made whether or not this can be printed: then stderr says so."""
    try:
        terminal.print_frame(frame, output)
    except Exception as odd:
        print_error(odd)
        print(
            f"The result of the changes cannot be printed as {output}. What was made: lcnb journal; the exit code says "
            "how it ended.",
            file=sys.stderr,
        )
