"""The read-only runbooks: what they work out, of odd accounts too, and that they run and tell what is wrong."""

from __future__ import annotations

import errno
import math
import socket
import struct
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import nbformat
import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pandas.testing import assert_frame_equal

import lcnb
from conftest import MANY, TOKEN, HandClock, warm_run, warm_server, without_account
from lcnb.api.models import Instance, Location, Plan, Profile, SSHKey
from lcnb.errors import InputError, ParameterError
from lcnb.frames.columns import records_frame
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook
from lcnb.runbooks.toolkit import (
    account_balance,
    machine_health,
    plan_prices,
    reachability,
    reporting,
    ssh_keys,
)
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHAPES = ["list", "object", "null", "missing", "strings", "extra", "object,missing,strings,extra,null"]
Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]

# --- the runway -----------------------------------------------------------------------------------------


def fleet_of(*machines: tuple[float | None, str | None]) -> pd.DataFrame:
    """An inventory of machines that cost so much in that currency."""
    columns = {
        "label": pd.Series([f"m{number}" for number in range(len(machines))], dtype="str"),
        "state": pd.Series(["running"] * len(machines), dtype="str"),
        "monthly_value": pd.Series([price for price, _ in machines], dtype="Float64"),
        "currencycode": pd.Series([code for _, code in machines], dtype="str"),
    }
    return pd.DataFrame(columns)


MONTH = 730 / 24
#: Name → balance, currency symbol, machines, days, as text, what is said.
RUNWAYS: dict[str, tuple[float | None, str | None, list[tuple[float | None, str | None]], float | None, str, str]] = {
    "a month": (30.0, "$", [(10.0, "USD"), (20.0, "USD")], MONTH, "30.4", "used up on Thursday, 24 December 2026"),
    "reais": (30.0, "R$", [(30.0, "BRL")], MONTH, "30.4", "used up on"),
    "code for symbol": (30.0, "USD", [(30.0, "USD")], MONTH, "30.4", "used up on"),
    "other currency": (30.0, "$", [(30.0, "USD"), (90.0, "BRL")], MONTH, "at most 30.4", "90.00 BRL per month for 1 machine"),
    "a price missing": (30.0, "$", [(30.0, "USD"), (None, None)], MONTH, "at most 30.4", "1 machine without a known price"),
    "price without currency": (30.0, "$", [(30.0, "USD"), (5.0, None)], MONTH, "at most 30.4", "without a known price"),
    "no machine": (30.0, "$", [], math.inf, "unlimited", "stays as it is"),
    "no machine, nothing left": (0.0, "$", [], math.inf, "unlimited", "stays as it is"),
    "nothing left": (0.0, "$", [(30.0, "USD")], 0.0, "0.0", "terminates them"),
    "below nothing": (-5.0, "$", [(30.0, "USD")], 0.0, "0.0", "needs 35.00 USD more"),
    "nothing left, no price": (0.0, "$", [(None, None)], 0.0, "0.0", "terminates them"),
    "no balance": (None, "$", [(30.0, "USD")], None, "not known", "reports no balance"),
    "no currency": (30.0, None, [(30.0, "USD")], None, "not known", "reports no currency"),
    "unknown currency": (30.0, "€", [(30.0, "USD")], None, "not known", "the currency € of the account is unknown"),
    "only other currency": (30.0, "$", [(90.0, "BRL")], None, "not known", "no machine has a price in USD"),
    "no price": (30.0, "$", [(None, None)], None, "not known", "no machine has a price in USD"),
    "free": (30.0, "$", [(0.0, "USD")], math.inf, "unlimited", "stays as it is"),
    "for ever": (1e300, "$", [(0.01, "USD")], None, "", "more than a hundred years"),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNWAYS)
def test_runway(case: str) -> None:
    """The days are computed where they can be, are an upper bound where something is not counted, and never guessed."""
    balance, symbol, machines, days, text, said = RUNWAYS[case]
    found = account_balance.compute_runway(Profile(currency=symbol, balance=balance), fleet_of(*machines))
    if case != "for ever":
        assert found.days == pytest.approx(days)
        assert found.days_text == text
    assert said in repr(account_balance.runway_note(found, MONTH, NOW))
    projection = account_balance.project_balance(found, NOW, 30)
    assert projection.dtypes.astype(str).tolist() == ["datetime64[us, UTC]", "Float64"]
    assert len(projection) == 0 if found.days in (None, math.inf) else projection.balance.min() >= 0


