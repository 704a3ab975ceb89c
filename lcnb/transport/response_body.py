"""Read the body of a response: its JSON, the provider's message, or an excerpt for an error message."""

from __future__ import annotations

import json
import re
from typing import Any

from lcnb.api.record_reader import SECRET_NAME_PATTERN
from lcnb.secret import STARS, Secret, mask_secrets

MAX_MESSAGE_LENGTH, MAX_EXCERPT_LENGTH = 500, 80


def parse_json(body: bytes) -> Any:
    """Return the JSON value, or None if the body is not JSON.

    Invalid bytes are replaced: one of them in a label must not cost the whole listing.
    """
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def provider_message(body: bytes, secrets: tuple[Secret, ...]) -> str | None:
    """Return the provider's error texts as one line with secrets masked, or None if it gave none."""
    document = parse_json(body)
    if not isinstance(document, dict):
        return None
    parts = [document.get("message"), document.get("error"), *_error_parts(document.get("errors"))]
    words = [str(part).strip() for part in parts if isinstance(part, str | int | float) and str(part).strip()]
    return mask_secrets("; ".join(dict.fromkeys(words)), *secrets)[:MAX_MESSAGE_LENGTH] or None


def _error_parts(errors: Any) -> list[Any]:
    if isinstance(errors, dict):  # Laravel's format: field → list of texts
        return [f"{name}: {text}" for name, texts in errors.items() for text in _as_list(texts)]
    return [] if errors is None else _as_list(errors)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


#: The name of a JSON field that may hold a secret, up to its value. What follows it is not shown.
_SECRET_FIELD = re.compile(rf'"[^"]*(?:{SECRET_NAME_PATTERN.pattern})[^"]*"\s*:', re.IGNORECASE)


def body_excerpt(body: bytes, secrets: tuple[Secret, ...]) -> str:
    """Return the start of the body, quoted and without secrets; of an HTML page, its title.

    A listing that is cut off is no JSON, but it holds initial passwords.
    """
    # UTF-16 has a zero byte in each character.
    text = body[:2000].decode("utf-8", "replace").replace("\0", "")
    if field := _SECRET_FIELD.search(text):
        text = f"{text[: field.end()]} {STARS}"
    if title := re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL):
        import html

        text = html.unescape(title[1])
    text = mask_secrets(" ".join(text.split()), *secrets)
    if not text:
        return "no message"
    return repr(text if len(text) <= MAX_EXCERPT_LENGTH else text[: MAX_EXCERPT_LENGTH - 3] + "...")
