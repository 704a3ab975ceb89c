"""The protocol of a call, driven by hand with a virtual clock: pacing, judging, retries, errors."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from conftest import TOKEN
from lcnb.api.calls import WRITE_ATTEMPT_MIN_S, Call, get_instances
from lcnb.api.flows import Envelope, Pause
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
from lcnb.transport.effects import ExchangeContext, Outcome, Response, Transmit, TransportFailure
from lcnb.transport.httpx_client import request_arguments
from lcnb.transport.protocol import (
    BACKOFF_MAX_S,
    BACKOFF_S,
    MAX_ATTEMPTS,
    Retry,
    exchange_call,
    judge_outcome,
)
from lcnb.transport.rate_headers import parse_retry_after

READ = get_instances()
WRITES = [
    Call("PUT", "/instances/x/power-off", "power off x", "set"),
    Call("DELETE", "/instances/x", "delete x", "delete"),
    Call("POST", "/instances", "create x", "create", {"label": "x", "password": "Str0ng-Passw0rd"}),
    Call("PUT", "/instances/x/reboot", "reboot x", "toggle"),
]


def reply(status: int, body: Any = None, **headers: str) -> Response:
    """An answer; `body` as JSON unless it is bytes, header names with `_` for `-`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def no(status: int) -> Response:
    return reply(status, {"success": False, "message": "No."})


GOOD = reply(200, {"success": True, "data": []})
HTML = reply(200, b"<html><body>Maintenance</body></html>", content_type="text/html; charset=utf-8")


def drive(
    call: Call, outcomes: Iterable[Outcome], context: ExchangeContext, takes: float = 0.0
) -> tuple[list[Any], Envelope | LcnbError]:
    """Play the driver: what the exchange asked for, in order, and its result or error."""
    asked: list[Any] = []
    outcomes = iter(outcomes)
    flow = exchange_call(call, context)
    answer: Any = None
    while True:
        try:
            effect = flow.send(answer)
        except StopIteration as end:
            return asked, end.value
        except LcnbError as error:
            return asked, error
        asked.append(effect)
        if isinstance(effect, Pause):
            context.clock.now += effect.seconds
            answer = None
        else:
            overdue = takes >= effect.limit_s
            context.clock.now += min(takes, effect.limit_s)
            answer = TransportFailure("late", "no answer in time") if overdue else next(outcomes)


def sent(asked: list[Any]) -> int:
    return sum(isinstance(effect, Transmit) for effect in asked)


def pauses(asked: list[Any]) -> list[float]:
    return [effect.seconds for effect in asked if isinstance(effect, Pause)]


PASSING = [
    (reply(500, {"success": False, "message": "Server Error"}), ServerError),
    (reply(502, b"<html>Bad Gateway</html>"), ServerError),
    (reply(503, {"message": "Service Unavailable"}), ServerError),
    (reply(504, b""), ServerError),
    (no(408), ServerError),
    (reply(429, {"message": "Too Many Attempts."}), RateLimited),
    (reply(429, b"slow down", retry_after="1"), RateLimited),
    (TransportFailure("not sent", "refused"), ConnectionFailed),
    (TransportFailure("lost", "reset by peer"), ConnectionLost),
    (TransportFailure("broken", "bad gzip"), BadReply),
    (HTML, BadReply),
    (reply(200, b""), BadReply),
    (reply(200, b" \r\n"), BadReply),
    (reply(202, b""), BadReply),
    (reply(200, b'{"success": true, "data": [{"ident'), BadReply),
    (reply(200, b"null"), BadReply),
    (reply(200, b'"success"'), BadReply),
    (reply(200, [1]), BadReply),
    (reply(200, b"[" * 100_000), BadReply),
    (reply(200, b"1" * 5_000), BadReply),
]
FINAL = [
    (no(400), ValidationError),
    (no(401), AuthenticationError),
    (no(403), PermissionDenied),
    (no(404), NotFound),
    (no(405), ValidationError),
    (no(409), Conflict),
    (no(413), ValidationError),
    (no(422), ValidationError),
    (no(200), Refused),
    (reply(301, b"", location="https://elsewhere.example/api"), BadReply),
    (reply(302, b"", location="https://elsewhere.example/api"), BadReply),
    (reply(304, b""), BadReply),
    (reply(307, b"", location="/login"), BadReply),
    (reply(308, b"", location="http://[@host/"), BadReply),
    (TransportFailure("untrusted", "CERTIFICATE_VERIFY_FAILED"), ConnectionFailed),
    (TransportFailure("late", "no answer in time"), DeadlineExceeded),
]


