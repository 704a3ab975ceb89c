"""A protected machine survives every way of trying, over HTTP; nothing is sent, and the message says how to lift it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from conftest import MANY, TOKEN, lcnb_here
from lcnb.api import calls
from lcnb.changes.actions import ACTIONS
from lcnb.changes.actions.base import MachineAction
from lcnb.changes.change import Change
from lcnb.changes.protection import check_protection, read_protected
from lcnb.config import Settings
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import MachineFacts, Protection
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.widgets.form import Form
from lcnb.widgets.form_specs import SPECS_BY_NAME
from lcnb.widgets.form_state import Phase
from lcnb.widgets.runner import Runner, run_inline

PROTECTION = Protection("ana@desk", datetime(2026, 11, 1, 9, tzinfo=UTC))
SMALL, LARGE = "1vcpu-1gb-10ssd", "8vcpu-32gb-240ssd"


@dataclass
class Account:
    """An account `prod` of lcnb.toml, its sandbox, and the machine web-01 of it."""

    sandbox: Sandbox
    lc: lcnb.LetsCloud
    machine: str
    folder: Path

    @property
    def facts(self) -> FactsFile:
        return FactsFile(self.lc.settings.facts_path)

    def protect(self, *labels: str, protection: Protection | None = PROTECTION) -> None:
        fleet = self.lc.instances().set_index("label").identifier
        names = {fleet[label]: label for label in labels or ("web-01",)}
        self.facts.edit(names, lambda one: replace(one, protection=protection))

    def writes(self) -> list[tuple[str, str]]:
        return [(each["method"], each["path"]) for each in self.sandbox.log if each["method"] != "GET"]

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


@pytest.fixture
def account(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    sandbox = Sandbox(World(Clock(1000), fleet=14), TOKEN, rate_limit=MANY)
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    (own_home / "config").mkdir()
    with serve_in_thread(sandbox) as base_url:
        config = f'[accounts.prod]\ntoken_env = "PROD_TOKEN"\nbase_url = "{base_url}"\n'
        (own_home / "config" / "lcnb.toml").write_text(config)
        lc = lcnb.connect()
        yield Account(sandbox, lc, lc.instance(label="web-01").identifier or "", tmp_path)
        lc.close()


def command(*arguments: str) -> str:
    """Run the command; return what it prints on stderr, which must say that it has failed."""
    done = lcnb_here(*arguments)
    assert done.returncode in (2, 3), (done.stdout, done.stderr)
    return done.stderr + done.stdout


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(lcnb.Protected) as caught:
        work()
    assert caught.value.sent is False
    return str(caught.value)


# --- the ways of trying, each with the machine protected before -------------------------------------------


def selected(account: Account) -> Any:
    return account.lc.inventory().query("label == 'web-01'").lc


def by_async(account: Account) -> object:
    async def work() -> object:
        async with lcnb.AsyncLetsCloud(account.lc.settings) as lc:
            return await lc.delete_instance(label="web-01")

    return asyncio.run(work())


def desired(account: Account, **wanted: str) -> object:
    return account.lc.plan(pd.DataFrame([{"label": "web-01", **wanted}]))


def by_form(account: Account, action: str, **answers: object) -> str:
    """Fill in the form of actions, and review it: the form must stay in its fields."""
    runner = Runner(account.lc, run_inline)
    form = Form(SPECS_BY_NAME["act"])
    runner.run(form, form.start())
    for name, answer in {"machines": (account.machine,), "action": action, **answers}.items():
        runner.run(form, form.enter_value(name, answer))
    runner.run(form, form.review())
    assert form.shown.phase is Phase.EDIT
    return " ".join([form.shown.notice, *form.shown.errors.values()])


def by_runbook(name: str, **parameters: str) -> str:
    pairs = [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
    return command("run", name, *pairs, "-p", "dry_run=false", "--yes")


WAYS: dict[str, Callable[[Account], str]] = {
    "method, by label": lambda a: refused(lambda: a.lc.delete_instance(label="web-01")),
    "method, by identifier": lambda a: refused(lambda: a.lc.delete_instance(a.machine)),
    "method power_off": lambda a: refused(lambda: a.lc.power_off(label="web-01")),
    "method shutdown": lambda a: refused(lambda: a.lc.shutdown(label="web-01")),
    "method change_plan": lambda a: refused(lambda: a.lc.change_plan(label="web-01", plan=LARGE)),
    "method reset_password": lambda a: refused(lambda: a.lc.reset_password(label="web-01")),
    "async client": lambda a: refused(lambda: by_async(a)),
    "raw call": lambda a: refused(lambda: a.lc.send(calls.delete_instance(a.machine), confirm=True)),
    "raw call of a method that lcnb does not know": lambda a: refused(
        lambda: a.lc.send(lcnb_call("POST", f"//instances/{a.machine}/rebuild?now=1"), confirm=True)
    ),
    "selection: delete": lambda a: refused(lambda: selected(a).delete()),
    "selection: power_off": lambda a: refused(lambda: selected(a).power_off()),
    "selection: shutdown": lambda a: refused(lambda: selected(a).shutdown()),
    "selection: change_plan": lambda a: refused(lambda: selected(a).change_plan(LARGE)),
    "selection: reset_password": lambda a: refused(lambda: selected(a).reset_password()),
    "desired state: off": lambda a: refused(lambda: desired(a, state="off")),
    "desired state: another plan": lambda a: refused(lambda: desired(a, plan=LARGE)),
    "joined sets": lambda a: refused(lambda: a.lc.reboot(label="api-01") + a.lc.power_off(label="web-01")),
    "command delete": lambda a: command("delete", "web-01", "--yes"),
    "command delete --identifier": lambda a: command("delete", "--identifier", a.machine, "--yes"),
    "command power off": lambda a: command("power", "off", "api-01", "web-01", "--yes"),
    "command power shutdown": lambda a: command("power", "shutdown", "web-01", "--yes"),
    "command resize": lambda a: command("resize", "web-01", "--plan", LARGE, "--yes"),
    "command reset-password": lambda a: command("reset-password", "web-01", "--yes"),
    "command plan": lambda a: command("plan", a.file("f.csv", "label,state\nweb-01,off\n")),
    "command apply FILE.csv": lambda a: command("apply", a.file("f.csv", "label,state\nweb-01,off\n"), "--yes"),
    "form: delete": lambda a: by_form(a, "delete"),
    "form: power off": lambda a: by_form(a, "power_off"),
    "form: plan": lambda a: by_form(a, "change_plan", plan=LARGE),
    "form: password": lambda a: by_form(a, "reset_password"),
    "runbook decommission": lambda a: by_runbook("decommission", labels="web-01", confirm_labels="web-01"),
    "runbook power_schedule": lambda a: by_runbook("power_schedule", selection="label == 'web-01'"),
    "runbook password_rotation": lambda a: by_runbook("password_rotation", selection="label == 'web-01'"),
    "runbook drift": lambda a: by_runbook("drift", fleet=a.file("f.csv", "label,state\nweb-01,off\n")),
}  # fmt: skip


def lcnb_call(method: str, path: str) -> calls.Call:
    return calls.Call(method, path, "something", "set")


@pytest.mark.parametrize("way", WAYS)
def test_refused_when_built(account: Account, way: str) -> None:
    """Each way is refused before anything is sent; the message says who, since when, and how to lift it."""
    account.protect()
    message = " ".join(WAYS[way](account).split())
    assert account.writes() == []
    name = account.machine if way.startswith("raw") else "web-01"
    assert f"({account.machine}) is protected by ana@desk since 2026-11-01T09:00:00Z" in message
    if not way.startswith("runbook"):  # the terminal breaks a long line of a traceback
        assert f"lcnb unprotect {name} --account prod" in message
        assert f'lc.unprotect("{name}")' in message


# --- protected after the changes were built, by another process --------------------------------------------


def protect_elsewhere(account: Account) -> None:
    """Another process protects web-01."""
    program = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from lcnb.facts.facts_file import FactsFile; from lcnb.facts.machine_facts import Protection\n"
        "FactsFile(Path(sys.argv[1])).edit({sys.argv[2]: 'web-01'}, lambda one: replace(one, protection=Protection()))"
    )
    subprocess.run([sys.executable, "-c", program, account.facts.path, account.machine], check=True)


def apply_saved(account: Account, change: Callable[[Account], Any]) -> Callable[[], object]:
    path = change(account).save(account.folder / "plan.json")
    return lambda: account.lc.load_changes(path)


def by_confirmed_form(account: Account) -> Callable[[], object]:
    runner = Runner(account.lc, run_inline)
    form = Form(SPECS_BY_NAME["act"])
    runner.run(form, form.start())
    for name, answer in {"machines": (account.machine,), "action": "power_off"}.items():
        runner.run(form, form.enter_value(name, answer))
    runner.run(form, form.review())
    assert form.shown.phase is Phase.CONFIRM

    def confirm() -> None:
        runner.run(form, form.confirm())
        assert form.shown.phase is Phase.FAILED
        raise lcnb.Protected(form.shown.notice)

    return confirm


def by_command(account: Account) -> Callable[[], object]:
    path = account.lc.delete_instance(label="web-01").save(account.folder / "plan.json")

    def apply() -> None:
        raise lcnb.Protected(command("apply", str(path), "--yes"))

    return apply


def by_planned_run(account: Account) -> Callable[[], object]:
    """The dry run of a runbook, whose plan is applied by `lcnb apply RUN`."""
    planned = lcnb_here("plan-run", "power_schedule", "-p", "selection=label == 'web-01'")
    assert planned.returncode == 0, planned.stderr

    def apply() -> None:
        raise lcnb.Protected(command("apply", "last", "--yes"))

    return apply


LATER: dict[str, Callable[[Account], Callable[[], object]]] = {
    "apply": lambda a: partial_apply(a.lc.delete_instance(label="web-01")),
    "apply of a joined set": lambda a: partial_apply(
        a.lc.reboot(label="api-01") + a.lc.reset_password(label="web-01")
    ),
    "apply of a selection": lambda a: partial_apply(selected(a).delete()),
    "plan file": lambda a: apply_saved(a, lambda a: a.lc.delete_instance(label="web-01")),
    "command apply PLAN": by_command,
    "command apply RUN": by_planned_run,
    "form, reviewed before": by_confirmed_form,
}


def partial_apply(changes: Any) -> Callable[[], object]:
    return lambda: changes.apply(confirm=True)


@pytest.mark.parametrize("way", LATER)
def test_refused_when_applied(account: Account, way: str) -> None:
    """Changes that were built before another process protected the machine are refused when they are applied."""
    work = LATER[way](account)
    protect_elsewhere(account)
    with pytest.raises(lcnb.Protected, match="is protected"):
        work()
    assert account.writes() == []
    assert account.lc.journal().empty


def test_nobody_is_asked_in_vain(account: Account) -> None:
    """A refused set is refused before somebody types a label."""
    changes = account.lc.delete_instance(label="web-01")
    account.protect()
    with pytest.raises(lcnb.Protected):
        changes.apply(confirm=lambda changes: pytest.fail("nobody must be asked"))


def test_protected_while_a_long_set_is_applied(account: Account) -> None:
    """A machine that is protected during the apply is left alone; the changes before and after it are made."""
    fleet = account.lc.instances().query("state == 'running'")
    changes = account.lc.changes(account.lc.power_off(each) for each in fleet.identifier[:4])
    third = changes[2]

    def progress(ended: int, total: int, step: str) -> None:
        if step == f"power off {changes[0].target}":
            account.protect(third.target)

    result = changes.apply(confirm=True, on_error="continue", progress=progress)
    assert result.outcome.tolist() == ["done", "done", "failed", "done"]
    assert f"not sent: {third.target} ({third.identifier}) is protected by ana@desk" in result.detail[2]
    assert len(account.writes()) == 3


def test_not_sent_again(account: Account) -> None:
    """A delete whose first attempt was lost is not sent again once the machine is protected; its outcome stays open."""
    rules = [{"kind": "lose-before", "method": "DELETE", "times": 1}]
    account.sandbox.faults = account.sandbox.faults.read({"seed": 1, "rules": rules})
    settings = replace(account.lc.settings, settle=0.5)
    with lcnb.LetsCloud(settings) as lc:
        changes = lc.delete_instance(label="web-01")

        def progress(ended: int, total: int, step: str) -> None:
            if step.startswith("looking for"):
                account.protect()

        result = changes.apply(confirm=True, on_error="continue", progress=progress)
        assert result.outcome.tolist() == ["unknown"]
        assert "not sent again: web-01" in result.detail[0]
        assert [method for method, _ in account.writes()] == ["DELETE"]
        assert lc.pending().action.tolist() == ["delete instance"]


# --- resume ---------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Ends an apply in the middle, as Ctrl-C does."""


