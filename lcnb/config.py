"""The settings of one client: account, token, base URL, folders, time limits; and the source of each.

`load_settings()` returns a frozen `Settings`. The first source that has a token is used: an argument, the environment,
an account in lcnb.toml (see `lcnb.config_file`), the official CLI's `~/.letscloud`, the keyring. When an account is
named, by an argument or by `LCNB_ACCOUNT`, both its token and its base URL are used: the token of another account must
never be sent for it.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lcnb.base_url import DEFAULT_BASE_URL, DEFAULT_SOURCE, checked_base_url
from lcnb.config_file import account_entry, approval_reason, read_config, read_only_reason
from lcnb.errors import ApprovalMissing, ConfigError, ConfigWarning, ReadOnly, TokenMissing
from lcnb.folders import config_dir, expand_home, expand_path, runs_dir, state_dir
from lcnb.secret import Secret, as_secret
from lcnb.token_places import TokenPlace, iter_token_places, named_account
from lcnb.tokens import checked_token

#: Seconds that one call may take, including its retries and pages.
DEFAULT_TIMEOUT_S = 60.0
#: Seconds during which lcnb looks for the result of a create with unknown outcome, before it may send it again.
DEFAULT_SETTLE_S = 150.0
#: Seconds for which locations, plans and images are cached.
DEFAULT_CATALOGUE_S = 600.0
#: The environment variables of lcnb, and what each sets.
ENVIRONMENT_VARIABLES = {
    "LCNB_ACCOUNT": "the account in lcnb.toml to use",
    "LCNB_BASE_URL": f"base URL of the API (default {DEFAULT_BASE_URL})",
    "LCNB_TIMEOUT": f"seconds that one call may take, including retries (default {DEFAULT_TIMEOUT_S:g})",
    "LCNB_SETTLE": f"seconds for which a sent change may still take effect (default {DEFAULT_SETTLE_S:g})",
    "LCNB_CATALOGUE": f"seconds for which plans and images are cached (default {DEFAULT_CATALOGUE_S:g}; 0: never)",
    "LCNB_FACTS": "the facts file of the account whose token was found without a name (default facts.csv)",
    "LCNB_HISTORY": "whether readings of an account are kept in its history: 1 (the default) or 0",
    "LCNB_READ_ONLY": "1: refuse every change of every account",
    "LCNB_APPROVE": "other: a second person has to approve the changes of every account",
    "LCNB_REDIS_URL": "URL of a Redis server that shares rate budget and locks between machines",
    "LCNB_CONFIG_DIR": "folder of lcnb.toml",
    "LCNB_STATE_DIR": "folder of journals, locks and caches",
    "LCNB_RUNS_DIR": "folder of runbook runs (default ./runs)",
    "LCNB_NOTEBOOKS": "folder of your own runbooks, which the admin page offers",
    "LCNB_NOTIFY": "where to report how a run ended: Apprise URLs separated by spaces, or a file of them",
    "LCNB_NOTIFY_ON": "which runs are reported: all (the default) or trouble (all but successful ones)",
    "LCNB_NOTIFY_ATTACH": "what is attached, where the service supports it: html (the default), pdf or none",
    "LCNB_PING_URL": "URL of a dead man's switch, called at the start and end of each run; {runbook} is its name",
}


@dataclass(frozen=True)
class Settings:
    """The settings of one client. `token_source` and `base_url_source` name the places of token and base URL.

    `timeout`, `settle` and `catalogue` are seconds.
    """

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
    #: Whether readings are kept in the history of the account.
    history: bool = False
    #: The facts file: tags, owner, protection and expiry of the account's machines.
    facts_path: Path = field(default_factory=lambda: config_dir() / "facts.csv")
    #: What makes the account read-only, for messages; empty when it may be changed.
    read_only: str = ""
    #: What requires that a second person approves changes, for messages; empty when nothing does.
    approval: str = ""
    #: Whether this is the sandbox of `connect(sandbox=True)`. Other sandboxes are not known by their settings.
    sandbox: bool = False


def notification_targets() -> list[Secret]:
    """Where to report how a run ended: Apprise URLs, which may contain passwords, or the path of a file of them."""
    value = os.environ.get("LCNB_NOTIFY", "").strip()
    # A path may contain spaces, so an existing file is looked for before the value is split.
    is_file = "://" not in value and os.path.isfile(os.path.expanduser(value))  # noqa: PTH111, PTH113
    return [Secret(each) for each in ([value] if is_file else value.split())]


def notification_filter() -> str:
    """Which runs are reported: `all`, or `trouble` (all but `done`). ConfigError for another value."""
    reported = os.environ.get("LCNB_NOTIFY_ON") or "all"
    if reported not in ("all", "trouble"):
        raise ConfigError(
            f"{reported!r} is neither 'all' nor 'trouble'",
            field="LCNB_NOTIFY_ON",
            value=reported,
            not_done="reported",
        )
    return reported


def notification_attachment() -> str:
    """What is attached to notifications: `html`, `pdf` or `none`. ConfigError for another value."""
    attached = os.environ.get("LCNB_NOTIFY_ATTACH") or "html"
    if attached not in ("html", "pdf", "none"):
        raise ConfigError(
            f"{attached!r} is not one of html, pdf and none",
            field="LCNB_NOTIFY_ATTACH",
            value=attached,
            not_done="reported",
        )
    return attached


def ping_url() -> Secret | None:
    """The URL that is called at the start and end of each run, if set. It is a secret, because it needs no login.

    ConfigError for a value that is no http URL; the message does not repeat it.
    """
    url = (os.environ.get("LCNB_PING_URL") or "").strip()
    if url and not re.match(r"https?://[^/\s]+(/\S*)?$", url):
        raise ConfigError(
            "expected a URL that begins with https:// or http://, without spaces",
            field="LCNB_PING_URL",
            not_done="started",
        )
    return Secret(url) if url else None


def redis_url() -> Secret | None:
    """The URL of the Redis server that shares rate budget and locks between machines. It may contain a password."""
    url = os.environ.get("LCNB_REDIS_URL")
    return Secret(url) if url else None


def load_settings(
    account: str | None = None,
    *,
    token: str | Secret | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
) -> Settings:
    """Return the settings of one client.

    Args:
        account: An account of lcnb.toml; None for `LCNB_ACCOUNT` or the first place that has a token.
        token: A token, instead of the one that would be found.
        base_url: A base URL, instead of the account's.
        timeout: Seconds that one call may take, instead of `LCNB_TIMEOUT`.

    Raises TokenMissing with every place that was looked at, or ConfigError that names the wrong setting.
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
        history=_read_history_switch(),
        facts_path=facts_path(place.account, url),
        read_only=read_only_reason(place.account, config := read_config()),
        approval=approval_reason(place.account, config),
    )


