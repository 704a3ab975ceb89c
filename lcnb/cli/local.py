"""The commands about this machine: check the setup, serve the sandbox or the admin page, run the demo."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import account_options, connect_client

if TYPE_CHECKING:
    pass


@click.command()
@account_options
def doctor_command(account: str | None, sandbox: bool) -> None:
    """Check token, network, limits, versions and Jupyter kernel."""
    from lcnb.cli.doctor import run_checks
    from lcnb.display.terminal import stdout_console

    settings = connect_client(None, True).settings if sandbox else None
    console = stdout_console()
    failed = 0
    for check in run_checks(account, settings=settings):
        failed += not check.ok
        mark = "[green]ok  [/]" if check.ok else "[bold red]FAIL[/]"
        console.print(f"{mark} [bold]{check.name}[/]: ", end="")
        console.print(check.found, markup=False, highlight=False, soft_wrap=True)
    sys.exit(1 if failed else 0)


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one."
)
@click.option("--state", type=click.Path(dir_okay=False), help="File that keeps the account over restarts.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="How much faster its clock runs.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, another fleet.")
@click.option("--fleet", type=click.IntRange(0), help="Number of machines at the start.")
@click.option("--token", metavar="T", help="The token to accept; a random one by default.")
@click.option("--shapes", default="list", show_default=True, help="Which documented shapes answers take.")
@click.option("--rate-limit", type=click.IntRange(1), help="Calls an hour for each token.")
@click.option(
    "--faults",
    metavar="FILE_OR_JSON",
    help="A script of what goes wrong; `python -m lcnb.sandbox --help` tells its form and all kinds.",
)
def sandbox_command(**options: Any) -> None:
    """A LetsCloud on this machine: real HTTP, made-up machines.

    The first line printed tells its base URL and token. Ctrl-C ends it.
    """
    from lcnb.sandbox import serve

    sys.exit(serve(**{name: value for name, value in options.items() if value is not None}))


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Only addresses of this machine are taken."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--dark", is_flag=True, help="The dark theme.")
@click.option(
    "--idle",
    type=click.IntRange(10),  # less, and it may end before its page has come
    default=600,
    show_default=True,
    help="Seconds after which the kernel of a closed page ends.",
)
@account_options
def admin_command(host: str, port: int, dark: bool, idle: int, account: str | None, sandbox: bool) -> None:
    """Forms for everything, as a web page on this machine.

    The first line printed is its address, with a token in it. Ctrl-C ends it.
    """
    from lcnb.widgets.admin_page import serve_page

    serve_page(account, sandbox=sandbox, host=host, port=port, dark=dark, idle_s=idle, told=click.echo)


# --- runbooks -------------------------------------------------------------------------------------------


@click.command()
@click.option("--runs-dir", type=click.Path(file_okay=False), help="Where the run's own folder is made.")
def demo_command(runs_dir: str | None) -> None:
    """See it work: a made-up fleet, read over HTTP into a report. Needs no account."""
    from lcnb.cli.runbooks import run_and_print
    from lcnb.client import LetsCloud
    from lcnb.config import load_settings
    from lcnb.display.terminal import frame_table, stdout_console
    from lcnb.frames.inventory import by_location
    from lcnb.runbooks.run import run_runbook
    from lcnb.sandbox import start

    with start() as server:
        settings = load_settings(token=server.token, base_url=server.base_url)
        stdout_console().print(
            f"a sandbox LetsCloud answers at {server.base_url}", highlight=False, soft_wrap=True
        )
        with LetsCloud(settings) as lc:
            summary = by_location(lc.inventory())
        stdout_console().print(frame_table(summary, title="The fleet by location; cost a month"))
        code = run_and_print(
            lambda **how: run_runbook("inventory", settings=settings, **how), runs_dir=runs_dir
        )
    sys.exit(code)


COMMANDS = (doctor_command, sandbox_command, admin_command, demo_command)