def interrupted_set(account: Account) -> str:
    """Apply power off of api-01, then delete web-01; end it before the second is sent. Return the id of the set."""
    changes = account.lc.power_off(label="api-01") + account.lc.delete_instance(label="web-01")

    def progress(ended: int, total: int, step: str) -> None:
        if step.startswith("delete"):
            raise Interrupted

    with pytest.raises(Interrupted):
        changes.apply(confirm=True, progress=progress)
    assert [method for method, _ in account.writes()] == ["PUT"]
    return changes.id


def test_resume_sends_nothing_to_a_protected_machine(account: Account) -> None:
    """What was planned and not sent ends as failed, with the reason."""
    name = interrupted_set(account)
    account.protect()
    result = account.lc.resume(name, confirm=True)
    assert result.outcome.tolist() == ["done", "failed"]
    assert "not sent: web-01" in result.detail[1]
    assert len(account.writes()) == 1
    assert account.lc.pending().empty


def test_resume_with_unreadable_facts(account: Account) -> None:
    """While the facts file cannot be read, what was planned stays open, and can be resumed afterwards."""
    name = interrupted_set(account)
    account.facts.path.write_text("identifier,protcted\n")
    with pytest.raises(lcnb.InputError, match="unknown column 'protcted'"):
        account.lc.resume(name, confirm=True)
    assert len(account.writes()) == 1
    account.facts.path.unlink()
    assert account.lc.resume(name, confirm=True).outcome.tolist() == ["done", "done"]


