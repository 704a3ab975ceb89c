"""The account as it was just read: the records that prove whether a change happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lcnb.api import queries
from lcnb.api.fields import Record
from lcnb.api.flows import Flow, Together
from lcnb.api.models import Instance, Snapshot, SSHKey
from lcnb.api.record_reader import read_record
from lcnb.names import same_name

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

    seen: Mapping[str, list[tuple[Any, Mapping[str, Any]]]]
    #: Kinds with records that could not be read. A thing that is not seen among them may still exist.
    incomplete: frozenset[str] = frozenset()

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
            not each.identifier and same_name(each.label, target)
            for each in (self.records_of(kind) if kind == "instance" else ())
        )


def read_account(kinds: Collection[str]) -> Flow[LiveAccount]:
    """Read the listings of these kinds, all at once."""
    names = sorted(kinds)
    found = yield Together([_LISTING_FLOWS[name]() for name in names])
    return LiveAccount(
        {
            name: [(read_record(_MODELS[name], raw, path, []), raw) for path, raw in listing.records]
            for name, listing in zip(names, found, strict=True)
        },
        frozenset(name for name, listing in zip(names, found, strict=True) if listing.drift),
    )
