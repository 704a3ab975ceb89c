"""From what a person asks for to the `Change` that does it: each a flow that reads, checks, and sends no write.

What can be known before is checked here: the location is available, plan and image are offered there, the
hostname is valid, the label is free, the password keeps the rule, the key is one, the machine is not busy.
Catalogue data is kept for minutes by the client, so that many changes share a few reads; what decides (that a
label is free, that a machine is still what it was) is read again by `apply`.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from lcnb.api import calls, queries
from lcnb.api.fields import Record
from lcnb.api.flows import Flow, Together
from lcnb.api.listing_reader import Listing
from lcnb.api.models import Image, Instance, Location, Plan, Profile, Snapshot, SSHKey
from lcnb.api.passwords import checked_password, new_password
from lcnb.api.record_reader import read
from lcnb.changes.changeset import Change
from lcnb.errors import BadReply, InputError, NotFound
from lcnb.flags import checked_flag
from lcnb.frames.pricing import price
from lcnb.names import comparable_name, look_alike, same_name
from lcnb.secret import Secret
from lcnb.suggestions import did_you_mean

R = TypeVar("R", bound=Record)

#: Seconds that the client keeps catalogue data, and listings of machines, for building changes.
CATALOGUE_S, LISTING_S = 600.0, 10.0
HOSTNAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
KEY_KINDS = ("ssh-ed25519", "ssh-rsa")  # what the provider takes [tf]

#: RSA keys with fewer bits are weak.
MIN_RSA_BITS = 2048
SERVER_PAIRS = (
    "pairs made by the provider are RSA with 1024 bits, which is weak; a pair made on this machine (generate_sshkey "
    "without generate_on_server) is ed25519"
)

NOTHING = "Nothing was sent."


@dataclass
class Cache:
    """What was read a short while ago, for one client."""

    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def get(self, name: str, flow: Callable[[], Flow[Any]], keep_s: float) -> Flow[Any]:
        found = self._kept.get(name)
        if found is not None and self.clock() - found[0] < keep_s:
            return found[1]
        value = yield from flow()
        self._kept[name] = (self.clock(), value)
        return value

    def forget_listings(self) -> None:
        """After a change the listings are not what they were; the catalogue is."""
        for name in ("instances", "sshkeys", "snapshots"):
            self._kept.pop(name, None)


@dataclass(frozen=True)
class Built:
    """Changes, and what was left out with its reason."""

    changes: list[Change]
    notes: list[str] = field(default_factory=list)
    #: What is as it is wanted already, identifier → what was wanted: that holds only if nothing is still under way.
    as_wanted: dict[str, str] = field(default_factory=dict)

    def add(self, part: Built) -> None:
        """Take over all of another part."""
        self.changes.extend(part.changes)
        self.notes.extend(part.notes)
        self.as_wanted.update(part.as_wanted)


def records(model: type[R], found: Listing) -> list[R]:
    """The typed objects of a listing; oddities do not matter here."""
    return [read(model, record, path, []) for path, record in found.records]


# --- what is there --------------------------------------------------------------------------------------


def _locations(cache: Cache) -> Flow[list[Location]]:
    return records(Location, (yield from cache.get("locations", queries.locations, CATALOGUE_S)))


def _plans(cache: Cache, location: str) -> Flow[list[Plan]]:
    found = yield from cache.get(f"plans {location}", lambda: queries.plans_of(location), CATALOGUE_S)
    return records(Plan, found)


def _images(cache: Cache, location: str) -> Flow[list[Image]]:
    found = yield from cache.get(f"images {location}", lambda: queries.images_of(location), CATALOGUE_S)
    return records(Image, found)


def _currency(cache: Cache) -> Flow[str | None]:
    profile = yield from cache.get("profile", lambda: queries.single(calls.get_profile()), CATALOGUE_S)
    return read(Profile, profile, "$.data", []).currency


def instances(cache: Cache) -> Flow[list[Instance]]:
    """The machines, read at most seconds ago."""
    return (yield from _machines(cache)).machines


@dataclass(frozen=True)
class Machines:
    """The machines of an account, and what is not known of them: where a record or its label cannot be read."""

    machines: list[Instance]
    unreadable: list[str]

    def named(self, label: str) -> list[Instance]:
        return [each for each in self.machines if same_name(each.label, label)]

    def check_free(self, label: str) -> None:
        """BadReply or InputError unless it is certain that no machine has this label."""
        self.check_readable(f"a machine of the label {label!r} may exist, and would be made a second time")
        for each in self.machines:
            if _may_be(each.label, label):
                raise InputError(
                    f"label {label!r}: the label of a machine came damaged, {each.label!r}, and may be this one "
                    f"({each.identifier}). Give that machine its label again in the LetsCloud panel. {NOTHING}"
                )

    def check_readable(self, danger: str) -> None:
        """BadReply with the first place that cannot be read, where such a record could be the machine that is meant."""
        if self.unreadable:
            more = f" (and {len(self.unreadable) - 1} more)" if len(self.unreadable) > 1 else ""
            raise BadReply(
                f"GET /instances: a part of the listing cannot be read: {self.unreadable[0]}{more}; {danger}. "
                f"{NOTHING} Look at the machines in the LetsCloud panel, and give each a label.",
                method="GET",
                path="/instances",
            )


def _machines(cache: Cache) -> Flow[Machines]:
    found = yield from cache.get("instances", queries.instances, LISTING_S)
    return Machines(records(Instance, found), list(_unreadable(found)))


def _unreadable(found: Listing) -> Iterator[str]:
    """Where a listing does not say which machine is meant, with the reason."""
    yield from (f"{each.path}: {each.problem}" for each in found.drift)
    for path, record in found.records:
        label = record.get("label")
        if isinstance(label, bool) or not isinstance(label, str | int | float):
            yield f"{path}.label: expected a text, got {'null' if label is None else type(label).__name__}"
        elif not str(label).isascii() and str(label).encode("utf-8", "ignore").decode() != label:
            yield f"{path}.label: it holds half of a character"
        elif not comparable_name(str(label)) and not record.get("identifier"):
            yield f"{path}: neither a label nor an identifier"


#: The character in place of bytes of an answer that were no UTF-8.
DAMAGED = "\ufffd"


def _may_be(damaged: str | None, label: str) -> bool:
    """Whether a label that came damaged may be this one: what was lost may have been any characters."""
    if not damaged or DAMAGED not in damaged:
        return False
    pattern = ".*".join(map(re.escape, re.split(f"{DAMAGED}+", comparable_name(damaged))))
    return any(re.fullmatch(pattern, unicodedata.normalize(form, label)) for form in ("NFC", "NFD"))


def _sshkeys(cache: Cache) -> Flow[list[SSHKey]]:
    return records(SSHKey, (yield from cache.get("sshkeys", queries.sshkeys, LISTING_S)))


def _snapshots(cache: Cache) -> Flow[list[Snapshot]]:
    return records(Snapshot, (yield from cache.get("snapshots", queries.snapshots, LISTING_S)))


def instance(cache: Cache, identifier: str | None, label: str | None) -> Flow[Instance]:
    """One machine by its identifier or its label. InputError for both, neither, or a label of several."""
    if (identifier is None) == (label is None):
        raise InputError(f"pass the identifier of a machine, or label=..., one of the two. {NOTHING}")
    wanted = calls.segment("identifier", identifier) if label is None else wanted_label(label)
    machines = yield from instances(cache)
    found = _named(machines, identifier, label)
    if not found or found[0].state in ("busy", "building"):  # what was kept may be seconds old
        cache.forget_listings()
        machines = yield from instances(cache)
        found = _named(machines, identifier, label)
    what = f"the identifier {identifier!r}" if label is None else f"the label {label!r}"
    if not found:
        known = [each.identifier if label is None else each.label for each in machines]
        near = did_you_mean(wanted, [each for each in known if each])
        raise NotFound(f"no machine has {what}{near}. {NOTHING}", method="GET", path="/instances")
    if len(found) > 1:
        identifiers = ", ".join(each.identifier or "one still building" for each in found)
        raise InputError(f"{len(found)} machines have {what}: {identifiers}. Pass an identifier. {NOTHING}")
    if not found[0].identifier:
        raise InputError(f"{found[0].label} is still being built and has no identifier yet. {NOTHING}")
    return found[0]


def _named(machines: Sequence[Instance], identifier: str | None, label: str | None) -> list[Instance]:
    if label is None:
        return [each for each in machines if each.identifier == identifier]
    return [each for each in machines if same_name(each.label, label)]


# --- machines -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """A machine as it is asked for."""

    label: str
    location: str
    plan: str
    image: str
    hostname: str | None = None
    ssh_key: str | None = None
    password: str | Secret | None = None


def create_instance(cache: Cache, spec: Spec) -> Flow[Built]:
    """A new machine; its label must be free."""
    spec = checked_spec(spec)
    change = yield from creation(cache, spec, (yield from _machines(cache)))
    return Built([change])


def ensure_instance(cache: Cache, spec: Spec) -> Flow[Built]:
    """A new machine, or none when one of this label and spec exists. InputError when it exists otherwise."""
    hostname, spec = spec.hostname, checked_spec(spec)
    same = (yield from _machines(cache)).named(spec.label)
    if not same:
        return (yield from create_instance(cache, spec))
    if len(same) > 1:
        raise InputError(f"{len(same)} machines have the label {spec.label!r}; which is meant? {NOTHING}")
    wrong = yield from differences(cache, same[0], replaced(spec, hostname=hostname))
    if wrong:
        raise InputError(f"{spec.label} exists, but {'; '.join(wrong)}. {NOTHING}")
    return Built([], [f"{spec.label} exists already, as asked for"], _as_wanted(same[0], "create instance"))


def differences(cache: Cache, machine: Instance, spec: Spec) -> Flow[list[str]]:
    """In what a machine is not as a spec asks."""
    location = yield from _location(cache, spec.location)
    plan = yield from _plan(cache, location, spec.plan)
    image = yield from _image(cache, location, spec.image)
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    pairs = [
        ("location", machine.location and machine.location.upper(), location.upper()),
        ("size", size, (plan.core, plan.memory, plan.disk)),
        ("image", machine.template_label, image.distro),
        ("hostname", machine.hostname, spec.hostname or machine.hostname),
    ]
    return [f"its {name} is {is_!r}, not {asked!r}" for name, is_, asked in pairs if is_ != asked]


def checked_spec(spec: Spec) -> Spec:
    """The spec with what can be checked without the account checked; nothing is read yet."""
    label = checked_label(spec.label)
    for what in ("location", "plan", "image"):
        checked_label(getattr(spec, what), what)
    if spec.ssh_key is not None:
        checked_label(spec.ssh_key, "ssh key")
    password = checked_password(spec.password) if spec.password is not None else None
    hostname = checked_hostname(spec.hostname or _hostname_from(label))
    return replaced(spec, label=label, password=password, hostname=hostname)


def creation(cache: Cache, spec: Spec, there: Machines) -> Flow[Change]:
    """The change that makes a machine, from a checked spec; its label must be free in `there`."""
    label, hostname = spec.label, spec.hostname
    if there.named(label):
        raise InputError(
            f"label {label!r}: a machine of this label exists. The provider would make a second one. {NOTHING}"
        )
    there.check_free(label)
    location = yield from _location(cache, spec.location, for_new=True)
    plan = yield from _plan(cache, location, spec.plan)
    image = yield from _image(cache, location, spec.image)
    body: dict[str, Any] = {
        "location_slug": location,
        "plan_slug": plan.slug,
        "hostname": hostname,
        "label": label,
        "image_slug": image.slug,
    }
    if spec.ssh_key is not None:
        body["ssh_slug"] = (yield from _sshkey(cache, spec.ssh_key)).slug
    if spec.password is not None:
        body["password"] = spec.password
    elif spec.ssh_key is None:
        body["password"] = Secret(new_password())
    return Change(
        "create instance",
        label,
        calls.create_instance(body),
        after=f"{plan.slug} at {location}, {image.slug}",
        monthly_before=0.0,
        monthly_after=plan.monthly_value,
        currencycode=plan.currencycode,
        expect={"hostname": hostname},
        made_password=spec.password is None and "password" in body,
    )


def delete_instance(cache: Cache, machine: Instance) -> Flow[Built]:
    """The end of a machine and of its disk."""
    if machine.state == "busy":
        raise InputError(_busy(machine))
    _, monthly, currency, _ = yield from _priced(cache, machine)
    call = calls.delete_instance(machine.identifier or "")
    prices = (monthly, 0.0 if monthly is not None else None, currency)
    return Built([_on(machine, "delete instance", call, machine.state or "", "gone", monthly=prices)])


_POWER = {
    "power on": (calls.power_on, "running"),
    "power off": (calls.power_off, "off"),
    "shut down": (calls.shutdown, "off"),
    "reboot": (calls.reboot, "running"),
}


def power(machine: Instance, action: str) -> Built:
    """On, off, shut down, reboot. A machine that is so already is left alone, with a note."""
    call, goal = _POWER[action]
    _settled(machine)
    if action == "reboot" and machine.state == "off":
        raise InputError(f"{machine.label} is off; power it on instead. {NOTHING}")
    if machine.state == goal and action != "reboot":
        return Built([], [f"{machine.label} is {goal} already"], _as_wanted(machine, action))
    return Built([_on(machine, action, call(machine.identifier or ""), machine.state or "", goal)])


def reset_password(machine: Instance, password: Secret | None) -> Built:
    """A new root password: the given, checked one, or one that lcnb makes (`reveal` tells it)."""
    _settled(machine)
    new = password if password is not None else Secret(new_password())
    call = calls.reset_password(machine.identifier or "", new)
    change = _on(machine, "reset password", call, "the password", "a new one", made=password is None)
    return Built([change])


def change_plan(cache: Cache, machine: Instance, slug: str) -> Flow[Built]:
    """Another size at the same location."""
    if not machine.location:
        raise InputError(f"{machine.label}: its location is not told, so its plans are not known. {NOTHING}")
    plan = yield from _plan(cache, machine.location, slug)
    now, monthly, currency, note = yield from _priced(cache, machine)
    if (machine.cpus, machine.memory, machine.total_disk_size) == (plan.core, plan.memory, plan.disk):
        return Built([], [f"{machine.label} is {plan.slug} already"], _as_wanted(machine, "change plan"))
    _settled(machine)
    if machine.total_disk_size and plan.disk and plan.disk < machine.total_disk_size:
        raise InputError(
            f"{machine.label}: {plan.slug} has a disk of {plan.disk} GB, less than the {machine.total_disk_size} GB "
            f"that it has. A disk cannot shrink without losing data. {NOTHING}"
        )
    call = calls.change_plan(machine.identifier or "", plan.slug or "")
    prices = (
        monthly,
        plan.monthly_value,
        plan.currencycode if currency in (None, plan.currencycode) else None,
    )
    change = _on(machine, "change plan", call, now or f"unknown ({note})", plan.slug or "", monthly=prices)
    size = {"cpus": plan.core, "memory": plan.memory, "total_disk_size": plan.disk}
    return Built([_expecting(change, goal=size)])


def create_snapshot(machine: Instance, label: str) -> Built:
    """A stored image of a machine."""
    _settled(machine)
    label = checked_label(label)
    call = calls.create_snapshot(machine.identifier or "", label)
    return Built([_on(machine, "create snapshot", call, "", f"snapshot {label}", title=label)])


def _on(
    machine: Instance,
    action: str,
    call: calls.Call,
    before: str,
    after: str,
    *,
    monthly: tuple[float | None, float | None, str | None] = (None, None, None),
    made: bool = False,
    **expect: Any,
) -> Change:
    """A change of a machine, which must still be what it is now."""
    seen = {"label": machine.label, "state": machine.state, "location": machine.location}
    seen = {name: value for name, value in seen.items() if value is not None}
    return Change(
        action, machine.label or machine.identifier or "", call, machine.identifier, before, after, *monthly,
        {**seen, **expect}, made,
    )  # fmt: skip


def _expecting(change: Change, **more: Any) -> Change:
    return replaced(change, expect={**change.expect, **more})


def _settled(machine: Instance) -> None:
    """Refuse what the provider would refuse: an action is in progress, or the machine is not ready."""
    if machine.state == "busy":
        raise InputError(_busy(machine))
    if machine.state == "building":
        raise InputError(f"{machine.label} is still being built. {NOTHING}")
    if machine.state == "suspended":
        raise InputError(f"{machine.label} is suspended by the provider; ask its support. {NOTHING}")


def _busy(machine: Instance) -> str:
    return f"{machine.label} is busy: an action is in progress. Try again when it has ended. {NOTHING}"


def _priced(cache: Cache, machine: Instance) -> Flow[tuple[str | None, float | None, str | None, str | None]]:
    if not machine.location:
        return None, None, None, "its location is not told"
    plans = yield from _plans(cache, machine.location)
    return price(machine, plans, (yield from _currency(cache)))


# --- the catalogue --------------------------------------------------------------------------------------


def _location(cache: Cache, slug: str, *, for_new: bool = False) -> Flow[str]:
    calls.segment("location", slug)
    known = {each.slug: each for each in (yield from _locations(cache)) if each.slug}
    for name, each in known.items():
        if name.lower() == slug.lower():
            if for_new and each.available is False:
                free = sorted(other for other, it in known.items() if it.available)
                raise InputError(
                    f"location {name} takes no new machines now. Available: {', '.join(free)}. {NOTHING}"
                )
            return name
    raise InputError(f"{queries.unknown_location(slug, list(known))}. {NOTHING}")


def _plan(cache: Cache, location: str, slug: str) -> Flow[Plan]:
    """The plan in the account's currency where the location sells it in two."""
    plans, currency = yield Together([_plans(cache, location), _currency(cache)])
    found: list[Plan] = [each for each in plans if each.slug == slug]
    if not found:
        raise InputError(_not_offered("plan", slug, location, [each.slug for each in plans]))
    return next((each for each in found if each.shortcode == currency), found[0])


