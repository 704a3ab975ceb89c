"""What a change is before it is made: built, checked, shown, confirmed, kept; and the same for async."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
import json
import logging
import pickle
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from benchmarks.virtual import client
from conftest import TOKEN
from lcnb.api.calls import power_off
from lcnb.api.passwords import checked_password, new_password
from lcnb.changes.actions import ACTIONS
from lcnb.changes.build import checked_public_key, create_key_pair, key_fingerprint
from lcnb.changes.key_files import write_key
from lcnb.changes.results import tasks_frame
from lcnb.client import AsyncLetsCloud, LetsCloud
from lcnb.config import Settings
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.sandbox.faults import Faults
from lcnb.sandbox.http import Reply, json_reply
from lcnb.secret import Secret

NEW = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}
KEY, PRIVATE = create_key_pair("ed25519")
PASSWORD = "Typed-Passw0rd-7"


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(World(Clock(0)), TOKEN)


@pytest.fixture
def lc(box: Sandbox, settings: Settings) -> LetsCloud:
    """A client of this sandbox, on its clock, without sockets."""
    return client(box, settings)


def writes(box: Sandbox) -> list[tuple[str, str, Any]]:
    return [
        (entry["method"], entry["path"].removeprefix("/api"), entry["body"] or None)
        for entry in box.log
        if entry["method"] != "GET"
    ]


# --- every method ---------------------------------------------------------------------------------------

# Method, arguments → action, target, from, to, price difference, request, body.
METHODS: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("create_instance", {"label": "new", **NEW, "password": PASSWORD},
     ("create instance", "new", "", "1vcpu-1gb-10ssd at MIA1, debian-12-x86_64", {"USD": 5.4}, "POST /instances",
      {"location_slug": "MIA1", "plan_slug": "1vcpu-1gb-10ssd", "hostname": "new", "label": "new", "image_slug": "debian-12-x86_64", "password": "*****"})),
    ("ensure_instance", {"label": "new", **NEW, "ssh_key": "ci-deploy", "hostname": "a.example.com"},
     ("create instance", "new", "", "1vcpu-1gb-10ssd at MIA1, debian-12-x86_64", {"USD": 5.4}, "POST /instances",
      {"location_slug": "MIA1", "plan_slug": "1vcpu-1gb-10ssd", "hostname": "a.example.com", "label": "new", "image_slug": "debian-12-x86_64", "ssh_slug": "ci-deploy"})),
    ("delete_instance", {"label": "web-01"}, ("delete instance", "web-01", "running", "gone", {"USD": -5.4}, "DELETE /instances/{web-01}", None)),
    ("power_on", {"label": "web-02"}, ("power on", "web-02", "off", "running", {}, "PUT /instances/{web-02}/power-on", None)),
    ("power_off", {"label": "web-01"}, ("power off", "web-01", "running", "off", {}, "PUT /instances/{web-01}/power-off", None)),
    ("shutdown", {"label": "web-01"}, ("shut down", "web-01", "running", "off", {}, "POST /instances/{web-01}/shutdown", None)),
    ("reboot", {"label": "web-01"}, ("reboot", "web-01", "running", "running", {}, "PUT /instances/{web-01}/reboot", None)),
    ("reset_password", {"label": "web-01"}, ("reset password", "web-01", "the password", "a new one", {}, "PUT /instances/{web-01}/reset-password", {"password": "*****"})),
    ("change_plan", {"label": "web-01", "plan": "2vcpu-4gb-30ssd"}, ("change plan", "web-01", "1vcpu-1gb-10ssd", "2vcpu-4gb-30ssd", {"USD": 12.3}, "PUT /instances/{web-01}/change-plan", {"plan_slug": "2vcpu-4gb-30ssd"})),
    ("add_sshkey", {"title": "Ops 1", "public_key": KEY}, ("add ssh key", "Ops 1", "", key_fingerprint(KEY), {}, "POST /sshkeys", {"title": "Ops 1", "key": KEY})),
    ("add_sshkey", {"title": "CI Deploy", "public_key": KEY, "replace": True}, ("replace ssh key", "CI Deploy", None, key_fingerprint(KEY), {}, "POST /sshkeys", {"title": "CI Deploy", "key": KEY})),
    ("generate_sshkey", {"title": "Ops 2", "file": "ops", "generate_on_server": True}, ("generate ssh key", "Ops 2", "", None, {}, "POST /sshkeys", {"title": "Ops 2"})),
    ("delete_sshkey", {"slug": "ci-deploy"}, ("delete ssh key", "ci-deploy", None, "gone", {}, "DELETE /sshkeys", {"slug": "ci-deploy"})),
    ("create_snapshot", {"of": "web-01", "label": "kept"}, ("create snapshot", "web-01", "", "snapshot kept", {}, "POST /instances/{web-01}/snapshots", {"label": "kept"})),
    ("rename_snapshot", {"slug": "{snapshot}", "label": "kept"}, ("rename snapshot", "db-01 before upgrade 16", "db-01 before upgrade 16", "kept", {}, "PUT /snapshots/{snapshot}", {"label": "kept"})),
    ("delete_snapshot", {"slug": "{snapshot}"}, ("delete snapshot", "db-01 before upgrade 16", "38 GB", "gone", {}, "DELETE /snapshots/{snapshot}", None)),
]  # fmt: skip
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(METHODS)]


def places(box: Sandbox) -> dict[str, str]:
    found = {machine["label"]: machine["identifier"] for machine in box.world.machines}
    return {**found, "snapshot": box.world.snapshots[0]["slug"]}


def filled(box: Sandbox, arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    known = places(box)
    values = {
        name: known[value[1:-1]] if isinstance(value, str) and value.startswith("{") else value
        for name, value in arguments.items()
    }
    return {name: folder / value if name == "file" else value for name, value in values.items()}


@pytest.mark.parametrize(("method", "arguments", "shown"), METHODS, ids=IDS)
def test_shown_and_sent(
    box: Sandbox,
    lc: LetsCloud,
    tmp_path: Path,
    method: str,
    arguments: dict[str, Any],
    shown: tuple[Any, ...],
) -> None:
    """A method shows what it would do and sends nothing but reads; apply then sends exactly what was shown."""
    changes = getattr(lc, method)(**filled(box, arguments, tmp_path))
    (change,) = changes
    action, target, before, after, difference, request, body = shown
    assert (change.action, change.target) == (action, target)
    assert before is None or change.before == before
    assert after is None or change.after == after
    assert changes.monthly_difference() == difference
    request = re.sub(r"\{(.+)\}", lambda found: places(box)[found[1]], request)
    assert changes.requests == [(*request.split(" "), body)]
    assert changes.to_frame().request.tolist() == [request]
    assert writes(box) == []

    result = changes.apply(confirm=True)
    assert result.outcome.tolist() == ["done"], result.detail[0]
    sent = [(verb, path, body) for verb, path, body in changes.requests]
    masked = {"password", "key"}  # the sandbox's log has stars for these
    expected = [
        (verb, path, body and {name: "*****" if name in masked else value for name, value in body.items()})
        for verb, path, body in sent
    ]
    assert writes(box) == expected


def test_every_write_method_is_shown() -> None:
    """The table above has every method that gives a ChangeSet, and async has each with the same arguments."""
    found = {
        name
        for name, method in inspect.getmembers(LetsCloud, inspect.isfunction)
        if "ChangeSet" in str(method.__annotations__.get("return")) and not name.startswith("_")
    }
    found.remove("changes")  # it puts together what the others give
    assert found - {"plan", "load_changes"} == {name for name, _, _ in METHODS}
    for name in [*found, "resume", "send"]:
        ours, theirs = (
            inspect.signature(getattr(LetsCloud, name)),
            inspect.signature(getattr(AsyncLetsCloud, name)),
        )
        assert ours.parameters == theirs.parameters, name


@pytest.mark.parametrize(("method", "arguments", "shown"), METHODS, ids=IDS)
def test_sync_is_async(
    settings: Settings,
    tmp_path: Path,
    method: str,
    arguments: dict[str, Any],
    shown: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write by the async client sends what the sync client sends, and gives the same result."""
    monkeypatch.setenv("LCNB_SETTLE", "5")
    results, sent = [], []
    for kind in ("sync", "async"):
        box = Sandbox(World(Clock(50)), TOKEN)
        folder = tmp_path / kind
        folder.mkdir()
        monkeypatch.setenv("LCNB_STATE_DIR", str(folder / "state"))
        with serve_in_thread(box) as base_url:
            given = filled(box, arguments, folder)
            if kind == "sync":
                with lcnb.connect(token=TOKEN, base_url=base_url) as one:
                    results.append(getattr(one, method)(**given).apply(confirm=True))
            else:

                async def main(base_url: str = base_url, given: dict[str, Any] = given) -> pd.DataFrame:
                    async with AsyncLetsCloud.connect(token=TOKEN, base_url=base_url) as one:
                        return await (await getattr(one, method)(**given)).apply(confirm=True)

                results.append(asyncio.run(main()))
        sent.append(writes(box))
    assert sent[0] == sent[1]
    columns = ["change", "action", "target", "outcome", "tries"]
    pd.testing.assert_frame_equal(results[0][columns], results[1][columns])


