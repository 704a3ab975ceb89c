"""`MachineSpec`: a machine as it is asked for, checked, and compared with an existing one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lcnb.api.flows import Flow
from lcnb.api.models import Instance
from lcnb.api.passwords import checked_password
from lcnb.changes.lookups import find_image, find_location, find_plan
from lcnb.changes.name_rules import checked_hostname, checked_label, default_hostname
from lcnb.changes.reading import ReadCache
from lcnb.facts.wishes import FactsWish
from lcnb.secret import Secret


@dataclass(frozen=True)
class MachineSpec:
    """A machine as it is asked for."""

    label: str
    location: str
    plan: str
    image: str
    hostname: str | None = None
    ssh_key: str | None = None
    password: str | Secret | None = field(default=None, repr=False)
    #: Facts that are written when the machine is there.
    facts: FactsWish = field(default_factory=dict)


def checked_spec(spec: MachineSpec) -> MachineSpec:
    """Return the spec after all checks that need no account: label, names, hostname, password."""
    label = checked_label(spec.label)
    for what in ("location", "plan", "image"):
        checked_label(getattr(spec, what), what)
    if spec.ssh_key is not None:
        checked_label(spec.ssh_key, "ssh key")
    password = checked_password(spec.password) if spec.password is not None else None
    hostname = checked_hostname(spec.hostname or default_hostname(label))
    return replace(spec, label=label, password=password, hostname=hostname)


def spec_differences(cache: ReadCache, machine: Instance, spec: MachineSpec) -> Flow[list[str]]:
    """Return each difference between a machine and a spec, as a clause for people."""
    location = yield from find_location(cache, spec.location)
    plan = yield from find_plan(cache, location, spec.plan)
    image = yield from find_image(cache, location, spec.image)
    size = (machine.cpus, machine.memory, machine.total_disk_size)
    pairs = [
        ("location", machine.location and machine.location.upper(), location.upper()),
        ("size", size, (plan.core, plan.memory, plan.disk)),
        ("image", machine.template_label, image.distro),
        ("hostname", machine.hostname, spec.hostname or machine.hostname),
    ]
    return [f"its {name} is {is_!r}, not {asked!r}" for name, is_, asked in pairs if is_ != asked]
