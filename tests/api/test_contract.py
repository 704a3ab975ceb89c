"""The documented answers, from both sides: what lcnb makes of them, and that the sandbox answers so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import ROOT, TOKEN
from lcnb.api import calls, listing_reader, queries
from lcnb.api import flows as flows_module
from lcnb.api.models import MODELS
from lcnb.errors import NotFound, Refused
from lcnb.frames import description, listings
from lcnb.sandbox import Clock, Request, Sandbox, World
from lcnb.sandbox.shapes import SHAPES

FOLDER = Path(__file__).parent / "contract"
CONTRACT = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
EVIDENCE = {"S", "go", "node", "cli", "tf", "packer", "doc", "mcp", "help", "3p", "?"}


def cases(*, answered: bool = False) -> Iterator[Any]:
    """Listing, call and case; with `answered` those that the sandbox has shapes for."""
    for kind, document in CONTRACT.items():
        for case in document["cases"]:
            if not answered or case["shapes"] is not None:
                yield pytest.param(kind, document["call"], case, id=f"{kind}: {case['name']}")


# --- the client's side ----------------------------------------------------------------------------------


def profile() -> flows_module.Flow[listing_reader.Listing]:
    record = yield from queries.read_single(calls.get_profile())
    return listing_reader.Listing([("$.data", record)])


def flow_of(kind: str, call: str) -> flows_module.Flow[listing_reader.Listing]:
    location = call.split("/")[2] if "{" not in call and call.count("/") > 1 else ""
    flows = {
        "profile": profile,
        "locations": queries.list_locations,
        "plans": lambda: queries.list_location_plans(location),
        "images": lambda: queries.list_location_images(location),
        "sshkeys": queries.list_sshkeys,
        "instances": queries.list_instances,
        "snapshots": queries.list_snapshots,
    }
    return flows[kind]()


def drive(
    flow: flows_module.Flow[listing_reader.Listing], replies: list[dict[str, Any]]
) -> tuple[list[str], listing_reader.Listing]:
    """The calls that a flow makes when it is given these replies, and what it gives at the end."""
    made = []
    try:
        call: Any = next(flow)
        for reply in replies:
            made.append(f"{call.method} {call.path}")
            if reply["success"]:
                call = flow.send(flows_module.Envelope(reply))
            else:
                call = flow.throw(Refused(reply["message"], provider_message=reply["message"], status=200))
    except StopIteration as end:
        return made, end.value
    raise AssertionError(f"asks for more: {call}")


@pytest.mark.parametrize(("kind", "call", "case"), list(cases()))
def test_client(kind: str, call: str, case: dict[str, Any]) -> None:
    """Of a documented answer lcnb makes the frame that the case tells, and finds nothing odd in it."""
    replies = [case["reply"], *case.get("next", [])]

    made, found = drive(flow_of(kind, call), replies)
    frame = listings.listing_frame(kind, found)

    assert made == [call, *(f"{call}?page={page}" for page in range(2, len(replies) + 1))]
    assert found.drift == []
    told = {
        name: [None if pd.isna(value) else value for value in column.astype(object)]
        for name, column in frame.items()
    }
    assert told == case["frame"]
    assert [str(dtype) for dtype in frame.dtypes] == description.describe(kind)["dtype"].tolist()
    assert "canary" not in frame.to_csv() + repr(frame.attrs)


# --- the sandbox's side ---------------------------------------------------------------------------------


def structure(value: Any) -> Any:
    """The JSON types of a value; of a list, and of an object keyed by position, that of the first."""
    if isinstance(value, list):
        return [structure(each) for each in value[:1]]
    if isinstance(value, dict) and value and all(name.isdigit() for name in value):
        return {"position": structure(next(iter(value.values())))}
    if isinstance(value, dict):
        return {name: structure(each) for name, each in value.items()}
    if value is None:
        return None
    if isinstance(value, bool):
        return "flag"
    return "number" if isinstance(value, int | float) else "text"


def fits(documented: Any, answered: Any) -> bool:
    """Whether two structures are the same; a null or an empty list may stand for any."""
    if documented is None or answered is None:
        return True
    if isinstance(documented, list) and isinstance(answered, list):
        return not documented or not answered or fits(documented[0], answered[0])
    if isinstance(documented, dict) and isinstance(answered, dict):
        return set(documented) == set(answered) and all(
            fits(documented[name], answered[name]) for name in answered
        )
    return bool(documented == answered)


@pytest.mark.parametrize(("kind", "call", "case"), list(cases(answered=True)))
def test_sandbox(kind: str, call: str, case: dict[str, Any]) -> None:
    """In the case's shapes the sandbox answers with the fields and JSON types of the documented answer."""
    fleet = case.get("fleet", 60)
    sandbox = Sandbox(World(Clock(0), fleet=fleet), TOKEN, shapes=case["shapes"])
    method, path = call.split()

    reply = sandbox.handle(Request(method, f"/api{path}", {"api-token": TOKEN}))
    answered = json.loads(reply.body)

    assert reply.status == 200
    assert fits(structure(case["reply"]), structure(answered)), (
        structure(case["reply"]),
        structure(answered),
    )
    assert bool(answered.get("data")) is bool(case["reply"].get("data"))


