"""A schedule for a runbook, as a file of the system that keeps time: cron, systemd, Kubernetes, Airflow, GitHub.

Each file calls `lcnb run`. What would be refused then is refused here: the parameters are checked, the cron
expression must mean the same everywhere, files that are read must be there, changes must be confirmed, and a value is
written so that the system hands it on unchanged (each has characters of its own: % for cron, % and $ for systemd, $ for
Kubernetes, braces for Airflow). A job starts in another folder and with an almost empty environment: paths are
absolute, and the account, the folders and the settings of this environment are carried. No file holds a secret: each
says where that system keeps the token, and a file of variables is read by lcnb, not by a shell.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lcnb.config import (
    BASE_URL,
    SINGLE_QUOTES,
    TOKEN_VARIABLES,
    Settings,
    TokenPlace,
    is_loopback,
    place_of_token,
    resolve,
    token_line,
)
from lcnb.errors import ConfigError, ConfirmationMissing, InputError, LcnbError, ParameterError, TokenMissing
from lcnb.folders import config_dir, runs_dir, state_dir
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import Runbook, find, notebooks_dir
from lcnb.runbooks.run import _choices, check_language, chosen_kernel, working_directory
from lcnb.runbooks.schedule import cron as crons

#: Debian's cron reads no longer command.
CRON_COMMAND_MAX = 990
#: Kubernetes adds eleven characters to a CronJob's name and takes 63.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")
IMAGE = "registry.example.com/lcnb:latest"
#: Systems that run on this machine, as this user; Airflow is taken to run here too, perhaps as another user.
LOCAL = ("cron", "systemd")
#: What becomes of an address of this machine elsewhere.
NOT_REACHED_BY = {
    "k8s": "no pod does",
    "github": "no runner of GitHub does",
    "airflow": "an Airflow worker on another machine does not",
}
#: Settings that a job needs as they are here, and that hold no secret.
CARRIED = ("LCNB_TIMEOUT", "LCNB_SETTLE", "LCNB_CATALOGUE", "LCNB_NOTIFY_ON")
CARRIED_HERE = (*CARRIED, "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHON_KEYRING_BACKEND")
#: Settings that may hold a password: they go where the token goes, never into an exported file.
NOT_CARRIED = (
    "LCNB_NOTIFY", "LCNB_REDIS_URL",
    "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy",
)  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """What is to run when; `argv` is the command behind the executable."""

    label: str
    title: str
    cron: crons.Cron
    timezone: str | None
    argv: tuple[str, ...]
    here: str
    image: str = IMAGE
    #: Variables without a secret that the command needs.
    env: Mapping[str, str] = field(default_factory=dict)
    #: The variable that the command takes the token from; None: it comes from a file or a keyring.
    variable: str | None = None
    #: The account that the token belongs to, if it is one of lcnb.toml.
    account: str | None = None
    #: What a person has to know or do, each a line.
    notes: tuple[str, ...] = ()

    def head(self, *lines: str) -> str:
        """The comment that begins a file: what it is, what to do with it, and what is to be known."""
        shown = (self.title, *lines, *self.notes)
        return "".join(f"# {_printable(line)}\n" for line in shown)


@contextmanager
def nothing_written() -> Iterator[None]:
    """What is checked as for a run says that nothing was started; here nothing would have been."""
    try:
        yield
    except LcnbError as error:
        told = [each.replace("Nothing was started", "Nothing was written") for each in map(str, error.args)]
        error.args = tuple(told)
        raise


@nothing_written()
def export(
    name: str,
    cron: str,
    to: str,
    *,
    parameters: Mapping[str, str] | None = None,
    account: str | None = None,
    timezone: str | None = None,
    label: str | None = None,
    image: str = IMAGE,
    kernel: str | None = None,
    cwd: str | Path | None = None,
    confirm: bool = False,
) -> dict[str, str]:
    """The files of a schedule, name → text.

    Args:
        to: cron, systemd, k8s, airflow or github.
        timezone: such as America/Sao_Paulo; without one, cron and systemd take the machine's, others UTC.
        label: how units, jobs and DAGs are called; by default `lcnb-` and the runbook's name.
        image: the container image for Kubernetes; it must have lcnb.
        kernel, cwd: as for `run_runbook`; for cron and systemd they are checked here.
        confirm: the changes that each run makes are confirmed (`dry_run=false` needs it).

    Raises InputError or ParameterError for what could not run, or could not be written for that system,
    ConfirmationMissing for changes that nobody confirmed.

    >>> print(export("inventory", "0 6 * * *", "github")["lcnb-inventory.yml"].splitlines()[0])
    # Inventory: `lcnb run inventory`
    """
    if to not in WRITERS:
        raise InputError(f"to: {to!r} is none of {', '.join(WRITERS)}")
    book = find(name)
    given = dict(parameters or {})
    check_language(book, given)
    if to in ("cron", "systemd"):
        chosen_kernel(book, kernel)
        cwd = working_directory(cwd)
    account = account or (os.environ.get("LCNB_ACCOUNT") or None)
    settings = _check_account(book, given, account, to)
    checked = _check(book, given, settings)
    writes = declared.effective(book.parameters, checked).get("dry_run") is False
    if writes and not confirm:
        raise ConfirmationMissing(
            f"{book.name} with dry_run=false changes the account at each run, and nobody confirmed that. Nothing was "
            f"written. Look at what it would do (lcnb plan-run {book.name}), then export it with --yes."
        )
    job = _Job(book, name, to, account or given.get("account") or None, settings)
    argv = ["run", job.source]
    for key, value in {**given, **job.paths(given, checked)}.items():
        argv += ["-p", f"{key}={value}"]
    argv += [*(["--account", job.account] if job.account else []), *(["--yes"] if writes else [])]
    argv += ["--kernel", kernel] if kernel else []
    argv += ["--cwd", str(cwd)] if cwd else []
    argv += job.options()
    job_env = job.env()
    for each in (*argv, *job_env.values()):
        _check_text(each)
    label = label or f"lcnb-{re.sub(r'[^a-z0-9]+', '-', book.name.lower()).strip('-') or 'notebook'}"[
        :52
    ].strip("-")
    if not LABEL.fullmatch(label):
        raise InputError(f"label {label!r}: small letters, digits and - only, at most 52")
    if not re.fullmatch(r"[\w./:@+-]+", image, re.ASCII):
        raise InputError(f"image {image!r} is not the name of a container image")
    schedule = Schedule(
        label,
        _printable(f"{book.title}: `lcnb run {book.name}`"),
        crons.parse(cron),
        crons.timezone(timezone),
        tuple(argv),
        executable(),
        image,
        job_env,
        job.variable,
        job.account,
        tuple(job.notes()),
    )
    return WRITERS[to](schedule)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _check_account(book: Runbook, given: Mapping[str, str], account: str | None, to: str) -> Settings | None:
    """The settings of the account, if it can be asked now. An account that only another machine has cannot be."""
    by_parameter = given.get("account") if any(each.name == "account" for each in book.parameters) else None
    if account and by_parameter and account != by_parameter:
        raise ParameterError(f"parameter account: {by_parameter!r}, but the option says {account!r}.")
    named = account or by_parameter or None
    try:
        return resolve(named)
    except TokenMissing:
        if named and to in LOCAL and (place := place_of_token(named)) and place.variable is None:
            raise  # a file or a keyring of this machine is the same at each run
        return None
    except ConfigError:
        if to in LOCAL:
            raise
        return None


def _check(book: Runbook, given: Mapping[str, str], settings: Settings | None) -> dict[str, Any]:
    """The parameters as `lcnb run` would check them."""
    known = _choices(settings) if any(name in declared.ACCOUNT_KINDS for name in given) else None
    declared.check_required(book.parameters, given)
    return declared.check(book.parameters, given, known)


class _Job:
    """What differs between here and where the command will run: paths, folders, variables, the token."""

    def __init__(
        self, book: Runbook, name: str, to: str, account: str | None, settings: Settings | None
    ) -> None:
        self.book, self.to, self.settings = book, to, settings
        self.here = to in (*LOCAL, "airflow")
        self.place = _place_of(account, to)
        default = self.place.account if self.place and to in LOCAL else None
        self.account = account or default  # what is unnamed here must not become another account there
        self.variable = self._variable()
        self.source = name if name == book.name else self._path(book.path, name)

    def _variable(self) -> str | None:
        """The variable that the token comes in; None: lcnb finds it in a file, a keyring, or not at all."""
        place, named = self.place, self.account is not None
        if self.to in LOCAL:
            shipped = self.book.path.is_relative_to(notebooks_dir() / "runbooks")
            return place.variable if place else TOKEN_VARIABLES[0] if shipped else None
        if not named:
            return TOKEN_VARIABLES[0]
        if place is None or place.variable is not None:
            return place.variable if place else None
        if self.to != "airflow":
            example = f'token_env = "{_variable_name(self.account or "")}"'
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
        for name, value in declared.located(self.book.parameters, checked).items():
            if value == checked.get(name):
                continue
            texts = [value] if isinstance(value, str) else value
            seen = [self._path(Path(each), each) for each in texts]
            if self.here or seen != texts:
                found[name] = seen[0] if isinstance(value, str) else json.dumps(seen, ensure_ascii=False)
        return found

    def options(self) -> list[str]:
        """The options of `lcnb run` that depend on the system."""
        if self.to in LOCAL:
            file = str(_variables_file())
            needed = self.variable is not None or bool(self._not_carried())
            wanted = needed or self.place is None  # a notebook of one's own may do without a token
            variables = ["--env-file", file if needed else f"-{file}"] if wanted else []
            return [*variables, "--runs-dir", str(runs_dir())]
        return ["--runs-dir", {"k8s": "/runs", "github": "runs"}.get(self.to) or str(runs_dir())]

    def env(self) -> dict[str, str]:
        """The variables without a secret that the command needs."""
        carried = {name: os.environ[name] for name in CARRIED_HERE if self.here and os.environ.get(name)}
        carried |= {name: os.environ[name] for name in CARRIED if os.environ.get(name)}
        url = self.settings.base_url if self.settings else os.environ.get("LCNB_BASE_URL")
        if not self.account and url and url != BASE_URL:
            carried["LCNB_BASE_URL"] = url
        if self.here:
            carried |= {"LCNB_CONFIG_DIR": str(config_dir()), "LCNB_STATE_DIR": str(state_dir())}
        if self.to == "k8s":
            carried["LCNB_STATE_DIR"] = "/runs/.state"  # the journal stays where the runs stay
        return carried

    def _not_carried(self) -> list[str]:
        return [name for name in NOT_CARRIED if os.environ.get(name)]

    def notes(self) -> Iterator[str]:
        """What a person has to know or do, for the head of the file."""
        where = self.place.place if self.place else "lcnb.toml"
        if self.to in LOCAL:
            file = _variables_file()
            if self.variable:
                yield f"The token comes from {file} (mode 0600), which has the line {token_line(self.variable)}"
                yield f"({SINGLE_QUOTES})."
            elif self.place:
                yield f"The token comes from the {where}, as this user."
            else:
                yield f"No token was found. If the notebook needs one, put this line into {file}"
                yield f"(mode 0600): {token_line(TOKEN_VARIABLES[0])} ({SINGLE_QUOTES})."
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
        if self.to in NOT_REACHED_BY and is_loopback(urlsplit(url).hostname or ""):
            yield f"LCNB_BASE_URL is {url}, which only this machine reaches: {NOT_REACHED_BY[self.to]}."
            yield "Unset LCNB_BASE_URL and export again, or write another address here."


def _place_of(account: str | None, to: str) -> TokenPlace | None:
    try:
        return place_of_token(account)
    except ConfigError:
        if to in LOCAL:
            raise
        return None


def _variable_name(account: str) -> str:
    return f"{re.sub(r'[^A-Z0-9]+', '_', account.upper()).strip('_') or 'ACCOUNT'}_TOKEN"


def _check_text(text: str) -> None:
    if not text.isprintable():
        raise InputError(
            f"{text!r} has a line end or another control character, which a schedule cannot hold"
        )


def executable() -> str:
    """The absolute path of the `lcnb` command that goes with this Python."""
    beside = Path(sys.executable).with_name("lcnb")
    return str(beside if beside.exists() else shutil.which("lcnb") or beside)


def _variables_file() -> Path:
    """The file of variables, mode 0600, that a job of cron or systemd reads by --env-file."""
    return config_dir() / "schedule.env"


#: Said of a time zone without clock changes.
UTC_CLOCK = "UTC has no clock changes: where clocks change, the local time of the runs moves by an hour."


def _clock(schedule: Schedule, text: str) -> str:
    """The line on what happens to runs when clocks change."""
    return UTC_CLOCK if schedule.timezone in ("UTC", "Etc/UTC") else f"When clocks change: {text}"


# --- cron -----------------------------------------------------------------------------------------------


def _cron(schedule: Schedule) -> dict[str, str]:
    if schedule.timezone:
        raise InputError(
            "cron runs in its machine's time zone, and Debian's ignores CRON_TZ: leave --timezone out, or use "
            "--to systemd"
        )
    env = [f"{name}={value}" for name, value in schedule.env.items()]
    command = f"exec {shlex.join(['env', *env, schedule.here, *schedule.argv])}".replace("%", r"\%")
    _check_text(command)
    if len(command) > CRON_COMMAND_MAX or r"\\%" in command:
        raise InputError(
            f"cron reads commands of at most {CRON_COMMAND_MAX} characters without a backslash before a percent "
            "sign; use --to systemd"
        )
    if schedule.cron.hours and schedule.cron.minutes:
        clock = "a time in the skipped hour runs soon after the change, one in the repeated hour runs once."
    else:
        clock = "runs go by the new time at once; those of the skipped hour are left out."
    head = schedule.head("A line for `crontab -e`.") + f"# {_clock(schedule, clock)}\n"
    return {f"{schedule.label}.crontab": f"{head}{schedule.cron} {command}\n"}


# --- systemd --------------------------------------------------------------------------------------------


def _systemd(schedule: Schedule) -> dict[str, str]:
    if not re.fullmatch(r"/[\w./@+-]+", schedule.here):
        raise InputError(
            f"{schedule.here!r} cannot be written into a unit: a path of letters, digits and ./_@+- only"
        )
    command = " ".join([schedule.here, *(_systemd_quoted(each, dollar="$$") for each in schedule.argv)])
    title = schedule.title.replace("\\", "/").replace("%", "%%")
    calendar = "\n".join(f"OnCalendar={line}" for line in schedule.cron.on_calendar(schedule.timezone))
    env = "".join(
        f"Environment={_systemd_quoted(f'{name}={value}')}\n" for name, value in schedule.env.items()
    )
    clock = "a time in the skipped hour is left out, one in the repeated hour runs once"
    clock += "." if schedule.cron.hours else "; hourly runs pause for two hours then."
    service = f"""\
{schedule.head("For ~/.config/systemd/user/ or /etc/systemd/system/ (there with User=).")}\
[Unit]
Description={title}

