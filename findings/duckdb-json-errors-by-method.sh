#!/bin/sh
# DuckDB 2.0.1: `errors_as_json` decides by the method that was called and by the kind of error.
#
# With `set errors_as_json=true`, an unknown function or column is JSON with a position when `execute` runs the query, and
# plain text without a position when `sql` does, on the same connection. A syntax error is JSON with both. And the JSON is
# never the whole message: the name of the error and a colon precede it. A program that reads the position works for the
# syntax errors of its tests, and finds nothing for a misspelt column.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1

cat > "$folder/look.py" <<'PY'
import json

import duckdb

db = duckdb.connect()
db.execute("set errors_as_json=true")
QUERIES = {"syntax": "selec 1", "unknown function": "select foo(1)", "unknown column": "select nix from range(1)"}


def message(method, query):
    try:
        getattr(db, method)(query)
    except duckdb.Error as error:
        return str(error)
    raise AssertionError("it ran")


def has_position(text):
    try:
        return "position" in json.loads(text.partition(": ")[2])
    except ValueError:
        return False


print(f"duckdb {duckdb.__version__}")
found = {}
for kind, query in QUERIES.items():
    texts = {method: message(method, query) for method in ("execute", "sql")}
    found[kind] = [has_position(text) for text in texts.values()]
    for method, text in texts.items():
        print(f"{kind:16} {method:7} {text.splitlines()[0][:90]}")
print("JSON with a position, by execute and by sql:", found)
assert found == {"syntax": [True, True], "unknown function": [True, False], "unknown column": [True, False]}
PY
"$folder/venv/bin/python" "$folder/look.py"
