"""Modules that are imported when they are first used, because most processes never use them."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def stand_in_module(name: str, function: str) -> Iterator[None]:
    """Import a library inside this block; the module `name` that it imports then has only `function`.

    Its first call imports the real module. Nothing is replaced when that has been imported before.

    >>> with stand_in_module("colorsys", "rgb_to_hsv"):
    ...     from colorsys import rgb_to_hsv
    >>> rgb_to_hsv(1, 1, 1)
    (0.0, 0.0, 1)
    """
    if name in sys.modules:
        yield
        return

    def call_real(*arguments: Any, **named: Any) -> Any:
        return getattr(import_module(name), function)(*arguments, **named)

    stand_in = ModuleType(name)
    setattr(stand_in, function, call_real)
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        del sys.modules[name]  # a later import gets the real module


#: How long an import may hold the interpreter while another thread waits for it, in seconds. With Python's 5 ms the
#: threads of the requests wait for it longer than for their responses.
TURN_S = 0.0005


class DeferredModule:
    """A module that is imported when one of its names is first used. Safe in threads, as an import is.

    >>> DeferredModule("colorsys").rgb_to_hsv(1, 1, 1)
    (0.0, 0.0, 1)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def import_in_thread(name: str) -> None:
    """Start to import a module in a thread, and return at once; whoever imports it meanwhile waits for that thread.

    A problem is not reported here: the next import of the module raises it. Imported modules stay, so the garbage
    collector pauses, which would look for garbage in them again and again. Threads take shorter turns meanwhile.
    """
    if name not in sys.modules:
        # Not a daemon: a process that ended in the middle of the import would stop a C++ library in its initialization.
        threading.Thread(target=_import_uncollected, args=(name,), name=f"import {name}").start()


def _import_uncollected(name: str) -> None:
    collecting = gc.isenabled()
    gc.disable()
    turns = sys.getswitchinterval()
    if turns > TURN_S:
        sys.setswitchinterval(TURN_S)
    try:
        with suppress(Exception):
            import_module(name)
    finally:
        if turns > TURN_S:
            sys.setswitchinterval(turns)
        if collecting:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()  # into the oldest generation, else the next collection looks at all that was imported
            gc.enable()
