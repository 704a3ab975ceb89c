#!/bin/sh
# distributed 2026.8.0: the futures of `Client.get_executor()` are cancelled while their call is running, and it goes on.
#
# The executor is a `concurrent.futures.Executor`, and there `cancel` returns False for a call that is running; so it is
# with threads and processes of the standard library. A future of this executor never counts as running: `cancel` and
# `cancelled` return True and `wait` returns at once, but the worker is not interrupted and the call has its effect
# afterwards. A program that repeats the calls that it cancelled has the effect twice.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dask==2026.8.0 distributed==2026.8.0

cat > "$folder/cancel.py" <<'PY'
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path

import distributed
from distributed import Client, LocalCluster


def until_exists(path):
    deadline = time.monotonic() + 300
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"{path.name} does not exist")
        time.sleep(0.05)


def call(folder):
    (folder / "begun").touch()
    until_exists(folder / "go on")
    (folder / "effect").touch()


def cancelled(executor, folder):
    """What a future says while its call is running: running, cancel, cancelled. And whether the effect came after it."""
    folder.mkdir()
    future = executor.submit(call, folder)
    until_exists(folder / "begun")
    said = (future.running(), future.cancel(), future.cancelled())
    assert not (folder / "effect").exists()
    (folder / "go on").touch()
    until_exists(folder / "effect")
    wait([future])
    return said


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print("distributed", distributed.__version__)
    found = {}
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes:
        found["threads"] = cancelled(threads, place / "threads")
        found["processes"] = cancelled(processes, place / "processes")
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        found["dask"] = cancelled(client.get_executor(retries=0, pure=False), place / "dask")
    for name, (running, done, cancel) in found.items():
        print(f"{name:9} running: {running}, cancel(): {done}, cancelled: {cancel}; the effect was made afterwards")
    assert found == dict.fromkeys(("threads", "processes"), (True, False, False)) | {"dask": (False, True, True)}
PY
"$folder/venv/bin/python" "$folder/cancel.py" "$folder" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