@pytest.mark.parametrize(
    ("days", "lasts", "missing"), [(30, True, 0.0), (31, False, 0.575342), (365, False, 330.0)]
)
def test_enough(days: int, lasts: bool, missing: float) -> None:
    """A balance that lasts long enough misses nothing; otherwise the missing amount is known."""
    found = account_balance.compute_runway(Profile(currency="$", balance=30.0), fleet_of((30.0, "USD")))
    assert found.lasts(days) is lasts
    assert found.missing_amount(days) == pytest.approx(missing)


@pytest.mark.parametrize("case", ["no balance", "no currency", "unknown currency", "no price"])
def test_unknown_is_not_enough(case: str) -> None:
    """A runway that is not known is never said to be long enough."""
    balance, symbol, machines, *_ = RUNWAYS[case]
    found = account_balance.compute_runway(Profile(currency=symbol, balance=balance), fleet_of(*machines))
    assert not found.lasts(1)
    assert found.missing_amount(30) is None
    assert found.end_time(NOW) is None


def test_postpaid() -> None:
    """The balance of a post-paid account is no limit."""
    found = account_balance.compute_runway(
        Profile(currency="$", balance=0.0), fleet_of((30.0, "USD")), prepaid=False
    )
    assert (found.days, found.days_text) == (None, "not known")
    assert "post-paid" in repr(account_balance.runway_note(found, 30, NOW))


def test_projection() -> None:
    """The balance goes down evenly to zero, has the moment of its end, and stays there."""
    found = account_balance.compute_runway(Profile(currency="$", balance=15.0), fleet_of((30.0, "USD")))
    rows = account_balance.project_balance(found, NOW, 30)
    assert rows["at"].iloc[0] == NOW
    assert rows.balance.iloc[0] == 15.0
    assert rows.balance.is_monotonic_decreasing
    gone = rows[rows.balance < 1e-9]["at"].iloc[0]
    assert abs(gone - (NOW + timedelta(days=MONTH / 2))) < timedelta(seconds=1)
    assert rows["at"].iloc[-1] >= NOW + timedelta(days=30)
    assert list(found.chart_marks(NOW, 30)) == ["in 30 days", "used up on 9 Dec 2026"]


def test_spend() -> None:
    """Each currency has a row of its own, what has no price a row without money; nothing is added across."""
    fleet = fleet_of((10.0, "USD"), (20.0, "USD"), (90.0, "BRL"), (None, None), (7.0, None))
    fleet.loc[1, "state"] = "off"
    costs = account_balance.spend_by_currency(fleet)
    assert costs.currencycode.fillna("").tolist() == ["USD", "BRL", ""]
    assert costs.machines.tolist() == [2, 1, 2]
    assert costs.monthly_value.fillna(-1).tolist() == [30.0, 90.0, -1]
    assert costs.not_running.fillna(-1).tolist() == [20.0, 0.0, -1]
    assert costs.daily_value.iloc[0] == pytest.approx(30 / MONTH)
    assert_frame_equal(account_balance.spend_by_currency(fleet.iloc[:0]), costs.iloc[:0])


# --- prices ---------------------------------------------------------------------------------------------

PLACES = records_frame(
    Location,
    [Location("MIA1", "US", "Miami", True), Location("LON1", "UK", "London", False), Location("SFO1", "US", "SF", None)],
)  # fmt: skip


def plan(location: str | None, price: float | None, code: str | None = "USD", core: int | None = 1) -> Plan:
    return Plan(f"{core}cpu", location, code, None, core, 1024, 10, 1000, price)


def offers_of(*plans: Plan) -> pd.DataFrame:
    return plan_prices.list_offers(records_frame(Plan, plans), PLACES)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (plan("MIA1", 5.0), None),
        (plan("mia1", 5.0), None),
        (plan("XYZ9", 5.0), None),
        (plan("MIA1", None), "it has no price"),
        (plan("MIA1", 0.0), "its price is 0.00"),
        (plan("MIA1", -5.0), "its price is -5.00"),
        (plan("MIA1", 5.0, None), "unknown: currencycode"),
        (plan("MIA1", 5.0, core=None), "unknown: core"),
        (plan(None, 5.0), "unknown: location"),
        (Plan(), "unknown: core, memory, disk, location, currencycode"),
    ],
)
def test_left_out(row: Plan, reason: str | None) -> None:
    """What cannot be compared is left out with its reason; the rest is compared."""
    found = offers_of(row)
    assert found.left_out.fillna("").tolist() == [reason or ""]
    assert len(plan_prices.cheapest_by_size(found)) == (reason is None)


