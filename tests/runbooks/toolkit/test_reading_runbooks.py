"""The runbooks that only read, run against sandboxes: normal, empty and damaged accounts."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import nbformat
import pandas as pd
import pytest

import lcnb
from conftest import MANY, TOKEN, warm_run, warm_server, without_account
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.toolkit import (
    account_balance,
    machine_health,
    plan_prices,
    reachability,
    ssh_keys,
)
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from sample_keys import ECDSA, GOOD, KEYS, PRIVATE

SHAPES = ["list", "object", "null", "missing", "strings", "extra", "object,missing,strings,extra,null"]


Served = Callable[..., tuple[Sandbox, lcnb.LetsCloud]]


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


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def here(sandbox: Sandbox) -> None:
    for each in sandbox.world.machines:
        each["addresses"] = ["127.0.0.1"] if each["addresses"] else []


#: Name → runbook, machines, what is done to the account, parameters, the checks that fail, what is said.
RUNS: dict[str, tuple[str, int, Callable[[Sandbox], None], dict[str, str], list[str], str]] = {
    "balance": ("balance_runway", 60, nothing, {"attention_days": "5"}, [], "used up on"),
    "balance of nothing": ("balance_runway", 0, nothing, {}, [], "There are no machines, so nothing is charged."),
    "balance low": ("balance_runway", 60, nearly_broke, {}, ["days; at least 30 were wanted"], "At zero the provider terminates them"),
    "post-paid": ("balance_runway", 5, nearly_broke, {"prepaid": "false"}, [], "post-paid"),
    "balance of odd machines": ("balance_runway", 12, odd_rows, {"attention_days": "5"}, [], "without a known price"),
    "prices": ("price_compare", 0, nothing, {}, [], "LON1 (closed)"),
    "prices of nothing": ("price_compare", 0, without_plans, {}, ["No open location offers at least"], "No prices to compare."),
    "prices too large": ("price_compare", 0, nothing, {"cpus": "64", "currency": "BRL"}, ["No open location offers at least 64 CPU"], "No plan fits."),
    "keys": ("key_audit", 5, nothing, {}, [], "What this audit cannot show"),
    "keys of nothing": ("key_audit", 0, nothing, {}, [], "The account has no ssh keys."),
    "keys bad": ("key_audit", 5, bad_keys, {}, ["holds a private key", "cannot be read", "weak: ", "twice", "odd shape"], "the same key as k2"),
    "health": ("health_watch", 5, here, {"ports": "OPEN"}, [], "No machine needs attention."),
    "health of nothing": ("health_watch", 0, nothing, {}, [], "There are no machines to watch."),
    "health elsewhere": ("health_watch", 1, nothing, {"location": "LON1"}, ["No machine is at LON1"], "There are no machines to watch."),
    "health of odd machines": ("health_watch", 5, odd_rows, {"ports": "OPEN"}, ["1 machine has no state in the API: (no label)", "1 running machine does not have port"], "no address"),
    "health bad": ("health_watch", 60, here, {"ports": "OPEN,CLOSED", "watch_s": "1", "every_s": "1"}, ["suspended: ", "all the time: ", "46 running machines do not have port"], "building at each of 2 looks"),
}  # fmt: skip


TABLES = {
    "balance_runway": {"spend", "projection"},
    "price_compare": {"offers", "cheapest"},
    "key_audit": {"keys"},
    "health_watch": {"health", "reached"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunResult]]:
    """The runs of RUNS, two at a time, each against a sandbox of its own whose clock is stopped."""
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
    failed = [text for text in texts if text.startswith("ATTENTION")]
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
