"""The Starlette application that carries requests to `Sandbox.handle` and lets a connection meet a reply's fate."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

from lcnb.sandbox.app import Sandbox
from lcnb.sandbox.http import MAX_BODY_BYTES, Reply, Request

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send
#: Under this name of an ASGI scope's extensions `server.Protocol` gives itself, for a fate to be met.
CONNECTION_KEY = "lcnb.sandbox.connection"


# --- HTTP -----------------------------------------------------------------------------------------------


def asgi_app(sandbox: Sandbox) -> Starlette:
    """The Starlette application that carries requests to `sandbox.handle`."""
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await _read_request(HttpRequest(scope, receive))
        except ClientDisconnect:  # half a request is none
            return
        reply = sandbox.handle(request)
        if reply.fate == "slow":
            reply = await _delayed_reply(reply, scope["extensions"][CONNECTION_KEY], receive)
        if reply.fate:
            await _apply_fate(reply, scope["extensions"][CONNECTION_KEY], receive, send)
        else:
            await Response(reply.body, reply.status, dict(reply.headers))(scope, receive, send)

    application = Starlette()
    application.router.default = answer
    return application


async def _apply_fate(reply: Reply, connection: Any, receive: Receive, send: Send) -> None:
    """Do to the connection what a fate says, and see it closed: uvicorn would answer 500 for a silent return."""
    if reply.fate == "truncated":
        raw = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    elif reply.fate == "stall":
        connection.stalled = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_wait_closed(receive), reply.seconds)
    elif reply.fate == "reset":
        # Lingering for no time makes close() send RST in place of FIN. Windows has shorter numbers here.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.transport.close()  # what was written is sent before
    await _wait_closed(receive)


async def _delayed_reply(reply: Reply, connection: Any, receive: Receive) -> Reply:
    """The slow reply itself after its seconds, or `lost` when the client has gone before."""
    connection.stalled = True
    try:
        await asyncio.wait_for(_wait_closed(receive), reply.seconds)
    except TimeoutError:
        connection.stalled = False
        return reply.later() if reply.later else reply
    return Reply(0, b"", fate="lost")


async def _wait_closed(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _read_request(http: Any) -> Request:
    """The request with its body, no more of it than one byte too much."""
    body = b""
    async for chunk in http.stream():
        if len(body) <= MAX_BODY_BYTES:
            body += chunk
    raw_path = http.scope.get("raw_path") or http.scope["path"].encode()
    return Request(
        method=http.method,
        path=raw_path.decode("latin-1").partition("?")[0],
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in http.headers.raw},
        body=body,
        query=http.scope.get("query_string", b"").decode("latin-1"),
    )
