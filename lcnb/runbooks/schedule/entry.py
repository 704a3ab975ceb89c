"""What every writer of schedule files receives, and what it declares about its scheduler.

A `ScheduleEntry` is one schedule: the command, its times, its environment and the notes at the head of the file. A
`ScheduleSystem` is one scheduler: where it runs commands, which files they see there, and the function that writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lcnb.errors import InputError
from lcnb.runbooks.schedule.cron import CronExpression

#: The container image of an exported CronJob until the user names one.
PLACEHOLDER_IMAGE = "registry.example.com/lcnb:latest"
#: The note for times in UTC.
UTC_CLOCK_NOTE = (
    "UTC has no clock changes: where clocks change, the local time of the runs shifts by one hour."
)


@dataclass(frozen=True)
class ScheduleEntry:
    """One schedule to export: which command runs, when, and with which environment."""

    #: Name of the unit, job or DAG, and of its file.
    label: str
    #: The first line of the file: the title of the runbook and its command.
    title: str
    cron: CronExpression
    timezone: str | None
    #: The arguments after the executable.
    argv: tuple[str, ...]
    #: The absolute path of `lcnb` on this machine.
    executable: str
    image: str = PLACEHOLDER_IMAGE
    #: Variables that the command needs and that hold no secret.
    env: Mapping[str, str] = field(default_factory=dict)
    #: The variable from which the command reads the token; None when it reads a file or a keyring.
    token_variable: str | None = None
    #: The account of lcnb.toml to which the token belongs, if any.
    account: str | None = None
    #: What the reader of the file must know or do, one line each.
    notes: tuple[str, ...] = ()
    #: Whether lcnb puts the files into place itself (`lcnb schedule install`), and the reader does not.
    managed: bool = False
    #: The files of this machine without which no run can start: the notebook, and those that hold the token.
    needs: tuple[str, ...] = ()

    def placing_note(self, text: str) -> str:
        """Return the line that says where the file belongs; for a managed one, how it is changed."""
        return f"Written by lcnb. Do not edit it: lcnb schedule remove {self.label}" if self.managed else text

    def header(self, *lines: str) -> str:
        """Return the comment at the head of a file: the title, these lines, then the notes."""
        shown = (self.title, *lines, *self.notes)
        return "".join(f"# {printable_text(line)}\n" for line in shown)

    def clock_note(self, text: str) -> str:
        """Return the line that says what happens to runs when clocks change; `text` applies outside UTC."""
        return UTC_CLOCK_NOTE if self.timezone in ("UTC", "Etc/UTC") else f"When clocks change: {text}"


@dataclass(frozen=True)
class ScheduleSystem:
    """One scheduler: where it runs commands, what they find there, and the writer of its files."""

    #: As people call it in `--to`.
    name: str
    #: Return the files of a schedule: name → text.
    write_files: Callable[[ScheduleEntry], dict[str, str]]
    #: Whether it runs commands on this machine as this user, with the same files, keyring and configuration.
    is_local: bool = False
    #: Which files a command sees: those of this machine, a checkout of the repository, or those of a container.
    files: Literal["this machine", "repository", "container"] = "this machine"
    #: Where runs are stored; None: the folder that is configured on this machine.
    runs_dir: str | None = None
    #: Variables that every command needs in this scheduler.
    env: Mapping[str, str] = field(default_factory=dict)
    #: The end of a sentence: why an address of this machine cannot be reached from there; empty if it can.
    unreachable: str = ""
    #: What the reader of every file must know, one line each.
    notes: tuple[str, ...] = ()


def printable_text(text: str) -> str:
    """Replace each control character by a space, so that a text stays on its line."""
    return "".join(each if each.isprintable() else " " for each in text)


def check_printable(*texts: str) -> None:
    """InputError for the first text with a line end or another control character."""
    for text in texts:
        if not text.isprintable():
            raise InputError(
                f"{text!r} has a line end or another control character, which a schedule cannot hold"
            )
