"""Runs: how each way to end is told, what a run leaves behind, and what it must never leave.

The kernels are real. The notebooks of `ENDS` run once for the whole module, two at a time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from html import escape, unescape
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pandas as pd
import psutil
import pytest

import lcnb
from conftest import LCNB, PYTHON3, ROOT, Cell, record, saved, statuses, write_notebook
from lcnb.config import Settings, load_settings
from lcnb.errors import CellFailed, InputError, KernelDied, ParameterError, RunError, TokenMissing
from lcnb.runbooks.engine import papermill_client, papermill_engine
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.notebook.help import describe_runbooks
from lcnb.runbooks.publish import report
from lcnb.runbooks.publish.page_extras import SORT_SCRIPT
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook

#: With every character that a way of writing it could treat in its own way.
SECRET = "canary&<7f3e>9a1c'/5b+%z~="
SECOND = "canary-the-token-of-another-account"
# --- every way to end -----------------------------------------------------------------------------------

LEAK = """
import base64, os
from IPython.display import HTML, display
from urllib.parse import quote
token = os.environ["LETSCLOUD_API_KEY"]
print(token, repr(token), os.environ["LETSCLOUD_API_TOKEN"])
print(base64.b64encode(token.encode()).decode(), base64.urlsafe_b64encode(b"x" + token.encode()).decode())
print(quote(token), quote(token, safe=""))
display({"text/plain": token}, raw=True)
open("text.txt", "w").write(f"the token is {token}")
open("raw.bin", "wb").write(b"\\xff\\x00" + token.encode())
open("zz.txt", "w").write(f"after the binary file: {token}")
"""
OUTSIDE = """
from IPython.display import HTML, Javascript, display
display(HTML('''<img src="https://x.test/a.png"><img src=http://x.test/b.png><IMG SRC = '//x.test/c.png'>
<script src="https://x.test/d.js"></script><script>fetch("https://x.test/e")</script>
<link rel="stylesheet" href="https://x.test/f.css"><base href="https://x.test/">
<meta http-equiv="refresh" content="0;url=https://x.test/g"><iframe src="https://x.test/h"></iframe>
<style>@import url("https://x.test/i.css"); p { background: url(https://x.test/j.png) } p { color: red }</style>
<p style="background:url('https://x.test/k.png')" onclick="fetch('https://x.test/l')">kept text</p>
<svg><image xlink:href="https://x.test/m.png"/><image href="https://x.test/n.png"/></svg>
<video poster="https://x.test/o.png"></video><object data="https://x.test/p.swf"></object>
<img srcset="https://x.test/q.png 2x" src="data:image/png;base64,AAAA"><img src="&#104;ttps://x.test/r.png">'''))
display(Javascript("fetch('https://x.test/s')"))
print('<img src="https://x.test/printed.png">')
"""

# Name → cells, status, exit code, what becomes of the cells.
ENDS: dict[str, tuple[list[Cell], str, int, str]] = {
    "done": (["# Title\n\nWhat it is for.\n\nMore.", ("n: int = 3\nwords = {'a'}", "parameters"), "print(n)", "\n"], "done", 0, "scccs"),
    "skips": ([("1/0", "skip-execution"), "print(1)"], "done", 0, "sc"),
    "raises": (["# Nightly", "print('before')", "1/0  # here", "print('after')", "## After\n\nThis is not reached."], "failed", 3, "scfss"),
    "allowed": ([("1/0", "raises-exception"), "print('after')"], "done", 0, "cc"),
    "shown by a magic": (["%%capture\nprint('before'); 1/0", "print('after')"], "failed", 3, "fs"),
    "shown by a script": (["open('s.py', 'w').write('import sys; sys.exit(4)')", "%run s.py", "print('after')"], "failed", 4, "cfs"),
    "shown and allowed": ([("%%capture\n1/0", "raises-exception"), "print('after')"], "done", 0, "cc"),
    "script that exits 0": (["open('s.py', 'w').write('import sys; sys.exit(0)')", "%run s.py", "print('after')"], "done", 0, "ccc"),
    "exit 0": (["import sys; sys.exit(0)", "1/0"], "done", 0, "cs"),
    "exit": (["raise SystemExit", "1/0"], "done", 0, "cs"),
    "exit 7": (["import sys; sys.exit(7)", "print('after')"], "failed", 7, "fs"),
    "exit 256": (["import sys; sys.exit(256)", "print('after')"], "failed", 1, "fs"),
    "exit text": (["import sys; sys.exit('no disk')", "print('after')"], "failed", 1, "fs"),
    "asks": (["input('sure?')", "print('after')"], "failed", 3, "fs"),
    "killed": (["print(1)", "import os; os.kill(os.getpid(), 9)", "print('after')"], "died", 5, "cfs"),
    "broken kernel": (["print(1)"], "died", 5, "s"),
    "lost kernel": (["print(1)"], "died", 5, "s"),
    "no kernel named": (["print(1)"], "done", 0, "c"),
    "leaks": (["# Leaks", LEAK, "raise ValueError(token)", "1"], "failed", 3, "scfs"),
    "outside": (["# Pictures\n\nFrom outside.\n\n![p](https://x.test/t.png) and [a link](https://example.com/)", OUTSIDE], "done", 0, "sc"),
}  # fmt: skip
WORDS = {"c": "completed", "f": "failed", "s": "skipped"}
KERNELS = {"broken kernel": "broken", "lost kernel": "lost"}
GIVEN = {"done": {"n": "5"}}


def add_kernel(folder: Path, name: str, *argv: str) -> None:
    place = folder / "kernels" / name
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunResult]]:
    """The runs of all notebooks of ENDS, made in threads."""
    place = tmp_path_factory.mktemp("ends")
    add_kernel(place, "broken", sys.executable, "-c", "import sys; sys.exit('no module named kernel')")
    add_kernel(place, "lost", str(place / "no-such-python"), "-f", "{connection_file}")

    def one(name: str) -> RunResult:
        kernel = None if name == "no kernel named" else {**PYTHON3, "name": KERNELS.get(name, "python3")}
        path = write_notebook(place / "books" / f"{name}.ipynb", *ENDS[name][0], kernel=kernel)
        return run_runbook(str(path), GIVEN.get(name), folder=place / "runs")

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HOME": place,
            "LCNB_CONFIG_DIR": place,
            "JUPYTER_PATH": place,
            "LETSCLOUD_API_KEY": SECRET,
            "LETSCLOUD_API_TOKEN": SECOND,
        }.items():
            patch.setenv(name, str(value))
        with ThreadPoolExecutor(2) as pool:
            runs = dict(zip(ENDS, pool.map(one, ENDS), strict=True))
    yield runs


@pytest.mark.parametrize("name", ENDS)
def test_end(name: str, ends: dict[str, RunResult]) -> None:
    """Result, run.json, notebook and report tell the same end; no cell that did not run is `completed`."""
    _, status, code, cells = ENDS[name]
    run = ends[name]
    assert (run.status, run.exit_code) == (status, code)
    facts = record(run.folder)
    assert (facts["status"], facts["exit_code"]) == (status, code)
    notebook = saved(run.folder)
    assert (notebook.metadata.lcnb.status, notebook.metadata.lcnb.exit_code) == (status, code)
    assert notebook.metadata.papermill.exception == (status != "done")
    assert statuses(run.folder) == [WORDS[letter] for letter in cells]
    assert f'">{status}</span></h1>' in run.report.read_text(encoding="utf-8")
    assert (run.error is None) == (status == "done")


@pytest.mark.parametrize(
    ("name", "number", "source", "said"),
    [
        ("raises", 3, "1/0  # here", "ZeroDivisionError: division by zero"),
        ("exit 7", 1, "import sys; sys.exit(7)", "SystemExit: 7"),
        ("exit text", 1, "import sys; sys.exit('no disk')", "SystemExit: no disk"),
        ("asks", 1, "input('sure?')", "StdinNotImplementedError"),
    ],
)
def test_failing_cell(name: str, number: int, source: str, said: str, ends: dict[str, RunResult]) -> None:
    """The failing cell stands with number, source and error in the result, in run.json and in the report."""
    run = ends[name]
    facts = record(run.folder)["failed_cell"]
    assert (facts["number"], facts["source"]) == (number, source)
    assert said in f"{facts['ename']}: {facts['evalue']}"
    assert run.error is not None
    assert run.error.startswith(
        f"cell {number} failed: {facts['ename']}: {facts['evalue']}\n\n    {source}\n"
    )
    page = run.report.read_text(encoding="utf-8")
    assert f"<h2>Cell {number}: {escape(facts['ename'])}: {escape(facts['evalue'])}</h2>" in page
    assert f"<pre>{escape(source)}</pre>" in page
    assert "\x1b" not in run.error + page


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("killed", "Kernel died"),
        (
            "broken kernel",
            "the kernel could not start: Kernel died before replying.*\nno module named kernel",
        ),
        ("lost kernel", "the kernel could not start: .*No such file.*no-such-python"),
    ],
)
def test_death_is_told(name: str, said: str, ends: dict[str, RunResult]) -> None:
    """How a kernel died is told, with the last words of its process."""
    run = ends[name]
    assert re.search(f"^died: {said}", run.error or "")
    assert re.search(said, record(run.folder)["reason"])
    assert 'role="alert"' in run.report.read_text(encoding="utf-8")


def test_outputs_are_kept(ends: dict[str, RunResult]) -> None:
    """The saved notebook holds what ran until the end, the report shows it, and neither more."""
    run = ends["raises"]
    assert saved(run.folder).cells[1].outputs[0].text == "before\n"
    page = run.report.read_text(encoding="utf-8")
    assert "before" in page
    assert "This is not reached" not in page


@pytest.mark.parametrize(
    ("name", "error"), [("raises", CellFailed), ("exit 7", CellFailed), ("killed", KernelDied)]
)
def test_check_raises(name: str, error: type[RunError], ends: dict[str, RunResult]) -> None:
    """`check` raises for a run that is not done, with its runbook, error, folder and exit code."""
    run = ends[name]
    with pytest.raises(error, match=re.escape(f"{name}: {run.error}")) as raised:
        run.check()
    assert raised.value.folder == run.folder
    assert raised.value.exit_code == run.exit_code


def test_check_passes(ends: dict[str, RunResult]) -> None:
    """`check` gives the result of a run that is done; an interrupted one is a RunError."""
    assert ends["exit 0"].check() is ends["exit 0"]
    with pytest.raises(RunError):
        RunResult("nightly", "interrupted", 130, Path()).check()


def test_result_shows(ends: dict[str, RunResult]) -> None:
    """A result shows runbook, status and folder as a table in a notebook."""
    html = ends["done"]._repr_html_()
    assert all(escape(each) in html for each in ("done", str(ends["done"].folder)))


# --- what a run leaves ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inventory(
    server: lcnb.sandbox.SandboxProcess, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[RunResult], list[list[tuple[int, int, str]]]]:
    """Two runs of the inventory runbook at once, and what each told of its cells."""
    place = tmp_path_factory.mktemp("inventory")
    told: list[list[tuple[int, int, str]]] = [[], []]

    def one(number: int) -> RunResult:
        settings = load_settings(token=server.token, base_url=server.base_url)
        parameters = {"location": "mia1", "state": None} if number else {}
        return run_runbook(
            "inventory",
            parameters,
            settings=settings,
            folder=place,
            progress=lambda *each: told[number].append(each),
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, (0, 1))), told


def test_two_at_once(inventory: Any) -> None:
    """Two runs at the same time get a folder each, for their owner alone, and each record is its own."""
    (first, second), _ = inventory
    assert first.folder != second.folder
    for run in (first, second):
        assert run.check().folder.stat().st_mode & 0o777 == 0o700
        assert re.fullmatch(r"\d{8}T\d{6}Z-inventory-[0-9a-f]{6}", run.folder.name)
        names = {path.name for path in run.folder.iterdir()}
        assert names == {"inventory.ipynb", "report.html", "run.json"} | {
            f"{name}.{kind}" for name in ("inventory", "locations") for kind in ("csv", "parquet")
        }
        assert {path.name for path in run.files} == names
    assert len(pd.read_parquet(first.folder / "inventory.parquet")) == 60
    assert set(pd.read_parquet(second.folder / "inventory.parquet").location) == {"MIA1"}


def test_record(inventory: Any, server: lcnb.sandbox.SandboxProcess) -> None:
    """run.json tells what ran, with what, when, where, by what versions, and what came of it."""
    run = inventory[0][1]
    source = ROOT / "notebooks" / "runbooks" / "inventory.ipynb"
    facts = record(run.folder)
    assert facts["id"] == run.folder.name
    assert (facts["runbook"], facts["title"], facts["notebook"]) == ("inventory", "Inventory", str(source))
    assert facts["notebook_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert facts["parameters"] == run.parameters
    assert facts["parameters"] == {
        "account": None, "location": "MIA1", "state": None, "currency": None, "output_format": "both",
    }  # fmt: skip
    started, ended = (datetime.fromisoformat(facts[name]) for name in ("started", "ended"))
    assert started <= ended
    assert 0 < facts["duration_s"] < 120
    assert (facts["account"], facts["base_url"]) == (None, server.base_url)
    assert (facts["pid"], facts["python"]) == (os.getpid(), platform.python_version())
    assert facts["versions"].items() >= {"lcnb": lcnb.__version__, "pandas": version("pandas")}.items()
    assert (facts["failed_cell"], facts["problems"], facts["reason"]) == (None, [], "")
    written = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.name != "run.json"}
    assert facts["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in written.items()
    }


def test_parameters_kept(ends: dict[str, RunResult]) -> None:
    """Given and default parameters stand in result, record and report, one that JSON cannot hold as its text."""
    run = ends["done"]
    assert run.parameters == record(run.folder)["parameters"] == {"n": 5, "words": "{'a'}"}
    assert saved(run.folder).cells[3].outputs[0].text == "5\n"
    page = run.report.read_text(encoding="utf-8")
    assert "<dt>n</dt><dd>5</dd>" in page
    assert "<h1>Title<span" in page
    assert "<p>What it is for.</p>" in page


def test_progress(inventory: Any) -> None:
    """Each code cell is announced before it runs, with its number, how many there are, and its first line."""
    for told, run in zip(inventory[1], inventory[0], strict=True):
        cells = saved(run.folder).cells
        ran = [number for number, cell in enumerate(cells) if cell.cell_type == "code"]
        assert [index for index, _, _ in told] == ran
        assert {total for _, total, _ in told} == {len(cells)}
        assert all(title and len(title) <= 60 for _, _, title in told)


def test_run_with_a_name() -> None:
    """Who passes the name of a runbook to `lcnb.run` reads how to run it, also without a token."""
    with pytest.raises(TypeError, match=r"lcnb\.runbook\('inventory'\).*lcnb run inventory.*sandbox=True"):
        lcnb.run("inventory")  # type: ignore[arg-type]


def test_save(ends: dict[str, RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb.run().save` keeps a frame as parquet and csv in the run's folder; without a run, where we are."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"n": [1, 2], "t": ["a", None]})
    assert [path.name for path in lcnb.run().save("a-b_1", frame)] == ["a-b_1.parquet", "a-b_1.csv"]
    monkeypatch.setenv("LCNB_RUN_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    (path,) = lcnb.run().save("n", frame, ["csv"])
    assert path == tmp_path / "run" / "n.csv"
    assert path.read_bytes() == b"n,t\n1,a\n2,\n"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a-b_1.parquet"), frame)


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".a", "a.b", "a b"])
def test_save_name(name: str) -> None:
    """A name that could leave the folder, or is no plain word, is refused."""
    with pytest.raises(InputError, match="cannot name a file of the run"):
        lcnb.run().save(name, pd.DataFrame())


def test_save_format() -> None:
    """An unknown format is refused before anything is written."""
    with pytest.raises(InputError, match=r"unknown format 'xlsx'; the formats are parquet, csv"):
        lcnb.run().save("a", pd.DataFrame(), ["csv", "xlsx"])


# --- what it must never leave ---------------------------------------------------------------------------


def forms(secret: str) -> set[str]:
    """The ways in which a secret may stand in a file, and parts of it that alone would give it away."""
    plain = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")}
    plain |= {escape(secret), escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")}
    for before in range(3):
        coded = base64.b64encode(b"x" * before + secret.encode()).decode()
        plain |= {part for start in (4, 12) if len(part := coded[start : start + 16]) == 16}
    return plain | {each.replace("+", "-").replace("/", "_") for each in plain} | {secret[:12], secret[-12:]}


def test_token_stays_out(ends: dict[str, RunResult]) -> None:
    """No file of a run holds the token or one beside it, in any form, wherever the notebook puts it."""
    run = ends["leaks"]
    for path in run.folder.rglob("*"):
        content = path.read_bytes().decode("utf-8", "replace")
        for form in forms(SECRET) | {SECOND}:
            assert form not in content, f"{form} in {path.name}"
    assert (run.folder / "text.txt").read_text() == "the token is *****"
    assert (run.folder / "zz.txt").read_text() == "after the binary file: *****"
    assert not (run.folder / "raw.bin").exists()
    assert run.problems == ["raw.bin held the API token and was removed"]
    assert run.problems == record(run.folder)["problems"]
    assert run.error is not None
    assert SECRET not in run.error
    assert saved(run.folder).cells[1].outputs[0].text.startswith("***** ")


def test_no_passwords(inventory: Any, server: lcnb.sandbox.SandboxProcess) -> None:
    """No file of the inventory run holds an initial password of a machine, or the token."""
    headers = {"api-token": server.token}
    rows = httpx.get(f"{server.base_url}/instances", headers=headers, trust_env=False).json()["data"]
    passwords = {row["initial_root_password"] for row in rows if row["initial_root_password"]}
    assert len(passwords) > 50
    for run in inventory[0]:
        for path in run.folder.rglob("*"):
            content = path.read_bytes().decode("utf-8", "replace")
            assert server.token not in content
            assert not [each for each in passwords if each in content or escape(each) in content]


FACTS = {
    "title": "T", "purpose": "", "status": "done", "account": None, "base_url": None, "duration_s": None, "user": "u",
    "host": "h", "id": "i", "parameters": {}, "started": "2026-01-31T14:00:00+00:00", "versions": {"lcnb": "0"},
}  # fmt: skip


class Loads(HTMLParser):
    """Collects what a page would ask for, and what could act in it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.in_style = tag == "style"
        if tag in ("script", "iframe", "frame", "object", "embed", "base"):
            self.found.append(tag)
        for name, value in attrs:
            value = value or ""
            click = tag == "a" and name == "href"
            if (
                name.startswith("on")
                or (name == "http-equiv" and value.lower() == "refresh")
                or (
                    not name.startswith("xmlns")
                    and not click
                    and "//" in value
                    and not value.startswith("data:")
                )
            ):
                self.found.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self.in_style and re.search(r"@import|url\(|//", data):
            self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False


