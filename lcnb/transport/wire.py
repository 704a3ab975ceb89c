"""The only module that imports httpx: pace → send → judge → retry or raise.

`exchange` is the whole protocol of one call as a generator: it yields `Transmit` and `Pause` and is given
outcomes, so tests drive it by hand with a clock of their own. `judge` decides, without doing. `SyncWire` and
`AsyncWire` are the two drivers; they do the sending and the waiting, nothing else.

The sync driver sends each request from a helper thread and waits with the deadline; all else it does in the
caller's thread, flows at once in turns. So a deadline holds even against a server that drips one byte a second,
and an interrupt (Ctrl-C, a stopped cell) never hits httpx in the middle: the pool of an interrupted or overdue
request is retired, the next call gets a fresh one.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import html
import itertools
import json
import logging
import platform
import queue
import random
import re
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import cache, partial
from typing import Any, Generic, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx

import lcnb
from lcnb.api.calls import Call, attempt_limit_s
from lcnb.api.flows import Envelope, Flow, LocalWork, Pause, Together
from lcnb.api.raw_records import split_records
from lcnb.base_url import DEFAULT_BASE_URL, DEFAULT_SOURCE
from lcnb.config import Settings, redis_url
from lcnb.errors import (
    ApiError,
    AuthenticationError,
    BadReply,
    Conflict,
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
from lcnb.secret import Secret, mask_secrets
from lcnb.transport import network
from lcnb.transport.budget import Budget, open_budget

logger = logging.getLogger("lcnb.transport.wire")

#: The version header that the reference names [S]; `+json` also keeps Laravel from answering in HTML.
ACCEPT_HEADER = "application/vnd.letscloud.v1+json"
CONNECT_TIMEOUT_S, POOL_TIMEOUT_S = 10.0, 10.0
MAX_ATTEMPTS = 6
BACKOFF_S, BACKOFF_MAX_S = 0.5, 8.0
#: Seconds for which a 429 that names no time stops everybody who uses the token.
DEFAULT_RETRY_AFTER_S = 2.0
MAX_CONNECTIONS = 32

T = TypeVar("T")
E = TypeVar("E", bound=LcnbError)


# --- effects and outcomes -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transmit:
    """Send this call once; the answer is an Outcome. `limit_s`: give up after so many seconds."""

    call: Call
    limit_s: float


@dataclass(frozen=True)
class Response:
    """An HTTP answer, whole. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class TransportFailure:
    """No whole answer.

    After `not sent`, `untrusted` and `denied` (by a proxy) the request was certainly not sent; after the others it may
    have arrived.
    """

    kind: Literal["not sent", "untrusted", "denied", "lost", "late", "broken"]
    problem: str


Outcome = Response | TransportFailure
LowEffect = Transmit | Pause | Together | LocalWork
LowFlow = Generator[LowEffect, Any, T]


@dataclass(frozen=True)
class Retry:
    """The verdict to send once more, after a wait."""

    after_s: float
    why: str


# --- the protocol of one call ---------------------------------------------------------------------------


@dataclass
class ExchangeContext:
    """What an exchange needs from outside: the clock, the deadline on it, chance, and what to mask."""

    clock: Callable[[], float]
    deadline: float
    chance: random.Random
    settings: Settings
    limits: dict[str, int]

    #: A long flow, such as a wait for machines, ends by its own rules: then each call has the whole time-out.
    each_call: bool = False
    #: What paces all processes that use this token; None for a clock that is not the machine's.
    budget: Budget | None = None
    proxy: network.Proxy | None = None

    def remaining(self) -> float:
        return self.deadline - self.clock()

    def for_call(self) -> ExchangeContext:
        return replace(self, deadline=self.clock() + self.settings.timeout) if self.each_call else self


def exchange_call(call: Call, context: ExchangeContext) -> LowFlow[Envelope]:
    """Send a call, again where that is safe and time allows, until it has an answer or an error."""
    tries = 0
    while True:
        if context.budget is not None:
            yield from _wait_for_permit(call, context.budget, tries, context)
        remaining = context.remaining()
        if remaining <= 0:
            raise _deadline_error(call, tries, context)
        tries += 1
        started = context.clock()
        outcome: Outcome = yield Transmit(call, attempt_limit_s(call, remaining))
        _log_outcome(call, outcome, tries, context.clock() - started)
        if isinstance(outcome, Response):
            _store_limits(outcome, context.limits)
            if context.budget is not None:
                yield LocalWork("budget", partial(_report_to_budget, context.budget, outcome))
        verdict = judge_outcome(call, outcome, tries, context)
        if isinstance(verdict, Envelope):
            return verdict
        logger.info("%s %s: %s; again in %.1f s", call.method, call.path, verdict.why, verdict.after_s)
        yield Pause(verdict.after_s, verdict.why)


