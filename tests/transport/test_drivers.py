"""Both drivers over real sockets: bad responses, deadlines, interrupts, proxies, and secrets that never leak."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import os
import pickle
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lcnb
from conftest import TOKEN, wait_until
from lcnb.api.calls import Call, get_profile
from lcnb.api.flows import Envelope, Flow, Together
from lcnb.api.single_records import read_initial_password
from lcnb.errors import (
    AuthenticationError,
    BadReply,
    ConfigError,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    LcnbError,
    NotFound,
    PermissionDenied,
    RateLimited,
    Refused,
    ServerError,
    TransportError,
    ValidationError,
)
from lcnb.transport.httpx_client import ACCEPT_HEADER
from lcnb.transport.protocol import (
    MAX_ATTEMPTS,
)

Play = bytes | Callable[["Provider", socket.socket], None]


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


PROFILE = http(200, b'{"success": true, "data": {"name": "Ana", "balance": "1.50"}}')
KEPT = PROFILE.replace(b"Connection: close\r\n", b"")


class Provider:
    """A server that plays a script: an item a connection, and a good profile when the script is at its end."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.script: list[Play] = []
        self.at: dict[str, Play] = {}
        self.heard: list[bytes] = []
        self.over = threading.Event()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def base_url(self) -> str:
        return f"http{'s' if self._tls else ''}://{self.host}/api"

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(600)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(600)
        with connection, contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while head := self._head(connection):
                self.heard.append(head)
                path = head.split()[1].decode()
                play = self.at.get(path) or (self.script.pop(0) if self.script else PROFILE)
                if callable(play):
                    play(self, connection)
                else:
                    connection.sendall(play)
                if play is not KEPT:
                    return

    def _head(self, connection: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = connection.recv(65536)
            if not chunk:
                return b""
            head += chunk
        return head


def silence(provider: Provider, connection: socket.socket) -> None:
    provider.over.wait(600)


def reset(provider: Provider, connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_midway(provider: Provider, connection: socket.socket) -> None:
    connection.sendall(PROFILE[:-10])
    time.sleep(0.02)  # what was sent must have arrived before the reset throws it away
    reset(provider, connection)


def trickle(provider: Provider, connection: socket.socket) -> None:
    for position in range(len(PROFILE)):
        connection.sendall(PROFILE[position : position + 1])
        if provider.over.wait(1):
            return


def trickle_body(provider: Provider, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not provider.over.wait(1):
        connection.sendall(b" ")


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-offs that nobody notices."""
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)


class Asker:
    """One client, sync or async; `ask` calls one of its methods and waits for the answer."""

    def __init__(self, kind: str, base_url: str, timeout: float, paced: bool) -> None:
        self.runner = asyncio.Runner() if kind == "async" else None
        if self.runner:
            self.runner.get_loop()
        connect = lcnb.AsyncLetsCloud.connect if kind == "async" else lcnb.connect
        self.client: Any = connect(token=TOKEN, base_url=base_url, timeout=timeout)
        if not paced:
            self.client._wire.budget = None

    def ask(self, method: str = "profile") -> Any:
        answer = getattr(self.client, method)()
        return self.runner.run(answer) if self.runner else answer

    def run(self, flow: Flow[Any]) -> Any:
        answer = self.client._wire.run(flow)
        return self.runner.run(answer) if self.runner else answer

    def disconnect(self) -> None:
        if self.runner:
            self.runner.run(self.client.aclose())
        else:
            self.client.close()

    def close(self) -> None:
        self.disconnect()
        if self.runner:
            self.runner.close()


@pytest.fixture(params=["sync", "async"])
def asker(request: pytest.FixtureRequest) -> Iterator[Callable[..., Asker]]:
    """Makes an Asker of each kind: `asker(base_url, timeout=300)`. The rate budget has tests of its own."""
    made: list[Asker] = []

    def make(base_url: str, timeout: float = 300, *, paced: bool = False) -> Asker:
        made.append(Asker(request.param, base_url, timeout, paced))
        return made[-1]

    yield make
    for each in made:
        each.close()


BROKEN_GZIP = gzip.compress(b'{"success": true, "data": {"name": "Ana"}}' * 50)[:-20]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        pytest.param(http(500, b'{"success": false, "message": "Server Error"}'), ServerError, id="500"),
        pytest.param(http(503, b"<html>Down</html>"), ServerError, id="503"),
        pytest.param(http(408, b""), ServerError, id="408"),
        pytest.param(http(429, b"{}"), RateLimited, id="429"),
        pytest.param(http(429, b"{}", "Retry-After: 0"), RateLimited, id="429 at once"),
        pytest.param(http(200, b"<html>Hello</html>", "Content-Type: text/html"), BadReply, id="html"),
        pytest.param(http(200, b""), BadReply, id="empty body"),
        pytest.param(http(200, b'{"success": true, "data": {"na'), BadReply, id="half json"),
        pytest.param(http(200, BROKEN_GZIP, "Content-Encoding: gzip"), BadReply, id="half gzip"),
        pytest.param(http(200, b"no gzip", "Content-Encoding: gzip"), BadReply, id="no gzip"),
        pytest.param(b"", ConnectionLost, id="closed"),
        pytest.param(reset, ConnectionLost, id="reset"),
        pytest.param(reset_midway, ConnectionLost, id="reset midway"),
        pytest.param(PROFILE[:30], ConnectionLost, id="half head"),
        pytest.param(PROFILE[:-10], ConnectionLost, id="half body"),
        pytest.param(CHUNKED + b"100\r\n" + b'{"success": tr', ConnectionLost, id="half chunk"),
        pytest.param(CHUNKED + b"5\r\n[1,2]\r\n", ConnectionLost, id="no last chunk"),
        pytest.param(CHUNKED + b"xyz\r\n", ConnectionLost, id="no chunk"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", ConnectionLost, id="no http"),
        pytest.param(b"\x00\xff" * 500, ConnectionLost, id="noise"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, ConnectionLost, id="endless head"),
        pytest.param(http(200, b"{}", "Content-Length: 7"), ConnectionLost, id="two lengths"),
    ],
)
def test_bad_answers(
    asker: Callable[..., Asker], provider: Provider, bad: Play, kind: type[LcnbError]
) -> None:
    """A bad answer is asked for again; when it stays it is a typed error, and the client works afterwards."""
    one = asker(provider.base_url)
    provider.script = [bad] * MAX_ATTEMPTS
    with pytest.raises(kind) as caught:
        one.ask()
    assert type(caught.value) is kind
    assert caught.value.tries == len(provider.heard) == MAX_ATTEMPTS
    provider.script = [bad]
    assert one.ask().name == "Ana"
    assert len(provider.heard) == MAX_ATTEMPTS + 2


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        pytest.param(http(401, b'{"success": false, "message": "Unauthorized"}'), AuthenticationError, id="401"),
        pytest.param(http(403, b"{}"), PermissionDenied, id="403"),
        pytest.param(http(404, b"Not Found"), NotFound, id="404"),
        pytest.param(http(422, b"{}"), ValidationError, id="422"),
        pytest.param(http(200, b'{"success": false, "message": "No."}'), Refused, id="refused"),
        pytest.param(http(429, b"{}", "Retry-After: 3600"), RateLimited, id="429 for long"),
        pytest.param(http(302, b"", "Location: http://[@host/"), BadReply, id="odd redirect"),
    ],
)  # fmt: skip
def test_final_answers(
    asker: Callable[..., Asker], provider: Provider, bad: Play, kind: type[LcnbError]
) -> None:
    """A final answer is a typed error after one try, and the client works afterwards."""
    one = asker(provider.base_url)
    provider.script = [bad]
    with pytest.raises(kind) as caught:
        one.ask()
    assert type(caught.value) is kind
    assert len(provider.heard) == 1
    assert one.ask().name == "Ana"


@pytest.mark.parametrize(
    ("bad", "timeout"),
    [
        pytest.param(silence, 2.0, id="silence"),
        pytest.param(trickle, 2.0, id="trickle"),
        pytest.param(trickle_body, 2.0, id="trickle in the body"),
    ],
)
def test_deadline(asker: Callable[..., Asker], provider: Provider, bad: Play, timeout: float) -> None:
    """A server that is silent, or drips a byte a second, costs the deadline and no more; the client works afterwards."""
    one = asker(provider.base_url, timeout)
    provider.script = [bad]
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=f"deadline of {timeout:g} s"):
        one.ask()
    assert timeout * 0.99 <= time.monotonic() - began < timeout + 60  # all that is dripped takes longer
    assert len(provider.heard) == 1
    assert one.ask().name == "Ana"


@pytest.mark.usefixtures("hasty")
def test_deadline_of_retries(asker: Callable[..., Asker], provider: Provider) -> None:
    """The deadline is for all tries together."""
    provider.script = [http(503, b""), silence]
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        asker(provider.base_url, 2).ask()
    assert caught.value.tries == 2
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("hasty")
def test_refused_connection(asker: Callable[..., Asker], provider: Provider) -> None:
    """Where nobody listens the error says that nothing was sent, and names the host and where the URL came from."""
    provider.close()
    with pytest.raises(
        ConnectionFailed, match=rf"no connection to {provider.host} .*from the base_url argument"
    ) as caught:
        asker(provider.base_url).ask()
    assert f"It was tried {caught.value.tries} times; nothing was sent." in str(caught.value)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example", "xn--a.example"])
def test_impossible_host(asker: Callable[..., Asker], host: str) -> None:
    """A host name that cannot exist ends in an error of ours, not in one of some codec."""
    with pytest.raises((ConfigError, TransportError)):
        asker(f"https://{host}/api", 5).ask()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(asker: Callable[..., Asker], provider: Provider, status: int) -> None:
    """A redirect is not followed: the other host hears nothing, and its name is told."""
    other = Provider()
    try:
        provider.script = [http(status, b"", f"Location: {other.base_url}/profile")]
        with pytest.raises(
            BadReply, match=f"a redirect to {other.host} .HTTP {status}.; it was not followed"
        ):
            asker(provider.base_url).ask()
        assert len(provider.heard) == 1
        assert other.heard == []
    finally:
        other.close()


def test_first_error_ends_others(asker: Callable[..., Asker], provider: Provider) -> None:
    """Of several calls at once, the first that fails ends the others at once: they send nothing more."""
    failed, answered = threading.Event(), threading.Event()

    def late(provider: Provider, connection: socket.socket) -> None:
        failed.wait(600)
        with contextlib.suppress(OSError):
            connection.sendall(PROFILE)
        answered.set()

    provider.at = {"/api/slow": silence, "/api/wrong": http(401, b"{}"), "/api/late": late}

    def calls(*paths: str) -> Flow[None]:
        for path in paths:
            yield Call("GET", path, "a call")

    def several() -> Flow[list[None]]:
        return (yield Together([calls("/slow"), calls("/late", "/never"), calls("/wrong"), calls("/slow")]))

    client = asker(provider.base_url)
    began = time.monotonic()
    with pytest.raises(AuthenticationError):
        client.run(several())
    assert time.monotonic() - began < 150  # the others were silent until the deadline, after 300 s
    failed.set()
    answered.wait(600)
    assert client.ask().name == "Ana"
    assert not [head for head in provider.heard if b"/never" in head]


def test_together_in_order(asker: Callable[..., Asker], provider: Provider) -> None:
    """The answers of several calls at once come in the order of the calls."""
    for number in range(20):
        body = json.dumps({"success": True, "data": number}).encode()
        provider.at[f"/api/{number}"] = http(200, body)

    def one(number: int) -> Flow[int]:
        return (yield Call("GET", f"/{number}", "a call")).data

    def several() -> Flow[list[int]]:
        return (yield Together([one(number) for number in range(20)]))

    assert asker(provider.base_url).run(several()) == list(range(20))


def test_together_within(asker: Callable[..., Asker], provider: Provider) -> None:
    """Flows at once may want flows at once; an error ends all below who catches it, cleaned up before it is told."""
    provider.at = {"/api/slow": silence, "/api/wrong": http(401, b"{}")}
    ended: list[str] = []

    def one(path: str) -> Flow[str]:
        try:
            yield Call("GET", path, "a call")
            return path
        finally:
            ended.append(path)

    def caught(*flows: Flow[Any]) -> Flow[Any]:
        try:
            return (yield Together(flows))
        except AuthenticationError:
            return list(ended)

    def several() -> Flow[Any]:
        good = caught(one("/profile"), caught(), one("/profile"))
        bad = caught(one("/slow"), caught(one("/slow")), one("/wrong"))
        first = yield Together([good, bad])
        return first, (yield Together([one("/profile")]))

    (good, bad), last = asker(provider.base_url).run(several())
    assert (good, last) == (["/profile", [], "/profile"], ["/profile"])
    assert [path for path in bad if path != "/profile"] == ["/wrong", "/slow", "/slow"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_close_closes_all(asker: Callable[..., Asker], provider: Provider) -> None:
    """Closing a client closes each connection, also when many calls at once were its first."""
    provider.at = {"/api/profile": KEPT}

    def one() -> Flow[Envelope]:
        return (yield get_profile())

    def several() -> Flow[list[Envelope]]:
        return (yield Together([one() for _ in range(8)]))

    client = asker(provider.base_url)
    before = open_files()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        client.run(several())
    finally:
        sys.setswitchinterval(switch)
    assert open_files() > before
    client.disconnect()
    wait_until(lambda: open_files() <= before)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# --- TLS and proxies ------------------------------------------------------------------------------------


def test_untrusted_certificate(asker: Callable[..., Asker], self_signed: ssl.SSLContext) -> None:
    """A certificate that is not trusted is one clear error after one try, and nothing was sent."""
    server = Provider(self_signed)
    try:
        with pytest.raises(
            ConnectionFailed, match=r"certificate of .* is not trusted .*SSL_CERT_FILE"
        ) as caught:
            asker(server.base_url).ask()
        assert caught.value.tries == 1
        assert server.heard == []
    finally:
        server.close()


def test_no_proxy_for_loopback(
    asker: Callable[..., Asker], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment is not asked for this machine's own address."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert asker(provider.base_url).ask().name == "Ana"


@pytest.mark.usefixtures("hasty")
def test_proxy_never_sees_token(
    asker: Callable[..., Asker], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For another host the proxy of the environment is asked for a tunnel, without the token."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{provider.host}")
    provider.script = [http(502, b"")] * MAX_ATTEMPTS
    with pytest.raises(ConnectionFailed):
        asker("https://api.example.com/api").ask()
    assert len(provider.heard) == MAX_ATTEMPTS
    for head in provider.heard:
        assert head.startswith(b"CONNECT api.example.com:443 ")
        assert TOKEN.encode() not in head


@pytest.mark.parametrize("url", ["http://api.example.com", "http://192.0.2.1/api", "ftp://127.0.0.1", "127.0.0.1", ""])  # fmt: skip
def test_plain_http_refused(url: str) -> None:
    """Plain HTTP, where the token would cross a network, is refused before anything is sent."""
    for connect in (lcnb.connect, lcnb.AsyncLetsCloud.connect):
        with pytest.raises(ConfigError):
            connect(token=TOKEN, base_url=url)


# --- the token ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail", ["\n", "\r\n", "\r\nX-Evil: 1", " ", "ã", "\x00", "\x7f", "\u200b", " x"], ids=ascii
)
def test_odd_token(tail: str) -> None:
    """A token that no header could carry is refused before anything is sent, and is not in the error."""
    for connect in (lcnb.connect, lcnb.AsyncLetsCloud.connect):
        for token in (TOKEN + tail, lcnb.Secret(TOKEN + tail)):
            with pytest.raises(ConfigError) as caught:
                connect(token=token)
            assert TOKEN not in str(caught.value)


def test_empty_token() -> None:
    """An empty token is refused too."""
    for connect in (lcnb.connect, lcnb.AsyncLetsCloud.connect):
        with pytest.raises(ConfigError, match="is empty"):
            connect(token="")


def test_headers(asker: Callable[..., Asker], provider: Provider) -> None:
    """The token arrives once, as `api-token`; Accept names the API's version and User-Agent ours."""
    one = asker(provider.base_url, paced=True)
    one.ask()
    one.ask()
    for head in provider.heard:
        lines = head.decode().split("\r\n")
        headers = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines[1:]}
        assert lines[0] == "GET /api/profile HTTP/1.1"
        assert headers["api-token"] == TOKEN
        assert headers["accept"] == ACCEPT_HEADER == "application/vnd.letscloud.v1+json"
        assert headers["user-agent"].startswith(f"lcnb/{lcnb.__version__} ")
        assert head.count(TOKEN.encode()) == 1
        assert "content-type" not in headers


def test_write_arrives(asker: Callable[..., Asker], provider: Provider) -> None:
    """A write's body arrives as JSON with its length, once."""
    body = {"label": "São Paulo", "password": "Str0ng-Passw0rd"}

    def create() -> Flow[Envelope]:
        return (yield Call("POST", "/instances", "create", "create", body))

    assert isinstance(asker(provider.base_url).run(create()), Envelope)
    head, _, rest = provider.heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/instances ")
    assert b"content-type: application/json\r\n" in head.lower()
    assert f"content-length: {len(json.dumps(body))}".encode() in head.lower()
    assert not rest or json.loads(rest) == body


# --- the canary -----------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[Play, type[BaseException]]] = {
    "401": (http(401, f'{{"message": "no token {TOKEN}"}}'.encode()), AuthenticationError),
    "500": (http(500, f"<html>{TOKEN}</html>".encode()), ServerError),
    "refused": (http(200, f'{{"success": false, "message": "{TOKEN}"}}'.encode()), Refused),
    "redirect": (http(302, b"", "Location: http://elsewhere.example/"), BadReply),
    "reset": (reset, ConnectionLost),
    "broken": (http(200, b"no gzip", "Content-Encoding: gzip"), BadReply),
    "not http": (b"SSH-2.0-OpenSSH_9.6\r\n", ConnectionLost),
    "deadline": (silence, DeadlineExceeded),
    "no connection": (PROFILE, ConnectionFailed),
    "impossible host": (PROFILE, TransportError),
}


def seen(error: BaseException) -> str:
    """All that an error can show: its traceback with the locals of every frame, and those it came from."""
    texts = []
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None:
            shown = traceback.TracebackException.from_exception(each, capture_locals=True)
            texts += [*shown.format(), repr(each), repr(vars(each)), repr(each.args)]
            todo += [each.__cause__, each.__context__]
    return "\n".join(texts)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """All that log records hold, formatted and not."""
    return "\n".join(f"{record.getMessage()} {vars(record)!r}" for record in caplog.records)


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    for name in ("", "lcnb", "lcnb.transport", "httpx", "httpcore", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def place(name: str, provider: Provider) -> str:
    """Where the failure of this name is met."""
    if name == "no connection":
        provider.close()
    return "https://a..b/api" if name == "impossible host" else provider.base_url


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", FAILURES)
def test_canary(
    asker: Callable[..., Asker], provider: Provider, all_logs: pytest.LogCaptureFixture, name: str
) -> None:
    """The token is in no error, traceback with locals, pickle, log record or repr of a call that fails."""
    kind = FAILURES[name][1]
    one = asker(place(name, provider), 0.3 if name == "deadline" else 10)
    provider.script = [FAILURES[name][0]] * MAX_ATTEMPTS
    with pytest.raises(kind) as caught:
        one.ask()
    assert TOKEN not in seen(caught.value)
    pickled = pickle.dumps(caught.value)
    assert TOKEN.encode() not in pickled
    again = pickle.loads(pickled)
    assert isinstance(again, kind)
    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value))
    assert TOKEN not in logged(all_logs)
    assert any(record.name == "lcnb.transport" for record in all_logs.records)


