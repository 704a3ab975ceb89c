"""Imports that would cost each run more than they give."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


@contextmanager
def defer_iri_grammar() -> Iterator[None]:
    """Import nbformat, papermill or nbconvert in this block: they import jsonschema.

    jsonschema takes one function of a package that works a grammar out when it is imported, for longer than a third
    of all imports of a run take. Few runs ever check an `iri`: the package is imported when that function is called.
    """
    name = "rfc3987_syntax"
    if name in sys.modules or find_spec(name) is None:
        yield
        return

    def is_valid_syntax(*arguments: Any, **named: Any) -> Any:
        return import_module(name).is_valid_syntax(*arguments, **named)

    stand_in: Any = ModuleType(name)
    stand_in.is_valid_syntax = is_valid_syntax
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]  # a cell that imports it gets the package itself
