"""The one check of every value that switches something on or off: True and False are accepted, and nothing else.

Python takes the text "false" for true. A flag may decide what is deleted, sent or confirmed, so any other value is
refused before anything happens.
"""

from __future__ import annotations

import sys

from lcnb.errors import MAX_VALUE_CHARACTERS, InputError

NOTHING_SENT, NOTHING_STARTED = "Nothing was sent.", "Nothing was started."
#: How to pass a flag on papermill's command line: `-p` knows Python's spelling only, `-r` passes every value as text.
PAPERMILL_ADVICE = "In papermill: `-p {name} True` or `-p {name} False`, with a capital letter."


def checked_flag(name: str, value: object, *, not_done: str = "sent", cure: str = "") -> bool:
    """Return the flag as a bool.

    Args:
        name: The parameter or option, for the message.
        value: True or False, of Python or numpy.
        not_done: What did not happen, for the message: "sent", "started".
        cure: What the user can do, for the message.

    Raises InputError for every other value.

    >>> checked_flag("prune", False)
    False
    >>> checked_flag("prune", "false")
    Traceback (most recent call last):
        ...
    lcnb.errors.InputError: prune: expected True or False, got the text 'false'. Nothing was sent.
    """
    if isinstance(value, bool):
        return value
    # A numpy flag exists only where numpy was imported; another thread may be importing it now.
    if isinstance(value, getattr(sys.modules.get("numpy"), "bool_", ())):
        return bool(value)
    raise InputError(
        f"expected True or False, got {_describe_value(value)}",
        field=name,
        value=value,
        cure=cure,
        not_done=not_done,
    )


def check_parameters(**flags: object) -> None:
    """Check the flags among a notebook's parameters, before its first request.

    papermill, JupyterLab and jupyter-scheduler pass values without a look at the declared type.

    >>> check_parameters(prune=False, dry_run=True)
    """
    for name, value in flags.items():
        checked_flag(name, value, cure=PAPERMILL_ADVICE.format(name=name))


def _describe_value(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    text = repr(value)
    return f"{text[:MAX_VALUE_CHARACTERS]} ({type(value).__name__})" if value is not None else text
