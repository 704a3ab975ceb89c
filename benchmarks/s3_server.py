"""A real S3 server on loopback for tests and benchmarks: moto in an environment of its own, one request at a time.

moto looks at If-Match and If-None-Match first and writes afterwards, in many threads, so that two writers can both
pass. `SERVER` therefore handles the requests one after the other, which makes each of them atomic, as those of S3 are.
"""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYTHON = Path(__file__).parent.parent / ".venv/s3-server/bin/python"
BUCKET = "runs"

#: The server. It reads a request whole before its turn, so that a slow sender holds nobody up.
SERVER = """
import io, sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

app, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()
if sys.argv[1] == "unordered":
    sys.setswitchinterval(1e-6)  # as many changes of thread as on a busy machine

class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    def log(self, *args): pass

def answer(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    if sys.argv[1] == "unordered":
        return app(environ, start_response)
    with turn:
        return [b"".join(app(environ, start_response))]

server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class S3Server:
    """Where the server is. `environment` holds what a client needs."""

    port: int
    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> None:
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT"), timeout=600):
            pass


@contextmanager
def s3_server(order: str = "ordered") -> Iterator[S3Server]:
    """Run the server with one empty bucket, `BUCKET`."""
    process = subprocess.Popen([PYTHON, "-c", SERVER, order], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = int(process.stdout.readline())
        server = S3Server(port, f"http://127.0.0.1:{port}")
        server.make_bucket(BUCKET)
        yield server
    finally:
        process.kill()
        process.communicate()
