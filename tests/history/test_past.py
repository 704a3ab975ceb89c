"""The client keeps what it reads, and shows the account as it was: inventories, versions, changes."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import lcnb
from conftest import TOKEN, Call, HandClock
from lcnb.history import recording
from lcnb.history.comparison import compare_inventories
from lcnb.history.moments import parse_moment
from lcnb.history.store import HISTORY_FILE
from lcnb.sandbox import Sandbox
from lcnb.sandbox.refusals import Refusal

#: 2026-11-02 10:00 UTC.
START = 1_793_613_600.0

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]


@pytest.fixture
def account(served: Served) -> tuple[Sandbox, lcnb.LetsCloud, HandClock]:
    """A sandbox whose machines stay as they are, a client of it, and the clock of its history."""
    sandbox, lc = served(fleet=12)
    return sandbox, lc, turn(lc)


def turn(lc: Any) -> HandClock:
    clock = HandClock()
    clock.now = START
    lc._history.clock = clock
    return clock


def machines(sandbox: Sandbox) -> list[dict[str, Any]]:
    return sandbox.world.machines


def identified(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with an identifier, in the order of the identifiers."""
    return frame.dropna(subset="identifier").sort_values("identifier").reset_index(drop=True)


def listings(lc: Any) -> pd.DataFrame:
    """The readings of machines."""
    found: pd.DataFrame = lc.readings()
    return found[found.kind == "instances"]


def file_of(lc: Any) -> Path:
    path: Path = lc.settings.state_dir / HISTORY_FILE
    return path


