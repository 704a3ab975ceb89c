"""One flow per question: list or read each resource, the catalogue, and the parts of the inventory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
    path_segment,
)
from lcnb.api.fields import Drift
from lcnb.api.flows import Flow, Together, without_frames
from lcnb.api.listing_reader import (
    Listing,
    identifying_fields,
    is_record,
    iter_records,
    read_listing,
    unwrap_records,
)
from lcnb.api.staged_flows import (
    ListingRequests,
    ListingResults,
    StagedFlow,
    StageRunner,
    read_one,
    run_uncached,
)
from lcnb.errors import BadReply, InputError, LcnbError, NotFound, Refused
from lcnb.suggestions import did_you_mean


def _location_stages() -> StagedFlow[Listing]:
    return (yield from read_one("locations", partial(read_listing, get_locations())))


def list_locations(runner: StageRunner = run_uncached) -> Flow[Listing]:
    """List all locations."""
    return (yield from runner(_location_stages))


def list_instances() -> Flow[Listing]:
    """List all machines; the records stay bytes until they are used."""
    return (yield from read_listing(replace(get_instances(), as_rows=True)))


def list_snapshots() -> Flow[Listing]:
    """List all snapshots."""
    return (yield from read_listing(get_snapshots()))


def list_sshkeys() -> Flow[Listing]:
    """List all ssh keys. For an account without keys the provider returns `success: false` [go, node]."""
    try:
        return (yield from read_listing(get_sshkeys()))
    except Refused:
        return Listing()


def list_location_plans(location: str) -> Flow[Listing]:
    """List the plans of one location. They come in one wrapper per location, or in a single wrapper [go / node]."""
    call = get_plans(location)
    wrappers = yield from read_listing(call)
    found = Listing(drift=wrappers.drift)
    found.locations = (location,)
    for path, wrapper in wrappers.records:
        if "plans" in wrapper:
            slug = wrapper.get("slug") or location
            inner, data = unwrap_records(call, wrapper, ("slug", "monthly_value"), [])
            rows = iter_records(
                call, data, path + inner.removeprefix("$"), ("slug", "monthly_value"), found.drift
            )
        else:  # a bare list of plans
            slug, rows = location, iter([(path, wrapper)])
        if str(slug).upper() == location.upper():
            found.records.extend((where, {**row, "location": slug}) for where, row in rows)
    return found


def list_location_images(location: str) -> Flow[Listing]:
    """List the images of one location."""
    images = yield from read_listing(get_images(location))
    images.records = [(path, {**record, "location": location}) for path, record in images.records]
    return images


def list_plans(
    location: str | None = None, among: Sequence[str] | None = None, runner: StageRunner = run_uncached
) -> Flow[Listing]:
    """List the plans of one location, of the locations in `among`, or of all."""
    return (yield from _list_by_location("plans", location, among, runner))


def list_images(location: str | None = None, runner: StageRunner = run_uncached) -> Flow[Listing]:
    """List the images of one location, or of all."""
    return (yield from _list_by_location("images", location, None, runner))


def read_catalogue(runner: StageRunner = run_uncached) -> Flow[tuple[Listing, Listing, Listing]]:
    """Read locations, plans and images: first the locations, then everything else together."""
    return (yield from runner(_catalogue_stages))


def _catalogue_stages() -> StagedFlow[tuple[Listing, Listing, Listing]]:
    found = yield from _stages_of("plans", "images")
    return found["locations"], found["plans"], found["images"]


def _stages_of(*by_location: str) -> StagedFlow[dict[str, Listing]]:
    """Read the locations, then these listings of all locations together; return each by its name."""
    places = yield from _location_stages()
    slugs = _location_slugs(places)
    requests = {name: each for what in by_location for name, each in _location_requests(what, slugs).items()}
    answers = (yield requests) if requests else {}
    return {"locations": places} | {what: _join_listings(what, slugs, answers) for what in by_location}


_LOCATION_LISTINGS = {"plans": list_location_plans, "images": list_location_images}


def _list_by_location(
    what: str, location: str | None, among: Sequence[str] | None, runner: StageRunner
) -> Flow[Listing]:
    if location is not None:
        slug = yield from _find_location_slug(location, runner)
        ((name, fetch),) = _location_requests(what, [slug]).items()
        return (yield from runner(partial(read_one, name, fetch)))
    return (yield from runner(partial(_joined_stages, what, among)))


def _joined_stages(what: str, among: Sequence[str] | None) -> StagedFlow[Listing]:
    if among is None:
        among = _location_slugs((yield from _location_stages()))
    return _join_listings(what, among, (yield _location_requests(what, among)))


def _location_requests(what: str, slugs: Sequence[str]) -> ListingRequests:
    return {f"{what} of {slug}": partial(_LOCATION_LISTINGS[what], slug) for slug in slugs}


def _join_listings(what: str, slugs: Sequence[str], answers: ListingResults) -> Listing:
    """Join the listings of several locations; a refused one becomes drift and is not fatal."""
    found = Listing()
    for slug in dict.fromkeys(slugs):
        answer = answers[f"{what} of {slug}"]
        if isinstance(answer, LcnbError):
            reason = getattr(answer, "provider_message", None) or str(answer)
            found.drift.append(Drift(f"{what} of {slug}", f"unavailable: {reason}"))
            continue
        found.locations += (slug,)
        found.records.extend((f"{slug}: {path}", record) for path, record in answer.records)
        found.drift.extend(Drift(f"{slug}: {each.path}", each.problem) for each in answer.drift)
        if answer.read_at is not None:
            found.read_at = min(answer.read_at, found.read_at or answer.read_at)
    return found


def _location_slugs(places: Listing) -> list[str]:
    return [str(record["slug"]) for _, record in places.records if record.get("slug")]


def _find_location_slug(location: str, runner: StageRunner) -> Flow[str]:
    """Return the location as the catalogue spells it (`mia1` → `MIA1`); raise InputError with a suggestion."""
    path_segment("location", location)
    places = yield from list_locations(runner)
    known = _location_slugs(places)
    if location.lower() not in map(str.lower, known) and places.read_at is not None:
        known = _location_slugs((yield from list_locations()))  # it may be newer than the cached listing
    for slug in known:
        if slug.lower() == location.lower():
            return slug
    raise unknown_location_error(location, known)


def unknown_location_error(location: str, known: Sequence[str]) -> InputError:
    """Return the error for a location that the account does not have, with the nearest one that it has."""
    return InputError(
        f"location {location!r} is not one of the account's{did_you_mean(location, known)}. "
        f"Locations: {', '.join(sorted(known)) or 'none'}"
    )


def list_records(name: str, location: str | None = None, runner: StageRunner = run_uncached) -> Flow[Listing]:
    """List the records of a listing by its name; `location` limits plans and images to one location."""
    flows: dict[str, Callable[[], Flow[Listing]]] = {
        "instances": list_instances,
        "locations": partial(list_locations, runner),
        "plans": partial(list_plans, location, runner=runner),
        "images": partial(list_images, location, runner),
        "sshkeys": list_sshkeys,
        "snapshots": list_snapshots,
    }
    return flows[name]()


# --- single records -------------------------------------------------------------------------------------


def read_instance(identifier: str) -> Flow[Mapping[str, Any]]:
    """Read the machine with this identifier."""
    return read_single(get_instance(identifier), "identifier", identifier)


def read_sshkey(slug: str) -> Flow[Mapping[str, Any]]:
    """Read the ssh key with this slug."""
    return read_single(get_sshkey(slug), "slug", slug)


def read_snapshot(slug: str) -> Flow[Mapping[str, Any]]:
    """Read the snapshot with this slug."""
    return read_single(get_snapshot(slug), "slug", slug)


def read_single(call: Call, key: str | None = None, wanted: str | None = None) -> Flow[Mapping[str, Any]]:
    """Read the only record of a response; it may come in a list.

    For an unknown identifier the provider returns success and an empty record [cli]. So a record counts only if its
    field `key` equals `wanted`; otherwise this raises NotFound, as for a 404.
    """
    return without_frames(_read_record(call, key, wanted))


def _read_record(call: Call, key: str | None, wanted: str | None) -> Flow[Mapping[str, Any]]:
    envelope = yield call
    data = envelope.data
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not data:  # null, an empty object, list or text, false, 0
        raise _not_found_error(call, "the response is empty: this account has nothing of that name")
    if not isinstance(data, Mapping):
        raise BadReply(
            f"{call.method} {call.path}: data should be an object, got {type(data).__name__}.",
            method=call.method,
            path=call.path,
        )
    data = _find_record(call, data)
    if key is not None and data.get(key) in (None, ""):
        raise _not_found_error(call, "the response is empty: this account has nothing of that name")
    if key is not None and str(data[key]) != wanted:
        raise _not_found_error(call, f"the provider returned another one, whose {key} is {str(data[key])!r}")
    return data


def _not_found_error(call: Call, problem: str) -> NotFound:
    text = f"{call.method} {call.path}: {problem}. Look at the listing."
    return NotFound(text, method=call.method, path=call.path)


def _find_record(call: Call, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the record inside its wrapper, if it has one; raise BadReply if the object is no record."""
    marks = identifying_fields(call)
    if is_record(data, marks):
        return data
    inner = [each for each in data.values() if isinstance(each, Mapping) and is_record(each, marks)]
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
    """The listings that `inventory()` joins; `plans` are those of the locations with machines."""

    instances: Listing
    locations: Listing
    profile: Mapping[str, Any]
    plans: Listing


