"""A user's script, which type checkers accept in strict mode and which runs: frames, rows, changes, runs, both clients."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pandas as pd

import lcnb
from lcnb.exports import ssh_config
from lcnb.runbooks.run import run_runbook


def monthly_cost(fleet: pd.DataFrame) -> dict[str, float]:
    costs = fleet.groupby("currencycode")["monthly_value"].sum()
    return {str(code): float(value) for code, value in costs.items()}


def stop_project(lc: lcnb.LetsCloud, project: str) -> pd.DataFrame:
    fleet = lc.inventory()
    tags = lcnb.SelectedRows(fleet).tags("project")
    running = fleet[(tags == project) & (fleet["state"] == "running")]
    changes = lcnb.SelectedRows(running).power_off(skip_busy=True)
    print(len(changes), changes.monthly_difference(), changes.notes, [each.target for each in changes])
    with_approval: lcnb.ChangeSet = changes
    return with_approval.apply(confirm=True, timeout=600) if changes else changes.to_frame()


def create_machine(lc: lcnb.LetsCloud, label: str) -> str:
    created = lc.create_instance(
        label, location="MIA1", plan="1vcpu-1gb-10ssd", image="debian-12-x86_64", expires=timedelta(hours=8)
    )
    try:
        created.apply(confirm=True, wait=True)
    except lcnb.ChangeFailed as error:
        raise SystemExit(f"{label}: {error.problem}") from error
    machine = lc.instance(label=label)
    password: lcnb.Secret = lc.reveal(label)
    return f"{machine.ipv4 or machine.ipv6}, {password}, {lc.profile().balance}"


async def reboot_first() -> int:
    async with lcnb.AsyncLetsCloud.connect(sandbox=True) as lc:
        fleet, profile = await asyncio.gather(lc.instances(), lc.profile())
        running = fleet.loc[fleet["state"] == "running", "label"]
        result = await (await lc.reboot(str(running.iloc[0]))).apply(confirm=True)
        return len(result) if profile.currency else 0


def main() -> None:
    with lcnb.connect(sandbox=True) as lc:
        lc.tag(["web-01", "web-03"], "project=shop", "ssh-user=root")
        lcnb.run().save("stopped", stop_project(lc, "shop"), formats=["csv"])
        print(create_machine(lc, "report-01"), monthly_cost(lc.inventory()))
        print(len(ssh_config(lc.inventory()).splitlines()), len(lc.sql("select label from instances")))
        result = run_runbook("inventory", settings=lc.settings).check()
    print(asyncio.run(reboot_first()))
    print(result.status, result.report.name, lcnb.runs()["status"].tolist())


if __name__ == "__main__":
    main()
