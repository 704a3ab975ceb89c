"""A schedule to export: the command, its time, its environment and the notes at the head of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lcnb.errors import InputError
from lcnb.runbooks.schedule import cron as crons

PLACEHOLDER_IMAGE = "registry.example.com/lcnb:latest"


@dataclass(frozen=True)
class ScheduleEntry:
    """What is to run when; `argv` is the command behind the executable."""

    label: str
    title: str
    cron: crons.CronExpression
    timezone: str | None
    argv: tuple[str, ...]
    here: str
    image: str = PLACEHOLDER_IMAGE
    #: Variables without a secret that the command needs.
    env: Mapping[str, str] = field(default_factory=dict)
    #: The variable that the command takes the token from; None: it comes from a file or a keyring.
    variable: str | None = None
    #: The account that the token belongs to, if it is one of lcnb.toml.
    account: str | None = None
    #: What a person has to know or do, each a line.
    notes: tuple[str, ...] = ()

    def head(self, *lines: str) -> str:
        """The comment that begins a file: what it is, what to do with it, and what is to be known."""
        shown = (self.title, *lines, *self.notes)
        return "".join(f"# {printable_text(line)}\n" for line in shown)


def printable_text(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def check_printable(text: str) -> None:
    if not text.isprintable():
        raise InputError(
            f"{text!r} has a line end or another control character, which a schedule cannot hold"
        )


#: Said of a time zone without clock changes.
UTC_CLOCK_NOTE = "UTC has no clock changes: where clocks change, the local time of the runs moves by an hour."


def clock_note(schedule: ScheduleEntry, text: str) -> str:
    """The line on what happens to runs when clocks change."""
    return UTC_CLOCK_NOTE if schedule.timezone in ("UTC", "Etc/UTC") else f"When clocks change: {text}"
