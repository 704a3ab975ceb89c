"""The forms without a browser: the state machine by hand, the runner inline, the widgets as Python objects."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

import lcnb
import lcnb.changes.build
from conftest import FAULTS, TOKEN
from lcnb.errors import ChangeFailed, Drifted, InputError
from lcnb.sandbox import Clock, Faults, Sandbox, World, serve_in_thread
from lcnb.widgets import form_specs
from lcnb.widgets.admin_app import AdminApp, AdminUnavailable
from lcnb.widgets.admin_page import check_host, find_admin_notebook
from lcnb.widgets.confirm_panel import ConfirmPanel
from lcnb.widgets.elements import status_html
from lcnb.widgets.focus_mover import FocusMover
from lcnb.widgets.form import Form
from lcnb.widgets.form_effects import ApplyChanges, BuildChanges, Effects, LoadChoices
from lcnb.widgets.form_fields import Choice, FormField, FormSpec
from lcnb.widgets.form_messages import error_message, judge_result
from lcnb.widgets.form_state import Phase
from lcnb.widgets.form_view import FormView
from lcnb.widgets.input_field import InputField
from lcnb.widgets.listings import json_cell
from lcnb.widgets.page_sync import PageSync, walk_widgets
from lcnb.widgets.runner import OneAtATime, Runner, run_in_thread, run_inline

GOOD = "Str0ng-Enough-Pass"


class FakeChanges(list[Any]):
    """As much of a ChangeSet as a form looks at."""

    id, notes = "set-1", ("it is so already",)
    challenge = challenge_reason = ""

    def preview_html(self, status: str = "not applied", *, with_notes: bool = True) -> str:
        return ""


PLACES = FormSpec(
    "places",
    "A form with all kinds of fields",
    (
        FormField("label", "Label", check=lambda value, values: lcnb.changes.build.checked_label(value)),
        FormField("place", "Place", kind="choice", load=lambda client, values: []),
        FormField("size", "Size", kind="choice", needs=("place",), load=lambda client, values: []),
        *form_specs.password_fields("made"),
    ),
    lambda client, values, secrets: FakeChanges(["one"]),  # type: ignore[arg-type, return-value]
)


def load_of(effects: Effects, name: str) -> LoadChoices:
    (found,) = [each for each in effects if isinstance(each, LoadChoices) and each.field.name == name]
    return found


@pytest.fixture
def form() -> Form:
    """A form whose choices are read and which is filled in, but for the passwords."""
    form = Form(PLACES)
    form.choices_loaded(
        load_of(form.start(), "place"), [Choice("A", "a"), Choice("B", "b", "B is sold out.")]
    )
    form.enter_value("label", "web-1")
    form.choices_loaded(
        load_of(form.enter_value("place", "A"), "size"), [Choice("1", "one"), Choice("2", "two")]
    )
    form.enter_value("size", "1")
    return form


def reviewed(form: Form, challenge: str = "", reason: str = "") -> Form:
    (build,) = form.review()
    assert isinstance(build, BuildChanges)
    changes = FakeChanges(["one"])
    changes.challenge, changes.challenge_reason = challenge, reason
    form.changes_built(build, changes)  # type: ignore[arg-type]
    return form


def begun(form: Form) -> ApplyChanges:
    (effect,) = reviewed(form).confirm()
    assert isinstance(effect, ApplyChanges)
    return effect


def outcome(*states: str) -> pd.DataFrame:
    count = len(states)
    return pd.DataFrame(
        {
            "action": ["power off"] * count,
            "target": ["web-1"] * count,
            "outcome": states,
            "detail": [None] * count,
        }
    )


# --- the state machine ----------------------------------------------------------------------------------


def test_whole_way(form: Form) -> None:
    """EDIT → LOADING → CONFIRM → BUSY → DONE → EDIT, each step published to the listeners."""
    phases = []
    form.subscribe(lambda shown: phases.append(shown.phase))
    apply = begun(form)
    form.apply_progressed(apply, 0, 1, "looking for web-1")
    form.apply_finished(apply, outcome("done"))
    assert form.shown.notice == "Done: power off web-1."
    form.start_over()
    assert list(dict.fromkeys(phases)) == [Phase.EDIT, Phase.LOADING, Phase.CONFIRM, Phase.BUSY, Phase.DONE]
    assert form.shown.phase is Phase.EDIT
    assert form.shown.values["label"] == ""


def test_confirmed_once(form: Form) -> None:
    """A review gives its Apply once, to however many threads ask for it at the same time."""
    reviewed(form)
    start, given = threading.Barrier(50), []

    def click() -> None:
        start.wait()
        given.extend(form.confirm())

    threads = [threading.Thread(target=click) for _ in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(given) == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: f.enter_value("label", "web-2"),
        lambda f: f.store_secret("password", GOOD),
        lambda f: f.back_to_fields(),
    ],
)
def test_edit_voids(form: Form, edit: Callable[[Form], Effects]) -> None:
    """An edit or a step back in CONFIRM voids the review: nothing can be confirmed any more."""
    reviewed(form)
    edit(form)
    assert form.shown.phase is Phase.EDIT
    assert form.confirm() == ()
    assert form.shown.changes is None


def test_challenge(form: Form) -> None:
    """What cannot be undone is confirmed by its label, in which capitals and inner spaces count."""
    reviewed(form, challenge="Web 1")
    for typed in ("", " ", "web 1", "Web  1", "Web1", "Web", "Web 1 2"):
        form.type_challenge(typed)
        assert form.confirm() == ()
    # A space at the end is not visible, so nobody can be asked to type it or not.
    form.type_challenge("Web 1 ")
    assert len(form.confirm()) == 1


def test_reason_to_type(form: Form) -> None:
    """The panel shows the reason that the ChangeSet states, the text to type, and how it is compared."""
    reviewed(form, challenge="Web <1>", reason="These are 40 machines.")
    shown = ConfirmPanel(form, lambda event: None).preview_html(form.shown)
    assert "These are 40 machines. Type <b>Web &lt;1&gt;</b> to confirm." in shown
    assert "Capitals count; spaces at the ends do not." in shown
    assert "undone" not in shown


def test_busy_stays(form: Form) -> None:
    """While it runs, no event but its own and `stop` changes anything."""
    begun(form)
    before = form.shown
    for event in (lambda: form.enter_value("label", "x"), lambda: form.store_secret("password", GOOD), form.review, form.confirm,
                  form.back_to_fields, form.start_over, form.resume):  # fmt: skip
        assert event() == ()
    assert form.shown == before


def test_late_build(form: Form) -> None:
    """An answer that comes right after the review was asked for belongs to it; the earlier ChangeSet is dropped."""
    (first,) = form.review()
    (second,) = form.enter_value("label", "web-2")
    assert isinstance(first, BuildChanges)
    assert isinstance(second, BuildChanges)
    assert second.values["label"] == "web-2"
    form.changes_built(first, FakeChanges(["one"]))  # type: ignore[arg-type]
    assert form.shown.phase is Phase.LOADING
    form.changes_built(second, FakeChanges(["two"]))  # type: ignore[arg-type]
    assert list(form.shown.changes or ()) == ["two"]


def test_dependent_choices(form: Form) -> None:
    """Another place takes the size away and reads its choices anew; choices of the former place are dropped."""
    first = load_of(form.enter_value("place", "B"), "size")
    second = load_of(form.enter_value("place", "A"), "size")
    assert form.shown.values["size"] == ""
    form.choices_loaded(first, [Choice("9", "of B")])
    assert form.shown.loading == {"size"}
    form.choices_loaded(second, [Choice("1", "of A")])
    assert [each.value for each in form.shown.choices["size"]] == ["1"]
    assert form.review() == ()  # the size is to be chosen again


def waiting(form: Form) -> LoadChoices:
    """A form whose review waits for the sizes to be read."""
    effects = form.start()
    form.choices_loaded(load_of(effects, "place"), [Choice("A", "a")])
    assert form.review() == form.review() == ()
    assert (form.shown.phase, form.shown.notice) == (Phase.LOADING, "Reading the choices …")
    return load_of(effects, "size")


def test_review_while_reading(form: Form) -> None:
    """A review while choices are on their way begins once they are there, with the answers as they are by then."""
    load = waiting(form)
    assert form.enter_value("label", "web-2") == ()
    (build,) = form.choices_loaded(load, [Choice("1", "one")])
    assert isinstance(build, BuildChanges)
    assert build.values["label"] == "web-2"


@pytest.mark.parametrize("end", ["back", "refused", "gone", "missing"])
def test_no_review_after_reading(form: Form, end: str) -> None:
    """It does not begin when somebody went back, the choices could not be read, or an answer is wrong by then."""
    load = waiting(form)
    if end == "back":
        form.back_to_fields()
    elif end == "refused":
        form.effect_refused(load, InputError("the account is odd"))
        assert form.shown.notice == "the account is odd"
    elif end == "missing":
        form.enter_value("label", "")
    assert form.choices_loaded(load, [Choice("2" if end == "gone" else "1", "one")]) == ()
    assert form.shown.phase is Phase.EDIT
    assert bool(form.shown.errors) is (end in ("gone", "missing"))


def test_not_offered() -> None:
    """A value that is not among the choices is refused."""
    form = Form(PLACES)
    form.choices_loaded(load_of(form.start(), "place"), [Choice("A", "a")])
    form.enter_value("place", "Z")
    assert form.shown.errors["place"] == "Z is not offered."


def test_choice_that_is_gone(form: Form) -> None:
    """A value that is not among the choices any more is taken away."""
    load = load_of(form.start(), "size")
    form.choices_loaded(load, [Choice("2", "two")])
    assert form.shown.values["size"] == ""


def test_messages(form: Form) -> None:
    """An error is shown at its field as soon as a person has typed there, and at all fields after a review."""
    fresh = Form(PLACES)
    assert fresh.shown.errors == {}
    fresh.enter_value("label", " web")
    assert list(fresh.shown.errors) == ["label"]
    assert fresh.review() == ()
    assert set(fresh.shown.errors) == {"label", "place", "size"}
    assert fresh.shown.alert
    form.enter_value("place", "B")
    assert form.shown.errors == {"place": "B is sold out."}


def test_passwords(form: Form) -> None:
    """A typed password is checked, must be typed twice, is shown to nobody and forgotten once it is used."""
    form.enter_value("access", "typed")
    form.store_secret("password", "short")
    assert "12 to 32 characters" in form.shown.errors["password"]
    form.store_secret("password", GOOD)
    form.store_secret("password_again", GOOD + "x")
    assert form.shown.errors == {"password_again": "The two passwords differ."}
    form.store_secret("password_again", GOOD)
    assert form.shown.taken == {"password": len(GOOD), "password_again": len(GOOD)}
    (build,) = form.review()
    assert isinstance(build, BuildChanges)
    assert build.secrets["password"].reveal() == GOOD
    assert GOOD not in repr((form.shown, build, form.__dict__))
    form.changes_built(build, FakeChanges(["one"]))  # type: ignore[arg-type]
    form.confirm()
    assert form.shown.taken == {}


def test_nothing_to_do(form: Form) -> None:
    """An empty ChangeSet needs no confirmation: the notice says why there is nothing to do."""
    (build,) = form.review()
    form.changes_built(build, FakeChanges())  # type: ignore[arg-type]
    assert (form.shown.phase, form.shown.notice) == (Phase.EDIT, "Nothing to do: it is so already.")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("label 'web-1': a machine of this label exists. Nothing was sent.", "label"),
        ("place B takes no machines. Nothing was sent.", "place"),
        ("the account is odd", None),
    ],
)
def test_refused(form: Form, text: str, field: str | None) -> None:
    """A refusal is shown at its field until the value changes, or in the notice if its field is unknown."""
    (build,) = form.review()
    form.effect_refused(build, InputError(text))
    assert (form.shown.phase, form.shown.alert) == (Phase.EDIT, True)
    if field is None:
        assert form.shown.notice == text
        return
    assert form.shown.errors == {field: text.removesuffix(" Nothing was sent.")}
    form.enter_value(field, "" if field == "place" else "web-2")
    assert text[:10] not in str(form.shown.errors)


@pytest.mark.parametrize(
    ("states", "phase"),
    [
        (("done", "done"), Phase.DONE),
        (("done", "failed"), Phase.FAILED),
        (("twins",), Phase.FAILED),
        (("done", "not tried"), Phase.FAILED),
        (("failed", "unknown"), Phase.UNKNOWN),
        (("sent",), Phase.UNKNOWN),
        ((), Phase.DONE),
    ],
)
def test_judged(states: tuple[str, ...], phase: Phase) -> None:
    """One change without a known outcome makes the whole unknown; one that was not made, failed."""
    assert judge_result(outcome(*states))[0] is phase


@pytest.mark.parametrize(
    ("error", "still_open", "phase"),
    [
        (Drifted("web-1 is gone. Nothing was sent."), False, Phase.FAILED),
        (ChangeFailed("not all", result=outcome("unknown")), True, Phase.UNKNOWN),
        (ChangeFailed("not all", result=outcome("failed")), False, Phase.FAILED),
        (lcnb.WaitTimeout("not finished", result=outcome("done")), False, Phase.DONE),
        (lcnb.AuthenticationError("401"), True, Phase.UNKNOWN),
        (ZeroDivisionError("x"), False, Phase.FAILED),
    ],
)
def test_failed(form: Form, error: Exception, still_open: bool, phase: Phase) -> None:
    """An error is shown; the outcome is unknown if the journal has a change without one."""
    form.apply_failed(begun(form), error, still_open)
    assert form.shown.phase is phase
    assert ("Look again" in form.shown.notice) is (phase is Phase.UNKNOWN)
    if not isinstance(error, ChangeFailed):
        assert str(error) in form.shown.notice


def test_stop_and_resume(form: Form) -> None:
    """Who stops waiting gets the form back at once, and `resume` goes on after the first apply has ended."""
    first = begun(form)
    form.stop()
    assert (form.shown.phase, first.stop.is_set()) == (Phase.UNKNOWN, True)
    form.apply_failed(first, KeyboardInterrupt(), still_open=True)
    assert form.shown.phase is Phase.UNKNOWN
    (second,) = form.resume()
    assert isinstance(second, ApplyChanges)
    assert (second.changes, second.changeset, second.after) == (None, "set-1", first.ended)
    form.apply_finished(first, outcome("done"))  # a stranger by now
    assert form.shown.phase is Phase.BUSY
    form.apply_finished(second, outcome("done"))
    assert form.shown.phase is Phase.DONE


def test_answer_after_stop(form: Form) -> None:
    """An outcome that comes after the person stopped waiting is still shown."""
    apply = begun(form)
    form.stop()
    form.apply_finished(apply, outcome("done"))
    assert form.shown.phase is Phase.DONE


def test_outcome_stays() -> None:
    """What came of it stays on the screen when the table drops the machine that was deleted."""
    form = Form(form_specs.CHANGE_MACHINES)
    form.fill_in("machines", ("a",))
    form.enter_value("action", "delete")
    apply = begun(form)
    form.apply_finished(apply, outcome("done"))
    form.fill_in("machines", ())
    assert (form.shown.phase, form.shown.values["machines"]) == (Phase.DONE, ())


def test_an_error_of_lcnb_is_shown() -> None:
    """An error that is not lcnb's own is named, too."""
    assert (
        error_message(KeyError("x")) == "This is an error in lcnb: KeyError: 'x'. Nothing further was sent."
    )


