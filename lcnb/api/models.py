"""What the API has: one class a resource, ONE line a field.

A field says its type, what it means, its unit, and where it stands in the API's record (`wire`, a dotted
path; the field's own name by default) or how it follows from the other values (`derive`). From these lines
come the typed objects, the columns and dtypes of every DataFrame, and `lcnb.describe`. A secret of the API
(`initial_root_password`, `private_key`) has no line here, so it can never become a column or an attribute.

`read(model, record, path)` never fails on odd data: a value that does not fit is a missing value and a
`Drift` that names its JSON path.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Annotated as A  # noqa: N817 - one line a field needs a short word
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

#: Names that hold a secret in the API's records, as a pattern: such a value is dropped where it is read.
SECRET_NAME = re.compile(r"passw|secret|private_?key|token|credential|api_?key", re.IGNORECASE)

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class F:
    """What a field means: help text, unit, wire path or derivation."""

    help: str
    unit: str = ""
    wire: str = ""
    derive: Callable[[Mapping[str, Any]], Any] | None = None


@dataclass(frozen=True)
class Drift:
    """One odd place in an answer: its JSON path and what was wrong there."""

    path: str
    problem: str


@dataclass(frozen=True)
class Field:
    """A field as read from its line: name, Python type (str, int, float, bool, tuple), meaning."""

    name: str
    type: type
    about: F

    @cached_property
    def wire(self) -> tuple[str, ...]:
        return tuple((self.about.wire or self.name).split("."))


# --- derived values -------------------------------------------------------------------------------------


def state_of(values: Mapping[str, Any]) -> str | None:
    """The state of an instance, by the order in which the provider's own tools decide it.

    A flag that is not told decides nothing: a machine is never called off because `booted` is missing.
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
    """4 or 6; 0 for what is not an address at all, which stays visible in ip_addresses."""
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


#: Currency code ↔ the symbol that the API shows for it.
CURRENCY_SYMBOLS = {"USD": "$", "BRL": "R$"}


def _currency_of(values: Mapping[str, Any]) -> str | None:
    """Older replies leave `currencycode` out; the symbol tells the same."""
    if values["currencycode"]:
        return str(values["currencycode"])
    return {symbol: code for code, symbol in CURRENCY_SYMBOLS.items()}.get(values["shortcode"])


# --- the resources --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """What all resources share: unknown fields are kept in `extra`, and a notebook shows a small card."""

    extra: dict[str, Any] = field(default_factory=dict, kw_only=True, repr=False, compare=False)
    TITLE: ClassVar[str] = "name"

    def _repr_html_(self) -> str:
        from lcnb.display.charts import record_html

        return record_html(self)

    def rows(self) -> Iterator[tuple[Field, Any]]:
        """Each field with its value, in the order of the lines."""
        for each in fields_of(type(self)):
            yield each, getattr(self, each.name)


@dataclass(frozen=True)
class Profile(Record):
    """The account. `currency` is the symbol (`$`, `R$`); `balance` is in that currency."""

    name: A[str | None, F("the account holder's name")] = None
    company_name: A[str | None, F("the company, if one is set")] = None
    email: A[str | None, F("the account's e-mail address")] = None
    currency: A[str | None, F("the account's currency symbol: $ or R$")] = None
    balance: A[float | None, F("the prepaid balance; at zero the machines are terminated", "currency")] = None


@dataclass(frozen=True)
class Location(Record):
    """A place where machines can run."""

    TITLE: ClassVar[str] = "slug"
    slug: A[str | None, F("short name, as every call takes it: MIA1")] = None
    country: A[str | None, F("country")] = None
    city: A[str | None, F("city")] = None
    available: A[bool | None, F("whether new machines can be made there; missing in some answers")] = None


@dataclass(frozen=True)
class Plan(Record):
    """A size of machine at one location, with its price."""

    TITLE: ClassVar[str] = "slug"
    slug: A[str | None, F("short name: 1vcpu-1gb-10ssd")] = None
    location: A[str | None, F("slug of the location that offers it")] = None
    currencycode: A[str | None, F("USD or BRL; told by the symbol where the code is missing")] = None
    shortcode: A[str | None, F("currency symbol: $ or R$")] = None
    core: A[int | None, F("virtual CPUs")] = None
    memory: A[int | None, F("memory", "MB")] = None
    disk: A[int | None, F("disk", "GB")] = None
    bandwidth: A[int | None, F("traffic a month", "GB")] = None
    monthly_value: A[float | None, F("price a month, in the currency of `currencycode`", "currency")] = None


