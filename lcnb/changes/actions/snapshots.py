"""The actions on snapshots: create, rename, delete."""

from __future__ import annotations

from typing import Any

from lcnb.api import calls
from lcnb.api.flows import Envelope, Flow
from lcnb.api.models import Instance
from lcnb.changes.actions.base import (
    ABSENT,
    Action,
    Evidence,
    MachineAction,
    SimilarChanges,
    TaskOutcome,
    check_ready,
    target_name,
)
from lcnb.changes.built import BuiltChanges
from lcnb.changes.change import Change
from lcnb.changes.journal import Journal
from lcnb.changes.live_account import LiveAccount
from lcnb.changes.lookups import find_snapshot
from lcnb.changes.name_rules import checked_label
from lcnb.changes.reading import ReadCache
from lcnb.changes.tasks import ApplyRules, ChangeTask
from lcnb.names import same_name


class CreateSnapshot(MachineAction):
    """Store an image of a machine. A snapshot does not name its machine, so its title must identify it."""

    name = "create snapshot"
    kind = "snapshot"
    target_kind = "instance"
    goal = "built"
    creates = True
    journal_lookup = "snapshots of the title"

    def request_of(self, change: Change) -> calls.Call:
        """Return the request for the title of a change."""
        return calls.create_snapshot(change.identifier or "", change.expect["title"])

    def build(self, machine: Instance, label: str) -> BuiltChanges:
        """Build the change of a machine that is ready."""
        check_ready(machine)
        label = checked_label(label)
        call = calls.create_snapshot(machine.identifier or "", label)
        return BuiltChanges([self.machine_change(machine, call, "", f"snapshot {label}", title=label)])

    def known_identifiers(self, change: Change, live: LiveAccount) -> frozenset[str]:
        """Return all snapshots that exist."""
        return frozenset(each.slug for each in live.records_of("snapshot") if each.slug)

    def take_response(self, task: ChangeTask, envelope: Envelope) -> Flow[TaskOutcome | None]:
        """The slug of a new snapshot proves it, unless an earlier attempt may have made one, too.

        A response may show another snapshot, such as an older one from a cache. Then the listing decides.
        """
        yield from ()
        slug = envelope.slug
        if slug is None or slug in task.known or task.tries > 1:
            return None
        label = envelope.data.get("label")
        if isinstance(label, str) and not same_name(label, task.change.expect["title"]):
            return None
        return TaskOutcome("done", identifier=slug)

    def find_similar(
        self, task: ChangeTask, journal: Journal, changeset: str, rules: ApplyRules
    ) -> SimilarChanges:
        """Find the other changes that make, or have made, a snapshot of this title."""
        title = str(task.change.expect["title"])
        made, open_count = journal.snapshots_of_title(
            title, changeset, task.position, pending_s=rules.settle_s, attempt_s=rules.attempt_s
        )
        return SimilarChanges(frozenset(made), open_count)

    def find_evidence(self, task: ChangeTask, live: LiveAccount, similar: SimilarChanges) -> Evidence:
        """A new snapshot of the title counts only when no other change can have made it."""
        title = task.change.expect["title"]
        new: list[str] = [
            each.slug
            for each in live.records_of("snapshot")
            if each.slug
            and same_name(each.label, title)
            and each.slug not in task.known
            and each.slug not in similar.made
        ]
        if not new:
            return ABSENT
        if len(new) <= similar.open_count:
            detail = f"{similar.open_count + 1} changes may have made the snapshot {', '.join(new)}."
            return Evidence("doubtful", None, detail)
        if len(new) > similar.open_count + 1:
            detail = (
                f"{len(new)} snapshots with this label are new: {', '.join(new)}. A snapshot does not say of which "
                "machine it is: keep them until you know"
            )
            return Evidence("twins", new[0], detail)
        return Evidence("shown", new[0])

    def goal_state(self, change: Change, record: Any) -> tuple[bool, str]:
        """Check that the provider has finished the snapshot."""
        return bool(record.build), "built" if record.build else "being built"


class SnapshotAction(Action):
    """An action on one existing snapshot."""

    kind = "snapshot"


class RenameSnapshot(SnapshotAction):
    """Give a snapshot another label."""

    name = "rename snapshot"

    def request_of(self, change: Change) -> calls.Call:
        """Return the request for the new label of a change."""
        return calls.rename_snapshot(change.identifier or "", change.after)

    def build(self, cache: ReadCache, slug: str, label: str) -> Flow[BuiltChanges]:
        """Build the change of a snapshot; one that has the label already is left alone, with a note."""
        label = checked_label(label)
        call = calls.rename_snapshot(slug, label)
        snapshot = yield from find_snapshot(cache, slug)
        if snapshot.label == label:
            notes = [f"the snapshot {slug} is called {label} already"]
            return BuiltChanges([], notes, {slug: f"rename snapshot {slug}"})
        old, expect = snapshot.label or "", {"label": snapshot.label}
        return BuiltChanges(
            [Change(self.name, target_name(old, slug), call, slug, old, label, expect=expect)]
        )

    def took_effect(self, change: Change, record: Any) -> bool:
        """Whether the snapshot has the new label."""
        return same_name(record.label, change.after)


class DeleteSnapshot(SnapshotAction):
    """Delete a snapshot."""

    name = "delete snapshot"
    irreversible = True
    deletes = True

    def request_of(self, change: Change) -> calls.Call:
        """Return the request that deletes the snapshot of a change."""
        return calls.delete_snapshot(change.identifier or "")

    def build(self, cache: ReadCache, slug: str) -> Flow[BuiltChanges]:
        """Build the change of a snapshot that exists."""
        calls.path_segment("snapshot slug", slug)
        snapshot = yield from find_snapshot(cache, slug)
        size = "" if snapshot.size is None else f"{snapshot.size:g} GB"
        call = calls.delete_snapshot(slug)
        expect = {"label": snapshot.label}
        return BuiltChanges(
            [Change(self.name, target_name(snapshot.label, slug), call, slug, size, "gone", expect=expect)]
        )
