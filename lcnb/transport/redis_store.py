"""The rate budget in Redis, shared by several machines."""

from __future__ import annotations

import time

from lcnb.secret import Secret
from lcnb.transport.budget_stores import StateChange, T
from lcnb.transport.rate_limit import adjust_clock, decode_state, encode_state
from lcnb.transport.redis_connection import REDIS_TIMEOUT_S, RedisScript

#: Sets the state if nobody changed it since it was read; without a new state, only reads. Returns the server's time.
_COMPARE_AND_SET = """
local now = redis.call('TIME')
local row = redis.call('GET', KEYS[1]) or ''
local done = 0
if ARGV[2] ~= '' and row == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', 172800)
  done = 1
end
return {done, row, now[1], now[2]}
"""


class RedisBudgetStore:
    """The budget of all machines that use the same Redis.

    The rule stays in Python, in one place: read the state, compute the new one, set it unless someone was faster.
    """

    def __init__(self, url: Secret, key: str) -> None:
        self._script = RedisScript(url, _COMPARE_AND_SET)
        self.stored_in = self._script.address
        self._key = f"lcnb:budget:{key}"

    def change(self, update: StateChange[T]) -> T:
        """Change the state by compare and set; raise TimeoutError if others always win."""
        give_up = time.monotonic() + REDIS_TIMEOUT_S
        _, text, now = self._compare_and_set(b"", b"")
        while True:
            state, at = adjust_clock(decode_state(text), now)
            new, result = update(state, at)
            if new is state:
                return result
            done, text, now = self._compare_and_set(text, encode_state(new))
            if done:
                return result
            if time.monotonic() >= give_up:
                raise TimeoutError("other processes keep changing the rate budget")

    def _compare_and_set(self, old: bytes, new: bytes) -> tuple[bool, bytes, float]:
        done, text, seconds, micros = self._script.call([self._key], [old, new])
        return bool(done), text, int(seconds) + int(micros) / 1e6
