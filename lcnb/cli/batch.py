"""`lcnb batch`: a runbook over many rows of parameters.

Exit codes: 0 all rows done; 8 done, and some ask for attention; 7 some done; 3 none; 6 nobody confirmed;
2 refused; 130 and 143 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from lcnb.cli.options import (
    OUTPUT_FORMATS,
    WholeNumber,
    account_options,
    accounts_option,
    chosen_accounts,
    output_option,
    runs_dir_option,
    sandbox_settings,
)
from lcnb.cli.recorded_starts import RecordedCommand
from lcnb.cli.run_options import (
    confirm_option,
    engine_option,
    kernel_options,
    parameter_option,
    retry_options,
)


@click.command(cls=RecordedCommand)
@click.argument("name", required=False)
@click.option(
    "--over",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Run once per row of this CSV file; its columns are parameters.",
)
@accounts_option("Run each row for all accounts of lcnb.toml, or these.")
@parameter_option
@click.option(
    "--workers",
    type=WholeNumber(1),
    metavar="N",
    help="Run N rows at the same time (default: the number of processors).",
)
@click.option("--max-errors", type=WholeNumber(1), metavar="N", help="Start no more rows after N failures.")
@confirm_option
@click.option("--resume", metavar="BATCH", help="Run the rows of BATCH that are not done.")
@click.option("--dask", metavar="tcp://HOST:PORT", help="Run on the workers of this Dask cluster.")
@engine_option
@retry_options
@kernel_options
@runs_dir_option
@output_option(*OUTPUT_FORMATS)
@account_options
def batch_command(
    name: str | None,
    over: str | None,
    accounts: str | None,
    pairs: tuple[str, ...],
    resume: str | None,
    runs_dir: str | None,
    output: str,
    account: str | None,
    sandbox: bool,
    **options: Any,
) -> None:
    """Run a runbook once per row of a CSV file or per account.

    All rows are checked before the first one starts. Each run has its own folder. The batch's folder records how each
    run ended; --resume continues from there.
    """
    from lcnb import streams
    from lcnb.cli.printing import print_batch
    from lcnb.cli.run_options import parse_parameters
    from lcnb.display.progress import batch_progress
    from lcnb.display.terminal import check_output
    from lcnb.runbooks.batch.runner import BatchOptions, continue_batch, run_batch

    check_output(output)
    given = {"NAME": name, "--over": over, "--accounts": accounts, "-p": pairs, "--account": account}
    _check_batch_options(given, resume)
    settings = sandbox_settings(account, sandbox)
    with batch_progress() as progress:
        chosen_options = BatchOptions(settings=settings, folder=runs_dir, progress=progress, **options)
        if resume:
            rows = continue_batch(resume, chosen_options)
        else:
            chosen = chosen_accounts(account, accounts)
            rows = run_batch(name or "", over, parse_parameters(pairs), chosen, chosen_options)
    streams.mark_action_done()
    print_batch(rows, output)
    sys.exit(rows.facts["exit_code"])


def _check_batch_options(given: Mapping[str, Any], resume: str | None) -> None:
    """UsageError for options that are missing or exclude each other."""
    if resume:
        if any(given.values()):
            raise click.UsageError("--resume takes runbook, rows, parameters and accounts from the batch.")
        return
    if not given["NAME"]:
        raise click.UsageError("name a runbook (lcnb runbooks lists them), or use --resume BATCH.")
    if not (given["--over"] or given["--accounts"]):
        raise click.UsageError("use --over FILE, --accounts, or both: they choose the runs of the batch.")
    if given["--account"] and given["--accounts"]:
        raise click.UsageError("use --account or --accounts, not both.")


COMMANDS = (batch_command,)
