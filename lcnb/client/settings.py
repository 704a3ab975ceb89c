"""The settings of a client: of an account, or of the sandbox that this process shares."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lcnb.config import Settings, load_settings
from lcnb.errors import InputError, SandboxError
from lcnb.flags import checked_flag
from lcnb.secret import Secret

if TYPE_CHECKING:
    from lcnb.sandbox import SandboxProcess


def client_settings(
    account: str | None,
    token: str | Secret | None,
    base_url: str | None,
    sandbox: bool,
    timeout: float | None,
) -> Settings:
    """Return the settings for the arguments of `connect`; start the sandbox if it is asked for."""
    if not checked_flag("sandbox", sandbox):
        return load_settings(account, token=token, base_url=base_url, timeout=timeout)
    if account is not None or token is not None or base_url is not None:
        raise InputError(
            "the sandbox has its own token and base URL: pass either --sandbox or --account (in Python: sandbox=True "
            "without account, token and base_url)",
            not_done="sent",
        )
    server, state_dir = shared_sandbox()
    settings = load_settings(None, token=server.token, base_url=server.base_url, timeout=timeout)
    return replace(settings, state_dir=state_dir, facts_path=state_dir / "facts.csv", sandbox=True)


@cache
def shared_sandbox() -> tuple[SandboxProcess, Path]:
    """Return the sandbox of this Python process and its state folder, both started on first use.

    Both end with the process. The machines of the sandbox end with it, so its journal must not be stored with the
    journals of real machines.
    """
    from lcnb.sandbox import start

    try:
        server = start(speed=10)
    except OSError as error:
        raise SandboxError(f"the sandbox could not be started: {error}") from None
    folder = tempfile.mkdtemp(prefix="lcnb-sandbox-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.stop)
    return server, Path(folder)
