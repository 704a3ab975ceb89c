"""The environment's proxies and certificates: each variable is used, or named in one line with the cure."""

from __future__ import annotations

import importlib.util
import logging
import random
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

import lcnb
from conftest import LCNB, TOKEN, Call, without_account
from lcnb.api import calls
from lcnb.base_url import checked_base_url
from lcnb.config import Settings
from lcnb.errors import ConfigError, ConnectionFailed, LcnbError
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.secret import Secret
from lcnb.transport import network
from lcnb.transport.effects import ExchangeContext, Response
from lcnb.transport.httpx_client import client_options
from lcnb.transport.protocol import judge_outcome

API = "https://api.example.com/api"
PASSWORD = "hunter2-canary"


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """No certificate variable of the machine's own."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", *network.UNUSED_CERTIFICATE_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        ({"HTTPS_PROXY": "http://p.example.com:3128"}, "http://p.example.com:3128 of HTTPS_PROXY"),
        ({"https_proxy": "p.example.com:3128"}, "http://p.example.com:3128 of https_proxy"),
        ({"HTTPS_PROXY": "http://big:1", "https_proxy": "http://small:2"}, "http://small:2 of https_proxy"),
        ({"HTTPS_PROXY": "http://big:1", "https_proxy": ""}, None),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://all:3"}, "http://all:3 of ALL_PROXY"),
        ({"HTTPS_PROXY": "  http://p:1  "}, "http://p:1 of HTTPS_PROXY"),
        ({"HTTPS_PROXY": "https://p.example.com"}, "https://p.example.com:443 of HTTPS_PROXY"),
        ({"HTTPS_PROXY": "HTTP://p.example.com"}, "http://p.example.com:80 of HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p:3128/some/path"}, "http://p:3128 of HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, "http://[::1]:3128 of HTTPS_PROXY"),
        ({"HTTPS_PROXY": f"http://user:{PASSWORD}@p:1"}, "http://p:1 of HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "socks://127.0.0.1:1080/"}, "http://p:1 of HTTPS_PROXY"),
        ({"HTTP_PROXY": "socks4://p:1"}, None),
        ({"ALL_PROXY": "socks://p:1", "NO_PROXY": "*"}, None),
    ],
)  # fmt: skip
def test_d1_proxy(variables: dict[str, str], used: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is that of HTTPS_PROXY, then of ALL_PROXY; lower case wins, and an empty one means none."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = network.find_proxy(API)
    assert (str(found) if found else None) == (used and f"the proxy {used}")
    with lcnb.connect(token=TOKEN, base_url=API) as lc:
        assert PASSWORD not in repr(vars(lc._wire))


@pytest.mark.parametrize(
    ("login", "auth"),
    [
        ("user:pass", ("user", "pass")),
        ("user", ("user", "")),
        ("us%40er:p%23%25", ("us@er", "p#%")),
        ("user:p@ss", ("user", "p@ss")),
        ("user:p:a:s:s", ("user", "p:a:s:s")),
        ("user:50%off", ("user", "50%off")),
        ("user:p%C3%A4ss", ("user", "päss")),
        (":secret", ("", "secret")),
    ],
)
def test_d1_login(login: str, auth: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password reach the proxy as they are meant; an `@`, `:` or `%` of a password needs no encoding."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{login}@p:1")
    found = network.find_proxy(API)
    assert found is not None and found.auth is not None
    assert (found.auth[0], found.auth[1].reveal()) == auth


@pytest.mark.parametrize(
    ("variable", "value", "shown", "cure"),
    [
        ("HTTPS_PROXY", f"http://user:{PASSWORD}#x@p:1", "http://*****@p:1", "# is %23"),
        ("https_proxy", f"http://user:{PASSWORD}/x@p:1", "http://*****@p:1", "/ is %2F"),
        ("HTTPS_PROXY", f"user:{PASSWORD}?x@p:1", "*****@p:1", "? is %3F"),
        ("ALL_PROXY", f"socks://user:{PASSWORD}@p:1", "socks://*****@p:1", "write socks5h://"),
        ("all_proxy", "socks4://p:1", "socks4://p:1", "write socks5h://"),
        ("ALL_PROXY", "SOCKS4A://p:1", "SOCKS4A://p:1", "write socks5h://"),
        ("HTTPS_PROXY", "ftp://p:1", "ftp://p:1", "write http://"),
        ("HTTPS_PROXY", "http://", "http://", f"write it as {network.EXAMPLE_PROXY}"),
        ("HTTPS_PROXY", "http://:3128", "http://:3128", f"write it as {network.EXAMPLE_PROXY}"),
        ("HTTPS_PROXY", f"http://user:{PASSWORD}", "http://user*****", f"write it as {network.EXAMPLE_PROXY}"),
        ("HTTPS_PROXY", "http://p:99999", "http://p:99999", f"write it as {network.EXAMPLE_PROXY}"),
        ("HTTPS_PROXY", "http://::1:3128", "http://*****", "an IPv6 address in brackets"),
        ("HTTPS_PROXY", "http://[::zz]:3128", "http://[::zz]:3128", f"write it as {network.EXAMPLE_PROXY}"),
        ("HTTPS_PROXY", '"http://p:3128"', '"http://p*****', "without quotes"),
        ("HTTPS_PROXY", f"http://user:{PASSWORD} x@p:1", "http://*****@p:1", "a space is %20"),
    ],
)  # fmt: skip
def test_d1_wrong_proxy(
    variable: str, value: str, shown: str, cure: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that cannot be used is one line that names variable, value without password, and cure; for `doctor` too."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    told = call("inventory")
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith(f"error: {variable}={shown} cannot be used as a proxy: ")
    assert cure in told.err
    assert told.err.endswith("Nothing was sent.\n") and told.err.count("\n") == 1
    examined = call("doctor")
    assert examined.code == 1
    assert f"FAIL proxy: {variable}={shown} cannot be used" in examined.out
    assert PASSWORD not in told.err + examined.out + examined.err


@pytest.mark.parametrize("value", ["socks5://p:1", "socks5h://user:secret@p:1080", "SOCKS5://p"])
def test_d1_socks(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is used when the package for it is there; else the extra that brings it is named."""
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"a SOCKS proxy needs another package\. Cure: pip install 'lcnb\[socks\]'"
    ):
        lcnb.connect(token=TOKEN, base_url=API)
    monkeypatch.setattr(network, "find_spec", importlib.util.find_spec)
    if importlib.util.find_spec("socksio"):
        found = network.find_proxy(API)
        assert found is not None
        assert found.port == (1 if value == "socks5://p:1" else 1080)


