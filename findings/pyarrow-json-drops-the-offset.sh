#!/bin/sh
# pyarrow 26.0.1: the JSON reader moves a time with an offset to UTC, and then returns it as a time without a zone.
#
# "2026-11-30T12:00:00+02:00" becomes timestamp[s] with the value 10:00: nothing says that it is in UTC. A text without an
# offset in the same column stays 12:00, so local times and times in UTC are mixed without a warning. The CSV reader of the
# same package infers the type with tz=UTC for the first column, and leaves the mixed one as text.
# `pandas.read_json(lines=True, engine="pyarrow")` does as the JSON reader does; with the default engine the column is text.
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
