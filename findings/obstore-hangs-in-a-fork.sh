#!/bin/sh
# obstore 0.12.1: a call in a fork of a process that has used obstore never returns.
#
# The threads that serve obstore's calls belong to the process of the first call. A fork has none of them, and its calls wait
# for them (nearly always) without end, without an error and without a timeout, also those of a new store object. Programs that fork after
# they have read something (multiprocessing with "fork", gunicorn with preload) hang. lcnb refuses a store in such a fork.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1

cat > "$folder/look.py" <<'PY'
import os
import signal
import tempfile
from importlib.metadata import version

import obstore
from obstore.store import LocalStore

WAIT_S, FORKS = 5, 3
print(f"obstore {version('obstore')}")
folder = tempfile.mkdtemp()


def read_in_fork():
    """Return how a fork ends that reads an object."""
    child = os.fork()
    if child == 0:
        signal.alarm(WAIT_S)  # ends the process by SIGALRM
        obstore.get(LocalStore(folder), "a.txt").bytes()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return f"ended by {signal.Signals(os.WTERMSIG(status)).name} after {WAIT_S} s" if os.WIFSIGNALED(status) else "read"


with open(f"{folder}/a.txt", "w") as file:
    file.write("content")
obstore.get(LocalStore(folder), "a.txt").bytes()
ends = [read_in_fork() for _ in range(FORKS)]
print("forks after the first call:", *ends, sep="\n  ")
assert any(end.startswith("ended by SIGALRM") for end in ends), "they return now"
PY
"$folder/venv/bin/python" -W ignore::DeprecationWarning "$folder/look.py"