@dataclass(frozen=True)
class Image(Record):
    """An operating system or one-click image that a location offers."""

    TITLE: ClassVar[str] = "slug"
    slug: A[str | None, F("short name: ubuntu-24.04-x86_64")] = None
    location: A[str | None, F("slug of the location that offers it")] = None
    distro: A[str | None, F("the image's name: CentOS 6.9 x64")] = None
    os: A[str | None, F("family: linux, freebsd, ...")] = None


@dataclass(frozen=True)
class SSHKey(Record):
    """A public key that new machines can be given. The private half is told once, when the provider makes it."""

    TITLE: ClassVar[str] = "slug"
    slug: A[str | None, F("short name: the title in lower case with dashes")] = None
    title: A[str | None, F("the title; a new key of the same title replaces this one")] = None
    public_key: A[str | None, F("the public half, in OpenSSH form")] = None


@dataclass(frozen=True)
class Instance(Record):
    """A machine. It carries no plan, image slug, price or date: `inventory()` infers plan and price."""

    TITLE: ClassVar[str] = "label"
    identifier: A[str | None, F("the provider's id, 16 characters; missing while it builds")] = None
    label: A[str | None, F("your name for it; not unique by the API's own rule")] = None
    hostname: A[str | None, F("host name")] = None
    state: A[str | None, F("running, off, building, busy or suspended", derive=state_of)] = None
    location: A[str | None, F("slug of its location; missing in older answers", wire="location.slug")] = None
    city: A[str | None, F("city of its location", wire="location.city")] = None
    country: A[str | None, F("country of its location", wire="location.country")] = None
    cpus: A[int | None, F("virtual CPUs")] = None
    memory: A[int | None, F("memory", "MB")] = None
    total_disk_size: A[int | None, F("disk", "GB")] = None
    ipv4: A[str | None, F("first IPv4 address", derive=_first_address(4))] = None
    ipv6: A[str | None, F("first IPv6 address", derive=_first_address(6))] = None
    ip_addresses: A[tuple[str, ...] | None, F("all addresses, separated by a comma and a space")] = None
    template_label: A[str | None, F("name of the image that it was made from")] = None
    booted: A[bool | None, F("whether it is on")] = None
    built: A[bool | None, F("whether it is ready made")] = None
    locked: A[bool | None, F("whether an action is in progress")] = None
    suspended: A[bool | None, F("whether the provider suspended it; missing in older answers")] = None
    domain: A[str | None, F("domain, where the provider tells one")] = None


@dataclass(frozen=True)
class Snapshot(Record):
    """A stored image of a machine. It names neither its machine nor a date."""

    TITLE: ClassVar[str] = "label"
    slug: A[str | None, F("short name, as calls take it")] = None
    label: A[str | None, F("your name for it")] = None
    size: A[float | None, F("size", "GB")] = None
    os_reference: A[str | None, F("operating system inside")] = None
    reference: A[str | None, F("the provider's reference")] = None
    build: A[bool | None, F("whether it is ready to be used")] = None
    locations: A[
        tuple[str, ...] | None, F("slugs of the locations that hold it, comma and space between")
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

#: Values that one field takes from others when its own is missing.
_FILL: dict[tuple[type[Record], str], Callable[[Mapping[str, Any]], Any]] = {
    (Plan, "currencycode"): _currency_of,
}


_FIELDS: dict[type[Record], tuple[Field, ...]] = {}


def fields_of(model: type[Record]) -> tuple[Field, ...]:
    """The fields of a model, in the order of their lines."""
    if model not in _FIELDS:
        hints = get_type_hints(model, include_extras=True)
        _FIELDS[model] = tuple(
            _field(each.name, hints[each.name]) for each in fields(model) if each.name != "extra"
        )
    return _FIELDS[model]


def _field(name: str, hint: Any) -> Field:
    optional, about = get_args(hint)
    kind = next(arg for arg in get_args(optional) if arg is not type(None))
    return Field(name, getattr(kind, "__origin__", kind), about)


# --- reading a record -----------------------------------------------------------------------------------

R = TypeVar("R", bound=Record)


def read(model: type[R], record: Mapping[str, Any], path: str, drift: list[Drift]) -> R:
    """The typed object of one JSON record; odd values are missing and noted in `drift`."""
    lines = _lines_of(model)
    values: dict[str, Any] = {}
    for name, wire, convert in lines.told:
        try:
            raw = record.get(name) if wire is None else _dig(record, wire)
            values[name] = None if raw is None else convert(raw)
        except ValueError as odd:
            values[name] = None
            drift.append(Drift(f"{path}.{'.'.join(wire or (name,))}", str(odd)))
    for name, follow in lines.followed:
        values[name] = follow(values)
    return model(**values, extra={} if record.keys() <= lines.known else _extra(record, lines.known))


@dataclass(frozen=True)
class _Lines:
    """The lines of a model as `read` goes through them: once for each record of thousands."""

    #: Name, wire path where it is not the name, and what takes the value.
    told: tuple[tuple[str, tuple[str, ...] | None, Callable[[Any], Any]], ...]
    followed: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]
    known: frozenset[str]


