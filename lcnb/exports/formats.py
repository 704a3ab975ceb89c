"""The formats of `lcnb inventory -o FORMAT` for other tools, and how their files are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lcnb.errors import InputError
from lcnb.exports.ansible import ansible_inventory, ansible_script
from lcnb.exports.machines import machines_count
from lcnb.exports.prometheus import prometheus_metrics, prometheus_targets
from lcnb.exports.ssh import ssh_config
from lcnb.exports.terraform import terraform_import
from lcnb.files import is_stream, replace_file, write_error
from lcnb.python_process import module_command
from lcnb.rows import Rows

if TYPE_CHECKING:
    from lcnb.client import LetsCloud

#: Machines that a warning names.
_MAX_NAMED = 10


@dataclass(frozen=True)
class ExportSource:
    """What an export is made of: a client, the rows of its inventory, and a flag for each row."""

    client: LetsCloud
    rows: Rows
    only: Sequence[bool]
    host: str | None = None


class ExportFormat(NamedTuple):
    """A format: how its text is made, and how its file is written."""

    #: None for the script, which is made without reading the account.
    make_text: Callable[[ExportSource], str] | None
    #: Permissions of a new file; a file that exists keeps its own.
    mode: int
    #: What to do with the file; {path} is its absolute path.
    next_step: str
    #: Whether a file that exists is replaced.
    replaces: bool = True


class ExportText(NamedTuple):
    """The text of an export, and what a person should know about it."""

    text: str
    warnings: Sequence[str]


def _terraform_text(source: ExportSource) -> str:
    return terraform_import(source.rows, source.client._rows("images"), source.only)


def _prometheus_text(source: ExportSource) -> str:
    from lcnb.runbooks.records.history import list_runs

    client = source.client
    return prometheus_metrics(
        source.rows,
        client.profile(),
        runs=list_runs(),
        budget=client.budget(),
        account=client.settings.account,
    )


#: Files with addresses are private. Terraform deletes machines whose blocks are gone, so its file is never replaced.
FORMATS = {
    "ssh-config": ExportFormat(
        lambda each: ssh_config(each.rows, each.only),
        0o600,
        'write "Include {path}" at the top of ~/.ssh/config',
    ),
    "ansible": ExportFormat(
        lambda each: ansible_inventory(each.rows, each.only, host=each.host),
        0o600,
        "a script has to print it; Ansible reads no such file (-o ansible-script writes a script)",
    ),
    "ansible-script": ExportFormat(None, 0o700, "ansible-inventory -i {path} --graph"),
    "terraform": ExportFormat(
        _terraform_text, 0o600, "terraform plan, in a folder with its provider", replaces=False
    ),
    "prometheus": ExportFormat(
        _prometheus_text, 0o644, "node_exporter reads it in its folder --collector.textfile.directory"
    ),
    "prometheus-sd": ExportFormat(
        lambda each: prometheus_targets(each.rows, each.only),
        0o600,
        "name it in file_sd_configs, and let Prometheus read it (chmod)",
    ),
}


def export_text(
    name: str, client: LetsCloud, rows: Rows, only: Sequence[bool], host: str | None = None
) -> ExportText:
    """Return the text of an export, with a warning about machines that no tool can reach.

    Raises InputError and BadReply as the functions of `lcnb.exports` do.
    """
    make_text = FORMATS[name].make_text
    if make_text is None:
        raise LookupError(f"{name} is not made of an inventory")
    text = make_text(ExportSource(client, rows, only, host))
    if name not in ("ssh-config", "prometheus-sd"):  # Ansible would show a warning as an error, at each call
        return ExportText(text, [])
    without = _machines_without_address(rows, only)
    if not without:
        return ExportText(text, [])
    named = ", ".join(without[:_MAX_NAMED]) + (", …" if len(without) > _MAX_NAMED else "")
    return ExportText(text, [f"{machines_count(len(without))} without an address: {named}"])


def _machines_without_address(rows: Rows, only: Sequence[bool]) -> list[str]:
    """Return the labels, or else the identifiers, of exported machines that have no address."""
    columns = (rows.column(each) for each in ("label", "identifier", "ipv4", "ipv6"))
    return [
        label or identifier or "(no label)"
        for keep, label, identifier, ipv4, ipv6 in zip(only, *columns, strict=True)
        if keep and not (ipv4 or ipv6)
    ]


def script_text(selection: Sequence[str]) -> str:
    """Return the inventory script of Ansible for this Python; `selection` are options that choose the machines."""
    return ansible_script(module_command("lcnb", "inventory", "-o", "ansible", *selection))


def check_target(name: str, path: Path) -> None:
    """Raise InputError for a file that must not be replaced, before anything is read."""
    if path.exists() and not is_stream(path) and not FORMATS[name].replaces:
        raise InputError(
            f"{path} exists",
            field="--file",
            value=str(path),
            cure="Terraform deletes machines whose blocks are gone: write to a new file, and take over what is new.",
            not_done="written",
        )


def write_target(name: str, path: Path, text: str) -> None:
    """Write the file whole or not at all; a file that exists keeps its permissions.

    A device or pipe, such as /dev/stdout, is written to. InputError if it cannot be written there, LcnbError if the
    disk is full.
    """
    try:
        if is_stream(path):
            path.write_text(text, encoding="utf-8", errors="replace")
        else:
            replace_file(path, text, mode=FORMATS[name].mode)
    except OSError as error:
        raise write_error(
            error,
            f"the file {path} cannot be written",
            refused=InputError,
            cure="Choose a file in a folder that exists and is writable.",
            field="--file",
            value=str(path),
            not_done="written",
        ) from None


def saved_notice(name: str, path: Path) -> str:
    """Return what was written, and what to do with it.

    >>> saved_notice("ansible-script", Path("/etc/ansible/letscloud.sh"))
    'saved: /etc/ansible/letscloud.sh; next: ansible-inventory -i /etc/ansible/letscloud.sh --graph'
    """
    return f"saved: {path}; next: {FORMATS[name].next_step.format(path=path.absolute())}"