@pytest.mark.parametrize(("bad", "kind"), PASSING)
def test_read_again(context: ExchangeContext, bad: Outcome, kind: type[LcnbError]) -> None:
    """A read whose first answer is a passing failure is sent again after a back-off, and succeeds."""
    asked, result = drive(READ, [bad, GOOD], context)
    assert isinstance(result, Envelope)
    assert [type(effect) for effect in asked] == [Transmit, Pause, Transmit]


@pytest.mark.parametrize(("bad", "kind"), PASSING)
def test_read_gives_up(context: ExchangeContext, bad: Outcome, kind: type[LcnbError]) -> None:
    """A passing failure that stays ends after MAX_TRIES in its typed error, inside the deadline."""
    asked, error = drive(READ, itertools.repeat(bad), context)
    assert type(error) is kind
    assert sent(asked) == error.tries == MAX_ATTEMPTS
    assert (error.method, error.path) == ("GET", "/instances")
    not_sent = kind is ConnectionFailed
    told = (
        f"tried {MAX_ATTEMPTS} times; nothing was sent."
        if not_sent
        else f"sent {MAX_ATTEMPTS} times; nothing was changed."
    )
    assert told in str(error)
    assert context.clock.now < context.deadline


@pytest.mark.parametrize(("bad", "kind"), FINAL)
def test_read_final(context: ExchangeContext, bad: Outcome, kind: type[LcnbError]) -> None:
    """What another try cannot cure is raised after one."""
    asked, error = drive(READ, [bad], context)
    assert type(error) is kind
    assert sent(asked) == error.tries == 1
    assert not pauses(asked)


@pytest.mark.parametrize("call", WRITES, ids=lambda call: call.effect)
@pytest.mark.parametrize(("bad", "kind"), PASSING + FINAL)
def test_write(context: ExchangeContext, call: Call, bad: Outcome, kind: type[LcnbError]) -> None:
    """A write is sent again only when it was certainly not sent or was throttled; all else is raised at once."""
    asked, result = drive(call, [bad, reply(200, {"success": True, "message": "Done."})], context)
    harmless = bad == TransportFailure("not sent", "refused") or (
        isinstance(bad, Response) and bad.status == 429
    )
    assert sent(asked) == (2 if harmless else 1)
    assert isinstance(result, Envelope) if harmless else type(result) is kind
    assert "nothing was changed" not in str(result)


@pytest.mark.parametrize("call", WRITES, ids=lambda call: call.effect)
@pytest.mark.parametrize("bad", [TransportFailure("not sent", "refused"), reply(429, b"")])
def test_write_gives_up(context: ExchangeContext, call: Call, bad: Outcome) -> None:
    """A write that could never be sent ends after MAX_TRIES too."""
    asked, error = drive(call, itertools.repeat(bad), context)
    assert isinstance(error, ConnectionFailed | RateLimited)
    assert sent(asked) == error.tries == MAX_ATTEMPTS


def test_mixed_failures(context: ExchangeContext) -> None:
    """Failures of different kinds count together, and the last one is told."""
    bad = [
        reply(503, b""),
        TransportFailure("lost", "reset"),
        HTML,
        reply(429, b""),
        reply(200, b""),
        reply(500, b""),
    ]
    asked, error = drive(READ, bad, context)
    assert type(error) is ServerError
    assert sent(asked) == MAX_ATTEMPTS == len(bad)