# --- refused --------------------------------------------------------------------------------------------

LOOP = {"label": "web-01"}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("create_instance", {"label": "web-01", **NEW}, "a machine of this label exists"),
    ("create_instance", {"label": "", **NEW}, "label ''"),
    ("create_instance", {"label": " x", **NEW}, "no space at its ends"),
    ("create_instance", {"label": "x" * 256, **NEW}, "1 to 255"),
    ("create_instance", {"label": "a\nb", **NEW}, "printable"),
    ("create_instance", {"label": 7, **NEW}, "expected a text"),
    ("create_instance", {"label": "ありがとう", **NEW}, "no letter or digit that a name could be made of"),
    ("create_instance", {"label": "n", **NEW, "location": "MIA9"}, r"did you mean 'MIA1'"),
    ("create_instance", {"label": "n", **NEW, "location": "LON1"}, "takes no new machines now. Available: DAL1"),
    ("create_instance", {"label": "n", **NEW, "plan": "1vcpu-1gb-10sd"}, r"did you mean '1vcpu-1gb-10ssd'"),
    ("create_instance", {"label": "n", **NEW, "image": "debian-12"}, "is not offered at MIA1.*debian-12-x86_64"),
    ("create_instance", {"label": "n", **NEW, "hostname": "-x"}, "hostname '-x'"),
    ("create_instance", {"label": "n", **NEW, "hostname": "a_b"}, "hostname 'a_b'"),
    ("create_instance", {"label": "n", **NEW, "hostname": "a." * 127 + "aa"}, "hostname"),
    ("create_instance", {"label": "n", **NEW, "ssh_key": "ci-deplo"}, "did you mean 'ci-deploy'"),
    ("create_instance", {"label": "n", **NEW, "password": "short"}, r"12 to 32 characters \(it has 5\)"),
    ("create_instance", {"label": "n", **NEW, "password": "alllowercase1!"}, "an upper-case letter"),
    ("create_instance", {"label": "n", **NEW, "password": "NoDigits-AtAll"}, "a digit"),
    ("create_instance", {"label": "n", **NEW, "password": "NoSpecial12345"}, "a special character"),
    ("create_instance", {"label": "n", **NEW, "password": 12}, "expected a text"),
    ("ensure_instance", {"label": "web-01", **NEW}, "web-01 exists, but its"),
    ("delete_instance", {}, "pass one machine"),
    ("delete_instance", {"identifier": "x", "label": "y"}, "pass one machine"),
    ("delete_instance", {"label": "web-1"}, "did you mean 'web-"),
    ("delete_instance", {"identifier": "../x"}, "no machine has the identifier"),
    ("delete_instance", {"label": "{busy}"}, "busy, an action is in progress"),
    ("power_off", {"label": "{busy}"}, "busy"),
    ("power_on", {"label": "{suspended}"}, "suspended"),
    ("reboot", {"label": "web-02"}, "off. Power it on instead"),
    ("reset_password", {**LOOP, "password": "short"}, "12 to 32"),
    ("change_plan", {**LOOP, "plan": "9vcpu"}, "is not offered at"),
    ("change_plan", {"label": "db-02", "plan": "1vcpu-1gb-10ssd"}, "a disk cannot shrink"),
    ("add_sshkey", {"title": "CI Deploy", "public_key": KEY}, "would be overwritten.*replace=True"),
    ("add_sshkey", {"title": "ci deploy!", "public_key": KEY}, "would be overwritten"),
    ("add_sshkey", {"title": "x", "public_key": "ssh-dss AAAA"}, "expected one line of an OpenSSH public key"),
    ("add_sshkey", {"title": "x", "public_key": "ssh-ed25519 AAAA"}, "expected one line"),
    ("add_sshkey", {"title": "x", "public_key": PRIVATE.reveal()}, "this is a private key"),
    ("add_sshkey", {"title": "!!!", "public_key": KEY}, "no letter or digit"),
    ("generate_sshkey", {"title": "x", "file": "taken"}, "exists, and is not overwritten"),
    ("generate_sshkey", {"title": "x", "file": "no/where"}, "no folder to be in"),
    ("generate_sshkey", {"title": "x", "file": "k", "key_type": "dsa"}, "expected ed25519 or rsa"),
    ("delete_sshkey", {"slug": "nope"}, "not in the account"),
    ("create_snapshot", {"of": "web-01", "label": ""}, "label ''"),
    ("rename_snapshot", {"slug": "nope", "label": "x"}, "no snapshot 'nope'"),
    ("delete_snapshot", {"slug": "nope"}, "no snapshot 'nope'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "arguments", "problem"), BAD, ids=[f"{row[0]}-{n}" for n, row in enumerate(BAD)]
)
def test_bad_input(
    box: Sandbox, lc: LetsCloud, tmp_path: Path, method: str, arguments: dict[str, Any], problem: str
) -> None:
    """Bad input is refused by its name, value and cure, and no write is sent."""
    (tmp_path / "taken").write_text("mine")
    special = {
        "{busy}": next(m["label"] for m in box.world.machines if m["locked"] and m["built"]),
        "{suspended}": next(m["label"] for m in box.world.machines if m["suspended"]),
    }
    given = {
        name: special.get(value, value) if isinstance(value, str) else value
        for name, value in arguments.items()
    }
    if "file" in given:
        given["file"] = tmp_path / given["file"]
    with pytest.raises((lcnb.InputError, lcnb.NotFound), match=re.compile(problem, re.DOTALL)) as refused:
        getattr(lc, method)(**given)
    assert "Nothing was sent" in str(refused.value)
    assert PRIVATE.reveal() not in str(refused.value)
    assert writes(box) == []
    assert (tmp_path / "taken").read_text() == "mine"


