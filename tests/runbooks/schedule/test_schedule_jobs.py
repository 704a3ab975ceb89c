"""Schedules that run: each export is executed as its system executes it, from another folder, with a small environment.

cron: `sh -c` of the line, from the home folder or `/`. systemd: command and environment as `systemd-analyze` parses
them. Kubernetes: `$$` replaced, then a process. GitHub: bash in a checkout. Airflow: the templates filled by jinja2, then
bash; and the real BashOperator where Airflow is installed (AIRFLOW_PYTHON names a Python that has it). The process tells
its arguments, environment and folder. With these the real command runs here, up to the notebook, and asks a sandbox for
the profile with the token that it found.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from click.testing import CliRunner

from conftest import MANY, record, write_notebook
from lcnb.cli.main import cli
from lcnb.client import LetsCloud
from lcnb.config import load_settings
from lcnb.errors import ConfigError, ConfirmationMissing, InputError, ParameterError, TokenMissing
from lcnb.runbooks.notebook import parameters as declared
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.schedule import export as schedules
from lcnb.runbooks.schedule import job_environment
from lcnb.runbooks.schedule.export import export_schedule
from lcnb.runbooks.schedule.systems import SYSTEMS, load_system
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread

ANALYZE = shutil.which("systemd-analyze")
AIRFLOW = os.environ.get("AIRFLOW_PYTHON") or (sys.executable if find_spec("airflow") else None)
#: As the provider makes them: 54 characters with dollar signs.
TOKEN = "$2Y$10$" + "K7QZ0MWX3RV9" * 3 + "ABCDEFGHIJ9"
OTHER = "$2Y$10$" + "OTHERACCOUNT" * 3 + "ABCDEFGHIJ9"

#: In place of `lcnb`: prints the folder, the arguments and the environment that the system gives it.
STAND_IN = """\
#!/bin/sh
printf '%s\\0' "$PWD" "$#" "$@"
exec env -0
"""


@dataclass
class Machine:
    """Where schedules are exported and run: a home, a working folder, a sandbox, an `lcnb` that stops at the notebook."""

    home: Path
    work: Path
    bin: Path
    base_url: str
    env: Callable[[str, str], None]
    #: The secrets that Kubernetes, GitHub and Airflow keep, by name.
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.home / "con fig 50%"

    def toml(self, text: str) -> None:
        (self.config / "lcnb.toml").write_text(text.replace("URL", self.base_url), encoding="utf-8")

    def file(self, path: Path, text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def minimal(self) -> dict[str, str]:
        """What cron gives its jobs."""
        return {"HOME": str(self.home), "LOGNAME": "ops", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}


@pytest.fixture
def machine(
    own_home: Path, tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    for name in (*job_environment.LOCAL_CARRIED_VARIABLES, *job_environment.SECRET_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    # The working folder has a short path: it comes several times in a line of cron, which may have 990 characters.
    work, place = memory / "work it's", tmp_path / "bin"
    for folder in (work, place, own_home / "con fig 50%"):
        folder.mkdir()
    (place / "lcnb").write_text(STAND_IN)
    (place / "lcnb").chmod(0o755)
    monkeypatch.chdir(work)
    monkeypatch.setattr(schedules, "find_executable", lambda: str(place / "lcnb"))
    monkeypatch.setenv("LCNB_CONFIG_DIR", str(own_home / "con fig 50%"))
    monkeypatch.setenv("LCNB_STATE_DIR", str(own_home / "state"))
    with serve_in_thread(Sandbox(World(Clock(0), fleet=3), TOKEN, rate_limit=MANY)) as base_url:
        yield Machine(own_home, work, place, base_url, monkeypatch.setenv)


# --- how each system executes its file --------------------------------------------------------------------


def by_cron(files: Mapping[str, str], machine: Machine, home: str = "/") -> subprocess.CompletedProcess[str]:
    """cron: the line up to a bare percent sign, and \\% is one; `sh -c` with a minimal environment."""
    (text,) = files.values()
    line = next(each for each in text.splitlines() if not each.startswith("#"))
    command = re.split(r"(?<!\\)%", line.split(" ", 5)[5])[0].replace("\\%", "%")
    return run(["/bin/sh", "-c", command], machine.minimal(), home)


def by_systemd(files: Mapping[str, str], machine: Machine) -> subprocess.CompletedProcess[str]:
    """systemd: its own parser dumps environment and command; in the command $$ is one dollar sign at the end."""
    if ANALYZE is None:
        pytest.skip("systemd-analyze is not installed")
    folder = machine.home / "units"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    service = next(name for name in files if name.endswith(".service"))
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(folder / service)],
        capture_output=True, text=True, env={**os.environ, "SYSTEMD_LOG_LEVEL": "debug"},
    )  # fmt: skip
    assert not [line for line in done.stderr.splitlines() if re.search(rf"{service}:\d+:", line)], done.stderr
    dump = done.stdout.partition(f"Unit {service}:")[2]
    command = dump.partition("Command Line: ")[2].partition("\n")[0]
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
    )
    argv = [word.replace("$$", "$") for word in words.stdout.split("\0")[:-1]]
    own = dict(
        line.partition("=")[::2] for line in re.findall(r"^\t\tEnvironment: (.*)$", dump, re.MULTILINE)
    )
    return run(argv, {**machine.minimal(), **own}, "/")


def by_k8s(files: Mapping[str, str], machine: Machine) -> subprocess.CompletedProcess[str]:
    """Kubernetes: the container's own environment, the secret's bytes as they are, $$ for a dollar sign."""
    (text,) = files.values()
    pod = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {
        "HOME": str(machine.home),
        "PATH": f"{machine.bin}:/usr/bin:/bin",
        "LCNB_CONFIG_DIR": str(machine.config),
    }
    for each in container["env"]:
        if "value" in each:
            env[each["name"]] = each["value"].replace("$$", "$")
        else:
            env[each["name"]] = machine.secrets[each["valueFrom"]["secretKeyRef"]["name"]]
    env["LCNB_STATE_DIR"] = env["LCNB_STATE_DIR"].replace("/runs", str(machine.home / "volume"))
    argv = [each.replace("$$", "$") for each in container["args"]]
    return run([str(machine.bin / "lcnb"), *argv], env, "/")


def by_github(files: Mapping[str, str], machine: Machine) -> subprocess.CompletedProcess[str]:
    """GitHub: bash in the checkout, the step's environment with its expressions filled."""
    (text,) = files.values()
    (step,) = (each for each in yaml.safe_load(text)["jobs"]["run"]["steps"] if "env" in each)
    env = {
        "HOME": str(machine.home),
        "PATH": f"{machine.bin}:/usr/bin:/bin",
        "LCNB_CONFIG_DIR": str(machine.config),
    }
    for name, value in step["env"].items():
        secret = re.fullmatch(r"\$\{\{ secrets\.(\w+) \}\}", value)
        env[name] = machine.secrets[secret[1]] if secret else value
    root = next(
        (each for each in (machine.work, *machine.work.parents) if (each / ".git").exists()), machine.work
    )
    return run(["bash", "-e", "-c", step["run"]], env, str(root))


