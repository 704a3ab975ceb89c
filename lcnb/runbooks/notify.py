"""Telling people how a run ended: by mail, chat or a web hook, with Apprise (`pip install 'lcnb[notify]'`).

`LCNB_NOTIFY` holds Apprise's URLs, apart by spaces, or the path of an Apprise configuration file; such URLs hold
passwords, so they are no option of a command, where every user of the machine could read them. What goes wrong here
is told in the record and never changes how a run ended.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lcnb.config import notify_on, notify_targets
from lcnb.errors import ConfigError

#: Seconds that all of them together may take.
DEADLINE_S = 30.0


def notify(facts: Mapping[str, Any], folder: Path) -> None:
    """Tell how a run ended. RuntimeError or ConfigError when nobody, or not everybody, could be told."""
    targets = notify_targets()
    if not targets or (notify_on() == "trouble" and facts["status"] == "done"):
        return
    try:
        import apprise
    except ImportError:
        raise ConfigError(
            "LCNB_NOTIFY is set, but Apprise is not installed: pip install 'lcnb[notify]'"
        ) from None
    sender = apprise.Apprise()
    for number, each in enumerate(targets, 1):
        text = each.reveal()
        if "://" in text:
            understood = sender.add(text)
        else:
            config = apprise.AppriseConfig()
            understood = Path(text).expanduser().is_file() and config.add(str(Path(text).expanduser()))
            sender.add(config)
        if not understood:
            raise ConfigError(f"LCNB_NOTIFY: entry {number} is no Apprise URL and no file; nobody was told")
    kind = (
        "success" if facts["status"] == "done" else "warning" if facts["status"] == "attention" else "failure"
    )
    told: list[bool] = []
    title, body = message(facts, folder)
    thread = threading.Thread(
        target=lambda: told.append(bool(sender.notify(title=title, body=body, notify_type=kind))), daemon=True
    )
    thread.start()
    thread.join(DEADLINE_S)
    if told != [True]:
        why = "not all answered well" if told else f"no answer within {DEADLINE_S:g} s"
        raise RuntimeError(f"the end of the run could not be told to everybody: {why}")


def message(facts: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    """Title and text: how it ended, what needs attention, what was changed, where the report is."""
    lines = [str(facts["reason"])] if facts["reason"] and facts["status"] != "attention" else []
    lines += [f"! {each['text']}" for each in facts.get("attention") or ()]
    lines += [f"{each['outcome']}: {each['action']} {each['target']}" for each in facts.get("changes") or ()]
    lines += [f"{folder / 'report.html'} on {facts['host']}"]
    return f"{facts['runbook']}: {facts['status']}", "\n".join(lines)