def _image(cache: Cache, location: str, slug: str) -> Flow[Image]:
    images = yield from _images(cache, location)
    for each in images:
        if each.slug == slug:
            return each
    raise InputError(_not_offered("image", slug, location, [each.slug for each in images]))


def _not_offered(what: str, slug: object, location: str, known: Sequence[str | None]) -> str:
    names = sorted({each for each in known if each})
    near = did_you_mean(str(slug), names)
    return f"{what} {slug!r} is not offered at {location}{near}. Offered: {', '.join(names)}. {NOTHING}"


def _sshkey(cache: Cache, slug: str) -> Flow[SSHKey]:
    keys = yield from _sshkeys(cache)
    for each in keys:
        if each.slug == slug:
            return each
    names = [each.slug for each in keys if each.slug]
    near = did_you_mean(str(slug), names)
    raise InputError(
        f"ssh key {slug!r} is not in the account{near}. Keys: {', '.join(names) or 'none'}. {NOTHING}"
    )


# --- keys -----------------------------------------------------------------------------------------------


def add_sshkey(
    cache: Cache,
    title: str,
    public_key: str,
    *,
    replace: bool,
    private_key: Secret | None = None,
    file: str | None = None,
) -> Flow[Built]:
    """A public key. A title that is taken needs `replace`, since the provider overwrites silently."""
    slug = slug_of(title)
    line = checked_public_key(public_key)
    old = yield from _taken(cache, title, slug, replace)
    if old is not None and old.public_key and old.public_key.split()[:2] == line.split()[:2]:
        return Built([], [f"the ssh key {slug} is this one already"], {slug: f"add ssh key {slug}"})
    change = Change(
        "replace ssh key" if old else "add ssh key",
        title,
        calls.add_sshkey(title, line),
        identifier=slug,
        before=fingerprint(old.public_key) if old and old.public_key else "",
        after=fingerprint(line),
        expect={"public_key": old.public_key if old else None},
        key_file=file,
        private_key=private_key,
    )
    weak = weakness_of(line)
    return Built([change], [f"{title}: {weak}"] if weak else [])