def by_airflow(files: Mapping[str, str], machine: Machine) -> subprocess.CompletedProcess[str]:
    """Airflow: jinja2 fills the templates, bash runs in a folder that is removed afterwards."""
    (text,) = files.values()
    (operator,) = (
        node for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "BashOperator"
    )  # fmt: skip
    words = {word.arg: ast.literal_eval(word.value) for word in operator.keywords}
    assert (words["skip_on_exit_code"], words["append_env"]) == (None, True)
    connections = {name: {"password": token} for name, token in machine.secrets.items()}
    env = {name: jinja2.Template(value).render(conn=connections) for name, value in words["env"].items()}
    folder = machine.home / "airflowtmp"
    folder.mkdir(exist_ok=True)
    command = jinja2.Template(words["bash_command"]).render(conn=connections)
    return run(["bash", "-c", command], {**machine.minimal(), **env}, str(folder))


def run(argv: list[str], env: dict[str, str], cwd: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True)


EXECUTORS: dict[str, Callable[[Mapping[str, str], Machine], subprocess.CompletedProcess[str]]] = {
    "cron": by_cron, "systemd": by_systemd, "k8s": by_k8s, "airflow": by_airflow, "github": by_github,
}  # fmt: skip
LOCAL_SYSTEMS = [name for name in SYSTEMS if load_system(name).is_local]
assert set(EXECUTORS) == set(SYSTEMS)


