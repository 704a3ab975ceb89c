"""The host keys of machines that lcnb has seen: a known_hosts file that ssh reads too.

The key of a new machine is recorded when it answers for the first time, so that the first login is checked already. A
line ends with the identifier of its machine: when the provider gives an address to another machine, the line of the
earlier one is replaced. The key of the same machine never changes silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lcnb.files import read_text, write_atomically
from lcnb.folders import config_dir

LOCK_TIMEOUT_S = 60.0
_COMMENT_PREFIX = "lcnb:"


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type, such as `ssh-ed25519`, and its data in Base64."""

    kind: str
    data: str


class HostKeyChanged(Exception):
    """The machine shows another key than the one that is recorded for it; the text names the line."""


def known_hosts_path() -> Path:
    """Return the path of the file, next to lcnb.toml."""
    return config_dir() / "known_hosts"


def host_pattern(address: str, port: int) -> str:
    """Return the address as known_hosts writes it.

    >>> host_pattern("203.0.113.5", 22), host_pattern("2001:db8::1", 2222)
    ('203.0.113.5', '[2001:db8::1]:2222')
    """
    return address if port == 22 else f"[{address}]:{port}"


class KnownHosts:
    """The file. `check_and_record` may be called by several threads and processes at once."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or known_hosts_path()

    def recorded_keys(self, address: str, port: int, identifier: str) -> list[HostKey]:
        """Return the keys that the machine must show; those of another machine at this address do not count."""
        return [key for _, key, owner in self._lines_of(address, port) if owner in ("", identifier)]

    def check_and_record(self, address: str, port: int, identifier: str, key: HostKey) -> bool:
        """Record the key of a machine; return whether it is new. Raises HostKeyChanged, and OSError for the file."""
        from filelock import FileLock

        if self._is_known(address, port, identifier, key):
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=LOCK_TIMEOUT_S, mode=0o600):
            if self._is_known(address, port, identifier, key):
                return False
            outdated = {number for number, _, _ in self._lines_of(address, port)}
            kept = [line for number, line in enumerate(self._lines(), 1) if number not in outdated]
            new = f"{host_pattern(address, port)} {key.kind} {key.data} {_COMMENT_PREFIX}{identifier}"
            write_atomically(self.path, "\n".join([*kept, new]) + "\n")
        return True

    def _is_known(self, address: str, port: int, identifier: str, key: HostKey) -> bool:
        """Whether the key is recorded. Raises HostKeyChanged if another one is recorded for the machine."""
        own = [
            (number, known)
            for number, known, owner in self._lines_of(address, port)
            if owner in ("", identifier)
        ]
        if any(known == key for _, known in own):
            return True
        if own:
            raise HostKeyChanged(
                f"its host key is not the one in line {own[0][0]} of {self.path}. If it was reinstalled, delete this "
                "line; otherwise somebody else answers at its address"
            )
        return False

    def _lines_of(self, address: str, port: int) -> list[tuple[int, HostKey, str]]:
        """Return number, key and owner of the lines about an address; the owner is "" if the line does not say."""
        pattern = host_pattern(address, port)
        found = []
        for number, line in enumerate(self._lines(), 1):
            words = line.split()
            if len(words) >= 3 and pattern in words[0].split(","):
                comment = re.fullmatch(rf"{_COMMENT_PREFIX}(\S+)", words[3]) if len(words) == 4 else None
                found.append((number, HostKey(words[1], words[2]), comment[1] if comment else ""))
        return found

    def _lines(self) -> list[str]:
        try:
            return read_text(self.path).splitlines()
        except FileNotFoundError:
            return []
