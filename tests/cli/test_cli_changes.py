"""The commands that change something: over real HTTP against a sandbox; what is interrupted is a process of its own."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import LCNB, Call, in_thread
from conftest import lcnb_here as lcnb
from lcnb import connect
from lcnb.changes.journal import Journal
from lcnb.changes.sending import journal_entry
from lcnb.changes.tasks import ChangeTask
from lcnb.sandbox import SandboxProcess
from lcnb.transport.budget import budget_key

NEW = ["--location", "MIA1", "--plan", "1vcpu-1gb-10ssd", "--image", "debian-12-x86_64"]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxProcess]:
    """A sandbox of one's own whose clock runs 200 times as fast, as the account of the environment."""
    with in_thread(speed=200, fleet=14) as server:
        monkeypatch.setenv("LETSCLOUD_API_KEY", server.token)
        monkeypatch.setenv("LCNB_BASE_URL", server.base_url)
        yield server


def log(server: SandboxProcess) -> list[Any]:
    url = server.base_url.replace("/api", "/_sandbox/log")
    with httpx.Client(trust_env=False, verify=False) as http:
        found = http.get(url, headers={"api-token": server.token}).json()
    return [entry for entry in found if entry["method"] != "GET"]


def machines(server: SandboxProcess) -> dict[str, Any]:
    with httpx.Client(trust_env=False, verify=False) as http:
        rows = http.get(f"{server.base_url}/instances", headers={"api-token": server.token}).json()["data"]
    return {row["label"]: row for row in rows}


def public_key(folder: Path) -> str:
    from lcnb.changes.build import create_key_pair

    path = folder / "key.pub"
    path.write_text(create_key_pair("ed25519")[0] + "\n")
    return str(path)


def test_dry_runs_send_nothing(fast: SandboxProcess, call: Call, tmp_path: Path) -> None:
    """Every command that changes something shows what it would do with --dry-run, and sends no write."""
    (tmp_path / "fleet.csv").write_text(
        "label,location,plan,image\nnew,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n"
    )
    with httpx.Client(trust_env=False, verify=False) as http:
        rows = http.get(f"{fast.base_url}/snapshots", headers={"api-token": fast.token}).json()["data"]
    commands = [
        ["create", "new", *NEW],
        ["delete", "web-01", "api-01"],
        ["power", "off", "web-01"],
        ["power", "shutdown", "web-01"],
        ["power", "reboot", "web-01"],
        ["resize", "web-01", "--plan", "8vcpu-32gb-240ssd"],
        ["reset-password", "web-01"],
        ["key", "add", "Ops", public_key(tmp_path)],
        ["key", "generate", "Ops", str(tmp_path / "ops")],
        ["key", "delete", "ci-deploy"],
        ["snapshot", "create", "web-01", "--label", "kept"],
        ["snapshot", "rename", rows[0]["slug"], "kept"],
        ["snapshot", "delete", rows[0]["slug"]],
        ["apply", str(tmp_path / "fleet.csv")],
        ["resume"],
    ]
    for command in commands:
        done = call(*command, "--dry-run")
        assert done.code == 0, (command, done.err)
        assert command == ["resume"] or "change" in done.out, command
    assert log(fast) == []
    assert not (tmp_path / "ops").exists()


