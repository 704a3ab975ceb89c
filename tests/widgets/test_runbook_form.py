"""A runbook as a form: its fields, the state machine by hand, and real runs against a sandbox, without a browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

import lcnb
from conftest import TOKEN, write_notebook
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.notebook.help import help_text
from lcnb.sandbox import SandboxProcess, start
from lcnb.widgets.admin_app import AdminApp
from lcnb.widgets.form_effects import StartRun
from lcnb.widgets.form_state import Phase
from lcnb.widgets.runbook_fields import runbook_spec
from lcnb.widgets.runbook_form import RunForm
from lcnb.widgets.runbook_process import FinishedRun
from lcnb.widgets.runbook_view import RunbookUnavailable, RunbookWidget
from lcnb.widgets.runner import run_in_thread, run_inline


class FakePlan(list[Any]):
    """As much of a ChangeSet as a form looks at."""

    id, notes, challenge, challenge_reason = "run-1", (), "", ""


def begun(form: RunForm) -> StartRun:
    (effect,) = form.review()
    assert isinstance(effect, StartRun)
    return effect


def dry(challenge: str = "") -> FinishedRun:
    plan = FakePlan(["one"])
    plan.challenge = challenge
    return FinishedRun("done", 0, folder=Path("runs/run-1"), planned=plan)  # type: ignore[arg-type]


@pytest.fixture
def reads() -> RunForm:
    return RunForm(find_runbook("inventory"))


@pytest.fixture
def writes() -> RunForm:
    form = RunForm(find_runbook("power_schedule"))
    form.enter_value("selection", "label == 'web-01'")
    return form


# --- fields ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_runbook_has_a_form(name: str) -> None:
    """Each parameter except the account and the dry run is a field; its default is valid."""
    book = find_runbook(name)
    form = RunForm(book)
    assert [*form.fields] == [
        each.name for each in book.parameters if each.name not in ("account", "dry_run")
    ]
    form.review()
    assert set(form.shown.errors.values()) <= {"This field is required."}
    assert form.spec.verb == ("Dry run" if form.writes else "Run")


KINDS = """from typing import Annotated, Literal
flag: bool = True  # on or off
many: list[str] = ["a", "b"]
count: Annotated[int, Ge(1)] = 3  # how many
kind: Literal["x", "y"] | None = None
plan: str | None = None
labels: list[str] = []
"""


@pytest.fixture
def own(tmp_path: Path) -> RunForm:
    """The form of a notebook of one's own with a parameter of each kind."""
    return RunForm(find_runbook(str(write_notebook(tmp_path / "nb" / "own.ipynb", (KINDS, "parameters")))))


def test_kinds(own: RunForm) -> None:
    """The declared type decides which control is shown; it contains the default."""
    fields = {each.name: (each.kind, each.default, each.required) for each in own.spec.fields}
    assert fields == {
        "flag": ("flag", True, False), "many": ("text", "a, b", False), "count": ("text", "3", True),
        "kind": ("choice", "", False), "plan": ("suggest", "", False), "labels": ("suggest", "", False),
    }  # fmt: skip
    assert [each.value for each in own.fields["kind"].choices] == ["", "x", "y"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", "0", "Expected a whole number, at least 1, got “0”."),
        ("count", "many", "got “many”"),
        ("count", "", "This field is required."),
        ("count", "4", ""),
        ("plan", "whatever", ""),  # nobody has read yet what there is
    ],
)
def test_checked_as_typed(own: RunForm, name: str, value: str, message: str) -> None:
    """An error is shown below its field at once, without the field's name or its help."""
    own.enter_value(name, value)
    error = own.shown.errors.get(name, "")
    assert message in error
    assert bool(error) == bool(message)
    assert "parameter" not in error
    assert "Nothing was" not in error


