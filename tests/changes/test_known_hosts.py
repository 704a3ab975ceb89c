"""The file of recorded host keys: lines of lcnb and of people, links, and many writers."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import threading
from base64 import b64encode
from pathlib import Path

import asyncssh
import pytest

from lcnb.changes.known_hosts import HostKeyRefused, KnownHosts, KnownHostsUnusable, as_host_key

ONE, TWO = (as_host_key(asyncssh.generate_private_key("ssh-ed25519")) for _ in range(2))


def test_key_of_the_same_machine_never_changes(tmp_path: Path) -> None:
    """Another key of the same machine is refused, and the file stays as it is."""
    known = KnownHosts(tmp_path / "known_hosts")
    assert known.record("192.0.2.1", 22, "aaa", ONE)
    assert not known.record("192.0.2.1", 22, "aaa", ONE)
    with pytest.raises(HostKeyRefused, match="line 1 of "):
        known.record("192.0.2.1", 22, "aaa", TWO)
    assert known.path.read_text() == f"192.0.2.1 ssh-ed25519 {ONE.data} lcnb:aaa\n"


def test_address_of_another_machine(tmp_path: Path) -> None:
    """When the provider gives an address to another machine, its line is replaced; lines of people are kept."""
    known = KnownHosts(tmp_path / "known_hosts")
    known.path.write_text(
        f"# mine\nbastion.example.com ssh-rsa AAAA\n192.0.2.1 ssh-ed25519 {ONE.data} lcnb:aaa\n"
    )
    assert known.record("192.0.2.1", 22, "bbb", TWO)
    assert known.path.read_text().splitlines() == [
        "# mine", "bastion.example.com ssh-rsa AAAA", f"192.0.2.1 ssh-ed25519 {TWO.data} lcnb:bbb",
    ]  # fmt: skip


def hashed(host: str) -> str:
    """The host as `HashKnownHosts yes` writes it."""
    salt = b"a salt of 20 letters"
    digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return f"|1|{b64encode(salt).decode()}|{b64encode(digest).decode()}"


PERSONS_LINES = {
    "the address": ("192.0.2.1,web ssh-ed25519 {one} ana's machine", False),
    "hashed": (hashed("192.0.2.1") + " ssh-ed25519 {one}", False),
    "a pattern": ("192.0.2.*,!192.0.2.7 ssh-ed25519 {one}", False),
    "another pattern": ("192.0.2.*,!192.0.2.1 ssh-ed25519 {one}", True),
    "another port": ("[192.0.2.1]:2222 ssh-ed25519 {one}", True),
    "both keys": ("192.0.2.1 ssh-ed25519 {one}\r\n192.0.2.1 ssh-ed25519 {two}", False),
    "a revoked key": ("@revoked * ssh-ed25519 {two}", False),
    "another revoked key": ("@revoked * ssh-ed25519 {one}", True),
    "an authority": ("@cert-authority * ssh-ed25519 {one}", True),
    "no key": ("192.0.2.1\n192.0.2.1 ssh-ed25519\n192.0.2.1 ssh-ed25519 AAAA\n@x 192.0.2.1 ssh-ed25519 {one}", True),
}  # fmt: skip


@pytest.mark.parametrize("name", PERSONS_LINES)
def test_line_of_a_person(name: str, tmp_path: Path) -> None:
    """A line that a person wrote holds for every machine at the address, as ssh reads it; it is always kept."""
    line, is_new = PERSONS_LINES[name]
    known = KnownHosts(tmp_path / "known_hosts")
    known.path.write_bytes(line.format(one=ONE.data, two=TWO.data).encode())
    before = known.path.read_text().splitlines()
    if is_new:
        assert known.record("192.0.2.1", 22, "bbb", TWO)
    elif name == "both keys":
        assert not known.record("192.0.2.1", 22, "bbb", TWO)
    else:
        with pytest.raises(HostKeyRefused, match=r"in line 1 of "):
            known.record("192.0.2.1", 22, "bbb", TWO)
    own = [f"192.0.2.1 ssh-ed25519 {TWO.data} lcnb:bbb"] if is_new else []
    assert known.path.read_text().splitlines() == [*before, *own]


def test_link_to_known_hosts(tmp_path: Path) -> None:
    """A symbolic link to another known_hosts stays, and that file gets the line."""
    (tmp_path / "mine").write_text("# mine")
    known = KnownHosts(tmp_path / "known_hosts")
    known.path.symlink_to("mine")
    assert known.record("192.0.2.1", 22, "aaa", ONE)
    assert known.path.is_symlink()
    assert len((tmp_path / "mine").read_text().splitlines()) == 2


def test_many_at_once(tmp_path: Path) -> None:
    """Threads that record at the same time lose no line."""
    known = KnownHosts(tmp_path / "known_hosts")
    threads = [
        threading.Thread(target=known.record, args=(f"192.0.2.{n}", 22, f"id{n}", ONE)) for n in range(40)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(known.path.read_text().splitlines())) == 40


def test_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files are no problem of the file: it is read again with the next attempt."""
    known = KnownHosts(tmp_path / "known_hosts")
    for number, kind in ((errno.EMFILE, OSError), (errno.EIO, KnownHostsUnusable)):

        def fail(path: Path, number: int = number) -> str:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("lcnb.changes.known_hosts.read_text", fail)
        with pytest.raises(kind, match=os.strerror(number)):
            known.recorded_keys("192.0.2.1", 22, "aaa")
