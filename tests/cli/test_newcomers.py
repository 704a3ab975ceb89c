"""The mistakes that a newcomer makes: each message names the thing, the value and the cure, and the exit code is right.

`test_exit_codes` has the names that are nearly right, and the tokens that are missing or wrong, for every command.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

import lcnb
from conftest import LCNB, TOKEN, Call, CommandResult
from lcnb.cli.main import OTHER_WORDS
from lcnb.display.terminal import wrap_message
from lcnb.errors import AlreadyApplied, Drifted, LcnbError, Protected
from lcnb.runbooks.error_ends import end_of_error
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.sandbox import SandboxProcess, start

WIDTH = 80
#: What belongs to the code and not into a message.
INTERNAL = re.compile(
    r"Traceback|\w+Error\b|Errno|_ssl|<class|object at 0x|\bbool\b|\bint\b|\bfloat\b|integer range|[A-Z]\w+Methods"
)
CREATE = (
    "create",
    "x1",
    "--location",
    "MIA1",
    "--plan",
    "1vcpu-1gb-10ssd",
    "--image",
    "debian-12-x86_64",
    "--yes",
)
HEADER = "label,location,plan,image\n"


@dataclass(frozen=True)
class Mistake:
    """A command line, what its message must contain in this order, and the exit code."""

    name: str
    command: Sequence[str]
    words: Sequence[str]
    code: int = 2
    #: Changed variables; None removes one. URL is replaced by the host and port of the sandbox.
    variables: dict[str, str | None] = field(default_factory=dict)


def mistake(
    name: str, command: str | Sequence[str], *words: str, code: int = 2, **variables: str | None
) -> Mistake:
    """Return a mistake; a text is split at its spaces."""
    return Mistake(name, command.split(" ") if isinstance(command, str) else command, words, code, variables)


MISTAKES = [
    # --- token, account, network
    mistake("no token", "inventory", "no LetsCloud API token", "LETSCLOUD_API_KEY", "single quotes", LETSCLOUD_API_KEY=None),
    mistake(
        "token in double quotes", "inventory",
        "LETSCLOUD_API_KEY has only 2 characters", "has 54", "shell replaces the $", "single quotes", "Nothing was sent",
        LETSCLOUD_API_KEY="Y0",
    ),
    mistake("quotes in the token", "inventory", "LETSCLOUD_API_KEY still has a quote", LETSCLOUD_API_KEY=f"'{TOKEN}'"),
    mistake(
        "token of nobody", "inventory", "HTTP 401", "does not accept the token from environment variable LETSCLOUD_API_KEY", "create a new one", code=1,
        LETSCLOUD_API_KEY="$2Y$10$WRONG47114711471147114711471147114711471147114711",
    ),
    mistake("account without lcnb.toml", "inventory --account prod", "account 'prod' is not in", "lcnb.toml, which does not exist", "[accounts.NAME]"),
    mistake("broken lcnb.toml", "inventory", "lcnb.toml cannot be read", "line 1",
        "rename the file", LCNB_CONFIG_DIR="broken"),
    mistake("token in lcnb.toml", "inventory --account prod", "[accounts.prod]", "token_file", "Nothing was sent", LCNB_CONFIG_DIR="with-token"),
    mistake("base URL over HTTP", "inventory", "'http://core.letscloud.io/api'", "LCNB_BASE_URL", "https://", LCNB_BASE_URL="http://core.letscloud.io/api"),
    mistake("base URL with a path", "inventory", "404", "/api/v2 (from LCNB_BASE_URL)", "https://core.letscloud.io/api", LCNB_BASE_URL="http://URL/api/v2"),
    mistake("closed port", "profile", "127.0.0.1:9 (Connection refused)", "nothing was sent", "LCNB_BASE_URL", code=1, LCNB_BASE_URL="http://127.0.0.1:9/api", LCNB_TIMEOUT="1"),
    mistake("no TLS", "profile", "does not speak TLS", "nothing was sent", "LCNB_BASE_URL", code=1, LCNB_BASE_URL="https://URL/api", LCNB_TIMEOUT="1"),
    mistake("wrong proxy", "profile", "htp://127.0.0.1:9", "http://", "Nothing was sent", HTTPS_PROXY="htp://127.0.0.1:9", LCNB_BASE_URL="https://core.letscloud.io/api"),
    # --- machines and selections
    mistake("label misspelt", "power off web-1 --yes", "'web-1'", "did you mean 'web-01'?", "Nothing was sent"),
    mistake("part of an identifier", "power off 4a2b --yes", "label or identifier '4a2b'", "`lcnb instances` lists", "Nothing was sent"),
    mistake("label in use", ["create", "web-01", *CREATE[2:]], "'web-01'", "Choose another label", "Nothing was sent"),
    mistake("plan of another place", [*CREATE[:5], "64vcpu", *CREATE[6:]], "'64vcpu'", "not offered at MIA1", "Offered: 1vcpu", "Nothing was sent"),
    mistake("text without quotes", ["tag", "--select", "location == MIA1", "a=b"], "there is no column 'MIA1'", "a text needs quotes: 'MIA1'"),
    mistake("one =", ["tag", "--select", "state = 'off'", "a=b"], "\"state = 'off'\"", "write =="),
    mistake("selection without quotes", "tag --select state == off a=b", "--select 'state'", "'off'", "in quotes", "\"state == 'off'\""),
    mistake("state misspelt", ["tag", "--select", "state == 'runing'", "a=b"], "'runing'", "did you mean 'running'?", "States: running"),
    mistake("tag with a colon", ["tag", "web-03", "project:shop"], "KEY=VALUE such as project=shop", "'project:shop' has no ="),
    # --- the form of a command
    mistake("unknown command", "frobnicate", "'frobnicate'", "lcnb --help"),
    mistake("command of another tool", "list", "'list'", "use `lcnb inventory`", "lcnb --help"),
    mistake("action without its command", "Stop web-03", "'Stop'", "use `lcnb power off`"),
    mistake("run without a name", "run", "missing argument NAME", "`lcnb runbooks`"),
    mistake("show without a run", "show", "missing argument RUN", "`lcnb runs`", "`last`"),
    mistake("wait without a machine", "wait", "missing argument MACHINE", "`lcnb inventory`"),
    mistake("create without options", "create x1", "missing options", "--location", "lcnb locations", "--plan", "lcnb plans", "--image", "lcnb images"),
    mistake("journal of a sandbox", "journal --sandbox", "no option '--sandbox'", "`lcnb journal` reads this machine", "ends with its command", "Leave out --sandbox"),
    mistake("sandbox of a group", "history --sandbox", "no option '--sandbox'", "`lcnb history compare ... --sandbox`"),
    mistake("option with one dash", "inventory -location MIA1", "'-location'", "did you mean '--location'?"),
    mistake("option of another tool", "delete web-05 --force", "'--force'", "did you mean '--yes'?"),
    mistake("parameter as an option", "run inventory --location MIA1", "'--location'", "`-p location=VALUE`"),
    mistake("-p without =", "run inventory -p location", "'location'", "NAME=VALUE", "Nothing was started"),
    mistake("one -p for two", "run inventory -p location=MIA1 state=off", "unexpected: state=off.", "-p before each parameter"),
    mistake("parameter of a wrong type", "run balance_runway -p attention_days=ten", "attention_days", "'ten'", "a whole number from 1 to 365", "Nothing was started"),
    mistake("parameter that is missing", "run required.ipynb", "parameter days is required (a whole number)", "-p days=VALUE", "Nothing was started"),
    mistake("notebook without parameters", "run plain.ipynb -p days=3", "'days'", "tag `parameters`", "Nothing was started"),
    mistake("text file as a notebook", "run note.txt", "'note.txt' is not a notebook", ".ipynb", "Nothing was started"),
    mistake("notebook elsewhere", "run ./plan.ipynb", "./plan.ipynb (did you mean 'plain.ipynb'?)", "plain.ipynb", "Nothing was started"),
    mistake("cron without quotes", "schedule export inventory --cron 30 6 a b c --to cron", "unexpected: 6 a b c.", 'Quote the whole expression: `--cron "30 6 * * 1-5"`'),
    mistake("cron out of range", ["schedule", "export", "inventory", "--cron", "61 6 * * *", "--to", "cron"], "'61 6 * * *'", "minute '61', which must be from 0 to 59", "Nothing was written"),
    mistake("duration with a space", ["expire", "web-03", "--in", "72 hours"], "--in:", "8h", "without spaces", "'72 hours'", "Nothing was written"),
    mistake("count as a word", "inventory --limit ten", "--limit", "'ten' is not a valid whole number"),
    mistake("text in double quotes in SQL", ["sql", 'select label from inventory where state = "running"'], "no column 'running'", "single quotes: 'running'", "Nothing was sent"),
    # --- files
    mistake("file misspelt", "plan flet.csv", "'flet.csv' does not exist", "did you mean 'fleet.csv'?"),
    mistake("wrong column", "plan name.csv", "name.csv: 'name'", "the column label is missing", "Columns: label", "Nothing was sent"),
    mistake("wrong separator", "plan pipes.csv", "'label|location|plan|image'", "commas, semicolons or tabs", "Nothing was sent"),
    mistake("wrong encoding", "plan cp1252.csv", "line 2 is not UTF-8", "save it as CSV UTF-8", "Nothing was sent"),
    mistake("wrong plan in a row", "plan fleet.csv", "row 2 (x2)", "'1vcpu-1gb-10sd'", "did you mean '1vcpu-1gb-10ssd'?", "Nothing was sent"),
    mistake("not a saved plan", "apply fleet.json", "fleet.json is not a plan that lcnb saved", "lcnb plan FILE.csv --out", "Nothing was sent"),
    # --- changes and runs
    mistake("nobody confirms", "power off web-03", "nobody confirmed", "Nothing was sent", "--yes", code=6),
    mistake("busy machine", "power on vpn-01 --yes", "vpn-01 cannot be changed now: busy", "Nothing was sent"),
    mistake("wrong folder of runs", "runs --runs-dir elsewhere", "elsewhere does not exist", "--runs-dir", code=0),
    mistake("sandbox and account", "inventory --sandbox --account prod", "either --sandbox or --account"),
]  # fmt: skip


@pytest.fixture(scope="module")
def still() -> Iterator[SandboxProcess]:
    """A sandbox whose clock is stopped: a machine that is busy stays busy."""
    with start(token=TOKEN, speed=0) as server:
        yield server


@pytest.fixture
def desk(still: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a newcomer, with files that are wrong in one way each, and a token that is right."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LETSCLOUD_API_KEY", still.token)
    monkeypatch.setenv("LCNB_BASE_URL", still.base_url)
    row = "MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n"
    (folder / "fleet.csv").write_text(f"{HEADER}x1,{row}x2,{row.replace('ssd', 'sd')}")
    (folder / "name.csv").write_text(f"{HEADER.replace('label', 'name')}x1,{row}")
    (folder / "pipes.csv").write_text(f"{HEADER}x1,{row}".replace(",", "|"))
    (folder / "cp1252.csv").write_bytes(f"{HEADER}produção,{row}".encode("cp1252"))
    (folder / "fleet.json").write_text("{}")
    (folder / "note.txt").write_text("hello\n")
    _write_notebook(folder / "plain.ipynb", "x = 1", [])
    _write_notebook(folder / "required.ipynb", "days: int", ["parameters"])
    for name, text in (("broken", "[accounts.prod\n"), ("with-token", '[accounts.prod]\ntoken = "abc"\n')):
        (folder / name).mkdir()
        (folder / name / "lcnb.toml").write_text(text)
    return folder


def _write_notebook(path: Path, source: str, tags: list[str]) -> None:
    cell = {
        "cell_type": "code", "id": "a", "metadata": {"tags": tags}, "source": source, "outputs": [], "execution_count": None
    }  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def _check_message(message: str, words: Sequence[str]) -> None:
    """Check that a message has these words in this order, nothing of the code, and fits a small terminal."""
    one_line, at = " ".join(message.split()), 0
    for each in words:
        found = one_line.find(each, at)
        assert found >= 0, f"{each!r} is not in, or not in its place: {one_line}"
        at = found + len(each)
    assert not INTERNAL.search(message), message
    for line in wrap_message(message, WIDTH).splitlines():
        assert len(line) <= WIDTH or " " not in line.strip() or "`" in line or line.startswith("Usage:"), line


@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda each: each.name)
def test_mistake(
    wrong: Mistake,
    call: Call,
    desk: Path,
    still: SandboxProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A typical mistake ends with a message that names thing, value and cure, and with its exit code; nothing starts."""
    for name, value in wrong.variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value.replace("URL", still.base_url.split("/")[2]))
    done = call(*wrong.command)
    assert done.code == wrong.code, (done.out, done.err)
    _check_message(done.err, wrong.words)
    assert list_run_folders(tmp_path / "runs") == []


