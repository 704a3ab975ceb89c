"""Many runs on a Dask cluster: two workers against one; and what a run leaves in memory and on disk.

Each worker forks its runs from a warm server of its own. Starting cluster and servers is not counted: a first batch has
done that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

import lcnb
from benchmarks.measure import Ratio
from benchmarks.warm import HEAVY, own_folder, write

ROWS = 40


def seconds(workers: int, folder: Path, rows: int) -> float:
    """A batch of so many rows on a cluster of that size, after a small one that does not count."""
    import distributed

    untyped: Any = distributed
    book = write(folder / "heavy.ipynb", HEAVY)
    with untyped.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        where = {"dask": cluster.scheduler_address, "folder": folder / f"runs-{workers}"}
        lcnb.batch(str(book), [{"n": each} for each in range(2 * workers)], **where)
        began = time.perf_counter()
        frame = lcnb.batch(str(book), [{"n": each} for each in range(rows)], **where)
        took = time.perf_counter() - began
    if not (frame.status == "done").all():
        raise RuntimeError(f"not all done: {frame.status.value_counts().to_dict()}")
    return took


def run(rows: int = ROWS) -> Iterator[Ratio]:
    """Yield the ratio of a batch on two Dask workers to one on a single worker."""
    with own_folder() as (folder, env):
        os.environ.update(env)
        one, two = seconds(1, folder, rows), seconds(2, folder, rows)
        own = psutil.Process().memory_info().rss / 1e6
        runs = [path.parent for path in folder.glob("runs-*/*/run.json")]
        size = sum(each.stat().st_blocks * 512 for path in runs for each in path.iterdir()) / len(runs)
        print(
            f"a run of this notebook leaves {size / 1e3:.0f} kB on disk (1,000 runs: {size / 1e3:.0f} MB); "
            f"this process has {own:.0f} MB after {len(runs)} runs",
            flush=True,
        )
    yield Ratio(
        f"batch of {rows} runs on two Dask workers / on one", two, one, "at most 0.7", two <= 0.7 * one
    )


if __name__ == "__main__":
    for found in run():
        print(found, f"{found.ratio:.3f}")
