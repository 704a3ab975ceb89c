"""The state that both drivers share: settings, proxy, rate budget, clock and the last reported rate limit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from lcnb.config import Settings, redis_url
from lcnb.transport import network
from lcnb.transport.budget import open_budget
from lcnb.transport.effects import ExchangeContext


class BaseWire:
    """A connection to the API without its driver. Nothing is connected until the first request."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Read the proxy settings; raise ConfigError if they cannot be used."""
        self.settings = settings
        #: The proxy for all requests, or None.
        self.proxy = network.checked_proxy(settings.base_url)
        #: The last reported rate limit: `limit` and `remaining`.
        self.limits: dict[str, int] = {}
        self.clock = clock
        is_real = clock is time.monotonic
        #: Paces all processes that use this token; None on a clock that a test controls.
        self.budget = open_budget(settings.state_dir, settings.token, redis_url()) if is_real else None
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret

    def _context(self, each_call: bool) -> ExchangeContext:
        deadline = self.clock() + self.settings.timeout
        return ExchangeContext(
            self.clock, deadline, self._rng, self.settings, self.limits, each_call, self.budget, self.proxy
        )