@pytest.mark.parametrize(("kind", "call", "case"), list(cases(answered=True)))
def test_both(kind: str, call: str, case: dict[str, Any]) -> None:
    """What the sandbox answers, lcnb takes without finding anything odd, in the same columns."""
    sandbox = Sandbox(World(Clock(0), fleet=case.get("fleet", 60)), TOKEN, shapes=case["shapes"])
    method, path = call.split()
    pages = 2 if "next" in case else 1
    replies = [
        json.loads(
            sandbox.handle(Request(method, f"/api{path}", {"api-token": TOKEN}, query=f"page={page}")).body
        )
        for page in range(1, pages + 1)
    ]

    _, found = drive(flow_of(kind, call), replies)
    frame = listings.listing_frame(kind, found)

    assert list(frame.columns) == list(case["frame"])
    assert bool(len(frame)) is any(case["frame"].values())


# --- single things --------------------------------------------------------------------------------------


def singles(*, answered: bool = False) -> Iterator[Any]:
    """Listing and case of each answer about one thing; with `answered` those that the sandbox has shapes for."""
    for kind, document in CONTRACT.items():
        for case in document.get("single", []):
            if not answered or case["shapes"] is not None:
                yield pytest.param(kind, case, id=f"{kind}: {case['name']}")


@pytest.mark.parametrize(("kind", "case"), list(singles()))
def test_e6_client_of_one(kind: str, case: dict[str, Any]) -> None:
    """Of an answer about one thing lcnb takes the record that was asked for; anything else is NotFound."""
    flow = {
        "instances": queries.read_instance,
        "snapshots": queries.read_snapshot,
        "sshkeys": queries.read_sshkey,
    }[kind](case["asked"])
    method, path = case["call"].split()
    call = next(flow)
    assert (call.method, call.path) == (method, path.partition("{")[0] + case["asked"])
    if case["found"]:
        with pytest.raises(StopIteration) as end:
            flow.send(flows_module.Envelope(case["reply"]))
        assert end.value.value == case["reply"]["data"]
    else:
        with pytest.raises(NotFound, match="Look at the listing") as caught:
            flow.send(flows_module.Envelope(case["reply"]))
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("kind", "case"), list(singles(answered=True)))
def test_e6_sandbox_of_one(kind: str, case: dict[str, Any]) -> None:
    """In the case's shapes the sandbox answers about one thing with the fields and JSON types of the documented answer."""
    sandbox = Sandbox(World(Clock(0)), TOKEN, shapes=case["shapes"])
    known = {
        "instances": sandbox.world.machines[0]["identifier"],
        "snapshots": sandbox.world.snapshots[0]["slug"],
        "sshkeys": sandbox.world.sshkeys[0]["slug"],
    }
    path = case["call"].split()[1].partition("{")[0] + (known[kind] if case["found"] else case["asked"])

    reply = sandbox.handle(Request("GET", f"/api{path}", {"api-token": TOKEN}))
    answered = json.loads(reply.body)

    assert reply.status == 200
    assert fits(structure(case["reply"]), structure(answered))
    assert bool(answered["data"]) is case["found"]


# --- the files themselves -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"a": 1}, {"a": 2.5}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": None}, True),
        ({"a": 1}, {}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([{"a": 1}], [], True),
        ([{"a": 1}], [{"b": 1}], False),
        ([{"a": 1}], {"1": {"a": 1}}, False),
        ({"0": {"a": 1}}, {"1": {"a": 1}, "5": {"a": 2}}, True),
        ([], {}, False),
    ],
)
def test_fits(left: Any, right: Any, same: bool) -> None:
    """Structures are told apart by fields and JSON types, not by values or positions."""
    assert fits(structure(left), structure(right)) is same


def test_complete() -> None:
    """Each listing has its file, and each shape of a listing that the sandbox knows is in a case."""
    assert set(CONTRACT) == set(MODELS)
    every = [*cases(answered=True), *singles(answered=True)]
    named = {name for each in every for name in each.values[-1]["shapes"].split(",")}
    others = {
        "newer",
        "classic",
        "empty",
        "sticky",
    }  # these are of writes, of refusals, and of what follows a write
    assert named == set(SHAPES) - others


@pytest.mark.parametrize(("kind", "call", "case"), list(cases()))
def test_case(kind: str, call: str, case: dict[str, Any]) -> None:
    """Each case has evidence of the API page, and every column of its listing."""
    assert set(case) <= {"name", "evidence", "shapes", "fleet", "reply", "next", "frame"}
    assert case["evidence"]
    assert set(case["evidence"]) <= EVIDENCE
    assert list(case["frame"]) == description.describe(kind)["column"].tolist()
    assert call in (ROOT / "docs" / "api.md").read_text(encoding="utf-8").replace("{slug}", "MIA1")


@pytest.mark.parametrize(("kind", "case"), list(singles()))
def test_single_case(kind: str, case: dict[str, Any]) -> None:
    """Each case about one thing has evidence of the API page."""
    assert set(case) == {"name", "call", "evidence", "shapes", "asked", "reply", "found"}
    assert case["evidence"]
    assert set(case["evidence"]) <= EVIDENCE
    assert case["call"] in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", CONTRACT)
def test_names(kind: str) -> None:
    """Each case of a file has a name of its own."""
    for part in ("cases", "single"):
        names = [case["name"] for case in CONTRACT[kind].get(part, [])]
        assert len(set(names)) == len(names)
