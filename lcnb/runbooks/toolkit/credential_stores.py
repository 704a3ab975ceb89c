"""Where runbooks keep passwords: a JSON file of mode 0600, or the keyring. Nothing here is ever shown.

A password that is not known to be in force never replaces one that may be."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lcnb.errors import ConfigError, InputError
from lcnb.files import write_atomically
from lcnb.keyring_entries import check_in_keyring, delete_from_keyring, read_from_keyring, store_in_keyring
from lcnb.runbooks.toolkit.targets import NOTHING_SENT
from lcnb.secret import Secret

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext

#: What is known of a password. IN_FORCE: the machine has it. NOT_SET: it has not, its reset was not made.
IN_FORCE, NOT_KNOWN, NOT_SET = "in force", "not known to be in force", "not set"
#: What is written for a trial, and read back, before anything is sent: more than the passwords of some 250 machines.
TRIAL_BYTES = 65536
#: Passwords of one machine that are not known to be in force, at most.
MAX_UNKNOWN_PASSWORDS = 9


@dataclass(frozen=True)
class StoredPassword:
    """The root password of a machine, as it is kept."""

    identifier: str
    label: str
    password: Secret
    state: str
    ipv4: str | None = None
    ipv6: str | None = None


class CredentialStore(Protocol):
    def write(self, kept: Sequence[StoredPassword]) -> None: ...

    def where(self) -> str: ...


# --- a file ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PasswordFileStore:
    """A JSON file, mode 0600: identifier → label, addresses, user, password, state. What it holds already stays.

    A password that is not in force does not take the place of another: that one is kept under `earlier`.
    """

    path: Path

    def check(self) -> PasswordFileStore:
        """This store. InputError when the path holds something else, or keeps nothing: before anything is sent."""
        self.read()
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise InputError(f"credentials_file {self.path}: its folder cannot be written. {NOTHING_SENT}")
        trial = self.path.with_name(f".{self.path.name[:40]}.{secrets.token_hex(6)}.trial")
        try:
            write_atomically(trial, b"0" * TRIAL_BYTES, read_back=True)
        except OSError as error:
            raise InputError(
                f"credentials_file {self.path}: passwords cannot be kept there: {error.strerror}. {NOTHING_SENT}"
            ) from None
        finally:
            trial.unlink(missing_ok=True)
        return self

    def read(self) -> dict[str, dict[str, Any]]:
        """What the file holds; nothing when it is not there."""
        try:
            regular = stat.S_ISREG(self.path.stat().st_mode)  # reading /dev/full, or a pipe, never ends
            document = json.loads(self.path.read_text(encoding="utf-8")) if regular else None
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"credentials_file {self.path}: {error}. {NOTHING_SENT}") from None
        if not isinstance(document, dict) or document.get("lcnb") != "credentials":
            raise InputError(f"credentials_file {self.path}: it holds something else. {NOTHING_SENT}")
        return dict(document["machines"])

    def write(self, kept: Sequence[StoredPassword]) -> None:
        machines = self.read()
        for each in kept:
            facts = {"label": each.label, "ipv4": each.ipv4, "ipv6": each.ipv6, "user": "root"}
            entry = {**facts, "password": each.password.reveal(), "state": each.state}
            earlier = _earlier_passwords(machines.get(each.identifier, {}), entry)
            machines[each.identifier] = entry | ({"earlier": earlier} if earlier else {})
        document = {"lcnb": "credentials", "machines": machines}
        text = json.dumps(document, ensure_ascii=True, indent=2) + "\n"
        try:
            write_atomically(self.path, text, mode=0o600, read_back=True)
        except OSError as error:
            raise ConfigError(f"{self.path} does not keep the passwords: {error.strerror}.") from None
        if self.read() != machines:
            raise ConfigError(f"{self.path} does not keep the passwords: it reads back differently.")

    def where(self) -> str:
        return str(self.path)


def _earlier_passwords(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Passwords of a machine that may still be in force once `new` was written, the latest last."""
    if new["state"] == IN_FORCE or not old:
        return []
    before = [*old.get("earlier", ()), {"password": old["password"], "state": old["state"]}]
    return [each for each in before if each["password"] != new["password"] and each["state"] != NOT_SET]


def open_file_store(run: RunContext, lc: LetsCloud, path: str | Path | None) -> PasswordFileStore:
    """The given path, or a file named after the run, in a folder of lcnb's own that only its user can read.

    Never the run's folder: that is handed on with its report, and is searched for secrets, which are masked there.
    """
    if path is None:
        folder = lc.settings.state_dir / "credentials"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return PasswordFileStore(folder / f"{run.folder.name}.json").check()
    where = Path(path).expanduser().absolute()
    if where.is_relative_to(run.folder) and run.confirmed:
        raise InputError(
            f"credentials_file {where}: in the run's own folder it would be masked. {NOTHING_SENT}"
        )
    return PasswordFileStore(where).check()


# --- the keyring ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyringStore:
    """Entries of the keyring: the label as the user; one that is not in force has its state behind the label."""

    service: str

    def write(self, kept: Sequence[StoredPassword]) -> None:
        unknown = {each.label: self._unknown(each.label) for each in kept}
        entries = [(self._entry(each, unknown[each.label]), each.password) for each in kept]
        for user, password in entries:
            store_in_keyring(self.service, user, password)
        for user, password in entries:  # a keyring may hold one entry alone
            check_in_keyring(self.service, user, password)
        for each in kept:
            over = [
                user
                for user, password in unknown[each.label].items()
                if each.state == IN_FORCE or (each.state == NOT_SET and password == each.password)
            ]
            for user in [*over, *([_marked_entry(each.label, NOT_SET)] if each.state == IN_FORCE else [])]:
                delete_from_keyring(self.service, user)

    def _entry(self, kept: StoredPassword, unknown: Mapping[str, Secret]) -> str:
        """Under which name a password is kept; one that may be in force is never replaced by another such one."""
        if kept.state == IN_FORCE:
            return kept.label
        if kept.state == NOT_SET:
            return _marked_entry(kept.label, NOT_SET)
        for user in _unknown_entries(kept.label):
            if unknown.get(user, kept.password) == kept.password:
                return user
        raise ConfigError(
            f"{self.where()} has {MAX_UNKNOWN_PASSWORDS} passwords of {kept.label} that are not known to be in force, and no "
            "further one is kept. Find the one that works, and delete the others."
        )

    def _unknown(self, label: str) -> dict[str, Secret]:
        """The passwords of a machine that are not known to be in force, by their entries."""
        found: dict[str, Secret] = {}
        for user in _unknown_entries(label):
            password = read_from_keyring(self.service, user)
            if password is None:
                break
            found[user] = password
        return found

    def where(self) -> str:
        return f"the keyring, service {self.service}"


def _marked_entry(label: str, state: str) -> str:
    return f"{label} ({state})"


def open_store(
    run: RunContext, lc: LetsCloud, keep_in: Literal["file", "keyring"], path: str | Path | None
) -> CredentialStore:
    """Where a runbook keeps passwords, by its parameters."""
    if keep_in == "keyring":
        return KeyringStore(f"lcnb/passwords of {lc.settings.account or lc.settings.base_url}")
    return open_file_store(run, lc, path)


def _unknown_entries(label: str) -> list[str]:
    """The entries for passwords that are not known to be in force: that of an earlier run may be the right one."""
    first = _marked_entry(label, NOT_KNOWN)
    return [first, *(f"{first} {number}" for number in range(2, MAX_UNKNOWN_PASSWORDS + 1))]
