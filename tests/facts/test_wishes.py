"""Facts of new machines: previewed, saved with the plan, and written for the machine that the create has made."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.virtual import client
from conftest import TOKEN
from lcnb.config import Settings
from lcnb.errors import InputError
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.wishes import make_wish, read_wish
from lcnb.sandbox import Clock, Sandbox, World
from lcnb.sandbox.faults import Faults

NEW: dict[str, Any] = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}
NOW = datetime(2026, 12, 1, 8, 0, 0, 5, tzinfo=UTC)


def sandbox(rules: list[dict[str, Any]] | None = None) -> Sandbox:
    world = World(Clock(0), fleet=5)
    world.profile["balance"] = 1e6
    return Sandbox(world, TOKEN, faults=Faults.read({"seed": 1, "rules": rules or []}))


WISHES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "nothing": ({}, {}),
    "empty tags": ({"tags": ()}, {}),
    "a text": ({"tags": "project=shop"}, {"tags": "project=shop"}),
    "a list": ({"tags": ["project=shop", "legacy"]}, {"tags": "legacy; project=shop"}),
    "a mapping": ({"tags": {"project": "shop"}}, {"tags": "project=shop"}),
    "an owner": ({"owner": " ana "}, {"owner": "ana"}),
    "a duration": ({"expires": "8h"}, {"expires": "2026-12-01T16:00:00Z"}),
    "a timedelta": ({"expires": timedelta(days=1)}, {"expires": "2026-12-02T08:00:00Z"}),
    "a date": ({"expires": date(2027, 1, 1)}, {"expires": "2027-01-01T00:00:00Z"}),
    "a time": ({"expires": "2027-01-01T09:00+01:00"}, {"expires": "2027-01-01T08:00:00Z"}),
    "protection": ({"protect_by": "ana@pc"}, {"protected": "ana@pc 2026-12-01T08:00:00Z"}),
}


@pytest.mark.parametrize("name", WISHES)
def test_wish(name: str) -> None:
    """A wish is a row of the facts file without a machine, and can be read again."""
    given, expected = WISHES[name]
    wish = make_wish(**{"tags": None, "owner": None, "expires": None, "protect_by": "", "now": NOW, **given})
    assert wish == expected
    facts = read_wish(json.loads(json.dumps(wish)), "abc", "web")
    assert (facts.identifier, facts.label) == ("abc", "web")
    assert {name: cell for name, cell in facts.row().items() if cell} == {
        "identifier": "abc",
        "label": "web",
        **wish,
    }


def test_create_with_facts(settings: Settings) -> None:
    """The preview shows the facts; they are written for the new machine once it has an identifier, and for no other."""
    box = sandbox()
    lc = client(box, settings)
    changes = lc.create_instance("new", **NEW, tags=["project=shop"], owner="ana", expires="8h", protect=True)
    assert "project=shop; owner ana; protected; expires " in changes.to_frame()["to"][0]
    assert not settings.facts_path.exists()
    result = changes.apply(confirm=True)
    assert result.outcome.tolist() == ["done"]
    assert result.detail.isna().all()
    (facts,) = FactsFile(settings.facts_path).read().values()
    (machine,) = [each for each in box.world.machines if each["label"] == "new"]
    assert (facts.identifier, facts.label) == (machine["identifier"], "new")
    assert (facts.tags, facts.owner, facts.protected) == ({"project": "shop"}, "ana", True)
    assert facts.expires is not None


def test_create_without_facts(settings: Settings) -> None:
    """A create without facts writes no file."""
    client(sandbox(), settings).create_instance("new", **NEW).apply(confirm=True)
    assert not settings.facts_path.parent.joinpath("facts.csv").exists()


def test_saved_plan(settings: Settings, tmp_path: Path) -> None:
    """A saved plan holds the facts, one without them is read as before, and wrong ones are refused before sending."""
    box = sandbox()
    lc = client(box, settings)
    path = lc.create_instance("new", **NEW, tags="project=shop").save(tmp_path / "plan.json")
    document = json.loads(path.read_text())
    for facts, error in (
        ({"protected": "perhaps"}, "protected: expected yes"),
        ({"identifier": "x"}, "unknown fact 'identifier'"),
    ):
        path.write_text(json.dumps({**document, "changes": [{**document["changes"][0], "facts": facts}]}))
        with pytest.raises(InputError, match=f"create instance new: .*{error}.*Nothing was sent"):
            lc.load_changes(path)
    path.write_text(json.dumps(document))
    lc.load_changes(path).apply(confirm=True)
    assert [each.tags for each in FactsFile(settings.facts_path).read().values()] == [{"project": "shop"}]
    old = {name: value for name, value in document["changes"][0].items() if name != "facts"}
    path.write_text(json.dumps({**document, "id": "other", "changes": [old]}))
    assert lc.load_changes(path)[0].facts == {}


@pytest.mark.parametrize("content", ["identifier,protected\nabc,perhaps\n", None])
def test_facts_that_cannot_be_written(settings: Settings, content: str | None) -> None:
    """The machine was made all the same, and the result says that its facts are missing, and why."""
    lc = client(sandbox(), settings)
    if content is None:
        settings.facts_path.mkdir()
    else:
        settings.facts_path.write_text(content)
    result = lc.create_instance("new", **NEW, tags="project=shop").apply(confirm=True)
    assert result.outcome.tolist() == ["done"]
    assert result.detail[0].startswith("its facts were not written (project=shop): ")
    if content is not None:
        assert "line 2: protected" in result.detail[0]
        assert settings.facts_path.read_text() == content


def test_lost_responses(settings: Settings) -> None:
    """A create whose response is lost gets its facts when the account shows the machine."""
    box = sandbox([{"kind": "lose-after", "method": "POST", "times": 1}])
    result = client(box, settings).create_instance("new", **NEW, protect=True).apply(confirm=True)
    assert result.outcome.tolist() == ["done"]
    assert [each.protected for each in FactsFile(settings.facts_path).read().values()] == [True]


def test_refused_create(settings: Settings) -> None:
    """A create that the provider refuses writes no facts."""
    box = sandbox()
    lc = client(box, settings)
    box.world.profile["balance"] = 0
    result = lc.create_instance("new", **NEW, protect=True).apply(confirm=True, on_error="continue")
    assert result.outcome.tolist() == ["failed"]
    assert not settings.facts_path.exists()


def test_ensure(settings: Settings) -> None:
    """A machine that exists keeps its facts, and a note names those that were asked for."""
    box = sandbox()
    lc = client(box, settings)
    lc.ensure_instance("new", **NEW, tags="project=shop").apply(confirm=True)
    again = lc.ensure_instance("new", **NEW, tags="project=blog")
    assert len(again) == 0
    assert "its facts are left alone (asked for: project=blog)" in again.notes[1]
    assert FactsFile(settings.facts_path).read().popitem()[1].tags == {"project": "shop"}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "tag": ({"tags": ["1=2"]}, "tag: expected a key"),
    "tags": ({"tags": [1]}, "tags: expected texts"),
    "duration": ({"expires": "8"}, "expires: expected a time"),
    "no time": ({"expires": ""}, "expires: expected a time"),
    "past": ({"expires": "2020-01-01"}, "is in the past"),
    "protect": ({"protect": "yes"}, "protect: expected True or False"),
    "owner": ({"owner": 1}, "owner: expected a text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(settings: Settings, name: str) -> None:
    """Wrong facts are refused before anything is sent."""
    given, message = REFUSED[name]
    box = sandbox()
    with pytest.raises(InputError, match=message) as caught:
        client(box, settings).create_instance("new", **NEW, **given)
    assert str(caught.value).endswith("Nothing was sent.")
    assert not box.log


def test_two_machines(settings: Settings) -> None:
    """Of twins neither gets the facts: which one to keep is not decided."""
    from lcnb.changes.change import Change
    from lcnb.changes.journal import Journal
    from lcnb.changes.session import ApplySession
    from lcnb.changes.tasks import ChangeTask, apply_rules

    lc = client(sandbox(), settings)
    change: Change = lc.create_instance("new", **NEW, protect=True)[0]
    task = ChangeTask(replace(change), 0)
    session = ApplySession(
        "x", [task], Journal(settings.state_dir), apply_rules(settings), settings, lc.clock
    )
    flow = session.record_outcome(task, "twins", "2 machines were made", "abc")
    work: Any = next(flow)
    with pytest.raises(StopIteration):
        while True:
            work = flow.send(work.work() if work.what == "facts" else None)
    assert task.detail.startswith(
        "2 machines were made; its facts were not written (protected): which machine"
    )
    assert not settings.facts_path.exists()
