#!/bin/sh
# A range that begins and ends at the same hour, "6-6": croniter takes every hour, cronsim takes hour 6 alone. With a step,
# "6-6/2", croniter takes every second hour of the day from 0, and cronsim every second hour from 6.
#
# Expected: hour 6 alone in both, as in cron(8): the range holds one value, and a step goes through that range.
# Exits with 0 while that is so, and with 1 when either library reads one of them otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8 croniter==7.0.0
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import datetime
from importlib.metadata import version

from croniter import croniter
from cronsim import CronSim

START, RUNS = datetime(2026, 12, 1, 0, 30), 4
print(f"croniter {version('croniter')}, cronsim {version('cronsim')}: hours of the next {RUNS} runs; expected: [6, 6, 6, 6]")
seen = {}
for expression in ("0 6-6 * * *", "0 6-6/2 * * *"):
    iterator, sim = croniter(expression, START), CronSim(expression, START)
    seen[expression] = [
        [iterator.get_next(datetime).hour for _ in range(RUNS)],
        [next(sim).hour for _ in range(RUNS)],
    ]
    print(f"{expression!r}: croniter {seen[expression][0]}, cronsim {seen[expression][1]}")
raise SystemExit(
    seen != {
        "0 6-6 * * *": [[1, 2, 3, 4], [6, 6, 6, 6]],
        "0 6-6/2 * * *": [[2, 4, 6, 8], [6, 8, 10, 12]],
    }
)
PYTHON
