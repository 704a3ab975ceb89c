"""The account that a sandbox starts with: locations, plans, images, keys, snapshots and a realistic fleet.

Everything follows from the seed number: the same seed makes the same account. Addresses come from ranges that are
reserved for documentation. Sizes are in MB and GB; prices are decimal strings as in the API.
"""

from __future__ import annotations

import random
import secrets
import string
from base64 import b64encode
from collections import Counter
from typing import Any

Json = dict[str, Any]

LOCATIONS: list[Json] = [
    {"slug": "MIA1", "country": "United States", "city": "Miami", "available": True},
    {"slug": "MIA2", "country": "United States", "city": "Miami", "available": True},
    {"slug": "DAL1", "country": "United States", "city": "Dallas", "available": True},
    {"slug": "SFO1", "country": "United States", "city": "San Francisco", "available": True},
    {"slug": "LON1", "country": "United Kingdom", "city": "London", "available": False},
    {"slug": "SAO1", "country": "Brazil", "city": "São Paulo", "available": True},
    {"slug": "SAO2", "country": "Brazil", "city": "São Paulo", "available": True},
]
#: vCPUs, memory GB, disk GB, traffic GB, price in USD. The first three exist [node, doc]; the others are invented.
SIZES = [
    (1, 1, 10, 1000, 5.40),
    (1, 2, 20, 1500, 10.00),
    (2, 4, 30, 2000, 17.70),
    (2, 8, 60, 4000, 34.90),
    (4, 8, 80, 5000, 44.50),
    (4, 16, 120, 6000, 79.00),
    (8, 32, 240, 8000, 149.00),
]
#: Locations with lower prices. Brazil is paid in reais.
PRICE_FACTOR = {"MIA2": 0.935, "DAL1": 0.926}
BRL_PER_USD = 5.45
BRL_ONLY = ("SAO1", "SAO2")
BOTH_CURRENCIES = ("MIA2",)
NO_LARGEST_SIZE = ("SFO1", "LON1")  # these do not offer the largest size

IMAGES: list[Json] = [
    {"slug": "ubuntu-24.04-x86_64", "distro": "Ubuntu 24.04 x86_64", "os": "linux"},
    {"slug": "ubuntu-22.04-x86_64", "distro": "Ubuntu 22.04 x86_64", "os": "linux"},
    {"slug": "debian-12-x86_64", "distro": "Debian 12 x86_64", "os": "linux"},
    {"slug": "rocky-9-x86_64", "distro": "Rocky Linux 9 x86_64", "os": "linux"},
    {"slug": "centos-69-x64", "distro": "CentOS 6.9 x64", "os": "linux"},
    {
        "slug": "centos-74-x64",
        "distro": "CentOS 7.4 x64",
        "os": "linux",
    },  # the image in the example of the API page [doc]
    {"slug": "fedora-27-x64", "distro": "Fedora 27 x64", "os": "linux"},
    {"slug": "freebsd-104-x64", "distro": "FreeBSD 10.4 x64", "os": "freebsd"},
    {"slug": "freebsd-111-x64", "distro": "FreeBSD 11.1 x64", "os": "freebsd"},
    {"slug": "docker-ubuntu-24.04", "distro": "Docker on Ubuntu 24.04", "os": "linux"},
    {"slug": "wordpress-ubuntu-22.04", "distro": "WordPress on Ubuntu 22.04", "os": "linux"},
]
IMAGE_LOCATIONS = {
    "freebsd-104-x64": ("MIA1", "DAL1"),
    "freebsd-111-x64": ("MIA1", "DAL1"),
    "fedora-27-x64": ("MIA1", "MIA2", "LON1"),
}

#: Role, number of machines among 60, index of the usual size, image.
ROLES = [
    ("web", 12, 1, "ubuntu-24.04-x86_64"),
    ("api", 9, 2, "ubuntu-24.04-x86_64"),
    ("worker", 8, 2, "debian-12-x86_64"),
    ("db", 7, 5, "debian-12-x86_64"),
    ("cache", 5, 3, "debian-12-x86_64"),
    ("proxy", 4, 0, "freebsd-111-x64"),
    ("ci-runner", 4, 4, "docker-ubuntu-24.04"),
    ("monitor", 3, 1, "rocky-9-x86_64"),
    ("blog", 2, 1, "wordpress-ubuntu-22.04"),
    ("vpn", 3, 0, "ubuntu-22.04-x86_64"),
    ("legacy-crm", 1, 3, "centos-69-x64"),
    ("erp-são-paulo", 1, 6, "ubuntu-22.04-x86_64"),
    ("mail", 1, 2, "debian-12-x86_64"),
]
UNNUMBERED_ROLES = (
    "legacy-crm",
    "erp-são-paulo",
    "mail",
)  # one machine each among 60, with a name without a number
LOCATION_SHARES = {"MIA1": 16, "MIA2": 8, "DAL1": 9, "SFO1": 7, "LON1": 6, "SAO1": 9, "SAO2": 5}
#: A size that no plan has, as of a machine that was resized by hand.
ODD_SIZE = (3, 6144, 50)


