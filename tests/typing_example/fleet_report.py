"""A user's script, for type checkers and as a program: frames, selected rows, changes, facts, runs, both clients."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pandas as pd

import lcnb


def monthly_cost(fleet: pd.DataFrame) -> dict[str, float]:
    """Return what the machines cost per month, by currency."""
    costs = fleet.groupby("currencycode")["monthly_value"].sum()
    return {str(code): float(value) for code, value in costs.items()}


def stop_idle(lc: lcnb.LetsCloud, project: str) -> pd.DataFrame:
    """Power off the running machines of a project; return one row per change."""
    fleet = lc.inventory()
    idle = fleet[(lc.tags(fleet, "project") == project) & (fleet["state"] == "running")]
    changes: lcnb.ChangeSet[pd.DataFrame] = lc.rows(idle).power_off(skip_busy=True)
    print(len(changes), changes.monthly_difference(), changes.notes)
    if not changes:
        return changes.preview()
    return changes.apply(confirm=True, wait=True, timeout=600)


def grow(lc: lcnb.LetsCloud, label: str) -> str:
    """Create a machine that expires in eight hours; return its address."""
    created = lc.create_instance(
        label, location="MIA1", plan="1vcpu-1gb-10ssd", image="debian-12-x86_64", expires=timedelta(hours=8)
    )
    try:
        created.apply(confirm=True, wait=True)
    except lcnb.ChangeFailed as error:
        raise SystemExit(f"{label}: {error.problem}") from error
    machine = lc.instance(label=label)
    password: lcnb.Secret = lc.reveal(label)
    assert str(password) == "*****"
    return machine.ipv4 or machine.ipv6 or ""


async def count_machines() -> int:
    """Count machines with the asynchronous client."""
    async with lcnb.AsyncLetsCloud.connect(sandbox=True) as lc:
        fleet, profile = await asyncio.gather(lc.instances(), lc.profile())
        reboot = await lc.reboot(str(fleet["label"].iloc[0]))
        result = await reboot.apply(confirm=True)
        return len(fleet) + len(result) if profile.balance is not None else 0


def failed_runs(folder: Path) -> list[str]:
    """Return the ids of the runs that failed."""
    runs = lcnb.runs(folder)
    return [str(each) for each in runs.loc[runs["status"] == "failed", "id"]]