def _wait_for_permit(call: Call, budget: Budget, tries: int, context: ExchangeContext) -> LowFlow[None]:
    """Wait for a place in the shared budget; RateLimited when there is none before the deadline."""
    again = False
    while True:
        wait = yield LocalWork("permit", partial(budget.take, max(0.0, context.remaining()), again=again))
        if wait == 0.0:
            return
        if wait is None:
            look = budget.look()
            sent = _describe_attempts(call, tries) if tries else "Nothing was sent."
            raise RateLimited(
                f"{call.method} {call.path}: the calls that this token may make are used up, by all processes on "
                f"this machine together; the next one may be sent in {look.wait_s:,.0f} s, after the deadline. {sent} "
                "Wait, or pass a longer timeout; `lcnb doctor` shows the budget.",
                method=call.method,
                path=call.path,
                tries=tries,
                retry_after=look.wait_s,
            )
        again = True
        yield Pause(wait, "waiting for the rate budget")


def _report_to_budget(budget: Budget, reply: Response) -> None:
    """What a reply says of the limit, for everybody who uses this token."""
    told: dict[str, int] = {}
    _store_limits(reply, told)
    now = time.time()
    throttled = reply.status == 429
    stop = parse_retry_after(reply.headers, now) if throttled else None
    reset = _seconds_until_reset(reply.headers, now)
    budget.heard(
        told.get("limit"),
        told.get("remaining"),
        reset,
        DEFAULT_RETRY_AFTER_S if throttled and stop is None else stop,
    )


def judge_outcome(call: Call, outcome: Outcome, tries: int, context: ExchangeContext) -> Envelope | Retry:
    """What an outcome means: an answer, another try, or (raised) a typed error."""
    try:
        return _accept_outcome(call, outcome, tries, context)
    except (ServerError, RateLimited, TransportError) as error:
        after = _retry_delay(call, outcome, tries, context, error)
        if after is None:
            raise
        return Retry(after, str(error).partition(": ")[2].partition(". ")[0])


def _retry_delay(
    call: Call, outcome: Outcome, tries: int, context: ExchangeContext, error: LcnbError
) -> float | None:
    """Seconds until the next try, or None when there must be none."""
    if tries >= MAX_ATTEMPTS or (
        isinstance(outcome, TransportFailure) and outcome.kind in ("untrusted", "denied", "late")
    ):
        return None
    if isinstance(error, BadReply) and isinstance(outcome, Response) and 300 <= outcome.status < 400:
        return None
    if call.effect != "read" and not _is_safe_to_repeat(outcome):
        return None
    ceiling = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** (tries - 1))
    after = ceiling * (0.5 + 0.5 * context.chance.random())
    if isinstance(error, RateLimited) and error.retry_after is not None:
        after = error.retry_after + after * 0.1  # those who were told the same second do not all come at once
    return after if after < context.remaining() else None


def _is_safe_to_repeat(outcome: Outcome) -> bool:
    """Whether a write certainly did not happen: it was not sent, or was throttled before it was looked at."""
    if isinstance(outcome, TransportFailure):
        return outcome.kind == "not sent"
    return outcome.status == 429


# --- reading an outcome ---------------------------------------------------------------------------------


def _accept_outcome(call: Call, outcome: Outcome, tries: int, context: ExchangeContext) -> Envelope:
    if isinstance(outcome, TransportFailure):
        _raise_failure(call, outcome, tries, context)
    if 200 <= outcome.status < 300:
        answer = Envelope(_read_document(call, outcome, tries, context))
        if _is_success(answer.document):
            return answer
        raise _api_error(Refused, call, outcome, tries, context)
    if 300 <= outcome.status < 400:
        host = _redirect_host(outcome)
        raise _bad_reply_error(
            call, tries, f"a redirect to {host} (HTTP {outcome.status}); it was not followed, since it would "
            "carry the token along", _base_url_advice(context),
        )  # fmt: skip
    raise _api_error(_error_class(outcome.status), call, outcome, tries, context)


