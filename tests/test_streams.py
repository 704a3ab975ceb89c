"""What is printed never decides how a command ends: streams of any encoding and state, and the exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lcnb
from conftest import LCNB, TOKEN
from lcnb import streams
from lcnb.display import terminal
from lcnb.sandbox import Sandbox

NAME = "erp-são-日本-🙂"


def lasting(path: str | Path | int, encoding: str = "utf-8", errors: str = "strict") -> io.TextIOWrapper:
    """A stream as `open_streams` makes it of Python's, which do not close what is below them."""
    handle = path if isinstance(path, int) else os.open(path, os.O_WRONLY | os.O_CREAT)
    with open(handle, "w", encoding=encoding, errors=errors, closefd=False) as stream:
        made = streams._wrap_stream(stream)
    assert isinstance(made, io.TextIOWrapper)
    return made


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "cp1252", "koi8-r", "utf-8"])
def test_a9_encodings(encoding: str, tmp_path: Path) -> None:
    """A character that the encoding does not have, or that is half of one, is written as JSON writes it."""
    with lasting(tmp_path / "out", encoding) as stream:
        print(json.dumps({"label": f"{NAME}\ud800"}, ensure_ascii=False), file=stream)
    text = (tmp_path / "out").read_text(encoding=encoding)
    assert json.loads(text) == {"label": f"{NAME}\ud800"}
    assert ("ã" in text) == (encoding in ("latin-1", "cp1252", "utf-8"))


def test_a9_errors_asked_for(tmp_path: Path) -> None:
    """What PYTHONIOENCODING asks for stays."""
    with lasting(tmp_path / "out", "ascii", "replace") as stream:
        stream.write("são")
    assert (tmp_path / "out").read_text() == "s?o"


def test_a9_broken_streams() -> None:
    """A full disk and a pipe without a reader take what is written, also much, and say afterwards what was wrong."""
    full = lasting("/dev/full")
    read, write = os.pipe()
    os.close(read)
    pipe = lasting(write)
    for stream, problem in ((full, "No space left"), (pipe, "Broken pipe")):
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()
        stream.buffer.write(b"binary")
        outlet = streams.find_tolerant_output(stream)
        assert outlet is not None
        assert problem in str(outlet.problem)
        stream.close()


