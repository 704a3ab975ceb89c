"""`frame.lc`: rows that were selected with pandas become a ChangeSet.

    fleet.query("state == 'running' and location == 'MIA1'").lc.power_off().apply()

A frame knows which client read it and when. Its rows say what each machine was; `apply` compares that with the
live account and sends nothing when a row is no longer so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakValueDictionary

import pandas as pd

from lcnb.api.fields import fields_of
from lcnb.api.models import Instance
from lcnb.changes import build
from lcnb.errors import InputError
from lcnb.frames.provenance import frame_facts

if TYPE_CHECKING:
    from lcnb.changes.changeset import ChangeSet

#: The clients of this process, by the name that their frames carry.
_LIVE_CLIENTS: WeakValueDictionary[str, Any] = WeakValueDictionary()

#: Which methods a listing's rows have.
_ROW_METHODS = {
    "instances": "power_on, power_off, shutdown, reboot, reset_password, change_plan, snapshot, delete",
    "sshkeys": "delete",
    "snapshots": "delete",
}


def register_client(client: Any) -> str:
    """A name for a client that a frame can carry; the client is not kept alive by it.

    Never used again, as an `id()` would be: a frame must not come to belong to another account's client.
    """
    name = uuid4().hex
    _LIVE_CLIENTS[name] = client
    return name


class SelectedRows:
    """The rows of a frame that lcnb made, as things that can be changed; every method gives a ChangeSet.

    InputError when the frame is not lcnb's own (after `merge`, `concat` or reading a file), or holds another
    listing. Nothing is sent until `apply`. Rows that AsyncLetsCloud read give theirs to `await`.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> web = lc.instances().query("state == 'running' and label.str.startswith('web')")
    >>> len(web.lc.power_off()) == len(web)
    True
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __call__(self, client: Any) -> SelectedRows:
        """The same rows for this client, when the one that read them is gone."""
        rows = SelectedRows(self._frame)
        rows._client = client
        return rows

    _client: Any = None

    def power_on(self) -> ChangeSet:
        """Turn the machines on; those that run are left alone."""
        return self._power("power on")

    def power_off(self) -> ChangeSet:
        """Turn the machines off, as by pulling the plug."""
        return self._power("power off")

    def shutdown(self) -> ChangeSet:
        """Ask the machines to stop by themselves."""
        return self._power("shut down")

    def reboot(self) -> ChangeSet:
        """Restart the machines."""
        return self._power("reboot")

    def reset_password(self) -> ChangeSet:
        """A new root password for each; `lc.reveal(identifier)` tells it."""
        return self._machines(lambda cache, each: build.reset_password(each, None))

    def change_plan(self, plan: str) -> ChangeSet:
        """Another plan for the machines; it must be offered where each is."""
        return self._machines(lambda cache, each: build.change_plan(cache, each, plan))

    def snapshot(self, label: str) -> ChangeSet:
        """A snapshot of each; `{label}` in the text stands for the machine's label."""
        return self._machines(
            lambda cache, each: build.create_snapshot(each, label.replace("{label}", each.label or ""))
        )

    def delete(self) -> ChangeSet:
        """Delete the machines, keys or snapshots."""
        kind = self._kind("instances", "sshkeys", "snapshots")
        if kind == "instances":
            return self._machines(build.delete_instance)
        one = build.delete_sshkey if kind == "sshkeys" else build.delete_snapshot
        return self._built(
            lambda cache: build.combine_builds(one(cache, slug) for slug in self._frame["slug"])
        )

    # --- details ----------------------------------------------------------------------------------------

    def _power(self, action: str) -> ChangeSet:
        return self._machines(lambda cache, each: build.change_power(each, action))

    def _machines(self, work: Any) -> ChangeSet:
        self._kind("instances")
        machines = [_machine_from_row(row) for row in self._frame.to_dict("records")]
        return self._built(lambda cache: build.change_machines(machines, lambda each: work(cache, each)))

    def _kind(self, *allowed: str) -> str:
        about = frame_facts(self._frame)
        kind = {"inventory": "instances"}.get(str(about.get("kind")), about.get("kind"))
        if kind not in _ROW_METHODS:
            raise InputError(
                "this frame is not a listing that lcnb read (merge, concat and files lose what lcnb knows about one). "
                "Select from lc.instances(), lc.inventory(), lc.sshkeys() or lc.snapshots(). Nothing was sent."
            )
        if kind not in allowed:
            raise InputError(f"the rows are {kind}; they have: {_ROW_METHODS[kind]}. Nothing was sent.")
        key = "identifier" if kind == "instances" else "slug"
        if key not in self._frame or self._frame[key].isna().any():
            raise InputError(
                f"each row needs its {key}; a column was left out, or a machine is still being built. Nothing was sent."
            )
        return str(kind)

    def _built(self, flow: Any) -> ChangeSet:
        about = frame_facts(self._frame)
        client = self._client or _LIVE_CLIENTS.get(str(about.get("client")))
        if client is None:
            raise InputError(
                "the client that read this frame is gone. Pass one: frame.lc(client).power_off(). Nothing was sent."
            )
        return client._selected(flow, datetime.fromisoformat(str(about["fetched_at"])))  # type: ignore[no-any-return]


def _machine_from_row(row: Mapping[Any, Any]) -> Instance:
    """A machine as its row tells it; columns that were left out are not known, and not compared."""
    values: dict[str, Any] = {
        each.name: None if pd.isna(row[each.name]) else row[each.name]
        for each in fields_of(Instance)
        if each.name in row and each.type is not tuple
    }
    return Instance(**values)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain Python, a missing value as None. InputError for what is no frame."""
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected a DataFrame, got {type(frame).__name__}. Nothing was sent.")
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise InputError(f"the column {doubled[0]!r} is there twice. Nothing was sent.")
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