def _redirect_host(redirect: Response) -> str:
    try:
        return urlsplit(redirect.headers.get("location", "")).netloc or "another page"
    except ValueError:
        return "another page"


def _is_success(document: Mapping[str, Any]) -> bool:
    success = document.get("success")
    if success is None:
        return "data" in document  # an answer without the flag, but with what was asked for
    return str(success).lower() in ("true", "1")


def _read_document(call: Call, reply: Response, tries: int, context: ExchangeContext) -> Mapping[str, Any]:
    if not reply.body.strip():
        if call.may_be_empty:
            return {"success": True}
        raise _bad_reply_error(call, tries, f"HTTP {reply.status} with an empty body")
    # Whether an empty list means "no records" depends on the rest of the answer, which `split` leaves out.
    if call.as_rows and (plain := split_records(reply.body)) is not None and not plain["data"].empty:
        return plain
    document = _parse_json(reply.body)
    if document == [] and call.effect == "read":
        return {"success": True, "data": []}  # PHP writes an empty object as an empty list
    if not isinstance(document, dict):
        kind = reply.headers.get("content-type", "no content type").partition(";")[0]
        raise _bad_reply_error(
            call,
            tries,
            f"HTTP {reply.status} with {kind}, not the API's JSON: {_body_excerpt(call, reply, context)}",
            f"{_base_url_advice(context)} If it is right, try later.",
        )
    return document


def _parse_json(body: bytes) -> Any:
    """The JSON value, or None. One wrong byte in a label must not cost the whole listing: it is replaced."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _error_class(status: int) -> type[ApiError]:
    by_status: dict[int, type[ApiError]] = {
        401: AuthenticationError,
        403: PermissionDenied,
        404: NotFound,
        408: ServerError,
        409: Conflict,
        429: RateLimited,
    }
    return by_status.get(status, ServerError if status >= 500 else ValidationError)


_NEXT_STEPS = {
    AuthenticationError: "The token came from {source}; `lcnb doctor` tests it, and a new one is made in the "
    "LetsCloud panel (profile, tab API).",
    PermissionDenied: "The token came from {source}; this account may not do that.",
    NotFound: "Look at the listing: it may be gone, or belong to another account than {account}.",
    RateLimited: "The limit is 5,000 calls an hour for each token, whoever uses it; wait, or pass a longer "
    "timeout.",
    Conflict: "What is there does not allow it now: look at the listing, and try again when that has changed.",
    ValidationError: "The provider does not take what was sent; compare it with the listing and the catalogue.",
    Refused: "Look at the listing: what is there may not allow it.",
    ServerError: "The provider has a problem; try again later.",
}
#: Nothing is known to be wrong on this side.
_TRY_LATER = "Try again; if it stays so, try later."


def _api_error(
    kind: type[ApiError], call: Call, reply: Response, tries: int, context: ExchangeContext
) -> ApiError:
    message = _provider_message(call, reply, context)
    text = f"HTTP {reply.status}: {message or _body_excerpt(call, reply, context)}".rstrip(".")
    settings = context.settings
    source, account = settings.token_source, settings.account or f"the one of {settings.token_source}"
    advice = _NEXT_STEPS[kind].format(source=source, account=account)
    if reply.status in (404, 405) and not _is_api_response(call, reply):
        advice = _base_url_advice(context)
    error: ApiError = _make_error(
        kind, call, tries, text, advice, status=reply.status, provider_message=message
    )
    if isinstance(error, RateLimited):
        error.retry_after = parse_retry_after(reply.headers, time.time())
    return error


def _is_api_response(call: Call, reply: Response) -> bool:
    """Whether a 404 speaks of a machine, key or snapshot; else the address itself does not exist."""
    document = _parse_json(reply.body)
    one = call.effect != "read" or call.path.count("/") > 1
    return one and isinstance(document, dict) and "success" in document


def _base_url_advice(context: ExchangeContext) -> str:
    settings = context.settings
    usual = "" if settings.base_url == DEFAULT_BASE_URL else f"; the provider's is {DEFAULT_BASE_URL}"
    return f"Check the base URL {settings.base_url} ({describe_url_source(settings)}){usual}."


def _provider_message(call: Call, reply: Response, context: ExchangeContext) -> str | None:
    document = _parse_json(reply.body)
    if not isinstance(document, dict):
        return None
    parts = [document.get("message"), document.get("error")]
    errors = document.get("errors")
    if isinstance(errors, dict):  # Laravel's: field → list of texts
        parts += [f"{name}: {text}" for name, texts in errors.items() for text in _as_list(texts)]
    elif errors is not None:
        parts += _as_list(errors)
    words = [str(part).strip() for part in parts if isinstance(part, str | int | float) and str(part).strip()]
    text = "; ".join(dict.fromkeys(words))
    return mask_secrets(text, context.settings.token, *call.secrets)[:500] or None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _body_excerpt(call: Call, reply: Response, context: ExchangeContext) -> str:
    text = reply.body[:2000].decode("utf-8", "replace")
    if title := re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL):
        text = html.unescape(title[1])  # of a page that was meant for a browser this says what it is
    text = " ".join(text.split())
    text = mask_secrets(text, context.settings.token, *call.secrets)
    if not text:
        return "no message"
    return repr(text if len(text) <= 80 else text[:77] + "...")


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a 429 asks to wait: `Retry-After` (seconds or a date), or `X-RateLimit-Reset` (a time)."""
    text = headers.get("retry-after", "").strip()
    with contextlib.suppress(ValueError):
        return max(0.0, min(float(text), 86_400.0)) if float(text) == float(text) else None
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    return _seconds_until_reset(headers, now)


