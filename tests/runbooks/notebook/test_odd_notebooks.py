"""Notebooks that people really have, and cells that do what they should not: the run is told truly all the same."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.translators import translate_parameters

from conftest import PYTHON3, Call, record, saved, statuses, write_notebook
from lcnb.errors import InputError, ParameterError, RunError
from lcnb.runbooks.batch import launcher
from lcnb.runbooks.engine.parameter_cell import why_unwritable
from lcnb.runbooks.notebook.file_format import read_notebook
from lcnb.runbooks.notebook.find import find_runbook
from lcnb.runbooks.notebook.help import describe_runbooks
from lcnb.runbooks.notebook.languages import ASSIGNMENT_PATTERNS, read_assignments
from lcnb.runbooks.records.index import verify_runs
from lcnb.runbooks.records.run_record import list_run_folders
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook

TRESPASSES = """
import os, subprocess, lcnb
os.symlink("/etc/passwd", "link.txt"), os.symlink("/etc", "folder"), os.symlink("nowhere", "dangling"), os.mkfifo("pipe")
os.remove("run.json"), os.symlink("victim.txt", "run.json"), os.symlink("victim.txt", "report.html")
open("victim.txt", "w").write("as it was")
open("trespasses.ipynb", "w").write("junk")
subprocess.Popen(["sleep", "40"])
os.chdir("/")
lcnb.run().log("kept where the run is")
"""
CLOSES = "import os\nos.close(1), os.close(2)\nprint('told all the same')"


def old(path: Path) -> Path:
    """Of format 4.0: without ids, with the outputs of an earlier run, a raw cell, and a byte order mark."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "raw", "source": "n = 7 {", "metadata": {}},
        {"cell_type": "code", "source": ["n: int = 1\n", "m = 2"], "metadata": {"tags": ["parameters"]}},
        {"cell_type": "code", "source": "assert (n, m) == (5, 2)\n1/0", "metadata": {}},
        {"cell_type": "code", "source": "'not run'", "metadata": {}},
    ]
    stale = {"output_type": "stream", "name": "stdout", "text": "of an earlier run"}
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [stale], "execution_count": 9}
    notebook = {"nbformat": 4, "nbformat_minor": 0, "metadata": {"kernelspec": PYTHON3}, "cells": cells}
    path.write_text(json.dumps(notebook), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", ""), ("utf-32", ""), ("cp1252", "not UTF-8")],
)
def test_d8_encodings(encoding: str, problem: str, tmp_path: Path) -> None:
    """The encodings that JSON may have are read, a byte order mark is left out; others are one line that names the cure."""
    path = write_notebook(tmp_path / "book.ipynb", ("place: str = 'S\u00e3o Paulo'", "parameters"))
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
    path.write_text(text, encoding=encoding)
    if not problem:
        assert find_runbook(str(path)).parameters[0].default == "S\u00e3o Paulo"
        return
    with pytest.raises(InputError, match=rf"{problem}.*Save it as UTF-8\. Nothing was started\.$") as refused:
        find_runbook(str(path))
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    """The runs of the odd notebooks, two at a time."""
    place = tmp_path_factory.mktemp("odd {0} ü")
    odd: dict[str, Callable[[], RunResult]] = {
        "old": lambda: run_runbook(str(old(place / "old.ipynb")), {"n": "5"}, folder=place / "runs"),
        "empty": lambda: run_runbook(str(write_notebook(place / "empty.ipynb")), folder=place / ("x" * 200)),
        "closes": lambda: run_runbook(str(write_notebook(place / "c" / "closes.ipynb", CLOSES, "2")), folder=place / "runs"),
        "trespasses": lambda: run_runbook(
            str(write_notebook(place / "t" / "trespasses.ipynb", TRESPASSES, "3")), folder=place / "runs"
        ),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("HOME", str(place))
        return dict(zip(odd, pool.map(lambda work: work(), odd.values()), strict=True))


def test_old(runs: dict[str, RunResult]) -> None:
    """An old notebook runs as it is; no output of an earlier run is taken for one of this run."""
    run = runs["old"]
    assert (run.status, run.exit_code, record(run.folder)["parameters"]) == ("failed", 3, {"n": 5, "m": 2})
    assert "ZeroDivisionError" in (run.error or "")
    assert "of an earlier run" not in nbformat.writes(saved(run.folder))
    assert [each for each in statuses(run.folder) if each != "skipped"] == ["completed"] * 2 + ["failed"]


def test_empty(runs: dict[str, RunResult]) -> None:
    """A notebook without cells is done, in a folder with a long and odd name."""
    run = runs["empty"].check()
    assert saved(run.folder).cells == []
    assert run.report.is_file()


def test_closes(runs: dict[str, RunResult]) -> None:
    """What a cell prints is kept though it has closed the handles below."""
    run = runs["closes"].check()
    assert "told all the same" in str(saved(run.folder).cells[0].outputs)


def test_trespasses(runs: dict[str, RunResult]) -> None:
    """Links, a moved working directory, a child that stays and a record written over change nothing of what is told."""
    run = runs["trespasses"].check()
    assert not (run.folder / "run.json").is_symlink()
    assert not (run.folder / "report.html").is_symlink()
    assert record(run.folder)["status"] == "done"
    assert (run.folder / "victim.txt").read_text() == "as it was"
    assert "kept where the run is" in (run.folder / "run.log").read_text()
    assert statuses(run.folder) == ["completed", "completed"]
    assert sorted(record(run.folder)["files"]) == ["report.html", "run.log", "trespasses.ipynb", "victim.txt"]
    assert verify_runs(run.folder.parent, [run.folder.name]).problems == []


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ([("raw", "parameters"), ("code", "parameters")], "cell 1 is tagged `parameters` but is no code"),
        (
            [("code", "parameters"), ("markdown", "parameters")],
            "cell 2 is tagged `parameters` but is no code",
        ),
        ([("code", "parameters"), ("code", "parameters")], "cells 1 and 2 are both tagged `parameters`"),
        (
            [("code", "parameters"), ("code", "injected-parameters")],
            "cell 2 holds the parameters of an earlier run",
        ),
    ],
)
def test_unclear(tags: list[tuple[str, str]], told: str, tmp_path: Path) -> None:
    """A notebook in which what is given would not count, or what an earlier run was given would, is refused."""
    made = [
        {"cell_type": kind, "source": "n = 1", "metadata": {"tags": [tag]}, "outputs": []}
        for kind, tag in tags
    ]
    path = tmp_path / "two.ipynb"
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": made}), encoding="utf-8"
    )
    with pytest.raises(InputError, match=rf"{told}.* Nothing was started\.$"):
        find_runbook(str(path))