def test_a_day_of_an_operator(fast: SandboxProcess, tmp_path: Path) -> None:
    """Create, power, resize, snapshot, password, key and delete do what they say, each once."""
    public = public_key(tmp_path)
    for command in (
        ["create", "new", *NEW, "--wait"],
        ["power", "off", "new", "--wait"],
        ["power", "on", "new", "--wait"],
        ["resize", "new", "--plan", "2vcpu-4gb-30ssd", "--wait"],
        ["snapshot", "create", "new", "--label", "kept", "--wait"],
        ["reset-password", "new", "--wait"],
        ["key", "add", "Ops", public],
        ["key", "generate", "Ops 2", str(tmp_path / "ops")],
        ["delete", "new", "--wait"],
    ):
        done = lcnb(*command, "--yes", "-o", "json")
        assert done.returncode == 0, (command, done.stderr)
        assert [row["outcome"] for row in json.loads(done.stdout)] == ["done"], command
    calls = [(entry["method"], entry["path"].rpartition("/")[2]) for entry in log(fast)]
    assert calls[1:6] == [("PUT", "power-off"), ("PUT", "power-on"), ("PUT", "change-plan"), ("POST", "snapshots"), ("PUT", "reset-password")]  # fmt: skip
    assert len(calls) == 9
    assert "new" not in machines(fast)
    rows = list(csv.DictReader(io.StringIO(lcnb("journal", "-o", "csv").stdout)))
    assert [row["outcome"] for row in rows] == ["done"] * 9
    assert (tmp_path / "ops").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        (["delete", "web-01"], 6, "nobody confirmed"),
        (["create", "web-01", *NEW, "--yes"], 2, "a machine of this label exists"),
        (["create", "x", *NEW[:-1], "debian", "--yes"], 2, "is not offered at MIA1"),
        (["delete", "--yes"], 2, "name at least one machine"),
        (["delete", "nope", "--yes"], 2, "no machine has the label or identifier 'nope'"),
        (["power", "of", "web-01"], 2, "off"),
        (["apply", "nope.csv"], 2, "nope.csv"),
        (["resume", "nope"], 2, "the journal .* has no ChangeSet 'nope'"),
        (["create", "x", *NEW, "--password", "visible"], 2, "no option '--password'"),
    ],
)
def test_refused(fast: SandboxProcess, call: Call, command: list[str], code: int, problem: str) -> None:
    """What cannot be right, or was not confirmed, ends with its exit code and reason; nothing is sent."""
    done = call(*command)
    assert done.code == code, done.err
    assert re.search(problem, done.err, re.IGNORECASE), done.err
    assert "Traceback" not in done.err
    assert log(fast) == []


def test_plan_then_apply(fast: SandboxProcess, tmp_path: Path) -> None:
    """A plan from a CSV is shown, saved, applied once; a second apply and a drifted account are refused."""
    (tmp_path / "fleet.csv").write_text(
        "# our fleet\nlabel, location, plan, image, state\n"
        "new, MIA1, 1vcpu-1gb-10ssd, debian-12-x86_64,\nweb-01,,,,off\n"
    )
    plan = str(tmp_path / "plan.json")
    shown = lcnb("plan", str(tmp_path / "fleet.csv"), "--out", plan)
    assert shown.returncode == 0, shown.stderr
    assert "create instance" in shown.stdout
    assert "power off" in shown.stdout
    assert log(fast) == []
    assert lcnb("apply", plan, "--yes", "--wait").returncode == 0
    assert {"new", "web-01"} <= set(machines(fast))
    assert not machines(fast)["web-01"]["booted"]
    again = lcnb("apply", plan, "--yes")
    assert (again.returncode, len(log(fast))) == (2, 2)
    assert "was applied at" in again.stderr
    empty = lcnb("apply", str(tmp_path / "fleet.csv"), "--yes")
    assert (empty.returncode, len(log(fast))) == (0, 2)
    assert "nothing to do" in empty.stdout


def test_password_file(fast: SandboxProcess, tmp_path: Path) -> None:
    """A typed password comes from a file or stdin, never from the command line; it becomes the machine's."""
    assert (
        lcnb("create", "new", *NEW, "--yes", "--password-file", "-", stdin="Typed-Passw0rd-7\n").returncode
        == 0
    )
    assert machines(fast)["new"]["initial_root_password"] == "Typed-Passw0rd-7"
    bad = tmp_path / "password"
    bad.write_text("short")
    refused = lcnb("create", "other", *NEW, "--yes", "--password-file", str(bad))
    assert refused.returncode == 2
    assert "12 to 32 characters" in refused.stderr


