"""`lcnb.admin()`: fleet, forms, account and journal in one widget, in JupyterLab, a notebook, or as a page.

A part reads its data in a thread when it is first shown, and errors appear in the part that they concern. No secret is
displayed, so the widgets' state may be saved with a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.errors import LcnbError
from lcnb.flags import checked_flag
from lcnb.widgets import form_specs
from lcnb.widgets.admin_panels import AccountPanel, JournalPanel, RunsPanel
from lcnb.widgets.elements import make_button, status_html
from lcnb.widgets.form import Form
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.form_view import FormView
from lcnb.widgets.listings import KEY_TITLES, SNAPSHOT_TITLES, FleetTable, ListingTable
from lcnb.widgets.page_sync import PageSync
from lcnb.widgets.runbook_view import RunbookPicker
from lcnb.widgets.runner import Runner, Spawn, run_in_thread
from lcnb.widgets.style import STYLE

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: A part of the app: its title, what makes its widget, and what to do whenever it is looked at.
AppPart = tuple[str, Callable[[], Any], Callable[[], None]]


class AdminApp:
    """The whole of it. `.widget` is an ipywidgets box; a notebook shows it by itself.

    A part is made when it is first looked at: a page asks for every widget that there is before it shows any.
    """

    def __init__(self, client: LetsCloud, spawn: Spawn = run_in_thread) -> None:
        self.client = client
        self.runner = Runner(client, spawn)
        self._forms: dict[str, FormView] = {}
        parts: list[AppPart] = [
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
        self.widget = PageSync().within(title, make_switcher(parts))
        self.widget.add_class("lcnb-admin")

    @cached_property
    def fleet(self) -> FleetTable:
        """The machines."""
        made = FleetTable(self.runner)
        act = self.form("act")
        made.grid.observe(
            lambda change: act.do(lambda: act.form.put("machines", tuple(change["new"]))), "selected"
        )
        self.runner.on_change.append(made.refresh)
        return made

    @cached_property
    def keys(self) -> ListingTable:
        """The ssh keys."""
        return self._kept(ListingTable("ssh keys", KEY_TITLES, lambda lc: lc.sshkeys(), self.runner))

    @cached_property
    def snapshots(self) -> ListingTable:
        """The snapshots."""
        return self._kept(ListingTable("snapshots", SNAPSHOT_TITLES, lambda lc: lc.snapshots(), self.runner))

    @cached_property
    def account(self) -> AccountPanel:
        """Holder, balance, budget."""
        return AccountPanel(self.runner)

    @cached_property
    def journal(self) -> JournalPanel:
        """What was changed."""
        return JournalPanel(self.runner)

    @cached_property
    def runbooks(self) -> RunbookPicker:
        """A form for each runbook."""
        return RunbookPicker(self.runner)

    @cached_property
    def runs(self) -> RunsPanel:
        """The runs that are kept."""
        made = RunsPanel(self.runner)
        self.runner.on_run.append(made.refresh)
        return made

    def form(self, name: str) -> FormView:
        """A form, by the name of its spec; made when it is first asked for."""
        if name not in self._forms:
            self._forms[name] = FormView(Form(form_specs.SPECS_BY_NAME[name]), self.runner)
        return self._forms[name]

    def _kept(self, table: ListingTable) -> ListingTable:
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

    def _several(self, table: ListingTable, *names: str) -> Any:
        """A listing, and below it one of several forms."""
        return widgets.VBox([table.widget, make_switcher([self._form_part(each) for each in names])])

    def _form_part(self, name: str) -> AppPart:
        title = form_specs.SPECS_BY_NAME[name].title
        return title, lambda: self.form(name).widget, lambda: self.form(name).start()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The widget, and for all who cannot show one a text that says nothing of the account."""
        bundle = self.widget._repr_mimebundle_()
        return {**bundle, "text/plain": "lcnb admin: run this cell in Jupyter to see it"}


def make_switcher(parts: Sequence[AppPart]) -> Any:
    """Parts of which one is shown. Plain buttons: they work by keyboard and in every front end."""
    picks = [make_button(title) for title, _, _ in parts]
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


class AdminUnavailable:
    """What `admin` gives where there is no account to show: the reason, where the person looks."""

    def __init__(self, error: LcnbError) -> None:
        advice = "Without an account: lcnb admin --sandbox, or lcnb.admin(sandbox=True)."
        self.widget = widgets.HTML(f"{STYLE}{status_html(f'{error_message(error)} {advice}', alert=True)}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**self.widget._repr_mimebundle_(), "text/plain": "lcnb admin: no account"}


def admin(
    client: LetsCloud | None = None, *, account: str | None = None, sandbox: bool = False
) -> AdminApp | AdminUnavailable:
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
    checked_flag("sandbox", sandbox, not_done="started")
    if client is None:
        from lcnb.client import connect

        try:
            client = connect(account, sandbox=sandbox)
        except LcnbError as error:
            return AdminUnavailable(error)
    return AdminApp(client)