def test_backoff(context: ExchangeContext) -> None:
    """Waits double from BACKOFF_S up to BACKOFF_MAX_S, each shortened by chance to half at most."""
    asked, _ = drive(READ, itertools.repeat(reply(503, b"")), context)
    ceilings = [min(BACKOFF_MAX_S, BACKOFF_S * 2**number) for number in range(MAX_ATTEMPTS - 1)]
    assert all(top / 2 <= wait <= top for wait, top in zip(pauses(asked), ceilings, strict=True))


@pytest.mark.parametrize("takes", [1, 7, 19, 29.9, 59, 60, 500])
@pytest.mark.parametrize(
    "bad", [reply(500, b""), reply(429, b""), TransportFailure("lost", "timed out"), HTML]
)
def test_deadline_holds(context: ExchangeContext, bad: Outcome, takes: float) -> None:
    """However slow each try is, the whole call ends at the deadline at the latest, in a typed error."""
    asked, error = drive(READ, itertools.repeat(bad), context, takes)
    assert isinstance(error, ApiError | TransportError)
    assert context.clock.now <= context.deadline
    limits = [effect.limit_s for effect in asked if isinstance(effect, Transmit)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] == 60


@pytest.mark.parametrize(
    ("call", "timeout", "limit"),
    [(READ, 1, 1), (READ, 60, 60), (READ, 300, 300)]
    + [
        (call, timeout, max(timeout, WRITE_ATTEMPT_MIN_S))
        for call in WRITES
        for timeout in (0.5, 20, 60, 300)
    ],
)
def test_a1_attempt_limits(context: ExchangeContext, call: Call, timeout: float, limit: float) -> None:
    """One attempt of a read may take the whole deadline; one of a write that too, and at least 60 s, whatever is set."""
    context.deadline = context.clock.now + timeout
    (transmit,), _ = drive(call, [GOOD], context)
    assert transmit.limit_s == limit
    assert WRITE_ATTEMPT_MIN_S >= 60
    httpx_timeout = request_arguments(context.settings, transmit)["timeout"]
    assert httpx_timeout.read > limit
    assert httpx_timeout.write > limit


@pytest.mark.parametrize("call", [READ, *WRITES], ids=lambda call: call.effect)
@pytest.mark.parametrize("seconds", [21, 45, 59])
def test_a1_slow_answers_are_awaited(context: ExchangeContext, call: Call, seconds: float) -> None:
    """An answer that takes most of the deadline is taken; nothing is sent twice."""
    asked, result = drive(call, [GOOD], context, seconds)
    assert sent(asked) == 1
    assert isinstance(result, Envelope)


def test_deadline_passed(context: ExchangeContext) -> None:
    """A call whose deadline has passed is not sent; the error is a TimeoutError and names the setting."""
    context.clock.now = context.deadline
    asked, error = drive(READ, [GOOD], context)
    assert asked == []
    assert isinstance(error, DeadlineExceeded)
    assert isinstance(error, TimeoutError)
    assert "deadline of 60 s" in str(error)
    assert "timeout=" in str(error)


# --- 429 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 0.25, 0.5),
        ({"retry_after": "0"}, 0, 0.05),
        ({"retry_after": "7"}, 7, 7.05),
        ({"retry_after": "2.5"}, 2.5, 2.55),
        ({"retry_after": "-3"}, 0, 0.05),
        ({"retry_after": formatdate(time.time() - 60, usegmt=True)}, 0, 0.05),
        ({"retry_after": "soon"}, 0.25, 0.5),
        ({"retry_after": "nan"}, 0.25, 0.5),
        ({"x_ratelimit_reset": "12"}, 0.25, 0.5),
        ({"x_ratelimit_reset": "never"}, 0.25, 0.5),
    ],
)
def test_throttled(context: ExchangeContext, headers: dict[str, str], least: float, most: float) -> None:
    """After a 429 the wait is what it asks for and a little chance, or the usual back-off when it asks nothing."""
    asked, result = drive(READ, [reply(429, b"", **headers), GOOD], context)
    assert isinstance(result, Envelope)
    assert least <= pauses(asked)[0] <= most


