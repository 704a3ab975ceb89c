#!/bin/bash
# Importing jsonschema works out a whole grammar of RFC 3987 where its extra `format-nongpl` is installed (JupyterLab
# installs it): most of the import, in each process that reads a notebook, whether or not it ever checks an `iri`.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jsonschema[format-nongpl]==4.26.0" "rfc3987-syntax==1.1.0" "lark==1.3.1"
export PYTHONPYCACHEPREFIX="$folder/compiled"
unset PYTHONDONTWRITEBYTECODE
"$folder/venv/bin/python" -c "import jsonschema" # compiles all of it, so that only the imports are measured
"$folder/venv/bin/python" -X importtime -c "import jsonschema" 2>"$folder/times"
echo "jsonschema 4.26.0 with rfc3987-syntax 1.1.0, $("$folder/venv/bin/python" -V)"
echo "expected: the grammar is worked out when an iri is checked for the first time"
"$folder/venv/bin/python" - "$folder/times" <<'PYTHON'
import sys

microseconds = {}
for line in open(sys.argv[1]):
    parts = line.removeprefix("import time:").split("|")
    if len(parts) == 3 and parts[1].strip().isdigit():
        microseconds[parts[2].strip()] = int(parts[1])
whole, grammar = microseconds["jsonschema"], microseconds.get("rfc3987_syntax", 0)
share = grammar / whole
print(f"observed: import jsonschema takes {whole / 1e6:.2f} s, {share:.0%} of it for rfc3987_syntax")
sys.exit(0 if share > 0.5 else "the grammar is no longer most of the import")
PYTHON