STATIC = [
    ("create_instance", {"label": "", **NEW}),
    ("create_instance", {"label": "n", **NEW, "hostname": "-x"}),
    ("create_instance", {"label": "n", **NEW, "password": "short"}),
    ("create_instance", {"label": "n", **NEW, "location": ""}),
    ("create_instance", {"label": "n", **NEW, "plan": None}),
    ("ensure_instance", {"label": "n", **NEW, "password": "short"}),
    ("delete_instance", {}),
    ("delete_instance", {"identifier": ".."}),
    ("delete_instance", {"identifier": ""}),
    ("delete_instance", {"label": ""}),
    ("reset_password", {**LOOP, "password": "short"}),
    ("add_sshkey", {"title": "x", "public_key": "no key"}),
    ("add_sshkey", {"title": "", "public_key": KEY}),
    ("generate_sshkey", {"title": "x", "file": "no/where"}),
    ("generate_sshkey", {"title": "", "file": "key"}),
    ("delete_sshkey", {"slug": ""}),
    ("create_snapshot", {"of": "web-01", "label": "\n"}),
    ("rename_snapshot", {"slug": "x", "label": ""}),
    ("delete_snapshot", {"slug": "."}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "arguments"), STATIC, ids=[f"{row[0]}-{n}" for n, row in enumerate(STATIC)]
)
def test_refused_before_a_byte(
    box: Sandbox, lc: LetsCloud, tmp_path: Path, method: str, arguments: dict[str, Any]
) -> None:
    """What is wrong by itself is refused before anything at all is sent, reads included."""
    given = {name: tmp_path / value if name == "file" else value for name, value in arguments.items()}
    with pytest.raises(lcnb.InputError, match="Nothing was sent"):
        getattr(lc, method)(**given)
    assert not box.log


def test_nothing_to_do(lc: LetsCloud, box: Sandbox) -> None:
    """What is so already gives an empty ChangeSet that says so, and applying it does nothing."""
    running_one = lc.power_on(label="web-01")
    assert (len(running_one), running_one.summary()) == (0, "nothing to do; web-01 is running already")
    assert running_one.apply(confirm=True).empty
    made = lc.create_instance("new", **NEW)
    made.apply(confirm=True, wait=True)
    assert lc.ensure_instance("new", **NEW).summary() == "nothing to do; new exists already, as asked for"


def test_twice_in_one_set(lc: LetsCloud) -> None:
    """Two creates of one label cannot be put into one set."""
    with pytest.raises(lcnb.InputError, match="create instance new is in this ChangeSet twice"):
        lc.create_instance("new", **NEW) + lc.create_instance("new", **NEW)


# --- confirming -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", [None, False, 0, "yes", 1])
def test_not_confirmed(box: Sandbox, lc: LetsCloud, confirm: Any) -> None:
    """Without a confirmation nothing is sent: headless None is refused, False is a no, and what is no flag is refused."""
    changes = lc.delete_instance(label="web-01")
    if confirm is None:
        with pytest.raises(
            lcnb.ConfirmationMissing, match=r"nobody confirmed.*Nothing was sent.*confirm=True"
        ):
            changes.apply()
    elif confirm is False:
        assert changes.apply(confirm=confirm).outcome.tolist() == ["not tried"]
    else:
        wanted = "the text 'web-01', got 'yes'" if confirm == "yes" else "True or False"
        with pytest.raises(lcnb.InputError, match=f"confirm: expected {wanted}"):
            changes.apply(confirm=confirm)
    assert writes(box) == []


def test_confirmed_by_a_function(box: Sandbox, lc: LetsCloud) -> None:
    """A function is asked with the ChangeSet, and its answer decides."""
    changes = lc.power_off(label="web-01")
    assert changes.apply(confirm=lambda asked: asked is not changes).outcome.tolist() == ["not tried"]
    assert writes(box) == []
    assert changes.apply(confirm=lambda asked: asked is changes).outcome.tolist() == ["done"]


