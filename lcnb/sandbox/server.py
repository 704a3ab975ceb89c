"""The sandbox as a process: `lcnb sandbox`, `python -m lcnb.sandbox`, and `start()` from Python.

The socket is bound before anything else, so a taken port is one clear line. The first line on stdout holds
the base URL and the token, and comes once requests are answered; the second sets both in a shell, quoted, since a
token contains `$`. With a state file every change is saved
before it is answered, by a synced temporary file of mode 0600 that takes the old one's place.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lcnb.sandbox.app import CONNECTION, Sandbox, asgi
from lcnb.sandbox.faults import EXAMPLE, KINDS, PARAMETERS, Faults
from lcnb.sandbox.seed import new_token
from lcnb.sandbox.shapes import SHAPES
from lcnb.sandbox.world import Clock, World

TOKEN_VARIABLE = "LCNB_SANDBOX_TOKEN"  # noqa: S105 - a variable's name
START_LIMIT_S = 30.0


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
        script = _script(faults)
        sandbox = _sandbox(state, speed, seed, fleet, token, shapes, rate_limit)
        sandbox.faults = script
        listener = _listen(port)
    except (OSError, ValueError) as error:
        print(f"lcnb sandbox: {error}", file=sys.stderr)
        return 2
    return _run(sandbox, listener, until_stdin_closes)


def _sandbox(
    state: str | None, speed: float, seed: int, fleet: int, token: str | None, shapes: str, rate_limit: int
) -> Sandbox:
    if not 0 <= speed <= 1e6:
        raise ValueError(f"--speed {speed:g}: expected a number from 0 to 1000000")
    path = Path(state) if state else None
    saved = _load(path) if path else None
    token = token or os.environ.get(TOKEN_VARIABLE) or (saved or {}).get("token")
    token = token or new_token()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("--token: expected printable ASCII without spaces")
    world = World(Clock(speed), number=seed, fleet=fleet, saved=(saved or {}).get("world"))
    keep = _saver(path, token) if path else None
    sandbox = Sandbox(world, token, shapes=shapes, rate_limit=rate_limit, on_change=keep)
    if keep:
        keep(world)
    return sandbox


def _script(faults: Faults | Mapping[str, Any] | str | os.PathLike[str] | None) -> Faults:
    try:
        return Faults.read(faults)
    except ValueError as error:
        raise ValueError(f"--faults: {error}") from None


# --- the state file -------------------------------------------------------------------------------------


def _load(path: Path) -> dict[str, Any] | None:
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


def _saver(path: Path, token: str) -> Callable[[World], None]:
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


def _listen(port: int) -> socket.socket:
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


def _run(sandbox: Sandbox, listener: socket.socket, until_stdin_closes: bool) -> int:
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

    server = Server(_config(sandbox))
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    finally:
        listener.close()
    return 0


def _config(sandbox: Sandbox) -> Any:
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
                scope.setdefault("extensions", {})[CONNECTION] = self
                await carry(scope, receive, send)

            self.app = told

        def shutdown(self) -> None:
            """The server ends: it would wait for a stalled answer until its time is over."""
            super().shutdown()
            if self.stalled:
                self.transport.close()

    return uvicorn.Config(
        asgi(sandbox),
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


def main(arguments: list[str] | None = None) -> int:
    """`python -m lcnb.sandbox`."""
    parser = argparse.ArgumentParser(
        prog="lcnb sandbox",
        description="A LetsCloud on this machine.",
        epilog=_faults_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", metavar="FILE", help="file that keeps the account over restarts")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster its clock runs")
    parser.add_argument("--seed", type=int, default=1, help="another number, another fleet")
    parser.add_argument("--fleet", type=int, default=60, help="number of machines at the start")
    parser.add_argument("--token", help=f"the token to accept (or {TOKEN_VARIABLE}); random by default")
    parser.add_argument("--shapes", default="list", help=f"comma between: {', '.join(SHAPES)}")
    parser.add_argument("--rate-limit", type=int, default=5_000, help="calls an hour")
    parser.add_argument("--faults", metavar="FILE_OR_JSON", help="a script of what goes wrong, see below")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when stdin does")
    return serve(**vars(parser.parse_args(arguments)))


def _faults_help() -> str:
    kinds = []
    for kind, meaning in KINDS.items():
        defaults = [f"{name}={json.dumps(value)}" for name, value in PARAMETERS[kind].items()]
        kinds.append(f"  {kind:13} {meaning}" + (f" [{', '.join(defaults)}]" if defaults else ""))
    return "\n".join(
        [
            "faults, as JSON or a file of it:",
            f"  {EXAMPLE}",
            "A rule may have method and path (regexes), chance (0 to 1), nth, times. POST /_sandbox/faults",
            "replaces the script; the header X-Sandbox-Fault: error-after; status=500 is for one request.",
            "GET /_sandbox/log tells what really happened.",
            "",
            "kinds [parameters with their defaults]:",
            *kinds,
        ]
    )


# --- from Python ----------------------------------------------------------------------------------------


class Running:
    """A sandbox in its own process. It ends by `stop()`, at the end of a `with`, or with this process."""

    def __init__(self, process: subprocess.Popen[str], base_url: str, token: str) -> None:
        self.base_url = base_url
        self.token = token
        self._process = process

    def __repr__(self) -> str:
        return f"<LetsCloud sandbox at {self.base_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """End it and wait until it has ended; a second time does nothing."""
        process = self._process
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start(**options: Any) -> Running:
    """Start a sandbox as its own process; options as of `serve`. OSError when it does not begin.

    >>> from lcnb.sandbox.server import start
    >>> with start(fleet=3) as sandbox:
    ...     sandbox.base_url.startswith("http://127.0.0.1:")
    True
    """
    token = options.pop("token", None) or new_token()
    if isinstance(options.get("faults"), Faults):
        options["faults"] = options["faults"].script()
    # -P: no file of the working folder, such as a secrets.py, is taken for a module of Python.
    arguments = [sys.executable, "-P", "-m", "lcnb.sandbox", "--until-stdin-closes"]
    for name, value in options.items():
        text = json.dumps(value) if isinstance(value, Mapping) else str(value)
        arguments += [f"--{name.replace('_', '-')}", text]
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, TOKEN_VARIABLE: token},  # the process list shows arguments, not the environment
        # Ctrl-C in a terminal goes to the whole group: the sandbox must outlive an interrupted call.
        start_new_session=True,
    )
    line = _first_line(process)
    if " http://" not in line:
        process.kill()
        _, complaint = process.communicate()
        raise OSError(f"the sandbox did not begin: {complaint.strip() or line.strip() or 'it said nothing'}")
    return Running(process, line.split()[2], token)


def _first_line(process: subprocess.Popen[str]) -> str:
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    reader.join(START_LIMIT_S)
    return lines[0] if lines else ""


@contextmanager
def running(sandbox: Sandbox) -> Iterator[str]:
    """Serve a Sandbox from a thread of this process, for tests that turn its clock; gives the base URL."""
    import uvicorn

    listener = _listen(0)
    server = uvicorn.Server(_config(sandbox))
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
