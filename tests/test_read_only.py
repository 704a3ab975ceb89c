"""A read-only account sends nothing but reads: from every command, method, selection, form and runbook."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pytest

import lcnb
from conftest import MANY, TOKEN, lcnb_here, write_notebook
from lcnb.api import calls
from lcnb.changes.accessor import SelectedRows
from lcnb.cli.doctor import run_checks
from lcnb.cli.main import cli
from lcnb.runbooks.batch.runner import batch
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.run import run_runbook
from lcnb.runbooks.schedule.export import export_schedule
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.token_places import accounts
from lcnb.widgets.admin_app import AdminApp
from lcnb.widgets.form import Form
from lcnb.widgets.form_specs import SPECS_BY_NAME
from lcnb.widgets.form_state import Phase
from lcnb.widgets.form_view import FormView
from lcnb.widgets.runbook_view import RunbookWidget
from lcnb.widgets.runner import Runner, run_inline

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4Q2Yb6c5b1mXq0dO0m5m2yXq3uF6mQn0bq3l0Zs1bX me"
NEW = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}


@dataclass
class Account:
    """An account `prod` of lcnb.toml that is read-only, and its sandbox."""

    sandbox: Sandbox
    lc: lcnb.LetsCloud
    folder: Path
    #: Connects without the read-only setting.
    writable: Callable[[], lcnb.LetsCloud]

    def writes(self) -> list[tuple[str, str]]:
        return [(each["method"], each["path"]) for each in self.sandbox.log if each["method"] != "GET"]

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def first(self, listing: str) -> str:
        """The slug of the first key or snapshot."""
        return str(getattr(self.lc, listing)().slug.iloc[0])


@pytest.fixture
def account(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    sandbox = Sandbox(World(Clock(1000), fleet=14), TOKEN, rate_limit=MANY)
    sandbox.world.profile["balance"] = 1e6
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    (own_home / "config").mkdir()
    with serve_in_thread(sandbox) as base_url:
        config = f'[accounts.prod]\ntoken_env = "PROD_TOKEN"\nbase_url = "{base_url}"\nread_only = true\n'
        (own_home / "config" / "lcnb.toml").write_text(config)
        with lcnb.connect() as lc, lcnb.LetsCloud(replace(lc.settings, read_only="")) as writing:
            yield Account(sandbox, lc, tmp_path, lambda: writing)


def refused(work: Callable[[], object], reason: str = "read_only = true") -> lcnb.ReadOnly:
    """Call it; return its ReadOnly, which names the account, the setting and the cure."""
    with pytest.raises(lcnb.ReadOnly) as caught:
        work()
    error = caught.value
    assert reason in error.reason
    assert error.reason in str(error)
    assert "To change it, " in str(error)
    assert error.sent is False
    return error


# --- commands -------------------------------------------------------------------------------------------

#: Each command that can change the account → arguments that are right.
COMMANDS: dict[str, Callable[[Account], list[str]]] = {
    "create": lambda a: ["web-99", *(word for name, slug in NEW.items() for word in (f"--{name}", slug))],
    "delete": lambda a: ["web-01"],
    "power": lambda a: ["off", "web-01"],
    "resize": lambda a: ["web-01", "--plan", "8vcpu-32gb-240ssd"],
    "reset-password": lambda a: ["web-01"],
    "key add": lambda a: ["mine", a.file("key.pub", KEY)],
    "key generate": lambda a: ["new", str(a.folder / "new_key")],
    "key delete": lambda a: [a.first("sshkeys")],
    "snapshot create": lambda a: ["web-01", "--label", "kept"],
    "snapshot rename": lambda a: [a.first("snapshots"), "named"],
    "snapshot delete": lambda a: [a.first("snapshots")],
    "apply": lambda a: [a.file("fleet.csv", "label,state\nweb-01,off\n")],
    "resume": lambda a: [],
    "run": lambda a: ["power_schedule", "-p", "selection=label == 'web-01'", "-p", "dry_run=false"],
    "rerun": lambda a: [dry_run(a)],
    "batch": lambda a: ["power_schedule", "--over", a.file("rows.csv", "selection\nall\n"), "-p", "dry_run=false"],
    "schedule export": lambda a: [
        "power_schedule", "--cron", "0 6 * * *", "--to", "systemd", "-p", "selection=all", "-p", "dry_run=false",
        "--out", str(a.folder / "units"),
    ],
    "schedule install": lambda a: [
        "power_schedule", "--cron", "0 6 * * *", "--to", "systemd", "-p", "selection=all", "-p", "dry_run=false",
    ],
}  # fmt: skip
#: Commands with --yes that work on files of this machine only.
LOCAL = {"runs prune", "approve"}
#: Runs start a kernel each: they are not made for real here.
RUNS = {"run", "rerun", "batch", "schedule export", "schedule install"}


def dry_run(account: Account) -> str:
    """Record a run with dry_run=False as of a time when the account was not read-only; return its id."""
    result = run_runbook("power_schedule", {"selection": "label == 'web-01'"})
    record = result.folder / "run.json"
    record.write_text(record.read_text().replace('"given": {', '"given": {"dry_run": false, '))
    return result.folder.name


def leaves(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            assert each
            yield from leaves(each, *words, name)
    else:
        yield " ".join(words), command


def test_all_commands_are_met() -> None:
    """Every command that asks for a confirmation is in the table."""
    confirmed = {
        name for name, each in leaves(cli) if any("--yes" in option.opts for option in each.params)
    }  # fmt: skip
    assert confirmed == set(COMMANDS) | LOCAL


@pytest.mark.parametrize("name", COMMANDS)
def test_command(account: Account, name: str) -> None:
    """With --yes and right arguments it sends nothing but reads, and exits with 2 and the reason."""
    arguments = COMMANDS[name](account)
    done = lcnb_here(*name.split(), *arguments, "--yes")
    assert account.writes() == []
    assert not (account.folder / "new_key").exists()
    if name == "resume":
        assert (done.returncode, done.stderr) == (0, "nothing is open for this account\n")
        return
    assert done.returncode == 2, done.stderr
    message = " ".join(done.stderr.split())
    assert "prod is read-only (read_only = true of [accounts.prod] in" in message
    assert "To change it, remove this line." in message


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - RUNS - {"resume"}))
def test_command_without_the_setting(account: Account, name: str, own_home: Path) -> None:
    """The same arguments change a writable account: what is tested above is the setting."""
    arguments = COMMANDS[name](account)
    config = own_home / "config" / "lcnb.toml"
    config.write_text(config.read_text().replace("read_only = true", "read_only = false"))
    done = lcnb_here(*name.split(), *arguments, "--yes")
    assert done.returncode == 0, done.stderr
    assert account.writes() != []


@pytest.mark.parametrize("name", ["create", "delete", "apply"])
def test_preview_of_a_command(account: Account, name: str) -> None:
    """A preview is made as in any other account."""
    done = lcnb_here(*name.split(), *COMMANDS[name](account), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "web-" in done.stdout
    assert account.writes() == []


def test_variable(account: Account, own_home: Path) -> None:
    """The variable does the same for every account; its message names the variable."""
    config = own_home / "config" / "lcnb.toml"
    config.write_text(config.read_text().replace("read_only = true\n", ""))
    done = lcnb_here("delete", "web-01", "--yes", LCNB_READ_ONLY="1")
    assert (done.returncode, account.writes()) == (2, [])
    assert "prod is read-only (LCNB_READ_ONLY=1)" in done.stderr
    assert "unset this variable" in " ".join(done.stderr.split())


# --- Python -----------------------------------------------------------------------------------------------

#: Each method that prepares a change → how it is called.
METHODS: dict[str, Callable[[Any, Account], Any]] = {
    "create_instance": lambda lc, a: lc.create_instance("new", **NEW),
    "ensure_instance": lambda lc, a: lc.ensure_instance("new", **NEW),
    "delete_instance": lambda lc, a: lc.delete_instance(label="web-01"),
    "power_on": lambda lc, a: lc.power_on(label="proxy-01"),
    "power_off": lambda lc, a: lc.power_off(label="web-01"),
    "shutdown": lambda lc, a: lc.shutdown(label="web-01"),
    "reboot": lambda lc, a: lc.reboot(label="web-01"),
    "reset_password": lambda lc, a: lc.reset_password(label="web-01"),
    "change_plan": lambda lc, a: lc.change_plan(label="web-01", plan="8vcpu-32gb-240ssd"),
    "add_sshkey": lambda lc, a: lc.add_sshkey("mine", KEY),
    "generate_sshkey": lambda lc, a: lc.generate_sshkey("new", a.folder / "new_key"),
    "delete_sshkey": lambda lc, a: lc.delete_sshkey(a.first("sshkeys")),
    "create_snapshot": lambda lc, a: lc.create_snapshot(of="web-01", label="kept"),
    "rename_snapshot": lambda lc, a: lc.rename_snapshot(a.first("snapshots"), "named"),
    "delete_snapshot": lambda lc, a: lc.delete_snapshot(a.first("snapshots")),
    "plan": lambda lc, a: lc.plan(a.lc.instances().query("label == 'web-01'")[["label"]].assign(state="off")),
}


def change_methods(client: type) -> set[str]:
    """The public methods of a client that return a new ChangeSet, by their annotations."""
    found = inspect.getmembers(client, inspect.isfunction)
    return {
        name
        for name, each in found
        if not name.startswith("_") and str(each.__annotations__.get("return")) == client._change_set  # type: ignore[attr-defined]
    }


def test_all_methods_are_met() -> None:
    """The table has every method of both clients that prepares changes."""
    assert change_methods(lcnb.LetsCloud) == change_methods(lcnb.AsyncLetsCloud) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_method(account: Account, name: str) -> None:
    """A change can be built, looked at and saved; `apply` refuses it before the journal and before anybody is asked."""
    changes = METHODS[name](account.lc, account)
    assert len(changes.to_frame()) == 1
    path = changes.save(account.folder / "plan.json")
    refused(lambda: changes.apply(confirm=True))
    refused(lambda: changes.apply(confirm=lambda changes: pytest.fail("nobody must be asked")))
    refused(lambda: account.lc.load_changes(path).apply(confirm=True))
    assert account.writes() == []
    assert account.lc.journal().empty
    assert not (account.folder / "new_key").exists()


@pytest.mark.parametrize("name", METHODS)
def test_async_method(account: Account, name: str) -> None:
    """The awaited methods are refused as well."""

    async def work() -> None:
        async with lcnb.AsyncLetsCloud(account.lc.settings) as lc:
            await (await METHODS[name](lc, account)).apply(confirm=True)

    refused(lambda: asyncio.run(work()))
    assert account.writes() == []


def selection_methods() -> list[str]:
    found = inspect.getmembers(SelectedRows, inspect.isfunction)
    return [
        name for name, each in found if each.__annotations__.get("return") == "ChangeSet" and name[0] != "_"
    ]


@pytest.mark.parametrize("name", selection_methods())
def test_selection(account: Account, name: str) -> None:
    """What is made of selected rows is refused as well."""
    rows = account.lc.instances().query(f"label == '{'proxy-01' if name == 'power_on' else 'web-01'}'")
    given = {"change_plan": ["8vcpu-32gb-240ssd"], "snapshot": ["kept"]}.get(name, [])
    refused(lambda: getattr(rows.lc, name)(*given).apply(confirm=True))
    assert account.writes() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "delete"])
@pytest.mark.parametrize("effect", ["read", "set", "delete", "toggle", "create"])
def test_raw_call(account: Account, method: str, effect: Any) -> None:
    """A single call is refused by its method, whatever effect it claims to have."""
    call = calls.Call(method, "/instances/abc/reboot", "something", effect)
    refused(lambda: account.lc.send(call, confirm=True))
    assert account.writes() == []
    assert account.lc.send(calls.get_profile())["success"]


# --- resume ---------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Ends an apply in the middle, as Ctrl-C does."""


