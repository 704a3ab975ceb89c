"""API tokens: the variables that hold them, how to set one in a shell, and the check of their form.

A token contains `$`, so a shell damages it outside single quotes. A damaged token is refused with the cure before
anything is sent."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from lcnb.errors import ConfigError
from lcnb.secret import Secret

if TYPE_CHECKING:
    pass
#: Environment variables that the provider's own tools read, in this order [go, cli, doc; tf, mcp].
TOKEN_VARIABLES = ("LETSCLOUD_API_KEY", "LETSCLOUD_API_TOKEN")
#: How long LetsCloud's tokens are, and what is taken for one at all.
TOKEN_LENGTH, MIN_TOKEN_LENGTH = 54, 20
#: No token begins or ends with one of these: straight ones, and those that word processors put in their place.
QUOTE_CHARACTERS = "'\"`\u2018\u2019\u201c\u201d"
#: The file of the official CLI, in the home directory, and the name before the token in it.
CLI_FILE, CLI_VARIABLE = ".letscloud", "LETSCLOUD_API_KEY"


# --- how to give a token ----------------------------------------------------------------------------------


def token_line(variable: str) -> str:
    """The line that sets a token, for a shell or a file of variables: in single quotes, for a token contains `$`.

    >>> token_line("LAB_TOKEN")
    "LAB_TOKEN='...'"
    """
    return f"{variable}='...'"


#: Said where a person is to write such a line.
SINGLE_QUOTES_ADVICE = "keep the single quotes: a token contains $, and a shell would replace what follows it"


def export_advice(variable: str) -> str:
    """The command that sets a token in a shell, and why it has single quotes."""
    return f"export {token_line(variable)} ({SINGLE_QUOTES_ADVICE})"


# --- each place -----------------------------------------------------------------------------------------


def checked_token(text: str, place: str) -> Secret:
    """The token as a Secret, refused before it could become a header if a header could not carry it."""
    if not text:
        raise ConfigError(f"the token from {place} is empty. Nothing was sent.")
    refuse_quoted_token(text, place)
    for position, character in enumerate(text, 1):
        if not "!" <= character <= "~":
            raise ConfigError(
                f"the token from {place} has {_character_name(character)}, which no token has: it is character {position} of "
                f"{len(text)}. Copy the token again, without spaces and without the end of the line. Nothing was sent."
            )
    refuse_cut_token(text, place)
    return Secret(text)


def _character_name(character: str) -> str:
    """What a person calls a character that cannot be seen, or looks like another one."""
    common = {" ": "a space", "\n": "a line end", "\r": "a line end", "\t": "a tab"}
    name = unicodedata.name(character, "a control character")
    return common.get(character) or f"{name} (U+{ord(character):04X})"


def refuse_quoted_token(text: str, place: str) -> None:
    """ConfigError for a token with the quotes that were to keep a shell away from it."""
    if text[0] in QUOTE_CHARACTERS or text[-1] in QUOTE_CHARACTERS:
        raise ConfigError(
            f"the token from {place} still has a quote around it. One pair of quotes is for a shell or a file of "
            "variables, which take it off; a second pair stays in the token. In a shell: "
            f"{export_advice(CLI_VARIABLE)}. Where no shell reads it (a container's --env-file, a secret of CI or "
            "Kubernetes): no quotes. Nothing was sent."
        )


def refuse_cut_token(text: str, place: str) -> None:
    """ConfigError for a text that is too short to be a token, such as the part that a shell leaves of one.

    It would also be masked wherever it occurs in a report, in ordinary words too.
    """
    if len(text) < MIN_TOKEN_LENGTH:
        characters = "1 character" if len(text) == 1 else f"{len(text)} characters"
        raise ConfigError(
            f"the token from {place} has only {characters}; LetsCloud's have {TOKEN_LENGTH}, and contain $: a "
            "shell expands that outside single quotes, so that a part is lost. Copy the whole token again; in a shell: "
            f"{export_advice(CLI_VARIABLE)}. Nothing was sent."
        )