def carried_out(printed: str) -> dict[str, Any]:
    """`lcnb` up to the notebook, with the folder, arguments and environment that a stand-in prints; or its error."""
    folder, count, *rest = printed.split("\0")[:-1]
    argv, env = rest[: int(count)], dict(each.partition("=")[::2] for each in rest[int(count) :])
    found: dict[str, Any] = {}

    def run_runbook(name: str, given: Any, *, account: Any, settings: Any, confirm: bool, **how: Any) -> Any:
        book = find_runbook(name)
        settings = load_settings(account)
        checked = declared.resolve_paths(book.parameters, declared.check_values(book.parameters, given))
        with LetsCloud(settings) as lc:
            assert lc.profile().name
        found.update(
            book=str(book.path), parameters=checked, account=settings.account, source=settings.token_source,
            token=settings.token.reveal(), base_url=settings.base_url, confirm=confirm, runs=str(how["folder"]),
            state=str(settings.state_dir), settle=settings.settle, cwd=folder, notify=os.environ.get("LCNB_NOTIFY"),
        )  # fmt: skip
        raise SystemExit(0)

    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        patch.setattr("lcnb.runbooks.run.run_runbook", run_runbook)
        before = dict(os.environ)
        done = CliRunner().invoke(cli, argv)
        for name in os.environ.keys() - before.keys():  # what --env-file has set
            del os.environ[name]
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return found


def executed(to: str, machine: Machine, name: str = "inventory", **options: Any) -> dict[str, Any]:
    """What the exported command does when its system runs it."""
    files = export_schedule(name, "0/30 6 * * FRI-MON", to, **options)
    assert not any(token in text for text in files.values() for token in (TOKEN, OTHER))
    done = EXECUTORS[to](files, machine)
    assert done.returncode == 0, done.stderr
    return carried_out(done.stdout)


def written_line(files: Mapping[str, str], token: str) -> str:
    """The line that the exported file asks for, with the token where it says so."""
    (line,) = re.findall(r"\w+='\.\.\.'", next(iter(files.values())))
    return line.replace("...", token) + "\n"


# --- the token ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", SYSTEMS)
def test_b1_token_of_the_environment(to: str, machine: Machine) -> None:
    """A token with dollar signs reaches the provider whole, written as the exported file says."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.env("LCNB_SETTLE", "77")
    machine.secrets |= {"letscloud": TOKEN, "LETSCLOUD_API_KEY": TOKEN}
    if to in LOCAL_SYSTEMS:
        line = written_line(export_schedule("inventory", "@daily", to), TOKEN)
        machine.file(machine.config / "schedule.env", f"# nightly\n{line}")
    found = executed(to, machine)
    assert (found["token"], found["source"]) == (TOKEN, "environment variable LETSCLOUD_API_KEY")
    assert (found["base_url"], found["settle"], found["account"]) == (machine.base_url, 77, None)


@pytest.mark.parametrize("to", LOCAL_SYSTEMS)
def test_b1_the_other_variable(to: str, machine: Machine) -> None:
    """A token that comes from LETSCLOUD_API_TOKEN is asked for under that name."""
    machine.env("LETSCLOUD_API_TOKEN", TOKEN)
    files = export_schedule("inventory", "@daily", to)
    assert written_line(files, TOKEN) == f"LETSCLOUD_API_TOKEN='{TOKEN}'\n"


@pytest.mark.parametrize(
    "lines",
    [
        f"LETSCLOUD_API_KEY={TOKEN}",
        f'LETSCLOUD_API_KEY="{TOKEN}"\r\n',
        f"export LETSCLOUD_API_KEY='{TOKEN}'  # prod",
        "LETSCLOUD_API_KEY=" + TOKEN.replace("$", "\\$"),
        f"\ufeffA='$(touch /nowhere/x)'\nLETSCLOUD_API_KEY = {TOKEN}",
    ],
)
def test_b1_forms_of_the_file(lines: str, machine: Machine) -> None:
    """However the line is quoted, the job gets the token: no shell reads the file."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.file(machine.config / "schedule.env", lines)
    assert executed("cron", machine)["token"] == TOKEN


