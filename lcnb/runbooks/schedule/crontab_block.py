"""The lines of one schedule within the text of a crontab: put them in, take them out, find what became of them.

The lines are between two comments with the name of the schedule. Everything else belongs to people and never changes:
lines around the block, lines that somebody wrote into it, line ends of Windows, a last line without an end. A line is
taken out only if lcnb wrote it: a marker, a line that is known from the installation, or, within the block, a line
that sets LCNB_SCHEDULE to the name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from lcnb.runbooks.environment import SCHEDULE_VARIABLE

#: What became of the line that starts the runs.
LineState = Literal["present", "missing", "commented out", "changed", "without its markers"]
_BEGIN, _END = "# >>> lcnb schedule {} >>>", "# <<< lcnb schedule {} <<<"
_ANY_BEGIN = re.compile(r"# >>> lcnb schedule [a-z0-9-]+ >>>")


def put_block(text: str, name: str, lines: Sequence[str], known: Collection[str] = ()) -> str:
    """Return the crontab with the lines of a schedule in the place of its earlier block, or at the end.

    `known` are the lines that an earlier installation wrote. Lines that people wrote into the block follow it. A line
    CRON_TZ would change the times of what follows it, so the block is put before the first one.

    >>> print(put_block("0 1 * * * backup\\n", "night", ["0 2 * * * lcnb run night"]), end="")
    0 1 * * * backup
    # >>> lcnb schedule night >>>
    0 2 * * * lcnb run night
    # <<< lcnb schedule night <<<
    """
    kept, place = _other_lines(text, name, known)
    if place is None:
        zone = (number for number, line in enumerate(kept) if re.match(r"\s*CRON_TZ\s*=", line))
        place = next(zone, len(kept))
    if place and not kept[place - 1].endswith("\n"):
        kept[place - 1] += "\n"
    block = [f"{line}\n" for line in (_BEGIN.format(name), *lines, _END.format(name))]
    return "".join([*kept[:place], *block, *kept[place:]])


def remove_block(text: str, name: str, known: Collection[str] = ()) -> str:
    """Return the crontab without the lines of a schedule."""
    return "".join(_other_lines(text, name, known)[0])


def has_block(text: str, name: str) -> bool:
    """Whether the crontab has the marker that begins the block of a schedule."""
    return any(line.strip() == _BEGIN.format(name) for line in _split_lines(text))


def find_line(text: str, name: str, job: str) -> LineState:
    """Return what became of the line `job` that an installation wrote into the block of a schedule."""
    lines = _split_lines(text)
    inside = [line for line, within in _marked(lines, name) if within]
    own = [line.strip() for line in inside if _names_schedule(line, name)]
    states: tuple[tuple[LineState, bool], ...] = (
        ("present", _has_line(inside, job)),
        ("changed", not all(line.startswith("#") for line in own)),
        ("without its markers", _has_line(lines, job)),
        ("commented out", bool(own)),
    )
    return next((state for state, holds in states if holds), "missing")


def _has_line(lines: Iterable[str], job: str) -> bool:
    return any(line.rstrip("\n") == job for line in lines)


def job_line(lines: Iterable[str]) -> str:
    """Return the line of a block that starts the runs: the one that is no comment."""
    return next(line for line in lines if line and not line.startswith("#"))


def _split_lines(text: str) -> list[str]:
    """Return the lines with their ends. Only a line feed ends a line; a carriage return before it stays."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _marked(lines: Iterable[str], name: str) -> Iterable[tuple[str, bool]]:
    """Yield each line with whether it is within the block, its markers not counted.

    A block without an end goes to the next block of lcnb or to the end of the text.
    """
    within = False
    for line in lines:
        key = line.strip()
        if key == _BEGIN.format(name):
            within = True
            yield line, False
            continue
        if key == _END.format(name) or _ANY_BEGIN.fullmatch(key):
            within = False
        yield line, within


def _other_lines(text: str, name: str, known: Collection[str]) -> tuple[list[str], int | None]:
    """Return the lines that are not those of the schedule, and the place of its block among them; None without one."""
    written = {line.strip() for line in known} - {""}
    jobs = {line for line in written if not line.startswith("#")}
    begin, end = _BEGIN.format(name), _END.format(name)

    def is_own(key: str, *, within: bool) -> bool:
        inside = within and (key in written or _names_schedule(key, name))
        return inside or key in jobs or key in (begin, end)

    kept: list[str] = []
    place = None
    for line, within in _marked(_split_lines(text), name):
        key = line.strip()
        if place is None and key == begin:
            place = len(kept)
        if not is_own(key, within=within):
            kept.append(line)
    return kept, place


def _names_schedule(line: str, name: str) -> bool:
    return re.search(rf"(?<!\S){SCHEDULE_VARIABLE}={re.escape(name)}(?!\S)", line) is not None
