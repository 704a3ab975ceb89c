"""What the methods of both clients give: the same frames in every shape, fleet and event loop, whatever ends a call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import re
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

import lcnb
from conftest import MANY, TOKEN
from lcnb.errors import ConfigError, ConnectionFailed, InputError, NotFound, RateLimited
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread, start
from lcnb.sandbox.shapes import SHAPES
from lcnb.transport import sync
from lcnb.transport.rate_limit import RateRule

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]

LISTINGS = ["instances", "locations", "plans", "images", "sshkeys", "snapshots"]
READS = [*LISTINGS, "profile", "inventory"]
SAME_FACTS = ["object", "strings", "null", "paged", "extra", "newer", "classic", "blank", "empty", "object,strings,extra"]  # fmt: skip


def by_sync(lc: lcnb.LetsCloud) -> dict[str, Any]:
    return {name: getattr(lc, name)() for name in READS}


async def by_async(base_url: str) -> dict[str, Any]:
    async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=base_url, timeout=20) as lc:
        return {name: await getattr(lc, name)() for name in READS}


async def by_sync_in_loop(lc: lcnb.LetsCloud) -> dict[str, Any]:
    return by_sync(lc)


def facts(frame: pd.DataFrame) -> dict[str, Any]:
    """What a frame tells of itself, but for who read it and when."""
    return {
        name: value for name, value in frame.attrs["lcnb"].items() if name not in ("fetched_at", "client")
    }


#: pandas' comparison turns a warning of its own off while it compares, which is not safe in threads.
COMPARING = threading.Lock()


def same(one: Any, other: Any) -> None:
    if isinstance(one, pd.DataFrame):
        with COMPARING:
            pd.testing.assert_frame_equal(one, other)
        assert facts(one) == facts(other)
    else:
        assert one == other


@pytest.fixture(scope="module")
def plain() -> Iterator[tuple[Sandbox, str]]:
    """The sandbox that tests which only read share, and its base URL."""
    sandbox = Sandbox(World(Clock(0)), TOKEN, rate_limit=MANY)
    with serve_in_thread(sandbox) as base_url:
        yield sandbox, base_url


@pytest.fixture
def listed(plain: tuple[Sandbox, str]) -> dict[str, Any]:
    """What all reads give in the usual shape."""
    with lcnb.connect(token=TOKEN, base_url=plain[1]) as lc:
        return by_sync(lc)


def hurried(lc: Any) -> Any:
    """The client with a rate budget that thousands of calls do not use up."""
    lc._wire.budget.rule = RateRule(limit=10_000_000)
    return lc


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, plain: tuple[Sandbox, str]) -> Callable[..., Any]:
    """`call("instance", ...)` calls this method of a client of the shared sandbox, sync or async."""
    return caller(request.param, plain[1])


def caller(kind: str, base_url: str) -> Callable[..., Any]:
    def sync(name: str, *args: Any, **named: Any) -> Any:
        with lcnb.connect(token=TOKEN, base_url=base_url) as lc:
            return getattr(lc, name)(*args, **named)

    async def other(name: str, *args: Any, **named: Any) -> Any:
        async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=base_url) as lc:
            return await getattr(lc, name)(*args, **named)

    return sync if kind == "sync" else lambda *args, **named: asyncio.run(other(*args, **named))


def both(lc: lcnb.LetsCloud) -> list[Callable[..., Any]]:
    """For each kind of client, a way to call its methods, as `call` does."""
    return [caller(kind, lc.settings.base_url) for kind in ("sync", "async")]


def labels(sandbox: Sandbox) -> list[str]:
    return [machine["label"] for machine in sandbox.world.machines]


def ready(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The machines that have an identifier."""
    return [machine for machine in sandbox.world.machines if machine["identifier"]]


# --- the same frames ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", SHAPES)
def test_same_by_every_way(served: Served, shapes: str) -> None:
    """Sync, async, and sync in a running event loop: every listing, the profile and the inventory are equal."""
    _, lc = served(shapes=shapes)
    expected = by_sync(lc)
    base_url = lc.settings.base_url
    for found in (asyncio.run(by_async(base_url)), asyncio.run(by_sync_in_loop(lc))):
        assert found.keys() == expected.keys()
        for name in READS:
            same(found[name], expected[name])
    assert len(expected["instances"]) == len(expected["inventory"]) == 60
    assert expected["instances"].label.notna().all()


