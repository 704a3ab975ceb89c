"""What all commands that change something share: options, confirmation, result and exit code.

`--dry-run` only shows the changes; `--yes` confirms beforehand. Exit codes: 0 done; 1 failed; 2 refused; 4 not finished
within the time limit; 6 nobody confirmed; 7 only partly done, made twice, or an outcome is unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lcnb.cli.options import OUTPUT_FORMATS, Number, account_options, output_option
from lcnb.runbooks.ends import DONE, NOT_CONFIRMED, PARTLY, RUN_FAILED, TIMED_OUT

if TYPE_CHECKING:
    import pandas as pd

    from lcnb.changes.changeset import ChangeSet
    from lcnb.config import Settings


def resume_notice(settings: Settings) -> str:
    """Return what `resume` does, to be printed before changes are resumed that may have been sent already."""
    if settings.read_only:
        return f"read-only ({settings.read_only}): resume settles what was sent by reading, and sends nothing"
    return "resume looks at the account first, and sends only the changes whose effect is not there"


def change_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command that changes something."""
    options = (
        click.option("--dry-run", is_flag=True, help="Show the changes and send nothing."),
        click.option("--yes", is_flag=True, help="Confirm the changes beforehand."),
        click.option(
            "--wait",
            type=click.Choice(["ready", "ssh", "cloud-init"]),
            callback=lambda ctx, param, value: value is not None if value in (None, "ready") else value,
            help="Wait until each change has taken effect; with ssh until started machines answer by SSH, with "
            "cloud-init until that has ended.",
        ),
        click.option(
            "--timeout", type=Number(), metavar="S", help="Limit --wait to S seconds (default: 1200)."
        ),
        click.option("--go-on", is_flag=True, help="Continue after a change that failed."),
        output_option(*OUTPUT_FORMATS),
        account_options,
    )
    for add_option in reversed(options):  # `--help` then lists them in this order
        command = add_option(command)
    return command


skip_busy_option = click.option(
    "--skip-busy",
    is_flag=True,
    help="Leave out machines that are busy, still being built or suspended. Protected ones are never left out.",
)


def confirm_and_apply(changes: ChangeSet, *, dry_run: bool, yes: bool, output: str, **how: Any) -> None:
    """Show, confirm and apply changes, print the result, and exit with the code of the outcome."""
    from lcnb.display.previews import print_changes
    from lcnb.display.terminal import check_output

    check_output(output)
    if dry_run or not len(changes):
        print_changes(changes, output)
        return
    if yes and output == "table":
        print_changes(changes)
    apply_and_print(lambda options: changes.apply(**options), output, yes=yes, **how)


def _print_advice(result: pd.DataFrame) -> None:
    """Print the notes of a result, and what people need next."""
    from lcnb.changes.outcomes_view import next_steps
    from lcnb.display.palette import HEADING_STYLE
    from lcnb.display.terminal import print_line

    for word, texts in (("note", result.attrs["lcnb"].get("notes", ())), ("next", next_steps(result))):
        for text in texts:
            print_line((f"{word}: ", HEADING_STYLE), (text, ""), stream=sys.stderr)


def apply_and_print(
    work: Callable[[dict[str, Any]], pd.DataFrame],
    output: str,
    *,
    yes: bool,
    wait: bool,
    timeout: float | None,
    go_on: bool,
) -> None:
    """Call `work` with the options of `ChangeSet.apply`, print its result, and exit with the code of the outcome."""
    from lcnb import streams
    from lcnb.changes.progress import change_progress
    from lcnb.cli.printing import print_outcomes
    from lcnb.display.terminal import check_output, print_error
    from lcnb.errors import ChangeFailed, ConfirmationMissing, WaitTimeout

    check_output(output)
    code = DONE.exit_code
    try:
        with change_progress() as progress:
            how = {"wait": wait, "timeout": timeout, "on_error": "continue" if go_on else "stop"}
            result = work({**how, "confirm": True if yes else progress.confirm, "progress": progress})
    except (ChangeFailed, WaitTimeout) as error:
        print_error(error)
        if error.result is None:
            raise
        result = error.result
        code = TIMED_OUT.exit_code if isinstance(error, WaitTimeout) else RUN_FAILED.exit_code
    except ConfirmationMissing as error:
        print_error(error)
        sys.exit(NOT_CONFIRMED.exit_code)
    streams.mark_action_done()
    if progress.declined and not len(result):
        sys.exit(NOT_CONFIRMED.exit_code)
    print_outcomes(result, output)
    _print_advice(result)
    sys.exit(outcome_exit_code(result, code))


def outcome_exit_code(result: pd.DataFrame, code: int) -> int:
    """The exit code for these outcomes; `code` where all changes are done."""
    outcomes = set(result["outcome"])
    if outcomes == {"not tried"}:
        return NOT_CONFIRMED.exit_code  # the person at the terminal answered no
    if outcomes & {"unknown", "twins"} or ("done" in outcomes and outcomes & {"failed", "not tried"}):
        return PARTLY.exit_code
    return RUN_FAILED.exit_code if "failed" in outcomes else code
