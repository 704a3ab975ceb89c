#!/bin/sh
# pyarrow 26.0.1: the JSON reader turns a time with an offset into a time without a zone, by an hour or more away from it.
#
# "2026-11-30T12:00:00+02:00" is inferred as timestamp[s] without a zone, with the value 10:00, and next to a text without
# an offset both are one column in which the same wall clock means two moments. The CSV reader of the same package infers UTC
# for the first, keeps a mixed column as text, and refuses an explicit type that disagrees with the text; the JSON reader
# converts each of them. `pandas.read_json(lines=True, engine="pyarrow")` inherits it: with its usual engine the column is
# text. Only an explicit schema with tz="UTC" keeps the moment, and it takes a time without an offset for UTC.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 pandas==3.1.1

cat > "$folder/look.py" <<'PY'
import io

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

OFFSET, NONE = "2026-11-30T12:00:00+02:00", "2026-11-30T12:00:00"


def from_json(*times):
    text = "".join(f'{{"at": "{time}"}}\n' for time in times)
    return pa.json.read_json(io.BytesIO(text.encode()))["at"]


def from_csv(*times):
    return pa.csv.read_csv(io.BytesIO("\n".join(("at", *times)).encode()))["at"]


def shown(column):
    return f"{column.type} {[str(value) for value in column.to_pylist()]}"


print("pyarrow", pa.__version__, "pandas", pd.__version__)
found = {}
for times in ([OFFSET], [OFFSET, NONE]):
    for read in (from_json, from_csv):
        found[read.__name__, len(times)] = text = shown(read(*times))
        print(f"{len(times)} time(s), {read.__name__:9} {text}")
assert found == {
    ("from_json", 1): "timestamp[s] ['2026-11-30 10:00:00']",
    ("from_csv", 1): "timestamp[s, tz=UTC] ['2026-11-30 10:00:00+00:00']",
    ("from_json", 2): "timestamp[s] ['2026-11-30 10:00:00', '2026-11-30 12:00:00']",
    ("from_csv", 2): f"string ['{OFFSET}', '{NONE}']",
}
line = io.BytesIO(f'{{"at": "{OFFSET}"}}\n'.encode())
frame = pd.read_json(line, lines=True, engine="pyarrow")
print("pandas, engine pyarrow:", frame["at"].dtype, frame["at"][0])
assert frame["at"].dt.tz is None and str(frame["at"][0]) == "2026-11-30 10:00:00"
PY
"$folder/venv/bin/python" "$folder/look.py"
