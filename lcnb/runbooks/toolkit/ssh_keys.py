"""Audit the ssh keys of an account: type, length, fingerprint, and what is wrong with each."""

from __future__ import annotations

import re
import warnings
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

# --- key_audit ------------------------------------------------------------------------------------------

#: The kinds that the provider's own tools take.
ACCEPTED_TYPES = ("ssh-rsa", "ssh-ed25519")
#: What a key can be, the worst first; a key has the first that holds, and all of its findings.
VERDICTS = ("exposed", "unreadable", "weak", "duplicate", "odd", "ok")
#: Verdict → what should hold of all keys.
KEY_CHECKS = {
    "exposed": "No key of the account holds a private key",
    "unreadable": "Every key can be read",
    "weak": "No key is weak",
    "duplicate": "No key or title is there twice",
    "odd": "No key has an odd shape or title",
}
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
    """One public key as it was read: what it is, and what is wrong with it, by verdict."""

    type: str | None = None
    bits: int | None = None
    fingerprint: str | None = None
    comment: str | None = None
    findings: tuple[tuple[str, str], ...] = ()


def audit_keys(keys: pd.DataFrame, min_rsa_bits: int = 2048) -> pd.DataFrame:
    """Each ssh key with its type, length, SHA256 fingerprint, and what is wrong with it.

    Columns as `KEYS` says. `verdict` is one of `VERDICTS`; `findings` is missing for a key that is ok. The
    texts of the keys are not in it: one may hold a private key by mistake.

    >>> import lcnb
    >>> audit_keys(lcnb.connect(sandbox=True).sshkeys()).verdict.tolist()
    ['ok', 'ok', 'ok']
    """
    records = frame_records(keys)
    read = [_read_key(row["public_key"], min_rsa_bits) for row in records]
    by_key = _group_positions(key.fingerprint for key in read)
    by_title = _group_positions(_folded_title(row["title"]) for row in records)
    names = [_key_name(row) for row in records]
    rows = []
    for number, (row, key) in enumerate(zip(records, read, strict=True)):
        same = [names[other] for other in by_key.get(key.fingerprint, ()) if other != number]
        twins = [names[other] for other in by_title.get(_folded_title(row["title"]), ()) if other != number]
        findings = [
            *key.findings,
            *([("duplicate", f"the same key as {', '.join(same)}")] if same else []),
            *([("duplicate", f"the same title as {', '.join(twins)}")] if twins else []),
            *_title_findings(row["title"]),
        ]
        verdict = min((kind for kind, _ in findings), key=VERDICTS.index, default="ok")
        rows.append(
            {name: row.get(name) for name in ("title", "slug")}
            | {name: getattr(key, name) for name in ("type", "bits", "fingerprint", "comment")}
            | {"verdict": verdict, "findings": "; ".join(text for _, text in findings) or None}
        )
    return typed_frame(rows, AUDIT_DTYPES)


def _group_positions(values: Iterable[str | None]) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    for number, value in enumerate(values):
        if value is not None:
            found.setdefault(value, []).append(number)
    return found


def _folded_title(title: Any) -> str | None:
    return " ".join(str(title).split()).casefold() if is_known(title) else None


def _key_name(row: dict[str, Any]) -> str:
    return next((str(row[name]) for name in ("slug", "title") if is_known(row[name])), "one without a name")


def _title_findings(title: Any) -> list[tuple[str, str]]:
    if not is_known(title) or not str(title).strip():
        return [("odd", "it has no title: nobody can tell whose it is")]
    if str(title) != " ".join(str(title).split()) or not str(title).isprintable():
        return [("odd", "its title has odd white space or signs that cannot be seen")]
    return []


def _read_key(text: Any, min_rsa_bits: int) -> _PublicKey:
    if not is_known(text) or not str(text).strip():
        return _PublicKey(findings=(("unreadable", "no public key is told"),))
    lines = str(text).strip().splitlines()
    if "PRIVATE KEY" in str(text).upper():
        return _PublicKey(
            findings=(("exposed", "a private key stands where the public one belongs: replace it"),)
        )
    if lines[0].startswith("---"):
        return _PublicKey(
            findings=(("unreadable", "it is not in OpenSSH form (one line: type, key, comment)"),)
        )
    key = _parse_key_line(lines[0].strip(), min_rsa_bits)
    if len([line for line in lines if line.strip()]) > 1:
        more = ("odd", "it has several lines, only the first was read")
        return _PublicKey(key.type, key.bits, key.fingerprint, key.comment, (*key.findings, more))
    return key


def _parse_key_line(line: str, min_rsa_bits: int) -> _PublicKey:
    """One line in OpenSSH form; options before the type are told, and left out."""
    kind = _KEY_TYPE.search(f" {line} ")
    if kind is None:
        return _PublicKey(findings=(("unreadable", "it names no type of key, such as ssh-ed25519"),))
    start = line.index(kind[1])
    words = line[start:].split(None, 2)
    findings = [("odd", "options stand before the type")] if start else []
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
    """Bits and SHA256 fingerprint, as `ssh-keygen -l` tells them."""
    from cryptography.hazmat.primitives import hashes, serialization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that DSA is deprecated is told as a finding
        key = serialization.load_ssh_public_key(text.encode())
        fingerprint = serialization.ssh_key_fingerprint(key, hashes.SHA256())
    bits = int(getattr(key, "key_size", 256))  # an ed25519 key has one size
    return bits, "SHA256:" + b64encode(fingerprint).decode().rstrip("=")


def _strength_findings(kind: str, bits: int, min_rsa_bits: int) -> list[tuple[str, str]]:
    if kind == "ssh-dss":
        return [("weak", "DSA keys are broken, and no current OpenSSH takes one")]
    if kind == "ssh-rsa" and bits < min_rsa_bits:
        return [("weak", f"RSA with {bits} bits, fewer than {min_rsa_bits}")]
    if kind not in ACCEPTED_TYPES:
        return [("odd", f"{kind} is not among the types that the provider is known to take")]
    return []
