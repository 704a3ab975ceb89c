"""One execution of a notebook: what to run, where to save it, and how it ended.

`JobFiles` is how papermill reads a job's notebook: it gets the address of a job instead of a path.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lcnb.runbooks.ends import NOT_ENDED, RUNNING, RunEnd, RunStatus
from lcnb.runbooks.notebook.file_format import read_notebook
from lcnb.runbooks.notebook.languages import PYTHON

FILE_SCHEME = "lcnb+file://"
#: The value of PYTHONSAFEPATH that is only for the start of a kernel; Python accepts any text.
SAFE_PATH_AT_START = "lcnb"


@dataclass
class CellError:
    """The cell that ended a run: its index and source, and the error that it raised."""

    index: int
    source: str
    ename: str
    evalue: str
    traceback: str


@dataclass
class RunJob:
    """One execution: what to run, where to save it and, afterwards, how it ended."""

    source: Path
    target: Path
    parameters: Mapping[str, Any]
    env: Mapping[str, str]
    kernel: str = "python3"
    language: str = PYTHON
    redact: Callable[[str], str] = str
    on_cell: Callable[[int, int, str], object] = lambda index, total, title: None
    #: The kernelspec in the metadata of the saved notebook.
    kernelspec: Mapping[str, str] = field(default_factory=dict)
    #: The working directory of the cells; None: the folder of the target.
    cwd: Path | None = None
    #: File handles that the kernel's process inherits.
    inherits: tuple[int, ...] = ()
    #: Seconds that the whole run, and each of its cells, may take; None: no limit.
    timeout: float | None = None
    cell_timeout: float | None = None
    #: Seconds of the run that have passed before this job: earlier attempts and the pauses after them.
    spent_s: float = 0.0
    #: Called once, before the last save, with how the cells ended: returns how the run ended.
    judge: Callable[[RunEnd], RunEnd] = lambda cells: cells
    on_kernel: Callable[[int | None], None] = lambda pid: None
    #: Whether the cells may run in the shell that was forked for this process, if there is one.
    shell: bool = False
    #: What the cells run in.
    engine: Literal["kernel", "shell"] = "kernel"
    ended: RunEnd = NOT_ENDED
    error: CellError | None = None
    notebook: Any = field(default=None, repr=False)
    _started: float = field(default_factory=time.monotonic, repr=False)

    def age(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def seconds_left(self) -> float | None:
        """Seconds until the deadline of the run; None without a deadline."""
        return None if self.timeout is None else self.timeout - self.spent_s - self.age()

    def exceeded_limit(self) -> str:
        """The limit that a cell has reached that takes too long: that of the run, or that of a cell."""
        left = self.seconds_left()
        if left is not None and left < 0.5:
            return f"the run took longer than {self.timeout:g} s"
        return f"it took longer than {self.cell_timeout:g} s, the limit of a cell"

    @property
    def path(self) -> str:
        """The address that papermill gets. It must not contain braces, so it is not a real path."""
        return f"{FILE_SCHEME}{id(self):x}.ipynb"

    @property
    def status(self) -> RunStatus:
        """The status of the run until now."""
        return self.ended.status

    @property
    def running(self) -> bool:
        """Whether nothing has ended the run yet."""
        return self.status == RUNNING.status

    @property
    def error_name(self) -> str:
        """The name of the error that the failing cell raised; empty when no cell failed."""
        return self.error.ename if self.error else ""

    def end(self, end: RunEnd) -> None:
        """Note how the run ended. Only the first end counts: what follows a failure is its consequence."""
        if self.running:
            self.ended = end


#: The jobs that are being executed, by their address.
JOBS_BY_PATH: dict[str, RunJob] = {}


class JobFiles:
    """The file handler that papermill uses for a job. It only reads: `papermill_engine` saves the notebook."""

    def read(self, path: str) -> str:
        """Return the source notebook of a job as JSON."""
        return json.dumps(read_notebook(JOBS_BY_PATH[path].source))

    def write(self, buf: str, path: str) -> None:
        """Do nothing: `papermill_engine` saves the notebook right after papermill's last write."""

    def listdir(self, path: str) -> list[str]:
        """Return the address itself: it is not a folder."""
        return [path]

    def pretty_path(self, path: str) -> str:
        """Return the address as messages show it."""
        return path
