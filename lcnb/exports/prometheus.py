"""Metrics for node_exporter's textfile collector, and targets for Prometheus' file_sd."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lcnb.exports.machines import (
    ExportedMachine,
    Only,
    chosen_machines,
    read_machines,
    read_time,
)
from lcnb.exports.names import distinct_names, word_name
from lcnb.runbooks.ends import DONE
from lcnb.runbooks.toolkit.runway import MachinePrice, cost_by_currency, currency_code, runway_of_prices

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.api.models import Profile
    from lcnb.rows import Rows
    from lcnb.runbooks.records.run_record import RunRecord
    from lcnb.transport.rate_limit import BudgetStatus

#: The port of node_exporter, for machines without the tag `metrics-port`.
DEFAULT_METRICS_PORT = 9100
_SECONDS_PER_DAY = 86_400
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Metric:
    """A gauge with its samples: labels and value."""

    name: str
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def text(self) -> str:
        """Return the metric in the text format of Prometheus; "" without samples."""
        if not self.samples:
            return ""
        lines = [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} gauge"]
        lines += [f"{self.name}{_label_text(labels)} {_number(value)}" for labels, value in self.samples]
        return "\n".join(lines) + "\n"


def prometheus_metrics(
    inventory: pd.DataFrame | Rows,
    profile: Profile | None = None,
    *,
    runs: Iterable[RunRecord] = (),
    budget: BudgetStatus | None = None,
    account: str | None = None,
) -> str:
    """Return metrics of the whole account, in the text format of Prometheus.

    Args:
        inventory: the frame of `lc.inventory()`: machines by state and location, costs per currency and month.
        profile: `lc.profile()`, for the balance and the seconds for which it lasts if the account is prepaid.
        runs: `list_runs()` of `lcnb.runbooks.records.history`, for the last runs of each runbook in this account. Runs
            of other accounts do not count: node_exporter refuses a sample that two files have.
        budget: `lc.budget()`, for the calls that the token may still make.
        account: the label `account` of the metrics.

    A value that is not known has no sample. Raises BadReply for an inventory that may be incomplete: the file before
    should stay, and node_exporter reports its age.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> print(prometheus_metrics(lc.inventory(), lc.profile()).splitlines()[1])
    # TYPE lcnb_machines gauge
    """
    machines = read_machines(inventory, connections=False)
    base = {"account": account} if account else {}
    metrics = [
        *_machine_metrics(machines, base),
        Metric(
            "lcnb_inventory_read_timestamp_seconds",
            "When the machines were listed.",
            [(base, (read_time(inventory) or datetime.now(UTC)).timestamp())],
        ),
        *(_balance_metrics(profile, machines, base) if profile else ()),
        *_run_metrics([each for each in runs if _account_of(each) == (account or "")], base),
        *(_budget_metrics(budget, base) if budget else ()),
    ]
    return "".join(each.text() for each in metrics)


def prometheus_targets(inventory: pd.DataFrame | Rows, only: Only = None) -> str:
    """Return the machines as JSON for `file_sd_configs`: one target per machine that has an address.

    The port is that of the tag `metrics-port`, or 9100. The labels are `machine`, `identifier`, `location`, `plan`,
    `account` and `tag_KEY`. A machine without an address is no target.

    Args:
        inventory: the frame of `lc.inventory()`, or rows selected from it.
        only: a flag per row; all machines by default.

    Raises InputError for a tag that cannot be used, BadReply for an inventory that may be incomplete.

    >>> import json, lcnb
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> json.loads(prometheus_targets(fleet, only=fleet.label == "web-01"))[0]["labels"]["machine"]
    'web-01'
    """
    machines = read_machines(inventory)
    keys = dict.fromkeys(key for each in machines for key in each.tags)
    names = distinct_names(keys, lambda key: f"tag_{word_name(key)}")
    targets = [_target(each, names) for each in chosen_machines(machines, only) if each.address]
    return json.dumps(targets, ensure_ascii=False, indent=2) + "\n"


# --- metrics --------------------------------------------------------------------------------------------


def _machine_metrics(machines: list[ExportedMachine], base: Labels) -> list[Metric]:
    counts = Counter((each.location or "unknown", each.state or "unknown") for each in machines)
    costs = cost_by_currency(_prices(machines))
    return [
        Metric(
            "lcnb_machines",
            "Machines by location and state.",
            [
                ({**base, "location": location, "state": state}, count)
                for (location, state), count in sorted(counts.items())
            ]
            or [({**base}, 0)],
        ),
        Metric(
            "lcnb_machines_without_price",
            "Machines whose price is not known; no cost includes them.",
            [(base, sum(each.machines for each in costs if each.currencycode is None))],
        ),
        Metric(
            "lcnb_monthly_cost",
            "Cost of all machines per month, in the currency of the label.",
            [
                ({**base, "currency": each.currencycode}, each.monthly_value)
                for each in costs
                if each.currencycode
            ],
        ),
    ]


def _balance_metrics(profile: Profile, machines: list[ExportedMachine], base: Labels) -> list[Metric]:
    runway = runway_of_prices(profile, _prices(machines))
    balance, days = profile.balance, runway.days
    labels = {**base, "currency": currency_code(profile.currency) or profile.currency or "unknown"}
    return [
        Metric(
            "lcnb_balance",
            "Balance of the account, in the currency of the label.",
            [] if balance is None else [(labels, balance)],
        ),
        Metric(
            "lcnb_balance_lasts_seconds",
            "For how long the balance pays for the machines at most, if the account is prepaid.",
            [] if days is None else [(base, days * _SECONDS_PER_DAY)],
        ),
    ]


def _prices(machines: list[ExportedMachine]) -> list[MachinePrice]:
    return [MachinePrice(each.monthly_value, each.currencycode or None) for each in machines]


def _budget_metrics(budget: BudgetStatus, base: Labels) -> list[Metric]:
    return [
        Metric("lcnb_rate_budget_calls", "Calls that the token may make at once.", [(base, budget.burst)]),
        Metric(
            "lcnb_rate_budget_wait_seconds",
            "How long the next call would wait.",
            [(base, budget.wait_s)],
        ),
    ]


def _run_metrics(runs: Sequence[RunRecord], base: Labels) -> list[Metric]:
    """Return when each runbook was last carried out; `done` alone is a success, attention is not."""
    last: dict[str, list[tuple[Labels, float]]] = {"success": [], "end": [], "code": []}
    for runbook, by_time in sorted(_ended_runs(runs).items()):
        labels = {**base, "runbook": runbook}
        last["end"].append((labels, max(by_time).timestamp()))
        code = by_time[max(by_time)].typed_fact("exit_code", int)
        last["code"] += [] if code is None else [(labels, code)]
        done = [at for at, run in by_time.items() if run.status == DONE.status]
        last["success"] += [(labels, max(done).timestamp())] if done else []
    return [
        Metric("lcnb_kept_runs", "Runs in the folder of runs.", [(base, len(runs))]),
        Metric(
            "lcnb_run_last_success_timestamp_seconds",
            "When the last run of the runbook ended that was done.",
            last["success"],
        ),
        Metric("lcnb_run_last_end_timestamp_seconds", "When the last run of the runbook ended.", last["end"]),
        Metric("lcnb_run_last_exit_code", "The exit code of the last run of the runbook.", last["code"]),
    ]


def _ended_runs(runs: Iterable[RunRecord]) -> dict[str, dict[datetime, RunRecord]]:
    """Return the runs that have ended by the time of their end, for each runbook."""
    ended: dict[str, dict[datetime, RunRecord]] = {}
    for run in runs:
        runbook, at = run.typed_fact("runbook", str), run.ended
        if runbook and at and run.is_closed:
            ended.setdefault(runbook, {})[at] = run
    return ended


def _account_of(run: RunRecord) -> str:
    return run.typed_fact("account", str) or ""


# --- targets --------------------------------------------------------------------------------------------


def _target(machine: ExportedMachine, tag_labels: Mapping[str, str]) -> dict[str, Any]:
    host = f"[{machine.address}]" if ":" in machine.address else machine.address
    port = machine.connection.metrics_port or DEFAULT_METRICS_PORT
    labels = {
        "machine": machine.label or machine.name,
        "identifier": machine.identifier,
        "location": machine.location,
        "plan": machine.plan,
        "account": machine.account,
        **{tag_labels[key]: value or "true" for key, value in machine.tags.items()},
    }
    return {
        "targets": [f"{host}:{port}"],
        "labels": {name: value for name, value in labels.items() if value},
    }


# --- the text format ------------------------------------------------------------------------------------


def _label_text(labels: Labels) -> str:
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    pairs = [f'{name}="{_encodable(value).translate(escapes)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(round(value, 3))
