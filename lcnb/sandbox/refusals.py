"""What the provider refuses, with which words and which HTTP status.

The words are not documented anywhere; they are assumptions [?]."""

from __future__ import annotations

import contextlib
import re
from typing import Any

Json = dict[str, Any]

#: What is said where the API page documents no words [?].
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
    """The provider refuses: what it says, and the HTTP status where it is not the usual 200."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


# --- rules ----------------------------------------------------------------------------------------------


def find_by_slug(things: list[Json], slug: str, refusal: str) -> Json:
    for thing in things:
        if thing["slug"] == slug:
            return thing
    raise Refusal(REFUSALS[refusal], 404)


def text_field(fields: Json, name: str, default: str | None = None) -> str:
    """A field as text; a number is taken as its digits, as PHP would; anything else is not valid."""
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
    part = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    return len(text) <= 253 and re.fullmatch(rf"{part}(?:\.{part})*", text) is not None


def valid_password(text: str) -> str:
    kinds = ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]")
    if 12 <= len(text) <= 32 and all(re.search(kind, text) for kind in kinds):
        return text
    raise Refusal(REFUSALS["password"])


def valid_public_key(text: str) -> str:
    """The key as one line, if it is a well-formed ssh-rsa or ssh-ed25519 one [tf]."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    line = text.strip()
    with contextlib.suppress(Exception):  # the library raises several kinds; all mean: not a key
        if isinstance(load_ssh_public_key(line.encode()), ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
            return line
    raise Refusal(REFUSALS["key"])
