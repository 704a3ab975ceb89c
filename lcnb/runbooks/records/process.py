"""Identify a process so that it can be recognised later; its number (PID) alone is soon reused.

The identity has the PID, the start time, and the computer: on Linux the boot id and the PID namespace (each container
has one), elsewhere the host name.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: psutil computes the start time from the system clock; setting the clock moves it a little.
START_TOLERANCE_S = 2.0


def identify_process(pid: int | None = None) -> dict[str, Any]:
    """Return the identity of a process, by default of this one; `started` is None when the process is gone.

    >>> identify_process()["pid"] == os.getpid()
    True
    """
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "started": _start_time(pid), "host": socket.gethostname(), **_machine_identity()}


def is_gone(known: Mapping[str, Any]) -> bool:
    """Return whether the process has certainly ended; False also when this computer cannot know it.

    >>> is_gone(identify_process())
    False
    """
    pid, started, machine = known.get("pid"), known.get("started"), _machine_identity()
    if not isinstance(pid, int) or not isinstance(started, int | float) or pid <= 0:
        return False
    if known.get("boot") != machine["boot"]:  # this computer was restarted, or it is another one
        return known.get("host") == socket.gethostname()
    if known.get("space") != machine["space"]:
        return False
    if machine["boot"] is None and known.get("host") != socket.gethostname():
        return False
    now = _start_time(pid)
    return now is None or abs(now - started) >= (START_TOLERANCE_S if machine["boot"] is None else 0.001)


def kill_process(known: Mapping[str, Any]) -> None:
    """Kill the process if it runs on this computer, and wait up to half a second for its end."""
    import psutil

    here = identify_process()
    if any(known.get(name) != here[name] for name in ("host", "boot", "space")) or is_gone(known):
        return
    try:
        process = psutil.Process(known["pid"])
        process.kill()
        process.wait(0.5)
    except (psutil.Error, ValueError):
        pass  # it has just ended, or it belongs to another user


def _machine_identity() -> dict[str, Any]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return {"boot": boot, "space": str(Path("/proc/self/ns/pid").readlink())}
    except OSError:
        return {"boot": None, "space": None}


def _start_time(pid: int) -> float | None:
    """Return the start time in seconds since boot (Linux) or since 1970; None for an ended process or a zombie."""
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
