"""The dynamic inventory, as Ansible reads it and reaches machines by it."""

from __future__ import annotations

import getpass
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import lcnb
from conftest import TOKEN, lcnb_here
from exported_fleet import fleets, inventory_of
from lcnb.exports import ansible_inventory, ansible_script
from lcnb.exports.machines import read_machines
from lcnb.sandbox import Sandbox

BIN = Path(sys.executable).parent
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
needs_ansible = pytest.mark.skipif(
    importlib.util.find_spec("ansible") is None, reason="ansible-core is not installed"
)


def run_ansible(command: str, *arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """An Ansible program of this environment, with a home of its own."""
    env = {**os.environ, "HOME": str(home), "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [BIN / command, *arguments], env=env, cwd=home, capture_output=True, text=True, timeout=600
    )


def write_script(path: Path, *arguments: str) -> Path:
    """Write the inventory script of `lcnb inventory`; the account is that of the environment."""
    done = lcnb_here("inventory", "-o", "ansible-script", "--file", str(path), *arguments)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o700
    return path


@needs_ansible
def test_list(
    account_env: lcnb.sandbox.SandboxProcess, lc: lcnb.LetsCloud, own_home: Path, tmp_path: Path
) -> None:
    """`ansible-inventory --list` finds each machine of the account, in the groups of its location, state, plan and tags."""
    lc.tag(["web-01", "api-01"], "project=shop", "legacy")
    script = write_script(tmp_path / "letscloud.sh")
    done = run_ansible("ansible-inventory", "-i", script, "--list", home=own_home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    fleet = lc.inventory()
    hosts = found["_meta"]["hostvars"]
    assert {each["lcnb_identifier"] for each in hosts.values()} == set(fleet.identifier.fillna(""))
    assert len(hosts) == len(fleet)
    for column in ("location", "state"):
        for value, rows in fleet.groupby(column):
            named = found[f"{column}_{value}"]["hosts"]
            assert {hosts[each]["lcnb_label"] for each in named} == set(rows.label)
    assert (
        sorted(found["tag_project_shop"]["hosts"])
        == sorted(found["tag_legacy"]["hosts"])
        == ["api-01", "web-01"]
    )
    assert "web-01" in found["plan_1vcpu_1gb_10ssd"]["hosts"]
    one = run_ansible("ansible-inventory", "-i", script, "--host", "web-01", home=own_home)
    assert json.loads(one.stdout) == hosts["web-01"]


def test_host(account_env: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """The script answers `--host` as `--list` does, chooses what it was written for, and refuses another call."""
    script = write_script(tmp_path / "letscloud.sh", "--location", "MIA1")
    listed, one, other, unknown = (
        subprocess.run([script, *arguments], capture_output=True, text=True, timeout=600)
        for arguments in (["--list"], ["--host", "web-01"], ["--lists"], ["--host", "api-1"])
    )
    hosts = json.loads(listed.stdout)["_meta"]["hostvars"]
    assert {each["lcnb_location"] for each in hosts.values()} == {"MIA1"}
    assert json.loads(one.stdout) == hosts["web-01"]
    assert (other.returncode, other.stderr) == (2, f"usage: {script} --list | --host NAME\n")
    assert unknown.returncode == 2
    assert "no host 'api-1' (did you mean 'api-" in unknown.stderr


@given(fleets)
def test_groups(fleet: list[dict[str, Any]]) -> None:
    """Whatever the labels: each machine is a host once, and no group is a host."""
    rows = inventory_of(*fleet)
    document = json.loads(ansible_inventory(rows))
    hosts = document.pop("_meta")["hostvars"]
    everything = document.pop("all")
    assert everything["hosts"] == list(hosts) == [each.name for each in read_machines(rows)]
    assert set(everything["children"]) == set(document)
    assert not set(document) & set(hosts)


def test_similar_groups() -> None:
    """Tags and values that look alike in a group's name stay two groups."""
    document = json.loads(ansible_inventory(inventory_of({"tags": "a=b_c"}, {"tags": "a_b=c"})))
    groups = {name: each["hosts"] for name, each in document.items() if name.startswith("tag_")}
    assert sorted(groups.values()) == [["web-1"], ["web-2"]]
    assert all(len(name) > len("tag_a_b_c") for name in groups)


def test_label_of_a_group() -> None:
    """A label that is the name of a group takes nothing from that group: its machine is named by the identifier."""
    rows = inventory_of(
        {"tags": "project=shop"},
        {"label": "tag_project_shop", "tags": "ssh-jump=id3"},
        {"label": "location_MIA1"},
    )
    document = json.loads(ansible_inventory(rows))
    assert document["tag_project_shop"]["hosts"] == ["web-1"]
    assert document["location_MIA1"]["hosts"] == ["web-1", "id2", "id3"]
    assert document["_meta"]["hostvars"]["id2"]["lcnb_label"] == "tag_project_shop"
    one = json.loads(ansible_inventory(rows, only=[False, True, False], host="id2"))
    assert one == document["_meta"]["hostvars"]["id2"]
    assert one["ansible_ssh_common_args"] == "-o ProxyJump=192.0.2.7"


def test_way() -> None:
    """The way to a machine is given by addresses, since Ansible knows no names of ours; a missing address goes nowhere."""
    rows = inventory_of(
        {"label": "outer", "tags": "ssh-user=gate; ssh-port=2222", "ipv4": None, "ipv6": "2001:db8::1"},
        {"label": "inner", "tags": "ssh-jump=outer", "ipv4": None},
        {
            "label": "web",
            "tags": "ssh-jump=root@inner,x.example.com; ssh-key=~/.ssh/k; ssh-port=23; ssh-user=me",
        },
    )
    hosts = json.loads(ansible_inventory(rows))["_meta"]["hostvars"]
    assert hosts["web"]["ansible_ssh_common_args"] == (
        "-o ProxyJump=gate@[2001:db8::1]:2222,root@no-address.invalid,x.example.com"
    )
    assert hosts["inner"]["ansible_host"] == "no-address.invalid"
    assert (hosts["web"]["ansible_user"], hosts["web"]["ansible_port"]) == ("me", 23)
    assert hosts["web"]["ansible_ssh_private_key_file"] == "~/.ssh/k"


def test_reserved_tag() -> None:
    """A tag by which Ansible would read the others as a secret or a template is refused."""
    with pytest.raises(
        lcnb.InputError, match=r"reserves keys that begin with __ansible.*lcnb untag id1 __ansible_vault"
    ):
        ansible_inventory(inventory_of({"tags": "__ansible_vault=x"}))


@needs_ansible
def test_templates(own_home: Path, tmp_path: Path) -> None:
    """A label, owner or tag is never a template: whoever may name a machine runs nothing on the machine of Ansible."""
    trap = tmp_path / "trap"
    text = f"{{{{ lookup('pipe', 'touch {trap}') }}}}"
    rows = inventory_of(
        {"label": text, "identifier": "web", "owner": text, "hostname": text, "tags": f"note={text}"}
    )
    (tmp_path / "inventory.json").write_text(ansible_inventory(rows))
    script = tmp_path / "inventory.sh"
    script.write_text(ansible_script(["cat", str(tmp_path / "inventory.json")]).replace(' --host "$2"', ""))
    script.chmod(0o700)
    shown = json.dumps({"var": "[lcnb_label, lcnb_owner, lcnb_hostname, lcnb_tags.note]"})
    done = run_ansible(
        "ansible", "-i", script, "all", "-c", "local", "-m", "debug", "-a", shown, home=own_home
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("lookup('pipe'") == 4
    assert not trap.exists()


@needs_ansible
def test_unreadable_account(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the account cannot be read, the script fails and Ansible has no hosts; with a variable of its own it stops."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", "http://127.0.0.1:9/api")
    script = write_script(tmp_path / "letscloud.sh")
    listed = run_ansible("ansible", "-i", script, "all", "--list-hosts", home=own_home)
    assert "hosts (0)" in listed.stdout
    assert "Inventory script returned non-zero exit code 1" in listed.stderr
    monkeypatch.setenv("ANSIBLE_INVENTORY_UNPARSED_FAILED", "true")
    assert run_ansible("ansible", "-i", script, "all", "--list-hosts", home=own_home).returncode != 0


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An OpenSSH server on loopback with keys of its own: its port and the private key of a user that it accepts."""
    if SSHD is None or not shutil.which("ssh-keygen"):
        pytest.skip("there is no sshd")
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True, timeout=600
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation needs this folder
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE, text=True)
    with server:
        assert server.stderr is not None
        line = server.stderr.readline()
        if "Server listening" not in line:
            server.terminate()
            pytest.skip(f"sshd does not start here: {line}")
        yield port, folder / "user"
        server.terminate()


PLAYBOOK = """
- hosts: tag_project_shop
  gather_facts: false
  tasks:
    - ansible.builtin.ping:
    - ansible.builtin.assert:
        that: lcnb_location == "MIA1" and lcnb_tags.project == "shop"
"""


@needs_ansible
def test_playbook(
    sshd: tuple[int, Path], served: Callable[..., tuple[Sandbox, lcnb.LetsCloud]], own_home: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A playbook reaches the machines with a tag over ssh, with the user, key and port of their tags, and no other."""
    port, key = sshd
    sandbox, lc = served()
    for machine in sandbox.world.machines:
        machine["addresses"] = ["127.0.0.1"]
    web = ["web-01", "web-03"]
    lc.tag(web, "project=shop", f"ssh-port={port}", f"ssh-key={key}", f"ssh-user={getpass.getuser()}")
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    script = write_script(tmp_path / "letscloud.sh")
    (tmp_path / "ping.yml").write_text(PLAYBOOK)
    interpreter = f"ansible_python_interpreter={sys.executable}"
    done = run_ansible(
        "ansible-playbook", "-i", script, "-e", interpreter, tmp_path / "ping.yml", home=own_home
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reached = [line.split(":")[0].strip() for line in done.stdout.splitlines() if "ok=2" in line]
    assert sorted(reached) == web
    assert "failed=0" in done.stdout