def generate_key(
    cache: Cache, title: str, file: str | PathLike[str], *, kind: str, replace: bool, on_server: bool
) -> Flow[Built]:
    """A new pair, made here or by the provider; where its private half goes must be free."""
    checked_flag("generate_on_server", on_server)
    path = Path(file).expanduser().absolute()
    if path.exists() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        problem = (
            "has a folder that cannot be written to" if path.parent.is_dir() else "has no folder to be in"
        )
        problem = "exists, and is not overwritten" if path.exists() else problem
        raise InputError(f"file {path}: it {problem}. {NOTHING}")
    if on_server:
        return (yield from generate_sshkey(cache, title, str(path), replace=replace))
    public, private = generate_pair(kind)
    line = f"{public} {slug_of(title)}"
    return (yield from add_sshkey(cache, title, line, replace=replace, private_key=private, file=str(path)))


def generate_sshkey(cache: Cache, title: str, file: str, *, replace: bool) -> Flow[Built]:
    """A pair made by the provider, whose private half is in one answer and never again."""
    slug = slug_of(title)
    old = yield from _taken(cache, title, slug, replace)
    change = Change(
        "replace ssh key" if old else "generate ssh key",
        title,
        calls.generate_sshkey(title),
        identifier=slug,
        before=fingerprint(old.public_key) if old and old.public_key else "",
        after=f"a pair made by the provider; private half to {file}",
        expect={"public_key": old.public_key if old else None},
        key_file=file,
    )
    return Built([change], [SERVER_PAIRS])


