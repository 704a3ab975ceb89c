"""Which account, which token, which base URL, which folders; and where each came from.

`resolve()` gives a frozen `Settings`. Sources, first that holds: an argument, the environment, an account in
`lcnb.toml`, the official CLI's `~/.letscloud`, the keyring. An account that is named (argument or
`LCNB_ACCOUNT`) is taken whole, token and base URL together: a token of another account in the environment
must never be sent for it. Files with a token must be readable by their owner only; the official CLI leaves its file
readable by others, so that one is used with a warning that names the cure.

    # lcnb.toml, in the folder that `lcnb accounts` prints
    default = "prod"
    [accounts.prod]
    token_file = "prod.token"          # or token_env = "PROD_TOKEN", or keyring = "lcnb/prod"
    [accounts.lab]
    token_env = "LAB_TOKEN"
    base_url = "https://api.letscloud.io"
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import stat
import tomllib
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lcnb.errors import ConfigError, ConfigWarning, TokenMissing
from lcnb.files import NotText, read_text
from lcnb.folders import config_dir, runs_dir, state_dir
from lcnb.secret import Secret

if TYPE_CHECKING:
    import pandas as pd

#: The provider's base URL [S, go, node, mcp]; a later page names https://api.letscloud.io.
BASE_URL = "https://core.letscloud.io/api"
#: Where a base URL came from that nobody has set.
THE_DEFAULT = "the default"
#: Seconds that one call may take, its retries and pages included.
TIMEOUT = 60.0
#: Seconds for which a create with unknown outcome is looked for before it may be sent again.
SETTLE = 150.0
#: Seconds for which locations, plans and images are kept for reading.
CATALOGUE = 600.0
#: Environment variables that the provider's own tools read, in this order [go, cli, doc; tf, mcp].
TOKEN_VARIABLES = ("LETSCLOUD_API_KEY", "LETSCLOUD_API_TOKEN")
#: How long LetsCloud's tokens are, and what is taken for one at all.
TOKEN_CHARACTERS, MIN_TOKEN_CHARACTERS = 54, 20
#: No token begins or ends with one of these: straight ones, and those that word processors put in their place.
QUOTES = "'\"`\u2018\u2019\u201c\u201d"
#: The environment variables of lcnb itself, each with what it sets.
VARIABLES = {
    "LCNB_ACCOUNT": "the account in lcnb.toml to use",
    "LCNB_BASE_URL": f"base URL of the API (default {BASE_URL})",
    "LCNB_TIMEOUT": f"seconds that one call may take, retries included (default {TIMEOUT:g})",
    "LCNB_SETTLE": f"seconds for which a change may still take effect after its last attempt (default {SETTLE:g})",
    "LCNB_CATALOGUE": f"seconds for which locations, plans and images are kept (default {CATALOGUE:g}; 0: not)",
    "LCNB_REDIS_URL": "a Redis that keeps the rate budget of a token for several machines",
    "LCNB_CONFIG_DIR": "folder of lcnb.toml",
    "LCNB_STATE_DIR": "folder of what lcnb remembers between runs",
    "LCNB_RUNS_DIR": "folder where runbook runs are kept (default ./runs)",
    "LCNB_NOTIFY": "whom to tell how a run ended: Apprise URLs, apart by spaces, or a file of them",
    "LCNB_NOTIFY_ON": "which ends are told: all (the default) or trouble",
}
_ACCOUNT_KEYS = ("token_env", "token_file", "keyring", "base_url")
KEYRING_SERVICE = "lcnb"
#: The file of the official CLI, in the home directory, and the name before the token in it.
CLI_FILE, CLI_VARIABLE = ".letscloud", "LETSCLOUD_API_KEY"
KEYRING_CURE = (
    "`keyring --list-backends` lists what can keep secrets here, and a locked keyring must be unlocked first; or keep "
    "them in a file."
)


@dataclass(frozen=True)
class Settings:
    """What one client works with; `token_source` and `base_url_source` say where those came from."""

    account: str | None
    token: Secret
    token_source: str
    base_url: str
    base_url_source: str
    timeout: float
    state_dir: Path
    runs_dir: Path
    settle: float = SETTLE
    catalogue: float = 0.0


@dataclass(frozen=True)
class TokenPlace:
    """One place that may hold a token, and what was found there (never the token itself in a repr)."""

    account: str | None
    place: str
    token: Secret | None
    base_url: str | None = None
    problem: str = ""
    #: What is to be mended, although the token can be used.
    warning: str = ""
    #: How to put a token there, as a sentence for a person.
    cure: str = ""
    #: The environment variable, if the place is one.
    variable: str | None = None
    #: The file, if the place is one.
    file: Path | None = None


# --- how to give a token ----------------------------------------------------------------------------------


def token_line(variable: str) -> str:
    """The line that sets a token, for a shell or a file of variables: in single quotes, for a token contains `$`.

    >>> token_line("LAB_TOKEN")
    "LAB_TOKEN='...'"
    """
    return f"{variable}='...'"


#: Said where a person is to write such a line.
SINGLE_QUOTES = "keep the single quotes: a token contains $, and a shell would replace what follows it"


def export_advice(variable: str) -> str:
    """The command that sets a token in a shell, and why it has single quotes."""
    return f"export {token_line(variable)} ({SINGLE_QUOTES})"


# --- single settings ------------------------------------------------------------------------------------


def notify_targets() -> list[Secret]:
    """Whom to tell how a run ended: Apprise URLs, which may hold passwords, or the path of a file of them."""
    value = os.environ.get("LCNB_NOTIFY", "").strip()
    one = "://" not in value and os.path.isfile(os.path.expanduser(value))  # noqa: PTH111, PTH113 - with spaces in it
    return [Secret(each) for each in ([value] if one else value.split())]


def notify_on() -> str:
    """Which ends are told: `all`, or `trouble` (all but `done`). ConfigError for another value."""
    when = os.environ.get("LCNB_NOTIFY_ON") or "all"
    if when not in ("all", "trouble"):
        raise ConfigError(f"LCNB_NOTIFY_ON: {when!r} is neither 'all' nor 'trouble'; nobody was told")
    return when


def redis_url() -> Secret | None:
    """The Redis that keeps the rate budget for several machines, if there is one; its URL may hold a password."""
    url = os.environ.get("LCNB_REDIS_URL")
    return Secret(url) if url else None


# --- the answer -----------------------------------------------------------------------------------------


def resolve(
    account: str | None = None,
    *,
    token: str | Secret | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
) -> Settings:
    """The settings of one client.

    Raises TokenMissing with every place that was looked at, or ConfigError naming the setting that is wrong.
    """
    place, found = _given(account, token) if token is not None else _first_with_token(account)
    url, url_source = _base_url(base_url, place, named=place.account == _named(account))
    return Settings(
        account=place.account,
        token=found,
        token_source=place.place,
        base_url=url,
        base_url_source=url_source,
        timeout=_seconds("LCNB_TIMEOUT", timeout, TIMEOUT),
        state_dir=state_dir(),
        runs_dir=runs_dir(),
        settle=_seconds("LCNB_SETTLE", None, SETTLE),
        catalogue=_seconds("LCNB_CATALOGUE", None, CATALOGUE, zero=True),
    )


def _given(account: str | None, token: str | Secret) -> tuple[TokenPlace, Secret]:
    text = token.reveal() if isinstance(token, Secret) else token
    if not isinstance(text, str):
        raise ConfigError(f"token: expected a text, got {type(token).__name__}")
    base_url = None
    if account is not None:
        base_url = _account(account, _config()).get("base_url")
    place = "the token argument"
    secret = checked_token(text, place)
    return TokenPlace(account, place, secret, base_url), secret


def _first_with_token(account: str | None) -> tuple[TokenPlace, Secret]:
    looked_at: list[TokenPlace] = []
    for place in token_places(account):
        if place.problem:
            raise ConfigError(place.problem)
        if place.token:
            if place.warning:
                warnings.warn(place.warning, ConfigWarning, stacklevel=3)
            return place, place.token
        looked_at.append(place)
    raise TokenMissing(_no_token(looked_at), looked_at=tuple(place.place for place in looked_at))


def _no_token(looked_at: list[TokenPlace]) -> str:
    places = "\n".join(f"  - {place.place}: nothing there" for place in looked_at)
    own = next((place for place in looked_at if place.account), None)
    whose = f" for the account {own.account!r}" if own else ""
    cure = (own or looked_at[0]).cure
    return (
        f"no LetsCloud API token{whose}. Looked at:\n{places}\n"
        f"Make one in the LetsCloud panel (your profile, tab API), then: {cure}\n"
        "No account at hand? lcnb.connect(sandbox=True), or `lcnb demo`, works on a sandbox without any token."
    )


def place_of_token(account: str | None = None) -> TokenPlace | None:
    """The place where `resolve` finds the token, or, for an account, where it would be; None when there is none.

    Raises ConfigError for a wrong setting.
    """
    own = None
    for place in token_places(account):
        if place.problem:
            raise ConfigError(place.problem)
        if place.token:
            return place
        own = place if place.account else own
    return own


def token_places(account: str | None = None) -> Iterator[TokenPlace]:
    """Every place that may hold a token, in the order in which they are asked; each is looked at when its
    turn comes, so that a keyring is not unlocked for a token that the environment holds."""
    config = _config()
    named = _named(account)
    if named is not None:
        yield _account_place(named, _account(named, config))
        return
    default = _default(config)
    if default is not None and default not in config["accounts"]:
        raise ConfigError(_unknown_account(default, config, what="default"))
    for name in TOKEN_VARIABLES:
        yield _env_place(None, name)
    if default is not None:
        yield _account_place(default, config["accounts"][default])
    else:
        yield TokenPlace(None, _no_default(config), None)
    yield _cli_file_place()
    yield _keyring_place(None, KEYRING_SERVICE, "default")


def _named(account: str | None) -> str | None:
    return account if account is not None else os.environ.get("LCNB_ACCOUNT") or None


def _default(config: dict[str, Any]) -> str | None:
    """The account that is used unasked: the default one, or the only one."""
    only = next(iter(config["accounts"])) if len(config["accounts"]) == 1 else None
    return config.get("default", only)


def _no_default(config: dict[str, Any]) -> str:
    if not config["accounts"]:
        return f"an account in {config_dir() / 'lcnb.toml'}"
    names = ", ".join(config["accounts"])
    return f"a default account in {config_dir() / 'lcnb.toml'} (it has {names}, but no line `default = ...`)"


# --- each place -----------------------------------------------------------------------------------------


def checked_token(text: str, place: str) -> Secret:
    """The token as a Secret, refused before it could become a header if a header could not carry it."""
    if not text:
        raise ConfigError(f"the token from {place} is empty. Nothing was sent.")
    refuse_quoted_token(text, place)
    for position, character in enumerate(text, 1):
        if not "!" <= character <= "~":
            raise ConfigError(
                f"the token from {place} has {_name_of(character)}, which no token has: it is character {position} of "
                f"{len(text)}. Copy the token again, without spaces and without the end of the line. Nothing was sent."
            )
    refuse_cut_token(text, place)
    return Secret(text)


def _name_of(character: str) -> str:
    """What a person calls a character that cannot be seen, or looks like another one."""
    common = {" ": "a space", "\n": "a line end", "\r": "a line end", "\t": "a tab"}
    name = unicodedata.name(character, "a control character")
    return common.get(character) or f"{name} (U+{ord(character):04X})"


def refuse_quoted_token(text: str, place: str) -> None:
    """ConfigError for a token with the quotes that were to keep a shell away from it."""
    if text[0] in QUOTES or text[-1] in QUOTES:
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
    if len(text) < MIN_TOKEN_CHARACTERS:
        characters = "1 character" if len(text) == 1 else f"{len(text)} characters"
        raise ConfigError(
            f"the token from {place} has only {characters}; LetsCloud's have {TOKEN_CHARACTERS}, and contain $: a "
            "shell expands that outside single quotes, so that a part is lost. Copy the whole token again; in a shell: "
            f"{export_advice(CLI_VARIABLE)}. Nothing was sent."
        )


def _env_place(account: str | None, name: str, base_url: str | None = None) -> TokenPlace:
    place = TokenPlace(
        account, f"environment variable {name}", None, base_url, cure=export_advice(name), variable=name
    )
    return _with_token(place, os.environ.get(name, ""))


def _with_token(place: TokenPlace, text: str) -> TokenPlace:
    """The place with the token that was found there, or with what is wrong with it."""
    if not text:
        return place
    try:
        return replace(place, token=checked_token(text, place.place))
    except ConfigError as wrong:
        return replace(place, problem=str(wrong))


def _account_place(name: str, entry: Mapping[str, Any]) -> TokenPlace:
    base_url = entry.get("base_url")
    if "token_env" in entry:
        return _env_place(name, entry["token_env"], base_url)
    if "token_file" in entry:
        try:
            path = config_dir() / Path(entry["token_file"]).expanduser()
        except RuntimeError as odd:  # ~somebody who is not here
            place = f"file {entry['token_file']}"
            return TokenPlace(name, place, None, base_url, problem=f"the token {place}: {odd}")
        return _file_place(name, path, base_url)
    service, _, user = str(entry.get("keyring", f"{KEYRING_SERVICE}/{name}")).rpartition("/")
    return _keyring_place(name, service or KEYRING_SERVICE, user, base_url)


def _file_place(account: str | None, path: Path, base_url: str | None = None) -> TokenPlace:
    """A file for its owner only that holds a token alone, or as the official CLI writes it."""
    cure = f"put it, without quotes and alone, into the file {path}, and: chmod 600 {shlex.quote(str(path))}"
    place = TokenPlace(account, f"file {path}", None, base_url, cure=cure, file=path)
    try:
        text, mode = _read_private(path)
        found = [value for _, value in _variables(text, only=CLI_VARIABLE)] or [_unquoted(text.strip())]
    except FileNotFoundError:
        return place
    except (OSError, ValueError) as odd:
        return replace(place, problem=f"the token file {path}: {odd}")
    if mode:
        return replace(place, problem=_too_open(path, mode))
    return _with_token(place, found[0].strip())


def _cli_file_place() -> TokenPlace:
    """The official CLI's file: a line `LETSCLOUD_API_KEY=...`. The CLI leaves it with the mode that the umask gives."""
    try:
        path = Path("~").expanduser() / CLI_FILE
    except RuntimeError:  # no home folder, so no such file
        return TokenPlace(None, f"file ~/{CLI_FILE} (there is no home folder)", None)
    place = TokenPlace(None, f"file {path}", None, cure=export_advice(CLI_VARIABLE), file=path)
    try:
        text, mode = _read_private(path)
        found = [value for _, value in _variables(text, only=CLI_VARIABLE)]
    except FileNotFoundError:
        return place
    except (OSError, ValueError) as odd:
        return replace(place, problem=f"the token file {path}: {odd}")
    if mode & stat.S_IWOTH:
        return replace(place, problem=_too_open(path, mode))
    if mode:
        warning = (
            f"the token file {path} may be read by others on this machine (mode {mode:04o}), as the official CLI "
            f"leaves it. It was used. Cure, once: chmod 600 {shlex.quote(str(path))}"
        )
        place = replace(place, warning=warning)
    return _with_token(place, found[0].strip() if found else "")


