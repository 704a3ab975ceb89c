"""`LetsCloud` and `AsyncLetsCloud`: the account as methods, one line each.

A method takes a flow from `calls`, runs it by `wire`, and hands the records to `frames` or `models`. Nothing
is read when a client is made; nothing is kept between calls but connections. Both classes have the same
methods; the sync one works inside Jupyter's running event loop.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from lcnb.api import calls, fields, flows, listing_reader, models, queries, record_reader, staged_flows
from lcnb.api.passwords import checked_password
from lcnb.changes import accessor, apply, build
from lcnb.changes.apply import AsyncChangeSet, SyncChangeSet
from lcnb.changes.build import BuiltChanges, MachineSpec
from lcnb.changes.changeset import ChangeSet, Confirm, OnError, Progress
from lcnb.changes.journal import Journal
from lcnb.config import Settings, load_settings
from lcnb.errors import ConfirmationMissing, InputError, NotFound
from lcnb.flags import checked_flag
from lcnb.frames import inventory as inventory_module
from lcnb.frames import listings, provenance
from lcnb.frames.catalogue import open_catalogue
from lcnb.names import same_name
from lcnb.secret import Secret
from lcnb.suggestions import did_you_mean
from lcnb.transport.rate_limit import BudgetStatus
from lcnb.transport.wire import AsyncWire, SyncWire

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.sandbox import SandboxProcess

R = TypeVar("R", bound=fields.Record)


def connect(
    account: str | None = None,
    *,
    token: str | Secret | None = None,
    base_url: str | None = None,
    sandbox: bool = False,
    timeout: float | None = None,
) -> LetsCloud:
    """A client of your LetsCloud account, or of a sandbox that needs no account.

    Args:
        account: an account of lcnb.toml; without it the environment, the default account, the official CLI's
            file and the keyring are asked, in this order (`lcnb.accounts()` lists them).
        token: the API token itself. Better leave it out: a token in a notebook cell is saved with it.
        base_url: another base URL than the account's own.
        sandbox: start a LetsCloud on this machine, with 60 made-up machines and a clock that runs ten times as
            fast; it ends with this process.
        timeout: seconds that one method may take, its retries included (60).

    Raises TokenMissing when there is no token, ConfigError when a setting is wrong. Nothing is sent yet.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> len(lc.instances())
    60
    """
    return LetsCloud(_client_settings(account, token, base_url, sandbox, timeout))


def _client_settings(
    account: str | None,
    token: str | Secret | None,
    base_url: str | None,
    sandbox: bool,
    timeout: float | None,
) -> Settings:
    if not checked_flag("sandbox", sandbox):
        return load_settings(account, token=token, base_url=base_url, timeout=timeout)
    if account is not None or token is not None or base_url is not None:
        raise InputError("sandbox=True brings its own token and base URL: pass no account, token or base_url")
    server, state_dir = _shared_sandbox()
    settings = load_settings(None, token=server.token, base_url=server.base_url, timeout=timeout)
    return replace(settings, state_dir=state_dir)


@cache
def _shared_sandbox() -> tuple[SandboxProcess, Path]:
    """One sandbox for this Python process, and a state folder for it; both end with the process.

    Its machines are gone then, so its journal must not stand among that of real ones.
    """
    from lcnb.sandbox import start

    try:
        server = start(speed=10)
    except OSError as error:
        from lcnb.errors import SandboxError

        raise SandboxError(f"the sandbox could not be started: {error}") from None
    folder = tempfile.mkdtemp(prefix="lcnb-sandbox-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    return server, Path(folder)


class Catalogue(NamedTuple):
    """What the account can choose from, as frames."""

    locations: pd.DataFrame
    plans: pd.DataFrame
    images: pd.DataFrame


class _ClientBase:
    _wire: SyncWire | AsyncWire

    def __init__(self, settings: Settings) -> None:
        #: Account, base URL and where the token came from; the token prints as stars.
        self.settings = settings
        self._cache = build.ReadCache()
        self._keep = open_catalogue(settings.state_dir, settings.token, settings.base_url, settings.catalogue)
        self._name = accessor.register_client(self)

    def __repr__(self) -> str:
        account = f"account={self.settings.account!r}, " if self.settings.account else ""
        return (
            f"{type(self).__name__}({account}base_url={self.settings.base_url!r}, "
            f"token from {self.settings.token_source})"
        )

    def _frame(self, kind: str, found: listing_reader.Listing) -> pd.DataFrame:
        return listings.listing_frame(kind, found, self.settings.account, self._name)

    def _catalogue(
        self, found: tuple[listing_reader.Listing, listing_reader.Listing, listing_reader.Listing]
    ) -> Catalogue:
        kinds = ("locations", "plans", "images")
        return Catalogue(*(self._frame(kind, each) for kind, each in zip(kinds, found, strict=True)))

    def _keeping(self, refresh: bool) -> staged_flows.StageRunner:
        return replace(self._keep, refresh=checked_flag("refresh", refresh))

    def _inventory(self, parts: queries.InventoryParts) -> pd.DataFrame:
        return inventory_module.inventory_frame(parts, self.settings.account, self._name)

    def _check_settled(self, built: BuiltChanges) -> None:
        """Refuse to say that something is as wanted while a change of it may still take effect."""
        apply.check_settled(self.settings, built.as_wanted)

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of deadlines and waits, in seconds."""
        return self._wire.clock

    @property
    def limits(self) -> Mapping[str, int]:
        """What the last answer told of the rate limit: `limit` and `remaining` calls, where it told."""
        return dict(self._wire.limits)

    def budget(self) -> BudgetStatus:
        """What this token may still send: calls at once (`burst`), `an_hour` after those, seconds to wait.

        It is shared by all processes of this machine that use the token, and by several machines with
        LCNB_REDIS_URL; what the provider's headers tell of other programs is in it.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).budget().blocked_s
        0.0
        """
        return self._wire.budget.look() if self._wire.budget else BudgetStatus(0, 0.0, 0.0, 0.0, None, None)

    def journal(self) -> pd.DataFrame:
        """Every change that was begun from this state folder, by any process: what, when, by whom, its outcome.

        One row a change, secrets as stars, times as `datetime64[us, UTC]`. JournalError when the journal cannot be
        read.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).journal().columns[:4].tolist()
        ['at', 'changeset', 'change', 'action']
        """
        return Journal(self.settings.state_dir).frame()

    def pending(self) -> pd.DataFrame:
        """The rows of the journal that have no outcome yet; `resume()` settles those of this account."""
        return Journal(self.settings.state_dir).frame(pending=True)


