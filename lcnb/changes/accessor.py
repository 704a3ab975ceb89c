"""`frame.lc`: rows that were selected with pandas become a ChangeSet.

    fleet.query("state == 'running' and location == 'MIA1'").lc.power_off().apply()
    fleet[fleet.lc.tags("project") == "shop"].lc.protect()

A frame knows which client read it and when. Its rows hold the state of each machine at that time; `apply` compares it
with the live account, and sends nothing when a row is out of date. After `merge` a frame does not know this any more:
its machines are then looked up by their identifiers (`merged_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lcnb.api.fields import fields_of
from lcnb.api.flows import Flow
from lcnb.api.models import Instance
from lcnb.changes import build
from lcnb.changes.merged_rows import check_identifiers, check_repeated, expect_row, find_row_machines
from lcnb.errors import InputError
from lcnb.facts.edits import Tags
from lcnb.facts.machine_facts import checked_tag_key, tag_values
from lcnb.flags import checked_flag
from lcnb.frames.live_clients import clients_that_listed, find_client
from lcnb.frames.provenance import frame_facts
from lcnb.suggestions import unknown_attribute

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.changeset import ChangeSet

#: Which methods a listing's rows have.
_ROW_METHODS = {
    "instances": "power_on, power_off, shutdown, reboot, reset_password, change_plan, snapshot, delete, tag, untag, "
    "protect, unprotect, expire",
    "sshkeys": "delete",
    "snapshots": "delete",
}


class SelectedRows:
    """The selected rows of an lcnb listing: methods that change the account return a ChangeSet of them.

    Facts (`tag`, `untag`, `protect`, `unprotect`, `expire`) are in a file of this machine: they are changed at once.
    After `merge` or `concat` rows of machines still have these methods, as long as each has the identifier of another
    machine: the client that has listed them reads them again. InputError for rows without their identifiers, for a
    machine in several rows, for rows that no open client has listed (pass one: `frame.lc(client)`), and for another
    listing. Nothing is sent until `apply`. For rows that AsyncLetsCloud read, the methods are awaited.

    Machines that cannot be changed now raise ChangesRefused, whose `.refused` lists each with its reason. With
    `skip_busy=True` those that are busy, still being built or suspended are left out, with a note; protected ones
    never are.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> web = lc.instances().query("state == 'running' and label.str.startswith('web')")
    >>> len(web.lc.power_off()) == len(web)
    True
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __call__(self, client: Any) -> SelectedRows:
        """Return the same rows for this client, when the client that read them is gone."""
        rows = SelectedRows(self._frame)
        rows._client = client
        return rows

    _client: Any = None

    if not TYPE_CHECKING:  # a type checker would accept every misspelt name

        def __getattr__(self, name: str) -> object:
            """Raise AttributeError with the nearest name."""
            raise unknown_attribute("frame.lc", name, dir(type(self)))

    def power_on(self, *, skip_busy: bool = False) -> ChangeSet:
        """Turn the machines on; running ones are left alone."""
        return self._build_power("power on", skip_busy)

    def power_off(self, *, skip_busy: bool = False) -> ChangeSet:
        """Turn the machines off at once, without asking their systems."""
        return self._build_power("power off", skip_busy)

    def shutdown(self, *, skip_busy: bool = False) -> ChangeSet:
        """Ask the systems of the machines to stop."""
        return self._build_power("shut down", skip_busy)

    def reboot(self, *, skip_busy: bool = False) -> ChangeSet:
        """Restart the machines."""
        return self._build_power("reboot", skip_busy)

    def reset_password(self, *, skip_busy: bool = False) -> ChangeSet:
        """Set a new root password for each machine; `lc.reveal(identifier)` returns it."""
        return self._build_for_machines(lambda cache, each: build.reset_password(each, None), skip_busy)

    def change_plan(self, plan: str, *, skip_busy: bool = False) -> ChangeSet:
        """Give the machines another plan; the location of each must offer it."""
        return self._build_for_machines(lambda cache, each: build.change_plan(cache, each, plan), skip_busy)

    def snapshot(self, label: str, *, skip_busy: bool = False) -> ChangeSet:
        """Create a snapshot of each machine; `{label}` in the text is replaced by the machine's label."""
        return self._build_for_machines(
            lambda cache, each: build.create_snapshot(each, label.replace("{label}", each.label or "")),
            skip_busy,
        )

    def delete(self, *, skip_busy: bool = False) -> ChangeSet:
        """Delete the machines, keys or snapshots."""
        kind = self._checked_kind("instances", "sshkeys", "snapshots")
        if kind == "instances":
            return self._build_for_machines(build.delete_instance, skip_busy)
        one = build.delete_sshkey if kind == "sshkeys" else build.delete_snapshot
        rows = self._frame.to_dict("records")
        return self._build_with(
            lambda cache: build.combine_builds(expect_row(row, one(cache, row["slug"])) for row in rows)
        )

    # --- facts ------------------------------------------------------------------------------------------

    def tags(self, key: str) -> pd.Series[str]:
        """Return the value of a tag for each row, as `str`: missing for a machine without it, "" for a bare key.

        The rows need the column `tags`, which `lc.inventory()` and `lc.facts()` have; InputError without it.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> _ = lc.tag("web-01", "project=shop")
        >>> fleet = lc.inventory()
        >>> fleet[fleet.lc.tags("project") == "shop"].label.tolist()
        ['web-01']
        """
        import pandas as pd

        name = checked_tag_key(key)
        if "tags" not in self._frame:
            raise InputError("these rows have no column tags", cure="Select them from lc.inventory().")
        found = [
            tag_values(text).get(name) if isinstance(text, str) else None for text in self._frame["tags"]
        ]
        return pd.Series(found, index=self._frame.index, dtype="str", name=name)

    def tag(self, *tags: Tags) -> pd.DataFrame:
        """Give the machines tags, as `lc.tag` does, and return their facts."""
        return self._facts_client().tag(self._frame, *tags)  # type: ignore[no-any-return]

    def untag(self, *keys: str) -> pd.DataFrame:
        """Remove the tags of these keys, as `lc.untag` does, and return the machines' facts."""
        return self._facts_client().untag(self._frame, *keys)  # type: ignore[no-any-return]

    def protect(self) -> pd.DataFrame:
        """Protect the machines, as `lc.protect` does, and return their facts."""
        return self._facts_client().protect(self._frame)  # type: ignore[no-any-return]

    def unprotect(self) -> pd.DataFrame:
        """Lift the protection of the machines, and return their facts."""
        return self._facts_client().unprotect(self._frame)  # type: ignore[no-any-return]

    def expire(
        self, in_: str | timedelta | None = None, *, at: str | date | None = None, never: bool = False
    ) -> pd.DataFrame:
        """Set when the machines may be ended, as `lc.expire` does, and return their facts."""
        return self._facts_client().expire(self._frame, in_, at=at, never=never)  # type: ignore[no-any-return]

    # --- details ----------------------------------------------------------------------------------------

    def _build_power(self, action: str, skip_busy: bool) -> ChangeSet:
        return self._build_for_machines(lambda cache, each: build.change_power(each, action), skip_busy)

    def _build_for_machines(self, work: Any, skip_busy: bool) -> ChangeSet:
        self._checked_kind("instances", need_key=False)
        skip = checked_flag("skip_busy", skip_busy)
        rows = self._frame.to_dict("records")

        def build_rows(cache: build.ReadCache) -> Flow[build.BuiltChanges]:
            if self._is_listing():
                machines = [_machine_from_row(row) for row in rows]
            else:
                machines = yield from find_row_machines(cache, rows)
            built = yield from build.change_machines(machines, lambda each: work(cache, each), skip_busy=skip)
            if not rows:
                built.notes.append("no machine is selected: the frame has no rows")
            return built

        return self._build_with(build_rows)

    def _is_listing(self) -> bool:
        """Whether the frame knows what lcnb read; after a merge it does not."""
        return bool(frame_facts(self._frame))

    def _checked_kind(self, *allowed: str, need_key: bool = True) -> str:
        """Return the kind of the listing; `need_key` refuses rows without their identifier or slug."""
        kind = self._listing_kind()
        if kind not in allowed:
            raise InputError(f"the rows are {kind}; they have: {_ROW_METHODS[kind]}. Nothing was sent.")
        has_key = list(self._frame.columns).count("identifier") == 1
        if kind == "instances" and not (self._is_listing() and has_key):
            check_identifiers(self._frame)
        elif kind == "instances":
            check_repeated(self._frame)
        key = "identifier" if kind == "instances" else "slug"
        if key not in self._frame or (need_key and self._frame[key].isna().any()):
            raise InputError(
                f"each row needs its {key}; a column was left out, or a machine is still being built. Nothing was sent."
            )
        return kind

    def _listing_kind(self) -> str:
        """Return which listing the rows are of. InputError for rows of the past, and for those of no listing."""
        about = frame_facts(self._frame)
        if about.get("past"):
            raise InputError(
                f"these rows are the inventory of {about.get('fetched_at')}; the machines may have changed since",
                cure="Select from lc.inventory(), without at=.",
                not_done="sent",
            )
        kind = {"inventory": "instances"}.get(str(about.get("kind")), str(about.get("kind")))
        if kind in _ROW_METHODS:
            return kind
        if not about and any(str(name).startswith("identifier") for name in self._frame.columns):
            return "instances"
        raise InputError(
            "this frame is not a listing that lcnb read, and has no column identifier (merge and files lose what lcnb "
            "knows about a listing)",
            cure="Keep the column identifier, as in lc.inventory().merge(teams, on='label'), or select from "
            "lc.instances(), lc.inventory(), lc.sshkeys() or lc.snapshots().",
            not_done="sent",
        )

    def _facts_client(self) -> Any:
        self._checked_kind("instances")
        return self._live_client()

    def _build_with(self, flow: Any) -> ChangeSet:
        read = frame_facts(self._frame).get("fetched_at")
        read_at = datetime.fromisoformat(str(read)) if read else None
        return self._live_client()._selected(flow, read_at)  # type: ignore[no-any-return]

    def _live_client(self) -> Any:
        """Return the client that was passed, or that read the frame or its machines. InputError when it is gone."""
        if self._client is not None:
            return self._client
        if self._is_listing():
            client = find_client(str(frame_facts(self._frame).get("client")))
            if client is None:
                raise InputError(
                    "the client that read this frame is gone. Pass one: frame.lc(client).power_off(). Nothing was sent."
                )
            return client
        found = clients_that_listed(self._frame["identifier"].tolist())
        if len(found) != 1:
            whose = f"{len(found)} open clients have" if found else "no open client has"
            raise InputError(
                f"the frame does not say which client read it, and {whose} listed these machines. Select from "
                "lc.instances() or lc.inventory(), or pass a client: frame.lc(client).power_off(). Nothing was sent."
            )
        return found[0]


def _machine_from_row(row: Mapping[Any, Any]) -> Instance:
    """Return the machine of a row; missing columns are unknown, and are not compared later."""
    import pandas as pd

    values: dict[str, Any] = {
        each.name: None if pd.isna(row[each.name]) else row[each.name]
        for each in fields_of(Instance)
        if each.name in row and each.type is not tuple
    }
    return Instance(**values)


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as plain Python values, with None for missing ones. InputError for anything else."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected a DataFrame, got {type(frame).__name__}. Nothing was sent.")
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise InputError(f"the column {doubled[0]!r} is there twice. Nothing was sent.")
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
