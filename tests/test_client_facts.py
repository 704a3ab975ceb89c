"""The client's methods about facts: which machines they find, what they write, what they refuse."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

import lcnb
from lcnb import AsyncLetsCloud, LetsCloud
from lcnb.changes.journal import user_at_host
from lcnb.errors import InputError, NotFound
from lcnb.sandbox import Sandbox

Served = Callable[..., tuple[Sandbox, LetsCloud]]


def plain(values: Any) -> list[Any]:
    return [None if pd.isna(each) else each for each in values]


def identifier(lc: LetsCloud, label: str) -> str:
    return str(lc.instance(label=label).identifier)


def machines(box: Sandbox) -> dict[str, dict[str, Any]]:
    """The machines of the sandbox that have an identifier, by it."""
    return {each["identifier"]: each for each in box.world.machines if each["identifier"]}


def test_tags(lc: LetsCloud) -> None:
    """Tags are added, replaced and removed; what else is known of a machine stays."""
    lc.set_facts("web-01", owner="ana")
    found = lc.tag(["web-01", "db-01"], "project=shop", "legacy", {"cost-center": "12"})
    assert found.label.tolist() == ["db-01", "web-01"]
    assert set(found.tags) == {"cost-center=12; legacy; project=shop"}
    lc.tag("web-01", "project = blog ", {"legacy": ""})
    lc.untag(["web-01", "db-01"], "cost-center")
    assert plain(lc.facts().tags) == ["legacy; project=shop", "legacy; project=blog"]
    assert plain(lc.facts().owner) == [None, "ana"]
    assert lc.untag("db-01", "legacy", "project").tags.isna().all()
    assert lc.facts().label.tolist() == ["web-01"]


def test_protection(lc: LetsCloud) -> None:
    """A protection has its user, host and time, and is not renewed by a second one."""
    before = datetime.now(UTC).replace(microsecond=0)
    first = lc.protect("web-01")
    assert first.protected_by.tolist() == [user_at_host()]
    assert before <= first.protected_at[0] <= datetime.now(UTC)
    pd.testing.assert_frame_equal(lc.protect("web-01"), first)
    assert plain(lc.unprotect("web-01").protected_by) == [None]


def test_expiry(lc: LetsCloud) -> None:
    """A time from now, a time, a datetime with a time zone, and never."""
    now = datetime.now(UTC)
    (soon,) = lc.expire("web-01", in_="8h").expires
    assert timedelta(hours=8) - timedelta(seconds=1) <= soon - now <= timedelta(hours=8, minutes=10)
    assert plain(lc.expire("web-01", at="2099-01-01T02:00:00+02:00").expires) == [
        pd.Timestamp("2099-01-01", tz="UTC")
    ]
    assert plain(lc.expire("web-01", at=datetime(2099, 1, 1, tzinfo=UTC)).expires) == [
        pd.Timestamp("2099-01-01", tz="UTC")
    ]
    assert plain(lc.expire("web-01", at="2099-01-01").expires) == [pd.Timestamp("2099-01-01", tz="UTC")]
    assert plain(lc.expire("web-01", never=True).expires) == [None]


def test_which_machines(lc: LetsCloud) -> None:
    """A machine is named by label, identifier, record, list, or rows of a frame that has identifiers or labels."""
    fleet = lc.inventory()
    web = fleet[fleet.label.isin(["web-01", "web-03"])]
    record = lc.instance(label="web-01")
    ways: list[Any] = [
        ["web-01", " web-03"],
        web.identifier,
        [record, identifier(lc, "web-03")],
        iter(["web-01", "web-03"]),
        web,
        web[["identifier"]],
        pd.DataFrame({"label": ["web-01", "web-03"]}),
    ]
    for number, machines in enumerate(ways):
        found = lc.tag(machines, {"way": str(number)})
        assert found.label.tolist() == ["web-01", "web-03"]
    assert lc.facts().tags.tolist() == ["way=6", "way=6"]
    assert len(lc.tag([], "a=1")) == len(lc.tag(fleet[:0], "a=1")) == 0


def test_own_rows_need_no_listing(served: Served) -> None:
    """Rows that this client has read are not looked up again; a file's rows are."""
    box, lc = served(fleet=5)
    fleet = lc.inventory()
    fleet = fleet[fleet.identifier.notna()]
    box.log.clear()
    lc.tag(fleet, "a=1")
    assert not box.log
    lc.tag(pd.DataFrame({"identifier": fleet.identifier}), "a=1")
    assert len(box.log) == 1


