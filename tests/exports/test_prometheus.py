"""Metrics and targets, as promtool reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lcnb
from exported_fleet import fleets, inventory_of
from lcnb.api.models import Profile
from lcnb.exports import prometheus_metrics, prometheus_targets
from lcnb.runbooks.records.history import list_runs
from lcnb.runbooks.records.run_record import RunRecord

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")


def check_metrics(text: str) -> None:
    """`promtool check metrics` finds nothing."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, timeout=600
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def samples(text: str) -> dict[str, float]:
    """Name and labels → value."""
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.fixture
def runs(tmp_path: Path) -> list[RunRecord]:
    """Runs of two runbooks: the last backup failed, the last inventory asks for attention, one is running."""
    ends = [
        ("2026-11-30T080000Z-aaaa", "backup", "done", 0, 60),
        ("2026-11-30T090000Z-bbbb", "backup", "failed", 1, 30),
        ("2026-11-30T070000Z-cccc", "inventory", "attention", 8, 1.5),
        ("2026-11-30T100000Z-dddd", "backup", "running", None, None),
    ]
    for name, runbook, status, code, seconds in ends:
        folder = tmp_path / "kept" / name
        folder.mkdir(parents=True)
        facts = {
            "id": name, "runbook": runbook, "status": status, "exit_code": code, "closed": status != "running",
            "started": f"2026-11-30T{name[11:13]}:00:00+00:00", "duration_s": seconds, "account": "prod",
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(facts))
    return list_runs(tmp_path / "kept")


@needs_promtool
def test_metrics(lc: lcnb.LetsCloud, runs: list[RunRecord]) -> None:
    """The metrics of an account pass `promtool check metrics`, and count what the frames show."""
    fleet, profile = lc.inventory(), lc.profile()
    text = prometheus_metrics(fleet, profile, runs=runs, budget=lc.budget(), account="prod")
    check_metrics(text)
    found = samples(text)
    off = ((fleet.location == "MIA1") & (fleet.state == "off")).sum()
    assert found['lcnb_machines{account="prod",location="MIA1",state="off"}'] == off
    assert sum(value for name, value in found.items() if name.startswith("lcnb_machines{")) == len(fleet)
    for code, cost in fleet.groupby("currencycode").monthly_value.sum().items():
        assert found[f'lcnb_monthly_cost{{account="prod",currency="{code}"}}'] == pytest.approx(cost)
    assert found['lcnb_machines_without_price{account="prod"}'] == fleet.monthly_value.isna().sum()
    assert found['lcnb_balance{account="prod",currency="USD"}'] == profile.balance
    cost = found['lcnb_monthly_cost{account="prod",currency="USD"}']
    assert found['lcnb_balance_lasts_seconds{account="prod"}'] == pytest.approx(
        profile.balance / cost * 730 * 3600
    )
    assert found['lcnb_rate_budget_calls{account="prod"}'] > 0


def test_runs(runs: list[RunRecord]) -> None:
    """Each runbook has the end of its last run and of the last one that was done; a run that goes on has no end."""
    found = samples(prometheus_metrics(inventory_of(), runs=runs, account="prod"))
    backup, inventory = ('{account="prod",runbook="backup"}', '{account="prod",runbook="inventory"}')
    hour = 1796025600  # 2026-11-30T08:00:00Z
    assert found[f"lcnb_run_last_success_timestamp_seconds{backup}"] == hour + 60
    assert found[f"lcnb_run_last_end_timestamp_seconds{backup}"] == hour + 3630
    assert found[f"lcnb_run_last_exit_code{backup}"] == 1
    assert found[f"lcnb_run_last_end_timestamp_seconds{inventory}"] == hour - 3600 + 1.5
    assert f"lcnb_run_last_success_timestamp_seconds{inventory}" not in found
    assert found['lcnb_kept_runs{account="prod"}'] == 4


