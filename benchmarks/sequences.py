"""Sequences of changes of the same machine at a slow provider: does each machine end as the last change asked?

Power, plan, password and delete changes, one after the other, each a ChangeSet of its own. Answers take 0 to 90 s, and
the effect comes before, with or after the answer; some answers are lost. The clock is virtual. The truth is the
sandbox's own world, an hour after the last request.
Run alone: `python -m benchmarks.sequences [changes] [seed]`.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Ratio
from benchmarks.virtual import client, send
from lcnb.config import Settings
from lcnb.errors import LcnbError
from lcnb.sandbox import Clock, Sandbox, World
from lcnb.sandbox.faults import Faults
from lcnb.secret import Secret
from lcnb.transport.effects import TransportFailure

CHANGES, ACCOUNT = 10_000, 6
#: From small to large: a disk cannot shrink.
PLANS = ("1vcpu-2gb-20ssd", "2vcpu-4gb-30ssd", "2vcpu-8gb-60ssd", "4vcpu-8gb-80ssd", "8vcpu-32gb-240ssd")
WRITES = {"method": "POST|PUT|DELETE"}
#: What may happen to a write: slow answers in all three orders, and answers that never come.
TROUBLES: list[dict[str, Any]] = [
    *({"kind": "slow", "seconds": seconds, "after": True} for seconds in (0, 10, 30, 55, 75, 90)),
    *({"kind": "slow", "seconds": seconds} for seconds in (0, 10, 25, 40, 55, 65, 80, 90)),
    *(
        {"kind": "slow", "seconds": seconds, "delay": delay}
        for seconds in (0, 25, 55, 90)
        for delay in (5, 30)
    ),
    {"kind": "lose-before"},
    {"kind": "lose-after"},
    {"kind": "late", "seconds": 60},
    {"kind": "error-before", "status": 503},
    {"kind": "error-after", "status": 504},
]


def troubles() -> list[dict[str, Any]]:
    """A script in which each write meets one of the troubles, all equally likely."""
    left = len(TROUBLES)
    return [{**rule, **WRITES, "chance": 1 / (left - place)} for place, rule in enumerate(TROUBLES)]


@dataclass
class Tally:
    """What was reported and what was true, over all changes of one way."""

    changes: int = 0
    machines: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    #: Machines that end in another state than the last change that was reported as done asked for.
    wrong_ends: int = 0
    #: Changes reported as done that were never carried out, or as failed although they were.
    wrong_outcomes: int = 0
    requests: int = 0

    def line(self, name: str) -> str:
        """Return the numbers as one line of text."""
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return (
            f"{name}: {self.changes} changes of {self.machines} machines ({outcomes}); machines in another state than "
            f"asked for {self.wrong_ends}, wrong outcomes {self.wrong_outcomes}, "
            f"{self.requests / max(1, self.changes):.1f} requests a change"
        )


@dataclass(frozen=True)
class Wish:
    """One change that somebody asks for: which property, and its value."""

    what: str
    value: Any

    def path(self) -> str:
        """Return the last part of the URL of this change."""
        return {
            "power": f"power-{self.value}", "plan": "change-plan", "password": "reset-password", "gone": "",
        }[self.what]  # fmt: skip


def wishes(chance: random.Random) -> list[Wish]:
    """Four to six changes of one machine, at times the last one a delete."""
    made: list[Wish] = []
    for place in range(chance.randint(4, 6)):
        what = chance.choice(["power", "power", "power", "plan", "password"])
        resized = sum(wish.what == "plan" for wish in made)
        if what == "power":
            made.append(Wish("power", chance.choice(["on", "off"])))
        elif what == "plan" and resized < len(PLANS):
            made.append(Wish("plan", PLANS[resized]))
        else:
            made.append(Wish("password", f"N3w-Passw0rd-{place}!"))
    return [*made, Wish("gone", True)] if chance.random() < 0.2 else made


def holds(wish: Wish, machine: dict[str, Any] | None) -> bool:
    """Whether a machine is as somebody wished."""
    if machine is None or wish.what == "gone":
        return machine is None and wish.what == "gone"
    if wish.what == "power":
        return bool(machine["booted"] == (wish.value == "on"))
    return bool(machine[wish.what] == wish.value)


def sandbox(seed: int) -> Sandbox:
    """A small account of running machines at MIA1 with every trouble, on a clock that is turned."""
    world = World(Clock(0), number=seed, fleet=0)
    world.profile["balance"] = 1e6
    plan = world._plan("MIA1", "1vcpu-1gb-10ssd")
    for number in range(ACCOUNT):
        world._build(
            "MIA1", plan, f"web-{number}", f"web-{number}", world._image("MIA1", "debian-12-x86_64"), "Old-1"
        )
    box = Sandbox(
        world, "benchmark", faults=Faults.read({"seed": seed, "rules": troubles()}), rate_limit=10_000_000
    )
    world.clock.turn(600)  # type: ignore[attr-defined]
    box.catch_up()
    return box


Way = Callable[[Sandbox, random.Random, Tally, Path], None]


def ours(box: Sandbox, chance: random.Random, tally: Tally, folder: Path) -> None:
    """lcnb: each wish a ChangeSet; one that is refused because the machine is busy is asked for again later."""
    settings = Settings(
        None, Secret(box.token), "benchmark", "http://127.0.0.1/api", "benchmark", 60.0, folder, folder
    )
    lc = client(box, settings, chance.randrange(1_000_000))

    def make(label: str, wish: Wish) -> str:
        for _ in range(50):
            try:
                changes = change_of(lc, label, wish)
                if not changes.changes:
                    return "nothing to do"
                return str(changes.apply(confirm=True, on_error="continue").outcome[0])
            except LcnbError:  # busy, or not as planned any more: nothing was sent
                box.world.clock.turn(15)  # type: ignore[attr-defined]
        return "refused"

    judge(box, chance, tally, make)
    tally.requests += lc._wire.requests  # type: ignore[attr-defined]


def change_of(lc: Any, label: str, wish: Wish) -> Any:
    """The ChangeSet of a wish."""
    if wish.what == "power":
        return (lc.power_on if wish.value == "on" else lc.power_off)(label=label)
    if wish.what == "plan":
        return lc.change_plan(label=label, plan=wish.value)
    if wish.what == "password":
        return lc.reset_password(label=label, password=wish.value)
    return lc.delete_instance(label=label)


def usual(box: Sandbox, chance: random.Random, tally: Tally, _: Path) -> None:
    """A usual client: give up after 20 s, send again up to four times, and go on."""

    def make(label: str, wish: Wish) -> str:
        machine = next((each for each in box.world.machines if each["label"] == label), None)
        if machine is None:
            return "refused"
        path = f"/instances/{machine['identifier']}/{wish.path()}".rstrip("/")
        body = {"plan": {"plan_slug": wish.value}, "password": {"password": wish.value}}.get(wish.what)
        for _ in range(5):
            outcome = send(box, "DELETE" if wish.what == "gone" else "PUT", path, body, 20.0)
            tally.requests += 1
            if (
                not isinstance(outcome, TransportFailure)
                and outcome.status == 200
                and b'"success": true' in outcome.body
            ):
                return "done"
            box.world.clock.turn(chance.uniform(5, 20))  # type: ignore[attr-defined]
        return "failed"

    judge(box, chance, tally, make)


def judge(box: Sandbox, chance: random.Random, tally: Tally, make: Callable[[str, Wish], str]) -> None:
    """Have each machine's wishes made, and compare an hour later what was reported with what is true."""
    for machine in list(box.world.machines):
        label, identifier = machine["label"], machine["identifier"]
        last: dict[str, tuple[Wish, str]] = {}
        for wish in wishes(chance):
            begun = len(box.log)
            outcome = make(label, wish)
            tally.changes += 1
            tally.outcomes[outcome] += 1
            if outcome not in ("refused", "failed", "not tried"):
                last[wish.what] = wish, outcome
            tally.wrong_outcomes += _is_wrong(box, begun, identifier, outcome)
            box.world.clock.turn(1)  # type: ignore[attr-defined]
        box.world.clock.turn(3600)  # type: ignore[attr-defined]
        box.catch_up()
        found = next((each for each in box.world.machines if each["identifier"] == identifier), None)
        tally.machines += 1
        kinds = ["gone"] if "gone" in last else list(last)
        tally.wrong_ends += any(
            not holds(wish, found) for wish, outcome in (last[kind] for kind in kinds) if outcome != "unknown"
        )


