"""The check of a facts file against an account: what it finds, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lcnb.facts.check import FINDINGS, find_problems
from lcnb.facts.machine_facts import MachineFacts, Protection

NOW = datetime(2026, 12, 1, tzinfo=UTC)
TAGS = {"project": "shop"}

CASES: dict[str, tuple[list[MachineFacts], dict[str, str], dict[str, Any], list[tuple[str, str, str]]]] = {
    "nothing": ([], {}, {}, []),
    "all is well": ([MachineFacts("a", "web", TAGS)], {"a": "web"}, {}, []),
    "gone": ([MachineFacts("a", "web", TAGS)], {}, {}, [("gone", "a", "`lcnb facts remove a`")]),
    "gone without a label": ([MachineFacts("a", "", TAGS)], {"b": ""}, {"required": []}, [("gone", "a", "remove"), ("untagged", "b", "lcnb tag b")]),
    "replaced": ([MachineFacts("a", "wéb", TAGS)], {"b": "we\u0301b "}, {"required": []}, [("replaced", "a", "wéb is b now: `lcnb facts move a b`"), ("untagged", "b", "")]),
    "a listing in part": ([MachineFacts("a", "web", TAGS)], {}, {"unreadable": "$.data[3]: odd"}, [("gone", "a", "it may still exist")]),
    "expired": ([MachineFacts("a", "web", TAGS, expires=NOW)], {"a": "web"}, {}, [("expired", "a", "at 2026-12-01T00:00:00Z")]),
    "expired, protected": ([MachineFacts("a", "web", TAGS, protection=Protection(), expires=NOW)], {"a": "web"}, {}, [("expired", "a", "and it is protected")]),
    "later": ([MachineFacts("a", "web", TAGS, expires=NOW.replace(year=2027))], {"a": "web"}, {}, []),
    "expired and gone": ([MachineFacts("a", "web", TAGS, expires=NOW)], {}, {}, [("gone", "a", "")]),
    "renamed": ([MachineFacts("a", "web", TAGS)], {"a": "www"}, {}, [("renamed", "a", "it was web")]),
    "untagged": ([MachineFacts("a", "web", owner="ana")], {"a": "web", "b": "db"}, {}, [("untagged", "b", "lcnb tag b"), ("untagged", "a", "lcnb tag a")]),
    "required": ([MachineFacts("a", "web", TAGS)], {"a": "web", "b": "db"}, {"required": ["project", "team"]}, [("tag missing", "b", "project, team"), ("tag missing", "a", "team")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_check(name: str) -> None:
    """Each finding names its machine; a machine that is gone has no other finding."""
    facts, machines, options, expected = CASES[name]
    found = find_problems({each.identifier: each for each in facts}, machines, now=NOW, **options)
    assert [(each.finding, each.identifier) for each in found] == [each[:2] for each in expected]
    for each, (_, _, detail) in zip(found, expected, strict=True):
        assert detail in each.detail
        assert each.finding in FINDINGS