def test_b1_missing_file(machine: Machine) -> None:
    """Without its file of variables a job is refused with the file and its line; no other token is used."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.file(machine.home / ".letscloud", f"LETSCLOUD_API_KEY={OTHER}")
    with pytest.raises(ConfigError, match=r"schedule\.env: No such file.*LETSCLOUD_API_KEY='\.\.\.'"):
        executed("cron", machine)


ACCOUNT = '[accounts.lab]\n{token}\nbase_url = "URL"\n[accounts.prod]\ntoken_file = "prod.token"\nbase_url = "URL"\n'


@pytest.mark.parametrize("to", SYSTEMS)
@pytest.mark.parametrize("by", ["option", "parameter", "LCNB_ACCOUNT"])
def test_b5_account_with_a_variable(to: str, by: str, machine: Machine) -> None:
    """A named account gets its token by its own variable, and the folders of its configuration and state."""
    machine.toml(ACCOUNT.format(token='token_env = "LAB_TOKEN"'))
    machine.env("LAB_TOKEN", TOKEN)
    machine.env("LETSCLOUD_API_KEY", OTHER)
    machine.secrets |= dict.fromkeys(("letscloud-lab", "letscloud_lab", "LAB_TOKEN"), TOKEN)
    options: dict[str, Any] = {"account": "lab"} if by == "option" else {}
    if by == "parameter":
        options = {"parameters": {"account": "lab"}}
    elif by == "LCNB_ACCOUNT":
        machine.env("LCNB_ACCOUNT", "lab")
    if to in LOCAL_SYSTEMS:
        line = written_line(export_schedule("inventory", "@daily", to, **options), TOKEN)
        assert line.startswith("LAB_TOKEN=")
        machine.file(machine.config / "schedule.env", line)
    found = executed(to, machine, **options)
    assert (found["account"], found["token"]) == ("lab", TOKEN)
    assert found["source"] == "environment variable LAB_TOKEN"
    if to in (*LOCAL_SYSTEMS, "airflow"):
        assert found["state"] == str(machine.home / "state")


@pytest.mark.parametrize("to", [*LOCAL_SYSTEMS, "airflow"])
@pytest.mark.parametrize("named", [True, False])
def test_b5_account_with_a_file(to: str, named: bool, machine: Machine) -> None:
    """An account whose token is in a file needs no variable; the default account is named, so that it stays the same."""
    machine.toml('default = "lab"\n' + ACCOUNT.format(token='token_file = "lab.token"'))
    machine.file(machine.config / "lab.token", f"{TOKEN}\n")
    if to == "airflow" and not named:
        return  # the connection is the account where none is named
    machine.file(machine.config / "schedule.env", f"LETSCLOUD_API_KEY='{OTHER}'")
    found = executed(to, machine, account="lab" if named else None)
    assert (found["account"], found["token"]) == ("lab", TOKEN)
    assert "--env-file" not in next(iter(export_schedule("inventory", "@daily", to, account="lab").values()))


@pytest.mark.parametrize("to", LOCAL_SYSTEMS)
def test_b5_file_of_the_official_cli(to: str, machine: Machine) -> None:
    """A token that the official CLI keeps is found in the home folder; a file of variables is not needed."""
    machine.file(machine.home / ".letscloud", f"LETSCLOUD_API_KEY={TOKEN}\n")
    machine.env("LCNB_BASE_URL", machine.base_url)
    found = executed(to, machine)
    assert (found["token"], found["source"]) == (TOKEN, f"file {machine.home}/.letscloud")


def test_b5_token_that_comes_later(machine: Machine) -> None:
    """An account's variable need not be set where the schedule is exported; a missing token file is refused."""
    machine.toml(ACCOUNT.format(token='token_env = "LAB_TOKEN"'))
    machine.file(machine.config / "schedule.env", f"LAB_TOKEN='{TOKEN}'")
    assert executed("cron", machine, account="lab")["token"] == TOKEN
    with pytest.raises(TokenMissing, match=r"prod\.token, .*chmod 600"):
        export_schedule("inventory", "@daily", "cron", account="prod")


