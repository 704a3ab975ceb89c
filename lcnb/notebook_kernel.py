"""Whether this code runs in a notebook: the only function that answers this."""

from __future__ import annotations

import sys
from typing import Any


def current_kernel() -> Any:
    """The Jupyter kernel that runs this code; None in a script, a terminal or IPython without a kernel.

    That `ipykernel` or `IPython` was imported says nothing: other libraries import them in a plain script too.

    >>> current_kernel() is None
    True
    """
    ipython = sys.modules.get("IPython")
    return getattr(ipython.get_ipython() if ipython else None, "kernel", None)


def is_in_kernel() -> bool:
    """Whether this code runs in a Jupyter kernel, so that a page can show more than text.

    >>> is_in_kernel()
    False
    """
    return current_kernel() is not None
