"""`lcnb.admin()`: fleet, forms, account and journal in one widget, in JupyterLab, a notebook, or as a page.

Nothing is read until a part is looked at; each part reads what it needs in a thread. Errors stand where the
person looks. What is shown is never a secret, so the widgets' state may be saved with a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.display import charts
from lcnb.errors import LcnbError
from lcnb.flags import NOTHING_STARTED, checked_flag
from lcnb.widgets import form_specs
from lcnb.widgets.confirm_panel import button
from lcnb.widgets.form import Form, told
from lcnb.widgets.form_view import FormView, status
from lcnb.widgets.listings import KEYS, SNAPSHOTS, Fleet, Table
from lcnb.widgets.page_sync import Arrival
from lcnb.widgets.runbook_view import Runbooks
from lcnb.widgets.runner import OneAtATime, Runner, Spawn, thread
from lcnb.widgets.style import STYLE

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: A part of the app: its title, what makes its widget, and what to do whenever it is looked at.
Part = tuple[str, Callable[[], Any], Callable[[], None]]
JOURNAL_ROWS = RUNS_ROWS = 50


class Admin:
    """The whole of it. `.widget` is an ipywidgets box; a notebook shows it by itself.

    A part is made when it is first looked at: a page asks for every widget that there is before it shows any.
    """

    def __init__(self, client: LetsCloud, spawn: Spawn = thread) -> None:
        self.client = client
        self.runner = Runner(client, spawn)
        self._forms: dict[str, FormView] = {}
        parts: list[Part] = [
            ("Machines", self._machines, self._look_at_machines),
            self._form_part("create"),
            ("SSH keys", self._keys, lambda: self.keys.start()),
            ("Snapshots", self._snapshots, lambda: self.snapshots.start()),
            ("Runbooks", self._runbooks, self._look_at_runbooks),
            ("Account", lambda: self.account.widget, lambda: self.account.refresh()),
            ("Journal", lambda: self.journal.widget, lambda: self.journal.refresh()),
        ]
        where = f"{client.settings.account or 'LetsCloud account'} at {client.settings.base_url}"
        title = widgets.HTML(f'{STYLE}<div class="lcnb-head"><span>{escape(where)}</span></div>')
        self.widget = Arrival().within(title, switch(parts))
        self.widget.add_class("lcnb-admin")

    @cached_property
    def fleet(self) -> Fleet:
        """The machines."""
        made = Fleet(self.runner)
        act = self.form("act")
        made.grid.observe(
            lambda change: act.do(lambda: act.form.put("machines", tuple(change["new"]))), "selected"
        )
        self.runner.on_change.append(made.refresh)
        return made

    @cached_property
    def keys(self) -> Table:
        """The ssh keys."""
        return self._kept(Table("ssh keys", KEYS, lambda lc: lc.sshkeys(), self.runner))

    @cached_property
    def snapshots(self) -> Table:
        """The snapshots."""
        return self._kept(Table("snapshots", SNAPSHOTS, lambda lc: lc.snapshots(), self.runner))

    @cached_property
    def account(self) -> Account:
        """Holder, balance, budget."""
        return Account(self.runner)

    @cached_property
    def journal(self) -> Journal:
        """What was changed."""
        return Journal(self.runner)

    @cached_property
    def runbooks(self) -> Runbooks:
        """A form for each runbook."""
        return Runbooks(self.runner)

    @cached_property
    def runs(self) -> Runs:
        """The runs that are kept."""
        made = Runs(self.runner)
        self.runner.on_run.append(made.refresh)
        return made

    def form(self, name: str) -> FormView:
        """A form, by the name of its spec; made when it is first asked for."""
        if name not in self._forms:
            self._forms[name] = FormView(Form(form_specs.NAMED[name]), self.runner)
        return self._forms[name]

    def _kept(self, table: Table) -> Table:
        self.runner.on_change.append(table.refresh)
        return table

    def _machines(self) -> Any:
        return widgets.VBox([self.fleet.widget, self.form("act").widget])

    def _look_at_machines(self) -> None:
        self.fleet.start()
        self.form("act").start()

    def _look_at_runbooks(self) -> None:
        self.runbooks.start()
        self.runs.start()

    def _keys(self) -> Any:
        return self._several(self.keys, "add_key", "generate_key", "delete_key")

    def _snapshots(self) -> Any:
        return self._several(self.snapshots, "create_snapshot", "rename_snapshot", "delete_snapshot")

    def _runbooks(self) -> Any:
        return widgets.VBox([self.runbooks.widget, self.runs.widget])

    def _several(self, table: Table, *names: str) -> Any:
        """A listing, and below it one of several forms."""
        return widgets.VBox([table.widget, switch([self._form_part(each) for each in names])])

    def _form_part(self, name: str) -> Part:
        title = form_specs.NAMED[name].title
        return title, lambda: self.form(name).widget, lambda: self.form(name).start()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The widget, and for all who cannot show one a text that says nothing of the account."""
        bundle = self.widget._repr_mimebundle_()
        return {**bundle, "text/plain": "lcnb admin: run this cell in Jupyter to see it"}


