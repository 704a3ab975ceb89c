"""A secret prints as stars wherever it is shown, and `mask` finds it in whatever form it stands in a text."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcnb.secret import STARS, Secret, mask_secrets

TEXT = 'canary/7f3e+9a=1c"5b é'

# --- showing --------------------------------------------------------------------------------------------


def logged(secret: Secret) -> str:
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    logger.warning("the token is %s, %r", secret, {"token": secret})
    return stream.getvalue()


def traced(secret: Secret) -> str:
    def fails(token: Secret) -> None:
        raise ValueError(f"not accepted: {token}")

    try:
        fails(secret)
    except ValueError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    raise AssertionError


def not_json(secret: Secret) -> str:
    with pytest.raises(TypeError, match="not JSON serializable") as caught:
        json.dumps({"token": secret})
    return f"{caught.value} {STARS}"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        "{:>10}".format,
        "{!r}".format,
        "{}".format,
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - that way of formatting is what is shown
        lambda secret: f"{secret} {secret!s} {secret!r} {secret=}",
        lambda secret: str([secret]) + str({"a": (secret,)}),
        lambda secret: json.dumps({"token": secret}, default=str),
        lambda secret: repr(copy.copy(secret)),
        lambda secret: repr(copy.deepcopy({"token": secret})),
        lambda secret: repr(pickle.loads(pickle.dumps(secret))),
        logged,
        traced,
        not_json,
    ],
)
def test_stars(show: Callable[[Secret], str]) -> None:
    """However a secret is shown, there are stars and nothing of the text."""
    shown = show(Secret(TEXT))
    assert STARS in shown
    assert "canary" not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    """A pickle of any protocol holds no text, and what comes out of it says so."""
    data = pickle.dumps({"token": Secret(TEXT)}, protocol)
    secret = pickle.loads(data)["token"]
    assert b"canary" not in data
    assert not secret
    with pytest.raises(ValueError, match="went through a pickle"):
        secret.reveal()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy(copied: Callable[[Secret], Secret]) -> None:
    """A copy is made as a pickle is: without the text."""
    with pytest.raises(ValueError, match="read it again"):
        copied(Secret(TEXT)).reveal()


def test_nothing_beside() -> None:
    """A secret has no `__dict__` that `vars` or a debugger would list."""
    assert not hasattr(Secret(TEXT), "__dict__")


def test_reveal() -> None:
    """`reveal()` gives the very text."""
    assert Secret(TEXT).reveal() == TEXT


# --- comparing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (Secret("a"), Secret("a"), True),
        (Secret("a"), Secret("b"), False),
        (Secret("a"), Secret("aa"), False),
        (Secret("é"), Secret("é"), True),
        (Secret("\ud800"), Secret("\ud800"), True),
        (Secret("\ud800"), Secret("a"), False),
        (Secret("a"), "a", False),
        (Secret(STARS), STARS, False),
        (Secret("a"), None, False),
        (Secret(""), pickle.loads(pickle.dumps(Secret(""))), False),
        (pickle.loads(pickle.dumps(Secret("a"))), pickle.loads(pickle.dumps(Secret("a"))), False),
    ],
)
def test_equal(left: object, right: object, equal: bool) -> None:
    """Secrets are equal by their text, and never equal to a plain text or to one whose text is unknown."""
    assert (left == right) is equal
    assert (right == left) is equal


def test_hash() -> None:
    """Equal secrets have one hash, which is not that of the text; a secret can be a key."""
    assert hash(Secret("a")) == hash(Secret("a")) != hash("a")
    assert {Secret("a"): 1}[Secret("a")] == 1


@pytest.mark.parametrize(("text", "truth"), [("", False), (" ", True), ("a", True)])
def test_bool(text: str, truth: bool) -> None:
    """An empty secret is false, as an empty text is."""
    assert bool(Secret(text)) is truth


# --- masking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        TEXT,
        json.dumps(TEXT),
        json.dumps(TEXT, ensure_ascii=False),
        json.dumps(TEXT).replace("/", "\\/"),
        repr({"token": TEXT}),
        quote(TEXT),
        quote(TEXT, safe=""),
        quote_plus(TEXT),
        urlencode({"password": TEXT}),
        *(base64.b64encode(b"x" * before + TEXT.encode() + b"zz").decode() for before in range(4)),
        *(base64.urlsafe_b64encode(b"x" * before + TEXT.encode()).decode() for before in range(4)),
    ],
)
def test_mask_form(form: str) -> None:
    """A secret is masked as it is, and as JSON (Python's or PHP's), a repr, a URL or base64 write it."""
    masked = mask_secrets(f"before {form} after", Secret(TEXT))
    assert STARS in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    for part in ("canary", "7f3e", "9a", "1c"):
        assert part not in masked


PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
# A star beside the stars of the mask could look like a part of the secret again.
SECRETS = st.text(PRINTABLE, min_size=8, max_size=60).filter(lambda text: "*" not in text)
DISTINCT = st.lists(PRINTABLE.filter("*".__ne__), min_size=8, max_size=40, unique=True).map("".join)
AROUND = st.text(PRINTABLE, max_size=20)


def readable(prefix: str, secret: str, suffix: str) -> tuple[float, float]:
    """How many characters of the secret can be read at its two ends when all three stand in base64, masked."""
    coded = base64.b64encode(f"{prefix}{secret}{suffix}".encode()).decode()
    masked = mask_secrets(coded, Secret(secret))
    before = masked.index(STARS)
    padding = coded.count("=")  # each also stands for two bits that are nothing
    after = len(masked) - padding - masked.rindex(STARS) - len(STARS)
    return before * 6 / 8 - len(prefix), (after * 6 - padding * 2) / 8 - len(suffix)


@settings(deadline=None, max_examples=150)
@given(prefix=AROUND, secret=SECRETS, suffix=AROUND)
def test_mask_base64(prefix: str, secret: str, suffix: str) -> None:
    """In base64 no secret can be read, whatever stands before and after it."""
    assert max(readable(prefix, secret, suffix)) < len(secret)


@settings(deadline=None, max_examples=150)
@given(prefix=AROUND, secret=DISTINCT, suffix=AROUND)
def test_mask_base64_whole(prefix: str, secret: str, suffix: str) -> None:
    """In base64 not one whole character of a secret that does not repeat itself can be read."""
    assert max(readable(prefix, secret, suffix)) < 1


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("secret", ["canary-7f3e9a1c5b", "canary-7", "canary-7f", "canary-7f3"])
def test_mask_base64_ends(before: int, after: int, secret: str) -> None:
    """At each of base64's alignments the secret is masked up to its last character."""
    assert max(readable("x" * before, secret, "y" * after)) < 1


