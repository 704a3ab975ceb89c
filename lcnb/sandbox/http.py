"""A request and a reply of the sandbox, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

MAX_BODY_BYTES = 1_048_576

#: What happens to a reply: sent (""), connection closed without it, TCP reset, body cut, no reply for long, late reply.
Fate = Literal["", "lost", "reset", "truncated", "stall", "slow"]


@dataclass(frozen=True)
class Request:
    """A request as it arrived. Header names are in lower case; `query` is the raw text of the URL."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True)
class Reply:
    """A reply and its fate. `status` is 0 when nothing is sent. `seconds` (real time) is for `stall` and `slow`."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fate: Fate = ""
    seconds: float = 0.0
    #: For a slow reply: returns the reply itself, to be called when `seconds` have passed.
    later: Callable[[], Reply] | None = field(default=None, repr=False, compare=False)


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with a JSON body."""
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Reply(status, text, {"Content-Type": "application/json", **(headers or {})})