# --- prune ----------------------------------------------------------------------------------------------


def test_prune_leaves_protected_machines_alone(account: Account) -> None:
    """Prune deletes the others, and a note names what it left alone."""
    account.protect()
    rows = account.lc.instances().query("label == 'api-01' or state == 'busy'")[["label"]]
    changes = account.lc.plan(rows, prune=True, max_delete_percent=100)
    assert {each.action for each in changes} == {"delete instance"}
    assert account.machine not in {each.identifier for each in changes}
    assert "web-01: it is protected, and is left alone" in changes.notes
    assert len(changes) == 14 - len(rows) - 1


@pytest.mark.parametrize("rows", [[], [{"label": "nobody"}]], ids=["no rows", "no machine named"])
def test_protected_machines_are_not_named(account: Account, rows: list[dict[str, str]]) -> None:
    """A protected machine does not count as named: a desired state that names none still deletes nothing."""
    account.protect()
    row = {"location": "MIA1", "plan": SMALL, "image": "debian-12-x86_64"}
    frame = pd.DataFrame([{**each, **row} for each in rows], columns=["label", *row])
    with pytest.raises(lcnb.InputError, match="would delete every machine"):
        account.lc.plan(frame, prune=True)


# --- what is not refused ----------------------------------------------------------------------------------


