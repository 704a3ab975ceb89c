"""How runs, batches and their changes are printed by the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcnb.display import terminal
from lcnb.display.terminal import _escape, frame_table, print_error, stderr, stdout

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.runbooks.records.store import Kept
    from lcnb.runbooks.result import RunResult


def print_batch(frame: pd.DataFrame, output: str = "table") -> None:
    """How the rows of a batch ended: a table with the first line of each error, and where the batch is; or data."""
    if output != "table":
        terminal.print_frame(frame, output)
        return
    terminal.print_frame(frame.assign(error=frame["error"].str.partition("\n")[0]))
    facts = frame.attrs["lcnb"]
    done = int((frame["status"] == "done").sum())
    color = "green" if done == len(frame) else "bold red"
    console = stdout()
    console.print(
        f"[{color}]{done} of {len(frame)} done[/] {_escape(facts['folder'])}", soft_wrap=True, highlight=False
    )


def print_result(result: RunResult) -> None:
    """How a run ended: the failing cell on stderr, the folder and its files on stdout."""
    if result.error:
        stderr().print(result.error, markup=False, soft_wrap=True)
    for problem in result.problems:
        stderr().print(f"[yellow]warning:[/] {_escape(problem)}", soft_wrap=True)
    console = stdout()
    color = {"done": "green", "attention": "bold yellow"}.get(result.status, "bold red")
    console.print(
        f"[{color}]{result.status}[/] {_escape(str(result.folder))}", soft_wrap=True, highlight=False
    )
    for path in result.files:
        name = f"{path}  (open this one)" if path == result.report else path.relative_to(result.folder)
        console.print(f"  {_escape(str(name))}", soft_wrap=True, highlight=False)


def print_run(run: Kept) -> None:
    """The record of a run: a line a fact, then what asks for attention, the checks, and the files."""
    console = stdout()
    for name, value in run.record.items():
        own = name in _OWN_LINES or (name == "reason" and run.status == "attention")
        if own or value in (None, "", [], {}):
            continue
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
        console.print(f"[dim]{name:<16}[/] {_escape(text)}", highlight=False, soft_wrap=True)
    for mark, texts in (
        ("[bold yellow]attention[/] ", _texts(run, "attention")),
        ("check ", _texts(run, "checks")),
    ):
        for text in texts:
            console.print(f"{mark}{_escape(text)}", highlight=False, soft_wrap=True)
    for name in run.value("files", dict) or ():
        console.print(f"  {_escape(str(run.folder / name))}", highlight=False, soft_wrap=True)


#: Parts of a record that have lines of their own, or are for programs.
_OWN_LINES = (
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


def _texts(run: Kept, name: str) -> list[str]:
    words = {True: "ok: ", False: "failed: ", None: ""}
    found = [each for each in run.value(name, list) or () if isinstance(each, dict)]
    return [f"{words.get(each.get('ok'), '')}{each.get('text')}" for each in found]


def print_made(changes: Sequence[Mapping[str, Any]]) -> None:
    """The changes of a run, as its record has them."""
    from lcnb.changes.changeset import made_frame
    from lcnb.runbooks.outcomes import is_made

    frame = made_frame(changes)
    if not any(map(is_made, changes)):
        del frame["outcome"]  # they are only planned, and may be made next
    stdout().print(frame_table(frame, wide=True))


def print_made_frame(frame: pd.DataFrame, output: str) -> None:
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
