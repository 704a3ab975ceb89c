"""Listings on the screen: the fleet with its key figures and charts, and the smaller tables of keys and snapshots."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.display import charts, markup, palette, panels
from lcnb.errors import DriftWarning
from lcnb.widgets.choices import has_value
from lcnb.widgets.elements import make_button, status_html
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.grid import Grid
from lcnb.widgets.runner import OneAtATime, Runner
from lcnb.widgets.secretbox import SecretBox

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud

logger = logging.getLogger("lcnb.widgets")

#: Column → title in the table of machines.
MACHINE_TITLES = {
    "label": "label",
    "state": "state",
    "location": "location",
    "plan": "plan",
    "cpus": "CPUs",
    "memory": "memory MB",
    "total_disk_size": "disk GB",
    "monthly_value": "per month",
    "currencycode": "currency",
    "ipv4": "IPv4",
    "identifier": "identifier",
}
KEY_TITLES = {"slug": "slug", "title": "title", "public_key": "public key"}
SNAPSHOT_TITLES = {
    "label": "label",
    "size": "size GB",
    "os_reference": "system",
    "build": "ready",
    "slug": "slug",
}


class ListingTable:
    """A listing that is read in a thread of the runner; `refresh` keeps ticked rows ticked."""

    def __init__(
        self,
        name: str,
        titles: Mapping[str, str],
        read: Callable[[LetsCloud], pd.DataFrame],
        runner: Runner,
        *,
        key: str = "slug",
        ticks: bool = False,
    ) -> None:
        self.runner, self._read, self._titles = runner, read, titles
        self.grid = Grid(name=name, key=key, ticks=ticks, colors=palette.STATE_COLORS)
        self.reload = make_button("Refresh")
        self.reload.on_click(lambda _: self.refresh())
        self.status = widgets.HTML(status_html(""))
        self.head = widgets.HTML()
        self.widget = widgets.VBox([self.head, widgets.HBox([self.reload, self.status]), self.grid])
        self._reading = OneAtATime(runner.spawn, self._read_frame)
        self._read_once = False

    def start(self) -> None:
        """Read the listing, the first time only."""
        if not self._read_once:
            self.refresh()

    def refresh(self) -> None:
        """Read the listing again, in the background."""
        self._read_once = True
        self._reading()

    def _read_frame(self) -> None:
        self.status.value = status_html("reading …")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", DriftWarning)
                frame = self._read(self.runner.client)
            self.show(frame)
            odd = [str(each.message) for each in caught if issubclass(each.category, DriftWarning)]
            self.status.value = status_html(odd[0] if odd else "", alert=bool(odd))
        except BaseException as error:
            logger.info("a listing could not be read: %s", type(error).__name__)
            self.status.value = status_html(error_message(error), alert=True)

    def show(self, frame: pd.DataFrame) -> None:
        """Show a frame, and untick rows that no longer exist."""
        columns = [
            {
                "name": name,
                "title": title,
                "number": bool(frame[name].dtype.kind in "iuf"),
                "money": name == "monthly_value",
            }
            for name, title in self._titles.items()
        ]
        rows = [{name: json_cell(row[name]) for name in self._titles} for row in frame.to_dict("records")]
        keys = {row[self.grid.key] for row in rows}
        self.grid.columns, self.grid.rows = columns, rows
        self.grid.selected = [each for each in self.grid.selected if each in keys]


def json_cell(value: Any) -> Any:
    """Return a cell as a JSON value; a missing one is null."""
    if not has_value(value):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, int | float | str) else str(value)


class FleetTable(ListingTable):
    """The machines: key figures, table, charts of states and cost, and a button that shows a root password."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(
            "machines", MACHINE_TITLES, lambda lc: lc.inventory(), runner, key="identifier", ticks=True
        )
        self.reveal = make_button("Show initial password")
        self.reveal.on_click(lambda _: runner.spawn(self._reveal_password))
        #: Why the password cannot be shown; the status line belongs to reading the listing.
        self.revealed = widgets.HTML(status_html(""))
        self.grid.observe(lambda _: setattr(self.revealed, "value", status_html("")), "selected")
        self.secret = SecretBox()
        self.charts = widgets.HTML()
        buttons = widgets.HBox([self.reload, self.reveal, self.status, self.revealed])
        self.widget.children = [self.head, buttons, self.secret, self.grid, self.charts]

    def show(self, frame: pd.DataFrame) -> None:
        """Show the table at once, then the charts, which take longer."""
        super().show(frame.sort_values("label", na_position="last"))
        figures: dict[str, object] = {
            "machines": len(frame),
            "running": int((frame.state == "running").sum()),
        }
        monthly = frame.groupby("currencycode").monthly_value.sum()
        figures |= {f"{code} per month": f"{value:,.2f}" for code, value in monthly.items()}
        self.head.value = panels.cards(figures)._repr_html_()
        self.charts.value = _charts_html(frame) if len(frame) else ""

    def _reveal_password(self) -> None:
        picked = list(self.grid.selected)
        if len(picked) != 1:
            self.revealed.value = status_html("tick one machine to see its initial password", alert=True)
            return
        try:
            label = next(row["label"] for row in self.grid.rows if row["identifier"] == picked[0])
            self.secret.show(f"Initial password of {label}", self.runner.client.reveal(picked[0]).reveal())
            self.revealed.value = status_html("")
        except Exception as error:
            self.revealed.value = status_html(error_message(error), alert=True)


def _charts_html(frame: pd.DataFrame) -> str:
    states = frame.groupby("state").size()
    states = states.reindex([each for each in palette.STATE_COLORS if each in states.index])
    parts = [charts.bar_chart(states, "Machines by state")]
    for code, rows in frame.dropna(subset=["currencycode"]).groupby("currencycode"):
        cost = rows.groupby("location").monthly_value.sum().sort_values(ascending=False)
        parts.append(charts.bar_chart(cost, "Cost per month by location", unit=str(code), decimals=2))
    body = "".join(part._html for part in parts)
    title = escape("Charts of state and cost")
    return (
        f'{markup.HTML_STYLE}<details class="lcnb lcnb-pictures"><summary>{title}</summary>{body}</details>'
    )