def test_which_actions_are_refused() -> None:
    """The actions that interrupt or end a machine, or take its password, are refused; no others."""
    refused_ones = {name for name, action in ACTIONS.items() if action.refused_when_protected}
    assert refused_ones == {
        "delete instance", "power off", "shut down", "change plan", "reset password",
    }  # fmt: skip
    harmless = {name for name, each in ACTIONS.items() if isinstance(each, MachineAction)} - refused_ones
    assert harmless == {"power on", "reboot", "create snapshot"}


def test_what_a_protected_machine_allows(account: Account) -> None:
    """A protected machine can be rebooted and stored as a snapshot; its raw calls of these too."""
    account.protect()
    lc = account.lc
    assert lc.create_snapshot(of="web-01", label="kept").apply(confirm=True).outcome.tolist() == ["done"]
    # The sandbox may have rebooted before anybody looks: then the acceptance counts when the time to settle is over.
    with lcnb.LetsCloud(replace(lc.settings, settle=0.5)) as quick:
        assert quick.reboot(label="web-01").apply(confirm=True, wait=True).outcome.tolist() == ["done"]
    lc.send(calls.power_on(account.machine), confirm=True)
    assert lc.send(calls.get_instance(account.machine))["success"]


def test_a_rebuilt_machine_is_another_one(account: Account) -> None:
    """A machine of the same label with another identifier is not protected by the old row."""
    account.facts.edit({"the-old-one": "web-01"}, lambda one: replace(one, protection=PROTECTION))
    assert account.lc.power_off(label="web-01").apply(confirm=True).outcome.tolist() == ["done"]


