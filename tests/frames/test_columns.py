"""The fast way from bytes to a frame of machines: it says the same as the careful one, which it asks for little."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcnb.api import calls, flows, listing_reader, raw_records, record_reader
from lcnb.api.fields import F, fields_of
from lcnb.api.models import MODELS, Instance
from lcnb.config import Settings
from lcnb.errors import BadReply, DriftWarning, LcnbError
from lcnb.frames import arrow, columns, listings
from lcnb.secret import Secret
from lcnb.transport.effects import ExchangeContext, Response
from lcnb.transport.protocol import judge_outcome

PASSWORD = "canary-2n=+-@YA0a"
PLAIN: dict[str, Any] = {
    "identifier": "jrqx2db4p1aqzi86",
    "booted": True,
    "built": True,
    "locked": False,
    "suspended": False,
    "memory": 1024,
    "total_disk_size": 10,
    "cpus": 1,
    "label": "web-01",
    "hostname": "web-01.mia1.example.com",
    "ip_addresses": [{"address": "192.0.2.2"}, {"address": "2001:db8:1::10"}],
    "template_label": "Ubuntu 24.04 x86_64",
    "initial_root_password": PASSWORD,
    "location": {"slug": "MIA1", "country": "United States", "city": "São Paulo"},
}
CONTEXT = ExchangeContext(
    lambda: 0.0,
    60.0,
    random.Random(0),
    Settings(None, Secret("t"), "test", "https://x.example", "test", 60.0, Path("s"), Path("r")),
    {},
)


def body(*records: Any, **more: Any) -> bytes:
    return json.dumps({"success": True, "data": list(records), **more}).encode()


def listed(*bodies: bytes, as_rows: bool) -> listing_reader.Listing:
    """The listing whose pages are these."""
    flow = listing_reader.read_listing(replace(calls.get_instances(), as_rows=as_rows))
    call = next(flow)
    for each in bodies:
        envelope = judge_outcome(call, Response(200, {}, each), 6, CONTEXT)
        assert isinstance(envelope, flows.Envelope)
        try:
            call = flow.send(envelope)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
    raise AssertionError("it asks for another page")


def told(*bodies: bytes, as_rows: bool) -> Any:
    """The frame, its facts and its warnings; or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            frame = listings.listing_frame("instances", listed(*bodies, as_rows=as_rows), "prod", "me")
        except LcnbError as error:
            return type(error), str(error)
    facts = {name: value for name, value in frame.attrs["lcnb"].items() if name != "fetched_at"}
    return frame, facts, [str(each.message) for each in caught if each.category is DriftWarning]


def same(*bodies: bytes) -> None:
    fast, careful = told(*bodies, as_rows=True), told(*bodies, as_rows=False)
    if isinstance(careful[0], pd.DataFrame):
        pd.testing.assert_frame_equal(fast[0], careful[0], check_exact=True)
        fast, careful = fast[1:], careful[1:]
    assert fast == careful


