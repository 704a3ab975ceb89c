"""One execution of a notebook: what to run, where to write it, and how it ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lcnb.runbooks.ends import RunStatus
from lcnb.runbooks.notebook.file_format import read_notebook
from lcnb.runbooks.notebook.languages import PYTHON

FILE_SCHEME = "lcnb+file://"
#: The value of PYTHONSAFEPATH that is for the start of a kernel alone; Python wants any text.
SAFE_PATH_AT_START = "lcnb"


@dataclass
class CellError:
    """The cell that ended a run: where it is, what it says, what it raised."""

    index: int
    source: str
    ename: str
    evalue: str
    traceback: str


@dataclass
class RunJob:
    """One execution: what to run, where to, and (afterwards) how it ended."""

    source: Path
    target: Path
    parameters: Mapping[str, Any]
    env: Mapping[str, str]
    kernel: str = "python3"
    language: str = PYTHON
    redact: Callable[[str], str] = str
    on_cell: Callable[[int, int, str], object] = lambda index, total, title: None
    #: The spec of the kernel as the saved notebook shows it.
    kernelspec: Mapping[str, str] = field(default_factory=dict)
    #: Where the cells work; None: in the folder of the target.
    cwd: Path | None = None
    #: Handles that the kernel's process gets.
    inherits: tuple[int, ...] = ()
    #: Seconds for the whole run, and for each of its cells; None: as long as it takes.
    timeout: float | None = None
    cell_timeout: float | None = None
    #: Called once at the end, before the last save: may tell more of how it ended than the cells do.
    judge: Callable[[RunJob], None] = lambda job: None
    on_kernel: Callable[[int | None], None] = lambda pid: None
    #: Whether the cells may run in the shell that was forked for this process, if one was.
    shell: bool = False
    #: What they run in.
    engine: Literal["kernel", "shell"] = "kernel"
    status: RunStatus = "running"
    exit_code: int = 0
    reason: str = ""
    error: CellError | None = None
    notebook: Any = field(default=None, repr=False)
    _began: float = field(default_factory=time.monotonic, repr=False)

    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def left(self) -> float | None:
        """Seconds that are left of the run's time; None when it has no end."""
        return None if self.timeout is None else self.timeout - self.age()

    def late(self) -> str:
        """Which limit a cell has reached that takes too long."""
        left = self.left()
        if left is not None and left < 0.5:
            return f"the run took longer than {self.timeout:g} s"
        return f"it took longer than {self.cell_timeout:g} s, the limit of a cell"

    @property
    def path(self) -> str:
        """The address that papermill is given; it must not contain braces, so it is no real path."""
        return f"{FILE_SCHEME}{id(self):x}.ipynb"

    def end(self, status: RunStatus, exit_code: int, reason: str) -> None:
        """The first reason stays: what follows a failure is its consequence."""
        if self.status == "running":
            self.status, self.exit_code, self.reason = status, exit_code, reason


#: The jobs under way, by the address that papermill knows them by.
JOBS_BY_PATH: dict[str, RunJob] = {}


# --- papermill's hooks ----------------------------------------------------------------------------------


class JobFiles:
    """papermill's way to files: reads a job's source. What is written is written by the manager and at the end."""

    def read(self, path: str) -> str:
        return json.dumps(read_notebook(JOBS_BY_PATH[path].source))

    def write(self, buf: str, path: str) -> None:
        """papermill's last write comes just before ours, which has the last word: nothing to do."""

    def listdir(self, path: str) -> list[str]:
        return [path]

    def pretty_path(self, path: str) -> str:
        return path
