"""How a ChangeSet looks in a terminal before it is applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from lcnb.display import terminal
from lcnb.display.palette import HEADING_STYLE, MISSING_STYLE
from lcnb.display.row_choice import RowChoice
from lcnb.display.terminal import frame_rows, print_line, print_table

if TYPE_CHECKING:
    import pandas as pd


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


def print_changes(changes: Previewable, output: str = "table", *, stream: TextIO | None = None) -> None:
    """Print a ChangeSet before it is applied, with its summary and notes; or its frame as data.

    `output`: "table" for people, or a format of `print_frame`.
    """
    if output != "table":
        terminal.print_frame(changes.to_frame(), output)
        return
    if len(changes):
        print_table(frame_rows(changes.preview_frame()), RowChoice(wide=True), stream=stream)
        for method, path, body in changes.requests:
            text = "" if body is None else json.dumps(body, ensure_ascii=False)
            print_line((f"{method} {path} {text}".rstrip(), MISSING_STYLE), stream=stream)
    print_line((changes.summary(), HEADING_STYLE), stream=stream)
    for note in changes.notes if len(changes) else ():
        print_line((f"note: {note}", ""), stream=stream)
