"""A request and a reply of the sandbox, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    pass

Json = dict[str, Any]

MAX_BODY_BYTES = 1_048_576

#: What becomes of a reply on its way: nothing; closed without it; TCP reset; cut; not answered for long; answered late.
Fate = Literal["", "lost", "reset", "truncated", "stall", "slow"]


@dataclass(frozen=True)
class Request:
    """What arrived. Header names in lower case; `query` as it stands in the URL."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True)
class Reply:
    """What is answered, and its fate; `status` 0 where nothing is. `seconds` (real ones) is for `stall` and `slow`."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    fate: Fate = ""
    seconds: float = 0.0
    #: Of a slow one: gives the reply itself, once `seconds` have passed.
    later: Callable[[], Reply] | None = field(default=None, repr=False, compare=False)


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Reply(status, text, {"Content-Type": "application/json", **(headers or {})})