def plans_of(location: str) -> list[Json]:
    """Return the plans of a location, once per currency in which each is sold."""
    currencies = ["BRL"] if location in BRL_ONLY else ["USD"]
    if location in BOTH_CURRENCIES:
        currencies.append("BRL")
    sizes = SIZES[:-1] if location in NO_LARGEST_SIZE else SIZES
    return [_plan_record(location, *size, currency) for currency in currencies for size in sizes]


def _plan_record(
    location: str, core: int, memory_gb: int, disk: int, traffic: int, usd: float, currency: str
) -> Json:
    price = usd * PRICE_FACTOR.get(location, 1.0) * (BRL_PER_USD if currency == "BRL" else 1.0)
    return {
        "slug": f"{core}vcpu-{memory_gb}gb-{disk}ssd",
        "currencycode": currency,
        "shortcode": "$" if currency == "USD" else "R$",
        "core": core,
        "memory": memory_gb * 1024,
        "disk": disk,
        "bandwidth": traffic,
        "monthly_value": f"{price:.2f}",
    }


def images_of(location: str) -> list[Json]:
    """Return the images of a location."""
    return [dict(image) for image in IMAGES if location in IMAGE_LOCATIONS.get(image["slug"], (location,))]


def initial_account(seed: int, fleet: int) -> Json:
    """Return the state at the start as plain JSON: profile, machines, keys, snapshots."""
    chance = random.Random(seed)  # noqa: S311 - a made-up fleet, not a secret
    met: Counter[str] = Counter()
    machines = [_machine_record(chance, number, fleet, met) for number in range(fleet)]
    _assign_states(chance, machines)
    return {
        "profile": {
            "name": "Ana Martins",
            "company_name": "Example Logistics",
            "email": "ana@example.com",
            "currency": "$",
            "balance": 482.37,
        },
        "machines": machines,
        "sshkeys": [_key_record(chance, title) for title in ("Ana Laptop", "CI Deploy", "Backup Host")]
        if fleet
        else [],
        "snapshots": [_snapshot_record(chance, *row) for row in _SNAPSHOTS] if fleet else [],
    }


def random_identifier(chance: random.Random) -> str:
    """Return a machine's identifier in one of its two known forms: 14 lower-case letters [cli], 16 mixed ones [doc]."""
    drawn = [chance.random() for _ in range(16)]
    if drawn[0] < 0.5:
        return "".join(string.ascii_lowercase[int(each * 26)] for each in drawn[2:])
    every = string.ascii_letters + string.digits
    drawn[0] = drawn[0] * 2 - 1
    alphabets = [string.ascii_uppercase, string.ascii_lowercase, *[every] * 14]  # the case is always mixed
    return "".join(
        alphabet[int(each * len(alphabet))] for alphabet, each in zip(alphabets, drawn, strict=True)
    )


def random_slug(chance: random.Random) -> str:
    """Return a snapshot's slug, whose form is an assumption [?]."""
    return "".join(chance.choices(string.ascii_lowercase + string.digits, k=16))


def new_token() -> str:
    """Return a token in the provider's form: 54 characters with `$`, which a shell replaces [mcp, cli]."""
    return "$2Y$10$" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(47))


def random_password(chance: random.Random) -> str:
    """Return a password that follows the provider's rule: 12 to 32 characters, upper, lower, digit, special."""
    # The special characters of known passwords [doc] and of the clients [cli, packer]; HTML and shells escape some.
    kinds = (string.ascii_uppercase, string.ascii_lowercase, string.digits, "!@#$%(<>&?")
    picked = [chance.choice(kind) for kind in kinds] + chance.choices("".join(kinds), k=12)
    chance.shuffle(picked)
    return "".join(picked)


def machine_addresses(number: int, location: str) -> list[str]:
    """Return an IPv4 and an IPv6 address that no real machine has, different for each number."""
    nets = ("192.0.2", "198.51.100", "203.0.113")
    if number < 3 * 250:
        v4 = f"{nets[number // 250]}.{number % 250 + 2}"
    else:
        v4 = f"198.{18 + (number >> 16) % 2}.{(number >> 8) % 256}.{number % 256}"
    place = [each["slug"] for each in LOCATIONS].index(location) + 1
    return [v4, f"2001:db8:{place:x}::{number + 16:x}"]


