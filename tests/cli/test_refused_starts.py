"""A schedule whose run is refused leaves a record and notifies people; a person at a terminal leaves nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import LCNB, TOKEN, Call, Hook
from lcnb.runbooks.environment import SCHEDULE_VARIABLE
from lcnb.runbooks.records.refused import MAX_KEPT, list_refused_starts, record_refused_start
from lcnb.runbooks.schedule.starts import read_starts, starts_file

#: Apprise 2 imports a module that Python 3.13 no longer has, in a `try`.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
PASSWORD = "Correct-Horse-47-Battery"


@pytest.fixture
def messages(hook: Hook, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The messages that a web hook has received, as the target of LCNB_NOTIFY."""
    monkeypatch.setenv("LCNB_NOTIFY", f"{hook.url}{PASSWORD}")
    return hook.messages


def recorded(call: Call) -> list[dict[str, Any]]:
    done = call("runs", "--refused", "-o", "json")
    assert done.code == 0, done.err
    return list(json.loads(done.out))


REFUSED = [
    (["run", "inventry"], 2, "inventry", "did you mean 'inventory'?"),
    (["run", "inventory", "--acount", "lab"], 2, "inventory", "--acount"),
    (["run", "inventory", "--sandbox", "-p", "locaton=MIA1"], 2, "inventory", "did you mean 'location'?"),
    (["run", "inventory"], 2, "inventory", "LETSCLOUD_API_KEY"),
    (["run", "power_schedule", "--sandbox", "-p", "selection=all", "-p", "power=off", "-p", "dry_run=false"], 6,
     "power_schedule", "nobody confirmed"),
    (["plan-run", "inventory"], 2, "inventory", "dry_run"),
    (["batch", "inventory", "--accounts", "all"], 2, "inventory", "lcnb.toml"),
    (["batch"], 2, "batch", "name a runbook"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "code", "runbook", "reason"), REFUSED)
def test_refused_start(
    command: list[str],
    code: int,
    runbook: str,
    reason: str,
    call: Call,
    messages: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """What a schedule could not start is listed with its reason and exit code, and people are notified once."""
    assert call(*command).code == code
    (row,) = recorded(call)
    assert (row["runbook"], row["status"], row["exit_code"]) == (runbook, "refused", code)
    assert reason in row["reason"]
    (message,) = messages
    assert message["title"] == f"{runbook}: refused"
    assert reason in message["message"]
    assert json.loads(call("runs", "-o", "json").out) == []
    assert call("show", row["folder"]).code == 0


def test_wrong_token_before_the_start(call: Call, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that the provider refused is listed too, with the exit code of the failure."""
    _, client = served()
    monkeypatch.setenv("LCNB_BASE_URL", client.settings.base_url)
    monkeypatch.setenv("LETSCLOUD_API_KEY", "$2Y$10$WRONG47114711471147114711471147114711471147114711")
    assert call("run", "inventory", "-p", "location=MIA1").code == 1
    (row,) = recorded(call)
    assert (row["status"], row["exit_code"]) == ("failed", 1)
    assert "401" in row["reason"]


def test_no_secret(
    call: Call,
    messages: list[dict[str, Any]],
    tmp_path: Path,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No record and no message has a token, a password of the environment, or the value of a secret parameter."""
    monkeypatch.setenv(SCHEDULE_VARIABLE, "night")
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("MY_PASSWORD", PASSWORD)
    call("run", "inventory", "-p", f"api_token={PASSWORD[::-1]}")
    call("run", f"{PASSWORD}-{TOKEN}")
    call("run", "inventory", "-p", f"state={PASSWORD}")
    call("run", "inventory", f"--{TOKEN}")
    texts = [path.read_text() for path in (tmp_path / "runs").rglob("*.json")] + [json.dumps(messages)]
    assert len(texts) == 5
    assert [start.end.status for start in read_starts("night") if start.end] == ["refused"] * 4
    texts.append(starts_file("night").read_text())
    for secret in (TOKEN, PASSWORD, PASSWORD[::-1]):
        assert not [text for text in texts if secret in text], secret


def test_env_file(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of --env-file count, also when the command line is wrong: they name the runs folder."""
    monkeypatch.setenv("LCNB_RUNS_DIR", str(tmp_path / "runs"))
    (tmp_path / "env").write_text(f"LCNB_RUNS_DIR='{tmp_path / 'elsewhere'}'\n")
    (tmp_path / "env").chmod(0o600)
    assert call("run", "inventory", "--env-file", str(tmp_path / "env"), "--nope").code == 2
    assert len(list_refused_starts(tmp_path / "elsewhere")) == 1
    assert call("run", "inventry", "--runs-dir", str(tmp_path / "third")).code == 2
    assert len(list_refused_starts(tmp_path / "third")) == 1


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_terminal(name: str, tmp_path: Path) -> None:
    """A person at a terminal who mistypes leaves no record, even when the output goes to a pipe."""
    ours, theirs = pty.openpty()
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    done = subprocess.run([LCNB, "run", "inventry"], **{**streams, name: theirs}, timeout=600)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_active_run_is_no_refusal(call: Call, tmp_path: Path) -> None:
    """A run that started has its own record, whatever it ends with: it is not listed as refused."""
    assert call("run", "inventory", "--sandbox").code == 0
    assert recorded(call) == []


def test_prune(call: Call, tmp_path: Path) -> None:
    """`lcnb runs prune` keeps the newest refused starts as it keeps runs; the folder never holds more than MAX_KEPT."""
    facts = {"runbook": "inventory", "status": "refused", "exit_code": 2, "reason": "x"}
    for number in range(3):
        record_refused_start({**facts, "reason": str(number)}, tmp_path / "runs")
    done = call("runs", "prune", "--keep", "2", "--yes")
    assert (done.code, done.out.count("deleted ")) == (0, 1)
    assert len(recorded(call)) == 2
    assert (
        call("runs", "--refused", "--status", "refused", "--since", "1h", "--runbook", "inventory").code == 0
    )
    folder = tmp_path / "many" / "refused"
    for number in range(MAX_KEPT + 2):
        path = folder / f"20260101T{number // 3600:02}{number // 60 % 60:02}{number % 60:02}Z-inventory-a"
        path.mkdir(parents=True)
        (path / "run.json").write_text(json.dumps({**facts, "id": path.name, "closed": True}))
    newest = record_refused_start(facts, tmp_path / "many").parent
    kept = list_refused_starts(tmp_path / "many")
    assert (len(kept), kept[0].folder) == (MAX_KEPT, newest)


@pytest.mark.parametrize(
    ("stop", "code"), [(EOFError, 6), (KeyboardInterrupt, 130)], ids=["Ctrl-D", "Ctrl-C"]
)
def test_question_of_prune(
    stop: type[BaseException], code: int, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-D and Ctrl-C at the question of prune end it as at every other question, and nothing is deleted."""
    record_refused_start({"runbook": "inventory", "status": "refused", "exit_code": 2}, tmp_path / "runs")

    def answer(_: str) -> str:
        raise stop

    monkeypatch.setattr("builtins.input", answer)
    done = call("runs", "prune", "--keep", "0")
    assert done.code == code
    assert "nothing was deleted" in done.err
    assert len(recorded(call)) == 1


def test_unwritable_folder(call: Call, tmp_path: Path) -> None:
    """Where no record can be written the command says so, and its exit code stays."""
    (tmp_path / "runs").write_text("a file")
    done = call("run", "inventry")
    assert done.code == 2
    assert "warning: the refused start could not be recorded: " in done.err
