"""`lcnb inventory -o ssh-config` and the other formats for other tools: read the account, print or write the text."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lcnb.cli.filtering import matching_rows
from lcnb.cli.options import connect_client
from lcnb.display.row_choice import RowChoice
from lcnb.display.terminal import print_warning
from lcnb.errors import InputError
from lcnb.exports import formats
from lcnb.files import is_stream

if TYPE_CHECKING:
    from lcnb.client import LetsCloud


@dataclass(frozen=True)
class Export:
    """What was asked for: the format, the account, and which machines."""

    format: str
    account: str | None
    sandbox: bool
    location: str | None
    state: str | None
    host: str | None

    def selection(self, client: LetsCloud) -> list[str]:
        """Return the options that choose the same machines in another call of the command."""
        account = self.account or client.settings.account
        chosen = {"--account": account, "--location": self.location, "--state": self.state}
        words = [word for name, value in chosen.items() if value for word in (name, value)]
        return [*words, *(["--sandbox"] if self.sandbox else [])]


def write_export(export: Export, file: str | None, at: str | None, choice: RowChoice) -> None:
    """Print the export, or write it to a file. UsageError for options that it does not have.

    `file` is None or `-` for stdout.
    """
    _check_options(export, at, choice)
    target = Path(file) if file and file != "-" else None
    if target:
        formats.check_target(export.format, target)
    with connect_client(export.account, export.sandbox) as lc:
        if export.format == "ansible-script":
            text = formats.script_text(export.selection(lc))
        else:
            rows = lc._rows("inventory")
            wanted = {"location": export.location, "state": export.state}
            only = matching_rows(lc, len(rows), rows.column, wanted)
            found = formats.export_text(export.format, lc, rows, only, export.host)
            text = found.text
            for warning in found.warnings:
                print_warning(warning)
    if target is None:
        sys.stdout.write(text)
    else:
        # A timer that replaces the file prints nothing: cron would send a mail each time.
        shown = sys.stderr.isatty() or not target.exists()
        formats.write_target(export.format, target, text)
        if shown and not is_stream(target):
            print(formats.saved_notice(export.format, target), file=sys.stderr)


def _check_options(export: Export, at: str | None, choice: RowChoice) -> None:
    if at or replace(choice, columns=tuple(choice.columns)) != RowChoice():
        raise click.UsageError(
            f"-o {export.format} has all columns of the present inventory: leave out --at, --columns, --wide, --sort, "
            "--limit and --no-header."
        )
    if export.host is not None and export.format != "ansible":
        raise click.UsageError("--host: only -o ansible has hosts.")
    if export.format == "prometheus" and (export.location or export.state):
        raise InputError(
            "-o prometheus is about the whole account: leave out --location and --state",
            not_done="sent",
        )