def read_inventory(runner: StageRunner = run_uncached) -> Flow[InventoryParts]:
    """Read machines, locations and profile together, then the plans of the locations with machines."""
    found = yield from read_listings({"inventory"}, runner)
    return found["inventory"]  # type: ignore[return-value] # the inventory is the only one that has parts


def read_listings(
    names: Collection[str], runner: StageRunner = run_uncached
) -> Flow[dict[str, Listing | InventoryParts]]:
    """Read the listings of these names together, each request once; return each by its name.

    `names`: of instances, inventory, locations, plans, images, sshkeys, snapshots.
    """
    flows = _flows_of_listings(names, runner)
    found = dict(zip(flows, (yield Together(list(flows.values()))), strict=True)) if flows else {}
    found |= found.pop("catalogue", {})
    if "inventory" in names:
        found["inventory"] = yield from _join_inventory(found, runner)
    return {name: found[name] for name in names}


def _flows_of_listings(names: Collection[str], runner: StageRunner) -> dict[str, Flow[Any]]:
    """Return the flows that read these listings; `catalogue` reads locations, plans and images."""
    flows: dict[str, Flow[Any]] = {name: each() for name, each in _OWN_LISTINGS.items() if name in names}
    if "inventory" in names:
        flows |= {"instances": list_instances(), "profile": read_single(get_profile())}
    by_location = [name for name in _LOCATION_LISTINGS if name in names]
    if by_location or {"inventory", "locations"} & set(names):
        flows["catalogue"] = runner(partial(_stages_of, *by_location))
    return flows


_OWN_LISTINGS = {"instances": list_instances, "sshkeys": list_sshkeys, "snapshots": list_snapshots}


def _join_inventory(found: Mapping[str, Any], runner: StageRunner) -> Flow[InventoryParts]:
    """Return the parts of the inventory; the plans are read now, unless those of all locations were read before."""
    machines, places = found["instances"], found["locations"]
    used = {instance_location(record) for _, record in machines.records} - {None}
    known = [str(record["slug"]) for _, record in places.records if record.get("slug") in used]
    rest = sorted(str(slug) for slug in used if slug not in known)
    if "plans" in found and not rest:
        return InventoryParts(machines, places, found["profile"], found["plans"])
    prices = yield from list_plans(among=[*known, *rest], runner=runner)
    return InventoryParts(machines, places, found["profile"], prices)


def instance_location(record: Mapping[str, Any]) -> str | None:
    """Return the slug of the location of a machine; None if the record has none."""
    location = record.get("location")
    slug = location.get("slug") if isinstance(location, Mapping) else location
    return slug if isinstance(slug, str) and slug.strip() else None
