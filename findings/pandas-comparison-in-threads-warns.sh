#!/bin/sh
# pandas 3.1.1: comparing equal frames in several threads raises a deprecation warning about a keyword that nobody passed.
#
# `assert_frame_equal` passes a deprecated keyword to its own inner function, and turns the warning about it off for that
# moment by `warnings.catch_warnings`, which changes the filters of the whole process. When two threads compare at the
# same time, one restores the filters while the other is inside: a test that treats warnings as errors then fails now and
# then, although the frames are equal and the caller uses nothing that is deprecated. In one thread it never happens.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1

cat > "$folder/look.py" <<'PY'
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

ROUNDS, COMPARISONS = 100, 150
frame = pd.DataFrame({f"column {number}": pd.array(["x", "y"] * 30, dtype="str") for number in range(20)})
same = frame.copy()


def compare(_):
    for _ in range(COMPARISONS):
        try:
            pd.testing.assert_frame_equal(frame, same)
        except Warning as warning:
            return f"{type(warning).__name__}: {warning}"
    return "equal"


print(f"pandas {pd.__version__}, Python {sys.version.split()[0]}")
sys.setswitchinterval(1e-6)  # threads take turns more often, so that it takes seconds and not days
warnings.simplefilter("error")
alone = {compare(None) for _ in range(8)}
print("one thread:", alone)
assert alone == {"equal"}
for number in range(1, ROUNDS + 1):
    warnings.simplefilter("error")
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(compare, range(8))) - {"equal"}
    if found:
        print(f"eight threads, round {number}:", *found)
        break
else:
    sys.exit(f"no warning in {ROUNDS} rounds")
assert all("check_datetimelike_compat" in each for each in found)
PY
"$folder/venv/bin/python" "$folder/look.py"
