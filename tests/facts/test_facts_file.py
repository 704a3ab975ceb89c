"""Facts files: what is read, what is refused with its line, and what an edit keeps."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from lcnb.errors import InputError, LcnbError
from lcnb.facts.edits import add_tags, describe, protect, read_tags
from lcnb.facts.facts_file import FactsFile, facts_text
from lcnb.facts.machine_facts import MachineFacts, Protection, stored_label

HEADER = "identifier,label,tags,owner,note,protected,expires\n"


@pytest.fixture
def file(tmp_path: Path) -> FactsFile:
    return FactsFile(tmp_path / "facts.csv")


def test_round_trip(file: FactsFile) -> None:
    """What an edit writes is what is read; the same facts give the same bytes; a machine without facts has no row."""
    full = MachineFacts(
        "abc", "wéb, 01", {"project": 'shop, "online"', "legacy": ""}, "ana", "a note", Protection("a@h", datetime(2026, 1, 2, tzinfo=UTC)),
        datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),
    )  # fmt: skip
    file.edit({"abc": "", "def": "db-01"}, lambda one: full if one.identifier == "abc" else one)
    assert file.read() == {"abc": full}
    before = file.path.read_bytes()
    file.edit({"abc": ""}, lambda one: one)
    assert file.path.read_bytes() == before


@settings(max_examples=150, deadline=None)
@given(
    owner=st.text(max_size=30),
    note=st.text(alphabet="\",;#= \t\n\\'|<>a\u0301\ufeff\u2028", max_size=30),
    value=st.text(max_size=30),
    by=st.text(max_size=20),
    label=st.text(max_size=30),
)
def test_any_texts(owner: str, note: str, value: str, by: str, label: str) -> None:
    """Whatever texts people pass are refused as wrong, or read again as they were taken."""
    facts = MachineFacts("abc", stored_label(label))
    try:
        for change in (
            describe(owner, note),
            add_tags(read_tags([{"key": value}])),
            protect(f"{by}@pc", datetime(2026, 1, 2, tzinfo=UTC)),
        ):
            facts = change(facts)
    except InputError:
        return
    text = facts_text([facts, MachineFacts("def", owner="me")], ["# a comment"])
    found, comments = FactsFile(Path("facts.csv"))._parse(text)
    assert found["abc"] == facts
    assert (len(found), comments) == (2, ["# a comment"])


BAD = {
    "an unknown column": (
        "identifier,protcted\nabc,yes\n",
        "line 1: unknown column 'protcted' (did you mean 'protected'?)",
    ),
    "no identifier": (HEADER + ",web-01,,,,,\n", "line 2: identifier: the identifier is missing"),
    "twice": (HEADER + "abc,,,,,,\nabc,,,,,yes,\n", "line 3: the machine abc is there twice"),
    "protection": (HEADER + "abc,,,,,perhaps,\n", "line 2: protected: expected yes"),
    "a time": (
        HEADER + "abc,,,,,,1.12.2026\n",
        "line 2: expires: expected a time such as",
    ),
    "a tag": (HEADER + "abc,,1x=2,,,,\n", "line 2: tag: expected a key"),
    "a conflict": (
        HEADER + "<<<<<<< HEAD\nabc,,,,,yes,\n",
        "line 2: a merge conflict of git is not resolved",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(file: FactsFile, name: str) -> None:
    """A file that is not understood is an error with its line, for readers and for edits, and stays as it is."""
    content, message = BAD[name]
    file.path.write_text(content)
    with pytest.raises(InputError) as caught:
        file.read()
    assert message in str(caught.value)
    with pytest.raises(InputError, match="Nothing was written"):
        file.edit({"abc": ""}, lambda one: replace(one, owner="me"))
    assert file.path.read_text() == content


def test_comments_and_hand_edits(file: FactsFile) -> None:
    """Comments are kept, columns may be missing, and a protection by hand counts."""
    file.path.write_text("# our machines\nidentifier;protected\nabc;Yes\n# later\n")
    file.edit({"def": "db-01"}, lambda one: replace(one, owner="me"))
    assert file.read()["abc"].protected
    assert file.path.read_text().startswith("# our machines\n# later\nidentifier,")


# --- what spreadsheets, git and people do ----------------------------------------------------------------

SAME = {"abc": MachineFacts("abc", "wéb", {"project": "shop"}, "ana", "", Protection())}
HAND_EDITED: dict[str, bytes] = {
    "plain": "identifier,label,tags,owner,protected\nabc,wéb,project=shop,ana,yes\n".encode(),
    "CRLF": "identifier,label,tags,owner,protected\r\nabc,wéb,project=shop,ana,yes\r\n".encode(),
    "a byte order mark and semicolons": "\ufeffidentifier;label;tags;owner;protected\r\nabc;wéb;project=shop;ana;YES\r\n".encode(),
    "sep=;": "sep=;\r\nidentifier;label;tags;owner;protected\r\nabc;wéb;project=shop;ana;x\r\n".encode(),
    "tabs": "identifier\tlabel\ttags\towner\tprotected\nabc\twéb\tproject=shop\tana\tTRUE\n".encode(),
    "columns in another order": "protected,owner,tags,label,identifier\n1,ana,project=shop,wéb,abc\n".encode(),
    "spaces and empty rows": "identifier, label, tags, owner, protected\n,,,,\nabc, we\u0301b , project = shop ;, ana, yes\n\n".encode(),
    "invisible characters around an identifier": "identifier,label,tags,owner,protected\n\u200babc\u00a0\ufeff,wéb,project=shop,ana,yes\n".encode(),
    "no line end": "identifier,label,tags,owner,protected\nabc,wéb,project=shop,ana,yes".encode(),
    "an empty column": "identifier,label,tags,owner,protected,\nabc,wéb,project=shop,ana,yes,\n".encode(),
    "comments": "# ours\nidentifier,label,tags,owner,protected\n# the web\nabc,wéb,project=shop,ana,yes\n".encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND_EDITED)
def test_hand_edited(file: FactsFile, name: str) -> None:
    """What spreadsheets and editors save is read; an edit writes the one form that git shows well."""
    file.path.write_bytes(HAND_EDITED[name])
    assert file.read() == SAME
    file.edit({"abc": ""}, lambda one: one)
    assert file.path.read_bytes() == HAND_EDITED[name], "an edit that changes nothing writes nothing"
    file.edit({"abc": ""}, lambda one: replace(one, note="new"))
    lines = file.path.read_text(encoding="utf-8").splitlines()
    assert [each for each in lines if not each.startswith("#")] == [
        HEADER.strip(),
        "abc,wéb,project=shop,ana,new,yes,",
    ]
    assert file.read() == {"abc": replace(SAME["abc"], note="new")}


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty: its first line"),
    "UTF-16": ("identifier\nabc\n".encode("utf-16"), "UTF-16"),
    "Windows-1252": ("identifier,label\nabc,wéb\n".encode("cp1252"), "line 2 is not UTF-8"),
    "zeros after a crash": (b"\0" * 100, "cannot be read"),
    "a cut row": (b"identifier,label,protected\nabc,we", "line 2: fewer values than columns"),
    "an open quote": (b'identifier,label,protected\nabc,"web,yes\ndef,db,\n', "line 2"),
    "a column twice": (b"identifier,protected,protected\nabc,yes,\n", "the column 'protected' is there twice"),
    "no header": (b"abc,web-01,,,,yes,\n", "line 1: unknown column 'abc'"),
    "the middle of a conflict": (b"identifier\nabc\n=======\ndef\n", "line 3: a merge conflict of git is not resolved"),
    "the end of a conflict": (b"identifier\nabc\n>>>>>>> branch\n", "line 3: a merge conflict of git is not resolved"),
    "a key twice": (b"identifier,tags\nabc,a=1; a=2\n", "line 2: tags: the key 'a' is there twice"),
    "no protection": (b"identifier,protected\nabc,yess\n", "line 2: protected: expected yes"),
    "two bad rows": (b"identifier,protected,expires\nabc,y,\ndef,,soon\n", "line 2: protected: expected yes, an empty cell, or `user@host TIME`, got 'y'; line 3: expires: expected a time"),
    "a label over two lines": (b'identifier,label\nabc,"a\nb"\n', "line 2: label: expected one line"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken(file: FactsFile, name: str) -> None:
    """What is not understood is refused with its line and a cure, and stays as it is, byte for byte."""
    content, message = BROKEN[name]
    file.path.write_bytes(content)
    for work in (file.read, lambda: file.edit({"x": "web"}, lambda one: replace(one, owner="me"))):
        with pytest.raises(InputError) as caught:
            work()
        assert message in str(caught.value)
        assert str(file.path) in str(caught.value)
    assert file.path.read_bytes() == content


# --- disks and folders ----------------------------------------------------------------------------------


def test_link(file: FactsFile, tmp_path: Path) -> None:
    """A symbolic link stays one, and the file behind it is edited; a link to nothing is an error, not "no facts"."""
    target = tmp_path / "repository" / "infra.csv"
    target.parent.mkdir()
    file.path.symlink_to(target)
    with pytest.raises(
        InputError, match=r"is a symbolic link to a file that does not exist\. Make that file"
    ):
        file.read()
    with pytest.raises(InputError, match="Nothing was written"):
        file.edit({"abc": "web"}, lambda one: replace(one, owner="me"))
    target.write_text(HEADER)
    target.chmod(0o644)
    file.edit({"abc": "web"}, lambda one: replace(one, owner="me"))
    assert file.path.is_symlink()
    assert "abc,web" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o644


def test_folder_instead_of_file(file: FactsFile) -> None:
    """A folder of this name is an error for readers and for edits."""
    file.path.mkdir()
    for work in (file.read, lambda: file.edit({"abc": ""}, lambda one: replace(one, owner="me"))):
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            work()


def test_new_folder(tmp_path: Path) -> None:
    """The folder of the file is made when something is written, and the file can be read by nobody else."""
    file = FactsFile(tmp_path / "config" / "lcnb" / "facts.csv")
    assert file.read() == {}
    assert not file.path.parent.exists()
    file.edit({"abc": "web"}, lambda one: replace(one, owner="me"))
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of a process")
def test_full_disk(file: FactsFile) -> None:
    """When the disk is full, the edit is an error, the old file stays, and no temporary file is left."""
    file.edit({"abc": "web"}, lambda one: replace(one, protection=Protection()))
    before = file.path.read_bytes()
    program = (
        "import resource, signal, sys\n"
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from lcnb.errors import LcnbError\n"
        "from lcnb.facts.facts_file import FactsFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "try:\n"
        "    FactsFile(Path(sys.argv[1])).edit({'def': 'db'}, lambda one: replace(one, owner='me'))\n"
        "except LcnbError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(file.path)], capture_output=True, text=True, timeout=600
    )
    assert (
        "cannot be written: File too large. Free some space on that disk, or choose another one."
        in done.stdout
    ), done.stderr
    assert file.path.read_bytes() == before
    assert {each.name for each in file.path.parent.glob("*facts*")} == {"facts.csv", ".facts.csv.lock"}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(file: FactsFile) -> None:
    """In a folder that may not be written, facts are read, and an edit is an error."""
    file.path.write_text(HEADER + "abc,web,,,,yes,\n")
    file.path.parent.chmod(0o500)
    try:
        assert file.read()["abc"].protected
        with pytest.raises(InputError, match=r"cannot be written: Permission denied\. Nothing was written"):
            file.edit({"abc": ""}, lambda one: replace(one, owner="me"))
    finally:
        file.path.parent.chmod(0o700)


def test_disk_errors(file: FactsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever error the disk reports, the message has its reason, and the old file stays."""
    file.edit({"abc": "web"}, lambda one: replace(one, owner="me"))
    before = file.path.read_bytes()
    for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO):

        def fail(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("lcnb.facts.facts_file.replace_file", fail)
        with pytest.raises(
            LcnbError, match=f"cannot be written: {os.strerror(number)}.*Nothing was written"
        ) as caught:
            file.edit({"abc": ""}, lambda one: replace(one, owner="you"))
        # A full or broken disk is no wrong name.
        assert isinstance(caught.value, InputError) == (number == errno.EROFS)
    assert file.path.read_bytes() == before


def test_no_locks(file: FactsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without locks nothing is written: two processes could lose an edit."""

    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(InputError, match=r"has no locks\. Put it on another disk"):
        file.edit({"abc": ""}, lambda one: replace(one, owner="me"))
    assert not file.path.exists()


def test_held_lock(file: FactsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another process holds for too long is an error that says so."""
    monkeypatch.setattr("lcnb.facts.facts_file.LOCK_TIMEOUT_S", 0.05)
    with (
        FileLock(file.path.with_name(".facts.csv.lock")),
        pytest.raises(InputError, match=r"held the lock of .* for 0\.05 s\. Try again"),
    ):
        file.edit({"abc": ""}, lambda one: replace(one, owner="me"))


def test_unwritable_identifier(file: FactsFile) -> None:
    """An identifier that would be read as something else is refused: its protection would be lost."""
    for name in ("# no comment", " abc", ""):
        with pytest.raises(InputError, match="Nothing was written"):
            file.edit({name: "web"}, lambda one: replace(one, protection=Protection()))
    assert not file.path.exists()


def test_race() -> None:
    """Two processes edit at once and one is killed in the middle: nothing is lost, torn or changed."""
    command = [sys.executable, "-m", "benchmarks.facts", "12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    tally = json.loads(done.stdout)
    assert tally["rounds"] == 12
    assert tally["reported"] >= 12 * 6
    assert {name: tally[name] for name in ("lost", "torn", "changed_others", "failed_writers")} == {
        "lost": 0, "torn": 0, "changed_others": 0, "failed_writers": 0,
    }  # fmt: skip
