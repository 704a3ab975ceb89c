"""The runbooks that change machines: what each plans, does, leaves alone, refuses and resumes."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lcnb
from benchmarks.virtual import client
from by_hand import resume, run_cells, world
from changing_cases import (
    CASES,
    NODES,
    TODAY,
    Stopped,
    failing,
    machines,
    parameters,
    passwords,
    planned,
    prepared,
    write_files,
    writes,
)
from conftest import MANY, TOKEN, in_thread, lcnb_here, record, warm_run, warm_server, without_account
from lcnb.config import Settings
from lcnb.errors import ChangeFailed, Drifted, InputError, NotFound, WaitTimeout
from lcnb.runbooks.result import RunResult
from lcnb.sandbox.faults import Faults


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the fleet files that CASES name."""
    return write_files(tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_planned_applied_and_done(name: str, place: Path, settings: Settings) -> None:
    """A dry run sends no write and shows the changes; applied as approved they are made; once more, none is left."""
    box = prepared()
    lc = client(box, settings)
    dry = place / "runs" / "20261124T000000Z-plan-aaaaaa"
    if name in ("decommission", "expire", "snapshot_rotation"):  # their labels carry the day of the plan
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

    if name not in ("decommission", "expire", "password_rotation", "resize_advisor"):
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


EMPTY: dict[str, dict[str, Any]] = {
    "drift": {"fleet": "label\n"},
    "provision": {"fleet": "label,location,plan,image\n"},
    "decommission": {},
    "expire": {"action": "delete", "max_machines": 0},
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


UNMATCHED: dict[str, str] = {
    "": "selection '': an empty selection selects no machine",
    "location == 'MIA9'": "no machine has location 'MIA9' (did you mean 'MIA1'?)",
    "label in ['web-01', 'web-1']": "no machine has label 'web-1' (did you mean 'web-01'?)",
    "cpus > 999": "it selects none of the 14 machines",
}


@pytest.mark.parametrize("selection", UNMATCHED)
@pytest.mark.parametrize(
    "name", ["power_schedule", "snapshot_rotation", "resize_advisor", "password_rotation"]
)
def test_nothing_matched(name: str, selection: str, place: Path, settings: Settings) -> None:
    """A selection with a value that no machine has, or that selects no machine, asks for attention."""
    names = run_cells(name, client(world(), settings), place, {"selection": selection})
    assert UNMATCHED[selection] in names["run"].attentions[0]


# Runbook, parameters, part of the message.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("drift", {"fleet": "label\nweb-01\nweb-01\n"}, "line 3: the label 'web-01' is already in line 2"),
    ("drift", {"fleet": "label,plan\nweb-99,\n"}, "there is no machine 'web-99' yet"),
    ("drift", {"fleet": "label,state\nweb-01,on\n"}, "state 'on' is not one of running, off"),
    ("drift", {"fleet": "label,state\nvpn-01,running\n"}, "vpn-01 cannot be changed now: busy"),
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
    ("decommission", {"labels": ["vpn-01"], "confirm_labels": ["vpn-01"]}, "vpn-01 cannot be changed now: busy"),
    ("expire", {"action": "reboot"}, "action: 'reboot' is not one of 'power off', 'delete'"),
    ("expire", {"max_machines": -1}, "max_machines: expected 0 or more, got -1"),
    ("expire", {"warn_hours": float("nan")}, "warn_hours: expected 0 or more, got nan"),
    ("power_schedule", {"selection": "stat == 'off'"}, "there is no column 'stat'"),
    ("password_rotation", {"selection": "not state == 'runing'"}, "no machine can have the state 'runing' (did you mean 'running'?)"),
    ("drift", {"fleet": "label\nweb-01\n", "prune": True}, "prune would delete 12 of 14 machines (85.7 %), more than 20 %"),
    ("drift", {"fleet": "label\nweb-01\n", "prune": True, "max_delete_percent": 50}, "(85.7 %), more than 50 %"),
    ("snapshot_rotation", {"selection": "all", "keep": 0}, "keep: expected 1 or more, got 0"),
    ("resize_advisor", {"apply_labels": ["db-01"]}, "there is no suggestion for 'db-01'"),
    ("password_rotation", {"selection": "label = 'x'"}, "it compares with one =; write =="),
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
        "expire": {"action": "delete"},
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
        with lcnb.connect(token=TOKEN, base_url=box.base_url) as lc:
            cache = lc.instance(label="cache-01")
        row = f"identifier,label,expires\n{cache.identifier},cache-01,2026-01-01T00:00:00Z\n"
        (place / "state" / "facts.csv").write_text(row)

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
    assert len(changes) == {"drift": 1, "provision": 3, "decommission": 4, "expire": 2, "power_schedule": len(changes), "snapshot_rotation": 1, "resize_advisor": 0, "password_rotation": 1}[name]  # fmt: skip
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
