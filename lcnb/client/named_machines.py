"""The machines that a facts method is called with: labels, identifiers, records or rows, looked up in the account."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from lcnb.api import queries
from lcnb.api.flows import Flow
from lcnb.api.machine_names import (
    MachineIndex,
    MachineName,
    known_identifier,
    several_machines_error,
    unknown_machines_error,
)
from lcnb.api.models import Instance
from lcnb.changes.reading import listed_machines
from lcnb.errors import InputError
from lcnb.frames.provenance import frame_facts
from lcnb.names import comparable_name, same_name

if TYPE_CHECKING:
    import pandas as pd

#: Machines as users pass them: a label, an identifier, a record, several of them, or a frame with their rows.
Machines: TypeAlias = "str | Instance | Iterable[str | Instance] | pd.DataFrame"


@dataclass(frozen=True)
class NamedMachines:
    """What a user passed: machines whose identifier is certain, and names that have to be looked up."""

    #: Identifier → label, of rows and records that lcnb read.
    known: Mapping[str, str]
    #: Labels and identifiers.
    names: Sequence[str] = ()


def read_machine_names(machines: Any, client: str) -> NamedMachines:
    """Return what a user passed. InputError for anything else, and for a row without identifier and label.

    `client`: the name of the client in the frames that it reads; other frames are looked up in the account.
    """
    # A frame exists only where pandas was imported; another thread may be importing it now.
    frame_class: Any = getattr(sys.modules.get("pandas"), "DataFrame", ())
    if isinstance(machines, frame_class):
        return _machines_of_frame(machines, client)
    return _machines_of_list([machines] if isinstance(machines, str | Instance) else machines)


def _machines_of_list(machines: Any) -> NamedMachines:
    if isinstance(machines, Mapping) or not isinstance(machines, Iterable):
        raise _not_machines(machines)
    known: dict[str, str] = {}
    names: list[str] = []
    for each in machines:
        if isinstance(each, Instance) and each.identifier:
            known[each.identifier] = each.label or ""
        else:
            names.append(_checked_name(each))
    return NamedMachines(known, names)


def _checked_name(machine: object) -> str:
    """Return the label of a record, or the text that is passed. InputError for anything that names no machine."""
    if isinstance(machine, Instance) and machine.label:
        return machine.label
    if isinstance(machine, str) and comparable_name(machine):
        return machine
    raise _not_machines(machine)


def _not_machines(value: object) -> InputError:
    return InputError(
        field="machines",
        expected="a label, an identifier, a list of them, or a frame of machines",
        value=value,
        not_done="written",
    )


def _machines_of_frame(frame: pd.DataFrame, client: str) -> NamedMachines:
    key = next((name for name in ("identifier", "label") if name in frame), None)
    if key is None:
        raise InputError("the frame has no column identifier", field="machines", not_done="written")
    without = frame[frame[key].isna()]
    if len(without):
        raise _unnamed_rows_error(without, key, len(frame))
    names = [str(each) for each in frame[key]]
    if key == "identifier" and _is_listing_of(frame, client):
        labels = frame["label"].fillna("") if "label" in frame else [""] * len(frame)
        return NamedMachines(dict(zip(names, map(str, labels), strict=True)))
    return NamedMachines({}, names)


def _unnamed_rows_error(without: pd.DataFrame, key: str, rows: int) -> InputError:
    """Return the error for the rows of a frame that have no identifier, or no label; `rows` is the number of all."""
    unnamed = without["label"].dropna().tolist() if "label" in without else []
    which = f" ({', '.join(map(str, unnamed[:5]))}{' …' if len(unnamed) > 5 else ''})" if unnamed else ""
    return InputError(
        f"each row needs its {key}; {len(without)} of {rows} rows{which} have none, as a machine that is "
        "still being built",
        field="machines",
        cure=f"Leave them out: frame[frame.{key}.notna()].",
        not_done="written",
    )


def _is_listing_of(frame: pd.DataFrame, client: str) -> bool:
    """Whether a frame is a listing of machines that this client read."""
    about = frame_facts(frame)
    return about.get("client") == client and about.get("kind") in ("instances", "inventory")


def find_machines(
    named: NamedMachines, stored: Mapping[str, str], *, gone_allowed: bool = False
) -> Flow[dict[str, str]]:
    """Return identifier → label of each machine, in the order in which it was passed; read one listing if needed.

    Args:
        named: What the user passed.
        stored: Identifier → label of the machines in the facts file.
        gone_allowed: Accept the identifier of a machine that only the facts file has.

    Raises NotFound that lists all unknown names, each with the nearest one, and InputError for a label that several
    machines have.
    """
    found = dict(named.known)
    if not named.names:
        return found
    listed = listed_machines((yield from queries.list_instances()))
    index = MachineIndex(listed.machines)
    missing: dict[MachineName, str] = {}
    for text in named.names:
        name = MachineName(text)
        matches = index.find(name)
        if len(matches) == 1:
            found[known_identifier(matches[0], not_done="written")] = matches[0].label or ""
        elif matches:
            raise several_machines_error(name, matches, not_done="written")
        elif gone_allowed and text in stored:
            found[text] = ""
        else:
            missing[name] = _gone_note(text, stored)
    if missing:
        raise unknown_machines_error(missing, listed.machines, listed.unreadable, not_done="written")
    return found


def _gone_note(name: str, stored: Mapping[str, str]) -> str:
    """Return which machines of the facts file had this name; "" for none."""
    gone = [
        identifier for identifier, label in stored.items() if same_name(label, name) or identifier == name
    ]
    return f"the facts file has {', '.join(gone)}, which the account no longer has" if gone else ""
