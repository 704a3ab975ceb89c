"""Progress bars on stderr for the cells of a run and the rows of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from lcnb.display.terminal import escape_markup, stderr_console

#: Takes the number of finished steps, the number of all steps, and a text.
ReportProgress = Callable[[int, int, str], None]


def cell_progress() -> AbstractContextManager[ReportProgress]:
    """Show a progress bar for the cells of a run. Nothing is shown when stderr is not a terminal."""
    return _progress_bar("starting the kernel")


def batch_progress() -> AbstractContextManager[ReportProgress]:
    """Show a progress bar for the rows of a batch. Nothing is shown when stderr is not a terminal."""
    return _progress_bar("checking the rows")


@contextmanager
def _progress_bar(first_text: str) -> Iterator[ReportProgress]:
    if not sys.stderr.isatty():
        yield lambda done, total, text: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task(first_text, total=None)
        yield lambda done, total, text: bar.update(
            task, completed=done, total=total, description=escape_markup(text)
        )