@pytest.fixture
def careful(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The records that became objects of all their parts."""
    seen: list[bytes] = []

    def noted(raw: Any) -> Any:
        seen.append(bytes(raw))
        return raw_records.decode_record(raw)

    monkeypatch.setattr(arrow, "decode_record", noted)
    monkeypatch.setattr(raw_records.RawRecords, "__getitem__", None)
    return seen


# --- they agree -----------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", " ", "MIA1", "\x00", "\ud800", "São", "😀", "true", "1", "1.0", "1e3", "null"]),
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda each: each.exploded.upper()),
    st.from_regex(r"\A([0-9a-f]{0,5}:){1,8}[0-9a-f]{0,5}\Z"),
    st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){2,4}\n?\Z"),
    st.sampled_from(
        ["::", "::1", "::ffff:192.0.2.1", "fe80::1%eth0", "1.2.3.04", "1:2:3:4::5:6:7:8", "", "x"]
    ),
)
FLAGS = st.none() | st.booleans()
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "identifier": st.none() | TEXTS,
    "label": TEXTS,
    "hostname": st.text(max_size=3),
    "template_label": st.just("Debian"),
    "domain": st.none() | st.just(""),
    "initial_root_password": st.just(PASSWORD),
    "booted": FLAGS,
    "built": FLAGS,
    "locked": FLAGS,
    "suspended": FLAGS,
    "cpus": st.none() | st.integers(-3, 64),
    "memory": st.integers(-(2**63), 2**63 - 1),
    "total_disk_size": st.integers(0, 100),
    "ip_addresses": st.none() | st.lists(ADDRESSES.map(lambda each: {"address": each}), max_size=3),
    "location": st.none()
    | st.fixed_dictionaries({}, optional={"slug": TEXTS, "city": TEXTS, "country": TEXTS}),
}
ODD: dict[str, st.SearchStrategy[Any]] = {
    "identifier": JUNK,
    "label": st.integers() | JUNK,
    "booted": st.sampled_from([0, 1, "true", "False", "", 2, "on", [], {}]),
    "locked": JUNK,
    "cpus": st.sampled_from(["1", "1.0", 1.0, 1.5, "", True, 2**63, -(2**63) - 1, 1e400, "١", "1_0", []]),
    "memory": JUNK,
    "ip_addresses": st.one_of(
        st.lists(ADDRESSES, max_size=3),
        st.lists(st.none() | JUNK, max_size=3),
        st.dictionaries(TEXTS, ADDRESSES, max_size=2),
        st.lists(st.sampled_from([{}, {"slug": "a"}, {"address": None}, {"address": 5}, None, "1.2.3.4"])),
        JUNK,
    ),
    "location": st.one_of(
        st.sampled_from([[], "MIA1", "", 5, {"slug": 5}, {"slug": []}, {"city": {}}, {"slug": None}]), JUNK
    ),
    "extra": JUNK,
}


@st.composite
def records(draw: st.DrawFn) -> Any:
    record = draw(st.fixed_dictionaries({}, optional=USUAL))
    for name in draw(st.lists(st.sampled_from(sorted(ODD)), max_size=2)):
        record[name] = draw(ODD[name])
    return record


PLAINS = st.fixed_dictionaries({}, optional=USUAL)


@settings(max_examples=400, deadline=None)
@given(
    data=st.lists(PLAINS, max_size=6) | st.lists(records() | JUNK, max_size=4) | JUNK,
    more=st.dictionaries(st.sampled_from(["success", "links", "meta", "message"]), JUNK, max_size=2),
    indent=st.none() | st.just(1),
    ascii_=st.booleans(),
    piece=st.sampled_from([1, 2, 4096]),
)
def test_same_for_random_payloads(data: Any, more: Any, indent: int | None, ascii_: bool, piece: int) -> None:
    """Values, dtypes, drift report, warnings and errors do not depend on the way, whatever the payload."""
    document = {"success": True, **more, "data": data}
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    meta, links = more.get("meta"), more.get("links")
    pages = any(isinstance(each, dict) and each for each in (meta, links))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "PIECE_RECORDS", piece)
        same(*[text] * (2 if pages else 1))


@settings(max_examples=200, deadline=None)
@given(
    data=st.lists(st.one_of(PLAINS, PLAINS, PLAINS, records(), JUNK), min_size=3, max_size=12),
    cut=st.integers(0, 12),
    piece=st.sampled_from([1, 2, 3, 5, 4096]),
)
def test_same_for_mixes(data: list[Any], cut: int, piece: int) -> None:
    """Odd records and what is no record, anywhere among plain ones and over pages, change nothing for the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "PIECE_RECORDS", piece)
        same(body(*data[:cut], links={"next": "x"}), body(*data[cut:]))


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(
        st.sampled_from(
            [
                b'{"label": "a"}',
                b'{"label": "}, {", "domain": ", "}',
                b'{"label": "x\\"},{\\n", "location": {"city": "}"}}',
                b'{"ip_addresses": [{"address": "::1"}, {"address": "1.2.3.4"}]}',
                b'{\r\n"cpus": 1\r\n}',
                b"{}",
                b"[]",
                b"[{}]",
                b"12",
                b'"{, "',
                b"null",
            ]
        ),
        max_size=5,
    ),
    usual=st.sampled_from([b",", b", ", b",\n ", b",\r\n", b" , ", b"," + b" " * 15, b"," + b" " * 16]),
    other=st.sampled_from([b",", b", ", b" ,", b", \n", b"," + b" " * 20]),
    there=st.none() | st.integers(0, 3),
)
def test_same_for_any_spacing(values: list[bytes], usual: bytes, other: bytes, there: int | None) -> None:
    """Whatever stands between records, evenly or not, and inside of them, each is found."""
    text = b'{"data": [' + values[0] if values else b'{"data": ['
    for number, value in enumerate(values[1:]):
        text += (other if number == there else usual) + value
    text += b" ]}"
    objects = [value for value in values if value.startswith(b"{")]

    found = raw_records.split_records(text)

    assert found is not None
    assert [bytes(each) for each in found["data"].raw] == objects
    assert len(found["data"].others) == len(values) - len(objects)
    same(text)


