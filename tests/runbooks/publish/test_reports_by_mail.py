"""The mail with the report, the one message of a batch, the digest, and the pings of a dead man's switch: over sockets."""

from __future__ import annotations

import email.message
import email.policy
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

import lcnb
from conftest import lcnb_here, record, write_notebook
from lcnb.runbooks.batch.runner import batch
from lcnb.runbooks.publish import notifications
from lcnb.runbooks.publish.messages import batch_message, digest_message
from lcnb.runbooks.records.run_record import RunRecord
from lcnb.runbooks.run import run_runbook

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class AnyPort(Controller):
    """A server on a port that the system chooses: aiosmtpd checks the port that was asked for."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


class Mailbox:
    """An SMTP server on this machine that keeps the mails it receives."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.controller = AnyPort(self, hostname="127.0.0.1", port=0, ready_timeout=600)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 OK"

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.controller.port}?from=lcnb@example.com&to=ana@example.com&mode=insecure"

    def attachments(self) -> dict[str, bytes]:
        (mail,) = self.mails
        return {str(each.get_filename()): each.get_payload(decode=True) for each in mail.iter_attachments()}  # type: ignore[misc]


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    box = Mailbox()
    box.controller.start()
    monkeypatch.setenv("LCNB_NOTIFY", box.url)
    yield box
    box.controller.stop()


class Switch:
    """A dead man's switch: it keeps the path and the body of each call."""

    def __init__(self, status: int = 200) -> None:
        self.calls: list[tuple[str, str]] = []
        switch = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                switch.calls.append((self.path, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping-secret/{{runbook}}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.calls]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    served = Switch()
    monkeypatch.setenv("LCNB_PING_URL", served.url)
    yield served
    served.close()


# --- mail -----------------------------------------------------------------------------------------------


def test_mail(mailbox: Mailbox, tmp_path: Path) -> None:
    """The mail has the report of the run, byte for byte."""
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "# Night", "print('all quiet')")))
    assert result.problems == []
    assert mailbox.mails[0]["Subject"] == "night: done"
    assert mailbox.attachments() == {"report.html": (result.folder / "report.html").read_bytes()}
    assert b"all quiet" in mailbox.attachments()["report.html"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="prints by Chromium")
