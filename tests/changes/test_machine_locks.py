"""Two machines and one account: a store of runs keeps their ChangeSets apart, and a lost lock stops the writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import lcnb
from conftest import Call
from lcnb.changes.journal import Journal
from lcnb.changes.machine_locks import lock_names
from lcnb.config import Settings, load_settings
from lcnb.errors import AlreadyApplied, ChangeFailed, Drifted, Locked
from lcnb.leases.lease import Lease, LeaseStore
from lcnb.leases.place import read_leases, shared_place
from lcnb.leases.records import LeaseRecord
from lcnb.secret import Secret


@pytest.fixture(autouse=True)
def store_of_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All machines have one store of runs."""
    monkeypatch.setenv("LCNB_RUNS_DIR", f"file://{tmp_path}/store")


@pytest.fixture
def store(fleet: lcnb.sandbox.SandboxProcess) -> LeaseStore:
    place = shared_place()
    assert place
    return place.open(0)


@pytest.fixture
def connect(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> Iterator[Callable[[str], lcnb.LetsCloud]]:
    """Connects a machine of this name: it has a state folder of its own."""
    clients = []

    def make(name: str) -> lcnb.LetsCloud:
        clients.append(lcnb.LetsCloud(replace(load_settings(), state_dir=tmp_path / name)))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


def writes(sandbox: lcnb.sandbox.SandboxProcess) -> list[str]:
    """The writes that have reached the sandbox."""
    headers = {"api-token": sandbox.token}
    with httpx.Client(trust_env=False, headers=headers) as client:
        log = client.get(sandbox.base_url.replace("/api", "/_sandbox/log")).json()
    return [f"{each['method']} {each['path'].rpartition('/')[2]}" for each in log if each["method"] != "GET"]


Connect = Callable[[str], lcnb.LetsCloud]
TakeAway = Callable[[], None]


@pytest.fixture
def take_away(store: LeaseStore, monkeypatch: pytest.MonkeyPatch) -> TakeAway:
    """Ends the lease as another machine does that has waited long enough, when its holder's time is over."""
    over: set[str] = set()
    left_s = Lease.left_s
    monkeypatch.setattr(Lease, "left_s", lambda self: -1.0 if self.record.id in over else left_s(self))

    def end() -> None:
        (entry,) = store.list("locks/leases")
        found = store.read(entry.key)
        assert found
        record = LeaseRecord.decode(entry.key, found.data)
        store.write(entry.key, replace(record, ended=True).encode(), expected=found.version)
        over.add(record.id)

    return end


def test_one_machine_at_a_time(
    fleet: lcnb.sandbox.SandboxProcess, connect: Connect, store: LeaseStore
) -> None:
    """While one machine changes web-01, another one is refused it by name of the holder, and may change web-02."""
    one, two = connect("one"), connect("two")
    first, second, third = (
        one.power_off(label="web-01"),
        two.reboot(label="web-01"),
        two.power_off(label="web-03"),
    )
    refused: list[str] = []

    def meanwhile(ended: int, total: int, text: str) -> None:
        if not refused:
            with pytest.raises(
                Locked, match=r"web-01 \(\S+\) is locked by \S+ on \S+ \(process \d+\) since"
            ) as error:
                second.apply(confirm=True)
            refused.append(str(error.value))
            assert third.apply(confirm=True).outcome.tolist() == ["done"]

    assert first.apply(confirm=True, wait=True, progress=meanwhile).outcome.tolist() == ["done"]
    assert "Nothing was sent here" in refused[0]
    assert writes(fleet) == ["PUT power-off", "PUT power-off"]
    assert read_leases(store) == []
    assert two.power_on(label="web-01").apply(confirm=True).outcome.tolist() == ["done"]
    fences = [one.journal().fence.tolist(), two.journal().fence.tolist()]
    assert fences == [[1], [1, 2]]


def test_new_machines(fleet: lcnb.sandbox.SandboxProcess, connect: Connect) -> None:
    """Two machines do not create a machine of the same label at the same time, for the API would make both."""
    one, two = connect("one"), connect("two")
    spec = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}
    sets = [each.create_instance("new-01", **spec) for each in (one, two)]
    refused = []

    def meanwhile(ended: int, total: int, text: str) -> None:
        if not refused:
            with pytest.raises(Locked, match="create instance new-01 is locked by"):
                sets[1].apply(confirm=True)
            refused.append(text)

    sets[0].apply(confirm=True, progress=meanwhile)
    assert refused
    assert (one.instances().label == "new-01").sum() == 1


def test_lost_between_two_changes(
    fleet: lcnb.sandbox.SandboxProcess, connect: Connect, take_away: TakeAway
) -> None:
    """A holder that lost its lock sends nothing more; what it did not send stays planned, and is resumed later."""
    lc = connect("one")
    changes = lc.power_off(label="web-01") + lc.reset_password(label="web-01")

    def lose(ended: int, total: int, text: str) -> None:
        if text == "power off web-01: done":
            take_away()

    with pytest.raises(
        ChangeFailed, match="not tried: reset password web-01: not sent: the lock is lost"
    ) as error:
        changes.apply(confirm=True, progress=lose)
    assert error.value.result is not None
    assert error.value.result.outcome.tolist() == ["done", "not tried"]
    assert writes(fleet) == ["PUT power-off"]
    assert [each.state for each in Journal(lc.settings.state_dir).entries()] == ["done", "planned"]
    assert lc.resume(changes.id, confirm=True).outcome.tolist() == ["done", "done"]
    assert writes(fleet) == ["PUT power-off", "PUT reset-password"]


