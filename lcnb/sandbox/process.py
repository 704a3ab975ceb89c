"""A sandbox in a separate process: `start` and the handle that it returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from lcnb.sandbox.faults import Faults
from lcnb.sandbox.seed import new_token
from lcnb.sandbox.server import TOKEN_VARIABLE

START_TIMEOUT_S = 30.0


class SandboxProcess:
    """A sandbox in a separate process. It ends by `stop()`, at the end of a `with` block, or with this process."""

    def __init__(self, process: subprocess.Popen[str], base_url: str, token: str) -> None:
        self.base_url = base_url
        self.token = token
        self._process = process

    def __repr__(self) -> str:
        return f"<LetsCloud sandbox at {self.base_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def stop(self) -> None:
        """End the process and wait for its end. A second call does nothing."""
        process = self._process
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(**options: Any) -> SandboxProcess:
    """Start a sandbox in a separate process. The options are those of `serve`. OSError when it does not start.

    >>> from lcnb.sandbox.process import start
    >>> with start(fleet=3) as sandbox:
    ...     sandbox.base_url.startswith("http://127.0.0.1:")
    True
    """
    token = options.pop("token", None) or new_token()
    if isinstance(options.get("faults"), Faults):
        options["faults"] = options["faults"].script()
    # -P: a file of the working folder, such as secrets.py, must not replace a module of Python.
    arguments = [sys.executable, "-P", "-m", "lcnb.sandbox", "--until-stdin-closes"]
    for name, value in options.items():
        text = json.dumps(value) if isinstance(value, Mapping) else str(value)
        arguments += [f"--{name.replace('_', '-')}", text]
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, TOKEN_VARIABLE: token},  # the process list shows arguments, not the environment
        # Ctrl-C in a terminal goes to the whole group: the sandbox must outlive an interrupted call.
        start_new_session=True,
    )
    line = _read_first_line(process)
    if " http://" not in line:
        process.kill()
        _, complaint = process.communicate()
        raise OSError(
            f"the sandbox did not start: {complaint.strip() or line.strip() or 'it printed nothing'}"
        )
    return SandboxProcess(process, line.split()[2], token)


def _read_first_line(process: subprocess.Popen[str]) -> str:
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    reader.join(START_TIMEOUT_S)
    return lines[0] if lines else ""
