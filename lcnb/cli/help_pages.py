"""What `--help` of each command shows below its options: whether it asks, an example, and its exit codes."""

from __future__ import annotations

import textwrap

import click

from lcnb.runbooks import ends

_WIDTH = 78
#: What ends a command that only reads, one that changes the account, and one that runs a notebook.
_READ = (ends.DONE, ends.RUN_FAILED, ends.MISUSED)
_CHANGE = (*_READ, ends.TIMED_OUT, ends.NOT_CONFIRMED, ends.PARTLY, ends.LOCKED)
_RUN = (
    *_READ, ends.CELL_FAILED, ends.TIMED_OUT, ends.DIED, ends.NOT_CONFIRMED, ends.PARTLY, ends.ATTENTION, ends.LOCKED,
)  # fmt: skip
_BATCH = (ends.DONE, ends.MISUSED, ends.CELL_FAILED, ends.PARTLY, ends.LOCKED)
_FINDS = (*_READ, ends.ATTENTION)
_MACHINE = "--location MIA1 --plan 1vcpu-1gb-10ssd --image debian-12-x86_64"
#: Command → an example, and its ends.
PAGES: dict[str, tuple[str, tuple[ends.End, ...]]] = {
    "accounts": ("lcnb accounts", _READ),
    "admin": ("lcnb admin --sandbox", _READ),
    "apply": ("lcnb apply last", _RUN),
    "approve": ("lcnb approve last", (*_READ, ends.NOT_CONFIRMED)),
    "batch": ("lcnb batch inventory --over locations.csv --workers 2", _BATCH),
    "create": (f"lcnb create web-99 {_MACHINE} --dry-run", _CHANGE),
    "delete": ("lcnb delete web-05 --dry-run", _CHANGE),
    "demo": ("lcnb demo", _RUN),
    "diff": ("lcnb diff 20261129T063000Z last", _READ),
    "doctor": ("lcnb doctor --account prod", _READ),
    "expire": ("lcnb expire web-03 --in 72h", _READ),
    "facts": ("lcnb facts -o csv", _READ),
    "facts check": ("lcnb facts check --require project", _FINDS),
    "facts move": ("lcnb facts move lqucavltalsfyx web-01", _READ),
    "facts remove": ("lcnb facts remove lqucavltalsfyx", _READ),
    "facts set": ("lcnb facts set db-01 --owner ana", _READ),
    "history compare": ("lcnb history compare --since 24h", _READ),
    "history import": ("lcnb history import", _READ),
    "history readings": ("lcnb history readings", _READ),
    "history show": ("lcnb history show web-01", _READ),
    "history spend": ("lcnb history spend --since 7d --by location", _READ),
    "images": ("lcnb images --location MIA1", _READ),
    "instances": ("lcnb instances --state running -o csv", _READ),
    "inventory": ("lcnb inventory --location MIA1 --sort -price --limit 5", _READ),
    "journal": ("lcnb journal --limit 20", _READ),
    "key add": ("lcnb key add laptop ~/.ssh/id_ed25519.pub --dry-run", _CHANGE),
    "key delete": ("lcnb key delete laptop --dry-run", _CHANGE),
    "key generate": ("lcnb key generate deploy deploy.pem --dry-run", _CHANGE),
    "locations": ("lcnb locations", _READ),
    "open": ("lcnb open last", _READ),
    "pending": ("lcnb pending", _READ),
    "plan": ("lcnb plan fleet.csv --out plan.json", _READ),
    "plan-run": ("lcnb plan-run power_schedule -p selection=\"label.str.startswith('ci-')\" -p power=off", _RUN),
    "plans": ("lcnb plans --location MIA1", _READ),
    "power": ("lcnb power off web-03", _CHANGE),
    "profile": ("lcnb profile", _READ),
    "protect": ("lcnb protect db-01", _READ),
    "record": ("lcnb record", _FINDS),
    "rerun": ("lcnb rerun last", _RUN),
    "reset-password": ("lcnb reset-password web-03 --dry-run", _CHANGE),
    "resize": ("lcnb resize web-04 --plan 4vcpu-8gb-80ssd --dry-run", _CHANGE),
    "resume": ("lcnb resume", _RUN),
    "reveal": ("lcnb reveal web-01", _READ),
    "run": ("lcnb run inventory -p location=MIA1", _RUN),
    "runbooks": ("lcnb runbooks inventory", _READ),
    "runs": ("lcnb runs --since 7d", _READ),
    "runs digest": ("lcnb runs digest --since 24h", _READ),
    "runs prune": ("lcnb runs prune --keep 100", (*_READ, ends.NOT_CONFIRMED)),
    "runs push": ("lcnb runs push", _READ),
    "sandbox": ("lcnb sandbox --port 8765 --state account.json", _READ),
    "schedule check": ("lcnb schedule check --since 24h", _FINDS),
    "schedule export": ("lcnb schedule export inventory --cron \"30 6 * * mon-fri\" --to systemd", _READ),
    "schedule install": ("lcnb schedule install inventory --cron \"30 6 * * mon-fri\" --to cron", _READ),
    "schedule list": ("lcnb schedule list", _READ),
    "schedule remove": ("lcnb schedule remove lcnb-inventory", _READ),
    "show": ("lcnb show last", _READ),
    "snapshot create": ("lcnb snapshot create db-01 --label \"before upgrade\" --dry-run", _CHANGE),
    "snapshot delete": ("lcnb snapshot delete SLUG --dry-run", _CHANGE),
    "snapshot rename": ("lcnb snapshot rename SLUG \"before upgrade\" --dry-run", _CHANGE),
    "snapshots": ("lcnb snapshots", _READ),
    "sql": ("lcnb sql \"select location, count(*) from inventory group by 1\"", _READ),
    "sshkeys": ("lcnb sshkeys", _READ),
    "tag": ("lcnb tag web-01 web-03 project=shop", _READ),
    "unprotect": ("lcnb unprotect db-01", _READ),
    "untag": ("lcnb untag web-01 --key project", _READ),
    "verify": ("lcnb verify last", _READ),
    "wait": ("lcnb wait web-01 --timeout 600", (*_READ, ends.TIMED_OUT)),
    "warm": ("lcnb warm", _READ),
}  # fmt: skip


def add_pages(command: click.Command, name: str) -> None:
    """Add its page to a command, and to the commands of a group."""
    if name in PAGES and command.epilog is None:
        example, codes = PAGES[name]
        command.epilog = "\n\n".join(filter(None, [_asking(command), _example(example), _codes(codes)]))
    if isinstance(command, click.Group):
        for each, below in command.commands.items():
            add_pages(below, f"{name} {each}")


def _asking(command: click.Command) -> str:
    """Whether a command that changes the account asks before."""
    names = {name for each in command.params for name in each.opts}
    if not {"--dry-run", "--yes"} <= names:
        return ""
    return "It shows the changes and asks before it sends them. --yes confirms beforehand; --dry-run sends nothing."


def _example(example: str) -> str:
    """The example, over several lines as a shell reads them where it is long."""
    lines = textwrap.wrap(example, _WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    return "\b\nExample:\n" + " \\\n".join(
        f"  {'  ' if number else ''}{line}" for number, line in enumerate(lines)
    )


def _codes(found: tuple[ends.End, ...]) -> str:
    """The exit codes with their sentences."""
    lines = []
    for each in sorted(found, key=lambda each: each.exit_code):
        text = textwrap.wrap(each.sentence, _WIDTH - 6)
        lines += [f"  {each.exit_code:<3} {text[0]}", *(f"      {line}" for line in text[1:])]
    return "\n".join(["\b", "Exit codes:", *lines])
