"""Checks of the values that papermill or jupyter-scheduler injected into a notebook, by their declared types.

jupyter-scheduler writes the text of its form into the cell as it is: `day = 2026-12-25` is a subtraction, and the
notebook gets the number 1989. papermill's `-p labels web-01` gives a text for a list, so that each letter would be a
label; `-y "power: off"` gives False, as YAML reads it. `lcnb run` reads values by the declared types itself.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lcnb.errors import ParameterError

NUMBER_TYPES = (int, float, complex)
LIST_TYPES = (list, tuple, set, frozenset)
#: Types of injected values that are checked. Values of other types, and None, are left to the notebook.
INJECTED_TYPES = (str, *NUMBER_TYPES, list, dict)


def check_types(namespace: Mapping[str, Any]) -> None:
    """Raise ParameterError for a value that does not fit the declared type of its parameter, with the likely cause.

    Refused are a number or a flag for a text, a single value for a list, and a word that is not a declared one.

    >>> check_types({"__annotations__": {"days": int}, "days": 30})
    """
    for name, annotation in _read_annotations(namespace).items():
        value = namespace.get(name)
        if (
            isinstance(value, INJECTED_TYPES)
            and not isinstance(value, LIST_TYPES)
            and _wants_list(annotation)
        ):
            shown = json.dumps(value, default=str)
            raise ParameterError(
                f"parameter {name}: {value!r} is not a list, but {_type_name(annotation)} was declared. In papermill: "
                f"-y '{name}: [{shown}]'; in a cell or in jupyter-scheduler: [{shown}]. Nothing was sent."
            )
        for each, declared in _value_parts(value, annotation):
            if problem := _type_problem(name, each, declared):
                raise ParameterError(f"parameter {name}: {problem} Nothing was sent.")


def _type_problem(name: str, value: Any, declared: Any) -> str:
    """Why the value cannot be meant for that type, and how to write it; "" when it can."""
    if isinstance(value, NUMBER_TYPES) and not _takes_numbers(declared):
        return _number_problem(name, value, _type_name(declared))
    words = _declared_words(declared)
    if words and isinstance(value, INJECTED_TYPES) and value not in words:
        return f"{value!r} is not one of {', '.join(map(repr, words))}."
    return ""


def _number_problem(name: str, value: Any, type_name: str) -> str:
    if isinstance(value, bool):
        return (
            f"{value!r} is a flag, but {type_name} was declared. YAML reads on, off, yes and no as flags: "
            f"a text needs quotes in papermill's -y, such as '{name}: \"off\"'."
        )
    return (
        f"{value!r} is a number, but {type_name} was declared. jupyter-scheduler writes a value into the "
        'notebook as it is typed: 2026-12-25 becomes the number 1989. There a text needs quotes: "2026-12-25".'
    )


def _declared_words(declared: Any) -> list[Any]:
    """The values of a type that consists only of Literals and None; [] for any other type."""
    alternatives = _union_members(declared)
    if not all(get_origin(each) is Literal or each is type(None) for each in alternatives):
        return []
    return [word for each in alternatives for word in get_args(each) or (None,)]


def _wants_list(declared: Any) -> bool:
    """Whether only a list of some kind, or None, was declared."""
    kinds = [each for each in _union_members(declared) if each is not type(None)]
    return bool(kinds) and all(each in LIST_TYPES or get_origin(each) in LIST_TYPES for each in kinds)


def _read_annotations(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The annotations of the notebook's variables. Python 3.14 evaluates them on request."""
    found = namespace.get("__annotations__")
    if found is None and callable(annotate := namespace.get("__annotate__")):
        found = annotate(1)
    return found if isinstance(found, Mapping) else {}


def _value_parts(value: Any, declared: Any) -> list[tuple[Any, Any]]:
    """A value with its type, or each item of a list with the type of the items."""
    if isinstance(value, LIST_TYPES):
        for each in _union_members(declared):
            if get_origin(each) in LIST_TYPES and get_args(each):
                return [(item, get_args(each)[0]) for item in value]
    return [(value, declared)]


def _union_members(declared: Any) -> list[Any]:
    """The types of a union; the type inside `Annotated`."""
    if get_origin(declared) is Annotated:
        return _union_members(get_args(declared)[0])
    if get_origin(declared) in (Union, types.UnionType):
        return [inner for each in get_args(declared) for inner in _union_members(each)]
    return [declared]


def _takes_numbers(declared: Any) -> bool:
    for each in _union_members(declared):
        if get_origin(each) is Literal:
            if any(isinstance(value, NUMBER_TYPES) for value in get_args(each)):
                return True
        elif not isinstance(each, type) or issubclass(each, (*NUMBER_TYPES, bool)) or each is object:
            return True  # a number, or a type that is not known here
        elif each.__module__ not in ("builtins", "datetime", "pathlib"):
            return True
    return False


def _type_name(declared: Any) -> str:
    return declared.__name__ if isinstance(declared, type) else str(declared).replace("typing.", "")
