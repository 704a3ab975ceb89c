"""Declared parameters and their types.

What arrives in the notebook is what can be written into a cell: text, numbers, flags, None, lists, dicts. So a
date, a datetime and a path arrive as text, a tuple and a set as a list, a member of an Enum as its value. The keys
of a dict have their declared type; a tuple that is a key arrives as a tuple.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MISSING = object()


class WrittenText(str):
    """A text as somebody wrote it on a command line or in a CSV file: its type is only known by its looks."""

    __slots__ = ()


@dataclass(frozen=True)
class ParameterType:
    """A declared type: a kind, and what it is made of.

    Kinds: any, str, int, float, bool, bytes, date, datetime, path, none, literal (of `values`, which may have
    `names`), union, list, set, dict and tuple (of `parts`), each with optional bounds, of its length where the sign
    says so.
    """

    kind: str
    parts: tuple[ParameterType, ...] = ()
    values: tuple[Any, ...] = ()
    bounds: tuple[tuple[str, int | float], ...] = ()
    names: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if self.kind == "literal":
            return "one of " + ", ".join(map(repr, self.values))
        if self.kind == "union":
            return " or ".join("None" if part.kind == "none" else str(part) for part in self.parts)
        text = {"any": "any value", "str": "text", "path": "path", "none": "None"}.get(self.kind, self.kind)
        if self.kind in ("list", "set", "tuple") and self.parts:
            text = f"{self.kind} of {', '.join(map(str, self.parts))}"
        return text + "".join(f" {sign} {limit}" for sign, limit in self.bounds)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, type, default, and the comment behind it. One that is required has no default."""

    name: str
    type: ParameterType
    default: Any
    default_text: str
    help: str
    required: bool = False

    @property
    def type_text(self) -> str:
        return str(self.type)


def accepts_text(declared: ParameterType) -> bool:
    """Whether a text that is not in the notebook already could be given: numbers, flags and choices are no secrets."""
    if declared.parts:
        return any(map(accepts_text, declared.parts))
    return declared.kind not in ("int", "float", "bool", "date", "datetime", "none", "literal")


def union_type(parts: Sequence[ParameterType]) -> ParameterType:
    flat: list[ParameterType] = []
    for part in parts:
        flat.extend(part.parts if part.kind == "union" else [part])
    return ParameterType("union", tuple(flat))


def is_path_type(declared: ParameterType) -> bool:
    return declared.kind == "path" or any(part.kind == "path" for part in declared.parts)


def with_article(declared: ParameterType) -> str:
    text = str(declared)
    return text if text.startswith(("one of", "any")) else f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
