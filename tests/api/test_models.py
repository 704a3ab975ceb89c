"""Reading a record: each odd value is a missing one and a note of its place, never an error."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lcnb.client.results  # noqa: F401 - gives records their look in a notebook
from lcnb.api.fields import Drift, Record, fields_of
from lcnb.api.models import MODELS, Instance, Location, Plan, Profile, Snapshot, SSHKey, instance_state
from lcnb.api.record_reader import SECRET_NAME_PATTERN, read_record
from lcnb.display.formats import format_value

DEEP = json.loads("[" * 900 + "]" * 900)
LONG = "x" * 100


def one(model: type[Record], record: dict[str, Any]) -> tuple[Any, list[Drift]]:
    drift: list[Drift] = []
    return read_record(model, record, "$.data[0]", drift), drift


# --- values ---------------------------------------------------------------------------------------------

# Type → value in JSON, and what is read: a value, or a Drift whose words are given.
TEXTS = [
    ("a", "a"),
    (" a ", " a "),
    ("são paulo", "são paulo"),
    ("<script>", "<script>"),
    ("", None),
    (None, None),
    (5, "5"),
    (5.5, "5.5"),
    ("\ud800x", "?x"),
    (True, Drift("", "expected a text, got True")),
    ([], Drift("", "expected a text, got a list")),
    ({"a": 1}, Drift("", "expected a text, got an object")),
    (DEEP, Drift("", "expected a text, got a list")),
]
WHOLES = [
    (1024, 1024),
    ("1024", 1024),
    (" 1024 ", 1024),
    (1024.0, 1024),
    ("1024.0", 1024),
    ("-1", -1),
    (0, 0),
    (None, None),
    ("", None),
    ("  ", None),
    (2**63 - 1, 2**63 - 1),
    (2**63, Drift("", "expected a 64-bit whole number, got 9223372036854775808")),
    (10**500, Drift("", f"expected a 64-bit whole number, got {'1' + '0' * 36}...")),
    (1e300, Drift("", "expected a 64-bit whole number, got 1e+300")),
    (1.5, Drift("", "expected a whole number, got 1.5")),
    ("1.5", Drift("", "expected a whole number, got '1.5'")),
    ("1 GB", Drift("", "expected a number, got '1 GB'")),
    ("1_024", Drift("", "expected a number, got '1_024'")),
    ("0x10", Drift("", "expected a number, got '0x10'")),
    ("many", Drift("", "expected a number, got 'many'")),
    (LONG, Drift("", f"expected a number, got '{'x' * 36}...")),
    (True, Drift("", "expected a number, got True")),
    ([1], Drift("", "expected a number, got a list")),
    ({}, Drift("", "expected a number, got an object")),
    (float("inf"), Drift("", "expected a finite number, got inf")),
    ("NaN", Drift("", "expected a finite number, got 'NaN'")),
]
NUMBERS = [
    ("5.40", 5.4),
    (5.4, 5.4),
    (5, 5.0),
    ("100.00", 100.0),
    ("-3.5", -3.5),
    ("1e2", 100.0),
    ("", None),
    (None, None),
    ("5,40", Drift("", "expected a number, got '5,40'")),
    ("$5.40", Drift("", "expected a number, got '$5.40'")),
    (10**400, Drift("", f"expected a number, got {'1' + '0' * 36}...")),
    (float("nan"), Drift("", "expected a finite number, got nan")),
    ("1e999", Drift("", "expected a finite number, got '1e999'")),
    (False, Drift("", "expected a number, got False")),
    ([], Drift("", "expected a number, got a list")),
]
FLAGS = [
    (True, True),
    (False, False),
    (1, True),
    (0, False),
    ("1", True),
    ("0", False),
    ("true", True),
    (" False ", False),
    ("", None),
    (None, None),
    (2, Drift("", "expected true or false, got 2")),
    (1.0, Drift("", "expected true or false, got 1.0")),
    ("yes", Drift("", "expected true or false, got 'yes'")),
    ([], Drift("", "expected true or false, got a list")),
    ({"a": 1}, Drift("", "expected true or false, got an object")),
]
LISTS = [
    (["MIA1", "MIA2"], ("MIA1", "MIA2")),
    ([{"slug": "MIA1"}, "MIA2"], ("MIA1", "MIA2")),
    ({"1": "MIA1", "3": "MIA2"}, ("MIA1", "MIA2")),
    ({"0": {"slug": "MIA1"}}, ("MIA1",)),
    ([], ()),
    ({}, ()),
    (["", None, {}, "MIA1"], ("MIA1",)),
    ([5], ("5",)),
    (None, None),
    ("MIA1", Drift("", "expected a list, got 'MIA1'")),
    (5, Drift("", "expected a list, got 5")),
    ([["MIA1"]], Drift("", "expected a text, got a list")),
    ([True], Drift("", "expected a text, got True")),
]
VALUES = [
    *[(Instance, "label", *row) for row in TEXTS],
    *[(Instance, "memory", *row) for row in WHOLES],
    *[(Plan, "monthly_value", *row) for row in NUMBERS],
    *[(Location, "available", *row) for row in FLAGS],
    *[(Snapshot, "locations", *row) for row in LISTS],
]


@pytest.mark.parametrize(("model", "name", "value", "expected"), VALUES, ids=itertools.count())
def test_value(model: type[Record], name: str, value: object, expected: object) -> None:
    """A value is converted, or is missing and noted with its JSON path."""
    record, drift = one(model, {name: value})
    if isinstance(expected, Drift):
        assert getattr(record, name) is None
        assert drift == [Drift(f"$.data[0].{name}", expected.problem)]
    else:
        assert (getattr(record, name), drift) == (expected, [])
        assert type(getattr(record, name)) is type(expected)


@pytest.mark.parametrize("model", MODELS.values())
def test_empty(model: type[Record]) -> None:
    """A record without any field is read as one whose every value is missing."""
    record, drift = one(model, {})
    assert {value for _, value in record.rows()} == {None}
    assert drift == []


@pytest.mark.parametrize(
    ("location", "expected", "problem"),
    [
        (
            {"slug": "MIA1", "city": "Miami", "country": "United States"},
            ("MIA1", "Miami", "United States"),
            None,
        ),
        ({"slug": "MIA1"}, ("MIA1", None, None), None),
        ("MIA1", ("MIA1", None, None), None),
        ("", (None, None, None), None),
        (None, (None, None, None), None),
        ([], (None, None, None), None),
        ({}, (None, None, None), None),
        ({"slug": {"a": 1}, "city": "Miami"}, (None, "Miami", None), "expected a text, got an object"),
        (["MIA1"], (None, None, None), "expected an object, got a list"),
        (5, (None, None, None), "expected an object, got 5"),
        (True, (None, None, None), "expected an object, got True"),
    ],
)
def test_location(location: object, expected: tuple[str | None, ...], problem: str | None) -> None:
    """The location of a machine is an object, or its slug alone; anything else is noted once."""
    machine, drift = one(Instance, {"location": location})
    assert (machine.location, machine.city, machine.country) == expected
    assert drift == ([Drift("$.data[0].location.slug", problem)] if problem else [])


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"currencycode": "USD", "shortcode": "R$"}, "USD"),
        ({"shortcode": "$"}, "USD"),
        ({"shortcode": "R$"}, "BRL"),
        ({"currencycode": "", "shortcode": "R$"}, "BRL"),
        ({"currencycode": "EUR"}, "EUR"),
        ({"shortcode": "€"}, None),
        ({}, None),
    ],
)
def test_currency(record: dict[str, str], code: str | None) -> None:
    """Where the currency's code is missing its symbol tells it; an unknown symbol tells nothing."""
    assert one(Plan, record)[0].currencycode == code


