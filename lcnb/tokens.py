"""API tokens: the variables that hold them, how to set one in a shell, and the check of their form.

A token contains `$`, so a shell changes it outside single quotes. A damaged token is refused before anything is sent,
and the message says how to set it.
"""

from __future__ import annotations

import re
import unicodedata

from lcnb.errors import ConfigError
from lcnb.secret import Secret

#: Environment variables that the provider's tools read, in this order [go, cli, doc; tf, mcp].
TOKEN_VARIABLES = ("LETSCLOUD_API_KEY", "LETSCLOUD_API_TOKEN")
#: Characters of a LetsCloud token, and the fewest that are accepted as one.
TOKEN_LENGTH, MIN_TOKEN_LENGTH = 54, 20
#: No token begins or ends with one of these: straight quotes, and the curly ones of word processors.
QUOTE_CHARACTERS = "'\"`\u2018\u2019\u201c\u201d"
#: The file of the official CLI in the home directory, and the name before the token in it.
CLI_FILE, CLI_VARIABLE = ".letscloud", "LETSCLOUD_API_KEY"
#: The reason for the single quotes, wherever a message shows a line that sets a token.
SINGLE_QUOTES_ADVICE = "keep the single quotes: a token contains $, and a shell would replace what follows it"


def token_line(variable: str) -> str:
    """The line that sets a token in a shell or a file of variables, in single quotes because a token contains `$`.

    >>> token_line("LAB_TOKEN")
    "LAB_TOKEN='...'"
    """
    return f"{variable}='...'"


def export_advice(variable: str) -> str:
    """The command that sets a token in a shell, with the reason for its single quotes."""
    return f"export {token_line(variable)} ({SINGLE_QUOTES_ADVICE})"


#: How tokens begin, as password hashes of PHP do.
_TOKEN_START = re.compile(r"\$2[A-Za-z]?\$")


def looks_like_token(text: str) -> bool:
    """Whether a text that should be a name may be a token instead, so that no message may show it.

    >>> looks_like_token("$2Y$10$AB"), looks_like_token("LAB_TOKEN")
    (True, False)
    """
    return bool(_TOKEN_START.match(text.strip(f"{QUOTE_CHARACTERS} "))) or (
        len(text) == TOKEN_LENGTH and text.isalnum()
    )


def checked_token(text: str, place: str) -> Secret:
    """Return the token as a Secret.

    Args:
        text: The token as it was found.
        place: Where it was found, for the message.

    Raises ConfigError for a text that is empty, too short, an assignment, part of a header, in quotes or with
    backslashes, or has characters that a header cannot carry.
    """
    if not text:
        raise ConfigError(f"the token from {place} is empty", not_done="sent")
    refuse_damaged_token(text, place)
    for position, character in enumerate(text, 1):
        if not "!" <= character <= "~":
            raise ConfigError(
                f"the token from {place} contains {_character_name(character)}, which no token does: it is character "
                f"{position} of {len(text)}",
                cure="Copy the token again, without spaces and without the line end.",
                not_done="sent",
            )
    refuse_cut_token(text, place)
    return Secret(text)


def _character_name(character: str) -> str:
    """The name of a character that is not visible or looks like another one."""
    common = {" ": "a space", "\n": "a line end", "\r": "a line end", "\t": "a tab"}
    name = unicodedata.name(character, "a control character")
    return common.get(character) or f"{name} (U+{ord(character):04X})"


def refuse_damaged_token(text: str, place: str) -> None:
    """Raise ConfigError for a token with something around or in it that a person or a shell has added."""
    for pattern, problem, cure in _DAMAGES:
        if pattern.match(text):
            raise ConfigError(f"the token from {place} {problem}", cure=cure, not_done="sent")


#: What people and shells add to a token: the pattern, what the message says of it, and the cure.
_DAMAGES = (
    (
        re.compile(r"\s*(?:export\s+|set\s+|\$env:)?[A-Za-z_]\w*\s*=\s*[^=\s]", re.ASCII | re.IGNORECASE),
        "is a whole assignment: it has the name of a variable and = before the token",
        f"Keep only what follows the =. In a shell: {export_advice(CLI_VARIABLE)}.",
    ),
    (
        re.compile(r"\s*(?:[A-Za-z-]+:\s*|(?:bearer|token|basic)\s)", re.IGNORECASE),
        "is a part of a header: it has a word such as Bearer or Authorization: before the token",
        f"Keep only the token. In a shell: {export_advice(CLI_VARIABLE)}.",
    ),
    (
        re.compile(rf"[{QUOTE_CHARACTERS}]|.*[{QUOTE_CHARACTERS}]\Z", re.DOTALL),
        "still has a quote around it. A shell or a file of variables removes one pair of quotes; a second pair becomes "
        "part of the token",
        f"In a shell: {export_advice(CLI_VARIABLE)}. Where no shell reads the token (a container's --env-file, a "
        "secret of CI or Kubernetes): use no quotes.",
    ),
    (
        re.compile(r".*\\", re.DOTALL),
        "contains a backslash, which no token does: it escapes the character after it in a shell without quotes",
        f"Leave out the backslashes. In a shell: {export_advice(CLI_VARIABLE)}.",
    ),
)


def refuse_cut_token(text: str, place: str) -> None:
    """Raise ConfigError for a text that is too short to be a token, such as the rest that a shell leaves of one.

    A short text would also be masked wherever it occurs in a report, in ordinary words too.
    """
    if len(text) < MIN_TOKEN_LENGTH:
        characters = "1 character" if len(text) == 1 else f"{len(text)} characters"
        raise ConfigError(
            f"the token from {place} has only {characters}. A LetsCloud token has {TOKEN_LENGTH} and contains $. "
            "Outside single quotes a shell replaces the $ and what follows it, so part of the token is lost",
            cure=f"Copy the whole token again, into single quotes: export {token_line(CLI_VARIABLE)}.",
            not_done="sent",
        )
