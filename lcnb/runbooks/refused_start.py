"""Report a start that was refused where nobody was at a terminal: a record in the runs folder, and a notification."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from lcnb.changes.journal import user_name
from lcnb.runbooks.ends import End
from lcnb.runbooks.engine.secret_pipe import inherited_secrets
from lcnb.runbooks.publish.messages import run_message
from lcnb.runbooks.publish.notifications import notify
from lcnb.runbooks.publish.pings import RunPings
from lcnb.runbooks.records.refused import record_refused_start
from lcnb.secret import Secret, mask_secrets


def report_refused_start(
    runbook: str,
    end: End,
    reason: str,
    *,
    account: str | None = None,
    folder: str | Path | None = None,
    hide: Iterable[Secret] = (),
    record: bool = True,
) -> list[str]:
    """Record a refused start and notify people, as at the end of a run; return what did not succeed.

    Args:
        runbook: its name, or the path of a notebook.
        end: how the command ends.
        reason: the message of the error.
        account: the account that was named.
        folder: the runs folder; by default `LCNB_RUNS_DIR` or `./runs`.
        hide: secrets to mask in the reason, besides those of the environment.
        record: False only notifies, where the runs folder itself cannot be written.
    """
    hidden = (*hide, *inherited_secrets())
    facts = {
        "runbook": mask_secrets(Path(runbook).stem if runbook.endswith(".ipynb") else runbook, *hidden),
        "status": end.status,
        "exit_code": end.exit_code,
        "reason": mask_secrets(reason, *hidden),
        "account": account or os.environ.get("LCNB_ACCOUNT") or None,
        "user": user_name(),
        "host": socket.gethostname(),
    }
    problems, path = [], None
    try:
        path = record_refused_start(facts, folder) if record else None
    except OSError as error:
        problems.append(f"the refused start could not be recorded: {error.strerror or error}")
    pings = RunPings(str(facts["runbook"]))
    reports: tuple[Callable[[], None], ...] = (
        lambda: notify(run_message(facts, path and path.parent)),
        lambda: pings.report_end(facts),
    )
    for report in reports:
        try:
            report()
        except Exception as error:
            problems.append(str(error))
    return [mask_secrets(each, *hidden) for each in problems]