class LetsCloud(_ClientBase):
    """A LetsCloud account. `lcnb.connect()` makes one.

    Listings are DataFrames with the same columns and dtypes whether they have 0, 1 or n rows
    (`lcnb.describe("instances")` tells each column); single things are typed objects. Each method may raise
    the errors of `lcnb.errors`: ApiError (the provider said no), TransportError (no answer), InputError.

    >>> import lcnb
    >>> with lcnb.connect(sandbox=True) as lc:
    ...     fleet = lc.inventory()
    >>> fleet.groupby("currencycode").monthly_value.sum().index.tolist()
    ['BRL', 'USD']
    """

    _wire: SyncWire

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._wire = SyncWire(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._wire.close()

    def instances(self) -> pd.DataFrame:
        """All machines, a row each. Memory is in MB, disk in GB; `state` is derived from the flags.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).instances().dtypes["memory"]
        Int64Dtype()
        """
        return self._frame("instances", self._wire.run(queries.list_instances()))

    def instance(self, identifier: str | None = None, *, label: str | None = None) -> models.Instance:
        """One machine, by its identifier or by a label that only one machine has. NotFound when there is none."""
        return self._wire.run(_find_instance(identifier, label))

    def locations(self) -> pd.DataFrame:
        """All locations: slug, country, city, available."""
        return self._frame("locations", self._wire.run(queries.list_locations(self._keep)))

    def plans(self, location: str | None = None) -> pd.DataFrame:
        """The plans of one location, or of all (asked for at once): resources and price a month.

        `monthly_value` is in the currency that `currencycode` names; memory in MB, disk and bandwidth in GB.
        InputError for a location that does not exist. A location whose plans are refused is left out and told
        in a DriftWarning.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).plans("mia1").location.unique().tolist()
        ['MIA1']
        """
        return self._frame("plans", self._wire.run(queries.list_plans(location, keep=self._keep)))

    def images(self, location: str | None = None) -> pd.DataFrame:
        """The images of one location, or of all (asked for at once): slug, location, distro, os."""
        return self._frame("images", self._wire.run(queries.list_images(location, keep=self._keep)))

    def catalogue(self, *, refresh: bool = False) -> Catalogue:
        """Locations, plans and images of all locations: `.locations`, `.plans`, `.images`, each a frame.

        After the locations everything is asked for at once; together with them, where they were read before. The
        provider is asked at most every 10 minutes (LCNB_CATALOGUE) by all processes together; `refresh=True` asks
        now. `attrs["lcnb"]["fetched_at"]` of each frame, also of `locations()`, `plans()` and `images()`, says
        when it was read.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).catalogue().plans.location.nunique()
        7
        """
        return self._catalogue(self._wire.run(queries.read_catalogue(self._keeping(refresh))))

    def sshkeys(self) -> pd.DataFrame:
        """All ssh keys: slug, title, public_key."""
        return self._frame("sshkeys", self._wire.run(queries.list_sshkeys()))

    def sshkey(self, slug: str) -> models.SSHKey:
        """One ssh key. NotFound when there is none of that slug."""
        return _read_record(models.SSHKey, self._wire.run(queries.read_sshkey(slug)))

    def snapshots(self) -> pd.DataFrame:
        """All snapshots: slug, label, size (GB), os_reference, reference, build, locations."""
        return self._frame("snapshots", self._wire.run(queries.list_snapshots()))

    def snapshot(self, slug: str) -> models.Snapshot:
        """One snapshot. NotFound when there is none of that slug."""
        return _read_record(models.Snapshot, self._wire.run(queries.read_snapshot(slug)))

    def profile(self) -> models.Profile:
        """The account: name, e-mail, currency symbol, balance in that currency."""
        return _read_record(models.Profile, self._wire.run(queries.read_single(calls.get_profile())))

    def inventory(self) -> pd.DataFrame:
        """Machines with location, inferred plan and monthly price: the frame that most questions start from.

        The API does not tell a machine's plan: it is the one at its location with the same CPUs, memory and
        disk. Where none or several fit, `plan` and `monthly_value` are missing and `price_note` says why.
        Prices are in the currency of `currencycode`: group by it before adding up.

        >>> import lcnb
        >>> fleet = lcnb.connect(sandbox=True).inventory()
        >>> fleet[fleet.monthly_value.isna()].price_note.notna().all()
        np.True_
        """
        return self._inventory(self._parts())

    def _parts(self) -> queries.InventoryParts:
        return self._wire.run(queries.read_inventory(self._keep))

    def reveal(self, identifier: str) -> Secret:
        """The initial root password of a machine, masked: `.reveal()` gives the text.

        No listing holds it. NotFound when the provider tells none.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.reveal(lc.instances().query("state == 'running'").identifier.iloc[0])
        *****
        """
        return self._wire.run(_initial_password(identifier))

    # --- changes: each gives a ChangeSet and sends nothing ------------------------------------------------

    def create_instance(
        self,
        label: str,
        *,
        location: str,
        plan: str,
        image: str,
        hostname: str | None = None,
        ssh_key: str | None = None,
        password: str | Secret | None = None,
    ) -> SyncChangeSet:
        """A new machine, as a ChangeSet of one; nothing is sent until `apply`.

        Args:
            label: your name for it; must be free, since the provider would make a second one of that name.
            location, plan, image: slugs; the plan and the image must be offered at the location.
            hostname: by default made from the label.
            ssh_key: slug of a key of the account.
            password: by the provider's rule (12 to 32 characters with upper, lower, digit, special). Without
                one and without a key lcnb makes one; `reveal` tells it.

        Raises InputError naming what is wrong and what there is instead.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> changes = lc.create_instance("web-99", location="MIA1", plan="1vcpu-1gb-10ssd", image="debian-12-x86_64")
        >>> changes.monthly_difference()
        {'USD': 5.4}"""
        return self._built(
            self._wire.run(
                build.create_instance(
                    self._cache, MachineSpec(label, location, plan, image, hostname, ssh_key, password)
                )
            )
        )

    def ensure_instance(
        self,
        label: str,
        *,
        location: str,
        plan: str,
        image: str,
        hostname: str | None = None,
        ssh_key: str | None = None,
        password: str | Secret | None = None,
    ) -> SyncChangeSet:
        """As `create_instance`, but nothing to do when a machine of this label and spec exists.

        InputError when it exists with another location, size, image or hostname."""
        return self._built(
            self._wire.run(
                build.ensure_instance(
                    self._cache, MachineSpec(label, location, plan, image, hostname, ssh_key, password)
                )
            )
        )

    def delete_instance(
        self,
        identifier: str | None = None,
        *,
        label: str | None = None,
    ) -> SyncChangeSet:
        """Delete a machine and its disk, by identifier or label. It cannot be undone."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.delete_instance, self._cache)
                )
            )
        )

    def power_on(self, identifier: str | None = None, *, label: str | None = None) -> SyncChangeSet:
        """Turn a machine on."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="power on")
                )
            )
        )

    def power_off(self, identifier: str | None = None, *, label: str | None = None) -> SyncChangeSet:
        """Turn a machine off, as by pulling the plug; `shutdown` is gentler."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="power off")
                )
            )
        )

    def shutdown(self, identifier: str | None = None, *, label: str | None = None) -> SyncChangeSet:
        """Ask a machine to stop by itself."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="shut down")
                )
            )
        )

    def reboot(self, identifier: str | None = None, *, label: str | None = None) -> SyncChangeSet:
        """Restart a machine."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="reboot")
                )
            )
        )

    def reset_password(
        self,
        identifier: str | None = None,
        *,
        label: str | None = None,
        password: str | Secret | None = None,
    ) -> SyncChangeSet:
        """A new root password: the given one, or one that lcnb makes and `reveal` tells."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache,
                    identifier,
                    label,
                    partial(build.reset_password, password=_optional_password(password)),
                )
            )
        )

    def change_plan(
        self,
        identifier: str | None = None,
        *,
        label: str | None = None,
        plan: str,
    ) -> SyncChangeSet:
        """Another plan at the same location; its disk must not be smaller. The preview shows the price difference."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_plan, self._cache, slug=plan)
                )
            )
        )

    def add_sshkey(self, title: str, public_key: str, *, replace: bool = False) -> SyncChangeSet:
        """Add a public key (ssh-ed25519 or ssh-rsa, one line of OpenSSH).

        A title whose slug is taken would overwrite that key: it needs `replace=True`."""
        return self._built(self._wire.run(build.add_sshkey(self._cache, title, public_key, replace=replace)))

    def generate_sshkey(
        self,
        title: str,
        file: str | Path,
        *,
        key_type: str = "ed25519",
        replace: bool = False,
        generate_on_server: bool = False,
    ) -> SyncChangeSet:
        """A new key pair, made on this machine: the private half goes into `file` (mode 0600, must not exist), only the
        public half is sent.

        Args:
            key_type: ed25519 or rsa (4096 bits).
            generate_on_server: let the provider make the pair; its private half is in one answer and never again. Such
                pairs are RSA with 1024 bits, which is weak: some servers refuse them. `key_type` has no effect."""
        return self._built(
            self._wire.run(
                build.generate_key_pair(
                    self._cache, title, file, kind=key_type, replace=replace, on_server=generate_on_server
                )
            )
        )

    def delete_sshkey(self, slug: str) -> SyncChangeSet:
        """Delete a key of the account; machines that have it keep it."""
        return self._built(self._wire.run(build.delete_sshkey(self._cache, slug)))

    def create_snapshot(
        self,
        identifier: str | None = None,
        *,
        label: str,
        of: str | None = None,
    ) -> SyncChangeSet:
        """Store an image of a machine: `label` names the snapshot, `of` the machine by its label."""
        return self._built(
            self._wire.run(
                build.change_machine(
                    self._cache,
                    identifier,
                    of,
                    partial(build.create_snapshot, label=build.checked_label(label)),
                )
            )
        )

    def rename_snapshot(self, slug: str, label: str) -> SyncChangeSet:
        """Give a snapshot another label."""
        return self._built(self._wire.run(build.rename_snapshot(self._cache, slug, label)))

    def delete_snapshot(self, slug: str) -> SyncChangeSet:
        """Delete a snapshot. It cannot be undone."""
        return self._built(self._wire.run(build.delete_snapshot(self._cache, slug)))

    def plan(
        self, desired: pd.DataFrame, *, prune: bool = False, allow_delete_all: bool = False
    ) -> SyncChangeSet:
        """What makes the account as `desired` says, as a ChangeSet: creates, plan changes, power, deletes.

        Args:
            desired: one row a machine, by label; columns location, plan, image, hostname, ssh_key, state (running or
                off), each but label optional for a machine that exists. A missing value is not compared.
            prune: delete machines whose label is not in `desired`.
            allow_delete_all: with `prune`, also when that deletes every machine, as an empty `desired` does. Without
                it such a plan is refused: a frame that was filtered to nothing must not delete an account.

        What cannot be changed in place (location, image, hostname) is told in `.notes`."""
        return self._built(self._wire.run(_desired_flow(self._cache, desired, prune, allow_delete_all)))

    def changes(self, parts: Iterable[SyncChangeSet] = ()) -> SyncChangeSet:
        """Several ChangeSets as one, in their order; of none, an empty one.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> len(lc.changes(lc.reboot(label=name) for name in ("web-01", "web-03")))
        2
        >>> len(lc.changes())
        0
        """
        return sum(parts, SyncChangeSet([], self))

    def load_changes(
        self, path: str | Path, *, passwords: Mapping[str, Secret] | None = None
    ) -> SyncChangeSet:
        """A plan that `ChangeSet.save` wrote. Passwords that were typed are in no file: give them again, by label."""
        return SyncChangeSet.load(path, self, passwords)

    def send(self, call: calls.Call, *, confirm: bool = False) -> Mapping[str, Any]:
        """Send one call as it is and give the JSON answer. A write is refused without `confirm=True`.

        The low end of everything else: no journal, no settling. Use the methods that give a ChangeSet instead."""
        return self._wire.run(_send_confirmed(call, confirm)).document

    def resume(
        self,
        changeset: str | None = None,
        confirm: Confirm = None,
        *,
        wait: bool = False,
        timeout: float | None = None,
        on_error: OnError = "continue",
        passwords: Mapping[str, Secret] | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Go on with changes that have no outcome: settle what was sent, make what was planned and not sent.

        Args:
            changeset: one ChangeSet by its id; without it all that are open for this account.
            confirm, wait, timeout, on_error, progress: as for `ChangeSet.apply`.
            passwords: label → the password that had been typed; it is kept nowhere, and another one is made without.

        Returns a frame, one row a change of these ChangeSets, as `apply` does; empty when nothing was open.
        """
        results = []
        apply.check_arguments(confirm, wait, timeout, on_error)
        for name in apply.open_changesets(self, changeset):
            how = (confirm, wait, timeout, on_error, passwords, progress)
            with apply.prepare_resume(self, name, *how, others=changeset is None) as work:
                if work is not None:
                    results.append((name, self._wire.run(work.resume(), each_call=True)))
        return apply.combined_result(results, on_error)

    def _built(self, built: BuiltChanges, read_at: datetime | None = None) -> SyncChangeSet:
        self._check_settled(built)
        return SyncChangeSet(built.changes, self, notes=built.notes, read_at=read_at)

    def _selected(
        self, flow: Callable[[build.ReadCache], flows.Flow[BuiltChanges]], read_at: datetime
    ) -> ChangeSet:
        return self._built(self._wire.run(flow(self._cache)), read_at)


