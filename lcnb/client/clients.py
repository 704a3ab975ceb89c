"""The two clients, `LetsCloud` and `AsyncLetsCloud`, and `connect`, which creates the first one."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from lcnb.client.derivation import AsyncClient, SyncClient
from lcnb.client.methods import AccountMethods
from lcnb.client.settings import client_settings
from lcnb.config import Settings
from lcnb.frames.live_clients import forget_machines
from lcnb.secret import Secret, as_secret
from lcnb.transport.sync import SyncWire

if TYPE_CHECKING:
    from lcnb.changes.apply import AsyncChangeSet, SyncChangeSet

    _SyncMethods = AccountMethods[SyncChangeSet]
    _AsyncMethods = AccountMethods[AsyncChangeSet]
else:  # a client that only reads does not import lcnb.changes
    _SyncMethods = _AsyncMethods = AccountMethods


def connect(
    account: str | None = None,
    *,
    token: str | Secret | None = None,
    base_url: str | None = None,
    sandbox: bool = False,
    timeout: float | None = None,
) -> LetsCloud:
    """Return a client of your LetsCloud account, or of a sandbox that needs no account.

    Args:
        account: the name of an account in lcnb.toml. Without it, lcnb looks in the environment, at the default
            account, in the file of the official CLI and in the keyring, in this order (`lcnb.accounts()` lists them).
        token: the API token itself. Better leave it out: a token in a notebook cell is saved with the notebook.
        base_url: a base URL instead of the one of the account.
        sandbox: start a LetsCloud on this machine, with 60 invented machines and a clock that runs ten times as
            fast; it ends with this process.
        timeout: seconds that a method may take, including its retries (60).

    Raises TokenMissing if no token is found, ConfigError if a setting is wrong. Nothing is sent yet.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> len(lc.instances())
    60
    """
    token = as_secret(token)
    return LetsCloud(client_settings(account, token, base_url, sandbox, timeout))


class LetsCloud(SyncClient, _SyncMethods):
    """A LetsCloud account. `lcnb.connect()` creates one.

    Listings are DataFrames with the same columns and dtypes whether they have 0, 1 or n rows
    (`lcnb.describe("instances")` describes each column); single resources are typed objects. Each method may raise
    the errors of `lcnb.errors`: ApiError (the provider refused), TransportError (no response), InputError.

    >>> import lcnb
    >>> with lcnb.connect(sandbox=True) as lc:
    ...     fleet = lc.inventory()
    >>> fleet.groupby("currencycode").monthly_value.sum().index.tolist()
    ['BRL', 'USD']
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare a client with these settings; `lcnb.connect` finds them."""
        super().__init__(settings)
        self._wire = SyncWire(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.close()
        """
        forget_machines(self)
        self._wire.close()


class AsyncLetsCloud(AsyncClient, _AsyncMethods):
    """The same account for `async` code: the methods of LetsCloud, to be awaited.

    >>> import asyncio, lcnb
    >>> async def count():
    ...     async with lcnb.AsyncLetsCloud.connect(sandbox=True) as lc:
    ...         return len(await lc.instances())
    >>> asyncio.run(count())
    60
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare a client with these settings; `AsyncLetsCloud.connect` finds them."""
        from lcnb.transport.aio import AsyncWire  # loads asyncio

        super().__init__(settings)
        self._wire = AsyncWire(settings)

    @classmethod
    def connect(
        cls,
        account: str | None = None,
        *,
        token: str | Secret | None = None,
        base_url: str | None = None,
        sandbox: bool = False,
        timeout: float | None = None,
    ) -> Self:
        """Return a client; the arguments are those of `lcnb.connect`."""
        token = as_secret(token)
        return cls(client_settings(account, token, base_url, sandbox, timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        forget_machines(self)
        await self._wire.aclose()