def test_closed_is_never_cheapest() -> None:
    """A location that is closed is shown, named so, and neither marked nor called the cheapest."""
    found = offers_of(plan("MIA1", 6.0), plan("LON1", 1.0), plan("SFO1", 5.0))
    prices, marked = plan_prices.price_matrix(found, "USD")
    assert prices.columns.tolist() == ["LON1 (closed)", "MIA1", "SFO1"]
    assert prices.iloc[0].tolist() == [1.0, 6.0, 5.0]
    assert marked.iloc[0].tolist() == [False, False, True]
    row = plan_prices.cheapest_by_size(found).iloc[0]
    assert (row.cheapest_at, row.monthly_value, row.dearest_at, row.places) == ("SFO1", 5.0, "MIA1", 2)
    assert row.difference_percent == pytest.approx(20)
    assert plan_prices.fitting_offers(found, 1, 1, 0).location.tolist() == ["SFO1", "MIA1"]
    assert plan_prices.closed_locations(found) == ["LON1"]
    said = repr(plan_prices.closed_note(found))
    assert "No machine can be created at LON1" in said
    assert "whether SFO1 can be used" in said


def test_only_closed() -> None:
    """A size that only closed locations offer has no cheapest place."""
    found = offers_of(plan("LON1", 1.0))
    assert plan_prices.cheapest_by_size(found).cheapest_at.isna().all()
    assert not plan_prices.price_matrix(found, "USD")[1].to_numpy().any()
    assert not len(plan_prices.fitting_offers(found, 1, 1, 0))


def test_currencies_stay_apart() -> None:
    """Prices of two currencies are never compared: each has its own cheapest place."""
    found = offers_of(
        plan("MIA1", 5.0), plan("SFO1", 6.0), plan("MIA1", 30.0, "BRL"), plan("SFO1", 20.0, "BRL")
    )
    cheapest = plan_prices.cheapest_by_size(found).set_index("currencycode").cheapest_at.to_dict()
    assert cheapest == {"BRL": "SFO1", "USD": "MIA1"}
    assert plan_prices.offered_currencies(found) == ["BRL", "USD"]
    assert plan_prices.basket_prices(found, "BRL")[0].to_dict() == {"SFO1": 20.0, "MIA1": 30.0}


def test_ties_and_doubles() -> None:
    """Equal prices share the place, and of two prices of one size at one place the lower counts."""
    found = offers_of(plan("MIA1", 5.0), plan("SFO1", 5.0), plan("SFO1", 9.0))
    row = plan_prices.cheapest_by_size(found).iloc[0]
    assert (row.cheapest_at, row.places) == ("MIA1, SFO1", 2)
    assert pd.isna(row.dearest_at)
    assert plan_prices.price_matrix(found, "USD")[1].iloc[0].tolist() == [True, True]


def test_basket() -> None:
    """The basket holds the sizes that all open locations offer; one location alone is not compared."""
    found = offers_of(
        plan("MIA1", 5.0), plan("SFO1", 6.0), plan("SFO1", 9.0, core=2), plan("LON1", 1.0, core=2)
    )
    sums, count = plan_prices.basket_prices(found, "USD")
    assert (sums.to_dict(), count) == ({"MIA1": 5.0, "SFO1": 6.0}, 1)
    assert plan_prices.basket_prices(offers_of(plan("MIA1", 5.0)), "USD")[1] == 0


def test_no_offers() -> None:
    """No plan at all gives empty frames of the same columns and dtypes, and sentences."""
    nothing, some = offers_of(), offers_of(plan("MIA1", 5.0))
    assert_frame_equal(nothing, some.iloc[:0].reset_index(drop=True))
    assert_frame_equal(plan_prices.cheapest_by_size(nothing), plan_prices.cheapest_by_size(some).iloc[:0])
    assert plan_prices.fitting_offers(nothing, 1, 1, 0).dtypes.equals(
        plan_prices.fitting_offers(some, 1, 1, 0).dtypes
    )
    assert repr(plan_prices.price_tables(nothing)) == "No prices to compare."
    assert "No plan is offered" in repr(plan_prices.closed_note(nothing))
    assert repr(reporting.money_bars([])) == "No amounts to show."


# --- keys -----------------------------------------------------------------------------------------------


def text_of(private: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return str(private.public_key().public_bytes(*form).decode())


def ed25519_text(byte: int) -> str:
    return text_of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes([byte]) * 32))


def packed(*parts: bytes) -> str:
    return b64encode(b"".join(struct.pack(">I", len(part)) + part for part in parts)).decode()


def rsa_text(bits: int) -> str:
    """An RSA public key of so many bits; nobody can use it, and none has to be made."""
    return f"ssh-rsa {packed(b'ssh-rsa', mpint(65537), mpint((1 << (bits - 1)) + 1))}"


def mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