class AsyncLetsCloud(_ClientBase):
    """The same account for `async` code: the methods of LetsCloud, to be awaited.

    >>> import asyncio, lcnb
    >>> async def count():
    ...     async with lcnb.AsyncLetsCloud.connect(sandbox=True) as lc:
    ...         return len(await lc.instances())
    >>> asyncio.run(count())
    60
    """

    _wire: AsyncWire

    def __init__(self, settings: Settings) -> None:
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
        """As `lcnb.connect`."""
        return cls(_client_settings(account, token, base_url, sandbox, timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._wire.aclose()

    async def instances(self) -> pd.DataFrame:
        """As LetsCloud.instances."""
        return self._frame("instances", await self._wire.run(queries.list_instances()))

    async def instance(self, identifier: str | None = None, *, label: str | None = None) -> models.Instance:
        """As LetsCloud.instance."""
        return await self._wire.run(_find_instance(identifier, label))

    async def locations(self) -> pd.DataFrame:
        """As LetsCloud.locations."""
        return self._frame("locations", await self._wire.run(queries.list_locations(self._keep)))

    async def plans(self, location: str | None = None) -> pd.DataFrame:
        """As LetsCloud.plans."""
        return self._frame("plans", await self._wire.run(queries.list_plans(location, keep=self._keep)))

    async def images(self, location: str | None = None) -> pd.DataFrame:
        """As LetsCloud.images."""
        return self._frame("images", await self._wire.run(queries.list_images(location, keep=self._keep)))

    async def catalogue(self, *, refresh: bool = False) -> Catalogue:
        """As LetsCloud.catalogue."""
        return self._catalogue(await self._wire.run(queries.read_catalogue(self._keeping(refresh))))

    async def sshkeys(self) -> pd.DataFrame:
        """As LetsCloud.sshkeys."""
        return self._frame("sshkeys", await self._wire.run(queries.list_sshkeys()))

    async def sshkey(self, slug: str) -> models.SSHKey:
        """As LetsCloud.sshkey."""
        return _read_record(models.SSHKey, await self._wire.run(queries.read_sshkey(slug)))

    async def snapshots(self) -> pd.DataFrame:
        """As LetsCloud.snapshots."""
        return self._frame("snapshots", await self._wire.run(queries.list_snapshots()))

    async def snapshot(self, slug: str) -> models.Snapshot:
        """As LetsCloud.snapshot."""
        return _read_record(models.Snapshot, await self._wire.run(queries.read_snapshot(slug)))

    async def profile(self) -> models.Profile:
        """As LetsCloud.profile."""
        return _read_record(models.Profile, await self._wire.run(queries.read_single(calls.get_profile())))

    async def inventory(self) -> pd.DataFrame:
        """As LetsCloud.inventory."""
        return self._inventory(await self._wire.run(queries.read_inventory(self._keep)))

    async def reveal(self, identifier: str) -> Secret:
        """As LetsCloud.reveal."""
        return await self._wire.run(_initial_password(identifier))

    # --- changes: each gives a ChangeSet and sends nothing ------------------------------------------------

    async def create_instance(
        self,
        label: str,
        *,
        location: str,
        plan: str,
        image: str,
        hostname: str | None = None,
        ssh_key: str | None = None,
        password: str | Secret | None = None,
    ) -> AsyncChangeSet:
        """As LetsCloud.create_instance."""
        return self._built(
            await self._wire.run(
                build.create_instance(
                    self._cache, MachineSpec(label, location, plan, image, hostname, ssh_key, password)
                )
            )
        )

    async def ensure_instance(
        self,
        label: str,
        *,
        location: str,
        plan: str,
        image: str,
        hostname: str | None = None,
        ssh_key: str | None = None,
        password: str | Secret | None = None,
    ) -> AsyncChangeSet:
        """As LetsCloud.ensure_instance."""
        return self._built(
            await self._wire.run(
                build.ensure_instance(
                    self._cache, MachineSpec(label, location, plan, image, hostname, ssh_key, password)
                )
            )
        )

    async def delete_instance(
        self,
        identifier: str | None = None,
        *,
        label: str | None = None,
    ) -> AsyncChangeSet:
        """As LetsCloud.delete_instance."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.delete_instance, self._cache)
                )
            )
        )

    async def power_on(self, identifier: str | None = None, *, label: str | None = None) -> AsyncChangeSet:
        """As LetsCloud.power_on."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="power on")
                )
            )
        )

    async def power_off(self, identifier: str | None = None, *, label: str | None = None) -> AsyncChangeSet:
        """As LetsCloud.power_off."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="power off")
                )
            )
        )

    async def shutdown(self, identifier: str | None = None, *, label: str | None = None) -> AsyncChangeSet:
        """As LetsCloud.shutdown."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="shut down")
                )
            )
        )

    async def reboot(self, identifier: str | None = None, *, label: str | None = None) -> AsyncChangeSet:
        """As LetsCloud.reboot."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_power, action="reboot")
                )
            )
        )

    async def reset_password(
        self,
        identifier: str | None = None,
        *,
        label: str | None = None,
        password: str | Secret | None = None,
    ) -> AsyncChangeSet:
        """As LetsCloud.reset_password."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache,
                    identifier,
                    label,
                    partial(build.reset_password, password=_optional_password(password)),
                )
            )
        )

    async def change_plan(
        self,
        identifier: str | None = None,
        *,
        label: str | None = None,
        plan: str,
    ) -> AsyncChangeSet:
        """As LetsCloud.change_plan."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache, identifier, label, partial(build.change_plan, self._cache, slug=plan)
                )
            )
        )

    async def add_sshkey(self, title: str, public_key: str, *, replace: bool = False) -> AsyncChangeSet:
        """As LetsCloud.add_sshkey."""
        return self._built(
            await self._wire.run(build.add_sshkey(self._cache, title, public_key, replace=replace))
        )

    async def generate_sshkey(
        self,
        title: str,
        file: str | Path,
        *,
        key_type: str = "ed25519",
        replace: bool = False,
        generate_on_server: bool = False,
    ) -> AsyncChangeSet:
        """As LetsCloud.generate_sshkey."""
        return self._built(
            await self._wire.run(
                build.generate_key_pair(
                    self._cache, title, file, kind=key_type, replace=replace, on_server=generate_on_server
                )
            )
        )

    async def delete_sshkey(self, slug: str) -> AsyncChangeSet:
        """As LetsCloud.delete_sshkey."""
        return self._built(await self._wire.run(build.delete_sshkey(self._cache, slug)))

    async def create_snapshot(
        self,
        identifier: str | None = None,
        *,
        label: str,
        of: str | None = None,
    ) -> AsyncChangeSet:
        """As LetsCloud.create_snapshot."""
        return self._built(
            await self._wire.run(
                build.change_machine(
                    self._cache,
                    identifier,
                    of,
                    partial(build.create_snapshot, label=build.checked_label(label)),
                )
            )
        )

    async def rename_snapshot(self, slug: str, label: str) -> AsyncChangeSet:
        """As LetsCloud.rename_snapshot."""
        return self._built(await self._wire.run(build.rename_snapshot(self._cache, slug, label)))

    async def delete_snapshot(self, slug: str) -> AsyncChangeSet:
        """As LetsCloud.delete_snapshot."""
        return self._built(await self._wire.run(build.delete_snapshot(self._cache, slug)))

    async def plan(
        self, desired: pd.DataFrame, *, prune: bool = False, allow_delete_all: bool = False
    ) -> AsyncChangeSet:
        """As LetsCloud.plan."""
        return self._built(await self._wire.run(_desired_flow(self._cache, desired, prune, allow_delete_all)))

    def changes(self, parts: Iterable[AsyncChangeSet] = ()) -> AsyncChangeSet:
        """As LetsCloud.changes."""
        return sum(parts, AsyncChangeSet([], self))

    def load_changes(
        self, path: str | Path, *, passwords: Mapping[str, Secret] | None = None
    ) -> AsyncChangeSet:
        """A plan that `ChangeSet.save` wrote. Passwords that were typed are in no file: give them again, by label."""
        return AsyncChangeSet.load(path, self, passwords)

    async def send(self, call: calls.Call, *, confirm: bool = False) -> Mapping[str, Any]:
        """As LetsCloud.send."""
        return (await self._wire.run(_send_confirmed(call, confirm))).document

    async def resume(
        self,
        changeset: str | None = None,
        confirm: Confirm = None,
        *,
        wait: bool = False,
        timeout: float | None = None,
        on_error: OnError = "continue",
        passwords: Mapping[str, Secret] | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """As LetsCloud.resume."""
        results = []
        apply.check_arguments(confirm, wait, timeout, on_error)
        for name in apply.open_changesets(self, changeset):
            how = (confirm, wait, timeout, on_error, passwords, progress)
            with apply.prepare_resume(self, name, *how, others=changeset is None) as work:
                if work is not None:
                    results.append((name, await self._wire.run(work.resume(), each_call=True)))
        return apply.combined_result(results, on_error)

    def _built(self, built: BuiltChanges, read_at: datetime | None = None) -> AsyncChangeSet:
        self._check_settled(built)
        return AsyncChangeSet(built.changes, self, notes=built.notes, read_at=read_at)

    async def _selected(
        self, flow: Callable[[build.ReadCache], flows.Flow[BuiltChanges]], read_at: datetime
    ) -> AsyncChangeSet:
        return self._built(await self._wire.run(flow(self._cache)), read_at)


def _desired_flow(
    cache: build.ReadCache, desired: pd.DataFrame, prune: bool, allow_delete_all: bool
) -> flows.Flow[BuiltChanges]:
    rows = accessor.plain_rows(desired)
    comments = provenance.frame_facts(desired).get("comments", ())
    return build.desired_changes(
        cache, rows, prune=prune, allow_delete_all=allow_delete_all, comments=comments
    )


# --- flows of single machines ---------------------------------------------------------------------------


def _read_record(model: type[R], record: Mapping[str, Any]) -> R:
    return record_reader.read_record(model, record, "$.data", [])


def _find_instance(identifier: str | None, label: str | None) -> flows.Flow[models.Instance]:
    if (identifier is None) == (label is None):
        raise InputError("pass the identifier of a machine, or label=..., one of the two. Nothing was sent.")
    if identifier is not None:
        return _read_record(models.Instance, (yield from queries.read_instance(identifier)))
    found = yield from queries.list_instances()
    machines = [_read_record(models.Instance, record) for _, record in found.records]
    matches = [machine for machine in machines if same_name(machine.label, label)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        identifiers = ", ".join(machine.identifier or "still building" for machine in matches)
        raise InputError(
            f"{len(matches)} machines have the label {label!r}: {identifiers}. Pass an identifier."
        )
    near = did_you_mean(str(label), [machine.label for machine in machines if machine.label])
    raise NotFound(f"no machine has the label {label!r}{near}", method="GET", path="/instances")


def _initial_password(identifier: str) -> flows.Flow[Secret]:
    record = yield from queries.read_instance(identifier)
    password = record.get("initial_root_password")
    if not isinstance(password, str) or not password:
        raise NotFound(
            f"the provider tells no initial password of {identifier}: it was made with an ssh key alone, or is "
            "still being built. A reset-password sets a new one.",
            method="GET",
            path=calls.get_instance(identifier).path,
        )
    return Secret(password)


def _optional_password(password: str | Secret | None) -> Secret | None:
    return None if password is None else checked_password(password)


def _send_confirmed(call: calls.Call, confirm: bool) -> flows.Flow[flows.Envelope]:
    if not checked_flag("confirm", confirm) and call.effect != "read":
        raise ConfirmationMissing(
            f"{call.method} {call.path} changes the account: pass confirm=True. Nothing was sent."
        )
    envelope: flows.Envelope = yield call
    return envelope
