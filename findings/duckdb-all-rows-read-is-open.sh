#!/bin/sh
# DuckDB 2.0.1: a connection refuses the next query although every row of the last one has been read.
#
# `.arrow()` returns a reader of record batches. A reader that has returned all rows counts as an open result until it
# is asked once more and says that there is no more, or is closed. Until then the next query of this connection raises
# ResourceInUseException, in a line that has nothing to do with the reader. A cursor of the same connection works.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1

cat > "$folder/look.py" <<'PY'
import duckdb

db = duckdb.connect()


def next_query(connection):
    try:
        return connection.execute("select 'done'").fetchone()
    except duckdb.Error as error:
        return type(error).__name__


print(f"duckdb {duckdb.__version__}")
reader = db.sql("select * from range(5) t(i)").arrow()
print("rows read:", reader.read_next_batch().num_rows, "of 5")
after_rows, by_cursor = next_query(db), next_query(db.cursor())
print("next query:", after_rows, "| by a cursor:", by_cursor)
try:
    reader.read_next_batch()
except StopIteration:
    print("asked once more: no more batches")
after_end = next_query(db)
print("next query:", after_end)
assert after_rows == "ResourceInUseException", "it can be queried now"
assert by_cursor == ("done",) == after_end
PY
"$folder/venv/bin/python" "$folder/look.py"
