"""Values that are in a notebook's parameters although nobody meant them so.

jupyter-scheduler writes what is typed into its form into the cell as it is: `day = 2026-12-25` is a subtraction, and
the notebook gets the number 1989. `lcnb run` and papermill write a text in quotes.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lcnb.errors import ParameterError

NUMBERS = (int, float, complex)


def check_types(namespace: Mapping[str, Any]) -> None:
    """ParameterError for a number where a declared parameter of the notebook takes none, with the likely cause.

    >>> check_types({"__annotations__": {"days": int}, "days": 30})
    """
    for name, annotation in _annotations(namespace).items():
        value = namespace.get(name)
        for each, declared in _parts(value, annotation):
            if isinstance(each, NUMBERS) and not isinstance(each, bool) and not _takes_numbers(declared):
                raise ParameterError(
                    f"parameter {name}: {each!r} is a number, and {_shown(declared)} was declared. jupyter-scheduler "
                    "writes a value into the notebook as it is typed: 2026-12-25 becomes the number 1989. There a text "
                    'needs quotes: "2026-12-25". Nothing was sent.'
                )


def _annotations(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The annotations of the notebook's variables; Python 3.14 works them out when they are asked for."""
    found = namespace.get("__annotations__")
    if found is None and callable(annotate := namespace.get("__annotate__")):
        found = annotate(1)
    return found if isinstance(found, Mapping) else {}


def _parts(value: Any, declared: Any) -> list[tuple[Any, Any]]:
    """A value with its type, or each item of a list with the type of the items."""
    if not isinstance(value, list | tuple | set | frozenset):
        return [(value, declared)]
    for each in _alternatives(declared):
        if get_origin(each) in (list, tuple, set, frozenset) and get_args(each):
            return [(item, get_args(each)[0]) for item in value]
    return []


def _alternatives(declared: Any) -> list[Any]:
    """The types of a union, and what `Annotated` is about."""
    if get_origin(declared) is Annotated:
        return _alternatives(get_args(declared)[0])
    if get_origin(declared) in (Union, types.UnionType):
        return [inner for each in get_args(declared) for inner in _alternatives(each)]
    return [declared]


def _takes_numbers(declared: Any) -> bool:
    for each in _alternatives(declared):
        if get_origin(each) is Literal:
            if any(isinstance(value, NUMBERS) for value in get_args(each)):
                return True
        elif not isinstance(each, type) or issubclass(each, (*NUMBERS, bool)) or each is object:
            return True  # a number, or a type that is not known here
        elif each.__module__ not in ("builtins", "datetime", "pathlib"):
            return True
    return False


def _shown(declared: Any) -> str:
    return declared.__name__ if isinstance(declared, type) else str(declared).replace("typing.", "")
