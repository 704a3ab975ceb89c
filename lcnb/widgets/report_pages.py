"""The address at which the page of `lcnb admin` serves the reports of runs, and the only files that it serves.

A report is shown to the person who has the token of the page, and to nobody else. It comes from its run's folder: no
other file, no link to elsewhere, no file of another user. A browser gets it as a page without an origin, so that
nothing in it can use the page of the account.
"""

from __future__ import annotations

import os
import re
import stat
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lcnb.runbooks.records.artifacts import RECORD_FILE

REPORT_FILE = "report.html"
#: Where the server has the reports; the kernels of the page find the address in this variable.
PAGE_ADDRESS = "/lcnb/"
REPORTS_ADDRESS = f"{PAGE_ADDRESS}reports/"
REPORTS_VARIABLE = "LCNB_PAGE_REPORTS"
NOT_FOUND_TEXT = "Here are only the reports of runs. Other files are on the machine that runs lcnb admin."
_RUN_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def report_address(folder: Path | None) -> str:
    """Return the address of a run's report on the page that shows this; "" where no page serves it."""
    address = os.environ.get(REPORTS_VARIABLE, "")
    if not address or folder is None or folder.parent != _runs_folder():
        return ""
    return (
        f"{address}{folder.name}/{REPORT_FILE}" if read_report(folder.parent, folder.name) is not None else ""
    )


def _runs_folder() -> Path:
    from lcnb.folders import runs_dir

    return runs_dir().absolute()


def read_report(runs: Path, run: str) -> bytes | None:
    """Return the report of a run as bytes; None where there is none that may be shown.

    `run` is the id of a run. Its folder is directly in `runs` and has a record; the folder and the report are no links
    and belong to this user.
    """
    folder = runs / run
    if not re.fullmatch(_RUN_ID, run) or not _is_own(folder, stat.S_ISDIR):
        return None
    if not _is_own(folder / RECORD_FILE, stat.S_ISREG):
        return None
    try:
        # O_NOFOLLOW: the file may be replaced by a link after any check of its path. O_NONBLOCK: it may be a pipe.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(folder / REPORT_FILE, flags), "rb") as file:
            found = os.fstat(file.fileno())
            return file.read() if stat.S_ISREG(found.st_mode) and _is_owned(found) else None
    except OSError:
        return None


def _is_own(path: Path, is_kind: Any) -> bool:
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return False
    return bool(is_kind(found.st_mode)) and _is_owned(found)


def _is_owned(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


def report_handlers(runs: Path) -> list[tuple[Any, ...]]:
    """Return the handler of the reports in a runs folder, as a Tornado application takes it."""
    from jupyter_server.base.handlers import JupyterHandler
    from tornado.web import authenticated

    from lcnb.runbooks.publish.report import CONTENT_POLICY

    class ReportHandler(JupyterHandler):
        """Serves the reports of runs to people who have the token of the page; other methods than GET answer 405."""

        @property
        def content_security_policy(self) -> str:
            """A page without an origin, whose only script sorts its tables, in no frame."""
            return f"sandbox allow-scripts allow-popups; {CONTENT_POLICY}; frame-ancestors 'none'"

        @authenticated
        def get(self, path: str) -> None:
            """Send the report of a run; any other file is not found."""
            run, _, file = path.partition("/")
            found = read_report(runs, run) if file == REPORT_FILE else None
            self.set_header("Cache-Control", "no-store")
            self.set_header("Referrer-Policy", "no-referrer")
            if found is None:
                self.set_status(HTTPStatus.NOT_FOUND)
                self.set_header("Content-Type", "text/plain; charset=utf-8")
                self.finish(f"{NOT_FOUND_TEXT} The folder of the runs is {runs}.")
                return
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(found)

    reports = (f"{REPORTS_ADDRESS}(.*)", ReportHandler)
    # Links in reports that lead out of the folder of a run would otherwise reach Voila's handler of files.
    others = (f"{re.escape(PAGE_ADDRESS)}(.*)", ReportHandler)
    return [reports, others]
