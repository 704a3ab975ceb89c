"""The first line of a page: which account it changes, and whether that is a sandbox or read-only."""

from __future__ import annotations

import json
from contextlib import closing
from html import escape
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import ipywidgets as widgets

from lcnb.base_url import is_loopback
from lcnb.widgets.elements import status_html
from lcnb.widgets.runner import Runner
from lcnb.widgets.style import STYLE

if TYPE_CHECKING:
    from lcnb.config import Settings

#: Seconds to wait for a server on this machine to say that it is a sandbox.
SANDBOX_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1_000_000
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


def is_sandbox(settings: Settings) -> bool:
    """Whether a sandbox answers at the base URL. Only its own answer counts.

    A loopback address alone proves nothing: a program on this machine may forward requests to LetsCloud.
    """
    parts = urlsplit(settings.base_url)
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        return False
    # This follows no redirect, which could take the token to another host, and uses no proxy.
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=SANDBOX_TIMEOUT_S)
    try:
        with closing(connection):
            connection.request("GET", "/_sandbox/faults", headers={"api-token": settings.token.reveal()})
            reply = connection.getresponse()
            return reply.status == HTTPStatus.OK and "rules" in json.loads(reply.read(MAX_ANSWER_BYTES))
    except (OSError, HTTPException, ValueError, TypeError):
        return False