@pytest.mark.parametrize("shapes", SAME_FACTS)
def test_shapes_tell_the_same(served: Served, listed: dict[str, Any], shapes: str) -> None:
    """A shape that writes the same facts differently gives the same frames; `extra` tells the domain besides."""
    found = by_sync(served(shapes=shapes)[1])
    if "extra" in shapes:
        assert set(found["instances"].domain) == {"localdomain"}
        assert found["profile"].extra
    for name in READS:
        if name == "instances":
            found[name]["domain"] = listed[name]["domain"]
        same(found[name], listed[name])


def test_missing_is_missing(served: Served, listed: dict[str, Any]) -> None:
    """Fields that older answers leave out are missing values, and the rest of the row is there."""
    found = by_sync(served(shapes="missing")[1])
    left_out = ["suspended", "location", "city", "country"]
    assert found["instances"][left_out].isna().all(axis=None)
    kept = [column for column in listed["instances"] if column not in [*left_out, "state"]]
    pd.testing.assert_frame_equal(found["instances"][kept], listed["instances"][kept])
    assert set(found["inventory"].price_note) == {"its location is missing"}
    same(found["plans"], listed["plans"])


@pytest.mark.parametrize("fleet", [0, 1, 60])
@pytest.mark.parametrize("shapes", ["list", "null", "object"])
def test_dtypes(served: Served, fleet: int, shapes: str) -> None:
    """Columns and dtypes are the same for 0, 1 and 60 machines, and are those that `describe` tells."""
    found = by_sync(served(fleet=fleet, shapes=shapes)[1])
    for name in [*LISTINGS, "inventory"]:
        frame, described = found[name], lcnb.describe(name)
        assert frame.columns.tolist() == described.column.tolist()
        assert frame.dtypes.map(str).tolist() == described.dtype.tolist()
        assert frame.index.equals(pd.RangeIndex(len(frame)))
    assert len(found["instances"]) == len(found["inventory"]) == fleet


NOTEBOOK = [
    """
import asyncio, json, os
import lcnb
servers = json.loads(os.environ["SERVERS"])
reads = json.loads(os.environ["READS"])
loop = asyncio.get_running_loop()  # a cell runs inside the kernel's own loop
""",
    """
for shapes, base_url in servers.items():
    with lcnb.connect(base_url=base_url) as lc:
        for name in reads:
            getattr(lc, name)().to_parquet(f"{shapes}-{name}-sync.parquet")
""",
    """
for shapes, base_url in servers.items():
    async with lcnb.AsyncLetsCloud.connect(base_url=base_url) as lc:
        for name in reads:
            (await getattr(lc, name)()).to_parquet(f"{shapes}-{name}-async.parquet")
""",
]


