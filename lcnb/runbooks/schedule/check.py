"""Check installed schedules: did every planned run happen in time, did the last one succeed, will the next one start?

`check_schedule` decides; what it looks at is passed in: the time, the state of the machine, and what was started.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lcnb.runbooks.schedule import installed
from lcnb.runbooks.schedule.installed import DamagedSchedule, InstalledSchedule
from lcnb.runbooks.schedule.machine_state import MachineState, observe_machine, standing_problems
from lcnb.runbooks.schedule.occurrences import Occurrence, read_occurrences, read_runs_of
from lcnb.runbooks.schedule.planned import PlannedTime
from lcnb.runbooks.schedule.problems import ScheduleProblem

#: How far back planned times are checked; the last one is always checked.
DEFAULT_SINCE = timedelta(hours=24)
#: A scheduler may start a run this long before its planned time, as this process measures it.
_EARLY = timedelta(seconds=2)
#: How far back the last planned time is looked for, in steps: hourly schedules are found in the first.
_LOOK_BACK = (timedelta(days=2), timedelta(days=35), timedelta(days=400), timedelta(days=366 * 9))
MAX_REASON_CHARACTERS = 200


@dataclass(frozen=True)
class ScheduleStatus:
    """One installed schedule with what became of its runs: the last one, the next one, and the problems."""

    schedule: InstalledSchedule | DamagedSchedule
    next_at: datetime | None = None
    last: Occurrence | None = None
    problems: tuple[ScheduleProblem, ...] = ()
    #: What happens to its runs when clocks change, a sentence each.
    clock_changes: tuple[str, ...] = ()


def check_schedules(
    now: datetime, since: timedelta = DEFAULT_SINCE, names: Sequence[str] = ()
) -> list[ScheduleStatus]:
    """Check the installed schedules, or those with these names. InputError for a name that is not installed."""
    found, damaged = installed.read_schedules()
    if names:
        found, damaged = [installed.require_schedule(name) for name in dict.fromkeys(names)], []
    machine = observe_machine(found)
    runs = read_runs_of(found)
    statuses = [
        check_schedule(each, now, machine, read_occurrences(each, runs[each.runs_dir]), since)
        for each in found
    ]
    return [*statuses, *(_damaged_status(each) for each in damaged)]


def _damaged_status(damaged: DamagedSchedule) -> ScheduleStatus:
    text = f"{damaged.path} cannot be read: {damaged.problem}"
    problem = ScheduleProblem(damaged.name, "record damaged", text, "Install it again, or delete the file.")
    return ScheduleStatus(damaged, problems=(problem,))


def check_schedule(
    schedule: InstalledSchedule,
    now: datetime,
    machine: MachineState,
    occurrences: Sequence[Occurrence],
    since: timedelta = DEFAULT_SINCE,
) -> ScheduleStatus:
    """Return the status of one schedule.

    Checked are every planned time of the last `since`, and the last one in any case. A planned time counts when its
    grace time is over. A schedule of another machine is not judged: its starts are recorded there.
    `occurrences` are those of the schedule, the oldest first.
    """
    timetable = schedule.timetable
    if schedule.host != machine.host:
        return ScheduleStatus(schedule, timetable.next(now))
    standing = list(standing_problems(schedule, machine))
    due = due_times(schedule, now, since)
    problems = [
        *standing,
        *_planned_problems(schedule, due, occurrences, machine, now),
        *_last_problems(schedule, occurrences, now),
    ]
    return ScheduleStatus(
        schedule,
        timetable.next(now),
        occurrences[-1] if occurrences else None,
        tuple(problems),
        tuple(timetable.describe_clock_changes(now)),
    )


def due_times(schedule: InstalledSchedule, now: datetime, since: timedelta) -> list[PlannedTime]:
    """Return the planned times whose grace time is over: those of the last `since`, and the last one in any case."""
    grace = timedelta(seconds=schedule.grace_s)
    for back in (since, *_LOOK_BACK):
        first = max(schedule.installed, now - back)
        planned = schedule.timetable.between(first, now)
        due = [each for each in planned if each.latest + grace <= now]
        if due:
            return due if back == since else due[-1:]
        if first == schedule.installed:
            break
    return []


# --- planned times ------------------------------------------------------------------------------------------


def _planned_problems(
    schedule: InstalledSchedule,
    due: Sequence[PlannedTime],
    occurrences: Sequence[Occurrence],
    machine: MachineState,
    now: datetime,
) -> Iterator[ScheduleProblem]:
    """Yield a problem for each planned time without a run in time. One problem stands for a row of missed times."""
    missed: list[PlannedTime] = []
    for planned, started in _starts_of(schedule, due, occurrences, now):
        if not started:
            missed.append(planned)
            continue
        yield from _start_problems(schedule, planned, started)
    for group in _same_cause(missed, occurrences, machine):
        yield _missed_problem(schedule, group, occurrences, machine)


def _starts_of(
    schedule: InstalledSchedule, due: Sequence[PlannedTime], occurrences: Sequence[Occurrence], now: datetime
) -> Iterator[tuple[PlannedTime, Sequence[Occurrence]]]:
    """Yield each planned time with what was started from then until the next one. `occurrences` are in order."""
    if not due:
        return
    following = [*(each.at for each in due[1:]), schedule.timetable.next(due[-1].at) or now]
    starts = [each.at for each in occurrences]
    for planned, end in zip(due, following, strict=True):
        yield (
            planned,
            occurrences[bisect_left(starts, planned.at - _EARLY) : bisect_left(starts, end - _EARLY)],
        )


def _start_problems(
    schedule: InstalledSchedule, planned: PlannedTime, started: Sequence[Occurrence]
) -> Iterator[ScheduleProblem]:
    first = started[0]
    if first.at > planned.latest + timedelta(seconds=schedule.grace_s):
        text = f"the run of {_format_time(planned.at)} started {_format_span(first.at - planned.at)} late"
        yield ScheduleProblem(schedule.name, "late", text, planned=planned.at)
    if all(each.verdict in ("locked", "refused") for each in started):
        last = started[-1]
        kind = "locked" if last.verdict == "locked" else "refused"
        text = f"the run of {_format_time(planned.at)} did not begin: {_short_reason(last)}"
        yield ScheduleProblem(schedule.name, kind, text, planned=planned.at)


def _same_cause(
    missed: Sequence[PlannedTime], occurrences: Sequence[Occurrence], machine: MachineState
) -> Iterator[list[PlannedTime]]:
    """Yield the missed times in groups that have the same cause, each in order."""
    groups: dict[str, list[PlannedTime]] = {}
    for planned in missed:
        groups.setdefault(_missed_kind(planned, occurrences, machine), []).append(planned)
    yield from groups.values()


def _missed_kind(planned: PlannedTime, occurrences: Iterable[Occurrence], machine: MachineState) -> str:
    if any(each.verdict == "running" and each.at < planned.at for each in occurrences):
        return "overlap"
    return "machine off" if machine.booted and machine.booted > planned.at else "missed"


def _missed_problem(
    schedule: InstalledSchedule,
    group: Sequence[PlannedTime],
    occurrences: Sequence[Occurrence],
    machine: MachineState,
) -> ScheduleProblem:
    last = group[-1].at
    kind = _missed_kind(group[-1], occurrences, machine)
    runs = (
        f"the run of {_format_time(last)}"
        if len(group) == 1
        else f"{len(group)} runs, the last at {_format_time(last)},"
    )
    text, cure = f"{runs} did not start", _search_advice(schedule)
    if kind == "machine off" and machine.booted:
        text += f"; this machine was started at {_format_time(machine.booted)}"
    elif kind == "overlap":
        text += "; the run before has not ended"
    elif machine.lingering is False:
        cure = f"Timers end at logout; to keep them: loginctl enable-linger {schedule.user}"
    return ScheduleProblem(schedule.name, kind, text, cure, last)


def _search_advice(schedule: InstalledSchedule) -> str:
    """Return how to look for the cause of a run that did not start."""
    if schedule.system == "systemd":
        return f"Look for the cause: journalctl --user -u {schedule.name}.service -u {schedule.name}.timer"
    return "Look for the cause: run its command by hand (crontab -l shows it), and read the log of cron."


# --- the last run -------------------------------------------------------------------------------------------


def _last_problems(
    schedule: InstalledSchedule, occurrences: Sequence[Occurrence], now: datetime
) -> Iterator[ScheduleProblem]:
    """Yield what is wrong with runs that have not ended, and with the last one that has."""
    for each in occurrences:
        if each.verdict == "running" and (problem := _hanging_problem(schedule, each, now)):
            yield problem
    ended = [each for each in occurrences if each.verdict not in ("running", "locked", "refused")]
    if ended and ended[-1].verdict in ("failed", "died"):
        last = ended[-1]
        text = f"the run of {_format_time(last.at)} is {last.status}: {_short_reason(last)}"
        cure = f"Look at it: lcnb show {last.run}" if last.run else ""
        yield ScheduleProblem(schedule.name, last.verdict, text, cure)


def _hanging_problem(
    schedule: InstalledSchedule, running: Occurrence, now: datetime
) -> ScheduleProblem | None:
    grace = timedelta(seconds=schedule.grace_s)
    following = schedule.timetable.next(running.at + _EARLY)
    if schedule.timeout_s is not None and now > running.at + timedelta(seconds=schedule.timeout_s) + grace:
        limit = f"past its limit of {schedule.timeout_s:g} s"
    elif following is not None and now > following + grace:
        limit = f"past the next planned time, {_format_time(following)}"
    else:
        return None
    text = f"the run of {_format_time(running.at)} has not ended, {limit}"
    return ScheduleProblem(
        schedule.name, "hanging", text, "Look at it: lcnb runs --status running. --timeout S limits each run."
    )


def _short_reason(each: Occurrence) -> str:
    text = each.reason.strip().partition("\n")[0][:MAX_REASON_CHARACTERS] or each.status
    return text.rstrip(".") + (f" (exit code {each.exit_code})" if each.exit_code is not None else "")


def _format_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _format_span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
