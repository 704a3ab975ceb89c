"""The connection to Redis: one Lua script, with errors that show no password."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from lcnb.secret import Secret, mask_secrets

#: Seconds that one call may wait for Redis.
REDIS_TIMEOUT_S = 1.0


class RedisScript:
    """A Lua script on a Redis server. Nothing is connected before its first call; safe in threads."""

    def __init__(self, url: Secret, source: str) -> None:
        #: The server for people, without user and password.
        self.address = redis_address(url)
        self._url = url
        self._source = source
        self._script: Any = None

    def call(self, keys: Sequence[str], args: Sequence[bytes | str]) -> Any:
        """Return what the script returns. OSError when Redis, its URL or its package cannot be used."""
        if self._script is None:
            self._script = _register_script(self._url, self._source)
        import redis

        try:
            return self._script(keys=list(keys), args=list(args))
        except (redis.RedisError, ValueError, TypeError) as error:
            raise self._masked_error(error) from None

    def _masked_error(self, error: Exception) -> OSError:
        if not isinstance(error, ValueError | TypeError):  # their texts may hold a part of the URL
            with contextlib.suppress(ValueError):
                password = Secret(unquote(urlsplit(self._url.reveal()).password or ""))
                return OSError(f"{type(error).__name__}: {mask_secrets(str(error), self._url, password)}")
        return OSError(type(error).__name__)


def _register_script(url: Secret, source: str) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise OSError("the package redis is not installed; pip install 'lcnb[redis]'") from None
    retry = Retry(NoBackoff(), 1)  # one retry, for a connection that the server has closed meanwhile
    limits = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    try:
        return redis.Redis.from_url(url.reveal(), retry=retry, **limits).register_script(source)
    except (ValueError, TypeError):  # their texts may hold a part of the URL
        raise OSError("its URL is not one of Redis; example: redis://host:6379/0") from None


def redis_address(url: Secret) -> str:
    """Return the host and port of the URL, unless a / or # in an unquoted password could end up in them."""
    try:
        parts = urlsplit(url.reveal())
        host = parts.hostname if "@" not in parts.path + parts.query + parts.fragment else None
        return f"Redis at {host}:{parts.port or 6379}" if host else "Redis"
    except ValueError:
        return "Redis"
