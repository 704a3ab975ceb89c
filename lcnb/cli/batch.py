"""`lcnb batch`: a runbook over many rows of parameters.

Exit codes: 0 all rows done; 8 done, and some ask for attention; 7 some done; 3 none; 6 nobody confirmed;
2 refused; 130 and 143 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from lcnb.cli.options import OUTPUT_FORMATS, account_options, connect_client, output_option
from lcnb.cli.run_options import kernel_options


@click.command()
@click.argument("name", required=False)
@click.option(
    "--over", metavar="FILE", type=click.Path(dir_okay=False), help="CSV: a column a parameter, a row a run."
)
@click.option("--accounts", metavar="all|A,B", help="Each row for all accounts of lcnb.toml, or for these.")
@click.option(
    "-p", "--parameter", "pairs", metavar="NAME=VALUE", multiple=True, help="Given to every row; repeatable."
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Runs at the same time (processors).")
@click.option(
    "--max-errors", type=click.IntRange(1), metavar="N", help="After N rows not done start no more."
)
@click.option("--yes", "confirm", is_flag=True, help="The changes that rows make are confirmed.")
@click.option("--resume", metavar="BATCH", help="Run the rows of that batch that are not done.")
@click.option("--dask", metavar="tcp://HOST:PORT", help="Run on the workers of a Dask cluster.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "kernel"], case_sensitive=False),
    default="auto",
    help="kernel: an ordinary process and Jupyter kernel for each row.",
)
@kernel_options
@click.option("--runs-dir", type=click.Path(file_okay=False), help="Where the batch and its runs are kept.")
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
    """Run a runbook once for each row of a CSV file, or for each account.

    All rows are checked before the first one starts. Each run has a folder of its own; the batch's folder
    knows how each ended, and --resume goes on from there.
    """
    from lcnb import streams
    from lcnb.cli.printing import print_batch
    from lcnb.cli.run_options import parse_parameters
    from lcnb.display.progress import batch_progress
    from lcnb.display.terminal import check_output
    from lcnb.runbooks.batch.runner import batch as run_batch
    from lcnb.runbooks.batch.runner import resume_batch

    check_output(output)
    _check_batch_options(name, over, accounts, pairs, resume, account)
    settings = connect_client(account, True).settings if sandbox else None
    with batch_progress() as progress:
        common: dict[str, Any] = {"settings": settings, "folder": runs_dir, "progress": progress, **options}
        if resume:
            frame = resume_batch(resume, **common)
        else:
            chosen = (
                [account]
                if account
                else accounts == "all"
                or [each.strip() for each in (accounts or "").split(",") if each.strip()]
            )
            frame = run_batch(name or "", over, parameters=parse_parameters(pairs), accounts=chosen, **common)
    streams.mark_action_done()
    print_batch(frame, output)
    sys.exit(frame.attrs["lcnb"]["exit_code"])


def _check_batch_options(
    name: str | None,
    over: str | None,
    accounts: str | None,
    pairs: tuple[str, ...],
    resume: str | None,
    account: str | None,
) -> None:
    if resume:
        if name or over or accounts or pairs or account:
            raise click.UsageError("--resume takes runbook, rows, parameters and accounts from the batch.")
    elif not name:
        raise click.UsageError("name a runbook (lcnb runbooks lists them), or --resume a batch.")
    elif not over and not accounts:
        raise click.UsageError("--over a CSV file, --accounts, or both: what shall it run over?")
    elif account and accounts:
        raise click.UsageError("--account or --accounts, not both.")
