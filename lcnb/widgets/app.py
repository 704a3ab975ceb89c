"""`lcnb.admin()`: fleet, forms, account and journal in one widget, in JupyterLab, a notebook, or as a page.

Nothing is read until a part is looked at; each part reads what it needs in a thread. Errors stand where the
person looks. What is shown is never a secret, so the widgets' state may be saved with a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb import look
from lcnb.errors import LcnbError
from lcnb.widgets import specs
from lcnb.widgets.confirm import button
from lcnb.widgets.fleet import KEYS, SNAPSHOTS, Fleet, Table
from lcnb.widgets.forms import Form, told
from lcnb.widgets.runner import Runner, Spawn, thread
from lcnb.widgets.runview import Runbooks
from lcnb.widgets.style import STYLE
from lcnb.widgets.view import FormView, status

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: A part of the app: its title, its widget, and what to do when it is looked at.
Part = tuple[str, Any, Callable[[], None]]
JOURNAL_ROWS = RUNS_ROWS = 50


class Admin:
    """The whole of it. `.widget` is an ipywidgets box; a notebook shows it by itself."""

    def __init__(self, client: LetsCloud, spawn: Spawn = thread) -> None:
        self.client = client
        self.runner = Runner(client, spawn)
        self.fleet = Fleet(self.runner)
        self.forms = {each.name: FormView(Form(each), self.runner) for each in specs.ALL}
        self.keys = Table("ssh keys", KEYS, lambda lc: lc.sshkeys(), self.runner)
        self.snapshots = Table("snapshots", SNAPSHOTS, lambda lc: lc.snapshots(), self.runner)
        self.account, self.journal = Account(self.runner), Journal(self.runner)
        self.runbooks, self.runs = Runbooks(self.runner), Runs(self.runner)
        act = self.forms["act"]
        self.fleet.grid.observe(
            lambda change: act.do(lambda: act.form.put("machines", tuple(change["new"]))), "selected"
        )
        parts: list[Part] = [
            ("Machines", widgets.VBox([self.fleet.widget, act.widget]), self._look_at(self.fleet, act)),
            ("New machine", self.forms["create"].widget, self.forms["create"].start),
            self._several("SSH keys", self.keys, ("add_key", "generate_key", "delete_key")),
            self._several(
                "Snapshots", self.snapshots, ("create_snapshot", "rename_snapshot", "delete_snapshot")
            ),
            (
                "Runbooks",
                widgets.VBox([self.runbooks.widget, self.runs.widget]),
                self._look_at(self.runbooks, self.runs),
            ),
            ("Account", self.account.widget, self.account.refresh),
            ("Journal", self.journal.widget, self.journal.refresh),
        ]
        body = switch(parts, "Parts")
        where = f"{client.settings.account or 'LetsCloud account'} at {client.settings.base_url}"
        title = widgets.HTML(f'{STYLE}<div class="lcnb-head"><span>{escape(where)}</span></div>')
        self.widget = widgets.VBox([title, body])
        self.widget.add_class("lcnb-admin")
        self.runner.on_run.append(self.runs.refresh)
        self.runner.on_change += [self.fleet.refresh, self._refresh_listings]

    def _refresh_listings(self) -> None:
        for each in (self.keys, self.snapshots):
            if each.grid.columns:
                each.refresh()

    def _look_at(self, *parts: Any) -> Callable[[], None]:
        def start() -> None:
            for part in parts:
                part.start()

        return start

    def _several(self, title: str, table: Table, names: Sequence[str]) -> Part:
        forms = [self.forms[name] for name in names]
        below = switch([(each.form.spec.title, each.widget, each.start) for each in forms], title)
        return title, widgets.VBox([table.widget, below]), table.start

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The widget, and for all who cannot show one a text that says nothing of the account."""
        bundle = self.widget._repr_mimebundle_()
        return {**bundle, "text/plain": "lcnb admin: run this cell in Jupyter to see it"}


def switch(parts: Sequence[Part], name: str) -> Any:
    """Parts of which one is shown. Plain buttons: they work by keyboard and in every front end."""
    picks = [button(title) for title, _, _ in parts]
    holders = [widgets.VBox([widget]) for _, widget, _ in parts]
    seen = [False] * len(parts)

    def show(place: int) -> None:
        for number, (pick, holder) in enumerate(zip(picks, holders, strict=True)):
            holder.layout.display = "" if number == place else "none"
            if number == place:
                pick.add_class("lcnb-here")
            else:
                pick.remove_class("lcnb-here")
        if not seen[place] or place > 0:
            seen[place] = True
            parts[place][2]()

    for place, pick in enumerate(picks):
        pick.on_click(lambda _, place=place: show(place))
    nav = widgets.HBox(picks, layout=widgets.Layout(flex_flow="row wrap", grid_gap="6px"))
    nav.add_class("lcnb-nav")
    box = widgets.VBox([nav, *holders])
    show(0)
    return box


