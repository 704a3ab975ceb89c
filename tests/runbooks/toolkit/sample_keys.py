"""Public keys in every form, right and wrong, for the tests of the key audit."""

from __future__ import annotations

import struct
import warnings
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def text_of(private: Any) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        return str(private.public_key().public_bytes(*form).decode())


def ed25519_text(byte: int) -> str:
    return text_of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes([byte]) * 32))


def packed(*parts: bytes) -> str:
    return b64encode(b"".join(struct.pack(">I", len(part)) + part for part in parts)).decode()


def rsa_text(bits: int) -> str:
    """An RSA public key of so many bits; nobody can use it, and none has to be made."""
    return f"ssh-rsa {packed(b'ssh-rsa', mpint(65537), mpint((1 << (bits - 1)) + 1))}"


def mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


GOOD = ed25519_text(1)


ECDSA = text_of(ec.derive_private_key(7, ec.SECP256R1()))


PRIVATE = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACANARY\n-----END OPENSSH PRIVATE KEY-----"
)


DSS = f"ssh-dss {packed(b'ssh-dss', mpint((1 << 1023) + 1), mpint((1 << 159) + 1), mpint(2), mpint(4))}"


#: Name → public key, verdict, type, bits, what is said.
KEYS: dict[str, tuple[str | None, str, str | None, int | None, str]] = {
    "ed25519": (f"{GOOD} ana@laptop", "ok", "ssh-ed25519", 256, ""),
    "rsa 4096": (rsa_text(4096), "ok", "ssh-rsa", 4096, ""),
    "rsa 2048": (rsa_text(2048), "ok", "ssh-rsa", 2048, ""),
    "rsa 1024": (rsa_text(1024), "weak", "ssh-rsa", 1024, "RSA with 1024 bits, fewer than 2048"),
    "dss": (DSS, "weak", "ssh-dss", 1024, "DSA"),
    "ecdsa": (ECDSA, "odd", "ecdsa-sha2-nistp256", 256, "not among the types"),
    "options": (f'from="10.0.0.0/8" {GOOD}', "odd", "ssh-ed25519", 256, "options before the type"),
    "two lines": (f"{GOOD}\n{ECDSA}\n", "odd", "ssh-ed25519", 256, "several lines"),
    "end of line": (f"{GOOD}\r\n", "ok", "ssh-ed25519", 256, ""),
    "cut": (GOOD[:40], "unreadable", "ssh-ed25519", None, "damaged"),
    "no base64": ("ssh-rsa ???", "unreadable", "ssh-rsa", None, "damaged"),
    "other type inside": (f"ssh-rsa {GOOD.split()[1]}", "unreadable", "ssh-rsa", None, "damaged"),
    "unknown type": (f"ssh-quantum {GOOD.split()[1]}", "unreadable", "ssh-quantum", None, "unknown type"),
    "type alone": ("ssh-rsa", "unreadable", "ssh-rsa", None, "damaged"),
    "words": ("hello world", "unreadable", None, None, "no key type"),
    "nothing": (None, "unreadable", None, None, "reports no public key"),
    "blank": ("  \n ", "unreadable", None, None, "reports no public key"),
    "pem": ("-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----", "unreadable", None, None, "format of OpenSSH"),
    "rfc 4716": ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "unreadable", None, None, "format of OpenSSH"),
    "private": (PRIVATE, "exposed", None, None, "private key"),
    "not ascii": ("ssh-rsa äöü", "unreadable", "ssh-rsa", None, "damaged"),
}  # fmt: skip
