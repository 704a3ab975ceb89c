"""Listings whose shape is not understood: unwrapped, or refused; never an empty account."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pandas as pd
import pytest

import lcnb
from benchmarks.virtual import client
from conftest import TOKEN
from lcnb.api import calls, flows, listing_reader, queries
from lcnb.api.fields import F, Record, fields_of, identifying_names
from lcnb.api.models import MODELS
from lcnb.api.raw_records import split_records
from lcnb.client import LetsCloud
from lcnb.config import Settings
from lcnb.errors import BadReply, InputError
from lcnb.frames.listings import listing_frame
from lcnb.sandbox import Clock, Sandbox, World

#: Listing → its flow, and a record of it.
LISTINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "instances": (queries.list_instances, {"identifier": "abcdefghijklmnop", "label": "web-01"}),
    "snapshots": (queries.list_snapshots, {"slug": "s", "label": "S"}),
    "sshkeys": (queries.list_sshkeys, {"slug": "k", "title": "K"}),
    "locations": (queries.list_locations, {"slug": "MIA1"}),
    "plans": (lambda: queries.list_location_plans("MIA1"), {"slug": "MIA1", "plans": [{"slug": "small"}]}),
    "images": (lambda: queries.list_location_images("MIA1"), {"slug": "debian"}),
}

# `NAME` is the listing's own name, `RECORD` one of its records. Understood: each has one record.
UNWRAPPED = [
    '{"data": [RECORD]}',
    '{"data": {"0": RECORD}}',
    '{"data": {"7": RECORD, "9": null}}',
    '{"data": RECORD}',
    '{"data": {"data": [RECORD]}}',
    '{"data": {"NAME": [RECORD]}}',
    '{"data": {"NAME": {"0": RECORD}}}',
    '{"data": {"NAME": [RECORD], "total": 1}}',
    '{"data": {"NAME": {"data": [RECORD], "total": 1}}}',
    '{"data": {"data": {"NAME": [RECORD]}}}',
    '{"success": true, "NAME": [RECORD]}',
    '{"success": true, "data": null, "NAME": [RECORD]}',
    '{"success": true, "data": [], "NAME": [RECORD]}',
    '{"data": [null, RECORD, 5]}',
]  # fmt: skip
EMPTY = [
    '{"success": true, "data": []}',
    '{"success": true, "data": {}}',
    '{"success": true, "data": null}',
    '{"success": true}',
    '{"success": true, "message": "No records."}',
    '{"data": {"data": []}}',
    '{"data": {"data": [], "total": 0, "links": [{"url": null}]}}',
    '{"data": {"NAME": []}}',
    '{"data": {"NAME": null}}',
    '{"data": [], "links": {"next": null}, "meta": {"total": 0}}',
]
NOT_UNDERSTOOD = [
    '{"data": "none"}',
    '{"data": ""}',
    '{"data": 0}',
    '{"data": false}',
    '{"data": true}',
    '{"data": {"total": 0}}',
    '{"data": {"total": 3}}',
    '{"data": {"servers": []}}',
    '{"data": {"servers": [RECORD]}}',
    '{"data": {"MIA1": [RECORD]}}',
    '{"data": {"NAME": "none"}}',
    '{"data": {"NAME": {"total": 0}}}',
    '{"data": {"NAME": [null]}}',
    '{"data": {"data": {"data": {"data": {"data": [RECORD]}}}}}',
    '{"data": [null]}',
    '{"data": [[]]}',
    '{"data": [[RECORD]]}',
    '{"data": [{}]}',
    '{"data": ["web-01"]}',
    '{"data": [{"machines": [RECORD]}]}',
    '{"data": {"message": "try later"}}',
    '{"data": [], "meta": {"total": 3}}',
    '{"data": {"data": [], "total": 3}}',
    '{"success": true, "result": [RECORD]}',
    '{"success": true, "data": [], "servers": [RECORD]}',
    '{"success": true, "data": [], "errors": {"region": "timeout"}}',
    '{"success": true, "data": [], "error": "timeout"}',
    '{"data": null, "error": "timeout"}',
    '{"data": [], "meta": {"total": "3"}}',
]


def drive(kind: str, *texts: str) -> listing_reader.Listing:
    """The listing that the flow makes of these answers, by the fast way where that takes them, as `wire` does."""
    flow, record = LISTINGS[kind]
    running = flow()
    call = next(running)
    try:
        for text in texts:
            body = text.replace("RECORD", json.dumps(record)).replace("NAME", kind).encode()
            plain = split_records(body) if call.as_rows else None
            document = plain if plain and not plain["data"].empty else json.loads(body)
            call = running.send(flows.Envelope(document))
    except StopIteration as end:
        found: listing_reader.Listing = end.value
        return found
    raise AssertionError("it asks for more")


@pytest.mark.parametrize("text", UNWRAPPED)
@pytest.mark.parametrize("kind", LISTINGS)
def test_a4_unwrapped(kind: str, text: str) -> None:
    """Records are found in each documented shape, and in the wrappers whose name says what they hold."""
    assert len(drive(kind, text).records) == 1


@pytest.mark.parametrize("text", EMPTY)
@pytest.mark.parametrize("kind", LISTINGS)
def test_a4_empty(kind: str, text: str) -> None:
    """An answer that says that there is nothing is an empty listing without drift."""
    found = drive(kind, text)
    assert (found.records, found.drift) == ([], [])


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
@pytest.mark.parametrize("kind", LISTINGS)
def test_a4_refused(kind: str, text: str) -> None:
    """Anything else is a BadReply that names the call; an empty account is never assumed."""
    with pytest.raises(BadReply, match=rf"GET /.*{kind}: .*lcnb does not treat it as an empty"):
        drive(kind, text)


@pytest.mark.parametrize(
    "beside",
    ['"has_more": true', '"next": "https://api.example.com/x"', '"meta": {"next_cursor": "abc"}', '"count": 3', '"meta": {"has_next": true}', '"meta": {"total_count": 9}'],
)  # fmt: skip
@pytest.mark.parametrize("kind", LISTINGS)
def test_a4_more_records(kind: str, beside: str) -> None:
    """An answer that says in any way that there are more records is read, with a note that some are missing."""
    found = drive(kind, '{"data": [RECORD], ' + beside + "}")
    assert len(found) == 1
    assert found.drift


def test_a4_partial_page() -> None:
    """A listing that is shorter than it says itself is reported."""
    found = drive("instances", '{"data": [RECORD], "meta": {"total": 3}}')
    assert [each.problem for each in found.drift] == ["reports 3 records, but has 1"]


PAGED = [
    ('{"data": {"data": [RECORD], "next_page_url": "x"}}', '{"data": {"data": [RECORD], "next_page_url": null}}'),
    ('{"data": {"current_page": 1, "last_page": 2, "data": [RECORD]}}', '{"data": {"current_page": 2, "last_page": 2, "data": [RECORD]}}'),
    ('{"data": {"NAME": {"data": [RECORD], "next_page_url": "x"}}}', '{"data": {"NAME": {"data": [RECORD]}}}'),
    ('{"data": {"NAME": [RECORD], "meta": {"current_page": 1, "last_page": 2}}}', '{"data": {"NAME": [RECORD]}}'),
    ('{"data": [RECORD], "pagination": {"current_page": 1, "total_pages": 2}}', '{"data": [RECORD]}'),
    ('{"data": [RECORD], "meta": {"pagination": {"links": {"next": "x"}}}}', '{"data": [RECORD]}'),
    ('{"data": [RECORD], "current_page": 1, "last_page": 2}', '{"data": [RECORD], "current_page": 2, "last_page": 2}'),
]  # fmt: skip


@pytest.mark.parametrize("pages", PAGED)
def test_a4_nested_pages(pages: tuple[str, str]) -> None:
    """Further pages are read wherever the answer says that there are some: a part is not taken for the whole."""
    assert len(drive("instances", *pages).records) == 2


def page(*names: str, **fields: Any) -> str:
    """A response with these machines or keys, and fields about paging."""
    records = [{"identifier": name, "slug": name, "label": name} for name in names]
    return json.dumps({"success": True, "data": records, **fields})


@pytest.mark.parametrize("kind", ["instances", "snapshots"])
@pytest.mark.parametrize(
    ("pages", "problem"),
    [
        ([page("a", meta={"current_page": "1", "last_page": "2"}), page("b")], None),
        ([page("a", meta={"current_page": 1.0, "last_page": 2.0}), page("b")], None),
        ([page("a", current_page=1, last_page=3), page("b"), page("c")], None),
        ([page("a", current_page=1, last_page=2, total=2), page("b", total=2)], None),
        ([page("a", total="3")], "reports 3 records, but has 1"),
        ([page("a", "b", next_page_url="x", total=4), page("d", total=3)], "reports 4 records, but has 3"),
        ([page("a", "b", current_page=1, last_page=2, total="4"), page("d")], "reports 4 records, but has 3"),
        ([page("a", "b", next_page_url="x"), page("b", "c")], "1 records came on two pages: the listing changed meanwhile, and others may be missing"),
        ([page("a", errors={"region": "timeout"})], "has 'errors' next to its records, some of which may be missing"),
        ([page("a", error="timeout")], "has 'error' next to its records, some of which may be missing"),
        ([page("a", errors=[], error=None, total=True, last_page="many")], None),
    ],
)  # fmt: skip
def test_a_part_is_not_taken_for_the_whole(kind: str, pages: list[str], problem: str | None) -> None:
    """All pages are read, whatever type their numbers have; a listing that may be incomplete has a note."""
    found = drive(kind, *pages)
    assert len(found) == sum(len(json.loads(each)["data"]) for each in pages)
    assert [each.problem for each in found.drift] == ([] if problem is None else [problem])


@pytest.mark.parametrize(
    ("call", "record"),
    [
        (calls.get_instance("a"), {"identifier": "a", "label": "web-01"}),
        (calls.get_snapshot("s"), {"slug": "s", "label": "S"}),
        (calls.get_sshkey("k"), {"slug": "k", "title": "K"}),
        (calls.get_profile(), {"email": "ana@example.com", "balance": "1.00"}),
    ],
    ids=lambda value: getattr(value, "path", ""),
)
def test_a4_single(call: calls.Call, record: dict[str, Any]) -> None:
    """A single thing is taken out of a wrapper; an object that is none is refused, never a thing without facts."""

    def answered(data: Any) -> Any:
        flow = queries.read_single(call)
        next(flow)
        try:
            flow.send(flows.Envelope({"success": True, "data": data}))
        except StopIteration as end:
            return end.value

    for data in (record, [record], {"thing": record}, {"data": record, "total": 1}):
        assert answered(data) == record
    for data in ({"total": 0}, {"message": "none"}, {"thing": {"x": 1}}, {"one": record, "other": record}):
        with pytest.raises(BadReply, match="not understood"):
            answered(data)


# --- a new listing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backup(Record):
    """A record that a later release of the API may have."""

    TITLE: ClassVar[str] = "code"
    code: Annotated[str | None, F("short name")] = None
    hours: Annotated[float | None, F("age", "hours", wire="age.hours")] = None


@pytest.mark.parametrize("path", ["/backups", "/instances/abc/backups", "/instances/backups/backups"])
def test_a_new_listing_is_a_model_and_a_call(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its model in MODELS, the records of a new endpoint are found, read, shown as a frame and described."""
    monkeypatch.setitem(MODELS, "backups", Backup)
    call = calls.Call("GET", path, "list the backups")

    def read(data: Any) -> listing_reader.Listing:
        flow = listing_reader.read_listing(call)
        next(flow)
        with pytest.raises(StopIteration) as end:
            flow.send(flows.Envelope({"success": True, "data": data}))
        found: listing_reader.Listing = end.value.value
        return found

    for records in ([{"code": "b-1", "age": {"hours": 1.5}}], {"backups": [{"age": {"hours": "1.5"}}]}):
        assert listing_frame("backups", read(records)).hours.tolist() == [1.5]
    assert lcnb.describe("backups").unit.iloc[1] == "hours"
    with pytest.raises(BadReply, match="nothing in it is a record with code or age"):
        read([{"x": 1}])


