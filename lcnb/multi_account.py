"""Several accounts as one table: each has its own client, and all are read at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lcnb.config import load_settings
from lcnb.config_file import account_names
from lcnb.errors import InputError, LcnbError
from lcnb.flags import NOTHING_SENT
from lcnb.folders import config_dir

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.api.queries import InventoryParts
    from lcnb.client import LetsCloud


def inventory(accounts: Iterable[str] | None = None, *, timeout: float | None = None) -> pd.DataFrame:
    """Return the inventory of several accounts, read at the same time; `account` is the first column.

    Args:
        accounts: names in lcnb.toml; all of them by default.
        timeout: seconds that each account may take (60).

    An account that cannot be read is left out; a DriftWarning and `attrs["lcnb"]["drift"]` name it. If no account can
    be read, this raises the error of the first one. Raises InputError for no account, a repeated one or a facts file
    that cannot be read, ConfigError or TokenMissing, before anything is sent. The client of an account turns its rows
    into changes: `fleet[fleet.account == "lab"].lc(lcnb.connect("lab"))`.

    >>> import lcnb
    >>> fleet = lcnb.inventory(["prod", "lab"])  # doctest: +SKIP
    >>> fleet.groupby(["account", "currencycode"]).monthly_value.sum()  # doctest: +SKIP
    """
    from lcnb.client import connect
    from lcnb.frames import inventory as inventory_module

    clients = {name: connect(name, timeout=timeout) for name in _checked_names(accounts)}
    try:
        facts = {name: client._facts_file.read() for name, client in clients.items()}
        answers = _read_accounts(clients)
    finally:
        for client in clients.values():
            client.close()
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, LcnbError)}
    read = {name: answer for name, answer in answers.items() if not isinstance(answer, LcnbError)}
    if not read:
        raise next(iter(errors.values()))
    failed = {name: str(error) for name, error in errors.items()}
    return inventory_module.accounts_inventory_frame(read, failed, facts)


def _checked_names(accounts: Iterable[str] | None) -> list[str]:
    """Return the names of the accounts to read; raise InputError for no name or a repeated one."""
    if isinstance(accounts, str):
        raise InputError(f"accounts: expected several names, such as [{accounts!r}]. {NOTHING_SENT}")
    names = account_names() if accounts is None else list(accounts)
    if not names and accounts is None:
        load_settings()  # without any token, its error lists where lcnb looked for one
        raise InputError(
            f"accounts: {config_dir() / 'lcnb.toml'} has none; lcnb.connect().inventory() reads the one account "
            f"whose token was found. {NOTHING_SENT}"
        )
    if not names:
        raise InputError(f"accounts: the list is empty; `lcnb accounts` shows the names. {NOTHING_SENT}")
    if len(set(names)) < len(names):
        raise InputError(f"accounts: one is named twice. {NOTHING_SENT}")
    return names


def _read_accounts(clients: dict[str, LetsCloud]) -> dict[str, InventoryParts | LcnbError]:
    """Return the parts of the inventory of each account, or its error.

    After an interrupt the threads still run; each ends with its call.
    """
    answers: queue.SimpleQueue[tuple[str, InventoryParts | BaseException]] = queue.SimpleQueue()

    def read(name: str, client: LetsCloud) -> None:
        try:
            answers.put((name, client._parts()))
        except BaseException as error:
            answers.put((name, error))

    for name, client in clients.items():
        threading.Thread(target=read, args=(name, client), daemon=True).start()
    found: dict[str, InventoryParts | LcnbError] = {}
    for _ in clients:
        name, answer = answers.get()
        if isinstance(answer, BaseException) and not isinstance(answer, LcnbError):
            raise answer
        found[name] = answer
    return {name: found[name] for name in clients}