def test_folder_deleted(tmp_path: Path) -> None:
    """A run whose cell deletes its folder has failed, and that is told."""
    cell = "import os, shutil\nshutil.rmtree(os.environ['LCNB_RUN_DIR'])"
    path = write_notebook(tmp_path / "night.ipynb", cell)
    with pytest.raises(
        RunError, match=r"could not be written: No such file or directory\. The run itself ended as failed"
    ):
        run_runbook(str(path), folder=tmp_path / "runs")


def test_no_place_for_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder that cannot be written is told with the cure, and nothing is started."""
    monkeypatch.setenv("LCNB_STATE_DIR", str(tmp_path / "file" / "state"))
    (tmp_path / "file").touch()
    path = write_notebook(tmp_path / "night.ipynb", "1")
    with pytest.raises(
        RunError, match=r"the lock of night cannot be created in .*Nothing was started\. .*LCNB_STATE_DIR"
    ):
        run_runbook(str(path), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# --- notebooks from elsewhere ---------------------------------------------------------------------------

PLACE = Path(__file__).parent / "notebooks_elsewhere"
GIVEN = {"n": 5, "name": "web"}
#: What a run in the kernel of this Python makes good.
KERNEL = r"asks for the Jupyter kernel .*, which is not here\. Installed: .*python3.*Nothing was started\. .*--kernel python3"
NOT_HERE = r"Nothing was started\. Install a Jupyter kernel for {}, and name it: --kernel NAME"
#: How each ends: empty when it runs as it is, else what it is refused with; those with KERNEL run in `python3`.
ELSEWHERE = {
    "almond": NOT_HERE.format("scala"),
    "azureml": KERNEL,
    "bash": NOT_HERE.format("bash"),
    "bom": "",
    "colab": "",
    "conda": KERNEL,
    "databricks": "",
    "deepnote": "",
    "format2": "",
    "format3": "",
    "format3_bare": "",
    "format5": r'it says nbformat 5, .*it is enough to set `"nbformat": 4`',
    "gonb": r"parameter n: papermill cannot write values into a cell of go\. .*N=\.\.\. lcnb run",
    "hex": "",
    "ids": "",
    "irkernel": NOT_HERE.format("R"),
    "julia": NOT_HERE.format("julia"),
    "jupyterlite": KERNEL,
    "jupytext": "",
    "kaggle": "",
    "kernelspec_empty": "",
    "kernelspec_null": "",
    "language_only_r": r"names no kernel\. .*Install a Jupyter kernel for R",
    "lfs_pointer": "a pointer of Git LFS: run `git lfs pull`",
    "magics": "",
    "merge": "an unfinished Git merge",
    "minor_missing": "",
    "minor_of_the_future": "",
    "note_of_zeppelin": r"a note of Zeppelin: export it there as \.ipynb",
    "nteract": "",
    "nulls": "",
    "of_papermill": "",
    "other_magic": r"begins with %%bash.* another cell with that tag",
    "outputs": "",
    "polyglot": NOT_HERE.format(r"\.net-fsharp"),
    "polynote": r"names no kernel\. .*Install a Jupyter kernel for scala",
    "pyspark": KERNEL,
    "sagemaker_studio": KERNEL,
    "script": "`jupytext --to ipynb FILE` makes a notebook",
    "tags": "",
    "utf16": "",
    "venv": KERNEL,
    "vertex": KERNEL,
    "vscode": "",
    "vscode_interpreter": KERNEL,
    "zeppelin_export": NOT_HERE.format("scala"),
}


def given_to(name: str) -> dict[str, object]:
    """Those without a cell of parameters are given none."""
    return {} if name in ("format2", "language_only_r", "polynote", "zeppelin_export") else dict(GIVEN)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How each ended that runs, as it is or in another kernel: two at a time, forked from one process where possible."""
    place = tmp_path_factory.mktemp("elsewhere")

    def run(name: str) -> dict[str, Any]:
        path = PLACE / f"{name}.ipynb"
        task = {
            "row": 1, "runbook": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "confirm": False,
            "parameters": given_to(name), "account": None, "runs_dir": str(place / "runs"), "previous": None,
            "kernel": "python3" if ELSEWHERE[name] else None,
        }  # fmt: skip
        return launcher.run_row(task)

    names = [name for name, told in ELSEWHERE.items() if told in ("", KERNEL)]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("HOME", str(place))
        patch.setenv("LCNB_STATE_DIR", str(place / "state"))
        return dict(zip(names, pool.map(run, names), strict=True))


