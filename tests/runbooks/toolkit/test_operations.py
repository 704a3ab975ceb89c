"""The runbooks that change things: what each would do, does, leaves alone, refuses, and goes on with."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.null import Keyring as NullKeyring
from keyring.errors import KeyringLocked

import lcnb
from benchmarks.virtual import client
from by_hand import resume, run_cells, world
from conftest import MANY, ROOT, TOKEN, in_thread, lcnb_here, record, warm_run, warm_server, without_account
from lcnb.config import Settings
from lcnb.errors import ChangeFailed, Drifted, InputError, NotFound, WaitTimeout
from lcnb.files import write_atomically
from lcnb.runbooks.current import RunContext
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.toolkit import credential_stores, earlier_runs, fleet_file, resizing
from lcnb.runbooks.toolkit.credential_stores import (
    IN_FORCE,
    NOT_KNOWN,
    NOT_SET,
    KeyringStore,
    PasswordFileStore,
    StoredPassword,
)
from lcnb.sandbox import Sandbox
from lcnb.sandbox.faults import Faults

FLEET = """label,location,plan,image,hostname,ssh_key,state
web-01,MIA1,,,,,off
api-01,,2vcpu-8gb-60ssd,,,,
db-01,MIA2,,,,,
new-01,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64,,,
"""
NODES = "label,location,plan,image,hostname,ssh_key\n" + "".join(
    f"node-{number:02d},MIA1,1vcpu-1gb-10ssd,debian-12-x86_64,,{'ci-deploy' if number == 2 else ''}\n"
    for number in range(3)
)
TODAY = earlier_runs.work_date(RunContext(Path()))


def machines(box: Sandbox) -> dict[str, dict[str, Any]]:
    box.catch_up()
    return {machine["label"]: machine for machine in box.world.machines}


def titles(box: Sandbox) -> list[str]:
    return sorted(
        snapshot["label"]
        for snapshot in box.world.snapshots
        if "2026-" in snapshot["label"] or TODAY in snapshot["label"]
    )


def writes(box: Sandbox) -> list[tuple[str, str]]:
    return [(entry["method"], entry["path"]) for entry in box.log if entry["method"] != "GET"]


def old_snapshots(box: Sandbox) -> None:
    """Three of a machine by the rotation, one that only looks so, and one of a machine with a longer name."""
    for title in (
        "db-01 rotation 2025-01-01",
        "db-01 rotation 2025-01-02",
        "db-01 rotation 2025-01-03",
        "db-01 rotation 2025-13-01",
        "db-01 rotation 2025-01-04 keep this",
        "my db-01 rotation 2025-01-05",
    ):
        box.world.snapshots.append(
            {"slug": f"s{len(box.world.snapshots)}", "label": title, "size": 1.0, "os_reference": "x", "reference": "y", "build": True, "locations": ["DAL1"]}
        )  # fmt: skip


def odd_size(box: Sandbox) -> None:
    machines(box)["web-01"].update(cpus=3, memory=6144, disk=50)


# Runbook → parameters, what is planned, what holds afterwards.
CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str]], Any]] = {
    "drift": (
        {"fleet": "fleet.csv"},
        [("power off", "web-01"), ("change plan", "api-01"), ("create instance", "new-01")],
        lambda box: (machines(box)["web-01"]["booted"], machines(box)["api-01"]["memory"], machines(box)["new-01"]["booted"])
        == (False, 8192, True),
    ),
    "provision": (
        {"fleet": "nodes.csv"},
        [("create instance", f"node-{number:02d}") for number in range(3)],
        lambda box: all(machines(box)[f"node-{number:02d}"]["booted"] for number in range(3)),
    ),
    "decommission": (
        {"labels": ["web-01", "mail"], "confirm_labels": ["mail", "web-01"]},
        [("create snapshot", "web-01"), ("create snapshot", "mail"), ("delete instance", "web-01"), ("delete instance", "mail")],
        lambda box: (set(machines(box)) & {"web-01", "mail"}, titles(box))
        == (set(), [f"mail before its end {TODAY}", f"web-01 before its end {TODAY}"]),
    ),
    "power_schedule": (
        {"selection": "label in ['web-01', 'api-01', 'proxy-01', 'vpn-01']", "power": "off"},
        [("power off", "web-01"), ("power off", "api-01")],
        lambda box: [machines(box)[label]["booted"] for label in ("web-01", "api-01", "proxy-01", "db-01")]
        == [False, False, False, True],
    ),
    "snapshot_rotation": (
        {"selection": "label in ['db-01', 'web-01', 'vpn-01']", "keep": 2},
        [("create snapshot", "web-01"), ("create snapshot", "db-01"), ("delete snapshot", "db-01 rotation 2025-01-02"),
         ("delete snapshot", "db-01 rotation 2025-01-01")],
        lambda box: [each for each in titles_all(box) if "rotation" in each]
        == ["db-01 rotation 2025-01-03", "db-01 rotation 2025-01-04 keep this", "db-01 rotation 2025-13-01",
            f"db-01 rotation {TODAY}", "my db-01 rotation 2025-01-05", f"web-01 rotation {TODAY}"],
    ),
    "resize_advisor": (
        {"apply_labels": ["web-01"]},
        [("change plan", "web-01")],
        lambda box: (machines(box)["web-01"]["cpus"], machines(box)["web-01"]["disk"]) == (4, 80),
    ),
    "password_rotation": (
        {"selection": "label in ['web-01', 'api-01', 'vpn-01']"},
        [("reset password", "web-01"), ("reset password", "api-01")],
        lambda box: True,
    ),
}  # fmt: skip


def titles_all(box: Sandbox) -> list[str]:
    return sorted(snapshot["label"] for snapshot in box.world.snapshots)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "fleet.csv").write_text(FLEET, encoding="utf-8")
    (tmp_path / "nodes.csv").write_text(NODES, encoding="utf-8")
    return tmp_path


def parameters(name: str, place: Path, *, dry_run: bool) -> dict[str, Any]:
    given = dict(CASES[name][0])
    if "fleet" in given:
        given["fleet"] = str(place / given["fleet"])
    return {**given, "dry_run": dry_run}


def prepared() -> Sandbox:
    box = world()
    old_snapshots(box)
    odd_size(box)
    return box


def planned(folder: Path) -> list[tuple[str, str]]:
    """What a run has shown, in the order in which it would be made."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return [
        (each["action"], each["target"])
        for one in documents
        if one["lcnb"] == "changeset"
        for each in one["changes"]
    ]


