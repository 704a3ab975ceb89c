"""Where a frame comes from: `frame.attrs["lcnb"]` and the warning about odd values.

It says which listing the frame is, of which account, when it was read (UTC), and what was odd in the response (`drift`)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from lcnb.api.fields import Drift
from lcnb.errors import DriftWarning

#: Drift beyond this many places is counted, not listed: attrs are copied with every frame operation.
MAX_DRIFT_LISTED = 50


def attach_provenance(
    kind: str,
    frame: pd.DataFrame,
    drift: list[Drift],
    account: str | None,
    client: str | None,
    read_at: datetime | None = None,
) -> pd.DataFrame:
    frame.attrs["lcnb"] = {
        "kind": kind,
        "account": account,
        "client": client,
        "fetched_at": (read_at or datetime.now(UTC)).isoformat(timespec="milliseconds"),
        "drift": [{"path": each.path, "problem": each.problem} for each in drift[:MAX_DRIFT_LISTED]],
        "drift_count": len(drift),
    }
    if drift:
        first = f"{drift[0].path}: {drift[0].problem}"
        others = len(drift) - 1
        more = f" (and {others} more place{'s' if others > 1 else ''})" if others else ""
        warnings.warn(
            f"{kind}: the answer was odd at {first}{more}. Good rows were kept, odd values are missing; "
            f"frame.attrs['lcnb']['drift'] lists them.",
            DriftWarning,
            stacklevel=_caller_stacklevel(),
        )
    return frame


def _caller_stacklevel() -> int:
    """The `stacklevel` of the line that asked lcnb: Python shows a warning once for each such line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "lcnb":
        level, frame = level + 1, frame.f_back
    return level


def frame_facts(frame: pd.DataFrame) -> Mapping[str, Any]:
    """`frame.attrs["lcnb"]`, or an empty mapping for a frame that lcnb did not make."""
    found = frame.attrs.get("lcnb", {})
    return found if isinstance(found, Mapping) else {}