def test_required(tmp_path: Path) -> None:
    """A parameter without a value is asked for, and always given; an Enum is a choice."""
    cell = (
        "from enum import Enum\n\nclass Size(Enum):\n    SMALL = 's'\n    BIG = 'b'\n\ndays: int\n"
        "on: bool\nsize: Size = Size.SMALL"
    )
    form = RunForm(find_runbook(str(write_notebook(tmp_path / "nb" / "own.ipynb", (cell, "parameters")))))
    assert form.review() == ()
    assert form.shown.errors == {"days": "This field is required."}
    form.enter_value("days", "7")
    assert [each.value for each in form.fields["size"].choices] == ["s", "b"]
    assert begun(form).given == {"days": "7", "on": False}


def test_account_values(own: RunForm, lc: lcnb.LetsCloud) -> None:
    """What the account has is proposed and checked, one value or several."""
    for load in own.start():
        assert load.field.load is not None  # type: ignore[union-attr]
        own.choices_loaded(load, load.field.load(lc, {}))  # type: ignore[arg-type, union-attr]
    assert "web-01" in {each.value for each in own.shown.choices["labels"]}
    own.enter_value("labels", "web-01, web-99")
    assert "'web-99' is not one of the account's" in own.shown.errors["labels"]
    own.enter_value("labels", "web-01, web-02")
    assert not own.shown.errors
    assert begun(own).given == {"labels": "web-01, web-02"}


def test_selection(writes: RunForm) -> None:
    """A selection is parsed as it is typed."""
    writes.enter_value("selection", "label ==")
    assert writes.shown.errors["selection"]
    assert writes.review() == ()
    writes.enter_value("selection", "")
    assert writes.shown.errors["selection"] == "This field is required."


# --- the state machine ----------------------------------------------------------------------------------