# --- with a client: the forms of lcnb, their runner, their widgets ---------------------------------------


class World_:  # noqa: N801 - a sandbox and all that is made for it
    """A sandbox with a fast clock and a client of it."""

    def __init__(self, sandbox: Sandbox, lc: lcnb.LetsCloud) -> None:
        self.sandbox, self.lc = sandbox, lc
        self.runner = Runner(lc, run_inline)

    def writes(self) -> list[tuple[str, str]]:
        return [
            (each["method"], each["path"].removeprefix("/api"))
            for each in self.sandbox.log
            if each["method"] != "GET"
        ]

    def filled(self, spec: FormSpec, **answers: Any) -> Form:
        form = Form(spec)
        self.go(form, form.start)
        for name, answer in answers.items():
            self.go(form, lambda name=name, answer=answer: form.enter_value(name, answer))  # type: ignore[misc]
        return form

    def go(self, form: Form, *events: Callable[[], Effects]) -> Form:
        for event in events:
            self.runner.run(form, event())
        return form

    def made(self, spec: FormSpec, **answers: Any) -> Form:
        form = self.filled(spec, **answers)
        self.go(form, form.review)
        assert form.shown.phase is Phase.CONFIRM, (form.shown.notice, form.shown.errors)
        form.type_challenge(form.shown.challenge)
        return self.go(form, form.confirm)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World_]]:
    """Makes a sandbox whose hours are seconds, and a client that looks after hundredths of a second."""
    monkeypatch.setattr("lcnb.changes.session.POLL_DELAYS_S", (0.02,))
    # A reboot is over here before anybody can see the machine busy with it, and is looked for until then.
    monkeypatch.setenv("LCNB_SETTLE", "1")
    opened = []

    def make(faults: Any = None, fleet: int = 4) -> World_:
        sandbox = Sandbox(
            World(Clock(20_000), fleet=fleet), TOKEN, rate_limit=1_000_000, faults=Faults.read(faults)
        )
        context = serve_in_thread(sandbox)
        lc = lcnb.connect(token=TOKEN, base_url=context.__enter__())
        opened.append((context, lc))
        return World_(sandbox, lc)

    yield make
    for context, lc in opened:
        lc.close()
        context.__exit__(None, None, None)