def loads(page: str) -> list[str]:
    """What a page loads or runs, besides the one script of every report, which sorts tables."""
    parser = Loads()
    parser.feed(page.replace(f"<script>{SORT_SCRIPT}</script>", "", 1))
    return parser.found


def test_report_is_alone(inventory: Any) -> None:
    """The report of the inventory runbook asks nobody for anything and has no script but that which sorts tables."""
    for run in inventory[0]:
        page = run.report.read_text(encoding="utf-8")
        assert page.count("<svg") >= 4
        assert loads(page) == []


def test_nothing_from_outside(ends: dict[str, RunResult]) -> None:
    """Outputs and Markdown that would load something, or act, lose it in the report; texts and links stay."""
    page = ends["outside"].report.read_text(encoding="utf-8")
    assert loads(page) == []
    assert set(re.findall(r"x\.test/\w+", unescape(page))) == {"x.test/printed"}
    assert "kept text" in page
    assert "color: red" in page
    assert 'src="data:image/png;base64,AAAA"' in page
    assert '<a href="https://example.com/">a link</a>' in page
    assert """<meta http-equiv="Content-Security-Policy" content="default-src 'none';""" in page


def test_report_links() -> None:
    """A file beside the report is linked to also where its name has letters that mean something in a link."""
    assert '<a href="a%20%231%3F%22.csv">a #1?&quot;.csv</a>' in report.render_page(
        FACTS, None, ['a #1?".csv']
    )