def _seconds_until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the window of the limit ends, where `X-RateLimit-Reset` tells it as a time."""
    with contextlib.suppress(ValueError):
        reset = float(headers.get("x-ratelimit-reset", ""))
        if now < reset < now + 86_400:
            return reset - now
    return None


def _raise_failure(call: Call, failed: TransportFailure, tries: int, context: ExchangeContext) -> NoReturn:
    if failed.kind == "late":
        raise _deadline_error(call, tries, context)
    settings = context.settings
    where, advice = _describe_route(context), _route_advice(context)
    problem = mask_secrets(failed.problem, settings.token, *network.proxy_secrets())
    texts: dict[str, tuple[type[TransportError], str, str]] = {
        "not sent": (ConnectionFailed, f"no connection to {where} ({problem})", advice),
        "denied": (ConnectionFailed, f"no connection to {where}, which refused it ({problem})", advice),
        "untrusted": (
            ConnectionFailed, f"the TLS certificate of {where} is not trusted ({problem})",
            network.certificate_advice(),
        ),
        "lost": (ConnectionLost, f"the connection to {where} ended before a whole answer came ({problem})", _TRY_LATER),
        "broken": (BadReply, f"the answer of {where} could not be read ({problem})", _TRY_LATER),
    }  # fmt: skip
    kind, text, advice = texts[failed.kind]
    raise _make_error(kind, call, tries, text, advice)


def _describe_route(context: ExchangeContext) -> str:
    """The host, and the proxy by which it is asked."""
    host = urlsplit(context.settings.base_url).netloc
    return f"{host} by {context.proxy}" if context.proxy else host


def describe_url_source(settings: Settings) -> str:
    """Where the base URL came from, for brackets: `from LCNB_BASE_URL`, or `the default`."""
    source = settings.base_url_source
    return source if source == DEFAULT_SOURCE else f"from {source}"


def _route_advice(context: ExchangeContext) -> str:
    if context.proxy is None:
        return f"Check the network and the base URL ({describe_url_source(context.settings)})."
    host, variable = urlsplit(context.settings.base_url).hostname, context.proxy.variable
    return (
        f"Check the proxy and {variable}, user and password in it too; NO_PROXY={host} goes around the proxy."
    )


def _deadline_error(call: Call, tries: int, context: ExchangeContext) -> DeadlineExceeded:
    limit = attempt_limit_s(call, context.settings.timeout)
    return _make_error(
        DeadlineExceeded, call, tries, f"no answer within the deadline of {limit:g} s",
        "A longer one: connect(timeout=...), or LCNB_TIMEOUT.",
    )  # fmt: skip


def _bad_reply_error(call: Call, tries: int, what: str, advice: str = _TRY_LATER) -> BadReply:
    return _make_error(BadReply, call, tries, what, advice)


def _make_error(kind: type[E], call: Call, tries: int, what: str, advice: str, **facts: Any) -> E:
    """What happened, what was done, what to do next; `brief` is without the middle, for a table of many."""
    what = f"{call.method} {call.path}: {what}."
    return kind(
        f"{what} {_describe_attempts(call, tries, sent=kind is not ConnectionFailed)} {advice}",
        brief=f"{what} {advice}", method=call.method, path=call.path, tries=tries, **facts,
    )  # fmt: skip


def _describe_attempts(call: Call, tries: int, *, sent: bool = True) -> str:
    times = "once" if tries == 1 else f"{tries} times"
    if not sent:
        return f"It was tried {times}; nothing was sent."
    return f"It was sent {times}; nothing was changed." if call.effect == "read" else f"It was sent {times}."


def _log_outcome(call: Call, outcome: Outcome, tries: int, seconds: float) -> None:
    result = str(outcome.status) if isinstance(outcome, Response) else outcome.kind
    facts = {"method": call.method, "path": call.path, "result": result, "tries": tries, "seconds": seconds}
    logger.debug(
        "%s %s → %s in %.0f ms (try %d)",
        call.method,
        call.path,
        result,
        seconds * 1000,
        tries,
        extra={"lcnb": facts},
    )


def _store_limits(reply: Response, limits: dict[str, int]) -> None:
    for name in ("limit", "remaining"):
        with contextlib.suppress(ValueError):
            limits[name] = int(reply.headers.get(f"x-ratelimit-{name}", ""))


def exchange_flow(flow: Flow[T], context: ExchangeContext) -> LowFlow[T]:
    """A flow of calls as a flow of single transmissions: every call in it goes through `exchange`."""
    answer: Any = None
    error: Exception | None = None
    try:
        while True:
            try:
                effect = flow.throw(error) if error is not None else flow.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer, error = None, None
            try:
                answer = (
                    (yield from exchange_call(effect, context.for_call()))
                    if isinstance(effect, Call)
                    else (yield effect)
                )
            except Exception as raised:
                error = raised
    finally:
        flow.close()


# --- what both drivers share ----------------------------------------------------------------------------


class _TokenAuth(httpx.Auth):
    """Adds the token for the time of the request alone, so that no header object keeps it."""

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
    """One context for all pools: making one costs tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)