def test_in_jupyter(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In cells of a Jupyter kernel both clients give the frames that they give outside."""
    clients = {shapes: served(shapes=shapes)[1] for shapes in ("list", "object", "strings")}
    reads = [*LISTINGS, "inventory"]
    servers = {shapes: lc.settings.base_url for shapes, lc in clients.items()}
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("SERVERS", json.dumps(servers))
    monkeypatch.setenv("READS", json.dumps(reads))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in NOTEBOOK])
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert not [output for cell in notebook.cells for output in cell.outputs]
    for shapes, lc in clients.items():
        for name in reads:
            expected = getattr(lc, name)()
            for way in ("sync", "async"):
                same(pd.read_parquet(tmp_path / f"{shapes}-{name}-{way}.parquet"), expected)


# --- calls that are ended -------------------------------------------------------------------------------


def wait_until(holds: Callable[[], bool], seconds: float = 600) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def held() -> tuple[int, int]:
    """How many sockets and threads this process has, as Linux counts them."""
    files = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile, as the one of this listing is
            files += str(file.readlink()).startswith("socket:")
    return files, sum(1 for _ in Path("/proc/self/task").iterdir())


def bounded(before: tuple[int, int]) -> bool:
    gc.collect()
    return all(now <= then + 4 for now, then in zip(held(), before, strict=True))


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads and files by /proc")  # fmt: skip


#: The other way of pytest-timeout is an alarm too, which these tests take away.
by_thread = pytest.mark.timeout(900, method="thread")


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What went wrong where nothing can be raised, such as a ResourceWarning of a socket that was never closed.

    Every test that interrupts at random moments asks for it: a file that is being opened just then is closed by the
    end of its object, which Python tells as a warning that would end in the test.
    """
    found: list[str] = []

    def note(what: Any) -> None:
        # anyio 4.16 closes a connection's task that has not begun without its inner coroutine, and Python warns of that.
        if "connect_tcp.<locals>.try_connect' was never awaited" not in str(what.exc_value):
            found.append(repr(what.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", note)
    yield found
    gc.collect()  # what an interrupt left in a cycle ends here, not in the next test


class Alarm:
    """Interrupts the main thread after a while, as Ctrl-C or a stopped cell does, while it is armed."""

    def __init__(self) -> None:
        self.armed = False

    def __call__(self, number: int, frame: object) -> None:
        if self.armed:
            raise KeyboardInterrupt

    def interrupt(self, seconds: float, call: Callable[[], object]) -> bool:
        """Make a call; whether it was interrupted."""
        try:
            self.armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            call()
            self.armed = False
        except KeyboardInterrupt:
            self.armed = False
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    if not hasattr(signal, "setitimer"):
        pytest.skip("no alarm on this system")
    handler = Alarm()
    before = signal.signal(signal.SIGALRM, handler)
    yield handler
    handler.armed = False
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def apart() -> Iterator[str]:
    """A sandbox in a process of its own, for thousands of calls; its base URL."""
    with start(fleet=6, speed=0, rate_limit=1_000_000, token=TOKEN) as server:
        yield server.base_url


@needs_proc
@by_thread
def test_interrupted(apart: str, alarm: Alarm, unraisable: list[str]) -> None:
    """After 400 calls interrupted at any moment the client answers as before, and holds no more than before."""
    chance = random.Random(7)
    lc = hurried(lcnb.connect(token=TOKEN, base_url=apart, timeout=600))
    expected = lc.instances()
    reads = [lc.instances, *[lc.locations] * 4, lambda: lc.plans("MIA1"), lc.inventory]
    for read in reads:
        read()
    before = held()
    interrupted = most = 0
    while interrupted < 400:
        interrupted += alarm.interrupt(chance.uniform(0.00005, 0.005), chance.choice(reads))
        if interrupted % 50 == 0:
            same(lc.instances(), expected)
            most = max(most, *held())
    same(lc.instances(), expected)
    lc.close()
    assert wait_until(lambda: bounded(before)), (before, held())
    assert most < max(before) + 200
    assert not [text for text in unraisable if "unclosed <socket" in text]


@needs_proc
def test_cancelled(apart: str, unraisable: list[str]) -> None:
    """After 400 tasks cancelled at any moment the client answers as before, and holds no more than before."""
    chance = random.Random(8)
    with lcnb.connect(token=TOKEN, base_url=apart) as sync:
        expected = sync.instances()

    async def storm() -> None:
        async with hurried(lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=apart, timeout=600)) as lc:
            reads = [lc.instances, *[lc.locations] * 4, lambda: lc.plans("MIA1"), lc.inventory]
            same(await lc.instances(), expected)
            before = held()
            most = cancelled = 0
            while cancelled < 400:
                tasks = [asyncio.create_task(chance.choice(reads)()) for _ in range(10)]
                for task in chance.sample(tasks, len(tasks)):
                    await asyncio.sleep(chance.choice([0, 0, 0, chance.uniform(0, 0.002)]))
                    for _ in range(chance.choice([0, 0, 1, 2, 4])):  # so many steps of the event loop
                        await asyncio.sleep(0)
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(each, pd.DataFrame | asyncio.CancelledError) for each in done)
                cancelled += sum(isinstance(each, asyncio.CancelledError) for each in done)
                most = max(most, *held())
            same(await lc.instances(), expected)
            assert len(asyncio.all_tasks()) == 1
            assert most < max(before) + 200
        assert await asyncio.to_thread(wait_until, lambda: bounded(before)), (before, held())

    asyncio.run(storm())
    gc.collect()
    assert not unraisable


def test_many_loops(plain: tuple[Sandbox, str], listed: dict[str, Any], unraisable: list[str]) -> None:
    """One AsyncLetsCloud works in 40 event loops, one after another, and leaves nothing open in any."""
    lc = lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=plain[1])
    for number in range(40):
        same(asyncio.run(lc.locations()), listed["locations"])
        if number % 10 == 0:
            assert len(asyncio.run(lc.inventory())) == 60
            gc.collect()
    gc.collect()
    assert unraisable == []


def test_two_loops_at_once(plain: tuple[Sandbox, str], listed: dict[str, Any], unraisable: list[str]) -> None:
    """One AsyncLetsCloud used from two event loops in two threads gives right answers and leaves nothing open."""
    lc = lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=plain[1])

    async def many() -> list[pd.DataFrame]:
        return [await lc.locations() for _ in range(10)]

    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(lambda _: asyncio.run(many()), range(2)):
            for frame in found:
                same(frame, listed["locations"])
    gc.collect()
    assert unraisable == []


