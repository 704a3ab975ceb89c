"""Exit codes mean one thing in every command: a table of command lines, over a sandbox."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from conftest import TOKEN, Call
from lcnb.cli.applying import outcome_exit_code
from lcnb.cli.main import report_error
from lcnb.files import write_atomically
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.sandbox import SandboxProcess, start

#: What a run needs to create a machine, with one value replaced per test.
_PLACE = ("--location", "MIA1", "--plan", "1vcpu-1gb-10ssd", "--image", "debian-12-x86_64")
_SINCE = ("--since", "2d")


@pytest.fixture(scope="module")
def still() -> Iterator[SandboxProcess]:
    """A sandbox whose clock is stopped: no command of this module changes it."""
    with start(token=TOKEN, speed=0) as server:
        yield server


@pytest.fixture
def account(still: SandboxProcess, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """That sandbox as the account of the environment, and two accounts in lcnb.toml."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", still.token)
    monkeypatch.setenv("LCNB_BASE_URL", still.base_url)
    (own_home / "config").mkdir()
    (own_home / "config" / "lcnb.toml").write_text(
        "[accounts.prod]\ntoken_env = 'PROD_TOKEN'\n[accounts.lab]\ntoken_env = 'LAB_TOKEN'\n"
    )
    monkeypatch.setenv("PROD_TOKEN", still.token)
    monkeypatch.setenv("LAB_TOKEN", still.token)
    return still


#: A command line with a name that is nearly right, and the name that its message suggests.
MISSPELT = [
    (("power", "off", "web-1"), "web-01"),
    (("power", "on", "--identifier", "IDENTIFIER"), ""),
    (("delete", "web-1", "--yes"), "web-01"),
    (("resize", "web-1", "--plan", "1vcpu-1gb-10ssd"), "web-01"),
    (("resize", "web-01", "--plan", "1vcpu-1gb-10sd"), "1vcpu-1gb-10ssd"),
    (("reset-password", "web-1"), "web-01"),
    (("snapshot", "create", "web-1", "--label", "kept"), "web-01"),
    (("snapshot", "rename", "web golden imag", "kept"), "web golden image"),
    (("snapshot", "delete", "erp month ends"), "erp month end"),
    (("key", "delete", "ci-deplo"), "ci-deploy"),
    (("create", "x1", "--location", "MIA9", *_PLACE[2:]), "MIA1"),
    (("create", "x1", *_PLACE[:3], "1vcpu-1gb-10sd", *_PLACE[4:]), "1vcpu-1gb-10ssd"),
    (("create", "x1", *_PLACE[:5], "debian-12"), "debian-12-x86_64"),
    (("create", "x1", *_PLACE, "--ssh-key", "ana-lapto"), "ana-laptop"),
    (("tag", "web-1", "a=b"), "web-01"),
    (("untag", "web-1", "--key", "a"), "web-01"),
    (("protect", "web-1"), "web-01"),
    (("unprotect", "web-1"), "web-01"),
    (("expire", "web-1", "--in", "3h"), "web-01"),
    (("facts", "set", "web-1", "--owner", "ana"), "web-01"),
    (("protect", "--select", "label == 'web-1'"), "web-01"),
    (("protect", "--select", "labl == 'web-01'"), "label"),
    (("instances", "--location", "MIA9"), "MIA1"),
    (("plans", "--location", "MIA9"), "MIA1"),
    (("images", "--location", "MIA9"), "MIA1"),
    (("inventory", "--columns", "labl"), "label"),
    (("inventory", "--sort", "labl"), "label"),
    (("inventory", "--account", "pod"), "prod"),
    (("sql", "select * from inventry"), "inventory"),
    (("sql", "select * from inventory", "--accounts", "pod"), "prod"),
    (("history", "spend", *_SINCE, "--by", "labl"), "label"),
    (("run", "inventry"), "inventory"),
    (("run", "inventory", "-p", "locaton=MIA1"), "location"),
    (("run", "inventory", "-p", "location=MIA9"), "MIA1"),
    (("run", "inventory", "-p", "state=runing"), "running"),
    (("run", "spend", "-p", "by=ower"), "owner"),
    (("run", "spend", "-p", "since=7dayz"), ""),
    (("run", "changes", "-p", "since=2999-01-01"), ""),
    (("run", "inventory", "--account", "pod"), "prod"),
    (("plan-run", "power_schedul"), "power_schedule"),
    (("runbooks", "inventry"), "inventory"),
    (("runs", "--runbook", "inventry"), "inventory"),
    (("runs", "--status", "faild"), "failed"),
    (("batch", "inventry", "--accounts", "all"), "inventory"),
    (("batch", "inventory", "--accounts", "pod"), "prod"),
    (("schedule", "export", "inventry", "--cron", "0 1 * * *", "--to", "cron"), "inventory"),
    (("show", "nosuch"), ""),
    (("apply", "nosuch"), ""),
    (("resume", "nosuch"), ""),
    (("instnces",), "instances"),
]