REFUSED: dict[str, tuple[Callable[[LetsCloud], Any], type[Exception], str]] = {
    "unknown": (lambda lc: lc.tag(["web-01", "wbe-01", "xx"], "a=1"), NotFound, "no machine has the label or identifier 'wbe-01' (did you mean 'web-01'?); 'xx'"),
    "no tag": (lambda lc: lc.tag("web-01"), InputError, "tags: no tag is given"),
    "empty tag": (lambda lc: lc.tag("web-01", ""), InputError, "tag: expected key=value, or a key, got ''"),
    "bad key": (lambda lc: lc.tag("web-01", "1=2"), InputError, "tag: expected a key of letters"),
    "two values": (lambda lc: lc.tag("web-01", "a=1", "a=2"), InputError, "the key 'a' is there twice"),
    "semicolon": (lambda lc: lc.tag("web-01", "a=1;b=2"), InputError, "contains a semicolon"),
    "no text": (lambda lc: lc.tag("web-01", {"a": 1}), InputError, "tags: expected texts as keys and values"),
    "unknown key": (lambda lc: (lc.tag("web-01", "project=x"), lc.untag("web-01", "projct")), InputError, "none of these machines has a tag 'projct' (did you mean 'project'?)"),
    "no machines": (lambda lc: lc.tag(None, "a=1"), InputError, "machines: expected a label, an identifier, a list of them, or a frame"),
    "empty name": (lambda lc: lc.tag(["web-01", " "], "a=1"), InputError, "machines: expected a label"),
    "a missing name": (lambda lc: lc.tag(["web-01", None], "a=1"), InputError, "machines: expected a label"),
    "a frame of something": (lambda lc: lc.tag(lc.plans(), "a=1"), InputError, "machines: the frame has no column identifier"),
    "rows without identifier": (lambda lc: lc.tag(lc.inventory().assign(identifier=lambda f: f.identifier.where(f.label != "web-01")), "a=1"), InputError, "Leave them out: frame[frame.identifier.notna()]"),
    "the past": (lambda lc: lc.expire("web-01", at="2020-01-01T00:00:00Z"), InputError, "expires: 2020-01-01T00:00:00Z is in the past"),
    "no time of day": (lambda lc: lc.expire("web-01", at="2099-01-01T25:00"), InputError, "expires: expected a time such as"),
    "an empty time": (lambda lc: lc.expire("web-01", at=" "), InputError, "expires: expected a time such as"),
    "no duration": (lambda lc: lc.expire("web-01", "8"), InputError, "expires: expected a duration"),
    "too far": (lambda lc: lc.expire("web-01", "999999w"), InputError, "expires: 999999w from now is beyond the year 9999"),
    "two times": (lambda lc: lc.expire("web-01", "8h", never=True), InputError, "expires: pass one of"),
    "no time": (lambda lc: lc.expire("web-01"), InputError, "expires: pass one of"),
    "a text as never": (lambda lc: lc.expire("web-01", never="no"), InputError, "never: expected True or False"),
    "no facts": (lambda lc: lc.set_facts("web-01"), InputError, "facts: pass owner=..., note=..., or both"),
    "two lines": (lambda lc: lc.set_facts("web-01", note="a\nb"), InputError, "note: expected one line"),
    "too long": (lambda lc: lc.set_facts("web-01", note="a" * 501), InputError, "note: 501 characters, more than 500"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(lc: LetsCloud, name: str) -> None:
    """What cannot be meant names the value and the cure, and nothing is written for any machine."""
    work, error, message = REFUSED[name]
    with pytest.raises(error) as caught:
        work(lc)
    assert message in str(caught.value)
    if name != "a text as never":
        assert str(caught.value).endswith("Nothing was written.")
    assert set(plain(lc.facts().tags)) <= {"project=x"}


def test_twins(served: Served) -> None:
    """A label of two machines is refused with both identifiers, each of which works."""
    box, lc = served(fleet=5)
    first, second = list(machines(box).values())[:2]
    second["label"] = first["label"]
    with pytest.raises(InputError) as caught:
        lc.tag(first["label"], "a=1")
    message = str(caught.value)
    assert first["identifier"] in message
    assert second["identifier"] in message
    assert message.endswith("Pass an identifier. Nothing was written.")
    assert lc.tag(second["identifier"], "a=1").identifier.tolist() == [second["identifier"]]


def test_machines_that_are_gone(served: Served) -> None:
    """Facts of a gone machine can be lifted, moved and removed by its identifier, and added to it no more."""
    box, lc = served(fleet=5)
    fleet = lc.instances().dropna(subset="identifier")
    old, new = fleet.identifier[:2]
    label = fleet.label[0]
    lc.tag(old, "project=shop")
    lc.protect(old)
    with pytest.raises(InputError, match="the account still has"):
        lc.remove_facts(old)
    box.world.machines.remove(machines(box)[old])
    with pytest.raises(NotFound, match=f"the facts file has {old}, which the account no longer has"):
        lc.tag(label, "a=1")
    with pytest.raises(NotFound):
        lc.expire(old, "8h")
    assert lc.expire(old, never=True).identifier.tolist() == [old]
    moved = lc.move_facts(old, new).set_index("identifier")
    assert moved.loc[new, "tags"] == "project=shop"
    assert lc.facts().identifier.tolist() == [new]
    assert lc.facts().label.tolist() == [fleet.label[1]]
    with pytest.raises(InputError, match="the facts file has no machine"):
        lc.move_facts(old, new)
    lc.unprotect(new)
    box.world.machines.remove(machines(box)[new])
    with pytest.raises(InputError, match="has facts already"):
        lc.tag(fleet.identifier[2], "a=1")
        lc.move_facts(new, fleet.identifier[2])
    assert lc.remove_facts(new).tags.tolist() == ["project=shop"]
    assert lc.facts().identifier.tolist() == [fleet.identifier[2]]


def test_odd_labels(served: Served) -> None:
    """A label with a line break, or longer than a fact may be, does not make the file unreadable."""
    box, lc = served(fleet=5)
    fleet = lc.instances().dropna(subset="identifier")
    for name, label in zip(fleet.identifier, ['a\r\nb,"c"', "x" * 900, "# no comment", "=1+1"], strict=False):
        machines(box)[name]["label"] = label
        lc.tag(name, "a=1")
    assert lc.facts().label.tolist() == ["# no comment", "=1+1", 'a  b,"c"', "x" * 500]


def test_async(server: lcnb.sandbox.SandboxProcess) -> None:
    """AsyncLetsCloud has the same methods, to be awaited; reading the file needs no await."""

    async def work() -> pd.DataFrame:
        async with AsyncLetsCloud.connect(token=server.token, base_url=server.base_url) as lc:
            await lc.tag("web-01", "a=1")
            return lc.facts()

    assert asyncio.run(work()).tags.tolist() == ["a=1"]
    names = ("tag", "untag", "protect", "unprotect", "expire", "set_facts", "move_facts", "remove_facts")
    assert all(inspect.iscoroutinefunction(getattr(AsyncLetsCloud, name)) for name in names)


def test_rows(lc: LetsCloud) -> None:
    """`frame.lc` edits the facts of its rows, and returns the value of a tag for each row."""
    fleet = lc.inventory()
    web = fleet[fleet.label.isin(["web-01", "web-03"])]
    web.lc.tag("project=shop", "legacy")
    web[:1].lc.untag("legacy")
    web.lc.protect()
    web[:1].lc.unprotect()
    web.lc.expire("8h")
    web[:1].lc.expire(never=True)
    again = lc.inventory().set_index("label")
    values = again.lc.tags("project")
    assert values.dtype == "str"
    assert values.dropna().to_dict() == {"web-01": "shop", "web-03": "shop"}
    assert again.lc.tags("legacy").dropna().to_dict() == {"web-03": ""}
    assert again.lc.tags("nothing").isna().all()
    assert again.index[again.protected.fillna(False)].tolist() == ["web-03"]
    assert again.index[again.expires.notna()].tolist() == ["web-03"]
    assert lc.facts().set_index("label").lc.tags("project").to_dict() == values.dropna().to_dict()
    with pytest.raises(InputError, match=r"these rows have no column tags\. Select them from"):
        lc.instances().lc.tags("project")
    with pytest.raises(InputError, match="not a listing that lcnb read"):
        pd.DataFrame({"label": ["web-01"]}).lc.protect()


def test_rows_of_another_account(served: Served) -> None:
    """Rows of one account are never written into the facts of another one."""
    _, one = served(fleet=5)
    box, other = served(fleet=6)
    for each in box.world.machines:
        each["identifier"] = f"x{each['identifier']}"
    rows = other.inventory().dropna(subset="identifier")
    for work in (lambda: one.protect(rows), lambda: rows.lc(one).protect()):
        with pytest.raises(NotFound, match="no machine has the label or identifier"):
            work()
    assert not len(one.facts())
