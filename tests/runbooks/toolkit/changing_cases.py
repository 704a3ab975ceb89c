"""What each runbook that changes machines is given, plans and leaves behind, for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from by_hand import world
from lcnb.runbooks.current import RunContext
from lcnb.runbooks.toolkit import earlier_runs
from lcnb.runbooks.toolkit.credential_stores import (
    PasswordFileStore,
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


#: What expires, in the order of the time; db-01 is protected, vpn-01 busy, the last one gone, worker-01 one too many.
FACTS = {
    "db-01": ("2026-01-01T00:00:00Z", "ana@desk 2026-01-01T00:00:00Z"),
    "vpn-01": ("2026-01-02T00:00:00Z", ""),
    "web-01": ("2026-01-03T00:00:00+02:00", ""),
    "api-01": ("2026-01-03T00:00:00Z", ""),
    "worker-01": ("2026-01-04T00:00:00Z", ""),
    "mail": ("2999-01-01T00:00:00Z", ""),
    "lost-01": ("2026-01-01T00:00:00Z", ""),
}


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
    "expire": (
        {"action": "delete", "max_machines": 2},
        [("create snapshot", "web-01"), ("create snapshot", "api-01"), ("delete instance", "web-01"), ("delete instance", "api-01")],
        lambda box: (set(machines(box)) & {"web-01", "api-01", "db-01", "vpn-01", "worker-01", "mail"}, titles(box))
        == ({"db-01", "vpn-01", "worker-01", "mail"}, [f"api-01 before its end {TODAY}", f"web-01 before its end {TODAY}"]),
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


def write_files(folder: Path) -> Path:
    """Write the fleet files that CASES name, and a facts file of `FACTS`, into a folder, and return the folder."""
    identifiers = {label: machine["identifier"] for label, machine in machines(world()).items()}
    rows = [
        f"{identifiers.get(label, 'none')},{label},{expires},{by}" for label, (expires, by) in FACTS.items()
    ]
    (folder / "facts.csv").write_text(
        "\n".join(["identifier,label,expires,protected", *rows, ""]), encoding="utf-8"
    )
    (folder / "fleet.csv").write_text(FLEET, encoding="utf-8")
    (folder / "nodes.csv").write_text(NODES, encoding="utf-8")
    return folder


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


class Stopped(BaseException):
    """Ends a runbook, as Ctrl-C does."""


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


def failing(path: str, times: int = 99, **more: Any) -> Sandbox:
    box = prepared()
    rule = {"kind": "html", "status": 403, "method": "POST|PUT|DELETE", "path": path, "times": times, **more}
    box.faults = Faults.read({"seed": 1, "rules": [rule]})
    return box