@pytest.mark.parametrize("by", ["method", "command"])
def test_resume_settles_by_reading(account: Account, by: str) -> None:
    """What was sent is settled by reading; what was planned stays open, and is made once the account is writable."""
    lc = account.writable()
    changes = lc.power_off(label="web-01") + lc.delete_snapshot(account.first("snapshots"))

    def progress(ended: int, total: int, step: str) -> None:
        if step.startswith("delete"):
            raise Interrupted

    with pytest.raises(Interrupted):
        changes.apply(confirm=True, progress=progress)
    sent = account.writes()
    assert len(sent) == 1
    if by == "method":
        assert account.lc.resume(confirm=True).outcome.tolist() == ["done", "not tried"]
    else:
        done = lcnb_here("resume", "--yes", "-o", "json")
        assert done.returncode == 7, done.stderr
        assert "resume settles what was sent by reading, and sends nothing" in done.stderr
    assert account.writes() == sent
    assert account.lc.pending().action.tolist() == ["delete snapshot"]
    assert lc.resume(confirm=True).outcome.tolist() == ["done", "done"]
    assert len(account.writes()) == 2


def test_resume_does_not_send_again(account: Account) -> None:
    """A change whose first attempt was lost is not sent again: it stays open."""
    rules = [{"kind": "lose-before", "method": "PUT", "times": 1}]
    account.sandbox.faults = account.sandbox.faults.read({"seed": 1, "rules": rules})

    def progress(ended: int, total: int, step: str) -> None:
        if step.startswith("looking for"):
            raise Interrupted

    with pytest.raises(Interrupted):
        account.writable().power_off(label="web-01").apply(confirm=True, progress=progress)
    with lcnb.LetsCloud(replace(account.lc.settings, settle=0.1)) as lc:
        result = lc.resume(confirm=True)
    assert result.outcome.tolist() == ["unknown"]
    assert "not sent again: prod is read-only" in result.detail[0]
    assert len(account.writes()) == 1
    assert len(account.lc.pending()) == 1


