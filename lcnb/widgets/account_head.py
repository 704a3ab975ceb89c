"""The first line of a page: which account it changes, and whether that is a sandbox or read-only."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import ipywidgets as widgets

from lcnb.base_url import is_loopback
from lcnb.transport.httpx_client import is_sandbox
from lcnb.widgets.elements import status_html
from lcnb.widgets.runner import Runner
from lcnb.widgets.style import STYLE

if TYPE_CHECKING:
    from lcnb.config import Settings

SANDBOX_TEXT = "SANDBOX: invented machines, nothing real is changed"


class AccountHead:
    """A line with the account and its address; a sandbox is asked for in the background."""

    def __init__(self, runner: Runner) -> None:
        settings = runner.client.settings
        self.widget: Any = widgets.HTML(account_html(settings))
        if is_loopback(urlsplit(settings.base_url).hostname or ""):
            runner.spawn(lambda: self._show_sandbox(settings))

    def _show_sandbox(self, settings: Settings) -> None:
        if is_sandbox(settings):
            self.widget.value = account_html(settings, sandbox=True)


def account_html(settings: Settings, *, sandbox: bool = False) -> str:
    """Return the line as HTML with the style sheet of the app, and a second one if the account is read-only.

    The second one is shown before anybody fills in a form.
    """
    name = settings.account or ("Sandbox account" if sandbox else "LetsCloud account")
    badge = f'<span class="lcnb-sandbox">{SANDBOX_TEXT}</span>' if sandbox else ""
    line = f'<div class="lcnb-head"><b>{escape(name)}</b> <span>at {escape(settings.base_url)}</span> {badge}</div>'
    if not settings.read_only:
        return STYLE + line
    reason = f"This account is read-only ({settings.read_only})"
    refusal = f"{reason}: lcnb refuses every change. Previews and dry runs work."
    return STYLE + line + status_html(refusal, alert=True)
