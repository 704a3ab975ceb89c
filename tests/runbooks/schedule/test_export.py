"""Schedules: each file means what was asked for, as the system that reads it would read it.

Where a system's own reader can be had it reads here: /bin/sh, jinja2, a YAML reader, systemd-analyze, GitHub's
published schema; jupyter-scheduler's execution manager runs a shipped runbook.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pytest
import yaml
from click.testing import CliRunner
from cronsim import CronSim
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lcnb
from conftest import ROOT, TOKEN, Call, write_notebook
from lcnb.cli.main import cli
from lcnb.errors import ConfigError, InputError, ParameterError
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.schedule import export as schedules
from lcnb.runbooks.schedule.cron import checked_timezone, parse_cron
from lcnb.runbooks.schedule.export import export_schedule
from lcnb.runbooks.schedule.systems import SYSTEMS

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
START = datetime(2026, 1, 1)


# --- cron expressions -----------------------------------------------------------------------------------


def field(low: int, high: int, steps: bool = True) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pairs = st.tuples(number, number)
    span = pairs.map(lambda two: f"{min(two)}-{max(two)}")
    # cronsim reads 5-5/2 as 5/2: from 5 to the end.
    longer = pairs.filter(lambda two: two[0] != two[1]).map(lambda two: f"{min(two)}-{max(two)}")
    stepped = st.tuples(longer, st.integers(1, min(20, high))).map(lambda pair: f"{pair[0]}/{pair[1]}")
    starred = st.integers(1, high).map(lambda step: f"*/{step}")
    item = st.one_of(number.map(str), span, stepped)
    lists = st.lists(item, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), lists, *([starred] if steps else []))


expressions = st.tuples(
    field(0, 59), field(0, 23), field(1, 28, steps=False), field(1, 12), field(0, 7, steps=False)
).map(" ".join)


def moments(text: str, count: int = 5) -> list[datetime]:
    sim = CronSim(text, START)
    return [next(sim) for _ in range(count)]


@given(expressions)
@settings(max_examples=200, deadline=None)
def test_rewritten(text: str) -> None:
    """What is written for cron, Kubernetes, GitHub and Airflow comes at the same moments as what was given."""
    assert moments(str(parse_cron(text))) == moments(text)


def elapses(line: str, count: int) -> list[datetime]:
    """The moments at which systemd itself says that a calendar line comes."""
    command = [
        str(ANALYZE),
        "calendar",
        f"--iterations={count}",
        f"--base-time={START:%Y-%m-%d %H:%M:%S} UTC",
        line,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"}
    )
    found = re.findall(r"(?:Next elapse|Iter\. #\d+): \w+ (\S+ \S+) UTC", done.stdout)
    return [datetime.fromisoformat(each) for each in found]


@needs_systemd
@given(expressions)
@settings(max_examples=60, deadline=None)
def test_on_calendar(text: str) -> None:
    """systemd's lines together come at the very moments of the cron expression, either day being enough."""
    wanted = moments(text)
    union = {moment for line in parse_cron(text).on_calendar("UTC") for moment in elapses(line, len(wanted))}
    assert sorted(union)[: len(wanted)] == wanted


