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
from lcnb.api.record_reader import read_record
from lcnb.changes.changeset import Change
from lcnb.errors import BadReply, InputError, NotFound
from lcnb.flags import checked_flag
from lcnb.frames.pricing import infer_price
from lcnb.names import comparable_name, lookalike_form, same_name
from lcnb.secret import Secret
from lcnb.suggestions import did_you_mean

R = TypeVar("R", bound=Record)

#: Seconds that the client keeps catalogue data, and listings of machines, for building changes.
CATALOGUE_CACHE_S, LISTING_CACHE_S = 600.0, 10.0
HOSTNAME_PATTERN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
KEY_TYPES = ("ssh-ed25519", "ssh-rsa")  # what the provider takes [tf]

#: RSA keys with fewer bits are weak.
MIN_RSA_BITS = 2048
SERVER_PAIR_WARNING = (
    "pairs made by the provider are RSA with 1024 bits, which is weak; a pair made on this machine (generate_sshkey "
    "without generate_on_server) is ed25519"
)

NOTHING_SENT = "Nothing was sent."


@dataclass
class ReadCache:
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
class BuiltChanges:
    """Changes, and what was left out with its reason."""

    changes: list[Change]
    notes: list[str] = field(default_factory=list)
    #: What is as it is wanted already, identifier → what was wanted: that holds only if nothing is still under way.
    as_wanted: dict[str, str] = field(default_factory=dict)

    def add(self, part: BuiltChanges) -> None:
        """Take over all of another part."""
        self.changes.extend(part.changes)
        self.notes.extend(part.notes)
        self.as_wanted.update(part.as_wanted)


def typed_records(model: type[R], found: Listing) -> list[R]:
    """The typed objects of a listing; oddities do not matter here."""
    return [read_record(model, record, path, []) for path, record in found.records]


# --- what is there --------------------------------------------------------------------------------------


def _read_locations(cache: ReadCache) -> Flow[list[Location]]:
    return typed_records(
        Location, (yield from cache.get("locations", queries.list_locations, CATALOGUE_CACHE_S))
    )


def _read_plans(cache: ReadCache, location: str) -> Flow[list[Plan]]:
    found = yield from cache.get(
        f"plans {location}", lambda: queries.list_location_plans(location), CATALOGUE_CACHE_S
    )
    return typed_records(Plan, found)


def _read_images(cache: ReadCache, location: str) -> Flow[list[Image]]:
    found = yield from cache.get(
        f"images {location}", lambda: queries.list_location_images(location), CATALOGUE_CACHE_S
    )
    return typed_records(Image, found)


def _account_currency(cache: ReadCache) -> Flow[str | None]:
    profile = yield from cache.get(
        "profile", lambda: queries.read_single(calls.get_profile()), CATALOGUE_CACHE_S
    )
    return read_record(Profile, profile, "$.data", []).currency


def read_instances(cache: ReadCache) -> Flow[list[Instance]]:
    """The machines, read at most seconds ago."""
    return (yield from _read_machines(cache)).machines


@dataclass(frozen=True)
class ListedMachines:
    """The machines of an account, and what is not known of them: where a record or its label cannot be read."""

    machines: list[Instance]
    unreadable: list[str]

    def named(self, label: str) -> list[Instance]:
        return [each for each in self.machines if same_name(each.label, label)]

    def check_free(self, label: str) -> None:
        """BadReply or InputError unless it is certain that no machine has this label."""
        self.check_readable(f"a machine of the label {label!r} may exist, and would be made a second time")
        for each in self.machines:
            if _may_match(each.label, label):
                raise InputError(
                    f"label {label!r}: the label of a machine came damaged, {each.label!r}, and may be this one "
                    f"({each.identifier}). Give that machine its label again in the LetsCloud panel. {NOTHING_SENT}"
                )

    def check_readable(self, danger: str) -> None:
        """BadReply with the first place that cannot be read, where such a record could be the machine that is meant."""
        if self.unreadable:
            more = f" (and {len(self.unreadable) - 1} more)" if len(self.unreadable) > 1 else ""
            raise BadReply(
                f"GET /instances: a part of the listing cannot be read: {self.unreadable[0]}{more}; {danger}. "
                f"{NOTHING_SENT} Look at the machines in the LetsCloud panel, and give each a label.",
                method="GET",
                path="/instances",
            )


