"""A lease: who may start requests and who may take over, whatever the clocks of the machines say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from simulated import TIMES, WEB_01, Machine, TroubledStore, World

from lcnb.errors import Locked, StoreConflict, StoreUnavailable
from lcnb.leases.lease import Lease
from lcnb.leases.records import LockName
from lcnb.object_store import ObjectStore, open_store

#: Offsets of the wall clocks of two machines, in seconds.
OFFSETS = [(0.0, 0.0), (30.0, -30.0), (-30.0, 30.0), (86_400.0, 0.0)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(f"file://{tmp_path}/store")


@pytest.fixture
def machines(world: World, tmp_path: Path) -> tuple[Machine, Machine]:
    return Machine("one", world, tmp_path / "one"), Machine("two", world, tmp_path / "two", steady_offset=5e6)


@pytest.mark.parametrize(("offset", "other"), OFFSETS)
def test_takeover(
    store: ObjectStore, machines: tuple[Machine, Machine], world: World, offset: float, other: float
) -> None:
    """Another machine takes over when it has seen the lease unchanged for the whole time, by its own clock."""
    one, two = machines
    one.wall_offset, two.wall_offset = offset, other
    lease = one.begin(store)
    assert one.take(lease).fence == 1
    world.now += 10_000  # nobody has looked meanwhile, so this does not count
    rival = two.begin(store)
    for _ in range(2):
        with pytest.raises(Locked, match=r"web-01 \(a\) is locked by ana on one \(process 1\) since 20"):
            two.take(rival)
        world.now += TIMES.lease_s / 2 - 1
    with pytest.raises(Locked, match="try again in 2 s"):
        two.take(rival)
    world.now += 2
    assert two.take(rival).fence == 2
    lease.renew()
    assert lease.problem() == "the lock is lost: it was ended"
    with pytest.raises(StoreConflict):  # a write of the last holder that was on its way
        store.write(lease.record.key, b"{}", expected=lease._version)


def test_renewed_in_time(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """A lease that is renewed is never taken over, however long another machine waits."""
    one, two = machines
    lease = one.begin(store)
    one.take(lease)

    def wait(seconds: float) -> None:
        world.now += seconds
        if lease.left_s() < 45:
            lease.renew()

    with pytest.raises(Locked):
        two.take(two.begin(store), wait_s=3600, sleep=wait)
    assert lease.problem() == ""


def test_waits_for_the_end(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """A machine that waits gets the lock when its holder ends the lease, or when it does not renew it."""
    one, two = machines
    lease = one.begin(store)
    one.take(lease)

    def wait(seconds: float) -> None:
        world.now += seconds
        if world.now > 20:
            lease.end()

    assert two.take(two.begin(store), wait_s=60, sleep=wait).fence == 2
    assert world.now < 30
    three = Machine("three", world, one.folder.parent / "three")
    began = world.now
    assert three.take(three.begin(store), wait_s=3600).fence == 3
    assert TIMES.lease_s <= world.now - began <= TIMES.lease_s + TIMES.poll_s


@pytest.mark.parametrize(
    ("steady", "wall", "proven"),
    [(54, 54, True), (56, 56, False), (56, 0, False), (0, 56, False), (0, -3600, True)],
    ids=[
        "in time",
        "late",
        "the wall clock was set back",
        "paused, and the steady clock with it",
        "set back",
    ],
)
def test_holder_counts_the_longer_time(
    store: ObjectStore, machines: tuple[Machine, Machine], steady: float, wall: float, proven: bool
) -> None:
    """The holder starts no request when either of its clocks says that the time is over."""
    one, _ = machines
    lease = one.begin(store)
    one.steady_offset += steady
    one.wall_offset += wall
    assert (lease.problem() == "") is proven
    assert lease.ensure() == ""  # nobody has taken over, so the lease can be renewed
    assert lease.left_s() == TIMES.proven_s


def test_time_counts_from_before_the_renewal(
    store: ObjectStore, machines: tuple[Machine, Machine], world: World
) -> None:
    """A renewal that took long proves the lease from the moment at which it was begun."""
    one, _ = machines

    def be_slow() -> None:
        world.now += 20

    lease = one.begin(TroubledStore(store, before=be_slow))
    assert lease.left_s() == TIMES.proven_s - 20


def test_store_away(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """Without the store a holder may go on until its lease is over, and again when the store is back."""
    one, _ = machines
    troubled = TroubledStore(store)
    lease = one.begin(troubled)
    troubled.away = True
    world.now += 40
    assert lease.ensure() == ""
    world.now += 20
    assert lease.ensure() == "the lock cannot be proven any more: the store did not answer"
    troubled.away = False
    assert lease.ensure() == ""


def test_lost_response(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """A renewal that arrived although its response was lost is not taken for that of another process."""
    one, _ = machines
    troubled = TroubledStore(store)
    lease = one.begin(troubled)
    troubled.lost = 1
    with pytest.raises(StoreUnavailable):
        lease.renew()
    world.now += 50
    assert lease.ensure() == ""
    assert lease.record.renewals == 3


def test_seen_by_several_processes(
    store: ObjectStore, machines: tuple[Machine, Machine], world: World
) -> None:
    """Processes that do not wait add up what they saw; a restart of their computer begins anew."""
    one, two = machines
    one.take(one.begin(store))
    for _ in range(3):
        with pytest.raises(Locked):
            two.take(two.begin(store))
        world.now += TIMES.lease_s / 2 if two.name == "two" else 0
        two.name = "two, started again"
    world.now += TIMES.lease_s / 2
    with pytest.raises(Locked):
        two.take(two.begin(store))
    world.now += TIMES.lease_s / 2
    assert two.take(two.begin(store)).fence == 2


def test_old_sightings(store: ObjectStore, machines: tuple[Machine, Machine]) -> None:
    """What was seen of leases that nobody asks for any more is deleted after a week."""
    one, two = machines
    old, recent = two.folder / "seen-old.json", two.folder / "seen-recent.json"
    for each in (old, recent):
        each.write_text("[]")
    week_ago = old.stat().st_mtime - 8 * 86_400
    os.utime(old, (week_ago, week_ago))
    lease = one.begin(store)
    one.take(lease)
    with pytest.raises(Locked):
        two.take(two.begin(store))
    assert sorted(each.name for each in two.folder.glob("seen-*")) == ["seen-one-1.json", "seen-recent.json"]


def test_same_machine(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """A process with the lock file of the lock takes it at once; other machines then wait for the last request."""
    one, two = machines
    one.take(one.begin(store))  # and is killed
    heir = one.begin(store)
    taken = one.take(heir)
    assert (taken.fence, taken.inherited_until) == (2, one.clock().steady + TIMES.margin_s)
    assert heir.end(["web-01 (a)"], TIMES.margin_s)
    with pytest.raises(Locked, match=r"web-01 \(a\) was changed by ana on one .* may still take effect"):
        two.take(two.begin(store))
    world.now += 100
    again = one.begin(store)
    rest_s = one.take(again).inherited_until - one.clock().steady
    assert rest_s <= TIMES.margin_s
    world.now += TIMES.margin_s - 100
    with pytest.raises(Locked):
        two.take(two.begin(store))
    again.end()
    assert two.take(two.begin(store)).fence == 4


def test_released(store: ObjectStore, machines: tuple[Machine, Machine]) -> None:
    """A lease that is ended frees all its locks, and leaves only their fencing tokens."""
    one, two = machines
    lease = one.begin(store)
    names = [LockName(f"locks/instance-{number}.json", str(number)) for number in range(3)]
    assert [one.take(lease, each).fence for each in names] == [1, 1, 1]
    lease.end()
    assert [each.key for each in store.list()] == [each.key for each in names]
    rival = two.begin(store)
    assert [two.take(rival, each).fence for each in names] == [2, 2, 2]
    assert lease.problem() == "the lock is lost: this process has ended it"


def test_joined(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """Two processes of a run renew the same lease; neither may write when it has ended."""
    one, two = machines
    lease = one.begin(store)
    one.take(lease)
    kernel = Lease.join(store, lease.record.id, TIMES, clock=one.clock)
    for _ in range(5):
        world.now += 40
        assert [lease.ensure(), kernel.ensure()] == ["", ""]
    world.now += 30
    with pytest.raises(Locked):
        two.take(two.begin(store))
    world.now += TIMES.lease_s
    two.take(two.begin(store))
    assert kernel.ensure() == lease.ensure() == "the lock is lost: it was ended"
    with pytest.raises(Locked, match="the lock of this run has ended"):
        Lease.join(store, lease.record.id, TIMES, clock=one.clock)


def test_ended_while_taking(store: ObjectStore, machines: tuple[Machine, Machine], world: World) -> None:
    """A process that was stopped for longer than its lease may take a free lock, but nothing allows it to write."""
    one, two = machines
    troubled = TroubledStore(store)
    lease = one.begin(troubled)
    other = LockName("locks/instance-b.json", "web-02 (b)")
    one.take(lease, other)

    def stop() -> None:
        troubled.before = lambda: None
        for _ in range(2):
            rival = two.begin(store)
            try:
                two.take(rival, other)
            except Locked:
                world.now += TIMES.lease_s

    troubled.before = stop
    one.take(lease)
    assert lease.ensure() == "the lock is lost: it was ended"


@pytest.mark.parametrize("change", [{"format": 2}, {"lcnb": "else"}, {"fence": None}])
def test_unknown_record(
    store: ObjectStore, machines: tuple[Machine, Machine], change: dict[str, object]
) -> None:
    """A record that this version cannot read refuses: nobody knows who holds the lock."""
    one, two = machines
    lease = one.begin(store)
    one.take(lease)
    found = store.read(WEB_01.key)
    assert found
    document = {**json.loads(found.data), **change}
    if change == {"fence": None}:
        del document["fence"]
    store.write(WEB_01.key, json.dumps(document).encode())
    with pytest.raises(Locked, match=r"record locks/instance-a\.json of a lock cannot be read"):
        two.take(two.begin(store))