ROOT_PASSWORD = "R00t-Canary!pw"
RECORD = {
    "initial_root_password": ROOT_PASSWORD,
    "identifier": "abcdefghijklmn",
    "label": "web-01",
    "memory": 1024,
}
LISTING = json.dumps({"success": True, "data": [RECORD]}).encode()
KEY_PAIR = b'{"success": true, "data": {"slug": "k", "private_key": "' + ROOT_PASSWORD.encode() + b"..."
#: Responses that hold an initial password, and cannot be used: the method that reads them, and the response.
UNUSABLE: dict[str, tuple[str, Play]] = {
    "cut off": ("instances", http(200, LISTING[:-20])),
    "cut off in the password": ("instances", http(200, LISTING[: LISTING.index(b"pw")])),
    "cut off pair": ("sshkeys", http(200, KEY_PAIR)),
    "utf-16": ("instances", http(200, LISTING.decode().encode("utf-16"))),
    "500": ("instances", http(500, LISTING)),
    "no verdict": ("instances", http(200, LISTING.replace(b"true", b"7"))),
    "refused": ("instances", http(200, LISTING.replace(b"true", b"false"))),
    "another wrapper": ("instances", http(200, LISTING.replace(b'"data": [', b'"data": [], "servers": ['))),
    "list in a list": ("instances", http(200, LISTING.replace(b"[", b"[[").replace(b"]", b"]]"))),
    "wrapped twice": ("instances", http(200, LISTING.replace(b"[", b'{"some": [').replace(b"]", b"]}"))),
    "endless number": ("instances", http(200, LISTING.replace(b"1024", b"9" * 5000))),
    "too deep": ("instances", http(200, LISTING.replace(b"1024", b"[" * 100_000 + b"]" * 100_000))),
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", UNUSABLE)
def test_canary_of_the_response(
    asker: Callable[..., Asker], provider: Provider, all_logs: pytest.LogCaptureFixture, name: str
) -> None:
    """An initial password in a response that cannot be used is in no error, traceback with locals or log record."""
    method = UNUSABLE[name][0]
    one = asker(provider.base_url)
    provider.script = [UNUSABLE[name][1]] * MAX_ATTEMPTS
    with pytest.raises(LcnbError) as caught:
        one.ask(method)
    shown = f"{seen(caught.value)} {logged(all_logs)}".replace("\\x00", "")
    assert ROOT_PASSWORD[:8] not in shown


def test_canary_of_another_machine(asker: Callable[..., Asker], provider: Provider) -> None:
    """When the provider returns another machine than was asked for, the error does not show its password."""
    one = asker(provider.base_url)
    provider.script = [http(200, json.dumps({"success": True, "data": RECORD}).encode())]
    with pytest.raises(NotFound) as caught:
        one.run(read_initial_password("another"))
    assert ROOT_PASSWORD not in seen(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_fork(provider: Provider) -> None:
    """A fork opens connections of its own: on a shared one each process would get responses of the other."""
    one = Asker("sync", provider.base_url, 300, paced=False)
    provider.script = [KEPT] * 3
    one.ask()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if one.ask().name == "Ana" else 2
            one.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert one.ask().name == "Ana"
    one.close()
    connections = len(provider._threads) - 1
    assert (len(provider.heard), connections) == (3, 2)


def test_canary_at_rest(
    asker: Callable[..., Asker], provider: Provider, all_logs: pytest.LogCaptureFixture
) -> None:
    """The token is in no repr of a client that works, its settings, its pool or what they hold, nor in its logs."""
    one = asker(provider.base_url, paced=True)
    one.ask()
    wire = one.client._wire
    things = (one.client, one.client.settings, wire, wire.budget, wire._pool, wire._pool._client)
    for thing in things:
        assert TOKEN not in f"{thing!r} {thing} {vars(thing)!r}"
    for thing in (wire._pool._client.headers, wire._pool._client.auth):
        assert TOKEN not in f"{thing!r} {thing} {vars(thing)!r}"
    assert TOKEN not in logged(all_logs)
    assert {record.name.partition(".")[0] for record in all_logs.records} >= {"lcnb", "httpx", "httpcore"}


def test_canary_of_cancelled(provider: Provider, all_logs: pytest.LogCaptureFixture) -> None:
    """The traceback of a cancelled call shows no token, and neither do the logs."""
    provider.script = [silence]

    async def cancelled() -> None:
        async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=provider.base_url) as lc:
            task = asyncio.create_task(lc.profile())
            while not provider.heard:
                await asyncio.sleep(0.005)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError) as caught:
        asyncio.run(cancelled())
    assert TOKEN not in seen(caught.value)
    assert TOKEN not in logged(all_logs)


