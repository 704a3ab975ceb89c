"""What an object store holds, and what one attempt of any kind of store returns or raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

_KEY = re.compile(r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\\]+(?:/(?!\.{1,2}(?:/|$))[^/\x00-\x1f\\]+)*")


def is_key(text: str) -> bool:
    """Whether a text is the key of an object: names separated by single slashes, none of them `.` or `..`.

    >>> is_key("runs/a.json"), is_key("../a"), is_key("/a"), is_key("a//b")
    (True, False, False, False)
    """
    return bool(_KEY.fullmatch(text))


class Condition(Enum):
    """What a write expects when it is not a version."""

    ANY = "any"
    ABSENT = "absent"


#: Write whatever is there.
ANY = Condition.ANY
#: Write only when there is no object of this key.
ABSENT = Condition.ABSENT
Expected = Condition | str
#: A larger object is uploaded in parts of this size, each with the time limit of a request. S3 takes no smaller ones.
PART_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class StoreLimits:
    """Seconds: to connect, between two parts of a response, for one request, and for an operation with its retries."""

    connect_s: float = 5.0
    read_s: float = 15.0
    request_s: float = 30.0
    total_s: float = 60.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0


@dataclass(frozen=True)
class StoredObject:
    """An object that was read: its bytes, its version, and when the store says that it was written."""

    data: bytes = field(repr=False)
    version: str
    modified: datetime


@dataclass(frozen=True)
class StoredEntry:
    """A line of a listing. `size` is in bytes."""

    key: str
    size: int
    version: str
    modified: datetime


class Backend(Protocol):
    """What one kind of store does in one attempt. It raises AttemptFailed and AttemptConflict."""

    def read(self, key: str) -> StoredObject | None: ...
    def write(self, key: str, data: bytes, expected: Expected) -> str: ...
    def delete(self, key: str) -> None: ...
    def list(self, prefix: str) -> list[StoredEntry]: ...
    def cancel_requests(self) -> None: ...


class AttemptFailed(Exception):
    """One attempt of a backend failed. `permanent` says that another attempt would fail as well.

    Such a write has not arrived, unless `may_have_arrived`.
    """

    def __init__(self, problem: str, *, permanent: bool = False, may_have_arrived: bool = False) -> None:
        super().__init__(problem)
        self.permanent = permanent
        self.may_have_arrived = may_have_arrived or not permanent


class AttemptConflict(Exception):
    """One attempt found another object than it expected."""
