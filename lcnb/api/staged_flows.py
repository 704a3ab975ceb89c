"""Flows in stages: they name the listings they need, so that a cache can serve some of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from typing import Protocol

from lcnb.api.flows import Flow, T, Together
from lcnb.api.listing_reader import Listing
from lcnb.errors import InputError, LcnbError, NotFound, Refused

Fetch = Callable[[], Flow[Listing]]
#: Listings by a name of their own, each with the flow that reads it.
Wanted = Mapping[str, Fetch]
#: What came of them; a refusal stands in the place of its listing.
Answers = Mapping[str, "Listing | LcnbError"]
#: Wants listings, and others when it has the answers, until it has its result.
Stages = Generator[Wanted, Answers, T]


class Keep(Protocol):
    """Gives stages what they want: what was kept of it, or what its flows read, those of a stage at once."""

    def __call__(self, stages: Callable[[], Stages[T]]) -> Flow[T]: ...


def fresh(stages: Callable[[], Stages[T]]) -> Flow[T]:
    """Keeps nothing."""
    running = stages()
    answers: Answers | None = None
    while True:
        try:
            wanted = running.send(answers)  # type: ignore[arg-type] # None to begin with
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        answers = yield from read_all(wanted)


def read_all(wanted: Wanted, guessed: Collection[str] = ()) -> Flow[dict[str, Listing | LcnbError]]:
    """What the flows of these listings read, all at once; what is guessed to be wanted may fail in any way."""
    flows = {
        name: _or_error(fetch(), LcnbError if name in guessed else REFUSALS) for name, fetch in wanted.items()
    }
    if len(flows) == 1:
        ((name, flow),) = flows.items()
        return {name: (yield from flow)}
    answers = yield Together(list(flows.values()))
    return dict(zip(flows, answers, strict=True))


def _one(name: str, fetch: Fetch) -> Stages[Listing]:
    found = (yield {name: fetch})[name]
    if isinstance(found, LcnbError):
        raise found
    return found


#: What a location may say no with, where others say yes.
REFUSALS = (Refused, NotFound, InputError)


def _or_error(flow: Flow[T], kinds: type[LcnbError] | tuple[type[LcnbError], ...]) -> Flow[T | LcnbError]:
    try:
        return (yield from flow)
    except kinds as no:
        return no
