"""What an exchange yields to its driver (effects), what it receives (outcomes), and the context that it needs."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from lcnb.api.calls import Call
from lcnb.api.flows import LocalWork, Pause, Together
from lcnb.config import Settings
from lcnb.transport.budget import Budget
from lcnb.transport.network import Proxy

T = TypeVar("T")


@dataclass(frozen=True)
class Transmit:
    """Send this call once and return its Outcome; give up after `limit_s` seconds.

    `check` is that of a `GuardedCall`: it is called in the sending thread, immediately before the first byte.
    """

    call: Call
    limit_s: float
    check: Callable[[], float] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Response:
    """A complete HTTP response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class TransportFailure:
    """No complete response arrived.

    After `not sent`, `untrusted` and `denied` (by a proxy) the request was certainly not sent; after the other kinds
    the provider may have received it.
    """

    kind: Literal["not sent", "untrusted", "denied", "lost", "late", "broken"]
    problem: str


#: The outcome of a request whose driver gave up at its limit.
LATE = TransportFailure("late", "no response in time")

Outcome = Response | TransportFailure
LowEffect = Transmit | Pause | Together | LocalWork
LowFlow = Generator[LowEffect, Any, T]


@dataclass(frozen=True)
class Returned(Generic[T]):
    """The flow has ended with this result."""

    result: T


@dataclass(frozen=True)
class Raised:
    """The answer to an effect that failed: the driver hands the exception to the flow."""

    error: BaseException


@dataclass
class ExchangeContext:
    """What an exchange needs from outside: clock, deadline, jitter, settings, budget and proxy."""

    clock: Callable[[], float]
    #: The time on `clock` at which the exchange gives up.
    deadline: float
    rng: random.Random
    settings: Settings
    #: The last reported rate limit: `limit` and `remaining`.
    limits: dict[str, int]

    #: A long flow, such as a wait for machines, has its own deadline: then each call gets the whole timeout.
    each_call: bool = False
    #: Paces all processes that use this token; None on a clock that a test controls.
    budget: Budget | None = None
    proxy: Proxy | None = None

    def remaining(self) -> float:
        """Return the seconds until the deadline; negative after it."""
        return self.deadline - self.clock()

    def for_call(self) -> ExchangeContext:
        """Return the context for the next call, with a new deadline if each call has one."""
        return replace(self, deadline=self.clock() + self.settings.timeout) if self.each_call else self