def _trusted_tls_context() -> ssl.SSLContext:
    """The certificates to trust: those of the environment, or those that come with httpx."""
    return network.environment_tls_context() or _default_tls_context()


def _httpx_proxy(proxy: network.Proxy | None) -> httpx.Proxy | None:
    if proxy is None:
        return None
    auth = proxy.auth and (proxy.auth[0], proxy.auth[1].reveal())
    return httpx.Proxy(
        proxy.url, auth=auth, ssl_context=_trusted_tls_context() if proxy.scheme == "https" else None
    )


def _pool_options(settings: Settings, proxy: network.Proxy | None) -> dict[str, Any]:
    return {
        "auth": _TokenAuth(settings),
        "headers": {"Accept": ACCEPT_HEADER, "User-Agent": user_agent()},
        "verify": _trusted_tls_context() if settings.base_url.startswith("https:") else False,
        # What the environment says was read by lcnb.transport.network, which names what it cannot use.
        "trust_env": False,
        "proxy": _httpx_proxy(proxy),
        "follow_redirects": False,
        "limits": httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
    }


def user_agent() -> str:
    """What lcnb calls itself: its version and what it runs on."""
    return f"lcnb/{lcnb.__version__} (Python {platform.python_version()}; httpx {httpx.__version__})"


def _request_arguments(settings: Settings, effect: Transmit) -> dict[str, Any]:
    call, body = effect.call, effect.call.body
    limit = effect.limit_s + 1  # the driver's own limit comes first; this ends what it has given up
    return {
        "method": call.method,
        "url": settings.base_url + call.path,
        "content": None if body is None else json.dumps(body, default=_reveal_secret).encode(),
        "headers": None if body is None else {"Content-Type": "application/json"},
        "timeout": httpx.Timeout(
            limit, connect=min(CONNECT_TIMEOUT_S, limit), pool=min(POOL_TIMEOUT_S, limit)
        ),
    }


def _reveal_secret(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"a {type(value).__name__} cannot be sent as JSON")


def _to_response(response: httpx.Response) -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, response.content)


