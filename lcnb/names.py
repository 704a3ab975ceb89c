"""How names such as labels are compared, wherever a name identifies something.

Names that look the same must be equal: `ã` can be one character or two (Unicode's composed and decomposed forms), and
a space at the end of a label is not visible. A comparison of the raw texts would miss an existing machine, create a
second one, and delete the first.
"""

from __future__ import annotations

import unicodedata

#: Characters that are not visible at the ends of a name: white space, zero-width spaces, byte order marks.
_EDGE_CHARACTERS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"


def comparable_name(name: str | None) -> str:
    """Return the form in which names are compared: NFC-normalised, without spaces at the ends; "" for None.

    >>> comparable_name("sa\u0303o ") == comparable_name("s\u00e3o")
    True
    """
    text = (name or "").strip(_EDGE_CHARACTERS)
    return text if text.isascii() else unicodedata.normalize("NFC", text).strip(_EDGE_CHARACTERS)


def same_name(one: str | None, other: str | None) -> bool:
    """Whether two names are equal as people see them. A missing or empty name equals no other name.

    >>> same_name("web-01", "web-01 "), same_name("", None)
    (True, False)
    """
    key = comparable_name(one)
    return bool(key) and key == comparable_name(other)


#: Every dash and hyphen of Unicode, as a hyphen; and invisible characters, such as variation selectors.
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_INVISIBLE = dict.fromkeys([*range(0xFE00, 0xFE10), 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD])


def lookalike_form(name: str | None) -> str:
    """Return a form that is equal for names that people may confuse: case, dashes, spaces, invisible characters.

    >>> lookalike_form("Web\u2011 01") == lookalike_form("web- 01")
    True
    """
    text = unicodedata.normalize("NFKC", name or "").translate(_INVISIBLE | _DASHES)
    return " ".join(text.casefold().split())