@pytest.mark.parametrize("name", CASES)
def test_planned_applied_and_done(name: str, place: Path, settings: Settings) -> None:
    """A dry run sends no write and shows the changes; applied as approved they are made; once more, none is left."""
    box = prepared()
    lc = client(box, settings)
    dry = place / "runs" / "20261124T000000Z-plan-aaaaaa"
    if name in ("decommission", "snapshot_rotation"):  # their labels carry the day of the plan
        dry = place / "runs" / f"{TODAY.replace('-', '')}T000000Z-plan-aaaaaa"
    run_cells(name, lc, dry, parameters(name, place, dry_run=True), confirmed="")
    assert writes(box) == []
    assert Counter(planned(dry)) == Counter(CASES[name][1])

    lc = client(box, settings)
    run_cells(
        name, lc, place / "runs" / "applied", parameters(name, place, dry_run=False), confirmed=str(dry)
    )
    assert len(writes(box)) == len(CASES[name][1])
    assert CASES[name][2](box)
    assert not lc.pending().outcome.tolist()

    if name not in ("decommission", "password_rotation", "resize_advisor"):
        lc = client(box, settings)
        run_cells(name, lc, place / "runs" / "again", parameters(name, place, dry_run=False))
        assert len(writes(box)) == len(CASES[name][1])


