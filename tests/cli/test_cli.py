"""The command line: what is printed where, and the exit code, for data, errors, closed pipes and interrupts.

`call` runs `main` here; `start_lcnb` makes a process where a pipe, a signal or an import counts.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pandas as pd
import psutil
import pytest
from pandas.testing import assert_frame_equal

import lcnb
from conftest import LCNB, TOKEN, Call, CommandResult, wait_until
from lcnb.cli import doctor
from lcnb.cli.main import MODULES
from lcnb.display.row_choice import HEADINGS
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.sandbox import start

COMMANDS = {
    "accounts", "admin", "apply", "approve", "batch", "create", "delete", "demo", "diff", "doctor", "expire", "facts", "history", "images", "instances", "inventory",
    "journal", "key", "locations", "open", "pending", "plan", "plan-run", "plans", "power", "profile", "protect", "record", "rerun",
    "reset-password", "resize", "resume", "reveal", "run", "runbooks", "runs", "sandbox", "schedule", "show", "snapshot", "snapshots",
    "sql", "sshkeys", "tag", "unprotect", "untag", "verify", "wait", "warm",
}  # fmt: skip
SUBCOMMANDS = {
    ("facts", "check"), ("facts", "move"), ("facts", "remove"), ("facts", "set"),
    ("history", "compare"), ("history", "import"), ("history", "readings"), ("history", "show"), ("history", "spend"),
    ("key", "add"), ("key", "delete"), ("key", "generate"), ("runs", "prune"), ("schedule", "export"),
    ("snapshot", "create"), ("snapshot", "delete"), ("snapshot", "rename"),
}  # fmt: skip
LISTINGS = ("instances", "inventory", "locations", "plans", "images", "sshkeys", "snapshots")
#: `main` as the command is, in a process that heeds Ctrl-C even where a shell had it ignored.
HEEDING = (
    "import signal; signal.signal(2, signal.default_int_handler); from lcnb.cli.main import main; main()"
)


@pytest.fixture(scope="module")
def still() -> Iterator[lcnb.sandbox.SandboxProcess]:
    """A sandbox in a separate process with a stopped clock, so that it answers the same twice."""
    with start(token=TOKEN, speed=0) as server:
        yield server


@pytest.fixture
def account(still: lcnb.sandbox.SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> lcnb.LetsCloud:
    """That sandbox as the account of the environment, and a client of it."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", still.token)
    monkeypatch.setenv("LCNB_BASE_URL", still.base_url)
    return lcnb.connect()