# --- what follows from other values ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suspended", "built", "locked", "booted", "state"),
    [
        (True, False, True, True, "suspended"),
        (True, None, None, None, "suspended"),
        (False, False, True, True, "building"),
        (None, False, None, None, "building"),
        (False, True, True, True, "busy"),
        (False, True, True, False, "busy"),
        (None, True, True, None, "busy"),
        (False, True, False, True, "running"),
        (None, True, None, True, "running"),
        (False, True, False, False, "off"),
        (None, True, False, False, "off"),
        (False, True, False, None, None),
        (False, None, False, True, None),
        (False, None, True, False, None),
        (None, None, None, None, None),
    ],
)
def test_state(
    suspended: bool | None, built: bool | None, locked: bool | None, booted: bool | None, state: str | None
) -> None:
    """The state is the first that holds; a flag that is missing where it decides leaves the state unknown."""
    flags = {"suspended": suspended, "built": built, "locked": locked, "booted": booted}
    assert instance_state(flags) == state
    told = {name: value for name, value in flags.items() if value is not None}
    assert one(Instance, told)[0].state == state


def test_state_of_odd_flags() -> None:
    """A flag that is odd counts as missing: no state is made up from it."""
    machine, drift = one(Instance, {"built": True, "booted": "perhaps"})
    assert machine.state is None
    assert drift == [Drift("$.data[0].booted", "expected true or false, got 'perhaps'")]


