"""Locations, plans and images of 12 locations, 25 calls of 100 +- 20 ms: one after another, and by lcnb.

By lcnb a first time, anew with what was kept before as a guess, and from what is kept.

The server is a separate process. It draws each call's time and reports it, so the floor of a sweep (its
first call and the slowest of the others, which need the first) is known, and lcnb is compared with that of its own run.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.measure import Ratio

PLACES, DELAY_S, SPREAD_S, ROUNDS = [f"LOC{number}" for number in range(12)], 0.1, 0.02, 9
TOKEN = "benchmark"


def run() -> Iterator[Ratio]:
    """Yield the ratios of a sweep over all plans and images."""
    with tempfile.TemporaryDirectory() as folder, _server() as url:
        times, floors = _measured(url, Path(folder))
    theirs = statistics.median(times["requests"])
    for name, what, claim in (
        ("first", "first sweep of 25 calls", 10),
        ("again", "second sweep of 25 calls", 10),
        ("kept", "sweep that is kept", 20),
    ):
        ours = statistics.median(times[name])
        yield Ratio(
            f"{what} / requests, one after another",
            ours,
            theirs,
            f"at most 1/{claim}",
            ours <= theirs / claim,
        )
        if name in floors:
            over = statistics.median(
                ours / floor for ours, floor in zip(times[name], floors[name], strict=True)
            )
            yield Ratio(f"{what} / first call and slowest of 24", over, 1.0, "at most 1.15", over <= 1.15)


def _measured(url: str, folder: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    import requests

    from lcnb.client import LetsCloud
    from lcnb.config import Settings
    from lcnb.secret import Secret

    settings = Settings(
        None, Secret(TOKEN), "benchmark", url, "benchmark", 60.0, folder, folder, catalogue=600.0
    )
    session = requests.Session()

    def get(path: str) -> Any:
        return session.get(url + path, headers={"api-token": TOKEN}, timeout=60).json()

    def one_after_another() -> None:
        places = [each["slug"] for each in get("/locations")["data"]]
        for what in ("plans", "images"):
            assert all(get(f"/locations/{place}/{what}")["data"] for place in places)

    times: dict[str, list[float]] = {"requests": [], "first": [], "again": [], "kept": []}
    floors: dict[str, list[float]] = {"first": [], "again": []}
    with LetsCloud(settings) as lc:
        ways: dict[str, Callable[[], object]] = {
            "requests": one_after_another,
            "first": lc.catalogue,
            "again": lambda: lc.catalogue(refresh=True),
            "kept": lc.catalogue,
        }
        for round_ in range(ROUNDS + 1):
            for name, way in ways.items():
                get("/drawn")
                _rested(lc, forget=name == "first")
                started = time.perf_counter()
                way()
                seconds = time.perf_counter() - started
                drawn = get("/drawn")
                if round_:
                    times[name].append(seconds)
                    if name in floors:
                        floors[name].append(drawn[0] + max(drawn[1:]))
    return times, floors


def _rested(lc: Any, *, forget: bool) -> None:
    """The budget of a token that was not used for a while, as that of somebody who begins; and nothing kept."""
    for path in lc.settings.state_dir.glob("budget-*"):
        path.unlink()
    if forget:
        lc._catalogue_cache.path.unlink(missing_ok=True)


# --- the server -----------------------------------------------------------------------------------------


@contextmanager
def _server() -> Iterator[str]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{ours.recv()}/api"
    process.terminate()
    process.join()


def _serve(pipe: Connection) -> None:
    chance = random.Random(1)
    drawn: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            path = line.split()[1].decode()
            while (await reader.readline()).strip():
                pass
            document: Any = list(drawn)
            if path.endswith("/drawn"):
                drawn.clear()
            else:
                drawn.append(DELAY_S + chance.uniform(-SPREAD_S, SPREAD_S))
                document = {"success": True, "data": _data(path)}
                await asyncio.sleep(drawn[-1])
            body = json.dumps(document).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=200)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _data(path: str) -> Any:
    if path.endswith("/locations"):
        return [{"slug": place, "country": "US", "city": place, "available": True} for place in PLACES]
    if path.endswith("/images"):
        return [{"slug": f"image-{n}", "distro": f"Image {n}", "os": "linux"} for n in range(30)]
    plan = {"shortcode": "$", "currencycode": "USD", "core": 1, "memory": 1024, "disk": 10, "bandwidth": 1000}
    plans = [{"slug": f"plan-{n}", **plan, "monthly_value": "5.40"} for n in range(12)]
    return [{"slug": path.split("/")[3], "plans": plans}]


if __name__ == "__main__":
    for found in run():
        print(
            f"{found.name}: {found.ratio:.3f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
        )
    sys.exit()
