"""What the page shows of one machine: from its row, the journal, the snapshots and the history."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import lcnb
from conftest import TOKEN
from lcnb.sandbox import Sandbox
from lcnb.sandbox.faults import Faults
from lcnb.widgets.admin_app import AdminApp
from lcnb.widgets.machine_details import MAX_JOURNAL_ROWS, base_sections, machine_snapshots, read_sections
from lcnb.widgets.runner import run_inline

LABEL = "web-01"
LONG_TEXT = "x" * 300


class Page:
    """The app of six machines, inline; `open` returns what the page gets."""

    def __init__(self, sandbox: Sandbox, lc: lcnb.LetsCloud) -> None:
        self.sandbox, self.lc = sandbox, lc
        self.app = AdminApp(lc, run_inline)
        self.sent: list[dict[str, Any]] = []

    def open(self, label: str = LABEL) -> dict[str, dict[str, Any]]:
        """Open a machine and return its sections by title, as the last message has them."""
        self.app.fleet.refresh()
        identifier = next(row["identifier"] for row in self.app.fleet.grid.rows if row["label"] == label)
        return self.open_key(identifier)

    def open_key(self, identifier: str) -> dict[str, dict[str, Any]]:
        self.sent.clear()
        self.app.fleet.grid.send = lambda content, *_: self.sent.append(content)  # type: ignore[method-assign]
        self.app.fleet.grid._handle_custom_msg({"open": identifier}, [])
        details = [each["details"] for each in self.sent if "details" in each]
        assert [each["complete"] for each in details] in ([False, True], [True])
        return {each["title"]: each for each in json.loads(json.dumps(details[-1]["sections"]))}


@pytest.fixture
def page(small_account: tuple[Sandbox, lcnb.LetsCloud]) -> Page:
    return Page(*small_account)


def values(section: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in section["items"]}


def test_row(page: Page) -> None:
    """Addresses and the ssh command can be copied; state, plan, price and facts are there."""
    page.lc.tag(LABEL, "project=shop")
    page.lc.set_facts(LABEL, owner="ana", note="a, b")
    page.lc.protect(LABEL)
    page.lc.expire(LABEL, at="2099-12-31")
    sections, machine = page.open(), page.lc.instance(LABEL)
    connect = values(sections["Connect"])
    assert (connect["IPv4"], connect["IPv6"]) == (machine.ipv4, machine.ipv6)
    assert connect["SSH"] == f"ssh root@{machine.ipv4}"
    assert all(each["copy"] for each in sections["Connect"]["items"])
    about = values(sections["Machine"])
    assert about["state"] == "running"
    assert about["price"].endswith("per month")
    assert about["identifier"] == machine.identifier
    facts = values(sections["Facts"])
    assert (facts["tags"], facts["owner"], facts["note"]) == ("project=shop", "ana", "a, b")
    assert facts["expires"] == "2099-12-31 00:00 UTC"
    assert facts["protection"].startswith("yes")


def test_without_addresses(page: Page) -> None:
    """A machine that is still being built has no ssh command; what is not known is an en dash or left out."""
    row = page.lc.inventory().iloc[0].to_dict()
    row |= dict.fromkeys(("ipv4", "ipv6", "hostname", "plan", "monthly_value", "memory", "owner"), pd.NA)
    connect, machine, _ = base_sections(row)
    assert connect["items"] == []
    assert "no address yet" in connect["note"]
    assert values(machine)["plan"] == "–"
    assert values(machine)["price"] == "not known"
    assert values(machine)["size"] == "–"


def test_journal_snapshots_history(page: Page) -> None:
    """The journal has the changes of this machine only, the newest first; a snapshot made of it and its history follow."""
    page.lc.inventory()
    page.lc.create_snapshot(LABEL, label="before the sale").apply(True, wait=True)
    page.lc.power_off("api-01").apply(True, wait=True)
    page.lc.power_off(LABEL).apply(True, wait=True)
    sections = page.open()
    actions = [row[1:3] for row in sections["Journal"]["rows"]]
    assert actions == [["power off", "done"], ["create snapshot", "done"]]
    assert [row[0] for row in sections["Snapshots"]["rows"]] == ["before the sale"]
    assert "does not say" in sections["Snapshots"]["note"]
    history = [row[1] for row in sections["History"]["rows"]]
    assert any("running → " in text for text in history)
    assert history[-1] == "first seen"


def test_history_is_off(monkeypatch: pytest.MonkeyPatch, page: Page) -> None:
    """Without the history there is no section about it."""
    monkeypatch.setenv("LCNB_HISTORY", "0")
    with lcnb.connect(token=TOKEN, base_url=page.lc.settings.base_url) as lc:
        titles = [each["title"] for each in read_sections(lc, lc.inventory().iloc[0].to_dict())]
    assert titles == ["Journal", "Snapshots"]


def test_what_cannot_be_read(page: Page) -> None:
    """A listing that cannot be read is reported in its section; the others are shown."""
    page.app.fleet.start()
    page.sandbox.faults = Faults([{"kind": "html", "path": "/snapshots$", "status": 403}])
    sections = page.open()
    assert "403" in sections["Snapshots"]["note"]
    assert sections["Journal"]["note"] == "The journal has no change of it."
    assert "History" in sections


def test_gone(page: Page) -> None:
    """A machine that is no longer in the table says so."""
    page.app.fleet.start()
    assert "no longer" in page.open_key("nobody")["Machine"]["note"]


def test_no_secret(page: Page) -> None:
    """No message has the token or the root password of the machine."""
    page.lc.reset_password(LABEL).apply(True, wait=True)
    page.open()
    text = json.dumps(page.sent)
    assert TOKEN not in text
    assert page.lc.reveal(LABEL).reveal() not in text


def test_many_journal_rows(page: Page) -> None:
    """Of a long journal the newest rows are shown, and the number of the others."""
    page.app.fleet.start()
    for _ in range(MAX_JOURNAL_ROWS // 2 + 1):
        page.lc.power_off(LABEL).apply(True, wait=True)
        page.lc.power_on(LABEL).apply(True, wait=True)
    journal = page.open()["Journal"]
    assert len(journal["rows"]) == MAX_JOURNAL_ROWS
    assert journal["note"] == "2 older ones are in the journal."


def test_snapshots_by_name() -> None:
    """Snapshots are found by the label of their machine, which no longer label may share; without a label none is."""
    frame = pd.DataFrame(
        {"label": ["web-1", "web-1 rotation 2026-11-24", "web-10", "Web-1", None, "other"]}, dtype="str"
    )
    frame["slug"] = [f"s{number}" for number in range(len(frame))]
    assert machine_snapshots(frame, "web-1").label.tolist() == ["web-1", "web-1 rotation 2026-11-24"]
    assert machine_snapshots(frame, pd.NA).empty