GOOD = ed25519_text(1)
ECDSA = text_of(ec.derive_private_key(7, ec.SECP256R1()))
PRIVATE = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACANARY\n-----END OPENSSH PRIVATE KEY-----"
)
DSS = f"ssh-dss {packed(b'ssh-dss', mpint((1 << 1023) + 1), mpint((1 << 159) + 1), mpint(2), mpint(4))}"

#: Name → public key, verdict, type, bits, what is said.
KEYS: dict[str, tuple[str | None, str, str | None, int | None, str]] = {
    "ed25519": (f"{GOOD} ana@laptop", "ok", "ssh-ed25519", 256, ""),
    "rsa 4096": (rsa_text(4096), "ok", "ssh-rsa", 4096, ""),
    "rsa 2048": (rsa_text(2048), "ok", "ssh-rsa", 2048, ""),
    "rsa 1024": (rsa_text(1024), "weak", "ssh-rsa", 1024, "RSA with 1024 bits, fewer than 2048"),
    "dss": (DSS, "weak", "ssh-dss", 1024, "DSA"),
    "ecdsa": (ECDSA, "odd", "ecdsa-sha2-nistp256", 256, "not among the types"),
    "options": (f'from="10.0.0.0/8" {GOOD}', "odd", "ssh-ed25519", 256, "options before the type"),
    "two lines": (f"{GOOD}\n{ECDSA}\n", "odd", "ssh-ed25519", 256, "several lines"),
    "end of line": (f"{GOOD}\r\n", "ok", "ssh-ed25519", 256, ""),
    "cut": (GOOD[:40], "unreadable", "ssh-ed25519", None, "damaged"),
    "no base64": ("ssh-rsa ???", "unreadable", "ssh-rsa", None, "damaged"),
    "other type inside": (f"ssh-rsa {GOOD.split()[1]}", "unreadable", "ssh-rsa", None, "damaged"),
    "unknown type": (f"ssh-quantum {GOOD.split()[1]}", "unreadable", "ssh-quantum", None, "unknown type"),
    "type alone": ("ssh-rsa", "unreadable", "ssh-rsa", None, "damaged"),
    "words": ("hello world", "unreadable", None, None, "no key type"),
    "nothing": (None, "unreadable", None, None, "reports no public key"),
    "blank": ("  \n ", "unreadable", None, None, "reports no public key"),
    "pem": ("-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----", "unreadable", None, None, "format of OpenSSH"),
    "rfc 4716": ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "unreadable", None, None, "format of OpenSSH"),
    "private": (PRIVATE, "exposed", None, None, "private key"),
    "not ascii": ("ssh-rsa äöü", "unreadable", "ssh-rsa", None, "damaged"),
}  # fmt: skip


def audited(*keys: tuple[str | None, str | None], **options: int) -> pd.DataFrame:
    rows = [SSHKey(f"k{number}", title, text) for number, (title, text) in enumerate(keys)]
    return ssh_keys.audit_keys(records_frame(SSHKey, rows), **options)


@pytest.mark.parametrize("case", KEYS)
def test_key(case: str) -> None:
    """Each shape of a key has its verdict, type, length and reason; its text is nowhere in the result."""
    text, verdict, kind, bits, said = KEYS[case]
    found = audited(("Title", text))
    row = found.iloc[0].astype(object).where(found.iloc[0].notna(), None)
    assert (row["verdict"], row["type"], row["bits"]) == (verdict, kind, bits)
    assert said in (row["findings"] or "")
    assert (row["findings"] is None) == (verdict == "ok")
    assert "CANARY" not in found.to_csv()
    assert_frame_equal(audited(), found.iloc[:0].reset_index(drop=True))


def test_rsa_limit() -> None:
    """The length from which an RSA key is strong enough can be asked for."""
    assert audited(("a", rsa_text(2048)), min_rsa_bits=3072).verdict.tolist() == ["weak"]


def test_fingerprint() -> None:
    """The fingerprint is the one that ssh-keygen shows, whatever the comment."""
    first, second = audited(("a", GOOD), ("b", f"{GOOD} someone")).fingerprint
    assert first == second
    assert first.startswith("SHA256:")
    assert len(first) == 50


def test_duplicates() -> None:
    """The same key twice and the same title twice are findings that name the other key."""
    found = audited(("Ana", GOOD), ("Bea", f"{GOOD} x"), (" ana", ed25519_text(2)), ("Cy", ed25519_text(3)))
    assert found.verdict.tolist() == ["duplicate", "duplicate", "duplicate", "ok"]
    assert found.findings[0] == "the same key as k1; the same title as k2"
    assert found.findings[1] == "the same key as k0"


