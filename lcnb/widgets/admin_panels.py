"""The panels of the admin app that only show HTML: account, and the journal with its *Settle* button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.display import panels, tables
from lcnb.widgets.elements import make_button, status_html
from lcnb.widgets.form_messages import count_outcomes, error_message
from lcnb.widgets.runner import OneAtATime, Runner

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: Rows of the journal that the panel shows.
MAX_JOURNAL_ROWS = 50


class HtmlPanel:
    """HTML that is read in a thread; an error is shown in its place."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.reload = make_button("Refresh")
        self.reload.on_click(lambda _: self.refresh())
        self.status, self.body = widgets.HTML(status_html("")), widgets.HTML()
        self.head = widgets.HBox([self.reload, self.status])
        self.widget: Any = widgets.VBox([self.head, self.body])
        #: Reads it again.
        self.refresh: OneAtATime = OneAtATime(runner.spawn, self._read_html)

    def _read_html(self) -> None:
        self.status.value = status_html("reading …")
        try:
            self.body.value = self.html(self.runner.client)
            self.status.value = status_html("")
        except BaseException as error:
            self.status.value = status_html(error_message(error), alert=True)

    def html(self, lc: LetsCloud) -> str:
        """Return the HTML to show."""
        raise NotImplementedError


class AccountPanel(HtmlPanel):
    """The holder, the balance, the cost per month, and the budget of calls."""

    def html(self, lc: LetsCloud) -> str:
        """Return key figures and the profile."""
        profile, fleet, budget = lc.profile(), lc.inventory(), lc.budget()
        figures: dict[str, object] = {
            "balance": f"{profile.currency or ''} {profile.balance or 0:,.2f}".strip()
        }
        monthly = fleet.groupby("currencycode").monthly_value.sum()
        figures |= {f"{code} per month": f"{value:,.2f}" for code, value in monthly.items()}
        figures["calls allowed at once"] = budget.burst
        figures["calls per hour after that"] = f"{budget.calls_per_hour:,.0f}"
        if budget.blocked_s:
            figures["seconds until the next call"] = f"{budget.blocked_s:.0f}"
        warn = ["balance"] if (profile.balance or 0) <= 0 else []
        return panels.cards(figures, warn=warn)._repr_html_() + (profile._repr_html_() or "")


class JournalPanel(HtmlPanel):
    """The journal of changes, with a button that settles changes without an outcome."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.settle = make_button("Settle open changes")
        settle = OneAtATime(runner.spawn, self._settle_changes)
        self.settle.on_click(lambda _: settle())
        #: What the button did; the status line belongs to reading the journal.
        self.settled = widgets.HTML(status_html(""))
        self.head.children = [self.reload, self.settle, self.status, self.settled]

    def html(self, lc: LetsCloud) -> str:
        """Return the latest changes as a table, the newest first."""
        rows = lc.journal()
        self.settle.layout.display = "" if len(lc.pending()) else "none"
        names = ["at", "action", "target", "outcome", "detail", "user", "changeset", "request"]
        return tables.table(
            rows[names].iloc[::-1].head(MAX_JOURNAL_ROWS), empty="Nothing was changed yet."
        )._repr_html_()

    def _settle_changes(self) -> None:
        def progress(ended: int, total: int, text: str) -> None:
            self.settled.value = status_html(f"{ended} of {total} ended – {text}")

        self.settled.value = status_html("checking the account …")
        try:
            result = self.runner.client.resume(confirm=True, progress=progress)
            self.settled.value = status_html(count_outcomes(list(result.outcome)))
            self.refresh()
        except BaseException as error:
            self.settled.value = status_html(error_message(error), alert=True)
