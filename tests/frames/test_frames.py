"""Frames have the same columns and dtypes whatever came, tell what was odd, and price what can be priced."""

from __future__ import annotations

import asyncio
import io
import json
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from lcnb import AsyncLetsCloud, LetsCloud
from lcnb.api.fields import Drift, fields_of
from lcnb.api.listing_reader import Listing
from lcnb.api.models import MODELS, Instance, Plan
from lcnb.api.queries import InventoryParts
from lcnb.api.record_reader import read_record
from lcnb.display import terminal
from lcnb.errors import DriftWarning, InputError
from lcnb.frames import inventory, listings, pricing
from lcnb.frames.description import describe
from lcnb.frames.inventory import by_location
from lcnb.frames.provenance import MAX_DRIFT_LISTED, frame_facts
from lcnb.rows import Rows
from lcnb.sandbox import Sandbox

T = TypeVar("T")

COLUMNS = {
    "profile": "name:str company_name:str email:str currency:str balance:Float64",
    "locations": "slug:str country:str city:str available:boolean",
    "plans": "slug:str location:str currencycode:str shortcode:str core:Int64 memory:Int64 disk:Int64 "
    "bandwidth:Int64 monthly_value:Float64",
    "images": "slug:str location:str distro:str os:str",
    "sshkeys": "slug:str title:str public_key:str",
    "instances": "identifier:str label:str hostname:str state:str location:str city:str country:str cpus:Int64 "
    "memory:Int64 total_disk_size:Int64 ipv4:str ipv6:str ip_addresses:str template_label:str booted:boolean "
    "built:boolean locked:boolean suspended:boolean domain:str",
    "snapshots": "slug:str label:str size:Float64 os_reference:str reference:str build:boolean locations:str",
    "inventory": "identifier:str label:str hostname:str state:str location:str city:str country:str plan:str "
    "monthly_value:Float64 currencycode:str price_note:str cpus:Int64 memory:Int64 total_disk_size:Int64 "
    "ipv4:str ipv6:str template_label:str tags:str owner:str note:str protected:boolean "
    "expires:datetime64[us, UTC]",
    "facts": "identifier:str label:str tags:str owner:str note:str protected:boolean protected_by:str "
    "protected_at:datetime64[us, UTC] expires:datetime64[us, UTC]",
}
MACHINE = {
    "identifier": "aaaaaaaaaaaaaaaa",
    "label": "web-01",
    "booted": True,
    "built": True,
    "locked": False,
    "suspended": False,
    "cpus": 1,
    "memory": 1024,
    "total_disk_size": 10,
    "location": {"slug": "MIA1", "city": "Miami", "country": "United States"},
    "ip_addresses": [{"address": "192.0.2.1"}, {"address": "2001:db8::1"}],
}
PLAN = {"slug": "1vcpu-1gb-10ssd", "location": "MIA1", "currencycode": "USD", "shortcode": "$", "core": 1, "memory": 1024, "disk": 10, "monthly_value": "5.40"}  # fmt: skip
MIAMI = {"slug": "MIA1", "city": "Miami", "country": "United States", "available": True}
FULL: dict[str, dict[str, Any]] = {
    "profile": {
        "name": "Ana",
        "company_name": None,
        "email": "a@example.com",
        "currency": "$",
        "balance": "100.00",
    },
    "locations": MIAMI,
    "plans": PLAN,
    "images": {"slug": "ubuntu-24.04-x86_64", "location": "MIA1", "distro": "Ubuntu", "os": "linux"},
    "sshkeys": {"slug": "k", "title": "K", "public_key": "ssh-ed25519 AAAA"},
    "instances": MACHINE,
    "snapshots": {"slug": "s", "label": "S", "size": 1.5, "build": True, "locations": ["MIA1", "DAL1"]},
}


def listed(records: Sequence[Mapping[str, Any]], drift: Sequence[Drift] = ()) -> Listing:
    return Listing([(f"$.data[{number}]", record) for number, record in enumerate(records)], list(drift))


def dtypes(frame: pd.DataFrame) -> str:
    return " ".join(f"{name}:{dtype}" for name, dtype in frame.dtypes.items())


def parts(
    machines: Sequence[Mapping[str, Any]] = (),
    plans: Sequence[Mapping[str, Any]] = (),
    locations: Sequence[Mapping[str, Any]] = (MIAMI,),
    currency: str | None = "$",
    refused: Sequence[Drift] = (),
) -> InventoryParts:
    return InventoryParts(listed(machines), listed(locations), {"currency": currency}, listed(plans, refused))


