#!/bin/sh
# IPython 9.18.1: a cell whose code raises within `%%capture`, or in a script that `%run` runs, counts as successful.
#
# The traceback is shown, and the kernel's reply says "ok". nbclient, and so `jupyter execute` and `nbconvert --execute`,
# decides by the reply: the cells after it run, and the notebook succeeds. papermill runs them too, and finds the error
# when all is over. The same code ends the notebook within `%%time` or `%%prun`, and so does a notebook that `%run` runs.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    ipython==9.18.1 ipykernel==7.4.0 nbclient==0.11.0 nbformat==5.11.1

cd "$folder"
cat > magics.py <<'PY'
from pathlib import Path

import IPython
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

MAGICS = {
    "%%capture": ("%%capture\nraise RuntimeError('no backup')", True),
    "%run fails.py": ("%run fails.py", True),
    "%%time": ("%%time\nraise RuntimeError('no backup')", False),
    "%%prun": ("%%prun\nraise RuntimeError('no backup')", False),
    "%run fails.ipynb": ("%run fails.ipynb", False),
}


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def goes_on(source):
    """Whether the cell after this one ran. The error is an output of this one either way."""
    book = notebook(source, "'deleted'")
    try:
        NotebookClient(book, kernel_name="python3").execute()
    except CellExecutionError:
        pass
    assert "RuntimeError" in [output.get("ename") for output in book.cells[0].outputs]
    return bool(book.cells[1].outputs)


Path("fails.py").write_text("raise RuntimeError('no backup')\n")
nbformat.write(notebook("raise RuntimeError('no backup')"), "fails.ipynb")
print("IPython", IPython.__version__)
for name, (source, expected) in MAGICS.items():
    found = goes_on(source)
    print(f"{name:16} the next cell", "runs" if found else "does not run")
    assert found == expected
PY
"$folder/venv/bin/python" magics.py 2> log || { cat log; exit 1; }