def test_c3_table_is_whole() -> None:
    """Each of the notebooks has its line in the table."""
    assert sorted(path.stem for path in PLACE.iterdir()) == list(ELSEWHERE)


@pytest.mark.parametrize("name", [name for name, told in ELSEWHERE.items() if told in ("", KERNEL)])
def test_c3_c7_runs(name: str, elsewhere: dict[str, dict[str, Any]]) -> None:
    """A notebook of another program runs with what it is given, has a report, and is saved as a valid one."""
    ended = elsewhere[name]
    assert (ended["status"], ended["error"]) == ("done", None)
    folder = Path(ended["folder"])
    assert record(folder)["problems"] == []
    assert "it ran" in (folder / "report.html").read_text(encoding="utf-8")
    kept = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))
    nbformat.validate(kept)
    assert (kept["nbformat"], kept["nbformat_minor"], kept["metadata"]["kernelspec"]["name"]) == (
        4,
        5,
        "python3",
    )


@pytest.mark.parametrize("name", [name for name, told in ELSEWHERE.items() if told])
def test_c3_c5_c7_refused(name: str, tmp_path: Path) -> None:
    """What cannot run is refused before there is a folder, with what helps."""
    path = PLACE / f"{name}.ipynb"
    with pytest.raises(InputError, match=f"(?s){ELSEWHERE[name]}") as refused:
        run_runbook(str(path), given_to(name), folder=tmp_path / "runs")
    assert "Nothing was started." in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_c3_format5_cure(tmp_path: Path) -> None:
    """The cure for a format that is not known is one."""
    text = (PLACE / "format5.ipynb").read_text(encoding="utf-8")
    path = tmp_path / "mended.ipynb"
    path.write_text(text.replace('"nbformat": 5', '"nbformat": 4'), encoding="utf-8")
    assert [each.name for each in find_runbook(str(path)).parameters] == ["n", "name"]


