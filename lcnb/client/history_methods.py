"""The methods of both clients that read the history of an account: nothing but `record` asks the provider.

What they need loads when it is used: a client must not wait for numpy because it keeps its readings.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lcnb.api import queries
from lcnb.client.derivation import Steps, client_method, wait_for
from lcnb.config import Settings
from lcnb.errors import HistoryError, HistoryWarning, InputError
from lcnb.frames.provenance import caller_stacklevel
from lcnb.history import past, readings
from lcnb.history.moments import format_moment, parse_moment
from lcnb.history.recording import HistoryRecorder
from lcnb.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.history.moments import Moment
    from lcnb.history.summary import RecordedReading


class HistoryMethods:
    """The part of an account that is about its past."""

    settings: Settings
    _history: HistoryRecorder

    @client_method
    def record(self) -> Steps[RecordedReading]:
        """Read machines, locations, plans and currency, and keep them in the history; return what was found.

        Every `instances()`, `inventory()`, `locations()`, `plans()`, `catalogue()` and `profile()` is kept as well:
        this method is for a schedule. It asks the provider for the plans too, not the cache of the catalogue. Raises
        the errors of `inventory()`, and HistoryError if the reading cannot be kept or LCNB_HISTORY=0.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).record().appeared > 0
        True
        """
        from lcnb.history.summary import newest_reading

        if not self._history.enabled:
            raise HistoryError(
                "the history is switched off by LCNB_HISTORY=0", cure="Unset it.", not_done="read"
            )
        flow = self._history.record(
            queries.read_inventory(), readings.inventory_readings, readings.INSTANCES, required=True
        )
        yield from wait_for(flow)
        with self._history.read() as stored:
            return newest_reading(stored)

    def history(self, machine: str | None = None) -> pd.DataFrame:
        """Return machines over time, from the history of this account: one row per machine and version.

        A version lasts as long as none of the columns changes. `first_seen` and `last_seen` (`datetime64[us, UTC]`)
        are the first and the last reading that found it; what happened between two readings is not known. `present`
        (`boolean`) says whether the newest complete reading has it, and `ended` (`str`) how it ended: `changed` into
        the next version, or `gone` with the machine. The other columns and dtypes are those of the inventory.

        Args:
            machine: the label or identifier of a machine, also of one that is gone; by default all machines. A label
                finds each machine that ever had it.

        Nothing is requested. Raises InputError for a machine that was never seen, HistoryError if the file cannot be
        read.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> fleet = lc.inventory()
        >>> lc.history("web-01")[["label", "present", "ended"]].values.tolist()
        [['web-01', True, nan]]
        """
        from lcnb.history.timeline import history_frame

        if machine is not None and not isinstance(machine, str):
            raise InputError(field="machine", expected="a label or identifier as text", value=machine)
        with self._history.read() as stored:
            return history_frame(stored, machine, self.settings.account)

    def readings(self) -> pd.DataFrame:
        """Return when this account was read: at (`datetime64[us, UTC]`), kind, complete (`boolean`), problem.

        A partial or failed reading has the reason in `problem`. It changes no machine in the history.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> fleet = lc.inventory()
        >>> "instances" in set(lc.readings().kind)
        True
        """
        from lcnb.history.summary import readings_frame

        with self._history.read() as stored:
            return readings_frame(stored)

    def compare(self, since: Moment, until: Moment | None = None) -> pd.DataFrame:
        """Return what changed between two times, from the history of this account: one row per machine.

        Args:
            since, until: dates or times, as for `inventory(at=...)`; `until` is the newest reading by default.

        Columns: `change` (appeared, gone, changed, or temporary: seen only in between), identifier, label, `what`
        (such as `plan: a → b`), `monthly_difference` (`Float64`; missing where a price is not known), currencycode,
        `not_before` and `not_after` (`datetime64[us, UTC]`), the two readings between which it happened.

        Nothing is requested. Raises InputError if there is no reading before `since`.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> fleet = lc.inventory()
        >>> len(lc.compare(since=fleet.attrs["lcnb"]["fetched_at"]))
        0
        """
        from lcnb.history.comparison import account_changes

        start, end = self._period(since, until)
        with self._history.read() as stored:
            return account_changes(stored, start, end)

    def spend(
        self,
        since: Moment,
        until: Moment | None = None,
        *,
        by: str | None = None,
        freq: str = "D",
        tags: str = "then",
    ) -> pd.DataFrame:
        """Return what the machines cost per day or month, with bounds, from the history of this account.

        Where a machine appeared, is gone or changed between two readings, nobody knows when: `lower` has the cheaper of
        both states for the whole time between the readings, `upper` the dearer. A machine that existed only between two
        readings, or had yet another plan there, is not counted; `longest_gap_hours` is the longest time without a
        reading. Machines that are off are counted: they may be charged. A month has 730 hours.

        Args:
            since, until: dates or times, as for `inventory(at=...)`. Only the time between the first and the last
                reading is counted.
            by: location, plan, label, state, template_label, owner, or `tag:KEY`. Machines without the tag have a
                row whose group is missing.
            freq: "D" for days, "MS" for months, both in UTC.
            tags: "then" uses the tags of that time, "now" those of the newest reading.

        Columns: `day` or `month` (its start), group, currencycode, lower and upper (`Float64`, in that currency),
        machines, `unpriced` (machines without a price, in rows without currency and amounts), `hours` of the period
        that were counted, `uncertain_hours` in which the bounds differ, and `longest_gap_hours`.

        Nothing is requested. A table without rows has a reason: a HistoryWarning and `attrs["lcnb"]["reason"]` name it.
        Raises InputError for a wrong argument, or if the account was never read.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> readings = lc.record(), lc.power_off("web-01").apply(confirm=True), lc.record()
        >>> lc.spend(since="7d", by="location").columns[:4].tolist()
        ['day', 'group', 'currencycode', 'lower']
        """
        from lcnb.history.spending import spending_frame

        start, end = self._period(since, until)
        with self._history.read() as stored:
            frame = spending_frame(stored, start, end, by, freq, tags)
        if reason := frame.attrs["lcnb"].get("reason"):
            warnings.warn(f"spend: {reason}", HistoryWarning, stacklevel=caller_stacklevel())
        return frame

    def _past_inventory(self, at: Moment) -> pd.DataFrame:
        moment = parse_moment("at", at, self._history.clock())
        with self._history.read() as stored:
            return past.past_inventory(stored, moment, self.settings.account)

    def _past_rows(self, at: Moment) -> Rows:
        moment = parse_moment("at", at, self._history.clock())
        with self._history.read() as stored:
            return past.past_rows(stored, moment)

    def _period(self, since: Moment, until: Moment | None) -> tuple[int, int]:
        now = self._history.clock()
        start = parse_moment("since", since, now)
        end = int(now * 1000) if until is None else parse_moment("until", until, now)
        if end < start:
            raise InputError(
                f"{format_moment(end)} is before since ({format_moment(start)})",
                field="until",
                value=until,
                cure="Pass the earlier time as since.",
            )
        return start, end