#: What httpx raises besides its HTTPError, for a host name that cannot exist: of ours, or of a redirect.
_SEND_ERRORS = (httpx.HTTPError, httpx.InvalidURL, UnicodeError)


def _to_failure(error: Exception) -> TransportFailure:
    problem = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError) and "CERTIFICATE_VERIFY_FAILED" in problem:
        return TransportFailure("untrusted", problem)
    if isinstance(error, httpx.ProxyError) and re.match(r"4\d\d\b", problem):
        return TransportFailure("denied", problem)
    not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
    if isinstance(error, (*not_sent, httpx.LocalProtocolError, httpx.UnsupportedProtocol)):
        return TransportFailure("not sent", problem)
    if isinstance(error, httpx.DecodingError):
        return TransportFailure("broken", problem)
    return TransportFailure("lost", problem)


class _BaseWire:
    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = settings
        #: By what the API is asked; what the environment says wrongly is refused before anything is sent.
        self.proxy = network.checked_proxy(settings.base_url)
        #: What the last reply told of the rate limit: `limit` and `remaining`, as far as it told.
        self.limits: dict[str, int] = {}
        self.clock = clock
        real = clock is time.monotonic
        #: What paces all processes that use this token; None on a clock that a test turns.
        self.budget = open_budget(settings.state_dir, settings.token, redis_url()) if real else None
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret

    def _context(self, each_call: bool) -> ExchangeContext:
        deadline = self.clock() + self.settings.timeout
        return ExchangeContext(
            self.clock, deadline, self._chance, self.settings, self.limits, each_call, self.budget, self.proxy
        )


# --- sync -----------------------------------------------------------------------------------------------


class _SyncPool:
    """An httpx.Client that closes itself once it is retired and its last request has ended."""

    def __init__(self, settings: Settings, proxy: network.Proxy | None = None) -> None:
        self._client = httpx.Client(**_pool_options(settings, proxy))
        weakref.finalize(self, self._client.close)  # for a client that is let go without close()
        self._settings = settings
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False

    def hold(self) -> bool:
        """Keep it open for one `send`, whose thread may begin after a close(); False when it is closed already."""
        with self._lock:
            if self._retired and not self._users:
                return False
            self._users += 1
            return True

    def send(self, effect: Transmit) -> Outcome:
        """What comes of a request, by a pool that is held for it."""
        try:
            return _to_response(self._client.request(**_request_arguments(self._settings, effect)))
        except _SEND_ERRORS as error:
            return _to_failure(error)
        finally:
            with self._lock:
                self._users -= 1
                self._close_if_done()

    def retire(self) -> None:
        with self._lock:
            self._retired = True
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._users:
            self._client.close()