class _Panel:
    """HTML that is read beside; an error stands in its place."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.reload = button("Refresh")
        self.reload.on_click(lambda _: self.refresh())
        self.status, self.body = widgets.HTML(status("")), widgets.HTML()
        self.head = widgets.HBox([self.reload, self.status])
        self.widget = widgets.VBox([self.head, self.body])

    def refresh(self) -> None:
        """Read it again."""
        self.status.value = status("reading …")
        self.runner.spawn(self._refresh)

    def _refresh(self) -> None:
        try:
            self.body.value = self.html(self.runner.client)
            self.status.value = status("")
        except BaseException as error:
            self.status.value = status(told(error), alert=True)

    def html(self, lc: LetsCloud) -> str:
        raise NotImplementedError


class Account(_Panel):
    """The holder, the balance, how long it lasts, and the budget of calls."""

    def html(self, lc: LetsCloud) -> str:
        """Profile and key figures."""
        profile, fleet, budget = lc.profile(), lc.inventory(), lc.budget()
        figures: dict[str, object] = {
            "balance": f"{profile.currency or ''} {profile.balance or 0:,.2f}".strip()
        }
        monthly = fleet.groupby("currencycode").monthly_value.sum()
        figures |= {f"{code} a month": f"{value:,.2f}" for code, value in monthly.items()}
        figures["calls that may be sent at once"] = budget.burst
        figures["calls an hour after those"] = f"{budget.an_hour:,.0f}"
        if budget.blocked_s:
            figures["seconds until the next call"] = f"{budget.blocked_s:.0f}"
        warn = ["balance"] if (profile.balance or 0) <= 0 else []
        return look.cards(figures, warn=warn)._repr_html_() + profile._repr_html_()


class Runs(_Panel):
    """The runs that are kept, the newest first, and where their reports are."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.widget.children = [widgets.HTML('<h2 class="lcnb-title">Runs</h2>'), self.head, self.body]

    def start(self) -> None:
        """Read them."""
        self.refresh()

    def html(self, lc: LetsCloud) -> str:
        """The last runs."""
        import pandas as pd

        from lcnb.runbooks.history import runs

        rows = runs().head(RUNS_ROWS)
        reports = [
            str(path) if (path := Path(folder) / "report.html").is_file() else None for folder in rows.folder
        ]
        rows = rows[["runbook", "status", "exit_code", "started", "duration_s", "changes", "attention"]]
        shown = rows.assign(report=pd.Series(reports, index=rows.index, dtype="str"))
        return look.table(shown, empty="No run is kept yet.")._repr_html_()


class Journal(_Panel):
    """What was changed, and what has no outcome yet, with the button that settles it."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.settle = button("Settle what is open")
        self.settle.on_click(lambda _: self._settle())
        self.head.children = [self.reload, self.settle, self.status]
        self._busy = False

    def html(self, lc: LetsCloud) -> str:
        """The last changes, the newest first."""
        rows = lc.journal()
        self.settle.layout.display = "" if len(lc.pending()) else "none"
        names = ["at", "action", "target", "outcome", "detail", "user", "changeset", "request"]
        return look.table(
            rows[names].iloc[::-1].head(JOURNAL_ROWS), empty="Nothing was changed yet."
        )._repr_html_()

    def _settle(self) -> None:
        if not self._busy:
            self._busy = True
            self.status.value = status("looking at the account …")
            self.runner.spawn(self._settled)

    def _settled(self) -> None:
        def progress(ended: int, total: int, text: str) -> None:
            self.status.value = status(f"{ended} of {total} ended – {text}")

        try:
            result = self.runner.client.resume(confirm=True, progress=progress)
            counts = result.outcome.value_counts()
            text = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing was open"
            self.body.value = self.html(self.runner.client)
            self.status.value = status(text)
        except BaseException as error:
            self.status.value = status(told(error), alert=True)
        finally:
            self._busy = False


class Unavailable:
    """What `admin` gives where there is no account to show: the reason, where the person looks."""

    def __init__(self, error: LcnbError) -> None:
        advice = "Without an account: lcnb admin --sandbox, or lcnb.admin(sandbox=True)."
        self.widget = widgets.HTML(f"{STYLE}{status(f'{told(error)} {advice}', alert=True)}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**self.widget._repr_mimebundle_(), "text/plain": "lcnb admin: no account"}


def admin(
    client: LetsCloud | None = None, *, account: str | None = None, sandbox: bool = False
) -> Admin | Unavailable:
    """The account to look at and to change, without code: a widget for a notebook cell.

    Args:
        client: a client that you have; without it `lcnb.connect(account, sandbox=sandbox)` makes one.
        account: an account of lcnb.toml.
        sandbox: a made-up account on this machine.

    Every change is shown before it is made, confirmed by a click (what cannot be undone: by typing its label),
    made once and written into the journal. Where there is no token the widget says so.

    >>> import lcnb
    >>> lcnb.admin(sandbox=True).client.settings.account is None
    True
    """
    if client is None:
        from lcnb.client import connect

        try:
            client = connect(account, sandbox=sandbox)
        except LcnbError as error:
            return Unavailable(error)
    return Admin(client)