def _read_machines(cache: ReadCache) -> Flow[ListedMachines]:
    found = yield from cache.get("instances", queries.list_instances, LISTING_CACHE_S)
    return ListedMachines(typed_records(Instance, found), list(_unreadable_records(found)))


def _unreadable_records(found: Listing) -> Iterator[str]:
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
REPLACEMENT_CHARACTER = "\ufffd"


def _may_match(damaged: str | None, label: str) -> bool:
    """Whether a label that came damaged may be this one: what was lost may have been any characters."""
    if not damaged or REPLACEMENT_CHARACTER not in damaged:
        return False
    pattern = ".*".join(map(re.escape, re.split(f"{REPLACEMENT_CHARACTER}+", comparable_name(damaged))))
    return any(re.fullmatch(pattern, unicodedata.normalize(form, label)) for form in ("NFC", "NFD"))


def _read_sshkeys(cache: ReadCache) -> Flow[list[SSHKey]]:
    return typed_records(SSHKey, (yield from cache.get("sshkeys", queries.list_sshkeys, LISTING_CACHE_S)))


def _read_snapshots(cache: ReadCache) -> Flow[list[Snapshot]]:
    return typed_records(
        Snapshot, (yield from cache.get("snapshots", queries.list_snapshots, LISTING_CACHE_S))
    )


def find_instance(cache: ReadCache, identifier: str | None, label: str | None) -> Flow[Instance]:
    """One machine by its identifier or its label. InputError for both, neither, or a label of several."""
    if (identifier is None) == (label is None):
        raise InputError(f"pass the identifier of a machine, or label=..., one of the two. {NOTHING_SENT}")
    wanted = calls.path_segment("identifier", identifier) if label is None else comparable_label(label)
    machines = yield from read_instances(cache)
    found = _matching_machines(machines, identifier, label)
    if not found or found[0].state in ("busy", "building"):  # what was kept may be seconds old
        cache.forget_listings()
        machines = yield from read_instances(cache)
        found = _matching_machines(machines, identifier, label)
    what = f"the identifier {identifier!r}" if label is None else f"the label {label!r}"
    if not found:
        known = [each.identifier if label is None else each.label for each in machines]
        near = did_you_mean(wanted, [each for each in known if each])
        raise NotFound(f"no machine has {what}{near}. {NOTHING_SENT}", method="GET", path="/instances")
    if len(found) > 1:
        identifiers = ", ".join(each.identifier or "one still building" for each in found)
        raise InputError(
            f"{len(found)} machines have {what}: {identifiers}. Pass an identifier. {NOTHING_SENT}"
        )
    if not found[0].identifier:
        raise InputError(f"{found[0].label} is still being built and has no identifier yet. {NOTHING_SENT}")
    return found[0]


def _matching_machines(
    machines: Sequence[Instance], identifier: str | None, label: str | None
) -> list[Instance]:
    if label is None:
        return [each for each in machines if each.identifier == identifier]
    return [each for each in machines if same_name(each.label, label)]


# --- machines -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MachineSpec:
    """A machine as it is asked for."""

    label: str
    location: str
    plan: str
    image: str
    hostname: str | None = None
    ssh_key: str | None = None
    password: str | Secret | None = None


def create_instance(cache: ReadCache, spec: MachineSpec) -> Flow[BuiltChanges]:
    """A new machine; its label must be free."""
    spec = checked_spec(spec)
    change = yield from creation_change(cache, spec, (yield from _read_machines(cache)))
    return BuiltChanges([change])


def ensure_instance(cache: ReadCache, spec: MachineSpec) -> Flow[BuiltChanges]:
    """A new machine, or none when one of this label and spec exists. InputError when it exists otherwise."""
    hostname, spec = spec.hostname, checked_spec(spec)
    same = (yield from _read_machines(cache)).named(spec.label)
    if not same:
        return (yield from create_instance(cache, spec))
    if len(same) > 1:
        raise InputError(
            f"{len(same)} machines have the label {spec.label!r}; which is meant? {NOTHING_SENT}"
        )
    wrong = yield from spec_differences(cache, same[0], replaced(spec, hostname=hostname))
    if wrong:
        raise InputError(f"{spec.label} exists, but {'; '.join(wrong)}. {NOTHING_SENT}")
    return BuiltChanges(
        [], [f"{spec.label} exists already, as asked for"], _satisfied_action(same[0], "create instance")
    )


