"""The types of parameters in words for people who do not program: "a whole number, at least 1"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lcnb.runbooks.notebook.conversion import convert_value
from lcnb.runbooks.notebook.types import NUMBER_WORDS, ParameterType, limits_text

#: Kind → one value, and several values.
_WORDS = {
    "any": ("any text", "one or more"),
    "str": ("text", "one or more"),
    "bytes": ("text", "one or more"),
    "int": (NUMBER_WORDS["int"], "whole numbers"),
    "float": (NUMBER_WORDS["float"], "numbers"),
    "bool": ("yes or no", "yes or no each"),
    "date": ("a date such as 2026-12-31", "dates such as 2026-12-31"),
    "datetime": ("a time such as 2026-12-31T18:00", "times such as 2026-12-31T18:00"),
    "path": ("a file or folder", "files or folders"),
    "dict": ('names with values, such as {"env": "prod"}', 'names with values, such as {"env": "prod"}'),
    "none": ("empty", "empty"),
}
#: Kinds whose values are typed one after the other.
_SEVERAL = ("list", "set", "tuple")


def plain_type_text(declared: ParameterType) -> str:
    """Return a type as a phrase.

    >>> plain_type_text(ParameterType("int", bounds=((">=", 1), ("<=", 365))))
    'a whole number from 1 to 365'
    >>> plain_type_text(ParameterType("list", (ParameterType("int"),)))
    'whole numbers, separated by commas'
    """
    if declared.kind == "union":
        return _join_words(plain_type_text(part) for part in _empty_last(declared.parts))
    if declared.kind == "literal":
        return _join_words(map(str, declared.values))
    if declared.kind in _SEVERAL:
        parts = [_many_words(part) for part in declared.parts] or [_WORDS["any"][1]]
        many = parts[0] if len(set(parts)) == 1 else f"values ({', then '.join(parts)})"
        return f"{many}, separated by commas{limits_text(declared)}"
    return _WORDS.get(declared.kind, ("a value", ""))[0] + limits_text(declared)


def plain_refusal(declared: ParameterType, value: Any) -> str:
    """Return why a typed value has not the declared type; "" if it has.

    >>> plain_refusal(ParameterType("int"), "many")
    'Expected a whole number, got “many”.'
    """
    if declared.kind in ("any", "dict"):
        return ""  # the first takes everything, the other has errors of its own
    try:
        convert_value(declared, value)
    except ValueError:
        return f"Expected {plain_type_text(declared)}, got “{value}”."
    return ""


def _many_words(part: ParameterType) -> str:
    if part.kind == "literal":
        return f"any of {_join_words(map(str, part.values))}"
    return _WORDS.get(part.kind, ("", "values"))[1] + limits_text(part)


def _empty_last(parts: Iterable[ParameterType]) -> list[ParameterType]:
    return sorted(parts, key=lambda part: part.kind == "none")


def _join_words(words: Iterable[str]) -> str:
    *first, last = words
    comma = "," if last == _WORDS["none"][0] else ""
    return f"{', '.join(first)}{comma} or {last}" if first else last
