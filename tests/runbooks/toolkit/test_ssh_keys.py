"""Each form of an ssh key gets its verdict, type, length and findings."""

from __future__ import annotations

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from lcnb.api.models import SSHKey
from lcnb.frames.columns import records_frame
from lcnb.runbooks.toolkit import (
    ssh_keys,
)
from sample_keys import GOOD, KEYS, ed25519_text, rsa_text


def audited(*keys: tuple[str | None, str | None], **options: int) -> pd.DataFrame:
    rows = [SSHKey(f"k{number}", title, text) for number, (title, text) in enumerate(keys)]
    return ssh_keys.audit_keys(records_frame(SSHKey, rows), **options)


@pytest.mark.parametrize("case", KEYS)
def test_key(case: str) -> None:
    """Each shape of a key has its verdict, type, length and reason; its text is nowhere in the result."""
    text, verdict, kind, bits, said = KEYS[case]
    found = audited(("Title", text))
    row = found.iloc[0].astype(object).where(found.iloc[0].notna(), None)
    assert (row["verdict"], row["type"], row["bits"]) == (verdict, kind, bits)
    assert said in (row["findings"] or "")
    assert (row["findings"] is None) == (verdict == "ok")
    assert "CANARY" not in found.to_csv()
    assert_frame_equal(audited(), found.iloc[:0].reset_index(drop=True))


def test_rsa_limit() -> None:
    """The length from which an RSA key is strong enough can be asked for."""
    assert audited(("a", rsa_text(2048)), min_rsa_bits=3072).verdict.tolist() == ["weak"]


def test_fingerprint() -> None:
    """The fingerprint is the one that ssh-keygen shows, whatever the comment."""
    first, second = audited(("a", GOOD), ("b", f"{GOOD} someone")).fingerprint
    assert first == second
    assert first.startswith("SHA256:")
    assert len(first) == 50


def test_duplicates() -> None:
    """The same key twice and the same title twice are findings that name the other key."""
    found = audited(("Ana", GOOD), ("Bea", f"{GOOD} x"), (" ana", ed25519_text(2)), ("Cy", ed25519_text(3)))
    assert found.verdict.tolist() == ["duplicate", "duplicate", "duplicate", "ok"]
    assert found.findings[0] == "the same key as k1; the same title as k2"
    assert found.findings[1] == "the same key as k0"


def test_unreadable_keys_are_no_twins() -> None:
    """Keys that cannot be read are not taken for the same one."""
    assert audited(("a", "x"), ("b", "x")).verdict.tolist() == ["unreadable", "unreadable"]


@pytest.mark.parametrize("title", [None, "  ", "two  spaces", "tab\there", "zero\u200bwidth"])
def test_odd_title(title: str | None) -> None:
    """A title that is missing, or has signs that cannot be seen, is odd."""
    assert audited((title, GOOD)).verdict.tolist() == ["odd"]