# --- columns and dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_columns(kind: str, rows: int) -> None:
    """A listing has its columns and dtypes for no row, for one and for several."""
    frame = listings.listing_frame(kind, listed([FULL[kind]] * rows))
    assert dtypes(frame) == COLUMNS[kind]
    assert frame.index.equals(pd.RangeIndex(rows))


@pytest.mark.parametrize("odd", [None, [], {"a": 1}, "?", True, 1e999, {"slug": None}], ids=repr)
@pytest.mark.parametrize("kind", MODELS)
def test_columns_of_damaged_rows(kind: str, odd: object) -> None:
    """A row whose every field is odd changes neither columns nor dtypes, and costs no good row."""
    damaged = {each.wire[0]: odd for each in fields_of(MODELS[kind])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DriftWarning)
        frame = listings.listing_frame(kind, listed([damaged, FULL[kind], {}]))
        good = listings.listing_frame(kind, listed([FULL[kind]]))
    assert dtypes(frame) == COLUMNS[kind]
    pd.testing.assert_frame_equal(frame.iloc[[1]].reset_index(drop=True), good)
    assert frame.iloc[2].isna().all()


@pytest.mark.parametrize("kind", MODELS)
def test_frame_travels(kind: str) -> None:
    """A frame can be pickled, and written to Parquet and back with the same dtypes."""
    frame = listings.listing_frame(kind, listed([FULL[kind], {}]))
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    assert dtypes(pd.read_parquet(buffer)) == COLUMNS[kind]
    assert pickle.loads(pickle.dumps(frame)).equals(frame)


def test_values() -> None:
    """A machine's row: derived values are there, several addresses are one text, a value that is not reported is missing."""
    row = listings.listing_frame("instances", listed([MACHINE])).iloc[0]
    assert row.dropna().to_dict() == {
        "identifier": "aaaaaaaaaaaaaaaa",
        "label": "web-01",
        "state": "running",
        "location": "MIA1",
        "city": "Miami",
        "country": "United States",
        "cpus": 1,
        "memory": 1024,
        "total_disk_size": 10,
        "ipv4": "192.0.2.1",
        "ipv6": "2001:db8::1",
        "ip_addresses": "192.0.2.1, 2001:db8::1",
        "booted": True,
        "built": True,
        "locked": False,
        "suspended": False,
    }


def test_no_secret() -> None:
    """A root password in a record is in no column, no attribute and no text of the frame."""
    frame = listings.listing_frame("instances", listed([{**MACHINE, "initial_root_password": "canary"}]))
    for shown in (frame.to_csv(), frame.to_json(), frame.to_html(), str(frame.attrs), repr(frame)):
        assert "canary" not in shown


# --- what was odd ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "earlier", "message"),
    [
        (
            [{"memory": "many"}],
            [],
            "plans: the response was odd at $.data[0].memory: expected a number, got 'many'. Good rows were kept, "
            "odd values are missing; frame.attrs['lcnb']['drift'] lists them.",
        ),
        (
            [{"memory": "many", "disk": []}, {"core": {}}],
            [],
            "plans: the response was odd at $.data[0].memory: expected a number, got 'many' (and 2 more places). "
            "Good rows were kept, odd values are missing; frame.attrs['lcnb']['drift'] lists them.",
        ),
        (
            [{"memory": "many"}],
            [Drift("$.data[7]", "expected an object, got null; the row was left out")],
            "plans: the response was odd at $.data[7]: expected an object, got null; the row was left out (and 1 more "
            "place). Good rows were kept, odd values are missing; frame.attrs['lcnb']['drift'] lists them.",
        ),
    ],
)
def test_warning(records: list[dict[str, Any]], earlier: list[Drift], message: str) -> None:
    """What was odd is told in one warning: where first, what was wrong, in how many more places."""
    with pytest.warns(DriftWarning) as caught:
        listings.listing_frame("plans", listed(records, earlier))
    assert [str(each.message) for each in caught] == [message]


@pytest.mark.parametrize("name", ["instances", "inventory"])
def test_warning_names_the_line(served: Callable[..., tuple[Sandbox, LetsCloud]], name: str) -> None:
    """The warning points at the line that asked, not at lcnb's own: so each cell of a notebook is warned."""
    sandbox, client = served(fleet=2)
    sandbox.world.machines[0]["memory"] = "many"
    with pytest.warns(DriftWarning) as caught:
        getattr(client, name)()
    assert [each.filename for each in caught] == [__file__]


