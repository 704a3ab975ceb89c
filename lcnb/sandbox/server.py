"""The sandbox as a process: `lcnb sandbox`, `python -m lcnb.sandbox`, and `start()` from Python.

The socket is bound before anything else, so a taken port is one clear line. The first line on stdout holds
the base URL and the token, and comes once requests are answered; the second sets both in a shell, quoted, since a
token contains `$`. With a state file every change is saved
before it is answered, by a synced temporary file of mode 0600 that takes the old one's place.
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
    """Serve on 127.0.0.1 until interrupted; the exit code: 0, or 2 when it could not begin."""
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
    saved = _load_state(path) if path else None
    token = token or os.environ.get(TOKEN_VARIABLE) or (saved or {}).get("token")
    token = token or new_token()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("--token: expected printable ASCII without spaces")
    world = World(Clock(speed), number=seed, fleet=fleet, saved=(saved or {}).get("world"))
    keep = _state_saver(path, token) if path else None
    sandbox = Sandbox(world, token, shapes=shapes, rate_limit=rate_limit, on_change=keep)
    if keep:
        keep(world)
    return sandbox


def _read_faults(faults: Faults | Mapping[str, Any] | str | os.PathLike[str] | None) -> Faults:
    try:
        return Faults.read(faults)
    except ValueError as error:
        raise ValueError(f"--faults: {error}") from None


# --- the state file -------------------------------------------------------------------------------------


def _load_state(path: Path) -> dict[str, Any] | None:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        World(Clock(0), saved=dict(saved["world"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"--state {path}: not a state of the sandbox ({type(error).__name__}: {error}). It was left as it "
            "is; move it away, or name another file"
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


# --- the process ----------------------------------------------------------------------------------------


def _open_listener(port: int) -> socket.socket:
    # By its name, or asyncio does not switch Nagle off, and every answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # a port just left is free again; on Windows the flag would allow two owners
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"port {port} on 127.0.0.1 cannot be had: {error.strerror}. Another --port, or --port 0 for a free one"
        ) from None
    return listener


def _run_server(sandbox: Sandbox, listener: socket.socket, until_stdin_closes: bool) -> int:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            port = listener.getsockname()[1]
            url = f"http://127.0.0.1:{port}/api"
            print(
                f"LetsCloud sandbox: {url}  token: {sandbox.token}\n"
                f"in a shell: export LCNB_BASE_URL={shlex.quote(url)} LETSCLOUD_API_KEY={shlex.quote(sandbox.token)}",
                flush=True,
            )

    server = Server(_server_config(sandbox))
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
    """uvicorn, made to let go of a connection as a fault demands.

    Loop and protocol are named, where "auto" would take what happens to be installed: faults rest on how
    these two close a socket.
    """
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        """Tells the application which connection a request came by."""

        stalled = False

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            carry = self.app

            async def told(scope: Any, receive: Any, send: Any) -> None:
                scope.setdefault("extensions", {})[CONNECTION_KEY] = self
                await carry(scope, receive, send)

            self.app = told

        def shutdown(self) -> None:
            """The server ends: it would wait for a stalled answer until its time is over."""
            super().shutdown()
            if self.stalled:
                self.transport.close()

    return uvicorn.Config(
        asgi_app(sandbox),
        http=Protocol,
        loop="asyncio",
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
    )


def _end_with_stdin(server: Any) -> None:
    """The parent holds the other end: it closes with the parent, however that ends."""
    while sys.stdin.buffer.read(4096):
        continue
    server.should_exit = True


@contextmanager
def serve_in_thread(sandbox: Sandbox) -> Iterator[str]:
    """Serve a Sandbox from a thread of this process, for tests that turn its clock; gives the base URL."""
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
