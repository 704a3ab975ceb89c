#!/bin/sh
# papermill writes every key of a dict into a Python cell as a text, whatever the YAML says that it is.
#
# Expected: `{7: seven, true: on}` of a parameter file, read by YAML as an int and a bool, arrives as `{7: ..., True: ...}`.
# Observed with papermill 2.7.0: `{"7": ..., "True": ...}`. A notebook that looks `m[7]` up ends with a KeyError, and
# `m.get(7, default)` gives the default without a word. Values keep their type, and so do items of lists.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check papermill==2.7.0
cd "$place"
cat > in.ipynb <<'NOTEBOOK'
{"nbformat": 4, "nbformat_minor": 4,
 "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
              "language_info": {"name": "python"}},
 "cells": [{"cell_type": "code", "execution_count": null, "metadata": {"tags": ["parameters"]}, "outputs": [],
            "source": "m = {}"}]}
NOTEBOOK
cat > values.yaml <<'YAML'
m: {7: 7, true: true, 0.5: [7]}
YAML
./venv/bin/papermill --prepare-only --no-progress-bar -f values.yaml in.ipynb out.ipynb 2>/dev/null
./venv/bin/python - <<'PYTHON'
import ast, json, sys
from importlib.metadata import version

import yaml

cells = json.load(open("out.ipynb"))["cells"]
(source,) = ["".join(cell["source"]) for cell in cells if "injected-parameters" in cell["metadata"]["tags"]]
given = yaml.safe_load(open("values.yaml"))["m"]
arrived = ast.literal_eval(ast.parse(source).body[0].value)
print("papermill", version("papermill"))
print("the file says:   ", given)
print("the cell assigns:", arrived)
sys.exit(arrived != {"7": 7, "True": True, "0.5": [7]})
PYTHON
