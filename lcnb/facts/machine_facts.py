"""`MachineFacts`: what a facts file says about one machine, and how each of its cells is read and written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lcnb.errors import InputError
from lcnb.names import comparable_name
from lcnb.times import to_utc

#: The columns of a facts file, in their order.
COLUMNS = ("identifier", "label", "tags", "owner", "note", "protected", "expires")
MAX_TEXT_CHARACTERS = 500
TAG_SEPARATOR = "; "
_TAG_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_YES, _NO = ("yes", "true", "1", "x"), ("", "no", "false", "0")


@dataclass(frozen=True)
class Protection:
    """Who protected a machine, as `user@host`, and when; both are missing where a person wrote `yes` into the file."""

    by: str = ""
    at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.by} {format_time(self.at)}" if self.by and self.at else "yes"


@dataclass(frozen=True)
class MachineFacts:
    """The facts of one machine. The identifier is its key; the label is there for people.

    >>> facts = MachineFacts("abcdefghijklmn", "web-01", tags={"project": "shop", "legacy": ""})
    >>> facts.row()["tags"]
    'legacy; project=shop'
    """

    identifier: str
    label: str = ""
    #: Key → value; the value of a bare key is "".
    tags: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    note: str = ""
    protection: Protection | None = None
    #: When the machine may be ended, in UTC.
    expires: datetime | None = None

    @property
    def protected(self) -> bool:
        """Whether changes that interrupt or end the machine are refused."""
        return self.protection is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but the names of the machine."""
        return not (self.tags or self.owner or self.note or self.protection or self.expires)

    def row(self) -> dict[str, str]:
        """Return the cells of its row in the file."""
        return {
            "identifier": self.identifier,
            "label": self.label,
            "tags": format_tags(self.tags),
            "owner": self.owner,
            "note": self.note,
            "protected": str(self.protection or ""),
            "expires": format_time(self.expires),
        }


def facts_from_row(values: Mapping[str, str]) -> MachineFacts:
    """Return the facts of a row. Raises InputError that names the column and the value."""
    # An invisible character would unprotect the machine.
    identifier = comparable_name(values.get("identifier", ""))
    if not identifier:
        raise InputError("the identifier is missing", field="identifier")
    cells: dict[str, Any] = {
        "label": checked_text("label", values.get("label", "")),
        "tags": parse_tags(values.get("tags", "").split(";")),
        "owner": checked_text("owner", values.get("owner", "")),
        "note": checked_text("note", values.get("note", "")),
        "protection": _parse_protection(values.get("protected", "").strip()),
        "expires": parse_time(values.get("expires", "").strip()),
    }
    return MachineFacts(identifier, **cells)


def parse_tags(texts: Iterable[str]) -> dict[str, str]:
    """Return tags from texts such as `project=shop` or the bare key `legacy`, sorted by key; empty texts are left out.

    Raises InputError for a key that is not one, a value with a semicolon or a control character, or a key twice.

    >>> parse_tags(["project=shop", "legacy"])
    {'legacy': '', 'project': 'shop'}
    """
    tags: dict[str, str] = {}
    for text in filter(None, map(comparable_name, texts)):
        key, _, value = text.partition("=")
        key = checked_tag_key(key)
        if key in tags:
            raise InputError(f"the key {key!r} is there twice", field="tags", value=text)
        tags[key] = checked_text(f"tag {key}", value)
        if ";" in value:
            raise InputError(
                f"the value {value!r} contains a semicolon, which separates tags",
                field=f"tag {key}",
                value=value,
            )
    return dict(sorted(tags.items()))


def tag_values(text: str) -> dict[str, str]:
    """Return key → value of tags that `format_tags` has written; the value of a bare key is "".

    >>> tag_values("legacy; project=shop")
    {'legacy': '', 'project': 'shop'}
    """
    pairs = (each.strip().partition("=") for each in text.split(";"))
    return {key: value for key, _, value in pairs if key}


def checked_tag_key(key: str) -> str:
    """Return the key of a tag in its comparable form. Raises InputError for a text that is no key."""
    name = comparable_name(key) if isinstance(key, str) else ""
    if not _TAG_KEY.fullmatch(name):
        raise InputError(
            field="tag",
            expected="a key of letters, digits, _ . and -, that begins with a letter or _, at most 63 characters",
            value=key,
        )
    return name


def describe_tag(key: str, value: str | None) -> str:
    """Return a tag as text: `project=shop`, or the bare key for an empty value. InputError for what is no text."""
    if not isinstance(key, str) or not isinstance(value, str | None):
        raise InputError(field="tags", expected="texts as keys and values", value={key: value})
    return f"{checked_tag_key(key)}={value}" if value else key


def format_tags(tags: Mapping[str, str]) -> str:
    """Return tags as one text, sorted by key: `legacy; project=shop`."""
    return TAG_SEPARATOR.join(f"{key}={value}" if value else key for key, value in sorted(tags.items()))


def checked_text(name: str, text: str) -> str:
    """Return a text in its comparable form. InputError for what is no text, control characters, or too many ones."""
    if not isinstance(text, str):
        raise InputError(field=name, expected="a text", value=text)
    text = comparable_name(text)
    if any(map(_is_control, text)):
        raise InputError("expected one line without control characters", field=name, value=text)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InputError(f"{len(text)} characters, more than {MAX_TEXT_CHARACTERS}", field=name, value=text)
    return text


def stored_label(label: str) -> str:
    """Return a label of the account as a facts file stores it: on one line, and never too long to be read again."""
    plain = "".join(" " if _is_control(each) else each for each in label[:MAX_TEXT_CHARACTERS])
    return comparable_name(plain)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def parse_time(text: str) -> datetime | None:
    """Return a time as UTC, in which a time without an offset is; None for an empty text. InputError for others.

    >>> parse_time("2026-12-01T10:00:00+02:00").isoformat()
    '2026-12-01T08:00:00+00:00'
    """
    if not text:
        return None
    found = to_utc(text)
    if found is None:
        raise InputError(field="expires", expected="a time such as 2026-12-01T08:00:00Z", value=text)
    return found


def format_time(at: datetime | None) -> str:
    """Return a time as text in UTC, to the second; "" for None."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def _parse_protection(text: str) -> Protection | None:
    if text.lower() in _NO:
        return None
    if text.lower() in _YES:
        return Protection()
    by, _, time = text.rpartition(" ")
    try:
        if by.strip():
            return Protection(by.strip(), parse_time(time))
    except InputError:
        pass  # the message below names the form of the whole cell
    raise InputError(field="protected", expected="yes, an empty cell, or `user@host TIME`", value=text)


#: Identifier → the facts of the machine.
KnownFacts = Mapping[str, MachineFacts]
#: What an edit does with the facts of one machine.
FactsEdit = Callable[[MachineFacts], MachineFacts]
