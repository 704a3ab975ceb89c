"""The asynchronous driver: runs flows in the caller's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from lcnb.api.flows import Flow, LocalWork, Pause, Together
from lcnb.config import Settings
from lcnb.transport import network
from lcnb.transport.effects import (
    LATE,
    ExchangeContext,
    LowEffect,
    LowFlow,
    Outcome,
    Raised,
    Returned,
    T,
    Transmit,
)
from lcnb.transport.httpx_client import (
    SEND_ERRORS,
    classify_failure,
    make_async_client,
    read_response,
    request_arguments,
)
from lcnb.transport.protocol import exchange_flow, next_step
from lcnb.transport.wire import BaseWire


class _AsyncPool:
    """An httpx.AsyncClient that closes itself when it is retired and unused, and when its event loop ends."""

    def __init__(
        self, settings: Settings, loop: asyncio.AbstractEventLoop, proxy: network.Proxy | None = None
    ) -> None:
        self.loop = loop
        self._client = make_async_client(settings, proxy)
        self._settings = settings
        self._users = 0
        self._retired = False
        self._lifetime: AsyncGenerator[None, None] | None = _client_lifetime(self._client)

    async def open(self) -> None:
        """Bind the pool to the running event loop."""
        if self._lifetime is not None:
            await anext(self._lifetime)

    async def send(self, effect: Transmit) -> Outcome:
        """Send a request and return its outcome; raise TimeoutError at its limit."""
        self._users += 1
        try:
            async with asyncio.timeout(effect.limit_s):
                arguments = request_arguments(self._settings, effect, is_async=True)
                return read_response(await self._client.request(**arguments))
        except SEND_ERRORS as error:
            return classify_failure(error)
        finally:
            self._users -= 1
            await self._close_if_unused()

    async def retire(self) -> None:
        """Close the pool after its last request."""
        self._retired = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._retired and not self._users and self._lifetime is not None:
            lifetime, self._lifetime = self._lifetime, None
            await _await_uncancelled(lifetime.aclose())


async def _client_lifetime(client: Any) -> AsyncGenerator[None, None]:
    """Close the client when this generator is closed: a loop that ends closes the generators begun in it."""
    try:
        yield
    finally:
        await client.aclose()


async def _await_uncancelled(closing: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine to its end, also when cancelled meanwhile: a half-closed client leaves sockets open."""
    task = asyncio.ensure_future(closing)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation


class AsyncWire(BaseWire):
    """Runs flows in the caller's event loop. In another loop than before, it opens new connections."""

    _pool: _AsyncPool | None = None

    async def run(self, flow: Flow[T], *, each_call: bool = False) -> T:
        """Return the result of a flow. With `each_call` each call gets the whole timeout, not the flow."""
        context = self._context(each_call)
        return await self._drive(exchange_flow(flow, context), context)

    async def aclose(self) -> None:
        """Close the connections. The wire can still be used: it then opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is asyncio.get_running_loop():
            await pool.retire()

    async def _drive(self, flow: LowFlow[T], context: ExchangeContext) -> T:
        answer: Any = None
        try:
            while not isinstance(step := next_step(flow, answer), Returned):
                try:
                    answer = await self._perform(step, context)
                except Exception as error:
                    answer = Raised(error)
            return step.result
        finally:
            flow.close()

    async def _perform(self, effect: LowEffect, context: ExchangeContext) -> Any:
        if isinstance(effect, Transmit):
            return await self._transmit(effect)
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, LocalWork):
            return effect.work()
        return await self._run_together(effect, context)

    async def _transmit(self, effect: Transmit) -> Outcome:
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            pool = self._pool = _AsyncPool(self.settings, loop, self.proxy)
            await pool.open()
        try:
            return await pool.send(effect)
        except TimeoutError:
            await self._retire(pool)
            return LATE
        except BaseException as interrupt:
            await self._retire(pool)
            # Frames of httpx hold the request's headers: a traceback with locals would print the token.
            raise interrupt.with_traceback(None) from None

    async def _retire(self, pool: _AsyncPool) -> None:
        if self._pool is pool:
            self._pool = None
        await pool.retire()

    async def _run_together(self, effect: Together, context: ExchangeContext) -> list[Any]:
        """Run each flow as a task; the first error cancels the others and is raised."""
        tasks = [
            asyncio.ensure_future(self._drive(exchange_flow(flow, context), context)) for flow in effect.flows
        ]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
