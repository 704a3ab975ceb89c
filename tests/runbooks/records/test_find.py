"""Every command and the Python API find a run in the same way, and say the same when they cannot."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import lcnb_here
from lcnb.errors import InputError
from lcnb.runbooks.records.find import find_run, match_runs
from recorded_runs import make_run

RUN = "20261124T120100Z-nightly-000001"
#: What names the run that the fixture `runs` makes in the middle, from the working directory of the test.
WAYS = [RUN, "20261124T1201", f"runs/{RUN}", f"./runs/{RUN}/", f"{{folder}}/runs/{RUN}"]
#: What names no run, or more than one, and the message; `{folder}` is the working directory.
WRONG_WAYS = {
    "20261124T120100Z-nigthly-000001": f"'20261124T120100Z-nigthly-000001' (did you mean '{RUN}'?) in {{folder}}/runs. `lcnb runs` lists the runs.",
    "": "'' in {folder}/runs. `lcnb runs` lists the runs.",
    "./home": "in {folder}/home: it has no run.json.",
    "..": "in {parent}: it has no run.json.",
}
SEVERAL = (
    "the ids of 3 runs begin with '20261124T12': 20261124T120200Z-nightly-000002, 20261124T120100Z-nightly-000001, "
    "20261124T120000Z-nightly-000000. Type more of the id."
)
#: Commands with the noun of their message and its last sentence. None of them starts a run here: the record lacks facts.
COMMANDS = {
    "show": ("run", ""),
    "open": ("run", ""),
    "diff": ("run", ""),
    "verify": ("run", ""),
    "rerun": ("run", ""),
    "apply": ("file or run", " Nothing was sent."),
    "resume": ("run", " Nothing was sent."),
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three runs in the runs folder, which is below the working directory; the last one is damaged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    folders = [make_run(tmp_path / "runs", number) for number in range(3)]
    for folder in folders[:2]:
        (folder / "report.html").touch()
    (folders[2] / "run.json").write_text("{")
    return folders


def call(command: str, name: str) -> str:
    """Call a command for a run and return what it prints on both streams."""
    names = (name, name) if command == "diff" else (name,)
    done = lcnb_here(command, *names)
    return done.stdout + done.stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_find_the_same_run(command: str, way: str, runs: list[Path], tmp_path: Path) -> None:
    """Each command finds a run by its id, a unique prefix, or the path of its folder."""
    printed = call(command, way.format(folder=tmp_path))
    expected = {
        "show": RUN,
        "open": f"{runs[1]}/report.html",
        "diff": "no difference",
        "verify": "1 run, ",
    }
    lacking = f"error: the record of the run {RUN} lacks: notebook"
    assert expected.get(command, lacking) in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_last_is_the_newest(command: str, runs: list[Path]) -> None:
    """`last` is the newest run; commands that need its damaged record say what is wrong, and where the files are."""
    printed = call(command, "last")
    damaged = f"the run {runs[2].name} cannot be read: run.json is damaged. Its files are in {runs[2]}."
    expected = {
        "open": f"the run {runs[2].name} (damaged) has no report",
        "verify": f"{runs[2].name}/run.json: ",
    }
    assert expected.get(command, damaged) in printed


@pytest.mark.parametrize("way", WRONG_WAYS)
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_the_same_reason(command: str, way: str, runs: list[Path], tmp_path: Path) -> None:
    """Where no run has that name each command says the same; `resume` then looks for a ChangeSet of that name."""
    if command == "resume" and "/" not in way and way != "..":
        pytest.skip("the name of a ChangeSet")
    noun, consequence = COMMANDS[command]
    message = WRONG_WAYS[way].format(folder=tmp_path, parent=tmp_path.parent)
    assert call(command, way) == f"error: no {noun} {message}{consequence}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_list_candidates(command: str, runs: list[Path]) -> None:
    """The beginning of several ids is refused with these ids."""
    assert call(command, "20261124T12") == f"error: {SEVERAL}{COMMANDS[command][1]}\n"


@pytest.mark.parametrize("name", [str, Path])
def test_python_takes_paths(name: Callable[[str], str | Path], runs: list[Path]) -> None:
    """The Python API takes the path of a folder as text or as a Path, and reads the record."""
    found = find_run(name(f"runs/{RUN}"))
    assert (found.folder, found.status, found.problem) == (runs[1], "done", None)
    assert match_runs("x") == []
    with pytest.raises(InputError) as several:
        find_run("20261124T12")
    assert several.value.candidates == [run.name for run in reversed(runs)]  # type: ignore[attr-defined]


def test_an_empty_runs_folder_is_named(tmp_path: Path) -> None:
    """Where the runs folder holds no runs, the message names it and says how to choose another one."""
    with pytest.raises(InputError) as nothing:
        find_run("last")
    assert str(nothing.value) == (
        f"no run 'last': {tmp_path}/runs does not exist, so it holds no runs. To look in another folder: --runs-dir, or LCNB_RUNS_DIR."
    )