class SyncWire(_BaseWire):
    """Runs flows and waits for them; safe to use from several threads and inside a running event loop."""

    _pool: _SyncPool | None = None

    def run(self, flow: Flow[T], *, each_call: bool = False) -> T:
        """The result of a flow. `each_call`: the time-out is for each call, not for the flow."""
        return _FlowScheduler[T](self, self._context(each_call)).run(flow)

    def close(self) -> None:
        """Close the connections. The wire can be used again: it opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.retire()

    def perform(self, effect: LowEffect, turns: _FlowScheduler[Any]) -> Any:
        """The answer of an effect, or LATER: then `turns` expects it."""
        if isinstance(effect, LocalWork):
            return effect.work()
        if isinstance(effect, Together):
            turns.part(effect)
            return PENDING
        if isinstance(effect, Pause):
            turns.expect(effect.seconds, None)
            return PENDING
        pool = self._pool
        if pool is None or not pool.hold():
            pool = _SyncPool(self.settings, self.proxy)
            pool.hold()
            self._pool = pool
        late = TransportFailure("late", "no answer in time")
        _start_thread(
            turns.box, turns.expect(effect.limit_s, late, partial(self._retire, pool)), pool.send, effect
        )
        return PENDING

    def _retire(self, pool: _SyncPool) -> None:
        if self._pool is pool:
            self._pool = None
        pool.retire()


#: What `perform` gives when the answer of an effect comes later.
PENDING = object()


@dataclass(eq=False)
class _FlowTask:
    """A flow on its way. Of several at once each has a parent that waits for all of them."""

    flow: LowFlow[Any]
    parent: _FlowTask | None = None
    place: int = 0
    children: list[_FlowTask] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    left: int = 0
    over: bool = False


class _FlowScheduler(Generic[T]):
    """Runs a flow, and the flows that it wants together, in turns in the caller's thread.

    Only requests have threads: what comes of them is put into a box. So flows need no locks, and an interrupt
    meets the caller's own waiting.
    """

    def __init__(self, wire: SyncWire, context: ExchangeContext) -> None:
        self._wire, self._context = wire, context
        #: Numbers that are expected, each with what came of it.
        self.box: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._numbers = itertools.count()
        #: Number → the task that waits for it, and what to call when it is given up.
        self._expected: dict[int, tuple[_FlowTask, Callable[[], None] | None]] = {}
        #: A heap of: when a number is waited for no longer, the number, the answer then.
        self._due: list[tuple[float, int, Any]] = []
        self._ready: deque[tuple[_FlowTask, Any, Exception | None]] = deque()

    def run(self, flow: Flow[T]) -> T:
        """The result of a flow. The first error of flows at once ends the others and goes to who wanted them."""
        root = self._task = _FlowTask(exchange_flow(flow, self._context))
        self._ready.append((root, None, None))
        try:
            while not root.over:
                task, answer, error = self._ready.popleft() if self._ready else self._next()
                if not task.over:
                    self._go(task, answer, error)
            return root.results[0]  # type: ignore[no-any-return]
        except Exception:
            raise  # other requests that are under way may come to their ends
        except BaseException:
            for _, give_up in self._expected.values():
                if give_up is not None:
                    give_up()
            raise
        finally:
            self._end(root)

    def expect(self, seconds: float, answer: Any, give_up: Callable[[], None] | None = None) -> int:
        """A number: what is put into the box with it is the answer to the task whose turn it is.

        After so many seconds, which `give_up` is told, the answer is this one.
        """
        number = next(self._numbers)
        self._expected[number] = self._task, give_up
        heapq.heappush(self._due, (time.monotonic() + seconds, number, answer))
        return number

    def _next(self) -> tuple[_FlowTask, Any, Exception | None]:
        """Wait until something comes, or its time is over."""
        while True:
            while self._due[0][1] not in self._expected:
                heapq.heappop(self._due)
            try:
                number, answer = self.box.get(timeout=max(0.0, self._due[0][0] - time.monotonic()))
            except queue.Empty:
                _, number, answer = heapq.heappop(self._due)
                give_up = self._expected[number][1]
                if give_up is not None:
                    give_up()
            if number not in self._expected:
                continue  # it was given up before it came
            task, _ = self._expected.pop(number)
            if not isinstance(answer, BaseException):
                return task, answer, None
            # Frames of httpx hold the request's headers: a traceback with locals would print the token.
            answer.__cause__ = answer.__context__ = answer.__traceback__ = None
            if isinstance(answer, Exception):
                return task, None, answer
            raise answer

    def _go(self, task: _FlowTask, answer: Any, error: Exception | None) -> None:
        """Go on with a task until it has to wait."""
        self._task = task
        while answer is not PENDING:
            try:
                effect = task.flow.throw(error) if error is not None else task.flow.send(answer)
            except StopIteration as end:
                self._ended(task, end.value)
                return
            except Exception as raised:
                self._failed(task, raised)
                return
            answer, error = None, None
            try:
                answer = self._wire.perform(effect, self)
            except Exception as raised:
                error = raised

    def part(self, effect: Together) -> None:
        """Have flows take turns; their results are the answer to the task whose turn it is."""
        task = self._task
        task.children = [
            _FlowTask(exchange_flow(flow, self._context), task, place)
            for place, flow in enumerate(effect.flows)
        ]
        task.left = len(task.children)
        task.results = [None] * task.left
        self._ready.extend([(child, None, None) for child in task.children] or [(task, [], None)])

    def _ended(self, task: _FlowTask, result: Any) -> None:
        task.over = True
        parent = task.parent
        if parent is None:
            task.results = [result]
            return
        parent.results[task.place] = result
        parent.left -= 1
        if not parent.left:
            self._ready.append((parent, parent.results, None))

    def _failed(self, task: _FlowTask, error: Exception) -> None:
        task.over = True
        if task.parent is None:
            raise error
        for child in task.parent.children:
            self._end(child)
        self._ready.append((task.parent, None, error))

    def _end(self, task: _FlowTask) -> None:
        for child in task.children:
            self._end(child)
        task.over = True
        task.flow.close()


def _start_thread(
    box: queue.SimpleQueue[tuple[int, Any]], number: int, work: Callable[..., Any], *args: Any
) -> None:
    """Run `work` in a thread of its own, which puts the number and what came of it, result or error, into the box."""

    def post() -> None:
        try:
            box.put((number, work(*args)))
        except BaseException as error:
            box.put((number, error))

    try:
        threading.Thread(target=post, daemon=True).start()
    except RuntimeError as error:  # CPython: an interrupt in start() may come out as "release unlocked lock"
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


# --- async ----------------------------------------------------------------------------------------------


class _AsyncPool:
    """The same for httpx.AsyncClient, bound to the event loop that it was made in: it closes with the loop too."""

    def __init__(
        self, settings: Settings, loop: asyncio.AbstractEventLoop, proxy: network.Proxy | None = None
    ) -> None:
        self.loop = loop
        self._client = httpx.AsyncClient(**_pool_options(settings, proxy))
        self._settings = settings
        self._users = 0
        self._retired = False
        self._life: AsyncGenerator[None, None] | None = _client_lifetime(self._client)

    async def open(self) -> None:
        if self._life is not None:
            await anext(self._life)

    async def send(self, effect: Transmit) -> Outcome:
        self._users += 1
        try:
            async with asyncio.timeout(effect.limit_s):
                return _to_response(await self._client.request(**_request_arguments(self._settings, effect)))
        except _SEND_ERRORS as error:
            return _to_failure(error)
        finally:
            self._users -= 1
            await self._close_if_done()

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_done()

    async def _close_if_done(self) -> None:
        if self._retired and not self._users and self._life is not None:
            life, self._life = self._life, None
            await _await_uncancelled(life.aclose())


async def _client_lifetime(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Closes the client when it is closed itself: a loop that ends closes every async generator begun in it."""
    try:
        yield
    finally:
        await client.aclose()


