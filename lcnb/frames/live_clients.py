"""The clients of this process, by the names that their frames carry, and the machines that each listed last."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

_LIVE_CLIENTS: WeakValueDictionary[str, Any] = WeakValueDictionary()
#: Client → the identifiers of the machines in its last listing.
_LISTED: WeakKeyDictionary[Any, Iterable[Any]] = WeakKeyDictionary()


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


def remember_machines(name: str | None, identifiers: Iterable[Any]) -> None:
    """Remember which machines the client of this name has listed; nothing when it is gone."""
    client = find_client(name or "")
    if client is not None:
        forget_machines(client)  # the client that listed last comes last
        _LISTED[client] = identifiers


def forget_machines(client: Any) -> None:
    """Forget what a client has listed, because it is closed."""
    _LISTED.pop(client, None)


def clients_that_listed(identifiers: Collection[str]) -> list[Any]:
    """Return the open clients whose last listing had all these machines: one for each account, the newest."""
    wanted = set(identifiers)
    found = [client for client, listed in list(_LISTED.items()) if wanted and wanted <= set(listed)]
    return list({(each.settings.base_url, each.settings.token): each for each in found}.values())