NEW = {"location": "MIA1", "label": "shop-1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}


def test_create(fast: Callable[..., World_]) -> None:
    """The create form makes one machine, ready at the end, with one POST however often it is clicked."""
    world = fast()
    form = world.made(form_specs.CREATE_MACHINE, **NEW)
    world.go(form, form.confirm, form.confirm)
    assert form.shown.phase is Phase.DONE, form.shown.notice
    assert world.writes() == [("POST", "/instances")]
    assert world.lc.instance(label="shop-1").state == "running"


def test_create_again(fast: Callable[..., World_]) -> None:
    """A second form for the same label, as of another tab, is refused at the label."""
    world = fast()
    form = world.filled(form_specs.CREATE_MACHINE, **NEW)
    world.go(form, form.review)
    world.made(form_specs.CREATE_MACHINE, **NEW)
    world.go(form, form.confirm)
    assert form.shown.phase is Phase.FAILED
    assert "a machine with the label 'shop-1' exists" in form.shown.notice
    again = world.filled(form_specs.CREATE_MACHINE, **NEW)
    world.go(again, again.review)
    assert "a machine of this label exists" in again.shown.errors["label"]
    assert world.writes() == [("POST", "/instances")]


def test_prices_and_sold_out(fast: Callable[..., World_]) -> None:
    """Plans are listed with their price, the cheapest first; a sold out location is marked and refused."""
    form = fast().filled(form_specs.CREATE_MACHINE, location="LON1")
    assert "(sold out)" in next(each.text for each in form.shown.choices["location"] if each.value == "LON1")
    assert "takes no new machines" in form.shown.errors["location"]
    assert form.shown.choices["plan"][0].text == "1 CPU, 1 GB, 10 GB disk – 5.40 USD per month"


MACHINE_WRITES = {
    "power_off": ("PUT", "power-off"),
    "shutdown": ("POST", "shutdown"),
    "reboot": ("PUT", "reboot"),
    "reset_password": ("PUT", "reset-password"),
    "change_plan": ("PUT", "change-plan"),
    "snapshot": ("POST", "snapshots"),
    "delete": ("DELETE", ""),
}


@pytest.mark.parametrize("action", MACHINE_WRITES)
def test_act(action: str, fast: Callable[..., World_]) -> None:
    """Each action on a ticked machine is one request, after the label was typed where it cannot be undone."""
    world = fast()
    row = world.lc.inventory().query("state == 'running' and plan.notna()").iloc[0]
    answers: dict[str, Any] = {"machines": (row.identifier,), "action": action}
    if action == "change_plan":
        larger = world.lc.plans(row.location).query(f"disk > {row.total_disk_size}")
        answers["plan"] = larger.slug.iloc[0]
    form = world.made(form_specs.CHANGE_MACHINES, **answers)
    assert form.shown.phase is Phase.DONE, form.shown.notice
    ((method, path),) = world.writes()
    assert (method, path.startswith("/instances/")) == (MACHINE_WRITES[action][0], True)
    assert path.endswith(MACHINE_WRITES[action][1])


def test_act_on_several(fast: Callable[..., World_]) -> None:
    """Several ticked machines are one ChangeSet; deleting them asks for a text that counts them."""
    world = fast()
    two = tuple(world.lc.instances().query("state == 'running'").identifier.head(2))
    form = world.filled(form_specs.CHANGE_MACHINES, machines=two, action="delete")
    world.go(form, form.review)
    assert form.shown.challenge == "2 irreversible"
    world.go(form, form.confirm)
    assert world.writes() == []
    form.type_challenge("2 irreversible")
    world.go(form, form.confirm)
    assert [method for method, _ in world.writes()] == ["DELETE", "DELETE"]


def test_price_difference(fast: Callable[..., World_]) -> None:
    """The new plans are listed with the price difference; none has a smaller disk."""
    world = fast()
    row = world.lc.inventory().query("state == 'running' and plan.notna() and total_disk_size < 240").iloc[0]
    form = world.filled(form_specs.CHANGE_MACHINES, machines=(row.identifier,), action="change_plan")
    texts = {each.value: each.text for each in form.shown.choices["plan"]}
    assert texts[row.plan].endswith("(unchanged)")
    assert any("(+" in text for text in texts.values())
    disks = world.lc.plans(row.location).set_index("slug").disk
    assert all(disks[slug].min() >= row.total_disk_size for slug in texts)


def test_keys(fast: Callable[..., World_], tmp_path: Any) -> None:
    """Keys are made into a 0600 file, replaced only when that is ticked and typed, and deleted."""
    world = fast()
    file = tmp_path / "key"
    form = world.made(form_specs.GENERATE_KEY, title="Laptop", file=str(file))
    assert form.shown.phase is Phase.DONE
    assert (file.stat().st_mode & 0o777, "PRIVATE KEY" in file.read_text()) == (0o600, True)
    again = world.filled(form_specs.GENERATE_KEY, title="Laptop", file=str(tmp_path / "other"))
    world.go(again, again.review)
    assert "would be overwritten" in again.shown.errors["title"]
    assert "tick “Replace”" in again.shown.errors["title"]
    line = world.lc.sshkeys().query("slug != 'laptop'").public_key.iloc[0]
    replaced = world.made(form_specs.ADD_KEY, title="Laptop", public_key=line, replace=True)
    assert replaced.shown.phase is Phase.DONE
    world.made(form_specs.DELETE_KEY, slug="laptop")
    assert [method for method, _ in world.writes()] == ["POST", "POST", "DELETE"]


def test_key_file_that_exists(fast: Callable[..., World_], tmp_path: Any) -> None:
    """A private key never overwrites a file: that is said while the path is typed."""
    (tmp_path / "there").write_text("")
    form = fast().filled(form_specs.GENERATE_KEY, file=str(tmp_path / "there"))
    assert "is not overwritten" in form.shown.errors["file"]


def test_snapshots(fast: Callable[..., World_]) -> None:
    """Snapshots are made, renamed, and deleted by typing their name."""
    world = fast()
    machine = world.lc.instances().query("state == 'running'").identifier.iloc[0]
    assert world.made(form_specs.CREATE_SNAPSHOT, machine=machine, label="before").shown.phase is Phase.DONE
    slug = world.lc.snapshots().query("label == 'before'").slug.iloc[0]
    assert world.made(form_specs.RENAME_SNAPSHOT, slug=slug, label="kept").shown.phase is Phase.DONE
    assert world.made(form_specs.DELETE_SNAPSHOT, slug=slug).shown.phase is Phase.DONE
    assert slug not in set(world.lc.snapshots().slug)


def test_unknown_outcome(fast: Callable[..., World_], monkeypatch: pytest.MonkeyPatch) -> None:
    """A create whose reply was lost and which no listing shows is unknown; the button settles it, nothing twice."""
    monkeypatch.setattr("lcnb.changes.settling.MAX_SENDS", 1)
    lost = {"kind": "lose-after", "method": "POST", "path": "^/instances$", "times": 1}
    lag = {"kind": "lag", "path": "^/instances$", "seconds": 1e8}
    world = fast({"rules": [lost, lag]})
    settings = world.lc.settings
    monkeypatch.setattr(world.lc, "settings", type(settings)(**{**settings.__dict__, "settle": 0.05}))
    form = world.made(form_specs.CREATE_MACHINE, **NEW)
    assert form.shown.phase is Phase.UNKNOWN
    assert "Look again" in form.shown.notice
    world.sandbox.faults = Faults()
    world.go(form, form.resume)
    assert form.shown.phase is Phase.DONE, form.shown.notice
    assert world.writes() == [("POST", "/instances")]


def test_stop_for_real(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stops waiting for a machine that does not come ends the thread too; looking again finds it, sent once."""
    monkeypatch.setattr("lcnb.changes.session.POLL_DELAYS_S", (0.02,))
    sandbox, lc = served(fleet=2)
    world = World_(sandbox, lc)
    form = world.filled(form_specs.CREATE_MACHINE, **NEW)
    world.go(form, form.review)
    looking = threading.Event()
    form.subscribe(lambda shown: looking.set() if shown.progress[2].startswith("looking for") else None)
    world.runner.spawn = run_in_thread
    (apply,) = form.confirm()
    world.runner.run(form, (apply,))
    assert looking.wait(600)
    form.stop()
    assert isinstance(apply, ApplyChanges)
    assert apply.ended.wait(600)
    assert form.shown.phase is Phase.UNKNOWN
    sandbox.world.clock.turn(300)
    world.runner.spawn = run_inline
    world.go(form, form.resume)
    assert form.shown.phase is Phase.DONE, form.shown.notice
    assert world.writes() == [("POST", "/instances")]


#: Where nothing answers, and what to check.
AWAY = {
    "no connection": ("http://127.0.0.1:9/api", "Check the network"),
    "no such name": ("https://name.invalid/api", "Check the network"),
    "no TLS": ("tls", "Check the network"),
    "TLS not trusted": ("untrusted", "SSL_CERT_FILE"),
}


def all_forms(world: World_, folder: Any) -> dict[str, Form]:
    """Every form, filled in with what would be taken."""
    machine = world.lc.instances().query("state == 'running'").identifier.iloc[0]
    key, snapshot = world.lc.sshkeys().iloc[0], world.lc.snapshots().slug.iloc[0]
    answers: dict[str, dict[str, Any]] = {
        "create": NEW,
        "act": {"machines": (machine,), "action": "reboot"},
        "add_key": {"title": "Mine", "public_key": key.public_key},
        "generate_key": {"title": "New", "file": str(folder / "key")},
        "delete_key": {"slug": key.slug},
        "create_snapshot": {"machine": machine, "label": "kept"},
        "rename_snapshot": {"slug": snapshot, "label": "named"},
        "delete_snapshot": {"slug": snapshot},
    }
    assert set(answers) == set(form_specs.SPECS_BY_NAME)
    return {name: world.filled(form_specs.SPECS_BY_NAME[name], **given) for name, given in answers.items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_before_a_review(
    fault: str, fast: Callable[..., World_], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every form, a failure to read the account is shown as an alert with the next step; no input is lost."""
    world = fast()
    forms = all_forms(world, tmp_path)
    rule, step = FAULTS[fault]
    with monkeypatch.context() as patched:
        patched.setattr("lcnb.transport.sync.SyncWire.run", short(world.lc))
        world.sandbox.faults = Faults.read({"rules": [rule]})
        for name, form in forms.items():
            world.go(form, form.review)
            assert (form.shown.phase, form.shown.alert, form.shown.loading) == (Phase.EDIT, True, frozenset())
            assert re.search(step, form.shown.notice) or "deadline" in form.shown.notice, name
            assert "nothing was changed" in form.shown.notice or "Nothing was sent" in form.shown.notice
            assert "<" not in form.shown.notice
            assert TOKEN not in form.shown.notice
    world.sandbox.faults = Faults()
    world.lc._wire.settings = world.lc.settings  # with its whole time limit again
    if fault == "429":
        return  # every process keeps the silence that was asked for
    for name, form in forms.items():
        world.go(form, form.review)
        assert form.shown.phase is Phase.CONFIRM, (name, form.shown.notice, form.shown.errors)
    assert world.writes() == []


@pytest.mark.parametrize("fault", [each for each in FAULTS if each not in ("429", "no answer")])
def test_faults_of_a_write(
    fault: str, fast: Callable[..., World_], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every form, a failed write is shown with the next step; “Look again” settles it and sends nothing twice."""
    world = fast()
    settings = world.lc.settings
    monkeypatch.setattr(world.lc, "settings", type(settings)(**{**settings.__dict__, "settle": 0.05}))
    rule, step = FAULTS[fault]
    refused = fault in ("401", "403", "404", "409", "422")
    for name, form in all_forms(world, tmp_path).items():
        world.go(form, form.review)
        form.type_challenge(form.shown.challenge)
        world.sandbox.faults = Faults.read({"rules": [{**rule, "method": "POST|PUT|DELETE", "times": 1}]})
        before = len([each for each in world.sandbox.log if each.get("committed")])
        world.go(form, form.confirm)
        world.sandbox.faults = Faults()
        if refused:
            assert (form.shown.phase, form.shown.alert) == (Phase.FAILED, True), (name, form.shown)
            assert re.search(step, form.shown.notice), (name, form.shown.notice)
            continue
        if form.shown.phase is Phase.UNKNOWN:
            assert form.shown.alert
            assert "“Look again” shows how" in form.shown.notice
            world.go(form, form.resume)
        committed = len([each for each in world.sandbox.log if each.get("committed")]) - before
        done = name != "act"  # whether a machine was rebooted cannot be seen, so it is not done again
        assert form.shown.phase is (Phase.DONE if done else Phase.FAILED), (name, form.shown.notice)
        assert committed == (1 if done else fault == "truncated"), name
        assert done or "look at the machine" in form.shown.notice
    assert (tmp_path / "key").exists() == (not refused)


def short(lc: lcnb.LetsCloud) -> Callable[..., Any]:
    """`run` of the wire with half a second for each flow: reads are repeated until then."""
    run, settings = type(lc._wire).run, lc.settings

    def quick(wire: Any, flow: Any, **options: Any) -> Any:
        wire.settings = type(settings)(**{**settings.__dict__, "timeout": 0.5})
        return run(wire, flow, **options)

    return quick


@pytest.mark.parametrize("where", AWAY)
def test_unreachable(
    where: str, fast: Callable[..., World_], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, untrusted: str
) -> None:
    """In every form: no connection, no such name, no TLS or an untrusted certificate: each is shown with what to do."""
    world = fast()
    address, step = AWAY[where]
    address = {"tls": world.lc.settings.base_url.replace("http:", "https:"), "untrusted": untrusted}.get(
        address, address
    )
    forms = all_forms(world, tmp_path)
    # So that the tries end, and not the time for them.
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    with lcnb.connect(token=TOKEN, base_url=address) as away:
        monkeypatch.setattr(world.runner, "client", away)
        for name, form in forms.items():
            world.go(form, form.review)
            assert (form.shown.alert, form.shown.phase) == (True, Phase.EDIT), name
            assert step in form.shown.notice, (name, form.shown.notice)


def test_wrong_token(fast: Callable[..., World_]) -> None:
    """A wrong token is reported where the choices would be."""
    world = fast()
    bad = World_(
        world.sandbox, lcnb.connect(token="wrong-token-471147114711", base_url=world.lc.settings.base_url)
    )
    form = bad.filled(form_specs.CREATE_MACHINE)
    assert form.shown.alert
    assert "token" in form.shown.notice
    bad.lc.close()


# --- the widgets ----------------------------------------------------------------------------------------


@pytest.fixture
def app(fast: Callable[..., World_]) -> AdminApp:
    """The whole admin widget of a small fleet, everything inline."""
    return AdminApp(fast().lc, run_inline)


def click(widget: Any) -> None:
    widget._click_handlers(widget)


def say(widget: Any, answer: Any, n: int = 1) -> None:
    """As a page says what a person answered."""
    widget._handle_custom_msg({"answer": answer, "by": "page", "n": n}, [])


def test_app(app: AdminApp) -> None:
    """The table shows the fleet; ticking a machine, an action and two clicks make one write."""
    fleet = app.client.inventory()
    assert [row["identifier"] for row in app.fleet.grid.rows] == sorted(
        fleet.identifier, key=lambda each: fleet.set_index("identifier").label[each]
    )
    machine = fleet.query("state == 'running'").iloc[0]
    app.fleet.grid.selected = [machine.identifier]
    act = app.form("act")
    say(act.controls[1].input, "power_off")
    click(act.review)
    assert act.panel.yes.description == "Yes, power off"
    click(act.panel.yes)
    click(act.panel.yes)
    assert act.form.shown.phase is Phase.DONE
    assert len(app.client.journal()) == 1
    row = next(row for row in app.fleet.grid.rows if row["identifier"] == machine.identifier)
    assert (row["state"], app.fleet.grid.selected) == ("off", [machine.identifier])


@pytest.fixture
def screen(app: AdminApp, monkeypatch: pytest.MonkeyPatch) -> tuple[FormView, list[str]]:
    """The form for changes with a running machine in it, and what happens on the screen, in order."""
    events: list[str] = []
    view = app.form("act")
    parts = {
        "panel": view.panel.widget, "fields": view.asking, "yes": view.panel.yes, "again": view.panel.again,
        "review": view.review, "stop": view.panel.stop, "back": view.panel.back, "close": view.close,
    }  # fmt: skip
    names = {each: name for name, each in parts.items()}

    def note_moves(mover: FocusMover, control: Any) -> None:
        events.append(f"keyboard on {names.get(control, getattr(control, 'label', ''))}")

    def note_visibility(name: str) -> Callable[[Any], None]:
        return lambda change: events.append(f"{name} {'hidden' if change['new'] else 'visible'}")

    monkeypatch.setattr(FocusMover, "move_to", note_moves)
    for name, each in parts.items():
        each.layout.observe(note_visibility(name), "display")
    view.status.observe(lambda _: events.append("status"), "value")
    for each in (view.panel.preview, view.panel.report):
        each.observe(lambda _: events.append("contents"), "value")
    fleet = app.client.inventory()
    app.fleet.grid.selected = [fleet.query("state == 'running'").identifier.iloc[0]]
    say(view.controls[1].input, "power_off")
    events.clear()
    return view, events


def test_keyboard_moves_at_last(screen: tuple[FormView, list[str]]) -> None:
    """What is new is complete, then visible, then has the keyboard; only buttons that had it are hidden after that."""
    view, events = screen
    click(view.review)
    asked = events[events.index("contents") :]
    assert asked.index("contents") < asked.index("yes visible") < asked.index("panel visible")
    assert asked.index("panel visible") < asked.index("keyboard on back") < asked.index("review hidden")
    assert asked.index("contents") < asked.index("status") < asked.index("keyboard on back")
    events.clear()
    click(view.panel.yes)
    assert events.index("stop visible") < events.index("keyboard on stop") < events.index("yes hidden")
    assert events.index("again visible") < events.index("keyboard on again") < events.index("stop hidden")
    last = len(events) - 1 - events[::-1].index("keyboard on again")
    assert events[last + 1 :] == ["stop hidden"]
    assert events.index("fields hidden") < events.index("keyboard on stop")


def test_keyboard_goes_on(screen: tuple[FormView, list[str]]) -> None:
    """A button that disappears when it is pressed hands the keyboard to the control where a person continues."""
    view, events = screen
    click(view.review)
    click(view.panel.back)
    assert events[-1] == "keyboard on review"
    click(view.review)
    click(view.panel.yes)
    click(view.panel.again)
    assert events[-1] == "keyboard on Action"


def test_refresh_drops_what_is_gone(app: AdminApp) -> None:
    """A refresh keeps the ticks of machines that are there, and drops those of the others."""
    there = app.fleet.grid.rows[0]["identifier"]
    app.fleet.grid.selected = [there, "gone-0000"]
    app.fleet.refresh()
    assert app.fleet.grid.selected == [there]


def test_parts_can_be_opened(app: AdminApp) -> None:
    """Each part reads what it shows when it is looked at, and shows no error."""
    nav = app.widget.children[2].children[0]
    for pick in nav.children:
        click(pick)
    assert "balance" in app.account.body.value
    assert "Nothing was changed yet." in app.journal.body.value
    assert app.keys.grid.rows
    for each in (app.account, app.journal, app.keys, app.snapshots, app.fleet):
        assert 'role="alert"' not in each.status.value


def test_callback_errors_are_shown(app: AdminApp) -> None:
    """An exception in a callback, which ipywidgets would swallow, is shown in the status line, escaped."""
    view = app.form("create")

    def broken() -> Effects:
        raise RuntimeError("<b>broken</b>")

    view.handle_event(broken)
    assert 'role="alert"' in view.status.value
    assert "&lt;b&gt;broken&lt;/b&gt;" in view.status.value


def test_no_secret_in_state(app: AdminApp) -> None:
    """A typed password and a revealed one are in no widget's state, which is what a notebook saves."""
    from ipywidgets import Widget

    machine = next(row for row in app.fleet.grid.rows if row["state"] == "running")
    password = app.client.reveal(machine["identifier"]).reveal()
    sent: list[Any] = []
    app.fleet.secret.send = lambda content, buffers=None: sent.append(content)
    app.fleet.grid.selected = [machine["identifier"]]
    click(app.fleet.reveal)
    assert sent == [{"show": password, "label": f"Initial password of {machine['label']}", "seconds": 60}]
    create = app.form("create")
    boxes = {each.field.name: each.input for each in create.controls}
    say(boxes["access"], "typed")
    boxes["password"]._handle_custom_msg({"secret": GOOD}, [])
    assert create.form.shown.taken == {"password": len(GOOD)}
    state = json.dumps(Widget.get_manager_state(), default=str)
    assert "web" in state or machine["label"] in state
    for secret in (GOOD, password, TOKEN):
        assert secret not in state
    assert app._repr_mimebundle_()["text/plain"] == "lcnb admin: run this cell in Jupyter to see it"


def test_listing_keeps_the_message_of_a_button(app: AdminApp) -> None:
    """The message of a button stays while the listing is read again; ticking other rows removes it."""
    one, other, *_ = (row["identifier"] for row in app.fleet.grid.rows if row["state"] == "running")
    app.fleet.grid.selected = [one, other]
    click(app.fleet.reveal)
    click(app.journal.settle)
    app.fleet.refresh()
    app.journal.refresh()
    assert "tick one machine" in app.fleet.revealed.value
    assert "nothing was open" in app.journal.settled.value
    app.fleet.grid.selected = [one]
    assert "tick one machine" not in app.fleet.revealed.value


def test_typing_is_not_set_back(app: AdminApp) -> None:
    """What a person types is never overwritten by what the form shows meanwhile."""
    view = app.form("create")
    label = view.controls[0].input
    for text in ("w", "we", "web"):
        say(label, text)
    view.render(view.form.shown)
    assert label.value == "web"


def sent_by(widget: Any) -> list[Any]:
    """The messages and traits that a widget sends from now on."""
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append(content)
    widget.send_state = lambda key=None: sent.append(key)
    return sent


def test_answers_and_clicks_keep_their_order(app: AdminApp) -> None:
    """An answer is a message like a click: what was ticked and chosen right before a review is what is reviewed."""
    act = app.form("act")
    three = [row["identifier"] for row in app.fleet.grid.rows if row["state"] == "running"][:3]
    for count in (1, 2, 3):
        say(app.fleet.grid, three[:count], count)
    say(act.controls[1].input, "reboot")
    click(act.review)
    assert act.form.shown.phase is Phase.CONFIRM
    assert {each.identifier for each in act.form.shown.changes or ()} == {*three}


def test_ticked_after_the_review(app: AdminApp) -> None:
    """Ticking another machine during the review voids it, and the notice says so."""
    act = app.form("act")
    running = [row["identifier"] for row in app.fleet.grid.rows if row["state"] == "running"]
    say(app.fleet.grid, running[:1])
    say(act.controls[1].input, "reboot")
    click(act.review)
    say(app.fleet.grid, running[:2], 2)
    assert (act.form.shown.phase, act.form.shown.notice) == (Phase.EDIT, Form.voided)


def test_a_value_is_sent_with_the_number_of_messages() -> None:
    """A value that the program sets is sent with the number of messages from each page, so that a page can order them."""
    box = InputField(label="Label")
    sent, heard = sent_by(box), []
    box.on_answer(heard.append)
    say(box, "w")
    say(box, "we", 2)
    box.value = ""
    say(box, "", 3)
    assert sent == [
        {"value": value, "heard": {"page": n}} for n, value in ((1, "w"), (2, "we"), (2, ""), (3, ""))
    ]
    assert heard == ["w", "we", ""]


def test_a_page_that_comes(app: AdminApp) -> None:
    """A page that has opened is sent everything that can have changed: listings, texts, choices, visibility."""
    arrival = app.widget.children[0]
    assert isinstance(arrival, PageSync)
    click(app.widget.children[2].children[0].children[1])  # New machine
    sent = {each: sent_by(each) for each in walk_widgets(app.widget)}
    layouts = {each: sent_by(each.layout) for each in sent}
    arrival._handle_custom_msg({"here": True}, [])
    assert ["columns", "rows", "reading"] in sent[app.fleet.grid]
    location = next(each.input for each in app.form("create").controls if each.field.name == "location")
    assert sent[location] == [["options", "error", "placeholder"], {"value": "", "heard": {}}]
    assert ["value"] in sent[app.form("create").status]
    assert ["children"] in sent[app.widget]
    assert all(sent == [["display"]] for sent in layouts.values())


def test_parts_are_made_when_they_are_looked_at(app: AdminApp) -> None:
    """What nobody has looked at is not there: a page asks for each widget before it shows any."""
    before = len([*walk_widgets(app.widget)])
    for pick in app.widget.children[2].children[0].children:
        click(pick)
    assert before < 60 < len([*walk_widgets(app.widget)])


def test_one_at_a_time() -> None:
    """What is asked for while it is done is done once more, however often it was asked for."""
    begun, go, ends = threading.Semaphore(0), threading.Semaphore(0), []

    def work() -> None:
        begun.release()
        assert go.acquire(timeout=600)
        ends.append(threading.current_thread())
        if len(ends) == 1:
            raise ValueError("this does not end it")

    read = OneAtATime(run_in_thread, work)
    read()
    assert begun.acquire(timeout=600)
    for _ in range(5):
        read()
    go.release()
    assert begun.acquire(timeout=600)
    go.release()
    ends[0].join(600)
    assert len(ends) == 2
    read()
    assert begun.acquire(timeout=600)
    go.release()


def test_thread_runner(fast: Callable[..., World_]) -> None:
    """The runner of notebooks gives the caller its thread back at once."""
    done = threading.Event()
    here = []
    run_in_thread(lambda: (here.append(threading.current_thread()), done.set()))  # type: ignore[arg-type, func-returns-value]
    assert done.wait(600)
    assert here[0] is not threading.current_thread()
    assert here[0].daemon


def test_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token the widget says where one was looked for, and how to go on without."""
    made = lcnb.admin()
    assert isinstance(made, AdminUnavailable)
    assert 'role="alert"' in made.widget.value
    assert "--sandbox" in made.widget.value


def test_status_is_escaped() -> None:
    """A status line is text, never markup, and its role shows screen readers how urgent it is."""
    assert status_html("<script>", alert=True).count("<script>") == 0
    assert 'role="status"' in status_html("fine")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(None, None), (pd.NA, None), (float("nan"), None), (True, "yes"), (3, 3), ("x", "x")],
)
def test_plain(value: Any, wanted: Any) -> None:
    """A cell is JSON: missing values are null."""
    assert json_cell(value) == wanted


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.com", ""])
def test_other_hosts_are_refused(host: str) -> None:
    """The page listens on this machine alone, and says how others can have it."""
    with pytest.raises(InputError, match="JupyterHub"):
        check_host(host)


def test_this_machine_is_taken() -> None:
    """Addresses of this machine are taken; the notebook that is served is there."""
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(host)
    assert find_admin_notebook().name == "admin.ipynb"