def _read_private(path: Path) -> tuple[str, int]:
    """The text of a file, and its mode where others than its owner may open it (0 where not)."""
    with path.open(encoding="utf-8-sig") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        try:
            text = file.read(65536)
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8 text. Write the token into it again, as plain text") from None
        return text, mode if os.name == "posix" and mode & 0o077 else 0


def _too_open(path: Path, mode: int) -> str:
    how = "changed" if mode & stat.S_IWOTH else "read"
    return (
        f"the token file {path} may be {how} by others (mode {mode:04o}), so it was not used. "
        f"Cure: chmod 600 {shlex.quote(str(path))}, and if others work on this machine, make a new token."
    )


# --- files of variables -----------------------------------------------------------------------------------


def read_variables(path: Path) -> dict[str, Secret]:
    """The variables of a file of lines `NAME='value'`, for its owner only. Nothing in it is run or replaced.

    ConfigError when it is not there, may be read by others, or has a line that is no such line.
    """
    try:
        text, mode = _read_private(path)
        pairs = list(_variables(text))
    except (OSError, ValueError) as odd:
        reason = odd.strerror or odd if isinstance(odd, OSError) else odd
        raise ConfigError(
            f"the file of variables {path}: {reason}. It has lines such as {token_line(TOKEN_VARIABLES[0])} "
            f"({SINGLE_QUOTES})"
        ) from None
    if mode:
        raise ConfigError(_too_open(path, mode))
    found: dict[str, Secret] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigError(f"the file of variables {path}: {name} is there twice; keep one of these lines")
        found[name] = Secret(value)
    return found


