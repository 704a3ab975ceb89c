"""One flow per question: list or read each resource, the catalogue, and the parts of the inventory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lcnb.api.calls import (
    Call,
    get_images,
    get_instance,
    get_instances,
    get_locations,
    get_plans,
    get_profile,
    get_snapshot,
    get_snapshots,
    get_sshkey,
    get_sshkeys,
    segment,
)
from lcnb.api.fields import Drift
from lcnb.api.flows import Flow, Together
from lcnb.api.listing_reader import MARKS, Listing, _is_record, _unwrapped, items, listing
from lcnb.api.staged_flows import Answers, Keep, Stages, Wanted, _one, fresh
from lcnb.errors import BadReply, InputError, LcnbError, NotFound, Refused


def _locations() -> Stages[Listing]:
    return (yield from _one("locations", partial(listing, get_locations())))


def locations(keep: Keep = fresh) -> Flow[Listing]:
    return (yield from keep(_locations))


def instances() -> Flow[Listing]:
    return (yield from listing(replace(get_instances(), as_rows=True)))


def snapshots() -> Flow[Listing]:
    return (yield from listing(get_snapshots()))


def sshkeys() -> Flow[Listing]:
    """An account with no key answers HTTP 200 with `success: false`; that is an empty listing [go, node]."""
    try:
        return (yield from listing(get_sshkeys()))
    except Refused:
        return Listing()


def plans_of(location: str) -> Flow[Listing]:
    """The plans of one location. They come in wrappers, one a location, or in one such wrapper [go / node]."""
    call = get_plans(location)
    wrappers = yield from listing(call)
    found = Listing(drift=wrappers.drift)
    for path, wrapper in wrappers.records:
        if "plans" in wrapper:
            slug = wrapper.get("slug") or location
            inner, data = _unwrapped(call, wrapper, ("slug", "monthly_value"), [])
            rows = items(call, data, path + inner.removeprefix("$"), ("slug", "monthly_value"), found.drift)
        else:  # a bare list of plans
            slug, rows = location, iter([(path, wrapper)])
        if str(slug).upper() == location.upper():
            found.records.extend((where, {**row, "location": slug}) for where, row in rows)
    return found


def images_of(location: str) -> Flow[Listing]:
    images = yield from listing(get_images(location))
    images.records = [(path, {**record, "location": location}) for path, record in images.records]
    return images


def plans(
    location: str | None = None, among: Sequence[str] | None = None, keep: Keep = fresh
) -> Flow[Listing]:
    """The plans of one location, of those in `among`, or of all."""
    return (yield from _of_locations("plans", location, among, keep))


def images(location: str | None = None, keep: Keep = fresh) -> Flow[Listing]:
    """The images of one location, or of all."""
    return (yield from _of_locations("images", location, None, keep))


def catalogue(keep: Keep = fresh) -> Flow[tuple[Listing, Listing, Listing]]:
    """Locations, plans and images: after the locations everything at once."""
    return (yield from keep(_catalogue))


def _catalogue() -> Stages[tuple[Listing, Listing, Listing]]:
    places = yield from _locations()
    slugs = _slugs(places)
    found = yield {**_wanted("plans", slugs), **_wanted("images", slugs)}
    return places, _joined("plans", slugs, found), _joined("images", slugs, found)


_OF_ONE = {"plans": plans_of, "images": images_of}


def _of_locations(what: str, location: str | None, among: Sequence[str] | None, keep: Keep) -> Flow[Listing]:
    if location is not None:
        slug = yield from _spelt(location, keep)
        ((name, fetch),) = _wanted(what, [slug]).items()
        return (yield from keep(partial(_one, name, fetch)))
    return (yield from keep(partial(_of_several, what, among)))


def _of_several(what: str, among: Sequence[str] | None) -> Stages[Listing]:
    if among is None:
        among = _slugs((yield from _locations()))
    return _joined(what, among, (yield _wanted(what, among)))


def _wanted(what: str, slugs: Sequence[str]) -> Wanted:
    return {f"{what} of {slug}": partial(_OF_ONE[what], slug) for slug in slugs}


def _joined(what: str, slugs: Sequence[str], answers: Answers) -> Listing:
    """The listings of several locations as one; one that was refused is noted, not fatal."""
    found = Listing()
    for slug in dict.fromkeys(slugs):
        answer = answers[f"{what} of {slug}"]
        if isinstance(answer, LcnbError):
            reason = getattr(answer, "provider_message", None) or str(answer)
            found.drift.append(Drift(f"{what} of {slug}", f"not to be had: {reason}"))
            continue
        found.records.extend((f"{slug}: {path}", record) for path, record in answer.records)
        found.drift.extend(Drift(f"{slug}: {each.path}", each.problem) for each in answer.drift)
        if answer.read_at is not None:
            found.read_at = min(answer.read_at, found.read_at or answer.read_at)
    return found


def _slugs(places: Listing) -> list[str]:
    return [str(record["slug"]) for _, record in places.records if record.get("slug")]


def _spelt(location: str, keep: Keep) -> Flow[str]:
    """The location as the catalogue spells it (`mia1` → `MIA1`); an unknown one is refused with a suggestion."""
    segment("location", location)
    places = yield from locations(keep)
    known = _slugs(places)
    if location.lower() not in map(str.lower, known) and places.read_at is not None:
        known = _slugs((yield from locations()))  # it may be newer than what was kept
    for slug in known:
        if slug.lower() == location.lower():
            return slug
    raise unknown_location(location, known)


def unknown_location(location: str, known: Sequence[str]) -> InputError:
    """The error for a location that the account does not have, with the nearest one that it has."""
    from lcnb.suggestions import did_you_mean

    return InputError(
        f"location {location!r} is not one of the account's{did_you_mean(location, known)}. "
        f"Locations: {', '.join(sorted(known)) or 'none'}"
    )


# --- single things --------------------------------------------------------------------------------------


def instance(identifier: str) -> Flow[Mapping[str, Any]]:
    """The machine with this identifier."""
    return single(get_instance(identifier), "identifier", identifier)


def sshkey(slug: str) -> Flow[Mapping[str, Any]]:
    """The ssh key with this slug."""
    return single(get_sshkey(slug), "slug", slug)


def snapshot(slug: str) -> Flow[Mapping[str, Any]]:
    """The snapshot with this slug."""
    return single(get_snapshot(slug), "slug", slug)


def single(call: Call, key: str | None = None, wanted: str | None = None) -> Flow[Mapping[str, Any]]:
    """The one record of an answer; a list of one is taken too.

    The provider answers an unknown identifier with success and an empty record [cli]. So a record counts only when
    its field `key` is exactly what was `wanted`; otherwise it is NotFound, as an error of the provider would be.
    """
    envelope = yield call
    data = envelope.data
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not data:  # null, an empty object, list or text, false, 0
        raise _not_found(call, "the answer is empty: this account has nothing of that name")
    if not isinstance(data, Mapping):
        raise BadReply(
            f"{call.method} {call.path}: data should be an object, got {type(data).__name__}.",
            method=call.method,
            path=call.path,
        )
    data = _the_record(call, data)
    if key is not None and data.get(key) in (None, ""):
        raise _not_found(call, "the answer is empty: this account has nothing of that name")
    if key is not None and str(data[key]) != wanted:
        raise _not_found(call, f"the provider answered with another one, whose {key} is {str(data[key])!r}")
    return data


def _not_found(call: Call, problem: str) -> NotFound:
    text = f"{call.method} {call.path}: {problem}. Look at the listing."
    return NotFound(text, method=call.method, path=call.path)


def _the_record(call: Call, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of a single thing, taken out of a wrapper. BadReply for an object that is none."""
    marks = MARKS[call.path.split("/")[1]]
    if _is_record(data, marks):
        return data
    inner = [each for each in data.values() if isinstance(each, Mapping) and _is_record(each, marks)]
    if len(inner) != 1:
        raise BadReply(
            f"{call.method} {call.path}: the shape of $.data is not understood: it is no record with "
            f"{' or '.join(marks)}.",
            method=call.method,
            path=call.path,
        )
    return inner[0]


# --- the inventory --------------------------------------------------------------------------------------


@dataclass
class InventoryParts:
    """What `inventory()` joins: machines, locations, the account's currency, plans where machines are."""

    instances: Listing
    locations: Listing
    profile: Mapping[str, Any]
    plans: Listing


def inventory(keep: Keep = fresh) -> Flow[InventoryParts]:
    machines, places, profile = yield Together([instances(), locations(keep), single(get_profile())])
    used = {_slug_of(record) for _, record in machines.records} - {None}
    known = [str(record["slug"]) for _, record in places.records if record.get("slug") in used]
    rest = sorted(str(slug) for slug in used if slug not in known)
    prices = yield from plans(among=[*known, *rest], keep=keep)
    return InventoryParts(machines, places, profile, prices)


def _slug_of(record: Mapping[str, Any]) -> str | None:
    location = record.get("location")
    slug = location.get("slug") if isinstance(location, Mapping) else location
    return slug if isinstance(slug, str) and slug.strip() else None
