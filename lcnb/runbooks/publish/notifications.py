"""Notify people of the end of a run or batch by mail, chat or web hook, with Apprise (`pip install 'lcnb[notify]'`).

`LCNB_NOTIFY` holds the URLs for Apprise, separated by spaces, or the path of an Apprise configuration file. Such a URL
often holds a password, so it is never an option of a command, which every user of the machine could read. Apprise
supports the notification services; lcnb has no list of its own. A failed notification is recorded and never changes
how a run ended.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcnb.config import notification_filter, notification_targets
from lcnb.errors import ConfigError
from lcnb.runbooks.ends import ATTENTION, DONE
from lcnb.secret import STARS

#: Seconds until all services together must have responded.
SEND_TIMEOUT_S = 30.0
#: Part of a log message of Apprise → why it ignores an entry of a file. It reports success even then.
IGNORED_REASONS = {
    "Unparseable URL": "not an Apprise URL, or of a service that this Apprise does not know",
    "Could not load": "the URL lacks something that its service needs",
    "TEXT configuration format": "neither a URL, a comment nor a tag; Apprise uses no line of such a file",
    "retry count": "a tag cannot have a number; the URL can: ?retry=N",
    "tag assignment": "not a URL, and not tags with a group",
    "ignoring Include": "include is not followed; put the URLs into this file",
    "YAML Exception": "not valid YAML; no line of the file is used",
}
#: Where Apprise names the place of an ignored entry in its log messages.
LOG_POSITION = re.compile(r"on line (\d+)|\bline (\d+), column|entry #(\d+)")


def send_notification(facts: Mapping[str, Any], path: Path | None = None) -> None:
    """Send how a run or batch ended to all targets of LCNB_NOTIFY.

    Args:
        facts: `runbook`, `status`, `reason` and `host`; `attention` and `changes` if there are any. The record of a run
            has all of them.
        path: the report, or another file or folder to look at; None for a message without a path.

    RuntimeError or ConfigError when a target could not be notified.
    """
    if not notification_targets() or (notification_filter() == "trouble" and facts["status"] == DONE.status):
        return
    sender, problems = load_targets()
    kind = {DONE.status: "success", ATTENTION.status: "warning"}.get(facts["status"], "failure")
    outcome: list[Any] = []
    title, body = compose_message(facts, path)
    if len(sender):
        thread = threading.Thread(
            target=lambda: outcome.append(sender.notify(title=title, body=body, notify_type=kind)),
            daemon=True,
        )
        thread.start()
        thread.join(SEND_TIMEOUT_S)
        if not outcome:
            problems.append(f"no response within {SEND_TIMEOUT_S:g} s")
        elif not outcome[0]:
            problems.append(_describe_undelivered(outcome[0]))
    if problems:
        raise RuntimeError(
            f"not everybody was notified of the end of {facts['runbook']}: {'; '.join(problems)}"
        )


def _describe_undelivered(outcome: Any) -> str:
    """Say which services failed. Apprise 2 returns a result for each service, Apprise 1 only a bool or None."""
    failed = [
        f"{each.name} ({each.status.name.lower()})" for each in getattr(outcome, "results", ()) if not each
    ]
    return f"not delivered by {', '.join(failed)}" if failed else "at least one service reported a failure"


def load_targets() -> tuple[Any, list[str]]:
    """Return Apprise with all targets of LCNB_NOTIFY, and a sentence for each line of a file that it ignores.

    ConfigError when Apprise is not installed, or when an entry is neither an Apprise URL nor a file. The sentences name
    only the scheme of a URL, because the rest may be a password.
    """
    try:
        import apprise
    except ImportError:
        raise ConfigError(
            "LCNB_NOTIFY is set, but Apprise is not installed: pip install 'lcnb[notify]'"
        ) from None
    sender = apprise.Apprise()
    problems: list[str] = []
    for number, each in enumerate(notification_targets(), 1):
        text = each.reveal()
        entry = f"LCNB_NOTIFY: entry {number}"
        with _capture_log() as messages:
            if "://" in text:
                understood = bool(sender.add(text))
            else:
                path, before = Path(text).expanduser(), len(sender)
                config = apprise.AppriseConfig()
                understood = path.is_file() and bool(config.add(str(path)))
                sender.add(config)
                if understood:
                    named = len(sender) - before  # reads the file
                    found = [f"{entry}, {each}" for each in _ignored_entries(messages, path)]
                    problems += found or ([] if named else [f"{entry}: the file has no URL"])
        if not understood:
            raise ConfigError(f"{entry} is neither an Apprise URL nor a file; nobody was notified")
    return sender, problems


@contextmanager
def _capture_log() -> Iterator[list[str]]:
    """Yield what Apprise logs meanwhile, at any level. It is logged nowhere else, because it may hold passwords."""
    logger, messages = logging.getLogger("apprise"), list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    kept = logger.level, logger.propagate, logger.handlers[:]
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield messages
    finally:
        logger.level, logger.propagate, logger.handlers[:] = kept
        logger.manager._clear_cache()  # type: ignore[attr-defined]


def _ignored_entries(messages: list[str], path: Path) -> list[str]:
    """Return the entries of a file that Apprise has ignored, each with its place and the reason."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return [f"the file cannot be read: {error.strerror or error}"]
    found: dict[str, str] = {}
    for text in messages:
        reason = next((IGNORED_REASONS[part] for part in IGNORED_REASONS if part in text), None)
        if reason is None:
            continue
        places = list(LOG_POSITION.finditer(text))
        if places:  # YAML names the beginning of the block first, so the last place is the right one
            found.setdefault(_entry_place(places[-1], lines), reason)
        elif "ignoring Include" in text:  # Apprise does not say which line it is
            found.update({f"line {number}": reason for number in _include_lines(lines)})
    return [f"{where}: {reason}" for where, reason in found.items()]


def _entry_place(place: re.Match[str], lines: list[str]) -> str:
    """Return the place of an entry for people: an entry of the file, or a line with the scheme of its URL."""
    if place[3]:
        return f"entry {place[3]} of the file"
    number = int(place[1] or place[2])
    return f"line {number}{_url_scheme(lines, number)}"


def _include_lines(lines: list[str]) -> list[int]:
    return [n for n, line in enumerate(lines, 1) if re.match(r"\s*-?\s*include\b", line, re.IGNORECASE)]


def _url_scheme(lines: list[str], number: int) -> str:
    """Return the part of a URL that is not secret: its scheme."""
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    scheme = re.search(r"(?:^|[=\s])([a-z][a-z0-9+.-]*)://", line, re.IGNORECASE)
    return f" ({scheme[1]}://{STARS})" if scheme else ""


def compose_message(facts: Mapping[str, Any], path: Path | None) -> tuple[str, str]:
    """Return title and text of the message: how the run ended, what needs attention, its changes, what to look at.

    >>> facts = {"runbook": "night", "status": "partly", "reason": "2 of 3 rows are done", "host": "here"}
    >>> compose_message(facts, Path("/runs/batch-1"))
    ('night: partly', '2 of 3 rows are done\\n/runs/batch-1 on here')
    """
    lines = [str(facts["reason"])] if facts["reason"] and facts["status"] != ATTENTION.status else []
    lines += [f"! {each['text']}" for each in facts.get("attention") or ()]
    lines += [f"{each['outcome']}: {each['action']} {each['target']}" for each in facts.get("changes") or ()]
    lines += [f"{path} on {facts['host']}"] if path else []
    return f"{facts['runbook']}: {facts['status']}", "\n".join(lines)
