"""A value that prints as stars.

`Secret` holds a token, a password or a private key. Everything that shows it shows stars: repr, str, format, %-format,
a log line, a traceback with locals, a notebook, a pickle, JSON. `reveal()` is the only way to the text. A comparison
takes the same time for every difference.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from contextlib import suppress
from functools import cache
from typing import overload
from urllib.parse import quote, quote_plus

STARS = "*****"
#: In the kernel of a run: the pipe to its runner, as `handle:inode`. The runner masks every secret that it receives.
SECRET_PIPE_VARIABLE = "LCNB_RUN_SECRETS"  # noqa: S105 - a variable's name


class Secret:
    """A masked text: `Secret("x")` prints as `*****`; `Secret("x").reveal()` gives `"x"`.

    >>> password = Secret("correct horse")
    >>> password
    *****
    >>> f"the password is {password}"
    'the password is *****'
    >>> password.reveal()
    'correct horse'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: str | None = value

    def reveal(self) -> str:
        """Return the text. Raises ValueError for a secret that was unpickled: a pickle contains stars only."""
        if self._value is None:
            raise ValueError("this secret went through a pickle, which keeps stars only; read it again")
        _report_to_runner(self._value)
        return self._value

    def __repr__(self) -> str:
        return STARS

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(STARS, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self._value is None or other._value is None:
            return self is other
        return hmac.compare_digest(_encode_text(self._value), _encode_text(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        return (_empty_secret, ())


@overload
def as_secret(value: str | Secret) -> Secret: ...
@overload
def as_secret(value: None) -> None: ...
@overload
def as_secret(value: str | Secret | None) -> Secret | None: ...
def as_secret(value: str | Secret | None) -> Secret | None:
    """Return an argument as a Secret: a traceback may print the variables of each frame. None stays None.

    What is no text is returned as it is, for the check that refuses it.
    """
    return Secret(value) if isinstance(value, str) else value


def _report_to_runner(value: str) -> None:
    """Send the text to the runner of this notebook, if there is one, before the caller gets it."""
    handle, _, inode = os.environ.get(SECRET_PIPE_VARIABLE, "").partition(":")
    if not inode:
        return
    with suppress(OSError, ValueError):
        # A process that the kernel started inherits the variable, but its handle may refer to another file.
        if os.fstat(int(handle)).st_ino == int(inode):
            os.write(int(handle), json.dumps(value).encode() + b"\n")


def _empty_secret() -> Secret:
    secret = Secret("")
    secret._value = None
    return secret


def _encode_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")  # a lone surrogate is valid JSON: a password may hold one


def mask_secrets(text: str, *secrets: Secret | None) -> str:
    """Return `text` with stars in place of every occurrence of the secrets: plain, JSON-, URL- or base64-encoded.

    >>> mask_secrets("password=correct%20horse", Secret("correct horse"))
    'password=*****'
    """
    for secret in secrets:
        if secret:
            for form in _encoded_forms(secret.reveal()):
                text = text.replace(form, STARS)
    return text


@cache
def _encoded_forms(value: str) -> tuple[str, ...]:
    """The encodings of a text that may occur in another text, the longest first."""
    from html import escape

    html = escape(value)
    # HTML, with quotes escaped as Python and as other libraries do it.
    forms = {value, repr(value)[1:-1], html, escape(value, quote=False)}
    forms |= {html.replace("&#x27;", "&#39;"), html.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")}
    for _ in range(2):  # a notebook is JSON, and what a cell prints may be JSON too
        forms |= {
            json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in forms for ascii_only in (True, False)
        }
        forms |= {form.replace("/", "\\/") for form in forms}  # as PHP writes JSON
    raw = _encode_text(value)
    forms |= {quote(raw), quote(raw, safe=""), quote_plus(raw)}
    # Base64 depends on the bytes before the text; the characters shared with those are cut off.
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).decode()
        padding = coded.count("=")
        inner = coded[-(-before * 8 // 6) : len(coded) - (padding and padding + 1)]
        if len(inner) >= 8:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return tuple(sorted(forms, key=len, reverse=True))
