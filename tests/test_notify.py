"""Who is told how a run ended, what is told, and the report as PDF; none of it changes how the run ended."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from conftest import record, write_notebook
from lcnb.runbooks.run import run_runbook

#: Apprise 2 imports a module that Python 3.13 no longer has, in a `try`.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Hook:
    """A web hook that keeps what it is told."""

    def __init__(self, status: int = 200) -> None:
        self.told: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://user:hook-password@127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    served = Hook()
    yield served
    served.close()


@pytest.mark.parametrize(
    ("cell", "when", "title", "words"),
    [
        ("1", "all", "night: done", "report.html on "),
        ("1/0", "all", "night: failed", "cell 1: ZeroDivisionError"),
        ("1/0", "trouble", "night: failed", "cell 1: ZeroDivisionError"),
        ("import lcnb; lcnb.run().attention('look at web-03')", "trouble", "night: attention", "! look at web-03"),
        ("1", "trouble", None, ""),
    ],
)  # fmt: skip
def test_told(
    cell: str,
    when: str,
    title: str | None,
    words: str,
    hook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end of a run is told with its reason and the place of the report, or only when there is trouble."""
    monkeypatch.setenv("LCNB_NOTIFY", hook.url)
    monkeypatch.setenv("LCNB_NOTIFY_ON", when)
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", cell)))
    assert result.problems == []
    assert [each["title"] for each in hook.told] == ([title] if title else [])
    assert all(words in each["message"] for each in hook.told)


@pytest.mark.parametrize(
    ("notify", "when", "problem"),
    [
        ("json://user:hook-password@127.0.0.1:9/", "all", "the end of the run could not be told to everybody"),
        ("no-such-scheme://user:hook-password@x", "all", "LCNB_NOTIFY: entry 1 is no Apprise URL and no file"),
        ("/no/such/hook-password", "all", "LCNB_NOTIFY: entry 1 is no Apprise URL and no file"),
        ("json://user:hook-password@127.0.0.1:9/", "never", "LCNB_NOTIFY_ON: 'never' is neither 'all' nor 'trouble'"),
    ],
)  # fmt: skip
def test_not_told(
    notify: str, when: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot be told does not change how the run ended: it is a problem in the record, without the password."""
    monkeypatch.setenv("LCNB_NOTIFY", notify)
    monkeypatch.setenv("LCNB_NOTIFY_ON", when)
    source = "import os; os.environ.get('LCNB_NOTIFY', 'nobody')"
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", source)))
    assert (result.status, result.exit_code) == ("done", 0)
    assert len(result.problems) == 1
    assert problem in result.problems[0]
    assert record(result.folder)["problems"] == result.problems
    for path in result.folder.iterdir():
        assert b"hook-password" not in path.read_bytes(), path


@pytest.mark.skipif(shutil.which("chromium") is None, reason="prints by Chromium")
def test_pdf(tmp_path: Path) -> None:
    """The report is printed as PDF, and stands in the record with its hash."""
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "# A title", "print('x')")), pdf=True)
    assert result.problems == []
    assert (result.folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "report.pdf" in record(result.folder)["files"]


def test_no_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Chromium the run ends as it does, and the missing PDF is told."""
    monkeypatch.setattr("lcnb.runbooks.pdf.NAMES", ("no-such-browser",))
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")), pdf=True)
    assert result.status == "done"
    assert result.problems == ["no report.pdf: none of no-such-browser is installed here"]