#: What was given, and the same for every scheduler.
EQUIVALENT = [
    ("0/15 * * * *", "0,15,30,45 * * * *"),
    ("5/15 * * * *", "5,20,35,50 * * * *"),
    ("0 6/6 * * *", "0 6,12,18 * * *"),
    ("0 6 1/7 * *", "0 6 1,8,15,22,29 * *"),
    ("0 6 1/1 * ?", "0 6 * * *"),
    ("0 6 * 1/3 *", "0 6 * 1,4,7,10 *"),
    ("*/7 * * * *", "0,7,14,21,28,35,42,49,56 * * * *"),
    ("10-10/5 * * * *", "10 * * * *"),
    ("50-10/5 * * * *", "0,5,10,50,55 * * * *"),
    ("0 22-2 * * *", "0 0-2,22,23 * * *"),
    ("0 22-6/2 * * *", "0 0,2,4,6,22 * * *"),
    ("0 6 28-3 * *", "0 6 1-3,28-31 * *"),
    ("0 6 * NOV-feb *", "0 6 * 1,2,11,12 *"),
    ("0 6 * * FRI-MON", "0 6 * * 0,1,5,6"),
    ("0 6 * * 5-1", "0 6 * * 0,1,5,6"),
    ("0 6 * * fri-Mon/2", "0 6 * * 0,5"),
    ("0 6 * * MON-SUN", "0 6 * * *"),
    ("0 6 * * SUN-SAT", "0 6 * * *"),
    ("0 6 * * 0-7", "0 6 * * *"),
    ("0 6 * * 7", "0 6 * * 0"),
    ("0 6 * * 7-2", "0 6 * * 0-2"),
    ("0 6 * * 5-7", "0 6 * * 0,5,6"),
    ("0 6 * * */7", "0 6 * * 0"),
    ("0 6 * * */2", "0 6 * * 0,2,4,6"),
    ("0 6 * * 0/2", "0 6 * * 0,2,4,6"),
    ("0 6 * * Sat,sUN", "0 6 * * 0,6"),
    ("0 6 * * Monday-FRIDAY", "0 6 * * 1-5"),
    ("0 6 * sept *", "0 6 * 9 *"),
    ("0 6 ? * mon", "0 6 * * 1"),
    ("0 6 15 * ?", "0 6 15 * *"),
    ("@daily", "0 0 * * *"),
    ("@Midnight", "0 0 * * *"),
    (" @HOURLY ", "0 * * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
]


@pytest.mark.parametrize(("text", "wanted"), EQUIVALENT)
def test_b6_equivalents(text: str, wanted: str) -> None:
    """What only some schedulers accept is written as numbers that all of them read the same way."""
    assert str(parse_cron(text)) == wanted
    assert str(parse_cron(wanted)) == wanted


@needs_systemd
def test_b6_equivalents_for_systemd() -> None:
    """systemd itself normalises the lines of every equivalent, and keeps them as they are."""
    lines = [line for text, _ in EQUIVALENT for line in parse_cron(text).on_calendar("Europe/Berlin")]
    done = subprocess.run([str(ANALYZE), "calendar", *lines], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Normalized form:") == len(lines)


#: An expression that is refused, what is said, and an expression that the message names as a cure.
REFUSED = [
    ("* * * *", "it has 4 fields", "30 6 * * 1-5"),
    ("", "it has 0 fields", "30 6 * * 1-5"),
    ("@reboot", "not every scheduler knows this word", "30 6 * * 1-5"),
    ("@every 5m", "not every scheduler knows this word", "30 6 * * 1-5"),
    ("0 0 6 * * *", "it has 6 fields.*first field is the seconds", "0 6 * * *"),
    ("0 30 6 ? * MON-FRI", "it has 6 fields.*first field is the seconds", "30 6 ? * MON-FRI"),
    ("0 6 * * * 0", "it has 6 fields.*last field is the seconds", "0 6 * * *"),
    ("0 6 * * 1 2026", "it has 6 fields.*last field is the year", "0 6 * * 1"),
    ("0 15 10 ? * 6 2026", "it has 7 fields", "15 10 ? * 6"),
    ("60 * * * *", "bad minute", "30 6 * * 1-5"),
    ("*/0 * * * *", "bad minute", "30 6 * * 1-5"),
    ("*/90 * * * *", "a step of 90 takes only the first", "0 */2 * * *"),
    ("0 */36 * * *", "a step of 36 takes only the first", "0 */2 * * *"),
    ("0 24 * * *", "bad hour", "30 6 * * 1-5"),
    ("0 6 * * funday", "bad day-of-week", "30 6 * * 1-5"),
    ("0 0 31 2 *", "bad day-of-month", "30 6 * * 1-5"),
    ("? 6 * * *", "[?] is known for days only", None),
    ("H 6 * * *", "H and ~ are not known.*such as 20", None),
    ("0~30 6 * * *", "H and ~ are not known.*such as 20", None),
    ("0 0 L * *", "L, W and # are not known.*last day that every month has", "0 0 28 * *"),
    ("0 0 L-3 * *", "L, W and # are not known", "0 0 28 * *"),
    ("0 0 15W * *", "L, W and # are not known.*working day", "0 0 * * 1-5"),
    ("0 0 LW * *", "L, W and # are not known.*working day", "0 0 * * 1-5"),
    ("0 0 * * 5L", "L, W and # are not known.*every week", "0 0 * * 5"),
    ("0 0 * * friL", "L, W and # are not known.*every week", "0 0 * * fri"),
    ("0 0 * * 5#2", "L, W and # are not known.*every week", "0 0 * * 5"),
    ("0 0 * * fri/2", "a week ends on day 6 for some schedulers", None),
    ("0 0 */2 * 1", "'and' for some schedulers and 'or' for others", None),
    ("0 0 1 * */2", "'and' for some schedulers and 'or' for others", None),
]


@pytest.mark.parametrize(("text", "message", "cure"), REFUSED)
def test_b6_refused(text: str, message: str, cure: str | None) -> None:
    """A wrong expression, and one without an equivalent everywhere, is refused; the cure that is named works."""
    with pytest.raises(InputError, match=f"^cron {re.escape(repr(text))}: .*{message}") as caught:
        parse_cron(text)
    named = [each for each in re.findall('"([^"]+)"', str(caught.value)) if len(each.split()) == 5]
    assert cure in (named or [None])
    for each in named:
        parse_cron(each)


def test_timezone() -> None:
    """A time zone is one that the machine's data know."""
    assert checked_timezone("America/Sao_Paulo") == "America/Sao_Paulo"
    for wrong in ("Sao Paulo", "../etc/passwd", ""):
        with pytest.raises(InputError, match="no time zone"):
            checked_timezone(wrong)


# --- values go through unchanged ------------------------------------------------------------------------

NASTY = (
    "", " ", "100%", "a\\%b", "$HOME $(id) `id` ${x}", "'", '"', "a'b\"c", "\\", "\\n", "-x", "#no", ": - [", "{{ x }}",
    "{% raw %}", "%%n%i", "$$", "!x", "*", "~", "; reboot", "&& id", "|", "é€😀", "x.sh", "@yearly", "null", "{# #}",
)  # fmt: skip
values = st.one_of(
    st.sampled_from(NASTY), st.text(st.sampled_from("aZ0 %$\\'\"`{}#();&|!*?~<>=@:,-é😀"), max_size=12)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook with a text as its parameter, and an `lcnb` that only prints its arguments."""
    path = tmp_path_factory.mktemp("place")
    cell = nbformat.v4.new_code_cell("text: str = ''\nn: int = 1", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    (path / "my book.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    (path / "lcnb").write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    (path / "lcnb").chmod(0o755)
    return path


def arguments(shell: str, command: str, place: Path) -> list[str]:
    """The arguments that a real shell hands to `lcnb`."""
    env = {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "HOME": "/nowhere"}
    done = subprocess.run([shell, "-c", command], capture_output=True, check=True, env=env)
    return done.stdout.decode().split("\0")[:-1]


def by_cron(text: str, place: Path) -> list[str]:
    """cron: up to the first bare percent sign, and \\% is one; then /bin/sh."""
    line = next(each for each in text.splitlines() if not each.startswith("#"))
    command = line.split(" ", 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    return arguments("/bin/sh", command.replace("\\%", "%"), place)


def by_systemd(text: str, place: Path) -> list[str]:
    """systemd: quotes as a shell has them, %% and $$ are one character."""
    line = next(each for each in text.splitlines() if each.startswith("ExecStart="))
    words = shlex.split(line.partition("=")[2])
    assert not any(re.search(r"(?<!%)(%%)*%(?!%)|(?<!\$)(\$\$)*\$(?!\$)", word) for word in words)
    return [word.replace("%%", "%").replace("$$", "$") for word in words[1:]]


def by_k8s(text: str, place: Path) -> list[str]:
    """Kubernetes: YAML, and $$ is one character."""
    pod = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return [each.replace("$$", "$") for each in container["args"]]


def by_airflow(text: str, place: Path) -> list[str]:
    """Airflow: Python, a template that jinja2 fills, bash."""
    (operator,) = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "BashOperator"
    )
    (command,) = (ast.literal_eval(word.value) for word in operator.keywords if word.arg == "bash_command")
    assert not command.endswith((".sh", ".bash"))  # Airflow would look for a file
    return arguments("bash", jinja2.Template(command).render(), place)


def by_github(text: str, place: Path) -> list[str]:
    """GitHub: YAML, no expression in the command, bash."""
    (command,) = (each["run"] for each in yaml.safe_load(text)["jobs"]["run"]["steps"] if "env" in each)
    assert "${{" not in command
    return arguments("bash", command, place)


READERS: dict[str, Callable[[str, Path], list[str]]] = {
    "cron": by_cron, "systemd": by_systemd, "k8s": by_k8s, "airflow": by_airflow, "github": by_github,
}  # fmt: skip


@pytest.mark.parametrize("to", SYSTEMS)
def test_values_arrive(to: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a value holds, `lcnb` gets it as it was given, or it is refused before a file is made."""
    monkeypatch.setattr(schedules, "find_executable", lambda: str(place / "lcnb"))
    book = str(place / "my book.ipynb")

    @given(values)
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    def check(value: str) -> None:
        try:
            files = export_schedule(book, "0 6 * * *", to, parameters={"text": value})
        except InputError as refused:
            assert re.search(r"endraw|\$\{\{|percent sign", str(refused))
            assert "endraw" in value or "${{" in value or "\\%" in value
            return
        text = next(iter(files.values()))
        assert READERS[to](text, place)[:4] == ["run", book, "-p", f"text={value}"]

    check()
    for value in NASTY:
        if not (to == "cron" and "\\%" in value):
            check.hypothesis.inner_test(value)  # type: ignore[attr-defined]


@pytest.mark.parametrize("to", SYSTEMS)
@pytest.mark.parametrize("value", ["a\nb", "a\r", "\0", "\x1b[0m", "\u2028"])
def test_control_characters(to: str, value: str, place: Path) -> None:
    """A line end or another control character is refused: no file of these could hold it safely."""
    with pytest.raises(InputError, match="control character"):
        export_schedule(str(place / "my book.ipynb"), "0 6 * * *", to, parameters={"text": value})


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("crno", {}, "to: 'crno' is not one of cron, systemd"),
        ("cron", {"parameters": {"state": "of"}}, "did you mean 'off'"),
        ("k8s", {"parameters": {"stat": "off"}}, "did you mean 'state'"),
        ("k8s", {"parameters": {"api_token": "x"}}, "A secret cannot be a parameter"),
        ("github", {"parameters": {"location": "MIA9"}}, "is not one of the account's"),
        ("k8s", {"parameters": {"account": "a"}, "account": "b"}, "but the option says 'b'"),
        ("cron", {"timezone": "Europe/Lisbon"}, "Debian's ignores CRON_TZ"),
        ("systemd", {"timezone": "Europe/Lissabon"}, "no time zone"),
        ("k8s", {"label": "My_Job"}, "small letters"),
        ("k8s", {"image": "a b\n"}, "not the name of a container image"),
    ],
)
def test_refused(to: str, options: dict[str, Any], message: str, account_env: Any) -> None:
    """What could not run, or would not mean what it says, is refused before a file is made."""
    with pytest.raises((InputError, ParameterError), match=message):
        export_schedule("inventory", "0 6 * * *", to, **options)


def test_required(tmp_path: Path, account_env: Any) -> None:
    """A schedule whose runs would all be refused is: a parameter that has no default is missing."""
    path = write_notebook(tmp_path / "night.ipynb", ("size: int", "parameters"))
    with pytest.raises(
        ParameterError,
        match=r"^parameter size is required \(a whole number\)\. Add -p size=VALUE\. Nothing was written\.",
    ):
        export_schedule(str(path), "0 6 * * *", "cron")


def test_long_command(place: Path) -> None:
    """A command that cron would cut off is refused."""
    with pytest.raises(InputError, match="at most 990 characters"):
        export_schedule(str(place / "my book.ipynb"), "0 6 * * *", "cron", parameters={"text": "x" * 1000})


def test_unknown_account() -> None:
    """An account that is not here is refused for this machine's schedulers, and may exist on another's."""
    with pytest.raises(ConfigError, match="'lab' is not in"):
        export_schedule("inventory", "0 6 * * *", "systemd", account="lab")
    assert '"lab"' in export_schedule("inventory", "0 6 * * *", "k8s", account="lab")["lcnb-inventory.yaml"]


# --- each system's own check ----------------------------------------------------------------------------


def exported(to: str, tmp_path: Path, *more: str) -> list[Path]:
    """The files that the command writes into a folder."""
    (tmp_path / "out").mkdir()
    args = ["schedule", "export", "inventory", "--cron", "30 6 1,15 * mon-fri", "--to", to]
    done = CliRunner().invoke(cli, [*args, "-p", "location=MIA1", "--out", str(tmp_path / "out"), *more])
    assert done.exit_code == 0, done.output
    return [Path(line) for line in done.output.splitlines()]


@pytest.mark.parametrize("to", SYSTEMS)
def test_no_secret(to: str, tmp_path: Path, account_env: Any) -> None:
    """No file holds the token; each says where its system keeps it."""
    text = "".join(path.read_text(encoding="utf-8") for path in exported(to, tmp_path))
    assert TOKEN not in text
    assert re.search(r"schedule\.env|secretKeyRef|secrets\.LETSCLOUD_API_KEY|conn\.letscloud\.password", text)
    assert "location=MIA1" in text


@needs_systemd
@pytest.mark.parametrize("zone", [None, "America/Sao_Paulo"])
def test_systemd_verifies(zone: str | None, tmp_path: Path, account_env: Any) -> None:
    """`systemd-analyze verify` has nothing to say about the units."""
    paths = exported("systemd", tmp_path, *(["--timezone", zone] if zone else []))
    assert [path.suffix for path in paths] == [".service", ".timer"]
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *map(str, paths)], capture_output=True, text=True, timeout=600
    )
    about = [line for line in done.stderr.splitlines() if "lcnb" in line]
    assert (done.returncode, about) == (0, [])
    assert paths[1].read_text(encoding="utf-8").count("OnCalendar=") == 2


