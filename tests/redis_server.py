"""A real Redis on loopback for tests, with a password that must not be shown anywhere."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "canary-redis/p@ss#7c21"


@contextmanager
def redis_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a Redis that keeps nothing on the disk, and yield its URL. Skips the test where it is not installed."""
    pytest.importorskip("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    options = {"bind": "127.0.0.1", "port": port, "requirepass": PASSWORD, "save": "", "appendonly": "no"}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen([program, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        quoted = PASSWORD.replace("/", "%2F").replace("@", "%40").replace("#", "%23")
        yield f"redis://:{quoted}@127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()