def _machine_record(chance: random.Random, number: int, fleet: int, met: Counter[str]) -> Json:
    role, size, image = _machine_role(number)
    met[role] += 1
    location = chance.choices(list(LOCATION_SHARES), list(LOCATION_SHARES.values()))[0]
    if role.startswith("erp-são"):
        location = "SAO1"
    offered = plans_of(location)
    plan = offered[min(size if chance.random() < 0.8 else chance.randrange(3), len(offered) - 1)]
    name = f"{role}-{met[role]:02d}" if role not in UNNUMBERED_ROLES or met[role] > 1 else role
    host = name.replace("ã", "a")
    template = next(each["distro"] for each in IMAGES if each["slug"] == image)
    odd = number == min(41, fleet - 1) and fleet > 1
    core, memory, disk = ODD_SIZE if odd else (plan["core"], plan["memory"], plan["disk"])
    return {
        "uid": number + 1,
        "identifier": random_identifier(chance),
        "visible": True,
        "label": name,
        "hostname": f"{host}.{location.lower()}.example.com",
        "location": location,
        "template_label": template,
        "cpus": core,
        "memory": memory,
        "disk": disk,
        "plan": "" if odd else plan["slug"],
        "monthly": float(plan["monthly_value"]) / (BRL_PER_USD if plan["currencycode"] == "BRL" else 1.0),
        "booted": True,
        "built": True,
        "locked": False,
        "suspended": False,
        "addresses": machine_addresses(number, location),
        "password": random_password(chance),
    }


def _machine_role(number: int) -> tuple[str, int, str]:
    """Return the role of a machine. Each role occurs as often among 60 machines as its count says."""
    turns = [(role, size, image) for round_ in range(12) for role, n, size, image in ROLES if round_ < n]
    return turns[number % len(turns)]


#: The states of some of 60 machines; all others are on. Busy and building last long enough to be seen.
_STATE_POSITIONS = {
    "off": (5, 13, 22, 34, 37, 48, 55),
    "suspended": (18, 44),
    "busy": (9, 30, 51),
    "building": (57, 58),
}


def _assign_states(chance: random.Random, machines: list[Json]) -> None:
    for machine in machines:
        number = machine["uid"] - 1
        if number in _STATE_POSITIONS["off"]:
            machine["booted"] = False
        elif number in _STATE_POSITIONS["suspended"]:
            machine.update(suspended=True, booted=False)
        elif number in _STATE_POSITIONS["busy"]:
            machine["locked"] = True
            machine["then"] = [[chance.uniform(2400, 4800), {"locked": False}]]
        elif number in _STATE_POSITIONS["building"]:
            _mark_building(chance, machine, with_identifier=number % 2 == 1)


def _mark_building(chance: random.Random, machine: Json, *, with_identifier: bool) -> None:
    later = {"identifier": machine["identifier"], "addresses": machine["addresses"]}
    machine.update(built=False, booted=False, addresses=[])
    if not with_identifier:
        machine["identifier"] = ""
    machine["then"] = [
        [chance.uniform(1800, 2400), later],
        [chance.uniform(2400, 3600), {"built": True, "booted": True}],
    ]


#: Label, size, system, whether it is built, locations. Sizes are whole GB [go].
_SNAPSHOTS = [
    ("db-01 before upgrade 16", 38, "Debian 12 x86_64", True, ["MIA1"]),
    ("web golden image", 6, "Ubuntu 24.04 x86_64", True, ["MIA1", "MIA2", "DAL1", "SFO1"]),
    ("erp month end", 113, "Ubuntu 22.04 x86_64", True, ["SAO1"]),
    ("ci-runner base", 15, "Docker on Ubuntu 24.04", True, ["DAL1"]),
    ("legacy-crm last copy", 41, "CentOS 6.9 x64", False, ["LON1"]),
]


def _snapshot_record(
    chance: random.Random, label: str, size: int, os_name: str, ready: bool, places: list[str]
) -> Json:
    name = random_slug(chance)
    found: Json = {
        "slug": name,
        "label": label,
        "size": size,
        "os_reference": os_name,
        "reference": f"snap-{name[:8]}",
        "build": ready,
        "locations": places,
    }
    if not ready:
        found["then"] = [[3600.0, {"build": True}]]
    return found


def _key_record(chance: random.Random, title: str) -> Json:
    """Return a well-formed ed25519 public key. Its 32 bytes are seeded, so nobody has the private key."""
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4, "big") + kind + (32).to_bytes(4, "big") + chance.randbytes(32)
    slug = title.lower().replace(" ", "-")
    text = f"ssh-ed25519 {b64encode(blob).decode()} {slug}@example.com"
    return {"slug": slug, "title": title, "public_key": text}