def test_ended_with_loop(
    plain: tuple[Sandbox, str], unraisable: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A loop that ends in the middle of calls leaves nothing open, and no complaint of asyncio in the log."""
    chance = random.Random(3)

    async def give_up() -> None:
        lc = hurried(lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=plain[1]))
        tasks = [asyncio.create_task(lc.inventory()) for _ in range(5)]
        await asyncio.sleep(chance.uniform(0, 0.02))
        assert not all(task.done() for task in tasks)

    for _ in range(30):
        asyncio.run(give_up())
    gc.collect()
    # On a slow machine the loop ends before anyio has taken the first step to a connection: there is nothing to close.
    assert [text for text in unraisable if "try_connect' was never awaited" not in text] == []
    assert caplog.text == ""


# --- threads --------------------------------------------------------------------------------------------


def test_threads(served: Served) -> None:
    """One client used by 8 threads at once gives each of them the right answers."""
    _, lc = served()
    expected = by_sync(lc)

    def work(number: int) -> dict[str, Any]:
        return {name: getattr(lc, name)() for name in random.Random(number).sample(READS, len(READS))}

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(work, range(8)))
    for name, answer in ((name, each[name]) for each in answers for name in READS):
        same(answer, expected[name])


@by_thread
def test_threads_and_interrupts(
    served: Served, alarm: Alarm, unraisable: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads get right answers while the main thread is interrupted in its own calls of the same client."""
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.01)
    chance = random.Random(9)
    _, lc = served()
    expected = lc.locations()
    over = threading.Event()

    def work(number: int) -> int:
        done = 0
        while not over.is_set() or done < 3:
            same(lc.locations(), expected)
            done += 1
        return done

    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(work, number) for number in range(4)]
        interrupted = sum(alarm.interrupt(chance.uniform(0.001, 0.01), lc.locations) for _ in range(100))
        over.set()
        for each in working:
            each.result()
    assert interrupted > 10
    same(lc.locations(), expected)
    assert not [text for text in unraisable if "unclosed <socket" in text]


def test_threads_and_close(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads get right answers while another one closes the client again and again."""
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.01)
    _, lc = served()
    expected = lc.locations()

    def work(number: int) -> None:
        for _ in range(15):
            same(lc.locations(), expected)

    with ThreadPoolExecutor(8) as threads:
        working = [threads.submit(work, number) for number in range(8)]
        while not all(each.done() for each in working):
            lc.close()
            time.sleep(0.005)
        for each in working:
            each.result()


def test_closed_before_it_is_sent(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was begun is sent once, though the client is closed before its thread runs."""
    sandbox, lc = served()
    expected = lc.locations()
    start, before = sync._start_thread, len(sandbox.log)

    def late(*work: Any) -> None:
        lc.close()
        start(*work)

    monkeypatch.setattr("lcnb.transport.sync._start_thread", late)
    same(lc.locations(), expected)
    assert len(sandbox.log) == before + 1


def test_tasks_and_close(plain: tuple[Sandbox, str], listed: dict[str, Any]) -> None:
    """Tasks get right answers while another one closes the client again and again."""

    async def race() -> None:
        lc = lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=plain[1])
        working = [asyncio.create_task(lc.locations()) for _ in range(40)]
        while not all(task.done() for task in working):
            await lc.aclose()
            await asyncio.sleep(0.003)
        for task in working:
            same(task.result(), listed["locations"])
        await lc.aclose()

    asyncio.run(race())


def test_used_after_close(served: Served) -> None:
    """A closed client opens new connections for a later call."""
    _, lc = served()
    expected = lc.locations()
    lc.close()
    lc.close()
    same(lc.locations(), expected)


# --- single things --------------------------------------------------------------------------------------


def test_instance(plain: tuple[Sandbox, str], call: Callable[..., Any]) -> None:
    """A machine is found by its identifier, and by a label that it alone has."""
    sandbox = plain[0]
    machine = ready(sandbox)[3]
    found = call("instance", machine["identifier"])
    assert found == call("instance", label=machine["label"])
    assert (found.identifier, found.label) == (machine["identifier"], machine["label"])
    assert found.location == machine["location"]


@pytest.mark.parametrize(
    "named", [{}, {"identifier": "x", "label": "y"}, {"identifier": None, "label": None}]
)
def test_instance_by_one(plain: tuple[Sandbox, str], call: Callable[..., Any], named: dict[str, Any]) -> None:
    """Both an identifier and a label, or neither, is an InputError, and nothing is sent."""
    sandbox = plain[0]
    sent = len(sandbox.log)
    with pytest.raises(InputError, match=r"pass one machine.* Nothing was sent"):
        call("instance", **named)
    assert len(sandbox.log) == sent