def test_warning_names_the_awaiting_line(served: Callable[..., tuple[Sandbox, LetsCloud]]) -> None:
    """The warning of an awaited method points at the line that awaits it."""
    sandbox, client = served(fleet=2)
    sandbox.world.machines[0]["memory"] = "many"

    async def ask() -> pd.DataFrame:
        async with AsyncLetsCloud(client.settings) as account:
            return await account.instances()

    with pytest.warns(DriftWarning) as caught:
        asyncio.run(ask())
    assert [each.filename for each in caught] == [__file__]


def test_facts() -> None:
    """A frame says which listing it is, of which account, when it was read, and what was odd."""
    before = datetime.now(UTC)
    with pytest.warns(DriftWarning):
        told = frame_facts(listings.listing_frame("plans", listed([{"memory": "many"}]), "prod"))
    assert (told["kind"], told["account"], told["drift_count"]) == ("plans", "prod", 1)
    assert told["drift"] == [{"path": "$.data[0].memory", "problem": "expected a number, got 'many'"}]
    read_at = datetime.fromisoformat(told["fetched_at"])
    assert read_at.tzinfo is not None
    assert 0 <= (read_at - before).total_seconds() + 0.001 < 60


@pytest.mark.parametrize("count", [1, MAX_DRIFT_LISTED, MAX_DRIFT_LISTED + 1, 3 * MAX_DRIFT_LISTED])
def test_drift_is_capped(count: int) -> None:
    """Of many odd places the first are listed, and all are counted."""
    with pytest.warns(DriftWarning):
        told = frame_facts(listings.listing_frame("plans", listed([{"memory": "many"}] * count)))
    assert told["drift_count"] == count
    assert len(told["drift"]) == min(count, MAX_DRIFT_LISTED)
    assert told["drift"][-1]["path"] == f"$.data[{min(count, MAX_DRIFT_LISTED) - 1}].memory"


def test_quiet() -> None:
    """A good answer warns of nothing."""
    frame = listings.listing_frame("plans", listed([PLAN]))
    assert (frame_facts(frame)["drift"], frame_facts(frame)["drift_count"]) == ([], 0)


@pytest.mark.parametrize("attrs", [{}, {"lcnb": None}, {"lcnb": "x"}])
def test_facts_of_another_frame(attrs: dict[str, Any]) -> None:
    """A frame that lcnb did not make has no facts."""
    frame = pd.DataFrame()
    frame.attrs.update(attrs)
    assert frame_facts(frame) == {}


# --- the price of a machine -----------------------------------------------------------------------------

