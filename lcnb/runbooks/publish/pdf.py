"""Print the report as PDF with an installed Chromium or Chrome."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lcnb.errors import RunError

BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PRINT_TIMEOUT_S = 60


def write_pdf(report: Path) -> Path:
    """Print `report.html` as `report.pdf` in the same folder. RunError when no Chromium is installed, or it fails."""
    browser = next(filter(None, map(shutil.which, BROWSER_NAMES)), None)
    if browser is None:
        raise RunError(f"no report.pdf: none of {', '.join(BROWSER_NAMES)} is installed")
    path = report.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix="lcnb-pdf-") as place:
        printed = Path(place, "report.pdf")
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            # The page sends no requests, so root may run Chromium without its sandbox, which refuses root.
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            f"--user-data-dir={place}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={printed}",
            report.as_uri(),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PRINT_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunError(f"no report.pdf: {browser}: {error}") from None
        if not printed.exists():
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise RunError(f"no report.pdf: {browser} ended with {done.returncode}: {''.join(last)}")
        shutil.copyfile(printed, path)
        path.chmod(0o600)
    return path
