"""Where runbooks keep passwords: a JSON file of mode 0600, or the keyring. Nothing here is ever shown.

A password that is about to be set is written down before its request is sent, marked as not known to be in force;
the mark goes when the change has an outcome. So whatever ends a run, no password is lost, and none is taken for
one that is in force without being so.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lcnb.accessor import rows_of
from lcnb.config import drop_from_keyring, keep_in_keyring
from lcnb.errors import ApiError, InputError, LcnbError
from lcnb.files import write_atomically
from lcnb.flags import checked_flag
from lcnb.journal import Journal
from lcnb.passwords import new_password
from lcnb.runbooks.operations import NOTHING, done_before, wait_until_ready
from lcnb.secret import Secret

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.apply import SyncChangeSet
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import Run

#: What is known of a password. IN_FORCE: the machine has it. NOT_SET: it has not, its reset was not made.
IN_FORCE, NOT_KNOWN, NOT_SET = "in force", "not known to be in force", "not set"


@dataclass(frozen=True)
class Kept:
    """The root password of a machine, as it is kept."""

    identifier: str
    label: str
    password: Secret
    state: str
    ipv4: str | None = None
    ipv6: str | None = None


class Store(Protocol):
    def write(self, kept: Sequence[Kept]) -> None: ...

    def where(self) -> str: ...


# --- a file ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileStore:
    """A JSON file, mode 0600: identifier → label, addresses, user, password, state. What it holds already stays."""

    path: Path

    def check(self) -> FileStore:
        """This store. InputError when the path holds something else, or cannot be written: before anything is sent."""
        self.read()
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise InputError(f"credentials_file {self.path}: its folder cannot be written. {NOTHING}")
        return self

    def read(self) -> dict[str, dict[str, Any]]:
        """What the file holds; nothing when it is not there."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"credentials_file {self.path}: {error}. {NOTHING}") from None
        if not isinstance(document, dict) or document.get("lcnb") != "credentials":
            raise InputError(f"credentials_file {self.path}: it holds something else. {NOTHING}")
        return dict(document["machines"])

    def write(self, kept: Sequence[Kept]) -> None:
        machines = self.read()
        for each in kept:
            facts = {"label": each.label, "ipv4": each.ipv4, "ipv6": each.ipv6, "user": "root"}
            machines[each.identifier] = {**facts, "password": each.password.reveal(), "state": each.state}
        document = {"lcnb": "credentials", "machines": machines}
        write_atomically(self.path, json.dumps(document, ensure_ascii=False, indent=2) + "\n", mode=0o600)

    def where(self) -> str:
        return str(self.path)


def file_store(run: Run, lc: LetsCloud, path: str | Path | None) -> FileStore:
    """The given path, or a file named after the run, in a folder of lcnb's own that only its user can read.

    Never the run's folder: that is handed on with its report, and is searched for secrets, which are masked there.
    """
    if path is None:
        folder = lc.settings.state_dir / "credentials"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileStore(folder / f"{run.folder.name}.json").check()
    where = Path(path).expanduser().absolute()
    if where.is_relative_to(run.folder) and run.confirmed:
        raise InputError(f"credentials_file {where}: in the run's own folder it would be masked. {NOTHING}")
    return FileStore(where).check()


# --- the keyring ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyringStore:
    """Entries of the keyring: the label as the user; one that is not in force has its state behind the label."""

    service: str

    def write(self, kept: Sequence[Kept]) -> None:
        for each in kept:
            if each.state == IN_FORCE:
                keep_in_keyring(self.service, each.label, each.password)
                for state in (NOT_KNOWN, NOT_SET):
                    drop_from_keyring(self.service, _marked(each.label, state))
            else:
                keep_in_keyring(self.service, _marked(each.label, each.state), each.password)
                if each.state == NOT_SET:
                    drop_from_keyring(self.service, _marked(each.label, NOT_KNOWN))

    def where(self) -> str:
        return f"the keyring, service {self.service}"


def _marked(label: str, state: str) -> str:
    return f"{label} ({state})"


def store(run: Run, lc: LetsCloud, keep_in: Literal["file", "keyring"], path: str | Path | None) -> Store:
    """Where a runbook keeps passwords, by its parameters."""
    if keep_in == "keyring":
        return KeyringStore(f"lcnb/passwords of {lc.settings.account or lc.settings.base_url}")
    return file_store(run, lc, path)