@pytest.mark.parametrize("name", CASES)
def test_account_moved_on(name: str, place: Path, settings: Settings) -> None:
    """What was approved is not made when the account is another one by then."""
    box = prepared()
    dry = place / "runs" / f"{TODAY.replace('-', '')}T000000Z-plan-aaaaaa"
    run_cells(name, client(box, settings), dry, parameters(name, place, dry_run=True), confirmed="")
    if name == "provision":
        machines(box)["web-02"].update(label="node-00", hostname="node-00", location="MIA1", cpus=1, memory=1024, disk=10, template_label="Debian 12 x86_64")  # fmt: skip
    else:
        gone = ["web-01", "db-01"]
        box.world.machines = [each for each in box.world.machines if each["label"] not in gone]
    with pytest.raises((Drifted, NotFound, InputError)):
        run_cells(name, client(box, settings), place / "b", parameters(name, place, dry_run=False), confirmed=str(dry))  # fmt: skip
    assert writes(box) == []


class Stopped(BaseException):
    """Ends a runbook, as Ctrl-C does."""


@pytest.mark.parametrize("name", CASES)
def test_stopped_and_resumed(name: str, place: Path, settings: Settings) -> None:
    """Stopped before any of its writes or notes in the journal, and resumed: what was meant, no create twice."""
    given = parameters(name, place, dry_run=False)
    total = 1
    number = 0
    while number < total:
        number += 1
        box = prepared()
        lc = client(box, Settings(**{**vars(settings), "state_dir": place / f"state-{number}"}))
        counted = [0]

        def stop(what: str, counted: list[int] = counted, number: int = number) -> None:
            if not what.startswith("GET") and what not in ("permit", "budget"):
                counted[0] += 1
                if counted[0] == number:
                    raise Stopped

        lc._wire.before = stop  # type: ignore[attr-defined]
        folder = place / "runs" / f"broken-{number}"
        try:
            run_cells(name, lc, folder, given)
        except Stopped:
            total = number + 1
        lc._wire.before = lambda what: None  # type: ignore[attr-defined]
        again = client(box, lc.settings)
        if counted[0] >= number:
            resume(name, again, place / "runs" / f"resumed-{number}", given, [folder.name])
        assert CASES[name][2](box), number
        assert not len(again.pending())
        made = Counter(
            call for call in writes(box) if call == ("POST", "/instances") or call[1].endswith("/snapshot")
        )
        assert sum(made.values()) <= sum(each[0].startswith("create") for each in CASES[name][1]), number
        assert len(set(machines(box))) == len(box.world.machines)
        if name == "password_rotation":
            kept = passwords(lc.settings.state_dir, f"resumed-{number}", folder.name)
            assert kept == {label: machines(box)[label]["password"] for label in ("web-01", "api-01")}, number
    assert number >= 2 * len(CASES[name][1])


def passwords(state_dir: Path, *runs: str) -> dict[str, str]:
    """Label → the password that is in force, by the first of these runs that has kept any."""
    for run in runs:
        path = state_dir / "credentials" / f"{run}.json"
        if path.exists():
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
            kept = PasswordFileStore(path).read().values()
            return {each["label"]: each["password"] for each in kept if each["state"] == "in force"}
    return {}


# --- nothing to do, and refusals ------------------------------------------------------------------------

EMPTY: dict[str, dict[str, Any]] = {
    "drift": {"fleet": "label\n"},
    "provision": {"fleet": "label,location,plan,image\n"},
    "decommission": {},
    "power_schedule": {"selection": ""},
    "snapshot_rotation": {"selection": ""},
    "resize_advisor": {"selection": ""},
    "password_rotation": {"selection": ""},
}


@pytest.mark.parametrize("fleet", [0, 14])
@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_do(name: str, fleet: int, place: Path, settings: Settings) -> None:
    """With nothing selected, in an account with machines or without, a runbook ends well and sends nothing."""
    box = world(fleet=fleet)
    given = dict(EMPTY[name])
    if "fleet" in given:
        (place / "empty.csv").write_text(given["fleet"])
        given["fleet"] = str(place / "empty.csv")
    for dry_run in (True, False):
        run_cells(name, client(box, settings), place / str(dry_run), {**given, "dry_run": dry_run})
    assert writes(box) == []
    assert not list(settings.state_dir.rglob("*.json"))


