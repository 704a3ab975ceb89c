"""What the tests of the exports share: inventories of any machines, and random labels."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lcnb.frames.inventory import inventory_dtypes
from lcnb.frames.provenance import INCOMPLETE
from lcnb.rows import Rows

#: What a machine has unless a test says otherwise.
USUAL = {
    "hostname": "web.example.com",
    "state": "running",
    "location": "MIA1",
    "plan": "1vcpu-1gb-10ssd",
    "monthly_value": 5.4,
    "currencycode": "USD",
    "template_label": "Debian 12 x86_64",
    "ipv4": "192.0.2.7",
    "protected": False,
}
INCOMPLETE_FACTS = {INCOMPLETE: "$.data[3]: expected an object, got null; the row was left out"}


def inventory_of(*machines: dict[str, Any], **facts: Any) -> Rows:
    """An inventory of these machines, as the client returns it; `id1`, `id2`, ... are their identifiers."""
    dtypes = inventory_dtypes()
    rows = [
        {**USUAL, "identifier": f"id{number}", "label": f"web-{number}", **machine}
        for number, machine in enumerate(machines, 1)
    ]
    assert {name for row in rows for name in row} <= set(dtypes)
    return Rows("inventory", dtypes, [tuple(row.get(name) for name in dtypes) for row in rows], facts)


#: Labels as people and bad people write them: any characters, and often the same one twice.
labels = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "web-01", "web 01", "web.01", "Web-01", "são", "sa\u0303o", "*", "!web", "all", "localhost", "10.0.0.1",
            "x\nHost *\n  ProxyCommand touch /tmp/x", "x\r\nUser root", "-oProxyCommand=x", '"', "${x}", "%{x}", "#",
            "{{ 1 + 1 }}", "x\u2028Host *", "\u202eevil", "id2", "../../etc", "m\x00n", "\U000e0001", "$", "\\", "_",
        ]
    ),
)  # fmt: skip
identifiers = st.one_of(
    st.none(),
    st.from_regex(r"[A-Za-z0-9]{14}", fullmatch=True),
    st.sampled_from(["id2", "a b", "-x", "x\ny"]),
)
addresses = st.one_of(
    st.none(), st.sampled_from(["192.0.2.1", "198.51.100.7", "not an address", "10.0.0.1\nProxyCommand x"])
)
fleets = st.lists(
    st.fixed_dictionaries({"label": labels, "identifier": identifiers, "ipv4": addresses}), max_size=7
)