def spec_differences(cache: ReadCache, machine: Instance, spec: MachineSpec) -> Flow[list[str]]:
    """In what a machine is not as a spec asks."""
    location = yield from _find_location(cache, spec.location)
    plan = yield from _find_plan(cache, location, spec.plan)
    image = yield from _find_image(cache, location, spec.image)
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    pairs = [
        ("location", machine.location and machine.location.upper(), location.upper()),
        ("size", size, (plan.core, plan.memory, plan.disk)),
        ("image", machine.template_label, image.distro),
        ("hostname", machine.hostname, spec.hostname or machine.hostname),
    ]
    return [f"its {name} is {is_!r}, not {asked!r}" for name, is_, asked in pairs if is_ != asked]


def checked_spec(spec: MachineSpec) -> MachineSpec:
    """The spec with what can be checked without the account checked; nothing is read yet."""
    label = checked_label(spec.label)
    for what in ("location", "plan", "image"):
        checked_label(getattr(spec, what), what)
    if spec.ssh_key is not None:
        checked_label(spec.ssh_key, "ssh key")
    password = checked_password(spec.password) if spec.password is not None else None
    hostname = checked_hostname(spec.hostname or _hostname_from(label))
    return replaced(spec, label=label, password=password, hostname=hostname)


def creation_change(cache: ReadCache, spec: MachineSpec, there: ListedMachines) -> Flow[Change]:
    """The change that makes a machine, from a checked spec; its label must be free in `there`."""
    label, hostname = spec.label, spec.hostname
    if there.named(label):
        raise InputError(
            f"label {label!r}: a machine of this label exists. The provider would make a second one. {NOTHING_SENT}"
        )
    there.check_free(label)
    location = yield from _find_location(cache, spec.location, for_new=True)
    plan = yield from _find_plan(cache, location, spec.plan)
    image = yield from _find_image(cache, location, spec.image)
    body: dict[str, Any] = {
        "location_slug": location,
        "plan_slug": plan.slug,
        "hostname": hostname,
        "label": label,
        "image_slug": image.slug,
    }
    if spec.ssh_key is not None:
        body["ssh_slug"] = (yield from _find_sshkey(cache, spec.ssh_key)).slug
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


def delete_instance(cache: ReadCache, machine: Instance) -> Flow[BuiltChanges]:
    """The end of a machine and of its disk."""
    if machine.state == "busy":
        raise InputError(_busy_message(machine))
    _, monthly, currency, _ = yield from _current_price(cache, machine)
    call = calls.delete_instance(machine.identifier or "")
    prices = (monthly, 0.0 if monthly is not None else None, currency)
    return BuiltChanges(
        [_machine_change(machine, "delete instance", call, machine.state or "", "gone", monthly=prices)]
    )


_POWER_ACTIONS = {
    "power on": (calls.power_on, "running"),
    "power off": (calls.power_off, "off"),
    "shut down": (calls.shutdown, "off"),
    "reboot": (calls.reboot, "running"),
}


def change_power(machine: Instance, action: str) -> BuiltChanges:
    """On, off, shut down, reboot. A machine that is so already is left alone, with a note."""
    call, goal = _POWER_ACTIONS[action]
    _check_ready(machine)
    if action == "reboot" and machine.state == "off":
        raise InputError(f"{machine.label} is off; power it on instead. {NOTHING_SENT}")
    if machine.state == goal and action != "reboot":
        return BuiltChanges([], [f"{machine.label} is {goal} already"], _satisfied_action(machine, action))
    return BuiltChanges(
        [_machine_change(machine, action, call(machine.identifier or ""), machine.state or "", goal)]
    )


def reset_password(machine: Instance, password: Secret | None) -> BuiltChanges:
    """A new root password: the given, checked one, or one that lcnb makes (`reveal` tells it)."""
    _check_ready(machine)
    new = password if password is not None else Secret(new_password())
    call = calls.reset_password(machine.identifier or "", new)
    change = _machine_change(
        machine, "reset password", call, "the password", "a new one", made=password is None
    )
    return BuiltChanges([change])