@pytest.mark.parametrize(
    ("method", "arguments", "typed", "goes_on"),
    [
        ("power_off", LOOP, "yes", True),
        ("power_off", LOOP, "", False),
        ("power_off", LOOP, "no", False),
        ("delete_instance", LOOP, "web-01", True),
        ("delete_instance", LOOP, "yes", False),
        ("delete_instance", LOOP, "web-02", False),
        ("reset_password", LOOP, "yes", False),
    ],
)
def test_asked_in_a_terminal(
    box: Sandbox,
    lc: LetsCloud,
    method: str,
    arguments: dict[str, Any],
    typed: str,
    goes_on: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody at a terminal sees the changes and is asked; what cannot be undone needs its label typed."""
    monkeypatch.setattr("lcnb.changes.changeset.can_prompt", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    result = getattr(lc, method)(**arguments).apply()
    assert result.outcome.tolist() == ["done" if goes_on else "not tried"]
    assert len(writes(box)) == goes_on
    assert "web-01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "challenge", "reason"),
    [("power_off", "", ""), ("delete_instance", "web-01", "This cannot be undone.")],
)
def test_reason_to_type(lc: LetsCloud, method: str, challenge: str, reason: str) -> None:
    """A text is typed for a reason, and there is no reason without a text."""
    changes = getattr(lc, method)(**LOOP)
    assert (changes.challenge, changes.challenge_reason) == (challenge, reason)


@pytest.mark.parametrize("typed", ["all 40", " all 40 ", "yes"])
def test_another_reason_to_type(lc: LetsCloud, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal shows whatever reason the ChangeSet states."""
    prompts: list[str] = []
    monkeypatch.setattr(lcnb.ChangeSet, "_required_typing", lambda self: ("all 40", "These are 40 machines."))
    monkeypatch.setattr("lcnb.changes.changeset.can_prompt", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: prompts.append(prompt) or typed)
    assert lc.power_off(**LOOP).confirmed(None) is (typed != "yes")
    assert prompts == ["These are 40 machines. Type 'all 40' to go on: "]


def test_send_refuses_writes(box: Sandbox, lc: LetsCloud) -> None:
    """The low end refuses a write that nobody confirmed, and takes any read."""
    identifier = places(box)["web-01"]
    with pytest.raises(lcnb.ConfirmationMissing, match=r"power-off changes the account: pass confirm=True"):
        lc.send(power_off(identifier))
    assert writes(box) == []
    assert lc.send(power_off(identifier), confirm=True)["success"] is True


# --- the account moves on -------------------------------------------------------------------------------


def change_label(machine: dict[str, Any]) -> None:
    machine["label"] = "renamed"


def change_state(machine: dict[str, Any]) -> None:
    machine["booted"] = not machine["booted"]


def change_lock(machine: dict[str, Any]) -> None:
    machine["locked"] = True


@pytest.mark.parametrize("moved", [change_label, change_state, change_lock, None])
@pytest.mark.parametrize("method", ["delete_instance", "power_off", "reset_password", "reboot"])
def test_drifted(box: Sandbox, lc: LetsCloud, method: str, moved: Callable[..., None] | None) -> None:
    """A machine that is no longer what it was when the change was planned is left alone; so are all others."""
    changes = getattr(lc, method)(label="web-01") + lc.power_on(label="web-02")
    one = next(machine for machine in box.world.machines if machine["label"] == "web-01")
    if moved is None:
        box.world.machines.remove(one)
    else:
        moved(one)
    with pytest.raises(lcnb.Drifted, match=r"web-01 \(\w{14,16}\).*Nothing was sent"):
        changes.apply(confirm=True)
    assert writes(box) == []
    assert not len(lc.journal())


def test_label_taken_meanwhile(box: Sandbox, lc: LetsCloud) -> None:
    """A label that was free and is taken when the create is applied is refused, not doubled."""
    first, second = lc.create_instance("new", **NEW), lc.create_instance("new", **NEW)
    first.apply(confirm=True, wait=True)
    with pytest.raises(lcnb.Drifted, match="a machine with the label 'new' exists"):
        second.apply(confirm=True)
    assert len(writes(box)) == 1


# --- selections -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", ["instances", "inventory"])
def test_selection(box: Sandbox, lc: LetsCloud, listing: str) -> None:
    """Selected rows become one change each, of exactly these machines; those that are so already are left out."""
    frame = getattr(lc, listing)()
    some = frame.query("location == 'MIA1' and state in ['running', 'off']")
    changes = some.lc.power_off()
    on = some[some.state == "running"]
    assert [change.identifier for change in changes] == on.identifier.tolist()
    assert len(changes.notes) == len(some) - len(on)
    result = changes.apply(confirm=True, wait=True)
    assert set(result.outcome) == {"done"}
    now = lc.instances()
    assert set(now[now.identifier.isin(on.identifier)].state) == {"off"}


def test_selection_methods(box: Sandbox, lc: LetsCloud) -> None:
    """A selection has power, plan, password, snapshot and delete; keys and snapshots can be deleted."""
    one = lc.inventory().query("label == 'web-01'")
    assert one.lc.shutdown()[0].action == "shut down"
    assert one.lc.reboot()[0].action == "reboot"
    assert one.lc.reset_password()[0].made_password
    assert one.lc.change_plan("2vcpu-4gb-30ssd").monthly_difference() == {"USD": 12.3}
    assert one.lc.snapshot("{label} nightly").requests[0][2] == {"label": "web-01 nightly"}
    assert one.lc.delete().monthly_difference() == {"USD": -5.4}
    assert [change.target for change in lc.sshkeys().lc.delete()] == [
        "ana-laptop",
        "ci-deploy",
        "backup-host",
    ]
    assert len(lc.snapshots().lc.delete()) == 5


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (lambda lc: pd.DataFrame({"identifier": ["x"]}), "no open client has listed these machines"),
        (lambda lc: pd.DataFrame({"label": ["web-01"]}), "not a listing that lcnb read"),
        (
            lambda lc: lc.instances().merge(lc.locations(), left_on="location", right_on="slug"),
            "each row needs its identifier; 1 of 60 rows have none",
        ),
        (lambda lc: lc.locations(), "not a listing that lcnb read"),
        (lambda lc: lc.sshkeys(), "the rows are sshkeys; they have: delete"),
        (lambda lc: lc.instances()[["label"]], "each row needs its identifier"),
        (lambda lc: lc.instances(), "still being built, without an identifier yet"),
    ],
)
def test_not_selectable(box: Sandbox, lc: LetsCloud, frame: Callable[..., Any], problem: str) -> None:
    """A frame that is not lcnb's, holds something else, or lacks the identifiers is refused with the cure."""
    with pytest.raises(lcnb.InputError, match=problem):
        frame(lc).lc.power_off()
    assert writes(box) == []


def test_async_selection(box: Sandbox) -> None:
    """Rows that the async client read give a ChangeSet to be awaited, and applied in the same loop."""

    async def main(base_url: str) -> list[str]:
        async with AsyncLetsCloud.connect(token=TOKEN, base_url=base_url) as one:
            rows = (await one.inventory()).query("label in ['web-01', 'web-02']")
            changes = await rows.lc.power_off()
            return (await changes.apply(confirm=True)).outcome.tolist()

    with serve_in_thread(box) as base_url:
        assert asyncio.run(main(base_url)) == ["done"]


@pytest.mark.parametrize(
    ("read_at", "when"),
    [
        ("2026-01-01T00:00:00+00:00", r"\d+ minutes ago"),
        ("2999-01-01T00:00:00+00:00", "at 2999.* in the future"),
    ],
)
def test_old_selection(box: Sandbox, lc: LetsCloud, read_at: str, when: str) -> None:
    """Rows that were read long ago, or before the clock was set back, are refused when they are applied."""
    one = lc.instances().query("label == 'web-01'")
    one.attrs["lcnb"]["fetched_at"] = read_at
    with pytest.raises(lcnb.Drifted, match=rf"the rows were read {when}.*Nothing was sent"):
        one.lc.power_off().apply(confirm=True)
    assert writes(box) == []


@pytest.mark.parametrize(
    ("listing", "change", "shown"),
    [
        ("snapshots", lambda box: box.world.snapshots[0].update(label="keep this"), "the label '.*', and it is 'keep this' now"),
        ("sshkeys", lambda box: box.world.sshkeys[0].update(public_key="ssh-ed25519 AAAA"), "the public_key 'ssh-.*', and it is 'ssh-ed25519 AAAA' now"),
    ],
)  # fmt: skip
def test_rows_of_what_has_changed(
    box: Sandbox, lc: LetsCloud, listing: str, change: Callable[[Sandbox], None], shown: str
) -> None:
    """A key or snapshot that is no longer as its row shows it is not deleted: it was selected by that."""
    rows = getattr(lc, listing)()
    assert len(rows.lc.delete()) == len(rows)
    change(box)
    lc._cache.forget_listings()
    with pytest.raises(lcnb.InputError, match=rf"{shown}.*Nothing was sent"):
        rows.lc.delete()
    assert len(rows[["slug"]].lc.delete()) == len(rows)


def test_columns_that_are_there_twice(lc: LetsCloud) -> None:
    """Rows with two identifiers each are refused with the cure."""
    rows = lc.instances().head(2)
    with pytest.raises(lcnb.InputError, match=r"2 columns are named identifier\. Keep one of them"):
        pd.concat([rows, rows], axis=1).lc.power_off()


def test_selection_of_a_gone_client(box: Sandbox, lc: LetsCloud, settings: Settings) -> None:
    """A frame whose client is gone says so, and takes another one."""
    frame = client(box, settings).instances().query("label == 'web-01'")
    frame.attrs["lcnb"]["client"] = "gone"
    with pytest.raises(lcnb.InputError, match="the client that read this frame is gone"):
        frame.lc.power_off()
    assert len(frame.lc(lc).power_off()) == 1


