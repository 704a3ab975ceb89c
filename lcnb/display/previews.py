"""How a ChangeSet looks in a terminal before it is applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lcnb.display import terminal
from lcnb.display.terminal import escape_markup, frame_table, stdout_console

if TYPE_CHECKING:
    from rich.console import Console

    from lcnb.changes.changeset import ChangeSet


def print_changes(changes: ChangeSet, output: str = "table", *, console: Console | None = None) -> None:
    """A ChangeSet that was not applied, with its summary and notes; or its frame as data."""
    if output != "table":
        terminal.print_frame(changes.to_frame(), output)
        return
    console = console or stdout_console()
    if len(changes):
        console.print(frame_table(changes._shown(), wide=True))
        for method, path, body in changes.requests:
            text = "" if body is None else json.dumps(body, ensure_ascii=False)
            console.print(
                f"[dim]{escape_markup(f'{method} {path} {text}')}[/]", highlight=False, soft_wrap=True
            )
    console.print(f"[bold]{escape_markup(changes.summary())}[/]", highlight=False, soft_wrap=True)
    for note in changes.notes if len(changes) else ():
        console.print(f"note: {escape_markup(note)}", highlight=False, soft_wrap=True)