def test_inventory_at(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """The inventory of a time is what the last reading until then returned, with its dtypes, whatever came later."""
    sandbox, lc, clock = account
    kept = {}
    for hour in range(4):
        clock.now = START + hour * 3600
        kept[hour] = lc.inventory()
        machines(sandbox)[hour].update(label=f"renamed-{hour}", booted=False)
        machines(sandbox).pop()
    clock.now += 3600
    for hour, frame in kept.items():
        past = lc.inventory(at=datetime.fromtimestamp(START + hour * 3600 + 1800, UTC))
        assert_frame_equal(identified(past), identified(frame))
        assert past.attrs["lcnb"]["fetched_at"] == f"2026-11-02T{10 + hour}:00:00.000+00:00"


def test_nothing_is_requested(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """What is about the past sends no request."""
    sandbox, lc, clock = account
    lc.inventory()
    clock.now += 3600
    lc.inventory()
    before = len(sandbox.log)
    clock.now += 3600
    lc.inventory(at="1h"), lc.history(), lc.readings(), lc.compare("1h"), lc.spend("2h")
    assert len(sandbox.log) == before


@pytest.mark.parametrize("read", ["instances", "inventory", "locations", "plans", "catalogue", "profile"])
def test_what_is_kept(account: tuple[Sandbox, lcnb.LetsCloud, HandClock], read: str) -> None:
    """Each method that reads machines, catalogue or profile keeps its listings."""
    _, lc, _ = account
    getattr(lc, read)()
    kinds = {each.partition(" of ")[0] for each in lc.readings().kind}
    expected = {
        "instances": {"instances", "facts"},
        "inventory": {"instances", "locations", "plans", "profile", "facts"},
        "catalogue": {"locations", "plans"},
    }
    assert kinds == expected.get(read, {read})
    assert lc.readings().complete.all()


def test_secrets_and_persons_are_not_kept(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Neither passwords nor token nor the account holder are in the file; unknown fields are."""
    sandbox, lc, clock = account
    lc.inventory()
    with lc._history.read() as stored:
        records = list(stored.records_at("instances", int(clock.now * 1000)).values())
        profile = stored.records_at("profile", int(clock.now * 1000))
    assert all("initial_root_password" not in each for each in records)
    assert profile == {"profile": {"currency": sandbox.world.profile["currency"]}}
    assert TOKEN.encode() not in file_of(lc).read_bytes()


def test_async_client(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """The async client keeps its readings in the same history."""
    _, lc, _ = account

    async def read() -> tuple[pd.DataFrame, pd.DataFrame]:
        other = lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=lc.settings.base_url)
        clock = turn(other)
        async with other:
            now = await other.inventory()
            clock.now += 3600
            return now, await other.inventory(at="1h")

    now, past = asyncio.run(read())
    assert_frame_equal(identified(past), identified(now))
    assert len(listings(lc)) == 1


PARTIAL: dict[str, tuple[Callable[[list[Any]], list[Any]], bool]] = {
    "complete": (lambda rows: rows, True),
    "a row that is no object": (lambda rows: [*rows[1:], "x"], False),
    "a row that is null": (lambda rows: [*rows[1:], None], False),
    "an identifier that is missing": (lambda rows: [{**rows[0], "identifier": None}, *rows[1:]], False),
    "an identifier that is an object": (lambda rows: [{**rows[0], "identifier": {}}, *rows[1:]], False),
    "a machine that is being built": (
        lambda rows: [*rows, {**rows[0], "identifier": "", "built": False, "label": "new"}],
        True,
    ),
    "odd values": (lambda rows: [{**rows[0], "cpus": "many"}, *rows[1:]], True),
}


@pytest.mark.parametrize("case", list(PARTIAL))
@pytest.mark.filterwarnings("ignore::lcnb.errors.DriftWarning")
def test_partial_listing(
    case: str, account: tuple[Sandbox, lcnb.LetsCloud, HandClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that may hide a machine makes none look gone; one that is complete, but odd, counts."""
    damage, complete = PARTIAL[case]
    sandbox, lc, clock = account
    first = lc.instances().identifier[0]
    clock.now += 3600
    plain = sandbox.shapes.instances
    monkeypatch.setattr(sandbox.shapes, "instances", lambda rows: plain(damage(rows)))
    lc.instances()
    readings = listings(lc)
    assert readings.complete.tolist() == [True, complete]
    assert readings.problem.notna().tolist() == [False, not complete]
    assert first in set(lc.inventory(at=datetime.fromtimestamp(clock.now, UTC)).identifier)


def test_failed_request(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """A listing that fails is a reading with its reason, and the machines stay in the history."""
    sandbox, lc, clock = account
    count = len(identified(lc.inventory()))
    clock.now += 3600
    sandbox.token = "another-token-of-the-account"
    with pytest.raises(lcnb.AuthenticationError):
        lc.instances()
    failed = lc.readings().iloc[-1]
    assert (failed.kind, failed.complete, "401" in failed.problem) == ("instances", False, True)
    assert len(lc.history()) == count
    assert lc.history().present.all()


def test_switched_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LCNB_HISTORY=0 nothing is kept, and `record` says why it does nothing."""
    monkeypatch.setenv("LCNB_HISTORY", "0")
    sandbox, lc = served()
    lc.inventory()
    assert not file_of(lc).exists()
    before = len(sandbox.log)
    with pytest.raises(
        lcnb.HistoryError, match=r"switched off by LCNB_HISTORY=0. Unset it. Nothing was read."
    ):
        lc.record()
    assert len(sandbox.log) == before
    monkeypatch.setenv("LCNB_HISTORY", "no")
    with pytest.raises(lcnb.ConfigError, match=r"LCNB_HISTORY: expected 1 or 0, got 'no'"):
        lcnb.connect(token=TOKEN)


def test_history_that_cannot_be_written(
    account: tuple[Sandbox, lcnb.LetsCloud, HandClock],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the history cannot be written, every reading succeeds, and the first one of the process warns."""
    monkeypatch.setattr(recording, "_warned", False)
    _, lc, _ = account
    file_of(lc).parent.mkdir()
    file_of(lc).write_bytes(b"not a database" * 100)
    lc.inventory()
    lc.instances()
    (warning,) = caplog.messages
    assert warning.startswith("the reading was not kept: the history ")
    assert warning.endswith("LCNB_HISTORY=0 switches the history off.")
    with pytest.raises(lcnb.HistoryError):
        lc.record()


def test_locked_history(
    account: tuple[Sandbox, lcnb.LetsCloud, HandClock],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A history that another process holds delays a reading by a second or so, and does not fail it."""
    monkeypatch.setattr(recording, "_warned", False)
    monkeypatch.setattr("lcnb.history.store.WRITE_TIMEOUT_S", 0.05)
    _, lc, clock = account
    lc.instances()
    clock.now += 3600
    other = sqlite3.connect(file_of(lc), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert len(lc.instances())
    with pytest.raises(
        lcnb.HistoryError, match=r"cannot be used: another process is writing.*Nothing was kept"
    ):
        lc.record()
    other.close()
    assert "Nothing is damaged: try again" in caplog.text
    assert "move" not in caplog.text
    lc.instances()
    assert len(listings(lc)) == 2


def test_rows_of_the_past_change_nothing(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Rows of the past cannot change machines, with a client either; they can be a desired state."""
    sandbox, lc, clock = account
    lc.inventory()
    past = lc.inventory(at=datetime.fromtimestamp(clock.now, UTC))
    before = len(sandbox.log)
    for rows in (past.lc, past[past.state == "running"].lc(lc)):
        with pytest.raises(
            lcnb.InputError, match=r"inventory of 2026-11-02T10:00.*without at=. Nothing was sent"
        ):
            rows.delete()
    assert len(sandbox.log) == before


MOMENTS: list[tuple[Any, str]] = [
    ("2026-11-01", "2026-11-01T00:00"),
    (" 2026-11-01 ", "2026-11-01T00:00"),
    ("2026-11-01T09:30", "2026-11-01T09:30"),
    ("2026-11-01 09:30:15", "2026-11-01T09:30:15"),
    ("2026-11-01T09:30Z", "2026-11-01T09:30"),
    ("2026-11-01T09:30-03:00", "2026-11-01T12:30"),
    ("24h", "2026-11-01T10:00"),
    ("7d", "2026-10-26T10:00"),
    ("2w", "2026-10-19T10:00"),
    ("1d12h30m", "2026-10-31T21:30"),
    (date(2026, 11, 1), "2026-11-01T00:00"),
    (datetime(2026, 11, 1, 9), "2026-11-01T09:00"),
    (datetime(2026, 11, 1, 9, tzinfo=timezone(timedelta(hours=2))), "2026-11-01T07:00"),
    (pd.Timestamp("2026-11-01 09:30"), "2026-11-01T09:30"),
    (pd.Timestamp("2026-11-01 09:30", tz="America/Sao_Paulo"), "2026-11-01T12:30"),
]


@pytest.mark.parametrize(("given", "expected"), MOMENTS)
def test_moments(given: Any, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date is its midnight, a time without an offset is in UTC, wherever the machine is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    moment = datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert parse_moment("at", given, START) == int(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "yesterday",
        "2026-13-01",
        "11/01/2026",
        "0x",
        1793613600,
        True,
        1.5,
        pd.NaT,
        pd.NA,
        [],
        "999999999w",
        "0h",
    ],
)
def test_no_moment(given: Any) -> None:
    """Anything else is refused with examples."""
    with pytest.raises(lcnb.InputError, match=r"at: expected a date or time, got .*Examples: 2026-11-01"):
        parse_moment("at", given, START)


def test_times_without_a_reading(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """A time before the first reading, in the future, or without any reading is refused with what is known."""
    sandbox, lc, clock = account
    with pytest.raises(lcnb.InputError, match=r"at: there is no reading of this account yet.*lcnb record"):
        lc.inventory(at="1h")
    plain = sandbox.shapes.instances
    sandbox.shapes.instances = lambda rows: plain([*rows[1:], "x"])  # type: ignore[method-assign]
    lc.locations()
    with pytest.warns(lcnb.DriftWarning):
        lc.instances()
    with pytest.raises(
        lcnb.InputError,
        match=r"no complete reading of this account yet.*2026-11-02 10:00:00 UTC is not: \$.data\[",
    ):
        lc.inventory(at="1h")
    sandbox.shapes.instances = plain  # type: ignore[method-assign]
    clock.now += 0.001
    with pytest.raises(lcnb.InputError, match="machine: expected a label or identifier as text, got 5"):
        lc.history(5)  # type: ignore[arg-type]
    lc.instances()
    with pytest.raises(
        lcnb.InputError, match=r"no reading before 2026-11-01.*first one is of 2026-11-02 10:00:00 UTC"
    ):
        lc.inventory(at="2026-11-01")
    with pytest.raises(lcnb.InputError, match=r"since: there is no reading before"):
        lc.compare("2026-11-01")
    with pytest.raises(lcnb.InputError, match=r"at: 2026-11-03T00:00:00.* has not come yet"):
        lc.inventory(at="2026-11-03")
    clock.now += 7200
    with pytest.raises(lcnb.InputError, match=r"until: .* 10:00:00 UTC is before since \(.* 11:00:00 UTC\)"):
        lc.compare("1h", "2h")


def test_prices_read_later(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Where machines were listed before any price was read, the first known prices are used."""
    _, lc, clock = account
    lc.instances()
    clock.now += 3600
    fleet = lc.inventory()
    past = lc.inventory(at="1h")
    assert_frame_equal(identified(past), identified(fleet))


def test_facts_are_kept(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Tags of the facts file are read with each listing; a file that cannot be read costs nothing but the tags."""
    _, lc, clock = account
    first, second = lc.instances().identifier[:2]
    path = lc.settings.facts_path
    for hour, (identifier, project) in enumerate([(first, "shop"), (first, "lab"), (second, "lab")], 1):
        clock.now = START + hour * 3600
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"identifier,tags\n{identifier},project={project}\n")
        lc.inventory()
    groups = lc.spend("1d", by="tag:project").groupby("group", dropna=False).machines.max()
    assert {name: groups.get(name) for name in ("shop", "lab")} == {"shop": 1, "lab": 2}
    path.write_text("identifer\nx\n")
    clock.now += 3600
    assert len(lc.instances())
    assert len(lc.readings().query("kind == 'facts'")) == 4
    assert listings(lc).complete.all()


def test_cached_catalogue(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices from the cache of the catalogue are no new reading; prices that no client kept count from their time."""
    monkeypatch.setenv("LCNB_CATALOGUE", "600")
    _, lc = served(fleet=12)
    lc._history.enabled = False
    before = time.time()
    lc.inventory()
    after = time.time()
    lc._history.enabled = True
    for hour in range(3):
        lc._history.clock = lambda hour=hour: after + 100 + hour * 3600
        lc.inventory()
    found = lc.readings()
    assert len(listings(lc)) == 3
    kept = found[found.kind.str.startswith("plans of") | (found.kind == "locations")]
    assert kept.kind.is_unique
    assert kept["at"].map(lambda at: before - 1 < at.timestamp() < after + 1).all()
    fresh = lc.catalogue(refresh=True)
    assert len(lc.readings()) > len(found)
    assert len(fresh.plans)


def test_refused_plans(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Plans of a location that are refused are a failed reading of it, and its last known prices remain."""
    sandbox, lc, clock = account
    fleet = lc.inventory()
    place = fleet.location[0]
    clock.now += 3600
    plain = sandbox.world.location

    def refuse(slug: str) -> Any:
        if slug.upper() == place:
            raise Refusal("No plans today", 404)
        return plain(slug)

    sandbox.world.location = refuse  # type: ignore[method-assign]
    with pytest.warns(lcnb.DriftWarning, match=f"plans of {place}"):
        lc.inventory()
    failed = lc.readings().query("not complete")
    assert failed.kind.tolist() == [f"plans of {place}"]
    assert "No plans today" in failed.problem.iloc[0]
    past = lc.inventory(at=datetime.fromtimestamp(clock.now, UTC))
    assert_frame_equal(identified(past), identified(fleet))


# --- versions and changes -------------------------------------------------------------------------------

HISTORY = (
    "identifier:str label:str state:str location:str plan:str monthly_value:Float64 currencycode:str cpus:Int64 "
    "memory:Int64 total_disk_size:Int64 ipv4:str first_seen:datetime64[us, UTC] last_seen:datetime64[us, UTC] "
    "present:boolean ended:str"
)
COMPARISON = (
    "change:str identifier:str label:str what:str monthly_difference:Float64 currencycode:str "
    "not_before:datetime64[us, UTC] not_after:datetime64[us, UTC]"
)


def dtypes(frame: pd.DataFrame) -> str:
    return " ".join(f"{name}:{dtype}" for name, dtype in frame.dtypes.items())


def test_columns_without_rows(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """An account that was never read has the same columns and dtypes, without rows."""
    _, lc, _ = account
    assert dtypes(lc.history()) == HISTORY
    assert dtypes(lc.readings()) == "at:datetime64[us, UTC] kind:str complete:boolean problem:str"
    assert dtypes(compare_inventories(lc.inventory(), lc.inventory())) == COMPARISON


def test_versions_of_a_machine(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """A version is a row with first and last sighting; what the columns do not show makes no row."""
    sandbox, lc, clock = account
    machine = machines(sandbox)[0]
    old = machine["label"]
    for hour, change in enumerate([{}, {"hostname": "other"}, {"label": "São"}, {}, {"booted": None}]):
        clock.now = START + hour * 3600
        machine.update(change)
        lc.inventory()
    for name in (old, "Sa\u0303o ", machine["identifier"]):
        frame = lc.history(name)
        assert dtypes(frame) == HISTORY
        assert frame.label.tolist() == [old, "São", "São"]
        assert [each.hour for each in frame.first_seen] == [10, 12, 14]
        assert [each.hour for each in frame.last_seen] == [11, 13, 14]
        assert frame.present.tolist() == [False, False, True]
        assert frame.ended.fillna("-").tolist() == ["changed", "changed", "-"]
    with pytest.raises(lcnb.InputError, match=f"no machine with the label or identifier '{old}x'.*{old}"):
        lc.history(old + "x")


def test_how_a_version_ended(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """A row whose machine changed is not taken for one whose machine is gone, also where it came back later."""
    sandbox, lc, clock = account
    machine = machines(sandbox)[0]
    for hour, label in enumerate(["one", "two", None, "two"]):
        clock.now = START + hour * 3600
        if label is None:
            machines(sandbox).remove(machine)
        else:
            machine["label"] = label
            if machine not in machines(sandbox):
                machines(sandbox).insert(0, machine)
        lc.inventory()
        frame = lc.history(machine["identifier"])
        assert (
            frame.ended.fillna("-").tolist()
            == [["-"], ["changed", "-"], ["changed", "gone"], ["changed", "gone", "-"]][hour]
        )


def test_compare(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """What appeared, went, changed, or was there in between only, with the readings around it."""
    sandbox, lc, clock = account
    world = machines(sandbox)
    lost, renamed = world[1]["label"], world[2]["label"]
    short = {**world[0], "identifier": "shortlived00001", "uid": "s", "label": "short-lived"}
    new = {**world[0], "identifier": "newmachine00001", "uid": "n", "label": "new"}
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: world.append(short),
        lambda: (world.remove(short), world.append(new)),
        lambda: world[2].update(label="b", booted=not world[2]["booted"]),
        lambda: world.remove(next(each for each in world if each["label"] == lost)),
        lambda: None,
    ]
    for hour, step in enumerate(steps):
        clock.now = START + hour * 3600
        step()
        lc.inventory()
    frame = lc.compare(datetime.fromtimestamp(START, UTC))
    assert dtypes(frame) == COMPARISON
    rows = [
        (*row[:2], row[2].hour, row[3].hour)
        for row in frame[["change", "label", "not_before", "not_after"]].itertuples(index=False)
    ]
    assert rows == [
        ("temporary", "short-lived", 10, 12),
        ("appeared", "new", 11, 12),
        ("changed", "b", 12, 13),
        ("gone", lost, 13, 14),
    ]
    assert frame.what[2].startswith(f"label: {renamed} → b; state: ")
    price = lc.inventory().set_index("label").monthly_value
    assert frame.monthly_difference[[1, 2]].tolist() == [price["new"], 0.0]
    assert len(lc.compare("1h")) == 0
    pure = compare_inventories(lc.inventory(at=datetime.fromtimestamp(START, UTC)), lc.inventory())
    assert sorted(pure.change) == ["appeared", "changed", "gone"]


def test_price_change(
    account: tuple[Sandbox, lcnb.LetsCloud, HandClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that becomes dearer is a change of each machine that has it, and a new version."""
    sandbox, lc, clock = account
    fleet = lc.inventory()
    clock.now += 3600
    plain = sandbox.shapes.plans

    def dearer(location: Any) -> Any:
        return [
            {**each, "plans": [{**plan, "monthly_value": "99.00"} for plan in each["plans"]]}
            for each in plain(location)
        ]

    monkeypatch.setattr(sandbox.shapes, "plans", dearer)
    lc.inventory()
    frame = lc.compare("1h")
    priced = identified(fleet).monthly_value.notna().sum()
    assert frame.change.tolist() == ["changed"] * priced
    assert all("→ 99.00" in each for each in frame.what)
    assert len(lc.history()) == len(identified(fleet)) + priced


def test_desired_state_of_the_past(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Columns of the past can be a desired state: it brings machines back to what they were."""
    sandbox, lc, clock = account
    lc.inventory()
    clock.now += 3600
    past = lc.inventory(at="1h").drop_duplicates("label", keep=False)
    past = past[(past.state == "running") & past.plan.notna()]
    desired = past[["label", "plan", "state"]]
    assert len(desired)
    assert len(lc.plan(desired)) == 0
    machine = next(each for each in machines(sandbox) if each["label"] == desired.label.iloc[0])
    machine.update(booted=False)
    lc._cache.forget_listings()
    assert lc.plan(desired).to_frame().action.tolist() == ["power on"]


def test_several_accounts(
    account: tuple[Sandbox, lcnb.LetsCloud, HandClock], monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    """`lcnb.inventory()` keeps the readings of each account, and no account sees the machines of another."""
    _, lc, _ = account
    folder = own_home / "config"
    folder.mkdir()
    url = lc.settings.base_url
    (folder / "lcnb.toml").write_text(
        f'[accounts.prod]\ntoken_env = "PROD_TOKEN"\nbase_url = "{url}"\n'
        f'[accounts.lab]\ntoken_env = "LAB_TOKEN"\nbase_url = "{url}"\n'
    )
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    monkeypatch.setenv("LAB_TOKEN", "a-wrong-token-of-the-account")
    with pytest.warns(lcnb.DriftWarning, match="account lab"):
        fleet = lcnb.inventory(["prod", "lab"])
    assert len(lcnb.connect("prod").history()) == fleet.identifier.notna().sum()
    assert len(lcnb.connect("lab").history()) == 0


def test_disk_that_is_full(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """Where no file can grow, the reading succeeds and the history stays as it was."""
    _, lc, _ = account
    lc.inventory()
    before = file_of(lc).read_bytes()
    program = """
import resource, sys, time
import lcnb
lc = lcnb.connect(token=sys.argv[1], base_url=sys.argv[2])
lc._history.clock = lambda: time.time() + 7200
lc.instances()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
lc._history.clock = lambda: time.time() + 9000
print(len(lc.instances()))
"""
    arguments = [sys.executable, "-c", program, TOKEN, lc.settings.base_url]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (0, f"{len(lc.instances())}\n"), done.stderr
    assert done.stderr.count("the reading was not kept: ") == 1
    assert "Check the permissions and the free space" in done.stderr, "a sound file must not be moved away"
    assert "rollback" not in done.stderr
    assert len(before)
    assert sqlite3.connect(file_of(lc)).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_clock_that_was_wrong(account: tuple[Sandbox, lcnb.LetsCloud, HandClock]) -> None:
    """A reading of a time that has not come yet hides no later one: the newest reading is the newest until now."""
    sandbox, lc, clock = account
    first = lc.record()
    assert first.before is None
    assert "the first complete reading of this account" in str(first)
    clock.now = START + 400 * 86_400
    assert lc.record().gone == 0
    clock.now = START + 3600
    gone = machines(sandbox).pop(0)["label"]
    found = lc.record()
    assert (found.gone, found.machines) == (1, first.machines - 1)
    assert found.before == first.at
    assert re.search(r"also has a reading of 2027-.*, which is ignored until then: the clock", str(found))
    assert lc.history(gone).present.tolist() == [False]
    assert lc.compare(since="1h").change.tolist() == ["gone"]
    assert lc.spend(since="1h").hours.tolist() == [1.0] * len(lc.spend(since="1h"))
    assert len(listings(lc)) == 3
    clock.now += 10
    lc.inventory()
    assert len(listings(lc)) == 3, "the same reading some seconds later is not stored again"
    clock.now = START + 401 * 86_400
    assert lc.record().later is None
    assert lc.history(gone).present.tolist() == [False, False]


# --- commands -------------------------------------------------------------------------------------------


@pytest.fixture
def command_account(
    account: tuple[Sandbox, lcnb.LetsCloud, HandClock], monkeypatch: pytest.MonkeyPatch
) -> tuple[Sandbox, lcnb.LetsCloud]:
    sandbox, lc, _ = account
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    return sandbox, lc


def test_record_command(
    command_account: tuple[Sandbox, lcnb.LetsCloud], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lcnb record` prints one line; a partial listing ends with 8, a refused token with the usual error."""
    sandbox, lc = command_account
    count = len(identified(lc.instances()))
    done = call("record")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(rf"{count} machines at 20.* UTC: 0 appeared, 0 gone, 0 changed .*\n", done.out)
    plain = sandbox.shapes.instances
    monkeypatch.setattr(sandbox.shapes, "instances", lambda rows: plain([*rows[1:], "x"]))
    done = call("record")
    assert done.code == 8
    assert done.out.startswith(
        "the reading is not complete, so the history of the machines is unchanged: $.data["
    )
    sandbox.token = "another"
    assert call("record").code == 1


def test_history_commands(command_account: tuple[Sandbox, lcnb.LetsCloud], call: Call) -> None:
    """The commands print what the methods return, and refuse what they refuse with exit code 2."""
    sandbox, lc = command_account
    assert call("record").code == 0
    label = machines(sandbox)[0]["label"]
    machines(sandbox)[0].update(label="renamed")
    lc._history.clock = time.time
    at = datetime.now(UTC).isoformat()
    assert call("record").code == 0
    for name in (label, "renamed"):
        rows = json.loads(call("history", "show", name, "-o", "json").out)
        assert [row["label"] for row in rows] == [label, "renamed"]
    compared = json.loads(call("history", "compare", "--since", at, "-o", "json").out)
    assert [row["what"] for row in compared] == [f"label: {label} → renamed"]
    for options in (["--by", "location"], ["--months"], ["--by", "tag:project", "--tags-now"]):
        done = call("history", "spend", "--since", at, *options, "-o", "csv")
        assert (done.code, done.out.count("\n") > 1) == (0, True), done.err
    assert call("history", "readings", "-o", "csv").out.startswith("at,kind,complete,problem\n")
    done = call("history", "show", "--sort", "-price", "--limit", "1", "--columns", "label", "--no-header")
    newest = lc.history()
    assert done.out.strip() in set(newest[newest.monthly_value == newest.monthly_value.max()].label)
    assert "hostname" not in call("history", "show", "--wide").out
    assert "memory" in call("history", "show", "--wide").out
    assert call("history", "show", "--columns", ",").code == 2
    assert call("history", "show", "nobody").code == 2
    assert call("history", "spend", "--since", "1h", "--by", "colour").code == 2
    assert call("inventory", "--at", "2020-01-01").code == 2
