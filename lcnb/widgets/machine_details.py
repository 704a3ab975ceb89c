"""What the page shows of one machine: addresses, size and price, facts, journal, snapshots, history.

Each function returns a section as `Grid.show_details` takes it. No section has a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lcnb.display.formats import MISSING, format_value, money
from lcnb.errors import InputError, LcnbError
from lcnb.facts.connection import Connection, read_connection, ssh_command
from lcnb.facts.machine_facts import tag_values
from lcnb.names import comparable_name
from lcnb.widgets.choices import has_value, plan_size_text

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.client import LetsCloud

Section = dict[str, Any]

#: Rows of the journal and of the history that the page shows of one machine, the newest first.
MAX_JOURNAL_ROWS = 30
MAX_HISTORY_ROWS = 30
ROOT_LOGIN_HINT = (
    "Initial root password: tick this machine only and press “Show initial password” above the table."
)
SNAPSHOT_NOTE = (
    "LetsCloud does not say of which machine a snapshot is: lcnb made these of it, or they are named so."
)
HISTORY_NOTE = (
    "What happened between two readings is not known; each line has the first reading that found it."
)


def base_sections(row: Mapping[str, Any]) -> list[Section]:
    """Return what a row of the inventory says: address, machine, facts. Nothing is requested."""
    return [_address_section(row), _machine_section(row), _facts_section(row)]


def read_sections(lc: LetsCloud, row: Mapping[str, Any]) -> Iterator[Section]:
    """Yield journal, snapshots and history of a machine; a section that cannot be read says why."""
    journal: pd.DataFrame | None = None
    try:
        journal = machine_journal(lc, row["identifier"])
        yield _journal_section(journal)
    except LcnbError as error:
        yield {"title": "Journal", "note": str(error)}
    try:
        yield _snapshot_section(machine_snapshots(lc.snapshots(), row["label"], journal))
    except LcnbError as error:
        yield {"title": "Snapshots", "note": str(error)}
    if lc.settings.history:
        try:
            yield _history_section(lc.history(row["identifier"]))
        except LcnbError as error:
            yield {"title": "History", "note": str(error)}


# --- the row --------------------------------------------------------------------------------------------


def _address_section(row: Mapping[str, Any]) -> Section:
    addresses = _addresses(row)
    items = [{"name": name, "value": address, "copy": True} for name, address in addresses]
    if addresses:
        items.append({"name": "SSH", "value": ssh_command(addresses[0][1], _connection(row)), "copy": True})
    if has_value(row["hostname"]):
        items.append({"name": "host name", "value": str(row["hostname"]), "copy": True})
    note = ROOT_LOGIN_HINT if addresses else f"It has no address yet. {ROOT_LOGIN_HINT}"
    return {"title": "Connect", "items": items, "note": note}


def _connection(row: Mapping[str, Any]) -> Connection:
    """Return what the tags say about reaching the machine; nothing for tags that cannot be used."""
    try:
        return read_connection(tag_values(str(row["tags"]) if has_value(row["tags"]) else ""))
    except InputError:
        return Connection()


def _addresses(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and addresses, IPv4 first."""
    return [
        (name, str(row[column]))
        for name, column in (("IPv4", "ipv4"), ("IPv6", "ipv6"))
        if has_value(row[column])
    ]


def _machine_section(row: Mapping[str, Any]) -> Section:
    place = [str(row[name]) for name in ("location", "city", "country") if has_value(row[name])]
    size = {"core": row["cpus"], "memory": row["memory"], "disk": row["total_disk_size"]}
    items = {
        "state": row["state"],
        "location": ", ".join(place),
        "plan": row["plan"],
        "size": plan_size_text(size) if all(map(has_value, size.values())) else None,
        "price": f"{money(row['monthly_value'], str(row['currencycode']))} per month"
        if has_value(row["monthly_value"])
        else "not known",
        "image": row["template_label"],
    }
    identifier = {"name": "identifier", "value": str(row["identifier"]), "copy": True}
    return {"title": "Machine", "items": [*_items(items), identifier]}


def _facts_section(row: Mapping[str, Any]) -> Section:
    protected = "yes: lcnb refuses to power off, shut down, resize, reset or delete it"
    texts = {name: str(row[name]) for name in ("tags", "owner", "note") if has_value(row[name])}
    if has_value(row["expires"]):
        texts["expires"] = f"{row['expires']:%Y-%m-%d %H:%M} UTC"
    items = {"protection": protected if has_value(row["protected"]) and row["protected"] else "no", **texts}
    note = "" if texts else "No tags, owner, note or expiry."
    return {"title": "Facts", "items": _items(items), "note": note}


