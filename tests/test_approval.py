"""An account with approve = "other" is changed only by a planned run that a second person has approved."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_read_only import COMMANDS, METHODS, RUNS, Account

import lcnb
from conftest import MANY, TOKEN, become, lcnb_here
from lcnb.api import calls
from lcnb.runbooks.batch.runner import batch
from lcnb.runbooks.records.find import find_run
from lcnb.runbooks.run import run_runbook
from lcnb.runbooks.schedule.export import export_schedule
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread

SELECTED = {"selection": "label == 'web-01'"}


@pytest.fixture
def account(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    sandbox = Sandbox(World(Clock(1000), fleet=14), TOKEN, rate_limit=MANY)
    sandbox.world.profile["balance"] = 1e6
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    become(monkeypatch, "ana")
    (own_home / "config").mkdir()
    with serve_in_thread(sandbox) as base_url:
        config = f'[accounts.prod]\ntoken_env = "PROD_TOKEN"\nbase_url = "{base_url}"\napprove = "other"\n'
        (own_home / "config" / "lcnb.toml").write_text(config)
        with lcnb.connect() as lc, lcnb.LetsCloud(replace(lc.settings, approval="")) as free:
            yield Account(sandbox, lc, tmp_path, lambda: free)


def approve(*arguments: str, user: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`lcnb approve` with these arguments, by a user."""
    with pytest.MonkeyPatch.context() as patch:
        become(patch, user)
        return lcnb_here("approve", *arguments, stdin=stdin)


def plan_run() -> str:
    """Plan to power web-01 off, as ana; return the id of the run."""
    done = lcnb_here("plan-run", "power_schedule", "-p", "selection=label == 'web-01'", "-p", "power=off")
    assert done.returncode == 0, done.stderr
    return find_run("last").id


def assert_refused(work: Callable[[], object], account: Account) -> lcnb.ApprovalMissing:
    """Call it: it raises ApprovalMissing, and nothing was sent but reads."""
    with pytest.raises(lcnb.ApprovalMissing) as caught:
        work()
    assert account.writes() == []
    return caught.value


# --- without an approval --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_change_without_a_run(account: Account, name: str) -> None:
    """A change that no run has planned can be looked at and is refused, before anybody is asked."""
    changes = METHODS[name](account.lc, account)
    error = assert_refused(
        lambda: changes.apply(lambda changes: pytest.fail("nobody must be asked")), account
    )
    assert 'approve = "other" of [accounts.prod]' in str(error)
    assert "lcnb approve RUN" in str(error)
    assert account.lc.journal().empty


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - RUNS - {"resume"}))
def test_command_without_a_run(account: Account, name: str) -> None:
    """A command with --yes exits with 6 and sends nothing."""
    arguments = COMMANDS[name](account)
    done = lcnb_here(*name.split(), *arguments, "--yes")
    assert (done.returncode, account.writes()) == (6, []), done.stderr
    assert "need the approval of a second person" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "start",
    [
        lambda a: run_runbook("power_schedule", {**SELECTED, "dry_run": False}, confirm=True),
        lambda a: batch("power_schedule", [SELECTED], parameters={"dry_run": False}, confirm=True),
        lambda a: export_schedule(
            "power_schedule", "0 6 * * *", "cron", parameters={**SELECTED, "dry_run": "false"}, confirm=True
        ),
        lambda a: a.lc.send(calls.Call("DELETE", "/snapshots/x", "delete", "read"), confirm=True),
    ],
    ids=["run", "batch", "schedule", "send"],
)  # fmt: skip
def test_start_without_a_plan(account: Account, start: Callable[[Account], object]) -> None:
    """A run, a batch, a schedule that would change the account, and a single call are refused."""
    assert_refused(lambda: start(account), account)
    assert not list((account.folder / "runs").glob("*/run.json"))


