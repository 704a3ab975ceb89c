#!/bin/sh
# pandas: letting read_csv find the separator (sep=None) changes what a comment is, and rows are lost without a word.
#
# With the default engine, `comment="#"` leaves quoted values alone. `sep=None` needs the Python engine, which cuts at
# every # also between quotes: a value loses its end, the values after it become missing, and a row whose first value is
# "#..." in quotes disappears. The file is valid, the separator is found rightly, and there is no warning.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1

cat > "$folder/look.py" <<'PY'
import io
import sys
import warnings

import pandas as pd

TEXT = 'label,state\n"web # 1","off"\n"#db","on"\n"cache","on"\n'
warnings.simplefilter("error")
given = pd.read_csv(io.StringIO(TEXT), comment="#", sep=",", keep_default_na=False).values.tolist()
found = pd.read_csv(io.StringIO(TEXT), comment="#", sep=None, keep_default_na=False, engine="python").values.tolist()
print(f"pandas {pd.__version__}, Python {sys.version.split()[0]}")
print("the file:           ", repr(TEXT))
print("expected, both ways:", [["web # 1", "off"], ["#db", "on"], ["cache", "on"]])
print("sep=',':            ", given)
print("sep=None:           ", found)
assert given == [["web # 1", "off"], ["#db", "on"], ["cache", "on"]], "the default engine has changed"
assert found != given and len(found) == 2, "both ways agree now"
PY
"$folder/venv/bin/python" "$folder/look.py"