def _words_of(done: CommandResult) -> str:
    return " ".join(done.err.split())


def test_file_without_similar_name(call: Call, desk: Path) -> None:
    """A file is only suggested when its name is similar: the ending alone does not count."""
    done = call("plan", "machines.csv")
    assert done.code == 2
    assert "did you mean" not in done.err
    assert str(desk) in _words_of(done)


def test_shipped_runbook_with_path(call: Call, desk: Path) -> None:
    """Who writes a path for a shipped runbook reads its name."""
    done = call("run", "notebooks/runbooks/inventory.ipynb")
    assert done.code == 2
    assert "lcnb run inventory" in done.err


def test_protected_machine(call: Call, desk: Path) -> None:
    """A change of a protected machine is refused as wrong usage is: by 2, before anything is sent."""
    assert call("protect", "db-01").code == 0
    done = call("delete", "db-01", "--yes")
    assert done.code == 2
    _check_message(done.err, ["db-01", "is protected by", "lcnb unprotect db-01", "Nothing was sent"])


def test_plan_applied_twice(call: Call, desk: Path) -> None:
    """A plan that was applied is refused by 2, with the time and what to do instead."""
    (desk / "off.csv").write_text("label,state\nweb-04,off\n")
    assert call("plan", "off.csv", "--out", "off.json").code == 0
    assert call("apply", "off.json", "--yes").code == 0
    done = call("apply", "off.json", "--yes")
    assert done.code == 2
    _check_message(done.err, ["was applied at", "Nothing was sent now", "make a new"])


