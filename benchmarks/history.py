"""A year of an account, read every hour: is the past what it was, and does the true cost lie within the bounds?

Machines are created, deleted, resized, renamed, turned off, and tagged at any time; plans become dearer; readings fail,
are partial, come in the wrong order, or are missing for hours. The truth is the simulated account. It keeps to the
assumption of the bounds: no machine changes twice between two complete readings. The same seed simulates the same
account, so it is simulated twice: to be read, and to be compared.
Run alone: `python -m benchmarks.history [hours] [machines] [seed]`.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measure import Ratio, medians
from lcnb.api.fields import Drift
from lcnb.api.listing_reader import Listing
from lcnb.api.queries import InventoryParts
from lcnb.facts.machine_facts import MachineFacts
from lcnb.frames.inventory import inventory_frame
from lcnb.frames.pricing import HOURS_PER_MONTH
from lcnb.history.contents import is_meter
from lcnb.history.folding import Reading
from lcnb.history.past import inventory_parts, past_inventory
from lcnb.history.readings import (
    FACTS,
    INSTANCES,
    facts_reading,
    failed_reading,
    inventory_readings,
    read_facts,
)
from lcnb.history.spending import spending_frame
from lcnb.history.store import AccountIdentity, HistoryFile

HOURS, MACHINES = 8_760, 500
MAX_FILE_BYTES, MAX_PAST_S = 50_000_000, 0.2
HOUR_MS = 3_600_000
START_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
IDENTITY = AccountIdentity("https://api.example.com/api", "key", "prod")
LOCATIONS = {"MIA1": "USD", "LON1": "USD", "SAO1": "BRL"}
PROJECTS = ("shop", "lab", "ci", "")
#: CPUs, memory, disk, price per month.
SIZES = ((1, 1024, 10, 5.4), (1, 2048, 20, 10.0), (2, 4096, 30, 17.7), (4, 8192, 80, 45.9))
#: Kind of event → how many there are per hour and machine.
EVENTS = {
    "create": 0.0006,
    "delete": 0.0006,
    "resize": 0.0008,
    "rename": 0.0004,
    "power": 0.01,
    "tag": 0.0006,
}
#: How often a plan becomes dearer, a reading fails, is partial, or comes after the next one; and longer gaps, per hour.
DEARER, FAILED, PARTIAL, LATE, OUTAGE = 0.001, 0.02, 0.02, 0.02, 0.002

Amounts = dict[tuple[str, str | None, str], float]


@dataclass
class Machine:
    """A machine of the simulated account, and since when it costs what it costs now."""

    record: dict[str, Any]
    size: int
    project: str
    since: float


@dataclass
class Account:
    """The simulated account. `amounts` holds what it cost: month, tag, currency → amount."""

    chance: random.Random
    machines: dict[str, Machine] = field(default_factory=dict)
    prices: dict[tuple[str, int], float] = field(default_factory=dict)
    amounts: Amounts = field(default_factory=lambda: defaultdict(float))
    #: Machines that changed since the last complete reading.
    touched: set[str] = field(default_factory=set)
    created: int = 0
    hour: int = 0

    def create(self, at: float) -> None:
        """Add a machine."""
        self.created += 1
        identifier = f"m{self.created:015d}"
        location = self.chance.choice(list(LOCATIONS))
        size = self.chance.randrange(len(SIZES))
        record = {
            "identifier": identifier, "label": f"web-{self.created}", "hostname": f"web-{self.created}.example.com",
            "booted": True, "built": True, "locked": False, "suspended": False,
            "ip_addresses": [{"address": f"198.18.{self.created >> 8 & 255}.{self.created & 255}"}],
            "template_label": "Debian 12 x86_64", "initial_root_password": "Canary-1234567890!",
            "location": {"slug": location, "city": "Miami", "country": "United States"}, "vm_id": self.created,
        }  # fmt: skip
        machine = Machine(record, size, self.chance.choice(PROJECTS), at)
        machine.record = {**record, **_size_fields(size)}
        self.machines[identifier] = machine
        self.touched.add(identifier)

    def change(self, kind: str, at: float) -> None:
        """Let something happen to a machine that has not changed since the last complete reading."""
        free = [each for each in self.machines if each not in self.touched]
        if kind == "create":
            self.create(at)
        elif free:
            identifier = self.chance.choice(free)
            self.touched.add(identifier)
            self._change_machine(kind, identifier, at)

    def _change_machine(self, kind: str, identifier: str, at: float) -> None:
        machine = self.machines[identifier]
        self.charge(machine, at)
        if kind == "delete":
            del self.machines[identifier]
        elif kind == "resize":
            machine.size = self.chance.randrange(len(SIZES))
            machine.record = {**machine.record, **_size_fields(machine.size)}
        elif kind == "rename":
            machine.record = {**machine.record, "label": f"renamed-{self.chance.randrange(1000)}"}
        elif kind == "power":
            machine.record = {**machine.record, "booted": not machine.record["booted"]}
        else:
            machine.project = self.chance.choice(PROJECTS)

    def make_dearer(self, at: float) -> None:
        """Change the price of one size at one location."""
        location, size = self.chance.choice(list(self.prices))
        for machine in self.machines.values():
            self.charge(machine, at)
        self.prices[location, size] *= 1.1

    def charge(self, machine: Machine, until: float) -> None:
        """Add what a machine has cost until now, by months."""
        location = machine.record["location"]["slug"]
        rate = round(self.prices[location, machine.size], 2) / HOURS_PER_MONTH / HOUR_MS
        begin = machine.since
        while begin < until:
            month, following = _month(begin)
            end = min(until, following)
            self.amounts[month, machine.project or None, LOCATIONS[location]] += rate * (end - begin)
            begin = end
        machine.since = until

    def parts(self) -> InventoryParts:
        """Return the listings as the API would return them now."""
        machines: list[tuple[str, Any]] = [
            (f"$.data[{place}]", {**each.record, "updated_at": self.hour})
            for place, each in enumerate(self.machines.values())
        ]
        places: list[tuple[str, Any]] = [
            ("", {"slug": slug, "city": "Miami", "country": "United States"}) for slug in LOCATIONS
        ]
        plans = Listing()
        for (location, size), price in self.prices.items():
            record = {
                "slug": f"size-{size}", "location": location, "core": SIZES[size][0],
                "memory": SIZES[size][1], "disk": SIZES[size][2], "currencycode": LOCATIONS[location],
                "monthly_value": f"{price:.2f}",
            }  # fmt: skip
            plans.records.append(("", record))
        plans.locations = tuple(LOCATIONS)
        return InventoryParts(
            Listing(machines), Listing(places), {"currency": "$", "email": "me@example.com"}, plans
        )

    def facts(self) -> dict[str, MachineFacts]:
        """Return the tags of the machines."""
        return {
            identifier: MachineFacts(identifier, tags={"project": each.project} if each.project else {})
            for identifier, each in self.machines.items()
        }


def _size_fields(size: int) -> dict[str, Any]:
    return dict(zip(("cpus", "memory", "total_disk_size"), SIZES[size], strict=False))


def _month(at: float) -> tuple[str, float]:
    """Return the month of a time, and the begin of the next one."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    following = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
    return f"{moment:%Y-%m}", following.timestamp() * 1000


