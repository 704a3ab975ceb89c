"""For the runbook `health_watch`: which TCP ports of the machines are open, and how fast they respond."""

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
#: The possible outcomes of a connection attempt; the first is the good one, the last says nothing about the machine.
OUTCOMES = ("open", "refused", "no answer", "no address", "no way from here")
#: Errors of this computer, not of the machine.
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
    """Connect to each port of each running machine and close the connection: one row per machine and port.

    No data is sent. The IPv4 address is used, or the IPv6 address when there is no other. `at_once` limits how many
    connections are attempted at the same time.

    Columns (`REACH_DTYPES`): `label`, `location`, `address`, `port`; `outcome` is `open`, `refused` (the machine
    responds, but nothing listens), `no answer` (within `timeout_s`), `no address`, or `no way from here` (this computer
    has no network that leads there); `milliseconds` until the machine responded. InputError for a port outside
    1 to 65535.
    """
    odd = [port for port in ports if isinstance(port, bool) or port not in range(1, 65536)]
    if odd:
        raise InputError(
            f"{odd[0]!r} is not a TCP port, which is a whole number from 1 to 65535",
            field="ports",
            value=odd[0],
        )
    targets = [
        {"label": row["label"], "location": row["location"], "address": machine_address(row), "port": port}
        for row in frame_records(machines[(machines.state == "running").fillna(False)])
        for port in dict.fromkeys(ports)
    ]

    def probe(row: dict[str, Any]) -> dict[str, Any]:
        if row["address"] is None:
            return {**row, "outcome": "no address"}
        start = time.perf_counter()
        outcome = _connect_outcome(connect, (row["address"], row["port"]), timeout_s)
        took = (time.perf_counter() - start) * 1000 if outcome in ("open", "refused") else None
        return {**row, "outcome": outcome, "milliseconds": took}

    if not targets:
        return typed_frame([], REACH_DTYPES)
    with ThreadPoolExecutor(min(at_once, len(targets))) as pool:
        return typed_frame(list(pool.map(probe, targets)), REACH_DTYPES)


def machine_address(row: dict[str, Any]) -> str | None:
    """Return the address by which a machine is probed: IPv4, otherwise IPv6, otherwise None."""
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
    """Return how many machines had which outcome: one row per port, one column per outcome that occurs."""
    counts = reached.pivot_table(
        index="port", columns="outcome", values="address", aggfunc="size", fill_value=0
    )
    counts = counts.reindex(columns=[each for each in OUTCOMES if each in counts])
    return counts.rename(index=lambda port: f"port {port}")


def slowest_responses(reached: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """Return the rows of the machines that took longest to respond, the slowest first, at most `most`."""
    answered = reached.dropna(subset="milliseconds").sort_values(
        "milliseconds", ascending=False, kind="stable"
    )
    return answered.head(most)
