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

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.base_url import DEFAULT_BASE_URL, DEFAULT_SOURCE, checked_base_url
from lcnb.config_file import account_entry, read_config
from lcnb.errors import ConfigError, ConfigWarning, TokenMissing
from lcnb.folders import runs_dir, state_dir
from lcnb.secret import Secret
from lcnb.token_places import TokenPlace, iter_token_places, named_account
from lcnb.tokens import checked_token

if TYPE_CHECKING:
    pass
#: Seconds that one call may take, its retries and pages included.
DEFAULT_TIMEOUT_S = 60.0
#: Seconds for which a create with unknown outcome is looked for before it may be sent again.
DEFAULT_SETTLE_S = 150.0
#: Seconds for which locations, plans and images are kept for reading.
DEFAULT_CATALOGUE_S = 600.0
#: The environment variables of lcnb itself, each with what it sets.
ENVIRONMENT_VARIABLES = {
    "LCNB_ACCOUNT": "the account in lcnb.toml to use",
    "LCNB_BASE_URL": f"base URL of the API (default {DEFAULT_BASE_URL})",
    "LCNB_TIMEOUT": f"seconds that one call may take, retries included (default {DEFAULT_TIMEOUT_S:g})",
    "LCNB_SETTLE": f"seconds for which a change may still take effect after its last attempt (default {DEFAULT_SETTLE_S:g})",
    "LCNB_CATALOGUE": f"seconds for which locations, plans and images are kept (default {DEFAULT_CATALOGUE_S:g}; 0: not)",
    "LCNB_REDIS_URL": "a Redis that keeps the rate budget of a token for several machines",
    "LCNB_CONFIG_DIR": "folder of lcnb.toml",
    "LCNB_STATE_DIR": "folder of what lcnb remembers between runs",
    "LCNB_RUNS_DIR": "folder where runbook runs are kept (default ./runs)",
    "LCNB_NOTIFY": "whom to tell how a run ended: Apprise URLs, apart by spaces, or a file of them",
    "LCNB_NOTIFY_ON": "which ends are told: all (the default) or trouble",
}


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
    settle: float = DEFAULT_SETTLE_S
    catalogue: float = 0.0


# --- single settings ------------------------------------------------------------------------------------


def notification_targets() -> list[Secret]:
    """Whom to tell how a run ended: Apprise URLs, which may hold passwords, or the path of a file of them."""
    value = os.environ.get("LCNB_NOTIFY", "").strip()
    one = "://" not in value and os.path.isfile(os.path.expanduser(value))  # noqa: PTH111, PTH113 - with spaces in it
    return [Secret(each) for each in ([value] if one else value.split())]


def notification_filter() -> str:
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


def load_settings(
    account: str | None = None,
    *,
    token: str | Secret | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
) -> Settings:
    """The settings of one client.

    Raises TokenMissing with every place that was looked at, or ConfigError naming the setting that is wrong.
    """
    place, found = (
        _place_from_argument(account, token) if token is not None else _first_place_with_token(account)
    )
    url, url_source = _choose_base_url(base_url, place, named=place.account == named_account(account))
    return Settings(
        account=place.account,
        token=found,
        token_source=place.place,
        base_url=url,
        base_url_source=url_source,
        timeout=_read_seconds("LCNB_TIMEOUT", timeout, DEFAULT_TIMEOUT_S),
        state_dir=state_dir(),
        runs_dir=runs_dir(),
        settle=_read_seconds("LCNB_SETTLE", None, DEFAULT_SETTLE_S),
        catalogue=_read_seconds("LCNB_CATALOGUE", None, DEFAULT_CATALOGUE_S, zero=True),
    )


def _place_from_argument(account: str | None, token: str | Secret) -> tuple[TokenPlace, Secret]:
    text = token.reveal() if isinstance(token, Secret) else token
    if not isinstance(text, str):
        raise ConfigError(f"token: expected a text, got {type(token).__name__}")
    base_url = None
    if account is not None:
        base_url = account_entry(account, read_config()).get("base_url")
    place = "the token argument"
    secret = checked_token(text, place)
    return TokenPlace(account, place, secret, base_url), secret


def _first_place_with_token(account: str | None) -> tuple[TokenPlace, Secret]:
    looked_at: list[TokenPlace] = []
    for place in iter_token_places(account):
        if place.problem:
            raise ConfigError(place.problem)
        if place.token:
            if place.warning:
                warnings.warn(place.warning, ConfigWarning, stacklevel=3)
            return place, place.token
        looked_at.append(place)
    raise TokenMissing(_no_token_message(looked_at), looked_at=tuple(place.place for place in looked_at))


def _no_token_message(looked_at: list[TokenPlace]) -> str:
    places = "\n".join(f"  - {place.place}: nothing there" for place in looked_at)
    own = next((place for place in looked_at if place.account), None)
    whose = f" for the account {own.account!r}" if own else ""
    cure = (own or looked_at[0]).cure
    return (
        f"no LetsCloud API token{whose}. Looked at:\n{places}\n"
        f"Make one in the LetsCloud panel (your profile, tab API), then: {cure}\n"
        "No account at hand? lcnb.connect(sandbox=True), or `lcnb demo`, works on a sandbox without any token."
    )


# --- base URL and time-out ------------------------------------------------------------------------------


def _choose_base_url(argument: str | None, place: TokenPlace, *, named: bool) -> tuple[str, str]:
    environment = os.environ.get("LCNB_BASE_URL")
    if argument is not None:
        return checked_base_url(argument, "the base_url argument"), "the base_url argument"
    if place.base_url is not None:
        source = f"[accounts.{place.account}]"
        return checked_base_url(place.base_url, source), source
    if environment and (not named or place.account is None):
        return checked_base_url(environment, "LCNB_BASE_URL"), "LCNB_BASE_URL"
    return DEFAULT_BASE_URL, DEFAULT_SOURCE


def _read_seconds(variable: str, argument: float | None, default: float, *, zero: bool = False) -> float:
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