# --- interrupted, full, or in odd places ----------------------------------------------------------------


def ends_within(seconds: float, ended: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not ended():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(number: int, code: int, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end kernel and run, the record says so, and the exit code and folder are told."""
    long = "import os, time; open('begun', 'w').write(str(os.getpid())); time.sleep(3600)"
    path = write_notebook(tmp_path / "long.ipynb", "print('before')", long, "print('after')")
    # A shell lets what it starts in the background ignore Ctrl-C; the tests may run there.
    main = (
        "import signal; signal.signal(2, signal.default_int_handler); from lcnb.cli.main import main; main()"
    )
    command = [sys.executable, "-c", main, "run", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert ends_within(600, lambda: any(each.read_text() for each in tmp_path.glob("runs/*/begun")))
        (folder,) = (tmp_path / "runs").glob("*/")
        kernel = int((folder / "begun").read_text())
        assert psutil.pid_exists(kernel)
        process.send_signal(number)
        out, err = process.communicate(timeout=600)
    assert process.returncode == code
    assert out == ""
    assert err.split() == [
        *(["interrupted"] if code == 130 else []),
        *f"what was saved of the run: {folder}".split(),
    ]
    assert ends_within(600, lambda: not psutil.pid_exists(kernel))
    assert (record(folder)["status"], record(folder)["exit_code"]) == ("interrupted", code)
    assert saved(folder).metadata.lcnb.status == "interrupted"
    assert statuses(folder) == ["completed", "failed", "skipped"]
    assert "interrupted" in (folder / "report.html").read_text(encoding="utf-8")


def test_interrupted_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt before the kernel starts is told as one too."""

    def interrupt(self: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill_engine._ExecutionManager, "notebook_start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_runbook(str(write_notebook(tmp_path / "a.ipynb", "1")))
    (folder,) = (tmp_path / "runs").glob("*/")
    assert (record(folder)["status"], record(folder)["exit_code"]) == ("interrupted", 130)
    assert saved(folder).metadata.lcnb.status == "interrupted"


def test_interrupted_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt while the kernel starts leaves no kernel behind, and the record says so."""
    started = []

    def interrupt(self: Any, **kwargs: Any) -> None:
        started.extend(psutil.Process().children(recursive=True))
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill_client.CellRunner, "start_new_kernel_client", interrupt)
    before = psutil.Process().children(recursive=True)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run_runbook(str(write_notebook(tmp_path / "a.ipynb", "1")))
    # The first test of a worker also starts the process that forks the others (tests/preloaded.py).
    kernel = max((each for each in started if each not in before), key=lambda each: each.create_time())
    assert ends_within(600, lambda: not kernel.is_running())
    (folder,) = (tmp_path / "runs").glob("*/")
    assert stopped.value.__notes__ == [f"what was saved of the run: {folder}"]
    assert (record(folder)["status"], statuses(folder)) == ("interrupted", ["skipped"])


def test_interrupt_waits() -> None:
    """An interrupt while the process of a kernel is being made takes effect when it is known, not before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    try:
        with pytest.raises(KeyboardInterrupt), papermill_client.defer_signals():
            signal.raise_signal(signal.SIGINT)
            done.append("known")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["known"]


@pytest.mark.parametrize(
    ("limit", "told", "left"),
    [
        (
            100,
            "the run's folder .* cannot be written: File too large. Nothing was started. Choose another folder",
            None,
        ),
        (
            20_000,
            "the run in .* could not be written: File too large. The folder holds what was saved before",
            "failed",
        ),
    ],
)
def test_full_disk(limit: int, told: str, left: str | None, tmp_path: Path) -> None:
    """A disk that is full is one clear error; a run that was begun has its record, one that was not no folder."""
    path = write_notebook(tmp_path / "large.ipynb", "print('x' * 40_000)", "print('after')")
    main = (
        "import resource; from lcnb.cli.main import main; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); main()"
    )
    command = [sys.executable, "-c", main, "run", str(path)]
    # Python would keep the half of a compiled module that still fits, and every later start would fail on it.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"error: {told}.*\n", done.stderr)
    folders = list((tmp_path / "runs").glob("*/"))
    assert [record(folder)["status"] for folder in folders] == ([left] if left else [])


def test_no_folder(tmp_path: Path) -> None:
    """Where no folder can be made nothing is started, and the cure is told."""
    (tmp_path / "runs").write_text("a file")
    path = write_notebook(tmp_path / "a.ipynb", "open('begun', 'w')")
    with pytest.raises(
        RunError, match=r"cannot be created: .*Nothing was started\. Choose another folder with --runs-dir"
    ):
        run_runbook(str(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.ipynb", "home", "runs"]


def test_report_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that cannot be made is a problem that is told, and the run is as it was."""
    monkeypatch.setattr("lcnb.runbooks.publish.report.render_page", lambda *_: {}["broken"])
    run = run_runbook(str(write_notebook(tmp_path / "a.ipynb", "1")))
    assert run.check().problems == ["KeyError: 'broken'"]
    assert record(run.folder)["problems"] == run.problems
    assert not run.report.exists()


def test_odd_place(tmp_path: Path) -> None:
    """A notebook of one's own runs from a path with spaces, braces and other letters, and without a stdin."""
    path = write_notebook(tmp_path / "a {b} c" / "ünïcode {x}.ipynb", "print('héllo')")
    command = ["sh", "-c", 'exec "$0" run "$1" <&-', LCNB, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (tmp_path / "runs").glob("*/")
    assert folder.name.split("-", 1)[1].startswith("ünïcode-x-")
    assert saved(folder).cells[0].outputs[0].text == "héllo\n"
    assert (folder / path.name).is_file()


def test_in_a_loop(tmp_path: Path) -> None:
    """A run can be started where an event loop runs already, as in a cell of Jupyter."""
    path = write_notebook(tmp_path / "a.ipynb", "1")

    async def cell() -> RunResult:
        return run_runbook(str(path))

    assert asyncio.run(cell()).status == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="names of handles are read from /proc")
def test_what_outlasts_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is forced to the disk before a cell is run, then all that tells the end; a disk need not wait for more."""
    forced = []

    def fsync(handle: int, of_system: Callable[[int], None] = os.fsync) -> None:
        of_system(handle)
        forced.append(Path(f"/proc/self/fd/{handle}").readlink().name.removeprefix(".").rpartition(".")[0])

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(papermill_engine, "SYNC_AFTER_S", 3600.0)
    path = write_notebook(tmp_path / "a.ipynb", "1")
    run = run_runbook(str(path), progress=lambda *cell: forced.append("cell"))

    assert run.status == "done"
    assert forced[:3] == ["run.json", "cell", "a.ipynb"]
    assert set(forced[3:5]) == {"run.json", "report.html"}  # at the same time
    assert forced[5:] == ["index", "run.json"]


def test_socket_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets of a kernel are in a folder for their owner alone whose path is short, wherever TMPDIR is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))
    folder = papermill_engine._socket_folder()
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(str(folder / "k-ipc-1")) < 100
    finally:
        folder.rmdir()


# --- what is refused ------------------------------------------------------------------------------------

NOTEBOOK = (
    '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": '
    '[{"cell_type": "code", "metadata": {}, "source": "1", "outputs": []}]}'
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a notebook: "),
        ("print(1)", "is not a notebook: "),
        ("[" * 100_000, "is not a notebook: "),
        ("\udcff", "is not a notebook: "),
        ("[1]", "it does not say nbformat 4"),
        ('{"cells": []}', "it does not say nbformat 4"),
        ('{"nbformat": 5, "cells": [], "metadata": {}}', "it says nbformat 5, but the newest format"),
        ('{"nbformat": 4, "cells": [], "metadata": []}', "its metadata is not an object"),
        ('{"nbformat": 4, "metadata": {"kernelspec": "python3"}, "cells": []}', "its kernelspec is not an object"),
        ('{"nbformat": 4, "metadata": {}}', "its cells are not a list"),
        (NOTEBOOK.replace("}]", "}, 5]"), "cell 2 has no metadata"),
        (NOTEBOOK.replace('{}, "source"', '[], "source"'), "cell 1: its metadata is not an object"),
        (NOTEBOOK.replace("code", "cod"), "cell 1 has no type or no source"),
        (NOTEBOOK.replace("source", "sauce"), "cell 1 has no type or no source"),
        (NOTEBOOK.replace('"1"', "[1]"), "cell 1 has no type or no source; its source is not a text"),
    ],
)  # fmt: skip
def test_no_notebook(text: str, told: str, tmp_path: Path) -> None:
    """A file that is no notebook of format 4 is refused with its path and what is wrong."""
    path = tmp_path / "a.ipynb"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(
        InputError, match=f"{re.escape(str(path))} is not a notebook.*Nothing was started"
    ) as no:
        run_runbook(str(path))
    assert told in str(no.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("inventry", r"no runbook 'inventry' \(did you mean 'inventory'\?\)\. Shipped: .*inventory"),
        ("nightly", r"no runbook 'nightly'\. .*a file of your own: \./nightly\.ipynb"),
        ("./nightly.ipynb", r"no runbook file \./nightly\.ipynb: looked at /.*/nightly\.ipynb"),
        (".", r"'\.' is a folder\. Name a notebook"),
        ("", r"no runbook ''"),
    ],
)
def test_no_runbook(name: str, told: str) -> None:
    """A runbook that is not there is refused with a near one, or with the place that was looked at."""
    with pytest.raises(InputError, match=rf"{told}.* Nothing was started\."):
        find_runbook(name)


def test_no_kernel(tmp_path: Path) -> None:
    """A notebook for a kernel that is not installed is refused, with those that are."""
    path = write_notebook(tmp_path / "a.ipynb", "1", kernel={**PYTHON3, "name": "julia-9"})
    with pytest.raises(
        InputError, match=r"asks for the Jupyter kernel 'julia-9', .*Installed: .*python3.*Nothing"
    ):
        run_runbook(str(path))
    assert not (tmp_path / "runs").exists()


def test_no_token() -> None:
    """A shipped runbook needs a token; the notebooks for exploring bring their own sandbox and need none."""
    with pytest.raises(TokenMissing):
        run_runbook("inventory")
    explore = ROOT / "notebooks" / "explore" / "inventory.ipynb"
    with pytest.raises(ParameterError, match=r"no parameter 'x'\. This notebook takes none: "):
        run_runbook(str(explore), {"x": 1})


@pytest.mark.parametrize(
    ("account", "of_settings", "told"),
    [
        ("prod", False, r"parameter account: 'lab', but the option says 'prod'"),
        (
            None,
            True,
            r"parameter account: 'lab', but the settings are those of https://api\.example\.com/api",
        ),
    ],
)
def test_two_accounts(account: str | None, of_settings: bool, told: str, settings: Settings) -> None:
    """A run that is told of two accounts is refused: it would ask one and act on the other."""
    with pytest.raises(ParameterError, match=rf"{told}\. Nothing was started\."):
        run_runbook(
            "inventory", {"account": "lab"}, account=account, settings=settings if of_settings else None
        )


def test_named_account(own_home: Path, account_env: lcnb.sandbox.SandboxProcess, tmp_path: Path) -> None:
    """An account by option is the one that the notebook works with, whatever the environment says."""
    (own_home / "config").mkdir()
    (own_home / "config" / "lcnb.toml").write_text(
        f'[accounts.lab]\ntoken_env = "LAB_TOKEN"\nbase_url = "{account_env.base_url}"\n'
    )
    path = write_notebook(
        tmp_path / "a.ipynb",
        ("account: str | None = None", "parameters"),
        "import lcnb; print(lcnb.connect(account))",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_TOKEN", account_env.token)
        patch.setenv("LETSCLOUD_API_KEY", "the-token-of-another-account")
        run = run_runbook(str(path), account="lab").check()
    assert run.parameters == {"account": "lab"}
    assert record(run.folder)["account"] == "lab"
    assert "account='lab'" in saved(run.folder).cells[2].outputs[0].text


# --- the list -------------------------------------------------------------------------------------------


def test_shipped() -> None:
    """Each shipped runbook has a title, a purpose, and parameters with a type and a help each."""
    assert "inventory" in shipped_names()
    listed = describe_runbooks()
    assert listed.column("name") == shipped_names()
    assert min(map(len, listed.column("purpose"))) > 20
    for name in shipped_names():
        table = describe_runbooks(name)
        assert "any value" not in table.column("type")
        assert min(map(len, table.column("help"))) > 10