@pytest.mark.parametrize("auth", [(b"user", PASSWORD.encode()), None])
def test_socks_login_is_not_logged(
    auth: tuple[bytes, bytes] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The record in which httpcore logs user and password of a SOCKS proxy is left out, and no other one."""
    from httpcore._trace import Trace

    caplog.set_level(logging.DEBUG, "httpcore.socks")
    with Trace("setup_socks5_connection", logging.getLogger("httpcore.socks"), None, {"auth": auth}):
        pass
    assert PASSWORD not in caplog.text
    steps = [record.getMessage().partition(" ")[0].partition(".")[2] for record in caplog.records]
    assert steps == ["complete"] if auth else ["started", "complete"]


@pytest.mark.parametrize(
    ("no_proxy", "base_url", "direct"),
    [
        ("::1/128", API, False),
        ("[::1]", API, False),
        ("localhost,127.0.0.1,::1/128", API, False),
        ("*", API, True),
        ("a.example.org, *", API, True),
        ("api.example.com", API, True),
        ("API.EXAMPLE.COM", API, True),
        ("example.com", API, True),
        (".example.com", API, True),
        ("*.example.com", API, True),
        ("ample.com", API, False),
        ("api.example.com:443", API, True),
        ("api.example.com:8443", API, False),
        ("api.example.com:8443", "https://api.example.com:8443/api", True),
        ("https://api.example.com", API, True),
        ("http://api.example.com", API, False),
        ("a.example.org api.example.com", API, True),
        ("10.0.0.0/8", "https://10.1.2.3/api", True),
        ("10.0.0.0/8", "https://11.1.2.3/api", False),
        ("10.1.2.3", "https://10.1.2.3/api", True),
        ("10.1.2.3:443", "https://10.1.2.3/api", True),
        ("fd00::/8", "https://[fd00::5]/api", True),
        ("[fd00::5]", "https://[fd00::5]/api", True),
        ("[fd00::5]:443", "https://[fd00::5]/api", True),
        ("[fd00::]/8", "https://[fd00::5]/api", True),
        ("fd00::5", "https://[fd00:0::5]/api", True),
        ("", API, False),
        (",, ,", API, False),
    ],
)  # fmt: skip
def test_d1_no_proxy(no_proxy: str, base_url: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY takes names with subdomains, addresses, networks and ports of both IP versions, and `*`."""
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (network.find_proxy(base_url) is None) == direct
    lcnb.connect(token=TOKEN, base_url=base_url).close()


def test_d1_unreadable_no_proxy(call: Call, account_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry of NO_PROXY that is no address, network or name is named by `doctor`."""
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/99,::1/128,[::zz],web-*,ok.example.com,::1")
    assert "FAIL NO_PROXY: not understood: 10.0.0.0/99, [::zz], web-*. Cure: " in call("doctor").out


class FakeProxy(socketserver.BaseRequestHandler):
    """Answers each CONNECT with a status line of its own."""

    status = b"407 Proxy Authentication Required"
    asked = 0

    def handle(self) -> None:
        type(self).asked += 1
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 " + self.status + b"\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def proxy() -> Iterator[Callable[[bytes], tuple[str, type[FakeProxy]]]]:
    """Starts a proxy that answers so, and gives its host and port, and what counts its calls."""
    servers = []

    def serve(status: bytes) -> tuple[str, type[FakeProxy]]:
        handler = type("Handler", (FakeProxy,), {"status": status, "asked": 0})
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_address[1]}", handler

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "variable", "calls"),
    [
        (b"407 Proxy Authentication Required", "HTTPS_PROXY", 1),
        (b"403 Forbidden", "https_proxy", 1),
        (b"401 Unauthorized", "ALL_PROXY", 1),
        (b"502 Bad Gateway", "HTTPS_PROXY", None),
        (b"503 Service Unavailable", "ALL_PROXY", None),
    ],
)
def test_d2_denied(
    status: bytes,
    variable: str,
    calls: int | None,
    proxy: Callable[[bytes], tuple[str, type[FakeProxy]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a proxy refuses names the proxy and its variable; a wrong password is never sent twice."""
    address, seen = proxy(status)
    monkeypatch.setenv(variable, f"http://user:{PASSWORD}@{address}")
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    with (
        lcnb.connect(token=TOKEN, base_url=API) as lc,
        pytest.raises(ConnectionFailed) as raised,
    ):
        lc.profile()
    text = str(raised.value)
    assert f"api.example.com by the proxy http://{address} of {variable}" in text
    assert status.decode() in text
    assert f"Check the proxy and {variable}" in text
    assert PASSWORD not in text
    if calls is not None:
        assert seen.asked == calls


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_d2_no_proxy_there(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that does not listen is named with its variable, not the base URL."""
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:{PASSWORD}@127.0.0.1:9")
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    with (
        lcnb.connect(token=TOKEN, base_url=API) as lc,
        pytest.raises(ConnectionFailed) as raised,
    ):
        lc.profile()
    text = str(raised.value)
    assert f"no connection to api.example.com by the proxy {scheme}://127.0.0.1:9 of HTTPS_PROXY" in text
    assert "base URL" not in text
    assert PASSWORD not in text


@pytest.mark.parametrize(
    ("variable", "content", "problem"),
    [
        ("SSL_CERT_FILE", None, "the file does not exist"),
        ("SSL_CERT_FILE", "folder", "it is a folder; use SSL_CERT_DIR"),
        ("SSL_CERT_FILE", b"", "it is empty"),
        ("SSL_CERT_FILE", b" \n", "it is empty"),
        ("SSL_CERT_FILE", b"not PEM\n", "it holds no certificates in PEM form"),
        ("SSL_CERT_FILE", b"\x30\x82\x01\x02\xff", "it holds no certificates in PEM form"),
        ("SSL_CERT_FILE", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "it holds no certificates"),
        ("SSL_CERT_DIR", None, "the folder does not exist"),
        ("SSL_CERT_DIR", b"x", "it is a file; use SSL_CERT_FILE"),
        ("SSL_CERT_DIR", "folder", "no file name in it is the hash of a certificate"),
    ],
)  # fmt: skip
def test_d3_certificates(
    variable: str,
    content: str | bytes | None,
    problem: str,
    tmp_path: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Certificates that cannot be read are one line that names the variable, the path and the cure."""
    path = tmp_path / "my certs"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    monkeypatch.setenv(variable, str(path))
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    told = call("profile")
    assert told.code == 2
    assert told.err.startswith(f"error: {variable}={path} cannot be used: {problem}")
    assert (
        "Cure: name a f" in told.err
        and told.err.endswith("Nothing was sent.\n")
        and told.err.count("\n") == 1
    )
    assert f"FAIL certificates: {variable}={path} cannot be used: {problem}" in call("doctor").out


def test_d3_key_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reads SSLKEYLOGFILE for each TLS context: a path that cannot be written is named."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "no" / "such"))
    with pytest.raises(ConfigError, match=r"SSLKEYLOGFILE=.*/no/such cannot be written\. Cure: "):
        lcnb.connect(token=TOKEN, base_url=API)


def test_d3_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrusted: str, call: Call) -> None:
    """A bundle is used, an empty variable is none, and what other programs read is named where it would help."""
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert network.environment_tls_context() is not None
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert network.environment_tls_context() is None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with lcnb.connect(token=TOKEN, base_url=untrusted) as lc, pytest.raises(ConnectionFailed) as raised:
        lc.profile()
    assert "REQUESTS_CA_BUNDLE is not used here: set SSL_CERT_FILE to the same file." in str(raised.value)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", untrusted)
    assert "certificates: those that come with lcnb; not used: REQUESTS_CA_BUNDLE" in call("doctor").out


def test_d1_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run keeps is searched for the passwords of proxies too."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}%21@p:1")
    revealed = [each.reveal() for each in network.proxy_secrets()]
    assert revealed == [f"user:{PASSWORD}%21", f"{PASSWORD}%21", f"{PASSWORD}!"]


def test_d1_commands(tmp_path: Path) -> None:
    """A shipped runbook is refused before a kernel starts; in a process of its own there is no traceback."""
    env = without_account(tmp_path) | {"LETSCLOUD_API_KEY": TOKEN, "ALL_PROXY": f"socks://u:{PASSWORD}@p:1"}
    done = subprocess.run(
        [sys.executable, LCNB, "run", "inventory", "--runs-dir", str(tmp_path / "runs")],
        env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ALL_PROXY=socks://*****@p:1 cannot be used as a proxy: ")
    assert done.stderr.count("\n") == 1
    assert list_run_folders(tmp_path / "runs") == []


@pytest.mark.parametrize(
    ("path", "status", "body", "advice"),
    [
        ("", 404, b"<html><title>Not Found</title></html>", True),
        ("", 404, b'{"message": "The route profile could not be found."}', True),
        ("", 404, b'{"success": false, "message": "Not found"}', True),
        ("", 404, b"", True),
        ("", 405, b'{"message": "The GET method is not supported for this route."}', True),
        ("", 200, b"<!doctype html><title>LetsCloud</title>", True),
        ("", 200, b"", False),
        ("/instances/abc", 404, b"<html>nginx</html>", True),
        ("/instances/abc", 404, b'{"success": false, "message": "No such instance"}', False),
    ],
)
def test_d4_base_url(path: str, status: int, body: bytes, advice: bool) -> None:
    """A 404 or a page that is not the API's names the base URL; a 404 of the API about a machine does not."""
    call = calls.Call("GET", path or "/profile", "read it")
    settings = Settings(
        None, Secret(TOKEN), "the test", "https://core.letscloud.io", "LCNB_BASE_URL", 5.0, Path(), Path()
    )
    context = ExchangeContext(lambda: 0.0, 5.0, random.Random(0), settings, {})
    reply = Response(status, {"content-type": "text/html"}, body)
    with pytest.raises(LcnbError) as raised:
        judge_outcome(call, reply, 6, context)
    wanted = "Check the base URL https://core.letscloud.io (from LCNB_BASE_URL); the provider's is https://core.letscl"
    assert (wanted in str(raised.value)) == advice, str(raised.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://core.letscloud.io/api/", "https://core.letscloud.io/api"),
        ("https://core.letscloud.io//api", "https://core.letscloud.io/api"),
        ("https://core.letscloud.io/api//", "https://core.letscloud.io/api"),
        ("\thttps://core.letscloud.io/api\n", "https://core.letscloud.io/api"),
        ("HTTPS://core.letscloud.io/api", "https://core.letscloud.io/api"),
        ("Https://core.letscloud.io:8443/api", "https://core.letscloud.io:8443/api"),
        ("https://Core.LetsCloud.IO/api", "https://core.letscloud.io/api"),
        ("https://core.letscloud.io:443/api", "https://core.letscloud.io/api"),
        ("https://core.letscloud.io:/Api", "https://core.letscloud.io/Api"),
        ("https://[2001:DB8::443]:443/api", "https://[2001:db8::443]/api"),
        ("https://[2001:db8::443]", "https://[2001:db8::443]"),
        ("core.letscloud.io/api", r"is not a URL\. Did you mean https://core.letscloud.io/api\?"),
        ("https://core.letscloud.io/a pi", "is not a URL"),
        ("https://core.letscloud.io\\api", "is not a URL"),
        ('"https://core.letscloud.io/api"', "is not a URL"),
        ("https:/core.letscloud.io/api", "is not a URL"),
        ("HTTP://core.letscloud.io/api", "plain HTTP"),
        ("https://core.letscloud.io/api?token=hunter2-canary", "a user, a password, a query or a fragment"),
        ("https://me:hunter2-canary@core.letscloud.io/api", "a user, a password, a query or a fragment"),
    ],
)
def test_d4_spelling(url: str, expected: str) -> None:
    """A base URL is normalised where there is one meaning, and else refused before anything is sent."""
    if expected.startswith("https://"):
        assert checked_base_url(url, "LCNB_BASE_URL") == expected
        return
    with pytest.raises(ConfigError, match=expected) as raised:
        checked_base_url(url, "LCNB_BASE_URL")
    assert "LCNB_BASE_URL" in str(raised.value)
    assert "Nothing was sent." in str(raised.value)
    assert PASSWORD not in str(raised.value)


def test_d4_tls_stays_on() -> None:
    """However the scheme is written, the provider's certificate is checked."""
    with lcnb.connect(token=TOKEN, base_url="HTTPS://api.example.com/api") as lc:
        assert client_options(lc.settings, None)["verify"].verify_mode == ssl.CERT_REQUIRED
