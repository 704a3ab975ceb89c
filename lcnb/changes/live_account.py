"""The account as it was just read: the records that prove whether a change happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lcnb.api import queries
from lcnb.api.fields import Record
from lcnb.api.flows import Flow, Together
from lcnb.api.listing_reader import Listing
from lcnb.api.models import Instance, Snapshot, SSHKey
from lcnb.api.record_reader import read_record
from lcnb.changes.reading import ListedMachines, unreadable_records
from lcnb.names import comparable_name, same_name

#: The kinds of things that changes are about; each has one listing.
Kind = Literal["instance", "sshkey", "snapshot"]

_LISTING_FLOWS = {
    "instance": queries.list_instances,
    "sshkey": queries.list_sshkeys,
    "snapshot": queries.list_snapshots,
}
_MODELS: dict[str, type[Record]] = {"instance": Instance, "sshkey": SSHKey, "snapshot": Snapshot}


def identifier_field(kind: str) -> str:
    """Return the name of the field that identifies a record of this kind."""
    return "identifier" if kind == "instance" else "slug"


@dataclass(frozen=True)
class LiveAccount:
    """The account as it was just read: kind → records, each with its raw JSON."""

    #: Not in the repr: the raw JSON holds initial passwords, and tracebacks may print local variables.
    seen: Mapping[str, list[tuple[Any, Mapping[str, Any]]]] = field(repr=False)
    #: Kind → the first place of its listing that could not be read. A thing that is not seen there may still exist.
    incomplete: Mapping[str, str] = field(default_factory=dict)
    #: The machines, and all places of their listing that could not be read, single labels included.
    machines: ListedMachines = field(default_factory=lambda: ListedMachines([], []))

    def records_of(self, kind: str) -> list[Any]:
        """Return the records of one kind."""
        return [record for record, _ in self.seen[kind]]

    def find_record(
        self, kind: str, identifiers: Collection[str | None]
    ) -> tuple[Any, Mapping[str, Any]] | None:
        """Return the first record with one of these identifiers, and its raw JSON."""
        key = identifier_field(kind)
        for record, raw in self.seen[kind]:
            found = getattr(record, key)
            if found is not None and found in identifiers:
                return record, raw
        return None

    def identifiers(self, kind: str) -> set[str]:
        """Return the identifiers that the listing of this kind shows."""
        key = identifier_field(kind)
        return {found for each in self.records_of(kind) if (found := getattr(each, key))}

    def may_hide(self, kind: str, target: str) -> bool:
        """Whether `target` may exist although it was not found: in a record that could not be read."""
        return kind in self.incomplete or any(
            not each.identifier and (same_name(each.label, target) or not comparable_name(each.label))
            for each in (self.records_of(kind) if kind == "instance" else ())
        )

    def is_ambiguous(self, kind: str, identifier: str | None) -> bool:
        """Whether different things are listed with this identifier, so that nobody knows which one a call would hit."""
        key = identifier_field(kind)
        found = {
            tuple(getattr(each, name, None) for name in ("label", "hostname", "location"))
            for each in self.records_of(kind)
            if identifier is not None and getattr(each, key) == identifier
        }
        return len(found) > 1


def read_account(kinds: Collection[str]) -> Flow[LiveAccount]:
    """Read the listings of these kinds, all at once."""
    names = sorted(kinds)
    found: dict[str, Listing] = dict(
        zip(names, (yield Together([_LISTING_FLOWS[name]() for name in names])), strict=True)
    )
    seen = {
        name: [(read_record(_MODELS[name], raw, path, []), raw) for path, raw in listing.records]
        for name, listing in found.items()
    }
    drift = {name: listing.drift[0] for name, listing in found.items() if listing.drift}
    machines: list[Any] = [record for record, _ in seen.get("instance", ())]
    unreadable = list(unreadable_records(found["instance"])) if "instance" in found else []
    return LiveAccount(
        seen,
        {name: f"{first.path}: {first.problem}" for name, first in drift.items()},
        ListedMachines(machines, unreadable),
    )
