#!/bin/sh
# DuckDB 2.0.1: a quoted name that a pandas frame has returns the values of another column of this frame.
#
# pandas tells "a" and "A" apart, and quotes make names exact in standard SQL. DuckDB compares names without case, quotes
# or not, so it renames the second column of a frame to "A_1" without a warning, and `select "A"` returns the column
# "a". The result is called "a" too, which is the only hint. A table with both names is refused with an error.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pandas==3.1.1

cat > "$folder/look.py" <<'PY'
import warnings

import duckdb
import pandas

warnings.simplefilter("error")
frame = pandas.DataFrame({"a": [1], "A": [2]})
print(f"duckdb {duckdb.__version__}, pandas {pandas.__version__}")
print("columns of the frame:", list(frame.columns), "values:", frame.loc[0].tolist())
read = duckdb.sql('select "A" from frame').df()
everything = duckdb.sql("select * from frame").df()
print('select "A":', list(read.columns), read.iloc[0].tolist())
print("select *:", list(everything.columns), everything.iloc[0].tolist())
try:
    duckdb.sql('create table both ("a" integer, "A" integer)')
    made = "made"
except duckdb.Error as error:
    made = type(error).__name__
print("a table with both names:", made)
assert (list(read.columns), read.iloc[0].tolist()) == (["a"], [1])
assert (list(everything.columns), everything.iloc[0].tolist()) == (["a", "A_1"], [1, 2])
assert made == "ParserException"
PY
"$folder/venv/bin/python" "$folder/look.py"
