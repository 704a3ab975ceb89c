"""How names are compared."""

from __future__ import annotations

import pytest

from lcnb.names import comparable_name, same_name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("erp-s\u00e3o", "erp-sa\u0303o", True),
        ("\ud55c\uad6d", "\u1112\u1161\u11ab\u1100\u116e\u11a8", True),  # Hangul syllables and their letters
        ("\u212b", "\u00c5", True),  # Angstrom sign and the letter
        ("web-01 ", "web-01", True),
        ("\ufeffweb-01", "web-01", True),
        ("web-01\u00a0", "web-01", True),
        ("\u200bweb-01\u3000", "web-01", True),
        ("NA", "na", False),
        ("007", "7", False),
        ("db", "db#2", False),
        ("\ufb01le", "file", False),  # a ligature looks different: compatibility forms stay apart
        ("", "", False),
        (None, None, False),
        (None, "None", False),
    ],
)
def test_a5_same_name(one: str | None, other: str | None, same: bool) -> None:
    """Names are the same when they look the same; a missing name is the same as no other."""
    assert same_name(one, other) is same
    assert same_name(other, one) is same


def test_comparable_name_is_stable() -> None:
    """The comparable form of a comparable form is itself."""
    for name in ("erp-sa\u0303o ", " x ", "", None):
        assert comparable_name(comparable_name(name)) == comparable_name(name)