def test_c3_read() -> None:
    """Tags, ids and sources are those that were meant; data of an earlier run is left out."""
    tagged = read_notebook(PLACE / "tags.ipynb")["cells"]
    assert [cell["metadata"]["tags"] for cell in tagged] == [["settings", "parameters"], [], [], ["a", "b"]]
    ids = [cell["id"] for cell in read_notebook(PLACE / "ids.ipynb")["cells"]]
    assert ids[0] == "same"
    assert len(set(ids)) == len(ids) == 8
    assert read_notebook(PLACE / "ids.ipynb") == read_notebook(PLACE / "ids.ipynb")
    shown = read_notebook(PLACE / "outputs.ipynb")
    assert "widgets" not in shown["metadata"]
    assert shown["cells"][1]["attachments"] == {"a.png": {"image/png": "iVBORw0KGgo="}}
    assert [cell["source"][:2] for cell in read_notebook(PLACE / "format3.ipynb")["cells"]] == [
        "# ",
        "n:",
        "as",
    ]
    assert describe_runbooks(str(PLACE / "colab.ipynb")).frame().values.tolist() == [
        ["n", "a whole number", "1", ""],
        ["name", "any value", "None", ""],
    ]


# --- other languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "source", "found"),
    [
        ("R", "days <- 30  # to look back\nmy.name = \"a # b\"\nx <<- NULL\nif (days == 3) {}\nlibrary(x)",
         [("days", "30", "to look back"), ("my.name", '"a # b"', ""), ("x", "NULL", "")]),
        ("julia", "days::Int = 30  # back\nconst ratio = 0.5;\nusing Dates\nf(x) = 2x", [("days", "30", "back"), ("ratio", "0.5", "")]),
        ("scala", "val days: Int = 30 // back\nvar names = Seq(\"a\")\ndef f = 2", [("days", "30", "back"), ("names", 'Seq("a")', "")]),
        ("bash", "export DAYS=30 # back\nname='a # b'\necho $DAYS\n[ $DAYS == 3 ]", [("DAYS", "30", "back"), ("name", "'a # b'", "")]),
        ("matlab", "days = 30; % back\ndisp(days)", [("days", "30", "back")]),
        (".net-csharp", "int days = 30; // back\nvar names = new List<string>();\nConsole.WriteLine(1);",
         [("days", "30", "back"), ("names", "new List<string>()", "")]),
        (".net-fsharp", "let mutable days: int = 30 // back", [("days", "30", "back")]),
        (".net-powershell", "$days = 30 # back\n[string]$name = 'a'", [("days", "30", "back"), ("name", "'a'", "")]),
        ("go", "var x int = 0", []),
        ("javascript", "let x = 1", []),
    ],
)  # fmt: skip
def test_c5_assigned(language: str, source: str, found: list[tuple[str, str, str]]) -> None:
    """The parameters of another language's cell are found where values could be written for them."""
    assert [(each.name, each.default_text, each.help) for each in read_assignments(source, language)] == found


