"""No password is lost or reported as stored when it is not: files, keyrings, resets."""

from __future__ import annotations

import errno
import json
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.null import Keyring as NullKeyring
from keyring.errors import KeyringLocked

import lcnb
from benchmarks.virtual import client
from by_hand import run_cells, world
from changing_cases import (
    Stopped,
    failing,
    machines,
    parameters,
    passwords,
    prepared,
    write_files,
    writes,
)
from lcnb.config import Settings
from lcnb.errors import ChangeFailed, InputError
from lcnb.files import write_atomically
from lcnb.runbooks.toolkit import credential_stores
from lcnb.runbooks.toolkit.credential_stores import (
    IN_FORCE,
    NOT_KNOWN,
    NOT_SET,
    KeyringStore,
    PasswordFileStore,
    StoredPassword,
)
from lcnb.secret import Secret


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the fleet files that CASES name."""
    return write_files(tmp_path)


def test_password_not_set(place: Path, settings: Settings) -> None:
    """A password whose reset was refused is in the file as not set, the other as in force."""
    box = failing("reset-password", times=1, nth=1)
    run_cells("password_rotation", client(box, settings), place / "run", parameters("password_rotation", place, dry_run=False))  # fmt: skip
    kept = PasswordFileStore(settings.state_dir / "credentials" / "run.json").read().values()
    assert {each["label"]: each["state"] for each in kept} == {"web-01": "not set", "api-01": "in force"}
    assert passwords(settings.state_dir, "run") == {"api-01": machines(box)["api-01"]["password"]}


def test_passwords_are_kept_before(place: Path, settings: Settings) -> None:
    """When the first reset is sent its password is in the file, marked, and the file is nobody else's."""
    box = prepared()
    lc = client(box, settings)
    path = place / "kept.json"
    seen: list[dict[str, Any]] = []

    def look(what: str) -> None:
        if what.startswith("PUT"):
            seen.extend(PasswordFileStore(path).read().values())
            assert path.stat().st_mode & 0o777 == 0o600
            raise Stopped

    lc._wire.before = look  # type: ignore[attr-defined]
    given = {**parameters("password_rotation", place, dry_run=False), "credentials_file": str(path)}
    with pytest.raises(Stopped):
        run_cells("password_rotation", lc, place / "run", given)
    assert [(each["label"], each["state"]) for each in seen] == [
        ("web-01", "not known to be in force"),
        ("api-01", "not known to be in force"),
    ]


