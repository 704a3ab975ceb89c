"""A Dask cluster as the place where a batch's runs happen; the only importer of `distributed`.

A worker runs each row in a process of its own, as this machine would. It needs lcnb and a token of its own:
accounts travel by name, tokens do not. Dask repeats a task whose worker was lost; a runbook may have changed
something by then, so a row that has begun anywhere is never begun again: its status is `lost`. The flags for that are
on the scheduler, whether a batch was given its address or an executor of one of its clients.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from lcnb.errors import InputError, RunError

CONNECT_TIMEOUT_S = 10


class ClusterStop:
    """A batch's flags on the scheduler: that it is to stop, and which rows have begun."""

    def __init__(self, batch: str, client: Any = None) -> None:
        self.batch, self._client = batch, client

    def __reduce__(self) -> tuple[object, ...]:
        return ClusterStop, (self.batch,)  # a worker has a client of its own

    def _flag(self, name: str) -> Any:
        import distributed

        untyped: Any = distributed
        return untyped.Event(f"lcnb-{self.batch}-{name}", client=self._client)

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


def find_executor_stop(executor: Executor, batch: str) -> ClusterStop | None:
    """The flags for an executor that a Dask client has given; None for another executor."""
    if "distributed" not in sys.modules:
        return None
    from distributed.cfexecutor import ClientExecutor

    if not isinstance(executor, ClientExecutor):
        return None
    untyped: Any = executor
    return ClusterStop(f"{batch}-{secrets.token_hex(6)}", untyped._client)


@contextmanager
def connect_cluster(address: str, batch: str) -> Iterator[tuple[Executor, int, ClusterStop]]:
    """An executor on the cluster at that address, how many rows it takes at a time, and how to stop them.

    Raises InputError when distributed is not installed, RunError when nobody answers or there is no worker.
    """
    try:
        import distributed
    except ImportError:
        raise InputError("a Dask cluster needs: pip install 'lcnb[dask]'. Nothing was started.") from None
    untyped: Any = distributed
    try:
        client = untyped.Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RunError(f"no Dask scheduler at {address}: {error}. Nothing was started.") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise RunError(f"the Dask cluster at {address} has no workers. Nothing was started.")
        executor = client.get_executor(pure=False, retries=0)
        # A resumed batch begins its rows again, so each attempt has flags of its own.
        yield executor, threads, ClusterStop(f"{batch}-{client.id}", client)
