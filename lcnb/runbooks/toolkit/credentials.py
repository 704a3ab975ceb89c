"""Store initial passwords of new machines, and reset passwords without ever losing one.

A new password is stored and read back before its request is sent, marked as not known to be in force; the mark is removed when
the outcome is known. So no password is lost, however a run ends, and none is taken for one in force without being so."""

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
from lcnb.runbooks.toolkit.targets import NOTHING_SENT, has_label
from lcnb.runbooks.toolkit.waiting import wait_until_ready
from lcnb.secret import Secret
from lcnb.streams import print_line

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext


# --- what runbooks do with it ---------------------------------------------------------------------------


def store_when_ready(
    lc: LetsCloud, run: RunContext, labels: Sequence[str], where: CredentialStore, *, timeout: float
) -> pd.DataFrame:
    """Wait until new machines are ready, keep their initial passwords as the provider tells them, give the machines.

    Those that are ready are kept even when others are not; then WaitTimeout is raised. One that was made with a key
    alone, and whose password nobody tells, is not in the file.
    """
    try:
        wait_until_ready(lc, labels, timeout=timeout)
    finally:
        machines = lc.inventory()
        machines = machines[has_label(machines, labels) & machines.identifier.notna()]
        told = [(each, _provider_password(lc, each["identifier"])) for each in plain_rows(machines)]
        kept = [
            StoredPassword(each["identifier"], each["label"], password, IN_FORCE, each["ipv4"], each["ipv6"])
            for each, password in told
            if password is not None
        ]
        if kept:
            try:
                where.write(kept)
            except LcnbError as problem:
                raise ConfigError(
                    f"{str(problem).removesuffix(NOTHING_SENT).strip()} The machines were made; the provider still tells "
                    "their initial passwords: lcnb.connect().reveal(IDENTIFIER)."
                ) from problem
            print_line(f"Passwords of {len(kept)} machines: {where.where()}")
    return machines


def _provider_password(lc: LetsCloud, identifier: str) -> Secret | None:
    """The password that the provider tells; None when it tells none now."""
    try:
        return lc.reveal(identifier)
    except ApiError:
        return None


@contextmanager
def password_resets(
    lc: LetsCloud, run: RunContext, machines: pd.DataFrame, where: CredentialStore, *, dry_run: bool
) -> Iterator[SyncChangeSet]:
    """The ChangeSet that gives machines new passwords, which are kept before it can be applied, and marked after.

    Within the block it is applied (or not); at its end, however it ends, the journal tells which were set. What runs
    that this one goes on with have set is kept too, as the provider tells it.
    """
    dry_run = checked_flag("dry_run", dry_run)
    before = {str(entry.identifier): entry.target for entry in changes_done(run, lc, "reset password")}
    doubled = machines.label[machines.label.duplicated() | machines.label.isna()]
    if len(doubled):
        raise InputError(
            f"label {doubled.iloc[0]!r}: not that of one machine alone; give each its own. {NOTHING_SENT}"
        )
    chosen = machines[~machines.identifier.isin(list(before))]
    kept = [
        StoredPassword(
            each["identifier"], each["label"], Secret(new_password()), NOT_KNOWN, each["ipv4"], each["ipv6"]
        )
        for each in plain_rows(chosen)
    ]
    changes = lc.changes(lc.reset_password(each.identifier, password=each.password) for each in kept)
    if dry_run:
        yield changes
        return
    if kept:
        try:
            where.write(kept)
        except LcnbError as problem:
            raise ConfigError(
                f"{str(problem).removesuffix(NOTHING_SENT).strip()} No password was reset."
            ) from None
    try:
        yield changes
    finally:
        settled = [*_settled_passwords(lc, kept, changes.id), *_earlier_run_passwords(lc, run, before)]
        if settled:
            try:
                where.write(settled)
            except LcnbError as problem:
                raise ConfigError(
                    f"{str(problem).removesuffix(NOTHING_SENT).strip()} Each new password was kept before the resets, "
                    f"marked as {NOT_KNOWN!r}: {where.where()}. Which were reset: lcnb journal."
                ) from problem
            counts = Counter(each.state for each in settled)
            told = ", ".join(f"{count} {state}" for state, count in counts.items())
            print_line(f"Passwords ({told}): {where.where()}")


def _settled_passwords(lc: LetsCloud, kept: Sequence[StoredPassword], changeset: str) -> list[StoredPassword]:
    entries = Journal(lc.settings.state_dir).entries(changeset)
    states = {entry.identifier or entry.plan["identifier"]: entry.state for entry in entries}
    known = {"done": IN_FORCE, "sent": NOT_KNOWN, "unknown": NOT_KNOWN}
    return [replace(each, state=known.get(states.get(each.identifier, ""), NOT_SET)) for each in kept]


def _earlier_run_passwords(lc: LetsCloud, run: RunContext, before: dict[str, str]) -> list[StoredPassword]:
    """What earlier runs have set: told by the provider, for a resumed reset may have another password than planned;
    where it tells none, as the earlier run's file has it."""
    found: dict[str, dict[str, Any]] = {}
    for name in run.resumes:
        try:
            found |= PasswordFileStore(lc.settings.state_dir / "credentials" / f"{name}.json").read()
        except LcnbError:
            continue
    kept = []
    for identifier, label in before.items():
        told, old = _provider_password(lc, identifier), found.get(identifier, {})
        password = told or (Secret(old["password"]) if old else None)
        if password is not None:
            state = IN_FORCE if told else NOT_KNOWN
            kept.append(StoredPassword(identifier, label, password, state, old.get("ipv4"), old.get("ipv6")))
    return kept
