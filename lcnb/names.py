"""How names such as labels are compared, wherever a name identifies something.

Names that look the same must be equal: `ã` can be one character or two (Unicode's composed and decomposed forms), and
a space at the end of a label is not visible. A comparison of the raw texts would miss an existing machine, create a
second one, and delete the first.
"""

from __future__ import annotations

import math
import re
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


#: The months in the languages of the users, in their order; a spreadsheet writes their first letters.
_MONTHS = [
    tuple(names.split())
    for names in (
        "january janeiro enero januar janvier", "february fevereiro febrero februar février",
        "march março marzo märz mars",
        "april abril avril", "may maio mayo mai", "june junho junio juni juin", "july julho julio juli juillet",
        "august agosto août", "september setembro septiembre septembre", "october outubro octubre oktober octobre",
        "november novembro noviembre novembre", "december dezembro diciembre dezember décembre",
    )
]  # fmt: skip
_TRUTH_VALUES = {
    **dict.fromkeys(("true", "wahr", "verdadeiro", "verdadero", "vrai"), "true"),
    **dict.fromkeys(("false", "falsch", "falso", "faux"), "false"),
}
_DATE = re.compile(r"\w+(?:[-/. ]\w+){1,2}")


def made_by_spreadsheet(one: str | None, other: str | None) -> bool:
    """Whether a spreadsheet may have made one of these names of the other: it takes texts for numbers and dates.

    Names of the same shape, such as 1-2 and 2-1, are names that people chose.

    >>> [made_by_spreadsheet(one, other) for one, other in (("007", "7"), ("1e5", "1,00E+05"), ("TRUE", "WAHR"))]
    [True, True, True]
    >>> made_by_spreadsheet("2026-11-30", "30/11/2026"), made_by_spreadsheet("1-2", "2-1")
    (True, False)
    """
    form = spreadsheet_form(one)
    alike = bool(form) and form == spreadsheet_form(other)
    return alike and (form in _TRUTH_VALUES or _shape(one) != _shape(other))


def _shape(name: str | None) -> str:
    return re.sub(r"\d", "0", re.sub(r"[^\W\d]", "a", comparable_name(name)))


def spreadsheet_form(name: str | None) -> str:
    """Return a number, date or truth value in one form; "" for any other text."""
    text = comparable_name(name).removeprefix("=").strip("'\"").casefold()
    if text in _TRUTH_VALUES:
        return _TRUTH_VALUES[text]
    try:
        number = float(text.replace(",", ".").replace("_", "x"))
    except ValueError:
        return _date_form(text)
    return f"{number:.6g}" if math.isfinite(number) else ""


def _date_form(text: str) -> str:
    """Return the numbers of a date, sorted, since their order differs; "" for a text that is no date."""
    if not _DATE.fullmatch(text):
        return ""
    parts = [_month_number(part) or part for part in re.split(r"[-/. ]", text)]
    if not all(part.isdecimal() for part in parts):
        return ""
    return "-".join(sorted(str(int(part) % 100 if len(part) == 4 else int(part)) for part in parts))


def _month_number(text: str) -> str:
    """Return the number of a month from its name or the first letters of it; "" for another text."""
    found = (
        number for number, names in enumerate(_MONTHS, 1) if any(each.startswith(text) for each in names)
    )
    return str(next(found, "")) if len(text) >= 3 else ""
