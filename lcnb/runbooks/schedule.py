"""A schedule for a runbook, as a file of the system that keeps time: cron, systemd, Kubernetes, Airflow, GitHub.

Each file calls `lcnb run`. What would be refused then is refused here: the parameters are checked, the cron
expression must mean the same everywhere, and a value is written so that the system hands it on unchanged
(each has characters of its own: % for cron, % and $ for systemd, $ for Kubernetes, braces for Airflow).
No file holds a secret: each says where that system keeps the token.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcnb.config import resolve
from lcnb.errors import ConfigError, InputError, ParameterError, TokenMissing
from lcnb.folders import config_dir, runs_dir
from lcnb.runbooks import cron as crons
from lcnb.runbooks import parameters as declared
from lcnb.runbooks.find import Runbook, find
from lcnb.runbooks.run import _choices, check_language, chosen_kernel, working_directory

#: Debian's cron reads no longer command.
CRON_COMMAND_MAX = 990
#: Kubernetes adds eleven characters to a CronJob's name and takes 63.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")
IMAGE = "registry.example.com/lcnb:latest"


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
) -> dict[str, str]:
    """The files of a schedule, name → text.

    Args:
        to: cron, systemd, k8s, airflow or github.
        timezone: such as America/Sao_Paulo; without one, cron and systemd take the machine's, others UTC.
        label: how units, jobs and DAGs are called; by default `lcnb-` and the runbook's name.
        image: the container image for Kubernetes; it must have lcnb.
        kernel, cwd: as for `run_runbook`; for cron and systemd they are checked here.

    Raises InputError or ParameterError for what could not run, or could not be written for that system.

    >>> print(export("inventory", "0 6 * * *", "github")["lcnb-inventory.yml"].splitlines()[0])
    # Inventory: `lcnb run inventory`
    """
    if to not in WRITERS:
        raise InputError(f"to: {to!r} is none of {', '.join(WRITERS)}")
    local = to in ("cron", "systemd")
    book = find(name)
    given = dict(parameters or {})
    check_language(book, given)
    if local:
        chosen_kernel(book, kernel)
        cwd = working_directory(cwd)
    _check(book, given, account, local)
    source = name if name == book.name else str(book.path if local else name)
    argv = ["run", source]
    for key, value in given.items():
        argv += ["-p", f"{key}={value}"]
    if account:
        argv += ["--account", account]
    if kernel:
        argv += ["--kernel", kernel]
    if cwd:
        argv += ["--cwd", str(cwd)]
    if local:
        argv += ["--runs-dir", str(runs_dir())]
    for each in argv:
        _check_text(each)
    label = label or f"lcnb-{re.sub(r'[^a-z0-9]+', '-', book.name.lower()).strip('-') or 'notebook'}"[
        :52
    ].strip("-")
    if not LABEL.fullmatch(label):
        raise InputError(f"label {label!r}: small letters, digits and - only, at most 52")
    if not re.fullmatch(r"[\w./:@+-]+", image, re.ASCII):
        raise InputError(f"image {image!r} is not the name of a container image")
    title = "".join(each if each.isprintable() else " " for each in f"{book.title}: `lcnb run {book.name}`")
    schedule = Schedule(
        label, title, crons.parse(cron), crons.timezone(timezone), tuple(argv), executable(), image
    )
    return WRITERS[to](schedule)


def _check(book: Runbook, given: dict[str, str], account: str | None, local: bool) -> None:
    """As `lcnb run` would; an account that only the other machine has cannot be asked from here."""
    names = [each.name for each in book.parameters]
    by_parameter = given.get("account") if "account" in names else None
    if account and by_parameter and account != by_parameter:
        raise ParameterError(f"parameter account: {by_parameter!r}, but the option says {account!r}.")
    account = account or by_parameter
    try:
        settings = resolve(account)
    except (TokenMissing, ConfigError):
        if account and local:
            raise
        settings = None
    known = _choices(settings) if any(name in declared.ACCOUNT_KINDS for name in given) else None
    declared.check_required(book.parameters, given)
    declared.check(book.parameters, given, known)


def _check_text(text: str) -> None:
    if not text.isprintable():
        raise InputError(
            f"{text!r} has a line end or another control character, which a schedule cannot hold"
        )


def executable() -> str:
    """The absolute path of the `lcnb` command that goes with this Python."""
    beside = Path(sys.executable).with_name("lcnb")
    return str(beside if beside.exists() else shutil.which("lcnb") or beside)


def _secrets_file() -> str:
    return str(config_dir() / "schedule.env")


# --- cron -----------------------------------------------------------------------------------------------


def _cron(schedule: Schedule) -> dict[str, str]:
    if schedule.timezone:
        raise InputError(
            "cron runs in its machine's time zone, and Debian's ignores CRON_TZ: leave --timezone out, or use "
            "--to systemd"
        )
    file = shlex.quote(_secrets_file())
    run = shlex.join([schedule.here, *schedule.argv])
    command = f"if [ -r {file} ]; then set -a; . {file}; set +a; fi; exec {run}".replace("%", r"\%")
    _check_text(command)
    if len(command) > CRON_COMMAND_MAX or r"\\%" in command:
        raise InputError(
            f"cron reads commands of at most {CRON_COMMAND_MAX} characters without a backslash before a percent "
            "sign; use --to systemd"
        )
    text = f"""\
