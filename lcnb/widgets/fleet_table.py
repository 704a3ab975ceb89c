"""The machines on the screen: key figures, the table with its bar of actions, charts, and the initial password."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.changes.actions import ACTIONS
from lcnb.display import charts, markup, palette, panels
from lcnb.widgets.auto_refresh import AutoRefresh, budget_interval
from lcnb.widgets.elements import make_button, status_html
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.form_specs import ACTION_TITLES
from lcnb.widgets.listings import ListingTable, TableColumn
from lcnb.widgets.machine_details import base_sections, read_sections
from lcnb.widgets.runner import Runner
from lcnb.widgets.secretbox import SecretBox

if TYPE_CHECKING:
    import pandas as pd

#: States that end by themselves.
CHANGING_STATES = ("building", "busy")
PROTECTED_HELP = "lcnb refuses to power off, shut down, resize, reset or delete this machine"
MACHINE_COLUMNS = (
    TableColumn("label", "label", mark={"name": "protected", "title": "protected", "help": PROTECTED_HELP}),
    TableColumn("state", "state", "state"),
    TableColumn("location", "location"),
    TableColumn("plan", "plan"),
    TableColumn("monthly_value", "per month", "money", unit="currencycode", per="per month"),
    TableColumn("tags", "tags", "tags", optional=True),
    TableColumn("expires", "expires", "time", optional=True),
    TableColumn("ipv4", "IPv4"),
    TableColumn("owner", "owner", optional=True),
    TableColumn("cpus", "CPUs"),
    TableColumn("memory", "memory MB"),
    TableColumn("total_disk_size", "disk GB"),
    TableColumn("note", "note", optional=True),
    TableColumn("identifier", "identifier"),
)
MACHINE_MENUS = [
    {"name": "state", "title": "state", "none": "state unknown"},
    {"name": "location", "title": "location", "none": "location unknown"},
    {"name": "plan", "title": "plan", "none": "plan unknown"},
    {"name": "tags", "title": "tag", "none": "no tag"},
    {
        "name": "protected",
        "title": "protection",
        "none": "protection unknown",
        "needs": "yes",
        "titles": {"yes": "protected", "no": "not protected"},
    },
]
#: The name of the action that opens the form for facts; the others are those of ACTION_TITLES.
FACTS_ACTION = "facts"
#: Action → its text in the bar. An ellipsis means that a form asks for more.
BAR_TITLES = {
    "power_on": "Power on",
    "shutdown": "Shut down",
    "power_off": "Power off",
    "reboot": "Reboot",
    "snapshot": "Snapshot …",
    "change_plan": "Change plan …",
    "reset_password": "Reset password …",
    FACTS_ACTION: "Tags and facts …",
    "delete": "Delete …",
}
#: Actions of the bar whose change has another name.
CHANGE_NAMES = {"shutdown": "shut down", "snapshot": "create snapshot", "delete": "delete instance"}
#: What the bar says after "web-01 is protected."
BLOCKED_TEXT = "Lift the protection with “Tags and facts …” to enable all actions."


def bar_actions() -> list[dict[str, Any]]:
    """Return the actions of the bar as the grid takes them."""
    return [
        {"name": name, "title": title, "danger": name == "delete", "blocked": is_refused_when_protected(name)}
        for name, title in BAR_TITLES.items()
        if name in ACTION_TITLES or name == FACTS_ACTION
    ]


def is_refused_when_protected(name: str) -> bool:
    """Whether an action of the bar is refused while a machine is protected, as its change states.

    >>> is_refused_when_protected("delete"), is_refused_when_protected("reboot")
    (True, False)
    """
    action = ACTIONS.get(CHANGE_NAMES.get(name, name.replace("_", " ")))
    return action is not None and action.refused_when_protected


class FleetTable(ListingTable):
    """The machines: key figures, table, charts of states and cost, and a button that shows a root password."""

    extra_names = ("currencycode", "protected")

    def __init__(self, runner: Runner) -> None:
        super().__init__(
            "machines", MACHINE_COLUMNS, lambda lc: lc.inventory(), runner, key="identifier", ticks=True,
            menus=MACHINE_MENUS, actions=bar_actions(), blocked_text=BLOCKED_TEXT,
            hint="Tick machines to change them; Shift ticks all rows in between. A click on a row, or Enter, opens it.",
            opens=True,
        )  # fmt: skip
        self.reveal = make_button("Show initial password")
        self.reveal.on_click(lambda _: runner.spawn(self._reveal_password))
        #: Why the password cannot be shown; the status line belongs to reading the listing.
        self.revealed = widgets.HTML(status_html(""))
        self.grid.observe(lambda _: setattr(self.revealed, "value", status_html("")), "selected")
        self.secret = SecretBox()
        #: Forms for the ticked machines, above the table.
        self.desk = widgets.VBox([])
        self.desk.add_class("lcnb-desk")
        self.charts = widgets.HTML()
        self._frame: pd.DataFrame | None = None
        self._last_rows: list[Any] = []
        self._auto = AutoRefresh(self.refresh_quietly, runner.later)
        runner.on_begin.append(self._follow_change)
        self.grid.on_open(lambda identifier: runner.spawn(lambda: self._open_machine(identifier)))
        self.tools.children = [self.reload, self.reveal, self.status, self.revealed]
        self.widget.children = [self.head, self.tools, self.secret, self.desk, self.grid, self.charts]

    def show(self, frame: pd.DataFrame) -> None:
        """Show the table at once, then the charts, which take longer."""
        self._frame = frame
        super().show(frame.sort_values("label", na_position="last"))
        self.head.value = _cards_html(frame, datetime.now(UTC))
        # Drawing closes them: not while somebody may look at them.
        if not self.is_changing() or not self.charts.value:
            self.charts.value = _charts_html(frame) if len(frame) else ""

    def is_changing(self) -> bool:
        """Whether a machine is in a state that ends by itself, or a change of this page is being applied."""
        frame = self._frame
        return self.runner.is_changing or (
            frame is not None and bool(frame.state.isin(CHANGING_STATES).any())
        )

    def after_reading(self, frame: pd.DataFrame) -> str:
        """Plan the next reading if something is changing, and return what is said about it."""
        before, self._last_rows = self._last_rows, self.grid.rows
        return self._auto.after_reading(
            changing=self.is_changing(), same=before == self._last_rows, least_s=self._least_interval()
        )

    def after_error(self) -> str:
        """Plan another attempt if something was changing, and return what is said about it."""
        return self._auto.after_error(changing=self.is_changing(), least_s=self._least_interval())

    def _least_interval(self) -> float:
        return budget_interval(self.runner.client.budget())

    def _follow_change(self) -> None:
        """Follow a change that has begun, if the machines were read before."""
        if self._frame is not None:
            note = self._auto.after_change(least_s=self._least_interval())
            self.grid.reading = {**self.grid.reading, "note": note}

    def _open_machine(self, identifier: str) -> None:
        """Fill the dialog of a machine: first what the table has, then journal, snapshots and history."""
        frame = self._frame
        rows = [] if frame is None else frame[frame.identifier == identifier].to_dict("records")
        if not rows:
            gone = {"title": "Machine", "note": "This machine is no longer in the account."}
            self.grid.show_details(identifier, [gone], complete=True)
            return
        row = {str(name): value for name, value in rows[0].items()}
        sections = []
        try:
            sections += base_sections(row)
            self.grid.show_details(identifier, sections, complete=False)
            sections += read_sections(self.runner.client, row)
        except Exception as error:  # ipywidgets would swallow it
            sections.append({"title": "Error", "note": error_message(error)})
        self.grid.show_details(identifier, sections, complete=True)

    def _reveal_password(self) -> None:
        picked = list(self.grid.selected)
        if len(picked) != 1:
            self.revealed.value = status_html("tick one machine to see its initial password", alert=True)
            return
        try:
            label = next(row["label"] for row in self.grid.rows if row["identifier"] == picked[0])
            self.secret.show(
                f"Initial password of {label}", self.runner.client.reveal(identifier=picked[0]).reveal()
            )
            self.revealed.value = status_html("")
        except Exception as error:
            self.revealed.value = status_html(error_message(error), alert=True)


def _cards_html(frame: pd.DataFrame, now: datetime) -> str:
    """Return the key figures above the table; those that ask for attention have a colored edge.

    Machines without a price are counted, because the sums of the prices do not contain them.
    """
    figures: dict[str, object] = {
        "machines": len(frame),
        "running": int((frame.state == "running").sum()),
    }
    monthly = frame.groupby("currencycode").monthly_value.sum()
    figures |= {f"{code} per month": f"{value:,.2f}" for code, value in monthly.items()}
    counts = {
        "without a price": int(frame.monthly_value.isna().sum()),
        "protected": int(frame.protected.fillna(False).sum()),
        "expired": int((frame.expires <= now).sum()),
    }
    figures |= {name: count for name, count in counts.items() if count}
    warn = [name for name in ("without a price", "expired") if counts[name]]
    return panels.cards(figures, warn=warn)._repr_html_()


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