@pytest.mark.parametrize("to", ["k8s", "github"])
@pytest.mark.parametrize("token", ['token_file = "prod.token"', 'keyring = "lcnb/lab"'])
def test_b5_account_that_cannot_travel(to: str, token: str, machine: Machine) -> None:
    """A container or a runner has no file or keyring of this machine: that is refused, and the cure works."""
    machine.toml(ACCOUNT.format(token=token))
    with pytest.raises(InputError, match=f"which {to} does not have") as caught:
        export_schedule("inventory", "@daily", to, account="lab")
    machine.toml(ACCOUNT.format(token=re.findall(r'token_env = "\w+"', str(caught.value))[0]))
    machine.secrets |= dict.fromkeys(("letscloud-lab", "LAB_TOKEN"), TOKEN)
    assert executed(to, machine, account="lab")["token"] == TOKEN


#: Apprise 2 imports a module that Python 3.13 no longer has, in a `try`.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_b5_settings_with_a_password(machine: Machine) -> None:
    """A setting that may hold a password is not exported: the file names it, and the job gets it with the token."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.env("LCNB_NOTIFY", "json://user:geheim@localhost")
    (text,) = export_schedule("inventory", "@daily", "cron").values()
    assert "LCNB_NOTIFY" in text
    assert "geheim" not in text
    lines = f"LETSCLOUD_API_KEY='{TOKEN}'\nLCNB_NOTIFY='json://user:geheim@localhost'\n"
    machine.file(machine.config / "schedule.env", lines)
    assert executed("cron", machine)["notify"] == "json://user:geheim@localhost"


# --- paths ----------------------------------------------------------------------------------------------

FLEET = "label,location,plan,image\nweb-1,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n"


@pytest.mark.parametrize("to", [*LOCAL_SYSTEMS, "airflow", "github"])
@pytest.mark.parametrize(
    "given",
    ["fleet.csv", "./fleet.csv", "../work it's/fleet.csv", "sub/50% $HOME.csv", "~/fleet.csv", None],
)
def test_b3_paths(to: str, given: str | None, machine: Machine) -> None:
    """A file that a runbook reads is found by the job, wherever it starts: also the default, and what `~` means."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.secrets |= {"letscloud": TOKEN, "LETSCLOUD_API_KEY": TOKEN}
    machine.file(machine.config / "schedule.env", f"LETSCLOUD_API_KEY='{TOKEN}'")
    (machine.work / "sub").mkdir()
    for path in (
        machine.work / "fleet.csv",
        machine.work / "sub" / "50% $HOME.csv",
        machine.home / "fleet.csv",
    ):
        machine.file(path, FLEET)
    parameters = {} if given is None else {"fleet": given}
    found = executed(to, machine, "drift", parameters=parameters)
    wanted = Path((given or "fleet.csv").replace("~", str(machine.home)))
    assert Path(found["parameters"]["fleet"]).samefile(machine.work / wanted)
    assert Path(found["cwd"]) != machine.work or to == "github"


