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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lcnb.config import notification_attachment, notification_filter, notification_targets, ping_url
from lcnb.errors import ConfigError, RunError
from lcnb.runbooks.ends import ATTENTION, DONE
from lcnb.runbooks.publish.messages import Message
from lcnb.runbooks.publish.pdf import write_pdf
from lcnb.secret import STARS

#: Seconds until all services together must have responded.
SEND_TIMEOUT_S = 30.0
#: Bytes of all attachments together: mail servers commonly refuse more.
MAX_ATTACHED_BYTES = 8_000_000
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


def notify(message: Message) -> None:
    """Send a message to all targets of LCNB_NOTIFY, unless LCNB_NOTIFY_ON leaves out its status. Errors as below."""
    targets = notification_targets()
    if targets and not (notification_filter() == "trouble" and message.status == DONE.status):
        send_message(message)


def send_message(message: Message) -> None:
    """Send a message to all targets of LCNB_NOTIFY.

    RuntimeError or ConfigError when a target could not be notified; the message says who was.
    """
    if not notification_targets():
        raise ConfigError(
            "no target of notifications is set",
            field="LCNB_NOTIFY",
            cure="Set it to Apprise URLs, separated by spaces, or to a file of them.",
            not_done="sent",
        )
    sender, problems = load_targets()
    text, files, problem = _attached_files(message)
    problems += [problem] if problem else []
    if len(sender):
        problems += _deliver(sender, message._replace(text=text), files)
    if problems:
        raise RuntimeError(f"not everybody was notified of {message.subject}: {'; '.join(problems)}")


def check_targets() -> None:
    """Raise ConfigError, with every unusable entry, unless each target of LCNB_NOTIFY and LCNB_PING_URL can be used.

    Nothing is sent. Batches and schedules call it, so that a wrong entry is found while a person is there.
    """
    notification_filter()
    notification_attachment()
    ping_url()
    if not notification_targets():
        return
    problems = load_targets()[1]
    if problems:
        raise ConfigError(
            "; ".join(problems), cure="Correct these entries: `lcnb doctor` checks them.", not_done="started"
        )


def _deliver(sender: Any, message: Message, files: Sequence[Path]) -> list[str]:
    """Send by all services, and return a problem if one of them did not deliver in time."""
    kinds: dict[str, str] = {DONE.status: "success", ATTENTION.status: "warning"}
    outcome: list[Any] = []
    attached = {"attach": [str(path) for path in files]} if files else {}
    thread = threading.Thread(
        target=lambda: outcome.append(
            sender.notify(
                title=message.title,
                body=message.text,
                notify_type=kinds.get(message.status, "failure"),
                **attached,
            )
        ),
        daemon=True,
    )
    thread.start()
    thread.join(SEND_TIMEOUT_S)
    if not outcome:
        return [f"no response within {SEND_TIMEOUT_S:g} s"]
    return [] if outcome[0] else [_describe_undelivered(outcome[0])]


def _describe_undelivered(outcome: Any) -> str:
    """Say which services failed. Apprise 2 returns a result for each service, Apprise 1 only a bool or None."""
    results = list(getattr(outcome, "results", ()))
    failed = [f"{each.name} ({each.status.name.lower()})" for each in results if not each]
    reached = [str(each.name) for each in results if each]
    if not failed:
        return "at least one service reported a failure"
    delivered = f"; delivered by {', '.join(reached)}" if reached else ""
    return f"not delivered by {', '.join(failed)}{delivered}"


def _attached_files(message: Message) -> tuple[str, list[Path], str]:
    """Return the text of a message, the files to attach, and a problem with them.

    A file that is too large is named in the text instead: a service would refuse the whole message.
    """
    form = notification_attachment()
    if form == "none":
        return message.text, [], ""
    files, problem = list(message.files), ""
    if form == "pdf":
        files, problem = _print_reports(files)
    fitting: list[Path] = []
    left, lines = MAX_ATTACHED_BYTES, [message.text]
    for path in files:
        size = path.stat().st_size
        if size <= left:
            fitting.append(path)
            left -= size
        else:
            lines.append(f"not attached, too large ({size / 1e6:,.1f} MB): {path}")
    return "\n".join(lines), fitting, problem


def _print_reports(files: Iterable[Path]) -> tuple[list[Path], str]:
    """Return the files with each report as PDF; those that cannot be printed stay, and the problem says why."""
    printed, problems = [], []
    for path in files:
        pdf = path.with_suffix(".pdf")
        if path.suffix == ".html" and not pdf.is_file():
            try:
                pdf = write_pdf(path)
            except (RunError, OSError) as error:
                problems.append(f"attached as HTML: {error}")
                pdf = path
        printed.append(pdf if path.suffix == ".html" else path)
    return printed, "; ".join(dict.fromkeys(problems))


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
            raise ConfigError(
                f"{entry} is neither an Apprise URL, such as mailto://user:password@mail.example.com, nor a file of "
                "such URLs; nobody was notified. Its text is not shown, because it may hold a password"
            )
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
