"""Names of machines and groups for other tools: valid there, never equal for two machines or two groups.

A label may have any character, and two machines may have the same one. So a name that came from a label is used only
where it can mean one machine; every machine also has its identifier as a name.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from lcnb.names import comparable_name

T = TypeVar("T")
#: An identifier that every tool accepts as a name. Others are not used as names.
_PLAIN_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: Names that mean something else to ssh or Ansible.
_RESERVED_NAMES = ("all", "localhost", "ungrouped")
_MAX_NAME_CHARACTERS = 200
#: Hexadecimal digits that distinguish groups whose names would be equal.
_DIGEST_CHARACTERS = 8


def plain_name(text: str | None) -> str:
    """Return a text as a name of letters, digits, `.`, `_` and `-`; "" where nothing of it can be a name.

    It begins with a letter or digit, and is no IP address: `ssh 10.0.0.1` must not reach another machine.

    >>> plain_name("web 01\\nProxyCommand evil"), plain_name("10.0.0.1"), plain_name("são")
    ('web-01-ProxyCommand-evil', '', 'são')
    """
    characters = [each if each.isalnum() or each in "._-" else "-" for each in comparable_name(text)]
    name = "".join(characters)[:_MAX_NAME_CHARACTERS].lstrip("._-")
    return "" if name.lower() in _RESERVED_NAMES or _is_address(name) else name


def host_names(machines: Sequence[tuple[str | None, str | None]]) -> list[list[str]]:
    """Return the names of each machine, given as label and identifier: a unique label, and the identifier.

    Each machine has at least one name, and no two have the same one. A label that is a name already wins over one that
    had to be changed; of twins, none is named by the label.

    >>> host_names([("web 01", "aaa"), ("web-01", "bbb"), ("db", "ccc"), ("db", "ddd")])
    [['aaa'], ['web-01', 'bbb'], ['ccc'], ['ddd']]
    """
    labels = [plain_name(label) for label, _ in machines]
    identifiers = [_plain_identifier(identifier) for _, identifier in machines]
    counts = Counter(identifiers)
    owners = {name: _owners(name, labels, machines) for name in set(labels) - {""}}
    found = []
    for place, (label, identifier) in enumerate(zip(labels, identifiers, strict=True)):
        of_another = label != identifier and label in counts
        by_label = [label] if owners.get(label) == [place] and not of_another else []
        by_identifier = [identifier] if identifier and counts[identifier] == 1 else []
        found.append(list(dict.fromkeys(by_label + by_identifier)))
    _name_others(found, labels)
    return found


def _plain_identifier(identifier: str | None) -> str:
    return identifier if identifier and _PLAIN_IDENTIFIER.fullmatch(identifier) else ""


def _name_others(found: list[list[str]], labels: Sequence[str]) -> None:
    """Add a name to each machine without one: it has no identifier yet, and its label is no name."""
    taken = {name for names in found for name in names}
    for place, names in enumerate(found):
        if not names:
            names.append(_free_name(labels[place] or "machine", place, taken))


def _owners(name: str, labels: Sequence[str], machines: Sequence[tuple[str | None, str | None]]) -> list[int]:
    """Return the positions of the machines that the name may mean: those whose label it is, else all."""
    places = [place for place, each in enumerate(labels) if each == name]
    exact = [place for place in places if comparable_name(machines[place][0]) == name]
    return exact or places


def _free_name(base: str, place: int, taken: set[str]) -> str:
    name = f"{base}-{place + 1}"
    while name in taken:
        name += "-"
    taken.add(name)
    return name


def distinct_names(
    things: Iterable[T], name_of: Callable[[T], str], reserved: Collection[str] = ()
) -> dict[T, str]:
    """Return a name for each thing; where several would have the same one, each of these ends with its own digest.

    >>> tags = distinct_names([("a", "b_c"), ("a_b", "c")], lambda tag: "_".join(tag))
    >>> sorted(tags.values())
    ['a_b_c_a49bb991', 'a_b_c_ade620e3']
    """
    wanted = {thing: name_of(thing) for thing in things}
    counts = Counter(wanted.values())
    return {
        thing: name if counts[name] == 1 and name not in reserved else f"{name}_{_digest(thing)}"
        for thing, name in wanted.items()
    }


def word_name(text: str) -> str:
    """Return a text with ASCII letters, digits and `_` only, as names of groups, labels and resources have to be.

    >>> word_name("1vcpu-1gb.x")
    '1vcpu_1gb_x'
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def comment_text(text: object) -> str:
    """Return a text for a comment of one line: every character that is not printable is escaped.

    >>> print(comment_text("web\\n01"))
    web\\n01
    """
    plain = str(text).encode("utf-8", "replace").decode()
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in plain)


def _digest(thing: Any) -> str:
    return hashlib.sha256(repr(thing).encode("utf-8", "replace")).hexdigest()[:_DIGEST_CHARACTERS]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
