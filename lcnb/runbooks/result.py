"""How a run ended, as `run_runbook` returns it: status, exit code, folder, and the text of the cell that failed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import CellFailed, KernelDied, RunError, RunTimeout
from lcnb.runbooks.ends import CELL_FAILED, DIED, DONE, PARTLY, TIMED_OUT

if TYPE_CHECKING:
    from lcnb.runbooks.engine.run_job import CellError, RunJob


@dataclass
class RunResult:
    """How a run ended: its status, exit code, folder and files. `error` shows the failing cell, or is None.

    >>> from pathlib import Path
    >>> RunResult("inventory", "done", 0, Path("runs")).report.name
    'report.html'
    """

    runbook: str
    status: str
    exit_code: int
    folder: Path
    error: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    #: What could not be saved next to the notebook, such as the report; run.json lists it too.
    problems: list[str] = field(default_factory=list)
    #: How each attempt ended that was followed by another one, as a line of text.
    earlier_attempts: list[str] = field(default_factory=list)

    @property
    def report(self) -> Path:
        """The path of the report: a page that needs no other file."""
        return self.folder / "report.html"

    def check(self) -> RunResult:
        """Return this result when the run is done. CellFailed, KernelDied, RunTimeout or RunError otherwise.

        A run that asks for attention raises RunError with its notes: its tables exist, but somebody has to look. The
        error has the attributes `folder` and `exit_code`.

        >>> from pathlib import Path
        >>> RunResult("inventory", "done", 0, Path("runs")).check().status
        'done'
        """
        if self.status == DONE.status:
            return self
        kind = _ERROR_OF_STATUS.get(self.status, RunError)
        raise kind(f"{self.runbook}: {self.error}", folder=self.folder, exit_code=self.exit_code)

    def _repr_html_(self) -> str:
        from lcnb.display.tables import table

        return table(self._frame())._repr_html_()

    def _frame(self) -> Any:
        import pandas as pd

        rows = {"runbook": self.runbook, "status": self.status, "folder": str(self.folder)}
        return pd.DataFrame({"": list(rows), " ": list(rows.values())})


_ERROR_OF_STATUS: dict[str, type[RunError]] = {
    CELL_FAILED.status: CellFailed,
    PARTLY.status: CellFailed,
    DIED.status: KernelDied,
    TIMED_OUT.status: RunTimeout,
}


def failed_cell_facts(error: CellError) -> dict[str, Any]:
    """Return the failing cell as run.json has it: number, source, name and text of the error, traceback."""
    return {
        "number": error.index + 1,
        "source": error.source,
        "ename": error.ename,
        "evalue": error.evalue,
        "traceback": _strip_colours(error.traceback),
    }


def _strip_colours(text: str) -> str:
    """The text without the color codes that IPython puts into a traceback."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def format_failure(job: RunJob) -> str:
    """Return the failing cell and its error, as the terminal shows them; the reason when no cell failed."""
    if job.error is None:
        return f"{job.status}: {job.ended.reason}"
    source = "\n".join(f"    {line}" for line in job.error.source.splitlines())
    last = _strip_colours(job.error.traceback).strip().splitlines()
    tail = "\n".join(f"  {line}" for line in last[-12:])
    head = f"cell {job.error.index + 1} failed: {job.error.ename}: {job.error.evalue}"
    return f"{head}\n\n{source}\n\n{tail}{_missing_file_hint(job, job.error.evalue)}"


def _missing_file_hint(job: RunJob, evalue: str) -> str:
    """What to do when a cell did not find a file that is in the notebook's folder."""
    if job.cwd is not None or not re.search("no such|not found", evalue, re.IGNORECASE):
        return ""
    named = re.findall(r"['\"`]([^'\"`/\\][^'\"`]*)['\"`]", evalue)
    here = [name for name in named if (job.source.parent / name).exists()]
    if not here:
        return ""
    return (
        f"\n\n{here[0]} is in the folder of the notebook, but cells work in the folder of the run. To work in "
        f"the folder of the notebook: --cwd {shlex.quote(str(job.source.parent))}"
    )
