"""The base URL of the API: the default, and the check of one that a user sets.

Only HTTPS is accepted, and plain HTTP to a loopback address: the token must not cross a network unencrypted.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from lcnb.errors import ConfigError

#: The provider's base URL [S, go, node, mcp]; a later page names https://api.letscloud.io.
DEFAULT_BASE_URL = "https://core.letscloud.io/api"
#: The source of a base URL that nobody has set.
DEFAULT_SOURCE = "the default"
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_EXAMPLE = f"Example: {DEFAULT_BASE_URL}."


def checked_base_url(url: str, source: str) -> str:
    """Return the base URL in its normal form: scheme and host in lower case, no usual port, no superfluous slashes.

    The journal and the locks recognise an account by it.

    Args:
        url: The URL as a user wrote it.
        source: Where it was set, for the message.

    Raises ConfigError for a text that is not a URL of a host and a path, and for plain HTTP to another machine.

    >>> checked_base_url("HTTPS://core.letscloud.io/api/", "the base_url argument")
    'https://core.letscloud.io/api'
    """
    text = str(url).strip()
    if any(mark in text for mark in "@?#"):  # the URL is not shown, because it may contain a password
        raise ConfigError(
            f"the base URL from {source} has more than a host and a path: a user, a password, a query or a fragment. "
            "It is not shown, because it may contain a secret",
            cure=_EXAMPLE,
            not_done="sent",
        )
    parts = _split_url(text)
    if parts is None:
        looks_like_host = re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", text)
        suggestion = f"Did you mean https://{text}? " if looks_like_host else ""
        raise ConfigError(
            f"base URL {url!r} (from {source}) is not a URL", cure=f"{suggestion}{_EXAMPLE}", not_done="sent"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"base URL {url!r} (from {source}) is plain HTTP: the token would cross the network unencrypted",
            cure="Use https://. Plain HTTP is accepted for a loopback address (127.0.0.1) only.",
            not_done="sent",
        )
    path = re.sub("/{2,}", "/", parts.path).rstrip("/")
    host = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme]).removesuffix(":")
    return f"{parts.scheme}://{host}{path}"


def _split_url(text: str) -> SplitResult | None:
    """The parts of an HTTP URL; None for another text."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # a wrong port raises ValueError here
    except ValueError:
        return None
    is_readable = text.isprintable() and not any(mark in text for mark in " \\\"'<>")
    return parts if parts.scheme in ("http", "https") and host and is_readable else None


def is_loopback(host: str) -> bool:
    """Whether a host name or address refers to this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("core.letscloud.io")
    (True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