def test_ambiguous_label(served: Served) -> None:
    """A label that several machines have is an InputError that lists their identifiers, and shows no password."""
    sandbox, lc = served()
    for call in both(lc):
        twins = ready(sandbox)[:2]
        building = next(machine for machine in sandbox.world.machines if not machine["identifier"])
        for machine in (*twins, building):
            machine["label"] = "twin"
        with pytest.raises(InputError) as caught:
            call("instance", label="twin")
        below = caught.value.with_traceback(caught.tb.tb_next)  # without this frame, which knows them all
        shown = "".join(traceback.TracebackException.from_exception(below, capture_locals=True).format())
        assert "text='twin', by='label'" in shown
        assert f"3 machines have the label 'twin': {twins[0]['identifier']}, {twins[1]['identifier']}, one still being built" in str(caught.value)  # fmt: skip
        assert not [machine for machine in sandbox.world.machines if machine["password"] in shown]


#: Calls with a password that are refused.
REFUSED_PASSWORDS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("reset_password", ["nobody"], {}),
    ("reset_password", ["nobody"], {"password": "N3w-Passw0rd!\n"}),
    (
        "create_instance",
        ["web-01"],
        {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"},
    ),
    ("create_instance", ["new"], {"location": "MIA1", "plan": "odd", "image": "debian-12-x86_64"}),
    ("ensure_instance", ["new"], {"location": "odd", "plan": "odd", "image": "odd"}),
]


@pytest.mark.parametrize(("method", "machines", "facts"), REFUSED_PASSWORDS)
def test_a_typed_password_is_in_no_frame(
    served: Served, method: str, machines: list[str], facts: dict[str, Any]
) -> None:
    """The traceback of a refused call, with the variables of the frames in lcnb, shows no password that was passed."""
    for call in both(served()[1]):
        with pytest.raises((InputError, NotFound)) as caught:
            call(method, *machines, **{"password": "N3w-Passw0rd!", **facts})
        assert "N3w-Passw0rd!" not in shown_inside(caught.value)


@pytest.mark.parametrize("connect", [lcnb.connect, lcnb.AsyncLetsCloud.connect])
@pytest.mark.parametrize(
    "wrong", [{"timeout": -1}, {"base_url": "http://example.com"}, {"account": "nobody"}], ids=str
)
def test_a_passed_token_is_in_no_frame(connect: Any, wrong: dict[str, Any]) -> None:
    """The traceback of a refused `connect`, with the variables of the frames in lcnb, shows no token."""
    with pytest.raises(ConfigError) as caught:
        connect(token=TOKEN, **wrong)
    assert "CANARY" not in shown_inside(caught.value)


