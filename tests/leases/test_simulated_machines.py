"""Many contended locks on three machines, on a time that is turned: a referee never sees two holders write."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from simulated import TIMES, Machine, TroubledStore, World

from lcnb.errors import Locked, StoreUnavailable
from lcnb.leases.lease import LeaseStore
from lcnb.leases.records import LockName
from lcnb.object_store import ObjectStore, open_store

#: A process is stopped in the middle of what it does at most as often as this at the same time.
MAX_STOPPED = 6


@dataclass
class Referee:
    """Receives the writes: lock, lease, fencing token, arrival and effect, by the true time."""

    writes: list[tuple[str, str, int, float, float]] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Return each write that came before the effect of one of another holder, or after one of a later holder."""
        found = []
        for place, (lock, lease, fence, at, _) in enumerate(self.writes):
            for other, holder, token, _, effect in self.writes[max(0, place - 60) : place]:
                if other == lock and holder != lease and (at < effect or fence < token):
                    found.append(f"{lease} wrote {lock} at {at}, {holder} until {effect}")
        return found


@dataclass
class Simulation:
    """Processes of three machines. Where one is stopped, the others go on, and then it continues."""

    store: LeaseStore
    machines: list[Machine]
    world: World
    chance: random.Random
    referee: Referee = field(default_factory=Referee)
    outcomes: Counter[str] = field(default_factory=Counter)
    stopped: list[str] = field(default_factory=list)

    def attempt(self) -> None:
        """Let a process of a machine that has none try to take a lock and to write under it."""
        idle = [each for each in self.machines if each.name not in self.stopped]
        if not idle:
            return
        machine = self.chance.choice(idle)
        machine.wall_offset += self.chance.uniform(-30, 30) - machine.wall_offset * (
            self.chance.random() < 0.5
        )
        self.stopped.append(machine.name)
        try:
            self.outcomes[self.hold(machine)] += 1
        finally:
            self.stopped.remove(machine.name)

    def hold(self, machine: Machine) -> str:
        name = LockName(f"locks/instance-{self.chance.randrange(2)}.json", "a machine")
        store = TroubledStore(self.store, before=lambda: self.maybe_stop(0.15))
        try:
            lease = machine.begin(store)
            wait_s = self.chance.choice([0, 0, 60, 500])
            taken = machine.take(lease, name, wait_s, self.sleep)
        except (Locked, StoreUnavailable):
            return "refused"
        if (
            stays_s := taken.inherited_until - machine.clock().steady
        ) > 0:  # then the journal refuses a change
            lease.end(["a change"], stays_s)
            return "inherited"
        for _ in range(self.chance.randint(1, 4)):
            if lease.ensure():
                return "lost"
            self.maybe_stop(0.2)
            if lease.problem():
                return "lost at the last check"
            effect = self.world.now + TIMES.margin_s * self.chance.random() ** 2
            self.referee.writes.append((name.key, lease.record.id, taken.fence, self.world.now, effect))
            if self.chance.random() < 0.1:
                return "killed"
            if self.chance.random() < 0.1:
                lease.end(["a change"], TIMES.margin_s)
                return "interrupted"
            self.sleep(effect - self.world.now)
        lease.end()
        return "written"

    def sleep(self, seconds: float) -> None:
        """Let time pass in which the others go on."""
        until = self.world.now + seconds
        while self.world.now < until:
            if len(self.stopped) < MAX_STOPPED and self.chance.random() < 0.3:
                self.attempt()
            self.world.now = max(self.world.now, min(until, self.world.now + self.chance.uniform(1, 20)))

    def maybe_stop(self, chance: float) -> None:
        """Stop the process at times, at times for longer than a lease lasts."""
        if self.chance.random() < chance:
            self.sleep(self.chance.choice([5, 50, 70, 400, 1000]))


@pytest.mark.parametrize("seed", range(2))
def test_never_two_holders(memory: Path, tmp_path: Path, seed: int) -> None:
    """In 250 attempts with stops, kills, interrupts and wall clocks that are set, no two holders ever write."""
    world = World()
    machines = [
        Machine(name, world, tmp_path / name, steady_offset=number * 1e6)
        for number, name in enumerate(("one", "two", "three"))
    ]
    store: ObjectStore = open_store(f"file://{memory}/store")
    simulation = Simulation(store, machines, world, random.Random(seed))
    while simulation.outcomes.total() < 250:
        simulation.attempt()
        world.now += simulation.chance.uniform(0, 100)
    assert simulation.referee.problems() == []
    assert {"refused", "written", "killed", "interrupted", "inherited"} <= set(simulation.outcomes)
    assert simulation.outcomes["lost"] + simulation.outcomes["lost at the last check"]
    assert len(simulation.referee.writes) > 50


def test_referee_sees_it() -> None:
    """The referee reports a write before the effect of another holder's, and one after a later holder's."""
    first = ("lock", "one", 1, 0.0, 10.0)
    assert Referee([first, ("lock", "two", 2, 9.0, 9.5)]).problems()
    assert Referee([("lock", "two", 2, 0.0, 1.0), ("lock", "one", 1, 5.0, 6.0)]).problems()
    assert not Referee([first, ("lock", "two", 2, 10.0, 11.0), ("other", "one", 1, 10.0, 12.0)]).problems()