def test_lost_before_the_first_change(
    fleet: lcnb.sandbox.SandboxProcess, connect: Connect, take_away: TakeAway
) -> None:
    """A holder that lost its lock before it sent anything ends as one that never had it."""
    lc = connect("one")
    changes = lc.power_off(label="web-01")
    with pytest.raises(
        Locked, match=r"power off web-01: the lock is lost: another process .* Nothing was sent"
    ):
        changes.apply(confirm=True, progress=lambda ended, total, text: take_away())
    assert writes(fleet) == []
    assert lc.resume(confirm=True).outcome.tolist() == ["done"]


def test_lost_at_the_last_moment(
    fleet: lcnb.sandbox.SandboxProcess, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is lost between the renewal and the first byte keeps the request back."""
    lc = connect("one")
    monkeypatch.setattr(Lease, "problem", lambda self: "the lock is lost: too late")
    monkeypatch.setattr(Lease, "ensure", lambda self: "")
    with pytest.raises(
        ChangeFailed, match=r"failed: power off web-01: the lock is lost: too late\. The request was"
    ):
        lc.power_off(label="web-01").apply(confirm=True)
    assert writes(fleet) == []


def test_interrupted(fleet: lcnb.sandbox.SandboxProcess, connect: Connect, store: LeaseStore) -> None:
    """Ctrl-C releases the locks; where a change was sent and not settled, others wait as long as it may take effect."""
    one, two = connect("one"), connect("two")
    here, there = one.reboot(label="web-03"), two.reboot(label="web-03")

    def stop_at(step: str) -> Callable[[int, int, str], None]:
        def stop(ended: int, total: int, text: str) -> None:
            if text.startswith(step):
                raise KeyboardInterrupt

        return stop

    with pytest.raises(KeyboardInterrupt):
        one.power_off(label="web-01").apply(confirm=True, progress=stop_at("looking at the account"))
    assert read_leases(store) == []
    with pytest.raises(KeyboardInterrupt):
        one.power_off(label="web-03").apply(confirm=True, progress=stop_at("looking for"))
    assert [each.unsettled for each in read_leases(store)] == [["power off web-03"]]
    with pytest.raises(
        Locked, match=r"web-03 \(\S+\) was changed by .* interrupted and may still take effect"
    ):
        there.apply(confirm=True)
    with pytest.raises((AlreadyApplied, Drifted)):
        here.apply(confirm=True)
    assert two.power_off(label="web-01").apply(confirm=True).outcome.tolist() == ["done"]
    assert one.resume(confirm=True).outcome.tolist() == ["done"]


def test_async(fleet: lcnb.sandbox.SandboxProcess, tmp_path: Path, connect: Connect) -> None:
    """The asynchronous client holds the same locks."""
    two = connect("two")

    async def apply() -> list[str]:
        async with lcnb.AsyncLetsCloud(replace(load_settings(), state_dir=tmp_path / "one")) as one:
            changes = await one.power_off(label="web-01")
            other = two.reboot(label="web-01")
            seen: list[str] = []

            def meanwhile(ended: int, total: int, text: str) -> None:
                if not seen:
                    with pytest.raises(Locked, match="is locked by"):
                        other.apply(confirm=True)
                    seen.append(text)

            return list((await changes.apply(confirm=True, progress=meanwhile)).outcome)

    assert asyncio.run(apply()) == ["done"]
    assert writes(fleet) == ["PUT power-off"]


def test_store_away(fleet: lcnb.sandbox.SandboxProcess, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """Without the store nothing is sent, exit code 75; without its variable everything is as before."""
    monkeypatch.delenv("LCNB_RUNS_DIR")
    monkeypatch.setenv("LCNB_REDIS_URL", "redis://127.0.0.1:1/0")
    refused = call("power", "off", "web-01", "--yes")
    assert refused.code == 75
    assert "not known whether another machine has locked web-01" in " ".join(refused.err.split())
    assert writes(fleet) == []
    monkeypatch.delenv("LCNB_REDIS_URL")
    assert call("power", "off", "web-01", "--yes").code == 0
    shown = json.loads(call("journal", "-o", "json").out)
    assert [each["fence"] for each in shown] == [None]


def test_accounts(settings: Settings, fleet: lcnb.sandbox.SandboxProcess, connect: Connect) -> None:
    """A name is locked for its account, known by its token or by its name in lcnb.toml; a machine is the same everywhere."""
    lc = connect("one")
    key = lc.add_sshkey(
        "key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
    ).changes[0]
    machine = lc.power_off(label="web-01").changes[0]
    mine = replace(settings, account="prod")
    others = {
        "the same": mine,
        "another token": replace(mine, token=Secret("another-token-of-the-account-1234")),
        "another name": replace(mine, account="production"),
        "another account": replace(mine, account="other", token=Secret("another-token-of-the-account-1234")),
        "another provider": replace(mine, base_url="https://example.org/api"),
    }
    keys = {name: {each.key for each in lock_names(each, key)} for name, each in others.items()}
    assert {name: bool(keys["the same"] & each) for name, each in keys.items()} == {
        "the same": True, "another token": True, "another name": True, "another account": False,
        "another provider": False,
    }  # fmt: skip
    keys = {name: {each.key for each in lock_names(each, machine)} for name, each in others.items()}
    assert [bool(keys["the same"] & each) for each in keys.values()] == [True, True, True, True, False]
    texts = json.dumps([each.__dict__ for each in lock_names(mine, key)])
    assert "prod" not in texts.replace("production", "")
    assert settings.token.reveal() not in texts
