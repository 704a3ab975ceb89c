"""The provider's refusals: messages and HTTP statuses.

The messages are not documented anywhere; they are assumptions [?].
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

Json = dict[str, Any]

#: Messages that the API page does not document [?].
REFUSALS = {
    "locked": "The instance is locked, wait until the current action is finished.",
    "building": "The instance is being built.",
    "suspended": "The instance is suspended.",
    "off": "The instance is turned off.",
    "no instance": "Instance not found.",
    "no sshkey": "SSH Key not found.",
    "no snapshot": "Snapshot not found.",
    "no location": "Location not found.",
    "unavailable": "The location is not available.",
    "no plan": "The plan is not available in this location.",
    "no image": "The image is not available in this location.",
    "hostname": "The hostname is invalid.",
    "password": "The password must have 12 to 32 characters with an uppercase, a lowercase, a number and a special.",
    "access": "A password or an SSH key is required.",
    "key": "The public key is invalid, use ssh-rsa or ssh-ed25519.",
    "funds": "Your balance is not sufficient.",
}


class Refusal(Exception):
    """A refusal of the provider: its message, and the HTTP status (usually 200)."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def find_by_slug(records: list[Json], slug: str, refusal: str) -> Json:
    """Return the record with this slug. Refusal (404) with the message of `refusal` when there is none."""
    for record in records:
        if record["slug"] == slug:
            return record
    raise Refusal(REFUSALS[refusal], 404)


def text_field(fields: Json, name: str, default: str | None = None) -> str:
    """Return a field as text. A number becomes its digits, as in PHP; any other type is refused.

    A missing or empty field becomes `default`, and is refused when there is no default.
    """
    value = fields.get(name)
    if value is None or value == "":
        if default is None:
            raise Refusal(f"The {name.replace('_', ' ')} field is required.", 400)
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Refusal(f"The {name.replace('_', ' ')} must be a string.", 400)
    text = str(value)
    if len(text) > 16_384 or (name != "key" and len(text) > 255):
        raise Refusal(f"The {name.replace('_', ' ')} may not be greater than 255 characters.", 400)
    return text


def is_hostname(text: str) -> bool:
    """Whether a text is a valid host name."""
    part = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return len(text) <= 253 and re.fullmatch(rf"{part}(?:\.{part})*", text) is not None


def valid_password(text: str) -> str:
    """Return the password. Refusal when it is too weak."""
    kinds = ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]")
    if 12 <= len(text) <= 32 and all(re.search(kind, text) for kind in kinds):
        return text
    raise Refusal(REFUSALS["password"])


def valid_public_key(text: str) -> str:
    """Return an ssh-rsa or ssh-ed25519 key as one line [tf]. Refusal for any other text."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    line = text.strip()
    # The library raises several classes; each means that this is not a key.
    with contextlib.suppress(Exception):
        if isinstance(load_ssh_public_key(line.encode()), ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
            return line
    raise Refusal(REFUSALS["key"])
