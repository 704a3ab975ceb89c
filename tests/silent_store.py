"""A store that never answers: what happens while a request to it is in flight."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from conftest import HANGS_S

#: Variables with which lcnb uses the store at a port.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class SilentStore:
    """Accepts connections and reads. `on_requests` is called when `count` requests are in flight."""

    def __init__(self, on_requests: Callable[[], None], count: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._on_requests, self._left = on_requests, count
        self._lock = threading.Lock()
        #: Requests that the client has ended.
        self.given_up = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            if connection.recv(65536):
                with self._lock:
                    self._left -= 1
                    is_last = not self._left
                if is_last:
                    self._on_requests()
            while connection.recv(65536):
                pass
        self.given_up.release()

    def close(self) -> None:
        self._listener.close()


def interrupt_main_thread(number: int = signal.SIGINT) -> None:
    """Send a signal, as Ctrl-C does: it is for the main thread, which executes the test."""
    signal.pthread_kill(threading.main_thread().ident or 0, number)


@contextmanager
def silent_store(
    on_requests: Callable[[], None] = interrupt_main_thread, count: int = 1
) -> Iterator[SilentStore]:
    """Run a store that never answers; when so many requests have begun, it interrupts the test.

    A request that nothing ends is ended by a limit that is longer than the test may take.
    """
    store = SilentStore(on_requests, count)
    before = {name: os.environ.get(name) for name in ("AWS_ENDPOINT_URL", *CREDENTIALS)}
    os.environ |= {"AWS_ENDPOINT_URL": store.url, **CREDENTIALS}
    # A shell lets what it starts in the background ignore Ctrl-C; the tests may run there.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield store
    finally:
        signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        store.close()


def ended(store: SilentStore, requests: int = 1) -> bool:
    """Whether the client has ended so many requests."""
    return all(store.given_up.acquire(timeout=HANGS_S) for _ in range(requests))
