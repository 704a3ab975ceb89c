"""The methods of both clients about facts: tags, owner, note, protection, expiry.

Facts are in a file of this machine (`Settings.facts_path`). An edit takes effect at once and sends nothing but the
listing in which the machines are looked up, so it is no ChangeSet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lcnb.api import queries
from lcnb.api.flows import Flow, LocalWork
from lcnb.api.models import Instance
from lcnb.changes.reading import listed_machines
from lcnb.client.derivation import Steps, client_method, wait_for
from lcnb.client.named_machines import Machines, find_machines, read_machine_names
from lcnb.config import Settings
from lcnb.deferred_imports import DeferredModule
from lcnb.errors import InputError
from lcnb.facts import edits
from lcnb.facts.check import FactsProblem, find_problems
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import FactsEdit, MachineFacts, checked_tag_key
from lcnb.facts.wishes import make_wish
from lcnb.flags import checked_flag
from lcnb.frames.facts_frame import facts_rows
from lcnb.rows import Column, Rows, rows_of
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes import journal
else:  # only protecting a machine needs it
    journal = DeferredModule("lcnb.changes.journal")


_PROBLEM_COLUMNS: Sequence[Column[FactsProblem]] = (
    ("finding", "str", lambda problem: problem.finding),
    ("identifier", "str", lambda problem: problem.identifier),
    ("label", "str", lambda problem: problem.label or None),
    ("detail", "str", lambda problem: problem.detail),
)


class FactsMethods:
    """What a client knows about its machines that the API cannot hold."""

    settings: Settings
    #: The name of this client in the frames that it reads.
    _name: str

    @property
    def _facts_file(self) -> FactsFile:
        return FactsFile(self.settings.facts_path)

    def facts(self) -> pd.DataFrame:
        """Return the facts file of this account as a frame, one row per machine; nothing is sent.

        Columns: identifier, label, tags (`legacy; project=shop`), owner, note, protected_by (`str`), protected
        (`boolean`), protected_at and expires (`datetime64[us, UTC]`). Machines that the account no longer has are
        listed too. Raises InputError with the line of each cell that cannot be read.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).facts().columns[:4].tolist()
        ['identifier', 'label', 'tags', 'owner']
        """
        return self._facts_rows().frame()

    def _facts_rows(self) -> Rows:
        """Return the rows of `facts`, for a command that needs no frame."""
        return facts_rows(self._facts_file.read().values(), self.settings.account)

    @client_method
    def tag(self, machines: Machines, *tags: edits.Tags) -> Steps[pd.DataFrame]:
        """Give machines tags: `"project=shop"`, a bare key such as `"legacy"`, or mappings of keys to values.

        Args:
            machines: a label, an identifier, a list of them, or a frame of machines.
            tags: a tag that a machine has already gets the new value.

        Returns the facts of these machines, as `facts()`. Raises NotFound for unknown machines, InputError for a
        wrong tag, a label of several machines, or a facts file that cannot be read or written; then nothing is written.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.tag(["web-01", "web-03"], "project=shop", "legacy").tags.tolist()
        ['legacy; project=shop', 'legacy; project=shop']
        """
        return (yield from self._tag_steps(machines, *tags)).frame()

    def _tag_steps(self, machines: Machines, *tags: edits.Tags) -> Steps[Rows]:
        return (yield from self._edit_facts(machines, edits.add_tags(edits.read_tags(tags))))

    @client_method
    def untag(self, machines: Machines, *keys: str) -> Steps[pd.DataFrame]:
        """Remove the tags of these keys. Raises InputError for a key that none of the machines has.

        Machines as for `tag`, and identifiers of machines that the account no longer has. Returns as `tag`.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> _ = lc.tag("db-01", "project=shop", "legacy")
        >>> lc.untag("db-01", "legacy").tags.tolist()
        ['project=shop']
        """
        return (yield from self._untag_steps(machines, *keys)).frame()

    def _untag_steps(self, machines: Machines, *keys: str) -> Steps[Rows]:
        removed = edits.read_tag_keys(keys)
        found = yield from self._find_machines(machines, gone_allowed=True)
        stored = self._facts_file.read()
        edits.check_tag_keys(removed, [stored[each] for each in found if each in stored])
        return (yield from self._write_facts(found, edits.remove_tags(removed)))

    @client_method
    def protect(self, machines: Machines) -> Steps[pd.DataFrame]:
        """Protect machines: lcnb refuses what interrupts or ends them until `unprotect`.

        The facts file records who protected a machine and when. Machines, result and errors as for `tag`.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).protect("db-01").protected.tolist()
        [True]
        """
        return (yield from self._protect_steps(machines)).frame()

    def _protect_steps(self, machines: Machines) -> Steps[Rows]:
        return (
            yield from self._edit_facts(machines, edits.protect(journal.user_at_host(), datetime.now(UTC)))
        )

    @client_method
    def unprotect(self, machines: Machines) -> Steps[pd.DataFrame]:
        """Lift the protection of machines. Machines as for `untag`, result and errors as for `tag`.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).unprotect("db-01").protected.tolist()
        [False]
        """
        return (yield from self._unprotect_steps(machines)).frame()

    def _unprotect_steps(self, machines: Machines) -> Steps[Rows]:
        return (yield from self._edit_facts(machines, edits.unprotect(), gone_allowed=True))

    @client_method
    def expire(
        self,
        machines: Machines,
        in_: str | timedelta | None = None,
        *,
        at: str | date | None = None,
        never: bool = False,
    ) -> Steps[pd.DataFrame]:
        """Set when machines may be ended. Nothing ends them by itself: a runbook or a person does.

        Args:
            machines: as for `tag`; with `never` as for `untag`.
            in_: the time from now, such as "30m", "8h" or "7d".
            at: the time itself: "2027-01-31T18:00-03:00", a `date` or a `datetime`; without an offset it is in UTC.
            never: the machines do not expire.

        Returns as `tag`. Raises InputError unless exactly one of the three is given, and for a time that has passed.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.expire("web-01", at="2099-12-31T18:00:00Z").expires.tolist()
        [Timestamp('2099-12-31 18:00:00+0000', tz='UTC')]
        >>> lc.expire("web-01", never=True).expires.isna().tolist()
        [True]
        """
        return (yield from self._expire_steps(machines, in_, at=at, never=never)).frame()

    def _expire_steps(
        self, machines: Machines, in_: str | timedelta | None, *, at: str | date | None, never: bool
    ) -> Steps[Rows]:
        at_time = edits.read_expiry(in_, at, checked_flag("never", never), datetime.now(UTC))
        return (yield from self._edit_facts(machines, edits.expire(at_time), gone_allowed=at_time is None))

    @client_method
    def set_facts(
        self,
        machines: Machines,
        *,
        owner: str | None = None,
        note: str | None = None,
    ) -> Steps[pd.DataFrame]:
        """Set the owner or the note of machines; an empty text removes it. Machines and errors as for `tag`.

        >>> import lcnb
        >>> lcnb.connect(sandbox=True).set_facts("web-01", owner="ana").owner.tolist()
        ['ana']
        """
        return (yield from self._set_facts_steps(machines, owner=owner, note=note)).frame()

    def _set_facts_steps(self, machines: Machines, *, owner: str | None, note: str | None) -> Steps[Rows]:
        return (yield from self._edit_facts(machines, edits.describe(owner, note)))

    @client_method
    def move_facts(self, identifier: str, to: str | Instance) -> Steps[pd.DataFrame]:
        """Move all facts of a machine that is gone to the one that replaces it.

        Args:
            identifier: the identifier in the facts file; the account must not have it any more.
            to: label or identifier of a machine without facts.

        Returns the facts of both. Raises InputError when the first still exists or the second has facts.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.move_facts("gone0123456789", "web-01")
        Traceback (most recent call last):
            ...
        lcnb.errors.InputError: the facts file has no machine 'gone0123456789'. Nothing was written.
        """
        return (yield from self._move_facts_steps(identifier, to)).frame()

    def _move_facts_steps(self, identifier: str, to: str | Instance) -> Steps[Rows]:
        yield from self._check_gone([identifier])
        target = yield from self._find_machines(to)
        return (yield from self._write_facts({identifier: "", **target}, edits.move(identifier)))

    @client_method
    def remove_facts(self, identifiers: str | Iterable[str]) -> Steps[pd.DataFrame]:
        """Remove all facts of machines that the account no longer has, by their identifiers.

        Returns the removed facts. Raises InputError for a machine that still exists, or has no facts.
        """
        return (yield from self._remove_facts_steps(identifiers)).frame()

    def _remove_facts_steps(self, identifiers: str | Iterable[str]) -> Steps[Rows]:
        names = [identifiers] if isinstance(identifiers, str) else list(identifiers)
        yield from self._check_gone(names)
        removed: list[MachineFacts] = []
        yield from self._write_facts(dict.fromkeys(names, ""), edits.clear(removed))
        return facts_rows(removed, self.settings.account)

    @client_method
    def check_facts(self, *, require: Iterable[str] = ()) -> Steps[pd.DataFrame]:
        """Compare the facts file with the account, and return what does not fit, one row per finding.

        Findings: `replaced` (the machine is gone and another one has its label), `gone`, `expired`, `renamed`,
        `untagged`; with `require`, the keys that each machine needs as tags, `tag missing` instead. Columns, all
        `str`: finding, identifier, label, detail.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> "tag missing" in set(lc.check_facts(require=["cost-center"]).finding)
        True
        """
        return (yield from self._check_steps(require)).frame()

    @client_method
    def _edited_rows(self, edit: str, *arguments: Any, **options: Any) -> Steps[Rows]:
        """Return the rows of the method of this name, such as `tag`, for a command that needs no frame."""
        steps: Steps[Rows] = getattr(self, f"_{edit}_steps")(*arguments, **options)
        return (yield from steps)

    @client_method
    def _check_rows(self, require: Iterable[str]) -> Steps[Rows]:
        """Return the rows of `check_facts`, for a command that needs no frame."""
        return (yield from self._check_steps(require))

    def _check_steps(self, require: Iterable[str]) -> Steps[Rows]:
        keys = [checked_tag_key(each) for each in ([require] if isinstance(require, str) else require)]
        facts = self._facts_file.read()
        listed = listed_machines((yield from wait_for(queries.list_instances())))
        machines = {each.identifier: each.label or "" for each in listed.machines if each.identifier}
        unreadable = listed.unreadable[0] if listed.unreadable else ""
        found = find_problems(facts, machines, now=datetime.now(UTC), required=keys, unreadable=unreadable)
        return rows_of(found, _PROBLEM_COLUMNS, kind="facts check", account=self.settings.account)

    # --- details ----------------------------------------------------------------------------------------

    def _wished_facts(
        self,
        tags: edits.Tags | Iterable[edits.Tags] | None,
        owner: str | None,
        expires: str | timedelta | date | None,
        protect: bool,
    ) -> dict[str, str]:
        """Return the facts that a new machine shall get. InputError for a wrong one."""
        protect_by = journal.user_at_host() if checked_flag("protect", protect) else ""
        now = datetime.now(UTC)
        return make_wish(tags=tags, owner=owner, expires=expires, protect_by=protect_by, now=now)

    def _find_machines(self, machines: Machines, *, gone_allowed: bool = False) -> Steps[dict[str, str]]:
        """Return identifier → label of each machine that a user passed."""
        named = read_machine_names(machines, self._name)
        stored = {each.identifier: each.label for each in self._facts_file.read().values()}
        return (yield from wait_for(find_machines(named, stored, gone_allowed=gone_allowed)))

    def _edit_facts(
        self, machines: Machines, change: FactsEdit, *, gone_allowed: bool = False
    ) -> Steps[Rows]:
        found = yield from self._find_machines(machines, gone_allowed=gone_allowed)
        return (yield from self._write_facts(found, change))

    def _write_facts(self, machines: Mapping[str, str], change: FactsEdit) -> Steps[Rows]:
        """Change the facts of these machines (identifier → label), and return them; of none, write nothing."""
        changed = (yield from wait_for(_edit_file(self._facts_file, machines, change))) if machines else {}
        return facts_rows(changed.values(), self.settings.account)

    def _check_gone(self, identifiers: Sequence[str]) -> Steps[None]:
        """Raise InputError unless the facts file has these machines and the account has none of them."""
        stored = self._facts_file.read()
        for each in identifiers:
            if each not in stored:
                raise InputError(
                    f"the facts file has no machine {each!r}{did_you_mean(each, stored)}", not_done="written"
                )
        listed = listed_machines((yield from wait_for(queries.list_instances())))
        listed.check_readable("a machine that still exists could lose its facts")
        for machine in listed.machines:
            if machine.identifier in identifiers:
                raise InputError(
                    f"the account still has {machine.identifier} ({machine.label})",
                    cure="Its facts are changed by tag, untag, protect, unprotect, expire and set_facts.",
                    not_done="written",
                )


def _edit_file(
    file: FactsFile, machines: Mapping[str, str], change: FactsEdit
) -> Flow[dict[str, MachineFacts]]:
    changed: dict[str, MachineFacts] = yield LocalWork("facts", lambda: file.edit(machines, change))
    return changed