def start_lcnb(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LCNB, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


# --- help and usage -------------------------------------------------------------------------------------


def test_help(call: Call) -> None:
    """`lcnb --help` lists each command with what it does, and no other."""
    result = call("--help")
    listed = dict(re.findall(r"^  ([a-z-]+) {2,}(\S.*)$", result.out.partition("Commands:")[2], re.MULTILINE))
    assert set(listed) == COMMANDS
    assert {
        name: tuple(each.name for each in import_module(f"lcnb.cli.{name}").COMMANDS) for name in MODULES
    } == MODULES
    assert (result.code, result.err) == (0, "")
    assert call("-h").out == result.out


@pytest.mark.fresh_python
def test_help_imports_little() -> None:
    """`lcnb --help` answers without loading pandas, httpx, rich or Jupyter."""
    slow = [
        "pandas",
        "numpy",
        "httpx",
        "rich",
        "pyarrow",
        "papermill",
        "nbformat",
        "IPython",
        "uvicorn",
        "lcnb.display.terminal",
    ]
    code = f"""
import sys
from lcnb.cli.main import main
sys.argv = ["lcnb", "--help"]
try:
    main()
finally:
    print([name for name in {slow} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "[]\n")


def test_version(call: Call) -> None:
    """`lcnb --version` prints the version."""
    assert call("--version").out == f"lcnb, version {lcnb.__version__}\n"


@pytest.mark.parametrize("command", sorted([(each,) for each in COMMANDS] + [*SUBCOMMANDS]))
def test_command_help(command: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command and each of its options is described, in sentences that 80 columns do not cut."""
    monkeypatch.setenv("COLUMNS", "80")
    result = call(*command, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: lcnb {' '.join(command)} ")
    assert max(map(len, result.out.splitlines())) <= 80
    options = re.split(r"^  (?=-)", result.out.partition("Options:")[2], flags=re.MULTILINE)[1:]
    assert options
    for option in options:
        assert re.match(r"\S.*?(?:  |\n {20,})[A-Z\[k]", option), option


def test_list_of_commands_is_not_cut(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns `lcnb --help` shows the first sentence of each command in full."""
    monkeypatch.setenv("COLUMNS", "80")
    for group in ((), ("history",), ("key",), ("runs",), ("schedule",), ("snapshot",)):
        listed = call(*group, "--help").out.partition("Commands:")[2].partition("\n\n")[0].strip()
        assert [line for line in listed.splitlines() if not re.search(r"[^.]\.$", line)] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["instnces"], "no command 'instnces' (did you mean 'instances'?). `lcnb --help` lists them."),
        (["frobnicate"], "no command 'frobnicate'. `lcnb --help` lists them."),
        (["instances", "--lokation", "MIA1"], "'--lokation'"),
        (["instances", "-o", "xml"], "'xml' is not one of 'table', 'json', 'csv', 'parquet'"),
        (["instances", "--state", "on"], "'on' is not one of 'running', 'off'"),
        (["profile", "-o", "csv"], "'csv' is not one of 'table', 'json'"),
        (["run"], "missing argument NAME. `lcnb runbooks` lists"),
        (["run", "inventory", "-p", "location"], "-p 'location': expected NAME=VALUE, as in -p location=MIA1. Nothing was started."),
        (["run", "inventory", "-p", "=MIA1"], "-p '=MIA1': expected NAME=VALUE, as in -p location=MIA1. Nothing was started."),
        (["run", "inventory", "-p", "a=1", "-p", "a=2"], "-p a: given twice, '1' and '2'. Nothing was started."),
        (["instances", "--sandbox", "--account", "lab"], "either --sandbox or --account"),
        (["instances", "--account", "lab"], "account 'lab' is not in "),
        (["sandbox", "--speed", "-1"], "--speed -1: expected a number from 0 to 1000000"),
        (["sandbox", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
    ],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], message: str, call: Call, account: Any, tmp_path: Path) -> None:
    """Wrong usage ends with 2 and one text on stderr that names it and what is near; nothing is started."""
    result = call(*arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err
    assert list_run_folders(tmp_path / "runs") == []


def test_no_command(call: Call) -> None:
    """`lcnb` alone shows the help and ends with 2."""
    result = call()
    assert result.code == 2
    assert "Commands:" in result.out + result.err


# --- listings -------------------------------------------------------------------------------------------


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame as plain Python: a missing value is None."""
    columns = [[None if pd.isna(each) else each for each in frame[name].tolist()] for name in frame]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("listing", LISTINGS)
def test_json(listing: str, call: Call, account: lcnb.LetsCloud) -> None:
    """`-o json` is a list of objects, a row each, with null for what is missing."""
    result = call(listing, "-o", "json")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == rows(getattr(account, listing)())


@pytest.mark.parametrize("listing", LISTINGS)
def test_csv(listing: str, call: Call, account: lcnb.LetsCloud) -> None:
    """`-o csv` has a header and a line a row, with nothing for what is missing."""
    result = call(listing, "-o", "csv")
    frame = getattr(account, listing)()
    header, *lines = csv.reader(io.StringIO(result.out, newline=""))
    assert (result.code, result.err) == (0, "")
    assert header == list(frame.columns)
    assert lines == [["" if each is None else str(each) for each in row.values()] for row in rows(frame)]


@pytest.mark.parametrize("listing", LISTINGS)
def test_parquet(listing: str, call: Call, account: lcnb.LetsCloud) -> None:
    """`-o parquet` is a file that gives the very frame back."""
    result = call(listing, "-o", "parquet")
    assert (result.code, result.err) == (0, "")
    assert_frame_equal(pd.read_parquet(io.BytesIO(result.data)), getattr(account, listing)())


@pytest.mark.parametrize("listing", LISTINGS)
def test_table(listing: str, call: Call, account: lcnb.LetsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide table in a pipe has all columns and rows, no colours, and no cut cell however narrow the screen is."""
    monkeypatch.setenv("COLUMNS", "40")
    result = call(listing, "--wide")
    frame = getattr(account, listing)()
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out
    assert "…" not in result.out
    head, *lines = result.out.splitlines()
    units = (" MB", " GB", " UTC")
    names = [each.removesuffix(next(filter(each.endswith, units), "")) for each in re.split(r"\s{2,}", head)]
    assert names == [HEADINGS.get(name, name) for name in frame.columns]
    assert len(lines) == len(frame)
    for line, row in zip(lines, rows(frame), strict=True):
        assert all(each in line for each in row.values() if isinstance(each, str))


def test_api_rows(call: Call, account: lcnb.LetsCloud, still: lcnb.sandbox.SandboxProcess) -> None:
    """A listing holds each machine of the API's answer, and no password."""
    reply = httpx.get(f"{still.base_url}/instances", headers={"api-token": TOKEN}, trust_env=False).json()[
        "data"
    ]
    result = call("instances", "-o", "json")
    shared = (
        "identifier",
        "label",
        "hostname",
        "memory",
        "cpus",
        "total_disk_size",
        "booted",
        "built",
        "locked",
    )
    assert [{name: row[name] for name in shared} for row in json.loads(result.out)] == [
        {name: row[name] or None if name == "identifier" else row[name] for name in shared} for row in reply
    ]
    for row in reply:
        assert row["initial_root_password"] not in result.out


def test_empty(call: Call, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty account has a table that says so, an empty JSON list, and a CSV with its header."""
    _, client = served(fleet=0)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", client.settings.base_url)
    assert "no rows" in call("instances").out
    assert json.loads(call("instances", "-o", "json").out) == []
    assert call("instances", "-o", "csv").out == ",".join(client.instances().columns) + "\n"


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        (["instances", "--location", "mia1"], "location == 'MIA1'"),
        (["inventory", "--state", "OFF"], "state == 'off'"),
        (
            ["inventory", "--location", "SAO1", "--state", "running"],
            "location == 'SAO1' and state == 'running'",
        ),
        (["plans", "--location", "mia1"], "location == 'MIA1'"),
        (["images", "--location", "MIA2"], "location == 'MIA2'"),
    ],
)
def test_filter(arguments: list[str], query: str, call: Call, account: lcnb.LetsCloud) -> None:
    """`--location` and `--state` keep the rows that match, in any case of letters."""
    got = json.loads(call(*arguments, "-o", "json").out)
    wanted = rows(getattr(account, arguments[0])().query(query))
    assert got == wanted
    assert wanted


@pytest.mark.parametrize("listing", ["instances", "inventory", "plans", "images"])
def test_unknown_location(listing: str, call: Call, account: lcnb.LetsCloud) -> None:
    """A misspelt location is refused with a near one and all there are, instead of an empty list."""
    result = call(listing, "--location", "MAI1")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: location 'MAI1' is not one of the account's (did you mean 'MIA1'?).")
    assert "SAO1" in result.err


def test_profile(call: Call, account: lcnb.LetsCloud) -> None:
    """The profile is a line a field, or one JSON object."""
    profile = account.profile()
    found = json.loads(call("profile", "-o", "json").out)
    assert (found["name"], found["balance"]) == (profile.name, profile.balance)
    assert f"{profile.balance:,.2f}" in call("profile").out


def test_drift(served: Any, tmp_path: Path) -> None:
    """An odd answer is one line on stderr; the data on stdout stays clean."""
    sandbox, client = served(fleet=3)
    sandbox.world.machines[1]["memory"] = "much [b]"
    env = {**os.environ, "LETSCLOUD_API_KEY": TOKEN, "LCNB_BASE_URL": client.settings.base_url}
    done = subprocess.run(
        [LCNB, "instances", "-o", "json"], env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0
    assert [row["memory"] is None for row in json.loads(done.stdout)] == [False, True, False]
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: instances: the response was odd at $.data[1].memory: ")
    assert "much [b]" in line


# --- streams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["instances"], ["plans", "-o", "json"], ["images", "-o", "csv"], ["--help"]]
)
def test_reader_leaves(arguments: list[str], account: Any) -> None:
    """A reader that has enough, such as `head`, ends the command quietly."""
    with start_lcnb(*arguments) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(600) == 0


def test_head(account: Any) -> None:
    """`lcnb instances | head -1` prints a line and no complaint."""
    command = f"set -o pipefail; '{LCNB}' instances -o csv | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("identifier,")


@pytest.mark.parametrize("arguments", [["instances"], ["plans", "-o", "parquet"], ["--help"]])
def test_full_output(arguments: list[str], account: Any) -> None:
    """Output that cannot be written is one clear error, not a success."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([LCNB, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=600)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*No space left on device\. .*\n", done.stderr)


def test_closed_streams(account: Any) -> None:
    """With stdin, stdout and stderr closed a command still does its work."""
    command = 'exec "$0" instances <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", command, LCNB], timeout=600).returncode == 0


def on_terminal(*arguments: str, columns: int = 200) -> tuple[int, str]:
    """Exit code and everything that a person in front of a terminal sees."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    process = subprocess.Popen([LCNB, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux reports the closed terminal in this way
        pass
    os.close(ours)
    return process.wait(600), seen.decode("utf-8")


def test_terminal(account: lcnb.LetsCloud) -> None:
    """On a terminal states have colours, and wide columns are left out."""
    code, seen = on_terminal("instances", "--location", "MIA1")
    assert code == 0
    assert re.search(r"\x1b\[[\d;]+mrunning", seen)
    assert "label" in seen
    assert "ip_addresses" not in seen


def test_doctor_on_terminal(account: lcnb.LetsCloud) -> None:
    """A long finding continues on lines with an indent; a path is never broken. A pipe has one line per check."""
    code, seen = on_terminal("doctor", columns=60)
    assert code == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", seen).splitlines()
    assert all(len(each) <= 60 or " " not in each.strip() for each in lines)
    checks = [each for each in lines if not each.startswith("     ")]
    assert all(each.startswith("ok   ") for each in checks)
    assert len(checks) < len(lines)
    piped = subprocess.run([LCNB, "doctor"], capture_output=True, text=True, timeout=600).stdout.splitlines()
    assert len(piped) == len(checks)
    assert any(str(account.settings.state_dir) in each for each in lines)


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("listing", [*LISTINGS, "accounts", "runbooks"])
def test_terminal_width(listing: str, columns: int, account: lcnb.LetsCloud) -> None:
    """On a terminal each row of a table is one line, however narrow it is; omitted columns are counted."""
    code, seen = on_terminal(listing, columns=columns)
    assert code == 0
    head, rule, *lines = re.sub(r"\x1b\[[\d;]*m", "", seen).splitlines()
    assert max(map(len, (head, *lines))) <= columns
    assert set(rule) == {"─"}
    if "--wide" in lines[-1]:
        note = r"(1 column omitted|\d columns omitted)?(, )?(long texts cut)?; --wide shows all"
        assert re.fullmatch(note, lines.pop())
    if listing in LISTINGS:
        assert len(lines) == len(getattr(account, listing)())


@pytest.mark.parametrize(
    ("command", "columns", "headings"),
    [
        ("instances", 80, "label state location cpus ipv4 identifier"),
        ("inventory", 80, "label state location plan price ipv4"),
        ("inventory", 60, "label state plan price"),
        ("plans", 80, "slug location core memory MB disk GB bandwidth GB price"),
        ("facts", 80, "label tags owner note protected expires UTC protected_by identifier"),
    ],
)
def test_columns_that_fit(command: str, columns: int, headings: str, account: lcnb.LetsCloud) -> None:
    """A narrow terminal omits the less important columns first."""
    _, seen = on_terminal(command, columns=columns)
    assert re.sub(r"\x1b\[[\d;]*m", "", seen).splitlines()[0].split() == headings.split()


def test_wide_terminal_blocks(account: lcnb.LetsCloud) -> None:
    """`--wide` in a terminal without room for all columns shows a block for each machine, and cuts nothing."""
    _, seen = on_terminal("instances", "--wide", "--limit", "2", columns=80)
    blocks = re.sub(r"\x1b\[[\d;]*m", "", seen).replace("\r", "").split("\n\n")
    frame = account.instances()
    assert [len(block.splitlines()) for block in blocks] == [len(frame.columns)] * 2
    assert frame.ip_addresses[0] in blocks[0]


def test_parquet_on_terminal(account: Any) -> None:
    """Parquet is refused on a terminal, with the cure."""
    code, seen = on_terminal("locations", "-o", "parquet")
    assert code == 2
    assert "parquet is binary; send it to a file" in seen
    assert "PAR1" not in seen


# --- token and network ----------------------------------------------------------------------------------


def test_no_token(call: Call, own_home: Path) -> None:
    """Without a token each place that was looked at is named, and where to get one."""
    result = call("instances")
    assert (result.code, result.out) == (2, "")
    for place in (
        "environment variable LETSCLOUD_API_KEY",
        "environment variable LETSCLOUD_API_TOKEN",
        f"an account in {own_home / 'config' / 'lcnb.toml'}",
        f"file {own_home / '.letscloud'}",
        "keyring entry lcnb/default",
        "export LETSCLOUD_API_KEY=",
        "lcnb demo",
    ):
        assert place in result.err


@pytest.mark.parametrize("command", [["instances"], ["profile"], ["run", "inventory", "-p", "location=MIA1"]])
def test_wrong_token(command: list[str], call: Call, account: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # fmt: skip
    """A wrong token ends with 1, says where it came from and what to do, and is not shown."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", "wrong-token-471147114711")
    result = call(*command)
    assert (result.code, result.out) == (1, "")
    assert "401" in result.err
    assert "environment variable LETSCLOUD_API_KEY" in result.err
    assert "lcnb doctor" in result.err
    assert "4711" not in result.err
    assert list_run_folders(tmp_path / "runs") == []


def test_unreachable(call: Call, account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL where nobody answers ends with 1 and names it."""
    monkeypatch.setenv("LCNB_BASE_URL", "http://127.0.0.1:9/api")
    # So that the tries end, and not the time for them.
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    result = call("locations")
    assert (result.code, result.out) == (1, "")
    assert "127.0.0.1:9" in result.err
    assert "LCNB_BASE_URL" in result.err


def test_accounts(call: Call, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb accounts` lists each place and whether it has a token, but in no format the token itself."""
    (own_home / "config").mkdir()
    (own_home / "config" / "lcnb.toml").write_text('[accounts.lab]\ntoken_file = "lab.token"\n')
    (own_home / "config" / "lab.token").write_text("secret-of-the-lab-account")
    (own_home / "config" / "lab.token").chmod(0o600)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    for output in ("table", "json", "csv", "parquet"):
        result = call("accounts", "-o", output)
        assert (result.code, result.err) == (0, "")
        assert not [each for each in (TOKEN, "secret-of-the-lab-account") if each.encode() in result.data]
    ready = [row["account"] for row in json.loads(call("accounts", "-o", "json").out) if row["ready"]]
    assert ready == [None, "lab"]


# --- doctor ---------------------------------------------------------------------------------------------


def verdicts(result: CommandResult) -> dict[str, str]:
    """Check → its mark."""
    return {line[5:].partition(":")[0]: line[:4].strip() for line in result.out.splitlines()}


def test_doctor(call: Call, account: Any) -> None:
    """With all well the doctor says ok to each check and ends with 0, without the token."""
    result = call("doctor")
    assert result.code == 0
    assert set(verdicts(result).values()) == {"ok"}
    assert verdicts(result).keys() >= {
        "Python", "packages", "Jupyter kernel", "runs folder", "state folder", "lcnb.toml", "token", "base URL",
        "account", "rate limit",
    }  # fmt: skip
    assert TOKEN not in result.out + result.err
    assert "calls left in this window" in result.out


@pytest.mark.parametrize(
    ("variable", "value", "check", "found"),
    [
        ("LETSCLOUD_API_KEY", "wrong-token-471147114711", "account", "401"),
        ("LETSCLOUD_API_KEY", "", "token", "no LetsCloud API token"),
        ("LETSCLOUD_API_KEY", "two words", "token", "Copy the token again"),
        ("LCNB_BASE_URL", "http://127.0.0.1:9/api", "account", "127.0.0.1:9"),
        ("LCNB_BASE_URL", "core.letscloud.io", "token", "is not a URL"),
        ("LCNB_RUNS_DIR", "/dev/null/runs", "runs folder", "Cure: set LCNB_RUNS_DIR to another folder"),
        ("LCNB_STATE_DIR", "/proc/state", "state folder", "Cure: set LCNB_STATE_DIR to another folder"),
    ],
)  # fmt: skip
def test_doctor_finds(
    variable: str,
    value: str,
    check: str,
    found: str,
    call: Call,
    account: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first check that fails is of what is wrong, and says what was found; the doctor ends with 1."""
    # So that the tries end, and not the time for them.
    monkeypatch.setattr("lcnb.transport.protocol.BACKOFF_S", 0.001)
    monkeypatch.setenv(variable, value)
    result = call("doctor")
    assert result.code == 1
    assert next(name for name, mark in verdicts(result).items() if mark == "FAIL") == check
    assert found in result.out
    assert "4711" not in result.out


def test_doctor_kernel(call: Call, account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing Jupyter kernel or package fails with the command that brings it."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    def missing(self: Any, name: str) -> None:
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", missing)
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *names: [])
    monkeypatch.setattr(doctor, "REQUIRED_PACKAGES", ("pandas", "no-such-package"))
    result = call("doctor")
    assert result.code == 1
    assert "FAIL packages: missing: no-such-package. Cure: pip install lcnb" in result.out
    assert (
        "FAIL Jupyter kernel: kernel python3 is not installed. Cure: python -m ipykernel install"
        in result.out
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"argv": []}', '{"argv": null}', None],
    ids=["empty", "half", "list", "none", "null", "no file"],
)
def test_doctor_finds_the_kernel_of_jupyter(
    text: str | None, call: Call, account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is the one that jupyter_client finds; a damaged file in one folder does not hide that of the next."""
    from jupyter_client.kernelspec import KernelSpecManager

    folders = [tmp_path / "first", tmp_path / "second"]
    for folder, content in zip(
        folders, (text, '{"argv": ["/opt/python", "-m", "ipykernel_launcher"]}'), strict=True
    ):
        if content is not None:
            (folder / "kernels" / "python3").mkdir(parents=True)
            (folder / "kernels" / "python3" / "kernel.json").write_text(content)
    monkeypatch.setenv("JUPYTER_PATH", os.pathsep.join(map(str, folders)))
    assert "ok   Jupyter kernel: python3: /opt/python" in call("doctor").out
    if text is None:
        assert KernelSpecManager().get_kernel_spec("python3").argv[0] == "/opt/python"


@pytest.mark.parametrize(
    ("limits", "ok", "found"),
    [
        ({}, True, "not reported by the provider"),
        ({"remaining": 12}, True, "12 calls left in this window"),
        ({"remaining": 4999, "limit": 5000}, True, "4,999 of 5,000 calls left"),
        ({"remaining": 0, "limit": 5000}, False, "used up: 0 of 5,000 calls left in this window. Wait"),
    ],
)
def test_doctor_limits(limits: dict[str, int], ok: bool, found: str) -> None:
    """The rate limit is reported as far as the provider reports it; one that is used up fails."""
    check = doctor._check_rate_limit(limits)
    assert check.ok == ok
    assert check.found.startswith(found)


def test_doctor_proxy(call: Call, account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is reported by the name of its variable, without its password."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@proxy.example.com:3128")
    result = call("doctor")
    assert "proxy: none for 127.0.0.1 (this machine's own address); not used: HTTPS_PROXY" in result.out
    assert "hunter2" not in result.out


# --- runbooks -------------------------------------------------------------------------------------------


def test_runbooks(call: Call) -> None:
    """`lcnb runbooks` lists what can be run; with a name, its parameters with type, default and help."""
    assert "inventory" in [row["name"] for row in json.loads(call("runbooks", "-o", "json").out)]
    table = {row["name"]: row for row in json.loads(call("runbooks", "inventory", "-o", "json").out)}
    assert list(table) == ["account", "location", "state", "currency", "output_format"]
    assert table["output_format"]["type"] == "one of 'parquet', 'csv', 'both'"
    assert table["location"]["default"] == "None"
    result = call("runbooks", "inventory")
    assert "only this location, such as MIA1 (otherwise all locations)" in result.out
    assert call("runbooks", "inventry").err.startswith(
        "error: no runbook 'inventry' (did you mean 'inventory'?)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inventry"], "no runbook 'inventry' (did you mean 'inventory'?)"),
        (["./none.ipynb"], "no runbook file ./none.ipynb"),
        (["text.ipynb"], "text.ipynb is not a notebook"),
        (["inventory", "-p", "loction=MIA1"], "no parameter 'loction' (did you mean 'location'?)"),
        (["inventory", "-p", "token=x"], "A secret cannot be a parameter"),
        (["inventory", "-p", "state=runing"], "'runing' is not one of 'running', "),
        (["inventory", "-p", "state=runing"], "(did you mean 'running'?). It means: only machines in this state."),
        (["inventory", "-p", "output_format="], "'' is not one of 'parquet', 'csv', 'both'"),
        (["inventory", "-p", "location=MAI1"], "'MAI1' is not one of the account's (did you mean 'MIA1'?)"),
        (["inventory", "-p", "account=lab"], "account 'lab' is not in "),
        (["inventory", "--sandbox", "-p", "account=lab"], "parameter account: 'lab', but the settings are those of"),
    ],
)  # fmt: skip
def test_run_refused(arguments: list[str], message: str, call: Call, account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A run that cannot be right ends with 2 and a suggestion, before a folder is made or a kernel started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.ipynb").write_text("no notebook")
    kernels = len(psutil.Process().children())
    result = call("run", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert list_run_folders(tmp_path / "runs") == []
    assert len(psutil.Process().children()) <= kernels + ("--sandbox" in arguments)


def test_run(account: Any, tmp_path: Path) -> None:
    """A run prints how it ended, its folder and its files on stdout, and nothing on stderr."""
    parameters = ["-p", "location=mia1", "-p", "state=running"]
    with start_lcnb("run", "inventory", *parameters, "--runs-dir", str(tmp_path / "kept")) as process:
        out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    (folder,) = (tmp_path / "kept").glob("*/")
    first, *others = out.splitlines()
    assert first == f"done {folder}"
    assert f"  {folder}/report.html  (open this one)" in others
    assert len(others) == len(list(folder.iterdir()))
    assert list_run_folders(tmp_path / "runs") == []


def test_failed_run(tmp_path: Path) -> None:
    """A failed run shows its cell on stderr and has its exit code, also where nobody reads stdout."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = [1]\nx[5]  # [bold]here[/]")])
    path = tmp_path / "nightly.ipynb"
    nbformat.write(notebook, path)
    with start_lcnb("run", str(path)) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(600) == 3
    assert err.startswith(
        "cell 1 failed: IndexError: list index out of range\n\n    x = [1]\n    x[5]  # [bold]here[/]\n"
    )
    assert "lcnb/" not in err


# --- demo -----------------------------------------------------------------------------------------------


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def all_end(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=600)
    return not alive


def test_demo(tmp_path: Path) -> None:
    """`lcnb demo` needs no account, shows the fleet, prints where the report is, and leaves no process."""
    with start_lcnb("demo", cwd=tmp_path) as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        assert re.match(r"a sandbox LetsCloud answers at http://127\.0\.0\.1:\d+/api", first)
        started = descendants(process)
        out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    assert started
    assert all_end(started)
    (report,) = (tmp_path / "runs").glob("*/report.html")
    assert f"  {report}  (open this one)\n" in out
    assert "USD" in out
    assert "BRL" in out


def test_demo_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the demo ends it with 130, prints the folder, and leaves no process."""
    command = [sys.executable, "-c", HEEDING, "demo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("runs/*/inventory.ipynb")))
        started = descendants(process)
        process.send_signal(2)
        _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    (folder,) = (tmp_path / "runs").glob("*/")
    assert err == f"interrupted\nwhat was saved of the run: {folder}\n"
    assert started
    assert all_end(started)
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
