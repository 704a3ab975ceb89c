"""Runs that were made: listed, found, compared, run again, pruned, verified; and what a notebook notes."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

import lcnb
from conftest import TOKEN, record, saved
from lcnb.errors import InputError, RunError
from lcnb.runbooks.notebook.git import find_commit
from lcnb.runbooks.records import history, index, notes, process
from lcnb.runbooks.records.compare import compare_runs
from lcnb.runbooks.records.find import find_run
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook
from recorded_runs import ME, START, lcnb_command, make_run, write_notebook

WATCH = [
    "# Watch\n\nLooks after machines.",
    "n: int = 3  # how many machines\nnote: str = ''",
    """
import os, lcnb, pandas as pd
run = lcnb.run()
run.log("begun with <b>")
run.save("machines", pd.DataFrame({"label": [f"web-{i}" for i in range(n)], "size": [i * n for i in range(n)]}))
assert run.check(True, "there are machines")
run.check(n < 4, "fewer than <4> machines", f"<{n}> machines; fewer than 4 were wanted")
if note:
    run.attention(f"{note} {os.environ.get('LETSCLOUD_API_KEY', '')}")
print(run.attentions)
""",
]


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, server: lcnb.sandbox.SandboxProcess
) -> Iterator[list[RunResult]]:
    """Three runs of one notebook: done, a failed check, and an attention note that holds the token."""
    place = tmp_path_factory.mktemp("watched")
    path = str(write_notebook(place / "watch.ipynb", *WATCH))
    settings = lcnb.config.load_settings(token=server.token, base_url=server.base_url)
    given = [{"n": 3}, {"n": np.int64(5)}, {"note": "look at"}]

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("HOME", str(place))
        runs = list(
            pool.map(lambda each: run_runbook(path, each, settings=settings, folder=place / "runs"), given)
        )
    yield runs


@pytest.fixture
def copy(watched: list[RunResult], tmp_path: Path) -> Path:
    """A copy of the three runs and their index that a test may spoil."""
    place = tmp_path / "runs"
    shutil.copytree(watched[0].folder.parent, place)
    return place


# --- what a notebook notes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "code", "attention"),
    [
        (0, "done", 0, []),
        (1, "attention", 8, ["<5> machines; fewer than 4 were wanted"]),
        (2, "attention", 8, ["look at *****"]),
    ],
)
def test_attention(
    number: int, status: str, code: int, attention: list[str], watched: list[RunResult]
) -> None:
    """A note or a failed check makes a run `attention`, in result, record, notebook and report."""
    run = watched[number]
    assert (run.status, run.exit_code) == (status, code)
    facts = record(run.folder)
    assert (facts["status"], facts["exit_code"]) == (status, code)
    assert [each["text"] for each in facts["attention"]] == attention
    assert [(each["ok"], each["text"]) for each in facts["checks"]] == [
        (True, "there are machines"),
        (number != 1, "fewer than <4> machines" if number != 1 else attention[0]),
    ]
    notebook = saved(run.folder)
    assert (notebook.metadata.lcnb.status, notebook.metadata.papermill.exception) == (status, False)
    assert {cell.metadata.papermill.status for cell in notebook.cells if cell.cell_type == "code"} == {
        "completed"
    }
    page = run.report.read_text(encoding="utf-8")
    body = page[: page.index('<section class="body">')]
    for text in attention:
        shown = text.replace("<", "&lt;").replace(">", "&gt;")
        assert f"<li>{shown}</li>" in body
    assert 'class="lcnb-attention"' not in page  # the list above the cells says the same
    assert ("lcnb-attention" in nbformat.writes(notebook)) == bool(attention)
    assert ("need attention" in body or "needs attention" in body) == bool(attention)
    assert "✓</b> there are machines" in body
    assert ("1 of 2 checks passed" if number == 1 else "All 2 checks passed") in body
    assert ("fewer than &lt;4&gt; machines" in body) == (number != 1)


def test_attention_raises(watched: list[RunResult]) -> None:
    """`check` of a result raises for a run that asks for attention, with its notes and exit code."""
    assert watched[0].check() is watched[0]
    with pytest.raises(RunError, match="<5> machines; fewer than 4 were wanted") as raised:
        watched[1].check()
    assert raised.value.exit_code == 8


def test_notes_hold_no_token(watched: list[RunResult]) -> None:
    """The token that a note held is in no file of the run, and the notes can still be read."""
    for path in watched[2].folder.iterdir():
        assert TOKEN.encode() not in path.read_bytes(), path
    assert notes.attention_texts(notes.read_notes(watched[2].folder)) == ["look at *****"]


def test_log(watched: list[RunResult]) -> None:
    """`run.log` has each line with its time, notes and checks among them."""
    lines = (watched[1].folder / "run.log").read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^20\S+\+00:00 ", "", line) for line in lines] == [
        "begun with <b>",
        "check ok: there are machines",
        "ATTENTION: <5> machines; fewer than 4 were wanted",
    ]


def test_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a run the same calls put their files into the working directory, and print."""
    monkeypatch.chdir(tmp_path)
    run = lcnb.run()
    assert (run.attentions, len(run.checks)) == ([], 0)
    dtypes = run.checks.dtypes
    run.log("first\nsecond")
    assert run.check(np.True_, "numpy says yes") is True
    assert run.check([], "there are rows") is False
    run.attention("look")
    assert run.attentions == ["failed: there are rows", "look"]
    assert lcnb.run().checks.ok.tolist() == [True, False]
    assert run.checks.dtypes.equals(dtypes)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "run.log", "notes.jsonl"}
    out = capsys.readouterr().out
    assert re.fullmatch(r"20\S+ first\n    second\nATTENTION: failed: there are rows\nATTENTION: look\n", out)


