"""Progress bars on stderr for the cells of a run and the rows of a batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lcnb.display.terminal import escape_markup, stderr_console

if TYPE_CHECKING:
    pass


@contextmanager
def cell_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar over the cells of a run, on stderr; nothing at all when nobody looks at a terminal."""
    if not sys.stderr.isatty():
        yield lambda index, total, title: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("starting the kernel", total=None)
        yield lambda index, total, title: bar.update(
            task, completed=index, total=total, description=escape_markup(title)
        )


@contextmanager
def batch_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar over the rows of a batch, on stderr; nothing at all when nobody looks at a terminal."""
    if not sys.stderr.isatty():
        yield lambda ended, total, text: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("checking the rows", total=None)
        yield lambda ended, total, text: bar.update(
            task, completed=ended, total=total, description=escape_markup(text)
        )