@pytest.mark.parametrize(("command", "nearest"), MISSPELT, ids=[" ".join(each) for each, _ in MISSPELT])
def test_unknown_name(
    command: tuple[str, ...], nearest: str, call: Call, account: SandboxProcess, tmp_path: Path
) -> None:
    """An unknown machine, key, snapshot or other name ends with 2, names the nearest one, and starts nothing."""
    if command[:2] == ("history", "spend"):
        assert call("record").code == 0
    done = call(*command)
    assert done.code == 2, done.err
    message = " ".join(done.err.split())
    assert not nearest or f"did you mean '{nearest}'?" in message, message
    assert list_run_folders(tmp_path / "runs") == []


def test_label_of_a_snapshot(call: Call, account: SandboxProcess) -> None:
    """Who passes the label of a snapshot reads its slug."""
    done = call("snapshot", "delete", "erp month end")
    slug = next(line for line in call("snapshots", "-o", "csv").out.splitlines() if "erp month end" in line)
    assert done.code == 2
    assert f"the snapshot with this label is {slug.split(',')[0]})" in done.err


#: A command that reads the account in another way each.
READING = [
    ("instances",), ("inventory",), ("profile",), ("plans",), ("sshkeys",), ("record",), ("doctor",),
    ("sql", "select count(*) from instances"), ("power", "off", "web-01", "--yes"), ("tag", "web-01", "a=b"),
    ("create", "x1", *_PLACE, "--yes"), ("run", "inventory"), ("run", "inventory", "-p", "location=MIA1"),
    ("plan-run", "power_schedule", "-p", "selection=all", "-p", "power=off"),
]  # fmt: skip


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_wrong_token(
    command: tuple[str, ...], call: Call, account: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that the provider does not accept ends with 1, in a listing, a change and a run alike."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", "$2Y$10$WRONG47114711471147114711471147114711471147114711")
    done = call(*command)
    assert done.code == 1, (done.out, done.err)
    assert "401" in done.out + done.err
    assert "WRONG4711" not in done.out + done.err


@pytest.mark.parametrize("command", [each for each in READING if each != ("doctor",)], ids=" ".join)
def test_no_token(
    command: tuple[str, ...], call: Call, account: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing token ends with 2 before anything is sent or started."""
    monkeypatch.delenv("LETSCLOUD_API_KEY")
    done = call(*command)
    assert done.code == 2, (done.out, done.err)
    assert "LETSCLOUD_API_KEY" in done.err


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


#: A command that writes a file, and the file that its message names; FOLDER is a folder of the test.
WRITING = [
    (("inventory", "-o", "ansible", "--file", "FOLDER/hosts"), "FOLDER/hosts"),
    (("tag", "web-01", "a=b"), "facts.csv"),
    (("plan", "FOLDER/fleet.csv", "--out", "FOLDER/plan.json"), "FOLDER/plan.json"),
    (
        ("schedule", "export", "inventory", "--cron", "0 1 * * *", "--to", "cron", "--out", "FOLDER/x"),
        "FOLDER/x",
    ),
]


@pytest.mark.parametrize(("command", "file"), WRITING, ids=[each[0] for each, _ in WRITING])
def test_full_disk(
    command: tuple[str, ...],
    file: str,
    call: Call,
    account: SandboxProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk ends with 1 in every command, and the message names the file and the cure."""
    (tmp_path / "fleet.csv").write_text("label,state\nweb-01,off\n")
    monkeypatch.setattr("os.fsync", no_space)
    done = call(*[word.replace("FOLDER", str(tmp_path)) for word in command])
    message = " ".join(done.err.split())
    assert done.code == 1, message
    assert (
        f"{file.replace('FOLDER', str(tmp_path))} cannot be written: No space left on device. Free some"
        in message
    )
    assert "Traceback" not in message


def test_full_disk_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the disk that a command does not expect names the file, not a temporary one, and the cure."""
    file = tmp_path / "some.json"
    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match=f"No space left on device: '{file}'") as caught:
        write_atomically(file, "{}")
    assert report_error(caught.value) == 1
    assert "Free some space on that disk" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["done"], 0),
        (["failed"], 1),
        (["not tried"], 6),
        (["twins"], 7),
        (["done", "twins"], 7),
        (["unknown"], 7),
        (["done", "failed"], 7),
        (["done", "not tried"], 7),
    ],
)
def test_outcomes(outcomes: list[str], code: int) -> None:
    """Machines that were made twice and outcomes that are not known end with 7, as a part of the changes does."""
    assert outcome_exit_code(pd.DataFrame({"outcome": outcomes}), 0) == code


@pytest.mark.fresh_python
@pytest.mark.parametrize("module", ["lcnb.streams", "click", "lcnb.cli.main", "lcnb.cli.listings", "httpx"])
def test_interrupt_during_imports(module: str) -> None:
    """Ctrl-C while a command still imports its modules ends it with one line and 130."""
    code = f"""
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.argv = ["lcnb", "instances", "--sandbox"]
from lcnb.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
