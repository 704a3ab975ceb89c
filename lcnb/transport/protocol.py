"""The protocol of a call, without any I/O: pace, send, judge the outcome, retry or raise.

`exchange_call` is the protocol of one call as a generator: it yields effects (`Transmit`, `Pause`, `LocalWork`) and
receives their outcomes, so tests drive it by hand with a virtual clock. `judge_outcome` only decides. `next_step`
resumes any flow; the drivers in `sync` and `aio` perform what it returns.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from lcnb.api.calls import Call, attempt_limit_s
from lcnb.api.flows import Envelope, Flow, GuardedCall, LocalWork, Pause
from lcnb.api.key_pairs import find_key_pair
from lcnb.api.raw_records import split_records
from lcnb.config import check_writable
from lcnb.errors import BadReply, LcnbError, RateLimited, Refused, ServerError, TransportError
from lcnb.transport.budget import Budget
from lcnb.transport.effects import (
    ExchangeContext,
    LowFlow,
    Outcome,
    Raised,
    Response,
    Returned,
    T,
    Transmit,
    TransportFailure,
)
from lcnb.transport.rate_headers import parse_limits, parse_retry_after, seconds_until_reset
from lcnb.transport.request_errors import (
    api_error,
    bad_reply_error,
    base_url_advice,
    budget_error,
    deadline_error,
    error_class,
    masked_secrets,
    raise_failure,
)
from lcnb.transport.response_body import body_excerpt, parse_json

logger = logging.getLogger("lcnb.transport")

MAX_ATTEMPTS = 6
BACKOFF_S, BACKOFF_MAX_S = 0.5, 8.0
#: Seconds for which a 429 without a time stops every process that uses the token.
DEFAULT_RETRY_AFTER_S = 2.0

Effect = TypeVar("Effect")


class Retry(NamedTuple):
    """The verdict to send a call again, after a wait."""

    after_s: float
    why: str


# --- flows ----------------------------------------------------------------------------------------------


def next_step(flow: Generator[Effect, Any, T], answer: Any = None) -> Effect | Returned[T]:
    """Resume a flow with the answer to its last effect, and return what to do next.

    That is an effect to perform (send a request, wait, run flows together, work locally), or `Returned`. A `Raised`
    answer is raised inside the flow; an exception that the flow does not handle is raised here.
    """
    try:
        return flow.throw(answer.error) if isinstance(answer, Raised) else flow.send(answer)
    except StopIteration as end:
        return Returned(end.value)
    finally:
        del answer  # an error must not keep this frame alive by its traceback


def exchange_flow(flow: Flow[T], context: ExchangeContext) -> LowFlow[T]:
    """Turn a flow of calls into a flow of single transmissions: `exchange_call` sends each call."""
    answer: Any = None
    try:
        while not isinstance(step := next_step(flow, answer), Returned):
            try:
                if isinstance(step, Call):
                    answer = yield from exchange_call(step, context.for_call())
                elif isinstance(step, GuardedCall):
                    answer = yield from exchange_call(step.call, context.for_call(), step.check)
                else:
                    answer = yield step
            except Exception as error:
                answer = Raised(error)
        return step.result
    finally:
        flow.close()


def exchange_call(
    call: Call, context: ExchangeContext, check: Callable[[], float] | None = None
) -> LowFlow[Envelope]:
    """Send a call, and again where that is safe and time allows, until it has a result or an error.

    In a read-only account every other call than a read raises ReadOnly. `check` is that of a `GuardedCall`.
    """
    if not call.only_reads:
        check_writable(context.settings)  # the only place that every write passes
    attempts = 0
    while True:
        if context.budget is not None:
            yield from _wait_for_permit(call, context.budget, attempts, context)
        remaining = context.remaining()
        if remaining <= 0:
            raise deadline_error(call, attempts, context)
        attempts += 1
        started = context.clock()
        outcome: Outcome = yield Transmit(call, attempt_limit_s(call, remaining), check)
        _log_outcome(call, outcome, attempts, context.clock() - started)
        if isinstance(outcome, Response):
            context.limits.update(parse_limits(outcome.headers))
            if context.budget is not None:
                yield LocalWork("budget", partial(_report_to_budget, context.budget, outcome))
        verdict = judge_outcome(call, outcome, attempts, context)
        if isinstance(verdict, Envelope):
            return verdict
        logger.info("%s %s: %s; retry in %.1f s", call.method, call.path, verdict.why, verdict.after_s)
        yield Pause(verdict.after_s, verdict.why)


def _log_outcome(call: Call, outcome: Outcome, attempts: int, seconds: float) -> None:
    result = str(outcome.status) if isinstance(outcome, Response) else outcome.kind
    facts = {
        "method": call.method,
        "path": call.path,
        "result": result,
        "tries": attempts,
        "seconds": seconds,
    }
    logger.debug(
        "%s %s → %s in %.0f ms (attempt %d)",
        call.method,
        call.path,
        result,
        seconds * 1000,
        attempts,
        extra={"lcnb": facts},
    )


# --- the rate budget ------------------------------------------------------------------------------------


def _wait_for_permit(call: Call, budget: Budget, attempts: int, context: ExchangeContext) -> LowFlow[None]:
    """Wait for a permit of the shared budget; raise RateLimited if none comes before the deadline."""
    has_waited = False
    while True:
        take = partial(budget.take, max(0.0, context.remaining()), has_waited=has_waited)
        wait_s = yield LocalWork("permit", take)
        if wait_s == 0.0:
            return
        if wait_s is None:
            raise budget_error(call, attempts, budget.status().wait_s)
        has_waited = True
        yield Pause(wait_s, "waiting for the rate budget")


def _report_to_budget(budget: Budget, response: Response) -> None:
    """Record what a response says about the rate limit, for every process that uses this token."""
    limits = parse_limits(response.headers)
    now = time.time()
    retry_after_s = None
    if response.status == 429:
        retry_after_s = parse_retry_after(response.headers, now)
        if retry_after_s is None:
            retry_after_s = DEFAULT_RETRY_AFTER_S
    budget.record_response(
        limits.get("limit"),
        limits.get("remaining"),
        seconds_until_reset(response.headers, now),
        retry_after_s,
    )


# --- judging an outcome ---------------------------------------------------------------------------------


def judge_outcome(call: Call, outcome: Outcome, attempts: int, context: ExchangeContext) -> Envelope | Retry:
    """Return the result of a call, or the decision to retry it; raise a typed error if neither is possible."""
    try:
        return _accept_outcome(call, outcome, attempts, context)
    except (ServerError, RateLimited, TransportError) as error:
        after_s = _retry_delay_s(call, outcome, attempts, context, error)
        if after_s is None:
            raise
        return Retry(after_s, str(error).partition(": ")[2].partition(". ")[0])


def _retry_delay_s(
    call: Call, outcome: Outcome, attempts: int, context: ExchangeContext, error: LcnbError
) -> float | None:
    """Return the seconds until the next attempt, or None if there must be no other attempt."""
    if attempts >= MAX_ATTEMPTS or not _can_succeed_later(outcome, error):
        return None
    if call.effect != "read" and not _is_safe_to_repeat(outcome):
        return None
    ceiling = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** (attempts - 1))
    after_s = ceiling * (0.5 + 0.5 * context.rng.random())
    if isinstance(error, RateLimited) and error.retry_after is not None:
        # The jitter keeps clients that got the same Retry-After from retrying in the same instant.
        after_s = error.retry_after + after_s * 0.1
    return after_s if after_s < context.remaining() else None


def _can_succeed_later(outcome: Outcome, error: LcnbError) -> bool:
    if isinstance(outcome, TransportFailure):
        return outcome.kind not in ("untrusted", "denied", "late")
    is_redirect = 300 <= outcome.status < 400
    return not (is_redirect and isinstance(error, BadReply))


def _is_safe_to_repeat(outcome: Outcome) -> bool:
    """Whether a write certainly had no effect: it was not sent, or it was throttled before it was processed."""
    if isinstance(outcome, TransportFailure):
        return outcome.kind == "not sent"
    return outcome.status == 429


def _accept_outcome(call: Call, outcome: Outcome, attempts: int, context: ExchangeContext) -> Envelope:
    """Return the envelope of a success; raise the typed error of anything else."""
    if isinstance(outcome, TransportFailure):
        raise_failure(call, outcome, attempts, context)
    if 200 <= outcome.status < 300:
        envelope = Envelope(_read_document(call, outcome, attempts, context))
        verdict = _read_verdict(envelope.document)
        if verdict is None and call.effect == "create" and find_key_pair(envelope.document) is not None:
            return envelope  # it proves that the pair was made, and holds what no other response does
        if verdict is None:  # a refusal is certain not to have changed anything, and this is not
            raise bad_reply_error(
                call, attempts, f"HTTP {outcome.status} that reports neither success nor failure"
            )
        if not verdict:
            raise api_error(Refused, call, outcome, attempts, context)
        return envelope
    if 300 <= outcome.status < 400:
        raise bad_reply_error(
            call, attempts, f"a redirect to {_redirect_host(outcome)} (HTTP {outcome.status}); it was not followed, "
            "since that would send the token there", base_url_advice(context.settings),
        )  # fmt: skip
    raise api_error(error_class(outcome.status), call, outcome, attempts, context)


def _redirect_host(redirect: Response) -> str:
    try:
        return urlsplit(redirect.headers.get("location", "")).netloc or "another page"
    except ValueError:
        return "another page"


#: How responses write success and failure; PHP writes false as an empty text.
_VERDICTS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


def _read_verdict(document: Mapping[str, Any]) -> bool | None:
    """Return whether a response reports success or failure; None if it reports neither."""
    success = document.get("success")
    if success is not None:
        return _VERDICTS.get(str(success).lower())
    if "data" in document:
        return True  # some responses leave out the flag, but hold the data
    return False if document.get("error") or document.get("errors") else None


def _read_document(
    call: Call, response: Response, attempts: int, context: ExchangeContext
) -> Mapping[str, Any]:
    """Return the JSON object of a successful response; raise BadReply if there is none.

    No variable holds the body: a traceback may print the variables of this frame.
    """
    if not response.body.strip():
        if call.may_be_empty:
            return {"success": True}
        raise bad_reply_error(call, attempts, f"HTTP {response.status} with an empty body")
    # Whether an empty list means "no records" depends on the rest of the document, which `split_records` leaves out.
    if call.as_rows and (split := split_records(response.body)) is not None and not split["data"].empty:
        return split
    document = parse_json(response.body)
    if document == [] and call.effect == "read":
        return {"success": True, "data": []}  # PHP writes an empty object as an empty list
    if isinstance(document, dict):
        return document
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    excerpt = body_excerpt(response.body, masked_secrets(call, context))
    raise bad_reply_error(
        call,
        attempts,
        f"HTTP {response.status} with {kind}, not the API's JSON: {excerpt}",
        f"{base_url_advice(context.settings)} If it is right, try later.",
    )
