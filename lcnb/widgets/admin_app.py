"""`lcnb.admin()`: fleet, forms, account and journal in one widget, in JupyterLab, a notebook, or as a page.

A part reads its data in a thread when it is first shown, and errors appear in the part that they concern. No secret is
displayed, so the widgets' state may be saved with a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ipywidgets as widgets

from lcnb.errors import LcnbError
from lcnb.flags import checked_flag
from lcnb.runbooks.notebook.find import notebooks_folder
from lcnb.widgets import form_specs
from lcnb.widgets.account_head import AccountHead
from lcnb.widgets.action_desk import FORM_NAMES, ActionDesk
from lcnb.widgets.admin_panels import AccountPanel, JournalPanel
from lcnb.widgets.auto_refresh import Later
from lcnb.widgets.elements import make_button, status_html
from lcnb.widgets.facts_form import FactsForm
from lcnb.widgets.facts_view import FactsView
from lcnb.widgets.fleet_table import FACTS_ACTION, FleetTable
from lcnb.widgets.form import Form
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.form_view import FormView
from lcnb.widgets.listings import KEY_COLUMNS, SNAPSHOT_COLUMNS, ListingTable
from lcnb.widgets.page_sync import PageSync
from lcnb.widgets.runbook_view import RunbookPicker
from lcnb.widgets.runner import Runner, Spawn, run_in_thread
from lcnb.widgets.runs_table import RunsTable
from lcnb.widgets.style import STYLE

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

Table = TypeVar("Table", bound=ListingTable)
#: A part of the app: its title, a function that makes its widget, and one to call whenever it is shown.
AppPart = tuple[str, Callable[[], Any], Callable[[], None]]


class AdminApp:
    """The admin app. `.widget` is an ipywidgets box; a notebook cell displays the app itself.

    A part is created when it is first shown, because a page requests every existing widget before it shows any.
    """

    def __init__(
        self,
        client: LetsCloud,
        spawn: Spawn = run_in_thread,
        later: Later | None = None,
        notebooks: Path | None = None,
    ) -> None:
        self.client = client
        self._notebooks = notebooks
        self.runner = Runner(client, spawn, later)
        self._forms: dict[str, FormView] = {}
        parts: list[AppPart] = [
            ("Machines", self._machines_part, self._show_machines),
            self._form_part("create"),
            ("SSH keys", self._keys_part, lambda: self.keys.start()),
            ("Snapshots", self._snapshots_part, lambda: self.snapshots.start()),
            ("Runbooks", self._runbooks_part, self._show_runbooks),
            ("Account", lambda: self.account.widget, lambda: self.account.refresh()),
            ("Journal", lambda: self.journal.widget, lambda: self.journal.refresh()),
        ]
        self.head = AccountHead(self.runner)
        self.widget = PageSync().wrap_widgets(self.head.widget, make_switcher(parts))
        self.widget.add_class("lcnb-admin")

    @cached_property
    def fleet(self) -> FleetTable:
        """The table of machines."""
        return self._refreshed_on_change(FleetTable(self.runner))

    @cached_property
    def desk(self) -> ActionDesk:
        """The forms for the ticked machines."""
        return ActionDesk(self.fleet, self.form)

    @cached_property
    def keys(self) -> ListingTable:
        """The table of SSH keys."""
        return self._refreshed_on_change(
            ListingTable("ssh keys", KEY_COLUMNS, lambda lc: lc.sshkeys(), self.runner)
        )

    @cached_property
    def snapshots(self) -> ListingTable:
        """The table of snapshots."""
        return self._refreshed_on_change(
            ListingTable("snapshots", SNAPSHOT_COLUMNS, lambda lc: lc.snapshots(), self.runner)
        )

    @cached_property
    def account(self) -> AccountPanel:
        """The panel with holder, balance and budget."""
        return AccountPanel(self.runner)

    @cached_property
    def journal(self) -> JournalPanel:
        """The panel with the journal of changes."""
        return JournalPanel(self.runner)

    @cached_property
    def runbooks(self) -> RunbookPicker:
        """The part with a form for each runbook."""
        return RunbookPicker(self.runner, self._notebooks)

    @cached_property
    def runs(self) -> RunsTable:
        """The table of runs."""
        table = RunsTable(self.runner)
        self.runner.on_run.append(table.refresh)
        return table

    def form(self, name: str) -> FormView:
        """Return the form with this name of a spec; the first call creates it."""
        if name not in self._forms:
            close = self.desk.leave if name in FORM_NAMES else None
            if name == FACTS_ACTION:
                self._forms[name] = FactsView(FactsForm(lambda: self.fleet.grid.rows), self.runner, close)
            else:
                self._forms[name] = FormView(Form(form_specs.SPECS_BY_NAME[name]), self.runner, close)
        return self._forms[name]

    def _refreshed_on_change(self, table: Table) -> Table:
        self.runner.on_change.append(table.refresh)
        return table

    def _machines_part(self) -> Any:
        return self.desk.table.widget

    def _show_machines(self) -> None:
        self.fleet.start()

    def _show_runbooks(self) -> None:
        self.runbooks.start()
        self.runs.start()

    def _keys_part(self) -> Any:
        return self._table_with_forms(self.keys, "add_key", "generate_key", "delete_key")

    def _snapshots_part(self) -> Any:
        return self._table_with_forms(self.snapshots, "create_snapshot", "rename_snapshot", "delete_snapshot")

    def _runbooks_part(self) -> Any:
        return widgets.VBox([self.runbooks.widget, self.runs.widget])

    def _table_with_forms(self, table: ListingTable, *names: str) -> Any:
        """Return a listing with several forms below it, of which one is shown."""
        return widgets.VBox([table.widget, make_switcher([self._form_part(each) for each in names])])

    def _form_part(self, name: str) -> AppPart:
        title = form_specs.SPECS_BY_NAME[name].title
        return title, lambda: self.form(name).widget, lambda: self.form(name).start()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the widget, and for other front ends a text without data of the account."""
        bundle = self.widget._repr_mimebundle_()
        return {**bundle, "text/plain": "lcnb admin: run this cell in Jupyter to see it"}


