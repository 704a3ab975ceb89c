"""What a scheduled command needs where it will run: paths, folders, variables and the place of the token."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lcnb.base_url import DEFAULT_BASE_URL, is_loopback
from lcnb.config import Settings
from lcnb.errors import ConfigError, InputError
from lcnb.folders import config_dir, runs_dir, state_dir
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, notebooks_dir
from lcnb.token_places import TokenPlace, find_token_place
from lcnb.tokens import SINGLE_QUOTES_ADVICE, TOKEN_VARIABLES, token_line

#: Systems that run on this machine, as this user; Airflow is taken to run here too, perhaps as another user.
LOCAL_SYSTEMS = ("cron", "systemd")
#: What becomes of an address of this machine elsewhere.
UNREACHABLE_REASONS = {
    "k8s": "no pod does",
    "github": "no runner of GitHub does",
    "airflow": "an Airflow worker on another machine does not",
}
#: Settings that a job needs as they are here, and that hold no secret.
CARRIED_VARIABLES = ("LCNB_TIMEOUT", "LCNB_SETTLE", "LCNB_CATALOGUE", "LCNB_NOTIFY_ON")
LOCAL_CARRIED_VARIABLES = (
    *CARRIED_VARIABLES,
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PYTHON_KEYRING_BACKEND",
)
#: Settings that may hold a password: they go where the token goes, never into an exported file.
SECRET_VARIABLES = (
    "LCNB_NOTIFY", "LCNB_REDIS_URL",
    "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy",
)  # fmt: skip


class JobEnvironment:
    """What differs between here and where the command will run: paths, folders, variables, the token."""

    def __init__(
        self, book: Runbook, name: str, to: str, account: str | None, settings: Settings | None
    ) -> None:
        self.book, self.to, self.settings = book, to, settings
        self.here = to in (*LOCAL_SYSTEMS, "airflow")
        self.place = _find_token_place(account, to)
        default = self.place.account if self.place and to in LOCAL_SYSTEMS else None
        self.account = account or default  # what is unnamed here must not become another account there
        self.variable = self._variable()
        self.source = name if name == book.name else self._path(book.path, name)

    def _variable(self) -> str | None:
        """The variable that the token comes in; None: lcnb finds it in a file, a keyring, or not at all."""
        place, named = self.place, self.account is not None
        if self.to in LOCAL_SYSTEMS:
            shipped = self.book.path.is_relative_to(notebooks_dir() / "runbooks")
            return place.variable if place else TOKEN_VARIABLES[0] if shipped else None
        if not named:
            return TOKEN_VARIABLES[0]
        if place is None or place.variable is not None:
            return place.variable if place else None
        if self.to != "airflow":
            example = f'token_env = "{_token_variable(self.account or "")}"'
            raise InputError(
                f"the account {self.account!r} takes its token from the {place.place}, which {self.to} does not have. "
                f"Give it a variable in {config_dir() / 'lcnb.toml'}, such as {example}, or leave --account out: then "
                "the token is that of LETSCLOUD_API_KEY."
            )
        return None

    def _path(self, path: Path, given: str) -> str:
        """A path as the job sees it: absolute on this machine, from the root of a repository on GitHub."""
        if self.here:
            return str(path)
        root = next((each for each in path.parents if (each / ".git").exists()), None)
        return path.relative_to(root).as_posix() if self.to == "github" and root else given

    def paths(self, given: Mapping[str, str], checked: Mapping[str, Any]) -> dict[str, str]:
        """The parameters that are paths, defaults too, as the job sees them. ParameterError for a missing file."""
        if self.to == "k8s":
            return {}  # a container has files of its own
        found: dict[str, str] = {}
        for name, value in declared.resolve_paths(self.book.parameters, checked).items():
            if value == checked.get(name):
                continue
            texts = [value] if isinstance(value, str) else value
            seen = [self._path(Path(each), each) for each in texts]
            if self.here or seen != texts:
                found[name] = seen[0] if isinstance(value, str) else json.dumps(seen, ensure_ascii=False)
        return found

    def options(self) -> list[str]:
        """The options of `lcnb run` that depend on the system."""
        if self.to in LOCAL_SYSTEMS:
            file = str(_variables_path())
            needed = self.variable is not None or bool(self._not_carried())
            wanted = needed or self.place is None  # a notebook of one's own may do without a token
            variables = ["--env-file", file if needed else f"-{file}"] if wanted else []
            return [*variables, "--runs-dir", str(runs_dir())]
        return ["--runs-dir", {"k8s": "/runs", "github": "runs"}.get(self.to) or str(runs_dir())]

    def env(self) -> dict[str, str]:
        """The variables without a secret that the command needs."""
        carried = {
            name: os.environ[name] for name in LOCAL_CARRIED_VARIABLES if self.here and os.environ.get(name)
        }
        carried |= {name: os.environ[name] for name in CARRIED_VARIABLES if os.environ.get(name)}
        url = self.settings.base_url if self.settings else os.environ.get("LCNB_BASE_URL")
        if not self.account and url and url != DEFAULT_BASE_URL:
            carried["LCNB_BASE_URL"] = url
        if self.here:
            carried |= {"LCNB_CONFIG_DIR": str(config_dir()), "LCNB_STATE_DIR": str(state_dir())}
        if self.to == "k8s":
            carried["LCNB_STATE_DIR"] = "/runs/.state"  # the journal stays where the runs stay
        return carried

    def _not_carried(self) -> list[str]:
        return [name for name in SECRET_VARIABLES if os.environ.get(name)]

    def notes(self) -> Iterator[str]:
        """What a person has to know or do, for the head of the file."""
        where = self.place.place if self.place else "lcnb.toml"
        if self.to in LOCAL_SYSTEMS:
            file = _variables_path()
            if self.variable:
                yield f"The token comes from {file} (mode 0600), which has the line {token_line(self.variable)}"
                yield f"({SINGLE_QUOTES_ADVICE})."
            elif self.place:
                yield f"The token comes from the {where}, as this user."
            else:
                yield f"No token was found. If the notebook needs one, put this line into {file}"
                yield f"(mode 0600): {token_line(TOKEN_VARIABLES[0])} ({SINGLE_QUOTES_ADVICE})."
            if missing := self._not_carried():
                yield f"These are set here and may hold a password: {', '.join(missing)}."
                yield f"{file} needs a line for each of them."
        elif self.account and self.variable:
            yield f'Its lcnb.toml must have [accounts.{self.account}] with token_env = "{self.variable}".'
        elif self.account:
            yield f"The token of the account {self.account} comes from the {where} of the machine that runs this."
        yield from self._unreachable()
        if self.to == "airflow":
            yield "Paths are those of the machine on which this was exported."

    def _unreachable(self) -> Iterator[str]:
        """A base URL, such as that of a sandbox, that answers on this machine alone."""
        url = self.env().get("LCNB_BASE_URL", "")
        if self.to in UNREACHABLE_REASONS and is_loopback(urlsplit(url).hostname or ""):
            yield f"LCNB_BASE_URL is {url}, which only this machine reaches: {UNREACHABLE_REASONS[self.to]}."
            yield "Unset LCNB_BASE_URL and export again, or write another address here."


def _find_token_place(account: str | None, to: str) -> TokenPlace | None:
    try:
        return find_token_place(account)
    except ConfigError:
        if to in LOCAL_SYSTEMS:
            raise
        return None


def _token_variable(account: str) -> str:
    return f"{re.sub(r'[^A-Z0-9]+', '_', account.upper()).strip('_') or 'ACCOUNT'}_TOKEN"


def _variables_path() -> Path:
    """The file of variables, mode 0600, that a job of cron or systemd reads by --env-file."""
    return config_dir() / "schedule.env"
