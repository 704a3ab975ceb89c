"""Flows and their effects: what a generator may yield to its driver, and the successful response that it receives.

A flow yields a `Call`, `GuardedCall`, `Together`, `Pause` or `LocalWork`; the drivers in lcnb.transport do the sending
and waiting."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from lcnb.api.calls import Call
from lcnb.deferred_imports import import_in_thread
from lcnb.errors import LcnbError

T = TypeVar("T")
Flow = Generator["Call | GuardedCall | Together | Pause | LocalWork", Any, T]


@dataclass(frozen=True)
class GuardedCall:
    """A call that needs a lock: each attempt calls `check` in the thread that sends, immediately before the first byte.

    `check` returns the seconds in which the request must have been handed to the system, or raises the error with which
    the call then ends unsent.
    """

    call: Call
    check: Callable[[], float] = field(repr=False)


@dataclass(frozen=True)
class Together:
    """Run several flows together; the answer is the list of their results, in order."""

    flows: Sequence[Flow[Any]]


@dataclass(frozen=True)
class Pause:
    """Wait for `seconds`; `why` is the reason to show meanwhile."""

    seconds: float
    why: str


@dataclass(frozen=True)
class LocalWork:
    """Work on this machine, such as writing to the journal; the answer is what `work` returns."""

    what: str
    work: Callable[[], Any] = field(repr=False)


@dataclass(frozen=True)
class Envelope:
    """A successful response: the whole JSON object and its `data`."""

    #: Not in the repr: records hold initial passwords, and tracebacks may print local variables.
    document: Mapping[str, Any] = field(repr=False)

    @property
    def data(self) -> Any:
        """The `data` of the document, or None."""
        return self.document.get("data")

    @property
    def slug(self) -> str | None:
        """The slug of the record in `data`; None where it has none."""
        slug = self.data.get("slug") if isinstance(self.data, Mapping) else None
        return slug if isinstance(slug, str) else None


def without_frames(flow: Flow[T]) -> Flow[T]:
    """Run a flow that reads records, and drop the frames of its errors.

    The records hold initial passwords, and a traceback may print the variables of each frame.
    """
    try:
        return (yield from flow)
    except LcnbError as error:
        raise error.with_traceback(None) from None


def import_meanwhile(flow: Flow[T], module: str) -> Flow[T]:
    """Run a flow; a thread imports the module that its result will need, once its first requests are in flight."""
    if module in sys.modules:
        return (yield from flow)
    importing = LocalWork(f"import {module}", partial(import_in_thread, module))
    result, _ = yield Together([flow, perform(importing)])
    return result  # type: ignore[no-any-return]


def perform(work: LocalWork) -> Flow[Any]:
    """Do local work as a flow of its own, to run together with others."""
    return (yield work)