@pytest.mark.parametrize(
    ("path", "name"),
    [("/nothings", "nothings"), ("/nothings/sshkeys", "nothings"), ("/instances/abc/nothings", "nothings")],
)
def test_a_call_without_a_model(path: str, name: str) -> None:
    """A call whose records have no model is an error that names the file and the missing entry."""
    flow = listing_reader.read_listing(calls.Call("GET", path, "list"))
    with pytest.raises(LookupError, match=rf"GET {path}: lcnb.api.models.MODELS has no '{name}'\. Add"):
        next(flow)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_recognised_by_its_own_names(kind: str) -> None:
    """The names by which records are recognised are names that the model reads, or that of the listing."""
    read = {each.wire[0] for each in fields_of(MODELS[kind])}
    assert set(identifying_names(MODELS[kind])) <= {*read, kind}


# --- what follows from it -------------------------------------------------------------------------------

NEW = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}


@pytest.fixture
def box() -> Sandbox:
    box = Sandbox(World(Clock(0), fleet=4), TOKEN)
    for machine in box.world.machines:
        machine.update(booted=True, locked=False, built=True, suspended=False)
    return box


@pytest.fixture
def lc(box: Sandbox, settings: Settings) -> LetsCloud:
    return client(box, settings)


def answering(box: Sandbox, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """The listing of machines is answered as `change` makes it of the rows."""
    shapes = box.shapes
    many = shapes.many

    def changed(rows: Any) -> Any:
        listed = many(rows)
        return change(listed) if listed and "booted" in listed[0] else listed

    monkeypatch.setattr(shapes, "many", changed)


ODD_RECORDS = {
    "a null": lambda machine: None,
    "a text": lambda machine: "web-01",
    "an empty object": lambda machine: {},
    "a label that is an object": lambda machine: {**machine, "label": {"text": machine["label"]}},
    "a label that is null": lambda machine: {**machine, "label": None},
    "a label that is a flag": lambda machine: {**machine, "label": True},
    "no label": lambda machine: {name: value for name, value in machine.items() if name != "label"},
}


@pytest.mark.parametrize("odd", ODD_RECORDS)
def test_a4_odd_record(odd: str, box: Sandbox, lc: LetsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose record is odd is neither proposed for creation nor a reason to delete anything."""
    labels = [machine["label"] for machine in box.world.machines]
    answering(box, monkeypatch, lambda rows: [ODD_RECORDS[odd](rows[0]), *rows[1:]])
    hidden, *others = labels
    whole = pd.DataFrame([{"label": label, **NEW} for label in labels])
    for desired, prune in ((whole, False), (whole, True), (pd.DataFrame({"label": others[:1]}), True)):
        with pytest.raises(
            BadReply, match=r"a part of the listing cannot be read: \$\.data\[0\].*Nothing was sent"
        ):
            lc.plan(desired, prune=prune)
    for create in (lc.create_instance, lc.ensure_instance):
        with pytest.raises(BadReply, match=f"{hidden}' may exist"):
            create(hidden, **NEW)
    assert len(lc.plan(pd.DataFrame({"label": others, "state": "off"}))) == len(others)


def test_a4_damaged_label(box: Sandbox, lc: LetsCloud) -> None:
    """A label with bytes that were no UTF-8 may be the wanted one: neither made a second time nor deleted."""
    box.world.machines[0]["label"] = "erp-s\ufffdo"
    with pytest.raises(InputError, match="the label of a machine came damaged"):
        lc.create_instance("erp-s\u00e3o", **NEW)
    kept = [machine["label"] for machine in box.world.machines[1:]]
    changes = lc.plan(pd.DataFrame({"label": kept}), prune=True)
    assert len(changes) == 0
    assert "left alone" in changes.notes[0]
    assert len(lc.create_instance("new", **NEW)) == 1


def test_a4_wrapped_account(box: Sandbox, lc: LetsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the listing in a wrapper, machines that exist are known to exist."""
    label = box.world.machines[0]["label"]
    rows = {"instances": [box.shapes.instance(machine) for machine in box.world.machines]}
    monkeypatch.setattr(box.shapes, "many", lambda found: rows if len(found) == 4 else list(found))
    assert len(lc.plan(pd.DataFrame({"label": [label]}))) == 0
    assert len(lc.instances()) == 4
    rows["servers"] = rows.pop("instances")
    with pytest.raises(BadReply, match="not understood"):
        lc.inventory()


def test_a4_odd_size_is_no_difference(box: Sandbox, lc: LetsCloud) -> None:
    """A machine whose size cannot be read is not resized."""
    machine = box.world.machines[0]
    machine["memory"] = "many"
    changes = lc.plan(pd.DataFrame([{"label": machine["label"], "plan": "4vcpu-8gb-80ssd"}]))
    assert len(changes) == 0
    assert any("its size cannot be read" in note for note in changes.notes)
