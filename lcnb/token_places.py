"""The places that may hold a token, in the order in which lcnb looks at them.

The places are the environment, an account in lcnb.toml, the official CLI's `~/.letscloud`, and the keyring. Token and
base URL of a named account belong together: the token of another account must never be sent for it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.base_url import DEFAULT_BASE_URL
from lcnb.config_file import (
    account_entry,
    default_account,
    no_default_message,
    read_config,
    read_only_reason,
    unknown_account_message,
)
from lcnb.env_file import parse_variables, read_private_file, too_open_message, unquote_value
from lcnb.errors import ConfigError
from lcnb.folders import config_dir
from lcnb.keyring_entries import INSTALL_COMMAND, read_keyring_password
from lcnb.rows import Column, Rows, rows_of
from lcnb.secret import Secret
from lcnb.tokens import CLI_FILE, CLI_VARIABLE, TOKEN_VARIABLES, checked_token, export_advice

if TYPE_CHECKING:
    import pandas as pd

KEYRING_SERVICE = "lcnb"


@dataclass(frozen=True)
class TokenPlace:
    """One place that may hold a token, and what was found there. Its repr never shows the token."""

    account: str | None
    place: str
    token: Secret | None
    base_url: str | None = None
    problem: str = ""
    #: What is wrong although the token can be used.
    warning: str = ""
    #: How to put a token there, for a message.
    cure: str = ""
    #: The environment variable, if the place is one.
    variable: str | None = None
    #: The file, if the place is one.
    file: Path | None = None


def find_token_place(account: str | None = None) -> TokenPlace | None:
    """Return the place where `load_settings` finds the token.

    When no place holds one: the place of the account's token, or None without an account. Raises ConfigError for a
    wrong setting.
    """
    own = None
    for place in iter_token_places(account):
        if place.problem:
            raise ConfigError(place.problem)
        if place.token:
            return place
        own = place if place.account else own
    return own


def iter_token_places(account: str | None = None) -> Iterator[TokenPlace]:
    """Yield every place that may hold a token, in their order.

    Each place is looked at when the caller reaches it, so that a keyring is not unlocked for a token that the
    environment holds.
    """
    config = read_config()
    named = named_account(account)
    if named is not None:
        yield _account_place(named, account_entry(named, config))
        return
    default = default_account(config)
    if default is not None and default not in config["accounts"]:
        raise ConfigError(unknown_account_message(default, config, what="default"), not_done="sent")
    for name in TOKEN_VARIABLES:
        yield _variable_place(None, name)
    if default is not None:
        yield _account_place(default, config["accounts"][default])
    else:
        yield TokenPlace(None, no_default_message(config), None)
    yield _cli_file_place()
    yield _keyring_place(None, KEYRING_SERVICE, "default")


def named_account(account: str | None) -> str | None:
    """The account that the caller or `LCNB_ACCOUNT` names; None when neither does."""
    return account if account is not None else os.environ.get("LCNB_ACCOUNT") or None


def _variable_place(account: str | None, name: str, base_url: str | None = None) -> TokenPlace:
    place = TokenPlace(
        account, f"environment variable {name}", None, base_url, cure=export_advice(name), variable=name
    )
    return _place_with_token(place, os.environ.get(name, ""))


def _place_with_token(place: TokenPlace, text: str) -> TokenPlace:
    """Return the place with the token that was found there, or with the problem of that token."""
    if not text:
        return place
    try:
        return replace(place, token=checked_token(text, place.place))
    except ConfigError as error:
        return replace(place, problem=str(error))


def _account_place(name: str, entry: Mapping[str, Any]) -> TokenPlace:
    base_url = entry.get("base_url")
    if "token_env" in entry:
        return _variable_place(name, entry["token_env"], base_url)
    if "token_file" in entry:
        try:
            path = config_dir() / Path(entry["token_file"]).expanduser()
        except RuntimeError as error:  # the `~name` of an unknown user
            place = f"file {entry['token_file']}"
            return TokenPlace(name, place, None, base_url, problem=f"the token {place}: {error}")
        return _file_place(name, path, base_url)
    service, _, user = str(entry.get("keyring", f"{KEYRING_SERVICE}/{name}")).rpartition("/")
    return _keyring_place(name, service or KEYRING_SERVICE, user, base_url)


def _file_place(account: str | None, path: Path, base_url: str | None = None) -> TokenPlace:
    """A file that only its owner may read. It holds a token alone, or a line as the official CLI writes it."""
    cure = f"write it into the file {path}, alone and without quotes, and run: chmod 600 {shlex.quote(str(path))}"
    place = TokenPlace(account, f"file {path}", None, base_url, cure=cure, file=path)
    try:
        text, mode = read_private_file(path)
        found = [value for _, value in parse_variables(text, only=CLI_VARIABLE)] or [
            unquote_value(text.strip())
        ]
    except FileNotFoundError:
        return place
    except (OSError, ValueError) as error:
        return replace(place, problem=f"the token file {path}: {error}")
    if mode:
        return replace(place, problem=too_open_message(path, mode))
    return _place_with_token(place, found[0].strip())


def _cli_file_place() -> TokenPlace:
    """The official CLI's file with its line `LETSCLOUD_API_KEY=...`.

    The CLI does not protect this file, so one that others can read is used with a warning.
    """
    try:
        path = Path("~").expanduser() / CLI_FILE
    except RuntimeError:  # no home folder, so no such file
        return TokenPlace(None, f"file ~/{CLI_FILE} (there is no home folder)", None)
    place = TokenPlace(None, f"file {path}", None, cure=export_advice(CLI_VARIABLE), file=path)
    try:
        text, mode = read_private_file(path)
        found = [value for _, value in parse_variables(text, only=CLI_VARIABLE)]
    except FileNotFoundError:
        return place
    except (OSError, ValueError) as error:
        return replace(place, problem=f"the token file {path}: {error}")
    if mode & stat.S_IWOTH:
        return replace(place, problem=too_open_message(path, mode))
    if mode:
        warning = (
            f"the token file {path} may be read by others on this machine (mode {mode:04o}), because the official CLI "
            f"does not protect it. It was used. Cure, once: chmod 600 {shlex.quote(str(path))}"
        )
        place = replace(place, warning=warning)
    return _place_with_token(place, found[0].strip() if found else "")


def _keyring_place(account: str | None, service: str, user: str, base_url: str | None = None) -> TokenPlace:
    cure = f"keyring set {shlex.quote(service)} {shlex.quote(user)} (it asks for the token)"
    place = TokenPlace(account, f"keyring entry {service}/{user}", None, base_url, cure=cure)
    try:
        text = read_keyring_password(service, user) or ""
    except ImportError:
        return replace(
            place, place=f"{place.place} (needs: {INSTALL_COMMAND})", cure=f"{INSTALL_COMMAND}, then: {cure}"
        )
    except Exception as error:
        kind = type(error).__name__
        problem = "this system has none" if kind == "NoKeyringError" else f"cannot be read here: {kind}"
        return replace(place, place=f"{place.place} ({problem})")
    return _place_with_token(place, text.strip())


def accounts() -> pd.DataFrame:
    """List the accounts that lcnb can use: one row per place that may hold a token, and never the token itself.

    Columns: account, token_from, base_url, problem (`str`); ready, and read_only: whether the settings refuse every
    change of the account (`boolean`). The rows are in the order in which lcnb looks at the places. Raises ConfigError
    when lcnb.toml, or LCNB_READ_ONLY, cannot be read.

    >>> import lcnb
    >>> lcnb.accounts().columns.tolist()
    ['account', 'token_from', 'base_url', 'ready', 'read_only', 'problem']
    """
    return account_rows().frame()


def account_rows() -> Rows:
    """Return the rows of `accounts`, without pandas. Raises ConfigError when lcnb.toml cannot be read."""
    config = read_config()
    places = _all_places(config)
    # The base URL of the environment applies to calls that name no account.
    unnamed = (None, None if named_account(None) else default_account(config))
    fallback = os.environ.get("LCNB_BASE_URL") or DEFAULT_BASE_URL
    columns: list[Column[TokenPlace]] = [
        ("account", "str", lambda place: place.account),
        ("token_from", "str", lambda place: place.place),
        (
            "base_url",
            "str",
            lambda place: place.base_url or (fallback if place.account in unnamed else DEFAULT_BASE_URL),
        ),
        ("ready", "boolean", lambda place: place.token is not None),
        ("read_only", "boolean", lambda place: bool(read_only_reason(place.account, config))),
        ("problem", "str", lambda place: place.problem or place.warning or None),
    ]
    return rows_of(places, columns, kind="accounts")


def _all_places(config: Mapping[str, Any]) -> list[TokenPlace]:
    """Every place that may hold a token, whichever account is named."""
    return [
        *(_variable_place(None, name) for name in TOKEN_VARIABLES),
        *(_account_place(name, entry) for name, entry in config["accounts"].items()),
        _cli_file_place(),
        _keyring_place(None, KEYRING_SERVICE, "default"),
    ]