def make_switcher(parts: Sequence[AppPart]) -> Any:
    """Return a box that shows one of several parts, with a plain button for each (these work with a keyboard)."""
    picks = [make_button(title) for title, _, _ in parts]
    holders = [widgets.VBox([]) for _ in parts]

    def show_part(place: int) -> None:
        for number, (pick, holder) in enumerate(zip(picks, holders, strict=True)):
            if number == place:
                holder.children = holder.children or (parts[place][1](),)
                pick.add_class("lcnb-here")
            else:
                pick.remove_class("lcnb-here")
            holder.layout.display = "" if number == place else "none"
        parts[place][2]()

    for place, pick in enumerate(picks):
        pick.on_click(lambda _, place=place: show_part(place))
    nav = widgets.HBox(picks, layout=widgets.Layout(flex_flow="row wrap", grid_gap="6px"))
    nav.add_class("lcnb-nav")
    box = widgets.VBox([nav, *holders])
    show_part(0)
    return box


class AdminUnavailable:
    """What `admin` returns without a usable account: a widget that shows the reason."""

    def __init__(self, error: LcnbError) -> None:
        advice = "Without an account: lcnb admin --sandbox, or lcnb.admin(sandbox=True)."
        self.widget = widgets.HTML(f"{STYLE}{status_html(f'{error_message(error)} {advice}', alert=True)}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**self.widget._repr_mimebundle_(), "text/plain": "lcnb admin: no account"}


def admin(
    client: LetsCloud | None = None,
    *,
    account: str | None = None,
    sandbox: bool = False,
    notebooks: str | Path | None = None,
) -> AdminApp | AdminUnavailable:
    """Return a widget that shows the account and changes it by forms, for a notebook cell.

    Args:
        client: the client to use; by default `lcnb.connect(account, sandbox=sandbox)` creates one.
        account: the name of an account of lcnb.toml.
        sandbox: True for a sandbox on this machine instead of your account.
        notebooks: a folder of notebooks that are offered as runbooks too; by default that of `LCNB_NOTEBOOKS`.

    Every change is previewed, confirmed by a click, made once and recorded in the journal. A change that cannot be
    undone is confirmed by typing its label. Without a token the widget shows what is missing.

    >>> import lcnb
    >>> lcnb.admin(sandbox=True).client.settings.account is None
    True
    """
    checked_flag("sandbox", sandbox, not_done="started")
    own = notebooks_folder(notebooks)
    if client is None:
        from lcnb.client import connect

        try:
            client = connect(account, sandbox=sandbox)
        except LcnbError as error:
            return AdminUnavailable(error)
    return AdminApp(client, notebooks=own)