def shown_inside(error: BaseException) -> str:
    """What a traceback with variables shows, without the frames of this file."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    return str(error) + repr([each.locals for each in shown.stack if each.filename != __file__])


@pytest.mark.parametrize("shapes", ["list", "classic", "newer", "object", "paged"])
def test_unknown_machine(served: Served, shapes: str) -> None:
    """A machine that is not there is NotFound by label, and by identifier unless the provider words it as a refusal."""
    for call in both(served(shapes=shapes)[1]):
        with pytest.raises(
            NotFound, match=r"no machine has the label 'nobody'\. .*`lcnb instances` lists all machines\.$"
        ):
            call("instance", label="nobody")
        with pytest.raises(
            NotFound, match=r"no machine has the label 'web-0l' \(did you mean 'web-\d\d'\?\)$"
        ):
            call("instance", label="web-0l")
        with pytest.raises(lcnb.Refused if shapes == "classic" else NotFound, match="Instance not found"):
            call("instance", identifier="nobody0000000000")
        with pytest.raises(
            NotFound,
            match=r"no machine has the label or identifier 'nobody0000000000'\. .*lists all machines\.$",
        ):
            call("instance", "nobody0000000000")


#: `data` of a success that holds nothing of what was asked for. `{key}`: the field that names such a thing.
NOTHING_THERE: list[Any] = [
    {}, [], None, "", False, 0, [{}], [None], [[]],
    {"{key}": ""}, {"{key}": None}, [{"{key}": None}], {"label": None, "title": None},
    {"{key}": "", "booted": False, "ip_addresses": [], "initial_root_password": "Not-yours-1"},
    {"{key}": "NOBODY0000000000", "initial_root_password": "Not-yours-1"},
    {"{key}": "somebody00000000", "initial_root_password": "Not-yours-1"},
    [{"{key}": 7}],
]  # fmt: skip


@pytest.mark.parametrize("data", NOTHING_THERE, ids=json.dumps)
def test_e6_empty_success(data: Any) -> None:
    """A success without the record that was asked for is NotFound, for each kind of single thing."""
    from lcnb.api import calls, queries
    from lcnb.api import flows as flows_module
    from lcnb.api.machine_names import MachineName
    from lcnb.api.single_records import find_instance, read_initial_password

    flows: dict[str, tuple[str, Callable[[str], Any]]] = {
        "instance": ("identifier", lambda name: find_instance(MachineName(name, "identifier"))),
        "reveal": ("identifier", read_initial_password),
        "snapshot": ("slug", queries.read_snapshot),
        "sshkey": ("slug", queries.read_sshkey),
    }
    for kind, (key, make) in flows.items():
        flow = make("nobody0000000000")
        call = next(flow)
        document = {"success": True, "data": json.loads(json.dumps(data).replace("{key}", key))}
        with pytest.raises(NotFound, match=f"^GET {re.escape(call.path)}: .* Look at the listing") as caught:
            flow.send(flows_module.Envelope(document))
        assert "Not-yours" not in f"{caught.value} {vars(caught.value)}", kind
    with pytest.raises(NotFound):
        flow = queries.read_single(calls.get_profile())
        next(flow)
        flow.send(flows_module.Envelope({"success": True}))


@pytest.mark.parametrize("name", ["nobody0000000000", "qwertyuiopasdf", "Mq5VF63YAdCqXt4U", "0", "sSH kEY"])
def test_e6_blank(served: Served, name: str) -> None:
    """An account that answers what is unknown with an empty success: every single thing of that name is NotFound."""
    sandbox, lc = served(shapes="blank")
    machine = ready(sandbox)[0]
    for call in both(lc):
        for kind in ("snapshot", "sshkey"):
            with pytest.raises(NotFound, match="this account has nothing of that name"):
                call(kind, name)
        for kind in ("instance", "reveal"):
            with pytest.raises(NotFound, match="this account has nothing of that name"):
                call(kind, identifier=name)
            with pytest.raises(NotFound, match="no machine has the label or identifier"):
                call(kind, name)
        for kind in ("power_off", "delete_instance", "reset_password"):
            with pytest.raises(NotFound, match="Nothing was sent"):
                call(kind, name)
        assert call("instance", machine["identifier"]).label == machine["label"]
        assert call("reveal", machine["identifier"]).reveal() == machine["password"]


def test_label_of_the_second_page(served: Served) -> None:
    """A label is looked for on all pages."""
    sandbox, lc = served(shapes="paged")
    assert lc.instance(label=labels(sandbox)[-1]).label == labels(sandbox)[-1]


@pytest.mark.parametrize("value", ["", " ", ".", "..", "...", " x", "x ", "a\nb", "a\tb", "a\x00b", "\ud800", "\u202e"], ids=ascii)  # fmt: skip
def test_odd_segment(plain: tuple[Sandbox, str], call: Callable[..., Any], value: str) -> None:
    """What cannot be a part of a path is refused before anything is sent."""
    sandbox = plain[0]
    sent = len(sandbox.log)
    for name in ("sshkey", "snapshot", "plans", "images"):
        with pytest.raises(InputError, match="Nothing was sent"):
            call(name, value)
    for name in ("instance", "reveal", "power_off"):
        with pytest.raises(InputError, match="Nothing was sent"):
            call(name, identifier=value)
    assert len(sandbox.log) == sent


@pytest.mark.parametrize("value", ["a/b", "../profile", "x/power-off", "%2e%2e", "x?page=2", "x#y", "a b", "ç", "a\\b", "x;y"])  # fmt: skip
def test_one_segment(plain: tuple[Sandbox, str], call: Callable[..., Any], value: str) -> None:
    """Whatever a name holds, it stays one part of the path: it never reaches another endpoint."""
    for name in ("instance", "sshkey", "snapshot"):
        with pytest.raises(NotFound):
            call(name, **{"identifier" if name == "instance" else "slug": value})
        entry = plain[0].log[-1]
        assert entry["method"] == "GET"
        assert entry["path"].startswith(f"/api/{name}s/")
        assert entry["path"].count("/") == 3
        assert entry["body"] == {}


def test_sshkey_and_snapshot(call: Callable[..., Any]) -> None:
    """A key and a snapshot are found by the slugs that the listings tell."""
    keys, snapshots = call("sshkeys"), call("snapshots")
    key, snapshot = call("sshkey", keys.slug[1]), call("snapshot", snapshots.slug[2])
    assert (key.title, key.public_key) == (keys.title[1], keys.public_key[1])
    assert (snapshot.label, snapshot.size) == (snapshots.label[2], snapshots["size"][2])
    assert snapshot.locations == ("SAO1",)


# --- secrets --------------------------------------------------------------------------------------------


def test_reveal(plain: tuple[Sandbox, str], call: Callable[..., Any]) -> None:
    """`reveal` gives the machine's initial password, printed as stars."""
    sandbox = plain[0]
    machine = ready(sandbox)[0]
    secret = call("reveal", machine["identifier"])
    assert isinstance(secret, lcnb.Secret)
    assert f"{secret} {secret!r}" == "***** *****"
    assert secret.reveal() == machine["password"]