@pytest.mark.parametrize(
    ("addresses", "ipv4", "ipv6"),
    [
        ([{"address": "192.0.2.1"}, {"address": "2001:db8::1"}], "192.0.2.1", "2001:db8::1"),
        (["2001:db8::1", "192.0.2.1", "192.0.2.2", "2001:db8::2"], "192.0.2.1", "2001:db8::1"),
        (["2001:db8::1"], None, "2001:db8::1"),
        (["pending", "", None, "999.1.1.1", "192.0.2.0/24", "192.0.2.9"], "192.0.2.9", None),
        ({"0": {"address": "192.0.2.1"}}, "192.0.2.1", None),
        ({"address": "192.0.2.1"}, "192.0.2.1", None),
        ([{"ip": "192.0.2.1"}], None, None),
        ([], None, None),
        (None, None, None),
        ("192.0.2.1", None, None),
    ],
)
def test_addresses(addresses: object, ipv4: str | None, ipv6: str | None) -> None:
    """The first IPv4 and the first IPv6 address are told, in whichever order and shape they come."""
    machine, _ = one(Instance, {"ip_addresses": addresses})
    assert (machine.ipv4, machine.ipv6) == (ipv4, ipv6)


def test_odd_address_is_seen() -> None:
    """What is no address stays among the addresses."""
    assert one(Instance, {"ip_addresses": ["pending"]})[0].ip_addresses == ("pending",)


# --- unknown fields -------------------------------------------------------------------------------------


def test_extra() -> None:
    """Unknown fields are kept as they came, but not those whose name tells of a secret, at any depth."""
    machine, drift = one(
        Instance,
        {
            "label": "web",
            "tags": ["a", {"b": 1, "api_key": "canary"}],
            "state": "from the API",
            "initial_root_password": "canary",
            "meta": {"Token": "canary", "secretKey": "canary", "kept": {"private_key": "canary", "n": None}},
            "Credentials": {"user": "canary"},
        },
    )
    assert machine.extra == {
        "tags": ["a", {"b": 1}],
        "state": "from the API",
        "meta": {"kept": {"n": None}},
    }
    assert (machine.state, drift) == (None, [])