def _items(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": str(value) if has_value(value) else MISSING} for name, value in values.items()
    ]


# --- what is read ---------------------------------------------------------------------------------------


def machine_journal(lc: LetsCloud, identifier: str) -> pd.DataFrame:
    """Return the rows of the journal that are about a machine of this account, the newest first.

    A snapshot has an identifier of its own; its request names the machine.
    """
    rows, path = lc.journal(), f"/instances/{identifier}"
    kept = [
        base_url == lc.settings.base_url
        and (own == identifier or request.endswith(path) or f"{path}/" in request)
        for own, request, base_url in zip(rows.identifier, rows.request, rows.base_url, strict=True)
    ]
    return _kept_rows(rows, kept).iloc[::-1]


def _kept_rows(rows: pd.DataFrame, kept: Sequence[bool]) -> pd.DataFrame:
    import pandas as pd

    return rows.loc[pd.Series(kept, index=rows.index, dtype=bool)]


def _journal_section(rows: pd.DataFrame) -> Section:
    shown = rows.head(MAX_JOURNAL_ROWS)
    columns = {
        "at": "time (UTC)",
        "action": "action",
        "outcome": "outcome",
        "detail": "detail",
        "user": "user",
    }
    cells = _cells(shown, list(columns))
    note = f"{len(rows) - len(shown)} older ones are in the journal." if len(rows) > len(shown) else ""
    return _table_section("Journal", list(columns.values()), cells, note, "The journal has no change of it.")


def machine_snapshots(
    snapshots: pd.DataFrame, label: Any, journal: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the snapshots that belong to a machine, as far as names say.

    The journal recorded that they were made of it, or their label is that of the machine, alone or followed by
    something that is no letter or digit.
    """
    name = comparable_name(label) if has_value(label) else ""
    made: set[str] = set()
    if journal is not None:
        made = set(journal[journal.action == "create snapshot"].identifier.dropna())
    labels = [comparable_name(each) if has_value(each) else "" for each in snapshots["label"]]
    kept = [
        slug in made or _is_named_after(label, name)
        for slug, label in zip(snapshots["slug"], labels, strict=True)
    ]
    return _kept_rows(snapshots, kept)


def _is_named_after(label: str, machine: str) -> bool:
    """Whether a snapshot is named after a machine, and not after one whose label is longer.

    >>> [_is_named_after(each, "web-1") for each in ("web-1", "web-1 rotation 2026-11-24", "web-10", "web-1-x", "")]
    [True, True, False, True, False]
    """
    if not machine or not label.startswith(machine):
        return False
    return not label[len(machine) : len(machine) + 1].isalnum()


def _snapshot_section(rows: pd.DataFrame) -> Section:
    columns = ["label", "size GB", "system", "ready", "slug"]
    cells = _cells(rows, ["label", "size", "os_reference", "build", "slug"])
    return _table_section("Snapshots", columns, cells, SNAPSHOT_NOTE, "No snapshot is named after it.")


def _history_section(versions: pd.DataFrame) -> Section:
    from lcnb.history.comparison import difference_text
    from lcnb.history.timeline import HISTORY_COLUMNS

    rows: list[dict[str, Any]] = [
        {str(name): value if has_value(value) else None for name, value in row.items()}
        for row in versions.to_dict("records")
    ]
    texts = [
        difference_text(before, after, HISTORY_COLUMNS) or "seen again" for before, after in pairwise(rows)
    ]
    lines = list(zip(rows, ["first seen", *texts], strict=True))[::-1][:MAX_HISTORY_ROWS]
    cells = [[f"{row['first_seen']:%Y-%m-%d %H:%M:%S}", text] for row, text in lines]
    return _table_section(
        "History", ["time (UTC)", "what changed"], cells, HISTORY_NOTE, "The history does not have it yet."
    )


def _cells(rows: pd.DataFrame, names: Sequence[str]) -> list[list[str]]:
    return [[_cell_text(row[name]) for name in names] for row in rows.to_dict("records")]


def _cell_text(value: Any) -> str:
    if isinstance(value, float) and has_value(value):
        return f"{value:g}"
    return format_value(value) if has_value(value) else MISSING


def _table_section(
    title: str, columns: Iterable[str], rows: list[list[str]], note: str, empty: str
) -> Section:
    if not rows:
        return {"title": title, "note": empty}
    return {"title": title, "columns": list(columns), "rows": rows, "note": note}