@pytest.mark.parametrize(
    "error", [Protected("p"), AlreadyApplied("a"), Drifted("d")], ids=lambda each: type(each).__name__
)
def test_refused_change(error: LcnbError) -> None:
    """A change that is refused before anything is sent ends with 2, whatever refuses it."""
    assert end_of_error(error).exit_code == 2


def test_full_disk(desk: Path) -> None:
    """A result that does not fit on the disk ends with 1 and a sentence without a number of the system."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [LCNB, "plans", "-o", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 1
    _check_message(done.stderr, ["could not be written: No space left on device", "another place"])


def test_logged_warning(call: Call, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lcnb logs as a warning is marked as one: here the state folder cannot be created."""
    monkeypatch.setenv("LCNB_STATE_DIR", str(desk / "note.txt" / "state"))
    done = call("profile")
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if "the rate budget in" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")


def run_in_terminal(command: list[str], code: int = 1, **variables: str) -> str:
    """Return what a command prints in a terminal of 60 columns, without its colors."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "60", **variables},
    )
    os.close(theirs)
    chunks = []
    with contextlib.suppress(OSError):  # Linux ends a terminal that nobody holds any more with EIO
        while chunk := os.read(ours, 10_000):
            chunks.append(chunk)
    os.close(ours)
    assert child.wait(600) == code
    return re.sub(r"\x1b\[[0-9;]*m", "", b"".join(chunks).decode())


def test_message_in_a_terminal(desk: Path) -> None:
    """In a terminal a message breaks between words, and a command in backquotes stays whole."""
    lines = run_in_terminal([LCNB, "apply", "fleet.json"], 2).splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 60 for line in lines), lines
    assert any("`lcnb plan FILE.csv --out PLAN.json`" in line for line in lines), lines


@pytest.mark.parametrize("command", [(), ("key",), ("snapshot",), ("schedule",), ("history",)])
def test_group_without_a_command(call: Call, command: tuple[str, ...]) -> None:
    """A group of commands that is called alone prints its help once, and no error above it."""
    done = call(*command)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("Usage:") == 1
    assert "Error" not in done.err
    assert "Commands:" in done.err


@pytest.mark.parametrize("words", sorted(set(OTHER_WORDS.values())))
def test_other_words_lead_to_a_command(call: Call, words: str) -> None:
    """What a message proposes for the word of another tool is a command of lcnb."""
    name, *arguments = words.split(" ")
    if name == "--help":
        return
    done = call(name, *arguments[:1], "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: lcnb {name}")


def test_places_of_a_token_in_the_doctor() -> None:
    """In a terminal the places without a token are a list, one a line, in the doctor too."""
    out = run_in_terminal([LCNB, "doctor"], LETSCLOUD_API_KEY="")
    lines = [line.strip() for line in out.splitlines()]
    assert "- environment variable LETSCLOUD_API_KEY" in lines
    assert "- environment variable LETSCLOUD_API_TOKEN" in lines


def test_every_option_has_a_plain_type() -> None:
    """No option of any command calls its type "integer range" or "float" in its messages."""
    from lcnb.cli.main import cli

    context = click.Context(cli)
    commands = [command for name in cli.list_commands(context) if (command := cli.get_command(context, name))]
    commands += [
        each for group in commands if isinstance(group, click.Group) for each in group.commands.values()
    ]
    odd = {
        f"{command.name} {option.opts[-1]}"
        for command in commands
        for option in command.params
        if option.type.name in ("integer range", "float range", "float")
    }
    assert len(commands) > 40
    assert not odd


# --- in Python ------------------------------------------------------------------------------------------


@pytest.fixture
def lc(still: SandboxProcess) -> Iterator[lcnb.LetsCloud]:
    """A client of that sandbox."""
    with lcnb.connect(token=still.token, base_url=still.base_url) as client:
        yield client


def test_forgotten_apply(lc: lcnb.LetsCloud) -> None:
    """Who forgets `.apply()` reads in the ChangeSet that it is not applied."""
    assert "not applied" in repr(lc.power_off("web-03"))


def test_frame_filtered_to_nothing(lc: lcnb.LetsCloud) -> None:
    """A selection without rows says so, and is no empty success without a word."""
    changes = lc.inventory().query("label == 'web-1'").lc.power_off()
    assert "nothing to do; no machine is selected: the frame has no rows" in repr(changes)


def test_frame_without_identifiers(lc: lcnb.LetsCloud) -> None:
    """Rows that lost their identifiers in a merge are refused, with the merge that keeps them."""
    with pytest.raises(lcnb.InputError) as caught:
        lc.inventory()[["label"]].merge(lc.plans(), how="cross").lc.power_off()
    _check_message(str(caught.value), ["no column identifier", "lc.inventory().merge(", "Nothing was sent"])


def test_nobody_confirms_in_python(lc: lcnb.LetsCloud) -> None:
    """`apply` without a terminal says how to confirm."""
    with pytest.raises(lcnb.ConfirmationMissing) as caught:
        lc.power_off("web-03").apply()
    _check_message(str(caught.value), ["nobody confirmed", "Nothing was sent", "apply(confirm=True)"])


def test_wrong_text_typed(lc: lcnb.LetsCloud) -> None:
    """A typed label that differs is shown next to the one that was expected."""
    with pytest.raises(lcnb.InputError) as caught:
        lc.delete_instance("web-05").apply(confirm="web-5")
    _check_message(str(caught.value), ["'web-05'", "'web-5'", "Nothing was sent"])


def test_wrong_arguments(lc: lcnb.LetsCloud) -> None:
    """Wrong arguments of a method show how it is called, and no name of a class that nobody knows."""
    with pytest.raises(TypeError) as several:
        lc.power_off("web-01", "web-02")  # type: ignore[call-arg, arg-type]
    message = str(several.value)
    assert message.startswith(
        "power_off: too many positional arguments. It is called as power_off(machines=None, *"
    )
    assert message.endswith("Pass several machines as a list.")
    with pytest.raises(
        TypeError, match=r"missing a required argument: 'location'\. .*create_instance\(label, \*, "
    ) as none:
        lc.create_instance("x1")  # type: ignore[call-arg]
    assert not INTERNAL.search(message + str(none.value))
