"""10,000 creates under a seeded mix of all faults: their outcomes, compared with two usual ways.

The clock is virtual. `truth` is the sandbox's own log and fleet, an hour after the last request.
Run alone: `python -m benchmarks.creates [number]`.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from benchmarks.measure import Ratio
from benchmarks.virtual import client, send
from lcnb.changes.journal import Journal
from lcnb.config import Settings
from lcnb.sandbox import Clock, Sandbox, World
from lcnb.sandbox.faults import Faults
from lcnb.secret import Secret
from lcnb.transport.effects import TransportFailure

CREATES, BATCH = 10_000, 20
SPEC: dict[str, Any] = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}
POST = {"method": "POST", "path": "^/instances$"}
LIST = {"method": "GET", "path": "^/instances$"}
RULES = [
    {"kind": "lose-before", "chance": 0.06, **POST},
    {"kind": "lose-after", "chance": 0.08, **POST},
    {"kind": "late", "seconds": 20, "chance": 0.04, **POST},
    {"kind": "late", "seconds": 140, "chance": 0.02, **POST},
    {"kind": "error-before", "status": 503, "chance": 0.06, **POST},
    {"kind": "error-after", "status": 503, "chance": 0.06, **POST},
    {"kind": "error-after", "status": 500, "chance": 0.02, **POST},
    {"kind": "reset", "chance": 0.03, **POST},
    {"kind": "reset", "after": True, "chance": 0.03, **POST},
    {"kind": "truncate", "chance": 0.04, **POST},
    {"kind": "stall", "chance": 0.02, **POST},
    {"kind": "stall", "after": True, "chance": 0.02, **POST},
    {"kind": "html", "chance": 0.03, **POST},
    {"kind": "html", "after": True, "status": 200, "chance": 0.03, **POST},
    {"kind": "throttle", "retry_after": 3, "chance": 0.04, **POST},
    {"kind": "throttle", "chance": 0.03, **POST},
    {"kind": "stuck", "chance": 0.02, **POST},
    {"kind": "lag", "seconds": 60, "chance": 0.2, **LIST},
    {"kind": "error-before", "chance": 0.08, "method": "GET"},
    {"kind": "lose-after", "chance": 0.05, "method": "GET"},
    {"kind": "html", "chance": 0.03, "method": "GET"},
    {"kind": "truncate", "chance": 0.03, "method": "GET"},
    {"kind": "stall", "chance": 0.01, "method": "GET"},
    {"kind": "throttle", "retry_after": 2, "chance": 0.03, "method": "GET"},
]


@dataclass
class Tally:
    """What was reported and what was true, over all creates of one way."""

    creates: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    silent_twins: int = 0
    paid_but_failed: int = 0
    done_but_absent: int = 0
    lost_intents: int = 0
    requests: int = 0

    def add(self, outcome: str, machines: int) -> None:
        """Count one create with its reported outcome and the number of machines that exist."""
        self.creates += 1
        self.outcomes[outcome] += 1
        self.silent_twins += machines > 1 and outcome != "twins"
        self.paid_but_failed += machines > 0 and outcome in ("failed", "not tried")
        self.done_but_absent += machines == 0 and outcome == "done"

    def line(self, name: str) -> str:
        """Return the numbers as one line of text."""
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        share = 100 / max(1, self.creates)
        return (
            f"{name}: {self.creates} creates ({outcomes}); silent twins {self.silent_twins} "
            f"({self.silent_twins * share:.2f} %), paid for but reported failed {self.paid_but_failed} "
            f"({self.paid_but_failed * share:.2f} %), reported done but absent {self.done_but_absent}, lost intents "
            f"{self.lost_intents}, {self.requests / max(1, self.creates):.1f} requests a create"
        )


def sandbox(seed: int) -> Sandbox:
    """An empty account with enough money, the faults of this seed, and a clock that is turned."""
    world = World(Clock(0), number=seed, fleet=0)
    world.profile["balance"] = 1e6
    return Sandbox(
        world, "benchmark", faults=Faults.read({"seed": seed, "rules": RULES}), rate_limit=1_000_000
    )


def truth(box: Sandbox) -> Counter[str]:
    """Label → machines that were made, late ones too."""
    box.world.clock.turn(3600)  # type: ignore[attr-defined]
    box.catch_up()
    return Counter(
        str(entry["body"]["label"])
        for entry in box.log
        if entry.get("committed") and entry["method"] == "POST" and entry["path"] == "/api/instances"
    )


def ours(seed: int, labels: list[str], tally: Tally, folder: Path) -> None:
    """lcnb: one ChangeSet of all labels."""
    box = sandbox(seed)
    settings = Settings(
        None, Secret(box.token), "benchmark", "http://127.0.0.1/api", "benchmark", 60.0, folder, folder
    )
    lc = client(box, settings, seed)
    outcomes: dict[str, str] = {}
    try:
        changes = reduce(add, [lc.create_instance(label, **SPEC) for label in labels])
        result = changes.apply(confirm=True, on_error="continue")
        outcomes = dict(zip(result["target"], result["outcome"], strict=True))
    except Exception as error:  # the account could not even be read: nothing may have been sent
        tally.outcomes[type(error).__name__] += 1
    made = truth(box)
    journaled = {entry.target for entry in Journal(folder).entries()}
    for label in labels:
        tally.add(outcomes.get(label, "not tried"), made[label])
        tally.lost_intents += bool(made[label]) and label not in journaled
    tally.requests += lc._wire.requests  # type: ignore[attr-defined]


def usual(retries: int) -> Callable[[int, list[str], Tally, Path], None]:
    """POST, and on anything but a success POST again, at most `retries` times; then it failed."""

    def way(seed: int, labels: list[str], tally: Tally, folder: Path) -> None:
        box, chance = sandbox(seed), random.Random(seed)
        outcomes = {}
        for label in labels:
            body = {
                "location_slug": "MIA1", "plan_slug": SPEC["plan"], "image_slug": SPEC["image"], "label": label,
                "hostname": label, "password": "Str0ng-Passw0rd",
            }  # fmt: skip
            outcomes[label] = "failed"
            for _ in range(retries + 1):
                outcome = send(box, "POST", "/instances", body)
                tally.requests += 1
                box.world.clock.turn(chance.uniform(0.5, 2.0))  # type: ignore[attr-defined]
                if (
                    not isinstance(outcome, TransportFailure)
                    and outcome.status == 200
                    and _success(outcome.body)
                ):
                    outcomes[label] = "done"
                    break
        made = truth(box)
        for label in labels:
            tally.add(outcomes[label], made[label])

    return way


def _success(body: bytes) -> bool:
    try:
        return json.loads(body).get("success") is True
    except (ValueError, AttributeError):
        return False


def tally(way: Callable[[int, list[str], Tally, Path], None], creates: int, batch: int = BATCH) -> Tally:
    """All creates of one way, in batches, each in an account of its own."""
    total = Tally()
    for number in range(creates // batch):
        # In memory where there is some: this counts what happens, and measures no disk.
        shared = Path("/dev/shm")
        folder = Path(tempfile.mkdtemp(prefix="lcnb-", dir=shared if shared.is_dir() else None))
        try:
            way(number, [f"web-{number}-{each}" for each in range(batch)], total, folder)
        finally:
            shutil.rmtree(folder)
    return total


def run(creates: int = CREATES) -> Iterator[Ratio]:
    """Yield the ratio of wrong outcomes under faults to the twins of a blind retry."""
    found = {
        "lcnb": tally(ours, creates),
        "blind retry (4 times)": tally(usual(4), creates),
        "no retry": tally(usual(0), creates),
    }
    for name, each in found.items():
        print(each.line(name), flush=True)
    wrong = found["lcnb"]
    bad = wrong.silent_twins + wrong.paid_but_failed + wrong.lost_intents + wrong.done_but_absent
    theirs = found["blind retry (4 times)"].silent_twins
    name = f"{creates:,} creates under faults: twins, losses or wrong outcomes / twins of a blind retry"
    yield Ratio(name, bad, max(1, theirs), "0", bad == 0)


if __name__ == "__main__":
    for ratio in run(int(sys.argv[1]) if len(sys.argv) > 1 else CREATES):
        print(f"{ratio.name}: {ratio.ratio:.3f} ({'holds' if ratio.holds else 'does not hold'})")