def test_frames_of_gone_clients(box: Sandbox, lc: LetsCloud, settings: Settings) -> None:
    """A frame whose client is gone never comes to belong to a client that was made later."""
    others = []
    for _ in range(30):
        frame = client(box, settings).instances().query("label == 'web-01'")
        gc.collect()
        others.append(client(Sandbox(World(Clock(0)), TOKEN), settings))
        with pytest.raises(lcnb.InputError, match="the client that read this frame is gone"):
            frame.lc.delete()


# --- desired state --------------------------------------------------------------------------------------


def test_plan(box: Sandbox, lc: LetsCloud) -> None:
    """A desired state becomes creates, plan changes, power, notes; and deletes with prune alone."""
    desired = pd.DataFrame(
        [
            {"label": "new", **NEW},
            {"label": "web-01", "plan": "2vcpu-4gb-30ssd"},
            {"label": "web-02", "state": "running"},
            {"label": "api-01", "state": "running"},
            {"label": "db-01", "location": "XXX1"},
        ]
    )
    changes = lc.plan(desired)
    assert [(change.action, change.target) for change in changes] == [
        ("create instance", "new"),
        ("change plan", "web-01"),
        ("power on", "web-02"),
    ]
    assert any(note.startswith("db-01 cannot be changed in place: it is at") for note in changes.notes)
    assert any("left alone (prune deletes them)" in note for note in changes.notes)
    changes.apply(confirm=True, wait=True)
    assert [change.target for change in lc.plan(desired)] == []


def test_prune(settings: Settings) -> None:
    """With prune, machines that the desired state does not name are deleted, and those alone."""
    box = Sandbox(World(Clock(0), fleet=4), TOKEN)
    lc = client(box, settings)
    for machine in box.world.machines:
        machine.update(booted=True, locked=False, built=True, suspended=False)
    changes = lc.plan(pd.DataFrame({"label": ["web-01", "api-01"]}), prune=True, max_delete_percent=50)
    assert {(change.action, change.target) for change in changes} == {
        ("delete instance", "worker-01"),
        ("delete instance", "db-01"),
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            [{"label": "a"}],
            r"row 1: there is no machine 'a' yet. To create it, the row needs location, plan, image",
        ),
        ([{"label": None}], "row 1: label"),
        ([{"label": "web-01"}, {"label": "web-01"}], "row 2: the label 'web-01' occurs twice"),
        ([{"label": "web-01", "sate": "off"}], r"column 'sate'.*did you mean 'state'"),
        (
            [{"label": "web-01", "state": "asleep"}],
            r"row 1 \(web-01\): state 'asleep' is not one of running, off.*Leave the row out",
        ),
    ],
)
def test_bad_plan(box: Sandbox, lc: LetsCloud, rows: list[dict[str, Any]], problem: str) -> None:
    """A desired state that cannot be right is refused with its row, and nothing is sent."""
    with pytest.raises(lcnb.InputError, match=problem):
        lc.plan(pd.DataFrame(rows))
    assert writes(box) == []


def test_saved_plan(box: Sandbox, lc: LetsCloud, tmp_path: Path) -> None:
    """A saved plan is 0600, holds no secret, and makes what it showed; once the account moved it is refused."""
    changes = lc.create_instance("new", **NEW) + lc.power_off(label="web-01")
    path = changes.save(tmp_path / "plan.json")
    assert path.stat().st_mode & 0o777 == 0o600
    password = changes[0].call.body["password"].reveal()
    assert password not in path.read_text()
    loaded = lc.load_changes(path)
    assert (loaded.id, loaded.requests) == (changes.id, changes.requests)
    box.world.machines[0]["booted"] = False
    with pytest.raises(lcnb.Drifted, match="state is 'off', was 'running'"):
        loaded.apply(confirm=True)
    box.world.machines[0]["booted"] = True
    assert lc.load_changes(path).apply(confirm=True).outcome.tolist() == ["done", "done"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lcnb": "changeset"}', "\x00"])
def test_not_a_plan(lc: LetsCloud, tmp_path: Path, text: str) -> None:
    """A file that is no saved plan is refused by its name."""
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(lcnb.InputError, match=r"plan\.json is not a plan that lcnb saved"):
        lc.load_changes(path)


def test_notes_of_plan(lc: LetsCloud, tmp_path: Path) -> None:
    """A plan whose notes are no list is refused as well."""
    path = lc.power_off(label="web-01").save(tmp_path / "plan.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "notes": None}))
    with pytest.raises(lcnb.InputError, match=r"plan\.json is not a plan that lcnb saved"):
        lc.load_changes(path)


#: What somebody may make of the first change of a plan that turns a machine off.
EDITED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a deletion": lambda each: each["call"].update(method="DELETE", path=f"/instances/{each['identifier']}"),
    "another machine": lambda each: each["call"].update(path="/instances/abcdefghijklmnop/power-off"),
    "another identifier": lambda each: each.update(identifier="abcdefghijklmnop"),
    "another host": lambda each: each["call"].update(path="@elsewhere.example.com/x"),
    "another domain": lambda each: each["call"].update(path=".elsewhere.example.com/x"),
    "other segments": lambda each: each["call"].update(path="/instances/../sshkeys"),
    "sent again after any failure": lambda each: each["call"].update(effect="read"),
    "another body": lambda each: each["call"].update(body={"_method": "DELETE"}),
    "another action": lambda each: each.update(action="power on"),
    "an unknown action": lambda each: each.update(action="rebuild"),
    "an unknown field": lambda each: each.update(at="noon"),
    "no request": lambda each: each.pop("call"),
}


@pytest.mark.parametrize("name", EDITED)
def test_edited_plan(box: Sandbox, lc: LetsCloud, tmp_path: Path, name: str) -> None:
    """A plan whose request is not the one of its action is refused: people confirm and approve the action."""
    path = lc.power_off(label="web-01").save(tmp_path / "plan.json")
    document = json.loads(path.read_text())
    EDITED[name](document["changes"][0])
    path.write_text(json.dumps(document))
    with pytest.raises(
        lcnb.InputError, match=r"(plan\.json.*Plan again|does not begin with /)\. Nothing was sent"
    ):
        lc.load_changes(path)
    assert writes(box) == []


def test_each_plan_can_be_loaded(box: Sandbox, lc: LetsCloud, tmp_path: Path) -> None:
    """The plan of each action is read as it was saved."""
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJv0Rk6N0Xn2Wq5o5Jmn0gq4m1c3s6vQk3mQd8pVt1aB"
    off = next(each["label"] for each in box.world.machines if not each["booted"])
    snapshot = lc.snapshots().slug[0]
    made = [
        lc.create_instance("new", **NEW, hostname="other", tags={"project": "shop"}),
        lc.create_instance("keyed", **NEW, ssh_key="ci-deploy"),
        lc.delete_instance(label="web-01"),
        lc.power_on(label=off),
        lc.power_off(label="web-01"),
        lc.shutdown(label="web-01"),
        lc.reboot(label="web-01"),
        lc.reset_password(label="web-01"),
        lc.change_plan(label="web-01", plan="8vcpu-32gb-240ssd"),
        lc.add_sshkey("mine", line),
        lc.add_sshkey("ci-deploy", line, replace=True),
        lc.generate_sshkey("pair", tmp_path / "pair", generate_on_server=True),
        lc.delete_sshkey("ci-deploy"),
        lc.create_snapshot(of="web-01", label="kept"),
        lc.rename_snapshot(snapshot, "kept"),
        lc.delete_snapshot(snapshot),
    ]
    assert {each.action for changes in made for each in changes} == set(ACTIONS)
    for number, changes in enumerate(made):
        loaded = lc.load_changes(changes.save(tmp_path / f"{number}.json"))
        assert loaded.requests == changes.requests


def test_plan_of_another_account(lc: LetsCloud, tmp_path: Path) -> None:
    """A plan is not applied to another account than it was made for."""
    path = lc.power_off(label="web-01").save(tmp_path / "plan.json")
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"base_url": "https://elsewhere.example.com"}))
    with pytest.raises(lcnb.InputError, match=r"was planned for https://elsewhere"):
        lc.load_changes(path)


