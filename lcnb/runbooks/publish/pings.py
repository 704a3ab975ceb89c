"""Report the start and the end of a run to a dead man's switch, a service that raises an alarm when no report arrives.

`LCNB_PING_URL` is the URL of a check, as such services give it. lcnb posts to `URL/start` when a run or a batch
starts, to `URL` when it completes and to `URL/fail` when it does not; the body says how it ended. `{runbook}` in the
URL becomes the name of the runbook, with `-` for `_`, so that one setting gives each runbook a check of its own. A run
that is killed reports no end, and the service notices.

The URL is a secret: anyone who knows it can report an end. A report that fails never changes how a run ended.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from lcnb.config import ping_url
from lcnb.runbooks.ends import COMPLETED_STATUSES

#: Seconds until the service must have responded; the end of a run waits for it.
PING_TIMEOUT_S = 10.0
#: Characters of the body: services keep the beginning only.
MAX_BODY_CHARACTERS = 2000


class RunPings:
    """The reports about one run or batch of a runbook. Without `LCNB_PING_URL` they do nothing."""

    def __init__(self, runbook: str) -> None:
        url = ping_url()
        slug = re.sub(r"[^a-z0-9-]+", "-", runbook.lower()).strip("-")
        self._url = url and url.reveal().replace("{runbook}", slug).rstrip("/")
        self._pending: threading.Thread | None = None
        self._problems: list[str] = []

    def report_start(self) -> None:
        """Report that the run starts. It does not wait: the first cell must not."""
        if self._url:
            self._pending = self._post("/start", "")

    def report_end(self, facts: Mapping[str, Any]) -> None:
        """Report how the run ended: its `status` and `reason`. RuntimeError if the service could not be reached."""
        if not self._url:
            return
        if self._pending:  # a late report of the start would look like a run that goes on
            self._pending.join(PING_TIMEOUT_S)
        completed = facts["status"] in COMPLETED_STATUSES
        body = f"{facts['status']} {facts.get('reason') or ''}".strip()[:MAX_BODY_CHARACTERS]
        sent = self._post("" if completed else "/fail", body)
        sent.join(PING_TIMEOUT_S)
        if sent.is_alive():
            self._problems.append(f"no response within {PING_TIMEOUT_S:g} s")
        if self._problems:
            raise RuntimeError(f"LCNB_PING_URL was not reached: {'; '.join(dict.fromkeys(self._problems))}")

    def _post(self, path: str, body: str) -> threading.Thread:
        from lcnb.transport.httpx_client import post_text

        def send() -> None:
            if problem := post_text(f"{self._url}{path}", body, PING_TIMEOUT_S):
                self._problems.append(problem)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread
