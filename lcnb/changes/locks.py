"""Keep every other process away from a ChangeSet and its machines while it is applied.

Lock files exclude the processes of this machine. Where a store of runs or Redis is configured, leases exclude other
machines (`machine_locks`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.changes.client_protocol import ChangeClient
from lcnb.changes.journal import Journal
from lcnb.changes.machine_locks import ChangeLocks, lock_across_machines
from lcnb.errors import AlreadyApplied, JournalError, LcnbError, Locked
from lcnb.folders import make_state_folder


@contextmanager
def lock_machines(
    client: ChangeClient, changeset: str, changes: Sequence[Change]
) -> Iterator[ChangeLocks | None]:
    """Hold the locks of a ChangeSet and of its machines; yield those across machines, None where none are configured.

    Lock files end with this process at the latest, leases some minutes after it.

    AlreadyApplied when another process applies this ChangeSet, Locked when one changes a machine of it, or when that is
    not known. An error or an interrupt inside gets a note that says how to continue.
    """
    from filelock import FileLock, Timeout

    folder = client.settings.state_dir / "locks"
    make_state_folder(folder)
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(folder / f"{changeset}.lock", timeout=0))
        except Timeout:
            raise AlreadyApplied(
                f"the ChangeSet {changeset} is being applied by another process now. Nothing was sent by this one."
            ) from None
        for identifier, label in sorted(_locked_machines(changes)):
            name = hashlib.sha256(f"{client.settings.base_url} {identifier}".encode()).hexdigest()[:24]
            try:
                held.enter_context(FileLock(folder / f"machine-{name}.lock", timeout=0))
            except Timeout:
                raise Locked(
                    f"another process is changing {label} ({identifier}) now. Nothing was sent by this one; try again "
                    "when that has ended."
                ) from None
        locks = held.enter_context(lock_across_machines(client.settings, changeset, changes))
        held.callback(client._cache.forget_listings)
        held.enter_context(_add_journal_note(client, changeset))
        yield locks


def _locked_machines(changes: Sequence[Change]) -> set[tuple[str, str]]:
    """Return identifier and label of the machines that a set works on.

    New machines have no identifier; the journal keeps their labels apart.
    """
    return {
        (each.identifier, each.target)
        for each in changes
        if each.identifier and action_of(each).target_kind == "instance"
    }


@contextmanager
def _add_journal_note(client: ChangeClient, changeset: str) -> Iterator[None]:
    """Add a note to what ends an apply early: whether its changes were made, or how to settle the open ones."""
    try:
        yield
    except BaseException as stop:  # also a cancellation of asyncio, and Ctrl-C
        with suppress(JournalError):
            journal = Journal(client.settings.state_dir)
            if journal.entries(changeset, pending=True):
                stop.add_note(
                    f"the journal records the open changes of the ChangeSet {changeset}: `lcnb pending` shows them, "
                    "`lcnb resume` settles them."
                )
            elif not isinstance(stop, LcnbError) and journal.entries(changeset):
                stop.add_note(
                    f"every change of the ChangeSet {changeset} has its outcome, which `lcnb journal` shows: only the "
                    "waiting was interrupted, and nothing has to be sent again."
                )
        raise
