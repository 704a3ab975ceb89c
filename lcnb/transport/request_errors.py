"""The errors of a request. Each message says what happened, what was sent, and what to do next."""

from __future__ import annotations

import time
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from lcnb.api.calls import Call, attempt_limit_s
from lcnb.base_url import DEFAULT_BASE_URL, DEFAULT_SOURCE
from lcnb.config import Settings
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
from lcnb.flags import NOTHING_SENT
from lcnb.secret import Secret, mask_secrets
from lcnb.transport import network
from lcnb.transport.effects import ExchangeContext, Response, TransportFailure
from lcnb.transport.rate_headers import parse_retry_after
from lcnb.transport.response_body import body_excerpt, parse_json, provider_message

E = TypeVar("E", bound=LcnbError)

_ERROR_CLASSES: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    408: ServerError,
    409: Conflict,
    429: RateLimited,
}
_NEXT_STEPS = {
    AuthenticationError: "LetsCloud does not accept the token from {source}. Copy it again from where you keep it, or "
    "create a new one in the LetsCloud panel (profile, tab API); `lcnb doctor` tests it.",
    PermissionDenied: "The token came from {source}; this account may not do that.",
    NotFound: "Look at the listing: it may be deleted, or belong to another account than {account}.",
    RateLimited: "The limit is 5,000 calls per hour for each token, over all programs that use it; wait, or pass a "
    "longer timeout.",
    Conflict: "The current state does not allow it: look at the listing, and try again when the state has changed.",
    ValidationError: "The provider rejected what was sent; compare it with the listing and the catalogue.",
    Refused: "Look at the listing: the current state may not allow it.",
    ServerError: "The provider has a problem; try again later.",
}
#: The advice when nothing on this side is known to be wrong.
TRY_LATER = "Try again; if the problem remains, try later."


def error_class(status: int) -> type[ApiError]:
    """Return the class of error for an HTTP status of 400 or more."""
    return _ERROR_CLASSES.get(status, ServerError if status >= 500 else ValidationError)


def api_error(
    kind: type[ApiError], call: Call, response: Response, attempts: int, context: ExchangeContext
) -> ApiError:
    """Return the error for a response that says no, with the provider's message."""
    secrets = masked_secrets(call, context)
    message = provider_message(response.body, secrets)
    problem = f"HTTP {response.status}: {message or body_excerpt(response.body, secrets)}".rstrip(".")
    settings = context.settings
    account = settings.account or f"the one of {settings.token_source}"
    advice = _NEXT_STEPS[kind].format(source=settings.token_source, account=account)
    if response.status in (404, 405) and not _concerns_one_resource(call, response):
        advice = base_url_advice(settings)
    error: ApiError = _make_error(
        kind, call, attempts, problem, advice, status=response.status, provider_message=message
    )
    if isinstance(error, RateLimited):
        error.retry_after = parse_retry_after(response.headers, time.time())
    return error


def _concerns_one_resource(call: Call, response: Response) -> bool:
    """Whether a 404 is about a machine, key or snapshot; otherwise the base URL itself is wrong."""
    document = parse_json(response.body)
    names_one = call.effect != "read" or call.path.count("/") > 1
    return names_one and isinstance(document, dict) and "success" in document


def masked_secrets(call: Call, context: ExchangeContext) -> tuple[Secret, ...]:
    """Return the secrets that a response to this call might repeat."""
    return (context.settings.token, *call.secrets)


def base_url_advice(settings: Settings) -> str:
    """Return the sentence that asks to check the base URL."""
    default = "" if settings.base_url == DEFAULT_BASE_URL else f"; the provider's is {DEFAULT_BASE_URL}"
    return f"Check the base URL {settings.base_url} ({describe_url_source(settings)}){default}."


def describe_url_source(settings: Settings) -> str:
    """Return where the base URL came from, to be put in brackets: `from LCNB_BASE_URL`, or `the default`."""
    source = settings.base_url_source
    return source if source == DEFAULT_SOURCE else f"from {source}"


