"""The command line of every Python process that lcnb starts, so that each of them finds the same modules.

`python -m` and `python -c` look for modules in the working folder first, where a user's `secrets.py`, `random.py` or
`json.py` would replace Python's. Jupyter starts the kernel of a notebook without this module: cells do find the modules
of their folder.
"""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module in this Python, without the working folder on its path.

    >>> module_command("lcnb", "runs")[1:]
    ['-P', '-m', 'lcnb', 'runs']
    """
    return [sys.executable, "-P", "-m", module, *arguments]