def test_a9_pipe_that_does_not_block() -> None:
    """A pipe that another process has made non-blocking loses nothing."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    seen: list[bytes] = []

    def drain() -> None:
        while part := os.read(read, 4096):
            seen.append(part)

    reader = threading.Thread(target=drain)
    with lasting(write) as stream:
        reader.start()
        stream.write("x" * 1_000_000)
        stream.flush()
    os.close(write)
    reader.join()
    os.close(read)
    assert len(b"".join(seen)) == 1_000_000


@pytest.mark.parametrize("frame", [{"label": [NAME]}, {"label": [None, "ã"]}])
@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_a9_frames(
    frame: dict[str, Any], output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are printed to an ASCII stream in each format."""
    with lasting(tmp_path / "out", "ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.print_frame(pd.DataFrame(frame), output)
    text = (tmp_path / "out").read_text(encoding="ascii")
    assert "label" in text
    if output == "json":
        assert [each["label"] for each in json.loads(text)] == frame["label"]


def test_a9_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library says in a script, such as where passwords were kept, does not fail on the script's stream."""
    monkeypatch.chdir(tmp_path)  # by hand, the run's folder is the working directory
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        lcnb.run().log("são")
        streams.print_line("kept in /home/joão")
    streams.print_line("to a closed stream")
    monkeypatch.setattr(sys, "stdout", None)
    streams.print_line("to none")
    assert (tmp_path / "out").read_text().splitlines()[1] == "kept in /home/jo\\u00e3o"


# What stdout is, its encoding, format, and the exit code of a listing there (of a change it is 0 everywhere).
PLACES = [
    ("file", "ascii", "json", 0),
    ("file", "ascii", "table", 0),
    ("file", "latin-1", "csv", 0),
    ("file", "cp437", "table", 0),
    ("closed", "utf-8", "json", 0),
    ("full", "utf-8", "csv", 1),
    ("full", "ascii", "table", 1),
    ("pipe", "utf-8", "json", 0),
]


@pytest.mark.parametrize(("kind", "encoding", "output", "code"), PLACES)
def test_a9_exit_codes(
    kind: str,
    encoding: str,
    output: str,
    code: int,
    served: Callable[..., tuple[Sandbox, lcnb.LetsCloud]],
    tmp_path: Path,
) -> None:
    """A change that was made is a success wherever its result goes; a listing that is lost is an error."""
    box, lc = served(fleet=14)
    next(each for each in box.world.machines if each["label"] == "web-01")["label"] = NAME
    env = {
        **os.environ,
        "LETSCLOUD_API_KEY": TOKEN,
        "LCNB_BASE_URL": lc.settings.base_url,
        "PYTHONIOENCODING": encoding,
    }
    for arguments, expected in (
        (["power", "off", NAME, "--yes"], 0),
        (["journal"], code),
    ):
        command = [LCNB, *arguments, "-o", output]
        if kind == "closed":
            command = ["sh", "-c", 'exec "$0" "$@" >&-', *command]
        elif kind == "pipe":  # nobody reads, from the first byte on
            command = ["bash", "-c", 'set -o pipefail; "$0" "$@" | exec 0<&-', *command]
        with Path("/dev/full" if kind == "full" else tmp_path / "out").open("wb") as out:
            done = subprocess.run(
                command, stdout=out, stderr=subprocess.PIPE, env=env, text=True, timeout=300, check=False
            )
        assert done.returncode == expected, done.stderr
        assert "Traceback" not in done.stderr
        if kind == "full":
            assert re.match(
                r"error: the output could not be written: .*No space left on device\. ", done.stderr
            )
        if kind == "file":
            text = (tmp_path / "out").read_text(encoding=encoding)
            assert "power off" in text
            assert ("ã" in text) == (encoding == "latin-1")
            if output == "json":
                assert json.loads(text)[0]["target"] == NAME
    assert [entry["path"] for entry in box.log if entry["method"] == "PUT"] == [
        path for path in (entry["path"] for entry in box.log) if path.endswith("power-off")
    ]
    assert lc.journal().outcome.tolist() == ["done"]


def test_a9_parquet_before(
    served: Callable[..., tuple[Sandbox, lcnb.LetsCloud]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output that cannot be printed is refused before the change, not after it."""
    from click.testing import CliRunner

    from lcnb.cli.main import cli

    box, lc = served(fleet=14)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)

    def refuse(output: str) -> None:
        raise lcnb.InputError("parquet is binary")

    monkeypatch.setattr(terminal, "check_output", refuse)
    done = CliRunner().invoke(cli, ["power", "off", "web-01", "--yes", "-o", "parquet"])
    assert "parquet is binary" in str(done.exception)
    assert [entry["path"] for entry in box.log if entry["method"] == "PUT"] == []


def test_a9_result_that_cannot_be_printed(
    served: Callable[..., tuple[Sandbox, lcnb.LetsCloud]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the result of a change cannot be printed for any other reason, the exit code is still that of the change."""
    from click.testing import CliRunner

    from lcnb.cli.main import cli

    def broken(frame: Any, output: str) -> None:
        raise RuntimeError("pyarrow is broken")

    _, lc = served(fleet=14)
    monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("LCNB_BASE_URL", lc.settings.base_url)
    monkeypatch.setattr(terminal, "print_frame", broken)
    done = CliRunner().invoke(cli, ["power", "off", "web-01", "--yes", "-o", "json"])
    assert done.exit_code == 0
    assert "error: pyarrow is broken" in done.stderr
    assert "lcnb journal" in done.stderr
