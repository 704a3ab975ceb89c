"""For the runbook `key_audit`: the type, length and fingerprint of each ssh key, and what is wrong with it."""

from __future__ import annotations

import re
import warnings
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lcnb.runbooks.toolkit.reporting import CheckResult, label_check
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

#: The types that the provider's own tools accept.
ACCEPTED_TYPES = ("ssh-rsa", "ssh-ed25519")
#: The verdicts, the worst first. A key gets the worst verdict among its findings.
VERDICTS = ("exposed", "unreadable", "weak", "duplicate", "odd", "ok")
#: Verdict → what is said when no key has it, when one has it, and when several have it.
_CHECK_TEXTS = {
    "exposed": (
        "No key of the account holds a private key", "key holds a private key", "keys hold private keys"
    ),
    "unreadable": ("Every key can be read", "key cannot be read", "keys cannot be read"),
    "weak": ("No key is weak", "key is weak", "keys are weak"),
    "duplicate": (
        "No key and no title occurs twice",
        "key occurs twice, or has a title that does",
        "keys occur twice, or have titles that do",
    ),
    "odd": ("No key has an odd shape or title", "key has an odd shape or title", "keys have odd shapes or titles"),
}  # fmt: skip
AUDIT_DTYPES = {
    "title": "str",
    "slug": "str",
    "verdict": "str",
    "type": "str",
    "bits": "Int64",
    "fingerprint": "str",
    "comment": "str",
    "findings": "str",
}
_KEY_TYPE = re.compile(r"(?:^|\s)((?:sk-)?(?:ssh|ecdsa)-[\w@.-]+)\s")


@dataclass(frozen=True)
class _PublicKey:
    """One public key as it was read; `findings` are pairs of a verdict and a description."""

    type: str | None = None
    bits: int | None = None
    fingerprint: str | None = None
    comment: str | None = None
    findings: tuple[tuple[str, str], ...] = ()


def key_checks(audit: pd.DataFrame) -> list[CheckResult]:
    """Return the checks of an audit of `audit_keys`, one per verdict, for `lcnb.run().check`."""
    names = audit.title.fillna(audit.slug)
    return [
        label_check(ok_text, names[audit.verdict == verdict], one, several)
        for verdict, (ok_text, one, several) in _CHECK_TEXTS.items()
    ]


def audit_keys(keys: pd.DataFrame, min_rsa_bits: int = 2048) -> pd.DataFrame:
    """Return each ssh key with what is wrong with it: one row per key.

    An RSA key with fewer than `min_rsa_bits` is weak. Columns (`AUDIT_DTYPES`): `title`, `slug`; `verdict` is one of
    `VERDICTS`; `type`, `bits`, `comment`; `fingerprint` (SHA256, as `ssh-keygen -lf` shows it); `findings` describes
    what is wrong (missing for a key that is ok). The keys themselves are left out, because one may hold a private key
    by mistake.

    >>> import lcnb
    >>> audit_keys(lcnb.connect(sandbox=True).sshkeys()).verdict.tolist()
    ['ok', 'ok', 'ok']
    """
    records = frame_records(keys)
    parsed = [_read_key(row["public_key"], min_rsa_bits) for row in records]
    doubles = _find_doubles(records, parsed)
    rows = []
    for row, key, double in zip(records, parsed, doubles, strict=True):
        findings = [*key.findings, *double, *_title_findings(row["title"])]
        rows.append(
            {
                "title": row.get("title"),
                "slug": row.get("slug"),
                "verdict": min((verdict for verdict, _ in findings), key=VERDICTS.index, default="ok"),
                "type": key.type,
                "bits": key.bits,
                "fingerprint": key.fingerprint,
                "comment": key.comment,
                "findings": "; ".join(text for _, text in findings) or None,
            }
        )
    return typed_frame(rows, AUDIT_DTYPES)


def _find_doubles(
    records: Sequence[dict[str, Any]], parsed: Sequence[_PublicKey]
) -> list[list[tuple[str, str]]]:
    """Return for each key its findings about other keys that are the same, or have the same title."""
    names = [_key_name(row) for row in records]
    found: list[list[tuple[str, str]]] = [[] for _ in records]
    for what, values in (
        ("key", [key.fingerprint for key in parsed]),
        ("title", [_folded_title(row["title"]) for row in records]),
    ):
        for positions in _group_positions(values):
            for position in positions:
                others = ", ".join(names[other] for other in positions if other != position)
                found[position].append(("duplicate", f"the same {what} as {others}"))
    return found


