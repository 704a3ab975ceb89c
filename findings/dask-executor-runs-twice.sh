#!/bin/sh
# An executor of distributed runs a task a second time when its worker is restarted, also with retries=0.
#
# Expected: `Client.get_executor()` gives a `concurrent.futures.Executor`. The executors of the standard library start a
# submitted call at most once; one whose process goes raises BrokenProcessPool. `retries=0` reads as the same promise.
# Observed: `retries` counts exceptions alone. The call whose worker was restarted is started again on another worker, and
# the future succeeds: nothing says that the effects of the call were made twice.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check dask==2026.8.0 distributed==2026.8.0
cat > "$folder/twice.py" <<'PYTHON'
import sys
import time
from pathlib import Path

import distributed
from distributed import Client, LocalCluster


def effect(mark):
    with open(mark, "a") as file:
        file.write("made\n")
    times = len(Path(mark).read_text().splitlines())
    if times == 1:
        time.sleep(3600)  # still at it when its worker is restarted
    return times


if __name__ == "__main__":
    mark = Path(sys.argv[1])
    print("distributed", distributed.__version__)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            future = client.get_executor(retries=0, pure=False).submit(effect, str(mark))
            while not mark.exists():
                time.sleep(0.1)
            busy = [address for address, tasks in client.processing().items() if tasks]
            client.restart_workers(busy, timeout=600)
            print("the future's result:", future.result(600))
    made = len(mark.read_text().splitlines())
    print("submitted: 1, retries: 0, effect made:", made)
    sys.exit(made != 2)
PYTHON
"$folder/venv/bin/python" "$folder/twice.py" "$folder/mark" 2>"$folder/log" || { cat "$folder/log"; echo "the behaviour has changed"; exit 1; }
