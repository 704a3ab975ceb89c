"""Where leases are kept: the same rules in a folder, in a real S3 server and in a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import PASSWORD, redis_server
from simulated import Machine, World

from benchmarks.s3_server import BUCKET, PYTHON, S3Server, s3_server
from lcnb.errors import Locked, StoreConflict, StoreUnavailable
from lcnb.leases.lease import Lease, LeaseStore
from lcnb.leases.place import read_leases, shared_place
from lcnb.leases.records import LeaseTimes
from lcnb.leases.redis_leases import RedisLeaseStore
from lcnb.object_store import ABSENT, open_store
from lcnb.secret import Secret

needs_s3 = pytest.mark.skipif(not PYTHON.exists(), reason="moto's server is not installed: make system")
#: A Redis that has just started may be used after as many seconds as a lease lasts: none here.
AT_ONCE = LeaseTimes(margin_s=0.0, proven_s=0.0)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as started:
        yield started


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["file", pytest.param("s3", marks=needs_s3), "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeaseStore:
    if request.param == "redis":
        return RedisLeaseStore(Secret(request.getfixturevalue("redis_url")), 0.0)
    if request.param == "file":
        return open_store(f"file://{tmp_path}/store")
    for name, value in request.getfixturevalue("s3").environment.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{BUCKET}/{tmp_path.name}")


def test_rules(store: LeaseStore) -> None:
    """An object is created once, replaced if it is the expected one, and deleted; a conflict has what was found."""
    first = store.write("locks/leases/a.json", b"one", expected=ABSENT)
    for expected in (ABSENT, first.replace(first[1:4], "xyz")):
        with pytest.raises(StoreConflict) as conflict:
            store.write("locks/leases/a.json", b"two", expected=expected)
        assert conflict.value.current
        assert (conflict.value.current.data, conflict.value.current.version) == (b"one", first)
    second = store.write("locks/leases/a.json", b"two", expected=first)
    found = store.read("locks/leases/a.json")
    assert found
    assert (found.data, found.version) == (b"two", second)
    assert "locks/leases/a.json" in [each.key for each in store.list("locks/leases")]
    store.delete("locks/leases/a.json")
    assert store.read("locks/leases/a.json") is None
    with pytest.raises(StoreConflict) as conflict:
        store.write("locks/leases/a.json", b"three", expected=second)
    assert conflict.value.current is None


def test_one_winner(store: LeaseStore, tmp_path: Path) -> None:
    """Of many processes that take a lock at once, one gets it; it is listed with its holder."""
    world = World()
    machines = [Machine(f"m{number}", world, tmp_path / f"m{number}") for number in range(8)]
    leases = [each.begin(store) for each in machines]
    ready, won = threading.Barrier(8), []

    def take(machine: Machine, lease: Lease) -> None:
        ready.wait(600)
        try:
            won.append((machine.name, machine.take(lease).fence))
        except Locked:
            lease.end()

    threads = [threading.Thread(target=take, args=each) for each in zip(machines, leases, strict=True)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(600)
    assert [fence for _, fence in won] == [1]
    held = [each for each in read_leases(store) if each.host.startswith("m")]
    assert [each.host for each in held] == [won[0][0]]
    store.delete(held[0].key)
    store.delete("locks/instance-a.json")


def test_redis_starts_again(tmp_path: Path) -> None:
    """A Redis that started again proves nothing: neither for a holder, nor, before a lease time has passed, for others."""
    with redis_server(tmp_path) as url:
        store = RedisLeaseStore(Secret(url), 0.0)
        store.write("locks/a", b"one", expected=ABSENT)
        port = int(url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        store.read("locks/a")
    with redis_server(tmp_path, port) as url:
        with pytest.raises(StoreUnavailable, match="was started again and may have lost locks"):
            store.write("locks/a", b"two", expected=ABSENT)
        other = RedisLeaseStore(Secret(url), 1000.0)
        for operation in (
            lambda: other.read("locks/a"),
            lambda: other.write("locks/a", b"x", expected=ABSENT),
        ):
            with pytest.raises(
                StoreUnavailable, match=r"was started \d+ s ago .* can be used in \d+ s"
            ) as error:
                operation()
            assert PASSWORD not in str(error.value)
        assert RedisLeaseStore(Secret(url), 0.0).read("locks/a") is None  # nothing was written


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, None),
        ({"LCNB_RUNS_DIR": "/srv/runs"}, None),
        ({"LCNB_RUNS_DIR": "s3://bucket/x"}, "LCNB_RUNS_DIR"),
        ({"LCNB_REDIS_URL": "redis://host/0"}, "LCNB_REDIS_URL"),
        ({"LCNB_RUNS_DIR": "/srv/runs", "LCNB_REDIS_URL": "redis://host/0"}, "LCNB_REDIS_URL"),
        ({"LCNB_RUNS_DIR": "s3://bucket/x", "LCNB_REDIS_URL": "redis://host/0"}, "LCNB_RUNS_DIR"),
    ],
)
def test_place(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: str | None) -> None:
    """Locks across machines are in the store of runs, else in Redis, else nowhere."""
    monkeypatch.delenv("LCNB_RUNS_DIR")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = shared_place()
    assert (found and found.variable) == place