def _is_wrong(box: Sandbox, begun: int, identifier: str, outcome: str) -> bool:
    """Whether an outcome differs from what the sandbox did, or will do, with the requests of a change."""
    written = [
        entry for entry in list(box.log)[begun:] if identifier in entry["path"] and entry["method"] != "GET"
    ]
    carried_out = any(entry.get("committed") or "due" in entry for entry in written)
    return (outcome == "done" and not carried_out) or (outcome in ("failed", "not tried") and carried_out)


def tally(way: Way, changes: int, seed: int = 0) -> Tally:
    """So many changes of one way, in accounts of a few machines."""
    total = Tally()
    chance = random.Random(seed)
    shared = Path("/dev/shm")  # in memory where there is some: this measures no disk
    while total.changes < changes:
        folder = Path(tempfile.mkdtemp(prefix="lcnb-", dir=shared if shared.is_dir() else None))
        try:
            way(sandbox(chance.randrange(1_000_000)), chance, total, folder)
        finally:
            shutil.rmtree(folder)
    return total


def run(changes: int = CHANGES, seed: int = 0) -> Iterator[Ratio]:
    """Yield the ratio of wrong ends and outcomes to those of a usual client."""
    found = {"lcnb": tally(ours, changes, seed), "usual client": tally(usual, changes, seed)}
    for name, each in found.items():
        print(each.line(name), flush=True)
    bad = found["lcnb"].wrong_ends + found["lcnb"].wrong_outcomes
    theirs = found["usual client"].wrong_ends + found["usual client"].wrong_outcomes
    name = f"{changes:,} changes at a slow provider: wrong ends and outcomes / those of a usual client"
    yield Ratio(name, bad, max(1, theirs), "0", bad == 0)


if __name__ == "__main__":
    for ratio in run(*map(int, sys.argv[1:3])):
        print(f"{ratio.name}: {ratio.ratio:.3f} ({'holds' if ratio.holds else 'does not hold'})")