def _group_positions(values: Iterable[str | None]) -> list[list[int]]:
    """Return for each value that occurs several times its positions; None is left out."""
    found: dict[str, list[int]] = {}
    for number, value in enumerate(values):
        if value is not None:
            found.setdefault(value, []).append(number)
    return [positions for positions in found.values() if len(positions) > 1]


def _folded_title(title: Any) -> str | None:
    """Return a title without differences of case and white space, for comparison."""
    return " ".join(str(title).split()).casefold() if is_known(title) else None


def _key_name(row: dict[str, Any]) -> str:
    return next((str(row[name]) for name in ("slug", "title") if is_known(row[name])), "a key without a name")


def _title_findings(title: Any) -> list[tuple[str, str]]:
    if not is_known(title) or not str(title).strip():
        return [("odd", "it has no title, so nobody knows whose it is")]
    if str(title) != " ".join(str(title).split()) or not str(title).isprintable():
        return [("odd", "its title has unusual white space or invisible characters")]
    return []


def _read_key(text: Any, min_rsa_bits: int) -> _PublicKey:
    if not is_known(text) or not str(text).strip():
        return _PublicKey(findings=(("unreadable", "the API reports no public key"),))
    lines = str(text).strip().splitlines()
    if "PRIVATE KEY" in str(text).upper():
        return _PublicKey(
            findings=(("exposed", "a private key is stored in place of the public key: replace it"),)
        )
    if lines[0].startswith("---"):
        return _PublicKey(
            findings=(("unreadable", "it is not in the format of OpenSSH (one line: type, key, comment)"),)
        )
    key = _parse_key_line(lines[0].strip(), min_rsa_bits)
    if len([line for line in lines if line.strip()]) > 1:
        more = ("odd", "it has several lines, of which only the first was read")
        return _PublicKey(key.type, key.bits, key.fingerprint, key.comment, (*key.findings, more))
    return key


def _parse_key_line(line: str, min_rsa_bits: int) -> _PublicKey:
    """Parse one line in the format of OpenSSH. Options before the type are a finding and are ignored."""
    kind = _KEY_TYPE.search(f" {line} ")
    if kind is None:
        return _PublicKey(findings=(("unreadable", "it has no key type, such as ssh-ed25519"),))
    start = line.index(kind[1])
    words = line[start:].split(None, 2)
    findings = [("odd", "there are options before the type")] if start else []
    comment = words[2] if len(words) > 2 else None
    try:
        bits, fingerprint = _bits_and_fingerprint(" ".join(words[:2]))
    except Exception as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        findings.insert(0, ("unreadable", f"the key is damaged or of an unknown type ({reason})"))
        return _PublicKey(words[0], None, None, comment, tuple(findings))
    return _PublicKey(
        words[0], bits, fingerprint, comment, (*_strength_findings(words[0], bits, min_rsa_bits), *findings)
    )


def _bits_and_fingerprint(text: str) -> tuple[int, str]:
    """Return bits and SHA256 fingerprint, as `ssh-keygen -l` shows them."""
    from cryptography.hazmat.primitives import hashes, serialization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that DSA is deprecated becomes a finding
        key = serialization.load_ssh_public_key(text.encode())
        fingerprint = serialization.ssh_key_fingerprint(key, hashes.SHA256())
    bits = int(getattr(key, "key_size", 256))  # ed25519 keys have a fixed size
    return bits, "SHA256:" + b64encode(fingerprint).decode().rstrip("=")


def _strength_findings(kind: str, bits: int, min_rsa_bits: int) -> list[tuple[str, str]]:
    if kind == "ssh-dss":
        return [("weak", "DSA keys are insecure, and no current OpenSSH accepts them")]
    if kind == "ssh-rsa" and bits < min_rsa_bits:
        return [("weak", f"RSA with {bits} bits, fewer than {min_rsa_bits}")]
    if kind not in ACCEPTED_TYPES:
        return [("odd", f"{kind} is not among the types that the provider is known to accept")]
    return []
