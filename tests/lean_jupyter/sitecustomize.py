"""On PYTHONPATH of Jupyter servers of the tests: a grammar that each of them works out at its start waits for its use.

It takes most of the processor time of a start (`lcnb.runbooks.notebook.deferred_imports`), and checks web addresses,
which no test gives to a Jupyter server.
"""

import sys
from types import ModuleType
from typing import Any

NAME = "rfc3987_syntax"


def is_valid_syntax(*arguments: Any, **named: Any) -> Any:
    """What jsonschema takes from the package: from its first call on it is the package's own."""
    if getattr(sys.modules.get(NAME), "__file__", None) is None:
        sys.modules.pop(NAME, None)
    from rfc3987_syntax import is_valid_syntax as real

    return real(*arguments, **named)


stand_in = ModuleType(NAME)
vars(stand_in)["is_valid_syntax"] = is_valid_syntax
sys.modules[NAME] = stand_in
