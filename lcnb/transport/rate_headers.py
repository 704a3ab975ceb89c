"""Read the rate headers of a response: `Retry-After` and `X-RateLimit-*`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

#: Headers that ask for a longer wait than a day are cut to it.
_MAX_WAIT_S = 86_400.0


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a 429 asks to wait, or None if it names no time.

    `Retry-After` holds seconds or a date; without it `X-RateLimit-Reset` holds a time. `now` is Unix time.

    >>> parse_retry_after({"retry-after": "7"}, now=0.0)
    7.0
    """
    text = headers.get("retry-after", "").strip()
    with contextlib.suppress(ValueError):
        seconds = float(text)
        is_nan = seconds != seconds
        return None if is_nan else max(0.0, min(seconds, _MAX_WAIT_S))
    # An OverflowError is for a year that no clock has.
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, min(parsedate_to_datetime(text).timestamp() - now, _MAX_WAIT_S))
    return seconds_until_reset(headers, now)


def seconds_until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until the rate window ends, or None if `X-RateLimit-Reset` names no time within a day."""
    with contextlib.suppress(ValueError):
        reset = float(headers.get("x-ratelimit-reset", ""))
        if now < reset < now + _MAX_WAIT_S:
            return reset - now
    return None


def parse_limits(headers: Mapping[str, str]) -> dict[str, int]:
    """Return the reported `limit` and `remaining` calls, as far as the headers hold numbers."""
    found = {}
    for name in ("limit", "remaining"):
        with contextlib.suppress(ValueError):
            found[name] = int(headers.get(f"x-ratelimit-{name}", ""))
    return found
