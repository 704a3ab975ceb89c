"""The machines of an inventory as the exports need them: named, with checked addresses and connections.

An export that lacks a machine looks like one in which it was deleted: Terraform would plan to delete it, an alert would
end. So an inventory that may be incomplete is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lcnb.errors import BadReply, InputError
from lcnb.exports.names import host_names
from lcnb.facts.connection import JUMP_TAG, NO_ADDRESS, Connection, Jump, plain_address, read_connection
from lcnb.facts.machine_facts import tag_values
from lcnb.frames.provenance import INCOMPLETE, frame_facts
from lcnb.names import comparable_name
from lcnb.rows import Rows
from lcnb.shortening import name_first

if TYPE_CHECKING:
    import pandas as pd

#: A flag for each row of an inventory: whether it is exported.
Only = Iterable[bool] | None
#: Problems that a message shows.
MAX_PROBLEMS_SHOWN = 10
_COLUMNS = (
    *("identifier", "label", "hostname", "state", "location", "plan", "monthly_value", "currencycode"),
    *("price_note", "ipv4", "ipv6", "template_label", "tags", "owner", "protected"),
)


@dataclass(frozen=True)
class ExportedMachine:
    """A machine with its names; texts are empty where the value is missing."""

    #: The names by which other tools know it, the best one first.
    names: tuple[str, ...]
    identifier: str
    label: str
    hostname: str
    state: str
    location: str
    plan: str
    price_note: str
    template_label: str
    owner: str
    account: str
    ipv4: str
    ipv6: str
    currencycode: str
    monthly_value: float | None
    protected: bool | None
    tags: Mapping[str, str]
    connection: Connection

    @property
    def name(self) -> str:
        """Its name in other tools."""
        return self.names[0]

    @property
    def address(self) -> str:
        """Its IPv4 address, or else its IPv6 address; "" if it has none."""
        return self.ipv4 or self.ipv6

    @property
    def reachable_address(self) -> str:
        """Its address, or a host that never exists."""
        return self.address or NO_ADDRESS

    @property
    def summary(self) -> str:
        """Label, state and location, for a comment."""
        label = self.label or "(no label)"
        return ", ".join(filter(None, [label, self.account, self.state, self.location]))


def read_machines(inventory: pd.DataFrame | Rows, *, connections: bool = True) -> list[ExportedMachine]:
    """Return the machines of an inventory, in its order.

    `connections`: whether the export says how machines are reached. Without it their tags are not read, since a wrong
    one must not end an export that has no use for it.

    Raises InputError for rows that are no inventory, or of the past, and for tags that cannot be used, each named;
    BadReply for an inventory that may be incomplete. Nothing is written then.
    """
    rows = inventory if isinstance(inventory, Rows) else _frame_rows(inventory)
    _check_complete(rows)
    records = [dict(zip(rows.dtypes, values, strict=True)) for values in rows]
    names = host_names([(each["label"], each["identifier"]) for each in records])
    problems: list[str] = []
    machines = [
        _make_machine(record, each, problems if connections else None)
        for record, each in zip(records, names, strict=True)
    ]
    known = _index_names(machines)
    machines = [_resolve_jumps(each, known, problems) for each in machines]
    problems += _find_loops(machines)
    if problems:
        raise InputError(
            name_first(problems, MAX_PROBLEMS_SHOWN, separator="; "),
            cure="Correct the tags, for example: lcnb tag MACHINE ssh-port=22.",
            not_done="written",
        )
    return machines


def chosen_machines(machines: Sequence[ExportedMachine], only: Only) -> list[ExportedMachine]:
    """Return the machines whose flag is set; all without flags. Raises InputError for another number of flags."""
    if only is None:
        return list(machines)
    flags = [bool(each) for each in only]
    if len(flags) != len(machines):
        raise InputError(
            field="only", expected=f"{len(machines)} flags, one per row", value=len(flags), not_done="written"
        )
    return [machine for machine, keep in zip(machines, flags, strict=True) if keep]


def jump_machines(machine: ExportedMachine, machines: Mapping[str, ExportedMachine]) -> list[ExportedMachine]:
    """Return the machines over which a machine is reached; `machines` has all by their names."""
    return [machines[each.host] for each in machine.connection.jumps if each.host in machines]


def machines_by_name(machines: Iterable[ExportedMachine]) -> dict[str, ExportedMachine]:
    """Return each machine by its first name, which is the one that jumps use."""
    return {each.name: each for each in machines}


def machines_count(count: int) -> str:
    """Return the number of machines as text.

    >>> machines_count(1), machines_count(0)
    ('1 machine', '0 machines')
    """
    return f"{count} machine{'' if count == 1 else 's'}"


# --- details --------------------------------------------------------------------------------------------


def _frame_rows(frame: pd.DataFrame) -> Rows:
    from lcnb.display.terminal import frame_rows

    return replace(frame_rows(frame), facts=frame_facts(frame))


def _check_complete(rows: Rows) -> None:
    missing = [name for name in _COLUMNS if name not in rows.dtypes]
    if rows.kind != "inventory" or missing:
        raise InputError(
            f"these rows have no column {missing[0]}"
            if missing
            else "these rows are no inventory that lcnb read",
            cure="Pass the frame of lc.inventory(), or rows selected from it.",
            not_done="written",
        )
    if rows.facts.get("past"):
        raise InputError(
            f"these rows are the inventory of {rows.facts.get('fetched_at')}; machines may have changed since",
            cure="Pass lc.inventory(), without at=.",
            not_done="written",
        )
    if problem := rows.facts.get(INCOMPLETE):
        raise BadReply(
            f"the inventory may lack machines: {problem}",
            cure="Read it again later; an export without these machines would look as if they were deleted.",
            not_done="written",
            sent=True,
        )


def _make_machine(record: Mapping[str, Any], names: list[str], problems: list[str] | None) -> ExportedMachine:
    """Return a machine; its problems are added, or its tags about connections are not read without a list of them."""
    tags, connection = tag_values(record["tags"] or ""), Connection()
    if problems is not None:
        try:
            connection = read_connection(tags)
        except InputError as error:
            problems.append(f"{record['label'] or record['identifier']}: {error.statement.rstrip('.')}")
    texts = {
        name: str(record.get(name) or "")
        for name in (
            *("identifier", "label", "hostname", "state", "location", "plan", "price_note"),
            *("template_label", "owner", "account", "currencycode"),
        )
    }
    return ExportedMachine(
        names=tuple(names),
        ipv4=plain_address(record["ipv4"]),
        ipv6=plain_address(record["ipv6"]),
        monthly_value=record["monthly_value"],
        protected=record["protected"],
        tags=tags,
        connection=connection,
        **texts,
    )


#: Account and label or identifier → the machines that it may mean.
_KnownNames = Mapping[tuple[str, str], list[ExportedMachine]]


def _index_names(machines: Iterable[ExportedMachine]) -> _KnownNames:
    known: dict[tuple[str, str], list[ExportedMachine]] = {}
    for each in machines:
        for name in {comparable_name(each.label), each.identifier} - {""}:
            known.setdefault((each.account, name), []).append(each)
    return known


def _resolve_jumps(machine: ExportedMachine, known: _KnownNames, problems: list[str]) -> ExportedMachine:
    """Return the machine with the names of machines in its jumps: a tag may say label or identifier."""
    jumps = []
    for each in machine.connection.jumps:
        found = known.get((machine.account, comparable_name(each.host)), [])
        if len(found) > 1:
            problems.append(
                f"{machine.label}: tag {JUMP_TAG}: {each.host!r} is the name of {len(found)} machines; "
                f"use an identifier: {', '.join(one.identifier for one in found)}"
            )
        jumps.append(Jump(found[0].name, each.user, each.port) if len(found) == 1 else each)
    return replace(machine, connection=replace(machine.connection, jumps=tuple(jumps)))


def _find_loops(machines: Sequence[ExportedMachine]) -> list[str]:
    """Return a problem for each machine whose way leads over itself: ssh would start itself without end."""
    by_name = machines_by_name(machines)
    problems = []
    for machine in machines:
        seen: set[str] = set()
        ahead = jump_machines(machine, by_name)
        while ahead:
            each = ahead.pop()
            if each.name not in seen:
                seen.add(each.name)
                ahead += jump_machines(each, by_name)
        if machine.name in seen:
            problems.append(f"{machine.label}: tag {JUMP_TAG}: its way leads over itself")
    return problems


def read_time(inventory: pd.DataFrame | Rows) -> datetime | None:
    """Return when the machines were listed; None where the rows do not say."""
    facts = inventory.facts if isinstance(inventory, Rows) else frame_facts(inventory)
    found = facts.get("fetched_at")
    return datetime.fromisoformat(str(found)) if found else None