def test_typed_password_is_in_no_plan(lc: LetsCloud, tmp_path: Path) -> None:
    """A plan with a typed password needs it again, by label."""
    path = lc.create_instance("new", **NEW, password=PASSWORD).save(tmp_path / "plan.json")
    with pytest.raises(lcnb.InputError, match="the password was typed, and lcnb does not store"):
        lc.load_changes(path)
    again = lc.load_changes(path, passwords={"new": Secret(PASSWORD)})
    assert again[0].call.body["password"] == Secret(PASSWORD)


# --- secrets --------------------------------------------------------------------------------------------


def test_secrets_stay(box: Sandbox, lc: LetsCloud, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Password, token and private key are in no preview, result, journal, log, error, traceback or pickle."""
    caplog.set_level(logging.DEBUG)
    changes = lc.create_instance("new", **NEW, password=PASSWORD)
    changes += lc.reset_password(label="web-01", password=PASSWORD)
    changes += lc.generate_sshkey("Ops", tmp_path / "ops")
    private = changes[2].private_key
    texts = [
        repr(changes),
        changes._repr_html_(),
        changes.to_frame().to_csv(),
        repr(list(changes)),
        str(changes.requests),
    ]
    texts.append(str(changes[0].plan()))
    with pytest.raises(lcnb.ConfirmationMissing) as refused:
        changes.apply()
    texts.append(verbose(refused.value))
    result = changes.apply(confirm=True)
    texts += [result.to_csv(), lc.journal().to_csv(), lc.pending().to_csv(), caplog.text]
    box.faults = Faults.read({"rules": [{"kind": "html", "method": "POST|PUT"}]})
    broken = lc.create_instance("other", **NEW, password=PASSWORD)
    broken += lc.reset_password(label="api-03", password=PASSWORD)
    for each in broken:
        with pytest.raises(lcnb.ChangeFailed) as failed:
            lcnb.ChangeSet([each], lc).apply(confirm=True)
        texts += [verbose(failed.value), repr(pickle.dumps(failed.value)), repr(pickle.dumps(each))]
    content = b"".join(path.read_bytes() for path in lc.settings.state_dir.rglob("*") if path.is_file())
    texts.append(content.decode("latin-1"))
    for secret in (PASSWORD, TOKEN, private.reveal(), private.reveal().splitlines()[2]):
        for text in texts:
            assert secret not in text
    key = tmp_path / "ops"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text() == private.reveal()


def verbose(error: BaseException) -> str:
    """A traceback with every local variable, as error trackers keep it."""
    file = io.StringIO()
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    print("".join(shown.format()), file=file)
    return file.getvalue()


def test_journal_file(lc: LetsCloud) -> None:
    """The journal is a file of mode 0600, and its frame has the same dtypes with rows and without."""
    empty = lc.journal()
    lc.power_off(label="web-01").apply(confirm=True)
    full = lc.journal()
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
    row = full.iloc[0]
    assert (row.action, row.target, row.outcome, row.tries) == ("power off", "web-01", "done", 1)
    assert (lc.settings.state_dir / "journal.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["not a database", ""])
def test_damaged_journal(box: Sandbox, lc: LetsCloud, damage: str) -> None:
    """Without a usable journal nothing is sent; an empty file is a new journal."""
    lc.settings.state_dir.mkdir(parents=True, exist_ok=True)
    (lc.settings.state_dir / "journal.sqlite").write_text(damage)
    changes = lc.power_off(label="web-01")
    if damage:
        with pytest.raises(lcnb.JournalError, match=r"journal\.sqlite cannot be used.*so nothing was sent\."):
            changes.apply(confirm=True)
        assert writes(box) == []
    else:
        assert changes.apply(confirm=True).outcome.tolist() == ["done"]


# --- keys and passwords ---------------------------------------------------------------------------------


#: A private half as it may come, of one made pair: what is done to the LF text with its final line end.
AS_SENT: dict[str, Callable[[str], str]] = {
    "as the provider sends it": lambda pem: pem.strip().replace("\n", "\r\n"),
    "CRLF with a last line end": lambda pem: pem.replace("\n", "\r\n"),
    "LF": lambda pem: pem,
    "LF without a last line end": lambda pem: pem.strip(),
    "CR alone": lambda pem: pem.replace("\n", "\r"),
    "spaces at line ends": lambda pem: pem.replace("\n", " \r\n"),
    "empty lines around": lambda pem: f"\r\n\r\n{pem}\r\n\r\n",
    "mixed": lambda pem: pem.replace("\n", "\r\n", 3),
}


@pytest.mark.parametrize("sent", AS_SENT)
def test_e5_generated_on_the_server(
    box: Sandbox, lc: LetsCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    """A pair that the provider makes: its private half is in the file as ssh takes it, mode 0600; it is called weak."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    make = box.world.add_sshkey

    def add_sshkey(fields: dict[str, Any]) -> dict[str, Any]:
        made = make(fields)
        return made | {"private_key": AS_SENT[sent](made["private_key"].replace("\r\n", "\n") + "\n")}

    monkeypatch.setattr(box.world, "add_sshkey", add_sshkey)
    file = tmp_path / "key"
    changes = lc.generate_sshkey("Ops", file, generate_on_server=True)
    assert "note: pairs generated by the provider are RSA with 1024 bits, which is weak" in str(changes)
    result = changes.apply(confirm=True)
    assert result.outcome.tolist() == ["done"]
    assert "has 1024 bits, which is weak" in result.detail[0]
    text = file.read_bytes()
    assert re.fullmatch(
        rb"-----BEGIN RSA PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END RSA PRIVATE KEY-----\n", text
    )
    private = load_pem_private_key(text, None)
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert lc.sshkey("ops").public_key == f"{line} phpseclib-generated-key"
    assert file.stat().st_mode & 0o777 == 0o600
    if shutil.which("ssh-keygen"):
        done = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True)
        assert done.stdout.split()[:2] == line.split()[:2]