@settings(max_examples=150, deadline=None)
@given(
    start=st.integers(0, 900),
    drop=st.integers(0, 3),
    put=st.binary(max_size=3) | st.sampled_from([b"\xff", b"\\", b'"']),
)
def test_same_for_damaged_bytes(start: int, drop: int, put: bytes) -> None:
    """A body with any bytes changed is read, or refused, the same by both ways."""
    whole = body(PLAIN, PLAIN)
    same(whole[:start] + put + whole[start + drop :])


@pytest.mark.parametrize(
    "text",
    [
        b'{"data": [null, {"label": "a"}]}',
        b'{"data": [{"label": "a"}, null, 5, "x", [1]]}',
        b'{"data": [{"label": "a", "label": 5}]}',
        b'{"data": [{"x": 1, "x": 2, "label": "a"}]}',
        b'{"data": [{"label": "first"}], "data": [{"label": "last"}]}',
        b'{"data": [{"label": "a", "cpus": NaN}]}',
        b'{"data": [{"label": "a", "x": 1e999}]}',
        b'{"data": [{"l\\u0061bel": "a"}]}',
        b'\xef\xbb\xbf{"data": [{"label": "a"}]}',
        b'{"success": false, "message": "no", "data": [{"label": "a"}]}',
        b'{"success": "true", "data": [{"label": "a"}], "more": [1, {"a": null}]}',
        b'{"data": [{"label": "a\xff", "hostname": "b"}]}',
        b'{"data": [{"label": "a", "x": "\xff"}]}',
        b'{"data": [{"lab\xffel": "a"}]}',
        b'{"data": [{"label": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        b'{"data": {"data": [{"label": "a"}]}}',
        b'{"data": {"0": {"label": "a"}}}',
        b'{"data": []}',
        b'{"data": null}',
        b'[{"label": "a"}]',
        b"",
    ],
)
def test_same_for_odd_bodies(text: bytes) -> None:
    """What JSON allows, and what it forbids, is read the same by both ways."""
    same(text)


def test_same_over_pages() -> None:
    """Pages of which one is odd give the rows of all, in order, and the same report."""
    links = {"links": {"next": "x"}}
    plain, odd = body(PLAIN, **links), body({**PLAIN, "cpus": "two", "label": "b"}, None, **links)
    for pages in ([plain, odd, body(PLAIN)], [odd, plain, body()], [plain, plain], [odd, odd]):
        same(*pages)


# --- it is taken, and takes little ----------------------------------------------------------------------