# Runbook, parameters, part of the message.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("drift", {"fleet": "label\nweb-01\nweb-01\n"}, "line 3: the label 'web-01' is already in line 2"),
    ("drift", {"fleet": "label,plan\nweb-99,\n"}, "there is no machine 'web-99' yet"),
    ("drift", {"fleet": "label,state\nweb-01,on\n"}, "state 'on' is not one of running, off"),
    ("drift", {"fleet": "label,state\nvpn-01,running\n"}, "vpn-01 is busy"),
    ("provision", {"fleet": "label,location,plan,image\nn,MIA1,,debian-12-x86_64\n"}, "n: plan is missing"),
    ("provision", {"fleet": "label,location,plan,image\nn,MIA9,1vcpu-1gb-10ssd,debian-12-x86_64\n"}, "MIA9"),
    ("provision", {"fleet": "label,location,plan,image\nweb-01,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n"}, "web-01 exists, but"),
    ("provision", {"fleet": "label,state\nn,off\n"}, "'state' is not a column"),
    ("provision", {"fleet": NODES, "credentials_file": "fleet.csv"}, "fleet.csv"),
    ("provision", {"fleet": NODES, "credentials_file": "no/such/folder.json"}, "its folder cannot be written"),
    ("decommission", {"labels": ["web-01"]}, "type the labels again to confirm them: web-01; got nothing"),
    ("decommission", {"labels": ["web-01"], "confirm_labels": ["web-01", "mail"]}, "got web-01, mail"),
    ("decommission", {"labels": ["web-99"], "confirm_labels": ["web-99"]}, "no machine has the label 'web-99'"),
    ("decommission", {"labels": ["mail", "mail"], "confirm_labels": ["mail", "mail"]}, "'mail' is given twice"),
    ("decommission", {"labels": ["vpn-01"], "confirm_labels": ["vpn-01"]}, "vpn-01 is busy"),
    ("power_schedule", {"selection": "stat == 'off'"}, "there is no column 'stat'"),
    ("snapshot_rotation", {"selection": "all", "keep": 0}, "keep: expected 1 or more, got 0"),
    ("resize_advisor", {"apply_labels": ["db-01"]}, "there is no suggestion for 'db-01'"),
    ("password_rotation", {"selection": "label = 'x'"}, "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "message"), REFUSED)
def test_refused(name: str, given: dict[str, Any], message: str, place: Path, settings: Settings) -> None:
    """What cannot be meant is refused with its reason, in a dry run and else, and nothing is sent."""
    box = world()
    given = dict(given)
    if "fleet" in given:
        (place / "given.csv").write_text(given["fleet"])
        given["fleet"] = str(place / "given.csv")
    if "credentials_file" in given:
        given["credentials_file"] = str(place / given["credentials_file"])
    for dry_run in (True, False):
        with pytest.raises(InputError, match=re.escape(message)) as error:
            run_cells(name, client(box, settings), place / "run", {**given, "dry_run": dry_run})
        assert "Nothing was sent" in str(error.value)
    assert writes(box) == []


# --- what goes wrong ------------------------------------------------------------------------------------


def failing(path: str, times: int = 99, **more: Any) -> Sandbox:
    box = prepared()
    rule = {"kind": "html", "status": 403, "method": "POST|PUT|DELETE", "path": path, "times": times, **more}
    box.faults = Faults.read({"seed": 1, "rules": [rule]})
    return box


def test_no_snapshot_no_deletion(place: Path, settings: Settings) -> None:
    """A machine is not deleted when a snapshot failed; nor is an old snapshot."""
    for name in ("decommission", "snapshot_rotation"):
        box = failing("snapshot")
        with pytest.raises(ChangeFailed):
            run_cells(name, client(box, settings), place / name, parameters(name, place, dry_run=False))
        assert [call for call in writes(box) if call[0] == "DELETE"] == []


def test_unbuilt_snapshot_no_deletion(place: Path, settings: Settings) -> None:
    """A snapshot that is never built keeps its machine, or the old snapshot; a resumed run waits for it too."""
    for name in ("decommission", "snapshot_rotation"):
        box = prepared()
        state = Settings(**{**vars(settings), "state_dir": place / name / "state"})
        box.faults = Faults.read(
            {"seed": 1, "rules": [{"kind": "stuck", "method": "POST", "path": "snapshot"}]}
        )
        given = {**parameters(name, place, dry_run=False), "wait_minutes": 5}
        with pytest.raises(WaitTimeout):
            run_cells(name, client(box, state), place / "runs" / name, given)
        with pytest.raises(WaitTimeout, match=r"not built within 300 s; last seen: .*being built"):
            resume(name, client(box, state), place / "runs" / f"{name}-2", given, [name])
        assert [call for call in writes(box) if call[0] == "DELETE"] == []


def test_provision_in_part(place: Path, settings: Settings) -> None:
    """Of machines of which one cannot be made the others are made, and their passwords kept."""
    box = failing("^/instances$", times=1, nth=2)
    lc = client(box, settings)
    run_cells("provision", lc, place / "run", parameters("provision", place, dry_run=False))
    assert lc.journal().outcome.tolist() == ["done", "failed", "done"]
    assert set(passwords(settings.state_dir, "run")) == {"node-00", "node-02"}


def test_provision_never_ready(place: Path, settings: Settings) -> None:
    """Machines that are never ready end the run, after the passwords of the others were stored."""
    box = prepared()
    box.faults = Faults.read({"seed": 1, "rules": [{"kind": "stuck", "method": "POST", "path": "^/instances$", "nth": 1, "times": 1}]})  # fmt: skip
    given = {**parameters("provision", place, dry_run=False), "wait_minutes": 5}
    with pytest.raises(WaitTimeout, match=r"not ready within .*node-00: building"):
        run_cells("provision", client(box, settings), place / "run", given)
    assert {"node-01", "node-02"} <= set(passwords(settings.state_dir, "run"))


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
        (OneEntry, r"did not store .*/web-01: .*returns nothing"),
        (WriteOnly, "cannot be read: KeyringLocked"),
        (Constant, "has 9 passwords of web-01"),
        (Empty, "has 9 passwords of web-01"),
        (LockedKeyring, "did not take .*: KeyringLocked"),
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


# --- the parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("plan\nx\n", "the column label is missing"),
        ("label,label\nx,y\n", "the column 'label' is there twice"),
        ("label,locaton\n", "'locaton' is not a column of a fleet .did you mean 'location'"),
        ("label,plan\nx\n", "line 2: fewer values than columns"),
        ("label\nx,y\n", "line 2: more values than columns"),
        ("label,plan\n,y\n", "line 2: the label is missing"),
        ('label\n"x\n', "line 2: unexpected end of data"),
        ("label\n\xff", "line 2 is not UTF-8"),
    ],
)
def test_bad_fleet(text: str, message: str, tmp_path: Path) -> None:
    """A file that cannot be meant is refused with its line and the reason."""
    path = tmp_path / "fleet.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        fleet_file.read_fleet(path)


