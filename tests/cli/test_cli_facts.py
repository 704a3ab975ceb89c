"""The commands about facts: what they take, write, print and return."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Call
from lcnb import LetsCloud
from lcnb.sandbox import Sandbox

Served = Callable[..., tuple[Sandbox, LetsCloud]]


def rows(call: Call, *arguments: str) -> list[dict[str, Any]]:
    done = call(*arguments, "-o", "json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


def test_commands(account_env: object, call: Call) -> None:
    """Each command prints the facts that it changed, and `lcnb facts` lists all."""
    assert [
        each["label"] for each in rows(call, "tag", "web-01", "db-01", "project=shop", "--key", "legacy")
    ] == ["db-01", "web-01"]
    (found,) = rows(call, "untag", "web-01", "--key", "legacy")
    assert found["tags"] == "project=shop"
    (found,) = rows(call, "protect", found["identifier"])
    assert (found["label"], found["protected"]) == ("web-01", True)
    (found,) = rows(call, "expire", "web-01", "--at", "2099-01-01")
    assert found["expires"].startswith("2099-01-01T00:00:00")
    (found,) = rows(call, "facts", "set", "web-01", "--owner", "ana", "--note", "")
    assert (found["owner"], found["note"]) == ("ana", None)
    assert [each["tags"] for each in rows(call, "facts")] == ["legacy; project=shop", "project=shop"]
    (found,) = rows(call, "expire", "web-01", "--never")
    assert found["expires"] is None
    (found,) = rows(call, "unprotect", "web-01")
    assert found["protected"] is False
    assert "project=shop" in call("facts").out
    assert call("facts", "-o", "csv").out.splitlines()[0].startswith("identifier,label,tags,owner")


def test_selection(account_env: object, call: Call) -> None:
    """Machines are selected by a text, as runbooks select them; a value that no machine has is named."""
    found = rows(call, "protect", "--select", "location == 'MIA1' and label.str.startswith('web-')")
    assert len(found) == 6
    done = call("protect", "--select", "location == 'DAL1' or location == 'MIA9'")
    assert done.code == 0
    assert "no machine has location 'MIA9' (did you mean 'MIA1'?)" in " ".join(done.err.split())
    call("unprotect", "--select", "location == 'DAL1'")
    assert sum(each["protected"] for each in rows(call, "facts")) == 6


def test_selection_of_machines_without_identifier(account_env: object, call: Call) -> None:
    """A machine that is still being built, without an identifier, is left out with a warning; alone it is an error."""
    done = call("tag", "--select", "label in ['web-03', 'web-11']", "project=shop")
    assert done.code == 0
    assert "left out: web-11" in done.err
    assert [each["label"] for each in rows(call, "facts")] == ["web-03"]
    done = call("tag", "--select", "label == 'web-11'", "project=shop")
    assert done.code == 2
    assert "web-11: still being built" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tag", "project=shop"], 2, "no machine is named: each word with = is a tag"),
        (["tag", "web-01", "--select", "all", "a=1"], 2, "or name machines without --select"),
        (["tag", "web-01"], 2, "name at least one tag: KEY=VALUE such as project=shop, or --key KEY."),
        (["tag", "web-01", "--key", "a=1"], 2, "--key a=1: a tag with a value is written without --key."),
        (["tag", "web-01", "1a=1"], 2, "tag: expected a key"),
        (["tag", "wbe-01", "a=1"], 2, "no machine has the label or identifier 'wbe-01' (did you mean 'web-01'?)"),
        (["untag", "web-01"], 2, "missing option:"),
        (["untag", "web-01", "--key", "a"], 2, "none of these machines has a tag 'a'"),
        (["expire", "web-01"], 2, "pass one of --in, --at and --never."),
        (["expire", "web-01", "--in", "8h", "--never"], 2, "pass one of --in, --at and --never."),
        (["expire", "web-01", "--in", "8"], 2, "--in: expected a duration such as 30m"),
        (["facts", "set", "web-01"], 2, "pass --owner, --note, or both."),
        (["facts", "move", "gone", "web-01"], 2, "the facts file has no machine 'gone'"),
        (["facts", "remove"], 2, "missing argument IDENTIFIER."),
        (["protect", "--select", "colour == 'red'"], 2, "there is no column 'colour'"),
        (["protect", "--select", "state == 'runing'"], 2, "no machine can have the state 'runing' (did you mean 'running'?)"),
        (["protect", "--select", "label == 'web-1'"], 2, "no machine has label 'web-1' (did you mean 'web-01'?). Nothing was written."),
        (["tag", "a=1", "--select", ""], 2, "an empty selection selects no machine"),
        (["protect", "--select", "cpus > 999"], 2, "it selects none of the"),
    ],
)  # fmt: skip
def test_refused(account_env: object, call: Call, arguments: list[str], code: int, message: str) -> None:
    """What cannot be meant is refused with what to do, and nothing is written."""
    done = call(*arguments)
    assert (done.code, done.out) == (code, "")
    assert message in " ".join(done.err.split())
    assert rows(call, "facts") == []


def test_check(served: Served, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb facts check` returns 8 for findings and 0 without one; what is gone can be moved and removed."""
    box, lc = served(fleet=5)
    monkeypatch.setenv("LETSCLOUD_API_KEY", lc.settings.token.reveal())
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    fleet = lc.instances().dropna(subset="identifier")
    lc.tag(fleet, "project=shop")
    assert call("facts", "check").code == 0
    assert call("facts", "check", "--require", "team").code == 8
    old, new = fleet.identifier[:2]
    box.world.machines.remove(next(each for each in box.world.machines if each["identifier"] == old))
    done = call("facts", "check", "-o", "json")
    assert done.code == 8
    assert [(each["finding"], each["identifier"]) for each in json.loads(done.out)] == [("gone", old)]
    assert call("facts", "move", old, new).code == 2  # it has facts of its own
    lc.untag(new, "project")
    assert [each["identifier"] for each in rows(call, "facts", "move", old, new)] == [old, new]
    assert call("facts", "remove", new).code == 2
    assert call("facts", "check").code == 0


