"""Read and write the crontab of this user, through the program `crontab` alone.

`crontab -l` of Debian 12 prints a carriage return as the two characters `\\r`, and a backspace as `\\b`. A crontab with
the line ends of Windows would be damaged if that text was written back. (cron 3.0pl1-162,
findings/crontab-list-spells-carriage-returns.sh.) So where these characters are printed, the
text is read through `crontab -e`, which gives an editor the crontab as it is; the editor is a command that copies it.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path

from lcnb.errors import RunError
from lcnb.files import write_atomically
from lcnb.runbooks.schedule.programs import ProgramMissing, call_program, first_line

#: The editor of `crontab -e`: it copies the file and changes nothing.
_COPY_SCRIPT = 'cat <"$1" >"$LCNB_CRONTAB_COPY"'
_ESCAPE = re.compile(r"\\[rb]")
#: Names of the processes that start what crontabs list.
CRON_DAEMONS = ("cron", "crond", "cronie", "fcron", "bcron-sched", "busybox-crond")


def read_crontab() -> str:
    """Return the crontab of this user, "" when there is none. RunError when it cannot be read.

    Bytes that are not UTF-8 are kept as surrogates.
    """
    try:
        done = call_program(["crontab", "-l"])
    except ProgramMissing as error:
        raise error.restate(cure="Use --to systemd.", not_done="written") from None
    if done.returncode == 0:
        return _read_exactly(done.stdout) if _ESCAPE.search(done.stdout) else done.stdout
    if "no crontab for" in done.stderr.lower():
        return ""
    raise RunError(
        f"the crontab cannot be read: {first_line(done.stderr)}",
        cure="`crontab -l` must work for this user; or use --to systemd.",
        not_done="written",
    )


def _read_exactly(listed: str) -> str:
    """Return the crontab that was listed as `listed`, with its control characters. RunError if that is impossible."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "crontab"
        editor = f"{shlex.join(('sh', '-c', _COPY_SCRIPT))} editor"
        variables = {"VISUAL": editor, "EDITOR": editor, "LCNB_CRONTAB_COPY": str(copy)}
        call_program(["crontab", "-e"], env=variables)
        try:
            text = copy.read_bytes().decode("utf-8", "surrogateescape")
        except OSError:
            text = ""
    if text.replace("\r", "\\r").replace("\b", "\\b") != listed and text != listed:
        raise RunError(
            "the crontab has a backslash with an r or b, and it cannot be found out whether that is a control "
            "character, such as those at the line ends of Windows",
            cure="Remove control characters (crontab -e), or use --to systemd.",
            not_done="written",
        )
    return text


def write_crontab(before: str, after: str, backup: Path) -> None:
    """Replace the crontab `before`, which was read, by `after`; the earlier text is kept in the file `backup`.

    RunError when the crontab is no longer `before`, when cron refuses the new one, or when it reads differently
    afterwards.
    """
    if after == before:
        return
    write_atomically(backup, before.encode("utf-8", "surrogateescape"))
    if read_crontab() != before:
        raise RunError(
            "the crontab was changed by somebody else while this command ran",
            cure="Run the command again.",
            not_done="written",
        )
    done = call_program(["crontab", "-"], after)
    if done.returncode != 0:
        raise RunError(
            f"cron refuses the new crontab: {first_line(done.stderr)}",
            cure=f"The crontab is as it was; a copy is in {backup}.",
            not_done="written",
        )
    if after not in read_crontab():
        raise RunError(
            "the crontab was written, but now it reads differently. Compare it with the earlier one (crontab -l), "
            f"which is in {backup}; to restore that: crontab {backup}"
        )


def is_cron_running() -> bool:
    """Whether a cron daemon runs on this machine, as far as this user can see."""
    import psutil

    return any(process.info["name"] in CRON_DAEMONS for process in psutil.process_iter(["name"]))
