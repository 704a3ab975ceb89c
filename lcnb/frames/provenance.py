"""Where a frame comes from: `frame.attrs["lcnb"]` and the warning about odd values.

It names the listing, the account, the time when it was read (UTC), and what was odd in the response (`drift`). Of an
inventory that may lack machines it says why (`incomplete`).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcnb.api.fields import Drift
from lcnb.errors import DriftWarning
from lcnb.frames.live_clients import remember_machines

if TYPE_CHECKING:
    import pandas as pd

#: Odd values that `attrs` lists; further ones are counted only, because every frame operation copies `attrs`.
MAX_DRIFT_LISTED = 50
#: The key of `attrs` that says why an inventory may lack machines; missing for a complete one.
INCOMPLETE = "incomplete"


def attach_provenance(
    kind: str,
    frame: pd.DataFrame,
    drift: list[Drift],
    account: str | None,
    client: str | None,
    read_at: datetime | None = None,
) -> pd.DataFrame:
    """Set `frame.attrs["lcnb"]`, warn when values were odd, and return the frame.

    `read_at` is the time when the listing was read; now by default.
    """
    frame.attrs["lcnb"] = {
        "kind": kind,
        "account": account,
        "client": client,
        "fetched_at": (read_at or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        "drift": [{"path": each.path, "problem": each.problem} for each in drift[:MAX_DRIFT_LISTED]],
        "drift_count": len(drift),
    }
    if "identifier" in frame:
        remember_machines(client, frame["identifier"])
    warn_about_drift(kind, drift)
    return frame


def warn_about_drift(kind: str, drift: list[Drift]) -> None:
    """Warn once when values of a listing were odd."""
    if drift:
        first = f"{drift[0].path}: {drift[0].problem}"
        others = len(drift) - 1
        more = f" (and {others} more place{'s' if others > 1 else ''})" if others else ""
        warnings.warn(
            f"{kind}: the response was odd at {first}{more}. Good rows were kept, odd values are missing; "
            f"frame.attrs['lcnb']['drift'] lists them.",
            DriftWarning,
            stacklevel=caller_stacklevel(),
        )


def caller_stacklevel() -> int:
    """The `stacklevel` of the line that called lcnb: Python shows a warning once per line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "lcnb":
        level, frame = level + 1, frame.f_back
    return level


def frame_facts(frame: pd.DataFrame) -> Mapping[str, Any]:
    """Return `frame.attrs["lcnb"]`, or an empty mapping for a frame that lcnb did not make."""
    found = frame.attrs.get("lcnb", {})
    return found if isinstance(found, Mapping) else {}