def test_unreadable_keys_are_no_twins() -> None:
    """Keys that cannot be read are not taken for the same one."""
    assert audited(("a", "x"), ("b", "x")).verdict.tolist() == ["unreadable", "unreadable"]


@pytest.mark.parametrize("title", [None, "  ", "two  spaces", "tab\there", "zero\u200bwidth"])
def test_odd_title(title: str | None) -> None:
    """A title that is missing, or has signs that cannot be seen, is odd."""
    assert audited((title, GOOD)).verdict.tolist() == ["odd"]


# --- health ---------------------------------------------------------------------------------------------


def machine(label: str | None, state: str | None, **values: Any) -> Instance:
    return Instance(label=label, hostname=f"{label}.example.com", state=state, **values)


class Film:
    """Machines that are other ones at each look; the time passes while one sleeps."""

    def __init__(self, *frames: list[Instance]) -> None:
        self.frames = list(frames)
        self.looks = 0
        self.clock = HandClock()

    def read(self) -> pd.DataFrame:
        self.looks += 1
        return records_frame(Instance, self.frames[min(self.looks, len(self.frames)) - 1])

    def sleep(self, seconds: float) -> None:
        self.clock.now += seconds

    def watched(self, watch_s: float = 10, every_s: float = 5) -> pd.DataFrame:
        return machine_health.watch_machines(self.read, watch_s, every_s, clock=self.clock, sleep=self.sleep)


#: What one machine is seen to be → looks, seconds without a break, all along, last state.
FILMS: list[tuple[list[str | None], int, float, bool, str | None]] = [
    (["running"], 1, 0, False, "running"),
    ([None], 1, 0, False, None),
    (["building", "building", "building"], 3, 10, True, "building"),
    (["busy", "building", "busy"], 3, 10, True, "busy"),
    (["building", "running"], 2, 0, False, "running"),
    (["building", "building", "running"], 3, 0, False, "running"),
    (["busy", None], 2, 0, False, None),
]


@pytest.mark.parametrize(("states", "looks", "seconds", "all_along", "last"), FILMS)
def test_watch(
    states: list[str | None], looks: int, seconds: float, all_along: bool, last: str | None
) -> None:
    """A machine is called stuck when it was unsettled at each of several looks; watching ends when none is."""
    film = Film(*[[machine("a", state)] for state in states])
    (row,) = film.watched().to_dict("records")
    assert film.looks == looks
    assert (row["looks"], row["unsettled_s"], row["all_along"]) == (looks, seconds, all_along)
    assert (None if pd.isna(row["state"]) else row["state"]) == last


def test_one_look_tells_no_time() -> None:
    """By a single look nothing was unsettled for long, and that is said instead of a check."""
    watched = Film([machine("a", "building")]).watched(watch_s=0)
    assert watched.all_along.tolist() == [False]
    assert "one look does not show" in repr(machine_health.watch_note(watched, 0))
    assert not [
        text
        for _, text in machine_health.health_checks(watched, reachability.probe_ports(watched, [22], 1))
        if "all the time" in text
    ]


def test_identifier_comes_while_it_builds() -> None:
    """A machine stays the same one when it gets its identifier, and twins of one label are two."""
    film = Film(
        [machine("a", "building"), machine("a", "running")],
        [machine("a", "building", identifier="x"), machine("a", "running")],
    )
    assert film.watched(5, 5).all_along.tolist() == [True, False]


def test_gone_and_new() -> None:
    """A machine that disappears is gone, one that comes later is watched from then on."""
    film = Film(
        [machine("a", "busy"), machine("b", "busy")],
        [machine("b", "busy"), machine("c", "building")],
        [machine("b", "busy"), machine("c", "building")],
    )
    watched = film.watched().set_index("label")
    assert watched.state.to_dict() == {"a": "gone", "b": "busy", "c": "building"}
    assert watched.unsettled_s.to_dict() == {"a": 0.0, "b": 10.0, "c": 5.0}
    assert watched.all_along.to_dict() == {"a": False, "b": True, "c": False}


def test_no_machine() -> None:
    """Without a machine nothing is checked, and the frames have their columns and dtypes."""
    watched = Film([]).watched()
    reached = reachability.probe_ports(watched, [22], 1)
    some = Film([machine("a", "running", ipv4="127.0.0.1")]).watched()
    full = reachability.probe_ports(some, [1], 1, connect=lambda place, timeout: socket.socket())
    assert_frame_equal(watched, some.iloc[:0].reset_index(drop=True))
    assert_frame_equal(reached, full.iloc[:0].reset_index(drop=True))
    assert machine_health.health_checks(watched, reached) == []
    assert len(machine_health.assess_health(watched, reached)) == 0
    assert reachability.outcomes_by_port(reached).empty
    assert "no machines" in repr(machine_health.watch_note(watched, 10))