BRL = {"currencycode": "BRL", "shortcode": "R$", "monthly_value": "29.43"}
# Changes to the machine, the plans (as changes to PLAN), the account's currency, what was refused; then the result.
PRICES: list[tuple[str, dict[str, Any], list[dict[str, Any]], str | None, list[Drift], tuple[Any, ...]]] = [
    ("one fits", {}, [{}], "$", [], ("1vcpu-1gb-10ssd", 5.4, "USD", None)),
    ("others do not", {}, [{"core": 2}, {"memory": 2048}, {}, {"disk": 20}], "$", [], ("1vcpu-1gb-10ssd", 5.4, "USD", None)),
    ("other case", {"location": "mia1"}, [{}], "$", [], ("1vcpu-1gb-10ssd", 5.4, "USD", None)),
    ("other place", {}, [{"location": "DAL1", "monthly_value": "1"}, {}], "$", [], ("1vcpu-1gb-10ssd", 5.4, "USD", None)),
    ("in dollars", {}, [{}, BRL], "$", [], ("1vcpu-1gb-10ssd", 5.4, "USD", None)),
    ("in reais", {}, [{}, BRL], "R$", [], ("1vcpu-1gb-10ssd", 29.43, "BRL", None)),
    ("by symbol", {}, [{"currencycode": None}, {**BRL, "currencycode": None}], "R$", [], ("1vcpu-1gb-10ssd", 29.43, "BRL", None)),
    ("by code", {}, [{"shortcode": None}, {**BRL, "shortcode": None}], "R$", [], ("1vcpu-1gb-10ssd", 29.43, "BRL", None)),
    ("only the other currency", {}, [BRL], "$", [], ("1vcpu-1gb-10ssd", 29.43, "BRL", None)),
    ("currency unknown", {}, [{}, BRL], None, [], (None, None, None, "several plans match: 1vcpu-1gb-10ssd, 1vcpu-1gb-10ssd")),
    ("twice the same", {}, [{}, {}], "$", [], ("1vcpu-1gb-10ssd", 5.4, "USD", None)),
    ("two of one size", {}, [{}, {"slug": "b-plan"}], "$", [], (None, None, None, "several plans match: 1vcpu-1gb-10ssd, b-plan")),
    ("two prices", {}, [{}, {"monthly_value": "6"}], "$", [], (None, None, None, "several plans match: 1vcpu-1gb-10ssd, 1vcpu-1gb-10ssd")),
    ("none fits", {"cpus": 3}, [{}], "$", [], (None, None, None, "no plan at MIA1 has 3 CPUs, 1024 MB, 10 GB")),
    ("no price", {}, [{"monthly_value": None}], "$", [], ("1vcpu-1gb-10ssd", None, "USD", "the plan 1vcpu-1gb-10ssd has no price")),
    ("free", {}, [{"monthly_value": "0.00"}], "$", [], ("1vcpu-1gb-10ssd", 0.0, "USD", None)),
    ("no location", {"location": None}, [{}], "$", [], (None, None, None, "its location is missing")),
    ("no memory", {"memory": None}, [{}], "$", [], (None, None, None, "its memory is missing")),
    ("no size", {"cpus": None, "memory": "", "total_disk_size": None}, [{}], "$", [], (None, None, None, "its cpus and memory and total_disk_size are missing")),
    ("no plans", {}, [], "$", [], (None, None, None, "no plans of MIA1 are known")),
    ("plan without size", {}, [{"memory": None}], "$", [], (None, None, None, "no plan at MIA1 has 1 CPUs, 1024 MB, 10 GB")),
    ("plan without place", {}, [{"location": None}], "$", [], (None, None, None, "no plans of MIA1 are known")),
    ("refused", {}, [], "$", [Drift("plans of MIA1", "unavailable: gone")], (None, None, None, "no plans of MIA1 are known: unavailable: gone")),
    ("another refused", {}, [], "$", [Drift("plans of DAL1", "unavailable: gone")], (None, None, None, "no plans of MIA1 are known")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "plans", "currency", "refused", "expected"),
    [row[1:] for row in PRICES],
    ids=[row[0] for row in PRICES],
)
def test_price(
    machine: dict[str, Any],
    plans: list[dict[str, Any]],
    currency: str | None,
    refused: list[Drift],
    expected: tuple[Any, ...],
) -> None:
    """A machine's plan is the one of its location and size, in the account's currency; else it says why not."""
    found = parts(
        [{**MACHINE, **machine}], [{**PLAN, **plan} for plan in plans], currency=currency, refused=refused
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DriftWarning)
        frame = inventory.inventory_frame(found)
    row = frame[["plan", "monthly_value", "currencycode", "price_note"]].astype(object).iloc[0]
    assert tuple(None if pd.isna(value) else value for value in row) == expected
    assert dtypes(frame) == COLUMNS["inventory"]


def test_price_of_records() -> None:
    """`price` works on typed records alone, without a frame or an account."""
    machine, plan = read_record(Instance, MACHINE, "$", []), read_record(Plan, PLAN, "$", [])
    assert pricing.infer_price(machine, [plan], None) == ("1vcpu-1gb-10ssd", 5.4, "USD", None)


def test_refused_plans_warn() -> None:
    """A location whose plans were refused is a warning: prices are missing that one would expect."""
    found = parts([MACHINE], refused=[Drift("plans of MIA1", "unavailable: gone")])
    with pytest.warns(
        DriftWarning, match="inventory: the response was odd at plans of MIA1: unavailable: gone"
    ):
        inventory.inventory_frame(found)


# --- the inventory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_inventory_columns(rows: int) -> None:
    """The inventory has its columns and dtypes for no machine, for one and for several."""
    frame = inventory.inventory_frame(parts([MACHINE] * rows, [PLAN]), "prod")
    assert dtypes(frame) == COLUMNS["inventory"]
    assert frame.index.equals(pd.RangeIndex(rows))
    assert (frame_facts(frame)["kind"], frame_facts(frame)["account"]) == ("inventory", "prod")


