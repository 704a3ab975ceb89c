"""The rate budget in Redis, shared by several machines."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from lcnb.secret import Secret, mask_secrets
from lcnb.transport.budget_stores import StateChange, T
from lcnb.transport.rate_limit import adjust_clock, decode_state, encode_state

#: Seconds that one permit may wait for Redis.
REDIS_TIMEOUT_S = 1.0

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
        self.stored_in = _redis_address(url)
        self._url = url
        self._key = f"lcnb:budget:{key}"
        self._script: Any = None

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
        if self._script is None:
            self._script = _register_script(self._url)
        import redis

        try:
            done, text, seconds, micros = self._script(keys=[self._key], args=[old, new])
        except (redis.RedisError, ValueError, TypeError) as error:
            raise self._redis_error(error) from None
        return bool(done), text, int(seconds) + int(micros) / 1e6

    def _redis_error(self, error: Exception) -> OSError:
        if not isinstance(error, ValueError | TypeError):  # their texts may hold a part of the URL
            with contextlib.suppress(ValueError):
                password = Secret(unquote(urlsplit(self._url.reveal()).password or ""))
                return OSError(f"{type(error).__name__}: {mask_secrets(str(error), self._url, password)}")
        return OSError(type(error).__name__)


def _register_script(url: Secret) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise OSError("the package redis is not installed; pip install 'lcnb[redis]'") from None
    retry = Retry(NoBackoff(), 1)  # one retry, for a connection that the server has closed meanwhile
    limits = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    try:
        return redis.Redis.from_url(url.reveal(), retry=retry, **limits).register_script(_COMPARE_AND_SET)
    except (ValueError, TypeError):  # their texts may hold a part of the URL
        raise OSError("its URL is not one of Redis; example: redis://host:6379/0") from None


def _redis_address(url: Secret) -> str:
    """Return the host and port of the URL, unless a / or # in an unquoted password could end up in them."""
    try:
        parts = urlsplit(url.reveal())
        host = parts.hostname if "@" not in parts.path + parts.query + parts.fragment else None
        return f"Redis at {host}:{parts.port or 6379}" if host else "Redis"
    except ValueError:
        return "Redis"