def test_damaged_machines() -> None:
    """Machines of which the API reports next to nothing are rows too, with a concern that says so."""
    film = Film(
        [Instance(), Instance(), machine(None, "suspended"), Instance(state="running", ipv4="127.0.0.1")]
    )
    watched = film.watched()
    reached = reachability.probe_ports(watched, [22], 1, connect=lambda place, timeout: socket.socket())
    found = machine_health.assess_health(watched, reached)
    assert found.concern.fillna("").tolist() == [
        "the API reports no state",
        "the API reports no state",
        "suspended by the provider",
        "",
    ]
    assert found.reached.fillna(False).tolist() == [False, False, False, True]
    failed = [text for ok, text in machine_health.health_checks(watched, reached) if not ok]
    assert failed == [
        "No machine is suspended (not so for 1: (no label)).",
        "The API reports the state of every machine (not so for 2: (no label), (no label)).",
    ]


def test_concerns() -> None:
    """Concerns are sorted by their weight: a machine that does not run comes first."""
    watched = Film([machine("b", "running"), machine("a", "running"), machine("z", "suspended")]).watched()
    found = machine_health.assess_health(watched, reachability.probe_ports(watched, [22], 1))
    assert machine_health.list_concerns(found).label.tolist() == ["z", "a", "b"]
    assert len(machine_health.list_concerns(found.iloc[:0])) == 0


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_reach(listener: int) -> None:
    """Real connects: an open port, a closed one, a machine without an address, and one that is off."""
    machines = [
        machine("a", "running", ipv4="127.0.0.1"),
        machine("b", "running"),
        machine("c", "off", ipv4="127.0.0.1"),
    ]
    shut = closed_port()
    watched = Film(machines).watched()
    reached = reachability.probe_ports(watched, [listener, shut, listener], 5)
    assert reached[["label", "port", "outcome"]].to_records(index=False).tolist() == [
        ("a", listener, "open"),
        ("a", shut, "refused"),
        ("b", listener, "no address"),
        ("b", shut, "no address"),
    ]
    assert reached.milliseconds.notna().tolist() == [True, True, False, False]
    found = machine_health.assess_health(watched, reached).set_index("label")
    assert found.concern.fillna("").to_dict() == {
        "a": f"port {shut}: refused",
        "b": f"port {listener}: no address; port {shut}: no address",
        "c": "",
    }
    assert reachability.outcomes_by_port(reached).index.tolist() == sorted(
        [f"port {listener}", f"port {shut}"], key=lambda text: int(text[5:])
    )


@pytest.mark.parametrize(
    ("error", "outcome", "reached"),
    [
        (TimeoutError("timed out"), "no answer", False),
        (OSError(errno.ETIMEDOUT, "timed out"), "no answer", False),
        (OSError(errno.EHOSTUNREACH, "no route to host"), "no answer", False),
        (ConnectionRefusedError(), "refused", False),
        (ConnectionResetError(), "refused", False),
        (OSError(errno.ENETUNREACH, "network is unreachable"), "no way from here", None),
        (PermissionError(errno.EACCES, "a firewall here"), "no way from here", None),
    ],
)
def test_reach_errors(error: OSError, outcome: str, reached: bool | None) -> None:
    """What cannot be reached from here is not held against the machine."""

    def connect(place: tuple[str, int], timeout: float) -> Any:
        raise error

    watched = Film([machine("a", "running", ipv6="::1")]).watched()
    found = reachability.probe_ports(watched, [22], 1, connect=connect)
    assert found.outcome.tolist() == [outcome]
    (row,) = machine_health.assess_health(watched, found).to_dict("records")
    assert (None if pd.isna(row["reached"]) else row["reached"]) is reached
    failed = [text for ok, text in machine_health.health_checks(watched, found) if not ok]
    here = "This computer can reach the network of every machine (not so for 1: a)."
    assert failed == (
        [here] if reached is None else ["Every running machine has port 22 open (not so for 1: a)."]
    )


def test_reach_at_once() -> None:
    """Many machines are asked at once: all of them wait for each other here, and none in vain."""
    from threading import Barrier

    barrier = Barrier(20)

    def connect(place: tuple[str, int], timeout: float) -> Any:
        barrier.wait(600)
        return socket.socket()

    watched = Film([machine(f"m{n}", "running", ipv4=f"127.0.0.{n + 1}") for n in range(20)]).watched()
    assert reachability.probe_ports(watched, [22], 1, connect=connect).outcome.tolist() == ["open"] * 20


