"""The process behind the card: the admin page for the account of the Jupyter server's environment.

It ends with the Jupyter server, even when that is killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lcnb.widgets.admin_page import PageSettings, check_voila, run_voila

#: Passes the token of the page to this process; a command line would show it to other users.
TOKEN_VARIABLE = "LCNB_CARD_TOKEN"  # noqa: S105
#: Seconds between two looks at whether the Jupyter server still lives.
PARENT_CHECK_S = 1.0


def main() -> None:
    """Serve the page below the address of the first argument, on the socket or port of the second."""
    base_url, place = sys.argv[1:]
    check_voila()
    token = os.environ.pop(TOKEN_VARIABLE)
    if place.isdecimal():
        page = PageSettings(token, port=int(place), base_url=base_url)
    else:
        page = PageSettings(token, socket=Path(place), base_url=base_url)
    run_voila(page, _end_with_parent)


def _end_with_parent() -> None:
    """End this process, and with it its kernels, soon after its parent has ended."""
    import psutil
    from tornado.ioloop import IOLoop, PeriodicCallback

    pid = os.getppid()
    parent = psutil.Process(pid)

    def check_parent() -> None:
        # A process whose parent ends gets another one, except on Windows.
        if os.getppid() != pid or not parent.is_running():
            IOLoop.current().stop()

    PeriodicCallback(check_parent, PARENT_CHECK_S * 1000).start()


if __name__ == "__main__":
    main()