@settings(deadline=None, max_examples=150)
@given(prefix=AROUND, secret=SECRETS, suffix=AROUND)
def test_mask_anywhere(prefix: str, secret: str, suffix: str) -> None:
    """After masking the secret is in a text neither plain nor as JSON, URL or repr write it."""
    ways: list[Callable[[str], str]] = [
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
        quote,
        lambda text: quote(text, safe=""),
        quote_plus,
    ]
    for way in ways:
        masked = mask_secrets(f"{prefix}{way(secret)}{suffix}", Secret(secret))
        assert STARS in masked
        assert secret not in masked
        assert way(secret) not in masked


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.characters(min_codepoint=256, exclude_categories=["Cs"]), max_size=80), secret=SECRETS)
def test_mask_leaves_the_rest(text: str, secret: str) -> None:
    """A text without the secret stays as it is, and what stands around the secret too."""
    assert mask_secrets(f"«{text}»{secret}«{text}»", Secret(secret)) == f"«{text}»{STARS}«{text}»"


@pytest.mark.parametrize("secret", [Secret(""), None, pickle.loads(pickle.dumps(Secret("a")))])
def test_mask_nothing(secret: Secret | None) -> None:
    """An empty secret, none, or one without its text changes nothing."""
    assert mask_secrets("a text", secret) == "a text"
    assert mask_secrets("", secret) == ""


@pytest.mark.parametrize("secret", ["*", "**", STARS, "a", "\ud800", "\\", "\x00", "é"])
def test_mask_ends(secret: str) -> None:
    """Masking ends for every secret, one of stars or of a single character too."""
    assert re.fullmatch(r"x\*+y", mask_secrets(f"x{secret}y", Secret(secret)))


def test_mask_several() -> None:
    """Several secrets are masked at once, one that is a part of another too."""
    masked = mask_secrets(
        "token=abcdefgh-long and abcdefgh", Secret("abcdefgh-long"), None, Secret("abcdefgh")
    )
    assert masked == f"token={STARS} and {STARS}"


def test_mask_order() -> None:
    """The longest form goes first: no tail of an escaped form is left over."""
    secret = 'a"b"c"d"e'
    document: Any = json.dumps({"echo": secret})
    assert mask_secrets(document, Secret(secret)) == f'{{"echo": "{STARS}"}}'
