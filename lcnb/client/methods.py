"""The methods of both clients, each written once as a generator of steps (see `derivation`).

A method takes a flow from `api` or `changes`, runs it by `wait_for`, and returns the records as a frame or a typed
object. A `@change_method` returns the flow of its changes; the clients return these as a ChangeSet, and send nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace as replace_fields
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from lcnb.api import calls, models, queries, single_records
from lcnb.api.flows import Flow, import_meanwhile
from lcnb.api.listing_reader import Listing
from lcnb.api.machine_names import checked_name
from lcnb.client.derivation import Steps, change_method, client_method, wait_for
from lcnb.client.facts_methods import FactsMethods
from lcnb.client.history_methods import HistoryMethods
from lcnb.client.machine_methods import MachineMethods
from lcnb.client.results import Catalogue
from lcnb.client.sql_methods import SqlMethods
from lcnb.config import Settings, check_approved
from lcnb.deferred_imports import DeferredModule
from lcnb.facts.edits import Tags
from lcnb.flags import checked_flag
from lcnb.frames import inventory as inventory_module
from lcnb.frames import listings, provenance
from lcnb.frames.catalogue import open_catalogue
from lcnb.frames.live_clients import register_client
from lcnb.history import readings
from lcnb.history.recording import HistoryRecorder
from lcnb.rows import Rows
from lcnb.secret import Secret
from lcnb.suggestions import unknown_attribute
from lcnb.transport.budget import Budget
from lcnb.transport.rate_limit import BudgetStatus

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.api import passwords
    from lcnb.changes import accessor, apply, build, journal, protection
    from lcnb.changes.build import BuiltChanges
    from lcnb.changes.changeset import ChangeSet, Confirm, OnError, Progress
    from lcnb.changes.tasks import Wait
    from lcnb.history.moments import Moment
else:  # a client that only reads does not need them, and they take a tenth of the time of a short command
    passwords = DeferredModule("lcnb.api.passwords")
    accessor, apply, build, journal, protection = (
        DeferredModule(f"lcnb.changes.{name}")
        for name in ("accessor", "apply", "build", "journal", "protection")
    )

ChangeSetT = TypeVar("ChangeSetT", bound="ChangeSet[Any]")


class AccountMethods(MachineMethods, FactsMethods, HistoryMethods, SqlMethods, Generic[ChangeSetT]):
    """An account, without the decision whether its methods wait or are awaited."""

    #: A SyncWire or an AsyncWire; the classes of clients say which.
    _wire: Any
    #: The name of the ChangeSets of this client in lcnb.changes.apply.
    _change_set: ClassVar[str]

    def __init__(self, settings: Settings) -> None:
        """Prepare a client with these settings. Nothing is read or sent."""
        #: Account, base URL and where the token came from; the token prints as stars.
        self.settings = settings
        self._history = HistoryRecorder(settings)
        self._catalogue_cache = open_catalogue(
            settings.state_dir, settings.token, settings.base_url, settings.catalogue
        )
        self._name = register_client(self)

    def __repr__(self) -> str:
        account = f"account={self.settings.account!r}, " if self.settings.account else ""
        return (
            f"{type(self).__name__}({account}base_url={self.settings.base_url!r}, "
            f"token from {self.settings.token_source})"
        )

    if not TYPE_CHECKING:  # a type checker would accept every misspelt name

        def __getattr__(self, name: str) -> object:
            """Raise AttributeError with the nearest name."""
            raise unknown_attribute(type(self).__name__, name, dir(type(self)))

    @cached_property
    def _cache(self) -> build.ReadCache:
        """What was read to build changes; a change drops it."""
        return build.ReadCache()

    @property
    def _change_set_class(self) -> Any:
        return getattr(apply, self._change_set)

    def _read_frame(self, kind: str, location: str | None = None) -> Steps[pd.DataFrame]:
        module = "lcnb.frames.arrow" if kind == readings.INSTANCES else "pandas"
        flow = import_meanwhile(self._listing_flow(kind, location), module)
        return self._frame(kind, (yield from wait_for(flow)))

    def _listing_flow(self, kind: str, location: str | None) -> Flow[Listing]:
        """Return the flow that reads a listing and keeps it in the history, which holds some of them."""
        flow = queries.list_records(kind, location, self._catalogue_cache)
        if kind not in readings.KEPT_LISTINGS:
            return flow
        return self._history.record(
            flow, readings.KEPT_LISTINGS[kind], kind if kind == readings.INSTANCES else ""
        )

    def _frame(self, kind: str, listing: Listing) -> pd.DataFrame:
        return listings.listing_frame(kind, listing, self.settings.account, self._name)

    def _make_change_set(self, built: BuiltChanges, read_at: datetime | None = None) -> ChangeSetT:
        # A resource must not count as "already as wanted" while one of its changes may still take effect.
        apply.check_settled(self.settings, built.as_wanted)
        if built.refused:
            raise protection.refused_machines_error(built.changes, built.refused, self.settings)
        changes: ChangeSetT = self._change_set_class(built.changes, self, notes=built.notes, read_at=read_at)
        return changes

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of deadlines and waits, in seconds."""
        clock: Callable[[], float] = self._wire.clock
        return clock

    @property
    def limits(self) -> Mapping[str, int]:
        """The rate limit that the last response reported: `limit` and `remaining` calls, if it did."""
        return dict(self._wire.limits)

    def budget(self) -> BudgetStatus:
        """Return what this token may still send: calls at once (`burst`), then `calls_per_hour`, seconds to wait.

        All processes of this machine that use the token share it; with LCNB_REDIS_URL several machines do. The
        calls of other programs are included, as far as the provider's headers report them.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).budget().blocked_s
        0.0
        """
        budget: Budget | None = self._wire.budget
        return budget.status() if budget else BudgetStatus(0, 0.0, 0.0, 0.0, None, None)

    def journal(self) -> pd.DataFrame:
        """Return every change that any process began from this state folder: what, when, by whom, its outcome.

        One row per change, secrets as stars, times as `datetime64[us, UTC]`. Raises JournalError if the journal
        cannot be read.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).journal().columns[:4].tolist()
        ['at', 'changeset', 'change', 'action']
        """
        return journal.Journal(self.settings.state_dir).frame()

    def pending(self) -> pd.DataFrame:
        """Return the rows of the journal that have no outcome yet; `resume()` settles those of this account.

        >>> import lcnb
        >>> len(lcnb.connect(sandbox=True).pending())
        0
        """
        return journal.Journal(self.settings.state_dir).frame(pending=True)

    # --- listings and single resources --------------------------------------------------------------------

    @client_method
    def instances(self) -> Steps[pd.DataFrame]:
        """Return all machines, one row each. Memory is in MB, disk in GB; `state` is derived from the flags.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).instances().dtypes["memory"]
        Int64Dtype()
        """
        return (yield from self._read_frame("instances"))

    @client_method
    def instance(
        self, machine: str | None = None, *, label: str | None = None, identifier: str | None = None
    ) -> Steps[models.Instance]:
        """Return one machine, by its label or identifier; `label=` and `identifier=` say which of the two it is.

        Raises NotFound if no machine has this name, and InputError that lists all machines that have it. With
        `identifier=` one request reads the machine; a name is looked up in the listing.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).instance("web-01").state
        'running'
        """
        return (yield from wait_for(single_records.find_instance(checked_name(machine, label, identifier))))

    @client_method
    def locations(self) -> Steps[pd.DataFrame]:
        """Return all locations: slug, country, city, available.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).locations().slug.is_unique
        True
        """
        return (yield from self._read_frame("locations"))

    @client_method
    def plans(self, location: str | None = None) -> Steps[pd.DataFrame]:
        """Return the plans of one location, or of all, with resources and price per month.

        `monthly_value` is in the currency that `currencycode` names; memory in MB, disk and bandwidth in GB.
        Raises InputError for an unknown location. If the provider refuses the plans of a location, these are left out
        and a DriftWarning names the location.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).plans("mia1").location.unique().tolist()
        ['MIA1']
        """
        return (yield from self._read_frame("plans", location))

    @client_method
    def images(self, location: str | None = None) -> Steps[pd.DataFrame]:
        """Return the images of one location, or of all: slug, location, distro, os.

        >>> import lcnb
        >>> "debian-12-x86_64" in set(lcnb.connect(sandbox=True).images("MIA1").slug)
        True
        """
        return (yield from self._read_frame("images", location))

    @client_method
    def catalogue(self, *, refresh: bool = False) -> Steps[Catalogue]:
        """Return locations, plans and images of all locations: `.locations`, `.plans`, `.images`, each a frame.

        All processes together read it from the provider at most every 10 minutes (LCNB_CATALOGUE); `refresh=True`
        reads it now. `attrs["lcnb"]["fetched_at"]` of each frame, also of `locations()`, `plans()` and `images()`,
        says when it was read.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).catalogue().plans.location.nunique()
        7
        """
        cache = replace_fields(self._catalogue_cache, refresh=checked_flag("refresh", refresh))
        flow = self._history.record(queries.read_catalogue(cache), readings.catalogue_readings)
        locations, plans, images = yield from wait_for(import_meanwhile(flow, "pandas"))
        return Catalogue(
            self._frame("locations", locations), self._frame("plans", plans), self._frame("images", images)
        )

    @client_method
    def sshkeys(self) -> Steps[pd.DataFrame]:
        """Return all ssh keys: slug, title, public_key."""
        return (yield from self._read_frame("sshkeys"))

    @client_method
    def sshkey(self, slug: str) -> Steps[models.SSHKey]:
        """Return one ssh key; raise NotFound if no key has this slug."""
        return (yield from wait_for(single_records.read_typed(models.SSHKey, queries.read_sshkey(slug))))

    @client_method
    def snapshots(self) -> Steps[pd.DataFrame]:
        """Return all snapshots: slug, label, size (GB), os_reference, reference, build, locations."""
        return (yield from self._read_frame("snapshots"))

    @client_method
    def snapshot(self, slug: str) -> Steps[models.Snapshot]:
        """Return one snapshot; raise NotFound if no snapshot has this slug."""
        return (yield from wait_for(single_records.read_typed(models.Snapshot, queries.read_snapshot(slug))))

    @client_method
    def profile(self) -> Steps[models.Profile]:
        """Return the account: name, e-mail, currency symbol, balance in that currency.

        >>> import lcnb
        >>> type(lcnb.connect(sandbox=True).profile().balance)
        <class 'float'>
        """
        flow = self._history.record(queries.read_single(calls.get_profile()), readings.profile_readings)
        return (yield from wait_for(single_records.read_typed(models.Profile, flow)))

    @client_method
    def inventory(self, *, at: Moment | None = None) -> Steps[pd.DataFrame]:
        """Return machines with location, plan, monthly price and facts: the frame that answers most questions.

        The API does not return the plan of a machine: lcnb infers the plan at its location with the same CPUs,
        memory and disk. If no plan or several plans fit, `plan` and `monthly_value` are missing and `price_note`
        says why. Prices are in the currency of `currencycode`: group by it before adding up.

        `tags`, `owner`, `note`, `protected` (`boolean`) and `expires` (`datetime64[us, UTC]`) come from the facts file
        (`facts()`). Raises InputError, before anything is sent, when that file cannot be read.

        >>> import lcnb
        >>> fleet = lcnb.connect(sandbox=True).inventory()
        >>> fleet[fleet.monthly_value.isna()].price_note.notna().all()
        np.True_

        With `at`, the inventory as it was then: what the last complete reading until that time found, from the history
        of this account on this machine; nothing is requested. `at` is a date (its midnight), a time, or a text
        such as `2026-11-01`, `2026-11-01T09:30-03:00` or `24h` (so long ago); without an offset it is in UTC.
        `attrs["lcnb"]["fetched_at"]` says when that reading was. `.lc` refuses to change machines by these rows.
        Raises InputError if there is no reading before that time.
        """
        if at is not None:
            return self._past_inventory(at)
        facts = self._facts_file.read()
        parts = yield from wait_for(import_meanwhile(self._parts_flow(), "pandas"))
        return inventory_module.inventory_frame(parts, self.settings.account, self._name, facts)

    @client_method
    def _parts(self) -> Steps[queries.InventoryParts]:
        """Return the listings of the inventory; `lcnb.inventory` joins those of several accounts."""
        return (yield from wait_for(self._parts_flow()))

    def _parts_flow(self) -> Flow[queries.InventoryParts]:
        flow = queries.read_inventory(self._catalogue_cache)
        return self._history.record(flow, readings.inventory_readings, readings.INSTANCES)

    @client_method
    def _rows(self, listing: str, location: str | None = None, at: Moment | None = None) -> Steps[Rows]:
        """Return what the method of that name returns, as rows without pandas; the commands print them."""
        if at is not None:
            return self._past_rows(at)
        if listing == "inventory":
            facts = self._facts_file.read()
            return inventory_module.inventory_rows((yield from wait_for(self._parts_flow())), facts)
        return listings.listing_rows(listing, (yield from wait_for(self._listing_flow(listing, location))))

    @client_method
    def reveal(
        self, machine: str | None = None, *, label: str | None = None, identifier: str | None = None
    ) -> Steps[Secret]:
        """Return the initial root password of a machine, masked: `.reveal()` returns the text.

        The machine is named as for `instance`. Listings do not contain the password. Raises NotFound if the provider
        does not return one.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.reveal("web-01")
        *****
        """
        name = checked_name(machine, label, identifier)
        return (yield from wait_for(single_records.find_initial_password(name)))

    # --- changes: each returns a ChangeSet and sends nothing ----------------------------------------------

    @change_method
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
        tags: Tags | Iterable[Tags] | None = None,
        owner: str | None = None,
        expires: str | timedelta | date | None = None,
        protect: bool = False,
    ) -> Flow[BuiltChanges]:
        """Prepare a new machine as a ChangeSet with one change; nothing is sent until `apply`.

        Args:
            label: your name for it; no machine may have it yet, since the provider would create a second one.
            location, plan, image: slugs; the location must offer the plan and the image.
            hostname: by default made from the label.
            ssh_key: slug of a key of the account.
            password: by the provider's rule (12 to 32 characters with upper case, lower case, digit, special).
                Without a password and a key lcnb generates a password; `reveal` returns it.
            tags, owner, expires, protect: facts, which are written when the account shows the new machine: tags as for
                `tag`, in a list or a mapping; `expires` as a duration from now ("8h") or a time.

        Raises InputError that names what is wrong and what is available.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> changes = lc.create_instance("web-99", location="MIA1", plan="1vcpu-1gb-10ssd", image="debian-12-x86_64")
        >>> changes.monthly_difference()
        {'USD': 5.4}
        """
        facts = self._wished_facts(tags, owner, expires, protect)
        spec = build.MachineSpec(label, location, plan, image, hostname, ssh_key, password, facts)
        return build.create_instance(self._cache, spec)

    @change_method
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
        tags: Tags | Iterable[Tags] | None = None,
        owner: str | None = None,
        expires: str | timedelta | date | None = None,
        protect: bool = False,
    ) -> Flow[BuiltChanges]:
        """As `create_instance`, but with no change if a machine of this label and spec exists.

        Raises InputError if it exists with another location, size, image or hostname. The facts of a machine that
        exists are left alone.
        """
        facts = self._wished_facts(tags, owner, expires, protect)
        spec = build.MachineSpec(label, location, plan, image, hostname, ssh_key, password, facts)
        return build.ensure_instance(self._cache, spec)

    @change_method
    def add_sshkey(self, title: str, public_key: str, *, replace: bool = False) -> Flow[BuiltChanges]:
        """Add a public key (ssh-ed25519 or ssh-rsa, one line of OpenSSH).

        A title whose slug is taken would overwrite that key: this needs `replace=True`.
        """
        return build.add_sshkey(self._cache, title, public_key, replace=replace)

    @change_method
    def generate_sshkey(
        self,
        title: str,
        file: str | Path,
        *,
        key_type: str = "ed25519",
        replace: bool = False,
        generate_on_server: bool = False,
    ) -> Flow[BuiltChanges]:
        """Generate a key pair on this machine: write the private key to `file`, and send only the public key.

        Args:
            file: a path that does not exist yet; the file gets mode 0600.
            key_type: ed25519 or rsa (4096 bits).
            replace: overwrite the key whose slug the title has.
            generate_on_server: let the provider generate the pair; it returns the private key only once. Such pairs
                are RSA with 1024 bits, which is weak: some servers refuse them. `key_type` has no effect.
        """
        return build.generate_key_pair(
            self._cache, title, file, kind=key_type, replace=replace, on_server=generate_on_server
        )

    @change_method
    def delete_sshkey(self, slug: str) -> Flow[BuiltChanges]:
        """Delete a key from the account; machines that have it keep it."""
        return build.delete_sshkey(self._cache, slug)

    @change_method
    def rename_snapshot(self, slug: str, label: str) -> Flow[BuiltChanges]:
        """Give a snapshot another label.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> len(lc.rename_snapshot(lc.snapshots().slug[0], "before-upgrade"))
        1
        """
        return build.rename_snapshot(self._cache, slug, label)

    @change_method
    def delete_snapshot(self, slug: str) -> Flow[BuiltChanges]:
        """Delete a snapshot. This cannot be undone."""
        return build.delete_snapshot(self._cache, slug)

    @change_method
    def plan(
        self,
        desired: pd.DataFrame,
        *,
        prune: bool = False,
        allow_delete_all: bool = False,
        skip_busy: bool = False,
        max_delete_percent: float = 20.0,
    ) -> Flow[BuiltChanges]:
        """Return the changes that bring the account to the state in `desired`: creates, plans, power, deletes.

        Args:
            desired: one row per machine, by label; columns location, plan, image, hostname, ssh_key, state (running
                or off). Each but label is optional for a machine that exists. A missing value is not compared.
            prune: delete machines whose label is not in `desired`; a protected machine stays, with a note.
            allow_delete_all: allow `prune` to delete every machine, as an empty `desired` does. Without it such a
                plan is refused: a frame that was filtered to nothing must not delete an account.
            skip_busy: leave out the machines that are busy, still being built or suspended, with a note.
            max_delete_percent: refuse a plan in which `prune` deletes more than this part of the account's machines.

        `.notes` of the ChangeSet lists what cannot be changed in place (location, image, hostname).
        """
        rows = accessor.plain_rows(desired)  # refuses what is no frame
        return build.desired_changes(
            self._cache,
            rows,
            prune=prune,
            allow_delete_all=allow_delete_all,
            skip_busy=skip_busy,
            max_delete_percent=max_delete_percent,
            comments=provenance.frame_facts(desired).get("comments", ()),
            protected=protection.read_protected(self.settings) if checked_flag("prune", prune) else (),
        )

    def changes(self, parts: Iterable[ChangeSetT] = ()) -> ChangeSetT:
        """Join several ChangeSets into one, in their order; of none, return an empty one.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> len(lc.changes(lc.reboot(label=name) for name in ("web-01", "web-03")))
        2
        >>> len(lc.changes())
        0
        """
        empty: ChangeSetT = self._change_set_class([], self)
        return sum(parts, empty)

    def load_changes(self, path: str | Path, *, passwords: Mapping[str, Secret] | None = None) -> ChangeSetT:
        """Read a plan that `ChangeSet.save` wrote.

        No file contains passwords that were typed: pass them again, by label.
        """
        changes: ChangeSetT = self._change_set_class.load(path, self, passwords)
        return changes

    @client_method
    def send(self, call: calls.Call, *, confirm: bool = False) -> Steps[Mapping[str, Any]]:
        """Send one call as it is and return the JSON document. A write is refused without `confirm=True`.

        Prefer the methods that return a ChangeSet: this one writes no journal and does not settle unknown outcomes.
        Raises Protected and ApprovalMissing, as they do, and ReadOnly.
        """
        protection.check_call(call, self.settings)
        if not call.only_reads:
            check_approved(self.settings)
        return (yield from wait_for(single_records.send_confirmed(call, confirm)))

    @client_method
    def resume(
        self,
        changeset: str | None = None,
        confirm: Confirm = None,
        *,
        wait: Wait = False,
        timeout: float | None = None,
        on_error: OnError = "continue",
        passwords: Mapping[str, Secret] | None = None,
        progress: Progress | None = None,
    ) -> Steps[pd.DataFrame]:
        """Continue changes that have no outcome: settle what was sent, send what was planned and not sent.

        Args:
            changeset: the id of one ChangeSet; by default all open ones of this account.
            confirm, wait, timeout, on_error, progress: as for `ChangeSet.apply`; `confirm` takes no typed text.
            passwords: label → the password that was typed; it is stored nowhere, and without it lcnb generates
                another one.

        Returns a frame with one row per change of these ChangeSets, as `apply` does; empty if nothing was open.
        """
        results = []
        if isinstance(confirm, str):  # which of several ChangeSets would it confirm?
            checked_flag("confirm", confirm)
        apply.check_arguments(confirm, wait, timeout, on_error)
        for name in apply.open_changesets(self, changeset):
            how = (confirm, wait, timeout, on_error, passwords, progress)
            with apply.prepare_resume(self, name, *how, others=changeset is None) as work:
                if work is not None:
                    results.append((name, (yield from wait_for(work.resume(), each_call=True))))
        return apply.combined_result(results, on_error)

    @client_method
    def _selected(
        self, flow: Callable[[build.ReadCache], Flow[BuiltChanges]], read_at: datetime | None
    ) -> Steps[ChangeSet[Any]]:
        """Return the changes of rows that were selected in a frame read at that time."""
        return self._make_change_set((yield from wait_for(flow(self._cache))), read_at)
