"""How a notebook shows an error of lcnb: the lines of the user's cells that led to it, and the message.

The lines inside lcnb and its libraries say nothing to the user, since the message names what is wrong and what to do.
`%tb` after `%xmode Verbose` shows them all.
"""

from __future__ import annotations

import linecache
import traceback
from types import TracebackType
from typing import Any

from lcnb.notebook_kernel import current_kernel

#: Lines of cells that are shown; of a recursion only the last ones.
MAX_CELL_LINES = 5
FULL_TRACEBACK_ADVICE = "All lines, also those inside lcnb: %xmode Verbose, then %tb"


def cell_traceback(error: BaseException) -> list[str]:
    """Return the lines that IPython prints for an error: the short form, or its own one in the mode Verbose.

    The short form needs a line of a cell: an error of code that is in files only keeps IPython's form.
    """
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    trace = error.__traceback__
    if shell is None:
        return traceback.format_exception(error)
    lines = _cell_lines(shell, trace)
    if shell.InteractiveTB.mode == "Verbose" or not lines:
        shown: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trace)
        return shown
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    # In a headless run nobody can follow the advice.
    advice = ["", FULL_TRACEBACK_ADVICE] if getattr(current_kernel(), "_allow_stdin", False) else []
    return [*lines[-MAX_CELL_LINES:], "", f"{type(error).__name__}: {error}", *notes, *advice]


def _cell_lines(shell: Any, trace: TracebackType | None) -> list[str]:
    """Return one text per line of a cell that the error passed: the name of the cell, the number, the code."""
    lines = []
    for frame, number in traceback.walk_tb(trace):
        file = frame.f_code.co_filename
        name = shell.compile.format_code_name(file)
        if name is not None:
            code = linecache.getline(file, number, frame.f_globals).strip()
            lines.append(f"{' '.join(name)}, line {number}: {code}")
    return lines