def test_c5_papermill() -> None:
    """The languages with parameters are those that papermill writes."""
    assert not any(why_unwritable("", language, {"n": 1}) for language in ASSIGNMENT_PATTERNS)
    assert all(why_unwritable("", language, {"n": 1}) for language in ("go", "rust", "javascript", "java"))
    for language, value in (
        ("bash", {"b": 1}),
        ("bash", [1, None]),
        ("bash", [[1], 2]),
        (".net-csharp", None),
    ):
        told = f"papermill cannot write {value!r} into a cell of {language}"
        assert why_unwritable("", language, {"a": 1, "n": value}) == told


@pytest.mark.parametrize(
    ("language", "value", "written"),
    [
        ("R", 'são "a"\n', '# Parameters\nx = "são \\"a\\"\\n"\n'),
        ("R", {"é": None}, '# Parameters\nx = list("é" = NULL)\n'),
        ("julia", "costs $5 é", '# Parameters\nx = "costs \\$5 é"\n'),
        ("scala", ["é", "\\"], '// Parameters\nval x = Seq("é", "\\\\")\n'),
        (".net-csharp", "é", '// Parameters\nvar x = "é";\n'),
        (".net-powershell", "it's $x", "# Parameters\n$x = 'it''s $x'\n"),
        ("bash", "it's $x", "# Parameters\nx='it'\"'\"'s $x'\n"),
    ],
)
def test_c5_written(language: str, value: object, written: str) -> None:
    """papermill's translators write the values; a text means the same in that language."""
    assert translate_parameters("", language, {"x": value}) == written


def test_c5_given(call: Call, tmp_path: Path) -> None:
    """Names that the cell does not assign are refused; that the kernel is missing is told with what helps."""
    path = str(PLACE / "irkernel.ipynb")
    told = call("run", path, "-p", "m=5", "--runs-dir", str(tmp_path / "runs"))
    assert (told.code, "no parameter 'm'" in told.err, "Parameters: n, name." in told.err) == (2, True, True)
    with pytest.raises(
        InputError, match=r"is written in R, and the Jupyter kernel 'python3' runs python\. Nothing was"
    ):
        run_runbook(path, kernel="python3", folder=tmp_path / "runs")
    for chosen in ("nope", "no/pe", ""):
        with pytest.raises(InputError, match=rf"^--kernel .* names '{chosen}', .*Nothing.*--kernel python3"):
            run_runbook(str(PLACE / "bom.ipynb"), kernel=chosen, folder=tmp_path / "runs")
    with pytest.raises(ParameterError, match=r"no parameter 'x'\. This notebook takes none: "):
        run_runbook(str(PLACE / "format2.ipynb"), {"x": 1}, folder=tmp_path / "runs")
    assert list_run_folders(tmp_path / "runs") == []


# --- the folder and the kernel of a run -----------------------------------------------------------------

#: Files of the notebook's folder that are called as modules which Python, lcnb and the kernel need.
SHADOWS = ("random", "pathlib", "secrets", "httpx", "pandas", "IPython", "ipykernel", "lcnb")
SHOWS = """
import json, os, sys
import helpers, httpx, pandas, random, lcnb
files = {name: sys.modules[name].__file__ for name in ("helpers", "httpx", "pandas", "random", "lcnb")}
facts = {"cwd": os.getcwd(), "safe": os.environ.get("PYTHONSAFEPATH"), "ours": files, "n": n}
lcnb.run().file("facts.json").write_text(json.dumps(facts))
"""


