"""Files of `NAME='value'` lines that only their owner may read.

Nothing in such a file is executed or expanded. A file that others can read is refused, because it may hold a token.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from lcnb.errors import ConfigError
from lcnb.secret import Secret
from lcnb.tokens import SINGLE_QUOTES_ADVICE, TOKEN_VARIABLES, token_line

#: Characters of a file that are read: a token file is much smaller.
MAX_CHARACTERS = 65_536


def read_private_file(path: Path, *, may_be_pipe: bool = False) -> tuple[str, int]:
    """Return the text of a file, and its mode when other users may read or change it (0 when they may not).

    `may_be_pipe`: the user names it for this command, as in `--env-file <(command)`. Elsewhere a pipe would be waited
    for whenever a token is looked for.

    Raises OSError, or ValueError for a file that is not UTF-8, and for what is no regular file, before it is opened.
    """
    if not (stat.S_ISREG(kind := path.stat().st_mode) or (may_be_pipe and stat.S_ISFIFO(kind))):
        raise ValueError(f"it is {_kind_name(kind)}, not a regular file. Write the token into a regular file")
    with path.open(encoding="utf-8-sig") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        try:
            text = file.read(MAX_CHARACTERS)
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8 text. Write the token into it again, as plain text") from None
        return text, mode if os.name == "posix" and mode & 0o077 else 0


def _kind_name(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def too_open_message(path: Path, mode: int) -> str:
    """The message about a token file that other users may read or change, with the command that mends it."""
    how = "changed" if mode & stat.S_IWOTH else "read"
    return (
        f"the token file {path} may be {how} by others (mode {mode:04o}), so it was not used. "
        f"Cure: chmod 600 {shlex.quote(str(path))}, and if others work on this machine, make a new token."
    )


def read_variables(path: Path) -> dict[str, Secret]:
    """Return the variables of a file of `NAME='value'` lines. Nothing in it is executed or expanded.

    Raises ConfigError when the file is missing, may be read by others, has another line, or a name twice.
    """
    try:
        text, mode = read_private_file(path, may_be_pipe=True)
        pairs = list(parse_variables(text))
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise ConfigError(
            f"the file of variables {path}: {reason}. It has lines such as {token_line(TOKEN_VARIABLES[0])} "
            f"({SINGLE_QUOTES_ADVICE})"
        ) from None
    if mode:
        raise ConfigError(too_open_message(path, mode))
    found: dict[str, Secret] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigError(f"the file of variables {path}: {name} is there twice; keep one of these lines")
        found[name] = Secret(value)
    return found


def parse_variables(text: str, only: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield name and value of each `NAME=value` line, with or without `export`, quotes, spaces and comments.

    Args:
        text: The content of the file.
        only: Yield the lines of this name only, and ignore what the others contain.

    Raises ValueError for another line, or a quote that is not closed.

    >>> list(parse_variables("export LAB_TOKEN='a$b'  # of the lab"))
    [('LAB_TOKEN', 'a$b')]
    """
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        name, equals, value = re.sub(r"^export\s+", "", line).partition("=")
        name = name.strip()
        if not line or line.startswith(("#", ";")) or (only and name != only):
            continue
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise ValueError(f"line {number} is not NAME='value'")
        try:
            yield name, unquote_value(value.strip())
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None


def unquote_value(text: str) -> str:
    """Return a value without the quotes around it and the comment after it.

    In single quotes nothing is special. Elsewhere a backslash before a dollar sign, a quote or a backslash is removed.
    Raises ValueError when a quote is not closed.
    """
    quote = text[:1] if text[:1] in ("'", '"') else ""
    form = {"'": r"'([^']*)'", '"': r'"((?:[^"\\]|\\.)*)"', "": r"(.*?)"}[quote]
    found = re.fullmatch(form + r"(?:\s+#.*)?", text, re.DOTALL)
    if not found:
        raise ValueError("a quote is not closed, or something follows it")
    return found[1] if quote == "'" else re.sub(r'\\([$"\\`])', r"\1", found[1])