def facts_path(account: str | None, base_url: str = DEFAULT_BASE_URL) -> Path:
    """Return the facts file of an account of lcnb.toml, or of the account whose token was found without a name.

    It is `facts` of the account, relative to the folder of lcnb.toml; `facts-ACCOUNT.csv` in that folder by default.
    Without a name it is `LCNB_FACTS`, which a run also gets from the process that starts it; `facts.csv` by default,
    for a sandbox in the state folder, because its machines must not get into a file of real ones.
    Raises ConfigError for an account whose name cannot be part of a file name, and for a `facts` whose folder does not
    exist: the disk or repository with the protections of its machines may be absent.
    """
    folder = config_dir()
    if account is None:
        file = os.environ.get("LCNB_FACTS")
        is_sandbox = base_url.startswith("http://")  # plain HTTP is accepted for this machine only
        default = (state_dir() if is_sandbox else folder) / "facts.csv"
        return expand_path("LCNB_FACTS", file) if file else default
    given = account_entry(account, read_config()).get("facts")
    if given is not None:
        path = folder / expand_home(f"[accounts.{account}] facts", given)
        if not path.parent.is_dir():
            raise ConfigError(
                f"the folder {path.parent} does not exist",
                field=f"[accounts.{account}] facts",
                value=given,
                cure="Protections of machines may be in the file there: make the folder available, or create it.",
                not_done="sent",
            )
        return path
    if not account or set(account) & set("/\\\0:") or account.startswith("."):
        raise ConfigError(
            f"the name {account!r} cannot be part of a file name",
            field="account",
            value=account,
            cure=f'Name its facts file: facts = "..." in [accounts.{account!r}].',
        )
    return folder / f"facts-{account}.csv"


def account_variables(settings: Settings) -> dict[str, str]:
    """Return the variables by which a process that gets a token instead of a name knows the limits of its account.

    These are its facts file, read-only use and approval. Without them the limits of a named account would not bind its
    runs.
    """
    read_only = {"LCNB_READ_ONLY": "1"} if settings.read_only else {}
    approval = {"LCNB_APPROVE": "other"} if settings.approval else {}
    return {"LCNB_FACTS": str(settings.facts_path.absolute()), **read_only, **approval}


def check_writable(settings: Settings, *, not_done: str = "sent") -> None:
    """Raise ReadOnly if the settings make the account read-only. `not_done`: what did not happen, for the message."""
    if settings.read_only:
        variable = settings.read_only.startswith("LCNB_READ_ONLY")
        raise ReadOnly(
            f"{settings.account or 'the account'} is read-only ({settings.read_only}): lcnb refuses every change",
            cure=f"To change it, {'unset this variable' if variable else 'remove this line'}.",
            reason=settings.read_only,
            not_done=not_done,
        )


def check_approved(settings: Settings, approved: bool = False, *, not_done: str = "sent") -> None:
    """Raise ApprovalMissing if changes of the account need the approval of a second person and have none."""
    if settings.approval and not approved:
        raise ApprovalMissing(
            f"changes of {settings.account or 'the account'} need the approval of a second person "
            f"({settings.approval})",
            cure=(
                "Plan them as a run (`lcnb plan-run NAME`), let another user approve the run (`lcnb approve RUN`), "
                "then make them (`lcnb apply RUN`)."
            ),
            not_done=not_done,
        )


def _place_from_argument(account: str | None, token: str | Secret) -> tuple[TokenPlace, Secret]:
    token = as_secret(token)
    if not isinstance(token, Secret):
        raise ConfigError(f"expected a text, got {type(token).__name__}", field="token")
    base_url = None
    if account is not None:
        base_url = account_entry(account, read_config()).get("base_url")
    place = "the token argument"
    secret = checked_token(token.reveal(), place)
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
    places = "\n".join(f"  - {place.place}" for place in looked_at)
    own = next((place for place in looked_at if place.account), None)
    whose = f" for the account {own.account!r}" if own else ""
    cure = (own or looked_at[0]).cure
    return (
        f"no LetsCloud API token{whose}: nothing was sent. There is none in:\n{places}\n"
        f"Create a token in the LetsCloud panel (your profile, tab API), then: {cure}\n"
        "To try lcnb without an account, use `lcnb demo`, or lcnb.connect(sandbox=True) in Python."
    )


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
        raise ConfigError(field=source, expected=f"seconds {least} and below 86400", value=raw)
    return seconds


def _read_history_switch() -> bool:
    value = os.environ.get("LCNB_HISTORY") or "1"
    if value not in ("0", "1"):
        raise ConfigError(field="LCNB_HISTORY", expected="1 or 0", value=value, not_done="sent")
    return value == "1"
