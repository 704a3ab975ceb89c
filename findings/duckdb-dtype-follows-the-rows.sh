#!/bin/sh
# DuckDB 2.0.1 with pandas 3.1.1: the dtype of a result column depends on the rows that happen to match.
#
# `.df()` of one and the same query returns a whole-number column as int64, or as the nullable Int64 as soon as one value
# is NULL; a text column is pandas' `str`, but `object` when no row matches. So `pd.concat` of a day without rows and a
# day with rows is an object column, and a program that checks dtypes works until the first empty or incomplete day.
# The same result as an Arrow table has the same types each time.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6

cat > "$folder/look.py" <<'PY'
import warnings

import duckdb
import pandas as pd

warnings.simplefilter("error")
db = duckdb.connect()
db.execute("create table machines (label varchar, cpus integer)")
db.execute("insert into machines values ('web', 2), ('db', null)")
QUERY = "select label, cpus::bigint as cpus from machines where label in ({})"

print(f"duckdb {duckdb.__version__}, pandas {pd.__version__}")
found = {}
for name, labels in (("whole", "'web'"), ("with a NULL", "'web', 'db'"), ("no row", "'mail'")):
    frame = db.sql(QUERY.format(labels)).df()
    arrow = db.sql(QUERY.format(labels)).to_arrow_table().schema
    found[name] = (*(str(each) for each in frame.dtypes), frame)
    print(f"{name:12} pandas: {found[name][:2]}   Arrow: {[str(each.type) for each in arrow]}")
joined = pd.concat([found["no row"][2], found["whole"][2]]).dtypes
print("a day without rows and a day with rows, joined:", dict(joined.astype(str)))
assert found["whole"][:2] == ("str", "int64")
assert found["with a NULL"][:2] == ("str", "Int64")
assert found["no row"][:2] == ("object", "int64")
assert str(joined["label"]) == "object"
PY
"$folder/venv/bin/python" "$folder/look.py"
