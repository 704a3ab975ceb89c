"""Work on several items at the same time, so that Ctrl-C also ends the requests of the other threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

#: Seconds after which threads that were about to begin a request are cancelled once more.
CANCEL_AGAIN_S = 0.02


def map_in_threads(
    work: Callable[[A], T], items: Iterable[A], threads: int, cancel_requests: Callable[[], None]
) -> list[T]:
    """Return the results of `work` for the items, in their order; at most `threads` items at the same time.

    `cancel_requests` ends the requests of all threads. It is called when Ctrl-C or SIGTERM ends the wait, because only
    the main thread notices them. The first error of `work` is raised after the items that had begun have ended.

    >>> map_in_threads(len, ["a", "bcd"], 8, lambda: None)
    [1, 3]
    """
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(work, each) for each in items]
        try:
            return [each.result() for each in pending]
        except BaseException as error:
            for each in pending:
                each.cancel()
            while isinstance(error, KeyboardInterrupt | SystemExit) and not all(
                each.done() for each in pending
            ):
                cancel_requests()
                time.sleep(CANCEL_AGAIN_S)
            raise
