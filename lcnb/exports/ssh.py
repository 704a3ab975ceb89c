"""The configuration of ssh: a `Host` block per machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lcnb.changes.known_hosts import known_hosts_path
from lcnb.exports.machines import (
    ExportedMachine,
    Only,
    chosen_machines,
    jump_machines,
    machines_by_name,
    machines_count,
    read_machines,
)
from lcnb.exports.names import comment_text

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.rows import Rows


def ssh_config(inventory: pd.DataFrame | Rows, only: Only = None) -> str:
    """Return a block of ssh_config per machine, by which `ssh LABEL` and `ssh IDENTIFIER` reach it.

    A block has the machine's address and what its tags say: `ssh-user`, `ssh-port`, `ssh-key` (a path), `ssh-jump`
    (machines or hosts, separated by commas). A label that several machines have is no name here. A machine without an
    address gets a host that does not exist, so that ssh does not look for its label elsewhere.

    Args:
        inventory: the frame of `lc.inventory()`, or rows selected from it.
        only: a flag per row; the machines over which these are reached are included. All machines by default.

    Raises InputError for a tag that cannot be used, BadReply for an inventory that may be incomplete.

    >>> import lcnb
    >>> fleet = lcnb.connect(sandbox=True).inventory()
    >>> "Host web-01 " in ssh_config(fleet, only=fleet.label == "web-01")
    True
    """
    machines = read_machines(inventory)
    chosen = _with_jumps(chosen_machines(machines, only), machines)
    head = f"# lcnb wrote this file: {machines_count(len(chosen))}. It is replaced as a whole.\n"
    return "\n".join([head, *map(_host_block, chosen)])


def _with_jumps(
    chosen: Iterable[ExportedMachine], machines: Sequence[ExportedMachine]
) -> list[ExportedMachine]:
    """Return the machines with those over which they are reached: without its block, a name is looked up elsewhere."""
    by_name = machines_by_name(machines)
    ahead, wanted = list(chosen), set()
    while ahead:
        each = ahead.pop()
        if each.name not in wanted:
            wanted.add(each.name)
            ahead += jump_machines(each, by_name)
    return [each for each in machines if each.name in wanted]


def _host_block(machine: ExportedMachine) -> str:
    return "\n".join(
        [f"# {comment_text(machine.summary)}", f"Host {' '.join(machine.names)}"]
        + [f"    {line}" for line in _options(machine)]
        + [""]
    )


def _options(machine: ExportedMachine) -> Iterator[str]:
    how = machine.connection
    yield f"HostName {machine.reachable_address}"
    # The host keys that lcnb recorded while it waited for new machines (`--wait ssh`).
    yield f'UserKnownHostsFile ~/.ssh/known_hosts "{str(known_hosts_path()).replace("%", "%%")}"'
    if how.user:
        yield f"User {how.user}"
    if how.port:
        yield f"Port {how.port}"
    if how.key:
        yield f'IdentityFile "{how.key}"'
    if how.jumps:
        yield f"ProxyJump {','.join(map(str, how.jumps))}"
