"""Reports that the page serves: from the folders of runs only, and only to people with the token of the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lcnb.widgets import report_pages
from lcnb.widgets.report_pages import REPORTS_VARIABLE, read_report, report_address

RUN = "20261130T101321Z-inventory-e90111"
TEXT = b"<p>a report</p>"


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "runs" / RUN
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "report.html").write_bytes(TEXT)
    (tmp_path / "report.html").write_text("outside")
    (tmp_path / "run.json").write_text("{}")
    return iter([folder.parent])


def test_a_report(runs: Iterator[Path]) -> None:
    """The report of a run is read as bytes."""
    assert read_report(next(runs), RUN) == TEXT


@pytest.mark.parametrize(
    "run",
    [
        "",
        ".",
        "..",
        "../runs",
        f"../runs/{RUN}",
        f"{RUN}/",
        f"{RUN}/..",
        "/etc",
        "a\0b",
        "a\nb",
        ".hidden",
        "ü",
        "x",
    ],
)
def test_other_names(runs: Iterator[Path], run: str) -> None:
    """A name that is no id of a run in this folder has no report, whatever it points to."""
    assert read_report(next(runs), run) is None


def no_record(folder: Path) -> None:
    (folder / "run.json").unlink()


def linked_report(folder: Path) -> None:
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(folder.parents[1] / "report.html")


def linked_folder(folder: Path) -> None:
    folder.rename(folder.parents[1] / "elsewhere")
    folder.symlink_to(folder.parents[1] / "elsewhere")


def linked_record(folder: Path) -> None:
    (folder / "run.json").unlink()
    (folder / "run.json").symlink_to(folder.parents[1] / "run.json")


def pipe(folder: Path) -> None:
    (folder / "report.html").unlink()
    os.mkfifo(folder / "report.html")


def directory(folder: Path) -> None:
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()


@pytest.mark.parametrize("damage", [no_record, linked_report, linked_folder, linked_record, pipe, directory])
def test_what_is_not_served(runs: Iterator[Path], damage: Callable[[Path], None]) -> None:
    """Links, pipes, folders, and folders without a record are not served; nothing waits for a pipe."""
    folder = next(runs)
    damage(folder / RUN)
    assert read_report(folder, RUN) is None


def test_other_users(runs: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of another user is not served."""
    folder, owner = next(runs), os.getuid()
    monkeypatch.setattr(report_pages.os, "getuid", lambda: owner + 1)
    assert read_report(folder, RUN) is None


def test_address(runs: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A report has an address on a page that serves it; none in a notebook, in another folder, or without a report."""
    folder = next(runs)
    monkeypatch.setenv("LCNB_RUNS_DIR", str(folder))
    assert report_address(folder / RUN) == ""
    monkeypatch.setenv(REPORTS_VARIABLE, "/lcnb/reports/")
    assert report_address(folder / RUN) == f"/lcnb/reports/{RUN}/report.html"
    assert report_address(folder.parent) == ""
    assert report_address(None) == ""
    (folder / RUN / "report.html").unlink()
    assert report_address(folder / RUN) == ""
