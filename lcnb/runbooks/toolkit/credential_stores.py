"""For the runbooks `provision` and `password_rotation`: store passwords in a JSON file of mode 0600, or in the keyring.

No password is ever shown. A password that is not known to be in force never replaces one that may be.
"""

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
from lcnb.secret import Secret

if TYPE_CHECKING:
    from lcnb.client import LetsCloud
    from lcnb.runbooks.current import RunContext

#: What is known about a password. IN_FORCE: the machine has it. NOT_SET: it was never set on the machine.
IN_FORCE, NOT_KNOWN, NOT_SET = "in force", "not known to be in force", "not set"
#: Bytes that are written and read back as a trial before anything is sent: the passwords of some 250 machines.
TRIAL_BYTES = 65536
#: At most so many passwords of one machine that are not known to be in force are kept.
MAX_UNKNOWN_PASSWORDS = 9


@dataclass(frozen=True)
class StoredPassword:
    """The root password of a machine, and whether it is in force (`state`)."""

    identifier: str
    label: str
    password: Secret
    state: str
    ipv4: str | None = None
    ipv6: str | None = None


class CredentialStore(Protocol):
    """A place that stores passwords."""

    def write(self, passwords: Sequence[StoredPassword]) -> None:
        """Store passwords and read them back. ConfigError when they are not stored unchanged."""

    def where(self) -> str:
        """Return a description of the place for people."""


@dataclass(frozen=True)
class PasswordFileStore:
    """A JSON file of mode 0600: identifier → label, addresses, user, password, state. Existing entries are kept.

    When a new password is not known to be in force, the previous one of the machine is kept under `earlier`.
    """

    path: Path

    def check(self) -> PasswordFileStore:
        """Return this store. InputError when its file holds something else or cannot be written."""
        self.read()
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise InputError(f"credentials_file {self.path}: its folder cannot be written", not_done="sent")
        trial = self.path.with_name(f".{self.path.name[:40]}.{secrets.token_hex(6)}.trial")
        try:
            write_atomically(trial, b"0" * TRIAL_BYTES, read_back=True)
        except OSError as error:
            raise InputError(
                f"credentials_file {self.path}: passwords cannot be stored there: {error.strerror}",
                not_done="sent",
            ) from None
        finally:
            trial.unlink(missing_ok=True)
        return self

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the file: identifier → entry. A missing file has no entries."""
        try:
            regular = stat.S_ISREG(self.path.stat().st_mode)  # reading /dev/full, or a pipe, never ends
            document = json.loads(self.path.read_text(encoding="utf-8")) if regular else None
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"credentials_file {self.path}: {error}", not_done="sent") from None
        if not isinstance(document, dict) or document.get("lcnb") != "credentials":
            raise InputError(f"credentials_file {self.path}: the file holds something else", not_done="sent")
        return dict(document["machines"])

    def write(self, passwords: Sequence[StoredPassword]) -> None:
        """Add passwords to the file and read it back. ConfigError when it does not hold them unchanged."""
        machines = self.read()
        for each in passwords:
            facts = {"label": each.label, "ipv4": each.ipv4, "ipv6": each.ipv6, "user": "root"}
            entry = {**facts, "password": each.password.reveal(), "state": each.state}
            earlier = _earlier_passwords(machines.get(each.identifier, {}), entry)
            machines[each.identifier] = entry | ({"earlier": earlier} if earlier else {})
        document = {"lcnb": "credentials", "machines": machines}
        text = json.dumps(document, ensure_ascii=True, indent=2) + "\n"
        try:
            write_atomically(self.path, text, mode=0o600, read_back=True)
        except OSError as error:
            raise ConfigError(f"{self.path} does not store the passwords: {error.strerror}.") from None
        if self.read() != machines:
            raise ConfigError(f"{self.path} does not store the passwords: it reads back differently.")

    def where(self) -> str:
        """Return the path of the file."""
        return str(self.path)


def _earlier_passwords(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the passwords of a machine that may still be in force after `new` was written, the latest last."""
    if new["state"] == IN_FORCE or not old:
        return []
    before = [*old.get("earlier", ()), {"password": old["password"], "state": old["state"]}]
    return [each for each in before if each["password"] != new["password"] and each["state"] != NOT_SET]


