"""The key pair of a response: only one response holds the private half, so it is found at any depth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lcnb.secret import Secret

_PEM = re.compile(r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
#: Spellings of the field, without `_` and `-` and in lower case.
_FIELD_NAMES = frozenset({"privatekey", "privatesshkey", "sshprivatekey"})


@dataclass(frozen=True)
class KeyPair:
    """The pair that a response holds: the private half, and what the response says of the key."""

    private_key: Secret
    slug: str | None
    public_key: str | None


def find_key_pair(document: Mapping[str, Any]) -> KeyPair | None:
    """Return the pair that a response holds, however it is wrapped; None if it holds no private half.

    A text that begins as a private key in PEM is one under any name; otherwise the name of the field decides.

    >>> found = find_key_pair({"success": True, "data": {"ssh_key": {"slug": "ops", "private_key": "..."}}})
    >>> found
    KeyPair(private_key=*****, slug='ops', public_key=None)
    """
    objects = list(_iter_objects(document))
    halves = ((each, _private_half(each, by_name)) for by_name in (False, True) for each in objects)
    holder, text = next((found for found in halves if found[1]), (None, None))
    if holder is None or text is None:
        return None
    # A private half may be next to the object of its key, and not in it.
    key = next((each for each in (holder, *objects) if _text_of(each, "public_key")), holder)
    return KeyPair(
        Secret(text), _text_of(holder, "slug") or _text_of(key, "slug"), _text_of(key, "public_key")
    )


def _iter_objects(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object of a JSON value, the outer ones first."""
    level = [document]
    while level:
        yield from (each for each in level if isinstance(each, Mapping))
        level = [
            inner
            for each in level
            if isinstance(each, Mapping | list)
            for inner in (each.values() if isinstance(each, Mapping) else each)
        ]


def _private_half(record: Mapping[str, Any], by_name: bool) -> str | None:
    """Return the private half that is a text of an object: by its form, or by the name of its field."""
    for name in record:
        named = by_name and re.sub("[_-]", "", name).lower() in _FIELD_NAMES
        if (text := _text_of(record, name)) and (named or _PEM.match(text)):
            return text
    return None


def _text_of(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) and value.strip() else None