@pytest.mark.parametrize(
    "header",
    [
        lambda when: {"retry_after": formatdate(when, usegmt=True)},
        lambda when: {"retry_after": format_datetime(datetime.fromtimestamp(when, UTC))},
        lambda when: {"x_ratelimit_reset": str(int(when))},
        lambda when: {"retry_after": "soon", "x_ratelimit_reset": str(int(when))},
    ],
)
def test_throttled_until(context: ExchangeContext, header: Callable[[float], dict[str, str]]) -> None:
    """A 429 may name the time of day instead: an HTTP date, or X-RateLimit-Reset."""
    bad = reply(429, b"", **header(time.time() + 20))
    asked, result = drive(READ, [bad, GOOD], context)
    assert isinstance(result, Envelope)
    assert 15 < pauses(asked)[0] < 21


@pytest.mark.parametrize("call", [READ, *WRITES], ids=lambda call: call.effect)
def test_throttled_too_long(context: ExchangeContext, call: Call) -> None:
    """A 429 whose wait would pass the deadline is raised at once, with the seconds it asks for."""
    asked, error = drive(call, [reply(429, {"message": "Too Many Attempts."}, retry_after="3600")], context)
    assert isinstance(error, RateLimited)
    assert sent(asked) == 1
    assert error.retry_after == 3600
    assert error.provider_message == "Too Many Attempts."


def test_throttled_without_a_word(context: ExchangeContext) -> None:
    """A 429 that names no time has `retry_after` None."""
    _, error = drive(READ, itertools.repeat(reply(429, b"")), context)
    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@given(text=st.text(max_size=30) | st.floats().map(str) | st.datetimes().map(format_datetime))
def test_retry_after_never_fails(text: str) -> None:
    """Whatever a header says, the wait is None or a number of seconds from 0."""
    for name in ("retry-after", "x-ratelimit-reset"):
        seconds = parse_retry_after({name: text}, time.time())
        assert seconds is None or 0 <= seconds < float("inf")


def test_limits(context: ExchangeContext) -> None:
    """What any answer tells of the rate limit is kept, and nonsense is not."""
    bad = reply(500, b"", x_ratelimit_limit="5000", x_ratelimit_remaining="41")
    good = Response(200, {"x-ratelimit-limit": "many", "x-ratelimit-remaining": "40"}, GOOD.body)
    drive(READ, [bad, good], context)
    assert context.limits == {"limit": 5000, "remaining": 40}


# --- what an answer means -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 203])
@pytest.mark.parametrize("flag", [True, "true", "True", 1, "1"])
def test_success(context: ExchangeContext, status: int, flag: Any) -> None:
    """Any 2xx whose `success` is true, in whatever spelling, is a success."""
    _, result = drive(READ, [reply(status, {"success": flag, "data": [1]})], context)
    assert isinstance(result, Envelope)
    assert result.data == [1]


@pytest.mark.parametrize("flag", [False, "false", 0, "0", "", "no", [], {}, 2])
def test_refused(context: ExchangeContext, flag: Any) -> None:
    """HTTP 200 with any other flag is a refusal, whatever data comes along."""
    _, error = drive(READ, [reply(200, {"success": flag, "data": [], "message": "Not now."})], context)
    assert type(error) is Refused
    assert (error.status, error.provider_message) == (200, "Not now.")
    assert "Not now." in str(error)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'{"data": [1]}', [1]),
        (b'{"data": null}', None),
        (b'{"success": null, "data": {}}', {}),
        (b'{"success": true}', None),
        (b'\xef\xbb\xbf{"success": true, "data": [1]}', [1]),
        (b'{"success": true, "data": ["caf\xe9"]}', ["caf\ufffd"]),
        (b'{"success": true, "data": ["S\xc3\xa3o Paulo"]}', ["São Paulo"]),
        (b' \n{"success": true, "data": [1]}\n ', [1]),
        (b"[]", []),
    ],
)
def test_odd_success(context: ExchangeContext, body: bytes, data: Any) -> None:
    """No flag but data, a byte order mark, a byte that is no UTF-8, PHP's empty list: the answer is still read."""
    _, result = drive(READ, [reply(200, body)], context)
    assert isinstance(result, Envelope)
    assert result.data == data