[Service]
Type=oneshot
{env}ExecStart={command}
KillMode=mixed
TimeoutStopSec=60
"""
    timer = f"""\
# systemctl --user enable --now {schedule.label}.timer
# {_clock(schedule, clock)}
[Unit]
Description=When {schedule.label} runs

[Timer]
{calendar}
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {f"{schedule.label}.service": service, f"{schedule.label}.timer": timer}


def _systemd_quoted(text: str, dollar: str = "$") -> str:
    """A quoted word of a unit. A dollar sign begins a variable in commands alone, where it is doubled."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", dollar)
    return f'"{text}"'


# --- Kubernetes -----------------------------------------------------------------------------------------


def _k8s(schedule: Schedule) -> dict[str, str]:
    slug = re.sub(r"[^a-z0-9]+", "-", (schedule.account or "").lower()).strip("-")
    secret = {"name": f"letscloud-{slug}" if slug else "letscloud", "key": "api-key"}
    container = {
        "name": "lcnb",
        "image": schedule.image,
        "command": ["lcnb"],
        "args": [each.replace("$", "$$") for each in schedule.argv],
        "env": [
            *(
                [{"name": schedule.variable, "valueFrom": {"secretKeyRef": secret}}]
                if schedule.variable
                else []
            ),
            *({"name": name, "value": value.replace("$", "$$")} for name, value in schedule.env.items()),
        ],
        "volumeMounts": [{"name": "runs", "mountPath": "/runs"}],
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
        "volumes": [{"name": "runs", "emptyDir": {}}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": schedule.label},
        "spec": {
            "schedule": str(schedule.cron),
            "timeZone": schedule.timezone or "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    if schedule.timezone:
        clock = "a time in the skipped hour is left out, one in the repeated hour runs twice."
    else:
        clock = UTC_CLOCK
    make = [
        f"The token: printf %s '...' >FILE  ({SINGLE_QUOTES}),",
        f"then: kubectl create secret generic {secret['name']} --from-file=api-key=FILE",
    ]
    head = schedule.head(
        *(make if schedule.variable else []),
        *([f"The image {IMAGE} is a placeholder: name yours by --image."] if schedule.image == IMAGE else []),
        "Reports are lost with the pod: replace emptyDir by a persistentVolumeClaim.",
        clock if clock == UTC_CLOCK else _clock(schedule, clock),
    )
    return {f"{schedule.label}.yaml": head + _yaml(job)}


# --- Airflow --------------------------------------------------------------------------------------------


def _airflow(schedule: Schedule) -> dict[str, str]:
    zone = schedule.timezone or "UTC"
    slug = re.sub(r"\W+", "_", schedule.account or "", flags=re.ASCII).strip("_").lower()
    connection = f"letscloud_{slug}" if slug else "letscloud"
    env = {name: _not_a_template(value) for name, value in schedule.env.items()}
    token = {schedule.variable: f"{{{{ conn.{connection}.password }}}}"} if schedule.variable else {}
    command = _not_a_template(f"exec {shlex.join([schedule.here, *schedule.argv])}")
    if schedule.cron.hours:
        clock = "a time in the skipped hour runs an hour later, one in the repeated hour runs once, the second time."
    else:
        clock = "the skipped hour is left out, the repeated hour runs twice."
    make = (
        f"The token is the password of an Airflow connection called `{connection}`, as it is, without quotes."
    )
    head = schedule.head(
        *([make] if schedule.variable else []),
        UTC_CLOCK if not schedule.timezone else _clock(schedule, clock),
    )
    text = f"""\
{head}\
import pendulum

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator
from airflow.timetables.trigger import CronTriggerTimetable

