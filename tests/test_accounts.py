"""Several accounts as one table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from lcnb import multi_account
from lcnb.errors import AuthenticationError, ConfigError, DriftWarning, InputError, TokenMissing
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread


def token_of(account: str) -> str:
    return f"the-token-of-the-{account}-account"


@pytest.fixture
def two(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Sandbox]]:
    """Two accounts of lcnb.toml, each of a sandbox of its own with its own number of machines."""
    boxes = {
        name: Sandbox(World(Clock(0), number=n, fleet=5 + n), token_of(name))
        for n, name in enumerate(("prod", "lab"))
    }
    contexts = {name: serve_in_thread(box) for name, box in boxes.items()}
    urls = {name: context.__enter__() for name, context in contexts.items()}
    (own_home / "config").mkdir()
    text = "".join(
        f'[accounts.{name}]\ntoken_env = "{name.upper()}_TOKEN"\nbase_url = "{url}"\n'
        for name, url in urls.items()
    )
    (own_home / "config" / "lcnb.toml").write_text(text)
    for name in boxes:
        monkeypatch.setenv(f"{name.upper()}_TOKEN", token_of(name))
    yield boxes
    for context in contexts.values():
        context.__exit__(None, None, None)


def test_all_accounts(two: dict[str, Sandbox]) -> None:
    """All accounts of lcnb.toml are one table, in its order: each with the rows that its own client gives."""
    fleet = lcnb.inventory()
    assert fleet.account.tolist() == ["prod"] * 5 + ["lab"] * 6
    assert fleet.account.dtype == "str"
    for name in two:
        mine = fleet[fleet.account == name].drop(columns="account").reset_index(drop=True)
        with lcnb.connect(name) as lc:
            pd.testing.assert_frame_equal(mine, lc.inventory())
            assert len(fleet[fleet.state.eq("running") & fleet.account.eq(name)].lc(lc).power_off()) > 0
    with pytest.raises(InputError, match="client that read this frame is gone"):
        fleet.dropna(subset="identifier").lc.power_off()


def test_facts_of_each(two: dict[str, Sandbox]) -> None:
    """Each account has its own facts; when one file cannot be read, nothing is sent to any account."""
    for name in two:
        with lcnb.connect(name) as lc:
            machine = lc.instances().dropna(subset="identifier").identifier[0]
            lc.tag(machine, f"account={name}")
    fleet = lcnb.inventory()
    found = fleet.assign(tag=fleet.lc.tags("account")).dropna(subset="tag")
    assert found.account.tolist() == found.tag.tolist() == list(two)
    with lcnb.connect("lab") as lc:
        lc.settings.facts_path.write_text("identifier,protected\nabc,perhaps\n")
    for box in two.values():
        box.log.clear()
    with pytest.raises(InputError, match=r"facts-lab\.csv, line 2: protected.*Nothing was sent"):
        lcnb.inventory()
    assert not any(box.log for box in two.values())


def test_at_once(two: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """The accounts are read at the same time, not one after another."""
    barrier = threading.Barrier(2, timeout=600)
    parts = lcnb.LetsCloud._parts
    monkeypatch.setattr(lcnb.LetsCloud, "_parts", lambda self: (barrier.wait(), parts(self))[1])
    assert len(lcnb.inventory(["lab", "prod"])) == 11


def test_one_refused(two: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that cannot be read is left out and told; when none can, its error is raised."""
    monkeypatch.setenv("LAB_TOKEN", "wrong-token-471147114711")
    with pytest.warns(DriftWarning, match="account lab: unavailable: GET /"):
        fleet = lcnb.inventory()
    assert set(fleet.account) == {"prod"}
    assert fleet.attrs["lcnb"]["drift"][0]["path"] == "account lab"
    with pytest.raises(AuthenticationError):
        lcnb.inventory(["lab"])


@pytest.mark.parametrize("read", [lcnb.inventory, lambda: lcnb.sql("select account, label from instances"), lambda: lcnb.sql("select account, identifier from facts")])  # fmt: skip
def test_no_token(two: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
    """An account without a token is left out and named; when none has one, the places that were searched are listed."""
    monkeypatch.delenv("LAB_TOKEN")
    with pytest.warns(
        DriftWarning, match=r"account lab: unavailable: no token \(environment variable LAB_TOKEN"
    ):
        found = read()
    assert set(found.account) <= {"prod"}
    monkeypatch.delenv("PROD_TOKEN")
    with pytest.raises(TokenMissing, match="for the account 'prod'"):
        read()


@pytest.mark.parametrize(
    ("names", "error", "match"),
    [
        ("prod", InputError, "expected several names"),
        ([], InputError, "the list is empty"),
        (["lab", "lab"], InputError, "named twice"),
        (["lab", "prdo"], ConfigError, "did you mean 'prod'"),
    ],
)
def test_refused(two: dict[str, Sandbox], names: object, error: type[Exception], match: str) -> None:
    """Names that cannot be meant are refused before anything is sent."""
    with pytest.raises(error, match=match):
        lcnb.inventory(names)  # type: ignore[arg-type]
    assert not any(box.log for box in two.values())


def test_other_error(two: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no answer of an account, such as a mistake of ours, is raised as it is."""

    def broken(self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(lcnb.LetsCloud, "_parts", broken)
    with pytest.raises(ZeroDivisionError):
        multi_account.inventory()


def test_no_accounts_at_all(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without accounts and without a token the message is that of `connect()`; with a token it says what reads it."""
    with pytest.raises(TokenMissing) as by_connect:
        lcnb.connect()
    with pytest.raises(TokenMissing) as by_inventory:
        lcnb.inventory()
    assert str(by_inventory.value) == str(by_connect.value)
    monkeypatch.setenv("LETSCLOUD_API_KEY", "t" * 54)
    with pytest.raises(InputError, match=r"lcnb\.toml has none; lcnb\.connect\(\) reads the one"):
        lcnb.inventory()