@dataclass(frozen=True)
class Step:
    """One attempt to read the account: complete, partial or failed."""

    at: int
    outcome: str


def simulate(account: Account, hours: int, machines: int) -> Iterator[Step]:
    """Let the hours pass, and yield at each reading. The first and the last reading are complete."""
    chance = account.chance
    account.prices = {(place, size): SIZES[size][3] for place in LOCATIONS for size in range(len(SIZES))}
    for _ in range(machines):
        account.create(START_MS)
    outage = 0
    for hour in range(hours):
        account.hour = hour
        at = START_MS + hour * HOUR_MS + (chance.randrange(600_000) if hour else 0)
        if hour:
            _let_happen(account, machines, at - HOUR_MS // 2, at - 1)
        outage = max(outage - 1, 0) or (chance.randrange(2, 24) if chance.random() < OUTAGE else 0)
        outcome = chance.choices(["complete", "failed", "partial"], [1 - FAILED - PARTIAL, FAILED, PARTIAL])[
            0
        ]
        if hour in (0, hours - 1):
            outcome = "complete"
        elif outage:
            continue
        if outcome == "complete":
            account.touched.clear()
        yield Step(at, outcome)
    for machine in account.machines.values():
        account.charge(machine, at)


def _let_happen(account: Account, machines: int, begin: float, end: float) -> None:
    """Let some things happen between two times; what was touched since the last complete reading stays as it is."""
    chance = account.chance
    if chance.random() < DEARER and not account.touched:
        account.make_dearer(begin)
        account.touched.update(account.machines)
        return
    for kind, rate in EVENTS.items():
        count = int(rate * machines) + (chance.random() < rate * machines % 1)
        for _ in range(count):
            account.change(kind, chance.uniform(begin, end))


# --- reading and comparing ------------------------------------------------------------------------------


def read_year(file: HistoryFile, hours: int, machines: int, seed: int) -> Account:
    """Fold the readings of a simulated account, some of them after the next one; return the account at the end."""
    account = Account(random.Random(seed))
    order = random.Random(seed + 1)
    held: tuple[list[Reading], int] | None = None
    for step in simulate(account, hours, machines):
        readings = step_readings(account, step)
        if held is None and step.at != START_MS and order.random() < LATE:
            held = readings, step.at
            continue
        file.fold(IDENTITY, readings, step.at)
        if held:
            file.fold(IDENTITY, *held)
            held = None
    if held:
        file.fold(IDENTITY, *held)
    return account


def step_readings(account: Account, step: Step) -> list[Reading]:
    """Return what a reading of the account finds."""
    if step.outcome == "failed":
        return [failed_reading(INSTANCES, "HTTP 503")]
    parts = account.parts()
    if step.outcome == "partial":
        half = parts.instances.records[::2]
        parts.instances = Listing(half, [Drift("$", "has_more reports more records, which were not read")])
        return inventory_readings(parts)
    return [*inventory_readings(parts), facts_reading(account.facts())]


def count_wrong_states(
    file: HistoryFile, hours: int, machines: int, seed: int, frame_every: int
) -> tuple[int, int]:
    """Compare the past at each reading with the truth; return how many were compared, and how many differ.

    The listings of which the inventory consists are compared at each reading, the whole frame at some of them.
    """
    account = Account(random.Random(seed))
    compared = wrong = 0
    expected: InventoryParts | None = None
    tags: dict[str, str] = {}
    known: dict[str, MachineFacts] = {}
    with file.read(IDENTITY) as stored:
        for step in simulate(account, hours, machines):
            if step.outcome == "complete":
                expected = account.parts()
                known = account.facts()
                tags = {key: each.project for key, each in account.machines.items() if each.project}
            compared += 1
            if expected is None:
                continue
            found = inventory_parts(stored, step.at)
            facts = {key: read_facts(each).tags for key, each in stored.records_at(FACTS, step.at).items()}
            same = _plain(found.instances) == _plain(expected.instances)
            same &= facts == {key: {"project": value} for key, value in tags.items()}
            if same and compared % frame_every == 0:
                frame = inventory_frame(expected, facts=known)
                same = _same_frames(past_inventory(stored, step.at), frame)
            wrong += not same
    return compared, wrong


def _plain(listing: Listing) -> dict[str, dict[str, Any]]:
    """Return the machines of a listing without what the history leaves out."""
    return {
        record["identifier"]: {
            name: value
            for name, value in record.items()
            if name != "initial_root_password" and not is_meter(name)
        }
        for record in listing.iter_records()
    }


def _same_frames(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    first, second = (each.sort_values("identifier").reset_index(drop=True) for each in (found, expected))
    return bool(first.equals(second)) and list(first.dtypes) == list(second.dtypes)


def count_outside_bounds(file: HistoryFile, account: Account) -> tuple[int, int, float]:
    """Compare the true cost of each month, tag and currency with its bounds.

    Returns how many there are, how many lie outside, and the distance of the bounds relative to the total cost.
    """
    with file.read(IDENTITY) as stored:
        frame = spending_frame(stored, 0, START_MS * 10, "tag:project", "MS")
    bounds = {
        (f"{month:%Y-%m}", None if pd.isna(group) else group, code): (lower, upper)
        for month, group, code, lower, upper in zip(
            frame.month, frame.group, frame.currencycode, frame.lower, frame.upper, strict=True
        )
    }
    outside = sum(
        not (key in bounds and bounds[key][0] - 1e-4 <= amount <= bounds[key][1] + 1e-4)
        for key, amount in account.amounts.items()
    )
    total = sum(account.amounts.values())
    return len(account.amounts), outside, float((frame.upper - frame.lower).sum()) / total


def run(hours: int = HOURS // 24, machines: int = MACHINES, seed: int = 1) -> Iterator[Ratio]:
    """Yield size, times and mistakes of the history of a simulated account, by default of half a month."""
    with tempfile.TemporaryDirectory() as folder:
        file = HistoryFile(Path(folder))
        began = time.perf_counter()
        account = read_year(file, hours, machines, seed)
        size = file.path.stat().st_size * HOURS / hours
        _say(f"{hours:,} readings in {time.perf_counter() - began:.0f} s, {size / 1e6:.1f} MB per year")
        yield Ratio("history of a year / 50 MB", size, MAX_FILE_BYTES, "at most 1", size <= MAX_FILE_BYTES)
        compared, wrong = count_wrong_states(file, hours, machines, seed, frame_every=25)
        _say(f"{compared:,} readings compared with the truth, {wrong} differ")
        name = "states of the past that differ from the truth / readings"
        yield Ratio(name, wrong, compared, "0", not wrong)
        count, outside, width = count_outside_bounds(file, account)
        _say(
            f"{count} amounts, {outside} outside of their bounds; the bounds are {width:.2%} of the cost apart"
        )
        name = "true costs outside of their bounds / months, tags and currencies"
        yield Ratio(name, outside, count, "0", not outside)
        yield from _measure_times(file, account, hours)


def _measure_times(file: HistoryFile, account: Account, hours: int) -> Iterator[Ratio]:
    middle = START_MS + hours // 2 * HOUR_MS

    def past() -> None:
        with file.read(IDENTITY) as stored:
            past_inventory(stored, middle)

    parts, at = account.parts(), START_MS + (hours + 1) * HOUR_MS
    facts = account.facts()

    def fold() -> None:
        nonlocal at
        at += HOUR_MS
        file.fold(IDENTITY, [*inventory_readings(parts), facts_reading(facts)], at)

    ours, theirs = medians(past, lambda: inventory_frame(parts), 15)
    _say(f"inventory(at=) of {len(account.machines)} machines: {ours * 1000:.0f} ms")
    yield Ratio("inventory(at=) / 200 ms", ours, MAX_PAST_S, "at most 1", ours <= MAX_PAST_S)
    ours, theirs = medians(fold, lambda: inventory_frame(parts), 15)
    _say(f"an unchanged reading: {ours * 1000:.1f} ms; its inventory: {theirs * 1000:.1f} ms")
    name = "storing an unchanged reading / making its inventory"
    yield Ratio(name, ours, theirs, "at most 2", ours <= 2 * theirs)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    for found in run(*(given + [HOURS, MACHINES, 1][len(given) :])):
        print(
            f"{found.name}: {found.ratio:.3f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
        )