def _taken(cache: Cache, title: str, slug: str, replace: bool) -> Flow[SSHKey | None]:
    checked_label(title, "title")
    checked_flag("replace", replace)
    for each in (yield from _sshkeys(cache)):
        if each.slug == slug:
            if not replace:
                raise InputError(
                    f"title {title!r}: the account has the ssh key {slug}, which would be overwritten. Another "
                    f"title, or replace=True. {NOTHING}"
                )
            return each
    return None


def delete_sshkey(cache: Cache, slug: str) -> Flow[Built]:
    """The end of a key in the account; machines that have it keep it."""
    calls.segment("ssh key slug", slug)
    key = yield from _sshkey(cache, slug)
    before = fingerprint(key.public_key) if key.public_key else ""
    call = calls.delete_sshkey(slug)
    expect = {"public_key": key.public_key}
    return Built([Change("delete ssh key", slug, call, slug, before, "gone", expect=expect)])


def generate_pair(kind: str) -> tuple[str, Secret]:
    """A fresh pair, made on this machine: the public line, and the private half as OpenSSH PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    if kind == "ed25519":
        key: Any = ed25519.Ed25519PrivateKey.generate()
    elif kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    else:
        raise InputError(f"type {kind!r}: expected ed25519 or rsa. {NOTHING}")
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()).decode()
    return public, Secret(pem)


# --- snapshots ------------------------------------------------------------------------------------------


def _snapshot(cache: Cache, slug: str) -> Flow[Snapshot]:
    found = yield from _snapshots(cache)
    for each in found:
        if each.slug == slug:
            return each
    names = ", ".join(f"{each.slug} ({each.label})" for each in found) or "none"
    raise NotFound(f"no snapshot {slug!r}. Snapshots: {names}. {NOTHING}", method="GET", path="/snapshots")


def rename_snapshot(cache: Cache, slug: str, label: str) -> Flow[Built]:
    label = checked_label(label)
    call = calls.rename_snapshot(slug, label)
    snapshot = yield from _snapshot(cache, slug)
    if snapshot.label == label:
        return Built(
            [], [f"the snapshot {slug} is called {label} already"], {slug: f"rename snapshot {slug}"}
        )
    expect = {"label": snapshot.label}
    change = Change(
        "rename snapshot", snapshot.label or slug, call, slug, snapshot.label or "", label, expect=expect
    )
    return Built([change])


def delete_snapshot(cache: Cache, slug: str) -> Flow[Built]:
    calls.segment("snapshot slug", slug)
    snapshot = yield from _snapshot(cache, slug)
    expect = {"label": snapshot.label}
    size = "" if snapshot.size is None else f"{snapshot.size:g} GB"
    call = calls.delete_snapshot(slug)
    return Built([Change("delete snapshot", snapshot.label or slug, call, slug, size, "gone", expect=expect)])


# --- rules ----------------------------------------------------------------------------------------------


def checked_label(label: object, what: str = "label") -> str:
    """A label as it can be one: a text, visible, not longer than 255 characters; in Unicode's composed form (NFC)."""
    if not isinstance(label, str):
        raise InputError(f"{what}: expected a text, got {label!r}. {NOTHING}")
    if not label.strip() or label != label.strip() or not label.isprintable() or len(label) > 255:
        raise InputError(
            f"{what} {label[:80]!r}: expected 1 to 255 printable characters, no space at its ends. {NOTHING}"
        )
    return comparable_name(label)


