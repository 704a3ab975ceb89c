"""The account of a sandbox and its behavior over time, without HTTP.

The clock is passed in. Nothing sleeps: an action puts its later effects on the agenda (time, kind, key, changes), and
`catch_up` applies all that are due, whenever the world is used. The whole state is plain JSON, so it can be saved and
restored. A `Refusal` has the provider's message.

Durations and messages of refusals are not documented anywhere; they are assumptions, listed in tables [?].
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from lcnb.sandbox.clock import Clock
from lcnb.sandbox.refusals import (
    REFUSALS,
    Json,
    Refusal,
    find_by_slug,
    is_hostname,
    text_field,
    valid_password,
    valid_public_key,
)
from lcnb.sandbox.seed import (
    BRL_PER_USD,
    LOCATIONS,
    images_of,
    initial_account,
    machine_addresses,
    plans_of,
    random_identifier,
    random_password,
    random_slug,
)

#: The shortest and the longest duration of each action, in seconds [?].
DURATIONS_S = {
    "appear": (2.0, 8.0),  # a new machine is not listed before
    "identify": (12.0, 25.0),
    "address": (30.0, 50.0),
    "build": (60.0, 110.0),
    "power": (10.0, 20.0),
    "reboot": (15.0, 30.0),
    "resize": (40.0, 90.0),
    "password": (5.0, 10.0),
    "delete": (5.0, 12.0),
    "snapshot": (120.0, 300.0),
}
HOURS_PER_MONTH = 730.0
TERMINATED_AFTER_S = 72 * 3600.0  # a prepaid account at zero: disabled, then terminated [help]; when is [?]


class World:
    """One account of a made-up LetsCloud.

    Args:
        clock: The seconds of the world; a stopped Clock by default.
        number: A number that determines the fleet and all random numbers.
        fleet: The number of machines at the start.
        saved: A state that `save` returned, instead of a new account.
    """

    def __init__(
        self,
        clock: Callable[[], float] | None = None,
        *,
        number: int = 1,
        fleet: int = 60,
        saved: Json | None = None,
    ) -> None:
        self.clock = clock or Clock(0)
        self._chance = random.Random(number)  # noqa: S311 - a made-up world
        self._agenda: list[list[Any]] = []
        self._offset = 0.0
        self._charged_at = self.clock()
        if saved is None:
            self._begin(initial_account(number, fleet))
        else:
            self._restore(saved)

    def now(self) -> float:
        """The seconds since the account was made, also when the state was restored."""
        return self.clock() + self._offset

    def catch_up(self) -> None:
        """Apply everything that is due by now in its order, and charge for the time between."""
        now = self.now()
        while self._agenda and self._agenda[0][0] <= now:
            at, kind, key, changes = self._agenda.pop(0)
            self._charge(at)
            self._apply(kind, key, changes)
        self._charge(now)

    def _duration(self, takes: str) -> float:
        return self._chance.uniform(*DURATIONS_S[takes])

    def _later(self, takes: str | float, kind: str, key: Any, changes: Json) -> float:
        seconds = self._duration(takes) if isinstance(takes, str) else takes
        self._agenda.append([self.now() + seconds, kind, key, changes])
        self._agenda.sort(key=lambda entry: float(entry[0]))
        return seconds

    def _apply(self, kind: str, key: Any, changes: Json) -> None:
        if kind == "terminate":
            self.machines.clear()
            return
        things = self.machines if kind == "machine" else self.snapshots
        name = "uid" if kind == "machine" else "slug"
        for thing in [each for each in things if each[name] == key]:
            if changes.get("gone"):
                things.remove(thing)
            else:
                thing.update(changes)

    def _charge(self, at: float) -> None:
        """Reduce the balance by the hour. At zero all machines are disabled, and terminated later [help]."""
        hours = max(0.0, at - self._charged_at) / 3600
        self._charged_at = max(at, self._charged_at)
        before = self.profile["balance"]
        rate = sum(machine["monthly"] for machine in self.machines if machine["visible"]) / HOURS_PER_MONTH
        self.profile["balance"] = max(0.0, before - hours * rate)
        if before > 0 >= self.profile["balance"] and self.machines:
            for machine in self.machines:
                machine.update(suspended=True, booted=False)
            self._later(TERMINATED_AFTER_S, "terminate", None, {})

    def _begin(self, account: Json) -> None:
        self.profile: Json = account["profile"]
        self.machines: list[Json] = account["machines"]
        self.sshkeys: list[Json] = account["sshkeys"]
        self.snapshots: list[Json] = account["snapshots"]
        self._next = len(self.machines) + 1
        for kind, key, things in (("machine", "uid", self.machines), ("snapshot", "slug", self.snapshots)):
            for thing in things:
                for seconds, changes in thing.pop("then", []):
                    self._later(seconds, kind, thing[key], changes)

    def save(self) -> Json:
        """Return the whole state as JSON that `World(saved=...)` accepts."""
        state = self._chance.getstate()
        return {
            "version": 1,
            "now": self.now(),
            "profile": self.profile,
            "machines": self.machines,
            "sshkeys": self.sshkeys,
            "snapshots": self.snapshots,
            "agenda": self._agenda,
            "next": self._next,
            "chance": [state[0], list(state[1]), state[2]],
        }

    def _restore(self, saved: Json) -> None:
        self._offset = saved["now"] - self.clock()
        self._charged_at = saved["now"]
        self.profile, self.machines = saved["profile"], saved["machines"]
        self.sshkeys, self.snapshots = saved["sshkeys"], saved["snapshots"]
        self._agenda, self._next = saved["agenda"], saved["next"]
        version, numbers, gauss = saved["chance"]
        self._chance.setstate((version, tuple(numbers), gauss))

    def listed(self) -> list[Json]:
        """The machines in the listing. A new machine is not listed at first."""
        return [machine for machine in self.machines if machine["visible"]]

    def machine(self, identifier: str) -> Json:
        """Return a listed machine. Refusal (404) for an unknown identifier."""
        for machine in self.listed():
            if machine["identifier"] and machine["identifier"] == identifier:
                return machine
        raise Refusal(REFUSALS["no instance"], 404)

    def location(self, slug: str) -> Json:
        """Return a location by its slug, in upper or lower case [packer]. Refusal (404) for an unknown slug."""
        for location in LOCATIONS:
            if location["slug"] == slug.upper():
                return location
        raise Refusal(REFUSALS["no location"], 404)

    def sshkey(self, slug: str) -> Json:
        """Return an SSH key. Refusal (404) for an unknown slug."""
        return find_by_slug(self.sshkeys, slug, "no sshkey")

    def snapshot(self, slug: str) -> Json:
        """Return a snapshot. Refusal (404) for an unknown slug."""
        return find_by_slug(self.snapshots, slug, "no snapshot")

    def create(self, fields: Json) -> str:
        """Create a machine, and return the message."""
        location = self.location(text_field(fields, "location_slug"))
        if not location["available"]:
            raise Refusal(REFUSALS["unavailable"])
        plan = self._plan(location["slug"], text_field(fields, "plan_slug"))
        hostname, label = text_field(fields, "hostname"), text_field(fields, "label")
        image = self._image(location["slug"], text_field(fields, "image_slug"))
        if not is_hostname(hostname):
            raise Refusal(REFUSALS["hostname"])
        password = self._access(fields)
        if self.profile["balance"] <= 0:
            raise Refusal(REFUSALS["funds"])
        self._build(location["slug"], plan, hostname, label, image, password)
        return "Instance successfully created"

    def _access(self, fields: Json) -> str:
        """Return the root password of a new machine: the given one, or a random one when only a key is given [cli]."""
        slug, password = text_field(fields, "ssh_slug", ""), text_field(fields, "password", "")
        if slug:
            self.sshkey(slug)
        if password:
            return valid_password(password)
        if not slug:
            raise Refusal(REFUSALS["access"])
        return random_password(self._chance)

    def _build(
        self, location: str, plan: Json, hostname: str, label: str, image: Json, password: str
    ) -> None:
        uid, self._next = self._next, self._next + 1
        self.machines.append(
            {
                "uid": uid,
                "identifier": "",
                "visible": False,
                "label": label,
                "hostname": hostname,
                "location": location,
                "template_label": image["distro"],
                "cpus": plan["core"],
                "memory": plan["memory"],
                "disk": plan["disk"],
                "plan": plan["slug"],
                "monthly": _price_usd(plan),
                "booted": False,
                "built": False,
                "locked": False,
                "suspended": False,
                "addresses": [],
                "password": password,
            }
        )
        addresses = machine_addresses(uid + 60, location)
        self._later("appear", "machine", uid, {"visible": True})
        self._later("identify", "machine", uid, {"identifier": self._new_identifier()})
        self._later("address", "machine", uid, {"addresses": addresses})
        self._later("build", "machine", uid, {"built": True, "booted": True})

    def _new_identifier(self) -> str:
        """Return an identifier that no machine has."""
        taken = {each["identifier"] for each in self.machines}
        while (found := random_identifier(self._chance)) in taken:
            pass
        return found

    def _new_slug(self) -> str:
        """Return a slug that no snapshot has."""
        taken = {each["slug"] for each in self.snapshots}
        while (found := random_slug(self._chance)) in taken:
            pass
        return found

    def delete(self, identifier: str) -> str:
        """Delete a machine, and return the message."""
        machine = self.machine(identifier)
        if machine["locked"] and machine["built"]:
            raise Refusal(REFUSALS["locked"])
        machine["locked"] = True
        self._agenda = [entry for entry in self._agenda if entry[1:3] != ["machine", machine["uid"]]]
        self._later("delete", "machine", machine["uid"], {"gone": True})
        return "Instance successfully deleted"

    def power_on(self, identifier: str) -> str:
        """Power a machine on, and return the message."""
        self._act(self._ready(identifier), "power", {"booted": True})
        return "The instance is turning ON"

    def power_off(self, identifier: str) -> str:
        """Power a machine off, and return the message."""
        self._act(self._ready(identifier), "power", {"booted": False})
        return "The instance is turning OFF."

    def shutdown(self, identifier: str) -> str:
        """Shut a machine down, and return the message."""
        self._act(self._ready(identifier), "power", {"booted": False})
        return "The instance is shutting down"

    def reboot(self, identifier: str) -> str:
        """Reboot a machine that is on, and return the message."""
        machine = self._ready(identifier)
        if not machine["booted"]:
            raise Refusal(REFUSALS["off"])
        self._act(machine, "reboot", {"booted": True})
        return "The instance is rebooting"

    def reset_password(self, identifier: str, fields: Json) -> str:
        """Reset a root password, and return the message."""
        machine = self._ready(identifier)
        password = valid_password(text_field(fields, "password"))
        self._act(machine, "password", {})
        machine["password"] = password
        return "The password was changed successfully."

    def change_plan(self, identifier: str, fields: Json) -> str:
        """Change the plan of a machine, and return the message."""
        machine = self._ready(identifier)
        plan = self._plan(machine["location"], text_field(fields, "plan_slug"))
        size = {"cpus": plan["core"], "memory": plan["memory"], "disk": plan["disk"]}
        self._act(machine, "resize", {**size, "plan": plan["slug"], "monthly": _price_usd(plan)})
        return "The plan is being changed"

    def _ready(self, identifier: str, despite: Callable[[Json], float | None] = lambda machine: None) -> Json:
        """Return a machine that accepts an action now, or refuse. `despite` returns the end of a lock to ignore."""
        machine = self.machine(identifier)
        for flag, wrong in (("suspended", True), ("built", False), ("locked", True)):
            if machine[flag] is wrong and not (flag == "locked" and despite(machine) is not None):
                raise Refusal(REFUSALS["building" if flag == "built" else flag])
        return machine

    def _act(self, machine: Json, takes: str, changes: Json) -> None:
        machine["locked"] = True
        self._later(takes, "machine", machine["uid"], {"locked": False, **changes})

    def _plan(self, location: str, slug: str) -> Json:
        """Return a plan of a location, in the account's currency when the location sells it in several."""
        offered = [plan for plan in plans_of(location) if plan["slug"] == slug]
        own = [plan for plan in offered if plan["shortcode"] == self.profile["currency"]]
        for plan in own or offered:
            return plan
        raise Refusal(REFUSALS["no plan"])

    def _image(self, location: str, slug: str) -> Json:
        for image in images_of(location):
            if image["slug"] == slug:
                return image
        raise Refusal(REFUSALS["no image"])

    def add_sshkey(self, fields: Json) -> Json:
        """Store a key, or generate a pair when none is given. A key of the same title is replaced."""
        title, key = text_field(fields, "title"), text_field(fields, "key", "")
        slug = slugify(title)
        if not slug:
            raise Refusal("The title is invalid.", 400)
        private = None
        if key:
            public = valid_public_key(key)
        else:
            public, private = _generate_key_pair()
        stored = {"slug": slug, "title": title, "public_key": public}
        self.sshkeys = [each for each in self.sshkeys if each["slug"] != slug] + [stored]
        return {**stored, "private_key": private} if private else stored

    def delete_sshkey(self, fields: Json) -> str:
        """Delete an SSH key, and return the message."""
        self.sshkeys.remove(self.sshkey(text_field(fields, "slug")))
        return "SSH Key was successfully deleted!"

    def add_snapshot(self, identifier: str, fields: Json) -> Json:
        """Begin a snapshot. During a power-off it is accepted, and begins when the power-off has ended [packer]."""
        machine = self._ready(identifier, despite=self._power_off_under_way)
        slug = self._new_slug()
        stored: Json = {
            "slug": slug,
            "label": text_field(fields, "label"),
            "size": max(1, round(machine["disk"] * self._chance.uniform(0.15, 0.7))),  # whole GB [go]
            "os_reference": machine["template_label"],
            "reference": f"snap-{slug[:8]}",
            "build": False,
            "locations": [machine["location"]],
        }
        self.snapshots.append(stored)
        begins_in = max(0.0, (self._power_off_under_way(machine) or 0.0) - self.now())
        self._later(begins_in + self._duration("snapshot"), "snapshot", slug, {"build": True})
        return stored

    def _power_off_under_way(self, machine: Json) -> float | None:
        """Return the time when the power-off that locks this machine ends; None when no power-off locks it."""
        for at, kind, key, changes in self._agenda:
            if (kind, key) == ("machine", machine["uid"]) and changes == {"locked": False, "booted": False}:
                return float(at)
        return None

    def rename_snapshot(self, slug: str, fields: Json) -> str:
        """Rename a snapshot, and return the message."""
        snapshot = self.snapshot(slug)
        snapshot["label"] = text_field(fields, "label")
        return "Snapshot successfully updated"

    def delete_snapshot(self, slug: str) -> str:
        """Delete a snapshot, and return the message."""
        self.snapshots.remove(self.snapshot(slug))
        return "Snapshot successfully deleted!"


def _price_usd(plan: Json) -> float:
    return float(plan["monthly_value"]) / (BRL_PER_USD if plan["currencycode"] == "BRL" else 1.0)


def slugify(title: str) -> str:
    """Return the slug of a title.

    >>> slugify("My Project 1")
    'my-project-1'
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def _generate_key_pair() -> tuple[str, str]:
    """Return a key pair as the provider generates it: RSA of 1024 bits, PKCS#1 with CRLF, no final line end [node]."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - weak, as the real ones
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return f"{public} phpseclib-generated-key", private.strip().replace("\n", "\r\n")
