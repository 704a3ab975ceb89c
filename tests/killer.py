"""Applies or resumes changes in processes that kill themselves right before their n-th effect.

Started once by a test; each line of stdin is a job, done by a fork of this process, which has imported all that
it needs, has planned the changes and has one thread. Requests are real HTTP; a pause turns the sandbox's clock instead of
waiting.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import filelock
import httpcore
import httpx
import pandas as pd
import pyarrow.pandas_compat as to_pandas
from cryptography.hazmat.primitives.serialization import ssh

import lcnb
from lcnb import client
from lcnb.api.flows import LocalWork, Pause, Together
from lcnb.changes import apply
from lcnb.transport.sync import SyncWire

#: Loaded when they are first used, which would be in each fork.
LATE = (apply, client, filelock, httpcore, pd, ssh, to_pandas)

NEW: dict[str, Any] = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILtVJEuYw2PBvQTnQMLpV1TZNrgWTyu5mB0sNZz0m3gE ops@example.com"


class Killed(SyncWire):
    """Counts effects, and ends this process before one of them."""

    before = 0
    count = 0
    now = 0.0

    def perform(self, effect: Any, scheduler: Any) -> Any:
        if isinstance(effect, Together) or (
            isinstance(effect, LocalWork) and effect.what in ("permit", "budget")
        ):
            return super().perform(effect, scheduler)
        self.count += 1
        if self.count == self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(effect, Pause):
            url = self.settings.base_url.replace("/api", "/_sandbox/advance")
            headers = {"api-token": self.settings.token.reveal()}
            with httpx.Client(trust_env=False, verify=False) as control:
                reply = control.post(url, json={"seconds": effect.seconds}, headers=headers)
            self.now = reply.json()["now"]
            return False
        return super().perform(effect, scheduler)


def changes(lc: lcnb.LetsCloud, which: str) -> Any:
    if which == "create":
        return lc.create_instance("new-00", **NEW)
    if which == "tagged":
        return lc.create_instance("new-00", **NEW, tags="project=shop", protect=True)
    if which == "delete":
        return lc.delete_instance(label="web-01")
    fleet = lc.instances().query("state == 'running'")
    made, gone, off = (8, 4, 3) if which == "twenty" else (2, 2, 1)  # "each": some of each kind
    creates = [lc.create_instance(f"new-{number:02d}", **NEW) for number in range(made)]
    snapshots = lc.snapshots()
    parts = [
        *creates,
        fleet.iloc[:gone].lc.delete(),
        fleet.iloc[gone : gone + off].lc.power_off(),
        lc.change_plan(fleet.identifier.iloc[7], plan="8vcpu-32gb-240ssd"),
        lc.add_sshkey("Ops", KEY),
        lc.delete_sshkey("ci-deploy"),
        lc.rename_snapshot(snapshots.slug[0], "renamed"),
        lc.delete_snapshot(snapshots.slug[1]),
    ]
    return reduce(add, parts)


#: What was planned in this process: the sandbox is the same for each job.
PLANNED: dict[str, Any] = {}


def plan(job: dict[str, Any]) -> None:
    """Plan the changes of a job, once for all jobs that apply them."""
    if job["do"] == "apply" and job["changes"] not in PLANNED:
        with lcnb.connect(token=job["token"], base_url=job["base_url"]) as lc:
            PLANNED[job["changes"]] = changes(lc, job["changes"])
        for thread in threading.enumerate()[1:]:
            thread.join()
        gc.freeze()


def work(job: dict[str, Any]) -> int:
    os.environ["LCNB_STATE_DIR"] = job["state"]
    lc = lcnb.connect(token=job["token"], base_url=job["base_url"])
    planned = PLANNED[job["changes"]] if job["do"] == "apply" else None
    if planned is not None:
        planned._client = lc
    wire = Killed(lc.settings)
    wire.before = job["before"]
    wire.clock = lambda: wire.now
    lc._wire = wire
    if planned is None:
        lc.resume(confirm=True)
    else:
        planned.apply(confirm=True, on_error="continue")
    Path(job["state"], "count").write_text(str(wire.count))
    return 0


def main() -> None:
    assert all(LATE)
    gc.freeze()  # what has been imported is not looked through, and so not copied, in each fork
    for line in sys.stdin:
        plan(json.loads(line))
        pid = os.fork()
        if pid == 0:
            try:
                code = work(json.loads(line))
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                code = 1
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
