"""Call the programs of a scheduler, such as `crontab` and `systemctl`, with texts in and out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from lcnb.errors import RunError

#: Seconds after which a program that does not answer is ended.
PROGRAM_TIMEOUT_S = 60.0


class ProgramMissing(RunError):
    """A program that the scheduler needs is not installed here."""


def call_program(
    argv: Sequence[str], text: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program with `text` as its input and return how it ended, with English messages.

    Bytes that are not UTF-8 pass unchanged in both directions. ProgramMissing when it is not installed, RunError when
    it cannot be started or does not end.
    """
    try:
        done = subprocess.run(
            [*argv],
            input=text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            env={**os.environ, **(env or {}), "LC_ALL": "C"},
            timeout=PROGRAM_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ProgramMissing(f"the program {argv[0]} is not installed here") from None
    except subprocess.TimeoutExpired:
        raise RunError(f"{' '.join(argv)} did not end within {PROGRAM_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise RunError(f"{argv[0]} cannot be started: {error.strerror or error}") from None
    out, err = (each.decode("utf-8", "surrogateescape") for each in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def first_line(text: str) -> str:
    """Return the first line of a program's message, as it can be printed."""
    return (
        next((line.strip() for line in text.splitlines() if line.strip()), "no message")
        .encode("utf-8", "replace")
        .decode()
    )
