"""How a ChangeSet looks in a terminal before it is applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from lcnb.display import terminal
from lcnb.display.terminal import escape_markup, frame_table, stdout_console

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


class Previewable(Protocol):
    """What a preview shows of a ChangeSet."""

    @property
    def requests(self) -> list[tuple[str, str, dict[str, Any] | None]]:
        """Method, path and masked body of each request."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, each with its reason."""

    def __len__(self) -> int: ...

    def to_frame(self) -> pd.DataFrame:
        """Return the changes as data."""

    def preview_frame(self) -> pd.DataFrame:
        """Return the changes for people."""

    def summary(self) -> str:
        """Return one line about all changes."""


def print_changes(changes: Previewable, output: str = "table", *, console: Console | None = None) -> None:
    """Print a ChangeSet before it is applied, with its summary and notes; or its frame as data.

    `output`: "table" for people, or a format of `print_frame`.
    """
    if output != "table":
        terminal.print_frame(changes.to_frame(), output)
        return
    console = console or stdout_console()
    if len(changes):
        console.print(frame_table(changes.preview_frame(), wide=True))
        for method, path, body in changes.requests:
            text = "" if body is None else json.dumps(body, ensure_ascii=False)
            console.print(
                f"[dim]{escape_markup(f'{method} {path} {text}')}[/]", highlight=False, soft_wrap=True
            )
    console.print(f"[bold]{escape_markup(changes.summary())}[/]", highlight=False, soft_wrap=True)
    for note in changes.notes if len(changes) else ():
        console.print(f"note: {escape_markup(note)}", highlight=False, soft_wrap=True)