@pytest.mark.parametrize("to", [*LOCAL_SYSTEMS, "airflow", "github"])
@pytest.mark.parametrize("given", ["fleet.csv", "~/none.csv", "sub", "/nowhere/fleet.csv", None])
def test_b3_missing_files(to: str, given: str | None, machine: Machine) -> None:
    """A file that is not there, or is a folder, is refused when the schedule is exported."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    (machine.work / "sub").mkdir()
    with pytest.raises(ParameterError, match=r"parameter fleet: the file .* (does not exist|is a folder)"):
        export_schedule("drift", "@daily", to, parameters={} if given is None else {"fleet": given})


def test_b3_paths_in_a_repository(machine: Machine) -> None:
    """On GitHub paths begin at the root of the repository, from whichever folder the schedule was exported."""
    (machine.work.parent / ".git").mkdir()
    machine.file(machine.work / "fleet.csv", FLEET)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.secrets |= {"LETSCLOUD_API_KEY": TOKEN}
    book = write_notebook(
        machine.work / "own.ipynb", ("from pathlib import Path\nfleet: Path = 'fleet.csv'", "parameters")
    )
    found = executed("github", machine, "./own.ipynb")
    assert (found["book"], found["cwd"]) == (str(book), str(machine.work.parent))
    assert found["parameters"]["fleet"] == str(machine.work / "fleet.csv")


@pytest.mark.parametrize("to", [*LOCAL_SYSTEMS, "airflow"])
def test_b4_own_notebook_and_runs(to: str, machine: Machine) -> None:
    """A notebook of one's own is found from anywhere, and runs land in a folder that stays."""
    declared = (
        "from pathlib import Path\nlogs: list[Path] = []\nout: Path | None = None\nplain: str = 'a.csv'"
    )
    book = write_notebook(machine.work / "own.ipynb", (declared, "parameters"))
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.env("LCNB_RUNS_DIR", "kept runs")
    machine.secrets |= {"letscloud": TOKEN}
    machine.file(machine.config / "schedule.env", f"LETSCLOUD_API_KEY='{TOKEN}'")
    given = {"logs": "a.log,b.log", "out": "o.csv", "plain": "a.csv"}
    found = executed(to, machine, "./own.ipynb", parameters=given)
    assert (found["book"], found["runs"]) == (str(book), str(machine.work / "kept runs"))
    work = machine.work
    assert found["parameters"] == {
        "logs": [f"{work}/a.log", f"{work}/b.log"],
        "out": f"{work}/o.csv",
        "plain": "a.csv",
    }


def test_b4_own_notebook_without_a_token(machine: Machine) -> None:
    """A notebook that may need no token is not held up by a file that is not there, and gets what the file has."""
    write_notebook(machine.work / "own.ipynb", "1")
    machine.env("LCNB_BASE_URL", machine.base_url)
    files = export_schedule("./own.ipynb", "@daily", "cron")
    with pytest.raises(TokenMissing):  # here the job gets as far as to need one
        carried_out(by_cron(files, machine).stdout)
    machine.file(machine.config / "schedule.env", written_line(files, TOKEN))
    assert carried_out(by_cron(files, machine).stdout)["token"] == TOKEN


# --- changes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", SYSTEMS)
@pytest.mark.parametrize("value", ["false", "False", "no", "off", "0", None])
def test_b2_changes_are_confirmed(to: str, value: str | None, machine: Machine) -> None:
    """A schedule that changes the account needs --yes, and its runs have it; without, nothing is exported."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.secrets |= {"letscloud": TOKEN, "LETSCLOUD_API_KEY": TOKEN}
    machine.file(machine.config / "schedule.env", f"LETSCLOUD_API_KEY='{TOKEN}'")
    name, parameters = "snapshot_rotation", {"dry_run": value or "", "selection": "all"}
    if value is None:  # the default of a notebook of one's own
        name, parameters = "./own.ipynb", {}
        write_notebook(machine.work / "own.ipynb", ("dry_run: bool = False", "parameters"))
    with pytest.raises(ConfirmationMissing, match=r"at each run, and nobody confirmed that.*with --yes"):
        export_schedule(name, "@daily", to, parameters=parameters)
    if value == "false" or (value is None and to != "k8s"):  # a container has notebooks of its own
        assert executed(to, machine, name, parameters=parameters, confirm=True)["confirm"] is True


@pytest.mark.parametrize("value", ["true", "yes", "1", None])
def test_b2_dry_runs_need_no_yes(value: str | None, machine: Machine) -> None:
    """A dry run is exported as it is; --yes changes nothing about it."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    parameters = {} if value is None else {"dry_run": value}
    for confirm in (False, True):
        (text,) = export_schedule(
            "snapshot_rotation", "@daily", "cron", parameters=parameters, confirm=confirm
        ).values()
        assert "--yes" not in text