@pytest.mark.parametrize("port", [0, -1, 65536, True, 22.5])
def test_odd_port(port: Any) -> None:
    """A port that there cannot be is refused, also where the cell's own check was passed by."""
    with pytest.raises(InputError, match="from 1 to 65535"):
        reachability.probe_ports(records_frame(Instance, []), [port], 1)


@pytest.mark.parametrize(("ports", "said"), [("0", ">= 1"), ("22,65536", "<= 65535"), ("ssh", "list of int")])
def test_port_parameter(ports: str, said: str, settings: Any) -> None:
    """A port outside its bounds is refused before anything is started."""
    with pytest.raises(ParameterError, match=said):
        run_runbook("health_watch", {"ports": ports}, settings=settings)


def test_named() -> None:
    """Names in a sentence are counted, and only some are listed."""
    assert reporting.summarize_labels(["a", None, "c"], most=2) == "3: a, (no label) and 1 more"


# --- against the sandbox, in every shape of its answers -------------------------------------------------


@pytest.mark.parametrize("fleet", [0, 60])
@pytest.mark.parametrize("shapes", SHAPES)
def test_every_shape(shapes: str, fleet: int, served: Served) -> None:
    """Every documented shape of the answers, of an empty account too, is worked out without an error."""
    _, lc = served(shapes=shapes, fleet=fleet)
    inventory = lc.inventory()
    found = account_balance.compute_runway(lc.profile(), inventory)
    assert (found.days == math.inf) == (fleet == 0)
    assert account_balance.spend_by_currency(inventory).machines.sum() == fleet
    offered = plan_prices.list_offers(lc.plans(), lc.locations())
    assert len(offered[offered.left_out.isna()]) == 54
    assert len(plan_prices.price_tables(offered)._repr_html_()) > 1000
    assert (ssh_keys.audit_keys(lc.sshkeys()).verdict == "ok").all()
    watched = machine_health.watch_machines(lc.instances, 0, 1)
    reached = reachability.probe_ports(watched, [22], 1, connect=lambda place, timeout: socket.socket())
    assert len(machine_health.assess_health(watched, reached)) == fleet
    assert len(machine_health.health_checks(watched, reached)) == (3 if fleet else 0)


# --- the runbooks, headless -----------------------------------------------------------------------------


def nothing(sandbox: Sandbox) -> None:
    """As the sandbox begins."""


def odd_rows(sandbox: Sandbox) -> None:
    """Numbers that are words, flags that are texts, a row that is none, places and names that are missing."""
    write = sandbox.shapes.listed_instance

    def damaged(each: Any) -> Any:
        row = write(each)
        number = each["uid"] % 6
        if number == 1:
            row |= {"memory": "much", "cpus": None, "location": 7}
        elif number == 2:
            row |= {"built": "perhaps", "label": None, "hostname": None}
        elif number == 3:
            row |= {"ip_addresses": "none", "location": None}
        return row

    here(sandbox)
    sandbox.shapes.listed_instance = damaged  # type: ignore[method-assign]


def nearly_broke(sandbox: Sandbox) -> None:
    sandbox.world.profile["balance"] = 1.0


def without_plans(sandbox: Sandbox) -> None:
    sandbox.shapes.plans = lambda location: []  # type: ignore[method-assign]


def bad_keys(sandbox: Sandbox) -> None:
    keys = [KEYS["rsa 1024"][0], GOOD, f"{GOOD} again", PRIVATE, None, ECDSA]
    sandbox.world.sshkeys[:] = [
        {"slug": f"k{number}", "title": f"K {number}", "public_key": key} for number, key in enumerate(keys)
    ]


def here(sandbox: Sandbox) -> None:
    for each in sandbox.world.machines:
        each["addresses"] = ["127.0.0.1"] if each["addresses"] else []


