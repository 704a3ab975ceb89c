"""For the runbooks `provision` and `password_rotation`: store new passwords without ever losing one.

Before a reset is requested, the new password is stored with the mark "not known to be in force" and read back. The
mark is removed when the outcome is known. However a run ends, no password is lost, and none is marked as in force that
is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lcnb.api.passwords import new_password
from lcnb.changes.accessor import plain_rows
from lcnb.changes.journal import Journal
from lcnb.errors import ApiError, ConfigError, InputError, LcnbError
from lcnb.flags import checked_flag
from lcnb.runbooks.toolkit.credential_stores import (
    IN_FORCE,
    NOT_KNOWN,
    NOT_SET,
    CredentialStore,
    PasswordFileStore,
    StoredPassword,
)
from lcnb.runbooks.toolkit.earlier_runs import changes_done
from lcnb.runbooks.toolkit.targets import has_label
from lcnb.runbooks.toolkit.waiting import wait_until_ready
from lcnb.secret import Secret
from lcnb.streams import print_line

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


def store_when_ready(
    lc: LetsCloud, run: RunContext, labels: Sequence[str], where: CredentialStore, *, timeout: float
) -> pd.DataFrame:
    """Wait until new machines are ready, store their initial passwords, and return the machines as an inventory.

    `timeout` is in seconds. When some machines are not ready in time, the passwords of the others are stored before
    WaitTimeout is raised. A machine whose password the provider does not reveal, because it was created with an ssh
    key, is left out. ConfigError when the passwords cannot be stored.
    """
    try:
        wait_until_ready(lc, labels, timeout=timeout)
    finally:
        machines = lc.inventory()
        machines = machines[has_label(machines, labels) & machines.identifier.notna()]
        revealed = [(each, _reveal_password(lc, each["identifier"])) for each in plain_rows(machines)]
        passwords = [_stored(each, password, IN_FORCE) for each, password in revealed if password is not None]
        if passwords:
            advice = (
                "The machines were created, and the provider still reveals their initial passwords: "
                "lcnb.connect().reveal(IDENTIFIER)."
            )
            with _explain_failed_write(advice):
                where.write(passwords)
            print_line(f"Passwords of {len(passwords)} machines: {where.where()}")
    return machines


@contextmanager
def _explain_failed_write(consequence: str) -> Iterator[None]:
    """Turn the failure to store passwords into a ConfigError that ends with this sentence.

    Without the frames of the store: their variables hold all passwords of the file, and a traceback may print them.
    """
    try:
        yield
    except LcnbError as error:
        raise ConfigError(error.statement, cure=consequence) from None


def _stored(machine: dict[str, Any], password: Secret, state: str) -> StoredPassword:
    return StoredPassword(
        machine["identifier"], machine["label"], password, state, machine["ipv4"], machine["ipv6"]
    )


def _reveal_password(lc: LetsCloud, identifier: str) -> Secret | None:
    """Return the password that the provider reveals; None when it reveals none at present."""
    try:
        return lc.reveal(identifier=identifier)
    except ApiError:
        return None


@contextmanager
def password_resets(
    lc: LetsCloud, run: RunContext, machines: pd.DataFrame, where: CredentialStore, *, dry_run: bool
) -> Iterator[SyncChangeSet]:
    """Yield the ChangeSet that gives machines new passwords.

    The passwords are stored before the ChangeSet can be applied within the block. At the end of the block, whether it
    raises or not, the journal shows which passwords were set, and their marks are updated. Passwords that resumed runs
    have set are stored as well, as the provider reveals them. InputError for machines without a label of their own.
    """
    dry_run = checked_flag("dry_run", dry_run)
    before = {str(entry.identifier): entry.target for entry in changes_done(run, lc, "reset password")}
    doubled = machines.label[machines.label.duplicated() | machines.label.isna()]
    if len(doubled):
        raise InputError(
            f"label {doubled.iloc[0]!r} does not belong to one machine only",
            cure="Give each machine its own label.",
            value=doubled.iloc[0],
            not_done="sent",
        )
    chosen = machines[~machines.identifier.isin(list(before))]
    passwords = [_stored(each, Secret(new_password()), NOT_KNOWN) for each in plain_rows(chosen)]
    changes = lc.changes(lc.reset_password(each.identifier, password=each.password) for each in passwords)
    if dry_run:
        yield changes
        return
    if passwords:
        with _explain_failed_write("No password was reset."):
            where.write(passwords)
    try:
        yield changes
    finally:
        settled = [*_settled_passwords(lc, passwords, changes.id), *_earlier_run_passwords(lc, run, before)]
        if settled:
            advice = (
                f"Each new password was stored before the resets, marked as {NOT_KNOWN!r}: {where.where()}. "
                "`lcnb journal` shows which were reset."
            )
            with _explain_failed_write(advice):
                where.write(settled)
            counts = Counter(each.state for each in settled)
            shown = ", ".join(f"{count} {state}" for state, count in counts.items())
            print_line(f"Passwords ({shown}): {where.where()}")


def _settled_passwords(
    lc: LetsCloud, passwords: Sequence[StoredPassword], changeset: str
) -> list[StoredPassword]:
    """Return the passwords with the state that the journal shows for their resets."""
    entries = Journal(lc.settings.state_dir).entries(changeset)
    states = {entry.identifier or entry.plan["identifier"]: entry.state for entry in entries}
    known = {"done": IN_FORCE, "sent": NOT_KNOWN, "unknown": NOT_KNOWN}
    return [replace(each, state=known.get(states.get(each.identifier, ""), NOT_SET)) for each in passwords]


def _earlier_run_passwords(lc: LetsCloud, run: RunContext, before: dict[str, str]) -> list[StoredPassword]:
    """Return the passwords that resumed runs have set.

    The provider is asked first, because a resumed reset may have set another password than planned. Where it reveals
    none, the password in the file of the earlier run is used.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in run.resumes:
        try:
            entries = PasswordFileStore(lc.settings.state_dir / "credentials" / f"{name}.json").read()
        except LcnbError:
            continue
        found |= {
            key: {**each, "password": Secret(each["password"]), "earlier": ()}
            for key, each in entries.items()
        }
        del entries  # the provider is asked next, and a traceback may print the variables of this frame
    passwords = []
    for identifier, label in before.items():
        revealed, old = _reveal_password(lc, identifier), found.get(identifier, {})
        password = revealed or old.get("password")
        if password is not None:
            state = IN_FORCE if revealed else NOT_KNOWN
            passwords.append(
                StoredPassword(identifier, label, password, state, old.get("ipv4"), old.get("ipv6"))
            )
    return passwords
