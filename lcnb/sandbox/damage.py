"""What a fault does: to the world that a request meets, and to the reply on its way back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from lcnb.sandbox.faults import Json, Rule

if TYPE_CHECKING:
    from lcnb.sandbox.http import Reply
    from lcnb.sandbox.world import World


# --- what a fault does ----------------------------------------------------------------------------------

#: What an agenda's entry changes when it is the last one of something that was begun.
_ENDS = {"built", "locked", "gone", "build"}


@contextmanager
def circumstances(rule: Rule | None, world: World) -> Iterator[None]:
    """The world as the request meets it: with a lagging listing, or with work that never ends."""
    if rule and rule.kind == "lag":
        since = world.now() - (rule.seconds or 0.0)
        with _hidden([machine for machine in world.listed() if machine.get("made_at", -math.inf) > since]):
            yield
    elif rule and rule.kind == "stuck":
        before = list(world._agenda)  # held, so that no new entry can have an old one's id
        yield
        known = {id(entry) for entry in before}
        world._agenda = [
            entry for entry in world._agenda if id(entry) in known or not _ENDS & entry[3].keys()
        ]
    else:
        yield


@contextmanager
def _hidden(machines: list[Json]) -> Iterator[None]:
    for machine in machines:
        machine["visible"] = False
    try:
        yield
    finally:
        for machine in machines:
            machine["visible"] = True


@contextmanager
def moment(world: World, at: float) -> Iterator[None]:
    """Let it be an earlier moment in the world: a late commit has happened then, whenever it is looked at."""
    clock = world.clock
    reading = clock() - (world.now() - at)
    world.clock = lambda: reading
    try:
        yield
    finally:
        world.clock = clock


def spoilt(rule: Rule, reply: Reply) -> Reply:
    """What the client gets in place of the world's own reply."""
    return _SPOILERS[rule.kind](rule, reply) if rule.kind in _SPOILERS else reply


def _lost(_: Rule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="lost")


def _reset(_: Rule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="reset")


def _stalled(rule: Rule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="stall", seconds=rule.seconds or 0.0)


def _truncated(_: Rule, reply: Reply) -> Reply:
    # Of an empty body a byte is promised too, or nothing would be missing.
    headers = {**reply.headers, "Content-Length": str(max(1, len(reply.body)))}
    return replace(reply, body=reply.body[: len(reply.body) // 2], headers=headers, fate="truncated")


def _error(rule: Rule, reply: Reply) -> Reply:
    body = json.dumps({"success": False, "message": _phrase(rule.status or 503)})
    return _said(reply, rule.status or 503, "application/json", body)


def _page(rule: Rule, reply: Reply) -> Reply:
    status = rule.status or 502
    title = "Maintenance" if status == 200 else f"{status} {_phrase(status)}"
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return _said(reply, status, "text/html; charset=utf-8", page)


def _throttled(rule: Rule, reply: Reply) -> Reply:
    told = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    return _said(reply, 429, "application/json", '{"message": "Too Many Attempts."}', told)


def _said(reply: Reply, status: int, kind: str, text: str, told: Mapping[str, str] | None = None) -> Reply:
    return replace(reply, status=status, body=text.encode(), headers={"Content-Type": kind, **(told or {})})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Server Error"


#: Those that touch the reply; lag and stuck leave it as the world gave it.
_SPOILERS: dict[str, Callable[[Rule, Reply], Reply]] = {
    "lose-before": _lost,
    "lose-after": _lost,
    "late": _lost,
    "error-before": _error,
    "error-after": _error,
    "reset": _reset,
    "truncate": _truncated,
    "stall": _stalled,
    "html": _page,
    "throttle": _throttled,
}
