"""`{terminal}`: commands that are run when the page is built, shown with what they print."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from sandbox_account import BIN, build_folder

ROOT = Path(__file__).parents[2]
#: Ends a command that hangs.
LIMIT_S = 600
#: The width of the terminal, in characters.
COLUMNS = 88


def run_line(line: str, folder: Path, exit_code: int = 0) -> str:
    """Run a line of bash in that folder and return what it prints; paths of the build machine are shortened.

    ValueError when it ends with another exit code.

    >>> run_line("echo hello; pwd", Path("/tmp"))
    'hello\\n.\\n'
    """
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env={**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode != exit_code:
        raise ValueError(f"`{line}` ended with {done.returncode}, not {exit_code}: {done.stdout}")
    places = {
        f"{folder}/": "",
        str(folder): ".",
        f"{build_folder(os.environ)}/": "/home/me/",
        f"{BIN}/": "/path/to/",
        f"{ROOT}/": "/path/to/lcnb/",
    }
    text: str = done.stdout
    for place, shown in places.items():
        text = text.replace(place, shown)
    return text


class Terminal(SphinxDirective):
    """Each line is a command; all commands of a page share a folder. `:exit-code:` is that of the last command."""

    has_content = True
    option_spec: ClassVar[dict[str, Callable[[str], object]] | None] = {
        "exit-code": directives.nonnegative_int
    }

    def run(self) -> list[nodes.Node]:
        """Return the transcript, or an error of the page when a command ends otherwise."""
        folder = build_folder(os.environ) / self.env.current_document.docname.replace("/", "-")
        folder.mkdir(exist_ok=True)
        *earlier, last = self.content
        exit_code = self.options.get("exit-code", 0)
        try:
            text = "".join(f"$ {line}\n{run_line(line, folder)}" for line in earlier)
            text += f"$ {last}\n{run_line(last, folder, exit_code)}"
        except ValueError as error:
            raise self.error(str(error)) from error
        if exit_code:
            text += f"$ echo $?\n{exit_code}\n"
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("terminal", Terminal)
    return {"parallel_read_safe": False}