def test_e5_weak_keys(lc: LetsCloud) -> None:
    """A weak key of one's own is added with a note that names its bits; a strong one without."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for bits, weak in ((1024, True), (1536, True), (2047, True), (2048, False), (3072, False)):
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
        line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        notes = lc.add_sshkey("Ops", line).notes
        assert [f"Ops: this RSA key has {bits} bits, which is weak" in note for note in notes] == [
            True
        ] * weak
    assert lc.add_sshkey("Ops", KEY).notes == ()


@pytest.mark.parametrize("action", ["power_off", "shutdown"])
def test_power_off_that_never_shows(settings: Settings, action: str) -> None:
    """A machine that goes on saying that it is booted ends the wait in time, with what was seen; it is sent once."""
    box = Sandbox(World(Clock(0)), TOKEN, shapes="sticky")
    lc = client(box, settings)
    with pytest.raises(lcnb.WaitTimeout, match=r"web-01.* not off yet; last seen: running"):
        getattr(lc, action)(label="web-01").apply(confirm=True, wait=True, timeout=120)
    assert len(writes(box)) == 1


@pytest.mark.parametrize("ends", ["off", "gone"])
@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_e2_power_off_then_snapshot(box: Sandbox, lc: LetsCloud, ends: str, on_error: Any) -> None:
    """A power-off and a snapshot in one ChangeSet: the snapshot is of the machine that is off, each is sent once."""
    one = lc.instance(label="web-01").identifier
    changes = lc.power_off(one) + lc.create_snapshot(one, label="kept")
    if ends == "gone":
        changes += lc.delete_instance(one)
    states = []
    make = box.world.add_snapshot

    def add_snapshot(identifier: str, fields: dict[str, Any]) -> dict[str, Any]:
        states.append(box.world.machine(identifier)["booted"])
        return make(identifier, fields)

    box.world.add_snapshot = add_snapshot  # type: ignore[method-assign]
    result = changes.apply(confirm=True, on_error=on_error, wait=True)
    assert result.outcome.tolist() == ["done"] * len(changes)
    assert states == [False]
    assert [path.rpartition("/")[2] for _, path, _ in writes(box)][:2] == ["power-off", "snapshots"]
    assert len(writes(box)) == len(changes)
    assert lc.snapshot(result.identifier[1]).build is True


def test_lost_private_half(settings: Settings, tmp_path: Path) -> None:
    """When the answer with a private half is lost, this is told as a failure with the cure."""
    rules = [{"kind": "lose-after", "method": "POST", "path": "/sshkeys", "times": 1}]
    lc = client(Sandbox(World(Clock(0)), TOKEN, faults=Faults.read({"rules": rules})), settings)
    with pytest.raises(lcnb.ChangeFailed, match="its private half was lost with the response; delete it"):
        lc.generate_sshkey("Ops", tmp_path / "key", generate_on_server=True).apply(confirm=True)


#: Wrappers of the response that makes a pair: the whole document for the record of the key.
PAIR_WRAPPERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "an object in data": lambda key: {"success": True, "data": {"ssh_key": key}},
    "a list in data": lambda key: {"success": True, "data": [key]},
    "two objects deep": lambda key: {"success": True, "data": {"result": {"sshkeys": [key]}}},
    "no data": lambda key: {"success": True, "message": "made", "sshkey": key},
    "no wrapper": lambda key: {"success": True, **key},
    "no verdict": lambda key: key,
    "next to the key": lambda key: {
        "success": True,
        "data": {
            "private_key": key["private_key"],
            "key": {each: key[each] for each in ("slug", "title", "public_key")},
        },
    },
    "another name": lambda key: {
        "success": True,
        "data": {
            "slug": key["slug"],
            "private": {"pem": key["private_key"]},
            "public_key": key["public_key"],
        },
    },
    "camel case": lambda key: {
        "success": True,
        "data": {"slug": key["slug"], "privateKey": key["private_key"]},
    },
}


@pytest.mark.parametrize("wrapper", PAIR_WRAPPERS)
def test_pair_in_another_wrapper(
    box: Sandbox,
    lc: LetsCloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrapper: str,
) -> None:
    """A private half is kept however its response is wrapped, and only in its file."""
    caplog.set_level("DEBUG")
    usual = box.data

    def wrapped(data: Any, status: int = 200) -> Reply:
        made = isinstance(data, dict) and "private_key" in data
        return json_reply(status, PAIR_WRAPPERS[wrapper](data)) if made else usual(data, status)

    monkeypatch.setattr(box, "data", wrapped)
    file = tmp_path / "key"
    changes = lc.generate_sshkey("Ops", file, generate_on_server=True)
    result = changes.apply(confirm=True)

    assert (result.outcome.tolist(), result.identifier.tolist()) == (["done"], ["ops"])
    assert file.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert file.stat().st_mode & 0o777 == 0o600
    journal = (lc.settings.state_dir / "journal.sqlite").read_bytes().decode("latin-1")
    shown = f"{caplog.text}{changes!r}{changes._repr_html_()}{result.to_csv()}{journal}"
    assert file.read_text().splitlines()[1] not in shown


def test_response_without_a_private_half(
    box: Sandbox, lc: LetsCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no private half is found, the outcome says so, and the key can be deleted."""
    make = box.world.add_sshkey
    monkeypatch.setattr(box.world, "add_sshkey", lambda fields: make(fields) | {"private_key": None})
    with pytest.raises(lcnb.ChangeFailed, match="no private half was found in its response; delete it"):
        lc.generate_sshkey("Ops", tmp_path / "key", generate_on_server=True).apply(confirm=True)

    assert not (tmp_path / "key").exists()
    assert lc.delete_sshkey("ops").apply(confirm=True).outcome.tolist() == ["done"]


def test_private_half_of_a_second_response(settings: Settings, tmp_path: Path) -> None:
    """When the provider generates a pair at the second attempt, that response's private half is stored."""
    rules = [{"kind": "lose-before", "method": "POST", "path": "/sshkeys", "times": 1}]
    box = Sandbox(World(Clock(0)), TOKEN, faults=Faults.read({"rules": rules}))
    changes = client(box, settings).generate_sshkey("Ops", tmp_path / "key", generate_on_server=True)
    result = changes.apply(confirm=True)

    assert (result.outcome.tolist(), result.tries.tolist()) == (["done"], [2])
    assert "PRIVATE KEY" in (tmp_path / "key").read_text()


@pytest.mark.parametrize("stored", [True, False])
def test_pair_of_a_plan_file(box: Sandbox, lc: LetsCloud, tmp_path: Path, stored: bool) -> None:
    """A plan holds no private half: its public half is sent only if the key file holds the private one."""
    changes = lc.generate_sshkey("Ops", tmp_path / "key")
    changes.save(tmp_path / "plan.json")
    if stored:
        write_key(changes[0], changes[0].private_key)
    result = lc.load_changes(tmp_path / "plan.json").apply(confirm=True, on_error="continue")

    assert result.outcome.tolist() == ["done" if stored else "failed"]
    assert len(writes(box)) == stored
    assert stored or "Generate a new pair" in result.detail[0]


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_pairs(kind: str) -> None:
    """A pair made here is a real one, of a kind that the provider takes."""
    public, private = create_key_pair(kind)
    assert checked_public_key(public) == public
    assert repr(private) == "*****"


def test_made_passwords() -> None:
    """Passwords that lcnb makes keep the rule, and no two are the same."""
    made = [new_password() for _ in range(200)]
    assert all(checked_password(password) for password in made)
    assert len(set(made)) == 200


def test_reveal_tells_a_made_password(box: Sandbox, lc: LetsCloud) -> None:
    """A password that lcnb made for a new machine is told by reveal."""
    changes = lc.create_instance("new", **NEW)
    result = changes.apply(confirm=True)
    assert lc.reveal(result.identifier[0]) == changes[0].call.body["password"]