# {schedule.title}
# A line for `crontab -e`. The token stands in {_secrets_file()} (mode 0600): LETSCLOUD_API_KEY=...
{schedule.cron} {command}
"""
    return {f"{schedule.label}.crontab": text}


# --- systemd --------------------------------------------------------------------------------------------


def _systemd(schedule: Schedule) -> dict[str, str]:
    if not re.fullmatch(r"/[\w./@+-]+", schedule.here):
        raise InputError(
            f"{schedule.here!r} cannot stand in a unit: a path of letters, digits and ./_@+- only"
        )
    command = " ".join([schedule.here, *map(_systemd_quoted, schedule.argv)])
    title = schedule.title.replace("\\", "/").replace("%", "%%")
    calendar = "\n".join(f"OnCalendar={line}" for line in schedule.cron.on_calendar(schedule.timezone))
    place = _secrets_file().replace("%", "%%")
    service = f"""\
# For ~/.config/systemd/user/ or /etc/systemd/system/ (there with User=).
# The token stands in {_secrets_file()} (mode 0600): LETSCLOUD_API_KEY=...
[Unit]
Description={title}

[Service]
Type=oneshot
EnvironmentFile=-{place}
ExecStart={command}
KillMode=mixed
TimeoutStopSec=60
"""
    timer = f"""\
# systemctl --user enable --now {schedule.label}.timer
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


def _systemd_quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


# --- Kubernetes -----------------------------------------------------------------------------------------


def _k8s(schedule: Schedule) -> dict[str, str]:
    container = {
        "name": "lcnb",
        "image": schedule.image,
        "command": ["lcnb"],
        "args": [each.replace("$", "$$") for each in (*schedule.argv, "--runs-dir", "/runs")],
        "env": [
            {
                "name": "LETSCLOUD_API_KEY",
                "valueFrom": {"secretKeyRef": {"name": "letscloud", "key": "api-key"}},
            }
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
    head = (
        f"# {schedule.title}\n"
        "# kubectl create secret generic letscloud --from-file=api-key=FILE; for runs to stay, a volume that stays.\n"
    )
    return {f"{schedule.label}.yaml": head + _yaml(job)}


# --- Airflow --------------------------------------------------------------------------------------------


def _airflow(schedule: Schedule) -> dict[str, str]:
    command = shlex.join(["lcnb", *schedule.argv])
    if "endraw" in command:
        raise InputError("a value with 'endraw' cannot be kept from Airflow's templates")
    literal = "{% raw %}exec " + command + "{% endraw %}"
    zone = schedule.timezone or "UTC"
    text = f"""\
# {schedule.title}
# The token stands in an Airflow connection called `letscloud`, as its password.
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
):
    BashOperator(
        task_id="run",
        bash_command={literal!r},
        env={{"LETSCLOUD_API_KEY": "{{{{ conn.letscloud.password }}}}"}},
        append_env=True,
        retries=0,
    )
"""
    return {f"{schedule.label.replace('-', '_')}.py": text}


# --- GitHub ---------------------------------------------------------------------------------------------


def _github(schedule: Schedule) -> dict[str, str]:
    if schedule.timezone not in (None, "UTC", "Etc/UTC"):
        raise InputError(f"GitHub's schedules are in UTC; say the time in UTC instead of {schedule.timezone}")
    command = shlex.join(["lcnb", *schedule.argv, "--runs-dir", "runs"])
    if "${{" in command:
        raise InputError("GitHub would evaluate a value with '${{'; it cannot stand in a workflow")
    steps = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"run": "pip install lcnb"},
        {"run": command, "env": {"LETSCLOUD_API_KEY": "${{ secrets.LETSCLOUD_API_KEY }}"}},
        {
            "if": "always()",
            "uses": "actions/upload-artifact@v4",
            "with": {"name": schedule.label, "path": "runs"},
        },
    ]
    workflow = {
        "name": schedule.label,
        "on": {"schedule": [{"cron": str(schedule.cron)}], "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": schedule.label, "cancel-in-progress": False},
        "jobs": {"run": {"runs-on": "ubuntu-latest", "timeout-minutes": 60, "steps": steps}},
    }
    head = f"# {schedule.title}\n# For .github/workflows/. The token is the repository's secret LETSCLOUD_API_KEY.\n"
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