@pytest.mark.timeout(900, method="thread")  # its other way is an alarm too
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="interrupts itself by a signal")
def test_canary_of_interrupted(
    provider: Provider, all_logs: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does the traceback of an interrupted call; the same client answers afterwards."""

    def interrupt(provider: Provider, connection: socket.socket) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)  # who waits for this answer
        silence(provider, connection)

    provider.script = [interrupt]
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with lcnb.connect(token=TOKEN, base_url=provider.base_url) as lc:
            with pytest.raises(KeyboardInterrupt) as caught:
                lc.profile()
            assert lc.profile().name == "Ana"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert TOKEN not in seen(caught.value)
    assert TOKEN not in logged(all_logs)


def test_log_of_a_call(provider: Provider, caplog: pytest.LogCaptureFixture, hasty: None) -> None:
    """Each try is one DEBUG record with its facts, and each further try one INFO record with the reason."""
    caplog.set_level(logging.DEBUG, "lcnb.transport")
    provider.script = [http(503, b'{"message": "Down."}')]
    with lcnb.connect(token=TOKEN, base_url=provider.base_url) as lc:
        lc.profile()
    facts = [record.lcnb for record in caplog.records if record.levelno == logging.DEBUG]
    assert [(fact["path"], fact["result"], fact["tries"]) for fact in facts] == [("/profile", "503", 1), ("/profile", "200", 2)]  # fmt: skip
    again = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(again) == 1
    assert again[0].startswith("GET /profile: HTTP 503: Down; retry in 0.0 s")