def test_two_accounts(lc: lcnb.LetsCloud, runs: list[RunRecord]) -> None:
    """No two accounts have a sample in common: node_exporter refuses the second of two files that have one."""
    texts = [
        prometheus_metrics(lc.inventory(), lc.profile(), runs=runs, budget=lc.budget(), account=each)
        for each in ("prod", "lab", None)
    ]
    names = [name for text in texts for name in samples(text)]
    assert len(names) == len(set(names))
    assert [samples(text).get(f"lcnb_kept_runs{label}") for text, label in zip(texts, ('{account="prod"}', '{account="lab"}', ""), strict=True)] == [4, 0, 0]  # fmt: skip


NO_VALUES = {
    "no balance": (Profile(currency="$"), {}, {"lcnb_balance", "lcnb_balance_lasts_seconds"}),
    "an unknown currency": (Profile(currency="?", balance=1.0), {}, {"lcnb_balance_lasts_seconds"}),
    "no price": (Profile(currency="$", balance=1.0), {"monthly_value": None, "currencycode": None}, {"lcnb_balance_lasts_seconds", "lcnb_monthly_cost"}),
}  # fmt: skip


@needs_promtool
@pytest.mark.parametrize("name", NO_VALUES)
def test_unknown_values(name: str) -> None:
    """A value that is not known has no sample: a zero would be an alert, or hide one."""
    profile, machine, missing = NO_VALUES[name]
    text = prometheus_metrics(inventory_of(machine), profile)
    check_metrics(text)
    names = {each.partition("{")[0] for each in samples(text)}
    everything = {"lcnb_balance", "lcnb_balance_lasts_seconds", "lcnb_monthly_cost"}
    assert everything - names == missing


def test_nothing_is_charged() -> None:
    """Without machines the balance lasts for ever, and the number of machines is 0."""
    found = samples(prometheus_metrics(inventory_of(), Profile(currency="$", balance=3.0)))
    assert (found["lcnb_balance_lasts_seconds"], found["lcnb_machines"]) == (float("inf"), 0)


@needs_promtool
@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_location(locations: list[str]) -> None:
    """Whatever the texts in labels: promtool reads the metrics, one line per sample."""
    text = prometheus_metrics(inventory_of(*({"location": each} for each in locations)), account='a"b\\c\n')
    check_metrics(text)
    assert samples(text)


@needs_promtool
@given(fleets)
def test_targets(tmp_path_factory: pytest.TempPathFactory, fleet: list[dict[str, Any]]) -> None:
    """Prometheus accepts the targets of any account: those that have an address, each with labels."""
    folder = tmp_path_factory.mktemp("sd")
    rows = inventory_of(*fleet)
    text = prometheus_targets(rows)
    (folder / "targets.json").write_text(text, encoding="utf-8")
    (folder / "prometheus.yml").write_text(
        "scrape_configs:\n- job_name: node\n  file_sd_configs:\n  - files: [targets.json]\n"
    )
    done = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with_address = [each for each in fleet if re.fullmatch(r"[\d.]+", each["ipv4"] or "")]
    assert len(json.loads(text)) == len(with_address)


def test_target_labels() -> None:
    """A tag is a label; keys that look alike stay two; the port is that of the tag."""
    rows = inventory_of(
        {"label": "web", "tags": "a.b=1; legacy; metrics-port=9200; project=shop"},
        {"ipv4": None, "ipv6": "2001:db8::2", "tags": "a_b=2"},
        {"ipv4": None},
    )
    one, two = json.loads(prometheus_targets(rows))
    assert (one["targets"], two["targets"]) == (["192.0.2.7:9200"], ["[2001:db8::2]:9100"])
    labels = one["labels"]
    assert (labels["machine"], labels["tag_project"], labels["tag_legacy"]) == ("web", "shop", "true")
    first = {name for name in labels if name.startswith("tag_a_b_")}
    second = {name for name in two["labels"] if name.startswith("tag_a_b_")}
    assert (len(first), len(second)) == (1, 1)
    assert first != second
