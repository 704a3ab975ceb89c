"""The HTTP server of the sandbox, in this process or in a thread.

The socket is bound before anything else, so that a port in use is reported in one line. The first line on stdout has
the base URL and the token, and is printed once requests are answered. The second line sets both in a shell, in quotes,
because a token contains `$`. With a state file, every change is saved before it is answered: a synced temporary file of
mode 0600 replaces the old file.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcnb.sandbox.app import Sandbox
from lcnb.sandbox.asgi import CONNECTION_KEY, asgi_app
from lcnb.sandbox.clock import Clock
from lcnb.sandbox.faults import Faults
from lcnb.sandbox.seed import new_token
from lcnb.sandbox.world import World

TOKEN_VARIABLE = "LCNB_SANDBOX_TOKEN"  # noqa: S105 - a variable's name


def serve(
    *,
    port: int = 0,
    state: str | None = None,
    speed: float = 1.0,
    seed: int = 1,
    fleet: int = 60,
    token: str | None = None,
    shapes: str = "list",
    rate_limit: int = 5_000,
    faults: Faults | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    until_stdin_closes: bool = False,
) -> int:
    """Serve a sandbox on 127.0.0.1 until it is interrupted.

    Args:
        port: The port; 0 selects a free one.
        state: A file that stores the account between restarts.
        speed: How much faster the clock runs; 0 stops it.
        seed: A number that determines the fleet.
        fleet: The number of machines at the start.
        token: The token to accept; random by default.
        shapes: The forms of replies, separated by commas: see `lcnb.sandbox.shapes`.
        rate_limit: Calls per hour.
        faults: A script of faults, its JSON, or a file of it: see `lcnb.sandbox.faults`.
        until_stdin_closes: Stop when stdin is closed.

    Returns the exit code: 0, 2 when the server could not start, 130 after Ctrl-C.
    """
    try:
        script = _read_faults(faults)
        sandbox = _build_sandbox(state, speed, seed, fleet, token, shapes, rate_limit)
        sandbox.faults = script
        listener = _open_listener(port)
    except (OSError, ValueError) as error:
        print(f"lcnb sandbox: {error}", file=sys.stderr)
        return 2
    return _run_server(sandbox, listener, until_stdin_closes)


def _build_sandbox(
    state: str | None, speed: float, seed: int, fleet: int, token: str | None, shapes: str, rate_limit: int
) -> Sandbox:
    if not 0 <= speed <= 1e6:
        raise ValueError(f"--speed {speed:g}: expected a number from 0 to 1000000")
    path = Path(state) if state else None
    saved = (_load_state(path) if path else None) or {}
    token = _choose_token(token, saved)
    world = World(Clock(speed), number=seed, fleet=fleet, saved=saved.get("world"))
    keep = _state_saver(path, token) if path else None
    sandbox = Sandbox(world, token, shapes=shapes, rate_limit=rate_limit, on_change=keep)
    if keep:
        keep(world)
    return sandbox


def _choose_token(given: str | None, saved: Mapping[str, Any]) -> str:
    """Return the token of the option, the environment or the state file, or a new one."""
    token = str(given or os.environ.get(TOKEN_VARIABLE) or saved.get("token") or new_token())
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("--token: expected printable ASCII without spaces")
    return token


def _read_faults(faults: Faults | Mapping[str, Any] | str | os.PathLike[str] | None) -> Faults:
    try:
        return Faults.read(faults)
    except ValueError as error:
        raise ValueError(f"--faults: {error}") from None


def _load_state(path: Path) -> dict[str, Any] | None:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        World(Clock(0), saved=dict(saved["world"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"--state {path}: not a state file of the sandbox ({type(error).__name__}: {error}). It was not "
            "changed; move it away, or name another file"
        ) from None
    return dict(saved)


def _state_saver(path: Path, token: str) -> Callable[[World], None]:
    def save(world: World) -> None:
        text = json.dumps({"token": token, "world": world.save()}, ensure_ascii=False)
        handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    return save


def _open_listener(port: int) -> socket.socket:
    # The protocol is named explicitly: otherwise asyncio leaves Nagle's algorithm on, and every reply takes 40 ms more.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # Makes a port free at once after its last owner; on Windows it would allow two owners.
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"port {port} on 127.0.0.1 is not available: {error.strerror}. Use another --port; 0 selects a free one"
        ) from None
    return listener


def _run_server(sandbox: Sandbox, listener: socket.socket, until_stdin_closes: bool) -> int:
    import uvicorn

    class AnnouncingServer(uvicorn.Server):
        """Prints where it listens once it answers requests."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            port = listener.getsockname()[1]
            url = f"http://127.0.0.1:{port}/api"
            print(
                f"LetsCloud sandbox: {url}  token: {sandbox.token}\n"
                f"in a shell: export LCNB_BASE_URL={shlex.quote(url)} LETSCLOUD_API_KEY={shlex.quote(sandbox.token)}",
                flush=True,
            )

    server = AnnouncingServer(_server_config(sandbox))
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    finally:
        listener.close()
    return 0


def _server_config(sandbox: Sandbox) -> Any:
    """The configuration of uvicorn, with a protocol that can close a connection as a fault requires.

    Event loop and protocol are named explicitly, because faults depend on how these two close a socket; "auto" would
    choose any that are installed.
    """
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ConnectionProtocol(H11Protocol):
        """Passes the connection of each request to the application."""

        stalled = False

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            application = self.app

            async def pass_connection(scope: Any, receive: Any, send: Any) -> None:
                scope.setdefault("extensions", {})[CONNECTION_KEY] = self
                await application(scope, receive, send)

            self.app = pass_connection

        def shutdown(self) -> None:
            """Close the connection of a stalled reply: otherwise the server would wait for the end of its time."""
            super().shutdown()
            if self.stalled:
                self.transport.close()

    return uvicorn.Config(
        asgi_app(sandbox),
        http=ConnectionProtocol,
        loop="asyncio",
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
    )


def _end_with_stdin(server: Any) -> None:
    """Stop the server when stdin is closed. The parent holds the other end, which closes however the parent ends."""
    while sys.stdin.buffer.read(4096):
        continue
    server.should_exit = True


@contextmanager
def serve_in_thread(sandbox: Sandbox) -> Iterator[str]:
    """Serve a Sandbox in a thread of this process and yield the base URL, for tests that advance its clock."""
    import uvicorn

    listener = _open_listener(0)
    server = uvicorn.Server(_server_config(sandbox))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
