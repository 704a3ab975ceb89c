"""The Starlette application that passes requests to `Sandbox.handle` and applies a reply's fate to the connection."""

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

#: The key in an ASGI scope's extensions under which the server passes the connection of a request.
CONNECTION_KEY = "lcnb.sandbox.connection"


def asgi_app(sandbox: Sandbox) -> Starlette:
    """Return the Starlette application of a sandbox."""
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await _read_request(HttpRequest(scope, receive))
        except ClientDisconnect:  # an incomplete request gets no reply
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
    """Apply a reply's fate to the connection, and wait until it is closed: otherwise uvicorn would reply with 500."""
    if reply.fate == "truncated":
        raw = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    elif reply.fate == "stall":
        connection.stalled = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_wait_closed(receive), reply.seconds)
    elif reply.fate == "reset":
        # With a linger time of 0, close() sends RST instead of FIN. Windows uses shorter integers here.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.transport.close()  # the transport sends what was written before it closes
    await _wait_closed(receive)


async def _delayed_reply(reply: Reply, connection: Any, receive: Receive) -> Reply:
    """Return a slow reply after its seconds, or a lost one when the client has disconnected before."""
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
    """Return the request with its body; the rest of a body that is too long is not stored."""
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
