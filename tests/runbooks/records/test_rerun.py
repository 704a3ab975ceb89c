"""`lcnb rerun` and `rerun_notebook`: the same notebook with the same parameters, confirmed anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lcnb
from conftest import TOKEN, record
from lcnb.errors import InputError, ParameterError
from lcnb.runbooks.records.find import find_run
from lcnb.runbooks.rerun import has_notebook_changed, rerun_notebook
from lcnb.runbooks.run import run_runbook
from recorded_runs import lcnb_command, make_run, write_notebook


def test_rerun(tmp_path: Path) -> None:
    """A run is made again with the parameters that were given, and a changed notebook is known."""
    path = write_notebook(tmp_path / "a.ipynb", "# A", "n: int = 1\nword: str = 'x'", "print(n, word)")
    then = run_runbook(str(path), {"n": "7"}, folder=tmp_path / "kept")
    kept = find_run(str(then.folder))
    assert not has_notebook_changed(kept)
    write_notebook(tmp_path / "a.ipynb", "# A", "n: int = 1\nword: str = 'y'", "print(n, word)")
    assert has_notebook_changed(kept)
    again = rerun_notebook(kept)
    assert again.folder.parent == then.folder.parent
    assert record(again.folder)["given"] == {"n": 7}
    assert again.parameters == {"n": 7, "word": "y"}
    path.unlink()
    with pytest.raises(
        InputError,
        match=r"the notebook of the run .* does not exist any more: .*a\.ipynb\. Nothing was started",
    ):
        rerun_notebook(kept)


def test_rerun_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of one base URL is not repeated at another one, unless an account is named for that."""
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    path = write_notebook(tmp_path / "a.ipynb", "1")
    make_run(tmp_path / "runs", 1, notebook=str(path), base_url="http://127.0.0.1:9/api")
    with pytest.raises(
        ParameterError, match=r"used http://127.*is at https://core\.letscloud\.io/api\. Nothing was started"
    ):
        rerun_notebook(find_run("last"))


def test_rerun_damaged(tmp_path: Path) -> None:
    """A run whose record cannot be read, or has no parameters, cannot be repeated."""
    damaged = make_run(
        tmp_path / "runs", 1, notebook=str(write_notebook(tmp_path / "a.ipynb", "1")), given=None
    )
    with pytest.raises(InputError, match="lacks: given"):
        rerun_notebook(find_run("last"))
    (damaged / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"cannot be read: run\.json is damaged"):
        rerun_notebook(find_run("last"))


def test_rerun_command(tmp_path: Path) -> None:
    """`lcnb rerun` warns of a changed notebook, prints as `lcnb run` does, and has the run's exit code."""
    path = write_notebook(tmp_path / "a.ipynb", "# A", "n: int = 1", "print(n)")
    run_runbook(str(path), {"n": 2})
    write_notebook(path, "# A", "n: int = 1", "import lcnb; lcnb.run().attention(f'it is {n}')")
    done = lcnb_command("rerun", "last")
    assert done.returncode == 8
    assert re.match(
        r"warning: the notebook has changed since the run \S+-a-\S+\nattention: it is 2\n", done.stderr
    )
    assert done.stdout.startswith("attention ")


def test_rerun_is_confirmed_anew(tmp_path: Path) -> None:
    """That somebody confirmed the changes of a run does not confirm those of its rerun: `--yes` does."""
    path = write_notebook(tmp_path / "a.ipynb", "# A", "dry_run: bool = True", "print(dry_run)")
    run_runbook(str(path), {"dry_run": False}, confirm=True).check()
    refused = lcnb_command("rerun", "last")
    assert (refused.returncode, len(lcnb.runs())) == (6, 1)
    assert "nobody confirmed that. Nothing was started" in refused.stderr
    assert lcnb_command("rerun", "last", "--yes").returncode == 0