def _variables(text: str, only: str | None = None) -> Iterator[tuple[str, str]]:
    """Each `NAME=value` of a text, with or without `export`, quotes, spaces and comments; or those of one name.

    ValueError for a line that is no such line, or has a quote that is not closed.
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
            yield name, _unquoted(value.strip())
        except ValueError as odd:
            raise ValueError(f"line {number}: {odd}") from None


def _unquoted(text: str) -> str:
    """A value without the quotes around it and the comment after it.

    In single quotes nothing is special; elsewhere a backslash before a dollar sign, quote or backslash goes.
    """
    quote = text[:1] if text[:1] in ("'", '"') else ""
    form = {"'": r"'([^']*)'", '"': r'"((?:[^"\\]|\\.)*)"', "": r"(.*?)"}[quote]
    found = re.fullmatch(form + r"(?:\s+#.*)?", text, re.DOTALL)
    if not found:
        raise ValueError("a quote is not closed, or something follows it")
    return found[1] if quote == "'" else re.sub(r'\\([$"\\`])', r"\1", found[1])


# --- the keyring ------------------------------------------------------------------------------------------


def _keyring_place(account: str | None, service: str, user: str, base_url: str | None = None) -> TokenPlace:
    cure = f"keyring set {shlex.quote(service)} {shlex.quote(user)} (it asks for the token)"
    place = TokenPlace(account, f"keyring entry {service}/{user}", None, base_url, cure=cure)
    try:
        import keyring
    except ImportError:
        needs = "pip install 'lcnb[keyring]'"
        return replace(place, place=f"{place.place} (needs: {needs})", cure=f"{needs}, then: {cure}")
    try:
        text = keyring.get_password(service, user) or ""
    except Exception as odd:
        return replace(place, place=f"{place.place} (not readable here: {type(odd).__name__})")
    return _with_token(place, text.strip())


def keep_in_keyring(service: str, user: str, secret: Secret) -> None:
    """Keep a secret in the keyring, and read it back. ConfigError when there is none, or it does not give it back.

    Backends differ: the null backend takes every secret without an error and keeps none, others cut long ones.
    """
    entry = f"{service}/{user}"
    try:
        import keyring

        keyring.set_password(service, user, secret.reveal())
    except ImportError:
        raise ConfigError(
            "there is no keyring here: pip install 'lcnb[keyring]'. Nothing was kept."
        ) from None
    except Exception as odd:
        raise ConfigError(f"the keyring did not take {entry}: {type(odd).__name__}. {KEYRING_CURE}") from None
    check_in_keyring(service, user, secret)


def check_in_keyring(service: str, user: str, secret: Secret) -> None:
    """ConfigError unless the keyring gives back this secret for this entry."""
    import keyring

    kept = read_from_keyring(service, user)
    if kept != secret:
        what = "nothing" if kept is None else "something else"
        backend = type(keyring.get_keyring())
        raise ConfigError(
            f"the keyring did not keep {service}/{user}: it took the secret without an error, and gives back {what} "
            f"(backend {backend.__module__}.{backend.__qualname__}). {KEYRING_CURE}"
        )


def read_from_keyring(service: str, user: str) -> Secret | None:
    """An entry of the keyring; None when it is not there. ConfigError when it cannot be read."""
    import keyring

    try:
        kept = keyring.get_password(service, user)
    except Exception as odd:
        raise ConfigError(
            f"the keyring does not give {service}/{user} back: {type(odd).__name__}. {KEYRING_CURE}"
        ) from None
    return None if kept is None else Secret(str(kept))


def drop_from_keyring(service: str, user: str) -> None:
    """Take an entry out of the keyring, if it is there."""
    import keyring

    try:
        keyring.delete_password(service, user)
    except Exception:  # backends differ in what they raise for an entry that is not there
        return


# --- lcnb.toml ------------------------------------------------------------------------------------------


def _config() -> dict[str, Any]:
    path = config_dir() / "lcnb.toml"
    try:
        config = tomllib.loads(read_text(path))
    except FileNotFoundError:
        return {"accounts": {}}
    except (OSError, NotText, tomllib.TOMLDecodeError) as odd:
        raise ConfigError(f"{path} cannot be read: {odd}") from None
    _check_config(path, config)
    return {"accounts": {}, **config}


def _check_config(path: Path, config: dict[str, Any]) -> None:
    _known_keys(path, "the top", config, ("default", "accounts"))
    if not isinstance(config.get("default", ""), str):
        raise ConfigError(f"{path}: default must be the name of an account, got {config['default']!r}")
    accounts = config.get("accounts", {})
    if not isinstance(accounts, dict) or not all(isinstance(entry, dict) for entry in accounts.values()):
        raise ConfigError(f"{path}: accounts must be tables, each as [accounts.NAME]")
    for name, entry in accounts.items():
        where = f"[accounts.{name}]"
        if "token" in entry:
            raise ConfigError(
                f"{path}, {where}: a token does not belong into this file. Put it into a file of mode 0600 "
                "and write token_file = ..., or name a variable by token_env, or a keyring entry by keyring."
            )
        _known_keys(path, where, entry, _ACCOUNT_KEYS)
        for key, value in entry.items():
            if not isinstance(value, str) or not value:
                raise ConfigError(f"{path}, {where}: {key} must be a text, got {value!r}")
        if sum(key in entry for key in ("token_env", "token_file", "keyring")) > 1:
            raise ConfigError(f"{path}, {where}: name one of token_env, token_file, keyring, not several")


def _known_keys(path: Path, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{path}, {where}: unknown key {key!r}{did_you_mean(key, known)}. Known: {', '.join(known)}"
            )


def _account(name: str, config: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(config["accounts"][name])
    except KeyError:
        raise ConfigError(_unknown_account(name, config, what="account")) from None


def _unknown_account(name: str, config: dict[str, Any], what: str) -> str:
    known = ", ".join(config["accounts"]) or "none"
    return (
        f"{what} {name!r} is not in {config_dir() / 'lcnb.toml'}"
        f"{did_you_mean(name, config['accounts'])}. Accounts there: {known}"
    )


def did_you_mean(name: str, known: Any) -> str:
    """` (did you mean 'x'?)`, or nothing when no known name is near."""
    lower = {str(each).lower(): str(each) for each in known}
    near = get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""


# --- base URL and time-out ------------------------------------------------------------------------------


def _base_url(argument: str | None, place: TokenPlace, *, named: bool) -> tuple[str, str]:
    environment = os.environ.get("LCNB_BASE_URL")
    if argument is not None:
        return checked_base_url(argument, "the base_url argument"), "the base_url argument"
    if place.base_url is not None:
        source = f"[accounts.{place.account}]"
        return checked_base_url(place.base_url, source), source
    if environment and (not named or place.account is None):
        return checked_base_url(environment, "LCNB_BASE_URL"), "LCNB_BASE_URL"
    return BASE_URL, THE_DEFAULT


def checked_base_url(url: str, source: str) -> str:
    """The base URL, written as it is sent: the scheme in lower case, no empty step in its path.

    HTTPS, or plain HTTP for a loopback address alone. ConfigError for what is no such URL.
    """
    text = str(url).strip()
    if any(mark in text for mark in "@?#"):  # perhaps a password: the URL is not shown
        raise ConfigError(
            f"the base URL from {source} has more than a host and a path: a user, a password, a query or a fragment. "
            f"It is not shown, since it may hold a secret. Example: {BASE_URL}. Nothing was sent."
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    odd = not text.isprintable() or any(mark in text for mark in " \\\"'<>")
    if parts.scheme not in ("http", "https") or not host or odd:
        cure = (
            f" Did you mean https://{text}?" if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", text) else ""
        )
        raise ConfigError(
            f"base URL {url!r} (from {source}) is not a URL.{cure} Example: {BASE_URL}. Nothing was sent."
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"base URL {url!r} (from {source}) is plain HTTP: the token would cross the network unencrypted. "
            "Use https://; plain HTTP is for a loopback address (127.0.0.1) alone. Nothing was sent."
        )
    path = re.sub("/{2,}", "/", parts.path).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _seconds(variable: str, argument: float | None, default: float, *, zero: bool = False) -> float:
    raw: Any = argument if argument is not None else os.environ.get(variable) or default
    try:
        seconds = float(raw)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0 < seconds < 86_400 and not (zero and seconds == 0):
        source = "the timeout argument" if argument is not None else variable
        least = "from 0" if zero else "above 0"
        raise ConfigError(f"{source}: expected seconds {least} and below 86400, got {raw!r}")
    return seconds


# --- the list -------------------------------------------------------------------------------------------


def account_names() -> list[str]:
    """The names of the accounts in lcnb.toml, in its order. ConfigError when it cannot be read."""
    return list(_config()["accounts"])


def accounts() -> pd.DataFrame:
    """The accounts that lcnb can use, one row a place of a token; never the token itself.

    Columns (all `str` but `ready`, `boolean`): account, token_from, base_url, ready, problem. Rows stand in
    the order in which the places are asked. Raises ConfigError when lcnb.toml cannot be read.

    >>> import lcnb
    >>> lcnb.accounts().columns.tolist()
    ['account', 'token_from', 'base_url', 'ready', 'problem']
    """
    import pandas as pd

    config = _config()
    places = [_env_place(None, name) for name in TOKEN_VARIABLES]
    places += [_account_place(name, entry) for name, entry in config["accounts"].items()]
    places += [_cli_file_place(), _keyring_place(None, KEYRING_SERVICE, "default")]
    unasked = (None, None if _named(None) else _default(config))
    fallback = os.environ.get("LCNB_BASE_URL") or BASE_URL
    rows = {
        "account": [place.account for place in places],
        "token_from": [place.place for place in places],
        "base_url": [
            place.base_url or (fallback if place.account in unasked else BASE_URL) for place in places
        ],
        "ready": [place.token is not None for place in places],
        "problem": [place.problem or place.warning or None for place in places],
    }
    dtypes = {name: "boolean" if name == "ready" else "str" for name in rows}
    return pd.DataFrame(rows).astype(dtypes)
