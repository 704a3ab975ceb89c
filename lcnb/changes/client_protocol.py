"""What changes need of a client, so that this package imports no client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lcnb.api.flows import Flow
from lcnb.config import Settings


class FlowRunner(Protocol):
    """The wire of a client. `run` returns the result of a flow, or a coroutine of it for an async client."""

    def run(self, flow: Flow[Any], *, each_call: bool = False) -> Any:
        """Run a flow; with `each_call` the timeout applies to each call, not to the whole flow."""


class ListingCache(Protocol):
    """The listings that a client keeps for building changes."""

    def forget_listings(self) -> None:
        """Drop the listings, because a change made them out of date."""


class ChangeClient(Protocol):
    """The part of LetsCloud and AsyncLetsCloud that a ChangeSet uses."""

    @property
    def settings(self) -> Settings:
        """Account, base URL, token, timeouts and folders."""

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of deadlines and waits, in seconds."""

    @property
    def _wire(self) -> FlowRunner: ...

    @property
    def _cache(self) -> ListingCache: ...
