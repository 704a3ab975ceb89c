"""`{terminal}`: commands that are run when the page is built, shown with what they print."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sandbox_account import page_environment
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: Ends a command that hangs.
LIMIT_S = 600
#: The width of the terminal, in characters.
COLUMNS = 88


def run_line(line: str, folder: Path, exit_code: int = 0) -> str:
    """Run a line of bash in that folder and return what it prints, with paths relative to the folder.

    ValueError when it ends with another exit code.

    >>> run_line("echo hello; pwd", Path("/tmp"))
    'hello\\n.\\n'
    """
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env={**page_environment(), "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode != exit_code:
        raise ValueError(f"`{line}` ended with {done.returncode}, not {exit_code}: {done.stdout}")
    return done.stdout.replace(f"{folder}/", "").replace(str(folder), ".")


class Terminal(SphinxDirective):
    """Each line is a command; all commands of a page share a folder. `:exit-code:` is that of the last command."""

    has_content = True
    option_spec: ClassVar[dict[str, Callable[[str], object]] | None] = {
        "exit-code": directives.nonnegative_int
    }

    def run(self) -> list[nodes.Node]:
        """Return the transcript, or an error of the page when a command ends otherwise."""
        folder = self.env.current_document.setdefault("terminal_folder", None)
        if folder is None:
            folder = self.env.current_document["terminal_folder"] = tempfile.mkdtemp(
                dir=page_environment()["HOME"]
            )
        text = ""
        *earlier, last = self.content
        for line, code in [*((each, 0) for each in earlier), (last, self.options.get("exit-code", 0))]:
            try:
                text += f"$ {line}\n{run_line(line, Path(folder), code)}"
            except ValueError as error:
                raise self.error(str(error)) from error
        return [nodes.literal_block(text, text, language="console", classes=["terminal"])]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("terminal", Terminal)
    return {"parallel_read_safe": False}