@pytest.mark.skipif(shutil.which("crontab") is None, reason="cron is not installed")
def test_crontab_reads(place: Path, tmp_path: Path) -> None:
    """Debian's crontab finds nothing wrong with the line."""
    book = str(place / "my book.ipynb")
    (text,) = export_schedule(book, "*/20 6 * * 0", "cron", parameters={"text": "it's 100% $HOME"}).values()
    (tmp_path / "crontab").write_text(text)
    if "-n" not in subprocess.run(["crontab", "-h"], capture_output=True, text=True).stderr:
        pytest.skip("this crontab has no dry run")
    done = subprocess.run(
        ["crontab", "-n", str(tmp_path / "crontab")], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


def test_github_schema(tmp_path: Path, account_env: Any) -> None:
    """The workflow is as GitHub's published schema wants it."""
    (path,) = exported("github", tmp_path)
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_k8s_shape(tmp_path: Path, account_env: Any) -> None:
    """The CronJob runs one at a time, never repeats a run, and takes the token from a secret."""
    (path,) = exported("k8s", tmp_path, "--timezone", "America/Sao_Paulo", "--image", "r.example.com/lcnb:1")
    job = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"], job["metadata"]) == (
        "batch/v1",
        "CronJob",
        {"name": "lcnb-inventory"},
    )
    spec = job["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("30 6 1,15 * 1-5", "America/Sao_Paulo")
    assert (spec["concurrencyPolicy"], spec["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["containers"][0]["image"]) == ("Never", "r.example.com/lcnb:1")
    assert pod["containers"][0]["env"][0]["valueFrom"] == {
        "secretKeyRef": {"name": "letscloud", "key": "api-key"}
    }


@pytest.mark.parametrize(
    ("to", "whose"),
    [("k8s", "no pod can"), ("github", "no runner of GitHub can"), ("airflow", "an Airflow worker")],
)
@pytest.mark.parametrize(
    ("url", "unreachable"),
    [
        ("http://127.0.0.1:8000/api", True),
        ("http://localhost:8000/api", True),
        ("http://[::1]:8000/api", True),
        ("http://127.3.2.1/api", True),
        ("https://localhost/api", True),
        ("https://proxy.example.com/api", False),
    ],
)
def test_loopback_elsewhere(
    to: str, whose: str, url: str, unreachable: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base URL that only this machine reaches is named in the head of a file for another machine."""
    monkeypatch.setenv("LCNB_BASE_URL", url)
    ((_, text),) = export_schedule("inventory", "0 6 * * *", to).items()
    assert (f"# LCNB_BASE_URL is {url}, an address of this machine: {whose}" in text) == unreachable
    assert "an address of this machine" not in "".join(
        export_schedule("inventory", "0 6 * * *", "cron").values()
    )


def test_k8s_head(place: Path) -> None:
    """The head says that the image is a placeholder, until one is named, and that reports go with the pod."""
    head = export_schedule("inventory", "0 6 * * *", "k8s")["lcnb-inventory.yaml"]
    assert "# The image registry.example.com/lcnb:latest is a placeholder: name yours with --image.\n" in head
    assert "# Reports are lost with the pod: replace emptyDir with a persistentVolumeClaim.\n" in head
    named = export_schedule("inventory", "0 6 * * *", "k8s", image="ghcr.io/me/lcnb:1")["lcnb-inventory.yaml"]
    assert "placeholder" not in named


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["inventory", "-p", "location"],
        ["inventory", "-p", "nosuch=1"],
        ["inventory", "-p", "location=a", "-p", "location=b"],
        ["./nosuch.ipynb"],
    ],
)
def test_refused_export_has_written_nothing(words: list[str], place: Path, call: Call) -> None:
    """What `lcnb schedule export` refuses was not written; nothing would have been started."""
    done = call("schedule", "export", *words, "--cron", "0 6 * * *", "--to", "cron")
    assert done.code == 2
    assert "Nothing was written." in done.err
    assert "started" not in done.err


@pytest.mark.parametrize("to", SYSTEMS)
def test_documented(to: str) -> None:
    """The page for schedulers names each target as `--to` accepts it."""
    page = (ROOT / "docs" / "schedulers.md").read_text(encoding="utf-8")
    section = page.partition("\n## Schedules elsewhere\n")[2].partition("\n## ")[0]
    assert f"`{to}`" in section


@pytest.mark.parametrize("to", SYSTEMS)
def test_limits_and_retries(to: str, account_env: Any) -> None:
    """Limits and retries are options of the command; the scheduler itself never repeats a run, which would be a second one."""
    files = export_schedule("inventory", "@daily", to, timeout=600, retries=2, retry_wait=5)
    text = " ".join("".join(files.values()).replace('"', " ").replace("- ", " ").split())
    assert "--timeout 600 --retries 2 --retry-wait 5" in text
    own = {"k8s": "backoffLimit: 0", "airflow": "retries=0"}
    assert own.get(to, "") in text
    assert "Restart=" not in text


@pytest.mark.parametrize("to", SYSTEMS)
@pytest.mark.parametrize(
    ("given", "confirm", "said"),
    [
        ({}, False, "No run changes anything (dry_run=true)."),
        ({}, True, "The confirmation has no effect."),
        ({"dry_run": "false"}, True, "Every run makes its changes without asking (--yes)."),
    ],
)
def test_says_what_is_confirmed(
    to: str, given: dict[str, str], confirm: bool, said: str, account_env: Any
) -> None:
    """Each file says what every run changes without asking, when runs start, and in which time zone."""
    files = export_schedule("snapshot_rotation", "30 6 * * *", to, parameters=given, confirm=confirm)
    text = "".join(files.values())
    assert f"{said}" in text
    zone = "the time zone of the machine" if to in ("cron", "systemd") else "UTC"
    assert f"# Runs start at: 30 6 * * * in {zone}" in text


def test_airflow_compiles(tmp_path: Path, account_env: Any) -> None:
    """The DAG is Python without a warning."""
    (path,) = exported("airflow", tmp_path, "--timezone", "America/Sao_Paulo")
    compile(path.read_text(encoding="utf-8"), path.name, "exec")
    assert path.stem.isidentifier()


def test_printed(account_env: Any, tmp_path: Path) -> None:
    """Without --out the files are printed; several do not go into one file."""
    args = ["schedule", "export", "inventory", "--cron", "0 6 * * *", "--to"]
    assert CliRunner().invoke(cli, [*args, "cron"]).output.splitlines()[-1].startswith("0 6 * * * exec env ")
    units = CliRunner().invoke(cli, [*args, "systemd"]).output
    assert re.findall(r"^# --- (.*)$", units, re.MULTILINE) == [
        "lcnb-inventory.service",
        "lcnb-inventory.timer",
    ]
    (tmp_path / "file").touch()
    refused = CliRunner().invoke(cli, [*args, "systemd", "--out", str(tmp_path / "file")])
    assert "Name a folder." in str(refused.exception)


def test_link_to_a_file(account_env: Any, tmp_path: Path) -> None:
    """The file that a symbolic link names is written, and the link stays."""
    (tmp_path / "out").mkdir()
    for link in (tmp_path / "link", tmp_path / "out" / "lcnb-inventory.yaml"):
        link.symlink_to(tmp_path / f"real-{link.name}")
    args = ["schedule", "export", "inventory", "--cron", "0 6 * * *", "--to"]
    for to, out, link in (
        ("cron", "link", tmp_path / "link"),
        ("k8s", "out", tmp_path / "out" / "lcnb-inventory.yaml"),
    ):
        done = CliRunner().invoke(cli, [*args, to, "--out", str(tmp_path / out)])
        assert (done.exit_code, done.output) == (0, f"{link}\n")
        assert link.is_symlink()
        assert "0 6 * * *" in (tmp_path / f"real-{link.name}").read_text()


# --- jupyter-scheduler ----------------------------------------------------------------------------------

JOB = """
import json, sys
from jupyter_scheduler.executors import DefaultExecutionManager
from jupyter_scheduler.models import DescribeJob
from jupyter_scheduler.orm import Job, create_session, create_tables

path, folder, parameters = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
url = f"sqlite:///{folder}/jobs.sqlite"
create_tables(url)
with create_session(url)() as session:
    job = Job(name="j", input_filename="inventory.ipynb", runtime_environment_name="e", url="", status="CREATED",
              create_time=1, update_time=1, parameters=parameters, output_formats=["ipynb", "html"])
    session.add(job)
    session.commit()
    number = job.job_id
places = {"input": path, "ipynb": f"{folder}/out.ipynb", "html": f"{folder}/out.html"}
DefaultExecutionManager(job_id=number, root_dir=folder, db_url=url, staging_paths=places).process()
with create_session(url)() as session:
    done = session.query(Job).filter(Job.job_id == number).first()
    print(json.dumps([done.status, done.status_message]))
"""


def test_jupyter_scheduler(account_env: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """A shipped runbook runs in jupyter-scheduler's own execution manager, parameters and all."""
    pytest.importorskip("sqlalchemy")
    source = shutil.copy(find_runbook("inventory").path, tmp_path / "inventory.ipynb")
    command = [sys.executable, "-c", JOB, str(source), str(tmp_path), json.dumps({"location": '"MIA1"'})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["COMPLETED", None], done.stderr
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert [
        each for cell in notebook.cells for each in cell.get("outputs", ()) if each.output_type == "error"
    ] == []
    assert "MIA1" in (tmp_path / "out.html").read_text(encoding="utf-8")
    assert account_env.token not in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert list(tmp_path.glob("*.parquet"))
