"""What is stored of a lease and of a lock, and the times of a lease."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from lcnb.errors import Locked

#: The folder of locks in a store, and of leases below it.
LOCK_FOLDER = "locks"
LEASE_FOLDER = f"{LOCK_FOLDER}/leases"
FORMAT = 1
#: The lease of the run that a process belongs to: `lcnb run` sets it for its notebook.
RUN_LEASE_VARIABLE = "LCNB_RUN_LEASE"


@dataclass(frozen=True)
class LeaseTimes:
    """The times of a lease in seconds."""

    #: From the last renewal until the takeover by another process: `proven_s` and this.
    margin_s: float
    #: The holder may start requests for so long after the moment at which it began its last renewal.
    proven_s: float = 60.0
    renew_s: float = 15.0
    #: The holder starts no request when less than this is left.
    reserve_s: float = 5.0
    #: A process that waits looks this often.
    poll_s: float = 5.0

    @property
    def lease_s(self) -> float:
        """How long a lease must be seen unchanged before another process may end it."""
        return self.proven_s + self.margin_s


@dataclass(frozen=True)
class LockName:
    """What is locked: the key of its record, without account or token in it, and the name that people know."""

    key: str
    what: str


@dataclass(frozen=True)
class _Record:
    """An object of JSON with a kind and a format."""

    def encode(self) -> bytes:
        """Return the bytes to store."""
        document = {"lcnb": self._kind(), "format": FORMAT, **asdict(self)}
        return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def decode(cls, key: str, data: bytes) -> Self:
        """Read stored bytes. Locked when they are not such a record: then nobody knows who holds the lock."""
        try:
            document: dict[str, Any] = json.loads(data)
            values = {each.name: document[each.name] for each in fields(cls)}
            problem = (
                ""
                if document["lcnb"] == cls._kind() and document["format"] == FORMAT
                else "another kind or format"
            )
            record = cls(**values)
        except (ValueError, KeyError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}"
        if not problem:
            return record
        raise Locked(
            f"the record {key} of a lock cannot be read ({problem}): a newer lcnb or another program wrote it. Nothing "
            "was sent. Update lcnb on this machine, or look at the record"
        )

    @classmethod
    def _kind(cls) -> str:
        return cls.__name__


@dataclass(frozen=True)
class LeaseRecord(_Record):
    """A lease: its holder, and the counter that each renewal raises."""

    id: str
    user: str
    host: str
    pid: int
    #: When it began, by the clock of the holder.
    since: str
    run: str | None
    lease_s: float
    #: The folder of lock files of its holder, and the start of its computer; equal only for processes that share both.
    place: str | None
    #: What it holds or waits for.
    locks: list[str] = field(default_factory=list)
    renewals: int = 0
    #: Another process has ended it.
    ended: bool = False
    #: The holder has ended, and these may still be changed by what it sent last, until `lease_s` seconds have passed.
    unsettled: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Where it is stored."""
        return lease_key(self.id)

    def holder(self) -> str:
        """Return the holder as people read it."""
        run = f", run {self.run}" if self.run else ""
        return f"{self.user} on {self.host} (process {self.pid}{run}) since {self.since}"


@dataclass(frozen=True)
class LockRecord(_Record):
    """A lock: the lease that holds it, unless that has ended, and the fencing token of that holder."""

    what: str
    fence: int = 0
    lease: str | None = None
    since: str | None = None


def lease_key(lease_id: str) -> str:
    """Return where a lease is stored."""
    return f"{LEASE_FOLDER}/{lease_id}.json"
