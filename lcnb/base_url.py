"""The base URL of the API: its default, and the check of one that a person gave.

Only HTTPS is accepted, or plain HTTP to a loopback address: the token must not cross a network unencrypted."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lcnb.errors import ConfigError

if TYPE_CHECKING:
    pass

#: The provider's base URL [S, go, node, mcp]; a later page names https://api.letscloud.io.
DEFAULT_BASE_URL = "https://core.letscloud.io/api"
#: Where a base URL came from that nobody has set.
DEFAULT_SOURCE = "the default"


def checked_base_url(url: str, source: str) -> str:
    """The base URL, written as it is sent: the scheme in lower case, no empty step in its path.

    HTTPS, or plain HTTP for a loopback address alone. ConfigError for what is no such URL.
    """
    text = str(url).strip()
    if any(mark in text for mark in "@?#"):  # perhaps a password: the URL is not shown
        raise ConfigError(
            f"the base URL from {source} has more than a host and a path: a user, a password, a query or a fragment. "
            f"It is not shown, since it may hold a secret. Example: {DEFAULT_BASE_URL}. Nothing was sent."
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    odd = not text.isprintable() or any(mark in text for mark in " \\\"'<>")
    if parts.scheme not in ("http", "https") or not host or odd:
        cure = (
            f" Did you mean https://{text}?" if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", text) else ""
        )
        raise ConfigError(
            f"base URL {url!r} (from {source}) is not a URL.{cure} Example: {DEFAULT_BASE_URL}. Nothing was sent."
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"base URL {url!r} (from {source}) is plain HTTP: the token would cross the network unencrypted. "
            "Use https://; plain HTTP is for a loopback address (127.0.0.1) alone. Nothing was sent."
        )
    path = re.sub("/{2,}", "/", parts.path).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