def test_nothing_to_reveal(served: Served) -> None:
    """A machine without an initial password, and one that is not there, are NotFound."""
    sandbox, lc = served()
    for call in both(lc):
        machine = ready(sandbox)[0]
        machine["password"] = ""
        with pytest.raises(NotFound, match="no initial password"):
            call("reveal", machine["identifier"])
        with pytest.raises(NotFound, match="Instance not found"):
            call("reveal", identifier="nobody0000000000")


@pytest.mark.parametrize("shapes", ["list", "extra", "object,strings"])
def test_no_password_in_frames(served: Served, shapes: str) -> None:
    """No password and no token is in any cell, attribute or repr of any frame or object."""
    sandbox, lc = served(shapes=shapes)
    secrets = [machine["password"] for machine in sandbox.world.machines]
    assert len(set(secrets)) == 60
    found = by_sync(lc)
    text = "".join(
        f"{frame.to_csv()}{frame.attrs}{frame!r}{frame._repr_html_()}"
        for frame in found.values()
        if isinstance(frame, pd.DataFrame)
    )
    machine = lc.instance(ready(sandbox)[0]["identifier"])
    text += f"{machine!r}{vars(machine)}{machine._repr_html_()}{found['profile']!r}{vars(found['profile'])}"
    assert machine.label in text
    assert not [secret for secret in [*secrets, TOKEN] if secret in text]


