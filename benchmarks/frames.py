"""From the bytes of a listing of machines to a DataFrame: time, and memory beyond those bytes.

Theirs is `pandas.json_normalize(json.loads(body)["data"])`, which leaves addresses as lists of objects and the
password as a column. The drift report is part of ours, also where some machines are odd. Each memory is the rise of a
fresh process's high-water mark.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

from benchmarks.measure import Ratio, medians

PLACES = (
    ("MIA1", "United States", "Miami"),
    ("LON1", "United Kingdom", "London"),
    ("SAO1", "Brazil", "São Paulo"),
)


def run() -> Iterator[Ratio]:
    """Yield the ratios of time and memory for DataFrames of listings."""
    large, small = body(100_000), body(1000)
    ours, theirs = medians(lambda: frame(large), lambda: normalized(large), 5)
    yield Ratio(
        "100,000 instances to a frame / json_normalize", ours, theirs, "at most 1/8", ours <= theirs / 8
    )
    ours, theirs = rise(frame), rise(normalized)
    name = "100,000 instances, peak memory / json_normalize"
    print(f"{name}: {ours / 2**20:.0f} and {theirs / 2**20:.0f} MiB", flush=True)
    yield Ratio(name, ours, theirs, "at most 1/3", ours <= theirs / 3)
    ours, theirs = medians(lambda: frame(small), lambda: normalized(small), 40)
    yield Ratio("1,000 instances to a frame / json_normalize", ours, theirs, "at most 1", ours <= theirs)
    odd = body(1000, odd=1)
    ours, theirs = medians(lambda: frame(odd), lambda: normalized(odd), 40)
    yield Ratio("1,000 instances, one odd / json_normalize", ours, theirs, "at most 1", ours <= theirs)
    odd = body(100_000, odd=1000)
    ours, theirs = medians(lambda: frame(odd), lambda: normalized(odd), 3)
    name = "100,000 instances, 1,000 odd / json_normalize"
    yield Ratio(name, ours, theirs, "at most 1/2", ours <= theirs / 2)


def body(size: int, odd: int = 0) -> bytes:
    """Return a listing as the API sends it; some machines, at random places, have their CPUs as a text."""
    chance = random.Random(1)
    machines = [_machine(number, chance) for number in range(size)]
    for number in chance.sample(range(size), odd):
        machines[number]["cpus"] = str(machines[number]["cpus"])
    return json.dumps({"success": True, "data": machines}).encode()


def _machine(number: int, chance: random.Random) -> dict[str, Any]:
    slug, country, city = chance.choice(PLACES)
    return {
        "identifier": f"{chance.getrandbits(64):016x}",
        "booted": chance.random() < 0.8,
        "built": True,
        "locked": chance.random() < 0.02,
        "suspended": False,
        "memory": chance.choice([1024, 2048, 4096]),
        "total_disk_size": chance.choice([10, 20, 80]),
        "cpus": chance.choice([1, 2, 4]),
        "label": f"web-{number}",
        "hostname": f"web-{number}.mia1.example.com",
        "ip_addresses": [
            {"address": f"198.18.{number >> 8 & 255}.{number & 255}"},
            {"address": f"2001:db8:{number >> 16}::{number & 65535:x}"},
        ],
        "template_label": "Ubuntu 24.04 x86_64",
        "initial_root_password": f"Canary-{chance.getrandbits(40):010x}!",
        "location": {"slug": slug, "country": country, "city": city},
    }


def frame(text: bytes) -> object:
    """As a client makes it of a reply's body."""
    from lcnb.api.listing_reader import Listing
    from lcnb.api.raw_records import split_records
    from lcnb.frames import listings

    answer = split_records(text)
    assert answer is not None
    found = Listing()
    found.add(answer["data"])
    return listings.listing_frame("instances", found)


def normalized(text: bytes) -> object:
    import pandas as pd

    return pd.json_normalize(json.loads(text)["data"])


def rise(work: Callable[[bytes], object]) -> float:
    """Bytes by which the high-water mark of a fresh process rises in the work, its imports done before."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_rise, (work,))


def _rise(work: Callable[[bytes], object]) -> float:
    work(body(10))
    text = body(100_000)
    before = _high_water(reset=True)
    made = work(text)
    after = _high_water()
    del made
    return after - before


def _high_water(*, reset: bool = False) -> int:
    """The most that this process ever had in memory, or since the last reset where Linux can forget it."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if reset:
        with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123 - no file of ours
            file.write("5")
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    for found in run():
        print(
            f"{found.name}: {found.ratio:.3f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
        )