@pytest.mark.parametrize(
    "name",
    ["password", "initial_root_password", "passwd", "private_key", "privateKey", "token", "api_token", "apikey", "API_KEY", "client_secret", "credentials"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """A name that tells of a secret is known as one, however it is written."""
    assert SECRET_NAME_PATTERN.search(name)
    assert one(SSHKey, {name: "canary"})[0].extra == {}


@pytest.mark.parametrize("model", MODELS.values())
def test_no_secret_is_a_field(model: type[Record]) -> None:
    """No field of any model is named as a secret, and none is read from such a place."""
    for each in fields_of(model):
        assert not SECRET_NAME_PATTERN.search(".".join((each.name, *each.wire)))


def test_extra_is_quiet() -> None:
    """Unknown fields do not show in the repr, and two records differ by their known fields alone."""
    plain, _ = one(Instance, {"label": "web"})
    more, _ = one(Instance, {"label": "web", "unknown": "canary"})
    assert plain == more
    assert hash(plain) == hash(more)
    assert "canary" not in repr(more)


def test_frozen() -> None:
    """A record cannot be changed: it is what was read."""
    with pytest.raises(AttributeError):
        one(Instance, {"label": "web"})[0].label = "other"


# --- whatever comes -------------------------------------------------------------------------------------

NAMES = sorted({each.wire[0] for model in MODELS.values() for each in fields_of(model)})
ODD_TEXTS = [
    "",
    " ",
    "1",
    "0",
    "true",
    "5.40",
    "1e999",
    "NaN",
    "192.0.2.1",
    "2001:db8::1",
    "\ud800",
    "\x00",
    "MIA1",
    "$",
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(ODD_TEXTS)
    | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["address", "slug", "city", "token"]) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)  # fmt: skip
RECORDS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), JSON, max_size=12)


@settings(deadline=None, max_examples=150)
@given(model=st.sampled_from(sorted(MODELS.values(), key=lambda model: model.__name__)), record=RECORDS)
def test_read_never_raises(model: type[Record], record: dict[str, Any]) -> None:
    """Any JSON record is read; each value has its field's type or is missing, and can be written as UTF-8."""
    found, drift = one(model, record)
    for each, value in found.rows():
        assert value is None or type(value) is each.type
        for text in value if isinstance(value, tuple) else [value]:
            assert not isinstance(text, str) or text.encode("utf-8")
    assert {re.match(r"\$\.data\[0\]\.\w+", each.path) is not None for each in drift} <= {True}
    assert found._repr_html_()
    assert hash(found) is not None


def test_deep_record() -> None:
    """A record that is nested deeper than Python's stack is read too."""
    machine, drift = one(Instance, {"label": "web", "odd": DEEP, "location": DEEP})
    assert machine.label == "web"
    assert [each.path for each in drift] == ["$.data[0].location.slug"]


# --- showing --------------------------------------------------------------------------------------------

HOSTILE = "<script>alert('x')</script>"


@pytest.mark.parametrize("model", MODELS.values())
def test_html_is_escaped(model: type[Record]) -> None:
    """In a notebook a record is a small table in which no value can be a tag."""
    texts = {each.name: HOSTILE for each in fields_of(model) if each.type is str}
    tuples = {each.name: (HOSTILE,) for each in fields_of(model) if each.type is tuple}
    html = model(**texts, **tuples)._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == len(texts) + len(tuples) + 1  # and the title


def test_html_shows_units() -> None:
    """A record's table names it by its label, and shows units and missing values."""
    html = Instance(label="web-01", memory=2048)._repr_html_()
    assert "<caption>Instance web-01</caption>" in html
    assert 'memory <small>MB</small></th><td class="n">2,048</td>' in html
    assert '<td class="lcnb-none">–</td>' in html


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (False, "no"),
        ((), "–"),
        (("a", "b"), "a, b"),
        ((1, 2), "1, 2"),
        (5.4, "5.4"),
        ("<b>", "<b>"),
    ],
)
def test_shown(value: object, text: str) -> None:
    """People read an en dash for what is missing, and yes or no for a flag."""
    assert format_value(value) == text


@pytest.mark.parametrize("model", MODELS.values())
def test_fields_are_told(model: type[Record]) -> None:
    """Each field has help, a type that a column can have, and a name that is no other's."""
    each = fields_of(model)
    assert all(field.about.help and field.type in (str, int, float, bool, tuple) for field in each)
    assert len({field.name for field in each}) == len(each)
    assert hasattr(model, model.TITLE)


def test_profile_currency() -> None:
    """The account's currency is a symbol, and its balance a number though it comes as a text."""
    profile, drift = one(Profile, {"currency": "R$", "balance": "100.00", "company_name": None})
    assert (profile.currency, profile.balance, profile.company_name, drift) == ("R$", 100.0, None, [])
