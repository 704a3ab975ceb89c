"""A request that needs a lock: it is checked immediately before its first byte, and a stop there cannot delay it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from conftest import wait_until
from lcnb.api.calls import Call
from lcnb.api.flows import Flow, GuardedCall
from lcnb.config import Settings
from lcnb.errors import Locked
from lcnb.transport.aio import AsyncWire
from lcnb.transport.send_guard import start_kill_timer
from lcnb.transport.sync import SyncWire

pytestmark = pytest.mark.fresh_python
needs_timer = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has the timer that ends a process"
)
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 28\r\n\r\n{"success":true,"data":"ok"}'


@dataclass
class Provider:
    """A server that answers every request, and keeps the bytes that it received."""

    port: int
    received: bytearray = field(default_factory=bytearray)
    connections: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"


@pytest.fixture
def provider() -> Iterator[Provider]:
    listener = socket.create_server(("127.0.0.1", 0))
    found = Provider(listener.getsockname()[1])

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                found.received += data
                connection.sendall(ANSWER)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            found.connections += 1
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield found
    listener.close()


def write(check: Callable[[], float]) -> Flow[object]:
    envelope = yield GuardedCall(Call("PUT", "/instances/a/power-off", "power off", "set"), check)
    return envelope.data


def refuse() -> float:
    raise Locked("the lock is lost")


def client_settings(settings: Settings, provider: Provider) -> Settings:
    from dataclasses import replace

    return replace(settings, base_url=provider.base_url)


@pytest.mark.parametrize("is_async", [False, True])
def test_checked_before_the_first_byte(settings: Settings, provider: Provider, is_async: bool) -> None:
    """The check is made on an open connection, in time to keep every byte back; its error is that of the call."""
    chosen = client_settings(settings, provider)

    def run(check: Callable[[], float]) -> object:
        if not is_async:
            return SyncWire(chosen).run(write(check))
        return asyncio.run(AsyncWire(chosen).run(write(check)))

    with pytest.raises(Locked, match="the lock is lost"):
        run(refuse)
    wait_until(lambda: provider.connections == 1)
    assert provider.received == b""
    assert run(lambda: 60.0) == "ok"
    assert provider.received.startswith(b"PUT /api/instances/a/power-off")


def test_each_attempt_is_checked(settings: Settings, provider: Provider) -> None:
    """The thread that sends makes the check, once for each attempt, also on a connection that was open before."""
    threads = []

    def check() -> float:
        threads.append(threading.current_thread())
        return 60.0

    wire = SyncWire(client_settings(settings, provider))
    assert [wire.run(write(check)) for _ in range(2)] == ["ok", "ok"]
    assert len(threads) == 2
    assert threading.main_thread() not in threads
    assert provider.connections == 1


#: A process that sends one guarded write and stops itself between the check and the first byte.
STOPPED = """
    import signal, sys, threading
    from pathlib import Path
    import httpcore._backends.sync as backend
    from lcnb.api.calls import Call
    from lcnb.api.flows import GuardedCall
    from lcnb.config import Settings
    from lcnb.secret import Secret
    from lcnb.transport.sync import SyncWire

    url, seconds, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    send = backend.SyncStream.write

    def stop_and_send(self, buffer, timeout=None):
        backend.SyncStream.write = send  # once: httpcore writes again for an empty body
        if sys.argv[4] == "stop":
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # hits this thread before it goes on
        return send(self, buffer, timeout)

    backend.SyncStream.write = stop_and_send

    def flow():
        yield GuardedCall(Call("PUT", "/instances/a/power-off", "power off", "set"), lambda: seconds)

    SyncWire(Settings(None, Secret("a" * 20), "test", url, "test", 60.0, folder, folder)).run(flow())
    print("sent", flush=True)
    sys.stdin.read()
"""


def start_sender(provider: Provider, seconds: float, folder: object, *more: str) -> subprocess.Popen[str]:
    arguments = [provider.base_url, str(seconds), str(folder), *more]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STOPPED), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@needs_timer
def test_stopped_before_the_first_byte(provider: Provider, tmp_path: object) -> None:
    """A process that is stopped between check and first byte for longer than its lock is ended, and sends nothing."""
    with start_sender(provider, 0.3, tmp_path, "stop") as process:
        assert process.wait(600) == -signal.SIGKILL
    assert provider.connections == 1
    assert provider.received == b""


@needs_timer
def test_stopped_for_a_moment(provider: Provider, tmp_path: object) -> None:
    """A process that continues in time sends its request."""
    with start_sender(provider, 500, tmp_path, "stop") as process:
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        assert provider.received == b""
        process.send_signal(signal.SIGCONT)
        assert process.stdout
        assert process.stdout.readline() == "sent\n"
        process.kill()
    assert provider.received.startswith(b"PUT")


@needs_timer
def test_timer_ends_with_the_sending(provider: Provider, tmp_path: object) -> None:
    """A process that has sent its request has no timer any more: it may do what it likes."""
    with start_sender(provider, 500, tmp_path, "stop") as process:
        timers = Path(f"/proc/{process.pid}/timers")
        if not timers.exists():
            process.kill()
            pytest.skip("this kernel does not list timers")
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        assert "signal: 9/" in timers.read_text()
        process.send_signal(signal.SIGCONT)
        assert process.stdout
        assert process.stdout.readline() == "sent\n"
        assert timers.read_text() == ""
        process.kill()


@needs_timer
def test_cancelled_timer() -> None:
    """A timer can be started in every process here, and cancelled."""
    timer = start_kill_timer(500)
    assert timer
    timer.cancel()
    assert os.getpid()