with DAG(
    dag_id={schedule.label!r},
    schedule=CronTriggerTimetable({str(schedule.cron)!r}, timezone={zone!r}),
    start_date=pendulum.datetime(2026, 1, 1, tz={zone!r}),
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="run",
        bash_command={command!r},
        env={token | env!r},
        append_env=True,
        skip_on_exit_code=None,  # each code but 0 is a failure; 99 would be "skipped"
        retries=0,
    )
"""
    return {f"{schedule.label.replace('-', '_')}.py": text}


def _not_a_template(text: str) -> str:
    """A text that Airflow hands on as it is: it is no template, and no name of a file of one."""
    if "endraw" in text:
        raise InputError("a value with 'endraw' cannot be kept from Airflow's templates")
    return "{% raw %}" + text + "{% endraw %}"


# --- GitHub ---------------------------------------------------------------------------------------------


def _github(schedule: Schedule) -> dict[str, str]:
    command = shlex.join(["lcnb", *schedule.argv])
    if any("${{" in each for each in (command, *schedule.env.values())):
        raise InputError("GitHub would evaluate a value with '${{'; it cannot be written into a workflow")
    token = {schedule.variable: f"${{{{ secrets.{schedule.variable} }}}}"} if schedule.variable else {}
    steps = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"run": "pip install lcnb"},
        {"run": command, "env": {**token, **schedule.env}},
        {
            "if": "always()",
            "uses": "actions/upload-artifact@v4",
            "with": {"name": schedule.label, "path": "runs"},
        },
    ]
    zone = {"timezone": schedule.timezone} if schedule.timezone not in (None, "UTC", "Etc/UTC") else {}
    workflow = {
        "name": schedule.label,
        "on": {"schedule": [{"cron": str(schedule.cron), **zone}], "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": schedule.label, "cancel-in-progress": False},
        "jobs": {"run": {"runs-on": "ubuntu-latest", "timeout-minutes": 60, "steps": steps}},
    }
    make = f"The token is the repository's secret {schedule.variable}, as it is, without quotes."
    clock = "a time in the skipped hour runs at the next time that exists."
    head = schedule.head(
        "For .github/workflows/.",
        *([make] if schedule.variable else []),
        _clock(schedule, clock) if zone else UTC_CLOCK,
    )
    return {f"{schedule.label}.yml": head + _yaml(workflow)}


def _yaml(value: Any) -> str:
    """YAML of plain values. Texts are written as JSON writes them, which every YAML reader takes as texts."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        lines = []
        for key, each in value.items():
            inner = _lines(each)
            flat = not isinstance(each, dict | list) or not each
            lines += [f"{key}: {inner[0]}"] if flat else [f"{key}:", *(f"  {line}" for line in inner)]
        return lines
    if isinstance(value, list) and value:
        lines = []
        for each in value:
            first, *rest = _lines(each)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [
        json.dumps(value, ensure_ascii=False)
    ]  # JSON would write an emoji in two halves, YAML in one piece


WRITERS: dict[str, Callable[[Schedule], dict[str, str]]] = {
    "cron": _cron,
    "systemd": _systemd,
    "k8s": _k8s,
    "airflow": _airflow,
    "github": _github,
}
