"""`lcnb.runbook(name)`: the form of a runbook on the screen, and the part of the app with the forms of all runbooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from lcnb.display.palette import TONE_COLORS
from lcnb.errors import LcnbError
from lcnb.flags import checked_flag
from lcnb.refused_machine import RefusedMachine
from lcnb.runbooks.ends import ATTENTION, status_tone
from lcnb.runbooks.notebook.find import Runbook, find_runbook, own_runbooks, shipped_names
from lcnb.runbooks.notebook.help import help_text
from lcnb.widgets.account_head import AccountHead
from lcnb.widgets.confirm_panel import ConfirmPanel
from lcnb.widgets.elements import status_html
from lcnb.widgets.form_messages import error_message
from lcnb.widgets.form_state import END_PHASES, FormState, Phase
from lcnb.widgets.form_view import FormView
from lcnb.widgets.input_field import InputField
from lcnb.widgets.page_sync import PageSync
from lcnb.widgets.report_pages import report_address
from lcnb.widgets.runbook_form import RunForm
from lcnb.widgets.runbook_process import FinishedRun
from lcnb.widgets.runner import Runner, Spawn, run_in_thread
from lcnb.widgets.runs_table import MAX_REPORT_BYTES
from lcnb.widgets.style import STYLE

if TYPE_CHECKING:
    from lcnb.client import LetsCloud


class RunPanel(ConfirmPanel):
    """The lower half of a runbook's form: progress, plan, result and report."""

    def __init__(self, *form: Any) -> None:
        super().__init__(*form)
        self.stop.description, self.again.description = "Stop", "Back to the form"

    def yes_text(self, shown: FormState) -> str:
        """Return the text of the button that applies the plan."""
        count = len(shown.changes or ())
        return f"Apply {count} changes" if count > 1 else "Apply"

    def preview_html(self, shown: FormState) -> str:
        """Return the plan and the report of the dry run as HTML."""
        text = super().preview_html(shown)
        return text + (_report_html(shown.run) if shown.run and shown.phase is Phase.CONFIRM else "")

    def notes_of(self, shown: FormState) -> tuple[Sequence[str], Sequence[RefusedMachine]]:
        """Return what a plan leaves out, and what its dry run reports, as long as it is not applied."""
        if shown.phase is not Phase.CONFIRM or not isinstance(shown.run, FinishedRun):
            return (), ()
        return [*super().notes_of(shown)[0], *shown.run.attention], ()

    def report_html(self, shown: FormState) -> str:
        """Return the progress by cells, or the result, as HTML."""
        if shown.phase is Phase.BUSY:
            ended, total, title = shown.progress
            bar = f'value="{ended}" max="{total}"' if total else ""
            count = f"{ended} of {total} cells done – " if total else ""
            return (
                f'<div class="lcnb-progress"><progress aria-label="progress" {bar}></progress> '
                f"<span>{count}{escape(title)}</span></div>"
            )
        return _end_html(shown.run) if isinstance(shown.run, FinishedRun) else ""


def _end_html(ended: FinishedRun) -> str:
    from lcnb.changes.outcomes_view import recorded_frame
    from lcnb.display import panels, tables

    color = TONE_COLORS[status_tone(ended.status)]
    parts = [
        f'<p class="lcnb-ended"><b style="background:{color}">{escape(ended.status)}</b> '
        f"exit code {ended.exit_code}</p>"
    ]
    if ended.attention:
        parts.append(panels.attention("Attention", "\n".join(ended.attention))._repr_html_())
    if ended.error and ended.status != ATTENTION.status and not any(ended.unconfirmed_error):
        parts.append(f'<pre class="lcnb-error" role="alert">{escape(ended.error)}</pre>')
    if ended.made:
        parts.append(tables.table(recorded_frame(ended.made))._repr_html_())
    return "".join(parts) + _report_html(ended)


def _report_html(ended: FinishedRun) -> str:
    """Return the report in an iframe that runs no scripts, and the path of its file."""
    if ended.report is None:
        where = ended.folder and f"No report; the run's folder: <code>{escape(str(ended.folder))}</code>"
        return f'<p class="lcnb-journal">{where}</p>' if where else ""
    address = report_address(ended.folder)
    link = (
        f'<a href="{escape(address)}" target="_blank" rel="noopener">Open it in a new tab</a>, '
        if address
        else ""
    )
    where = f'<p class="lcnb-journal">Report: {link}<code>{escape(str(ended.report))}</code></p>'
    if ended.report.stat().st_size > MAX_REPORT_BYTES:
        return where
    page = escape(ended.report.read_text(encoding="utf-8"), quote=True)
    opened = "open" if ended.planned is None or not len(ended.planned) else ""
    return (
        f'{where}<details class="lcnb-report" {opened}><summary>The report</summary>'
        f'<iframe title="report" sandbox="" srcdoc="{page}"></iframe></details>'
    )


class RunFormView(FormView):
    """The widgets of a runbook's form."""

    panel_class = RunPanel