def change_plan(cache: ReadCache, machine: Instance, slug: str) -> Flow[BuiltChanges]:
    """Another size at the same location."""
    if not machine.location:
        raise InputError(
            f"{machine.label}: its location is not told, so its plans are not known. {NOTHING_SENT}"
        )
    plan = yield from _find_plan(cache, machine.location, slug)
    now, monthly, currency, note = yield from _current_price(cache, machine)
    if (machine.cpus, machine.memory, machine.total_disk_size) == (plan.core, plan.memory, plan.disk):
        return BuiltChanges(
            [], [f"{machine.label} is {plan.slug} already"], _satisfied_action(machine, "change plan")
        )
    _check_ready(machine)
    if machine.total_disk_size and plan.disk and plan.disk < machine.total_disk_size:
        raise InputError(
            f"{machine.label}: {plan.slug} has a disk of {plan.disk} GB, less than the {machine.total_disk_size} GB "
            f"that it has. A disk cannot shrink without losing data. {NOTHING_SENT}"
        )
    call = calls.change_plan(machine.identifier or "", plan.slug or "")
    prices = (
        monthly,
        plan.monthly_value,
        plan.currencycode if currency in (None, plan.currencycode) else None,
    )
    change = _machine_change(
        machine, "change plan", call, now or f"unknown ({note})", plan.slug or "", monthly=prices
    )
    size = {"cpus": plan.core, "memory": plan.memory, "total_disk_size": plan.disk}
    return BuiltChanges([_add_expectations(change, goal=size)])


def create_snapshot(machine: Instance, label: str) -> BuiltChanges:
    """A stored image of a machine."""
    _check_ready(machine)
    label = checked_label(label)
    call = calls.create_snapshot(machine.identifier or "", label)
    return BuiltChanges(
        [_machine_change(machine, "create snapshot", call, "", f"snapshot {label}", title=label)]
    )


