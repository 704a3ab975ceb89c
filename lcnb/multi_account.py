"""Several accounts as one table: each has its own client, and all are read at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from lcnb.config import load_settings
from lcnb.config_file import account_names
from lcnb.deferred_imports import import_in_thread
from lcnb.errors import InputError, LcnbError, TokenMissing
from lcnb.flags import NOTHING_SENT
from lcnb.folders import config_dir

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud
    from lcnb.sql_queries.engine import Parameters

T = TypeVar("T")


def inventory(accounts: Iterable[str] | None = None, *, timeout: float | None = None) -> pd.DataFrame:
    """Return the inventory of several accounts, read at the same time; `account` is the first column.

    Args:
        accounts: names in lcnb.toml; all of them by default.
        timeout: seconds that each account may take (60).

    An account that has no token, or that cannot be read, is left out; a DriftWarning and `attrs["lcnb"]["drift"]` name
    it. If no account can be read, this raises the error of the first one. Raises InputError for no account, a repeated
    one or a facts file that cannot be read, or ConfigError, before anything is sent. The client of an account turns its
    rows into changes: `fleet[fleet.account == "lab"].lc(lcnb.connect("lab"))`.

    >>> import lcnb
    >>> fleet = lcnb.inventory(["prod", "lab"])  # doctest: +SKIP
    >>> fleet.groupby(["account", "currencycode"]).monthly_value.sum()  # doctest: +SKIP
    """
    from lcnb.frames import inventory as inventory_module

    with _open_clients(accounts, timeout) as (clients, without_token):
        facts = {name: client._facts_file.read() for name, client in clients.items()}
        read, failed = _read_accounts(clients, lambda client: client._parts())
    return inventory_module.accounts_inventory_frame(read, {**without_token, **failed}, facts)


def sql(
    query: str,
    parameters: Parameters | None = None,
    *,
    accounts: Iterable[str] | None = None,
    timeout: float | None = None,
) -> pd.DataFrame:
    """Return the answer to a question in SQL over several accounts, read at the same time.

    Args:
        query, parameters: as for `LetsCloud.sql`; the first column of each table is `account`.
        accounts: names in lcnb.toml; all of them by default.
        timeout: seconds that each account, and then the query, may take (60).

    An account that has no token, or that cannot be read, is left out; a DriftWarning and `attrs["lcnb"]["drift"]` name
    it. If no account can be read, this raises the error of the first one. Raises InputError for a wrong query,
    before anything is sent.

    >>> import lcnb
    >>> lcnb.sql("select account, count(*) from inventory group by 1", accounts=["prod", "lab"])  # doctest: +SKIP
    """
    from lcnb.sql_queries.question import open_question, run_here

    with (
        open_question(query, parameters) as question,
        _open_clients(accounts, timeout) as (clients, without_token),
    ):
        limit_s = next(iter(clients.values())).settings.timeout
        run_here(question.prepare(clients.items(), limit_s))
        if question.listings:
            read, failed = _read_accounts(clients, lambda client: client._listings(question.listings))
            for name, found in read.items():
                question.add(name, found)
            without_token |= failed
        for name, reason in without_token.items():
            question.add_failure(name, reason)
        return run_here(question.answer(limit_s))


@contextmanager
def _open_clients(
    accounts: Iterable[str] | None, timeout: float | None
) -> Iterator[tuple[dict[str, LetsCloud], dict[str, str]]]:
    """Yield a client for each of these accounts, and why others have no token; close the clients at the end.

    Raises TokenMissing when none has a token.
    """
    from lcnb.client import connect

    clients: dict[str, LetsCloud] = {}
    missing: dict[str, TokenMissing] = {}
    for name in _checked_names(accounts):
        try:
            clients[name] = connect(name, timeout=timeout)
        except TokenMissing as error:
            missing[name] = error
    if not clients:
        raise next(iter(missing.values()))
    try:
        yield clients, {name: f"no token ({'; '.join(error.looked_at)})" for name, error in missing.items()}
    finally:
        for client in clients.values():
            client.close()


def _checked_names(accounts: Iterable[str] | None) -> list[str]:
    """Return the names of the accounts to read; raise InputError for no name or a repeated one."""
    if isinstance(accounts, str):
        raise InputError(f"accounts: expected several names, such as [{accounts!r}]. {NOTHING_SENT}")
    names = account_names() if accounts is None else list(accounts)
    if not names and accounts is None:
        load_settings()  # without any token, its error lists where lcnb looked for one
        raise InputError(
            f"accounts: {config_dir() / 'lcnb.toml'} has none; lcnb.connect() reads the one account whose "
            f"token was found. {NOTHING_SENT}"
        )
    if not names:
        raise InputError(f"accounts: the list is empty; `lcnb accounts` shows the names. {NOTHING_SENT}")
    if len(set(names)) < len(names):
        raise InputError(f"accounts: one is named twice. {NOTHING_SENT}")
    return names


def _read_accounts(
    clients: dict[str, LetsCloud], read_client: Callable[[LetsCloud], T]
) -> tuple[dict[str, T], dict[str, str]]:
    """Read all accounts at the same time. Return what was read of each, and why others could not be read.

    Raises the error of the first account if none can be read. After an interrupt the threads still run; each ends with
    its call.
    """
    answers: queue.SimpleQueue[tuple[str, T | BaseException]] = queue.SimpleQueue()

    def read(name: str, client: LetsCloud) -> None:
        try:
            answers.put((name, read_client(client)))
        except BaseException as error:
            answers.put((name, error))

    for name, client in clients.items():
        threading.Thread(target=read, args=(name, client), daemon=True).start()
    import_in_thread("pandas")  # for the frame, while the accounts are read
    found: dict[str, T | LcnbError] = {}
    for _ in clients:
        name, answer = answers.get()
        if isinstance(answer, BaseException) and not isinstance(answer, LcnbError):
            raise answer
        found[name] = answer
    return _split_answers({name: found[name] for name in clients})


def _split_answers(answers: dict[str, T | LcnbError]) -> tuple[dict[str, T], dict[str, str]]:
    """Return what was read, and the reasons of the rest; raise the first error if nothing was read."""
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, LcnbError)}
    read = {name: answer for name, answer in answers.items() if not isinstance(answer, LcnbError)}
    if not read:
        raise next(iter(errors.values()))
    return read, {name: str(error) for name, error in errors.items()}
