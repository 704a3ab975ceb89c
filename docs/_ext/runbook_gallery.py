"""The gallery: each shipped runbook with its purpose, its parameters, and the report of a run in a sandbox."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from lcnb.runbooks.ends import ATTENTION, DONE
from lcnb.runbooks.notebook.find import find_runbook, shipped_names
from lcnb.runbooks.notebook.help import describe_runbooks
from sandbox_account import build_folder, sandbox_environment

#: Folder of the reports in the site.
REPORTS = "reports"
#: Ends a run that hangs.
LIMIT_S = 600


@dataclass(frozen=True)
class Sample:
    """A run that the gallery shows: its options, the files that it reads, the commands before it, and a note."""

    options: str = ""
    files: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    note: str = ""


#: The runs, in the order in which they are made: the later ones find what the earlier ones changed.
SAMPLES = {
    "inventory": Sample(),
    "price_compare": Sample("-p currency=USD -p memory_gb=8"),
    "balance_runway": Sample("-p attention_days=10"),
    "key_audit": Sample(),
    "health_watch": Sample(
        "-p ports= -p watch_s=1 -p every_s=1", note="No machine of a sandbox answers, so no port is tried."
    ),
    "tag_audit": Sample(
        "-p required_keys=project",
        before=(
            "lcnb tag web-01 web-02 project=shop",
            "lcnb tag web-03 projct=shop",
            "lcnb tag db-01 db-02 project=erp",
        ),
    ),
    "drift": Sample(
        "-p fleet=fleet.csv",
        {"fleet.csv": "label,plan,state\nweb-01,1vcpu-2gb-20ssd,running\nweb-03,,off\nblog-01,,running\n"},
    ),
    "provision": Sample(
        "-p fleet=nodes.csv -p dry_run=false --yes",
        {
            "nodes.csv": "label,location,plan,image\n"
            "node-1,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\nnode-2,MIA1,1vcpu-1gb-10ssd,debian-12-x86_64\n"
        },
        before=("lcnb run changes",),
    ),
    "power_schedule": Sample(
        """-p selection="label.str.startswith('ci-')" -p power=off -p dry_run=false --yes"""
    ),
    "snapshot_rotation": Sample(
        """-p selection="label.str.startswith('db-0')" -p keep=2 -p dry_run=false --yes"""
    ),
    "password_rotation": Sample("""-p selection="label in ['web-01', 'web-03']" -p dry_run=false --yes"""),
    "resize_advisor": Sample("""-p selection="location == 'MIA1'" """.strip()),
    "expire": Sample(before=("lcnb expire blog-01 --in 2h", "lcnb expire blog-02 --in 30d")),
    "decommission": Sample("-p labels=legacy-crm -p confirm_labels=legacy-crm -p dry_run=false --yes"),
    "changes": Sample(note="Compared with the time before the runs of this page that changed the account."),
    "spend": Sample("-p by=location -p since=1h"),
    "schedule_watch": Sample(note="A build installs no schedule on its machine, so the report lists none."),
}


def make_reports(folder: Path, names: list[str]) -> dict[str, dict[str, object]]:
    """Run these runbooks in a new sandbox, and copy each report to `folder/NAME.html`. Return name → record of the run.

    ExtensionError when a run ends otherwise than done or with a request for attention.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with sandbox_environment() as environment:
        return {name: _make_report(name, environment, folder / f"{name}.html") for name in names}


def _make_report(name: str, environment: dict[str, str], report: Path) -> dict[str, object]:
    sample, place = SAMPLES[name], build_folder(environment)
    for path, text in sample.files.items():
        (place / path).write_text(text, encoding="utf-8")
    for command in (*sample.before, run_command(name)):
        done = subprocess.run(
            shlex.split(command), cwd=place, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
        if done.returncode not in (DONE.exit_code, ATTENTION.exit_code):
            raise ExtensionError(f"`{command}` ended with {done.returncode}: {done.stderr}")
    run = max((place / "runs").glob(f"*-{name}-*"))
    shutil.copyfile(run / "report.html", report)
    record: dict[str, object] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return record


def run_command(name: str) -> str:
    """Return the command that makes the run of the gallery.

    >>> run_command("inventory")
    'lcnb run inventory'
    """
    return f"lcnb run {name} {SAMPLES[name].options}".strip()


def describe_sample(name: str, record: dict[str, object] | None) -> str:
    """Return the section of a runbook as Markdown. Without a record of its run: purpose and parameters only."""
    book = find_runbook(name)
    lines = [f"## {book.title}", "", f"`{name}`: {book.purpose}", ""]
    lines += ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for row in describe_runbooks(name):
        parameter, kind, default, meaning = (str(each).replace("|", "\\|") for each in row)
        lines.append(f"| `{parameter}` | {kind} | `{default}` | {meaning} |")
    if record is not None:
        lines += _run_lines(name, record, escape(f"Report of {book.title}"))
    return "\n".join([*lines, ""])


def _run_lines(name: str, record: dict[str, object], title: str) -> list[str]:
    """Files, commands, end and report of the run."""
    sample, report = SAMPLES[name], f"{REPORTS}/{name}.html"
    lines = []
    for path, text in sample.files.items():
        lines += ["", f"`{path}`:", "", "```text", text.rstrip(), "```"]
    commands = [f"$ {each}" for each in (*sample.before, run_command(name))]
    lines += ["", "```console", *commands, "```", "", sample.note, ""]
    lines += [
        f"The run ended with the status `{record['status']}` and the exit code {record['exit_code']}.",
        "",
    ]
    link = f'<p><a href="{report}">Open the report of {escape(name)}</a></p>'
    frame = f'<iframe class="report" src="{report}" title="{title}" loading="lazy"></iframe>'
    return [*lines, "```{raw} html", link, frame, "```"]


class RunbookGallery(SphinxDirective):
    """`{runbook-gallery}`: the sections of all shipped runbooks."""

    def run(self) -> list[nodes.Node]:
        """Return the sections as parsed Markdown."""
        records = getattr(self.env.app, "gallery_records", {})
        text = "\n".join(describe_sample(name, records.get(name)) for name in SAMPLES)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def run_samples(app: Sphinx) -> None:
    """Make the runs that `gallery_runs` names, before pages are read."""
    if missing := set(shipped_names()) ^ set(SAMPLES):
        raise ExtensionError(
            f"SAMPLES in docs/_ext/runbook_gallery.py must have each shipped runbook and no other: {sorted(missing)}"
        )
    chosen = [name for name in SAMPLES if name in app.config.gallery_runs]
    if chosen:
        app.gallery_records = make_reports(Path(app.outdir) / REPORTS, chosen)  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, and the option `gallery_runs`: the names of the runbooks that are run, all by default."""
    app.add_config_value("gallery_runs", list(SAMPLES), "env", types=[list, tuple])
    app.add_directive("runbook-gallery", RunbookGallery)
    app.connect("builder-inited", run_samples)
    return {"parallel_read_safe": False}