def _machine_change(
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


def _add_expectations(change: Change, **more: Any) -> Change:
    return replaced(change, expect={**change.expect, **more})


def _check_ready(machine: Instance) -> None:
    """Refuse what the provider would refuse: an action is in progress, or the machine is not ready."""
    if machine.state == "busy":
        raise InputError(_busy_message(machine))
    if machine.state == "building":
        raise InputError(f"{machine.label} is still being built. {NOTHING_SENT}")
    if machine.state == "suspended":
        raise InputError(f"{machine.label} is suspended by the provider; ask its support. {NOTHING_SENT}")


def _busy_message(machine: Instance) -> str:
    return f"{machine.label} is busy: an action is in progress. Try again when it has ended. {NOTHING_SENT}"


def _current_price(
    cache: ReadCache, machine: Instance
) -> Flow[tuple[str | None, float | None, str | None, str | None]]:
    if not machine.location:
        return None, None, None, "its location is not told"
    plans = yield from _read_plans(cache, machine.location)
    return infer_price(machine, plans, (yield from _account_currency(cache)))


# --- the catalogue --------------------------------------------------------------------------------------


def _find_location(cache: ReadCache, slug: str, *, for_new: bool = False) -> Flow[str]:
    calls.path_segment("location", slug)
    known = {each.slug: each for each in (yield from _read_locations(cache)) if each.slug}
    for name, each in known.items():
        if name.lower() == slug.lower():
            if for_new and each.available is False:
                free = sorted(other for other, it in known.items() if it.available)
                raise InputError(
                    f"location {name} takes no new machines now. Available: {', '.join(free)}. {NOTHING_SENT}"
                )
            return name
    raise InputError(f"{queries.unknown_location_error(slug, list(known))}. {NOTHING_SENT}")


def _find_plan(cache: ReadCache, location: str, slug: str) -> Flow[Plan]:
    """The plan in the account's currency where the location sells it in two."""
    plans, currency = yield Together([_read_plans(cache, location), _account_currency(cache)])
    found: list[Plan] = [each for each in plans if each.slug == slug]
    if not found:
        raise InputError(_not_offered_message("plan", slug, location, [each.slug for each in plans]))
    return next((each for each in found if each.shortcode == currency), found[0])


def _find_image(cache: ReadCache, location: str, slug: str) -> Flow[Image]:
    images = yield from _read_images(cache, location)
    for each in images:
        if each.slug == slug:
            return each
    raise InputError(_not_offered_message("image", slug, location, [each.slug for each in images]))


def _not_offered_message(what: str, slug: object, location: str, known: Sequence[str | None]) -> str:
    names = sorted({each for each in known if each})
    near = did_you_mean(str(slug), names)
    return f"{what} {slug!r} is not offered at {location}{near}. Offered: {', '.join(names)}. {NOTHING_SENT}"


def _find_sshkey(cache: ReadCache, slug: str) -> Flow[SSHKey]:
    keys = yield from _read_sshkeys(cache)
    for each in keys:
        if each.slug == slug:
            return each
    names = [each.slug for each in keys if each.slug]
    near = did_you_mean(str(slug), names)
    raise InputError(
        f"ssh key {slug!r} is not in the account{near}. Keys: {', '.join(names) or 'none'}. {NOTHING_SENT}"
    )


# --- keys -----------------------------------------------------------------------------------------------


def add_sshkey(
    cache: ReadCache,
    title: str,
    public_key: str,
    *,
    replace: bool,
    private_key: Secret | None = None,
    file: str | None = None,
) -> Flow[BuiltChanges]:
    """A public key. A title that is taken needs `replace`, since the provider overwrites silently."""
    slug = slug_of(title)
    line = checked_public_key(public_key)
    old = yield from _existing_key(cache, title, slug, replace)
    if old is not None and old.public_key and old.public_key.split()[:2] == line.split()[:2]:
        return BuiltChanges([], [f"the ssh key {slug} is this one already"], {slug: f"add ssh key {slug}"})
    change = Change(
        "replace ssh key" if old else "add ssh key",
        title,
        calls.add_sshkey(title, line),
        identifier=slug,
        before=key_fingerprint(old.public_key) if old and old.public_key else "",
        after=key_fingerprint(line),
        expect={"public_key": old.public_key if old else None},
        key_file=file,
        private_key=private_key,
    )
    weak = key_weakness(line)
    return BuiltChanges([change], [f"{title}: {weak}"] if weak else [])


def generate_key_pair(
    cache: ReadCache, title: str, file: str | PathLike[str], *, kind: str, replace: bool, on_server: bool
) -> Flow[BuiltChanges]:
    """A new pair, made here or by the provider; where its private half goes must be free."""
    checked_flag("generate_on_server", on_server)
    path = Path(file).expanduser().absolute()
    if path.exists() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        problem = (
            "has a folder that cannot be written to" if path.parent.is_dir() else "has no folder to be in"
        )
        problem = "exists, and is not overwritten" if path.exists() else problem
        raise InputError(f"file {path}: it {problem}. {NOTHING_SENT}")
    if on_server:
        return (yield from generate_server_pair(cache, title, str(path), replace=replace))
    public, private = create_key_pair(kind)
    line = f"{public} {slug_of(title)}"
    return (yield from add_sshkey(cache, title, line, replace=replace, private_key=private, file=str(path)))


def generate_server_pair(cache: ReadCache, title: str, file: str, *, replace: bool) -> Flow[BuiltChanges]:
    """A pair made by the provider, whose private half is in one answer and never again."""
    slug = slug_of(title)
    old = yield from _existing_key(cache, title, slug, replace)
    change = Change(
        "replace ssh key" if old else "generate ssh key",
        title,
        calls.generate_sshkey(title),
        identifier=slug,
        before=key_fingerprint(old.public_key) if old and old.public_key else "",
        after=f"a pair made by the provider; private half to {file}",
        expect={"public_key": old.public_key if old else None},
        key_file=file,
    )
    return BuiltChanges([change], [SERVER_PAIR_WARNING])


def _existing_key(cache: ReadCache, title: str, slug: str, replace: bool) -> Flow[SSHKey | None]:
    checked_label(title, "title")
    checked_flag("replace", replace)
    for each in (yield from _read_sshkeys(cache)):
        if each.slug == slug:
            if not replace:
                raise InputError(
                    f"title {title!r}: the account has the ssh key {slug}, which would be overwritten. Another "
                    f"title, or replace=True. {NOTHING_SENT}"
                )
            return each
    return None


def delete_sshkey(cache: ReadCache, slug: str) -> Flow[BuiltChanges]:
    """The end of a key in the account; machines that have it keep it."""
    calls.path_segment("ssh key slug", slug)
    key = yield from _find_sshkey(cache, slug)
    before = key_fingerprint(key.public_key) if key.public_key else ""
    call = calls.delete_sshkey(slug)
    expect = {"public_key": key.public_key}
    return BuiltChanges([Change("delete ssh key", slug, call, slug, before, "gone", expect=expect)])


def create_key_pair(kind: str) -> tuple[str, Secret]:
    """A fresh pair, made on this machine: the public line, and the private half as OpenSSH PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    if kind == "ed25519":
        key: Any = ed25519.Ed25519PrivateKey.generate()
    elif kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    else:
        raise InputError(f"type {kind!r}: expected ed25519 or rsa. {NOTHING_SENT}")
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()).decode()
    return public, Secret(pem)


# --- snapshots ------------------------------------------------------------------------------------------


def _find_snapshot(cache: ReadCache, slug: str) -> Flow[Snapshot]:
    found = yield from _read_snapshots(cache)
    for each in found:
        if each.slug == slug:
            return each
    names = ", ".join(f"{each.slug} ({each.label})" for each in found) or "none"
    raise NotFound(
        f"no snapshot {slug!r}. Snapshots: {names}. {NOTHING_SENT}", method="GET", path="/snapshots"
    )


def rename_snapshot(cache: ReadCache, slug: str, label: str) -> Flow[BuiltChanges]:
    label = checked_label(label)
    call = calls.rename_snapshot(slug, label)
    snapshot = yield from _find_snapshot(cache, slug)
    if snapshot.label == label:
        return BuiltChanges(
            [], [f"the snapshot {slug} is called {label} already"], {slug: f"rename snapshot {slug}"}
        )
    expect = {"label": snapshot.label}
    change = Change(
        "rename snapshot", snapshot.label or slug, call, slug, snapshot.label or "", label, expect=expect
    )
    return BuiltChanges([change])


def delete_snapshot(cache: ReadCache, slug: str) -> Flow[BuiltChanges]:
    calls.path_segment("snapshot slug", slug)
    snapshot = yield from _find_snapshot(cache, slug)
    expect = {"label": snapshot.label}
    size = "" if snapshot.size is None else f"{snapshot.size:g} GB"
    call = calls.delete_snapshot(slug)
    return BuiltChanges(
        [Change("delete snapshot", snapshot.label or slug, call, slug, size, "gone", expect=expect)]
    )


# --- rules ----------------------------------------------------------------------------------------------


def checked_label(label: object, what: str = "label") -> str:
    """A label as it can be one: a text, visible, not longer than 255 characters; in Unicode's composed form (NFC)."""
    if not isinstance(label, str):
        raise InputError(f"{what}: expected a text, got {label!r}. {NOTHING_SENT}")
    if not label.strip() or label != label.strip() or not label.isprintable() or len(label) > 255:
        raise InputError(
            f"{what} {label[:80]!r}: expected 1 to 255 printable characters, no space at its ends. {NOTHING_SENT}"
        )
    return comparable_name(label)


def comparable_label(label: object, what: str = "label") -> str:
    """The label of a machine that may exist, as it is compared: spaces at its ends are no part of it."""
    return checked_label(comparable_name(label) if isinstance(label, str) else label, what)


def checked_hostname(name: object) -> str:
    """A host name by RFC 1123."""
    if not isinstance(name, str) or len(name) > 253 or not HOSTNAME_PATTERN.fullmatch(name):
        raise InputError(
            f"hostname {name!r}: expected letters, digits and inner hyphens, in parts of at most 63 between dots, "
            f"such as web-01.example.com. {NOTHING_SENT}"
        )
    return name


def _hostname_from(label: str) -> str:
    """The label as a host name, where it can be one."""
    return label if HOSTNAME_PATTERN.fullmatch(label) else slug_of(label, "label")


def slug_of(title: object, what: str = "title") -> str:
    """`My Project 1` → `my-project-1`, as the provider does [go]."""
    text = checked_label(title, what)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not slug:
        raise InputError(f"{what} {text!r}: it has no letter or digit to make a name of. {NOTHING_SENT}")
    return slug


def checked_public_key(text: object) -> str:
    """One line of an OpenSSH public key, ssh-ed25519 or ssh-rsa."""
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    line = text.strip("\ufeff \t\r\n") if isinstance(text, str) else ""
    if "PRIVATE KEY" in line:
        raise InputError(
            f"public_key: this is a private key. It must never leave this machine. {NOTHING_SENT}"
        )
    good = line.partition(" ")[0] in KEY_TYPES and "\n" not in line
    try:
        load_ssh_public_key(line.encode())
    except Exception:  # the library raises several kinds; all mean: not a key
        good = False
    if not good:
        start = line[:24]
        raise InputError(
            f"public_key {start!r}...: expected one line of an OpenSSH public key, {' or '.join(KEY_TYPES)}, as in "
            f"~/.ssh/id_ed25519.pub. {NOTHING_SENT}"
        )
    return line


def key_weakness(public_key: object) -> str:
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


def key_fingerprint(public_key: str) -> str:
    """`SHA256:...`, as `ssh-keygen -l` shows it."""
    import base64
    import hashlib

    try:
        blob = base64.b64decode(public_key.split()[1])
    except (IndexError, ValueError):
        return "not a key"
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


# --- several machines -----------------------------------------------------------------------------------

MachineWork = Callable[[Instance], "BuiltChanges | Flow[BuiltChanges]"]


def change_machine(
    cache: ReadCache, identifier: str | None, label: str | None, work: MachineWork
) -> Flow[BuiltChanges]:
    """A change of one machine, found by its identifier or label."""
    machine = yield from find_instance(cache, identifier, label)
    return (yield from change_machines([machine], work))


def change_machines(machines: Sequence[Instance], work: MachineWork) -> Flow[BuiltChanges]:
    """The same change of several machines."""
    return (yield from combine_builds(_build_machine(machine, work) for machine in machines))


def _build_machine(machine: Instance, work: MachineWork) -> Flow[BuiltChanges]:
    built = work(machine)
    return built if isinstance(built, BuiltChanges) else (yield from built)


def combine_builds(parts: Iterable[Flow[BuiltChanges]]) -> Flow[BuiltChanges]:
    """Several builds as one."""
    built = BuiltChanges([])
    for flow in parts:
        part = yield from flow
        built.add(part)
    return built


#: Columns of a desired state. `label` names the machine; the others are what it should be.
DESIRED_COLUMNS = ("label", "location", "plan", "image", "hostname", "ssh_key", "state")


def desired_changes(
    cache: ReadCache,
    rows: Sequence[Mapping[str, Any]],
    *,
    prune: bool,
    allow_delete_all: bool = False,
    comments: Sequence[str] = (),
) -> Flow[BuiltChanges]:
    """What makes the account as the rows say: creates, changes, deletes (with `prune`), and what is not possible.

    `comments`: the lines of the file that were left out; a machine whose label begins with # may be meant by one.
    """
    checked_flag("prune", prune)
    checked_flag("allow_delete_all", allow_delete_all)
    wanted = _checked_rows(rows)
    if prune and not wanted and allow_delete_all is not True:
        raise InputError(f"the desired state has no rows, and prune {DELETE_ALL_WARNING}")
    there = yield from _read_machines(cache)
    by_label: dict[str, list[Instance]] = {}
    for each in there.machines:
        by_label.setdefault(comparable_name(each.label), []).append(each)
    built = BuiltChanges([])
    for number, (label, row) in enumerate(wanted.items(), 1):
        part = yield from _row_changes(cache, label, row, by_label.get(label, []), number, there)
        built.add(part)
    others = [each for each in there.machines if comparable_name(each.label) not in wanted]
    if prune:
        doomed, kept = _machines_to_prune(there, others, comments)
        if doomed and len(doomed) == len(there.machines) and allow_delete_all is not True:
            raise InputError(
                f"the desired state names no machine of the account, and prune {DELETE_ALL_WARNING}"
            )
        _check_no_look_alike(built, doomed)
        part = yield from change_machines(doomed, lambda each: delete_instance(cache, each))
        built.changes.extend(part.changes)
        built.notes.extend(kept)
    elif others:
        names = ", ".join(sorted(str(each.label) for each in others)[:5])
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        built.notes.append(f"not in the desired state and left alone (prune deletes them): {names}{more}")
    return built


def _check_no_look_alike(built: BuiltChanges, doomed: Sequence[Instance]) -> None:
    """InputError when a machine would be deleted and one made whose label people may take for the same."""
    made = {
        lookalike_form(each.target): each.target for each in built.changes if each.action == "create instance"
    }
    for each in doomed:
        target = made.get(lookalike_form(each.label))
        if target is not None:
            raise InputError(
                f"the machine {each.label!r} would be deleted and {target!r} made: their labels differ in case, "
                f"spaces, dashes or invisible characters only ({each.label!a}, {target!a}). Write the label as the "
                f"account has it; to replace the machine, delete it by itself. {NOTHING_SENT}"
            )


DELETE_ALL_WARNING = (
    "would delete every machine. If that is meant, say so: allow_delete_all=True (on the command line: "
    f"--allow-delete-all). {NOTHING_SENT}"
)


def _machines_to_prune(
    there: ListedMachines, others: Sequence[Instance], comments: Sequence[str]
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
                f'or as this machine? Quote the label ("{name}"), or put a space behind the #. {NOTHING_SENT}'
            )
        if not comparable_name(each.label) or REPLACEMENT_CHARACTER in (each.label or ""):
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
        unknown = [str(name) for name in row if name not in DESIRED_COLUMNS]
        if unknown:
            raise InputError(
                f"column {unknown[0]!r} is not one of a desired state{did_you_mean(unknown[0], DESIRED_COLUMNS)}. Columns: "
                f"{', '.join(DESIRED_COLUMNS)}. {NOTHING_SENT}"
            )
        label = comparable_label(row.get("label"), f"row {number}: label")
        if label in wanted:
            raise InputError(f"row {number}: the label {label!r} stands there twice. {NOTHING_SENT}")
        if row.get("state") not in (None, "running", "off"):
            raise InputError(
                f"row {number}: state {row['state']!r} is not one of running, off. {NOTHING_SENT}"
            )
        wanted[label] = row
    return wanted


def _row_changes(
    cache: ReadCache,
    label: str,
    row: Mapping[str, Any],
    live: Sequence[Instance],
    number: int,
    there: ListedMachines,
) -> Flow[BuiltChanges]:
    if len(live) > 1:
        raise InputError(f"row {number}: {len(live)} machines have the label {label!r}. {NOTHING_SENT}")
    if not live:
        missing = [name for name in ("location", "plan", "image") if row.get(name) is None]
        if missing:
            raise InputError(
                f"row {number}: there is no machine {label!r} yet, and {', '.join(missing)} is missing. {NOTHING_SENT}"
            )
        texts: dict[str, Any] = {name: row.get(name) for name in DESIRED_COLUMNS[1:-1]}
        change = yield from creation_change(cache, checked_spec(MachineSpec(label, **texts)), there)
        return BuiltChanges([change])
    return (yield from _in_place_changes(cache, live[0], row))


def _in_place_changes(cache: ReadCache, machine: Instance, row: Mapping[str, Any]) -> Flow[BuiltChanges]:
    notes = yield from _fixed_differences(cache, machine, row)
    built = BuiltChanges([], [f"{machine.label} cannot be changed in place: {note}" for note in notes])
    if notes:
        return built
    parts = []
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    if row.get("plan") is not None and None in size:
        built.notes.append(f"{machine.label}: its size cannot be read, and its plan is left alone")
    elif row.get("plan") is not None:
        parts.append((yield from change_plan(cache, machine, str(row["plan"]))))
    if row.get("state") is not None:
        parts.append(change_power(machine, "power on" if row["state"] == "running" else "power off"))
    for part in parts:
        built.changes.extend(part.changes)
    if not built.changes:
        built.as_wanted.update(_satisfied_action(machine, "plan"))
    return built


def _satisfied_action(machine: Instance, action: str) -> dict[str, str]:
    return {machine.identifier: f"{action} {machine.label}"} if machine.identifier else {}


def _fixed_differences(cache: ReadCache, machine: Instance, row: Mapping[str, Any]) -> Flow[list[str]]:
    """In what a machine differs that only a new machine could have."""
    notes = []
    location, image, hostname = row.get("location"), row.get("image"), row.get("hostname")
    if location is not None and str(location).upper() != str(machine.location).upper():
        notes.append(f"it is at {machine.location}, not {location}")
    if hostname is not None and hostname != machine.hostname:
        notes.append(f"its hostname is {machine.hostname}, not {hostname}")
    if image is not None and machine.location and not notes:
        wanted = yield from _find_image(cache, machine.location, str(image))
        if wanted.distro != machine.template_label:
            notes.append(f"it was made from {machine.template_label}, not {wanted.distro}")
    return notes
