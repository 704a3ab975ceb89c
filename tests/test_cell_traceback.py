"""What a notebook shows when lcnb raises: the user's lines and the message."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "import lcnb\nfrom lcnb.errors import NotFound\n"
    "def off(name):\n    return fail(name)\n"
    "def fail(name):\n    error = NotFound(f'no machine {name!r}', cure='Look again.')\n"
    "    error.add_note('a note')\n    raise error",
    "off('web-1')",
    "lcnb.connect(sandbox='yes')",
    "get_ipython().kernel._allow_stdin = True\nlcnb.connect(sandbox='yes')",
    "%xmode Verbose\nlcnb.connect(sandbox='yes')",
    "1 / 0",
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each cell of a notebook shows, without colours."""
    folder: Path = tmp_path_factory.mktemp("kernel")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in CELLS])
    NotebookClient(book, allow_errors=True, resources={"metadata": {"path": str(folder)}}).execute()
    texts = ["\n".join("\n".join(out.get("traceback", ())) for out in cell.outputs) for cell in book.cells]
    return [re.sub(r"\x1b\[[0-9;]*m", "", text).strip() for text in texts]


def test_lines_of_cells_and_message(shown: list[str]) -> None:
    """The lines of the cells are shown in their order, then the message and its notes, and nothing of lcnb's inside."""
    assert shown[1].splitlines() == [
        "Cell In[2], line 1: off('web-1')",
        "Cell In[1], line 4: return fail(name)",
        "Cell In[1], line 8: raise error",
        "",
        "NotFound: no machine 'web-1'. Look again.",
        "a note",
    ]
    assert shown[2].splitlines()[0] == "Cell In[3], line 1: lcnb.connect(sandbox='yes')"
    assert "InputError: sandbox: expected True or False" in shown[2]
    assert "flags.py" not in shown[2]


def test_full_traceback_on_request(shown: list[str]) -> None:
    """Where somebody can type, the last line says how to see everything; in the mode Verbose IPython shows it."""
    assert shown[3].splitlines()[-1].endswith("%xmode Verbose, then %tb")
    assert "%tb" not in shown[2]
    assert "flags.py" in shown[4]


def test_other_errors(shown: list[str]) -> None:
    """Errors that are not lcnb's look as always."""
    assert "ZeroDivisionError" in shown[5]
    assert "Traceback (most recent call last)" in shown[5]
