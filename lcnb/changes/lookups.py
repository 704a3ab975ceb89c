"""Find what a change names: location, plan, image, ssh key, snapshot, current price. Each error lists what exists."""

from __future__ import annotations

from collections.abc import Sequence

from lcnb.api import calls, queries
from lcnb.api.flows import Flow, Together
from lcnb.api.models import Image, Instance, Plan, Snapshot, SSHKey
from lcnb.changes.name_rules import NOTHING_SENT
from lcnb.changes.reading import (
    ReadCache,
    read_account_currency,
    read_images,
    read_locations,
    read_plans,
    read_snapshots,
    read_sshkeys,
)
from lcnb.errors import InputError, NotFound
from lcnb.frames.pricing import infer_price
from lcnb.names import same_name
from lcnb.suggestions import did_you_mean


def find_location(cache: ReadCache, slug: str, *, for_new: bool = False) -> Flow[str]:
    """Find a location by its slug, in any case; with `for_new` it must accept new machines."""
    calls.path_segment("location", slug)
    known = {each.slug: each for each in (yield from read_locations(cache)) if each.slug}
    for name, each in known.items():
        if name.lower() == slug.lower():
            if for_new and each.available is False:
                free = sorted(other for other, it in known.items() if it.available)
                raise InputError(
                    f"location {name} takes no new machines now. Available: {', '.join(free)}. {NOTHING_SENT}"
                )
            return name
    raise InputError(f"{queries.unknown_location_error(slug, list(known))}. {NOTHING_SENT}")


def find_plan(cache: ReadCache, location: str, slug: str) -> Flow[Plan]:
    """Find a plan that a location offers, in the account's currency where it is sold in two."""
    plans, currency = yield Together([read_plans(cache, location), read_account_currency(cache)])
    found: list[Plan] = [each for each in plans if each.slug == slug]
    if not found:
        raise _not_offered_error("plan", slug, location, [each.slug for each in plans])
    return next((each for each in found if each.shortcode == currency), found[0])


def find_image(cache: ReadCache, location: str, slug: str) -> Flow[Image]:
    """Find an image that a location offers."""
    images = yield from read_images(cache, location)
    for each in images:
        if each.slug == slug:
            return each
    raise _not_offered_error("image", slug, location, [each.slug for each in images])


def _not_offered_error(what: str, slug: object, location: str, known: Sequence[str | None]) -> InputError:
    names = sorted({each for each in known if each})
    near = did_you_mean(str(slug), names)
    return InputError(
        f"{what} {slug!r} is not offered at {location}{near}",
        cure=f"Offered: {', '.join(names)}.",
        not_done="sent",
    )


def find_sshkey(cache: ReadCache, slug: str) -> Flow[SSHKey]:
    """Find an ssh key of the account."""
    keys = yield from read_sshkeys(cache)
    for each in keys:
        if each.slug == slug:
            return each
    names = [each.slug for each in keys if each.slug]
    near = did_you_mean(str(slug), names)
    raise InputError(
        f"ssh key {slug!r} is not in the account{near}. Keys: {', '.join(names) or 'none'}",
        value=slug,
        cure="`lcnb key add TITLE FILE` adds a key of your own.",
        not_done="sent",
    )


def find_snapshot(cache: ReadCache, slug: str) -> Flow[Snapshot]:
    """Find a snapshot of the account."""
    found = yield from read_snapshots(cache)
    for each in found:
        if each.slug == slug:
            return each
    names = ", ".join(f"{each.slug} ({each.label})" for each in found) or "none"
    near = _snapshot_hint(slug, found)
    raise NotFound(
        f"no snapshot {slug!r}{near}. Snapshots: {names}. {NOTHING_SENT}", method="GET", path="/snapshots"
    )


def _snapshot_hint(name: str, snapshots: Sequence[Snapshot]) -> str:
    """Return the slug of the snapshot with this label, or else the most similar slug or label."""
    labelled = [each.slug for each in snapshots if each.slug and same_name(each.label, name)]
    if labelled:
        return f" (the snapshot with this label is {', '.join(labelled)})"
    return did_you_mean(name, [text for each in snapshots for text in (each.slug, each.label) if text])


def find_current_price(
    cache: ReadCache, machine: Instance
) -> Flow[tuple[str | None, float | None, str | None, str | None]]:
    """Find the plan of a machine: plan slug, monthly price, currency code, and why one of them is unknown."""
    if not machine.location:
        return infer_price(machine, [], None)
    plans = yield from read_plans(cache, machine.location)
    return infer_price(machine, plans, (yield from read_account_currency(cache)))
