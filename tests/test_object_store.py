"""An object store: conditional writes in a real S3 server and in a folder, and how each operation ends."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from silent_store import ended, silent_store

import lcnb
from benchmarks.s3_server import BUCKET, PYTHON, S3Server, s3_server
from conftest import wait_until
from lcnb.object_store import ABSENT, ANY, PART_BYTES, ObjectStore, StoreLimits, open_store
from lcnb.parallel import map_in_threads
from lcnb.stored_objects import AttemptConflict, AttemptFailed, StoredObject

needs_server = pytest.mark.skipif(not PYTHON.exists(), reason="moto's server is not installed: make system")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as started:
        yield started


@pytest.fixture(params=["file", pytest.param("s3", marks=needs_server)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    if request.param == "file":
        return open_store(f"file://{tmp_path}/store")
    for name, value in request.getfixturevalue("server").environment.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{BUCKET}/{tmp_path.name}")


def test_whole_life(store: ObjectStore) -> None:
    """An object is created, read, replaced, listed and deleted; keys may contain spaces, `%`, `+` and letters of any script."""
    key = "a folder/ü%2F+.json"
    assert store.read(key) is None
    first = store.write(key, b"one", expected=ABSENT)
    second = store.write(key, b"two", expected=first)
    found = store.read(key)
    assert found
    assert (found.data, found.version) == (b"two", second)
    assert [(each.key, each.size, each.version) for each in store.list()] == [(key, 3, second)]
    assert store.write(key, b"three") not in (first, second)
    store.delete(key)
    store.delete(key)
    assert store.read(key) is None
    assert store.list() == []


def test_conflicts(store: ObjectStore) -> None:
    """A write that expects another object writes nothing, and the error has the object that was found."""
    version = store.write("a", b"one", expected=ABSENT)
    for expected in (ABSENT, version.replace(version[1:4], "xyz")):
        with pytest.raises(
            lcnb.StoreConflict, match=r"a: another write was first\. Nothing was written"
        ) as caught:
            store.write("a", b"two", expected=expected)
        assert caught.value.current
        assert caught.value.current.data == b"one"
    with pytest.raises(lcnb.StoreConflict) as caught:
        store.write("b", b"two", expected=version)
    assert caught.value.current is None
    assert store.read("b") is None


def test_list_of_a_folder(store: ObjectStore) -> None:
    """A folder has the objects below it, not those of a folder whose name only begins like it."""
    for key in ("run/x/1", "run/x/2", "run/xy/1", "other"):
        store.write(key, b"")
    assert [each.key for each in store.list("run/x")] == ["run/x/1", "run/x/2"]
    assert [each.key for each in store.list("run/x/")] == ["run/x/1", "run/x/2"]
    assert store.list("nothing") == []


def increase(store: ObjectStore, times: int) -> None:
    """Add 1 to the counter as often as said, by reading and replacing."""
    while times:
        found = store.read("counter")
        number = int(found.data) if found else 0
        try:
            store.write("counter", b"%d" % (number + 1), expected=found.version if found else ABSENT)
            times -= 1
        except lcnb.StoreConflict:
            pass


def test_no_update_is_lost(store: ObjectStore) -> None:
    """Of writers that all replace the same object, each succeeds exactly as often as the object changes."""
    threads = [threading.Thread(target=increase, args=(store, 10)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = store.read("counter")
    assert found
    assert found.data == b"80"


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///x",
        "ftp://bucket/x",
        "bucket/x",
        "s3://bucket/../x",
        "s3://bucket//x",
        "file://x",
        "file:///",
        "s3://b ucket",
    ],
)
def test_wrong_url(url: str) -> None:
    """A wrong URL is refused before anything starts, with an example of a right one."""
    with pytest.raises(lcnb.ConfigError, match=r"Example: s3://bucket/lcnb.*Nothing was started"):
        open_store(url)


@pytest.mark.parametrize(
    "url", ["s3://user:secret@bucket/x", "az://container/x?sig=secret", "gs://bucket/x#secret"]
)
def test_url_with_a_secret(url: str) -> None:
    """Credentials do not belong in the URL; it is refused and not shown."""
    with pytest.raises(lcnb.ConfigError, match="from the environment") as caught:
        open_store(url)
    assert "secret" not in str(caught.value).replace("a secret", "")


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "a\n"])
def test_wrong_key(key: str, tmp_path: Path) -> None:
    """A key that could leave its folder is refused."""
    store = open_store(f"file://{tmp_path}")
    with pytest.raises(ValueError, match="is not a key"):
        store.write(key, b"")


@needs_server
def test_missing_bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing bucket is an error at once, never a store without objects."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    store = open_store("s3://no-such-bucket/x")
    calls: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.write("a", b"", expected=ABSENT),
        lambda: store.write("a", b"", expected='"x"\n'),
        store.list,
    ]
    for call in calls:
        with pytest.raises(lcnb.StoreUnavailable, match="no such bucket") as caught:
            call()
        assert caught.value.tries == 1
        assert caught.value.refused


def name_endpoint(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


class SignInPage(BaseHTTPRequestHandler):
    """Answers each request with a page, as the gateway of a network does before somebody has signed in."""

    def do_GET(self) -> None:
        page = b"<html><body>Please sign in.</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.mark.parametrize(
    "call", [lambda store: store.list(), lambda store: store.read("a")], ids=["list", "read"]
)
def test_a_page_is_no_store(monkeypatch: pytest.MonkeyPatch, call: Callable[[ObjectStore], object]) -> None:
    """Where a web page answers instead of a store, that is an error at once, and never a store without objects."""
    pytest.importorskip("obstore")
    with ThreadingHTTPServer(("127.0.0.1", 0), SignInPage) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        name_endpoint(monkeypatch, gateway.server_port)
        with pytest.raises(lcnb.StoreUnavailable, match="what answers is no store") as caught:
            call(open_store("s3://bucket/x"))
        gateway.shutdown()
    assert caught.value.tries == 1


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer ends as StoreUnavailable before the deadline; it names the store."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        name_endpoint(monkeypatch, closed.getsockname()[1])
    times = Times()
    store = open_store("s3://bucket/x", StoreLimits(total_s=20), clock=times.clock, sleep=times.sleep)
    with pytest.raises(
        lcnb.StoreUnavailable, match=r"did not read a in s3://bucket/x \(\d+ attempts\)"
    ) as caught:
        store.read("a")
    assert times.now <= 20
    assert caught.value.tries > 3
    assert not caught.value.refused


class Times:
    """A clock that only a sleep moves."""

    now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class LosingBackend:
    """A store whose responses are lost as `losses` says, after the write or before it."""

    def __init__(self, losses: list[str], other: bytes | None = None) -> None:
        self.losses = losses
        self.other = other
        self.data: bytes | None = None
        self.writes = 0

    def read(self, key: str) -> StoredObject | None:
        return (
            None
            if self.data is None
            else StoredObject(self.data, self.data.decode(), datetime(2026, 1, 1, tzinfo=UTC))
        )

    def write(self, key: str, data: bytes, expected: object) -> str:
        loss = self.losses.pop(0) if self.losses else ""
        if loss != "before":
            if expected is not ANY and expected != (ABSENT if self.data is None else self.data.decode()):
                raise AttemptConflict
            self.data, self.writes = data, self.writes + 1
        if self.other is not None:
            self.data, self.other = self.other, None
        if loss:
            raise AttemptFailed("the connection ended")
        return data.decode()

    def delete(self, key: str) -> None: ...
    def list(self, prefix: str) -> list[object]: ...
    def cancel_requests(self) -> None: ...


def losing_store(backend: LosingBackend) -> ObjectStore:
    times = Times()
    return ObjectStore("s3://x", backend, StoreLimits(total_s=20), clock=times.clock, sleep=times.sleep)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "losses", [["after"], ["before"], ["before", "after", "before"], ["after", "before"]]
)
def test_lost_response(losses: list[str]) -> None:
    """A write whose response was lost is made once, and it is no conflict with itself."""
    backend = LosingBackend(losses)
    assert losing_store(backend).write("a", b"mine", expected=ABSENT) == "mine"
    assert (backend.data, backend.writes) == (b"mine", 1)


def test_lost_response_and_another_writer() -> None:
    """When another writer was faster after a lost response, the write is a conflict."""
    backend = LosingBackend(["before"], other=b"theirs")
    with pytest.raises(lcnb.StoreConflict):
        losing_store(backend).write("a", b"mine", expected=ABSENT)
    assert (backend.data, backend.writes) == (b"theirs", 0)


@pytest.mark.parametrize(("losses", "sent"), [(["before"] * 99, None), (["after"] + ["before"] * 98, None)])
def test_unsure_end(losses: list[str], sent: bool | None) -> None:
    """A write that was given up may have arrived, and the error says so."""
    with pytest.raises(lcnb.StoreUnavailable) as caught:
        losing_store(LosingBackend(losses)).write("a", b"mine", expected=ABSENT)
    assert caught.value.sent is sent


# --- large objects --------------------------------------------------------------------------------------


def test_large_object(store: ObjectStore) -> None:
    """An object of several parts is read as it was written, whatever was there before; a condition holds for it too."""
    for data in (bytes(PART_BYTES * 2 + 1), b"2" * (PART_BYTES + 1)):
        store.write("a", data)
        found = store.read("a")
        assert found
        assert found.data == data
    with pytest.raises(lcnb.StoreConflict):
        store.write("a", bytes(PART_BYTES * 2), expected=ABSENT)
    assert [(each.key, each.size) for each in store.list()] == [("a", PART_BYTES + 1)]


class PartServer(BaseHTTPRequestHandler):
    """Takes an upload in parts. `failures` are the statuses with which it answers part 2 first."""

    protocol_version = "HTTP/1.1"
    failures: ClassVar[list[int]] = []
    #: What it was asked, with the bytes of the request.
    requests: ClassVar[list[tuple[str, int]]] = []

    def _answer(self, what: str, body: str = "") -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(size)
        self.requests.append((what, size))
        status = self.failures.pop(0) if what == "part 2" and self.failures else 200
        self.send_response(status)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        if "uploads" in self.path:
            self._answer("begin", f"<{_BEGUN}><UploadId>u</UploadId></{_BEGUN}>")
        else:
            self._answer("complete", f'<{_DONE}><ETag>"tag"</ETag></{_DONE}>')

    def do_PUT(self) -> None:
        found = re.search(r"partNumber=(\d+)", self.path)
        self._answer(f"part {found[1]}" if found else "whole")

    def do_DELETE(self) -> None:
        self._answer("abort")

    def log_message(self, *args: object) -> None:
        """Print nothing."""


_BEGUN, _DONE = "InitiateMultipartUploadResult", "CompleteMultipartUploadResult"


@pytest.mark.parametrize(
    ("failures", "asked"),
    [
        ([], ["begin", "part 1", "part 2", "part 3", "complete"]),
        ([503, 500], ["begin", "part 1", "part 2", "part 2", "part 2", "part 3", "complete"]),
        ([403], ["begin", "part 1", "part 2"]),
    ],
)
def test_parts(failures: list[int], asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A large object is sent in parts, each with its own limit and attempts; one that is not whole is not completed."""
    pytest.importorskip("obstore")
    handler = type("Handler", (PartServer,), {"failures": list(failures), "requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name_endpoint(monkeypatch, server.server_port)
        store = open_store("s3://bucket/x", StoreLimits(request_s=600, total_s=600, longest_wait_s=0.1))
        data = bytes(PART_BYTES * 2 + 1)
        if "complete" in asked:
            store.write("a", data)
        else:
            with pytest.raises(lcnb.StoreUnavailable):
                store.write("a", data)
        server.shutdown()
    assert [what for what, _ in handler.requests if what != "abort"] == asked
    assert max(size for what, size in handler.requests if what.startswith("part")) == PART_BYTES


# --- responses that another attempt would get again ------------------------------------------------------


class Refusal(BaseHTTPRequestHandler):
    """Answers each request with a status; a success has no ETag."""

    status = 200

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@contextmanager
def refusing_store(monkeypatch: pytest.MonkeyPatch, status: int) -> Iterator[ObjectStore]:
    handler = type("Handler", (Refusal,), {"status": status})
    times = Times()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name_endpoint(monkeypatch, server.server_port)
        yield open_store("s3://bucket/x", StoreLimits(total_s=20), clock=times.clock, sleep=times.sleep)
        server.shutdown()


#: A version without a tag, as that of a store that returns none.
NO_TAG = "\n"


@pytest.mark.parametrize("expected", [ANY, ABSENT, '"tag"\n'], ids=["any", "absent", "version"])
@pytest.mark.parametrize(
    ("status", "is_repeated"),
    [
        *[(status, False) for status in (301, 307, 400, 401, 403, 405, 411, 413, 416, 422, 501)],
        *[(status, True) for status in (408, 425, 429, 500, 502, 503, 504)],
    ],
)
def test_refused_write(
    status: int, is_repeated: bool, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that the store refuses for good is attempted once; one that it could not do now, again."""
    pytest.importorskip("obstore")
    with (
        refusing_store(monkeypatch, status) as store,
        pytest.raises(lcnb.StoreUnavailable, match="did not write a in s3://bucket/x") as caught,
    ):
        store.write("a", b"one", expected=expected)
    assert (caught.value.refused, caught.value.tries > 1) == (not is_repeated, is_repeated)
    assert caught.value.sent is (None if is_repeated else False)


@pytest.mark.parametrize(
    ("status", "expected", "problem", "sent"),
    [
        (200, ABSENT, "ETag Header missing", None),
        (200, NO_TAG, "ETag required", False),
        (404, ABSENT, "not found", False),
        (404, ANY, "not found", False),
    ],
)
def test_no_store_of_objects(
    status: int, expected: Any, problem: str, sent: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers without versions, or has no such place, is no store: the first attempt is the last."""
    pytest.importorskip("obstore")
    with (
        refusing_store(monkeypatch, status) as store,
        pytest.raises(lcnb.StoreUnavailable, match=problem) as caught,
    ):
        store.write("a", b"one", expected=expected)
    assert (caught.value.refused, caught.value.tries, caught.value.sent) == (True, 1, sent)


# --- interrupts -----------------------------------------------------------------------------------------

#: A request lasts longer than the test may take: only the interrupt ends it.
LONG = StoreLimits(connect_s=900, read_s=900, request_s=900, total_s=900)


@pytest.mark.parametrize(
    ("call", "requests"),
    [
        (lambda store: store.read("a"), 1),
        (lambda store: store.write("a", b"", expected=ABSENT), 1),
        (lambda store: store.delete("a"), 1),
        (lambda store: store.list(), 1),
        (lambda store: map_in_threads(store.read, "abcd", 2, store.cancel_requests), 2),
    ],
    ids=["read", "write", "delete", "list", "threads"],
)
def test_interrupt(call: Callable[[ObjectStore], object], requests: int) -> None:
    """Ctrl-C ends the requests that are in flight, also those of other threads, without waiting for a response."""
    pytest.importorskip("obstore")
    with silent_store(count=requests) as silent:
        with pytest.raises(KeyboardInterrupt):
            call(open_store("s3://bucket/x", LONG))
        assert ended(silent, requests)


def test_cancelled_write() -> None:
    """A thread whose write is cancelled gets an error which says that the write may have arrived."""
    pytest.importorskip("obstore")
    begun = threading.Event()
    caught: list[lcnb.StoreUnavailable] = []

    def write(store: ObjectStore) -> None:
        with pytest.raises(lcnb.StoreUnavailable) as error:
            store.write("a", b"")
        caught.append(error.value)

    with silent_store(begun.set):
        store = open_store("s3://bucket/x", LONG)
        thread = threading.Thread(target=write, args=(store,))
        thread.start()
        begun.wait()
        store.cancel_requests()
        thread.join()
    assert (caught[0].sent, caught[0].refused, caught[0].tries) == (None, False, 1)


def test_cancelled_pause() -> None:
    """The pause of a thread between two attempts ends when the requests of its store are cancelled, and is the last."""
    limits = StoreLimits(total_s=4000, first_wait_s=3600, longest_wait_s=3600)
    backend = LosingBackend(["before"])
    store = ObjectStore("s3://x", backend, limits)  # type: ignore[arg-type]
    caught: list[lcnb.StoreUnavailable] = []

    def write() -> None:
        with pytest.raises(lcnb.StoreUnavailable) as error:
            store.write("a", b"mine")
        caught.append(error.value)

    threading.Thread(target=write, daemon=True).start()

    def is_over() -> bool:
        store.cancel_requests()
        return bool(caught)

    wait_until(lambda: not backend.losses)
    wait_until(is_over)
    assert (caught[0].sent, caught[0].tries, backend.writes) == (None, 1, 0)
