"""The resources of the API: one class per resource, one line per field.

From these lines come the typed objects, the columns and dtypes of every DataFrame, and `lcnb.describe`. A secret of the
API (`initial_root_password`, `private_key`) has no line here, so it can never become a column or an attribute."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated as A  # noqa: N817 - one line a field needs a short word
from typing import Any, ClassVar

from lcnb.api.fields import F, Record

#: Every state that `instance_state` returns.
INSTANCE_STATES = ("running", "off", "building", "busy", "suspended")


def instance_state(values: Mapping[str, Any]) -> str | None:
    """Return the state of an instance; the flags are checked in the same order as in the provider's own tools.

    A missing flag decides nothing: a machine is never reported as off because `booted` is missing.
    """
    if values["suspended"]:
        return "suspended"
    if values["built"] is None:
        return None
    if not values["built"]:
        return "building"
    if values["locked"]:
        return "busy"
    if values["booted"] is None:
        return None
    return "running" if values["booted"] else "off"


def _first_address(version: int) -> Callable[[Mapping[str, Any]], str | None]:
    def first(values: Mapping[str, Any]) -> str | None:
        for address in values["ip_addresses"] or ():
            if ip_version(address) == version:
                return str(address)
        return None

    return first


@lru_cache(maxsize=1024)
def ip_version(address: str) -> int:
    """Return 4 or 6, or 0 for a text that is no address (ip_addresses still shows it)."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


#: Currency code ↔ the symbol that the API shows for it.
CURRENCY_SYMBOLS = {"USD": "$", "BRL": "R$"}


def _currency_code(values: Mapping[str, Any]) -> str | None:
    """Return the code for the currency symbol: older responses leave out `currencycode`."""
    return {symbol: code for code, symbol in CURRENCY_SYMBOLS.items()}.get(values["shortcode"])


@dataclass(frozen=True)
class Profile(Record):
    """The account. `currency` is the symbol (`$`, `R$`); `balance` is in that currency."""

    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("name", "email", "currency", "balance")
    name: A[str | None, F("the account holder's name")] = None
    company_name: A[str | None, F("the company, if one is set")] = None
    email: A[str | None, F("the account's e-mail address")] = None
    currency: A[str | None, F("the account's currency symbol: $ or R$")] = None
    balance: A[float | None, F("the prepaid balance; at zero the machines are terminated", "currency")] = None


@dataclass(frozen=True)
class Location(Record):
    """A place where machines can run."""

    TITLE: ClassVar[str] = "slug"
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("slug",)
    slug: A[str | None, F("short name, as every call takes it: MIA1")] = None
    country: A[str | None, F("country")] = None
    city: A[str | None, F("city")] = None
    available: A[bool | None, F("whether new machines can be created there; missing in some responses")] = (
        None
    )


@dataclass(frozen=True)
class Plan(Record):
    """A size of machine at one location, with its price."""

    TITLE: ClassVar[str] = "slug"
    #: The plans of a location come in a wrapper, which has `plans`.
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("plans", "slug")
    slug: A[str | None, F("short name: 1vcpu-1gb-10ssd")] = None
    location: A[str | None, F("slug of the location that offers it")] = None
    currencycode: A[
        str | None, F("USD or BRL; inferred from the symbol if missing", fallback=_currency_code)
    ] = None
    shortcode: A[str | None, F("currency symbol: $ or R$")] = None
    core: A[int | None, F("virtual CPUs")] = None
    memory: A[int | None, F("memory", "MB")] = None
    disk: A[int | None, F("disk", "GB")] = None
    bandwidth: A[int | None, F("traffic per month", "GB")] = None
    monthly_value: A[float | None, F("price per month, in the currency of `currencycode`", "currency")] = None


@dataclass(frozen=True)
class Image(Record):
    """An operating system or one-click image that a location offers."""

    TITLE: ClassVar[str] = "slug"
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("slug",)
    slug: A[str | None, F("short name: ubuntu-24.04-x86_64")] = None
    location: A[str | None, F("slug of the location that offers it")] = None
    distro: A[str | None, F("the image's name: CentOS 6.9 x64")] = None
    os: A[str | None, F("family: linux, freebsd, ...")] = None


@dataclass(frozen=True)
class SSHKey(Record):
    """A public key for new machines. The provider returns a private key only once, when it generates the pair."""

    TITLE: ClassVar[str] = "slug"
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("slug", "title")
    slug: A[str | None, F("short name: the title in lower case with dashes")] = None
    title: A[str | None, F("the title; a new key of the same title replaces this one")] = None
    public_key: A[str | None, F("the public key, in OpenSSH format")] = None


@dataclass(frozen=True)
class Instance(Record):
    """A machine. The API returns no plan, image slug, price or date for it: `inventory()` infers plan and price."""

    TITLE: ClassVar[str] = "label"
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("identifier", "label", "hostname")
    identifier: A[str | None, F("the provider's id, 16 characters; missing while it builds")] = None
    label: A[str | None, F("your name for it; the API does not require it to be unique")] = None
    hostname: A[str | None, F("host name")] = None
    state: A[str | None, F("running, off, building, busy or suspended", derive=instance_state)] = None
    location: A[str | None, F("slug of its location; missing in older responses", wire="location.slug")] = (
        None
    )
    city: A[str | None, F("city of its location", wire="location.city")] = None
    country: A[str | None, F("country of its location", wire="location.country")] = None
    cpus: A[int | None, F("virtual CPUs")] = None
    memory: A[int | None, F("memory", "MB")] = None
    total_disk_size: A[int | None, F("disk", "GB")] = None
    ipv4: A[str | None, F("first IPv4 address", derive=_first_address(4))] = None
    ipv6: A[str | None, F("first IPv6 address", derive=_first_address(6))] = None
    ip_addresses: A[tuple[str, ...] | None, F("all addresses, separated by a comma and a space")] = None
    template_label: A[str | None, F("name of the image that it was created from")] = None
    booted: A[bool | None, F("whether it is on")] = None
    built: A[bool | None, F("whether the provider has finished building it")] = None
    locked: A[bool | None, F("whether an action is in progress")] = None
    suspended: A[bool | None, F("whether the provider suspended it; missing in older responses")] = None
    domain: A[str | None, F("domain, if the provider returns one")] = None


@dataclass(frozen=True)
class Snapshot(Record):
    """A stored image of a machine. The API returns neither its machine nor a date."""

    TITLE: ClassVar[str] = "label"
    RECOGNISED_BY: ClassVar[tuple[str, ...]] = ("slug", "label")
    slug: A[str | None, F("short name, as calls take it")] = None
    label: A[str | None, F("your name for it")] = None
    size: A[float | None, F("size", "GB")] = None
    os_reference: A[str | None, F("operating system inside")] = None
    reference: A[str | None, F("the provider's reference")] = None
    build: A[bool | None, F("whether it is ready to be used")] = None
    locations: A[
        tuple[str, ...] | None, F("slugs of the locations that have it, separated by a comma and a space")
    ] = None


#: Listing name → its model; the names of the methods, of `lcnb.describe` and of the commands.
MODELS: dict[str, type[Record]] = {
    "instances": Instance,
    "locations": Location,
    "plans": Plan,
    "images": Image,
    "sshkeys": SSHKey,
    "snapshots": Snapshot,
    "profile": Profile,
}
