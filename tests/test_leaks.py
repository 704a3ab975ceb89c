"""A canary token, password and private key, pushed through every channel that a notebook has: none is kept."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from conftest import record, saved, write_notebook
from lcnb.errors import ParameterError
from lcnb.runbooks.batch.launcher import run_row
from lcnb.runbooks.engine import warm_server
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook

TOKEN = "canary-token/7f3e'9a1c+5b<&>6d2e"
PASSWORD = 'Canary#Pass\\word"1é'
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "\n".join(
    base64.b64encode(f"canary line {number} of a private key, 32 bytes".encode()).decode() for number in range(5)
) + "\n-----END OPENSSH PRIVATE KEY-----\n"  # fmt: skip

pytestmark = pytest.mark.timeout(900)  # whole runs in one fixture, on a machine that may be busy

#: Where a cell puts a value `x`; each is a channel of its own.
CHANNELS = {
    "stdout": "print(x)",
    "stderr": "import sys; print(x, file=sys.stderr)",
    "result": "x",
    "repr": "[x, {'key': x}]",
    "html": "from IPython.display import HTML, display; display(HTML('<p>' + __import__('html').escape(x) + '</p>'))",
    "frame": "import pandas as pd; pd.DataFrame({'password': [x], 'n': [1]})",
    "widget": "import ipywidgets; ipywidgets.Password(value=x)",
    "plot": "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as plt; plt.rcParams['svg.fonttype'] = 'none'\n"
            "f, a = plt.subplots(); a.set_title(x.replace('$', '')[:60]); f.savefig('plot.svg'); plt.close(f)",
    "url": "import urllib.parse; print('https://example.com/?key=' + urllib.parse.quote(x), urllib.parse.quote_plus(x))",
    "base64": "import base64; print(base64.b64encode(b'user:' + x.encode()).decode())",
    "json": "import json; print(json.dumps({'a': json.dumps({'key': x})}))",
    "log": "import logging; logging.warning('with %s', x)",
    "file": "open('kept.txt', 'w').write(x); import lcnb; lcnb.run().log(x); lcnb.run().attention('look at ' + x)",
    "table": "import lcnb, pandas as pd; lcnb.run().save('kept', pd.DataFrame({'value': [x]}), ['csv'])",
    "traceback": "def send(secret):\n    raise RuntimeError(f'refused {secret!r}')\nsend(x)",
}  # fmt: skip
SOURCES = {
    "environment": "import os; x = os.environ[{name!r}]",
    "secret": "import lcnb, base64; x = lcnb.Secret(base64.b85decode({coded!r}).decode()).reveal()",
}


@pytest.fixture(
    scope="module",
    params=[(source, engine) for source in SOURCES for engine in ("kernel", "shell")],
    ids="-".join,
)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, list[RunResult], bytes]]:
    """Runs of a notebook with all channels for each canary, and all that stood in their folders meanwhile."""
    source_of, engine = request.param
    place = tmp_path_factory.mktemp("leaks")
    canaries = {"LETSCLOUD_API_KEY": TOKEN, "DB_PASSWORD": PASSWORD, "SSH_PRIVATE_KEY": KEY}
    seen: list[bytes] = []
    over = threading.Event()

    def watch() -> None:
        known: dict[Path, int] = {}
        while not over.is_set():
            for path in place.glob("runs/*/*"):
                try:
                    if path.is_file() and known.get(path) != path.stat().st_mtime_ns:
                        known[path] = path.stat().st_mtime_ns
                        if path.suffix == ".ipynb" or path.name in ("run.json", "report.html"):
                            seen.append(path.read_bytes())
                except OSError:
                    pass
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("LCNB_CONFIG_DIR", str(place))
        patch.setenv("LCNB_STATE_DIR", str(place))
        for name, value in canaries.items():
            if source_of == "environment" or name == "LETSCLOUD_API_KEY":
                patch.setenv(name, value)
        watcher.start()
        runs = []
        for name, value in canaries.items():
            coded = base64.b85encode(value.encode()).decode()
            source = SOURCES[source_of].format(name=name, coded=coded)
            tolerated = [(cell, "raises-exception") for cell in CHANNELS.values()]
            book = write_notebook(place / f"{name}.ipynb", source, *tolerated[:-1], CHANNELS["traceback"])
            runs.append(_run(book, place / "runs", engine))
        warm_server.close_shared_server()
        over.set()
        watcher.join()
    yield engine, runs, b"\n".join(seen)


def _run(book: Path, runs: Path, engine: str) -> RunResult:
    """With a kernel in this process, or warm, as a row of a batch."""
    if engine == "kernel":
        return run_runbook(str(book), folder=runs)
    sha256 = hashlib.sha256(book.read_bytes()).hexdigest()
    task = {
        "row": 1,
        "runbook": str(book),
        "sha256": sha256,
        "parameters": {},
        "account": None,
        "confirm": False,
    }
    told = run_row({**task, "runs_dir": str(runs), "previous": None})
    return RunResult(book.stem, told["status"], told["exit_code"], Path(told["folder"]), told["error"])


def forms(value: str) -> set[str]:
    """How a canary, or a good part of it, may stand in a file."""
    lines = [line for line in value.splitlines() if line and not line.startswith("-----")]
    found: set[str] = set()
    for part in [value, *lines]:
        found |= {
            part,
            repr(part)[1:-1],
            escape(part),
            json.dumps(part)[1:-1],
            json.dumps(json.dumps(part))[3:-3],
        }
        found |= {quote(part), quote(part, safe=""), base64.b64encode(part.encode()).decode()[4:24]}
    return {each for each in found if len(each) > 8}


@pytest.mark.parametrize("number", range(3))
def test_no_canary(number: int, run: tuple[str, list[RunResult], bytes]) -> None:
    """No file of the run holds a canary in any form, and no save on the way did."""
    engine, runs, seen = run
    value = (TOKEN, PASSWORD, KEY)[number]
    result = runs[number]
    assert (result.status, result.exit_code) == ("failed", 3)
    assert record(result.folder)["engine"] == engine
    assert len(saved(result.folder).cells) == len(CHANNELS) + 1
    assert record(result.folder)["failed_cell"]["ename"] == "RuntimeError"
    texts = {path.name: path.read_bytes() for path in result.folder.rglob("*") if path.is_file()}
    assert {"kept.txt", "kept.csv", "plot.svg", "run.log"} <= set(texts)
    texts["on the way"] = seen
    texts["told"] = (result.error or "").encode()
    for name, content in texts.items():
        for form in forms(value):
            assert form.encode() not in content, f"{form} in {name}"


def test_not_a_parameter(tmp_path: Path) -> None:
    """A secret that is passed as a parameter is refused, and its value is not repeated."""
    book = write_notebook(tmp_path / "a.ipynb", ("n: int = 1", "parameters"), "n")
    with pytest.raises(ParameterError) as refused:
        run_runbook(str(book), {"api_token": TOKEN})
    assert TOKEN not in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_another_file(tmp_path: Path) -> None:
    """A process that a cell starts cannot write a secret into a file that has the pipe's number by chance."""
    source = (
        "import subprocess, sys\n"
        "code = '''import os, lcnb\n"
        'number = int(os.environ["LCNB_RUN_SECRETS"].partition(":")[0])\n'
        'os.dup2(os.open("caught.txt", os.O_WRONLY | os.O_CREAT), number)\n'
        "lcnb.Secret(\"a-secret-of-the-child\").reveal()'''\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
        "print(repr(open('caught.txt').read()))"
    )
    result = run_runbook(str(write_notebook(tmp_path / "a.ipynb", source))).check()
    assert saved(result.folder).cells[0].outputs[0].text == "''\n"
