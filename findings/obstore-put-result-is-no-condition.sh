#!/bin/sh
# obstore 0.12.1: the result of a `put` is refused as the condition of the next one.
#
# A `put` returns a dict with `e_tag` and `version`, and a dict with these two keys is what `mode` takes in order to replace
# that version alone. The type of both is `str | None`, and the documentation recommends to keep both. A store that counts
# no versions returns `version: None`, and `mode` then raises a TypeError before anything is sent. Without the key it works,
# so code that was tried with a versioned bucket fails with every other one.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1

cat > "$folder/look.py" <<'PY'
import obstore
from obstore.exceptions import PreconditionError
from obstore.store import MemoryStore

store = MemoryStore()
result = store.put("index", b"first")
print("obstore", obstore.__version__, "| put returned", result)
assert set(result) == {"e_tag", "version"} and result["version"] is None
try:
    store.put("index", b"second", mode=result)
except TypeError as error:
    print("put with mode=<that result>:", type(error).__name__, error)
else:
    raise SystemExit("it was accepted")
assert bytes(store.get("index").bytes()) == b"first"

without = {"e_tag": result["e_tag"]}
store.put("index", b"second", mode=without)
print("put with the tag alone:", bytes(store.get("index").bytes()))
try:
    store.put("index", b"third", mode=without)
except PreconditionError:
    print("put with the tag of an earlier version: PreconditionError")
else:
    raise SystemExit("the condition was not checked")
PY
"$folder/venv/bin/python" "$folder/look.py"