def test_mail_with_pdf(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LCNB_NOTIFY_ATTACH=pdf the report is printed and attached, and its hash is in the record."""
    monkeypatch.setenv("LCNB_NOTIFY_ATTACH", "pdf")
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    assert result.problems == []
    assert mailbox.attachments()["report.pdf"].startswith(b"%PDF-")
    assert "report.pdf" in record(result.folder)["files"]


def test_mail_without_browser(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no PDF can be printed, the page is attached, and the record says so."""
    monkeypatch.setenv("LCNB_NOTIFY_ATTACH", "pdf")
    monkeypatch.setattr("lcnb.runbooks.publish.pdf.BROWSER_NAMES", ("no-such-browser",))
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    assert list(mailbox.attachments()) == ["report.html"]
    assert "attached as HTML: no report.pdf" in result.problems[0]


def test_mail_alone(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LCNB_NOTIFY_ATTACH=none nothing is attached."""
    monkeypatch.setenv("LCNB_NOTIFY_ATTACH", "none")
    run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    assert mailbox.attachments() == {}


def test_too_large(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that mail servers would refuse is named in the text, and the mail arrives."""
    monkeypatch.setattr(notifications, "MAX_ATTACHED_BYTES", 100)
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    assert result.problems == []
    assert mailbox.attachments() == {}
    body = mailbox.mails[0].get_body()
    assert body is not None
    assert "not attached, too large" in body.get_content()


def test_partial_delivery(mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one of two services fails, the record names both: who was notified, and who was not."""
    monkeypatch.setenv("LCNB_NOTIFY", f"{mailbox.url} json://user:hook-password@127.0.0.1:9/")
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    (problem,) = result.problems
    assert "not delivered by" in problem
    assert "delivered by E-Mail" in problem.partition("; ")[2]
    assert "hook-password" not in problem
    assert len(mailbox.mails) == 1


# --- batches and digests --------------------------------------------------------------------------------


def test_batch(mailbox: Mailbox, switch: Switch, tmp_path: Path) -> None:
    """A batch sends one message and two pings for all of its rows: what was not done, and the table of results."""
    notebook = write_notebook(tmp_path / "night.ipynb", "n: int = 1", "1 / n")
    cells = json.loads(notebook.read_text())
    cells["cells"][0]["metadata"]["tags"] = ["parameters"]
    notebook.write_text(json.dumps(cells))
    frame = batch(str(notebook), [{"n": 1}, {"n": 0}, {"n": 2}], workers=2)
    assert frame.attrs["lcnb"]["problems"] == []
    assert mailbox.mails[0]["Subject"] == "night, batch of 3: 1 failed"
    assert list(mailbox.attachments()) == ["results.csv"]
    body = mailbox.mails[0].get_body()
    assert body is not None
    assert "row 2 (n=0): failed: cell 3 failed: ZeroDivisionError" in body.get_content()
    assert switch.paths == ["/ping-secret/night/start", "/ping-secret/night/fail"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LCNB_NOTIFY", "targets.txt"),
        ("LCNB_NOTIFY", "nosuch://hook-password"),
        ("LCNB_NOTIFY_ON", "never"),
        ("LCNB_NOTIFY_ATTACH", "docx"),
        ("LCNB_PING_URL", "ping-secret"),
        ("LCNB_PING_URL", "ftp://host/ping-secret"),
    ],
)
def test_checked_first(variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with a target that cannot be used starts no row, and the error does not repeat the secret."""
    (tmp_path / "targets.txt").write_text("json://localhost\n" * 9 + "nosuch://hook-password\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    with pytest.raises(lcnb.ConfigError, match=variable) as caught:
        batch(str(write_notebook(tmp_path / "night.ipynb", "1")), [{}])
    assert "line 10" in str(caught.value) or value != "targets.txt"
    assert not any(secret in str(caught.value) for secret in ("hook-password", "ping-secret"))
    assert not (tmp_path / "runs").exists()


def test_digest(mailbox: Mailbox, tmp_path: Path) -> None:
    """One message about the runs of a time: those that failed first, with their reports."""
    os.environ.pop("LCNB_NOTIFY")  # the fixture restores it
    for name, cell in (("good", "1"), ("bad", "1/0"), ("odd", "import lcnb; lcnb.run().attention('look')")):
        run_runbook(str(write_notebook(tmp_path / f"{name}.ipynb", cell)))
    done = lcnb_here("runs", "digest", "--since", "1h", LCNB_NOTIFY=mailbox.url)
    assert done.returncode == 0, done.stderr
    assert mailbox.mails[0]["Subject"] == "lcnb: 3 runs since 1h: 1 attention, 1 failed"
    lines = done.stdout.splitlines()
    assert lines[0] == "lcnb: 3 runs since 1h: 1 attention, 1 failed"
    assert [line.partition(" at ")[0] for line in lines[2:4]] == ["bad", "odd"]
    assert lines[4] == "done: good (1)"
    (mail,) = mailbox.mails
    assert [each.get_filename() for each in mail.iter_attachments()] == ["report.html", "report.html"]


def test_digest_without_target(tmp_path: Path) -> None:
    """Without LCNB_NOTIFY a digest is an error with exit code 2: nobody would get it."""
    done = lcnb_here("runs", "digest", "--runs-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "LCNB_NOTIFY" in done.stderr


def test_empty_digest() -> None:
    """No run at all asks for attention: at night something should have run."""
    message = digest_message([], "24h", "here")
    assert (message.title, message.status, message.text) == (
        "lcnb: no run since 24h",
        "attention",
        "no run\non here",
    )


def test_long_messages() -> None:
    """A message describes at most 20 rows or runs, counts the others, and cuts a long reason."""
    rows = [{"row": n, "status": "failed", "error": "x" * 5000, "values": f"n={n}"} for n in range(1, 101)]
    text = batch_message("night", rows, Path("/runs/b"), "here").text
    assert "and 80 more rows" in text
    assert len(text) < 6000
    runs = [
        RunRecord(
            Path(f"/runs/{n}"), {"status": "failed", "closed": True, "runbook": "r", "reason": "x" * 5000}
        )
        for n in range(100)
    ]
    text = digest_message(runs, "24h", "here").text
    assert "and 80 more runs" in text
    assert len(text) < 6000


# --- pings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "end", "body"),
    [
        ("1", "", "done"),
        ("import lcnb; lcnb.run().attention('look')", "", "attention"),
        ("1/0", "/fail", "failed cell 1: ZeroDivisionError"),
        ("import os; os._exit(3)", "/fail", "died"),
    ],
)
def test_pings(cell: str, end: str, body: str, switch: Switch, tmp_path: Path) -> None:
    """The start and the end are reported under the name of the runbook; no file of the run has the URL."""
    result = run_runbook(str(write_notebook(tmp_path / "Night_Watch 2.ipynb", cell)))
    assert result.problems == []
    base = "/ping-secret/night-watch-2"
    assert switch.paths == [f"{base}/start", f"{base}{end}"]
    assert switch.calls[1][1].startswith(body)
    for path in result.folder.iterdir():
        assert b"ping-secret" not in path.read_bytes(), path


def test_killed_run_reports_no_end(switch: Switch, tmp_path: Path) -> None:
    """The service raises its alarm because nothing arrives."""
    notebook = write_notebook(
        tmp_path / "night.ipynb", "open('begun', 'w').close()", "import time; time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "lcnb", "run", str(notebook), "--cwd", str(tmp_path)]
    ) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert switch.paths == ["/ping-secret/night/start"]


@pytest.mark.parametrize("broken", ["closed", "refusing"])
def test_ping_fails(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch that cannot be reached, or answers with an error, is a problem in the record, without its URL."""
    served = Switch(500)
    monkeypatch.setenv("LCNB_PING_URL", served.url)
    if broken == "closed":
        served.close()
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    if broken == "refusing":
        served.close()
    assert (result.status, result.exit_code) == ("done", 0)
    (problem,) = result.problems
    assert (
        problem
        == f"RuntimeError: LCNB_PING_URL was not reached: {'ConnectError' if broken == 'closed' else 'HTTP 500'}"
    )


def test_wrong_url_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose switch could never be reached is refused before it starts, with exit code 2."""
    monkeypatch.setenv("LCNB_PING_URL", "check.example.com/ping-secret")
    done = lcnb_here("run", str(write_notebook(tmp_path / "night.ipynb", "1")))
    assert done.returncode == 2
    assert "LCNB_PING_URL" in done.stderr
    assert "ping-secret" not in done.stderr
    assert not list((tmp_path / "runs").glob("*"))
