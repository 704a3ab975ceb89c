"""Notifications of the end of a run, and the report as PDF: a failure of either never changes how the run ended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import Hook, record, write_notebook
from lcnb.runbooks.publish.messages import run_message
from lcnb.runbooks.publish.notifications import load_targets, notify, send_message
from lcnb.runbooks.run import run_runbook

#: Apprise 2 imports a module that Python 3.13 no longer has, in a `try`.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


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
def test_notified(
    cell: str,
    when: str,
    title: str | None,
    words: str,
    hook: Hook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message has the reason and the path of the report; with LCNB_NOTIFY_ON=trouble a good end sends none."""
    monkeypatch.setenv("LCNB_NOTIFY", hook.url)
    monkeypatch.setenv("LCNB_NOTIFY_ON", when)
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", cell)))
    assert result.problems == []
    assert [each["title"] for each in hook.messages] == ([title] if title else [])
    assert all(words in each["message"] for each in hook.messages)


@pytest.mark.parametrize(
    ("path", "text"),
    [(Path("/runs/batch-1"), "2 of 3 rows are done\n/runs/batch-1 on here"), (None, "2 of 3 rows are done")],
)
def test_notified_of_any_end(
    path: Path | None, text: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any end can be sent, such as that of a batch: a few facts, and a path to look at or none."""
    monkeypatch.setenv("LCNB_NOTIFY", hook.url)
    facts = {"runbook": "night", "status": "partly", "reason": "2 of 3 rows are done", "host": "here"}
    notify(run_message(facts, path))
    assert [(each["title"], each["message"]) for each in hook.messages] == [("night: partly", text)]


@pytest.mark.parametrize(
    ("notify", "when", "problem"),
    [
        ("json://user:hook-password@127.0.0.1:9/", "all", "not everybody was notified of the end of night"),
        ("no-such-scheme://user:hook-password@x", "all", "LCNB_NOTIFY: entry 1 is neither an Apprise URL, such as"),
        ("/no/such/hook-password", "all", "LCNB_NOTIFY: entry 1 is neither an Apprise URL, such as"),
        ("json://user:hook-password@127.0.0.1:9/", "never", "LCNB_NOTIFY_ON: 'never' is neither 'all' nor 'trouble'"),
    ],
)  # fmt: skip
def test_not_notified(
    notify: str, when: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that cannot be notified is a problem in the record, without the password; the run ends as before."""
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


CONFIG_FILES = {
    "an unknown service": ("json://localhost\nnosuch://tok:hook-password@x\n", 1, ["line 2 (nosuch://*****): not an Ap"]),
    "an unknown service with a tag": ("night=nosuch://hook-password\n", 0, ["line 1 (nosuch://*****): not an Apprise"]),
    "a URL without its token": ("json://localhost\n\nslack://hook-password\n", 1, ["line 3 (slack://*****): the URL la"]),
    "a mail without a sender": ("# c\nmailto://u:hook-password@\n", 0, ["line 2 (mailto://*****): the URL lacks"]),
    "several": ("nosuch://a\nnosuch://b\njson://localhost\n", 1, ["line 1 (nosuch", "line 2 (nosuch"]),
    "an equals sign alone": ("json://localhost\n=hook-password\n", 1, ["line 2: "]),
    "words": ("json://localhost\nplease tell hook-password\n", 1, ["line 2: "]),
    "two URLs on a line": ("json://hook-password, json://localhost\n", 0, ["line 1 (json://*****): not an Apprise URL"]),
    "an include": ("json://localhost\ninclude hook-password.cfg\n", 1, ["line 2: include is not followed"]),
    "nothing": ("", 0, [": the file has no URL"]),
    "comments": ("# json://localhost\n; nobody\n", 0, [": the file has no URL"]),
    "YAML": ("urls:\n  - json://localhost\n  - nosuch://hook-password\n", 1, ["entry 2 of the file: not an Apprise"]),
    "broken YAML": ("urls:\n  - json://localhost\n  ]\n", 0, ["line 3: not valid YAML"]),
    "all right": ("# targets\njson://localhost\n  night=json://x\n", 2, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIG_FILES)
def test_d11_file(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of a file that Apprise cannot use is named with its number and the reason, never with its secrets."""
    text, named, problems = CONFIG_FILES[case]
    path = tmp_path / f"my targets.{'yml' if 'YAML' in case else 'txt'}"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("LCNB_NOTIFY", str(path))
    sender, found = load_targets()
    assert len(sender) == named
    assert len(found) == len(problems), found
    for sentence, problem in zip(found, problems, strict=True):
        assert sentence.startswith("LCNB_NOTIFY: entry 1")
        assert problem in sentence
        assert "hook-password" not in sentence


def test_d11_others_are_notified(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad line keeps nobody else from being notified, and is a problem in the record of the run."""
    path = tmp_path / "notify.txt"
    path.write_text(f"{hook.url}\nnosuch://hook-password\n", encoding="utf-8")
    monkeypatch.setenv("LCNB_NOTIFY", str(path))
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")))
    assert [each["title"] for each in hook.messages] == ["night: done"]
    assert len(result.problems) == 1
    assert "LCNB_NOTIFY: entry 1, line 2 (nosuch://*****): not an Apprise URL" in result.problems[0]


class Service:
    """A service as Apprise 2 reports it."""

    class Status:
        name = "TIMEOUT"

    name, status = "Slack", Status

    def __bool__(self) -> bool:
        return False


class Outcome:
    """A falsy result object, as Apprise 2 returns it: it is neither False nor None."""

    def __init__(self, *results: Service) -> None:
        self.results = results

    def __bool__(self) -> bool:
        return not self.results


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (True, None),
        (Outcome(), None),
        (False, "at least one service reported a failure"),
        (None, "at least one service reported a failure"),
        (Outcome(Service()), "not delivered by Slack (timeout)"),
        (Outcome(Service(), Service()), "not delivered by Slack (timeout), Slack (timeout)"),
    ],
)
def test_d11_results(outcome: Any, problem: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `notify` returns is read by its truth, for Apprise 1 (True, False, None) and 2 (a result object)."""
    import apprise

    monkeypatch.setenv("LCNB_NOTIFY", "json://localhost")
    monkeypatch.setattr(apprise.Apprise, "notify", lambda self, **how: outcome)
    facts = {"status": "done", "reason": "", "host": "here", "runbook": "night"}
    message = run_message(facts, None)
    if problem is None:
        send_message(message)
        return
    with pytest.raises(RuntimeError) as raised:
        send_message(message)
    assert str(raised.value) == f"not everybody was notified of the end of night: {problem}"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="prints by Chromium")
def test_pdf(tmp_path: Path) -> None:
    """The report is printed as PDF, and the record has its hash."""
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "# A title", "print('x')")), pdf=True)
    assert result.problems == []
    assert (result.folder / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert "report.pdf" in record(result.folder)["files"]


def test_no_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Chromium the run ends as before, and its record says that the PDF is missing."""
    monkeypatch.setattr("lcnb.runbooks.publish.pdf.BROWSER_NAMES", ("no-such-browser",))
    result = run_runbook(str(write_notebook(tmp_path / "night.ipynb", "1")), pdf=True)
    assert result.status == "done"
    assert result.problems == ["no report.pdf: none of no-such-browser is installed"]
