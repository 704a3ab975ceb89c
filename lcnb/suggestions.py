"""The one lookup that names a known name for an unknown one: every message about an unknown name uses it."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: How similar two names must be, from 0 to 1.
MIN_SIMILARITY = 0.6
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """Return ` (did you mean 'x'?)` for the known name that is most similar, or "" when none is.

    Upper and lower case make no difference. A name that differs only in the zeros before a number comes
    first. Of several equally similar names, the first one in the alphabet is named.

    >>> did_you_mean("web-1", ["web-10", "web-01"])
    " (did you mean 'web-01'?)"
    >>> did_you_mean("MIA9", ["MIA2", "MIA1"])
    " (did you mean 'MIA1'?)"
    >>> did_you_mean("Instnces", ["instances", "plans"])
    " (did you mean 'instances'?)"
    >>> did_you_mean("xyz", ["instances", "plans"])
    ''
    """
    near = nearest_name(name, known)
    return f" (did you mean {near!r}?)" if near is not None else ""


def nearest_name(name: str, known: Iterable[object]) -> str | None:
    """Return the known name that `did_you_mean` names, or None.

    >>> nearest_name("colums", ["columns", "limit"])
    'columns'
    """
    from difflib import SequenceMatcher, get_close_matches

    by_lower_name = {str(each).lower(): str(each) for each in known}
    wanted = str(name).lower()
    nearest = [each for each in by_lower_name if _without_zeros(each) == _without_zeros(wanted)]
    if not nearest and by_lower_name:
        nearest = get_close_matches(wanted, by_lower_name, n=len(by_lower_name), cutoff=MIN_SIMILARITY)
        nearest.sort(key=lambda each: (-SequenceMatcher(None, each, wanted).ratio(), each))
    return by_lower_name[nearest[0]] if nearest else None


def unknown_attribute(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """Return the error about an attribute that `owner` does not have, with the names that are near.

    Notebooks show no suggestions of their own. `name` is not set, so that Python's traceback does not add a second one.

    >>> unknown_attribute("LetsCloud", "inventry", ["inventory", "plans"])
    AttributeError("LetsCloud has no attribute 'inventry' (did you mean 'inventory'?)")
    >>> unknown_attribute("LetsCloud", "delete", ["delete_instance", "delete_snapshot"])
    AttributeError("LetsCloud has no attribute 'delete' (did you mean 'delete_instance' or 'delete_snapshot'?)")
    """
    near = ""
    if not name.startswith("_"):  # those are looked up by programs, such as IPython
        public = [each for each in known if not each.startswith("_")]
        longer = sorted(each for each in public if each.startswith(f"{name}_"))
        near = f" (did you mean {' or '.join(map(repr, longer))}?)" if longer else did_you_mean(name, public)
    return AttributeError(f"{owner} has no attribute {name!r}{near}", name=None, obj=None)


def _without_zeros(name: str) -> str:
    """The name without the zeros before each number: `web-01` and `web-1` are the same."""
    return _LEADING_ZEROS.sub("", name)
