"""Telling people how a run ended: by mail, chat or a web hook, with Apprise (`pip install 'lcnb[notify]'`).

`LCNB_NOTIFY` holds Apprise's URLs, apart by spaces, or the path of an Apprise configuration file; such URLs hold
passwords, so they are no option of a command, where every user of the machine could read them. What goes wrong here
is told in the record and never changes how a run ended.
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

#: Seconds that all of them together may take.
SEND_TIMEOUT_S = 30.0
#: What a file may have that Apprise leaves out, by a part of what it logs then; it returns success all the same.
IGNORED_REASONS = {
    "Unparseable URL": "not an Apprise URL, or of a service that this Apprise does not know",
    "Could not load": "the URL lacks something that its service needs",
    "TEXT configuration format": "neither a URL, a comment nor a tag; Apprise uses no line of such a file",
    "retry count": "a tag cannot have a number; the URL can: ?retry=N",
    "tag assignment": "not a URL, and not tags with a group",
    "ignoring Include": "include is not followed; put the URLs into this file",
    "YAML Exception": "not valid YAML; no line of the file is used",
}
#: Where that is, in what Apprise logs of it.
LOG_POSITION = re.compile(r"on line (\d+)|\bline (\d+), column|entry #(\d+)")


def send_notification(facts: Mapping[str, Any], folder: Path) -> None:
    """Tell how a run ended. RuntimeError or ConfigError when nobody, or not everybody, could be told."""
    if not notification_targets() or (notification_filter() == "trouble" and facts["status"] == DONE.status):
        return
    sender, problems = load_targets()
    kind = {DONE.status: "success", ATTENTION.status: "warning"}.get(facts["status"], "failure")
    outcome: list[Any] = []
    title, body = compose_message(facts, folder)
    if len(sender):
        thread = threading.Thread(
            target=lambda: outcome.append(sender.notify(title=title, body=body, notify_type=kind)),
            daemon=True,
        )
        thread.start()
        thread.join(SEND_TIMEOUT_S)
        if not outcome:
            problems.append(f"no answer within {SEND_TIMEOUT_S:g} s")
        elif not outcome[0]:
            problems.append(_describe_undelivered(outcome[0]))
    if problems:
        raise RuntimeError(f"the end of the run could not be told to everybody: {'; '.join(problems)}")


def _describe_undelivered(outcome: Any) -> str:
    """Who did not take the message: Apprise 2 returns a result for each service, Apprise 1 only a bool or None."""
    failed = [
        f"{each.name} ({each.status.name.lower()})" for each in getattr(outcome, "results", ()) if not each
    ]
    return f"not delivered by {', '.join(failed)}" if failed else "not all answered well"


def load_targets() -> tuple[Any, list[str]]:
    """Apprise with everybody whom LCNB_NOTIFY names, and a sentence for each line of a file that it cannot use.

    ConfigError when Apprise is not installed, or an entry is neither an Apprise URL nor a file. No sentence has more of
    a URL than its scheme: the rest may be a password.
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
            raise ConfigError(f"{entry} is no Apprise URL and no file; nobody was told")
    return sender, problems


@contextmanager
def _capture_log() -> Iterator[list[str]]:
    """What Apprise logs meanwhile, at any level; nothing of it goes anywhere else, since it may hold passwords."""
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
    """The lines of a file that Apprise has left out, each with its reason."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return [f"the file cannot be read: {error.strerror or error}"]
    found: dict[str, str] = {}
    for text in messages:
        reason = next((IGNORED_REASONS[part] for part in IGNORED_REASONS if part in text), None)
        places = list(LOG_POSITION.finditer(text))
        place = places[-1] if places else None  # the last one: YAML says first where the block began
        if reason is None or (place is None and "ignoring Include" not in text):
            continue
        if place is None:
            numbers = [
                n for n, line in enumerate(lines, 1) if re.match(r"\s*-?\s*include\b", line, re.IGNORECASE)
            ]
            found.update({f"line {number}": reason for number in numbers})
        elif place[3]:
            found.setdefault(f"entry {place[3]} of the file", reason)
        else:
            number = int(place[1] or place[2])
            found.setdefault(f"line {number}{_url_scheme(lines, number)}", reason)
    return [f"{where}: {reason}" for where, reason in found.items()]


def _url_scheme(lines: list[str], number: int) -> str:
    """Of a line's URL what is no secret."""
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    scheme = re.search(r"(?:^|[=\s])([a-z][a-z0-9+.-]*)://", line, re.IGNORECASE)
    return f" ({scheme[1]}://{STARS})" if scheme else ""


def compose_message(facts: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    """Title and text: how it ended, what needs attention, what was changed, where the report is."""
    lines = [str(facts["reason"])] if facts["reason"] and facts["status"] != ATTENTION.status else []
    lines += [f"! {each['text']}" for each in facts.get("attention") or ()]
    lines += [f"{each['outcome']}: {each['action']} {each['target']}" for each in facts.get("changes") or ()]
    lines += [f"{folder / 'report.html'} on {facts['host']}"]
    return f"{facts['runbook']}: {facts['status']}", "\n".join(lines)