def project(place: Path) -> Path:
    """A notebook with a module and a file next to it, and with files named like modules of others."""
    folder = place / "it's a {project}"
    folder.mkdir()
    (folder / "helpers.py").write_text("ANSWER = 42\n", encoding="utf-8")
    (folder / "data.csv").write_text("a,b\n", encoding="utf-8")
    for name in SHADOWS:
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong file')\n", encoding="utf-8")
    write_notebook(folder / "common.ipynb", "COMMON = 'shared'")
    reads = "print(open('data.csv').read())\n%run common.ipynb\nassert COMMON == 'shared'"
    kernel = {**PYTHON3, "name": "conda-env-ops-py"}
    write_notebook(folder / "reads.ipynb", ("n = None", "parameters"), SHOWS, reads, kernel=kernel)
    return write_notebook(folder / "shows.ipynb", ("n = None", "parameters"), SHOWS)


def facts_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "facts.json").read_text(encoding="utf-8")))


def test_c6_c7_everywhere(call: Call, tmp_path: Path) -> None:
    """Modules next to the notebook are found and hide no other; `--cwd` and `--kernel` hold in each way to run."""
    shows = project(tmp_path)
    place = shows.parent
    reads, where = str(place / "reads.ipynb"), ["--kernel", "python3", "--cwd", str(place)]
    runs = ["--runs-dir", str(tmp_path / "runs")]

    def kept() -> list[Path]:
        """The runs, oldest first."""
        return sorted(
            (path.parent for path in tmp_path.glob("runs/2*/run.json")), key=lambda each: each.stat().st_ctime
        )

    def check(folder: Path, cwd: Path | None, engine: str, n: object = 5) -> None:
        assert record(folder)["status"] == "done", record(folder)["reason"]
        facts = facts_of(folder)
        assert facts["ours"].pop("helpers") == str(place / "helpers.py")
        assert not any(Path(file).is_relative_to(place) for file in facts["ours"].values())
        assert (facts["cwd"], facts["safe"], facts["n"]) == (str(cwd or folder), None, n)
        assert (record(folder)["cwd"], record(folder)["engine"]) == (str(cwd) if cwd else None, engine)
        assert record(folder)["problems"] == []

    told = call("run", str(shows), "-p", "n=5", *runs)
    assert told.code == 0, told.err
    check(kept()[-1], None, "kernel")
    told = call("run", reads, "-p", "n=5", *where, *runs)
    assert told.code == 0, told.err
    check(kept()[-1], place, "kernel")
    # as it was, by its record
    assert call("rerun", kept()[-1].name, *runs).code == 0
    check(kept()[-1], place, "kernel")
    (tmp_path / "over.csv").write_text("n\n5\n007\n", encoding="utf-8")
    told = call("batch", reads, "--over", str(tmp_path / "over.csv"), "--workers", "1", *where, *runs)
    assert told.code == 0, told.err + told.out
    first, second = kept()[-2:]
    check(first, place, "shell", 5)
    check(second, place, "shell", 7)
    with pytest.raises(InputError, match="conda-env-ops-py"):
        run_runbook(reads, folder=tmp_path / "none")
    check(
        run_runbook(reads, {"n": 5}, kernel="python3", cwd=place, folder=tmp_path / "runs").folder,
        place,
        "kernel",
    )


def test_c6_no_folder(call: Call, tmp_path: Path) -> None:
    """A working directory that is none, and a kernel that is none, are refused in each way before anything starts."""
    path = str(write_notebook(tmp_path / "a.ipynb", ("dry_run: bool = True", "parameters")))
    (tmp_path / "over.csv").write_text("dry_run\ntrue\n", encoding="utf-8")
    over = ("--over", str(tmp_path / "over.csv"))
    cron = ("--cron", "0 6 * * *", "--to", "cron")
    for command, more in (("run", ()), ("plan-run", ()), ("batch", over), ("schedule export", cron)):
        told = call(*command.split(), path, *more, "--cwd", str(tmp_path / "none"))
        assert (
            told.code,
            re.search(r"is not a folder\. Nothing was (started|written)", told.err) is not None,
        ) == (2, True), told.err
        told = call(*command.split(), path, *more, "--kernel", "none")
        assert (told.code, "--kernel python3" in told.err) == (2, True), told.err
    assert list_run_folders(tmp_path / "runs") == []