def test_fleet(tmp_path: Path) -> None:
    """Spaces, empty cells, empty lines, a byte order mark and `NA` as a label are read as they are meant."""
    path = tmp_path / "fleet.csv"
    path.write_text("\ufefflabel, plan\n web-01 ,\n,\n\nNA,x\n", encoding="utf-8")
    fleet = fleet_file.read_fleet(path)
    assert fleet.label.tolist() == ["web-01", "NA"]
    assert fleet.plan.isna().tolist() == [True, False]
    assert set(map(str, fleet.dtypes)) == {"str"}


@pytest.mark.parametrize(
    ("resumes", "confirmed", "expected"),
    [
        ((), "", TODAY),
        ((), "yes", TODAY),
        ((), "/runs/20250102T235959Z-x-abc", "2025-01-02"),
        (("20250103T000000Z-x-abc", "20250104T000000Z-x-abc"), "/runs/20250102T235959Z-x-abc", "2025-01-03"),
    ],
)
def test_day(resumes: tuple[str, ...], confirmed: str, expected: str) -> None:
    """The day of a work is that of its plan, or of the run that is resumed: midnight changes nothing."""
    assert earlier_runs.work_date(RunContext(Path(), confirmed, resumes)) == expected


def test_advice(place: Path, settings: Settings) -> None:
    """A plan is suggested where it costs less or where the size is none, never a smaller one or across currencies."""
    box = prepared()
    lc = client(box, settings)
    fleet, plans = lc.inventory(), lc.plans()
    advice = resizing.suggest_plans(fleet, plans, lc.profile().currency)
    assert dict(zip(advice.label, advice.suggested, strict=True))["web-01"] == "4vcpu-8gb-80ssd"
    assert advice.saves.isna().all()
    assert set(advice.label) == set(fleet.label[fleet.plan.isna() & fleet.location.notna()])
    dear = plans.copy()
    dear.loc[dear.slug == "1vcpu-2gb-20ssd", "monthly_value"] = 40.0
    fleet.loc[fleet.plan == "1vcpu-2gb-20ssd", "monthly_value"] = 40.0
    advice = resizing.suggest_plans(fleet, dear, "$")
    cheaper = advice[advice.saves.notna()]
    assert len(cheaper)
    assert (cheaper.suggested_value < cheaper.monthly_value).all()
    elsewhere = resizing.cheaper_elsewhere(lc.inventory(), plans)
    assert (elsewhere.difference > 0).all()
    priced = plans.set_index(["location", "slug", "currencycode"]).monthly_value
    for each in elsewhere.itertuples():
        assert (
            priced[each.cheapest_at, each.there_plan, each.currencycode]
            == each.there_value
            < each.monthly_value
        )
    assert resizing.suggest_plans(fleet.iloc[:0], plans.iloc[:0]).dtypes.equals(advice.dtypes)


