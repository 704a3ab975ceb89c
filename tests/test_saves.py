"""What a run saves can be read at any moment, and is not written over and over."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.saves import measure
from lcnb.files import BackgroundWrite, replace_file, write_atomically


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bytes are counted by Linux")
def test_saves() -> None:
    """No read of a notebook, record or report that is being saved is torn, and at most five times its size is written."""
    found = measure("lcnb", reads=1, rounds=1, cells=5, size=420_000)
    assert found.torn == 0
    assert found.contents >= 6  # each reader has seen a notebook, a record and a report
    assert found.kinds.keys() == {".ipynb", ".json", ".html"}
    assert found.notebook > 2_000_000
    assert found.written <= 5 * found.notebook


def test_background_write(tmp_path: Path) -> None:
    """A write that fails in its thread is reported when it is waited for, once, and the old file is unchanged."""
    written = BackgroundWrite(tmp_path / "a" / "run.json")
    written.start("one")
    with pytest.raises(FileNotFoundError):
        written.finish()
    written.finish()
    written.path.parent.mkdir()
    for text in ("one", "two"):  # the second waits for the first
        written.start(text)
    written.finish()
    assert written.path.read_text() == "two"
    assert [each.name for each in written.path.parent.iterdir()] == ["run.json"]


def test_no_device_is_replaced(tmp_path: Path) -> None:
    """A pipe or device in the place of a file is refused and not replaced, and no temporary file is left."""
    pipe = tmp_path / "folder" / "pipe"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a device or a pipe"):
        write_atomically(pipe, "x")
    assert pipe.is_fifo()
    assert list(pipe.parent.iterdir()) == [pipe]


def test_link_to_a_file(tmp_path: Path) -> None:
    """The file of a link is replaced and the link stays; a link to nothing makes its file; a loop is an error."""
    link, loop = tmp_path / "link", tmp_path / "loop"
    link.symlink_to("file")
    assert replace_file(link, "one", mode=0o640) == tmp_path / "file"
    (tmp_path / "file").chmod(0o604)
    replace_file(link, "two", mode=0o640)
    assert link.is_symlink()
    assert link.read_text() == "two"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o604
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        replace_file(loop, "x")
