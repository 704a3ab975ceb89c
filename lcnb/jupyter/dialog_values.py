"""Values of parameters as people type them into the dialog of jupyter-scheduler: always text.

Its own execution writes that text into a cell as Python code, so people are used to quotes there, and others leave them
out. Both are read here by the declared type. Code is never executed: `2026-12-25` is a date, not a subtraction.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.types import Parameter, ParameterType, WrittenText

_COLLECTION_KINDS = ("any", "list", "set", "tuple", "dict")


def read_job_values(parameters: Sequence[Parameter], typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the typed texts as values of the declared types, in a form that JSON keeps.

    ParameterError for an unknown name or a text that is no such value.

    >>> from lcnb.runbooks.notebook.declarations import read_parameters
    >>> known = read_parameters("day: date\\nlabels: list[str] = []\\ndry_run: bool = True", "a.ipynb")
    >>> read_job_values(known, {"day": "2026-12-25", "labels": "['web', 'db']", "dry_run": "False"})
    {'day': '2026-12-25', 'labels': ['web', 'db'], 'dry_run': False}
    """
    types = {each.name: each.type for each in parameters}
    any_type = ParameterType("any")
    given = {name: read_typed_text(types.get(name, any_type), text) for name, text in typed.items()}
    found: dict[str, Any] = declared.to_json_values(declared.check_values(parameters, given))
    return found


def read_typed_text(kind: ParameterType, text: str) -> object:
    """Return the text without its quotes, or the list, tuple, set or dict that it is; else the text as it was typed.

    Brackets mean a collection only where the type has one, so a selection such as `(state == 'off')` stays a text.

    >>> read_typed_text(ParameterType("str"), "'web-01'"), read_typed_text(ParameterType("str"), "web-01")
    ('web-01', 'web-01')
    """
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return WrittenText(text)
    if isinstance(value, str):
        return value
    if text.lstrip().startswith(("[", "(", "{")) and _has_collection(kind):
        return value
    return WrittenText(text)


def _has_collection(kind: ParameterType) -> bool:
    return kind.kind in _COLLECTION_KINDS or any(map(_has_collection, kind.parts))