#: Name → runbook, machines, what is done to the account, parameters, the checks that fail, what is said.
RUNS: dict[str, tuple[str, int, Callable[[Sandbox], None], dict[str, str], list[str], str]] = {
    "balance": ("balance_runway", 60, nothing, {"attention_days": "5"}, [], "used up on"),
    "balance of nothing": ("balance_runway", 0, nothing, {}, [], "There are no machines, so nothing is charged."),
    "balance low": ("balance_runway", 60, nearly_broke, {}, ["at least 30 days"], "At zero the provider terminates them"),
    "post-paid": ("balance_runway", 5, nearly_broke, {"prepaid": "false"}, [], "post-paid"),
    "balance of odd machines": ("balance_runway", 12, odd_rows, {"attention_days": "5"}, [], "without a known price"),
    "prices": ("price_compare", 0, nothing, {}, [], "LON1 (closed)"),
    "prices of nothing": ("price_compare", 0, without_plans, {}, ["offers at least"], "No prices to compare."),
    "prices too large": ("price_compare", 0, nothing, {"cpus": "64", "currency": "BRL"}, ["at least 64 CPU"], "No plan fits."),
    "keys": ("key_audit", 5, nothing, {}, [], "What this audit cannot show"),
    "keys of nothing": ("key_audit", 0, nothing, {}, [], "The account has no ssh keys."),
    "keys bad": ("key_audit", 5, bad_keys, {}, ["private key", "can be read", "is weak", "twice", "odd shape"], "the same key as k2"),
    "health": ("health_watch", 5, here, {"ports": "OPEN"}, [], "No machine needs attention."),
    "health of nothing": ("health_watch", 0, nothing, {}, [], "There are no machines to watch."),
    "health of odd machines": ("health_watch", 5, odd_rows, {"ports": "OPEN"}, ["state of every machine (not so for 1: (no label))", "open (not so for 1"], "no address"),
    "health bad": ("health_watch", 60, here, {"ports": "OPEN,CLOSED", "watch_s": "1", "every_s": "1"}, ["suspended", "all the time", "open (not so for 46"], "building at each of 2 looks"),
}  # fmt: skip
TABLES = {
    "balance_runway": {"spend", "projection"},
    "price_compare": {"offers", "cheapest"},
    "key_audit": {"keys"},
    "health_watch": {"health", "reached"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunResult]]:
    """The runs of RUNS, two at a time, each against a sandbox of its own whose clock stands still."""
    place = tmp_path_factory.mktemp("insights")
    env = without_account(place)
    with ExitStack() as stack:
        stack.enter_context(warm_server(env))
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        ports = {"OPEN": str(server.getsockname()[1]), "CLOSED": str(closed_port())}

        def one(name: str) -> RunResult:
            book, fleet, prepare, parameters, _, _ = RUNS[name]
            sandbox = Sandbox(World(Clock(0), fleet=fleet), TOKEN, rate_limit=MANY)
            prepare(sandbox)
            given = {
                key: ",".join(ports.get(part, part) for part in value.split(","))
                for key, value in parameters.items()
            }
            with serve_in_thread(sandbox) as base_url:
                return warm_run(book, given, env, place / name, base_url)

        with ThreadPoolExecutor(2) as pool:
            yield dict(zip(RUNS, pool.map(one, RUNS), strict=True))


def outputs(run: RunResult) -> Iterator[Any]:
    (path,) = run.folder.glob("*.ipynb")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            yield from cell.outputs


@pytest.mark.parametrize("name", RUNS)
def test_runbook(name: str, runs: dict[str, RunResult]) -> None:
    """Each runbook ends well on a normal, an empty and a bad account, and shows the checks that failed, and only those."""
    book, _, _, _, failing, said = RUNS[name]
    run = runs[name]
    assert (run.status, run.exit_code) == (("attention", 8) if failing else ("done", 0)), run.error
    found = list(outputs(run))
    noise = [each.text for each in found if each.output_type == "stream"]
    assert all("DriftWarning" in text for text in noise)
    assert bool(noise) == ("odd" in name)
    texts = [each.data["text/plain"] for each in found if "text/plain" in each.get("data", {})]
    failed = [text for text in texts if text.startswith("CHECK FAILED")]
    assert len(failed) == len(failing), failed
    for text, wanted in zip(failed, failing, strict=True):
        assert wanted in text
    assert said in run.report.read_text(encoding="utf-8")
    saved = {path.stem for path in run.files if path.suffix == ".parquet"}
    assert saved == {path.stem for path in run.files if path.suffix == ".csv"} == TABLES[book]


def test_no_private_key_is_kept(runs: dict[str, RunResult]) -> None:
    """A private key in place of a public one is in no file of the run."""
    for path in runs["keys bad"].folder.iterdir():
        assert b"CANARY" not in path.read_bytes(), path


def test_empty_tables_have_the_same_columns(runs: dict[str, RunResult]) -> None:
    """The tables that are kept have the same columns and dtypes for an empty account."""
    for full, empty in (
        ("balance", "balance of nothing"),
        ("prices", "prices of nothing"),
        ("keys", "keys of nothing"),
        ("health", "health of nothing"),
    ):
        for table in TABLES[RUNS[full][0]]:
            one, other = (pd.read_parquet(runs[name].folder / f"{table}.parquet") for name in (full, empty))
            assert one.dtypes.astype(str).to_dict() == other.dtypes.astype(str).to_dict()