def test_inventory_of_nothing() -> None:
    """An account that told nothing at all has an empty inventory of the same columns."""
    frame = inventory.inventory_frame(InventoryParts(Listing(), Listing(), {}, Listing()))
    assert dtypes(frame) == COLUMNS["inventory"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ({"slug": "MIA1", "city": "Own", "country": "Here"}, ("MIA1", "Own", "Here")),
        ({"slug": "MIA1"}, ("MIA1", "Miami", "United States")),
        ({"slug": "mia1", "city": "Own"}, ("mia1", "Own", "United States")),
        ("MIA1", ("MIA1", "Miami", "United States")),
        ({"slug": "XXX9"}, ("XXX9", None, None)),
        (None, (None, None, None)),
    ],
)
def test_places_are_completed(location: object, expected: tuple[str | None, ...]) -> None:
    """A city and a country that a machine's record leaves out come from the locations' listing."""
    frame = inventory.inventory_frame(parts([{**MACHINE, "location": location}], [PLAN], [{}, MIAMI]))
    row = frame[["location", "city", "country"]].astype(object).iloc[0]
    assert tuple(None if pd.isna(value) else value for value in row) == expected


def test_inventory_drift() -> None:
    """What was odd in any of the four answers is told with the inventory."""
    found = InventoryParts(
        listed([{"memory": []}]), listed([{"available": "?"}]), {"balance": "?"}, listed([{"core": "?"}])
    )
    with pytest.warns(DriftWarning, match="and 3 more places"):
        told = frame_facts(inventory.inventory_frame(found))
    assert [each["path"] for each in told["drift"]] == [
        "$.data[0].memory",
        "$.data.balance",
        "$.data[0].available",
        "$.data[0].core",
    ]


# --- by location ----------------------------------------------------------------------------------------

SUMMARY = "location:str machines:Int64 running:Int64 monthly_value:Float64 currencycode:str"


def test_by_location() -> None:
    """A row a location and currency: machines, how many run, and what they cost; unpriced ones by themselves."""
    machines = [
        MACHINE,
        {**MACHINE, "booted": False},
        {**MACHINE, "cpus": 9},
        {**MACHINE, "location": "SAO1"},
        {**MACHINE, "location": None, "booted": None},
    ]
    frame = inventory.inventory_frame(parts(machines, [PLAN, {**PLAN, **BRL, "location": "SAO1"}]))

    found = by_location(frame)

    assert dtypes(found) == SUMMARY
    rows = [
        tuple(None if pd.isna(value) else value for value in row) for row in found.itertuples(index=False)
    ]
    assert rows == [
        ("MIA1", 2, 1, 10.8, "USD"),
        ("MIA1", 1, 1, None, None),
        ("SAO1", 1, 1, 29.43, "BRL"),
        (None, 1, 0, None, None),
    ]


@pytest.mark.parametrize("machines", [[], [MACHINE], [{}], [{**MACHINE, "location": None}] * 2])
def test_by_location_dtypes(machines: list[dict[str, Any]]) -> None:
    """The summary has the same columns and dtypes for no machine, and for machines that tell nothing."""
    found = by_location(inventory.inventory_frame(parts(machines, [PLAN])))
    assert dtypes(found) == SUMMARY
    assert found.machines.sum() == len(machines)


# --- describing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COLUMNS)
def test_describe(name: str) -> None:
    """The description has a row for each column that the frame has, in its order, with its dtype."""
    told = describe(name)
    assert dtypes(told) == "column:str dtype:str unit:str description:str wire:str"
    assert " ".join(told["column"] + ":" + told["dtype"]) == COLUMNS[name]
    assert told["description"].notna().all()
    assert frame_facts(told) == {"kind": "describe", "of": name}


def test_describe_real_frames(lc: LetsCloud) -> None:
    """The description fits the frames that a client gives."""
    for name in ("instances", "inventory", "locations", "plans", "images", "sshkeys", "snapshots"):
        frame = getattr(lc, name)()
        told = describe(name)
        assert list(frame.columns) == list(told["column"])
        assert [str(dtype) for dtype in frame.dtypes] == list(told["dtype"])


@pytest.mark.parametrize(
    ("name", "column", "unit", "wire"),
    [
        ("instances", "memory", "MB", "memory"),
        ("instances", "city", None, "location.city"),
        ("instances", "state", None, None),
        ("plans", "monthly_value", "currency", "monthly_value"),
        ("inventory", "monthly_value", "currency", None),
        ("inventory", "location", None, "location.slug"),
        ("snapshots", "size", "GB", "size"),
        ("profile", "balance", "currency", "balance"),
    ],
)
def test_describe_row(name: str, column: str, unit: str | None, wire: str | None) -> None:
    """A column's unit and its place in the API's record are told; what is derived has no such place."""
    row = describe(name).set_index("column").loc[column]
    assert tuple(None if pd.isna(row[each]) else row[each] for each in ("unit", "wire")) == (unit, wire)


