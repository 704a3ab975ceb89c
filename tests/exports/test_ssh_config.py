"""The configuration of ssh, as ssh itself reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import lcnb
from exported_fleet import INCOMPLETE_FACTS, fleets, inventory_of
from lcnb.exports import ssh_config
from lcnb.exports.machines import read_machines
from lcnb.facts.connection import NO_ADDRESS, read_connection

needs_ssh = pytest.mark.skipif(not shutil.which("ssh"), reason="there is no ssh")


def ssh_options(config: Path, name: str) -> dict[str, str]:
    """What `ssh -G` says it would use for that name."""
    done = subprocess.run(
        ["ssh", "-G", "-F", config, name], capture_output=True, text=True, check=True, timeout=600
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@needs_ssh
def test_each_host(lc: lcnb.LetsCloud, tmp_path: Path) -> None:
    """By label and by identifier ssh reaches the address of each machine of the account, and of no other."""
    fleet = lc.inventory()
    path = tmp_path / "config"
    path.write_text(ssh_config(fleet), encoding="utf-8")
    labels = fleet.label.value_counts()
    for row in fleet.itertuples():
        address = row.ipv4 if isinstance(row.ipv4, str) else NO_ADDRESS
        names = [row.identifier] if isinstance(row.identifier, str) else []
        names += [row.label] if labels[row.label] == 1 else []
        assert names
        for name in names:
            assert ssh_options(path, name)["hostname"] == address


@needs_ssh
def test_tags(tmp_path: Path) -> None:
    """User, port, key and the way are those of the tags; a machine on the way is named by its block."""
    fleet = inventory_of(
        {"label": "bastion", "tags": "ssh-port=2222; ssh-user=jump", "location": "DAL1"},
        {
            "label": "web 01",
            "tags": "ssh-jump=bastion,admin@gate.example.com:22; ssh-key=~/.ssh/my key; ssh-user=root",
        },
        {"label": "inner", "tags": "ssh-jump=id2; ssh-port=22", "ipv4": None, "ipv6": "2001:DB8::1"},
        {"label": "other"},
    )
    path = tmp_path / "config"
    path.write_text(ssh_config(fleet, only=[False, False, True, False]), encoding="utf-8")
    assert "other" not in path.read_text()
    found = ssh_options(path, "web-01")
    assert found["proxyjump"] == "bastion,admin@gate.example.com:22"
    assert (found["user"], found["identityfile"]) == ("root", "~/.ssh/my key")
    assert ssh_options(path, "inner")["hostname"] == "2001:db8::1"
    assert ssh_options(path, "inner")["proxyjump"] == "web-01"
    assert (ssh_options(path, "id1")["port"], ssh_options(path, "id1")["user"]) == ("2222", "jump")


@needs_ssh
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fleets)
def test_any_label(tmp_path: Path, fleet: list[dict[str, Any]]) -> None:
    """Whatever the labels, identifiers and addresses of an account: ssh reads the file, and no label says anything in it."""
    rows = inventory_of(*fleet)
    text = ssh_config(rows)
    path = tmp_path / "config"
    path.write_text(text, encoding="utf-8")
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert set(words) <= {"#", "Host", "HostName", "UserKnownHostsFile"}
    for machine in read_machines(rows):
        assert text.count(f"Host {' '.join(machine.names)}\n") == 1
        for name in machine.names:
            found = ssh_options(path, name)
            assert found["hostname"] == (machine.address or NO_ADDRESS)
            assert "proxycommand" not in found


BAD_TAGS = {
    "a port": ("ssh-port=22x", "tag ssh-port: expected a port from 1 to 65535, got '22x'"),
    "port 0": ("ssh-port=0", "tag ssh-port"),
    "another digit": ("ssh-port=２２", "tag ssh-port"),
    "a large port": ("metrics-port=70000", "tag metrics-port"),
    "no user": ("ssh-user", "tag ssh-user"),
    "an option": ("ssh-user=-oProxyCommand", "tag ssh-user"),
    "a key with a quote": ('ssh-key=a" b', "tag ssh-key"),
    "a key with a variable": ("ssh-key=${HOME}/x", "tag ssh-key"),
    "a key that is an option": ("ssh-key=-x", "tag ssh-key"),
    "a jump with a space": ("ssh-jump=a b", "tag ssh-jump"),
    "a jump that is an option": ("ssh-jump=-oProxyCommand=x", "tag ssh-jump"),
    "an empty user": ("ssh-jump=@host", "tag ssh-jump"),
    "no jump": ("ssh-jump", "tag ssh-jump"),
    "a bad IPv6": ("ssh-jump=[::1::]", "tag ssh-jump"),
    "itself": ("ssh-jump=web-1", "its way leads over itself"),
    "twins": ("ssh-jump=twin", "'twin' is the name of 2 machines; use an identifier: id2, id3"),
}


@pytest.mark.parametrize("name", BAD_TAGS)
def test_bad_tag(name: str) -> None:
    """A tag that ssh would read as something else is refused with the machine and the tag; nothing is written."""
    tags, problem = BAD_TAGS[name]
    rows = inventory_of({"tags": tags}, {"label": "twin"}, {"label": "twin"})
    with pytest.raises(lcnb.InputError, match="Nothing was written") as error:
        ssh_config(rows)
    assert str(error.value).startswith("web-1: ")
    assert problem in str(error.value)


def test_long_loop() -> None:
    """A way that leads over itself by way of others is refused for each of them; a line of jumps is not."""
    ring = inventory_of(*({"label": f"m{each}", "tags": f"ssh-jump=m{(each + 1) % 3}"} for each in range(3)))
    with pytest.raises(lcnb.InputError, match=r"m0: .*; m1: .*; m2: "):
        ssh_config(ring)
    line = inventory_of(*({"label": f"m{each}", "tags": f"ssh-jump=m{each + 1}"} for each in range(9)))
    assert ssh_config(line).count("ProxyJump") == 9


def test_jump_texts() -> None:
    """What the tags say is kept, an IPv6 address in brackets."""
    found = read_connection({"ssh-jump": "[2001:db8::1]:22,a@b", "metrics-port": "9101"})
    assert [str(each) for each in found.jumps] == ["[2001:db8::1]:22", "a@b"]
    assert found.metrics_port == 9101


def test_incomplete(lc: lcnb.LetsCloud) -> None:
    """An inventory that may lack machines is refused, and so are one of the past and a frame of another kind."""
    with pytest.raises(
        lcnb.BadReply, match=r"may lack machines: \$.data\[3\].* Nothing was written"
    ) as error:
        ssh_config(inventory_of({}, **INCOMPLETE_FACTS))
    assert error.value.sent
    with pytest.raises(lcnb.InputError, match=r"the inventory of 2026-11-01"):
        ssh_config(inventory_of({}, past=True, fetched_at="2026-11-01"))
    with pytest.raises(lcnb.InputError, match=r"no column plan.*lc.inventory"):
        ssh_config(lc.instances())
    with pytest.raises(lcnb.InputError, match="only: expected 1 flags"):
        ssh_config(inventory_of({}), only=[True, False])