class RunbookWidget:
    """What `lcnb.runbook` returns: a form in a notebook, the help page elsewhere."""

    def __init__(self, book: Runbook, client: LetsCloud, spawn: Spawn = run_in_thread) -> None:
        self.book = book
        self.runner = Runner(client, spawn)
        self.form = RunForm(book)
        self.view = RunFormView(self.form, self.runner)
        self.widget = PageSync().wrap_widgets(AccountHead(self.runner).widget, self.view.widget)
        self.widget.add_class("lcnb-admin")

    def __repr__(self) -> str:
        return help_text(self.book)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        self.view.start()
        return {**self.widget._repr_mimebundle_(), "text/plain": repr(self)}


class RunbookUnavailable:
    """What `lcnb.runbook` returns without a usable account: the reason, and the help page."""

    def __init__(self, book: Runbook, error: LcnbError) -> None:
        self.book = book
        self.reason = (
            f'{error_message(error)} To try it without an account: lcnb.runbook("{book.name}", sandbox=True).'
        )
        self.widget = widgets.HTML(
            f"{STYLE}{status_html(self.reason, alert=True)}<pre>{escape(help_text(book))}</pre>"
        )

    def __repr__(self) -> str:
        return f"{self.reason}\n\n{help_text(self.book)}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {**self.widget._repr_mimebundle_(), "text/plain": repr(self)}


def runbook(
    name: str, client: LetsCloud | None = None, *, account: str | None = None, sandbox: bool = False
) -> RunbookWidget | RunbookUnavailable:
    """Return the form of a runbook, for a notebook cell; elsewhere it shows the runbook's help page.

    Args:
        name: the name of a shipped runbook, or the path of a notebook.
        client: the client to use; by default `lcnb.connect(account, sandbox=sandbox)` creates one.
        account: the name of an account of lcnb.toml.
        sandbox: True for a sandbox on this machine instead of your account.

    A run is a separate process with a folder and a report, as with `lcnb run`; it ends when the kernel ends. A runbook
    that changes something first makes a dry run; "Apply" then makes exactly the planned changes. Raises InputError for
    an unknown runbook. Without a token the widget shows what is missing.

    >>> import lcnb
    >>> print(str(lcnb.runbook("inventory", sandbox=True)).splitlines()[0])
    Usage: lcnb run inventory [-p NAME=VALUE]... [OPTIONS]
    """
    book = find_runbook(name)
    checked_flag("sandbox", sandbox, not_done="started")
    if client is None:
        from lcnb.client import connect

        try:
            client = connect(account, sandbox=sandbox)
        except LcnbError as error:
            return RunbookUnavailable(book, error)
    return RunbookWidget(book, client)


class RunbookPicker:
    """A choice of runbooks with the form of the chosen one below it. A form is created when it is first shown.

    `notebooks` is a folder of further runbooks, which come first.
    """

    def __init__(self, runner: Runner, notebooks: Path | None = None) -> None:
        self.runner, self.notebooks = runner, notebooks
        self.views: dict[str, RunFormView] = {}
        self.pick = InputField(kind="choice", label="Runbook")
        self.pick.add_class("lcnb-field")
        self.pick.observe(lambda change: self.show(change["new"]), "value")
        self.status = widgets.HTML(status_html(""))
        self.holder = widgets.VBox([])
        self.widget = widgets.VBox([self.pick, self.status, self.holder])

    def start(self) -> None:
        """Read the list of runbooks; notebooks in the folder may have changed since."""
        try:
            books = [find_runbook(name) for name in shipped_names()]
            own, problems = own_runbooks(self.notebooks) if self.notebooks else ([], [])
        except LcnbError as error:
            self.status.value = status_html(error_message(error), alert=True)
            return
        options = [
            ["", "choose …"],
            *([str(each.path), f"{_option_text(each)} (your own)"] for each in own),
            *([each.name, _option_text(each)] for each in books),
        ]
        if self.pick.options != options:
            self.pick.options = options
        self.status.value = status_html(" ".join(problems), alert=bool(problems))

    def show(self, name: str) -> None:
        """Show the form of a runbook, with the values it had; a notebook that was edited gets a new form."""
        try:
            if name:
                self._make_view(find_runbook(name), name)
            self.holder.children = [self.views[name].widget] if name else []
            self.status.value = status_html("")
        except Exception as error:  # ipywidgets would swallow it
            self.status.value = status_html(error_message(error), alert=True)
            return
        if name:
            self.views[name].start()

    def _make_view(self, book: Runbook, name: str) -> None:
        form = self.views[name].form if name in self.views else None
        is_in_use = form is not None and form.shown.phase not in (Phase.EDIT, *END_PHASES)
        if not is_in_use and (not isinstance(form, RunForm) or form.book != book):
            self.views[name] = RunFormView(RunForm(book), self.runner)


def _option_text(book: Runbook) -> str:
    return book.name if book.title == book.name else f"{book.name} – {book.title}"
