"""One check of everything that is switched on or off: a flag is True or False, and nothing else is taken for one.

Python takes the text "false" for true. A flag may decide what is deleted, sent or confirmed, so a value that is no bool
is refused before anything happens.
"""

from __future__ import annotations

import sys

from lcnb.errors import InputError

NOTHING_SENT, NOTHING_STARTED = "Nothing was sent.", "Nothing was started."
#: How papermill's command line passes a flag: its `-p` knows Python's words alone, its `-r` passes text in any case.
PAPERMILL_ADVICE = "In papermill: `-p {name} True` or `-p {name} False`, with a capital letter."


def checked_flag(name: str, value: object, then: str = NOTHING_SENT) -> bool:
    """The flag as a bool. InputError for all but True and False, Python's or numpy's; `then` says what was not done.

    >>> checked_flag("prune", False)
    False
    >>> checked_flag("prune", "false")
    Traceback (most recent call last):
        ...
    lcnb.errors.InputError: prune: expected True or False, got the text 'false'. Nothing was sent.
    """
    if isinstance(value, bool):
        return value
    numpy = sys.modules.get("numpy")  # its flags exist only where it was imported
    if numpy is not None and isinstance(value, numpy.bool_):
        return bool(value)
    raise InputError(f"{name}: expected True or False, got {_describe_value(value)}. {then}")


def check_parameters(**flags: object) -> None:
    """Check the flags among a notebook's parameters, before its first request.

    papermill, JupyterLab and jupyter-scheduler pass values on without looking at the declared type.

    >>> check_parameters(prune=False, dry_run=True)
    """
    for name, value in flags.items():
        checked_flag(name, value, f"{NOTHING_SENT} {PAPERMILL_ADVICE.format(name=name)}")


def _describe_value(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    text = repr(value)
    return f"{text[:80]} ({type(value).__name__})" if value is not None else text
