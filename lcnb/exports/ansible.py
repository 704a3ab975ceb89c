"""The dynamic inventory of Ansible: its JSON, and the script that Ansible calls for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.exports.machines import (
    ExportedMachine,
    Only,
    chosen_machines,
    machines_by_name,
    read_machines,
)
from lcnb.exports.names import distinct_names, word_name
from lcnb.facts.connection import Jump
from lcnb.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.rows import Rows

#: A group of machines: what they have in common, and its value. A tag has its key and its value.
_Group = tuple[str, ...]


def ansible_inventory(inventory: pd.DataFrame | Rows, only: Only = None, *, host: str | None = None) -> str:
    """Return the JSON that Ansible expects of an inventory script, with the variables of all hosts in `_meta`.

    The groups are `location_MIA1`, `state_running`, `plan_1vcpu_1gb_10ssd`, `tag_legacy` and `tag_project_shop`, and of
    several accounts `account_prod`. Where two of them would have the same name, both end with a digest. A machine whose
    label is the name of a group has its identifier as name: no label changes what a playbook runs on. Each host has
    `ansible_host`, what its tags say (see `ssh_config`), and `lcnb_identifier`, `lcnb_label`, `lcnb_hostname`,
    `lcnb_state`, `lcnb_location`, `lcnb_plan`, `lcnb_image`, `lcnb_owner`, `lcnb_ipv4`, `lcnb_ipv6`, `lcnb_account`,
    `lcnb_protected` and `lcnb_tags`. Ansible never reads their values as templates.

    Args:
        inventory: the frame of `lc.inventory()`, or rows selected from it.
        only: a flag per row; all machines by default.
        host: return only the variables of this host, as Ansible requests with `--host`.

    Raises InputError for a tag that cannot be used or an unknown host, BadReply for an inventory that may be
    incomplete.

    >>> import json, lcnb
    >>> groups = json.loads(ansible_inventory(lcnb.connect(sandbox=True).inventory()))
    >>> "web-01" in groups["state_running"]["hosts"]
    True
    """
    machines = read_machines(inventory)
    _check_tag_keys(machines)
    by_name = machines_by_name(machines)
    chosen = _apart_from_groups(chosen_machines(machines, only), machines)
    if host is not None:
        return _json_text(_variables(_find_host(host, chosen), by_name))
    members: dict[_Group, list[str]] = {}
    for machine in chosen:
        for group in _groups(machine):
            members.setdefault(group, []).append(machine.name)
    names = distinct_names(members, _group_name, reserved={each.name for each in chosen})
    document: dict[str, Any] = {
        "_meta": {"hostvars": {each.name: _variables(each, by_name) for each in chosen}},
        "all": {"hosts": [each.name for each in chosen], "children": sorted(names.values())},
    }
    document |= {names[group]: {"hosts": hosts} for group, hosts in members.items()}
    return _json_text(document)


def ansible_script(command: Sequence[str]) -> str:
    """Return a script for `ansible -i`: it calls `command` for `--list`, and with `--host NAME` for one host.

    `command`: the words of the command that prints `ansible_inventory`.

    >>> print(ansible_script(["lcnb", "inventory", "-o", "ansible"]).splitlines()[0])
    #!/bin/sh
    """
    line = shlex.join(command)
    return (
        "#!/bin/sh\n"
        "# lcnb wrote this inventory script. Ansible calls it with --list, or with --host NAME.\n"
        'case "$1" in\n'
        f"--list) exec {line} ;;\n"
        f'--host) exec {line} --host "$2" ;;\n'
        '*) echo "usage: $0 --list | --host NAME" >&2; exit 2 ;;\n'
        "esac\n"
    )


def _apart_from_groups(
    chosen: Sequence[ExportedMachine], machines: Sequence[ExportedMachine]
) -> list[ExportedMachine]:
    """Return the machines with other names where a group of any machine has the name, if they have another one."""
    groups = {_group_name(group) for each in machines for group in _groups(each)}
    return [
        replace(each, names=tuple(name for name in each.names if name not in groups) or each.names)
        for each in chosen
    ]


def _check_tag_keys(machines: Sequence[ExportedMachine]) -> None:
    """Raise InputError for a tag by which Ansible would read all tags of the machine as something else."""
    for machine in machines:
        for key in machine.tags:
            if key.startswith("__ansible"):
                raise InputError(
                    f"{machine.label}: Ansible reserves keys that begin with __ansible",
                    field=f"tag {key}",
                    cure=f"Remove it: lcnb untag {machine.identifier} {key}.",
                    not_done="written",
                )


def _find_host(name: str, machines: Sequence[ExportedMachine]) -> ExportedMachine:
    found = next((each for each in machines if each.name == name), None)
    if found is None:
        known = [each.name for each in machines]
        raise InputError(f"no host {name!r}{did_you_mean(name, known)}", field="host", value=name)
    return found


def _groups(machine: ExportedMachine) -> Iterator[_Group]:
    for kind in ("account", "location", "state", "plan"):
        if value := getattr(machine, kind):
            yield kind, value
    for key, value in machine.tags.items():
        yield ("tag", key, value) if value else ("tag", key)


def _group_name(group: _Group) -> str:
    return word_name("_".join(group))


def _variables(machine: ExportedMachine, machines: Mapping[str, ExportedMachine]) -> dict[str, Any]:
    how = machine.connection
    found: dict[str, Any] = {"ansible_host": machine.reachable_address}
    if how.user:
        found["ansible_user"] = how.user
    if how.port:
        found["ansible_port"] = how.port
    if how.key:
        found["ansible_ssh_private_key_file"] = how.key
    if how.jumps:
        jumps = ",".join(map(str, _all_jumps(machine, machines)))
        found["ansible_ssh_common_args"] = f"-o ProxyJump={jumps}"
    texts = {
        name: getattr(machine, name)
        for name in (
            *("identifier", "label", "hostname", "state", "location", "plan"),
            *("owner", "ipv4", "ipv6", "account"),
        )
    }
    texts["image"] = machine.template_label
    found |= {f"lcnb_{name}": _plain_text(text) for name, text in texts.items()}
    found["lcnb_protected"] = machine.protected
    found["lcnb_tags"] = {key: _plain_text(value) for key, value in machine.tags.items()}
    return found


def _all_jumps(machine: ExportedMachine, machines: Mapping[str, ExportedMachine]) -> list[Jump]:
    """Return the hosts on the way to a machine by their addresses: Ansible does not read our ssh_config."""
    found: list[Jump] = []
    for each in machine.connection.jumps:
        over = machines.get(each.host)
        if over is None:
            found.append(each)
            continue
        how = over.connection
        found += _all_jumps(over, machines)
        found.append(Jump(over.reachable_address, each.user or how.user, each.port or how.port))
    return found


def _plain_text(text: str) -> str | dict[str, str]:
    """Return a text that Ansible does not read as a template: a label may be chosen by anybody."""
    return {"__ansible_unsafe": text} if "{" in text else text


def _json_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
