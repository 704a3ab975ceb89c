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
from lcnb.folders import config_dir, runs_location, state_dir
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.preflight import needs_account
from lcnb.runbooks.schedule.entry import ScheduleSystem
from lcnb.token_places import TokenPlace, find_token_place
from lcnb.tokens import SINGLE_QUOTES_ADVICE, TOKEN_VARIABLES, token_line

#: Settings that hold no secret and that every job needs with the values that they have here.
CARRIED_VARIABLES = (
    "LCNB_TIMEOUT", "LCNB_SETTLE", "LCNB_CATALOGUE", "LCNB_HISTORY", "LCNB_NOTIFY_ON",
    "LCNB_NOTIFY_ATTACH", "LCNB_READ_ONLY", "LCNB_APPROVE",
)  # fmt: skip
#: Settings that a job on this machine needs as well.
LOCAL_CARRIED_VARIABLES = (
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PYTHON_KEYRING_BACKEND",
    "LCNB_FACTS",
    *CARRIED_VARIABLES,
)
#: Settings of an object store that hold no secret. Its credentials belong next to the token.
STORE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AZURE_STORAGE_ACCOUNT_NAME")
#: Settings that may hold a password. They are stored next to the token, never in an exported file.
SECRET_VARIABLES = (
    "LCNB_NOTIFY", "LCNB_PING_URL", "LCNB_REDIS_URL",
    "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy",
)  # fmt: skip


