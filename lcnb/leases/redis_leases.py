"""Leases and locks in Redis, with the rules of an object store: whole objects, and writes on a condition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lcnb.errors import StoreConflict, StoreUnavailable
from lcnb.secret import Secret
from lcnb.stored_objects import ABSENT, ANY, Expected, StoredEntry, StoredObject
from lcnb.transport.redis_connection import RedisScript

_PREFIX = "lcnb:"
#: One script for all operations, so that each is atomic and says which start of the server performed it.
_SCRIPT = """
local info = redis.call('INFO', 'server')
local start = string.match(info, 'run_id:(%x+)')
local uptime = tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
local operation, expected, data, condition = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if operation == 'list' then
  return {start, uptime, 1, redis.call('SCAN', expected, 'MATCH', KEYS[1], 'COUNT', 1000)}
end
local row = redis.call('GET', KEYS[1]) or ''
local done = 1
if (ARGV[5] == '' and uptime < tonumber(ARGV[6])) or (ARGV[5] ~= '' and ARGV[5] ~= start) then
  return {start, uptime, 0, row}
end
if operation == 'delete' then
  redis.call('DEL', KEYS[1])
elseif operation == 'write' then
  if condition == 'any' or row == expected then
    redis.call('SET', KEYS[1], data)
  else
    done = 0
  end
end
return {start, uptime, done, row}
"""
_EPOCH = datetime.fromtimestamp(0, UTC)


class RedisLeaseStore:
    """The leases of all machines that use the same Redis.

    A Redis that starts again may have lost the newest leases. So a store object refuses to go on after a start of the
    server that it did not begin with. One that begins refuses until the server has run for `trusted_after_s` seconds:
    by then every lease from before has ended.
    """

    def __init__(self, url: Secret, trusted_after_s: float) -> None:
        self._script = RedisScript(url, _SCRIPT)
        self.url = self._script.address
        self._trusted_after_s = trusted_after_s
        self._start = b""

    def read(self, key: str) -> StoredObject | None:
        """Return the object; its version is its content. StoreUnavailable when Redis does not answer."""
        _, row = self._call("read", key)
        return _stored_object(row)

    def write(self, key: str, data: bytes, *, expected: Expected = ANY) -> str:
        """Write the object if it is the expected one. StoreConflict has the object that was found; StoreUnavailable."""
        condition = "any" if expected is ANY else "version"
        old = "" if expected in (ANY, ABSENT) else str(expected)
        done, row = self._call("write", key, old.encode(), data, condition)
        if not done and row != data:  # equal: an earlier attempt arrived, whose response was lost
            raise StoreConflict(
                "another write was first", field=key, current=_stored_object(row), not_done="written"
            )
        return data.decode()

    def delete(self, key: str) -> None:
        """Delete the object. StoreUnavailable when Redis does not answer."""
        self._call("delete", key)

    def list(self, prefix: str = "") -> list[StoredEntry]:
        """Return the objects below a folder, without size, version and time. StoreUnavailable as in `read`."""
        names, cursor = set(), b"0"
        while True:
            _, (cursor, keys) = self._call("list", f"{prefix}/*" if prefix else "*", cursor)
            names |= {each.decode().removeprefix(_PREFIX) for each in keys}
            if cursor == b"0":
                return [StoredEntry(each, 0, "", _EPOCH) for each in sorted(names)]

    def cancel_requests(self) -> None:
        """Do nothing: a request to Redis ends after REDIS_TIMEOUT_S."""

    def _call(
        self, operation: str, key: str, old: bytes = b"", data: bytes = b"", condition: str = ""
    ) -> tuple[bool, Any]:
        try:
            start, uptime, done, row = self._script.call(
                [f"{_PREFIX}{key}"],
                [operation, old, data, condition, self._start, str(self._trusted_after_s)],
            )
        except OSError as error:
            raise self._unavailable(str(error)) from None
        self._check_start(start, uptime, operation)
        return bool(done), row

    def _check_start(self, start: bytes, uptime_s: int, operation: str) -> None:
        if not self._start and operation != "list":
            if uptime_s < self._trusted_after_s:
                left_s = self._trusted_after_s - uptime_s
                raise self._unavailable(
                    f"it was started {uptime_s} s ago and may have lost locks that are still held; it can be used in "
                    f"{left_s:.0f} s"
                )
            self._start = start
        elif self._start and start != self._start:
            raise self._unavailable("it was started again and may have lost locks that are still held")

    def _unavailable(self, problem: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self.url}: {problem}", url=self.url)


def _stored_object(row: bytes) -> StoredObject | None:
    return StoredObject(row, row.decode(), _EPOCH) if row else None