@pytest.mark.parametrize(("name", "hint"), [("instance", "did you mean 'instances'"), ("Plans", "did you mean 'plans'"), ("zzz", "no listing 'zzz'. Listings: instances, ")])  # fmt: skip
def test_describe_unknown(name: str, hint: str) -> None:
    """Another name is refused with the nearest one and the list."""
    with pytest.raises(InputError, match="no listing") as caught:
        describe(name)
    assert hint in str(caught.value)


# --- whatever comes -------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
ODD = (
    SCALARS
    | st.sampled_from(["MIA1", "mia1", "1", "5.40", "", "\ud800", 10**400, 2**63])
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.sampled_from(["slug", "city", "address", "0"]), SCALARS, max_size=3)
)


def odd_records(kind: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    names = sorted({each.wire[0] for each in fields_of(MODELS[kind])})
    odd = st.dictionaries(st.sampled_from(names), ODD, max_size=6)
    return st.lists(odd | odd.map(lambda changes: {**FULL[kind], **changes}), max_size=4)


def test_order_is_kept() -> None:
    """Rows stand in the order of the answer."""
    labels = [f"m{number}" for number in range(50)]
    frame = listings.listing_frame("instances", listed([{"label": label} for label in labels]))
    assert frame["label"].tolist() == labels


# --- rows without pandas ----------------------------------------------------------------------------------


def caught(work: Callable[[], T]) -> tuple[T, list[str]]:
    """What `work` returns, and the warnings that it gives."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = work()
    return result, [str(each.message) for each in found]


def check_agreement(rows: Rows, frame: pd.DataFrame) -> None:
    """Rows and a frame have the same columns, order, dtypes, values and missing values, also as JSON and as CSV."""
    assert_frame_equal(rows.frame(), frame, check_flags=False)
    values = [[None if pd.isna(each) else each for each in frame[name].tolist()] for name in frame]
    assert [list(row) for row in rows] == [list(row) for row in zip(*values, strict=True)]
    objects = [dict(zip(frame.columns, row, strict=True)) for row in zip(*values, strict=True)]
    assert json.loads(terminal.json_text(rows)) == objects
    written = io.StringIO(newline="")
    terminal.write_csv(rows, written)
    assert written.getvalue() == frame.to_csv(index=False, lineterminator="\n")
    assert terminal.frame_rows(frame).values == list(rows)


@settings(deadline=None, max_examples=150)
@given(data=st.data(), kind=st.sampled_from(sorted(MODELS)))
def test_listing_of_anything(data: st.DataObject, kind: str) -> None:
    """Whatever the records hold, a listing has its columns, dtypes and a row per record, and can be saved; a command,
    which reads without pandas, prints what the frame holds, and warns of the same drift.

    That a frame of machines, which Arrow reads, is the same as one of records is tested in test_columns.
    """
    records = data.draw(odd_records(kind))
    frame, warned = caught(lambda: listings.listing_frame(kind, listed(records)))
    assert dtypes(frame) == COLUMNS[kind]
    assert len(frame) == len(records)
    frame.to_parquet(io.BytesIO())
    rows, warned_too = caught(lambda: listings.listing_rows(kind, listed(records)))
    assert warned_too == warned
    check_agreement(rows, frame)


@settings(deadline=None, max_examples=100)
@given(
    machines=odd_records("instances"), plans=odd_records("plans"), locations=odd_records("locations"),
    profile=st.dictionaries(st.sampled_from(["currency", "balance"]), ODD),
)  # fmt: skip
def test_inventory_of_anything(
    machines: list[dict[str, Any]],
    plans: list[dict[str, Any]],
    locations: list[dict[str, Any]],
    profile: dict[str, Any],
) -> None:
    """Whatever the responses hold, the inventory has its columns, and each machine a price or a reason; it is the same with
    and without pandas, and each missing city is that of its location."""

    def found() -> InventoryParts:
        return InventoryParts(listed(machines), listed(locations), profile, listed(plans))

    frame, warned = caught(lambda: inventory.inventory_frame(found()))
    assert dtypes(frame) == COLUMNS["inventory"]
    assert len(frame) == len(machines)
    assert (frame["monthly_value"].isna() == frame["price_note"].notna()).all()
    summary = by_location(frame)
    assert dtypes(summary) == SUMMARY
    assert summary.machines.sum() == len(machines)
    rows, warned_too = caught(lambda: inventory.inventory_rows(found()))
    assert warned_too == warned
    check_agreement(rows, frame)