# --- forms ------------------------------------------------------------------------------------------------


def test_forms(account: Account) -> None:
    """Every form shows its preview; the button that applies is disabled, and a click that comes all the same sends nothing."""
    machine = account.lc.instance(label="web-01").identifier
    answers: dict[str, dict[str, Any]] = {
        "create": {"label": "new", **NEW},
        "act": {"machines": (machine,), "action": "power_off"},
        "add_key": {"title": "mine", "public_key": KEY},
        "generate_key": {"title": "new", "file": str(account.folder / "new_key")},
        "delete_key": {"slug": account.first("sshkeys")},
        "create_snapshot": {"machine": machine, "label": "kept"},
        "rename_snapshot": {"slug": account.first("snapshots"), "label": "named"},
        "delete_snapshot": {"slug": account.first("snapshots")},
    }
    assert set(answers) == set(SPECS_BY_NAME)
    for name, given in answers.items():
        runner = Runner(account.lc, run_inline)
        form = Form(SPECS_BY_NAME[name])
        view = FormView(form, runner)
        view.start()
        for field, answer in given.items():
            runner.run(form, form.enter_value(field, answer))
        runner.run(form, form.review())
        assert form.shown.phase is Phase.CONFIRM, (name, form.shown.notice, form.shown.errors)
        form.type_challenge(form.shown.challenge)
        assert view.panel.yes.disabled
        assert "read-only" in view.panel.yes.tooltip
        runner.run(form, form.confirm())
        assert form.shown.phase is Phase.FAILED
        assert "prod is read-only" in form.shown.notice
    assert account.writes() == []
    assert account.lc.journal().empty


