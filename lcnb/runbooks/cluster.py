"""A Dask cluster as the place where a batch's runs happen; the only importer of `distributed`.

A worker runs each row in a process of its own, as this machine would. It needs lcnb and a token of its own:
accounts travel by name, tokens do not. Dask repeats a task whose worker was lost; a runbook may have changed
something by then, so a row that has begun anywhere is never begun again: it is told as `lost`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from lcnb.errors import InputError, RunError

CONNECT_S = 10


class ClusterStop:
    """A batch's flags on the scheduler: that it is to stop, and which rows have begun."""

    def __init__(self, batch: str) -> None:
        self.batch = batch

    def _flag(self, name: str) -> Any:
        import distributed

        untyped: Any = distributed
        return untyped.Event(f"lcnb-{self.batch}-{name}")

    def asked(self) -> bool:
        return bool(self._flag("stop").is_set())

    def ask(self) -> None:
        self._flag("stop").set()

    def begin(self, row: int) -> bool:
        """Whether the row had not begun anywhere; from now on it has."""
        if self.asked():
            return False
        flag = self._flag(f"row-{row}")
        if flag.is_set():
            return False
        flag.set()
        return True


@contextmanager
def connected(address: str, batch: str) -> Iterator[tuple[Executor, int, ClusterStop]]:
    """An executor on the cluster at that address, how many rows it takes at a time, and how to stop them.

    Raises InputError when distributed is not installed, RunError when nobody answers or there is no worker.
    """
    try:
        import distributed
    except ImportError:
        raise InputError("a Dask cluster needs: pip install 'lcnb[dask]'. Nothing was started.") from None
    untyped: Any = distributed
    try:
        client = untyped.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RunError(f"no Dask scheduler at {address}: {error}. Nothing was started.") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise RunError(f"the Dask cluster at {address} has no workers. Nothing was started.")
        # A resumed batch begins its rows anew, so each attempt has flags of its own.
        yield client.get_executor(pure=False, retries=0), threads, ClusterStop(f"{batch}-{client.id}")
