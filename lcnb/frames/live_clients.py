"""The clients of this process, by the names that their frames carry."""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakValueDictionary

_LIVE_CLIENTS: WeakValueDictionary[str, Any] = WeakValueDictionary()


def register_client(client: Any) -> str:
    """Return a name for a client that a frame can carry; the name does not keep the client alive.

    A name is never reused, as an `id()` would be: a frame must never belong to the client of another account.
    """
    name = os.urandom(16).hex()
    _LIVE_CLIENTS[name] = client
    return name


def find_client(name: str) -> Any:
    """Return the client of a name; None when it is gone."""
    return _LIVE_CLIENTS.get(name)