# --- the catalogue --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plans", "images"])
@pytest.mark.parametrize("spelt", ["MIA1", "mia1", "Mia1"])
def test_location_spelling(
    plain: tuple[Sandbox, str], call: Callable[..., Any], name: str, spelt: str
) -> None:
    """A location may be spelt in lower case; the frame has the catalogue's spelling."""
    sandbox = plain[0]
    frame = call(name, spelt)
    assert set(frame.location) == {"MIA1"}
    assert sandbox.log[-1]["path"] == f"/api/locations/MIA1/{name}"
    everywhere = call(name)
    here = everywhere[everywhere.location == "MIA1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(frame, here)


@pytest.mark.parametrize("name", ["plans", "images"])
def test_unknown_location(plain: tuple[Sandbox, str], call: Callable[..., Any], name: str) -> None:
    """A location that does not exist is an InputError with the nearest one, and its plans are not asked for."""
    sandbox = plain[0]
    with pytest.raises(InputError, match=r"'MIA9' is not one .*did you mean 'MIA\d'.*Locations: DAL1, "):
        call(name, "MIA9")
    with pytest.raises(InputError, match="Locations: DAL1, LON1, MIA1, MIA2, SAO1, SAO2, SFO1"):
        call(name, "nowhere")
    assert sandbox.log[-1]["path"] == "/api/locations"


@pytest.mark.parametrize("name", ["plans", "images"])
def test_all_locations(plain: tuple[Sandbox, str], call: Callable[..., Any], name: str) -> None:
    """The catalogue of all locations costs one request for the locations and one for each."""
    sandbox = plain[0]
    sandbox.log.clear()
    frame = call(name)
    places = [entry["path"].split("/")[3] for entry in list(sandbox.log)[1:]]
    assert sandbox.log[0]["path"] == "/api/locations"
    assert len(places) == 7
    assert set(places) == set(frame.location)
    assert frame.location.drop_duplicates().tolist() == ["MIA1", "MIA2", "DAL1", "SFO1", "LON1", "SAO1", "SAO2"]  # fmt: skip


def test_inventory_asks_little(served: Served) -> None:
    """The inventory costs one request for machines, locations and profile each, and one for each place in use."""
    sandbox, lc = served(fleet=1)
    for call in both(lc):
        sandbox.log.clear()
        frame = call("inventory")
        paths = sorted(entry["path"] for entry in sandbox.log)
        here = f"/api/locations/{frame.location[0]}/plans"
        assert paths == sorted(["/api/instances", "/api/locations", "/api/profile", here])


@pytest.fixture
def meeting() -> Iterator[str]:
    """A server that answers the plans of 7 locations only when all 7 requests are there; its base URL."""
    barrier = threading.Barrier(7, timeout=600)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data: list[Any] = [{"slug": f"LOC{number}"} for number in range(7)]
            if self.path.endswith("/plans"):
                barrier.wait()
                data = [{"slug": self.path.split("/")[3], "plans": [{"slug": "small"}]}]
            body = json.dumps({"success": True, "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/api"
        http.shutdown()
        thread.join()


def test_plans_at_once(meeting: str) -> None:
    """The plans of all locations are asked for at the same time, not one after another."""
    with lcnb.connect(token=TOKEN, base_url=meeting, timeout=600) as lc:
        assert lc.plans().location.tolist() == [f"LOC{number}" for number in range(7)]
    found = asyncio.run(lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=meeting, timeout=600).plans())
    assert found.location.tolist() == [f"LOC{number}" for number in range(7)]


# --- limits, settings -----------------------------------------------------------------------------------


def test_limits(served: Served) -> None:
    """`limits` is empty before a call, and then what the last answer told; changing the copy changes nothing."""
    _, lc = served(rate_limit=5000)
    assert lc.limits == {}
    lc.profile()
    assert lc.limits == {"limit": 5000, "remaining": 4999}
    lc.limits["remaining"] = 7
    lc.plans()
    assert lc.limits["limit"] == 5000
    assert 4991 <= lc.limits["remaining"] < 4999

    async def limits() -> Any:
        async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=lc.settings.base_url) as other:
            await other.profile()
            return other.limits

    assert asyncio.run(limits()) == {"limit": 5000, "remaining": 4990}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_limit_reached(served: Served, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A 429 for longer than the deadline ends the call at once with its seconds, and the next call is not sent."""
    sandbox, lc = served(rate_limit=1)
    lc.profile()
    monkeypatch.setenv("LCNB_STATE_DIR", str(lc.settings.state_dir / "other"))  # another machine
    call = caller(kind, lc.settings.base_url)
    began = time.monotonic()
    for message in ("Too Many Attempts", "Nothing was sent"):
        with pytest.raises(RateLimited, match=message) as caught:
            call("profile")
        assert caught.value.retry_after > 3000
    assert [entry["status"] for entry in sandbox.log] == [200, 429]
    assert time.monotonic() - began < 15  # the deadline is after 20 s


def test_sandbox_brings_its_own() -> None:
    """`sandbox=True` with a token, an account or a base URL is an InputError, and no sandbox is started."""
    for connect in (lcnb.connect, lcnb.AsyncLetsCloud.connect):
        for named in ({"token": TOKEN}, {"account": "prod"}, {"base_url": "https://api.example.com"}):
            with pytest.raises(InputError, match="has its own"):
                connect(sandbox=True, **named)


def test_nothing_sent_at_first(served: Served) -> None:
    """Making, showing and closing a client sends nothing."""
    sandbox, lc = served()
    with lcnb.connect(token=TOKEN, base_url=lc.settings.base_url) as other:
        shown = repr(other)
    assert shown == f"LetsCloud(base_url='{lc.settings.base_url}', token from the token argument)"
    assert len(sandbox.log) == 0


def test_same_methods() -> None:
    """Both clients have the same public methods, but for closing."""
    sync, other = (
        {name for name in vars(kind) if not name.startswith("_")}
        for kind in (lcnb.LetsCloud, lcnb.AsyncLetsCloud)
    )
    assert sync - {"close"} == other - {"aclose", "connect"}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_error_of_a_method(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each method raises the error of its call as it is: here nobody listens."""
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        call = caller(kind, f"http://127.0.0.1:{taken.getsockname()[1]}/api")
        for name in READS:
            with pytest.raises(ConnectionFailed):
                call(name)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        (lambda lc: lc.inventry(), r"^LetsCloud has no attribute 'inventry' \(did you mean 'inventory'\?\)$"),
        (lambda lc: lc.delete("web-03"), "'delete' .did you mean 'delete_instance' or 'delete_snapshot' or 'delete_sshkey'"),
        (lambda lc: lc.xyzzy, r"'xyzzy'$"),
        (lambda lc: lc.inventory().lc.poweroff(), r"^frame\.lc has no attribute 'poweroff' \(did you mean 'power_off'\?\)$"),
    ],
)  # fmt: skip
def test_misspelt_method(served: Served, wrong: Callable[[Any], Any], near: str) -> None:
    """A method that does not exist is an AttributeError that names the nearest one, as notebooks do not do."""
    _, lc = served()
    with pytest.raises(AttributeError, match=near):
        wrong(lc)
    assert not hasattr(lc, "_repr_html_")
