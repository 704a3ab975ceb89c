"""Which process is meant, told so that it can be recognised later: a number alone is soon another's.

A process is its number, the moment of its start, and the machine: on Linux the id of the boot and the space
that numbers are counted in (each container has its own), elsewhere the host's name.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: psutil tells the start in seconds; a clock that is being set moves it a little.
START_TOLERANCE_S = 2.0


def identify_process(pid: int | None = None) -> dict[str, Any]:
    """What to write down about a process (this one by default); `started` is None when it is gone.

    >>> identity()["pid"] == os.getpid()
    True
    """
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "started": _start_time(pid), "host": socket.gethostname(), **_machine_identity()}


def is_gone(known: Mapping[str, Any]) -> bool:
    """Whether that process certainly runs no more. False also when that cannot be told from here.

    >>> gone(identity())
    False
    """
    pid, started, machine = known.get("pid"), known.get("started"), _machine_identity()
    if not isinstance(pid, int) or not isinstance(started, int | float) or pid <= 0:
        return False
    if known.get("boot") != machine["boot"]:  # started anew since then, or another machine
        return known.get("host") == socket.gethostname()
    if known.get("space") != machine["space"]:
        return False
    if machine["boot"] is None and known.get("host") != socket.gethostname():
        return False
    now = _start_time(pid)
    return now is None or abs(now - started) >= (START_TOLERANCE_S if machine["boot"] is None else 0.001)


def kill_process(known: Mapping[str, Any]) -> None:
    """Kill that process, if it is of this machine and still runs, and wait until it is gone (half a second)."""
    import psutil

    here = identify_process()
    if any(known.get(name) != here[name] for name in ("host", "boot", "space")) or is_gone(known):
        return
    try:
        process = psutil.Process(known["pid"])
        process.kill()
        process.wait(0.5)
    except (psutil.Error, ValueError):
        pass  # it was quicker, or is somebody else's; its files are as they are


def _machine_identity() -> dict[str, Any]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return {"boot": boot, "space": str(Path("/proc/self/ns/pid").readlink())}
    except OSError:
        return {"boot": None, "space": None}


def _start_time(pid: int) -> float | None:
    """When it started, in seconds since boot (Linux) or since 1970; None when it is gone, or only not buried."""
    if _machine_identity()["boot"] is None:
        return _psutil_start_time(pid)
    try:
        facts = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return None if facts[0] in "ZX" else int(facts[19]) / os.sysconf("SC_CLK_TCK")


def _psutil_start_time(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
