"""The page of machines without a browser: the bar of actions, key figures, facts in rows, and which account it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd
import pytest

import lcnb
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import Protection, parse_tags
from lcnb.sandbox import Sandbox
from lcnb.widgets.account_head import SANDBOX_TEXT, account_html, is_sandbox
from lcnb.widgets.admin_app import AdminApp
from lcnb.widgets.form_effects import ApplyChanges
from lcnb.widgets.form_specs import ACTION_TITLES
from lcnb.widgets.form_state import Phase
from lcnb.widgets.listings import tag_list
from lcnb.widgets.runner import run_inline

Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]


@pytest.fixture
def app(small_account: tuple[Sandbox, lcnb.LetsCloud]) -> AdminApp:
    """The app of a small fleet whose hours are seconds, everything inline."""
    return AdminApp(small_account[1], run_inline)


def press(app: AdminApp, action: str, *labels: str) -> None:
    """As a page says that rows were ticked and an action of the bar was pressed."""
    tick(app, *labels)
    app.fleet.grid._handle_custom_msg({"press": action}, [])


def tick(app: AdminApp, *labels: str) -> None:
    found = {row["label"]: row["identifier"] for row in app.fleet.grid.rows}
    app.fleet.grid.selected = [found[each] for each in labels]


def is_open(app: AdminApp, name: str) -> bool:
    widget = app.form(name).widget
    return widget in app.fleet.desk.children and widget.layout.display != "none"


@pytest.mark.parametrize("action", ACTION_TITLES)
def test_actions(app: AdminApp, action: str) -> None:
    """Each action of the bar opens its form; one that asks for nothing more is reviewed at once, and sends nothing."""
    state = "off" if action in ("power_on", "change_plan") else "running"
    label = next(row["label"] for row in app.fleet.grid.rows if row["state"] == state)
    press(app, action, label)
    shown = app.form("act").form.shown
    assert is_open(app, "act")
    assert shown.values["action"] == action
    asks_more = action in ("snapshot", "change_plan", "reset_password")
    assert shown.phase is (Phase.EDIT if asks_more else Phase.CONFIRM), shown.notice
    assert app.client.journal().empty


def test_pressed_again(app: AdminApp) -> None:
    """Another action replaces a review, and begins anew after a result; without ticks nothing opens."""
    press(app, "reboot")
    assert app.fleet.desk.children == ()
    press(app, "reboot", "web-01")
    press(app, "power_off", "web-01", "api-01")
    act = app.form("act")
    assert [each.action for each in act.form.shown.changes or ()] == ["power off"] * 2
    act.handle_event(act.form.confirm)
    assert act.form.shown.phase is Phase.DONE
    press(app, "power_on", "web-01")
    assert [each.action for each in act.form.shown.changes or ()] == ["power on"]


def test_closed(app: AdminApp) -> None:
    """*Close* gives a review up; unticking the last machine closes a form that is only being filled in."""
    press(app, "delete", "web-01")
    act = app.form("act")
    act.close._click_handlers(act.close)
    assert not is_open(app, "act")
    assert act.form.confirm() == ()
    press(app, "snapshot", "web-01")
    assert is_open(app, "act")
    app.fleet.grid.selected = []
    assert not is_open(app, "act")


def test_unknown_stays(app: AdminApp) -> None:
    """A form whose outcome is unknown is shown as it is when an action is pressed: *Look again* is not lost."""
    press(app, "power_off", "web-01")
    act = app.form("act")
    (apply,) = act.form.confirm()
    assert isinstance(apply, ApplyChanges)
    act.form.stop()
    app.desk.close()
    press(app, "delete", "web-01")
    assert act.form.shown.phase is Phase.UNKNOWN
    assert is_open(app, "act")
    assert apply.stop.is_set()


def test_facts_in_rows(app: AdminApp) -> None:
    """Rows have the facts of their machines; protected, expired and unpriced machines are counted above the table."""
    identifiers = {row["label"]: row["identifier"] for row in app.fleet.grid.rows}
    past = datetime(2020, 1, 1, tzinfo=UTC)
    FactsFile(app.client.settings.facts_path).edit(
        {identifiers["web-01"]: "web-01"},
        lambda facts: replace(
            facts, tags=parse_tags(["project=a, b", "legacy"]), protection=Protection(), expires=past
        ),
    )
    app.fleet.refresh()
    rows = {row["label"]: row for row in app.fleet.grid.rows}
    assert rows["web-01"]["tags"] == ["legacy", "project=a, b"]
    assert (rows["web-01"]["protected"], rows["api-01"]["protected"]) == ("yes", "no")
    assert datetime.fromisoformat(rows["web-01"]["expires"]) == past
    assert rows["api-01"]["expires"] is None
    for name in ("protected", "expired"):
        assert f"<b>1</b><span>{name}</span>" in app.fleet.head.value


def test_unpriced(app: AdminApp) -> None:
    """Machines without a price are counted next to the sums, which do not contain them."""
    frame = app.client.inventory().assign(monthly_value=10.0, currencycode="USD")
    app.fleet.show(frame)
    assert "without a price" not in app.fleet.head.value
    frame.loc[[0, 1], "monthly_value"] = float("nan")
    app.fleet.show(frame)
    assert "<b>2</b><span>without a price</span>" in app.fleet.head.value


@pytest.mark.parametrize(
    ("value", "tags"), [("legacy; project=shop", ["legacy", "project=shop"]), (pd.NA, []), ("", [])]
)
def test_tag_list(value: Any, tags: list[str]) -> None:
    """A cell of tags is a list."""
    assert tag_list(value) == tags


def test_sandbox_is_named(app: AdminApp) -> None:
    """The first line says loudly that a sandbox answers."""
    assert SANDBOX_TEXT in app.head.widget.value


def test_only_a_sandbox_is_one(served: Served) -> None:
    """An account is named, escaped; an address of this machine at which no sandbox answers is not called a sandbox."""
    settings = served()[1].settings
    assert is_sandbox(settings)
    assert not is_sandbox(replace(settings, base_url="http://127.0.0.1:9/api"))
    assert not is_sandbox(replace(settings, token=type(settings.token)("another-token-471147114711")))
    assert not is_sandbox(replace(settings, base_url="https://core.letscloud.io/api"))
    text = account_html(replace(settings, account="<b>prod</b>"))
    assert "&lt;b&gt;prod&lt;/b&gt;" in text
    assert SANDBOX_TEXT not in text


# --- the form for facts ---------------------------------------------------------------------------------


def facts_of(app: AdminApp) -> dict[str, dict[Any, Any]]:
    """The facts file, by label."""
    return {row["label"]: row for row in app.client.facts().to_dict("records")}


def save(app: AdminApp, *labels: str, **values: str) -> Any:
    """Open the form for facts for these machines, fill it in, and press *Save*."""
    press(app, "facts", *labels)
    view = app.form("facts")
    for name, value in values.items():
        view.handle_event(partial(view.form.enter_value, name, value))
    view.handle_event(view.form.review)
    return view.form


def test_facts_are_saved_at_once(app: AdminApp) -> None:
    """Tags, owner, note, expiry and protection of the ticked machines are saved at once and shown; nothing is sent."""
    form = save(
        app, "web-01", "api-01", tags_added="project=shop; legacy", owner="ana", note="a, b", expires="2099-12-31",
        protection="protect",
    )  # fmt: skip
    assert is_open(app, "facts")
    assert form.shown.phase is Phase.DONE
    assert form.shown.notice.startswith(
        "Saved for 2 machines: tags added: project=shop; legacy, owner and note,"
    )
    rows = {row["label"]: row for row in app.fleet.grid.rows}
    for label in ("web-01", "api-01"):
        assert facts_of(app)[label]["owner"] == "ana"
        assert rows[label]["tags"] == ["legacy", "project=shop"]
        assert rows[label]["protected"] == "yes"
        assert rows[label]["expires"].startswith("2099-12-31T00:00:00")
    assert app.client.journal().empty
    form = save(app, "web-01", tags_removed="legacy", owner="-", expires="-")
    assert form.shown.phase is Phase.DONE, form.shown
    web, api = (facts_of(app)[each] for each in ("web-01", "api-01"))
    assert (web["tags"], api["tags"]) == ("project=shop", "legacy; project=shop")
    assert web["note"] == "a, b"  # an empty field leaves what is there
    assert pd.isna(web["owner"])
    assert pd.isna(web["expires"])


def test_lifting_a_protection_asks(app: AdminApp) -> None:
    """A protection is lifted by a second step that names the machine; a step back or an edit leaves it."""
    save(app, "web-01", protection="protect")
    form = save(app, "web-01", "api-01", protection="lift")
    view = app.form("facts")
    assert form.shown.phase is Phase.CONFIRM
    assert "<b>web-01</b>" in view.panel.preview.value
    assert view.panel.yes.description == "Yes, lift the protection"
    view.handle_event(form.back_to_fields)
    assert form.confirm() == ()
    view.handle_event(form.review)
    view.handle_event(lambda: form.enter_value("note", "x"))
    assert form.confirm() == ()
    assert facts_of(app)["web-01"]["protected"]
    view.handle_event(form.review)
    view.handle_event(form.confirm)
    view.handle_event(form.confirm)
    assert "protection lifted" in form.shown.notice
    assert not facts_of(app)["web-01"]["protected"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tags_added", "2=x", "a key of letters"),
        ("tags_added", "a=1; a=2", "twice"),
        ("tags_removed", "a b", "a key of letters"),
        ("owner", "x" * 501, "more than 500"),
        ("note", "a\tb", "control characters"),
        ("expires", "2020-01-01", "in the past"),
        ("expires", "soon", "expected"),
        ("expires", "99999999w", "year 9999"),
    ],
)
def test_wrong_facts(app: AdminApp, field: str, value: str, message: str) -> None:
    """A wrong value is refused at its field while it is typed; nothing is saved and nothing typed is lost."""
    form = save(app, "web-01", **{field: value})
    assert message in form.shown.errors[field]
    assert form.shown.phase is Phase.EDIT
    assert form.shown.values[field] == value
    assert app.client.facts().empty


def test_nothing_to_save(app: AdminApp) -> None:
    """An empty form saves nothing and says so; a key that no machine has is refused."""
    assert "every field is empty" in save(app, "web-01").shown.notice
    form = save(app, "web-01", tags_removed="legacy", owner="ana")
    assert form.shown.alert
    assert "legacy" in form.shown.notice
    assert app.client.facts().empty


def test_ticking_keeps_what_is_typed(app: AdminApp) -> None:
    """Ticking another machine keeps what was typed into the form, and what is saved then is saved for both."""
    form = save(app, "web-01", tags_added="a=1; b=2")
    press(app, "facts", "web-01")
    view = app.form("facts")
    for name, value in {"tags_removed": "a", "owner": "ana", "note": "x"}.items():
        view.handle_event(partial(form.enter_value, name, value))
    tick(app, "web-01", "api-01")
    assert [form.shown.values[name] for name in ("tags_removed", "owner", "note")] == ["a", "ana", "x"]
    view.handle_event(form.review)
    assert form.shown.phase is Phase.DONE, form.shown.notice
    assert (facts_of(app)["web-01"]["tags"], facts_of(app)["api-01"]["owner"]) == ("b=2", "ana")


def test_facts_file_is_damaged(app: AdminApp) -> None:
    """A facts file that cannot be read is reported with its line, and stays as it is."""
    path = app.client.settings.facts_path
    path.parent.mkdir(parents=True, exist_ok=True)
    app.fleet.start()
    path.write_text("identifier,label,tags\nabc,web-01,2=x\n")
    form = save(app, "web-01", owner="ana")
    assert form.shown.alert
    assert "line 2" in form.shown.notice
    assert path.read_text() == "identifier,label,tags\nabc,web-01,2=x\n"


def test_new_machine_with_facts(app: AdminApp) -> None:
    """A new machine gets its tags, expiry and protection when it is there."""
    create = app.form("create")
    create.start()
    for name, value in {
        "label": "shop-1", "location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64",
        "tags": "project=shop", "expires": "7d", "protect": True,
    }.items():  # fmt: skip
        create.handle_event(partial(create.form.enter_value, name, value))
    create.handle_event(create.form.review)
    create.handle_event(create.form.confirm)
    assert create.form.shown.phase is Phase.DONE, create.form.shown.notice
    facts = facts_of(app)["shop-1"]
    assert (facts["tags"], facts["protected"]) == ("project=shop", True)
    assert 6 < (facts["expires"] - datetime.now(UTC)).days + 1 <= 7
