"""Names as people see them: how labels are compared, wherever a label identifies something.

Two names that look the same must be the same: `ã` can be one character or two (Unicode's composed and decomposed
forms), and a space at the end of a label is not visible. A comparison of the raw texts would find a machine missing
that exists, create a second one, and delete the first.
"""

from __future__ import annotations

import unicodedata

#: What is not visible at the ends of a name: white space of every kind, zero-width spaces, byte order marks.
_EDGE_CHARACTERS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"


def comparable_name(name: str | None) -> str:
    """A name in the form in which names are compared: NFC-normalised, without spaces at its ends; "" for None.

    >>> comparable_name("sa\u0303o ") == comparable_name("s\u00e3o")
    True
    """
    text = (name or "").strip(_EDGE_CHARACTERS)
    return text if text.isascii() else unicodedata.normalize("NFC", text).strip(_EDGE_CHARACTERS)


def same_name(one: str | None, other: str | None) -> bool:
    """Whether two names are the same to people who see them. A missing name is the same as no other name."""
    key = comparable_name(one)
    return bool(key) and key == comparable_name(other)


#: Every dash and hyphen of Unicode, and what chooses between two looks of one character.
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_INVISIBLE = dict.fromkeys([*range(0xFE00, 0xFE10), 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD])


def lookalike_form(name: str | None) -> str:
    """A form that names share which people may take for one: case, dashes, spaces and invisible characters aside.

    >>> look_alike("Web\u2011 01") == look_alike("web- 01")
    True
    """
    text = unicodedata.normalize("NFKC", name or "").translate(_INVISIBLE | _DASHES)
    return " ".join(text.casefold().split())
