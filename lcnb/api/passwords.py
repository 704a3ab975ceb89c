"""The password rule of the provider [cli]: 12 to 32 characters, with upper case, lower case, digit and special."""

from __future__ import annotations

import re
import secrets
import string

from lcnb.errors import InputError
from lcnb.secret import Secret

ALLOWED_LENGTHS = range(12, 33)
_CHARACTER_KINDS = {
    "an upper-case letter": string.ascii_uppercase,
    "a lower-case letter": string.ascii_lowercase,
    "a digit": string.digits,
    "a special character": "!@#%*-_=+?",
}


def new_password() -> str:
    """Return a random password that satisfies the rule, with 24 characters."""
    picked = [secrets.choice(kind) for kind in _CHARACTER_KINDS.values()]
    picked += [secrets.choice("".join(_CHARACTER_KINDS.values())) for _ in range(24 - len(picked))]
    secrets.SystemRandom().shuffle(picked)
    return "".join(picked)


def checked_password(password: str | Secret) -> Secret:
    """Return the password as a Secret; raise InputError, which does not contain the password, if it breaks the rule."""
    if not isinstance(password, str | Secret):
        raise InputError(f"password: expected a text, got a {type(password).__name__}. Nothing was sent.")
    password = Secret(password) if isinstance(password, str) else password
    if missing := _missing_parts(password.reveal()):
        # Raised where no variable holds the text: a traceback may print them.
        raise InputError(f"password: it needs {', '.join(missing)}. Nothing was sent.")
    return password


def _missing_parts(text: str) -> list[str]:
    """Return what a password lacks, as clauses for people."""
    patterns = dict(zip(_CHARACTER_KINDS, ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"), strict=True))
    missing = [name for name, pattern in patterns.items() if not re.search(pattern, text)]
    if len(text) not in ALLOWED_LENGTHS:
        missing.insert(0, f"12 to 32 characters (it has {len(text)})")
    if not text.isprintable() or not text.isascii():
        missing.append("printable ASCII characters only")
    return missing
