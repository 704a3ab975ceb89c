#!/usr/bin/env bash
# MyST-NB 1.4.0: `nb_merge_streams` is documented to merge the pieces of stdout into one output. It strips each piece and puts
# a line break after it. A kernel sends a line in several pieces when a program flushes in its middle, as progress
# lines and `%%sh` do. The merged output has a line break at each of these places, which the program never printed; without
# the option each piece is a block of its own, and a terminal or JupyterLab shows the whole line.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check myst-nb==1.4.0 sphinx==9.0.4 ipython==9.18.1

cat > "$folder/build.py" <<'PYTHON'
import html
import re
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
from sphinx.application import Sphinx

folder = Path(sys.argv[1])
pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("40 of 60 ma", "chines read\n")]
cell = nbformat.v4.new_code_cell("read()", outputs=pieces)
for merge in (False, True):
    source = folder / f"source-{merge}"
    source.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), source / "index.ipynb")
    settings = {"extensions": ["myst_nb"], "nb_execution_mode": "off", "nb_merge_streams": merge, "project": "x"}
    app = Sphinx(source, None, folder / f"out-{merge}", folder / f"trees-{merge}", "html", settings, status=None)
    app.build()
    page = (folder / f"out-{merge}" / "index.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]*>", "", page))
    shown = re.search(r"40 of 60 ma\s*chines read", text)[0].replace("\n", "⏎")
    print(f"myst-nb {version('myst-nb')}, merged: {merge}: {re.sub('⏎+', '⏎', shown)}")
PYTHON

found=$("$folder/venv/bin/python" "$folder/build.py" "$folder")
echo "$found"
diff <(echo "$found") - <<'EXPECTED'
myst-nb 1.4.0, merged: False: 40 of 60 ma⏎chines read
myst-nb 1.4.0, merged: True: 40 of 60 ma⏎chines read
EXPECTED
