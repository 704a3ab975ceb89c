"""Several accounts as one table: each is read by a client of its own, all at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lcnb.config import load_settings
from lcnb.config_file import account_names
from lcnb.errors import InputError, LcnbError
from lcnb.folders import config_dir

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.api.queries import InventoryParts
    from lcnb.client import LetsCloud


def inventory(accounts: Iterable[str] | None = None, *, timeout: float | None = None) -> pd.DataFrame:
    """The inventory of several accounts, read at the same time; `account` is the first column.

    Args:
        accounts: names in lcnb.toml; all of them by default.
        timeout: seconds that each account may take (60).

    An account that cannot be read is left out and told in a DriftWarning and `attrs["lcnb"]["drift"]`; if none can,
    the first one's error is raised. InputError for no account or one that is named twice, ConfigError or
    TokenMissing before anything is sent. Rows become changes by the account's own client:
    `fleet[fleet.account == "lab"].lc(lcnb.connect("lab"))`.

    >>> import lcnb
    >>> fleet = lcnb.inventory(["prod", "lab"])  # doctest: +SKIP
    >>> fleet.groupby(["account", "currencycode"]).monthly_value.sum()  # doctest: +SKIP
    """
    from lcnb.client import connect
    from lcnb.frames import inventory as inventory_module

    if isinstance(accounts, str):
        raise InputError(f"accounts: expected several names, as [{accounts!r}]. Nothing was sent.")
    names = account_names() if accounts is None else list(accounts)
    if not names and accounts is None:
        load_settings()  # says where a token is looked for, if there is none at all
        raise InputError(
            f"accounts: {config_dir() / 'lcnb.toml'} has none; lcnb.connect().inventory() reads the one account "
            "whose token was found. Nothing was sent."
        )
    if not names or len(set(names)) < len(names):
        what = "one is named twice" if names else "there is none; `lcnb accounts` lists them"
        raise InputError(f"accounts: {what}. Nothing was sent.")
    clients = {name: connect(name, timeout=timeout) for name in names}
    try:
        found = _read_accounts(clients)
    finally:
        for client in clients.values():
            client.close()
    read = {name: parts for name, parts in found.items() if not isinstance(parts, LcnbError)}
    if not read:
        raise next(error for error in found.values() if isinstance(error, LcnbError))
    failed = {name: str(error) for name, error in found.items() if isinstance(error, LcnbError)}
    return inventory_module.accounts_inventory_frame(read, failed)


def _read_accounts(clients: dict[str, LetsCloud]) -> dict[str, InventoryParts | LcnbError]:
    """Each account's inventory, or why there is none. Threads that an interrupt leaves behind end with their calls."""
    box: queue.SimpleQueue[tuple[str, InventoryParts | BaseException]] = queue.SimpleQueue()

    def read(name: str, client: LetsCloud) -> None:
        try:
            box.put((name, client._parts()))
        except BaseException as error:
            box.put((name, error))

    for name, client in clients.items():
        threading.Thread(target=read, args=(name, client), daemon=True).start()
    found: dict[str, InventoryParts | LcnbError] = {}
    for _ in clients:
        name, answer = box.get()
        if isinstance(answer, BaseException) and not isinstance(answer, LcnbError):
            raise answer
        found[name] = answer
    return {name: found[name] for name in clients}