def test_neither_flag_nor_data(context: ExchangeContext) -> None:
    """An object with neither `success` nor `data` is not taken for an empty listing."""
    _, error = drive(READ, [reply(200, {"message": "Hello."})], context)
    assert type(error) is Refused


def test_empty_list_is_no_write(context: ExchangeContext) -> None:
    """PHP's empty list is an answer to a read alone."""
    _, error = drive(WRITES[0], [reply(200, b"[]")], context)
    assert type(error) is BadReply


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"success": False, "message": "No SSH Keys found."}, "No SSH Keys found."),
        ({"success": False, "error": "Unauthorized"}, "Unauthorized"),
        ({"success": False, "message": "Wrong.", "errors": {"label": ["Too long.", "Taken."], "plan": "Gone."}},
         "Wrong.; label: Too long.; label: Taken.; plan: Gone."),
        ({"success": False, "errors": {"password": "Too short."}}, "password: Too short."),
        ({"success": False, "message": "Wrong.", "errors": ["Too long.", "Wrong."]}, "Wrong.; Too long."),
        ({"success": False, "errors": "Too long."}, "Too long."),
        ({"success": False, "message": ["no", "text"]}, None),
        ({"success": False, "message": ""}, None),
        ({"success": False}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 422])
def test_provider_message(context: ExchangeContext, status: int, document: Any, message: str | None) -> None:
    """An error carries the provider's own words: message, error, and Laravel's errors by field."""
    _, error = drive(READ, [reply(status, document)], context)
    assert isinstance(error, ApiError)
    assert error.provider_message == message
    assert message is None or message.rstrip(".") in str(error)


def test_redirect_tells_host(context: ExchangeContext) -> None:
    """The error of a redirect names the other host and says that it was not followed."""
    _, error = drive(READ, [reply(302, b"", location="https://elsewhere.example/api?x=1")], context)
    assert "a redirect to elsewhere.example (HTTP 302); it was not followed" in str(error)


def test_errors_mask_token(context: ExchangeContext) -> None:
    """A token that the provider repeats is stars in the error, in its message and in an excerpt."""
    echoes = [reply(400, {"message": f"Bad token {TOKEN}"}), reply(400, TOKEN.encode()), reply(400, [TOKEN])]
    for bad in [*echoes, TransportFailure("untrusted", f"no {TOKEN}")]:
        _, error = drive(READ, [bad], context)
        assert TOKEN not in f"{error} {error!r} {vars(error)}"
        assert "*****" in str(error)


def test_answers_are_in_no_repr(context: ExchangeContext) -> None:
    """Answers hold initial passwords: an envelope does not show them, since tracebacks may print locals."""
    _, result = drive(READ, [reply(200, {"data": [{"initial_root_password": "Str0ng-Passw0rd"}]})], context)
    assert isinstance(result, Envelope)
    assert "Str0ng" in str(result.data)
    assert "Str0ng" not in repr(result)
    assert "Str0ng" not in repr(reply(200, b"Str0ng"))


BODIES = st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just(TOKEN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["success", "data", "message", "errors", "error", "password"]), inner, max_size=4
        )
    ),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["location", "retry-after", "content-type", "x-ratelimit-remaining"]),
    st.text(max_size=20),
)


@examples(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    call=st.sampled_from([READ, *WRITES]),
    status=st.integers(100, 999),
    headers=HEADERS,
    body=BODIES,
    tries=st.integers(1, MAX_ATTEMPTS),
)
def test_judge_never_fails(
    context: ExchangeContext, call: Call, status: int, headers: dict[str, str], body: bytes, tries: int
) -> None:
    """Whatever an answer is, it is an envelope, another try, or one of our errors, and never shows the token."""
    try:
        verdict = judge_outcome(call, Response(status, headers, body), tries, context)
    except LcnbError as error:
        assert TOKEN not in f"{error} {vars(error)}"
        return
    if isinstance(verdict, Retry):
        assert tries < MAX_ATTEMPTS
        assert 0 <= verdict.after_s < context.remaining()
        assert call.effect == "read" or status == 429
    else:
        assert 200 <= status < 300
