"""Report a batch as a whole: one notification and one ping for all rows, whose runs report nothing themselves."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from lcnb.errors import LcnbError
from lcnb.runbooks.batch.plan import BatchPlan
from lcnb.runbooks.batch.rows import BatchRow
from lcnb.runbooks.publish.messages import batch_message
from lcnb.runbooks.publish.notifications import notify
from lcnb.runbooks.publish.pings import RunPings

#: What the processes of rows do not get: a batch of 500 rows would send 500 messages.
SILENCING_VARIABLES: dict[str, str | None] = {"LCNB_NOTIFY": None, "LCNB_PING_URL": None}


class BatchReports:
    """The reports about one batch, to the targets of LCNB_NOTIFY and to LCNB_PING_URL."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan
        self._pings = RunPings(plan.runbook)

    def report_start(self) -> None:
        """Report that the batch starts."""
        self._pings.report_start()

    def report_end(self) -> list[str]:
        """Report how all rows ended. Return a sentence for each report that failed: it changes no row."""
        rows = [self._describe_row(row) for row in self._plan.rows]
        message = batch_message(self._plan.runbook, rows, self._plan.folder, socket.gethostname())
        problems = []
        reports: list[Callable[[], None]] = [
            lambda: notify(message),
            lambda: self._pings.report_end({"status": message.status, "reason": message.text}),
        ]
        for report in reports:
            try:
                report()
            except (LcnbError, RuntimeError) as error:
                problems.append(str(error))
        return problems

    def _describe_row(self, row: BatchRow) -> dict[str, Any]:
        result = self._plan.read_result(row.number)
        values = {**({"account": row.account} if row.account else {}), **row.parameters}
        return {
            "row": row.number,
            "status": result["status"],
            "error": result.get("error"),
            "values": ", ".join(f"{name}={value}" for name, value in values.items()),
        }