def test_sandbox(call: Call) -> None:
    """With `--sandbox` the facts end with the command, and never reach the file of an account."""
    (found,) = rows(call, "tag", "web-01", "a=1", "--sandbox")
    assert found["label"] == "web-01"
    from lcnb.config import facts_path

    assert not facts_path(None).exists()


def test_unreadable_file(account_env: object, call: Call) -> None:
    """Every command names the line that cannot be read, and changes nothing."""
    from lcnb.config import load_settings

    path = load_settings().facts_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("identifier,protected\nabc,perhaps\n")
    for arguments in (["facts"], ["tag", "web-01", "a=1"], ["inventory"], ["facts", "check"]):
        done = call(*arguments)
        assert done.code == 2
        assert "line 2: protected: expected yes" in " ".join(done.err.split())
    assert path.read_text() == "identifier,protected\nabc,perhaps\n"


def test_create(account_env: object, call: Call) -> None:
    """The facts of a new machine are in the preview of its create; a duration and a time exclude each other."""
    new = [
        "create",
        "new",
        "--location",
        "MIA1",
        "--plan",
        "1vcpu-1gb-10ssd",
        "--image",
        "debian-12-x86_64",
        "--dry-run",
    ]
    given = ["--tag", "project=shop", "--tag", "legacy", "--owner", "ana", "--protect"]
    (change,) = rows(call, *new, *given, "--expires-at", "2099-01-01")
    assert change["to"].endswith("; legacy; project=shop; owner ana; protected; expires 2099-01-01T00:00:00Z")
    assert "; expires 20" in rows(call, *new, "--expires-in", "8h")[0]["to"]
    for wrong, message in (
        (
            ["--expires-in", "8h", "--expires-at", "2099-01-01"],
            "pass --expires-in or --expires-at, not both.",
        ),
        (["--expires-in", "8"], "--expires-in: expected a duration such as 30m"),
        (["--tag", "1=2"], "tag: expected a key"),
    ):
        done = call(*new, *wrong)
        assert done.code == 2
        assert message in " ".join(done.err.split())
