"""What a fault does: to the world that a request meets, and to the reply on its way back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from lcnb.sandbox.faults import FaultRule, Json

if TYPE_CHECKING:
    from lcnb.sandbox.http import Reply
    from lcnb.sandbox.world import World


# --- what a fault does ----------------------------------------------------------------------------------

#: What an agenda's entry changes when it is the last one of something that was begun.
_COMPLETION_FIELDS = {"built", "locked", "gone", "build"}


@contextmanager
def fault_conditions(rule: FaultRule | None, world: World) -> Iterator[None]:
    """The world as the request meets it: with a lagging listing, or with work that never ends."""
    if rule and rule.kind == "lag":
        since = world.now() - (rule.seconds or 0.0)
        with _hide_machines(
            [machine for machine in world.listed() if machine.get("made_at", -math.inf) > since]
        ):
            yield
    elif rule and rule.kind == "stuck":
        before = list(world._agenda)  # held, so that no new entry can have an old one's id
        yield
        known = {id(entry) for entry in before}
        world._agenda = [
            entry for entry in world._agenda if id(entry) in known or not _COMPLETION_FIELDS & entry[3].keys()
        ]
    else:
        yield


@contextmanager
def _hide_machines(machines: list[Json]) -> Iterator[None]:
    for machine in machines:
        machine["visible"] = False
    try:
        yield
    finally:
        for machine in machines:
            machine["visible"] = True


@contextmanager
def at_moment(world: World, at: float) -> Iterator[None]:
    """Let it be an earlier moment in the world: a late commit has happened then, whenever it is looked at."""
    clock = world.clock
    reading = clock() - (world.now() - at)
    world.clock = lambda: reading
    try:
        yield
    finally:
        world.clock = clock


def damage_reply(rule: FaultRule, reply: Reply) -> Reply:
    """What the client gets in place of the world's own reply."""
    return _DAMAGES[rule.kind](rule, reply) if rule.kind in _DAMAGES else reply


def _drop_reply(_: FaultRule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="lost")


def _reset_connection(_: FaultRule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="reset")


def _stall_reply(rule: FaultRule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="stall", seconds=rule.seconds or 0.0)


def _truncate_reply(_: FaultRule, reply: Reply) -> Reply:
    # Of an empty body a byte is promised too, or nothing would be missing.
    headers = {**reply.headers, "Content-Length": str(max(1, len(reply.body)))}
    return replace(reply, body=reply.body[: len(reply.body) // 2], headers=headers, fate="truncated")


def _error_reply(rule: FaultRule, reply: Reply) -> Reply:
    body = json.dumps({"success": False, "message": _status_phrase(rule.status or 503)})
    return _replace_reply(reply, rule.status or 503, "application/json", body)


def _html_reply(rule: FaultRule, reply: Reply) -> Reply:
    status = rule.status or 502
    title = "Maintenance" if status == 200 else f"{status} {_status_phrase(status)}"
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return _replace_reply(reply, status, "text/html; charset=utf-8", page)


def _throttle_reply(rule: FaultRule, reply: Reply) -> Reply:
    told = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    return _replace_reply(reply, 429, "application/json", '{"message": "Too Many Attempts."}', told)


def _replace_reply(
    reply: Reply, status: int, kind: str, text: str, told: Mapping[str, str] | None = None
) -> Reply:
    return replace(reply, status=status, body=text.encode(), headers={"Content-Type": kind, **(told or {})})


def _status_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Server Error"


#: Those that touch the reply; lag and stuck leave it as the world gave it.
_DAMAGES: dict[str, Callable[[FaultRule, Reply], Reply]] = {
    "lose-before": _drop_reply,
    "lose-after": _drop_reply,
    "late": _drop_reply,
    "error-before": _error_reply,
    "error-after": _error_reply,
    "reset": _reset_connection,
    "truncate": _truncate_reply,
    "stall": _stall_reply,
    "html": _html_reply,
    "throttle": _throttle_reply,
}
