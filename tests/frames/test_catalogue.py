"""The kept catalogue: one fetch for many askers, fresh for a time, and never in the way."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpcore
import pandas as pd
import pytest

import lcnb
from lcnb.api import flows, listing_reader, staged_flows
from lcnb.api.fields import Drift
from lcnb.errors import DeadlineExceeded, DriftWarning, InputError, Refused
from lcnb.frames import catalogue
from lcnb.frames.catalogue import CachedCatalogue, open_catalogue
from lcnb.sandbox import Faults, Sandbox
from lcnb.secret import Secret
from lcnb.transport import budget, sync
from lcnb.transport.effects import LowEffect

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]


@pytest.fixture(autouse=True)
def kept(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue is kept, as by default."""
    monkeypatch.delenv("LCNB_CATALOGUE")


def asked(sandbox: Sandbox) -> list[str]:
    paths = [str(entry["path"]).removeprefix("/api") for entry in sandbox.log]
    sandbox.log.clear()
    return sorted(paths)


def run(flow: flows.Flow[Any], busy: Callable[[], None] = lambda: None) -> Any:
    """Perform a flow that makes no call; `busy` is done in each pause."""
    answer = None
    while True:
        try:
            effect = flow.send(answer)
        except StopIteration as end:
            (value,) = end.value.values()
            if isinstance(value, Exception):
                raise value from None
            return value
        if isinstance(effect, flows.Pause):
            answer = busy()
        else:
            assert isinstance(effect, flows.LocalWork), effect
            answer = effect.work()


def wanting(
    **wanted: staged_flows.ListingFetch,
) -> Callable[[], staged_flows.StagedFlow[staged_flows.ListingResults]]:
    """One stage."""

    def stages() -> staged_flows.StagedFlow[staged_flows.ListingResults]:
        return (yield wanted)

    return stages


def made(*slugs: str, count: list[int] | None = None, drift: tuple[Drift, ...] = ()) -> Callable[[], Any]:
    def fetch() -> flows.Flow[listing_reader.Listing]:
        if count is not None:
            count.append(1)
        yield from ()
        return listing_reader.Listing(
            [(f"$.data[{n}]", {"slug": slug}) for n, slug in enumerate(slugs)], list(drift)
        )

    return fetch


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keep(tmp_path: Path, clock: Clock) -> CachedCatalogue:
    return CachedCatalogue(tmp_path / "catalogue-x.json", 600.0, clock=clock)


# --- what a client asks ---------------------------------------------------------------------------------


def test_asked_once(served: Served) -> None:
    """Locations, plans and images are asked for once, by whichever method and client of the account comes first."""
    sandbox, lc = served()
    first = lc.catalogue()
    assert len(asked(sandbox)) == 1 + 7 + 7
    other = lcnb.connect(token=lc.settings.token, base_url=lc.settings.base_url)
    found = asyncio.run(
        lcnb.AsyncLetsCloud.connect(token=lc.settings.token, base_url=lc.settings.base_url).plans()
    )

    assert asked(sandbox) == []
    pd.testing.assert_frame_equal(other.locations(), first.locations)
    pd.testing.assert_frame_equal(other.plans(), first.plans)
    pd.testing.assert_frame_equal(found, first.plans)
    pd.testing.assert_frame_equal(
        other.images("mia1").reset_index(drop=True),
        first.images[first.images.location == "MIA1"].reset_index(drop=True),
    )
    assert asked(sandbox) == []
    assert len(other.inventory()) == 60
    assert asked(sandbox) == ["/instances", "/profile"]
    other.close()


