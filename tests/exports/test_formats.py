"""`lcnb inventory -o FORMAT` for other tools: files, permissions, what is refused, and what is never left out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import lcnb
from conftest import TOKEN, Call, lcnb_here
from exported_fleet import INCOMPLETE_FACTS, inventory_of
from lcnb.cli.options import EXPORT_FORMATS
from lcnb.exports.formats import FORMATS
from lcnb.frames.inventory import accounts_inventory_frame, inventory_frame
from lcnb.frames.provenance import INCOMPLETE, frame_facts
from lcnb.sandbox import Sandbox
from lcnb.sandbox.shapes import Shapes

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]


@pytest.fixture
def account(served: Served, monkeypatch: pytest.MonkeyPatch) -> lcnb.LetsCloud:
    """A sandbox of its own as the account of the environment."""
    _, lc = served()
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    return lc


def test_formats() -> None:
    """The command offers each format that there is."""
    assert tuple(FORMATS) == EXPORT_FORMATS


@pytest.mark.parametrize("name", EXPORT_FORMATS)
def test_file(name: str, account: lcnb.LetsCloud, call: Call, tmp_path: Path) -> None:
    """A file has what is printed; where it has addresses it is private, whatever the umask."""
    path = tmp_path / "export"
    before = os.umask(0)
    try:
        done = call("inventory", "-o", name, "--file", str(path))
    finally:
        os.umask(before)
    assert (done.code, done.data) == (0, b"")
    assert path.stat().st_mode & 0o777 == {"prometheus": 0o644, "ansible-script": 0o700}.get(name, 0o600)
    printed = call("inventory", "-o", name)
    assert printed.code == 0
    if name != "prometheus":  # it has the time of the reading
        assert printed.out == path.read_text(encoding="utf-8")
    assert account.inventory().ipv4.iloc[0] in printed.out or name in (
        "prometheus",
        "ansible-script",
        "terraform",
    )


@pytest.mark.filterwarnings("ignore::lcnb.DriftWarning")
@pytest.mark.parametrize("name", [each for each in EXPORT_FORMATS if FORMATS[each].make_text])
def test_incomplete(
    name: str, account: lcnb.LetsCloud, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a machine may be missing, nothing is written, the file before stays, and the exit code is 1."""
    monkeypatch.setattr(Shapes, "instances", lambda self, rows: [*rows[:5], None])
    path = tmp_path / "export"
    if FORMATS[name].replaces:
        path.write_text("before")
    done = call("inventory", "-o", name, "--file", str(path))
    assert (done.code, done.data) == (1, b"")
    assert "error: the inventory may lack machines: $.data[5]: expected an object, got null" in done.err
    assert "Nothing was written." in done.err
    assert FORMATS[name].replaces == path.exists()
    assert not path.exists() or path.read_text() == "before"
    assert call("inventory", "-o", name).data == b""


def test_permissions_stay(account: lcnb.LetsCloud, call: Call, tmp_path: Path) -> None:
    """A file that exists keeps its permissions, so that Prometheus may be allowed to read its targets."""
    path = tmp_path / "targets.json"
    path.write_text("[]")
    path.chmod(0o640)
    assert call("inventory", "-o", "prometheus-sd", "--file", str(path)).code == 0
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(json.loads(path.read_text())) > 50


def test_link_and_group_stay(account: lcnb.LetsCloud, call: Call, tmp_path: Path) -> None:
    """A symbolic link stays one, and the file that it names keeps its group, so that Prometheus may still read it."""
    file, link = tmp_path / "targets.json", tmp_path / "link.json"
    file.write_text("[]")
    groups = [each for each in (os.getgroups() if os.getuid() else [65534]) if each != os.getegid()]
    group = groups[0] if groups else os.getegid()
    os.chown(file, -1, group)
    file.chmod(0o640)
    link.symlink_to("targets.json")
    assert call("inventory", "-o", "prometheus-sd", "--file", str(link)).code == 0
    assert link.is_symlink()
    assert len(json.loads(file.read_text())) > 50
    assert (file.stat().st_gid, file.stat().st_mode & 0o777) == (group, 0o640)


