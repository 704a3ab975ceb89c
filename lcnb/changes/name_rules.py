"""Rules for labels, hostnames and titles, checked before anything is sent."""

from __future__ import annotations

import re
import unicodedata

from lcnb.errors import InputError
from lcnb.names import comparable_name

HOSTNAME_PATTERN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")

NOTHING_SENT = "Nothing was sent."


def checked_label(label: object, what: str = "label") -> str:
    """Return a label in Unicode's composed form (NFC).

    InputError unless it is 1 to 255 printable characters without spaces at its ends. `what` names it in the error.
    """
    if not isinstance(label, str):
        raise InputError(f"{what}: expected a text, got {label!r}. {NOTHING_SENT}")
    if not label.strip() or label != label.strip() or not label.isprintable() or len(label) > 255:
        raise InputError(
            f"{what} {label[:80]!r}: expected 1 to 255 printable characters, no space at its ends. {NOTHING_SENT}"
        )
    return comparable_name(label)


def comparable_label(label: object, what: str = "label") -> str:
    """Return the label of an existing machine as it is compared: without spaces at its ends."""
    return checked_label(comparable_name(label) if isinstance(label, str) else label, what)


def checked_hostname(name: object) -> str:
    """Return a hostname that RFC 1123 allows. InputError for any other."""
    if not isinstance(name, str) or len(name) > 253 or not HOSTNAME_PATTERN.fullmatch(name):
        raise InputError(
            f"hostname {name!r}: expected letters, digits and inner hyphens, in parts of at most 63 between dots, "
            f"such as web-01.example.com. {NOTHING_SENT}"
        )
    return name


def default_hostname(label: str) -> str:
    """Return the label as a hostname, or a hostname that is made from it."""
    return label if HOSTNAME_PATTERN.fullmatch(label) else slug_of(label, "label")


def slug_of(title: object, what: str = "title") -> str:
    """Return the slug that the provider makes of a title [go]: `My Project 1` → `my-project-1`."""
    text = checked_label(title, what)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not slug:
        raise InputError(
            f"{what} {text!r}: it has no letter or digit that a name could be made of. {NOTHING_SENT}"
        )
    return slug