def test_c6_c7_schedule(call: Call, tmp_path: Path) -> None:
    """A schedule runs with the same kernel, in the same folder, wherever it is started."""
    path = str(write_notebook(tmp_path / "a.ipynb", "1", kernel={**PYTHON3, "name": "conda-env-ops-py"}))
    line = ("schedule", "export", path, "--cron", "0 6 * * *", "--kernel", "python3", "--cwd", str(tmp_path))
    for system in ("cron", "systemd", "github"):
        told = call(*line, "--to", system)
        assert told.code == 0, told.err
        assert f"--kernel python3 --cwd {tmp_path}" in told.out.replace('"', "").replace("\n", " ")


def test_c6_hint(tmp_path: Path) -> None:
    """A file that is not found, and is next to the notebook, is told with the option that helps."""
    path = project(tmp_path).parent / "opens.ipynb"
    write_notebook(path, "open('data.csv')")
    run = run_runbook(str(path), folder=tmp_path / "runs")
    assert (run.status, "data.csv is in the folder of the notebook" in (run.error or "")) == ("failed", True)
    assert (run.error or "").endswith(f"--cwd {shlex.quote(str(path.parent))}")


# --- each value of a notebook as another one ------------------------------------------------------------

WHOLE = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {**PYTHON3, "env": {}},
        "language_info": {"name": "python", "codemirror_mode": {"name": "ipython", "version": 3}},
        "authors": [{"name": "a"}],
        "title": "a title",
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
        "papermill": {"parameters": {}},
    },
    "cells": [
        {"cell_type": "markdown", "id": "m", "metadata": {"name": "x"}, "source": ["# A"], "attachments": {"a": {"image/png": "x"}}},
        {"cell_type": "code", "id": "c", "execution_count": 1, "source": "n = 1", "outputs": [{"output_type": "stream"}],
         "metadata": {"tags": ["parameters"], "jupyter": {"source_hidden": True}, "collapsed": True, "scrolled": "auto",
                      "execution": {"iopub.status.busy": "x"}, "papermill": {"status": "x"}, "slideshow": {"slide_type": "x"}}},
        {"cell_type": "raw", "id": "r", "metadata": {"format": "text/x"}, "source": "x"},
    ],
}  # fmt: skip
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value within."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in items for found in places(each, (*path, key)))]


def test_c3_each_value_as_another(tmp_path: Path) -> None:
    """Whatever one value of a notebook is instead, it is read as a valid notebook, or refused with what is wrong."""
    path = tmp_path / "a.ipynb"
    refused: set[str] = set()
    for place in places(WHOLE)[1:]:
        for other in (GONE, None, [], {}, "", 5, "x,y", True, ["a", None], {"a": None}, -1, 1e999, "\ud800"):
            changed = json.loads(json.dumps(WHOLE))
            within = changed
            for key in place[:-1]:
                within = within[key]
            if other is GONE:
                del within[place[-1]]
            else:
                within[place[-1]] = other
            path.write_text(json.dumps(changed), encoding="utf-8")
            try:
                read = read_notebook(path)
                find_runbook(str(path))
            except InputError as error:
                assert str(error).endswith("Nothing was started.")
                refused.add(".".join("N" if isinstance(key, int) else key for key in place))
                continue
            nbformat.validate(json.loads(json.dumps(read)))
            json.dumps(read, ensure_ascii=False).encode()
    assert refused == {
        "nbformat", "metadata", "metadata.kernelspec", "metadata.language_info", "cells", "cells.N", "cells.N.cell_type",
        "cells.N.metadata", "cells.N.source", "cells.N.source.N",
    }  # fmt: skip
