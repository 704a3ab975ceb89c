"""Connect by TCP to the ports of machines, and report which are open, and how fast they respond."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from lcnb.errors import InputError
from lcnb.runbooks.toolkit.typed_frames import frame_records, is_known, typed_frame

REACH_DTYPES = {
    "label": "str",
    "location": "str",
    "address": "str",
    "port": "Int64",
    "outcome": "str",
    "milliseconds": "Float64",
}
#: What a connect can come to; the first is the good one.
OUTCOMES = ("open", "refused", "no answer", "no address", "no way from here")
_LOCAL_ERRNOS = (
    errno.ENETUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
)

Connect = Callable[[tuple[str, int], float], Any]


def probe_ports(
    machines: pd.DataFrame,
    ports: Sequence[int],
    timeout_s: float,
    *,
    at_once: int = 64,
    connect: Connect = socket.create_connection,
) -> pd.DataFrame:
    """Connect by TCP to each port of each running machine, many at once, and hang up: a row a port.

    The first IPv4 address is asked, the IPv6 one where there is none. Outcomes: `open`; `refused` (the
    machine answers, nothing listens); `no answer` within `timeout_s`; `no address`; `no way from here` (this
    computer has no network that leads there, which says nothing about the machine). Nothing is sent. Columns
    as `REACHED` says. InputError for a port outside 1 to 65535.
    """
    odd = [port for port in ports if isinstance(port, bool) or port not in range(1, 65536)]
    if odd:
        raise InputError(f"ports: {odd[0]!r} is not a TCP port, which is a whole number from 1 to 65535")
    asked = [
        {"label": row["label"], "location": row["location"], "address": machine_address(row), "port": port}
        for row in frame_records(machines[(machines.state == "running").fillna(False)])
        for port in dict.fromkeys(ports)
    ]

    def ask(row: dict[str, Any]) -> dict[str, Any]:
        if row["address"] is None:
            return {**row, "outcome": "no address"}
        start = time.perf_counter()
        outcome = _connect_outcome(connect, (row["address"], row["port"]), timeout_s)
        took = (time.perf_counter() - start) * 1000 if outcome in ("open", "refused") else None
        return {**row, "outcome": outcome, "milliseconds": took}

    if not asked:
        return typed_frame([], REACH_DTYPES)
    with ThreadPoolExecutor(min(at_once, len(asked))) as pool:
        return typed_frame(list(pool.map(ask, asked)), REACH_DTYPES)


def machine_address(row: dict[str, Any]) -> str | None:
    return next((str(row[name]) for name in ("ipv4", "ipv6") if is_known(row[name])), None)


def _connect_outcome(connect: Connect, place: tuple[str, int], timeout_s: float) -> str:
    try:
        connect(place, timeout_s).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return "refused"
    except OSError as error:
        return "no way from here" if error.errno in _LOCAL_ERRNOS else "no answer"
    return "open"


def outcomes_by_port(reached: pd.DataFrame) -> pd.DataFrame:
    """Ports by outcome, a row a port: how many machines came to which; outcomes that nobody has are left out."""
    counts = reached.pivot_table(
        index="port", columns="outcome", values="address", aggfunc="size", fill_value=0
    )
    counts = counts.reindex(columns=[each for each in OUTCOMES if each in counts])
    return counts.rename(index=lambda port: f"port {port}")


def slowest_responses(reached: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """The machines that took longest to answer, slowest first."""
    answered = reached.dropna(subset="milliseconds").sort_values(
        "milliseconds", ascending=False, kind="stable"
    )
    return answered.head(most)
