"""The runbooks that use facts about machines and their history, run for real against sandboxes: normal, empty and failing accounts."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import pytest

import lcnb
from conftest import MANY, TOKEN, in_thread, lcnb_here, record, warm_run, warm_server, without_account
from lcnb.client import LetsCloud
from lcnb.config import Settings, load_settings
from lcnb.errors import ParameterError
from lcnb.runbooks.result import RunResult
from lcnb.runbooks.run import run_runbook
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread
from lcnb.sandbox.faults import Faults

HEADER = "identifier,label,tags,owner,note,protected,expires"
#: `{label}` is the identifier of that machine. Times that are past, and that are not, on every day of these tests.
EXPIRIES = f"""# who ends when
{HEADER}
{{api-01}},api-01,,,,,2026-01-02T00:00:00+02:00
{{cache-01}},cache-01,,,,ana@desk 2026-01-01T00:00:00Z,2026-01-01T00:00:00Z
{{db-01}},db-01,,ana,,,2999-01-01T00:00:00Z
{{web-01}},web-01,,ana,,,2026-01-01T00:00:00Z
gone,lost-01,,,,,2026-01-01T00:00:00Z
old,mail,,,,,2026-01-01T00:00:00Z
"""
TAGS = f"""{HEADER}
{{web-01}},web-01,env=prod; project=shop,ana,,,
{{api-01}},api-01,Project=shop; env=Prod,ana,,,
{{db-01}},db-01,project=Shop,,,,
gone,lost-01,legacy,,,,
"""


class Case(NamedTuple):
    """A runbook, machines, facts file, parameters; its status and exit code, the checks that fail, what its page says."""

    book: str
    fleet: int
    facts: str
    parameters: dict[str, Any]
    end: tuple[str, int]
    failing: Sequence[str] = ()
    said: str = ""
    prepare: Callable[[Sandbox], None] = lambda sandbox: None
    speed: float = 0.0
    #: How many hours before the run the account was read, and what was done to it after that reading.
    past: Sequence[tuple[float, Callable[[Sandbox], None]]] = ()
    #: What is done to the account between this run and the one before it, if there is one.
    after_earlier_run: Callable[[Sandbox], None] | None = None
    read_only: bool = False


def refusing(path: str, **more: Any) -> Callable[[Sandbox], None]:
    def prepare(sandbox: Sandbox) -> None:
        rule = {"kind": "html", "status": 403, "path": path, "times": 99, **more}
        sandbox.faults = Faults.read({"seed": 1, "rules": [rule]})

    return prepare


def nothing(sandbox: Sandbox) -> None:
    """As it is."""


def change(sandbox: Sandbox) -> None:
    """One machine gets another label, one a larger plan, and one is gone."""
    known = {each["label"]: each for each in sandbox.world.machines}
    known["db-01"]["label"] = "db-primary"
    known["web-01"].update(cpus=4, memory=8192, disk=80)
    sandbox.world.machines.remove(known["api-01"])


def without_identifiers(sandbox: Sandbox) -> None:
    """A machine that exists has no identifier, so the listing proves nothing."""
    write = sandbox.shapes.listed_instance

    def damaged(each: Any) -> Any:
        return write(each) | ({"identifier": None} if each["label"] == "web-01" else {})

    sandbox.shapes.listed_instance = damaged  # type: ignore[method-assign]


PAST = "1 machine is past its time and is left alone: cache-01"
REPLACED = "1 machine with an expiry was replaced by another one of its label: mail"
DELETE = {"action": "delete", "dry_run": "false"}
RULES = {"required_keys": "project,env", "allowed": '{"env": ["prod", "test"]}'}
CASES = {
    "expire": Case("expire", 14, EXPIRIES, {}, ("attention", 8), ["2 machines are past their time: web-01, api-01", PAST, REPLACED], "it is protected (by ana@desk"),
    "expire soon": Case("expire", 14, EXPIRIES, {"warn_hours": "1e7", "max_machines": "1"}, ("attention", 8), ["1 machine is past its time: web-01", "2 machines are past their time and are left alone: cache-01, api-01", "1 machine expires within 1e+07 hours: db-01", REPLACED], "only 1 may end at once"),
    "expire, nothing": Case("expire", 0, "", {}, ("done", 0), [], "No machine ends now."),
    "expire, for real": Case("expire", 14, EXPIRIES, DELETE, ("attention", 8), [PAST, REPLACED], "web-01 before its end", speed=200),
    "expire, snapshot refused": Case("expire", 14, EXPIRIES, DELETE, ("partly", 7), [PAST, REPLACED, "1 machine has no complete snapshot and stays: web-01"], "", refusing("lqucavltalsfyx/snapshots", method="POST"), 200),
    "expire, dry on a read-only account": Case("expire", 14, EXPIRIES, {}, ("attention", 8), ["2 machines are past their time: web-01, api-01", PAST, REPLACED], read_only=True),
    "expire, unreadable facts": Case("expire", 14, EXPIRIES.replace("2026-01-01T00:00:00Z\ngone", "tomorrow\ngone"), DELETE, ("failed", 3), [], "line 6: expires: expected a time such as"),
    "expire, no listing": Case("expire", 14, EXPIRIES, DELETE, ("failed", 3), [], "", refusing("/instances", method="GET")),
    "tags": Case("tag_audit", 14, TAGS, RULES, ("attention", 8), ["11 machines have no tag: ", "13 machines lack a required key (project, env): ", "1 machine has a tag with a value that is not allowed: api-01", "12 machines have no owner: ", "2 keys differ from other ones only in their spelling: project, Project", "2 keys have values that differ only in their spelling: env, project", "1 row of the facts file belongs to no machine: lost-01"], "project is missing (did you mean"),
    "tags, no rules": Case("tag_audit", 1, f"{HEADER}\n{{web-01}},web-01,env=prod,,,,\n", {"owner_required": "false"}, ("done", 0), [], "No machine needs attention."),
    "tags, no facts": Case("tag_audit", 14, "", {}, ("attention", 8), ["14 machines have no tag: ", "14 machines have no owner: "], "There is no facts file yet"),
    "tags, nothing": Case("tag_audit", 0, "", RULES, ("done", 0), [], "There is no key to show costs by"),
    "tags, unreadable facts": Case("tag_audit", 14, TAGS.replace("env=prod; project=shop", "env=prod; env=test"), {}, ("failed", 3), [], "line 2: tags: the key &#x27;env&#x27; is there twice"),
    "tags, refused rule": Case("tag_audit", 14, TAGS, {"required_keys": "my key"}, ("failed", 3), [], "required_keys: expected a key of letters"),
    "changes, first": Case("changes", 14, "", {}, ("done", 0), [], "There is nothing to compare with yet: the next run is compared with this one."),
    "changes": Case("changes", 14, "", {"attention": "true"}, ("attention", 8), ["changes of 3 machines: "], "label: db-01 → db-primary", after_earlier_run=change),
    "changes, none": Case("changes", 14, "", {"attention": "true"}, ("done", 0), [], "Nothing has changed.", after_earlier_run=nothing),
    "changes since": Case("changes", 14, "", {"since": "3d"}, ("done", 0), [], "the account was not read", past=[(90, nothing), (50, change), (2, nothing)]),
    "changes since before the history": Case("changes", 14, "", {"since": "2026-01-01"}, ("done", 0), [], "The history begins later than 2026-01-01 00:00 UTC", past=[(50, change)]),
    "changes, nothing": Case("changes", 0, "", {"since": "1h"}, ("done", 0), [], "Nothing has changed.", past=[(50, nothing)]),
    "changes, not complete": Case("changes", 14, "", {"since": "1d"}, ("attention", 8), ["The reading of the machines is not complete: "], "Nothing has changed.", without_identifiers, past=[(50, nothing)]),
    "changes, no listing": Case("changes", 14, "", {}, ("failed", 3), [], "", refusing("/instances", method="GET")),
    "spend": Case("spend", 14, TAGS, {"gap_hours": "30"}, ("done", 0), [], "the account was not read", past=[(400, nothing), (360, change), (20, nothing)]),
    "spend by location": Case("spend", 14, "", {"by": "location", "since": "2d", "until": "1d"}, ("done", 0), [], "Cost per day by location", past=[(72, nothing), (30, change), (2, nothing)]),
    "spend, first": Case("spend", 14, TAGS, {}, ("done", 0), [], "There is nothing to show yet: the history of this account begins at"),
    "spend, nothing": Case("spend", 0, "", {}, ("done", 0), [], "There is no cost to show.", past=[(50, nothing)]),
    "spend, no listing": Case("spend", 14, "", {}, ("failed", 3), [], "", refusing("/instances", method="GET"), past=[]),
}  # fmt: skip
TABLES = {"expire": {"expiries", "snapshots", "ends"}, "tag_audit": {"tags", "keys", "costs", "orphans"}, "changes": {"changes", "period"}, "spend": {"days", "months", "gaps"}}  # fmt: skip


class Ended(NamedTuple):
    """A run that ended, and the sandbox that it was run against."""

    run: RunResult
    sandbox: Sandbox


def settings_of(base_url: str) -> Settings:
    return replace(load_settings(token=TOKEN, base_url=base_url), account="lab")


def read_before(case: Case, sandbox: Sandbox, settings: Settings) -> None:
    """Read the account as often as the case says, each time so many hours ago."""
    now = time.time()
    with LetsCloud(settings) as lc:
        for hours, change_account in case.past:
            lc._history.clock = lambda hours=hours: now - hours * 3600  # type: ignore[misc]
            lc.inventory()
            change_account(sandbox)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """The runs of CASES, two at a time, each against a sandbox of its own, with a facts file of its own."""
    place = tmp_path_factory.mktemp("facts")
    env = {**without_account(place), "LCNB_SETTLE": "5"}

    def one(name: str) -> Ended:
        case = CASES[name]
        sandbox = Sandbox(World(Clock(case.speed), fleet=case.fleet), TOKEN, rate_limit=MANY)
        config = place / name / "config"
        config.mkdir(parents=True)
        if case.facts:
            known = {each["label"]: each["identifier"] for each in sandbox.world.machines}
            (config / "facts.csv").write_text(case.facts.format_map(known), encoding="utf-8")
        own = {**env, "LCNB_CONFIG_DIR": str(config), "LCNB_ACCOUNT": "lab"}
        more = ["--lock-wait", "600", *(["--yes"] if case.parameters.get("dry_run") == "false" else [])]
        with serve_in_thread(sandbox) as base_url:
            account = f'[accounts.lab]\ntoken_env = "LETSCLOUD_API_KEY"\nbase_url = "{base_url}"\nfacts = "facts.csv"\n'
            account += "read_only = true\n" * case.read_only
            (config / "lcnb.toml").write_text(account, encoding="utf-8")
            read_before(
                case,
                sandbox,
                replace(settings_of(base_url), state_dir=place / "state", facts_path=config / "facts.csv"),
            )
            folder = place / name / "runs"
            if case.after_earlier_run is not None:
                earlier = warm_run(case.book, {}, own, place / name / "earlier", base_url)
                # Without its record the helper finds only the run that follows.
                shutil.copytree(
                    earlier.folder, folder / earlier.folder.name, ignore=shutil.ignore_patterns("run.json")
                )
                case.after_earlier_run(sandbox)
            case.prepare(sandbox)
            return Ended(warm_run(case.book, case.parameters, own, folder, base_url, *more), sandbox)

    with warm_server(env), ThreadPoolExecutor(2) as pool:
        yield dict(zip(CASES, pool.map(one, CASES), strict=True))


def outputs(run: RunResult) -> Iterator[Any]:
    (path,) = run.folder.glob("*.ipynb")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            yield from cell.outputs


@pytest.mark.parametrize("name", CASES)
def test_runbook(name: str, runs: dict[str, Ended]) -> None:
    """Each runbook ends as its account deserves, and shows the checks that failed, and only those."""
    case, run = CASES[name], runs[name].run
    assert (run.status, run.exit_code) == case.end, run.error
    found = list(outputs(run))
    texts = [each.data["text/plain"] for each in found if "text/plain" in each.get("data", {})]
    failed = [text for text in texts if text.startswith("ATTENTION")]
    assert len(failed) == len(case.failing), failed
    for text, wanted in zip(failed, case.failing, strict=True):
        assert wanted in text
    assert case.said in run.report.read_text(encoding="utf-8")
    if case.end[0] != "failed":
        assert [each.text for each in found if each.output_type == "stream"] in ([], ["A dry run: nothing was sent.\n"] * 2, ["A dry run, and nothing to do.\n"] * 2)  # fmt: skip
        saved = {path.stem for path in run.files if path.suffix == ".parquet"}
        assert saved == {path.stem for path in run.files if path.suffix == ".csv"} == TABLES[case.book]


@pytest.mark.parametrize("name", CASES)
def test_what_was_sent(name: str, runs: dict[str, Ended]) -> None:
    """Only a run for real sends a write, and it ends the machines that are due: by identifier, after their snapshot."""
    sandbox = runs[name].sandbox
    known = {each["label"]: each["identifier"] for each in World(Clock(0), fleet=14).machines}
    sent = [(each["method"], each["path"]) for each in sandbox.log if each["method"] != "GET"]
    made = {
        "expire, for real": ["web-01", "api-01"],
        "expire, snapshot refused": ["api-01"],
    }.get(name, [])
    assert [path.rpartition("/")[2] for method, path in sent if method == "DELETE"] == [known[each] for each in made]  # fmt: skip
    assert all(path.endswith("/snapshots") for method, path in sent if method != "DELETE")
    assert bool(sent) == bool(made)
    deleted = [each["target"] for each in record(runs[name].run.folder)["changes"] if each["outcome"] == "done" and each["action"] == "delete instance"]  # fmt: skip
    assert deleted == made


def test_empty_tables_have_the_same_columns(runs: dict[str, Ended]) -> None:
    """The tables that are kept have the same columns and dtypes for an empty account."""
    for full, empty in (
        ("expire", "expire, nothing"), ("tags", "tags, nothing"), ("tags", "tags, no facts"), ("changes", "changes, first"),
        ("changes", "changes, nothing"), ("spend", "spend, nothing"), ("spend", "spend, first"),
    ):  # fmt: skip
        for table in TABLES[CASES[full].book]:
            one, other = (
                pd.read_parquet(runs[name].run.folder / f"{table}.parquet") for name in (full, empty)
            )
            assert one.dtypes.astype(str).to_dict() == other.dtypes.astype(str).to_dict(), table


def test_the_facts_file_is_only_read(runs: dict[str, Ended]) -> None:
    """No runbook changes the facts file."""
    for name, case in CASES.items():
        path = Path(runs[name].run.folder).parents[1] / "config" / "facts.csv"
        known = {each["label"]: each["identifier"] for each in World(Clock(0), fleet=14).machines}
        assert (path.read_text() if path.exists() else "") == case.facts.format_map(known)


def test_plan_and_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lcnb apply RUN` ends what a plan that asks for attention has shown; a machine protected since ends nothing."""
    with in_thread(speed=200, fleet=14) as box:
        monkeypatch.setenv("LETSCLOUD_API_KEY", box.token)
        monkeypatch.setenv("LCNB_BASE_URL", box.base_url)
        monkeypatch.setenv("LCNB_FACTS", str(tmp_path / "facts.csv"))
        monkeypatch.chdir(tmp_path)
        with lcnb.connect() as lc:
            known = dict(zip(lc.instances().label, lc.instances().identifier, strict=True))
            text = EXPIRIES.format_map(known)
            (tmp_path / "facts.csv").write_text(text, encoding="utf-8")
            planned = lcnb_here("plan-run", "expire", "-p", "action=delete", "-p", "snapshot_first=false")
            assert planned.returncode == 8, planned.stderr
            (name,) = re.findall(r"lcnb apply (\S+)", planned.stdout)
            (tmp_path / "facts.csv").write_text(text.replace("web-01,,ana,,,", "web-01,,ana,,yes,"))
            refused = lcnb_here("apply", name)
            assert refused.returncode == 3, refused.stderr
            assert "delete instance web-01 is no longer needed" in " ".join(refused.stderr.split())
            assert {"web-01", "api-01"} <= set(lc.instances().label)
            (tmp_path / "facts.csv").write_text(text)
            applied = lcnb_here("apply", name)
            assert applied.returncode == 8, applied.stderr
            assert {"web-01", "api-01", "cache-01"} & set(lc.instances().label) == {"cache-01"}


@pytest.mark.parametrize(
    ("book", "given", "problem"),
    [("changes", {"since": "soon"}, "since: .*soon"), ("spend", {"by": "colour"}, "by: .*colour")],
)
def test_refused_before_the_start(
    book: str, given: dict[str, object], problem: str, settings: Settings, tmp_path: Path
) -> None:
    """A time or a group that does not exist is refused before a run exists."""
    with pytest.raises(ParameterError, match=problem):
        run_runbook(book, given, settings=settings, folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