class JobEnvironment:
    """The differences between this machine and the place where a command will run.

    Args:
        name: the runbook as the user named it: a shipped name or a path.
        account: the account that the job uses; None for the default account of this machine.
        settings: the settings of that account, or None where only another machine has them.

    Raises InputError when a job elsewhere cannot get the token, ConfigError when a local configuration is wrong.
    """

    def __init__(
        self, book: Runbook, name: str, system: ScheduleSystem, account: str | None, settings: Settings | None
    ) -> None:
        self.book, self.system, self.settings = book, system, settings
        self.shares_files = system.files == "this machine"
        self.place = _find_token_place(account, system)
        default = self.place.account if self.place and system.is_local else None
        self.account = account or default  # otherwise the default could be another account when the job runs
        self.token_variable = self._choose_token_variable()
        self.source = name if name == book.name else self._job_path(book.path, name)

    def _choose_token_variable(self) -> str | None:
        """Return the variable that holds the job's token; None when it reads a file or keyring, or needs no token."""
        place = self.place
        if self.system.is_local:
            required = needs_account(self.book)
            return place.variable if place else TOKEN_VARIABLES[0] if required else None
        if self.account is None:
            return TOKEN_VARIABLES[0]
        if place is None or place.variable is not None:
            return place.variable if place else None
        if self.shares_files:
            return None
        example = f'token_env = "{_token_variable(self.account)}"'
        raise InputError(
            f"the account {self.account!r} reads its token from the {place.place}, which {self.system.name} "
            "does not have",
            cure=f"Give it a variable in {config_dir() / 'lcnb.toml'}, such as {example}, or leave --account out "
            "to use the token in LETSCLOUD_API_KEY.",
        )

    def _job_path(self, path: Path, given: str) -> str:
        """Return a path as the job sees it: absolute on this machine, relative to the root in a repository."""
        if self.shares_files:
            return str(path)
        root = next((each for each in path.parents if (each / ".git").exists()), None)
        return path.relative_to(root).as_posix() if self.system.files == "repository" and root else given

    def path_parameters(self, given: Mapping[str, str], checked: Mapping[str, Any]) -> dict[str, str]:
        """Return the parameters that are paths, including defaults, as the job sees them.

        ParameterError when a file is missing. A container has its own files, so its paths stay as they are.
        """
        if self.system.files == "container":
            return {}
        found: dict[str, str] = {}
        for name, value in declared.resolve_paths(self.book.parameters, checked).items():
            if value == checked.get(name):
                continue
            texts = [value] if isinstance(value, str) else value
            seen = [self._job_path(Path(each), each) for each in texts]
            if self.shares_files or seen != texts:
                found[name] = seen[0] if isinstance(value, str) else json.dumps(seen, ensure_ascii=False)
        return found

    def _runs_location(self) -> str:
        """Return the runs folder of the job: the store of this machine, unless that is a folder that the job lacks."""
        here = runs_location()
        is_everywhere = "://" in here and not here.startswith("file:")
        return here if is_everywhere or not self.system.runs_dir else self.system.runs_dir

    def options(self) -> list[str]:
        """Return the options of `lcnb run` that depend on the scheduler."""
        folder = ["--runs-dir", self._runs_location()]
        if not self.system.is_local:
            return folder
        file = str(_variables_path())
        if self.token_variable is not None or _secrets_set_here():
            return ["--env-file", file, *folder]
        if self.place is None:  # the user's own notebook may need no token, so the file may be missing
            return ["--env-file", f"-{file}", *folder]
        return folder

    def needed_files(self) -> list[str]:
        """Return the files of this machine from which a local job reads its token and other secrets."""
        file = self.place.file if self.place else None
        variables = self.token_variable is not None or bool(_secrets_set_here())
        return [*([str(file)] if file else []), *([str(_variables_path())] if variables else [])]

    def env(self) -> dict[str, str]:
        """Return the variables that the command needs and that hold no secret."""
        carried = self._carried_variables()
        url = self.settings.base_url if self.settings else os.environ.get("LCNB_BASE_URL")
        if not self.account and url and url != DEFAULT_BASE_URL:
            carried["LCNB_BASE_URL"] = url
        if self.shares_files:
            carried |= {"LCNB_CONFIG_DIR": str(config_dir()), "LCNB_STATE_DIR": str(state_dir())}
        return {**carried, **self.system.env}

    def _carried_variables(self) -> dict[str, str]:
        """Return the settings of this process that the job needs too, and where its runs and locks are."""
        names = LOCAL_CARRIED_VARIABLES if self.shares_files else CARRIED_VARIABLES
        if "://" not in (place := self._runs_location()):
            return {name: value for name in names if (value := os.environ.get(name))}
        found = {name: value for name in (*names, *STORE_VARIABLES) if (value := os.environ.get(name))}
        return {**found, "LCNB_RUNS_DIR": place}

    def notes(self) -> Iterator[str]:
        """Yield what the reader of the file must know or do, one line each."""
        yield from self._local_notes() if self.system.is_local else self._account_notes()
        if "://" in (place := self._runs_location()):
            yield f"Runs are kept in {place}: the job needs lcnb[store] and the variables of its credentials."
        url = self.env().get("LCNB_BASE_URL", "")
        if self.system.unreachable and is_loopback(urlsplit(url).hostname or ""):
            yield f"LCNB_BASE_URL is {url}, an address of this machine: {self.system.unreachable}."
            yield "Unset LCNB_BASE_URL and export again, or write another address here."
        yield from self.system.notes

    def _local_notes(self) -> Iterator[str]:
        """Yield where a job on this machine gets its token and other secrets."""
        file = _variables_path()
        if self.token_variable:
            yield f"The token is read from {file} (mode 0600). Put this line into it:"
            yield f"{token_line(self.token_variable)} ({SINGLE_QUOTES_ADVICE})."
        elif self.place:
            yield f"The token is read from the {self.place.place}, as this user."
        else:
            yield f"No token was found. If the notebook needs one, put this line into {file}"
            yield f"(mode 0600): {token_line(TOKEN_VARIABLES[0])} ({SINGLE_QUOTES_ADVICE})."
        if missing := _secrets_set_here():
            yield f"These variables are set here and may hold a password: {', '.join(missing)}."
            yield f"Add a line for each of them to {file}."

    def _account_notes(self) -> Iterator[str]:
        """Yield what the machine of a job elsewhere must have for a named account."""
        if self.account and self.token_variable:
            yield f'The lcnb.toml there must have [accounts.{self.account}] with token_env = "{self.token_variable}".'
        elif self.account:
            where = self.place.place if self.place else "lcnb.toml"
            yield f"The token of the account {self.account} is read from the {where} of the machine that runs this."


def _secrets_set_here() -> list[str]:
    return [name for name in SECRET_VARIABLES if os.environ.get(name)]


def _find_token_place(account: str | None, system: ScheduleSystem) -> TokenPlace | None:
    """Return where this machine keeps the token. Only a local scheduler needs a correct configuration here."""
    try:
        return find_token_place(account)
    except ConfigError:
        if system.is_local:
            raise
        return None


def _token_variable(account: str) -> str:
    """Return a name for the variable of an account's token.

    >>> _token_variable("my lab")
    'MY_LAB_TOKEN'
    """
    return f"{re.sub(r'[^A-Z0-9]+', '_', account.upper()).strip('_') or 'ACCOUNT'}_TOKEN"


def _variables_path() -> Path:
    """Return the file of variables, mode 0600, that a local job reads with --env-file."""
    return config_dir() / "schedule.env"