def test_plain_is_fast(careful: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain listing is read once, by pyarrow, without one record becoming an object; no column has the password."""
    monkeypatch.setattr(arrow, "_read_carefully", None)
    plain = [{**PLAIN, "label": f"web-{number}"} for number in range(20_000)]

    frame = listings.listing_frame("instances", listed(body(*plain), as_rows=True))

    assert frame.label.iloc[-1] == "web-19999"
    assert frame.state.unique().tolist() == ["running"]
    assert not [name for name in frame if frame[name].astype("str").str.contains("canary").any()]
    assert careful == []


@pytest.mark.parametrize(
    "change",
    [
        {"ip_addresses": ["192.0.2.2", "2001:db8::1"]},
        {"ip_addresses": []},
        {"ip_addresses": None, "location": None},
        {"domain": "example.com", "unknown": {"a": [1, "x", None]}},
        {"identifier": "", "booted": None},
        {"label": "ção 😀"},
        {"label": "}, {", "hostname": '"},\n{"', "domain": ""},
    ],
)
def test_documented_is_plain(careful: list[bytes], change: dict[str, Any]) -> None:
    """What the documents show of a list of machines becomes no object, also when it is mixed."""
    same(body({**PLAIN, **change}, PLAIN, {**PLAIN, **change, "label": "b"}))
    assert careful == []


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": "1"},
        {"booted": 1},
        {"location": "MIA1"},
        {"location": []},
        {"ip_addresses": [None]},
        {"label": 5},
    ],
)
def test_only_the_odd(careful: list[bytes], change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many machines only those that need judgement become objects, and only their pieces are read again."""
    again: list[int] = []
    part = arrow._read_carefully
    monkeypatch.setattr(arrow, "_read_carefully", lambda piece: again.append(len(piece[0])) or part(piece))
    odd = {**PLAIN, **change}
    many = [PLAIN] * 25_000
    many[5_000] = many[5_001] = many[-1] = odd

    frame, _ = arrow.read_machines(listed(body(*many), as_rows=True).rows)

    assert careful == [json.dumps(odd).encode()] * 3
    assert sorted(again) == [25_000 % arrow.PIECE_RECORDS, arrow.PIECE_RECORDS]
    assert len(frame) == 25_000


@dataclass(frozen=True)
class LoadedInstance(Instance):
    """A machine with two more numbers, as a later release of the API may have them."""

    load: Annotated[float | None, F("load average")] = None
    latitude: Annotated[float | None, F("latitude of its location", "degrees", wire="location.latitude")] = (
        None
    )


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The model of machines has the two lines of `LoadedInstance`."""
    made_from_the_model = (arrow._arrow_schema, arrow._strict_decoder)
    monkeypatch.setattr(arrow, "Instance", LoadedInstance)
    monkeypatch.setitem(MODELS, "instances", LoadedInstance)
    for each in made_from_the_model:
        each.cache_clear()
    yield
    for each in made_from_the_model:
        each.cache_clear()


@pytest.mark.parametrize(
    ("number", "value", "objects"),
    [
        ("0.25", 0.25, 0),
        ("3", 3.0, 0),
        ("123456789012345678901234567890", 123456789012345678901234567890.0, 0),
        ("-2.5e3", -2500.0, 0),
        ("1e-400", 0.0, 0),
        ("null", None, 0),
        ('"0.25"', 0.25, 1),
        ('""', None, 1),
        ("1e400", None, 1),
        ("true", None, 1),
        ("[1.5]", None, 1),
    ],
)
@pytest.mark.usefixtures("loaded")
def test_float_column(
    number: str, value: float | None, objects: int, careful: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A float of the model is one line there: pyarrow and msgspec read it as `read_record` does."""
    record = json.dumps({**PLAIN, "load": 0, "location": {**PLAIN["location"], "latitude": 0}})
    page = (
        f'{{"success": true, "data": [{record.replace(": 0", f": {number}")}, {json.dumps(PLAIN)}]}}'.encode()
    )
    same(page)
    assert len(careful) == objects
    with monkeypatch.context() as patched:
        patched.setattr(arrow, "_read_piece", arrow._read_carefully)
        same(page)

    frame = told(page, as_rows=True)[0]

    assert frame.dtypes[["load", "latitude"]].astype("str").tolist() == ["Float64", "Float64"]
    for name in ("load", "latitude"):
        assert [None if pd.isna(each) else each for each in frame[name]] == [value, None]


def test_every_type_has_a_column() -> None:
    """Each type that a field of a model may have can be read, is in the fast path, and has a dtype."""
    types = {each.type for model in MODELS.values() for each in fields_of(model)}
    assert types <= arrow.COLUMN_TYPES.keys()
    assert record_reader._CONVERTERS.keys() == arrow.COLUMN_TYPES.keys() == columns.DTYPES.keys()
    for kind, how in arrow.COLUMN_TYPES.items():
        assert str(how.pandas) == columns.DTYPES[kind]


def test_repr_shows_no_record() -> None:
    """Neither Rows nor a Listing of them shows a record: they hold initial passwords."""
    found = listed(body(PLAIN), as_rows=True)

    assert repr(found) == "Listing(1 records, drift=[])"
    assert repr(found.rows) == "[RawRecords(1 records)]"
    assert found.records[0][1]["initial_root_password"] == PASSWORD
    assert found.rows == ()


def test_undecodable_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that Python cannot decode (nested too deeply for the stack at hand) is a BadReply."""
    found = listed(body(PLAIN), as_rows=True)

    def too_deep(text: str) -> None:
        raise RecursionError

    monkeypatch.setattr(raw_records.json, "loads", too_deep)
    with pytest.raises(BadReply, match="cannot be decoded"):
        found.records  # noqa: B018 - looking decodes