async def _await_uncancelled(closing: Coroutine[Any, Any, None]) -> None:
    """Await it, however often this is cancelled meanwhile: half closed, sockets would stay open."""
    task = asyncio.ensure_future(closing)
    cancel: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as again:
            cancel = again
    if cancel is not None:
        raise cancel


class AsyncWire(_BaseWire):
    """Runs flows in the caller's event loop; used from another loop than before, it opens new connections."""

    _pool: _AsyncPool | None = None

    async def run(self, flow: Flow[T], *, each_call: bool = False) -> T:
        """As SyncWire.run."""
        context = self._context(each_call)
        return await self._drive(exchange_flow(flow, context), context)

    async def aclose(self) -> None:
        """Close the connections. The wire can be used again: it opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is asyncio.get_running_loop():
            await pool.retire()

    async def _drive(self, flow: LowFlow[T], context: ExchangeContext) -> T:
        answer: Any = None
        error: Exception | None = None
        try:
            while True:
                try:
                    effect = flow.throw(error) if error is not None else flow.send(answer)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                answer, error = None, None
                try:
                    answer = await self._perform(effect, context)
                except Exception as raised:
                    error = raised
        finally:
            flow.close()

    async def _perform(self, effect: LowEffect, context: ExchangeContext) -> Any:
        if isinstance(effect, Transmit):
            return await self._transmit(effect)
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, LocalWork):
            return effect.work()
        return await self._together(effect, context)

    async def _transmit(self, effect: Transmit) -> Outcome:
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            pool = self._pool = _AsyncPool(self.settings, loop, self.proxy)
            await pool.open()
        try:
            return await pool.send(effect)
        except TimeoutError:
            await self._retire(pool)
            return TransportFailure("late", "no answer in time")
        except BaseException as interrupt:
            await self._retire(pool)
            # Frames of httpx hold the request's headers: a traceback with locals would print the token.
            raise interrupt.with_traceback(None) from None

    async def _retire(self, pool: _AsyncPool) -> None:
        if self._pool is pool:
            self._pool = None
        await pool.retire()

    async def _together(self, effect: Together, context: ExchangeContext) -> list[Any]:
        """Each flow as a task of its own; the first error cancels the others and is raised."""
        tasks = [
            asyncio.ensure_future(self._drive(exchange_flow(flow, context), context)) for flow in effect.flows
        ]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
