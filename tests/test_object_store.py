"""An object store: conditional writes in a real S3 server and in a folder, and how each operation ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import lcnb
from benchmarks.s3_server import BUCKET, PYTHON, S3Server, s3_server
from lcnb.object_store import ABSENT, ANY, ObjectStore, StoreLimits, open_store
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
