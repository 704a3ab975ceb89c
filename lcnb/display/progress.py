"""Progress bars on stderr for the cells of a run, the rows of a batch and the runs of an upload."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from lcnb.display.terminal import escape_markup, stderr_console

#: Seconds after which a step of an upload is said where there is no progress bar.
SLOW_STEP_S = 5.0
#: Takes the number of finished steps, the number of all steps, and a text.
ReportProgress = Callable[[int, int, str], None]


def cell_progress() -> AbstractContextManager[ReportProgress]:
    """Show a progress bar for the cells of a run. Nothing is shown when stderr is not a terminal."""
    return _progress_bar("starting the kernel")


def batch_progress() -> AbstractContextManager[ReportProgress]:
    """Show a progress bar for the rows of a batch. Nothing is shown when stderr is not a terminal."""
    return _progress_bar("checking the rows")


@contextmanager
def upload_progress() -> Iterator[ReportProgress]:
    """Show a progress bar for runs that are uploaded.

    When stderr is not a terminal, a step that takes longer than SLOW_STEP_S is one line: what is waited for then.
    """
    if sys.stderr.isatty():
        with _progress_bar("looking for runs") as report:
            yield report
        return
    slow = _SlowSteps()
    try:
        yield slow.report
    finally:
        slow.end_step()


class _SlowSteps:
    """Prints what is done now, once per step, when the step takes longer than SLOW_STEP_S."""

    def __init__(self) -> None:
        self._step = -1
        self._text = ""
        self._timer: threading.Timer | None = None

    def report(self, done: int, total: int, text: str) -> None:
        self._text = f"{text} ({done + 1} of {total})"
        if done != self._step:
            self.end_step()
            self._step = done
            self._timer = threading.Timer(SLOW_STEP_S, lambda: print(self._text, file=sys.stderr))
            self._timer.daemon = True
            self._timer.start()

    def end_step(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


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
