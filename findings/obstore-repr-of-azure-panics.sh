#!/bin/sh
# obstore 0.12.1: repr() of an AzureStore whose account name comes from the environment panics.
#
# AZURE_STORAGE_ACCOUNT_NAME is a documented way to name the account, and the store works. Its repr looks for the name in the
# arguments only, and panics in Rust. PanicException is no Exception, so `except Exception` of a logger or notebook does not
# catch it. lcnb never shows the object.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1

cat > "$folder/look.py" <<'PY'
import os
from importlib.metadata import version

from obstore.store import AzureStore

print(f"obstore {version('obstore')}")
os.environ["AZURE_STORAGE_ACCOUNT_NAME"] = "account"
store = AzureStore("container")
print("the store is made:", type(store).__name__)
try:
    print(store)
except BaseException as error:
    kind, is_exception = type(error).__name__, isinstance(error, Exception)
    print(f"repr: {kind}: {error}; an Exception: {is_exception}")
else:
    raise SystemExit("its repr works now")
assert (kind, is_exception) == ("PanicException", False)
print("with the name as an argument:", AzureStore("container", account_name="account"))
PY
"$folder/venv/bin/python" "$folder/look.py" 2>"$folder/panic"