def open_file_store(run: RunContext, lc: LetsCloud, path: str | Path | None) -> PasswordFileStore:
    """Return the store at a path; by default a file named after the run, in a folder that only its user can read.

    A path in the folder of the run is refused: that folder is shared with its report, and secrets in it are masked.
    """
    if path is None:
        folder = lc.settings.state_dir / "credentials"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return PasswordFileStore(folder / f"{run.folder.name}.json").check()
    where = Path(path).expanduser().absolute()
    if where.is_relative_to(run.folder) and run.confirmed:
        raise InputError(
            f"credentials_file {where}: secrets in the folder of the run are masked", not_done="sent"
        )
    return PasswordFileStore(where).check()


@dataclass(frozen=True)
class KeyringStore:
    """Entries of the keyring. The user name is the label, followed by the state if the password is not in force."""

    service: str

    def write(self, passwords: Sequence[StoredPassword]) -> None:
        """Store passwords, read them back, then delete entries that are superseded. ConfigError when one is lost."""
        unknown = {each.label: self._unknown(each.label) for each in passwords}
        entries = [(self._entry(each, unknown[each.label]), each.password) for each in passwords]
        for user, password in entries:
            store_in_keyring(self.service, user, password)
        for user, password in entries:  # after all were stored: some keyrings hold only one entry
            check_in_keyring(self.service, user, password)
        for each in passwords:
            for user in self._superseded(each, unknown[each.label]):
                delete_from_keyring(self.service, user)

    def _superseded(self, stored: StoredPassword, unknown: Mapping[str, Secret]) -> list[str]:
        """Return the entries of a machine that are not needed any more once this password is stored."""
        if stored.state == IN_FORCE:
            return [*unknown, _marked_entry(stored.label, NOT_SET)]
        if stored.state == NOT_SET:
            return [user for user, password in unknown.items() if password == stored.password]
        return []

    def _entry(self, stored: StoredPassword, unknown: Mapping[str, Secret]) -> str:
        """Return the entry for a password. It is never the entry of another password that may be in force."""
        if stored.state == IN_FORCE:
            return stored.label
        if stored.state == NOT_SET:
            return _marked_entry(stored.label, NOT_SET)
        for user in _unknown_entries(stored.label):
            if unknown.get(user, stored.password) == stored.password:
                return user
        raise ConfigError(
            f"{self.where()} has {MAX_UNKNOWN_PASSWORDS} passwords of {stored.label} that are not known to be in "
            "force, and stores no more of them. Find the one that works, and delete the others."
        )

    def _unknown(self, label: str) -> dict[str, Secret]:
        """Return the passwords of a machine that are not known to be in force: entry → password."""
        found: dict[str, Secret] = {}
        for user in _unknown_entries(label):
            password = read_from_keyring(self.service, user)
            if password is None:
                break
            found[user] = password
        return found

    def where(self) -> str:
        """Return the name of the service in the keyring."""
        return f"the keyring, service {self.service}"


def _marked_entry(label: str, state: str) -> str:
    """Return the entry for a password of a machine that is not in force."""
    return f"{label} ({state})"


def open_store(
    run: RunContext, lc: LetsCloud, keep_in: Literal["file", "keyring"], path: str | Path | None
) -> CredentialStore:
    """Return the store that the parameters of a runbook choose."""
    if keep_in == "keyring":
        return KeyringStore(f"lcnb/passwords of {lc.settings.account or lc.settings.base_url}")
    return open_file_store(run, lc, path)


def _unknown_entries(label: str) -> list[str]:
    """Return the entries for passwords that may be in force: one of an earlier run may be the right one."""
    first = _marked_entry(label, NOT_KNOWN)
    return [first, *(f"{first} {number}" for number in range(2, MAX_UNKNOWN_PASSWORDS + 1))]
