"""Machines are watched over time, their ports are probed, and what is wrong with them is reported."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from conftest import HandClock
from lcnb.api.models import Instance
from lcnb.errors import InputError, ParameterError
from lcnb.frames.columns import records_frame
from lcnb.runbooks.run import run_runbook
from lcnb.runbooks.toolkit import (
    machine_health,
    reachability,
)


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
        each
        for each in machine_health.health_checks(watched, reachability.probe_ports(watched, [22], 1))
        if "all the time" in each.ok_text
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
    failed = [each.problem_text for each in machine_health.health_checks(watched, reached) if not each.ok]
    assert failed == [
        "1 machine is suspended: (no label)",
        "2 machines have no state in the API: (no label), (no label)",
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
    failed = [each.problem_text for each in machine_health.health_checks(watched, found) if not each.ok]
    here = "1 machine is in a network that this computer cannot reach: a"
    assert failed == ([here] if reached is None else ["1 running machine does not have port 22 open: a"])


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