def test_b2_command(machine: Machine) -> None:
    """The command refuses with exit code 6, writes nothing, and takes --yes."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    args = [
        "schedule",
        "export",
        "snapshot_rotation",
        "--cron",
        "@daily",
        "--to",
        "cron",
        "-p",
        "dry_run=false",
        "--out",
        "x",
    ]
    refused = CliRunner().invoke(cli, args)
    assert isinstance(refused.exception, ConfirmationMissing)
    assert not Path("x").exists()
    assert CliRunner().invoke(cli, [*args, "--yes"]).exit_code == 0
    assert " --yes " in Path("x").read_text()


# --- clocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [None, "UTC", "Etc/UTC", "America/New_York"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "@hourly", "*/5 9-17 * * *"])
@pytest.mark.parametrize("to", SYSTEMS)
def test_b7_clock_changes(to: str, cron: str, zone: str | None, machine: Machine) -> None:
    """One line of each export says what happens when clocks change, or that its zone has no changes."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    if to == "cron" and zone:
        return  # refused: Debian's cron has its machine's zone alone
    text = "".join(export_schedule("inventory", cron, to, timezone=zone).values())
    (line,) = re.findall(r"^# .*[Ww](?:hen|here) clocks change.*$", text, re.MULTILINE)
    changes = zone == "America/New_York" or (zone is None and to in LOCAL_SYSTEMS)
    assert line.startswith("# When clocks change: ") == changes
    if changes:
        assert {
            "cron": "soon after"
            if cron == "30 2 * * *"
            else "follow the new time"
            if cron == "@hourly"
            else "",
            "systemd": "pause for two hours" if cron == "@hourly" else "only once",
            "k8s": "starts twice",
            "airflow": "start twice" if cron == "@hourly" else "one hour later",
            "github": "next time that exists",
        }[to] in line


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize(
    ("cron", "base", "wanted"),
    [
        ("30 2 * * *", "2026-03-28 12:00", ["2026-03-30 02:30:00 CEST"]),
        ("30 2 * * *", "2026-10-24 12:00", ["2026-10-25 02:30:00 CEST", "2026-10-26 02:30:00 CET"]),
        ("@hourly", "2026-10-25 01:30", ["2026-10-25 02:00:00 CEST", "2026-10-25 03:00:00 CET"]),
    ],
)
def test_b7_clock_changes_of_systemd(cron: str, base: str, wanted: list[str], machine: Machine) -> None:
    """What the timer says about clock changes is what systemd itself works out."""
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    timer = export_schedule("inventory", cron, "systemd", timezone="Europe/Berlin")["lcnb-inventory.timer"]
    (line,) = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    done = subprocess.run(
        [str(ANALYZE), "calendar", f"--iterations={len(wanted)}", f"--base-time={base}", line],
        capture_output=True, text=True, check=True, env={**os.environ, "TZ": "Europe/Berlin"},
    )  # fmt: skip
    assert re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (.*)", done.stdout) == wanted


def test_b7_time_zone_on_github(machine: Machine) -> None:
    """GitHub takes a time zone next to the expression; UTC is what it has without one."""
    texts = [
        next(iter(export_schedule("inventory", "@daily", "github", timezone=zone).values()))
        for zone in (None, "UTC", "Asia/Tokyo")
    ]
    found = [yaml.safe_load(text)[True]["schedule"] for text in texts]  # YAML 1.1 reads `on` as a flag
    assert found == [[{"cron": "0 0 * * *"}]] * 2 + [[{"cron": "0 0 * * *", "timezone": "Asia/Tokyo"}]]


