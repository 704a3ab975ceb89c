#!/bin/sh
# obstore 0.12.1: an object counts as modified after the time that obstore has just returned as its `last_modified`.
#
# LocalStore and MemoryStore have times in nanoseconds. `last_modified` is a datetime, which drops the last three digits,
# and the condition of the next `get` compares the shortened time with the full one. So `if_unmodified_since` refuses an
# object that nobody has changed, and `if_modified_since` returns it each time. A store whose times are whole seconds is
# not affected, so code that works with a bucket fails with the stores that its tests use.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1

cat > "$folder/look.py" <<'PY'
import sys

import obstore
from obstore.exceptions import NotModifiedError, PreconditionError
from obstore.store import LocalStore, MemoryStore

KEYS = 20  # the last three digits of a time are zero once in a thousand times


def condition(store, key, name):
    """What a `get` on that condition with the object's own time does."""
    try:
        store.get(key, options={name: store.head(key)["last_modified"]})
    except (NotModifiedError, PreconditionError) as error:
        return type(error).__name__
    return "returned"


print("obstore", obstore.__version__)
for store in (LocalStore(sys.argv[1]), MemoryStore()):
    keys = [f"key-{number}" for number in range(KEYS)]
    for key in keys:
        store.put(key, b"content")
    for name, usual in (("if_unmodified_since", "PreconditionError"), ("if_modified_since", "returned")):
        found = [condition(store, key, name) for key in keys]
        print(f"{type(store).__name__:12} {name:20} {usual} for {found.count(usual)} of {KEYS}")
        assert found.count(usual) >= KEYS - 2, found
PY
"$folder/venv/bin/python" "$folder/look.py" "$folder"