# --- killed ---------------------------------------------------------------------------------------------

FOUR = "label,location,plan,image\n" + "".join(
    f"node-{number:02d},MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n" for number in range(4)
)


class Runner:
    """The process that forks one for each job."""

    def __init__(self) -> None:
        root = ROOT / "tests"
        path = os.pathsep.join([str(root), str(root.parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(root / "by_hand.py")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __call__(self, **job: Any) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(600)
        self.process.stdout.close()


@pytest.fixture
def runners() -> Iterator[list[Runner]]:
    two = [Runner(), Runner()]
    yield two
    for one in two:
        one.close()


@pytest.mark.timeout(900)  # hundreds of processes, on a machine that may be busy
def test_provision_killed_at_every_effect(runners: list[Runner], memory: Path) -> None:
    """`provision` of 4 machines, killed (SIGKILL) before any one of its effects and resumed: 4 machines, each once, and
    the password of each in the file."""
    (memory / "four.csv").write_text(FOUR)
    job = {
        "name": "provision",
        "fleet": 0,
        "parameters": {"fleet": str(memory / "four.csv"), "dry_run": False},
    }

    def killed(runner: Runner, folder: Path, before: int) -> None:
        folder.mkdir()
        assert runner(**job, place=str(folder), run="first", broken=[], die_before=before) == -9
        assert runner(**job, place=str(folder), run="second", broken=["first"], die_before=0) == 0
        saved = json.loads((folder / "world.json").read_text())
        labels = sorted(machine["label"] for machine in saved["machines"])
        assert labels == [f"node-{number:02d}" for number in range(4)], before
        kept = passwords(folder / "state", "second", "first")
        assert kept == {machine["label"]: machine["password"] for machine in saved["machines"]}, before

    with ThreadPoolExecutor(2) as pool:
        whole = memory / "whole"
        whole.mkdir()
        assert runners[0](**job, place=str(whole), run="first", broken=[], die_before=0) == 0
        effects = int((whole / "count").read_text())
        assert effects >= 40

        def half(number: int) -> None:
            for before in range(1 + number, effects + 1, 2):
                killed(runners[number], memory / str(before), before)

        for done in [pool.submit(half, number) for number in (0, 1)]:
            done.result()


# --- as people run them ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, RunResult], list[str]]:
    """Each runbook run for real against one sandbox: runbook → how it ended; and the passwords of all machines."""
    place = tmp_path_factory.mktemp("operations")
    (place / "fleet.csv").write_text("label,state\nweb-03,off\n")
    (place / "nodes.csv").write_text(NODES)
    given: dict[str, dict[str, Any]] = {
        "drift": {"fleet": place / "fleet.csv"},
        "provision": {"fleet": place / "nodes.csv"},
        "decommission": {"labels": "mail,blog-01", "confirm_labels": "mail,blog-01"},
        "power_schedule": {"selection": "label.str.startswith('ci-')"},
        "snapshot_rotation": {"selection": "label == 'db-01'", "keep": 1},
        "resize_advisor": {},
        "password_rotation": {"selection": "label == 'api-01'"},
    }
    env = {**without_account(place), "LCNB_SETTLE": "5"}
    with (
        lcnb.sandbox.start(token=TOKEN, rate_limit=MANY, speed=200) as box,
        warm_server(env),
        ThreadPoolExecutor(2) as pool,
    ):

        def one(name: str) -> RunResult:
            how = ("--yes", "--lock-wait", "600")
            return warm_run(name, {**given[name], "dry_run": False}, env, place / name, box.base_url, *how)

        results = dict(zip(given, pool.map(one, given), strict=True))
        with lcnb.connect(token=TOKEN, base_url=box.base_url) as lc:
            return results, [lc.reveal(each).reveal() for each in lc.instances().identifier.dropna()]


@pytest.mark.parametrize("name", CASES)
def test_run(name: str, ran: tuple[dict[str, RunResult], list[str]]) -> None:
    """`lcnb run NAME -p dry_run=false --yes` makes the changes, lists them in record and page, and ends well."""
    run = ran[0][name].check()
    changes = record(run.folder)["changes"]
    assert {each["outcome"] for each in changes} <= {"done"}
    assert len(changes) == {"drift": 1, "provision": 3, "decommission": 4, "power_schedule": len(changes), "snapshot_rotation": 1, "resize_advisor": 0, "password_rotation": 1}[name]  # fmt: skip
    page = run.report.read_text(encoding="utf-8")
    assert "not applied" not in page or not changes
    assert "waiting for" not in page


@pytest.mark.parametrize("name", CASES)
def test_no_password_in_a_run(name: str, ran: tuple[dict[str, RunResult], list[str]]) -> None:
    """No file of a run holds a machine's password; those that were made are in a file of lcnb's own, mode 0600."""
    runs, secrets = ran
    folder = runs[name].folder
    assert len(secrets) > 50
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(secret.encode() in content for secret in secrets), path
    kept = passwords(folder.parent.parent / "state", folder.name)
    assert len(kept) == {"provision": 3, "password_rotation": 1}.get(name, 0)
    assert set(kept.values()) <= set(secrets)


def test_commands(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb plan-run` and `lcnb apply RUN` make both steps of a runbook; a relative path is seen from the caller's folder."""
    with in_thread(speed=200) as box:
        monkeypatch.setenv("LETSCLOUD_API_KEY", box.token)
        monkeypatch.setenv("LCNB_BASE_URL", box.base_url)
        monkeypatch.chdir(place)

        refused = lcnb_here("plan-run", "provision", "-p", "fleet=nodse.csv")
        assert refused.returncode == 2
        assert f"{place}/nodse.csv" in refused.stderr.replace("\n", "")
        labels = ("-p", "labels=mail", "-p", "confirm_labels=mail")
        done = lcnb_here("plan-run", "decommission", *labels)
        assert done.returncode == 0, done.stderr
        (name,) = re.findall(r"lcnb apply (\S+)", done.stdout)
        applied = lcnb_here("apply", name)
        assert applied.returncode == 0, applied.stderr
        with lcnb.connect() as lc:
            assert "mail" not in lc.instances().label.tolist()
        assert lcnb_here("apply", name).returncode in (2, 3)
