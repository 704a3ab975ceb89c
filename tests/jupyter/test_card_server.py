"""The process behind the card: who it answers, and when it ends."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from conftest import ROOT, wait_until
from lcnb.jupyter.admin_card import admin_card

pytestmark = [
    pytest.mark.fresh_python,
    # Only the processes import it, not each worker.
    pytest.mark.skipif(find_spec("voila") is None, reason="needs voila"),
    pytest.mark.skipif(os.name != "posix", reason="sockets with a path"),
]

#: What the Jupyter server does: it starts the page and waits.
PARENT = """
import subprocess, sys
page = subprocess.Popen(sys.argv[1:])
print(page.pid, flush=True)
page.wait()
"""


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a socket with a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def status(place: Path, path: str, authorization: str = "") -> int:
    connection = SocketConnection(place)
    try:
        connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as that of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="lcnb-card-") as made:
        yield Path(made)


def test_process(folder: Path) -> None:
    """Requests without the token of the card are refused; when the server is killed, the page ends with its folder."""
    card = admin_card()
    place, base = folder / "socket", "/user/ann%20b/"
    command = [part.format(base_url=base, unix_socket=place, port=0) for part in card["command"]]
    run = folder / "runs" / "20260101T000000Z-inventory-000000"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "report.html").write_text("<p>report</p>")
    environment = {
        **os.environ,
        "LCNB_RUNS_DIR": str(run.parent),
        **card["environment"],
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
    }
    authorization = card["request_headers_override"]["Authorization"]
    assert authorization.removeprefix("token ") not in " ".join(command)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    page = psutil.Process(int(parent.stdout.readline()))
    try:
        wait_until(lambda: place.exists() or not page.is_running())
        address = f"{base}lcnb-admin/"
        assert status(place, "/") == 404
        assert status(place, address) == 302  # to the login, where nobody has a password
        assert status(place, address, "token wrong") == 302
        kernel = f"{address}api/kernels/00000000-0000-0000-0000-000000000000"
        assert [status(place, kernel), status(place, kernel, authorization)] == [403, 404]
        report = f"{address}lcnb/reports/20260101T000000Z-inventory-000000/report.html"
        assert [status(place, report, authorization), status(place, report)] == [200, 302]
        assert page.children() == []  # no kernel was started for any of these
        parent.kill()
        wait_until(lambda: not page.is_running())
        assert list(folder.glob("voila_*")) == []
    finally:
        with suppress(psutil.NoSuchProcess):
            page.kill()
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_new_token() -> None:
    """Each Jupyter server has a token of its own, and only its environment and its requests have it."""
    one, other = admin_card(), admin_card()
    assert one["environment"] != other["environment"]
    assert one["command"] == other["command"]
    assert Path(one["launcher_entry"]["icon_path"]).read_text().startswith("<svg")
