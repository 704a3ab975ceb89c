"""The host keys of machines that lcnb has seen: a known_hosts file that ssh reads too.

The key of a new machine is recorded when it answers for the first time, so that the first login is checked already. A
line ends with the identifier of its machine: when the provider gives an address to another machine, the line of the
earlier one is replaced. The key of the same machine never changes silently.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lcnb.files import NotText, kept_mode, read_text, replace_file
from lcnb.folders import config_dir

#: Seconds in which another process has to have written its line. Less than an attempt takes: see `reachability`.
LOCK_TIMEOUT_S = 5.0
_OWN_LINE = re.compile(r"(\S+) (\S+) (\S+) lcnb:(\S+)")


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type, such as `ssh-ed25519`, and its data in Base64."""

    kind: str
    data: str


class HostKeyRefused(Exception):
    """The machine shows another key than the recorded one, or a revoked one; the text names the line."""


class KnownHostsUnusable(Exception):
    """The file cannot be read or written; the text names it and the reason."""


class KnownHostsBusy(Exception):
    """Another process holds the lock of the file; the text names the file."""


class _KnownKey(NamedTuple):
    """What a line says about an address: its number, a key, and whether that is revoked."""

    line: int
    key: HostKey
    revoked: bool = False


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
    """The file. `check` and `record` may be called by several threads and processes at once.

    Each raises HostKeyRefused for a key that the machine must not show, and KnownHostsUnusable for the file; `record`
    also KnownHostsBusy while another process writes.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or known_hosts_path()

    def recorded_keys(self, address: str, port: int, identifier: str) -> list[HostKey]:
        """Return the keys that the machine may show; those of another machine at this address do not count."""
        return [each.key for each in self._keys_of(address, port, identifier) if not each.revoked]

    def check(self, address: str, port: int, identifier: str, key: HostKey) -> bool:
        """Return whether the key of a machine is recorded."""
        known = self._keys_of(address, port, identifier)
        revoked = next((each for each in known if each.revoked and each.key == key), None)
        if revoked:
            raise HostKeyRefused(f"its host key is revoked in line {revoked.line} of {self.path}")
        valid = [each for each in known if not each.revoked]
        if valid and key not in [each.key for each in valid]:
            raise HostKeyRefused(
                f"its host key is not the one in line {valid[0].line} of {self.path}. If it was reinstalled, delete "
                "this line; otherwise somebody else answers at its address"
            )
        return bool(valid)

    def record(self, address: str, port: int, identifier: str, key: HostKey) -> bool:
        """Record the key of a machine; return whether it is new."""
        from filelock import FileLock, Timeout

        if self.check(address, port, identifier, key):
            return False
        try:
            # With the file of a symbolic link, so that all who write it use the same lock.
            path = self.path.resolve()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(
                path.with_name(f".{path.name}.lock"), timeout=LOCK_TIMEOUT_S, mode=kept_mode(path)
            )
            with lock:
                if self.check(address, port, identifier, key):
                    return False
                self._replace(address, port, f"{key.kind} {key.data} lcnb:{identifier}")
        except Timeout:
            raise KnownHostsBusy(f"another process writes {self.path}") from None
        except (OSError, RuntimeError) as error:
            raise self._unusable("written", error) from None
        return True

    def _replace(self, address: str, port: int, new: str) -> None:
        """Add a line about an address, in place of the line of the machine that had the address before."""
        pattern = host_pattern(address, port)
        kept = []
        for line in self._lines():
            own = _OWN_LINE.fullmatch(line)
            if own is None or pattern not in own[1].split(","):
                kept.append(line)
        replace_file(self.path, "\n".join([*kept, f"{pattern} {new}"]) + "\n")

    def _keys_of(self, address: str, port: int, identifier: str) -> list[_KnownKey]:
        pattern = host_pattern(address, port)
        found = []
        for number, line in enumerate(self._lines(), 1):
            if own := _OWN_LINE.fullmatch(line):
                if pattern in own[1].split(",") and own[4] == identifier:
                    found.append(_KnownKey(number, HostKey(own[2], own[3])))
            else:
                found += _keys_of_person(line, number, pattern)
        return found

    def _lines(self) -> list[str]:
        try:
            return read_text(self.path).splitlines()
        except FileNotFoundError:
            return []
        except (OSError, NotText) as error:
            raise self._unusable("read", error) from None

    def _unusable(self, what: str, error: Exception) -> Exception:
        if has_no_descriptors(error):
            return error
        reason = getattr(error, "strerror", None) or error
        return KnownHostsUnusable(f"{self.path} cannot be {what}: {reason}")


def has_no_descriptors(error: Exception) -> bool:
    """Return whether a file cannot be opened only because too many files are open now."""
    return getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE)


def _keys_of_person(line: str, number: int, pattern: str) -> list[_KnownKey]:
    """Return the keys that a line of a person has for an address: it may be hashed, or have patterns."""
    entry = _parse_line(line)
    if entry is None:
        return []
    # The pattern has the port: with a port of its own, asyncssh would take a line about port 22 for one about this.
    valid, _, revoked, *_ = entry.match(pattern, "", None)
    return [
        _KnownKey(number, as_host_key(key), revoked=keys is revoked)
        for keys in (valid, revoked)
        for key in keys
    ]


@lru_cache(maxsize=4096)
def _parse_line(line: str) -> Any:
    """Return a line as asyncssh reads it; None for one that says nothing."""
    import asyncssh

    try:
        return asyncssh.import_known_hosts(line)
    except ValueError:
        return None  # ssh skips such a line too


def as_host_key(key: Any) -> HostKey:
    """Return a key of asyncssh."""
    kind, data = key.export_public_key("openssh").decode().split()[:2]
    return HostKey(kind, data)
