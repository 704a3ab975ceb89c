#!/bin/sh
# papermill loses the nulls of a list in a Bash notebook, so that all items behind them move forward.
#
# Expected: a list of three values with a null in the middle arrives as an array of three elements, or is refused, as
# a dict is (NotImplementedError).
# Observed with papermill 2.7.0: an array of two; what was the third is now the second.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check papermill==2.7.0
cd "$place"
cat > in.ipynb <<'NOTEBOOK'
{"nbformat": 4, "nbformat_minor": 4,
 "metadata": {"kernelspec": {"name": "bash", "display_name": "Bash", "language": "bash"},
              "language_info": {"name": "bash"}},
 "cells": [{"cell_type": "code", "execution_count": null, "metadata": {"tags": ["parameters"]}, "outputs": [],
            "source": "hosts=()"}]}
NOTEBOOK
./venv/bin/papermill --prepare-only --no-progress-bar -y 'hosts: [web, null, db]' in.ipynb out.ipynb 2>/dev/null
./venv/bin/python - > cell.sh <<'PYTHON'
import json

cells = json.load(open("out.ipynb"))["cells"]
print(*["".join(cell["source"]) for cell in cells if "injected-parameters" in cell["metadata"]["tags"]])
PYTHON
./venv/bin/python -c 'from importlib.metadata import version; print("papermill", version("papermill"))'
cat cell.sh
seen=$(bash -c '. ./cell.sh; echo "${#hosts[@]} elements, the second is ${hosts[1]}"')
echo "given: 3 values, the second is null; bash has: $seen"
test "$seen" = "2 elements, the second is db"