def wanted_label(label: object, what: str = "label") -> str:
    """The label of a machine that may exist, as it is compared: spaces at its ends are no part of it."""
    return checked_label(comparable_name(label) if isinstance(label, str) else label, what)


def checked_hostname(name: object) -> str:
    """A host name by RFC 1123."""
    if not isinstance(name, str) or len(name) > 253 or not HOSTNAME.fullmatch(name):
        raise InputError(
            f"hostname {name!r}: expected letters, digits and inner hyphens, in parts of at most 63 between dots, "
            f"such as web-01.example.com. {NOTHING}"
        )
    return name


def _hostname_from(label: str) -> str:
    """The label as a host name, where it can be one."""
    return label if HOSTNAME.fullmatch(label) else slug_of(label, "label")


def slug_of(title: object, what: str = "title") -> str:
    """`My Project 1` → `my-project-1`, as the provider does [go]."""
    text = checked_label(title, what)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not slug:
        raise InputError(f"{what} {text!r}: it has no letter or digit to make a name of. {NOTHING}")
    return slug


def checked_public_key(text: object) -> str:
    """One line of an OpenSSH public key, ssh-ed25519 or ssh-rsa."""
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    line = text.strip("\ufeff \t\r\n") if isinstance(text, str) else ""
    if "PRIVATE KEY" in line:
        raise InputError(f"public_key: this is a private key. It must never leave this machine. {NOTHING}")
    good = line.partition(" ")[0] in KEY_KINDS and "\n" not in line
    try:
        load_ssh_public_key(line.encode())
    except Exception:  # the library raises several kinds; all mean: not a key
        good = False
    if not good:
        start = line[:24]
        raise InputError(
            f"public_key {start!r}...: expected one line of an OpenSSH public key, {' or '.join(KEY_KINDS)}, as in "
            f"~/.ssh/id_ed25519.pub. {NOTHING}"
        )
    return line


