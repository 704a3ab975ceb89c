"""What a tag audit finds, and that it adds up the cost of each tag within one currency."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from lcnb.errors import InputError
from lcnb.facts.machine_facts import MachineFacts
from lcnb.runbooks.toolkit import tags

USD, BRL = "USD", "BRL"


def fleet(*rows: tuple[str | None, str | None, float | None, str | None]) -> pd.DataFrame:
    """An inventory of machines with these identifiers, labels, prices and currencies."""
    columns = dict(
        zip(("identifier", "label", "monthly_value", "currencycode"), zip(*rows, strict=True), strict=True)
    )
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype="Float64" if name == "monthly_value" else "str")
            for name, values in columns.items()
        }
    )


FLEET = fleet(
    ("a", "web-01", 10.0, USD),
    ("b", "web-02", 5.0, USD),
    ("c", "são", 30.0, BRL),
    ("d", None, None, None),
    (None, "new", 7.0, USD),
)


def facts(**tags_of: dict[str, str]) -> dict[str, MachineFacts]:
    return {name: MachineFacts(name, f"label of {name}", tags=found) for name, found in tags_of.items()}


def findings(known: dict[str, MachineFacts], **rules: Any) -> list[str | None]:
    found = tags.audit_tags(FLEET, known, tags.TagRules(**{"owner_required": False, **rules}))
    assert found.dtypes.astype(str).to_dict() == tags.AUDIT_DTYPES
    return [None if pd.isna(each) else each for each in found.findings]


def test_findings() -> None:
    """Each machine with an identifier is judged by the rules; a spelling that is close is named."""
    known = facts(a={"project": "shop", "env": "prod"}, b={"Project": "shop"}, c={"env": "Prod"})
    assert findings(known) == [None, None, None, "it has no tag"]
    assert findings(known, required_keys=["project"]) == [
        None,
        "project is missing (did you mean 'Project'?)",
        "project is missing",
        "it has no tag",
    ]
    assert findings(known, allowed={"env": ["prod", "test"], "Project": []}) == [
        None,
        "Project=shop is not allowed, only nothing",
        "env=Prod is not allowed (did you mean 'prod'?), only prod, test",
        "it has no tag",
    ]
    owned = {"a": MachineFacts("a", owner="ana")}
    assert findings(owned, owner_required=True)[:2] == ["it has no tag", "it has no tag; it has no owner"]


def test_values_are_compared_as_people_see_them() -> None:
    """A value that is allowed in another form of Unicode is allowed; a bare key has the empty value."""
    known = facts(a={"team": "são"}, b={"team": ""})
    assert findings(known, allowed={"team": ["sa\u0303o "]})[:2] == [
        None,
        "team is not allowed, only são",
    ]
    assert findings(known, allowed={"team": ["são", ""]})[:2] == [None, None]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"required_keys": "project"}, "required_keys: expected a list of keys, got 'project'"),
        ({"required_keys": ["my key"]}, "required_keys: expected a key of letters"),
        ({"allowed": ["env"]}, "allowed: expected keys with lists of values"),
        ({"allowed": {"env": "prod"}}, "allowed: expected keys with lists of values"),
        ({"allowed": {"a;b": []}}, "allowed: expected a key of letters"),
        ({"owner_required": "false"}, "owner_required: expected True or False"),
    ],
)
def test_refused_rules(rules: dict[str, Any], message: str) -> None:
    """A rule that cannot be meant is refused with its name."""
    with pytest.raises(InputError, match=message):
        tags.TagRules(**rules)


@pytest.mark.parametrize(
    ("one", "other", "similar"),
    [
        ("Project", "project", True),
        ("cost-center", "cost_center", True),
        ("cost.center", "CostCenter", True),
        ("costcenter", "costcentre", True),
        ("projects", "project", True),
        ("enviroment", "environment", True),
        ("owner", "owners", True),
        ("customer", "costumer", False),
        ("env", "end", False),
        ("app", "apps", True),
        ("disk1", "disk2", False),
        ("disk1", "disk10", False),
        ("project", "product", False),
        ("env", "environment", False),
    ],
)
def test_similar_keys(one: str, other: str, similar: bool) -> None:
    """Keys are similar when they differ in case, separators, a plural s or one letter of a longer word; either way round."""
    assert tags.are_similar_keys(one, other) is similar
    assert tags.are_similar_keys(other, one) is similar


def test_keys() -> None:
    """Each key is counted over the machines of the account alone, with other spellings of it and of its values."""
    known = facts(
        a={"project": "shop", "version": "1.0"},
        b={"Project": "Shop", "version": "10"},
        c={"project": "Shop"},
        gone={"projects": "x"},
    )
    found = tags.list_keys(FLEET, known).set_index("key")
    assert found.index.tolist() == ["project", "version", "Project"]
    assert found.machines.tolist() == [2, 2, 1]
    assert found.similar_keys.fillna("").tolist() == ["Project", "", "project"]
    assert found.similar_values.fillna("").tolist() == ["Shop, shop", "", ""]
    assert found.most_used["project"] in ("shop: 1, Shop: 1", "Shop: 1, shop: 1")
    empty = tags.list_keys(FLEET, {})
    assert empty.dtypes.astype(str).to_dict() == tags.KEY_DTYPES


def test_costs() -> None:
    """The cost of each value of a key adds up to that of the account in each currency; unpriced machines are counted apart."""
    known = facts(a={"project": "shop"}, b={"project": ""}, c={"project": "shop"})
    found = tags.cost_by_tag(FLEET, known, ["project"])
    assert found.dtypes.astype(str).to_dict() == tags.COST_DTYPES
    rows = [tuple(None if pd.isna(each) else each for each in row) for row in found.itertuples(index=False)]
    assert rows == [
        ("project", "shop", 1, 30.0, "BRL"),
        ("project", "shop", 1, 10.0, "USD"),
        ("project", "(no project)", 1, 7.0, "USD"),
        ("project", "(no value)", 1, 5.0, "USD"),
        ("project", "(no project)", 1, None, None),
    ]
    titles = [(title, code, amounts.sum()) for amounts, title, code in tags.cost_charts(found)]
    assert titles == [("Cost by project", "BRL", 30.0), ("Cost by project", "USD", 22.0)]
    assert tags.cost_by_tag(FLEET.iloc[:0], known, ["project"]).dtypes.astype(str).to_dict() == tags.COST_DTYPES  # fmt: skip


def test_untagged_cost() -> None:
    """The cost of untagged machines is per currency, and those without a price are counted."""
    audit = tags.audit_tags(FLEET, facts(a={"x": ""}), tags.TagRules())
    found = tags.untagged_cost(audit)
    assert found.currencycode.fillna("").tolist() == ["BRL", "USD", ""]
    assert found.machines.tolist() == [1, 1, 1]
    assert found.monthly_value.fillna(0).tolist() == [30.0, 5.0, 0.0]


def test_orphans() -> None:
    """A row whose machine is gone is an orphan, and the machine that has its label now is named."""
    known = {
        "gone": MachineFacts("gone", "web-01", owner="ana"),
        "old": MachineFacts("old", "", tags={"a": ""}),
        "a": MachineFacts("a", "web-01", owner="ana"),
        "lost": MachineFacts("lost", "lost-01", note="x"),
    }
    found = tags.list_orphans(FLEET, known)
    assert found.identifier.tolist() == ["old", "lost", "gone"]
    assert found.label_now_of.fillna("").tolist() == ["", "", "a"]
    assert tags.list_orphans(FLEET, {}).dtypes.astype(str).to_dict() == tags.ORPHAN_DTYPES


def test_charted_keys() -> None:
    """Costs are shown by the required keys, otherwise by those of the most machines."""
    keys = tags.list_keys(FLEET, facts(a={"p": "", "q": "", "r": "", "s": "", "t": ""}, b={"t": ""}))
    assert tags.charted_keys(keys, tags.TagRules(["env", "env", "project"])) == ["env", "project"]
    assert tags.charted_keys(keys, tags.TagRules()) == ["t", "p", "q", "r"]
