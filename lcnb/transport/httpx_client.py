"""The only module that imports httpx: it builds clients and requests, and reads responses and exceptions."""

from __future__ import annotations

import json
import logging
import re
import ssl
import sys
from collections.abc import Generator
from functools import cache
from typing import Any

import lcnb
from lcnb.config import Settings
from lcnb.deferred_imports import stand_in_module
from lcnb.errors import ConfigError
from lcnb.secret import Secret
from lcnb.transport import network
from lcnb.transport.effects import Response, Transmit, TransportFailure
from lcnb.transport.send_guard import SendGuard

# httpx imports its own command, and with it rich, pygments and click, which is a third of the time that it takes.
with stand_in_module("httpx._main", "main"):
    import httpx

#: The version header that the reference names [S]; `+json` also keeps Laravel from answering in HTML.
ACCEPT_HEADER = "application/vnd.letscloud.v1+json"
CONNECT_TIMEOUT_S, POOL_TIMEOUT_S = 10.0, 10.0
MAX_CONNECTIONS = 32

#: httpx also raises InvalidURL and UnicodeError, for a host name that cannot exist (ours, or that of a redirect).
SEND_ERRORS = (httpx.HTTPError, httpx.InvalidURL, UnicodeError)


def _shows_no_login(record: logging.LogRecord) -> bool:
    """Whether a record may be logged: httpcore logs user and password of a SOCKS proxy in plain text."""
    return "auth=(" not in str(record.msg)


logging.getLogger("httpcore.socks").addFilter(_shows_no_login)


def make_client(settings: Settings, proxy: network.Proxy | None) -> httpx.Client:
    """Return a new client with its connection pool. Nothing is connected yet."""
    return httpx.Client(**client_options(settings, proxy))


def make_async_client(settings: Settings, proxy: network.Proxy | None) -> httpx.AsyncClient:
    """Return a new asynchronous client with its connection pool. Nothing is connected yet."""
    return httpx.AsyncClient(**client_options(settings, proxy))


class _TokenAuth(httpx.Auth):
    """Adds the token only while a request is sent, so that no header object keeps it."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["api-token"] = self._token.reveal()
        try:
            yield request
        finally:
            del request.headers["api-token"]


@cache
def _default_tls_context() -> ssl.SSLContext:
    """Return one TLS context for all pools: building one costs tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


def _trusted_tls_context() -> ssl.SSLContext:
    """Return the certificates to trust: those that the environment names, else those that come with httpx."""
    return network.environment_tls_context() or _default_tls_context()


def _httpx_proxy(proxy: network.Proxy | None) -> httpx.Proxy | None:
    if proxy is None:
        return None
    auth = proxy.auth and (proxy.auth[0], proxy.auth[1].reveal())
    return httpx.Proxy(
        proxy.url, auth=auth, ssl_context=_trusted_tls_context() if proxy.scheme == "https" else None
    )


def client_options(settings: Settings, proxy: network.Proxy | None) -> dict[str, Any]:
    """Return the arguments of httpx.Client and httpx.AsyncClient."""
    return {
        "auth": _TokenAuth(settings),
        "headers": {"Accept": ACCEPT_HEADER, "User-Agent": user_agent()},
        "verify": _trusted_tls_context() if settings.base_url.startswith("https:") else False,
        # lcnb.transport.network reads the environment; its errors name the variable that cannot be used.
        "trust_env": False,
        "proxy": _httpx_proxy(proxy),
        "follow_redirects": False,
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
    }


def post_text(url: str, text: str, timeout_s: float) -> str:
    """Post a text to a URL outside the API, through the same proxy and certificates. Return a problem, or ""."""
    try:
        client = httpx.Client(
            headers={"User-Agent": user_agent(), "Content-Type": "text/plain; charset=utf-8"},
            verify=_trusted_tls_context() if url.startswith("https:") else False,
            trust_env=False,
            proxy=_httpx_proxy(network.find_proxy(url)),
            timeout=timeout_s,
        )
        with client:
            status = client.post(url, content=text.encode("utf-8", "replace")).status_code
    except ConfigError as error:
        return error.statement
    except SEND_ERRORS as error:  # its text may contain the URL, which is a secret
        return type(error).__name__
    return "" if 200 <= status < 300 else f"HTTP {status}"


def user_agent() -> str:
    """Return the User-Agent header: the versions of lcnb, Python and httpx."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"lcnb/{lcnb.__version__} (Python {python}; httpx {httpx.__version__})"


def request_arguments(settings: Settings, effect: Transmit, *, is_async: bool = False) -> dict[str, Any]:
    """Return the arguments of `request` of httpx.Client, or of httpx.AsyncClient, for one transmission."""
    trace: Any = None
    if effect.check is not None:
        guard = SendGuard(effect.check)
        trace = guard.trace_async if is_async else guard.trace
    call, body = effect.call, effect.call.body
    # The driver gives up first, at `limit_s`; this later limit ends the abandoned request.
    limit_s = effect.limit_s + 1
    return {
        "method": call.method,
        "url": settings.base_url + call.path,
        "content": None if body is None else json.dumps(body, default=_reveal_secret).encode(),
        "headers": None if body is None else {"Content-Type": "application/json"},
        "timeout": httpx.Timeout(
            limit_s, connect=min(CONNECT_TIMEOUT_S, limit_s), pool=min(POOL_TIMEOUT_S, limit_s)
        ),
        "extensions": {"trace": trace} if trace else None,
    }


def _reveal_secret(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"a {type(value).__name__} cannot be sent as JSON")


def read_response(response: httpx.Response) -> Response:
    """Return the response as a value without httpx."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.content)


#: What OpenSSL and the system add to the words of an error: the number, the name and the line of its source.
_TECHNICAL_MARKS = re.compile(r"^\[(?:Errno -?\d+|SSL: \w+)\] | \(_ssl\.c:\d+\)$")


def classify_failure(error: Exception) -> TransportFailure:
    """Return what one of SEND_ERRORS means; only a request that certainly was not sent counts as `not sent`."""
    reason = str(error) or type(error).__name__
    problem = _TECHNICAL_MARKS.sub("", reason)
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in reason:
        return TransportFailure("untrusted", problem)
    if isinstance(error, httpx.ConnectError) and "WRONG_VERSION_NUMBER" in reason:
        return TransportFailure("not sent", "it does not speak TLS, which https:// needs")
    if isinstance(error, httpx.ProxyError) and re.match(r"4\d\d\b", problem):
        return TransportFailure("denied", problem)
    not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
    if isinstance(error, (*not_sent, httpx.LocalProtocolError, httpx.UnsupportedProtocol)):
        return TransportFailure("not sent", problem)
    if isinstance(error, httpx.DecodingError):
        return TransportFailure("broken", problem)
    return TransportFailure("lost", problem)