def test_what_a_sweep_takes(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep uses one pool, at most one connection and one thread a call, a permit a call, and keeps what came twice."""
    _, lc = served()
    counts: Counter[str] = Counter()

    def count(what: str, holder: Any, name: str) -> None:
        real = getattr(holder, name)

        def counted(*args: Any, **more: Any) -> Any:
            counts[what] += 1
            return real(*args, **more)

        monkeypatch.setattr(holder, name, counted)

    count("pools", sync, "_SyncPool")
    count("connections", httpcore.ConnectionPool, "create_connection")
    count("threads", sync, "_start_thread")
    count("permits", budget.Budget, "take")
    count("files read", CachedCatalogue, "_load")
    count("files written", catalogue, "write_atomically")
    lc.catalogue()

    assert counts.pop("connections") <= 15
    assert counts == {"pools": 1, "threads": 15, "permits": 15, "files read": 2, "files written": 2}


def test_fetched_at(served: Served) -> None:
    """A frame says when its data was read, also when that was a while ago."""
    _, lc = served()
    before = datetime.now(UTC)
    first = datetime.fromisoformat(lc.plans().attrs["lcnb"]["fetched_at"])
    after = datetime.now(UTC)

    again = datetime.fromisoformat(lc.plans().attrs["lcnb"]["fetched_at"])
    assert abs((first - before).total_seconds()) <= (after - before).total_seconds() + 0.01
    assert before.replace(microsecond=0) <= again <= after


def test_refresh(served: Served) -> None:
    """`refresh=True` asks the provider now, and what comes is kept."""
    sandbox, lc = served()
    lc.catalogue()
    asked(sandbox)
    lc.catalogue(refresh=True)
    assert len(asked(sandbox)) == 15
    lc.catalogue()
    assert asked(sandbox) == []


def test_refresh_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locations that were kept, however old, tell what to ask for together with them: one round in place of two."""
    sandbox, lc = served()
    lc.catalogue()
    asked(sandbox)
    widths: list[int] = []
    real = sync.SyncWire.perform

    def perform(self: sync.SyncWire, effect: LowEffect, scheduler: Any) -> Any:
        if isinstance(effect, flows.Together):
            widths.append(len(effect.flows))
        return real(self, effect, scheduler)

    monkeypatch.setattr(sync.SyncWire, "perform", perform)
    lc.catalogue(refresh=True)
    lc.catalogue(refresh=True)
    assert (widths, len(asked(sandbox))) == ([15, 15], 30)
    lc._catalogue_cache.path.unlink()
    lc.catalogue()
    assert (widths[2:], len(asked(sandbox))) == ([15], 15)  # 14 requests, and the writing of the locations


@pytest.mark.parametrize(
    "rule", [{}, {"kind": "html", "status": 403}, {"kind": "error-before", "status": 500}], ids=str
)
def test_locations_that_changed(
    served: Served, rule: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A location that came is asked too; one that is gone fails in whatever way, and nobody is told."""
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    sandbox, lc = served()
    whole = lc.catalogue()
    asked(sandbox)
    old = json.loads(lc._catalogue_cache.path.read_text())
    records = old["kept"]["locations"]["records"]
    records[0] = ["$.data[0]", {**records[0][1], "slug": "OLD1"}]
    old["kept"] = {name: each for name, each in old["kept"].items() if not name.endswith(" of MIA1")}
    lc._catalogue_cache.path.write_text(json.dumps(old))
    sandbox.faults = Faults.read({"rules": [{**rule, "path": "OLD1"}] if rule else []})

    found = lc.catalogue(refresh=True)
    for kind in ("locations", "plans", "images"):
        pd.testing.assert_frame_equal(getattr(found, kind), getattr(whole, kind))
        assert getattr(found, kind).attrs["lcnb"]["drift"] == []
    assert {"/locations/OLD1/plans", "/locations/MIA1/plans", "/locations/MIA1/images"} <= set(asked(sandbox))
    assert "OLD1" not in lc._catalogue_cache.path.read_text()


def test_switched_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """LCNB_CATALOGUE=0 keeps nothing and leaves nothing behind."""
    monkeypatch.setenv("LCNB_CATALOGUE", "0")
    sandbox, lc = served()
    for _ in range(2):
        lc.locations()
    assert asked(sandbox) == ["/locations"] * 2
    assert list(lc.settings.state_dir.glob("catalogue-*")) == []


def test_changes_ask_anew(served: Served) -> None:
    """What is checked before a change is asked of the provider, whatever was kept."""
    sandbox, lc = served()
    lc.catalogue()
    asked(sandbox)
    lc.create_instance("web-99", location="MIA1", plan="1vcpu-1gb-10ssd", image="debian-12-x86_64")
    assert {"/locations", "/locations/MIA1/plans", "/locations/MIA1/images"} <= set(asked(sandbox))


def test_accounts_apart(served: Served) -> None:
    """Another token or another base URL is another catalogue; the token is not in the name of its folder."""
    folders = {
        open_catalogue(Path("s"), Secret(token), url, 1).path
        for token, url in (("a", "https://x"), ("b", "https://x"), ("a", "https://y"))
    }
    assert len(folders) == 3
    _, lc = served()
    lc.locations()
    for path in lc.settings.state_dir.rglob("*"):
        assert "canary" not in str(path)
        assert not path.is_file() or b"canary" not in path.read_bytes()


def test_new_location(served: Served) -> None:
    """A location that is newer than what was kept is found; one that does not exist is refused as ever."""
    _, lc = served()
    lc.locations()
    old = json.loads(lc._catalogue_cache.path.read_text())
    old["kept"]["locations"]["records"].pop(0)
    lc._catalogue_cache.path.write_text(json.dumps(old))

    assert set(lc.plans("MIA1").location) == {"MIA1"}
    with pytest.raises(InputError, match="'MIA9' is not one of the account's"):
        lc.plans("MIA9")


def test_processes_ask_once(served: Served) -> None:
    """Four processes and eight threads that want the same at the same moment make one fetch of it."""
    sandbox, lc = served()
    program = (
        "import sys, lcnb; lc = lcnb.connect(token=sys.stdin.readline().strip(), base_url=sys.argv[1]);"
        "print(len(lc.catalogue().plans))"
    )
    command = [sys.executable, "-c", program, lc.settings.base_url]
    others = [subprocess.Popen(command, stdin=-1, stdout=-1, text=True) for _ in range(4)]
    for each in others:
        assert each.stdin
        each.stdin.write(lc.settings.token.reveal() + "\n")
        each.stdin.flush()
    with ThreadPoolExecutor(8) as pool:
        sizes = set(pool.map(lambda _: len(lc.catalogue().plans), range(8)))
    sizes |= {int(each.communicate(timeout=600)[0]) for each in others}

    assert len(sizes) == 1
    assert len(asked(sandbox)) == 15


# --- the rule, by hand ----------------------------------------------------------------------------------


def test_fresh_for_a_time(keep: CachedCatalogue, clock: Clock) -> None:
    """A listing is kept for `keep_s` seconds with its paths and drift; a clock that went back makes it old."""
    count: list[int] = []
    odd = Drift("$.data[3].slug", "odd")
    first = run(keep(wanting(x=made("a", "b", count=count, drift=(odd,)))))
    clock.now += 599
    again = run(keep(wanting(x=made("z", count=count))))
    assert (again.records, again.drift, len(count)) == (first.records, [odd], 1)
    assert again.read_at.timestamp() == clock.now - 599
    clock.now += 2
    assert run(keep(wanting(x=made("z", count=count)))).records == [("$.data[0]", {"slug": "z"})]
    clock.now -= 5
    run(keep(wanting(x=made("z", count=count))))
    assert len(count) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"kept": 1}',
        '{"kept": {"x": 1}}',
        '{"kept": {"x": {"at": 1e999, "records": [], "drift": []}}}',
        "\xff",
    ],
)
def test_damaged(keep: CachedCatalogue, text: str) -> None:
    """A damaged file counts as missing and is replaced."""
    run(keep(wanting(x=made("a"))))
    keep.path.write_text(text, encoding="latin-1")
    assert run(keep(wanting(x=made("b")))).records[0][1] == {"slug": "b"}
    assert run(keep(wanting(x=made("c")))).records[0][1] == {"slug": "b"}


def perform_all(flow: flows.Flow[Any], done: list[str]) -> Any:
    """Perform a flow of local work, also that of flows that run together, one after another; note what was done."""
    answer = None
    while True:
        try:
            effect: Any = flow.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(effect, flows.Together):
            answer = [perform_all(each, done) for each in effect.flows]
        else:
            done.append(effect.what)
            answer = effect.work()


def test_stages(keep: CachedCatalogue) -> None:
    """What a later stage wants depends on what came; the lock is held over all, and what came is kept at once."""

    def stages() -> staged_flows.StagedFlow[staged_flows.ListingResults]:
        first = (yield {"places": made("a", "b")})["places"]
        assert isinstance(first, listing_reader.Listing)
        return (yield {"x": made(*(f"{record['slug']}-plan" for _, record in first.records))})

    both: list[list[str]] = []
    for _ in range(2):
        deeds: list[str] = []
        (found,) = perform_all(keep(stages), deeds).values()
        assert [record["slug"] for _, record in found.records] == ["a-plan", "b-plan"]
        both.append(deeds)
    assert both == [
        ["catalogue", "lock of the catalogue", "catalogue", "keep the catalogue", "keep the catalogue"],
        ["catalogue"],
    ]


@pytest.mark.parametrize("written", [True, False])
def test_later_stage_in_the_way_of_nobody(keep: CachedCatalogue, written: bool) -> None:
    """What came is there for others while a later stage is under way, and stays when that fails.

    Also when the later stage fails before it was written.
    """

    def slow() -> flows.Flow[listing_reader.Listing]:
        yield flows.Pause(60, "slow")
        raise AssertionError("the pause has no end")

    def stages() -> staged_flows.StagedFlow[staged_flows.ListingResults]:
        yield {"places": made("a")}
        return (yield {"x": slow})

    flow = keep(stages)
    effect: Any = next(flow)
    while isinstance(effect, flows.LocalWork):
        effect = flow.send(effect.work())
    if written:
        request, writing = effect.flows
        assert isinstance(next(request), flows.Pause)
        perform_all(writing, [])

    def another() -> None:
        count: list[int] = []
        found = run(keep(wanting(places=made("b", count=count))))
        assert (found.records[0][1], count) == ({"slug": "a"}, [])

    if written:
        another()
    with pytest.raises(DeadlineExceeded):
        perform_all(raising(flow, DeadlineExceeded("late", method="GET", path="/x")), [])
    another()


def raising(flow: flows.Flow[Any], error: Exception) -> flows.Flow[Any]:
    """The rest of a flow whose last effect failed."""
    effect = flow.throw(error)
    while True:
        effect = flow.send((yield effect))


def test_waits_for_the_other(keep: CachedCatalogue) -> None:
    """While another one fetches, nothing is fetched; then what it kept is taken."""
    fetching = keep(wanting(x=made("theirs")))
    effect: Any = next(fetching)
    while not effect.what.startswith("keep"):
        effect = fetching.send(effect.work())

    def ends() -> None:
        with pytest.raises(StopIteration):
            fetching.send(effect.work())

    assert run(keep(wanting(x=made("mine"))), ends).records[0][1] == {"slug": "theirs"}


def test_the_other_never_ends(keep: CachedCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the lock too long is not waited for; whose fetch failed leaves no lock."""
    monkeypatch.setattr(catalogue, "MAX_LOCK_WAIT_S", 0.1)
    fetching = keep(wanting(x=made("theirs")))
    effect: Any = next(fetching)
    while not effect.what.startswith("keep"):
        effect = fetching.send(effect.work())
    pauses: list[int] = []
    assert run(keep(wanting(x=made("mine"))), lambda: pauses.append(1)).records[0][1] == {"slug": "mine"}
    assert 4 <= len(pauses) <= 6
    fetching.close()
    monkeypatch.setattr(catalogue, "MAX_LOCK_WAIT_S", 1e9)

    def fails() -> flows.Flow[listing_reader.Listing]:
        yield from ()
        raise Refused("no", method="GET", path="/x")

    with pytest.raises(Refused):
        run(keep(wanting(y=fails)))
    assert run(keep(wanting(y=made("b")))).records


def test_no_folder(tmp_path: Path, clock: Clock) -> None:
    """A state folder that cannot be used costs the calls and nothing else."""
    (tmp_path / "file").write_text("in the way")
    keep = CachedCatalogue(tmp_path / "file" / "kept.json", 600.0, clock=clock)
    assert len(run(keep(wanting(x=made("a")))).records) == 1


def test_no_secret_is_kept(keep: CachedCatalogue) -> None:
    """A field whose name tells of a secret is not written down; the files are for their owner alone."""

    def fetch() -> flows.Flow[listing_reader.Listing]:
        yield from ()
        return listing_reader.Listing(
            [("$.data[0]", {"slug": "a", "api_token": "canary", "x": [{"password": "canary"}]})]
        )

    run(keep(wanting(x=fetch)))
    assert "canary" not in keep.path.read_text()
    assert keep.path.stat().st_mode & 0o077 == 0


def test_drift_is_told_again(served: Served) -> None:
    """What was odd in a kept listing is told each time it is used."""
    _, lc = served()
    lc.locations()
    old = json.loads(lc._catalogue_cache.path.read_text())
    old["kept"]["locations"]["drift"] = [["$.data[9]", "odd"]]
    lc._catalogue_cache.path.write_text(json.dumps(old))
    for _ in range(2):
        with pytest.warns(DriftWarning, match="odd"):
            lc.locations()


def test_old_ones_go(tmp_path: Path, clock: Clock) -> None:
    """The catalogue of a token that nobody used for days is removed when a new one is made."""
    old, young = tmp_path / "catalogue-old.json", tmp_path / "catalogue-young.json"
    for path in (old, young):
        path.write_text("{}")
    os.utime(old, (1, 1))
    run(CachedCatalogue(tmp_path / "catalogue-new.json", 600.0, clock=clock)(wanting(x=made("a"))))
    assert sorted(each.name for each in tmp_path.glob("*.json")) == [
        "catalogue-new.json",
        "catalogue-young.json",
    ]