def raise_failure(call: Call, failure: TransportFailure, attempts: int, context: ExchangeContext) -> NoReturn:
    """Raise the TransportError for a request without a complete response."""
    if failure.kind == "late":
        raise deadline_error(call, attempts, context)
    host, advice = _describe_route(context), _route_advice(context)
    problem = mask_secrets(failure.problem, context.settings.token, *network.proxy_secrets())
    texts: dict[str, tuple[type[TransportError], str, str]] = {
        "not sent": (ConnectionFailed, f"no connection to {host} ({problem})", advice),
        "denied": (ConnectionFailed, f"no connection to {host}, which refused it ({problem})", advice),
        "untrusted": (
            ConnectionFailed, f"the TLS certificate of {host} is not trusted ({problem})",
            network.certificate_advice(),
        ),
        "lost": (
            ConnectionLost, f"the connection to {host} ended before a complete response ({problem})", TRY_LATER,
        ),
        "broken": (BadReply, f"the response of {host} could not be read ({problem})", TRY_LATER),
    }  # fmt: skip
    kind, text, advice = texts[failure.kind]
    raise _make_error(kind, call, attempts, text, advice)


def _describe_route(context: ExchangeContext) -> str:
    """Return the host, and the proxy if one is used."""
    host = urlsplit(context.settings.base_url).netloc
    return f"{host} by {context.proxy}" if context.proxy else host


def _route_advice(context: ExchangeContext) -> str:
    if context.proxy is None:
        return f"Check the network and the base URL ({describe_url_source(context.settings)})."
    host, variable = urlsplit(context.settings.base_url).hostname, context.proxy.variable
    return f"Check the proxy and {variable}, also its user and password; NO_PROXY={host} bypasses the proxy."


def deadline_error(call: Call, attempts: int, context: ExchangeContext) -> DeadlineExceeded:
    """Return the error for a call whose deadline has passed."""
    limit_s = attempt_limit_s(call, context.settings.timeout)
    return _make_error(
        DeadlineExceeded, call, attempts, f"no response within the deadline of {limit_s:g} s",
        "To wait longer: connect(timeout=...), or LCNB_TIMEOUT.",
    )  # fmt: skip


def budget_error(call: Call, attempts: int, wait_s: float) -> RateLimited:
    """Return the error for a call that the shared rate budget would delay until after the deadline."""
    sent = _describe_attempts(call, attempts) if attempts else NOTHING_SENT
    return RateLimited(
        f"{call.method} {call.path}: all processes on this machine together have used up the calls of this token; "
        f"the next one may be sent in {wait_s:,.0f} s, after the deadline. {sent} Wait, or pass a longer timeout; "
        "`lcnb doctor` shows the budget.",
        method=call.method,
        path=call.path,
        tries=attempts,
        retry_after=wait_s,
    )


def bad_reply_error(call: Call, attempts: int, problem: str, advice: str = TRY_LATER) -> BadReply:
    """Return the error for a response that is not one of the API."""
    return _make_error(BadReply, call, attempts, problem, advice)


def _make_error(kind: type[E], call: Call, attempts: int, problem: str, advice: str, **facts: Any) -> E:
    """Return an error whose `brief` leaves out what was sent, for a table of many errors."""
    problem = f"{call.method} {call.path}: {problem}."
    sent = _describe_attempts(call, attempts, sent=kind is not ConnectionFailed)
    return kind(
        f"{problem} {sent} {advice}",
        brief=f"{problem} {advice}", method=call.method, path=call.path, tries=attempts, **facts,
    )  # fmt: skip


def _describe_attempts(call: Call, attempts: int, *, sent: bool = True) -> str:
    times = "once" if attempts == 1 else f"{attempts} times"
    if not sent:
        return f"It was tried {times}; nothing was sent."
    return f"It was sent {times}; nothing was changed." if call.effect == "read" else f"It was sent {times}."
