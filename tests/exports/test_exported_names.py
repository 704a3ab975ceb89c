"""Names of machines and groups for other tools: valid, and never those of two."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from exported_fleet import identifiers, labels
from lcnb.exports.names import comment_text, distinct_names, host_names, plain_name, word_name
from lcnb.names import comparable_name


@given(st.lists(st.tuples(labels, identifiers), max_size=12))
def test_host_names(machines: list[tuple[str | None, str | None]]) -> None:
    """Each machine has a name, no two share one, and each name is one word that begins with a letter or digit."""
    found = host_names(machines)
    names = [name for each in found for name in each]
    assert len(found) == len(machines)
    assert all(found)
    assert len(names) == len(set(names))
    assert all(name[0].isalnum() and re.fullmatch(r"[\w.-]+", name) for name in names)
    for (label, _), each in zip(machines, found, strict=True):
        said = [comparable_name(name) for machine in machines for name in machine]
        if label and plain_name(label) == label and said.count(label) == 1:
            assert each[0] == label  # a good label of its own is its name


def test_order_is_no_matter() -> None:
    """The names of a machine are the same wherever it is in the listing."""
    machines = [("db", "a1"), ("db", "a2"), ("web 1", "a3"), ("web-1", "a4"), ("a1", "a5"), (None, "a6")]
    forwards = dict(zip(machines, host_names(machines), strict=True))
    backwards = dict(zip(machines[::-1], host_names(machines[::-1]), strict=True))
    assert forwards == backwards
    assert forwards[("web-1", "a4")] == ["web-1", "a4"]
    assert forwards[("web 1", "a3")] == ["a3"]
    assert forwards[("a1", "a5")] == ["a5"]  # `a1` is another machine's identifier


tags = st.tuples(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,3}", fullmatch=True), st.text(max_size=3))


@given(st.sets(tags, max_size=12))
def test_distinct_names(things: set[tuple[str, str]]) -> None:
    """Different groups have different names, with letters, digits and underscores only."""
    names = distinct_names(things, lambda tag: word_name(f"tag_{tag[0]}_{tag[1]}"), reserved={"tag_a_b"})
    assert set(names) == things
    assert len(set(names.values())) == len(things)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name != "tag_a_b" for name in names.values())


@given(st.text())
def test_comment(text: str) -> None:
    """A comment stays on its line."""
    assert len(f"x{comment_text(text)}".splitlines()) == 1