def text_of(widget: Any) -> str:
    return str(getattr(widget, "value", "")) + "".join(
        text_of(each) for each in getattr(widget, "children", ())
    )


def test_banner(account: Account) -> None:
    """The admin page and the form of a runbook say it before anybody fills in a form; others do not."""
    book = find_runbook("inventory")
    for client, said in ((account.lc, True), (account.writable(), False)):
        for widget in (AdminApp(client, run_inline).widget, RunbookWidget(book, client, run_inline).widget):
            assert ("This account is read-only (read_only = true of" in text_of(widget)) is said


# --- runbooks ---------------------------------------------------------------------------------------------

GIVEN: dict[str, dict[str, object]] = {
    "decommission": {"labels": ["web-01"], "confirm_labels": ["web-01"]},
    "drift": {"fleet": "fleet.csv"},
    "provision": {"fleet": "fleet.csv"},
}
WRITING = [
    name for name in shipped_names() if any(each.name == "dry_run" for each in find_runbook(name).parameters)
]


@pytest.mark.parametrize("name", WRITING)
def test_runbook(account: Account, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is not dry is refused before a folder or a kernel exists, and as a batch and a schedule too."""
    monkeypatch.chdir(account.folder)
    account.file("fleet.csv", "label,location,plan,image\n")
    given = {**GIVEN.get(name, {}), "dry_run": False}
    for work in (
        lambda: run_runbook(name, given, confirm=True),
        lambda: run_runbook(name, given, settings=account.lc.settings, confirm=True),
        lambda: batch(name, [given], confirm=True),
    ):
        assert str(refused(work)).endswith("Nothing was started.")
    texts = {key: str(value) for key, value in given.items() if not isinstance(value, list)}
    if len(texts) == len(given):
        refused(lambda: export_schedule(name, "0 6 * * *", "systemd", parameters=texts, confirm=True))
    assert not Path(os.environ["LCNB_RUNS_DIR"]).exists()
    assert account.writes() == []


def test_dry_run(account: Account) -> None:
    """A dry run is made; its plan cannot be applied."""
    planned = lcnb_here("plan-run", "power_schedule", "-p", "selection=label == 'web-01'")
    assert planned.returncode == 0, planned.stderr
    done = lcnb_here("apply", "last", "--yes")
    assert done.returncode == 2, done.stderr
    assert "prod is read-only" in done.stderr
    assert account.writes() == []


def test_own_notebook(account: Account) -> None:
    """A notebook that changes something without a parameter `dry_run` is refused in its cell.

    The run passes the token of the account, not its name; the setting comes along.
    """
    cell = "import lcnb\nlcnb.connect().power_off(label='web-01').apply(confirm=True)"
    result = run_runbook(str(write_notebook(account.folder / "mine.ipynb", cell)))
    assert (result.status, result.exit_code) == ("failed", 3)
    assert "ReadOnly" in str(result.error)
    assert account.writes() == []


# --- where it is shown ------------------------------------------------------------------------------------


def test_doctor(account: Account) -> None:
    """`lcnb doctor` has a line about changes: refused, allowed, or a facts file that cannot be read."""

    def line(settings: Any) -> Any:
        return next(each for each in run_checks(settings=settings) if each.name == "changes")

    assert line(account.lc.settings).found.startswith(
        "refused: the account is read-only (read_only = true of"
    )
    writable = account.writable().settings
    assert line(writable).found == f"allowed; 0 machines protected in {writable.facts_path}"
    writable.facts_path.write_text("identifier,protected\nabc,yes\n")
    assert line(writable).found.startswith("allowed; 1 machine protected")
    writable.facts_path.write_text("identifier,protcted\nabc,yes\n")
    assert (line(writable).ok, "'protcted'" in line(writable).found) == (False, True)


def test_accounts(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb.accounts()` says which accounts are read-only; the variable makes all of them so."""
    frame = accounts()
    assert frame.account[frame.read_only].tolist() == ["prod"]
    monkeypatch.setenv("LCNB_READ_ONLY", "1")
    assert accounts().read_only.all()
    monkeypatch.setenv("LCNB_READ_ONLY", "perhaps")
    with pytest.raises(lcnb.ConfigError, match="LCNB_READ_ONLY: expected 1 or 0, got 'perhaps'"):
        accounts()
