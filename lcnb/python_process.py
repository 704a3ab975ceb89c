"""How lcnb starts a Python of its own: one place, so that each of them finds the same modules.

`python -m` and `python -c` look for modules in the working folder first. There a person's `secrets.py`, `random.py` or
`json.py` would be taken for Python's own. A notebook's kernel is started by Jupyter, not by this: cells do find the
modules of their folder.
"""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of lcnb in this Python, without the working folder on its path.

    >>> command("lcnb", "runs")[1:]
    ['-P', '-m', 'lcnb', 'runs']
    """
    return [sys.executable, "-P", "-m", module, *arguments]