def switch(parts: Sequence[Part]) -> Any:
    """Parts of which one is shown. Plain buttons: they work by keyboard and in every front end."""
    picks = [button(title) for title, _, _ in parts]
    holders = [widgets.VBox([]) for _ in parts]

    def show(place: int) -> None:
        for number, (pick, holder) in enumerate(zip(picks, holders, strict=True)):
            if number == place:
                holder.children = holder.children or (parts[place][1](),)
                pick.add_class("lcnb-here")
            else:
                pick.remove_class("lcnb-here")
            holder.layout.display = "" if number == place else "none"
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
        self.widget: Any = widgets.VBox([self.head, self.body])
        #: Read it again.
        self.refresh: OneAtATime = OneAtATime(runner.spawn, self._refresh)

    def _refresh(self) -> None:
        self.status.value = status("reading …")
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
        return charts.cards(figures, warn=warn)._repr_html_() + profile._repr_html_()


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

        from lcnb.runbooks.records.history import runs

        rows = runs().head(RUNS_ROWS)
        reports = [
            str(path) if (path := Path(folder) / "report.html").is_file() else None for folder in rows.folder
        ]
        rows = rows[["runbook", "status", "exit_code", "started", "duration_s", "changes", "attention"]]
        shown = rows.assign(report=pd.Series(reports, index=rows.index, dtype="str"))
        return charts.table(shown, empty="No run is kept yet.")._repr_html_()


class Journal(_Panel):
    """What was changed, and what has no outcome yet, with the button that settles it."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.settle = button("Settle what is open")
        settle = OneAtATime(runner.spawn, self._settle)
        self.settle.on_click(lambda _: settle())
        #: What the button did; a journal that is read meanwhile has its own status.
        self.settled = widgets.HTML(status(""))
        self.head.children = [self.reload, self.settle, self.status, self.settled]

    def html(self, lc: LetsCloud) -> str:
        """The last changes, the newest first."""
        rows = lc.journal()
        self.settle.layout.display = "" if len(lc.pending()) else "none"
        names = ["at", "action", "target", "outcome", "detail", "user", "changeset", "request"]
        return charts.table(
            rows[names].iloc[::-1].head(JOURNAL_ROWS), empty="Nothing was changed yet."
        )._repr_html_()

    def _settle(self) -> None:
        def progress(ended: int, total: int, text: str) -> None:
            self.settled.value = status(f"{ended} of {total} ended – {text}")

        self.settled.value = status("looking at the account …")
        try:
            result = self.runner.client.resume(confirm=True, progress=progress)
            counts = result.outcome.value_counts()
            text = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing was open"
            self.settled.value = status(text)
            self.refresh()
        except BaseException as error:
            self.settled.value = status(told(error), alert=True)


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
    checked_flag("sandbox", sandbox, NOTHING_STARTED)
    if client is None:
        from lcnb.client import connect

        try:
            client = connect(account, sandbox=sandbox)
        except LcnbError as error:
            return Unavailable(error)
    return Admin(client)
