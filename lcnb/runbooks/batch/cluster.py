"""Run the rows of a batch on a Dask cluster; the only module that imports `distributed`.

A worker runs each row in a separate process, as this computer does. It needs lcnb and its own configuration: only the
name of an account is sent to it, never a token. Dask repeats a task whose worker was lost. The runbook may have changed
something by then, so a row never starts twice; its status is `lost`. The flags are on the scheduler, for a batch
with the scheduler's address and for one with an executor of a Dask client.
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
    """Flags of a batch as Dask events on the scheduler: `stop`, and one per started row."""

    def __init__(self, batch: str, client: Any = None) -> None:
        self.batch, self._client = batch, client

    def __reduce__(self) -> tuple[object, ...]:
        return ClusterStop, (self.batch,)  # a worker uses another client

    def _event_flag(self, name: str) -> Any:
        import distributed

        untyped: Any = distributed
        return untyped.Event(f"lcnb-{self.batch}-{name}", client=self._client)

    def is_requested(self) -> bool:
        """Return whether running rows must end."""
        return bool(self._event_flag("stop").is_set())

    def request_stop(self) -> None:
        """Make running rows end and keep other rows from starting."""
        self._event_flag("stop").set()

    def claim_row(self, row: int) -> bool:
        """Mark a row as started and return whether it may start."""
        if self.is_requested():
            return False
        flag = self._event_flag(f"row-{row}")
        if flag.is_set():
            return False
        flag.set()
        return not self.is_requested()  # who requests a stop looks at the flags after it

    def is_row_started(self, row: int) -> bool:
        """Return whether a worker has marked the row as started."""
        return bool(self._event_flag(f"row-{row}").is_set())


def find_executor_stop(executor: Executor, batch: str) -> ClusterStop | None:
    """Return the flags for the executor of a Dask client; None for another executor."""
    if "distributed" not in sys.modules:
        return None
    from distributed.cfexecutor import ClientExecutor

    if not isinstance(executor, ClientExecutor):
        return None
    untyped: Any = executor
    return ClusterStop(f"{batch}-{secrets.token_hex(6)}", untyped._client)


@contextmanager
def connect_cluster(address: str, batch: str) -> Iterator[tuple[Executor, int, ClusterStop]]:
    """Connect to the scheduler at `address`; yield an executor, its number of threads, and the flags of the batch.

    Raises InputError when distributed is not installed, RunError when no scheduler responds or it has no workers.
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
        # A resumed batch starts rows a second time, so each attempt has other flags.
        yield executor, threads, ClusterStop(f"{batch}-{client.id}", client)
