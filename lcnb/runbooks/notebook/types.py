"""Declared parameters and their types.

The notebook receives values that can be written into a cell: text, numbers, flags, None, lists and dicts. A date, a
datetime and a path therefore arrive as text, a tuple and a set as a list, a member of an Enum as its value. The keys of
a dict have their declared type; a tuple that is a key arrives as a tuple.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: The default of a parameter without one, and of one whose value is only known when the cell runs.
MISSING = object()


class WrittenText(str):
    """A text from a command line or a CSV file: for an undeclared parameter, its form decides its type."""

    __slots__ = ()


@dataclass(frozen=True)
class ParameterType:
    """A declared type: its kind, and its parts.

    Kinds: any, str, int, float, bool, bytes, date, datetime, path, none, literal (with `values`, which may have
    `names`), union, list, set, dict and tuple (with `parts`). `bounds` limit the value, or its length where the sign
    says so. `meaning` is what a text means (`meanings.MEANINGS`), which is checked as well.

    >>> str(ParameterType("list", (ParameterType("int", bounds=((">=", 1),)),)))
    'list of int >= 1'
    """

    kind: str
    parts: tuple[ParameterType, ...] = ()
    values: tuple[Any, ...] = ()
    bounds: tuple[tuple[str, int | float], ...] = ()
    names: tuple[tuple[str, Any], ...] = ()
    meaning: str = ""

    def __str__(self) -> str:
        if self.kind == "literal":
            return "one of " + ", ".join(map(repr, self.values))
        if self.kind == "union":
            return " or ".join("None" if part.kind == "none" else str(part) for part in self.parts)
        text = self.meaning or {"any": "any value", "str": "text"}.get(self.kind, self.kind)
        text = "None" if self.kind == "none" else text
        if self.kind in ("list", "set", "tuple") and self.parts:
            text = f"{self.kind} of {', '.join(map(str, self.parts))}"
        return text + "".join(f" {sign} {limit}" for sign, limit in self.bounds)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, type, default, and the comment after it. A required parameter has no default."""

    name: str
    type: ParameterType
    default: Any
    default_text: str
    help: str
    required: bool = False

    @property
    def type_text(self) -> str:
        """The type as help and errors show it, in words that need no Python."""
        return with_article(self.type)


def accepts_text(declared: ParameterType) -> bool:
    """Whether any text can be a value of the type. Numbers, flags and choices cannot hold a secret."""
    if declared.parts:
        return any(map(accepts_text, declared.parts))
    return declared.kind not in ("int", "float", "bool", "date", "datetime", "none", "literal")


def union_type(parts: Sequence[ParameterType]) -> ParameterType:
    """Return the union of types; a union among them is flattened.

    >>> str(union_type([ParameterType("int"), ParameterType("none")]))
    'int or None'
    """
    flat: list[ParameterType] = []
    for part in parts:
        flat.extend(part.parts if part.kind == "union" else [part])
    return ParameterType("union", tuple(flat))


def is_path_type(declared: ParameterType) -> bool:
    """Whether the type is a path, or has a path among its parts."""
    return declared.kind == "path" or any(part.kind == "path" for part in declared.parts)


def with_article(declared: ParameterType) -> str:
    """Return the type with "a" or "an" before it, in words that need no Python, as errors show it.

    >>> with_article(ParameterType("int", bounds=((">=", 1), ("<=", 365))))
    'a whole number from 1 to 365'
    >>> with_article(union_type([ParameterType("bool"), ParameterType("none")]))
    'true or false or None'
    """
    if declared.kind == "union":
        return " or ".join("None" if part.kind == "none" else with_article(part) for part in declared.parts)
    if declared.kind == "bool":
        return "true or false"
    if declared.kind in NUMBER_WORDS:
        return f"{NUMBER_WORDS[declared.kind]}{limits_text(declared)}"
    text = str(declared)
    return text if text.startswith(("one of", "any")) else f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


#: Kinds of numbers in words for people who do not program.
NUMBER_WORDS = {"int": "a whole number", "float": "a number"}
_LIMITS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def limits_text(declared: ParameterType) -> str:
    """Return the bounds of a type in words, to be put behind the words for the type; "" without bounds.

    >>> limits_text(ParameterType("int", bounds=((">=", 1),)))
    ', at least 1'
    """
    if [sign for sign, _ in declared.bounds] == [">=", "<="]:
        (_, least), (_, most) = declared.bounds
        return f" from {least:g} to {most:g}"
    limits = [
        f"{_LIMITS[sign.removeprefix('length ')]} {limit:g}{' long' if sign.startswith('length') else ''}"
        for sign, limit in declared.bounds
    ]
    return f", {' and '.join(limits)}" if limits else ""