def test_lifted(account: Account) -> None:
    """Without the protection the change is made, also that of a set that was refused before."""
    changes = account.lc.power_off(label="web-01")
    account.protect()
    refused(lambda: changes.apply(confirm=True))
    account.protect(protection=None)
    assert changes.apply(confirm=True).outcome.tolist() == ["done"]


# --- messages, and files that cannot be read --------------------------------------------------------------


def test_all_protected_machines_are_named_at_once(account: Account) -> None:
    """One error names every protected machine of the set, and no other."""
    account.protect("web-01", "api-01")
    fleet = account.lc.instances().query("state == 'running'")
    with pytest.raises(lcnb.Protected) as caught:
        fleet.lc.power_off()
    error = caught.value
    both = fleet[fleet.label.isin(["web-01", "api-01"])]
    assert set(error.machines) == set(both.identifier)
    assert all(f"{each.label} ({each.identifier}) is protected" in str(error) for each in both.itertuples())
    assert str(error).count("is protected") == 2


@pytest.mark.parametrize(
    ("labels", "cure"),
    [
        (["db-01"], '`lcnb unprotect db-01`, in Python lc.unprotect("db-01").'),
        (["a", "b c"], "`lcnb unprotect a 'b c'`, in Python lc.unprotect([\"a\", \"b c\"])."),
        (['dé"b'], "`lcnb unprotect 'dé\"b'`, in Python lc.unprotect(\"dé\\\"b\")."),
        (["-x"], '`lcnb unprotect id0`, in Python lc.unprotect("id0").'),
        (list("abcdef"), '`lcnb unprotect LABEL`, in Python lc.unprotect("LABEL").'),
    ],
)  # fmt: skip
def test_cure(settings: Settings, tmp_path: Path, labels: list[str], cure: str) -> None:
    """The cure can be copied into a shell and into Python, whatever the label is."""
    settings = replace(settings, facts_path=tmp_path / "facts.csv")
    names = {f"id{number}": label for number, label in enumerate(labels)}
    FactsFile(settings.facts_path).edit(names, lambda one: replace(one, protection=PROTECTION))
    changes = [Change("power off", label, calls.power_off(name), name) for name, label in names.items()]
    with pytest.raises(lcnb.Protected) as caught:
        check_protection(changes, settings)
    assert cure in str(caught.value)


