"""What of a listing goes into the history, and whether the listing is complete.

Only a complete reading says that a record is gone. A listing is partial if a row could not be read, if it reports more
records than it has, or if a machine that exists has no readable identifier. A machine that is still being built has no
identifier yet; it enters the history when it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from lcnb.api.fields import Record, fields_of
from lcnb.api.listing_reader import Listing
from lcnb.api.models import Instance, Location, Plan
from lcnb.api.queries import InventoryParts
from lcnb.api.record_reader import read_record
from lcnb.errors import BadReply, InputError, LcnbError
from lcnb.facts.machine_facts import KnownFacts, MachineFacts, facts_from_row
from lcnb.history.contents import Content, make_content
from lcnb.history.folding import Reading
from lcnb.history.moments import milliseconds

INSTANCES, LOCATIONS, PROFILE, FACTS = "instances", "locations", "profile", "facts"
#: What the provider's listings of plans are called, one for each location; see `plans_kind`.
PLANS_PREFIX = "plans of "
#: The one key of the profile.
PROFILE_KEY = "profile"
#: The longest reason of a partial or failed reading that is stored.
MAX_PROBLEM_CHARACTERS = 200


class _Unreadable(Exception):
    """Why a listing may hide a record."""


def plans_kind(location: str) -> str:
    """Return the kind of the plans of a location."""
    return f"{PLANS_PREFIX}{location}"


def instance_readings(found: Listing) -> list[Reading]:
    """Return what a listing of machines says, by identifier."""
    return [_listing_reading(INSTANCES, found, Instance, _instance_key)]


def location_readings(found: Listing) -> list[Reading]:
    """Return what a listing of locations says, by slug."""
    return [_listing_reading(LOCATIONS, found, Location, _required_slug)]


def plan_readings(found: Listing) -> list[Reading]:
    """Return what a listing of plans says, one reading for each location that it has or should have."""
    by_location: dict[str, list[Mapping[str, Any]]] = {slug: [] for slug in found.locations}
    for record in found.iter_records():
        by_location.setdefault(str(record.get("location")), []).append(record)
    readings = []
    for slug, records in by_location.items():
        part = Listing([("", record) for record in records], read_at=found.read_at)
        part.drift = [each for each in found.drift if each.path.startswith((f"{slug}: ", "$"))]
        readings.append(_listing_reading(plans_kind(slug), part, Plan, plan_key))
    refused = [each for each in found.drift if each.path.startswith(PLANS_PREFIX)]
    return readings + [failed_reading(each.path, each.problem) for each in refused]


def catalogue_readings(found: tuple[Listing, Listing, Listing]) -> list[Reading]:
    """Return what locations and plans of a catalogue say; the images are not kept."""
    locations, plans, _ = found
    return location_readings(locations) + plan_readings(plans)


#: Listing → the function that returns the readings that it contains. The others are not kept.
KEPT_LISTINGS: Mapping[str, Callable[[Listing], list[Reading]]] = {
    INSTANCES: instance_readings,
    LOCATIONS: location_readings,
    "plans": plan_readings,
}


def query_readings(found: Mapping[str, Listing | InventoryParts]) -> list[Reading]:
    """Return what the listings that a query in SQL has read say, each once."""
    parts = found.get("inventory")
    if isinstance(parts, InventoryParts):  # it has the same machines, locations and plans
        return inventory_readings(parts)
    return [
        reading
        for name, readings in KEPT_LISTINGS.items()
        if isinstance(listing := found.get(name), Listing)
        for reading in readings(listing)
    ]


def profile_readings(profile: Mapping[str, Any]) -> list[Reading]:
    """Return the currency of the account, and nothing else of its profile: name and e-mail address are personal."""
    return [Reading(PROFILE, {PROFILE_KEY: make_content({"currency": profile.get("currency")})})]


def inventory_readings(parts: InventoryParts) -> list[Reading]:
    """Return what the listings of an inventory say."""
    return [
        *instance_readings(parts.instances),
        *location_readings(parts.locations),
        *profile_readings(parts.profile),
        *plan_readings(parts.plans),
    ]


def facts_reading(facts: KnownFacts) -> Reading:
    """Return the facts about machines that lcnb keeps itself, by identifier; `read_facts` reads them back."""
    cells = {identifier: _fact_cells(each) for identifier, each in facts.items() if not each.is_empty}
    # As pairs: the name of a fact may look like that of a secret or of a meter, and is neither.
    return Reading(FACTS, {key: make_content({"facts": sorted(each.items())}) for key, each in cells.items()})


def _fact_cells(facts: MachineFacts) -> dict[str, str]:
    """Return the cells of a facts file that are not empty; the label is not a fact."""
    return {name: text for name, text in facts.row().items() if text and name != "label"}


def read_facts(record: Mapping[str, Any]) -> MachineFacts:
    """Return the facts of a machine from their record; none where a record does not fit the rules of facts today."""
    cells = dict(record["facts"])
    try:
        return facts_from_row(cells)
    except InputError:
        return MachineFacts(str(cells.get("identifier")))


def failed_readings(kind: str, problem: LcnbError) -> list[Reading]:
    """Return a reading of a kind that failed with an error."""
    return [failed_reading(kind, getattr(problem, "brief", "") or str(problem))]


def failed_reading(kind: str, problem: str) -> Reading:
    """Return a reading that says nothing but why it failed or is partial."""
    return Reading(kind, None, problem[:MAX_PROBLEM_CHARACTERS].encode("utf-8", "replace").decode())


# --- details --------------------------------------------------------------------------------------------


def _listing_reading(
    kind: str, found: Listing, model: type[Record], key_of: Callable[[Mapping[str, Any]], str | None]
) -> Reading:
    if found.drift:
        return failed_reading(kind, f"{found.drift[0].path}: {found.drift[0].problem}")
    try:
        records = dict(_iter_contents(found.iter_records(), model, key_of))
    except (_Unreadable, BadReply) as odd:
        return failed_reading(kind, str(odd))
    return Reading(kind, records, cached_at=_cached_at(found.read_at))


def _cached_at(read_at: datetime | None) -> int | None:
    return None if read_at is None else milliseconds(read_at)


def _iter_contents(
    records: Iterable[Mapping[str, Any]],
    model: type[Record],
    key_of: Callable[[Mapping[str, Any]], str | None],
) -> Iterator[tuple[str, Content]]:
    known = _known_names(model)
    for record in records:
        key = key_of(record)
        if key is not None:
            yield key, make_content(record, known)


def listing_contents(records: Iterable[Mapping[str, Any]], model: type[Record]) -> Iterator[Content]:
    """Yield the content of each record of a model."""
    known = _known_names(model)
    return (make_content(record, known) for record in records)


def _known_names(model: type[Record]) -> frozenset[str]:
    return frozenset(each.wire[0] for each in fields_of(model) if each.about.derive is None)


def _instance_key(record: Mapping[str, Any]) -> str | None:
    """Return the identifier of a machine; None while it is being built."""
    identifier = record.get("identifier")
    if type(identifier) is str and identifier and identifier.isascii():
        return identifier
    machine = read_record(Instance, record, "", [])
    if machine.identifier is None and machine.built is not False:
        label = f" (label {machine.label!r})" if machine.label else ""
        raise _Unreadable(f"a machine{label} has no readable identifier")
    return machine.identifier


def _required_slug(record: Mapping[str, Any]) -> str:
    slug = read_record(Location, record, "", []).slug
    if slug is None:
        raise _Unreadable("a location has no readable slug")
    return slug


def plan_key(record: Mapping[str, Any]) -> str:
    """Return what distinguishes a plan at its location: it may be offered in several currencies, at several prices."""
    plan = read_record(Plan, record, "", [])
    return f"{plan.slug} {plan.currencycode or ''} {plan.core} {plan.memory} {plan.disk}"
