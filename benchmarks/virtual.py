"""Flows against a sandbox in this process, on a clock that is turned instead of waited for."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from lcnb.api.flows import LocalWork, Pause
from lcnb.client import LetsCloud
from lcnb.config import Settings
from lcnb.sandbox import Request, Sandbox
from lcnb.secret import Secret
from lcnb.transport.effects import LATE, LowEffect, Outcome, Response, Transmit, TransportFailure
from lcnb.transport.sync import SyncWire

#: Seconds that a request takes there and back.
TRIP_S = 0.05


class VirtualWire(SyncWire):
    """Performs the effects of a flow: requests by a function call, pauses by the sandbox's clock."""

    def __init__(self, settings: Settings, sandbox: Sandbox, seed: int = 0) -> None:
        self.sandbox = sandbox
        super().__init__(settings, clock=sandbox.world.now, rng=random.Random(seed))
        #: Called before each effect that is not a read, with its name; raising ends the flow there.
        self.before: Callable[[str], None] = lambda name: None
        self.requests = 0

    def perform(self, effect: LowEffect, scheduler: Any) -> Any:
        if isinstance(effect, Transmit):
            self.before(f"{effect.call.method} {effect.call.path}")
            return self._send(effect)
        if isinstance(effect, Pause):
            return self._turn(effect.seconds)
        if isinstance(effect, LocalWork):
            self.before(effect.what)
        return super().perform(effect, scheduler)

    def _turn(self, seconds: float) -> None:
        self.sandbox.world.clock.turn(seconds)  # type: ignore[attr-defined]

    def _send(self, effect: Transmit) -> Outcome:
        self.requests += 1
        call = effect.call
        return send(self.sandbox, call.method, call.path, call.body, effect.limit_s)


def send(sandbox: Sandbox, method: str, path: str, body: Any, limit_s: float = 60.0) -> Outcome:
    """One request by a function call; its fate as a client sees it that waits `limit_s` seconds of the world."""
    content = b"" if body is None else json.dumps(body, default=Secret.reveal).encode()
    headers = {"api-token": sandbox.token, "content-type": "application/json"}
    where, _, query = path.partition("?")
    reply = sandbox.handle(Request(method, f"/api{where}", headers, content, query))
    turn = sandbox.world.clock.turn  # type: ignore[attr-defined]
    turn(TRIP_S)
    if reply.fate in ("stall", "slow") and reply.seconds > limit_s - TRIP_S:
        turn(limit_s - TRIP_S)
        return LATE
    if reply.fate == "slow" and reply.later is not None:
        turn(reply.seconds)
        reply = reply.later()
    if reply.fate:
        turn(reply.seconds)
        return TransportFailure("lost", reply.fate)
    return Response(reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.body)


def client(sandbox: Sandbox, settings: Settings, seed: int = 0) -> LetsCloud:
    """A LetsCloud whose requests go to this sandbox, on its clock."""
    lc = LetsCloud(settings)
    lc._wire = VirtualWire(settings, sandbox, seed)
    lc._cache.clock = sandbox.world.now
    return lc