def test_partly(fast: SandboxProcess) -> None:
    """A set of which one change fails ends with 7 and lists each outcome; with --go-on the others are made."""
    url = fast.base_url.replace("/api", "/_sandbox/faults")
    identifier = machines(fast)["web-01"]["identifier"]
    script = {"rules": [{"kind": "html", "method": "PUT", "path": f"/{identifier}/power-off", "status": 400}]}
    with httpx.Client(trust_env=False, verify=False) as http:
        http.post(url, json=script, headers={"api-token": fast.token})
    done = lcnb("power", "off", "api-01", "web-01", "worker-01", "--yes", "--go-on", "-o", "json")
    assert [row["outcome"] for row in json.loads(done.stdout)] == ["done", "failed", "done"], done.stderr
    assert done.returncode == 7


def test_interrupted_and_resumed(fast: SandboxProcess) -> None:
    """A create whose answer was lost and that was interrupted is pending, and resumed to exactly one machine."""
    url = fast.base_url.replace("/api", "/_sandbox/faults")
    headers = {"api-token": fast.token}
    with httpx.Client(trust_env=False, verify=False) as http:
        http.post(url, json={"rules": [{"kind": "stall", "method": "POST", "after": True}]}, headers=headers)
        process = subprocess.Popen(
            [LCNB, "create", "new", *NEW, "--yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(6000):
            if log(fast):
                break
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(2)
        _, error = process.communicate(timeout=600)
        assert process.returncode == 130, error
        assert "lcnb resume" in error
        http.post(url, json={}, headers=headers)
    (row,) = json.loads(lcnb("pending", "-o", "json").stdout)
    assert (row["target"], row["outcome"]) == ("new", "sent")
    resumed = lcnb("resume", "--yes", "-o", "json")
    assert [each["outcome"] for each in json.loads(resumed.stdout)] == ["done"], resumed.stderr
    assert json.loads(lcnb("pending", "-o", "json").stdout) == []
    assert len([entry for entry in log(fast) if entry.get("committed")]) == 1


CTRL_C, CTRL_D = "\x03", "\x04"


def type_slowly(answer: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, what appears while the answer to the question is typed, and all that is seen before and after."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    process = subprocess.Popen([LCNB, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    while b"to go on: " not in seen:
        seen += os.read(ours, 65536)
    typed = b""
    for letter in answer:
        if letter == CTRL_C:
            seen += interrupt(process, ours)
        else:
            os.write(ours, letter.encode())
        # A line that is redrawn.
        while letter not in (CTRL_C, CTRL_D) and select.select([ours], [], [], 0.2)[0]:
            typed += os.read(ours, 65536)  # comes within this time
            if len(typed) > 1000:
                break
    try:
        if answer not in (CTRL_C, CTRL_D):
            os.write(ours, b"\n")
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux reports the closed terminal in this way
        pass
    os.close(ours)
    return process.wait(600), typed.decode(), seen.decode()


def interrupt(process: subprocess.Popen[bytes], terminal: int) -> bytes:
    """Send Ctrl-C until the process has said that it was interrupted; return what it printed.

    One that comes between the question and the read of the answer does not end that read: in Python, none does.
    """
    seen = b""
    process.send_signal(signal.SIGINT)
    while b"interrupted" not in seen:
        if select.select([terminal], [], [], 10)[0]:
            seen += os.read(terminal, 65536)
        else:
            process.send_signal(signal.SIGINT)
    return seen


def test_typed_answer_stays(fast: SandboxProcess) -> None:
    """Nothing is drawn over the answer while it is typed; another answer sends nothing, and says so."""
    code, typed, seen = type_slowly("web", "delete", "web-01")
    assert typed == "web"
    assert (code, log(fast)) == (6, [])
    assert "'web' was typed, and not 'web-01'" in seen
    assert "not confirmed: nothing was sent" in seen


@pytest.mark.parametrize(("key", "code"), [(CTRL_D, 6), (CTRL_C, 130)])
def test_question_that_is_left(fast: SandboxProcess, key: str, code: int) -> None:
    """Ctrl-D and Ctrl-C at the question send nothing, and a line says so."""
    ended, _, seen = type_slowly(key, "delete", "web-01")
    assert (ended, log(fast)) == (code, [])
    assert "not confirmed: nothing was sent" in seen


def test_no_progress_while_somebody_is_asked(
    fast: SandboxProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of progress begins with the first step, and is gone while a further ChangeSet is asked about."""
    from lcnb.changes.progress import ChangeProgress

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = ChangeProgress()
    status = progress._status
    assert status is not None
    asked: list[bool] = []

    def answer(question: str) -> str:
        asked.append(status._live.is_started)
        return "yes"

    monkeypatch.setattr("lcnb.changes.changeset.can_prompt", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    with connect() as lc:
        for label in ("web-01", "api-01"):
            assert lc.power_off(label=label).apply(progress.confirm, progress=progress).outcome[0] == "done"
            assert status._live.is_started
    progress.stop()
    assert asked == [False, False]


def leave_open(label: str, run: str | None = None) -> str:
    """A ChangeSet that ended before its change was sent; gives its name."""
    with connect() as lc, pytest.MonkeyPatch.context() as patch:
        if run:
            patch.setenv("LCNB_RUN_DIR", run)
        changes = lc.power_off(label=label)
        settings = lc.settings
        whose: dict[str, Any] = {"account": settings.account, "base_url": settings.base_url}
        entries = [
            journal_entry(changes.id, ChangeTask(change, position)) for position, change in enumerate(changes)
        ]
        Journal(settings.state_dir).begin(changes.id, entries, token=budget_key(settings.token), **whose)
        return changes.id


def test_refusal_shows_the_changes(fast: SandboxProcess, call: Call) -> None:
    """Where nobody can be asked the changes are shown before they are refused, by `resume` and by each command."""
    leave_open("web-01")
    for command in (["resume"], ["resume", "-o", "json"], ["power", "off", "web-01"]):
        done = call(*command)
        assert (done.code, done.out) == (6, "")
        assert re.search(r"power off +web-01 +running +off", done.err), done.err
        assert done.err.index("web-01") < done.err.index("nobody confirmed")
    assert log(fast) == []
    done = call("resume", "--yes")
    assert done.code == 0, done.err
    assert "looks at the account first, and sends only the changes whose effect is not there" in done.err
    assert len(log(fast)) == 1


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("full", [False, True])
def test_plan_that_cannot_be_saved(
    full: bool, fast: SandboxProcess, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that cannot be written is one line with path, reason and cure."""
    (tmp_path / "fleet.csv").write_text("label,state\nweb-01,off\n")
    out = tmp_path / ("plan.json" if full else "missing/plan.json")
    if full:
        monkeypatch.setattr("os.fsync", no_space)
    done = call("plan", str(tmp_path / "fleet.csv"), "--out", str(out))
    reason = (
        "No space left on device. Free some space on that disk, or choose another one."
        if full
        else "No such file or directory. Choose another --out, in a folder that exists and is writable."
    )
    assert done.code == (1 if full else 2)
    assert done.err == f"error: --out: the plan {out} cannot be written: {reason} Nothing was sent.\n"


def test_link_to_a_plan(fast: SandboxProcess, call: Call, tmp_path: Path) -> None:
    """A plan is written to the file that a symbolic link names, the link stays, and only its owner may read it."""
    (tmp_path / "fleet.csv").write_text("label,state\nweb-01,off\n")
    plan, link = tmp_path / "plan.json", tmp_path / "link.json"
    plan.write_text("an earlier plan")
    plan.chmod(0o644)
    link.symlink_to("plan.json")
    done = call("plan", str(tmp_path / "fleet.csv"), "--out", str(link))
    assert (done.code, done.err) == (0, f"saved: {link}\n")
    assert link.is_symlink()
    assert '"lcnb": "changeset"' in plan.read_text()
    assert plan.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("target", "reason"),
    [("out", "its symbolic links form a loop"), ("/dev/null", "it is a device or a pipe")],
)
def test_link_to_no_file(target: str, reason: str, fast: SandboxProcess, call: Call, tmp_path: Path) -> None:
    """A link to itself or to a device is refused, and the message names it."""
    (tmp_path / "fleet.csv").write_text("label,state\nweb-01,off\n")
    out = tmp_path / "out"
    out.symlink_to(target)
    for command in (
        ["plan", str(tmp_path / "fleet.csv")],
        ["schedule", "export", "inventory", "--cron", "0 6 * * *", "--to", "cron"],
    ):
        done = call(*command, "--out", str(out))
        assert done.code == 2
        assert f"{out} cannot be written: {reason}" in " ".join(done.err.split())


def test_declined_resume(fast: SandboxProcess, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open changes that nobody wants stay as they are: nothing is sent, and the exit code says so."""
    name = leave_open("web-01")
    monkeypatch.setattr("lcnb.changes.changeset.can_prompt", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "no")
    done = call("resume")
    assert (done.code, log(fast)) == (6, [])
    assert done.err.endswith("not confirmed: nothing was sent\n")
    assert name in call("pending").out


def test_resume_of_a_run_shows_its_changes(
    fast: SandboxProcess, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lcnb resume RUN` shows what a run left open before it refuses, and goes on with nothing that was declined."""
    folder = tmp_path / "runs" / "20260101T000000Z-off-0001"
    folder.mkdir(parents=True)
    facts = {
        "id": folder.name,
        "status": "interrupted",
        "closed": True,
        "notebook": "off.ipynb",
        "notebook_sha256": "",
        "given": {},
    }
    (folder / "run.json").write_text(json.dumps({**facts, "account": None, "base_url": fast.base_url}))
    leave_open("web-01", run=str(folder))
    refused = call("resume", str(folder))
    assert (refused.code, refused.out) == (6, "")
    assert re.search(
        r"looks at the account first.*power off +web-01.*nobody confirmed", refused.err, re.DOTALL
    )
    monkeypatch.setattr("lcnb.changes.changeset.can_prompt", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "no")
    declined = call("resume", str(folder))
    assert declined.code == 6
    assert declined.err.endswith("not confirmed: nothing was sent\n")
    settled = call("resume", str(folder), "--yes")  # then the notebook, which is gone
    assert re.search(r"power off +web-01.*done", settled.out, re.DOTALL), settled.out
    assert "off.ipynb" in settled.err
    assert len(log(fast)) == 1


def test_skip_busy(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--skip-busy` changes the others and names on stderr what was left out; without it all are listed at once."""
    with in_thread(speed=200, fleet=20) as server:
        monkeypatch.setenv("LETSCLOUD_API_KEY", server.token)
        monkeypatch.setenv("LCNB_BASE_URL", server.base_url)
        check_skip_busy(server, call)


def check_skip_busy(server: SandboxProcess, call: Call) -> None:
    with connect() as lc:
        fleet = lc.instances()
    suspended = fleet[fleet.state == "suspended"].label.tolist()
    assert suspended
    off = fleet[fleet.state == "off"].label.tolist()[:1]
    names = [*off, *suspended]
    refused = call("power", "on", *names, "--yes")
    assert refused.code == 2
    assert all(label in refused.err for label in suspended)
    assert "--skip-busy" in refused.err or len(suspended) == 1
    assert log(server) == []
    done = call("power", "on", *names, "--skip-busy", "--yes", "-o", "json")
    assert [row["target"] for row in json.loads(done.data)] == off
    assert all(f"note: {label} was left out: suspended by the provider" in done.err for label in suspended)
