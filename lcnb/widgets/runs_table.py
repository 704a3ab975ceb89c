"""The runs on the screen: a table whose rows open the report of a run in the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.display.formats import MISSING
from lcnb.runbooks.records.history import runs
from lcnb.widgets.choices import has_value
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.listings import ListingTable, TableColumn
from lcnb.widgets.report_pages import read_report, report_address
from lcnb.widgets.runner import Runner

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud

RUN_COLUMNS = (
    TableColumn("runbook", "runbook"),
    TableColumn("status", "status"),
    TableColumn("started", "started (UTC)"),
    TableColumn("duration_s", "seconds"),
    TableColumn("changes", "changes"),
    TableColumn("attention", "attention"),
    TableColumn("report", "report"),
    TableColumn("id", "run"),
)
#: The newest runs; older ones are listed by `lcnb runs`.
MAX_RUN_ROWS = 500
#: A report up to this size is shown in the page; a larger one is only linked.
MAX_REPORT_BYTES = 4_000_000


def read_run_rows(client: LetsCloud) -> pd.DataFrame:
    """Return the newest runs of the runs folder, of all accounts, with `report`: whether there is one to be shown."""
    import pandas as pd

    rows = runs().head(MAX_RUN_ROWS)
    folders = [Path(each) for each in rows.folder]
    reports = ["yes" if (each / "report.html").is_file() else None for each in folders]
    return rows.assign(
        started=rows.started.dt.strftime("%Y-%m-%d %H:%M:%S").astype("str"),
        duration_s=rows.duration_s.round(1),
        report=pd.Series(reports, index=rows.index, dtype="str"),
    )


def run_sections(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the page shows of a run: its report, its facts and its folder."""
    folder = Path(row["folder"])
    report = read_report(folder.parent, folder.name)
    address = report_address(folder)
    names = {"status": "status", "exit code": "exit_code", "started (UTC)": "started", "seconds": "duration_s",
             "account": "account", "user": "user", "problem": "problem"}  # fmt: skip
    items: list[dict[str, Any]] = [
        {"name": title, "value": str(row[name]) if has_value(row[name]) else MISSING}
        for title, name in names.items()
        if has_value(row[name]) or name != "problem"
    ]
    items += [
        {"name": name, "value": str(row[key]), "copy": True}
        for name, key in (("run", "id"), ("folder", "folder"))
    ]
    shown: dict[str, Any] = {"title": "Report"}
    if address:
        shown["links"] = [{"text": "Open the report in a new tab", "href": address}]
    if report is None:
        shown["note"] = (
            "This run has no report that can be shown here: it has none, or it belongs to another user."
        )
    elif len(report) <= MAX_REPORT_BYTES:
        shown["page"] = report.decode("utf-8", "replace")
    else:
        shown["note"] = (
            f"The report is larger than {MAX_REPORT_BYTES / 1e6:g} MB, so it is not shown inside this page."
        )
    return [{"title": "Run", "items": items}, shown]


class RunsTable(ListingTable):
    """The runs of the runs folder, the newest first. A row opens the report."""

    extra_names = ("folder",)

    def __init__(self, runner: Runner) -> None:
        super().__init__("runs", RUN_COLUMNS, read_run_rows, runner, key="id", opens=True)
        self._frame: pd.DataFrame | None = None
        self.widget.children = [widgets.HTML('<h2 class="lcnb-title">Runs</h2>'), self.tools, self.grid]
        self.grid.on_open(lambda run: runner.spawn(lambda: self._open_run(run)))

    def show(self, frame: pd.DataFrame) -> None:
        """Show the runs."""
        self._frame = frame
        super().show(frame)

    def _open_run(self, run: str) -> None:
        frame = self._frame
        rows = [] if frame is None else frame[frame.id == run].to_dict("records")
        try:
            sections = run_sections({str(name): value for name, value in rows[0].items()}) if rows else []
        except Exception as error:  # ipywidgets would swallow it
            sections = [{"title": "Run", "note": error_message(error)}]
        self.grid.show_details(
            run, sections or [{"title": "Run", "note": "This run is gone."}], complete=True
        )
