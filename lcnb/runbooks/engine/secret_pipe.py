"""A pipe through which a kernel sends the secrets that a notebook reveals, so that its runner can mask them.

Only the kernel knows a password that lcnb generated there, or a private key: printed by a cell it would be in the saved
notebook. So `Secret.reveal` writes the value into a pipe before it returns it, and the runner reads the pipe before
each save. The value never reaches a disk, a list of processes, or a process that a cell starts.
"""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lcnb.api.record_reader import SECRET_NAME_PATTERN
from lcnb.config import notification_targets, ping_url
from lcnb.secret import SECRET_PIPE_VARIABLE, Secret
from lcnb.tokens import TOKEN_VARIABLES
from lcnb.transport.network import proxy_secrets

#: Shorter values of environment variables are not masked, because they may be ordinary words.
MIN_SECRET_LENGTH = 8
#: Credentials of object stores that have no name of a secret.
STORE_KEYS = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)


class SecretPipe:
    """The reading end of the pipe, and the secrets that were read from it."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}
        self._rest = b""
        self._lock = threading.Lock()
        self._read = self.write = -1

    @contextmanager
    def open(self) -> Iterator[dict[str, str]]:
        """Open the pipe for one run; yield the variables that a kernel needs. It must inherit the handle `write`."""
        if os.name != "posix":
            yield {}
            return
        self._read, self.write = os.pipe()
        over = threading.Event()
        reader = threading.Thread(target=self._keep_reading, args=(over,), daemon=True)
        reader.start()  # a pipe that is full would stop the cell
        try:
            yield {SECRET_PIPE_VARIABLE: f"{self.write}:{os.fstat(self.write).st_ino}"}
        finally:
            self._drain()
            over.set()
            reader.join()
            with self._lock:
                os.close(self._read)
                os.close(self.write)
                self._read = self.write = -1

    def secrets(self) -> list[Secret]:
        """Return the secrets that were received until now."""
        self._drain()
        with self._lock:
            return list(self._secrets.values())

    def _keep_reading(self, over: threading.Event) -> None:
        while not over.wait(0.05):
            self._drain()

    def _drain(self) -> None:
        with self._lock:
            while self._read >= 0 and select.select([self._read], [], [], 0)[0]:
                *lines, self._rest = (self._rest + os.read(self._read, 65536)).split(b"\n")
                for line in lines:
                    self._add(line)

    def _add(self, line: bytes) -> None:
        try:
            value = json.loads(line)
        except ValueError:
            return
        if isinstance(value, str):
            for part in split_secret(value):
                self._secrets.setdefault(part, Secret(part))


def split_secret(value: str) -> list[str]:
    """Return a secret and, for one of several lines such as a private key, each long line too.

    >>> split_secret("correct horse")
    ['correct horse']
    """
    lines = [line for line in value.splitlines() if len(line) >= 20 and not line.startswith("-----")]
    return [value, value.strip(), *lines] if len(lines) > 1 else [value]


def inherited_secrets() -> list[Secret]:
    """Return every secret that a process may have inherited: tokens, other secrets, and whom to notify."""
    tokens = [Secret(os.environ[name]) for name in TOKEN_VARIABLES if os.environ.get(name)]
    return [*tokens, *environment_secrets(), *notification_targets(), *filter(None, [ping_url()])]


def environment_secrets() -> list[Secret]:
    """Return the values of environment variables with names of secrets, and passwords of proxies."""
    return proxy_secrets() + [
        Secret(part)
        for name, value in os.environ.items()
        if (SECRET_NAME_PATTERN.search(name) or name in STORE_KEYS) and len(value) >= MIN_SECRET_LENGTH
        for part in split_secret(value)
    ]
