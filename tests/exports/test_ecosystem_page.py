"""The page about other tools: what it shows for Terraform and Prometheus, as these tools read it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import hcl2
import pytest

import lcnb
from conftest import ROOT
from lcnb.cli.options import EXPORT_FORMATS
from lcnb.exports import prometheus_metrics
from lcnb.exports.formats import FORMATS
from lcnb.facts import connection

PAGE = (ROOT / "docs" / "ecosystem.md").read_text(encoding="utf-8")
SCHEMA = json.loads(Path(__file__).with_name("terraform_schema.json").read_text(encoding="utf-8"))


def block(language: str) -> str:
    """The one code block of that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table with that first heading."""
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_provider() -> None:
    """The provider of the page is the published one, and its block has attributes that it takes."""
    document = hcl2.loads(block("hcl"))
    (name, known) = next(iter(SCHEMA["provider"].items()))
    (required,) = document["terraform"][0]["required_providers"]
    assert required[name]["source"].strip('"') == known["source"]
    ((_, attributes),) = document["provider"][0].items()
    assert {each for each in attributes if not each.startswith("__")} <= set(known["optional"])


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_rules(lc: lcnb.LetsCloud, tmp_path: Path) -> None:
    """promtool accepts the alerts of the page, and each metric in them is one that lcnb writes."""
    (tmp_path / "rules.yml").write_text(block("yaml"), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 rules found" in done.stdout
    metrics = {cells[0].strip("`") for cells in rows("metric")}
    assert set(re.findall(r"lcnb_\w+", block("yaml"))) <= metrics


def test_metrics(lc: lcnb.LetsCloud, tmp_path: Path) -> None:
    """The table has each metric that lcnb writes."""
    from lcnb.runbooks.records.run_record import RunRecord

    facts = {
        "runbook": "inventory", "status": "done", "exit_code": 0, "closed": True, "duration_s": 1,
        "started": "2026-11-30T00:00:00+00:00",
    }  # fmt: skip
    runs = [RunRecord(tmp_path, facts)]
    text = prometheus_metrics(lc.inventory(), lc.profile(), runs=runs, budget=lc.budget())
    written = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    assert sorted(written) == sorted(cells[0].strip("`") for cells in rows("metric"))


def test_formats() -> None:
    """The table has each format with its function and the mode of its file."""
    assert [cells[0].strip("`") for cells in rows("format")] == list(EXPORT_FORMATS)
    for name, function, _, mode in rows("format"):
        form = FORMATS[name.strip("`")]
        assert mode == f"{form.mode:04o}" + ("" if form.replaces else ", never replaced")
        assert function.strip("`") in lcnb.exports.__all__


def test_tags() -> None:
    """The table has each tag that is read, with a value that is accepted."""
    tags = dict(cells[0].strip("`").split("=") for cells in rows("tag"))
    assert set(tags) == {value for name, value in vars(connection).items() if name.endswith("_TAG")}
    assert connection.read_connection(tags).port == 2222
