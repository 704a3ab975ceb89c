"""Flows in stages: they name the listings they need, so that a cache can serve some of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from typing import Protocol

from lcnb.api.flows import Flow, T, Together
from lcnb.api.listing_reader import Listing
from lcnb.errors import InputError, LcnbError, NotFound, Refused

ListingFetch = Callable[[], Flow[Listing]]
#: Listings by a name of their own, each with the flow that reads it.
ListingRequests = Mapping[str, ListingFetch]
#: What came of them; a refusal stands in the place of its listing.
ListingResults = Mapping[str, "Listing | LcnbError"]
#: Wants listings, and others when it has the answers, until it has its result.
StagedFlow = Generator[ListingRequests, ListingResults, T]


class StageRunner(Protocol):
    """Gives stages what they want: what was kept of it, or what its flows read, those of a stage at once."""

    def __call__(self, stages: Callable[[], StagedFlow[T]]) -> Flow[T]: ...


def run_uncached(stages: Callable[[], StagedFlow[T]]) -> Flow[T]:
    """Keeps nothing."""
    running = stages()
    answers: ListingResults | None = None
    while True:
        try:
            wanted = running.send(answers)  # type: ignore[arg-type] # None to begin with
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answers = yield from read_concurrently(wanted)


def read_concurrently(
    wanted: ListingRequests, guessed: Collection[str] = ()
) -> Flow[dict[str, Listing | LcnbError]]:
    """What the flows of these listings read, all at once; what is guessed to be wanted may fail in any way."""
    flows = {
        name: _catch_error(fetch(), LcnbError if name in guessed else REFUSAL_ERRORS)
        for name, fetch in wanted.items()
    }
    if len(flows) == 1:
        ((name, flow),) = flows.items()
        return {name: (yield from flow)}
    answers = yield Together(list(flows.values()))
    return dict(zip(flows, answers, strict=True))


def read_one(name: str, fetch: ListingFetch) -> StagedFlow[Listing]:
    found = (yield {name: fetch})[name]
    if isinstance(found, LcnbError):
        raise found
    return found


#: What a location may say no with, where others say yes.
REFUSAL_ERRORS = (Refused, NotFound, InputError)


def _catch_error(flow: Flow[T], kinds: type[LcnbError] | tuple[type[LcnbError], ...]) -> Flow[T | LcnbError]:
    try:
        return (yield from flow)
    except kinds as no:
        return no
