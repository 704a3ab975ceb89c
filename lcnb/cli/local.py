"""The commands about this machine: check the setup, serve the sandbox or the admin page, run the demo."""

from __future__ import annotations

import sys
from typing import Any

import click

from lcnb.cli.options import Number, WholeNumber, account_options, runs_dir_option, sandbox_settings
from lcnb.runbooks.ends import DONE, RUN_FAILED


@click.command()
@account_options
def doctor_command(account: str | None, sandbox: bool) -> None:
    """Check token, network, limits, versions and kernel.

    Correct the first line that begins with FAIL. The exit code is 1 if there is one. Nothing is changed.
    """
    from lcnb.cli.doctor import run_checks
    from lcnb.display.palette import ERROR_STYLE, HEADING_STYLE, SUCCESS_STYLE
    from lcnb.display.terminal import print_finding

    settings = sandbox_settings(None, sandbox)
    failed = 0
    for check in run_checks(account, settings=settings):
        failed += not check.ok
        mark = ("ok  ", SUCCESS_STYLE) if check.ok else ("FAIL", ERROR_STYLE)
        print_finding(mark, (f" {check.name}", HEADING_STYLE), text=f": {check.found}", indent=5)
        sys.stdout.flush()  # the next check may take seconds
    sys.exit(RUN_FAILED.exit_code if failed else DONE.exit_code)


@click.command()
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    metavar="PORT",
    default=0,
    help="Listen on this port of 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--state", metavar="FILE", type=click.Path(dir_okay=False), help="Keep the account in this file."
)
@click.option(
    "--speed",
    type=Number(),
    metavar="X",
    default=1.0,
    show_default=True,
    help="Run the clock X times as fast.",
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    default=1,
    show_default=True,
    help="Generate the machines from seed N.",
)
@click.option("--fleet", type=WholeNumber(0), metavar="N", help="Start with N machines.")
@click.option("--token", metavar="TOKEN", help="Accept this token (default: a random one).")
@click.option(
    "--shapes",
    metavar="NAME",
    default="list",
    show_default=True,
    help="Documented shape of responses to send.",
)
@click.option("--rate-limit", type=WholeNumber(1), metavar="N", help="Allow N requests per hour and token.")
@click.option(
    "--faults",
    metavar="FILE_OR_JSON",
    help="Faults to inject; `python -m lcnb.sandbox --help` describes all kinds.",
)
def sandbox_command(**options: Any) -> None:
    """Serve a simulated LetsCloud on this machine.

    It answers over real HTTP, with invented machines. The first line of output has its base URL and token. Ctrl-C ends
    it.
    """
    from lcnb.sandbox import serve

    sys.exit(serve(**{name: value for name, value in options.items() if value is not None}))


@click.command()
@click.option(
    "--host",
    metavar="HOST",
    default="127.0.0.1",
    show_default=True,
    help="Listen on this loopback address; others are refused.",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65535),
    metavar="PORT",
    default=0,
    help="Listen on this port; 0 takes a free one.",
)
@click.option("--dark", is_flag=True, help="Use the dark theme.")
@click.option(
    "--idle",
    type=WholeNumber(10),  # a shorter time may end the kernel before its page has loaded
    metavar="S",
    default=600,
    show_default=True,
    help="End the kernel of a closed page after S seconds.",
)
@click.option(
    "--notebooks",
    metavar="FOLDER",
    help="Offer the notebooks of this folder as runbooks too (default: LCNB_NOTEBOOKS).",
)
@account_options
def admin_command(
    host: str, port: int, dark: bool, idle: int, notebooks: str | None, account: str | None, sandbox: bool
) -> None:
    """Serve forms for all changes as a local web page.

    The first line of output is its address, which contains a token. Ctrl-C ends it.
    """
    from lcnb.widgets.admin_page import serve_page

    serve_page(
        account,
        sandbox=sandbox,
        host=host,
        port=port,
        dark=dark,
        idle_s=idle,
        notebooks=notebooks,
        show_address=click.echo,
    )


@click.command()
@runs_dir_option
def demo_command(runs_dir: str | None) -> None:
    """Run a report on an invented fleet; needs no account."""
    from lcnb.cli.runbooks import run_and_print
    from lcnb.client import LetsCloud
    from lcnb.config import load_settings
    from lcnb.display.row_choice import RowChoice
    from lcnb.display.terminal import frame_rows, print_line, print_table
    from lcnb.frames.inventory import by_location
    from lcnb.runbooks.run import run_runbook
    from lcnb.sandbox import start

    with start() as server:
        settings = load_settings(token=server.token, base_url=server.base_url)
        print_line((f"a sandbox LetsCloud answers at {server.base_url}", ""))
        with LetsCloud(settings) as lc:
            summary = by_location(lc.inventory())
        print_table(frame_rows(summary), RowChoice(), title="The fleet by location; cost per month")
        code = run_and_print(
            lambda **how: run_runbook("inventory", settings=settings, **how), runs_dir=runs_dir
        )
    sys.exit(code)


COMMANDS = (doctor_command, sandbox_command, admin_command, demo_command)
