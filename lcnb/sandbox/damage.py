"""The effects of a fault: on the world while a request is executed, and on the reply."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lcnb.sandbox.faults import FaultRule, Json

if TYPE_CHECKING:
    from lcnb.sandbox.http import Reply
    from lcnb.sandbox.world import World

#: The fields that the last agenda entry of an action changes.
_COMPLETION_FIELDS = {"built", "locked", "gone", "build"}


@contextmanager
def fault_conditions(rule: FaultRule | None, world: World) -> Iterator[None]:
    """Change the world while a request is executed: a lagging listing, or work that never ends."""
    if rule and rule.kind == "lag":
        since = world.now() - (rule.seconds or 0.0)
        recent = [machine for machine in world.listed() if machine.get("made_at", -math.inf) > since]
        with _hide_machines(recent):
            yield
    elif rule and rule.kind == "stuck":
        before = list(world._agenda)  # kept alive, so that no new entry can have the id of an old one
        yield
        _drop_completions(world, before)
    else:
        yield


def _drop_completions(world: World, before: list[list[Any]]) -> None:
    """Remove the new agenda entries that would complete an action."""
    known = {id(entry) for entry in before}
    world._agenda = [
        entry for entry in world._agenda if id(entry) in known or not _COMPLETION_FIELDS & entry[3].keys()
    ]


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
    """Set the world's clock to an earlier moment: a late write takes effect at its time, whenever it is executed."""
    clock = world.clock
    reading = clock() - (world.now() - at)
    world.clock = lambda: reading
    try:
        yield
    finally:
        world.clock = clock


def damage_reply(rule: FaultRule, reply: Reply) -> Reply:
    """Return what the client receives instead of the world's reply."""
    return _DAMAGES[rule.kind](rule, reply) if rule.kind in _DAMAGES else reply


def _drop_reply(_: FaultRule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="lost")


def _reset_connection(_: FaultRule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="reset")


def _stall_reply(rule: FaultRule, reply: Reply) -> Reply:
    return replace(reply, status=0, body=b"", headers={}, fate="stall", seconds=rule.seconds or 0.0)


def _truncate_reply(_: FaultRule, reply: Reply) -> Reply:
    # For an empty body one byte is announced too, otherwise nothing would be missing.
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
    headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    return _replace_reply(reply, 429, "application/json", '{"message": "Too Many Attempts."}', headers)


def _replace_reply(
    reply: Reply, status: int, kind: str, text: str, headers: Mapping[str, str] | None = None
) -> Reply:
    return replace(
        reply, status=status, body=text.encode(), headers={"Content-Type": kind, **(headers or {})}
    )


def _status_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Server Error"


#: The faults that change the reply; lag and stuck do not.
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
