"""When the runs of a schedule are planned to start, also on days on which clocks change.

A time on the wall may not exist (clocks go forward) or exist twice (clocks go back). Schedulers treat such times
differently, and a check must expect what the scheduler does:

- cron starts a run at a fixed time that does not exist right after the change, and one at a time that exists twice only
  the first time. Runs of each hour or minute follow the clock on the wall: skipped, then twice.
- systemd leaves out a time that does not exist, and uses only the first of two.

All results are in UTC. The current time is always passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from lcnb.runbooks.schedule.cron import CronExpression

#: More than clocks are ever moved.
_MARGIN = timedelta(hours=25)
#: The end of the search for the next run: a schedule for 29 February may have to wait for eight years.
_HORIZON = timedelta(days=366 * 9)
#: How far ahead `describe_clock_changes` looks: each zone with summer time changes its clocks twice in that time.
_LOOK_AHEAD = timedelta(days=400)


@dataclass(frozen=True)
class PlannedTime:
    """One time at which a run should start. `latest` is later than `at` where a scheduler may use either."""

    at: datetime
    latest: datetime


@dataclass(frozen=True)
class Timetable:
    """The times of a schedule in its time zone, as its scheduler ("cron" or "systemd") reads them."""

    cron: CronExpression
    zone: tzinfo
    system: str

    def between(self, after: datetime, until: datetime) -> list[PlannedTime]:
        """Return the planned times after `after` and not after `until`, in order.

        >>> from zoneinfo import ZoneInfo
        >>> from lcnb.runbooks.schedule.cron import parse_cron
        >>> timetable = Timetable(parse_cron("30 2 * * *"), ZoneInfo("Europe/Berlin"), "systemd")
        >>> found = timetable.between(datetime(2027, 3, 27, tzinfo=UTC), datetime(2027, 3, 29, 12, tzinfo=UTC))
        >>> [f"{each.at:%d %H:%M}" for each in found]  # 02:30 does not exist on 28 March
        ['27 01:30', '29 00:30']
        """
        first, last = self._wall(after) - _MARGIN, self._wall(until) + _MARGIN
        found: dict[datetime, PlannedTime] = {}
        for wall in self.cron.times(first):
            if wall > last:
                break
            for planned in self._planned(wall):
                if after < planned.at <= until:
                    found.setdefault(planned.at, planned)
        return [found[at] for at in sorted(found)]

    def next(self, after: datetime) -> datetime | None:
        """Return the next planned time in UTC; None for a date that never comes."""
        candidates: list[datetime] = []
        for wall in self.cron.times(self._wall(after) - _MARGIN):
            if candidates and wall > self._wall(candidates[0]) + _MARGIN:
                break
            if wall > self._wall(after) + _HORIZON:
                break
            candidates += [each.at for each in self._planned(wall) if each.at > after]
        return min(candidates, default=None)

    def describe_clock_changes(self, now: datetime) -> list[str]:
        """Return a sentence for each planned time of the next 400 days that does not exist or exists twice."""
        lines: list[str] = []
        for before, after in self._clock_changes(now):
            low, high = sorted((before, after))
            walls = [wall for wall in self._walls_from(low) if wall < high]
            if walls:
                lines.append(self._describe_change(walls, forward=after > before))
        return lines

    def _describe_change(self, walls: list[datetime], *, forward: bool) -> str:
        times = f"{walls[0]:%Y-%m-%d %H:%M}" + (f" to {walls[-1]:%H:%M}" if len(walls) > 1 else "")
        starts = sorted({each.at for wall in walls for each in self._planned(wall)})
        several = len(walls) > 1
        problem = (
            ("do not exist" if several else "does not exist")
            if forward
            else f"exist{'' if several else 's'} twice"
        )
        if not starts:
            result = "no run"
        elif len(starts) > len(walls):
            result = "a run each time"
        elif forward:
            result = f"the run starts at {starts[0].astimezone(self.zone):%H:%M}"
        else:
            result = "a run the first time only"
        return f"{times} {problem} in {self.zone}: {result} ({self.system})."

    def _walls_from(self, low: datetime) -> Iterator[datetime]:
        for wall in self.cron.times(low - timedelta(minutes=1)):
            if wall > low + timedelta(hours=4):
                return
            yield wall

    def _clock_changes(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield what clocks on the wall would show at each change without it, and what they show from then on."""
        step, at = timedelta(hours=1), now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        offset = self._offset(at)
        for number in range(1, int(_LOOK_AHEAD / step)):
            later = at + number * step
            new = self._offset(later)
            if new != offset:
                moment = self._change_between(later - step, later).replace(tzinfo=None)
                yield moment + offset, moment + new
                offset = new

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self.zone).utcoffset() or timedelta(0)

    def _change_between(self, low: datetime, high: datetime) -> datetime:
        """Return the minute at which the offset changes: the first one with the offset of `high`."""
        wanted = self._offset(high)
        minute = timedelta(minutes=1)
        while high - low > minute:
            middle = low + (high - low) // minute // 2 * minute
            if self._offset(middle) == wanted:
                high = middle
            else:
                low = middle
        return high

    def _wall(self, at: datetime) -> datetime:
        return at.astimezone(self.zone).replace(tzinfo=None)

    def _planned(self, wall: datetime) -> list[PlannedTime]:
        """Return when runs of a time on the wall start: never, once, or twice."""
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            return [PlannedTime(first, first)]
        exists = self._wall(first) == wall
        fixed = self.system == "cron" and self.cron.has_fixed_times
        if not exists:  # with fold=0, `first` is the distance into the gap after the change
            change = self._change_between(second - _MARGIN / 5, first + _MARGIN / 5)
            return [PlannedTime(change, first)] if fixed else []
        if self.system == "cron" and not fixed:
            return [PlannedTime(first, first), PlannedTime(second, second)]
        return [PlannedTime(first, second)]