def test_one_run(reads: RunForm) -> None:
    """However many threads click, one run is begun; while it runs no answer is changed."""
    go, given = threading.Barrier(30), []

    def click() -> None:
        go.wait()
        given.extend(reads.review())

    threads = [threading.Thread(target=click) for _ in range(30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(given) == 1
    reads.enter_value("location", "MIA1")
    assert reads.shown.values["location"] == ""
    assert reads.start_over() == ()


def test_reads_end(reads: RunForm) -> None:
    """BUSY with the progress by cells, then DONE; the values are still there afterwards."""
    reads.enter_value("location", "MIA1")
    run = begun(reads)
    assert run.given == {"location": "MIA1"}
    reads.cell_started(run, 1, 5, "Machines")
    assert reads.shown.progress == (1, 5, "Machines")
    reads.run_ended(run, FinishedRun("done", 0))
    assert reads.shown.phase is Phase.DONE
    reads.start_over()
    assert reads.shown.phase is Phase.EDIT
    assert reads.shown.values["location"] == "MIA1"
    assert reads.shown.run is None


def test_applies_the_plan_once(writes: RunForm) -> None:
    """The first run is dry whatever the notebook's default; Apply names its folder, and is given once."""
    run = begun(writes)
    assert run.given["dry_run"] is True
    assert run.plan is None
    assert writes.confirm() == ()
    writes.run_ended(run, dry())
    (apply,) = writes.confirm()
    assert isinstance(apply, StartRun)
    assert (apply.plan, dict(apply.given)) == (Path("runs/run-1"), {})
    assert writes.confirm() == ()


def test_challenge(writes: RunForm) -> None:
    """What cannot be undone is applied when its label is typed."""
    writes.run_ended(begun(writes), dry("web-01"))
    assert writes.confirm() == ()
    writes.type_challenge("web-0")
    assert writes.confirm() == ()
    writes.type_challenge("web-01")
    assert len(writes.confirm()) == 1


@pytest.mark.parametrize(
    "edit", [lambda f: f.enter_value("power", "on"), lambda f: f.back_to_fields(), lambda f: f.start_over()]
)
def test_edit_voids(writes: RunForm, edit: Callable[[RunForm], object]) -> None:
    """An edit or a step back makes the plan void: nothing can be applied."""
    writes.run_ended(begun(writes), dry())
    edit(writes)
    assert writes.shown.phase is Phase.EDIT
    assert writes.confirm() == ()


@pytest.mark.parametrize("status", ["failed", "died", "timeout", "interrupted", "partly", "refused"])
def test_not_well(writes: RunForm, status: str) -> None:
    """A dry run that did not end well has no Apply, whatever it planned."""
    ended = FinishedRun(status, 1, "cell 3 failed: ValueError", Path("runs/run-1"), planned=dry().planned)
    writes.run_ended(begun(writes), ended)
    assert writes.shown.phase is Phase.FAILED
    assert writes.shown.alert
    assert writes.confirm() == ()


def test_refused_value(writes: RunForm) -> None:
    """The error of a value that the run refused is shown at its field until the value changes."""
    error = "parameter selection: no column 'colour'. Nothing was started."
    writes.run_ended(begun(writes), FinishedRun("refused", 2, error))
    assert writes.shown.phase is Phase.EDIT
    assert writes.shown.errors == {"selection": "no column 'colour'."}
    writes.enter_value("selection", "all")
    assert not writes.shown.errors


def test_stop(reads: RunForm) -> None:
    """Stop asks the run to end, once more kills it; the form waits for its end, and a late answer is dropped."""
    run = begun(reads)
    reads.stop()
    assert run.stop.is_requested()
    assert not run.stop.now.is_set()
    assert reads.shown.phase is Phase.BUSY
    reads.stop()
    assert run.stop.now.is_set()
    reads.run_ended(run, FinishedRun("interrupted", 143))
    assert reads.shown.phase is Phase.FAILED
    reads.run_failed(run, RuntimeError("late"))
    assert "late" not in reads.shown.notice


# --- real runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    with start(token=TOKEN, speed=400, fleet=6) as sandbox:
        yield sandbox


@pytest.fixture
def client(box: SandboxProcess) -> Iterator[lcnb.LetsCloud]:
    """A client whose token nobody but it knows: a run gets it in its environment."""
    with lcnb.connect(token=TOKEN, base_url=box.base_url) as made:
        yield made


def state(made: RunbookWidget | AdminApp) -> str:
    """All that the widgets of the process hold, as it would be saved with a notebook."""
    from ipywidgets import Widget

    return json.dumps(Widget.get_manager_state()["state"], default=str)


def test_run_from_the_form(client: lcnb.LetsCloud) -> None:
    """A run shows its cells and its report, is listed in the history, and no widget holds the token."""
    made = RunbookWidget(find_runbook("inventory"), client, run_inline)
    seen: list[tuple[int, int, str]] = []
    made.form.subscribe(lambda shown: seen.append(shown.progress))
    made.view.start()
    made.view.review.click()
    shown = made.form.shown
    assert shown.phase is Phase.DONE, shown.notice
    assert max(total for _, total, _ in seen) > 1
    html = made.view.panel.report.value
    assert "srcdoc=" in html
    assert "exit code 0" in html
    assert lcnb.runs().status.tolist() == ["done"]
    assert TOKEN not in state(made)


def test_dry_run_then_apply(client: lcnb.LetsCloud, box: SandboxProcess) -> None:
    """Apply makes exactly what was planned, and shows its outcome."""
    made = RunbookWidget(find_runbook("power_schedule"), client, run_inline)
    made.form.enter_value("selection", "label == 'web-01'")
    made.view.review.click()
    shown = made.form.shown
    assert shown.phase is Phase.CONFIRM, shown.notice
    assert "web-01" in made.view.panel.preview.value
    assert made.view.panel.yes.description == "Apply"
    before = client.instances().set_index("label").state["web-01"]
    assert before == "running"
    made.view.panel.yes.click()
    made.view.panel.yes.click()
    assert made.form.shown.phase is Phase.DONE, made.form.shown.notice
    assert made.form.shown.notice == "Done: 1 change made."
    assert client.instances().set_index("label").state["web-01"] == "off"
    assert len(client.journal()) == 1


def test_unknown_is_settled(
    box: SandboxProcess, client: lcnb.LetsCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change without a known outcome is shown as unknown with its table; the button settles it, sending nothing twice."""
    monkeypatch.setenv("LCNB_SETTLE", "3")
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("label,location,plan,image\nlate-01,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n")
    made = RunbookWidget(find_runbook("provision"), client, run_inline)
    made.form.enter_value("fleet", str(fleet))
    made.view.review.click()
    assert made.form.shown.phase is Phase.CONFIRM, made.form.shown.notice
    before = len(written(box))
    control(box, "faults", {"rules": [{"kind": "lag", "path": "^/instances$", "seconds": 1e8}]})
    made.view.panel.yes.click()
    shown = made.form.shown
    assert shown.phase is Phase.UNKNOWN, shown.notice
    assert "it may have happened" in shown.notice
    assert ">unknown<" in made.view.panel.report.value
    assert ">create instance<" in made.view.panel.report.value
    control(box, "faults", {})
    made.view.panel.resume.click()
    made.view.panel.resume.click()
    assert made.form.shown.phase is Phase.DONE, made.form.shown.notice
    assert made.form.shown.notice == "Done: 1 change made."
    assert ">done<" in made.view.panel.report.value
    assert written(box)[before:] == ["POST /api/instances"]
    assert TOKEN not in state(made)


def test_outcome_stays_unknown(writes: RunForm) -> None:
    """As long as a change has no outcome, however the run ended, it is unknown; only that can be settled, once."""
    assert writes.resume() == ()
    writes.run_ended(begun(writes), dry())
    (apply,) = writes.confirm()
    made = [{"outcome": "done"}, {"outcome": "unknown"}]
    for status in ("partly", "died", "interrupted", "done"):
        writes.run_ended(apply, FinishedRun(status, 1, folder=Path("runs/run-2"), made=made))  # type: ignore[arg-type]
        assert writes.shown.phase is Phase.UNKNOWN
        assert "1 of 2 changes have no known outcome" in writes.shown.notice
        (apply,) = writes.resume()
        assert isinstance(apply, StartRun)
        assert (apply.resumes, apply.plan, apply.is_dry) == (Path("runs/run-2"), None, False)
        assert writes.resume() == ()
    writes.run_ended(
        apply, FinishedRun("failed", 3, "twins", Path("runs/run-3"), made=[{"outcome": "twins"}])
    )
    assert writes.shown.phase is Phase.FAILED


def control(box: SandboxProcess, path: str, body: object = None) -> Any:
    """The sandbox's control side."""
    data = None if body is None else json.dumps(body).encode()
    address = f"{box.base_url.removesuffix('/api')}/_sandbox/{path}"
    with urlopen(Request(address, data, {"api-token": TOKEN}), timeout=600) as reply:
        return json.load(reply)


def written(box: SandboxProcess) -> list[str]:
    return [f"{each['method']} {each['path']}" for each in control(box, "log") if each["method"] != "GET"]


def test_failing_cell_and_stop(client: lcnb.LetsCloud, tmp_path: Path) -> None:
    """A failing cell is shown with its error; a run that is stopped ends as interrupted, and is written down."""
    bad = write_notebook(tmp_path / "nb" / "bad.ipynb", "raise ValueError('<no> such thing')")
    made = RunbookWidget(find_runbook(str(bad)), client, run_inline)
    made.view.review.click()
    assert made.form.shown.phase is Phase.FAILED
    assert "cell 1 failed: ValueError: &lt;no&gt; such thing" in made.view.panel.report.value
    long = write_notebook(tmp_path / "nb" / "long.ipynb", "import time", "time.sleep(600)")
    made = RunbookWidget(find_runbook(str(long)), client, run_in_thread)
    at_it, over = threading.Event(), threading.Event()

    def listen(shown: Any) -> None:
        if shown.progress[0] == 1:
            at_it.set()
        if shown.phase is Phase.FAILED:
            over.set()

    made.form.subscribe(listen)
    made.view.review.click()
    assert at_it.wait(600)
    made.view.panel.stop.click()
    assert over.wait(600)
    assert made.form.shown.run.status == "interrupted"
    assert "interrupted" in lcnb.runs().status.tolist()


# --- what is shown where --------------------------------------------------------------------------------


def test_help_outside_of_a_notebook(client: lcnb.LetsCloud) -> None:
    """Where no widget is shown it is the help page; without a token it says first what is missing, and the sandbox."""
    book = find_runbook("inventory")
    assert repr(lcnb.runbook("inventory", client)) == help_text(book)
    made = lcnb.runbook("inventory")
    assert isinstance(made, RunbookUnavailable)
    reason, page = repr(made).split("\n\n", 1)
    assert page == help_text(book)
    assert 'lcnb.runbook("inventory", sandbox=True)' in reason
    for shown in (reason, made.widget.value):
        assert "LETSCLOUD_API_KEY" in shown


def test_part_of_the_app(client: lcnb.LetsCloud) -> None:
    """All shipped runbooks can be chosen; a form is made when it is, and the same one is shown again."""
    app = AdminApp(client, run_inline)
    app.runbooks.start()
    assert [each for each, _ in app.runbooks.pick.options] == ["", *shipped_names()]
    app.runbooks.pick.value = "inventory"
    (first,) = app.runbooks.holder.children
    app.runbooks.pick.value = ""
    app.runbooks.pick.value = "inventory"
    assert app.runbooks.holder.children == (first,)
    app.runs.refresh()
    assert app.runs.grid.rows == []
    assert runbook_spec(find_runbook("inventory"), "Run").title in first.children[0].value


def write_own(folder: Path, name: str, *cells: tuple[str, ...]) -> Path:
    folder.mkdir(exist_ok=True)
    return write_notebook(folder / f"{name}.ipynb", *cells)


def test_own_notebooks(client: lcnb.LetsCloud, tmp_path: Path) -> None:
    """Notebooks of a folder come first; one that cannot be used is named; one that was edited gets a new form."""
    folder = tmp_path / "own"
    path = write_own(folder, "nightly", ("count = 3  # how many", "parameters"))
    (folder / "broken.ipynb").write_text("{")
    app = AdminApp(client, run_inline, notebooks=folder)
    app.runbooks.start()
    values = [each for each, _ in app.runbooks.pick.options]
    assert values == ["", str(path), *shipped_names()]
    assert "(your own)" in app.runbooks.pick.options[1][1]
    assert "broken.ipynb" in app.runbooks.status.value
    app.runbooks.pick.value = str(path)
    first = app.runbooks.views[str(path)]
    app.runbooks.show(str(path))
    assert app.runbooks.views[str(path)] is first
    write_own(folder, "nightly", ("size = 3  # how big", "parameters"))
    app.runbooks.show(str(path))
    assert [*app.runbooks.views[str(path)].form.fields] == ["size"]
    path.unlink()
    app.runbooks.start()
    assert str(path) not in [each for each, _ in app.runbooks.pick.options]


def test_folder_of_notebooks(client: lcnb.LetsCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is an argument or LCNB_NOTEBOOKS; one that does not exist is refused."""
    path = write_own(tmp_path / "own", "nightly", ("count = 3", "parameters"))
    monkeypatch.setenv("LCNB_NOTEBOOKS", str(path.parent))
    app = lcnb.admin(client)
    assert isinstance(app, AdminApp)
    app.runbooks.start()
    assert str(path) in [each for each, _ in app.runbooks.pick.options]
    with pytest.raises(lcnb.InputError, match="is no folder"):
        lcnb.admin(client, notebooks=tmp_path / "missing")


CHANGES = "import lcnb\nlcnb.connect().reboot('api-01').apply()"


def test_missing_confirmation(client: lcnb.LetsCloud, tmp_path: Path) -> None:
    """A notebook whose changes nobody confirmed ends with advice, and without a traceback; nothing was sent."""
    path = write_own(tmp_path / "own", "unconfirmed", ("", "parameters"), (CHANGES,))
    made = RunbookWidget(find_runbook(str(path)), client, run_inline)
    made.view.review.click()
    shown = made.form.shown
    assert shown.phase is Phase.FAILED
    assert shown.notice.startswith("Nothing was sent: unconfirmed changes something")
    assert "dry_run = True" in shown.notice
    assert "lcnb-error" not in made.view.panel.report.value
    assert "reboot" not in set(client.journal().action)


@pytest.mark.parametrize(
    ("code", "error", "start"),
    [
        (6, "ConfirmationMissing", "Nothing was sent: inventory changes something"),
        (6, "ApprovalMissing", "why"),
        (2, "ParameterError", "inventory ended as refused, exit code 2: the error"),
        (2, None, "inventory ended as refused, exit code 2: the error"),
    ],
)
def test_refused_runs(reads: RunForm, code: int, error: str | None, start: str) -> None:
    """What was not confirmed or approved is said without a traceback; other refused runs keep their own reason."""
    facts = {"failed_cell": {"number": 2, "ename": error, "evalue": "why"}} if error else {}
    reads.run_ended(begun(reads), FinishedRun("refused", code, "the error", Path("runs/run-1"), facts))
    assert reads.shown.notice.startswith(start)


def test_what_a_plan_leaves_out(writes: RunForm) -> None:
    """The notes of a plan and what its dry run reports are shown next to *Apply*, as long as it is not applied."""
    client: Any = None
    from lcnb.widgets.runbook_view import RunPanel

    run = begun(writes)
    plan = FakePlan(["one"])
    plan.notes = ("web-02 was left out: busy, an action is in progress",)
    facts = {"attention": [{"text": "api-01 cannot be changed"}]}
    ended = FinishedRun("attention", 8, folder=Path("runs/run-1"), facts=facts, planned=plan)  # type: ignore[arg-type]
    writes.run_ended(run, ended)
    assert writes.shown.phase is Phase.CONFIRM
    panel = RunPanel(writes, lambda event: client)
    assert panel.notes_of(writes.shown) == ([*plan.notes, "api-01 cannot be changed"], ())
    writes.confirm()
    assert panel.notes_of(writes.shown) == ((), ())


def test_runs_open_their_reports(client: lcnb.LetsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of the runs opens its report: in the page itself, and by a link where the page serves it."""
    made = RunbookWidget(find_runbook("inventory"), client, run_inline)
    made.view.review.click()
    monkeypatch.setenv("LCNB_PAGE_REPORTS", "/lcnb/reports/")
    app, sent = AdminApp(client, run_inline), []
    app.runs.refresh()
    (row,) = app.runs.grid.rows
    assert (row["runbook"], row["status"], row["report"]) == ("inventory", "done", "yes")
    app.runs.grid.send = lambda content, *_: sent.append(content)  # type: ignore[method-assign]
    app.runs.grid._handle_custom_msg({"open": row["id"]}, [])
    facts, report = sent[-1]["details"]["sections"]
    assert {each["name"]: each["value"] for each in facts["items"]}["folder"] == row["folder"]
    assert report["links"] == [
        {"text": "Open the report in a new tab", "href": f"/lcnb/reports/{row['id']}/report.html"}
    ]
    assert "<title>Inventory" in report["page"]
    (Path(row["folder"]) / "report.html").unlink()
    app.runs.grid._handle_custom_msg({"open": row["id"]}, [])
    assert "no report" in sent[-1]["details"]["sections"][1]["note"]
    app.runs.grid._handle_custom_msg({"open": "nobody"}, [])
    assert "gone" in sent[-1]["details"]["sections"][0]["note"]