def test_interrupted(settings: Settings, box: Sandbox) -> None:
    """Ctrl-C in the middle leaves the rest in the journal, says so, and resume makes it."""
    lc = client(box, settings)
    changes = lc.power_off(label="web-01") + lc.power_off(label="api-01")
    wire = lc._wire
    seen = []

    def stop(name: str) -> None:
        seen.append(name)
        if name.startswith("PUT") and len([n for n in seen if n.startswith("PUT")]) == 2:
            raise KeyboardInterrupt

    wire.before = stop
    with pytest.raises(KeyboardInterrupt) as stopped:
        changes.apply(confirm=True)
    assert "lcnb resume" in stopped.value.__notes__[0]
    wire.before = lambda name: None
    # The first one was accepted, but nobody has seen its effect yet.
    assert lc.pending().target.tolist() == ["web-01", "api-01"]
    assert lc.resume(confirm=True).outcome.tolist() == ["done", "done"]
    assert lc.pending().empty
    assert len(writes(box)) == 2


def test_cancelled() -> None:
    """A cancelled apply of an asynchronous client says how to continue, as one does that was ended by Ctrl-C."""
    slow = Faults.read({"rules": [{"kind": "slow", "seconds": 600, "after": True, "method": "PUT"}]})
    box = Sandbox(World(Clock(0)), TOKEN, faults=slow)
    with serve_in_thread(box) as base_url:

        async def cancel() -> None:
            async with AsyncLetsCloud.connect(token=TOKEN, base_url=base_url) as one:
                task = asyncio.create_task((await one.power_off(label="web-01")).apply(confirm=True))
                while not writes(box):
                    await asyncio.sleep(0.01)
                task.cancel()
                await task

        with pytest.raises(asyncio.CancelledError) as stopped:
            asyncio.run(cancel())
    assert "`lcnb resume` settles them" in stopped.value.__notes__[0]


def test_interrupted_wait(box: Sandbox, lc: LetsCloud) -> None:
    """Ctrl-C while a made change is waited for says that it was made, and that nothing has to be sent again."""
    changes = lc.create_instance("new", **NEW)

    def interrupt(name: str) -> None:
        if lc.journal().outcome.tolist() == ["done"] and name == "GET /instances":
            raise KeyboardInterrupt

    lc._wire.before = interrupt
    with pytest.raises(KeyboardInterrupt) as stopped:
        changes.apply(confirm=True, wait=True)
    (note,) = stopped.value.__notes__
    assert f"every change of the ChangeSet {changes.id} has its outcome" in note
    assert len(writes(box)) == 1


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (lcnb.JournalError("no space left"), "ended"),
        (lcnb.AuthenticationError("the token was revoked"), "GET /instances"),
    ],
)
def test_ended_in_the_middle(box: Sandbox, lc: LetsCloud, error: lcnb.LcnbError, where: str) -> None:
    """A disk that is full or a token that is revoked in the middle: the error tells of the journal, resume settles it."""
    changes = lc.create_instance("new", **NEW)

    def fail(name: str) -> None:
        if name == where and writes(box):
            raise error

    lc._wire.before = fail
    with pytest.raises(type(error)) as told:
        changes.apply(confirm=True)
    assert "lcnb resume" in told.value.__notes__[0]
    lc._wire.before = lambda name: None
    assert lc.resume(confirm=True).outcome.tolist() == ["done"]
    assert len(writes(box)) == 1


def test_progress(lc: LetsCloud) -> None:
    """A long apply tells how far it is and what is going on."""
    told: list[tuple[int, int, str]] = []
    lc.create_instance("new", **NEW).apply(confirm=True, wait=True, progress=lambda *step: told.append(step))
    assert told[0] == (0, 1, "looking at the account")
    assert (1, 1, "waiting for new") in told


def test_rows_of_an_apply() -> None:
    """The result has the same columns and dtypes for no change and for one."""
    frame = tasks_frame("x", [])
    assert frame.dtypes.astype(str).to_dict() == {
        "change": "Int64", "action": "str", "target": "str", "identifier": "str", "outcome": "str", "detail": "str",
        "tries": "Int64", "seconds": "Float64",
    }  # fmt: skip
    assert isinstance(lcnb.ChangeSet([], None).to_frame(), pd.DataFrame)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("web-01", "done"), ("no", "not tried"), (None, "ConfirmationMissing")],
)
def test_asked_in_a_notebook(answer: str | None, outcome: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook the changes are shown and the label is asked for; where nobody can answer, it is refused."""
    from jupyter_client.manager import start_new_kernel

    code = (
        "import lcnb\nlc = lcnb.connect(sandbox=True)\n"
        "try:\n    print(lc.delete_instance(label='web-01').apply().outcome[0])\n"
        "except lcnb.LcnbError as error:\n    print(type(error).__name__)"
    )
    shown: list[str] = []
    manager, kernel = start_new_kernel()
    try:
        kernel.execute_interactive(
            code,
            allow_stdin=answer is not None,
            stdin_hook=lambda message: kernel.input(answer or ""),
            output_hook=lambda message: shown.append(str(message["content"])),
            timeout=600,
        )
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    assert outcome in "".join(shown)
    assert ("cannot be undone" in "".join(shown)) is (answer is not None)


# --- frames that came from elsewhere --------------------------------------------------------------------

ELSEWHERE = """
import sys, {first}
assert {lazy} or "pandas" not in sys.modules
import {second}
import pandas as pd
from pathlib import Path
kept = Path(sys.argv[1])
for name, frame in {{
    "parquet": pd.read_parquet(kept / "f.parquet"), "feather": pd.read_feather(kept / "f.feather"),
    "pickle": pd.read_pickle(kept / "f.pickle"), "csv": pd.read_csv(kept / "f.csv"),
    "merge": pd.read_parquet(kept / "f.parquet").merge(pd.DataFrame({{"label": ["web-01"]}}), on="label"),
    "concat": pd.concat([pd.read_csv(kept / "f.csv")] * 2), "own": pd.DataFrame({{"label": ["web-01"]}}),
}}.items():
    try:
        frame.lc.power_off()
    except lcnb.InputError as error:
        print(name, error)
"""


@pytest.mark.fresh_python
@pytest.mark.parametrize(
    ("first", "second"), [("lcnb", "lcnb"), ("lcnb", "lcnb.frames.listings"), ("pandas", "lcnb")]
)
def test_d12_accessor(first: str, second: str, lc: lcnb.LetsCloud, tmp_path: Path) -> None:
    """Every frame has `.lc` after `import lcnb` alone, which does not load pandas; it says what it needs to work."""
    frame = lc.instances().head(3)
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_feather(tmp_path / "f.feather")
    frame.to_pickle(tmp_path / "f.pickle")
    frame.to_csv(tmp_path / "f.csv")
    code = ELSEWHERE.format(first=first, second=second, lazy=first == "pandas")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(told) == ["parquet", "feather", "pickle", "csv", "merge", "concat", "own"]
    for name, text in told.items():
        cure = (
            "Pass one: frame.lc(client)"
            if name in ("parquet", "feather", "pickle")
            else "frame.drop_duplicates('identifier')"
            if name == "concat"
            else "elect from lc.instances()"
        )
        assert cure in text, (name, text)
        assert text.endswith("Nothing was sent.")
