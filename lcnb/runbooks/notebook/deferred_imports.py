"""Imports that are delayed, because they are slow and few runs need them.

nbformat, papermill and nbconvert import jsonschema to validate notebooks. jsonschema imports rfc3987_syntax, which
compiles the grammar of web addresses during its import: a third of the import time of a run. A run hardly ever checks
such an address. `defer_iri_grammar` therefore puts a small stand-in into `sys.modules` while jsonschema is imported.
The stand-in has the one function that jsonschema takes, and imports the real package when that function is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from lcnb.deferred_imports import stand_in_module


@contextmanager
def defer_iri_grammar() -> Iterator[None]:
    """Delay the import of rfc3987_syntax: import nbformat, papermill or nbconvert inside this block.

    Nothing is delayed when the package is missing, or has been imported before.

    >>> with defer_iri_grammar():
    ...     import nbformat
    """
    name = "rfc3987_syntax"
    if name in sys.modules or find_spec(name) is None:
        yield
        return
    with stand_in_module(name, "is_valid_syntax"):
        yield
