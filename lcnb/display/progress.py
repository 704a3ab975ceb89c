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
    steps: dict[int, str] = {}
    timers: list[threading.Timer] = []

    def report_slow_step(done: int, total: int, text: str) -> None:
        is_new = done not in steps
        steps[done] = f"{text} ({done + 1} of {total})"
        if is_new:
            _cancel(timers)
            timers.append(threading.Timer(SLOW_STEP_S, lambda: print(steps[done], file=sys.stderr)))
            timers[-1].daemon = True
            timers[-1].start()

    try:
        yield report_slow_step
    finally:
        _cancel(timers)


def _cancel(timers: list[threading.Timer]) -> None:
    for each in timers:
        each.cancel()


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