@pytest.mark.parametrize(
    ("texts", "recorded"),
    [
        (("All run",), "failed: All run"),
        (("All run", "2 are off: a, b"), "2 are off: a, b"),
        (("All run", " All run "), "failed: All run"),
        (("All run", None), "failed: All run"),
        ((7, 8), "8"),
    ],
)
def test_failed_check_reads_like_a_failure(
    texts: tuple[object, ...], recorded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed check is recorded by its own text, or as a failure; never in the words of the passed one."""
    monkeypatch.chdir(tmp_path)
    assert lcnb.run().check(False, *texts) is False
    assert lcnb.run().checks.text.tolist() == lcnb.run().attentions == [recorded]
    assert lcnb.run().check(True, *texts) is True
    assert lcnb.run().checks.text.tolist()[1] == str(texts[0])


@pytest.mark.parametrize(
    ("ok", "texts"),
    [
        (pd.NA, ["a"]),
        (pd.Series([True, False]), ["a"]),
        (True, [" "]),
        (False, [""]),
        (True, ["a", " "]),
        (False, [" ", "a"]),
    ],
)
def test_check_refuses(ok: object, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is neither true nor false, and a check that does not say what should hold, are InputErrors."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        lcnb.run().check(ok, *texts)
    assert not (tmp_path / "notes.jsonl").exists()


def test_plain_papermill(tmp_path: Path) -> None:
    """Under plain papermill the same calls work, and a failed check is shown in the notebook."""
    path = write_notebook(tmp_path / "watch.ipynb", *WATCH)
    command = [
        str(Path(sys.executable).with_name("papermill")),
        str(path),
        "out.ipynb",
        "-p",
        "n",
        "5",
        "-p",
        "note",
        "see",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=600)
    shown = json.dumps(nbformat.read(tmp_path / "out.ipynb", as_version=4))
    assert "lcnb-attention" in shown
    assert "<b>ATTENTION</b> &lt;5&gt; machines; fewer than 4 were wanted" in shown
    assert [each.text for each in notes.read_notes(tmp_path)] == [
        "there are machines",
        "<5> machines; fewer than 4 were wanted",
        "see ",
    ]
    assert (tmp_path / "run.log").exists()


def test_notes_are_forgiving(tmp_path: Path) -> None:
    """Lines that are no notes, such as half a line of a kernel that was killed, are passed over."""
    notes.append_note(tmp_path, notes.Note("now", "kept", None))
    with (tmp_path / notes.NOTES_FILE).open("ab") as file:
        file.write(
            b'\xff\n[1]\n{"at": 1, "text": "x"}\n{"at": "", "text": "x", "ok": "no"}\n'
            + b"[" * 99_999
            + b'\n{"at": "n'
        )
    assert notes.attention_texts(notes.read_notes(tmp_path)) == ["kept"]


# --- the record -----------------------------------------------------------------------------------------


def test_record(watched: list[RunResult]) -> None:
    """run.json holds given and effective parameters, process, host, user, and that it is closed."""
    facts = record(watched[1].folder)
    assert (facts["given"], facts["parameters"]) == ({"n": 5}, {"n": 5, "note": ""})
    assert facts["process"] == process.identify_process()
    assert facts["kernel_process"]["pid"] != os.getpid()
    assert process.is_gone(facts["kernel_process"])
    assert (facts["host"], facts["closed"], facts["git"]) == (socket.gethostname(), True, None)


def git(folder: Path, *words: str) -> None:
    who = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, env={**os.environ, **who}
    )


@pytest.mark.parametrize(
    ("case", "dirty"),
    [("clean", False), ("changed", True), ("other changed", True), ("stray", False), ("untracked", True), ("ignored", None), ("no commit", None), ("no repository", None), ("no git", None)],
)  # fmt: skip
def test_git(case: str, dirty: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit and its dirty flag are those of the notebook's repository; without one there is none."""
    place = tmp_path / "repo" / "deep"
    place.mkdir(parents=True)
    (path := place / "a b.ipynb").write_text("{}")
    (place / ".gitignore").write_text("*.skip\n")
    if case != "no repository":
        git(place.parent, "init")
    if case not in ("no repository", "no commit"):
        git(place.parent, "add", ".")
        git(place.parent, "commit", "-m", "first")
        git(place.parent, "config", "core.fsmonitor", f"touch {tmp_path / 'run-by-git'}; false")
    if case == "changed":
        path.write_text("[]")
    elif case == "other changed":
        (place / ".gitignore").write_text("*.skip\n#\n")
    elif case == "stray":
        (place / "runs").write_text("")
    elif case == "untracked":
        (path := place / "new.ipynb").write_text("{}")
    elif case == "ignored":
        (path := place / "new.skip").write_text("{}")
    elif case == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    found = find_commit(path)
    assert (found and found["dirty"]) is dirty
    assert found is None or re.fullmatch("[0-9a-f]{40}", found["commit"])
    assert not (tmp_path / "run-by-git").exists()


# --- the list -------------------------------------------------------------------------------------------

NO_RECORDS = {
    "no run.json": None,
    "run.json is damaged": b'{"status": "done"',
    "run.json is not a record of lcnb": b'{"status": 5, "closed": true}',
}
ODD = b"""{"id": "ID", "closed": true, "status": "d\\ud800ne", "exit_code": 1e400, "duration_s": NaN, "runbook": [1],
"started": "0001-01-01T00:00:00+23:59", "account": true, "user": 7, "host": {}, "attention": 3, "changes": "x"}"""


def test_frame(tmp_path: Path) -> None:
    """Columns and dtypes are the same for no run, one, many and damaged ones; the newest comes first."""
    place = tmp_path / "runs"
    for count in range(4):
        frame = lcnb.runs()
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == history.RUN_COLUMNS
        assert frame.id.tolist() == sorted(frame.id, reverse=True)
        assert len(frame) == count
        make_run(place, count, attention=[{"at": "", "text": "x"}] * count)
    for number, content in enumerate([*NO_RECORDS.values(), b"[" * 99_999, b"\xff\xfe", ODD]):
        folder = place / f"20251124T12000{number}Z-odd-000000"
        folder.mkdir()
        (folder / "other").write_text("")
        if content is not None:
            (folder / "run.json").write_bytes(content.replace(b"ID", folder.name.encode()))
    (place / "notes").mkdir()
    (place / "notes" / "a").write_text("somebody's own")
    (place / "20251124T120000Z-link").symlink_to(tmp_path)
    frame = lcnb.runs()
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == history.RUN_COLUMNS
    assert frame.status.tolist() == ["done"] * 4 + ["d?ne"] + ["damaged"] * 5
    assert frame.attention.tolist()[:4] == [3, 2, 1, 0]
    assert frame.problem.dropna().tolist() == ["run.json is damaged"] * 2 + list(reversed(NO_RECORDS))
    assert frame.started.notna().all()
    assert frame.started[0] == START + timedelta(minutes=3)
    assert frame.iloc[4][["exit_code", "duration_s", "runbook", "account", "attention"]].isna().all()


def test_frame_of_runs(watched: list[RunResult]) -> None:
    """A row says what its run's result said."""
    frame = lcnb.runs(watched[0].folder.parent).set_index("folder")
    for run in watched:
        row = frame.loc[str(run.folder)]
        assert (row.status, row.exit_code, row.runbook) == (run.status, run.exit_code, "watch")
        assert row.attention == (run.status == "attention")
        assert 0 < row.duration_s < 100
        assert abs(row.started - pd.Timestamp.now(tz="UTC")) < pd.Timedelta(hours=1)


def test_other_record(tmp_path: Path) -> None:
    """A folder with the record of another run is reported."""
    first = make_run(tmp_path / "runs", 1)
    shutil.copytree(first, tmp_path / "runs" / "copy")
    assert set(lcnb.runs().problem.dropna()) == {f"the record is that of {first.name}"}


# --- verify ---------------------------------------------------------------------------------------------


def places(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != index.LOCK_FILE]


def test_every_byte(copy: Path) -> None:
    """Of 1,000 bytes that are changed one by one, anywhere in runs and index, each is found and named."""
    assert index.verify_runs(copy).problems == []
    chance = random.Random(4)
    files = places(copy)
    assert len(files) == 3 * 7 + 1
    for number in range(1000):
        path = files[number % len(files)]
        content = path.read_bytes()
        at = chance.randrange(len(content))
        path.write_bytes(content[:at] + bytes([content[at] ^ chance.randrange(1, 256)]) + content[at + 1 :])
        problems = index.verify_runs(copy, [path.parent.name] if path.parent != copy else None).problems
        if path.parent == copy:
            assert any(
                each.file == index.INDEX_FILE or each.file == "run.json" or not each.file for each in problems
            ), at
        else:
            assert (path.parent.name, path.name) in {(each.run, each.file) for each in problems}, (path, at)
        path.write_bytes(content)
    assert index.verify_runs(copy).problems == []


def first(copy: Path) -> Path:
    return list_run_folders(copy)[0]


def lines(copy: Path) -> list[bytes]:
    return (copy / index.INDEX_FILE).read_bytes().splitlines(keepends=True)


def write_lines(copy: Path, found: list[bytes]) -> None:
    (copy / index.INDEX_FILE).write_bytes(b"".join(found))


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "file gone": (lambda copy: (first(copy) / "run.log").unlink(), "run.log: is missing"),
    "file added": (lambda copy: (first(copy) / "new.csv").write_text(""), "new.csv: was added after the run ended"),
    "record gone": (lambda copy: (first(copy) / "run.json").unlink(), "run.json: is missing"),
    "folder gone": (lambda copy: shutil.rmtree(first(copy)), "its folder is missing, and it was not pruned"),
    "folder renamed": (lambda copy: first(copy).rename(copy / "other"), "run.json: has no line in the index"),
    "index gone": (lambda copy: (copy / index.INDEX_FILE).unlink(), "run.json: has no line in the index"),
    "first line gone": (lambda copy: write_lines(copy, lines(copy)[1:]), "line 1 does not contain the hash"),
    "middle line gone": (lambda copy: write_lines(copy, [lines(copy)[0], lines(copy)[2]]), "line 2 does not contain the hash"),
    "last line gone": (lambda copy: write_lines(copy, lines(copy)[:-1]), "run.json: has no line in the index"),
    "lines swapped": (lambda copy: write_lines(copy, lines(copy)[::-1]), "line 1 does not contain the hash"),
    "half a line": (lambda copy: write_lines(copy, [*lines(copy), b'{"event"']), "the last line is incomplete"),
    "line of another kind": (lambda copy: write_lines(copy, [b'{"run": 5}\n', *lines(copy)]), "line 1 was changed"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_spoiled(case: str, copy: Path) -> None:
    """What was added, taken away or moved is found, named, and ends `lcnb verify` with 1."""
    spoil, problem = SPOILED[case]
    spoil(copy)
    assert any(problem in f"{each.file}: {each.problem}" for each in index.verify_runs(copy).problems)


def test_hidden_files_may_come(copy: Path) -> None:
    """What JupyterLab and file managers add to the folder of a notebook that was opened is no problem."""
    (first(copy) / ".ipynb_checkpoints").mkdir()
    (first(copy) / ".ipynb_checkpoints" / "watch-checkpoint.ipynb").write_text("{}")
    (copy / "README").write_text("my runs")
    assert index.verify_runs(copy).problems == []


def test_torn_line(tmp_path: Path) -> None:
    """A line that a power cut left half written is cut off by the next one."""
    place = tmp_path / "runs"
    make_run(place, 1)
    with (place / index.INDEX_FILE).open("ab") as file:
        file.write(b'{"event": "ended", "ru')
    make_run(place, 2)
    assert index.verify_runs(place).problems == []


CLOSE = """
import sys
from pathlib import Path
from lcnb.runbooks.records import index
place = Path(sys.argv[1])
sys.stdin.readline()
for number in range(25):
    folder = place / f"20261124T120000Z-x-{sys.argv[2]}{number:02}"
    folder.mkdir()
    index.close_record(folder, '{"closed": true, "files": {}}')
"""


def test_many_at_once(tmp_path: Path) -> None:
    """Lines of several processes that end runs at once make one unbroken index."""
    program = [sys.executable, "-c", CLOSE, str(tmp_path)]
    writers = [
        subprocess.Popen([*program, str(number)], stdin=subprocess.PIPE, text=True) for number in range(4)
    ]
    for each in writers:
        each.communicate("go\n", timeout=600)
        assert each.returncode == 0
    assert len(index.read_index(tmp_path)[0]) == 100
    assert index.verify_runs(tmp_path).problems == []


def test_unwritten_line_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose line cannot be written has its record all the same, which says so."""
    (tmp_path / "runs" / index.INDEX_FILE).mkdir(parents=True)
    run = run_runbook(str(write_notebook(tmp_path / "a.ipynb", "1"))).check()
    assert run.problems == ["the run could not be written into index.jsonl: Is a directory"]
    facts = record(run.folder)
    assert (facts["status"], facts["closed"], facts["problems"]) == ("done", True, run.problems)


# --- prune ----------------------------------------------------------------------------------------------


def test_prune(tmp_path: Path) -> None:
    """The oldest ended runs go; running and damaged ones stay; the index records it and stays valid."""
    place = tmp_path / "runs"
    made = [make_run(place, number) for number in range(5)]
    running = make_run(place, -1, closed=False, status="running", process=ME)
    damaged = make_run(place, -2)
    (damaged / "run.json").write_text("{")
    found = history.runs_to_prune(2)
    assert [each.folder for each in found] == made[:3]
    deleted, left = history.prune_runs(found)
    assert ([each.folder for each in deleted], left) == (made[:3], [])
    assert [path for path in [*made, running, damaged] if path.exists()] == [*made[3:], running, damaged]
    assert {each.run for each in index.verify_runs(place).problems} == {damaged.name}
    make_run(place, 9)
    assert [each.run for each in index.verify_runs(place).problems if each.run != damaged.name] == []
    assert history.prune_runs(found[:1])[1][0][1] == "it was deleted meanwhile, or it has not ended"


def test_half_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that could not be deleted is reported by prune and by verify, and can be pruned again."""
    make_run(tmp_path / "runs", 1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: (_ for _ in ()).throw(PermissionError(13, "not yours")))
        deleted, left = history.prune_runs(history.runs_to_prune(0))
    assert (deleted, [reason for _, reason in left]) == ([], ["not yours"])
    assert [each.problem for each in index.verify_runs(tmp_path / "runs").problems] == [
        "was pruned, but its folder still exists"
    ]
    history.prune_runs(history.runs_to_prune(0))
    assert index.verify_runs(tmp_path / "runs").problems == []
    assert len(lines(tmp_path / "runs")) == 2


# --- compare ------------------------------------------------------------------------------------------


def test_diff(watched: list[RunResult]) -> None:
    """What differs between two runs is a row each: parameters, status, notes, and the rows of saved tables."""
    runs = [find_run(str(run.folder)) for run in watched]
    assert compare_runs(runs[0], runs[0]).empty
    found = {
        tuple(None if value != value else value for value in row)
        for row in compare_runs(*runs[:2]).itertuples(index=False)
    }
    assert found == {
        ("status", None, "differs", None, "done", "attention"),
        ("exit_code", None, "differs", None, "0", "8"),
        ("parameter n", None, "differs", None, "3", "5"),
        ("attention", None, "added", None, None, "<5> machines; fewer than 4 were wanted"),
        ("table machines", "web-3", "added", None, None, None),
        ("table machines", "web-4", "added", None, None, None),
        ("table machines", "web-1", "changed", "size", "3", "5"),
        ("table machines", "web-2", "changed", "size", "6", "10"),
    }
    assert (
        set(compare_runs(*runs[:2]).dtypes.astype(str))
        == set(compare_runs(runs[0], runs[0]).dtypes.astype(str))
        == {"str"}
    )


# --- the commands ---------------------------------------------------------------------------------------


def test_commands(copy: Path, tmp_path: Path, watched: list[RunResult]) -> None:
    """A day of somebody who looks at runs: listed, shown, opened, compared, verified, pruned."""
    listed = json.loads(lcnb_command("runs", "-o", "json").stdout)
    assert [row["id"] for row in listed] == lcnb.runs().id.tolist()
    assert listed[0]["started"].endswith("Z")
    assert len(json.loads(lcnb_command("runs", "--status", "DONE", "-o", "json").stdout)) == 1
    table = lcnb_command("runs").stdout
    assert all(row["id"] in table for row in listed)

    done, checked = (run.folder.name for run in watched[:2])
    shown = lcnb_command("show", checked).stdout
    assert "attention <5> machines; fewer than 4 were wanted" in shown
    assert shown.count("<5> machines") == 1
    assert "check ok: there are machines" in shown
    assert json.loads(lcnb_command("show", checked, "-o", "json").stdout) == record(copy / checked)

    opened = lcnb_command("open", done, BROWSER="true")
    assert (opened.returncode, opened.stdout.strip()) == (0, str(copy / done / "report.html"))
    assert lcnb_command("diff", done, done).stdout == "no difference\n"
    assert "web-4" in lcnb_command("diff", done, checked).stdout

    verified = lcnb_command("verify")
    assert verified.returncode == 0
    assert verified.stdout.strip().endswith(
        f"3 runs, 21 files: all as written; the index ends with {index.read_index(copy)[2]}"
    )
    with (copy / done / "machines.csv").open("a") as file:
        file.write("x")
    spoiled = lcnb_command("verify")
    assert (spoiled.returncode, spoiled.stderr) == (
        1,
        f"{done}/machines.csv: was changed after the run ended\n",
    )
    assert lcnb_command("verify", checked).returncode == 0
    assert lcnb_command("verify", str(copy / done)).returncode == 1

    asked = lcnb_command("runs", "prune", "--keep", "1", stdin="n\n")
    assert (asked.returncode, len(list_run_folders(copy))) == (6, 3)
    assert "Delete 2 runs with all their files?" in asked.stderr
    pruned = lcnb_command("runs", "prune", "--keep", "1", "--yes")
    assert pruned.stdout.splitlines() == [f"deleted {copy / row['id']}" for row in reversed(listed[1:])]
    assert lcnb_command("runs", "prune", "--keep", "1", "--yes").stdout == "nothing to delete\n"
    assert lcnb_command("verify").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "lst"], 2, "no run 'lst': /"),
        (["open"], 2, "no run 'last': /"),
        (["runs", "--status", "failed", "-o", "csv"], 0, ""),
        (["verify"], 0, ""),
        (["runs", "prune", "--keep", "-1"], 2, "-1 is not in the range"),
        (["runs", "prune"], 2, "missing option:"),
    ],
)  # fmt: skip
def test_no_runs(arguments: list[str], code: int, message: str) -> None:
    """Where no run was made each command says so or prints nothing, and makes no folder."""
    done = lcnb_command(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(os.environ["LCNB_RUNS_DIR"]).exists()


def test_damaged_is_reported(tmp_path: Path) -> None:
    """A damaged run is a row of the list, and its problem a line on stderr."""
    folder = make_run(tmp_path / "runs", 1)
    (folder / "run.json").write_text("{")
    done = lcnb_command("runs")
    assert (done.returncode, done.stderr) == (0, f"{folder.name}: run.json is damaged\n")
    assert "damaged" in done.stdout


def test_no_report(tmp_path: Path) -> None:
    """`lcnb open` of a run without a report says so, with its folder."""
    make_run(tmp_path / "runs", 1)
    done = lcnb_command("open", "last")
    assert done.returncode == 2
    assert "(done) has no report. Its folder: " in done.stderr
