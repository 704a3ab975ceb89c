"""Your own runbooks: a folder of notebooks, of which those that cannot be used are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import write_notebook
from lcnb.errors import InputError
from lcnb.runbooks.notebook.find import notebooks_folder, own_runbooks


def test_own_runbooks(tmp_path: Path) -> None:
    """Notebooks of the folder itself are found by name; a damaged one is named and hides no other."""
    for name in ("b", "a"):
        write_notebook(tmp_path / f"{name}.ipynb", ("count = 3  # how many", "parameters"))
    (tmp_path / ".ipynb_checkpoints").mkdir()
    write_notebook(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.ipynb", ("count = 3", "parameters"))
    (tmp_path / "damaged.ipynb").write_text("{")
    (tmp_path / "notes.txt").write_text("x")
    books, problems = own_runbooks(tmp_path)
    assert [each.name for each in books] == ["a", "b"]
    assert [each.name for each in books[0].parameters] == ["count"]
    (problem,) = problems
    assert "damaged.ipynb" in problem


def test_notebooks_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over LCNB_NOTEBOOKS; relative folders are found from the working folder; without both, none."""
    monkeypatch.delenv("LCNB_NOTEBOOKS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert notebooks_folder() is None
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("LCNB_NOTEBOOKS", "one")
    assert notebooks_folder() == tmp_path / "one"
    assert notebooks_folder("two") == tmp_path / "two"
    with pytest.raises(InputError, match="three is no folder") as refused:
        notebooks_folder("three")
    assert refused.value.field == "notebooks"