def test_account_without_a_name(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """LCNB_APPROVE requires the approval for every account; another value of it is an error."""
    monkeypatch.setenv("LCNB_APPROVE", "other")
    with lcnb.connect(token=TOKEN, base_url=account.lc.settings.base_url) as lc:
        assert_refused(lambda: lc.power_off(label="web-01").apply(confirm=True), account)
    monkeypatch.setenv("LCNB_APPROVE", "nobody")
    with pytest.raises(lcnb.ConfigError, match="LCNB_APPROVE"):
        lcnb.connect()


@pytest.mark.parametrize("value", ["true", '"self"', '""', '["other"]'])
def test_wrong_setting(account: Account, own_home: Path, value: str) -> None:
    """A value of `approve` that is not "other" is an error: it must not be taken for no requirement."""
    config = own_home / "config" / "lcnb.toml"
    config.write_text(config.read_text().replace('"other"', value))
    with pytest.raises(lcnb.ConfigError, match='approve must be "other"'):
        lcnb.connect()


# --- plan, approve, apply -------------------------------------------------------------------------------


def test_approved_run(account: Account) -> None:
    """Ana plans, ben approves, ana applies: the plan is made, and both records name ben."""
    planned = plan_run()
    early = lcnb_here("apply", planned, "--yes")
    assert (early.returncode, account.writes()) == (6, [])
    assert f"lcnb approve {planned}" in early.stderr.replace("\n", " ")

    done = approve(planned, "--yes", "--note", "ticket 12", user="ben")
    assert done.returncode == 0, done.stderr
    assert "planned by ana@" in done.stdout
    assert "web-01" in done.stdout
    assert "approved by ben@" in lcnb_here("show", planned).stdout
    assert lcnb_here("verify").returncode == 0

    applied = lcnb_here("apply", planned, "--yes")
    assert applied.returncode == 0, applied.stderr
    assert [path.rpartition("/")[2] for _, path in account.writes()] == ["power-off"]
    approval = find_run("last").facts["approval"]
    assert (approval["run"], approval["user"], approval["note"]) == (planned, "ben", "ticket 12")


def test_planner_cannot_approve(account: Account) -> None:
    """The planner is refused with exit code 6, however the name is written."""
    planned = plan_run()
    for name in ("ana", "ANA", " ana"):
        done = approve(planned, "--yes", user=name)
        assert done.returncode == 6
        assert "ana planned the run" in done.stderr
    assert not (find_run(planned).folder / "approval.json").exists()


def test_name_in_a_variable(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable makes nobody another user: the name is that of the operating system."""
    planned = plan_run()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ben")
    assert approve(planned, "--yes", user="ana").returncode == 6
    assert not (find_run(planned).folder / "approval.json").exists()


def test_nobody_answers(account: Account) -> None:
    """Without --yes and without an answer nothing is approved."""
    planned = plan_run()
    for answer in ("", "n\n"):
        assert approve(planned, stdin=answer, user="ben").returncode == 6
    assert not (find_run(planned).folder / "approval.json").exists()


def test_second_approval(account: Account) -> None:
    """An approval stays as it is when somebody approves again."""
    planned = plan_run()
    approve(planned, "--yes", user="ben")
    content = (find_run(planned).folder / "approval.json").read_bytes()
    assert "approved by ben@" in approve(planned, "--yes", user="eva").stdout
    assert (find_run(planned).folder / "approval.json").read_bytes() == content


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return edit


def _approve_as_planner(folder: Path) -> None:
    path = folder / "approval.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "user": "Ana"}))


#: What happens to the folder after the approval → what the refusal says.
TAMPERED: dict[str, tuple[Callable[[Path], None], str]] = {
    "another machine in the plan": (_edit("power.json", "web-01", "web-02"), "was changed after the run ended"),
    "another machine in the record": (_edit("run.json", "web-01", "web-02"), "was changed after the run ended"),
    "the planner's name": (_approve_as_planner, "planned the run"),
    "the hash of another record": (_edit("approval.json", '"record_sha256": "', '"record_sha256": "0'), "another record"),
    "another run": (_edit("approval.json", '"run": "2', '"run": "1'), "another record"),
    "a torn file": (lambda folder: (folder / "approval.json").write_text('{"run": "'), "cannot be read"),
    "no approver": (_edit("approval.json", '"user": "ben"', '"user": ""'), "cannot be read"),
    "no file": (lambda folder: (folder / "approval.json").unlink(), "nobody has approved"),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_tampered_plan(account: Account, how: str) -> None:
    """A plan or an approval that was changed after the approval is not made."""
    tamper, message = TAMPERED[how]
    planned = plan_run()
    assert approve(planned, "--yes", user="ben").returncode == 0
    tamper(find_run(planned).folder)
    done = lcnb_here("apply", planned, "--yes")
    assert done.returncode in (2, 6), done.stderr
    assert message in " ".join(done.stderr.split())
    assert account.writes() == []


def test_other_changes_of_an_approved_run(account: Account) -> None:
    """The account has changed since the approval: what was not approved is not made."""
    planned = plan_run()
    assert approve(planned, "--yes", user="ben").returncode == 0
    account.writable().power_off(label="web-01").apply(confirm=True, wait=True, timeout=600)
    before = account.writes()
    assert lcnb_here("apply", planned, "--yes").returncode != 0
    assert account.writes() == before