_LINES: dict[type[Record], _Lines] = {}


def _lines_of(model: type[Record]) -> _Lines:
    if model not in _LINES:
        told = [each for each in fields_of(model) if each.about.derive is None]
        follow = {each.name: each.about.derive or _FILL.get((model, each.name)) for each in fields_of(model)}
        _LINES[model] = _Lines(
            tuple(
                (each.name, each.wire if each.wire != (each.name,) else None, _CONVERT[each.type])
                for each in told
            ),
            tuple((name, what) for name, what in follow.items() if what is not None),
            frozenset(each.wire[0] for each in told),
        )
    return _LINES[model]


def _dig(record: Mapping[str, Any], wire: tuple[str, ...]) -> Any:
    value: Any = record
    for depth, key in enumerate(wire):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif depth and key == "slug" and value not in (None, []):  # PHP writes an empty object as []
            if isinstance(value, str):
                return value  # `"location": "MIA1"` says the same as `"location": {"slug": "MIA1"}`
            raise ValueError(f"expected an object, got {_show(value)}")
        else:
            return None
    return value


def _extra(record: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Fields that no line knows: kept, unless their name tells of a secret."""
    return {
        key: without_secrets(value)
        for key, value in record.items()
        if key not in known and not _names_a_secret(key)
    }


_SCALARS = (str, int, float, type(None))


@lru_cache(maxsize=1024)
def _names_a_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def without_secrets(value: Any, depth: int = 50) -> Any:
    """A JSON value without the fields whose name tells of a secret."""
    if not depth:
        return None  # nested deeper than anything that is meant
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Mapping):
        return {k: without_secrets(v, depth - 1) for k, v in value.items() if not _names_a_secret(str(k))}
    if isinstance(value, list):
        return [without_secrets(item, depth - 1) for item in value]
    return value


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _text(raw: Any) -> str | None:
    if type(raw) is str and raw.isascii():
        return raw or None
    if raw is None or raw == "":
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"expected a text, got {_show(raw)}")
    # A lone surrogate is valid JSON but no UTF-8: no file, terminal or Arrow column could hold it.
    return str(raw).encode("utf-8", "replace").decode("utf-8")


def _number(raw: Any) -> float | None:
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"expected a number, got {_show(raw)}")
    if isinstance(raw, str) and "_" in raw:
        raise ValueError(f"expected a number, got {_show(raw)}")
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a number, got {_show(raw)}") from None
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, got {_show(raw)}")
    return number


def _whole(raw: Any) -> int | None:
    if isinstance(raw, int) and not isinstance(raw, bool):
        whole = raw  # exact: a float in between would round large ones
    else:
        number = _number(raw)
        if number is None:
            return None
        if not number.is_integer():
            raise ValueError(f"expected a whole number, got {_show(raw)}")
        whole = int(number)
    if whole not in _INT64:
        raise ValueError(f"expected a 64-bit whole number, got {_show(raw)}")
    return whole


_FLAGS = {"true": True, "false": False, "1": True, "0": False, "": None}


def _flag(raw: Any) -> bool | None:
    if raw is None or isinstance(raw, bool):
        return raw
    if isinstance(raw, int | str) and str(raw).strip().lower() in _FLAGS:
        return _FLAGS[str(raw).strip().lower()]
    raise ValueError(f"expected true or false, got {_show(raw)}")


def _texts(raw: Any) -> tuple[str, ...] | None:
    """A list of texts; an item may also be an object with an `address` or a `slug` (instances, locations)."""
    if raw is None:
        return None
    if isinstance(raw, Mapping):
        raw = list(raw.values())
    if not isinstance(raw, list):
        raise ValueError(f"expected a list, got {_show(raw)}")
    texts = [
        _text(item.get("address", item.get("slug")) if isinstance(item, Mapping) else item) for item in raw
    ]
    return tuple(text for text in texts if text is not None)


_CONVERT: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _flag,
    tuple: _texts,
}


def shown(value: Any) -> str:
    """A value as people read it; a missing one is an en dash. Not escaped."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)