class Shelf(KeyringBackend):
    """A keyring in memory."""

    priority = -1.0  # type: ignore[assignment]  # never chosen by itself

    def __init__(self) -> None:
        super().__init__()
        self.shelf: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.shelf[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.shelf.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        del self.shelf[service, username]


class Cutting(Shelf):
    def set_password(self, service: str, username: str, password: str) -> None:
        super().set_password(service, username, password[:8])


class Changing(Shelf):
    def set_password(self, service: str, username: str, password: str) -> None:
        super().set_password(service, username, password.swapcase())


class OneEntry(Shelf):
    def set_password(self, service: str, username: str, password: str) -> None:
        self.shelf = {(service, username): password}


class WriteOnly(Shelf):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("locked")


class Constant(Shelf):
    def get_password(self, service: str, username: str) -> str | None:
        return "the same for all"


class Empty(Shelf):
    def get_password(self, service: str, username: str) -> str | None:
        return ""


class LockedKeyring(Shelf):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("locked")


@pytest.fixture
def use_keyring() -> Iterator[Callable[[KeyringBackend], KeyringBackend]]:
    """Makes a backend the keyring of this process."""
    before = keyring.get_keyring()

    def use(backend: KeyringBackend) -> KeyringBackend:
        keyring.set_keyring(backend)
        return backend

    yield use
    keyring.set_keyring(before)


def test_keyring(
    place: Path, settings: Settings, use_keyring: Callable[[KeyringBackend], KeyringBackend]
) -> None:
    """In the keyring a password in force has the label as its entry; one that was not set has a marked entry."""
    use_keyring(kept := Shelf())
    box = failing("reset-password", times=1, nth=1)
    given = {**parameters("password_rotation", place, dry_run=False), "keep_in": "keyring"}
    run_cells("password_rotation", client(box, settings), place / "run", given)
    assert {user for _, user in kept.shelf} == {"web-01 (not set)", "api-01"}
    service = f"lcnb/passwords of {settings.base_url}"
    assert kept.shelf[service, "api-01"] == machines(box)["api-01"]["password"]
    assert not list(settings.state_dir.rglob("*.json"))
    assert KeyringStore("x").where() == "the keyring, service x"


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (NullKeyring, r"returns nothing \(backend keyring.backends.null.Keyring\)"),
        (Cutting, "returns a different text"),
        (Changing, "returns a different text"),
        (OneEntry, r"did not store .*/web-01 .*returns nothing"),
        (WriteOnly, "cannot be read: KeyringLocked"),
        (Constant, "has 9 passwords of web-01"),
        (Empty, "has 9 passwords of web-01"),
        (LockedKeyring, "did not accept .*: KeyringLocked"),
    ],
)
def test_a6_keyring_that_does_not_keep(
    backend: type[KeyringBackend],
    message: str,
    place: Path,
    settings: Settings,
    use_keyring: Callable[[KeyringBackend], KeyringBackend],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is reset, and nothing is reported as kept, when the keyring does not give back each of the secrets."""
    use_keyring(backend())
    box = prepared()
    given = {**parameters("password_rotation", place, dry_run=False), "keep_in": "keyring"}
    with pytest.raises(lcnb.ConfigError, match=f"(?s){message}.*No password was reset"):
        run_cells("password_rotation", client(box, settings), place / "run", given)
    assert writes(box) == []
    assert "Passwords (" not in capsys.readouterr().out


def test_a6_keyring_keeps_what_may_be_in_force(
    use_keyring: Callable[[KeyringBackend], KeyringBackend],
) -> None:
    """A password of a run that was broken off stays until another one is in force."""
    use_keyring(kept := Shelf())
    store = KeyringStore("s")

    def write(password: str, state: str) -> dict[str, str]:
        store.write([StoredPassword("a", "web", lcnb.Secret(password), state)])
        return {user: text for (_, user), text in kept.shelf.items()}

    write("first", IN_FORCE)
    write("second", NOT_KNOWN)
    now = {"web": "first", "web (not known to be in force)": "second"}
    assert write("third", NOT_KNOWN) == {**now, "web (not known to be in force) 2": "third"}
    assert write("third", NOT_SET) == {**now, "web (not set)": "third"}
    assert write("second", NOT_KNOWN) == {**now, "web (not set)": "third"}
    assert write("fourth", IN_FORCE) == {"web": "fourth"}


def test_a6_file_keeps_what_may_be_in_force(tmp_path: Path) -> None:
    """In a file that is used again the password in force stays until the next one is in force."""
    store = PasswordFileStore(tmp_path / "kept.json")

    def write(password: str, state: str) -> tuple[str, str, list[str]]:
        store.write([StoredPassword("a", "web", lcnb.Secret(password), state)])
        entry = store.read()["a"]
        return entry["password"], entry["state"], [each["password"] for each in entry.get("earlier", [])]

    assert write("first", IN_FORCE) == ("first", IN_FORCE, [])
    assert write("second", NOT_KNOWN) == ("second", NOT_KNOWN, ["first"])
    assert write("second", NOT_SET) == ("second", NOT_SET, ["first"])
    assert write("third", NOT_KNOWN) == ("third", NOT_KNOWN, ["first"])
    assert write("fourth", NOT_KNOWN) == ("fourth", NOT_KNOWN, ["first", "third"])
    assert write("fourth", IN_FORCE) == ("fourth", IN_FORCE, [])


def full(path: Path, content: str | bytes, **how: Any) -> Path:
    raise OSError(errno.ENOSPC, "No space left on device")


def cut(path: Path, content: str | bytes, **how: Any) -> Path:
    return write_atomically(path, content[: len(content) // 2], **how)


def other(path: Path, content: str | bytes, **how: Any) -> Path:
    return write_atomically(
        path, content if isinstance(content, bytes) else content.replace("web-01", "web-02"), **how
    )


def none(path: Path, content: str | bytes, **how: Any) -> Path:
    return path


@pytest.mark.parametrize("write", [full, cut, other, none])
@pytest.mark.parametrize("trial", ["passes", "fails"])
def test_a6_file_that_does_not_keep(
    write: Callable[..., Path], trial: str, place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is reset when the file of passwords cannot be written, or reads back differently."""

    def broken(path: Path, content: str | bytes, **how: Any) -> Path:
        return (write_atomically if trial == "passes" and path.suffix == ".trial" else write)(
            path, content, **how
        )

    monkeypatch.setattr(credential_stores, "write_atomically", broken)
    box = prepared()
    given = {
        **parameters("password_rotation", place, dry_run=False),
        "credentials_file": str(place / "kept.json"),
    }
    with pytest.raises(
        (lcnb.ConfigError, InputError), match=r"kept\.json.*(No password was reset|Nothing was sent)"
    ):
        run_cells("password_rotation", client(box, settings), place / "run", given)
    assert writes(box) == []


@pytest.mark.parametrize("write", [full, cut, other, none])
def test_a_failed_store_shows_no_password(
    write: Callable[..., Path], place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of passwords that cannot be stored, with its variables, shows none of them and none of the file."""
    path = place / "kept.json"
    PasswordFileStore(path).write([StoredPassword("other", "other", Secret("0ld-Passw0rd!"), IN_FORCE)])
    texts = []

    def broken(where: Path, content: str | bytes, **how: Any) -> Path:
        if where.suffix == ".trial":
            return write_atomically(where, content, **how)
        texts.append(json.loads(content)["machines"])
        return write(where, content, **how)

    monkeypatch.setattr(credential_stores, "write_atomically", broken)
    given = {**parameters("password_rotation", place, dry_run=False), "credentials_file": str(path)}
    with pytest.raises(lcnb.ConfigError, match="No password was reset") as caught:
        run_cells("password_rotation", client(prepared(), settings), place / "run", given)
    # Without the frame of this test, which knows them.
    below = caught.value.with_traceback(caught.tb.tb_next)
    shown = "".join(traceback.TracebackException.from_exception(below, capture_locals=True).format())
    written = [each["password"] for each in texts[0].values()]
    assert len(written) > 1
    assert not [each for each in written if each in shown]


@pytest.mark.parametrize("name", ["password_rotation", "provision"])
@pytest.mark.parametrize("what", ["/dev/full", "/dev/null", "fifo", "folder", "full"])
def test_a6_places_that_keep_nothing(
    name: str, what: str, place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device, a pipe, a folder or a full disk is refused before anything is made or reset, and left as it is."""
    path = Path(what) if what.startswith("/") else place / what
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "full":
        monkeypatch.setattr(credential_stores, "write_atomically", full)
    box = prepared()
    given = {**parameters(name, place, dry_run=False), "credentials_file": str(path)}
    with pytest.raises(InputError, match=r"credentials_file .*Nothing was sent"):
        run_cells(name, client(box, settings), place / "run", given)
    assert writes(box) == []
    assert path.exists() == (what != "full")
    assert not path.is_file()


def test_a6_write_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that reads back differently does not take the old one's place."""
    (tmp_path / "folder").mkdir()
    path = write_atomically(tmp_path / "folder" / "f", "old")
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"other")
    with pytest.raises(OSError, match="the bytes read back differ"):
        write_atomically(path, "new", read_back=True)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("on_server", [False, True])
@pytest.mark.parametrize("how", ["full", "cut", "gone"])
def test_a6_private_key_is_read_back(
    how: str, on_server: bool, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key is sent, or made by the provider, whose private half its file does not keep; the name stays free."""
    box = world()
    folder = tmp_path / "keys"
    folder.mkdir()
    changes = client(box, settings).generate_sshkey("new", folder / "new", generate_on_server=on_server)
    if how == "full":
        monkeypatch.setattr("lcnb.changes.key_files.os.fsync", lambda handle: full(Path(), ""))
    elif how == "cut":
        monkeypatch.setattr(Path, "read_bytes", lambda self: b"0")
    else:
        folder.rmdir()
    with pytest.raises(ChangeFailed, match=r"key file .*(cannot be written|does not keep)"):
        changes.apply(confirm=True)
    assert writes(box) == []
    assert not folder.exists() or not list(folder.iterdir())


def test_file_keeps_what_it_holds(tmp_path: Path) -> None:
    """A file of passwords is added to, machine by machine, and is its user's alone even when it was not before."""
    store = PasswordFileStore(tmp_path / "kept.json")
    first, second = (
        StoredPassword(name, f"web-{name}", lcnb.Secret(f"secret-{name}"), IN_FORCE) for name in ("a", "b")
    )
    store.write([first])
    store.path.chmod(0o644)
    store.check().write([second])
    assert {name: each["password"] for name, each in store.read().items()} == {
        "a": "secret-a",
        "b": "secret-b",
    }
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(first)