@pytest.mark.parametrize("name", EXPORT_FORMATS)
def test_pipe(name: str, account: lcnb.LetsCloud, tmp_path: Path) -> None:
    """A pipe or device is written to, never replaced, and `-` is stdout; neither is reported as a saved file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ["inventory", "-o", name, *([] if name == "prometheus" else ["--state", "off"])]
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = lcnb_here(*command, "--file", str(pipe))
        written = os.read(end, 65536).decode()
    finally:
        os.close(end)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert pipe.is_fifo()
    printed = lcnb_here(*command, "--file", "-")
    assert printed.stdout.splitlines()[0] == written.splitlines()[0]
    assert "saved" not in done.stderr + printed.stderr


def test_what_is_next(account: lcnb.LetsCloud, call: Call, tmp_path: Path) -> None:
    """A new file is reported in one line with what to do next; a timer that replaces it prints nothing."""
    path = tmp_path / "letscloud.conf"
    command = ("inventory", "-o", "ssh-config", "--state", "running", "--file", str(path))
    first, second = call(*command), call(*command)
    assert first.err.splitlines()[-1] == (
        f'saved: {path}; next: write "Include {path}" at the top of ~/.ssh/config'
    )
    assert (second.code, second.data) == (0, b"")
    assert "saved" not in second.err


def test_terraform_file_stays(account: lcnb.LetsCloud, call: Call, tmp_path: Path) -> None:
    """A Terraform file is never replaced: a machine whose block is gone would be deleted."""
    path = tmp_path / "fleet.tf"
    assert call("inventory", "-o", "terraform", "--state", "running", "--file", str(path)).code == 0
    before = path.read_bytes()
    done = call("inventory", "-o", "terraform", "--file", str(path))
    assert done.code == 2
    assert f"--file: {path} exists. Terraform deletes machines whose blocks are gone" in done.err
    assert path.read_bytes() == before


REFUSED = {
    "columns": (["-o", "ssh-config", "--columns", "label"], "leave out --at, --columns"),
    "limit": (["-o", "ansible", "--limit", "3"], "leave out --at"),
    "the past": (["-o", "terraform", "--at", "24h"], "leave out --at"),
    "a host of ssh": (["-o", "ssh-config", "--host", "web-01"], "--host: only -o ansible has hosts"),
    "a part of the account": (["-o", "prometheus", "--state", "off"], "leave out --location and --state. Nothing was sent"),
    "a location": (["-o", "ssh-config", "--location", "XXX1"], "XXX1"),
    "a file of a table": (["--file", "x.txt"], "--file: -o table has no such option"),
    "a host of a table": (["-o", "json", "--host", "x"], "--host: -o json has no such option"),
    "a folder that is not there": (["-o", "ansible", "--file", "missing/x"], "--file: the file missing/x cannot be written"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(
    name: str, account: lcnb.LetsCloud, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option that an export cannot follow is refused: none of them may silently give a smaller one."""
    monkeypatch.chdir(tmp_path)
    arguments, problem = REFUSED[name]
    done = call("inventory", *arguments)
    assert (done.code, done.data) == (2, b"")
    assert problem in done.err
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_bad_tag(account: lcnb.LetsCloud, call: Call) -> None:
    """A tag that cannot be used is an error of the input; the message has the machine, the tag and the cure."""
    account.tag("web-01", "ssh-port=x")
    done = call("inventory", "-o", "ssh-config")
    assert (done.code, done.data) == (2, b"")
    assert "web-01: tag ssh-port: expected a port from 1 to 65535, got 'x'" in done.err
    assert "lcnb tag MACHINE ssh-port=22. Nothing was written." in done.err


@pytest.mark.parametrize("name", ["prometheus", "terraform"])
def test_bad_tag_elsewhere(name: str, account: lcnb.LetsCloud, call: Call) -> None:
    """A wrong tag about ssh ends no export that does not say how machines are reached: monitoring goes on."""
    account.tag("web-01", "ssh-port=x", "ssh-jump=web-01")
    assert call("inventory", "-o", name).code == 0


def test_no_address(account: lcnb.LetsCloud, call: Call) -> None:
    """Machines that no tool can reach are named on stderr."""
    fleet = account.inventory()
    without = fleet[fleet.ipv4.isna() & fleet.ipv6.isna()].label.tolist()
    done = call("inventory", "-o", "prometheus-sd")
    assert len(json.loads(done.out)) == len(fleet) - len(without)
    assert f"warning: {len(without)} machines without an address: {', '.join(without)}" in done.err


def test_frames_say_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame of an inventory says why machines may be missing; so does that of several accounts."""
    _, lc = served()
    assert INCOMPLETE not in frame_facts(lc.inventory())
    monkeypatch.setattr(Shapes, "instances", lambda self, rows: [*rows[:5], None])
    with pytest.warns(lcnb.DriftWarning):
        frame = lc.inventory()
    why = "$.data[5]: expected an object, got null; the row was left out"
    assert frame_facts(frame[frame.state == "off"])[INCOMPLETE] == why
    parts = lc._parts()
    with pytest.warns(lcnb.DriftWarning):
        assert frame_facts(inventory_frame(parts))[INCOMPLETE] == why
        both = accounts_inventory_frame({"prod": parts}, {}, {})
        assert frame_facts(both)[INCOMPLETE] == f"prod: {why}"
        failed = accounts_inventory_frame({}, {"lab": "no answer"}, {})
    assert frame_facts(failed)[INCOMPLETE] == "account lab: unavailable: no answer"


def test_several_accounts(lc: lcnb.LetsCloud) -> None:
    """Of several accounts, each machine has a name of its own, and the account is a group."""
    from lcnb.exports import ansible_inventory

    rows = inventory_of({"label": "web"}, {"label": "web"})
    values = [("prod", *rows.values[0]), ("lab", *rows.values[1])]
    both = type(rows)("inventory", {"account": "str", **rows.dtypes}, values)
    document = json.loads(ansible_inventory(both))
    assert (document["account_prod"]["hosts"], document["account_lab"]["hosts"]) == (["id1"], ["id2"])
    with pytest.raises(lcnb.BadReply):
        ansible_inventory(inventory_of({}, **INCOMPLETE_FACTS))


def test_sandbox_script() -> None:
    """The script of the sandbox says so, and does not read the account to be written."""
    done = lcnb_here("inventory", "--sandbox", "-o", "ansible-script", "--state", "off")
    assert "-m lcnb inventory -o ansible --state off --sandbox ;;" in done.stdout
