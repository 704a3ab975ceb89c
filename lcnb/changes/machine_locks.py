"""The locks of a ChangeSet across machines: what is locked, and what allows to send a change."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcnb.api.calls import WRITE_ATTEMPT_MIN_S
from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.changes.journal import Journal, current_run, user_name
from lcnb.changes.tasks import apply_rules
from lcnb.config import DEFAULT_SETTLE_S, Settings
from lcnb.errors import JournalError
from lcnb.leases.place import shared_place
from lcnb.leases.records import LOCK_FOLDER, LeaseTimes, LockName
from lcnb.names import comparable_name
from lcnb.transport.budget import budget_key

if TYPE_CHECKING:
    from lcnb.leases.holding import HeldLocks, Holder


@dataclass(frozen=True)
class ChangeLocks:
    """The locks of the changes of one ChangeSet while it is applied."""

    held: HeldLocks
    #: Action, target and identifier of a change → the key of its first lock.
    keys: Mapping[tuple[str, str, str | None], str]

    def ensure(self) -> str:
        """Return why no request may be started now, or nothing; renew the locks where it is time."""
        return self.held.ensure()

    def check(self) -> float:
        """Return the seconds in which a request must be started; Locked when none may be."""
        return self.held.check()

    def fence(self, change: Change) -> int | None:
        """Return the fencing token of the lock of a change."""
        return self.held.fences.get(self.keys.get((change.action, change.target, change.identifier), ""))


@contextmanager
def lock_across_machines(
    settings: Settings, changeset: str, changes: Sequence[Change]
) -> Iterator[ChangeLocks | None]:
    """Hold the locks of what some changes are about; None where no store of runs and no Redis is configured.

    Locked when another machine holds one, or when that is not known.
    """
    place = shared_place()
    if place is None or not changes:
        yield None
        return
    from lcnb.leases.holding import hold_locks

    names = {(each.action, each.target, each.identifier): lock_names(settings, each) for each in changes}
    wanted = list({name for found in names.values() for name in found})
    with hold_locks(
        place, wanted, this_process("sent"), lease_times(settings), settings.state_dir / "locks"
    ) as held:
        try:
            yield ChangeLocks(held, {change: found[0].key for change, found in names.items()})
        finally:
            held.unsettled = _unsettled_changes(settings, changeset)


def _unsettled_changes(settings: Settings, changeset: str) -> list[str]:
    rules = apply_rules(settings)
    try:
        return Journal(settings.state_dir).unsettled(
            changeset, pending_s=rules.settle_s, attempt_s=rules.attempt_s
        )
    except JournalError:
        return [f"ChangeSet {changeset}"]


def lock_names(settings: Settings, change: Change) -> list[LockName]:
    """Return what a change locks: its machine, which has the same identifier everywhere, or a name in its account."""
    kind = action_of(change).target_kind
    if kind == "instance" and change.identifier:
        what = f"{settings.base_url} {change.identifier}"
        return [lock_name(kind, what, f"{change.target} ({change.identifier})")]
    name = change.identifier or comparable_name(change.target)
    return [
        lock_name(kind, f"{whose} {name}", f"{change.action} {change.target}")
        for whose in account_names(settings)
    ]


def account_names(settings: Settings) -> list[str]:
    """Return by what an account is recognised on other machines: its token, and its name in lcnb.toml."""
    names = [f"{settings.base_url} token {budget_key(settings.token)}"]
    return [*names, f"{settings.base_url} account {settings.account}"] if settings.account else names


def lock_name(kind: str, what: str, text: str) -> LockName:
    """Return the lock of something. Its key is a hash: labels and accounts are in no name of the store."""
    return LockName(f"{LOCK_FOLDER}/{kind}-{hashlib.sha256(what.encode()).hexdigest()[:24]}.json", text)


def lease_times(settings: Settings | None) -> LeaseTimes:
    """Return the times of a lease: the margin is as long as a request may take and may then still take effect."""
    if settings is None:
        return LeaseTimes(margin_s=DEFAULT_MARGIN_S)
    rules = apply_rules(settings)
    return LeaseTimes(margin_s=rules.attempt_s + rules.settle_s)


#: The margin for a notebook without an account.
DEFAULT_MARGIN_S = WRITE_ATTEMPT_MIN_S + DEFAULT_SETTLE_S


def this_process(not_done: str) -> Holder:
    """Return what other machines show of this process. `not_done`: what a refusal says did not happen."""
    from lcnb.leases.holding import Holder

    return Holder(user_name(), socket.gethostname(), current_run(), not_done)
