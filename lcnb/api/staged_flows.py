"""Flows in stages: they name the listings they need, so that a cache can serve some of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Protocol

from lcnb.api.flows import Flow, LocalWork, T, Together, perform
from lcnb.api.listing_reader import Listing
from lcnb.errors import InputError, LcnbError, NotFound, Refused

ListingFetch = Callable[[], Flow[Listing]]
#: Name of a listing → the function that returns the flow that reads it.
ListingRequests = Mapping[str, ListingFetch]
#: Name of a listing → the listing, or the error with which the provider refused it.
ListingResults = Mapping[str, "Listing | LcnbError"]
#: Yields the listings it needs; receives them; may need others then; returns the result.
StagedFlow = Generator[ListingRequests, ListingResults, T]


class StageRunner(Protocol):
    """Runs a staged flow: each listing comes from a cache, or from its flow; those of a stage are read together."""

    def __call__(self, stages: Callable[[], StagedFlow[T]]) -> Flow[T]:
        """Return the result of the stages."""


def run_uncached(stages: Callable[[], StagedFlow[T]]) -> Flow[T]:
    """Run a staged flow without a cache."""
    running = stages()
    answers: ListingResults | None = None
    while True:
        try:
            wanted = running.send(answers)  # type: ignore[arg-type] # None starts the generator
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answers = yield from read_concurrently(wanted)


def read_concurrently(
    wanted: ListingRequests, guessed: Collection[str] = (), meanwhile: Sequence[LocalWork] = ()
) -> Flow[dict[str, Listing | LcnbError]]:
    """Read these listings together. Those in `guessed` are read ahead, and may fail in any way.

    `meanwhile` is local work, which is done while the requests are in flight.
    """
    flows = {
        name: _catch_error(fetch(), LcnbError if name in guessed else REFUSAL_ERRORS)
        for name, fetch in wanted.items()
    }
    if len(flows) == 1 and not meanwhile:
        ((name, flow),) = flows.items()
        return {name: (yield from flow)}
    answers = yield Together([*flows.values(), *map(perform, meanwhile)])
    return dict(zip(flows, answers, strict=False))  # the answers to `meanwhile` are not needed


def read_one(name: str, fetch: ListingFetch) -> StagedFlow[Listing]:
    """Need a single listing; raise the error with which the provider refused it."""
    found = (yield {name: fetch})[name]
    if isinstance(found, LcnbError):
        raise found
    return found


#: Errors with which one location may refuse what others return.
REFUSAL_ERRORS = (Refused, NotFound, InputError)


def _catch_error(flow: Flow[T], kinds: type[LcnbError] | tuple[type[LcnbError], ...]) -> Flow[T | LcnbError]:
    try:
        return (yield from flow)
    except kinds as error:
        return error
