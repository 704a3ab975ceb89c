"""`.lc` after `merge`: it works whenever each row has the identifier of another machine, and says why otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
import pytest

import lcnb
from conftest import TOKEN
from lcnb.frames import live_clients
from lcnb.sandbox import Sandbox, serve_in_thread

TEAMS = pd.DataFrame({"label": ["web-01", "api-01"], "team": ["shop", "core"]})
OFF = ["power off web-01", "power off api-01"]


def planned(changes: Any) -> list[str]:
    return [f"{each.action} {each.target}" for each in changes]


@pytest.fixture(autouse=True)
def no_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of other tests that are still open have machines with the same identifiers."""
    monkeypatch.setattr(live_clients, "_LISTED", WeakKeyDictionary())


@pytest.fixture
def account(served: Any) -> tuple[Sandbox, lcnb.LetsCloud]:
    sandbox, client = served()
    return sandbox, client


@pytest.mark.parametrize(
    "combine",
    [
        lambda lc: lc.inventory().merge(TEAMS, on="label"),
        lambda lc: TEAMS.merge(lc.inventory(), on="label"),
        lambda lc: lc.instances().merge(TEAMS, on="label", how="left").dropna(subset="team"),
        lambda lc: lc.inventory()[["identifier", "label"]].merge(TEAMS, on="label"),
        lambda lc: lc.instances().set_index("label").join(TEAMS.set_index("label"), how="inner"),
        lambda lc: lc.inventory().merge(lc.instances()[["identifier", "label"]], on="identifier").query("label_x in ['web-01', 'api-01']"),
        lambda lc: pd.concat([lc.instances().query("label == 'web-01'"), lc.inventory().query("label == 'api-01'")]),
    ],
    ids=["merge", "from the other side", "left", "few columns", "join", "suffixed label", "concat of two readings"],
)  # fmt: skip
def test_whole_identifiers(account: Any, combine: Callable[[Any], pd.DataFrame]) -> None:
    """A frame that lost what lcnb knew about it changes the machines of its identifiers."""
    _, lc = account
    rows = combine(lc)
    assert "lcnb" not in rows.attrs
    changes = rows.lc.power_off()
    assert sorted(planned(changes)) == sorted(OFF)
    assert changes.apply(confirm=True).outcome.tolist() == ["done", "done"]


def test_facts(account: Any) -> None:
    """Facts are set by a merged frame too."""
    _, lc = account
    found = lc.inventory().merge(TEAMS, on="label").lc.tag("seen")
    assert sorted(found.label) == ["api-01", "web-01"]


def double(lc: Any) -> pd.DataFrame:
    return lc.inventory().merge(pd.DataFrame({"label": ["web-01"] * 2, "disk": ["a", "b"]}), on="label")


@pytest.mark.parametrize(
    ("combine", "problem"),
    [
        (double, r"1 machine more than once: \w+ \(2 rows\)\. A merge repeats .*drop_duplicates\('identifier'\)"),
        (
            lambda lc: lc.inventory().merge(lc.instances(), on="label"),
            r"merge renamed it to identifier_x and identifier_y\. .*rename\(columns={'identifier_x': 'identifier'}\)",
        ),
        (
            lambda lc: lc.inventory().merge(lc.inventory(), on="label", suffixes=("", "_y")).drop(columns="identifier"),
            "merge renamed it to identifier_y",
        ),
        (
            lambda lc: lc.inventory().head(3).merge(pd.DataFrame({"label": ["nope"]}), how="outer"),
            r"1 of 4 rows have none, .*frame\[frame\.identifier\.notna\(\)\]",
        ),
        (lambda lc: pd.concat([lc.inventory().head(1), lc.inventory().head(1)], axis=1), "2 columns are named identifier"),
        (lambda lc: pd.DataFrame({"identifier": [1.5]}), "expected the identifier of a machine, as a text, got 1.5"),
        (lambda lc: pd.DataFrame({"identifier": ["x"]}), "no open client has listed these machines"),
        (lambda lc: pd.DataFrame({"identifier": pd.Series([], dtype="str")}), "no open client has listed"),
        (lambda lc: lc.inventory().merge(TEAMS, on="label").assign(label="db-01"), "has the label 'db-01', and the machine has"),
        (lambda lc: lc.inventory().merge(TEAMS, on="label").assign(state="off"), "has the state 'off', and the machine has 'running' now"),
        (lambda lc: lc.sshkeys().merge(pd.DataFrame({"slug": ["ci-deploy"]}), on="slug"), "has no column identifier"),
        (lambda lc: lc.inventory().set_index("identifier"), r"is the index of the frame.*frame\.reset_index\(\)"),
        (lambda lc: pd.concat([lc.inventory().head(2)] * 2), "2 machines more than once"),
    ],
)  # fmt: skip
def test_refused(account: Any, combine: Callable[[Any], pd.DataFrame], problem: str) -> None:
    """Rows whose machines are not certain are refused with the reason and the cure; nothing is sent."""
    sandbox, lc = account
    with pytest.raises(lcnb.InputError, match=problem) as caught:
        combine(lc).lc.delete()
    assert str(caught.value).endswith("Nothing was sent.")
    assert [entry for entry in sandbox.log if entry["method"] != "GET"] == []


def test_two_accounts(served: Any) -> None:
    """Where clients of two accounts have listed the machines one must be passed; two of one account are no question."""
    (_, lc), (_, other) = served(), served()
    rows = lc.inventory().query("label == 'web-01'").merge(TEAMS, on="label")
    again = lcnb.connect(token=TOKEN, base_url=lc.settings.base_url)
    again.inventory()
    assert planned(rows.lc.power_off()) == OFF[:1]
    again.close()
    other.inventory()
    with pytest.raises(
        lcnb.InputError, match=r"2 open clients have listed these machines\. .*frame\.lc\(client\)"
    ):
        rows.lc.power_off()
    assert planned(rows.lc(lc).power_off()) == OFF[:1]
    other.close()
    assert planned(rows.lc.power_off()) == OFF[:1]
    with pytest.raises(lcnb.NotFound, match="no machine has the identifier"):
        pd.DataFrame({"identifier": ["AAAAAAAAAAAAAAAA"]}).lc(lc).power_off()


def test_async(served: Any) -> None:
    """Merged rows that the async client listed give a ChangeSet to be awaited."""
    sandbox, _ = served()

    async def main(base_url: str) -> list[str]:
        async with lcnb.AsyncLetsCloud.connect(token=TOKEN, base_url=base_url) as one:
            rows = (await one.inventory()).merge(TEAMS, on="label")
            return planned(await rows.lc.power_off())

    with serve_in_thread(sandbox) as base_url:
        assert sorted(asyncio.run(main(base_url))) == sorted(OFF)