# --- for real -------------------------------------------------------------------------------------------


def test_b1_b4_a_whole_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crontab's line runs the shipped runbook, with the real command, from / and with a minimal environment."""
    monkeypatch.undo()
    monkeypatch.chdir(machine.work)
    for name, value in {
        "HOME": machine.home, "LCNB_CONFIG_DIR": machine.config, "LCNB_STATE_DIR": machine.home / "state",
        "LCNB_BASE_URL": machine.base_url, "LETSCLOUD_API_KEY": TOKEN,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    files = export_schedule("inventory", "@daily", "cron", parameters={"location": "mia1"})
    machine.file(machine.config / "schedule.env", written_line(files, TOKEN))
    done = by_cron(files, machine)
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in (machine.work / "runs").glob("*/run.json"))
    assert (record(folder)["status"], record(folder)["given"]) == ("done", {"location": "MIA1"})
    assert not [path for path in folder.iterdir() if TOKEN.encode() in path.read_bytes()]


DAG_RUN = """
import importlib.util, json, os, sys
from types import SimpleNamespace
spec = importlib.util.spec_from_file_location("dag", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from airflow.exceptions import AirflowException, AirflowSkipException
(task,) = module.dag.tasks
context = {"conn": SimpleNamespace(**{name: SimpleNamespace(password=token) for name, token in json.loads(sys.argv[2]).items()})}
task.render_template_fields(context)
try:
    print("RESULT", json.dumps({"end": "success", "last": task.execute(context)}))
except AirflowSkipException:
    print("RESULT", json.dumps({"end": "skipped"}))
except AirflowException as error:
    print("RESULT", json.dumps({"end": "failed", "error": str(error)}))
"""


@pytest.mark.skipif(
    AIRFLOW is None, reason="Airflow is not installed (AIRFLOW_PYTHON names a Python with it)"
)
@pytest.mark.parametrize("code", [0, 99, 8])
def test_b4_real_airflow(code: int, machine: Machine) -> None:
    """The real BashOperator runs the DAG: the token arrives whole, paths are found, and each code but 0 is a failure."""
    script = 'printf \'%s|\' "$LETSCLOUD_API_KEY" "$LCNB_STATE_DIR" "$PWD" "$@"; echo'
    (machine.bin / "lcnb").write_text(f"#!/bin/sh\n{script}\nexit {code}\n")
    machine.file(machine.work / "fleet.csv", FLEET)
    machine.env("LETSCLOUD_API_KEY", TOKEN)
    machine.env("LCNB_BASE_URL", machine.base_url)
    machine.env("LCNB_STATE_DIR", str(machine.home / "state {{ ds }}.sh"))
    files = export_schedule("drift", "@daily", "airflow", timezone="Europe/Berlin")
    ((name, text),) = files.items()
    path = machine.file(machine.home / name, text)
    env = {
        **machine.minimal(),
        "AIRFLOW_HOME": str(machine.home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = run([str(AIRFLOW), "-c", DAG_RUN, str(path), json.dumps({"letscloud": TOKEN})], env, "/")
    (line,) = re.findall(r"^RESULT (.*)$", done.stdout, re.MULTILINE) or [done.stderr]
    found = json.loads(line)
    assert found["end"] == ("failed" if code else "success")
    if code == 0:
        token, state, folder, *argv, _ = found["last"].split("|")
        assert (token, state) == (TOKEN, str(machine.home / "state {{ ds }}.sh"))
        assert argv[:4] == ["run", "drift", "-p", f"fleet={machine.work / 'fleet.csv'}"]
        assert argv[argv.index("--runs-dir") + 1] == os.environ["LCNB_RUNS_DIR"]
        assert not Path(folder).exists()
