"""The file lcnb.toml: its accounts, its default account, and the check of its keys.

# lcnb.toml, in the folder that `lcnb accounts` prints
default = "prod"
[accounts.prod]
token_file = "prod.token"          # or token_env = "PROD_TOKEN", or keyring = "lcnb/prod"
[accounts.lab]
token_env = "LAB_TOKEN"
base_url = "https://api.letscloud.io"
facts = "~/infra/lab-facts.csv"    # tags, protection, expiry of its machines; facts-lab.csv in this folder by default
read_only = true                   # lcnb refuses every change of this account
approve = "other"                  # a second person has to approve each change
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcnb.errors import ConfigError
from lcnb.files import NotText, read_text
from lcnb.folders import config_dir
from lcnb.suggestions import did_you_mean
from lcnb.tokens import TOKEN_VARIABLES, export_advice, looks_like_token

#: The keys that say where the token of an account is. An account has at most one of them.
_TOKEN_KEYS = ("token_env", "token_file", "keyring")
_ACCOUNT_KEYS = (*_TOKEN_KEYS, "base_url", "facts", "read_only", "approve")


_HOW_TO_REFER = (
    "Put it into a file of mode 0600 and write token_file = ..., or name a variable by token_env, or a keyring entry "
    "by keyring."
)


def default_account(config: dict[str, Any]) -> str | None:
    """The account for calls that name none: the one in `default`, or the only one."""
    only = next(iter(config["accounts"])) if len(config["accounts"]) == 1 else None
    return config.get("default", only)


def no_default_message(config: dict[str, Any]) -> str:
    """The place that was looked at when lcnb.toml names no default account."""
    if not config["accounts"]:
        return f"an account in {config_dir() / 'lcnb.toml'}"
    names = ", ".join(config["accounts"])
    return f"a default account in {config_dir() / 'lcnb.toml'} (it has {names}, but no line `default = ...`)"


def read_config() -> dict[str, Any]:
    """Return the content of lcnb.toml; no accounts when there is no such file.

    Raises ConfigError when the file cannot be read, or has an unknown key or a wrong value.
    """
    try:
        return _read_checked()
    except ConfigError as error:
        # Its frames hold the file, into which somebody may have written a token: a traceback may print variables.
        raise error.with_traceback(None) from None


def _read_checked() -> dict[str, Any]:
    path = config_dir() / "lcnb.toml"
    try:
        text = read_text(path)
    except FileNotFoundError:
        return {"accounts": {}}
    except (OSError, NotText) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    import tomllib  # most users have no such file

    problem, config = "", {}
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
    if problem:  # not in the `except`: the frames of tomllib would be part of the error
        cure = "Correct that place, or rename the file to go on without it."
        raise ConfigError(f"{path} cannot be read: {problem}", cure=cure, not_done="sent")
    _check_config(path, config)
    return {"accounts": {}, **config}


def _check_config(path: Path, config: dict[str, Any]) -> None:
    _check_keys(path, "the top level", config, ("default", "accounts"))
    if not isinstance(config.get("default", ""), str):
        raise ConfigError(f"{path}: default must be the name of an account, got {config['default']!r}")
    accounts = config.get("accounts", {})
    if not isinstance(accounts, dict) or not all(isinstance(entry, dict) for entry in accounts.values()):
        raise ConfigError(f"{path}: accounts must be tables, each as [accounts.NAME]")
    for name, entry in accounts.items():
        _check_account(path, f"[accounts.{name}]", entry)


def _check_account(path: Path, where: str, entry: Mapping[str, Any]) -> None:
    if "token" in entry:
        raise ConfigError(
            f"{path}, {where}: a token does not belong in this file", cure=_HOW_TO_REFER, not_done="sent"
        )
    for key in _TOKEN_KEYS:
        if isinstance(entry.get(key), str) and looks_like_token(entry[key]):
            raise ConfigError(
                f"{path}, {where}: {key} says where the token is, and holds what looks like the token itself, which is "
                "not shown here",
                cure=_HOW_TO_REFER,
                not_done="sent",
            )
    _check_keys(path, where, entry, _ACCOUNT_KEYS)
    for key, value in entry.items():
        if expected := _expected_value(key, value):
            raise ConfigError(f"{path}, {where}: {key} must be {expected}, got {value!r}")
    if sum(key in entry for key in _TOKEN_KEYS) > 1:
        raise ConfigError(f"{path}, {where}: name one of {', '.join(_TOKEN_KEYS)}, not several")


def _expected_value(key: str, value: object) -> str:
    """Return what the value of a key must be; "" if it is that."""
    if key == "read_only":
        return "" if isinstance(value, bool) else "true or false"
    if key == "approve":
        return "" if value == "other" else '"other" or absent'
    return "" if isinstance(value, str) and value else "a text"


def _check_keys(path: Path, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{path}, {where}: unknown key {key!r}{did_you_mean(key, known)}. Known: {', '.join(known)}"
            )


def account_entry(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of one account. ConfigError for an unknown name, with the most similar one."""
    try:
        return dict(config["accounts"][name])
    except KeyError:
        raise ConfigError(unknown_account_message(name, config, what="account"), not_done="sent") from None


def read_only_reason(account: str | None, config: dict[str, Any]) -> str:
    """Return what makes an account read-only: `LCNB_READ_ONLY=1`, or the account in lcnb.toml; "" when nothing does.

    Raises ConfigError for a value of the variable that is neither yes nor no: it must never be taken for a no.
    """
    value = (os.environ.get("LCNB_READ_ONLY") or "0").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return f"LCNB_READ_ONLY={value}"
    if value not in ("0", "false", "no", "off"):
        raise ConfigError(field="LCNB_READ_ONLY", expected="1 or 0", value=value, not_done="sent")
    if account is not None and account_entry(account, config).get("read_only"):
        return f"read_only = true of [accounts.{account}] in {config_dir() / 'lcnb.toml'}"
    return ""


def approval_reason(account: str | None, config: dict[str, Any]) -> str:
    """Return what requires that a second person approves changes of an account; "" when nothing does.

    It is `LCNB_APPROVE=other`, or the account in lcnb.toml. ConfigError for another value of the variable.
    """
    value = (os.environ.get("LCNB_APPROVE") or "").strip().lower()
    if value == "other":
        return "LCNB_APPROVE=other"
    if value:
        raise ConfigError(field="LCNB_APPROVE", expected="other, or nothing", value=value, not_done="sent")
    if account is not None and account_entry(account, config).get("approve"):
        return f'approve = "other" of [accounts.{account}] in {config_dir() / "lcnb.toml"}'
    return ""


def unknown_account_message(name: str, config: dict[str, Any], what: str) -> str:
    """The message about an account that lcnb.toml does not have; `what` names the setting ("account", "default")."""
    if looks_like_token(name):
        return (
            f"{what}: expected the name of an account in lcnb.toml, got what looks like a token, which is not shown. "
            f"In Python: connect(token=...). In a shell: {export_advice(TOKEN_VARIABLES[0])}"
        )
    path, known = config_dir() / "lcnb.toml", ", ".join(config["accounts"])
    near = did_you_mean(name, config["accounts"])
    there = f"{near}. Accounts there: {known or 'none'}" if path.exists() else ", which does not exist"
    return (
        f"{what} {name!r} is not in {path}{there}. To declare an account, write a line [accounts.NAME] and a line such "
        "as token_file = 'NAME.token' into that file"
    )


def account_names() -> list[str]:
    """The names of the accounts in lcnb.toml, in its order. ConfigError when the file cannot be read."""
    return list(read_config()["accounts"])