# --- what runbooks do with it ---------------------------------------------------------------------------


def keep_when_ready(
    lc: LetsCloud, run: Run, labels: Sequence[str], where: Store, *, timeout: float
) -> pd.DataFrame:
    """Wait until new machines are ready, keep their initial passwords as the provider tells them, give the machines.

    Those that are ready are kept even when others are not; then WaitTimeout is raised. One that was made with a key
    alone, and whose password nobody tells, is not in the file.
    """
    try:
        wait_until_ready(lc, labels, timeout=timeout)
    finally:
        machines = lc.inventory()
        machines = machines[machines.label.isin(list(labels)) & machines.identifier.notna()]
        told = [(each, _told(lc, each["identifier"])) for each in rows_of(machines)]
        kept = [
            Kept(each["identifier"], each["label"], password, IN_FORCE, each["ipv4"], each["ipv6"])
            for each, password in told
            if password is not None
        ]
        if kept:
            where.write(kept)
            print(f"Passwords of {len(kept)} machines: {where.where()}")
    return machines


def _told(lc: LetsCloud, identifier: str) -> Secret | None:
    """The password that the provider tells; None when it tells none now."""
    try:
        return lc.reveal(identifier)
    except ApiError:
        return None


@contextmanager
def new_passwords(
    lc: LetsCloud, run: Run, machines: pd.DataFrame, where: Store, *, dry_run: bool
) -> Iterator[SyncChangeSet]:
    """The ChangeSet that gives machines new passwords, which are kept before it can be applied, and marked after.

    Within the block it is applied (or not); at its end, however it ends, the journal tells which were set. What runs
    that this one goes on with have set is kept too, as the provider tells it.
    """
    dry_run = checked_flag("dry_run", dry_run)
    before = {str(entry.identifier): entry.target for entry in done_before(run, lc, "reset password")}
    doubled = machines.label[machines.label.duplicated() | machines.label.isna()]
    if len(doubled):
        raise InputError(
            f"label {doubled.iloc[0]!r}: not that of one machine alone; give each its own. {NOTHING}"
        )
    chosen = machines[~machines.identifier.isin(list(before))]
    kept = [
        Kept(each["identifier"], each["label"], Secret(new_password()), NOT_KNOWN, each["ipv4"], each["ipv6"])
        for each in rows_of(chosen)
    ]
    changes = lc.changes(lc.reset_password(each.identifier, password=each.password) for each in kept)
    if dry_run:
        yield changes
        return
    if kept:
        where.write(kept)
    try:
        yield changes
    finally:
        settled = [*_settled(lc, kept, changes.id), *_earlier(lc, run, before)]
        if settled:
            where.write(settled)
            counts = Counter(each.state for each in settled)
            told = ", ".join(f"{count} {state}" for state, count in counts.items())
            print(f"Passwords ({told}): {where.where()}")


def _settled(lc: LetsCloud, kept: Sequence[Kept], changeset: str) -> list[Kept]:
    entries = Journal(lc.settings.state_dir).entries(changeset)
    states = {entry.identifier or entry.plan["identifier"]: entry.state for entry in entries}
    known = {"done": IN_FORCE, "sent": NOT_KNOWN, "unknown": NOT_KNOWN}
    return [replace(each, state=known.get(states.get(each.identifier, ""), NOT_SET)) for each in kept]


def _earlier(lc: LetsCloud, run: Run, before: dict[str, str]) -> list[Kept]:
    """What earlier runs have set: told by the provider, for a resumed reset may have another password than planned;
    where it tells none, as the earlier run's file has it."""
    found: dict[str, dict[str, Any]] = {}
    for name in run.resumes:
        try:
            found |= FileStore(lc.settings.state_dir / "credentials" / f"{name}.json").read()
        except LcnbError:
            continue
    kept = []
    for identifier, label in before.items():
        told, old = _told(lc, identifier), found.get(identifier, {})
        password = told or (Secret(old["password"]) if old else None)
        if password is not None:
            state = IN_FORCE if told else NOT_KNOWN
            kept.append(Kept(identifier, label, password, state, old.get("ipv4"), old.get("ipv6")))
    return kept
