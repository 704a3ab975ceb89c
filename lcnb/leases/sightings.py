"""How long this machine has seen a lease unchanged, also over several processes that did not wait."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lcnb.files import write_atomically
from lcnb.leases.clock import Moment, current_moment

#: Age in seconds at which the file of a lease is deleted: longer than any lease lasts.
MAX_AGE_S = 7 * 86_400.0


class Sighting(NamedTuple):
    """A version of a lease, and when it was first seen, on the steady clock of one start of this computer."""

    version: str
    boot: str
    at: float


class Sightings:
    """What this process, and earlier ones of this computer, saw of leases. `folder` holds a small file for each."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], Moment] = current_moment, boot: str | None = None
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._boot = boot or boot_identity()

    def unchanged_s(self, lease_id: str, version: str) -> float:
        """Return the seconds since this version of a lease was first seen, 0 for a new one."""
        now = self._clock().steady
        seen = self._read(lease_id)
        if seen is not None and (seen.version, seen.boot) == (version, self._boot) and seen.at <= now:
            return now - seen.at
        with suppress(OSError):  # then this process has to wait by itself
            write_atomically(self._path(lease_id), json.dumps(Sighting(version, self._boot, now)), sync=False)
            self._delete_old()
        return 0.0

    def forget(self, lease_id: str) -> None:
        """Drop what was seen of a lease that has ended."""
        with suppress(OSError):
            self._path(lease_id).unlink(missing_ok=True)

    def _delete_old(self) -> None:
        """Delete what was seen of leases that nobody has asked for again; at worst one is watched anew."""
        for path in self._folder.glob("seen-*.json"):
            if time.time() - path.stat().st_mtime > MAX_AGE_S:
                path.unlink(missing_ok=True)

    def _path(self, lease_id: str) -> Path:
        return self._folder / f"seen-{lease_id}.json"

    def _read(self, lease_id: str) -> Sighting | None:
        try:
            version, boot, at = json.loads(self._path(lease_id).read_text(encoding="utf-8"))
            return Sighting(str(version), str(boot), float(at))
        except (OSError, ValueError, TypeError):
            return None


@cache
def boot_identity() -> str:
    """Return what distinguishes this start of this computer from every other.

    Without the boot id of Linux it is the time of the start, which moves when the clock is set: then what was seen
    before does not count.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        with suppress(OSError):  # a container may have a clock of its own
            return f"{boot} {Path('/proc/self/ns/time').readlink()}"
        return boot
    import psutil

    return f"started {round(psutil.boot_time() / 10)}"


def folder_identity(folder: Path) -> str | None:
    """Return what distinguishes a folder on this start of this computer from every other; None where that is unknown.

    Two processes with the same identity see the same lock files, so a lock file keeps them apart.
    """
    if os.name == "nt":
        return None
    try:
        facts = folder.stat()
    except OSError:
        return None
    return f"{boot_identity()} {facts.st_dev}:{facts.st_ino}"
