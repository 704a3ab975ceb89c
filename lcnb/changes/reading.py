"""What building a change reads: machines, keys, snapshots and the catalogue, kept for a short while.

Catalogue data is kept for minutes, listings for seconds, so that many changes share a few reads. `apply` reads again
whatever decides: that a label is free, and that a machine is still what it was.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lcnb.api import calls, queries
from lcnb.api.fields import Record
from lcnb.api.flows import Flow
from lcnb.api.listing_reader import Listing
from lcnb.api.machine_names import MachineIndex, MachineName, several_machines_error, unknown_machines_error
from lcnb.api.models import Image, Instance, Location, Plan, Profile, Snapshot, SSHKey
from lcnb.api.record_reader import read_record
from lcnb.changes.name_rules import NOTHING_SENT, comparable_label
from lcnb.errors import BadReply, InputError
from lcnb.names import comparable_name, same_name

R = TypeVar("R", bound=Record)

#: Seconds that the client keeps catalogue data, and listings of the account, for building changes.
CATALOGUE_CACHE_S, LISTING_CACHE_S = 600.0, 10.0

#: The character in place of bytes of a response that were not UTF-8.
REPLACEMENT_CHARACTER = "\ufffd"


@dataclass
class ReadCache:
    """What one client read a short while ago."""

    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def get_or_read(self, name: str, flow: Callable[[], Flow[Any]], keep_s: float) -> Flow[Any]:
        """Return the value of this name if it is younger than `keep_s` seconds, else run `flow` and keep its result."""
        found = self._kept.get(name)
        if found is not None and self.clock() - found[0] < keep_s:
            return found[1]
        value = yield from flow()
        self._kept[name] = (self.clock(), value)
        return value

    def forget_listings(self) -> None:
        """Drop the listings, because a change made them out of date. The catalogue stays."""
        for name in ("instances", "sshkeys", "snapshots"):
            self._kept.pop(name, None)


def typed_records(model: type[R], found: Listing) -> list[R]:
    """Return the typed objects of a listing; oddities do not matter here."""
    return [read_record(model, record, path, []) for path, record in found.records]


# --- catalogue, keys, snapshots -------------------------------------------------------------------------


def read_locations(cache: ReadCache) -> Flow[list[Location]]:
    """Read the locations."""
    return typed_records(
        Location, (yield from cache.get_or_read("locations", queries.list_locations, CATALOGUE_CACHE_S))
    )


def read_plans(cache: ReadCache, location: str) -> Flow[list[Plan]]:
    """Read the plans of a location."""
    found = yield from cache.get_or_read(
        f"plans {location}", lambda: queries.list_location_plans(location), CATALOGUE_CACHE_S
    )
    return typed_records(Plan, found)


def read_images(cache: ReadCache, location: str) -> Flow[list[Image]]:
    """Read the images of a location."""
    found = yield from cache.get_or_read(
        f"images {location}", lambda: queries.list_location_images(location), CATALOGUE_CACHE_S
    )
    return typed_records(Image, found)


def read_account_currency(cache: ReadCache) -> Flow[str | None]:
    """Read the currency code of the account."""
    profile = yield from cache.get_or_read(
        "profile", lambda: queries.read_single(calls.get_profile()), CATALOGUE_CACHE_S
    )
    return read_record(Profile, profile, "$.data", []).currency


def read_sshkeys(cache: ReadCache) -> Flow[list[SSHKey]]:
    """Read the ssh keys of the account."""
    return typed_records(
        SSHKey, (yield from cache.get_or_read("sshkeys", queries.list_sshkeys, LISTING_CACHE_S))
    )


def read_snapshots(cache: ReadCache) -> Flow[list[Snapshot]]:
    """Read the snapshots of the account."""
    return typed_records(
        Snapshot, (yield from cache.get_or_read("snapshots", queries.list_snapshots, LISTING_CACHE_S))
    )


# --- machines -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListedMachines:
    """The machines of an account, and the places of the listing that cannot be read."""

    machines: list[Instance]
    unreadable: list[str]

    def machines_named(self, label: str) -> list[Instance]:
        """Return the machines of this label."""
        return [each for each in self.machines if same_name(each.label, label)]

    def check_free(self, label: str) -> None:
        """Raise BadReply or InputError unless it is certain that no machine has this label."""
        self.check_readable(f"a machine of the label {label!r} may exist, and would be made a second time")
        for each in self.machines:
            if _may_match(each.label, label):
                raise InputError(
                    f"label {label!r}: the label of a machine came damaged, {each.label!r}, and may be this one "
                    f"({each.identifier}). Give that machine its label again in the LetsCloud panel. {NOTHING_SENT}"
                )

    def hiding_place(self, label: str) -> str:
        """Return the place of the listing that may hide a machine of this label, with the reason; "" for none."""
        if self.unreadable:
            return self.unreadable[0]
        damaged = next((each for each in self.machines if _may_match(each.label, label)), None)
        return "" if damaged is None else f"the label of {damaged.identifier} came damaged, {damaged.label!r}"

    def check_readable(self, danger: str) -> None:
        """Raise BadReply when a part of the listing cannot be read; it could be the machine in question.

        `danger`: what the unreadable part could lead to, for the message.
        """
        if self.unreadable:
            more = f" (and {len(self.unreadable) - 1} more)" if len(self.unreadable) > 1 else ""
            raise BadReply(
                f"GET /instances: a part of the listing cannot be read: {self.unreadable[0]}{more}; {danger}. "
                f"{NOTHING_SENT} Look at the machines in the LetsCloud panel, and give each a label.",
                method="GET",
                path="/instances",
            )


def read_machines(cache: ReadCache) -> Flow[ListedMachines]:
    """Read the machines, and the places of the listing that cannot be read."""
    found = yield from cache.get_or_read("instances", queries.list_instances, LISTING_CACHE_S)
    return listed_machines(found)


def listed_machines(found: Listing) -> ListedMachines:
    """Return the machines of a listing, and the places of it that cannot be read."""
    return ListedMachines(typed_records(Instance, found), list(unreadable_records(found)))


def read_instances(cache: ReadCache) -> Flow[list[Instance]]:
    """Read the machines; the listing may be LISTING_CACHE_S seconds old."""
    return (yield from read_machines(cache)).machines


def unreadable_records(found: Listing) -> Iterator[str]:
    """Yield each place where a listing does not say which machine is meant, with the reason."""
    yield from (f"{each.path}: {each.problem}" for each in found.drift)
    for path, record in found.records:
        label = record.get("label")
        if isinstance(label, bool) or not isinstance(label, str | int | float):
            yield f"{path}.label: expected a text, got {'null' if label is None else type(label).__name__}"
        elif not str(label).isascii() and str(label).encode("utf-8", "ignore").decode() != label:
            yield f"{path}.label: it holds half of a character"
        elif not comparable_name(str(label)) and not record.get("identifier"):
            yield f"{path}: neither a label nor an identifier"


def _may_match(damaged: str | None, label: str) -> bool:
    """Whether a damaged label may be this one: the lost part may have been any characters."""
    if not damaged or REPLACEMENT_CHARACTER not in damaged:
        return False
    pattern = ".*".join(map(re.escape, re.split(f"{REPLACEMENT_CHARACTER}+", comparable_name(damaged))))
    return any(re.fullmatch(pattern, unicodedata.normalize(form, label)) for form in ("NFC", "NFD"))


def find_instances(cache: ReadCache, names: Sequence[MachineName]) -> Flow[list[Instance]]:
    """Find the machine of each name, in the order of the names; a machine that is named twice is returned once.

    InputError for a name that several machines have; NotFound that lists all names that no machine has.
    """
    for each in names:
        _check_name(each)
    listed = yield from read_machines(cache)
    found = _matches_by_name(names, listed)
    if any(not matches or matches[0].state in ("busy", "building") for matches in found.values()):
        cache.forget_listings()  # the cached listing may be seconds old
        listed = yield from read_machines(cache)
        found = _matches_by_name(names, listed)
    _check_matches(found, listed)
    return list({id(matches[0]): matches[0] for matches in found.values()}.values())


def _check_name(name: MachineName) -> None:
    """Raise InputError for an identifier or a label that no machine can have."""
    if name.by == "identifier":
        calls.path_segment("identifier", name.text)
    elif name.by == "label":
        comparable_label(name.text)


def _matches_by_name(
    names: Sequence[MachineName], listed: ListedMachines
) -> dict[MachineName, list[Instance]]:
    """Return the machines that have each name, in the order of the names."""
    machines = MachineIndex(listed.machines)
    return {name: machines.find(name) for name in names}


def _check_matches(found: Mapping[MachineName, Sequence[Instance]], listed: ListedMachines) -> None:
    """Raise NotFound for the names that no machine has, else InputError for the first that several machines have."""
    unknown = {name: "" for name, matches in found.items() if not matches}
    if unknown:
        raise unknown_machines_error(unknown, listed.machines, listed.unreadable, not_done="sent")
    for name, matches in found.items():
        if len(matches) > 1:
            raise several_machines_error(name, matches, not_done="sent")
