"""Names of secrets. No parameter may have such a name, because parameters are saved with the notebook."""

from __future__ import annotations

import re
from itertools import pairwise

_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(r".*(?:passwo?r?d|passphrase|token|secret|credential|apikey|privatekey)s?")
#: Words that make a following `key` a secret.
_KEY_PREFIXES = ("api", "private", "secret")
#: A name with one of these words is an amount: `max_tokens`, `password_length`.
_AMOUNT_WORDS = frozenset(
    ("max", "min", "num", "number", "n", "count", "counts", "counter", "total", "length", "len", "size", "limit",
     "limits", "budget", "days", "hours", "minutes", "seconds", "s", "ms", "ttl", "age", "per", "rate", "index")
)  # fmt: skip
#: A name that ends with one of these words describes a secret but is not one: `secret_name`, `token_type`.
_ATTRIBUTE_WORDS = frozenset(
    ("name", "names", "type", "types", "kind", "policy", "format", "env", "variable", "var", "provider", "backend",
     "store", "scope", "scopes", "url", "uri", "endpoint", "version", "label", "labels", "group", "field", "column",
     "header", "prefix", "rotation", "mode", "status", "state")
)  # fmt: skip


def is_secret_name(name: str) -> bool:
    """Whether a text parameter of this name would hold a secret. Whole words count: `tokenizer` is not a secret.

    >>> [is_secret_name(name) for name in ("api_token", "rootPassword", "tokenizer", "max_tokens", "secret_name")]
    [True, True, False, False, False]
    """
    words = [word.lower() for word in _NAME_WORD.findall(name)]
    if not words or words[-1] in _ATTRIBUTE_WORDS or _AMOUNT_WORDS.intersection(words):
        return False
    return any(map(_SECRET_WORD.fullmatch, words)) or any(
        word in _KEY_PREFIXES and after in ("key", "keys") for word, after in pairwise(words)
    )
