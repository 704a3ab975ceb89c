"""How a machine is reached: the tags `ssh-user`, `ssh-key`, `ssh-port`, `ssh-jump` and `metrics-port` of its facts.

A facts file may be shared and edited by several people, and its values end up in the configuration of ssh and Ansible.
So a value is used only if it is what the tag is for, and refused otherwise.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from lcnb.errors import InputError

USER_TAG, KEY_TAG, PORT_TAG, JUMP_TAG = "ssh-user", "ssh-key", "ssh-port", "ssh-jump"
METRICS_PORT_TAG = "metrics-port"
DEFAULT_USER, DEFAULT_PORT = "root", 22
#: A host that never exists (RFC 2606), for a machine without an address: no tool may look up its name in the DNS.
NO_ADDRESS = "no-address.invalid"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
#: Characters with which ssh or a shell would read a path as something else.
_NOT_IN_PATH = frozenset("\"'\\$%`{}")


@dataclass(frozen=True)
class Jump:
    """A host on the way to a machine; `host` is a name, an address, or the name of a machine."""

    host: str
    user: str = ""
    port: int | None = None

    def __str__(self) -> str:
        """The host as ProxyJump takes it: `user@host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{user}{host}:{self.port}" if self.port else f"{user}{host}"


@dataclass(frozen=True)
class Connection:
    """What the tags of a machine say about reaching it; empty where they say nothing."""

    user: str = ""
    key: str = ""
    port: int | None = None
    jumps: tuple[Jump, ...] = ()
    metrics_port: int | None = None


#: The connection of a machine without such tags.
_DEFAULT = Connection()


def read_connection(tags: Mapping[str, str]) -> Connection:
    """Return what the tags say. Raises InputError that names the tag for a value that it cannot have.

    >>> read_connection({"ssh-user": "root", "ssh-jump": "admin@bastion:2222"}).jumps
    (Jump(host='bastion', user='admin', port=2222),)
    """
    jumps = tags.get(JUMP_TAG)
    return Connection(
        user=_checked_user(tags[USER_TAG]) if USER_TAG in tags else "",
        key=_checked_path(tags[KEY_TAG]) if KEY_TAG in tags else "",
        port=_checked_port(PORT_TAG, tags[PORT_TAG]) if PORT_TAG in tags else None,
        jumps=() if jumps is None else tuple(_parse_jump(each.strip()) for each in jumps.split(",")),
        metrics_port=_checked_port(METRICS_PORT_TAG, tags[METRICS_PORT_TAG])
        if METRICS_PORT_TAG in tags
        else None,
    )


def ssh_command(address: str, connection: Connection = _DEFAULT) -> str:
    """Return the command that opens a shell on a machine, as root unless its tags say otherwise.

    >>> ssh_command("192.0.2.7"), ssh_command("192.0.2.7", read_connection({"ssh-user": "admin", "ssh-port": "2222"}))
    ('ssh root@192.0.2.7', 'ssh -p 2222 admin@192.0.2.7')
    """
    words = ["ssh"]
    words += ["-p", str(connection.port)] if connection.port else []
    words += ["-i", shlex.quote(connection.key)] if connection.key else []
    words += ["-J", ",".join(map(str, connection.jumps))] if connection.jumps else []
    return " ".join([*words, f"{connection.user or DEFAULT_USER}@{address}"])


def _checked_user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise InputError(
            field=f"tag {USER_TAG}", expected="a user name of letters, digits, _ . -", value=text
        )
    return text


def _checked_path(text: str) -> str:
    if not text or text.startswith("-") or not _NOT_IN_PATH.isdisjoint(text) or not text.isprintable():
        raise InputError(
            field=f"tag {KEY_TAG}",
            expected="the path of a private key, such as ~/.ssh/id_ed25519, without quotes, \\ $ % ` { }",
            value=text,
        )
    return text


def _checked_port(tag: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise InputError(field=f"tag {tag}", expected="a port from 1 to 65535", value=text)
    return int(text)


def _parse_jump(text: str) -> Jump:
    """Return the host of `user@host:port`, where user and port may be missing; an IPv6 address needs brackets."""
    user, _, place = text.rpartition("@")
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(.+))?", place)
    host, port = bracketed.groups() if bracketed else _split_port(place)
    valid = plain_address(host) if bracketed else _HOST.fullmatch(host)
    if not valid or (user and not _USER.fullmatch(user)) or ("@" in text and not user):
        raise InputError(
            field=f"tag {JUMP_TAG}",
            expected="a machine or a host, as in bastion or admin@bastion.example.com:22, separated by commas "
            "(for a label with other characters, the identifier)",
            value=text,
        )
    return Jump(host, user, _checked_port(JUMP_TAG, port) if port is not None else None)


def _split_port(place: str) -> tuple[str, str | None]:
    host, colon, port = place.partition(":")
    return host, port if colon else None


def plain_address(text: str | None) -> str:
    """Return an IP address in its usual form; "" for what is none, and for one with a zone, which is of one machine.

    >>> plain_address("2001:DB8::1"), plain_address("fe80::1%eth0"), plain_address("10.0.0.1\\n")
    ('2001:db8::1', '', '')
    """
    try:
        found = ipaddress.ip_address(text or "")
    except ValueError:
        return ""
    return "" if getattr(found, "scope_id", None) else str(found)