def weakness_of(public_key: object) -> str:
    """Why a public key is weak, as a sentence; empty for a strong one and for what cannot be read."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        key = load_ssh_public_key(str(public_key).strip().encode())
    except Exception:  # the library raises several kinds; all mean: not a key
        return ""
    if not isinstance(key, RSAPublicKey) or key.key_size >= MIN_RSA_BITS:
        return ""
    return (
        f"this RSA key has {key.key_size} bits, which is weak; servers that require {MIN_RSA_BITS} refuse it. Replace "
        "it by a pair made on this machine (generate_sshkey without generate_on_server)"
    )


def fingerprint(public_key: str) -> str:
    """`SHA256:...`, as `ssh-keygen -l` shows it."""
    import base64
    import hashlib

    try:
        blob = base64.b64decode(public_key.split()[1])
    except (IndexError, ValueError):
        return "not a key"
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


# --- several machines -----------------------------------------------------------------------------------

Work = Callable[[Instance], "Built | Flow[Built]"]


def on_machine(cache: Cache, identifier: str | None, label: str | None, work: Work) -> Flow[Built]:
    """A change of one machine, found by its identifier or label."""
    machine = yield from instance(cache, identifier, label)
    return (yield from on_machines([machine], work))


def on_machines(machines: Sequence[Instance], work: Work) -> Flow[Built]:
    """The same change of several machines."""
    return (yield from each(_one(machine, work) for machine in machines))


def _one(machine: Instance, work: Work) -> Flow[Built]:
    built = work(machine)
    return built if isinstance(built, Built) else (yield from built)


def each(parts: Iterable[Flow[Built]]) -> Flow[Built]:
    """Several builds as one."""
    built = Built([])
    for flow in parts:
        part = yield from flow
        built.add(part)
    return built


#: Columns of a desired state. `label` names the machine; the others are what it should be.
DESIRED = ("label", "location", "plan", "image", "hostname", "ssh_key", "state")


def desired(
    cache: Cache,
    rows: Sequence[Mapping[str, Any]],
    *,
    prune: bool,
    allow_delete_all: bool = False,
    comments: Sequence[str] = (),
) -> Flow[Built]:
    """What makes the account as the rows say: creates, changes, deletes (with `prune`), and what is not possible.

    `comments`: the lines of the file that were left out; a machine whose label begins with # may be meant by one.
    """
    checked_flag("prune", prune)
    checked_flag("allow_delete_all", allow_delete_all)
    wanted = _checked_rows(rows)
    if prune and not wanted and allow_delete_all is not True:
        raise InputError(f"the desired state has no rows, and prune {DELETES_ALL}")
    there = yield from _machines(cache)
    by_label: dict[str, list[Instance]] = {}
    for each in there.machines:
        by_label.setdefault(comparable_name(each.label), []).append(each)
    built = Built([])
    for number, (label, row) in enumerate(wanted.items(), 1):
        part = yield from _desired_one(cache, label, row, by_label.get(label, []), number, there)
        built.add(part)
    others = [each for each in there.machines if comparable_name(each.label) not in wanted]
    if prune:
        doomed, kept = _prunable(there, others, comments)
        if doomed and len(doomed) == len(there.machines) and allow_delete_all is not True:
            raise InputError(f"the desired state names no machine of the account, and prune {DELETES_ALL}")
        _check_no_look_alike(built, doomed)
        part = yield from on_machines(doomed, lambda each: delete_instance(cache, each))
        built.changes.extend(part.changes)
        built.notes.extend(kept)
    elif others:
        names = ", ".join(sorted(str(each.label) for each in others)[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        built.notes.append(f"not in the desired state and left alone (prune deletes them): {names}{more}")
    return built


def _check_no_look_alike(built: Built, doomed: Sequence[Instance]) -> None:
    """InputError when a machine would be deleted and one made whose label people may take for the same."""
    made = {
        look_alike(each.target): each.target for each in built.changes if each.action == "create instance"
    }
    for each in doomed:
        target = made.get(look_alike(each.label))
        if target is not None:
            raise InputError(
                f"the machine {each.label!r} would be deleted and {target!r} made: their labels differ in case, "
                f"spaces, dashes or invisible characters only ({each.label!a}, {target!a}). Write the label as the "
                f"account has it; to replace the machine, delete it by itself. {NOTHING}"
            )


DELETES_ALL = (
    "would delete every machine. If that is meant, say so: allow_delete_all=True (on the command line: "
    f"--allow-delete-all). {NOTHING}"
)


def _prunable(
    there: Machines, others: Sequence[Instance], comments: Sequence[str]
) -> tuple[list[Instance], list[str]]:
    """The machines that a desired state certainly does not name, and a note for each that is left alone."""
    if others:
        there.check_readable("what it hides may be a machine that must stay")
    left_out = {comparable_name(re.split(r"[,;\t]", line)[0]) for line in comments}
    doomed, notes = [], []
    for each in others:
        name = each.label or each.identifier or "a machine"
        if comparable_name(each.label) in left_out:
            raise InputError(
                f"the machine {name!r} would be deleted, and a line of the file begins with {name!r}: as a comment, "
                f'or as this machine? Quote the label ("{name}"), or put a space behind the #. {NOTHING}'
            )
        if not comparable_name(each.label) or DAMAGED in (each.label or ""):
            notes.append(
                f"{name}: it has no label that can be read, and is left alone; delete it by its identifier"
            )
        elif not each.identifier:
            notes.append(f"{name}: it is still being built, and is left alone")
        else:
            doomed.append(each)
    return doomed, notes


def _checked_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    wanted: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        unknown = [str(name) for name in row if name not in DESIRED]
        if unknown:
            raise InputError(
                f"column {unknown[0]!r} is not one of a desired state{did_you_mean(unknown[0], DESIRED)}. Columns: "
                f"{', '.join(DESIRED)}. {NOTHING}"
            )
        label = wanted_label(row.get("label"), f"row {number}: label")
        if label in wanted:
            raise InputError(f"row {number}: the label {label!r} stands there twice. {NOTHING}")
        if row.get("state") not in (None, "running", "off"):
            raise InputError(f"row {number}: state {row['state']!r} is not one of running, off. {NOTHING}")
        wanted[label] = row
    return wanted


def _desired_one(
    cache: Cache, label: str, row: Mapping[str, Any], live: Sequence[Instance], number: int, there: Machines
) -> Flow[Built]:
    if len(live) > 1:
        raise InputError(f"row {number}: {len(live)} machines have the label {label!r}. {NOTHING}")
    if not live:
        missing = [name for name in ("location", "plan", "image") if row.get(name) is None]
        if missing:
            raise InputError(
                f"row {number}: there is no machine {label!r} yet, and {', '.join(missing)} is missing. {NOTHING}"
            )
        texts: dict[str, Any] = {name: row.get(name) for name in DESIRED[1:-1]}
        change = yield from creation(cache, checked_spec(Spec(label, **texts)), there)
        return Built([change])
    return (yield from _difference(cache, live[0], row))


def _difference(cache: Cache, machine: Instance, row: Mapping[str, Any]) -> Flow[Built]:
    notes = yield from _fixed(cache, machine, row)
    built = Built([], [f"{machine.label} cannot be changed in place: {note}" for note in notes])
    if notes:
        return built
    parts = []
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    if row.get("plan") is not None and None in size:
        built.notes.append(f"{machine.label}: its size cannot be read, and its plan is left alone")
    elif row.get("plan") is not None:
        parts.append((yield from change_plan(cache, machine, str(row["plan"]))))
    if row.get("state") is not None:
        parts.append(power(machine, "power on" if row["state"] == "running" else "power off"))
    for part in parts:
        built.changes.extend(part.changes)
    if not built.changes:
        built.as_wanted.update(_as_wanted(machine, "plan"))
    return built


def _as_wanted(machine: Instance, action: str) -> dict[str, str]:
    return {machine.identifier: f"{action} {machine.label}"} if machine.identifier else {}


def _fixed(cache: Cache, machine: Instance, row: Mapping[str, Any]) -> Flow[list[str]]:
    """In what a machine differs that only a new machine could have."""
    notes = []
    location, image, hostname = row.get("location"), row.get("image"), row.get("hostname")
    if location is not None and str(location).upper() != str(machine.location).upper():
        notes.append(f"it is at {machine.location}, not {location}")
    if hostname is not None and hostname != machine.hostname:
        notes.append(f"its hostname is {machine.hostname}, not {hostname}")
    if image is not None and machine.location and not notes:
        wanted = yield from _image(cache, machine.location, str(image))
        if wanted.distro != machine.template_label:
            notes.append(f"it was made from {machine.template_label}, not {wanted.distro}")
    return notes
