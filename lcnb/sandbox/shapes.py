"""The forms of replies: each record as the API writes it, in one of its documented shapes.

A shape is a set of names from `SHAPES`. Without any, replies are as the Go client and the endpoint pages have them:
listings are lists, numbers are numbers, every field is present.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lcnb.sandbox.seed import LOCATIONS, plans_of

Json = dict[str, Any]

#: Names and what each changes. Several are separated by commas: `object,strings`.
SHAPES = {
    "list": "the default: listings are lists, empty ones too [go, doc]",
    "object": "GET /instances is an object keyed by position, plans are one such object [node]",
    "null": "an empty listing is null [node]",
    "missing": "older replies: no suspended, location, currencycode, and sometimes no available [go]",
    "strings": "numbers come as strings [?], addresses as plain strings [node: types]",
    "extra": "unknown fields are added: domain [node], and those of a probable backend [?]",
    "paged": "GET /instances comes in pages, with Laravel's links and meta [doc]",
    "newer": "statuses of the newer pages: 201, 202, 404, 422 [doc]",
    "classic": "statuses of the reference: an unknown record is answered with 200 and success: false [S]",
    "blank": "GET of an unknown machine, snapshot or key is answered with 200, success: true and an empty object [cli]",
    "sticky": "a built machine is always reported as booted, also when it is off [3p]",
    "empty": "bodies that may be empty are empty: shutdown, change-plan, snapshot status [doc]",
}


#: Fields of a machine's record in the backend that the provider probably uses. They may appear at any time [?].
_BACKEND_FIELDS = {
    "domain": "localdomain",
    "created_at": "2026-01-15T10:30:00.000Z",
    "updated_at": "2026-02-03T08:00:00.000Z",
    "price_per_hour": "0.0074",
    "price_per_hour_powered_off": "0.0031",
}


class Shapes:
    """Writes the records of a world in the chosen shapes."""

    def __init__(self, names: str = "list") -> None:
        self.names = frozenset(name.strip() for name in names.split(",") if name.strip())
        unknown = sorted(self.names - set(SHAPES))
        if unknown:
            raise ValueError(f"unknown shape {unknown[0]!r}; the shapes are: {', '.join(SHAPES)}")

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def many(self, rows: Sequence[Json]) -> list[Json] | None:
        """A listing; null in the shape `null` when it is empty."""
        return None if not rows and "null" in self else list(rows)

    def instances(self, rows: Sequence[Json]) -> Any:
        """The listing of machines, the only one that may be an object: clients expect lists elsewhere."""
        if rows and "object" in self:  # PHP writes a filtered collection so: keys are positions
            return {str(position): row for position, row in enumerate(rows, 1)}
        return self.many(rows)

    def profile(self, profile: Json) -> Json:
        """The profile."""
        return {**profile, "balance": f"{profile['balance']:.2f}", **self._extra()}

    def location(self, location: Json) -> Json:
        """A location."""
        row = dict(location)
        if "missing" in self and row["slug"].endswith("1"):
            del row["available"]
        return {**row, **self._extra()}

    def plans(self, location: Json) -> Any:
        """The plans of a location."""
        rows = [self._numbers(self._plan(plan)) for plan in plans_of(location["slug"])]
        place = {name: location[name] for name in ("slug", "country", "city")}
        if "object" in self:
            return {**place, "plans": {str(position): row for position, row in enumerate(rows)}}
        return [{**place, "plans": rows}]

    def _plan(self, plan: Json) -> Json:
        if "missing" in self:
            plan = {name: value for name, value in plan.items() if name != "currencycode"}
        return {**plan, **self._extra()}

    def image(self, image: Json) -> Json:
        """An image."""
        return {**image, **self._extra()}

    def sshkey(self, key: Json) -> Json:
        """An SSH key."""
        return {**key, **self._extra()}

    def listed_instance(self, machine: Json) -> Json:
        """A machine as in the listing, where its location also has `available` [doc]."""
        row = self.instance(machine)
        if "location" in row:
            row["location"]["available"] = _machine_location(machine)["available"]
        return row

    def instance(self, machine: Json) -> Json:
        """A machine."""
        place = _machine_location(machine)
        row = {
            "identifier": machine["identifier"],
            **{flag: machine[flag] for flag in ("booted", "built", "locked", "suspended")},
            "memory": machine["memory"],
            "total_disk_size": machine["disk"],
            "cpus": machine["cpus"],
            "label": machine["label"],
            "hostname": machine["hostname"],
            "ip_addresses": self._addresses(machine["addresses"]),
            "template_label": machine["template_label"],
            "initial_root_password": machine["password"],
            "location": {name: place[name] for name in ("slug", "country", "city")},
        }
        if "sticky" in self:
            row["booted"] = machine["built"]
        if "missing" in self:
            del row["suspended"], row["location"]
        if "extra" in self:
            row.update(_BACKEND_FIELDS)
        return self._numbers({**row, **self._extra()})

    def _addresses(self, addresses: list[str]) -> list[Any]:
        if "strings" in self:
            return list(addresses)
        return [{"address": address} for address in addresses]

    def snapshot(self, snapshot: Json) -> Json:
        """A snapshot."""
        return self._numbers({**snapshot, **self._extra()})

    def _numbers(self, row: Json) -> Json:
        if "strings" not in self:
            return row
        return {
            name: str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
            for name, value in row.items()
        }

    def _extra(self) -> Json:
        return {"links_v2": {"self": "#"}, "internal_score": 0.5} if "extra" in self else {}


def _machine_location(machine: Json) -> Json:
    return next(each for each in LOCATIONS if each["slug"] == machine["location"])