def test_each_check_reads_the_file(settings: Settings, tmp_path: Path) -> None:
    """An edit is seen at once, also one that keeps the size and the time of the file; a file that vanishes too."""
    path = tmp_path / "facts.csv"
    settings = replace(settings, facts_path=path)
    for content, expected in (("abc,yes", {"abc"}), ("abd,yes", {"abd"}), ("abd,   ", set()), (None, set())):
        if content is None:
            path.unlink()
        else:
            path.write_text(f"identifier,protected\n{content}\n")
            os.utime(path, (1_000_000_000, 1_000_000_000))
        assert set(read_protected(settings)) == expected
        assert set(read_protected(settings)) == expected


def test_many_protected_machines(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names the first ones and counts the others, so that the cure stays readable; `.machines` has all."""
    monkeypatch.setattr("lcnb.changes.protection.MAX_MACHINES_NAMED", 2)
    running = account.lc.instances().query("state == 'running'")
    account.lc.protect(running)
    with pytest.raises(lcnb.Protected) as caught:
        running.lc.power_off()
    assert set(caught.value.machines) == set(running.identifier)
    assert str(caught.value).count("is protected") == 2
    assert f"; and {len(running) - 2} more, whose identifiers are in" in str(caught.value)
    assert "Leave these machines out" in str(caught.value)


@pytest.mark.parametrize(
    ("protection", "clause"),
    [(Protection(), "is protected. Leave"), (PROTECTION, "is protected by ana@desk since 2026-11-01T09:00:00Z. ")],
    ids=["by hand", "by a command"],
)  # fmt: skip
def test_who_and_when(account: Account, protection: Protection, clause: str) -> None:
    """A `yes` that a person wrote into the file has no name and no time."""
    account.protect(protection=protection)
    assert clause in refused(lambda: account.lc.power_off(label="web-01"))


UNREADABLE = {
    "an unknown column": b"identifier,protcted\nabc,yes\n",
    "a conflict of git": b"identifier,protected\n<<<<<<< ours\nabc,yes\n=======\n>>>>>>> theirs\n",
    "a wrong cell": b"identifier,protected\nabc,perhaps\n",
    "no text": b"\xff\xfe\x00identifier",
    "a folder": None,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=list(UNREADABLE))
def test_unreadable_facts_refuse(account: Account, content: bytes | None) -> None:
    """A facts file that cannot be read refuses these changes when built and when applied, and no others."""
    changes = account.lc.power_off(label="web-01")
    path = account.facts.path
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for work in (
        lambda: account.lc.delete_instance(label="web-01"),
        lambda: changes.apply(confirm=True),
        lambda: account.lc.plan(pd.DataFrame({"label": ["web-01"]}), prune=True),
        lambda: account.lc.send(calls.delete_instance(account.machine), confirm=True),
    ):
        with pytest.raises(lcnb.InputError) as caught:
            work()
        assert path.name in str(caught.value)
        assert str(caught.value).endswith("Nothing was sent.")
    assert account.writes() == []
    stored = account.lc.create_snapshot(of="web-01", label="kept")
    assert stored.apply(confirm=True).outcome.tolist() == ["done"]


def test_empty_identifiers_protect_nothing(account: Account) -> None:
    """A protected row cannot be without an identifier, and a new machine is never taken for a protected one."""
    account.protect()
    new = {"location": "MIA1", "plan": SMALL, "image": "debian-12-x86_64"}
    assert len(account.lc.create_instance("new", **new)) == 1
    assert MachineFacts("x").protected is False
