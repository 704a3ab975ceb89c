"""Your LetsCloud account as DataFrames, forms and runbooks.

The public names are listed once, below, with the module that holds each; a module loads on first use, so
that `import lcnb` costs milliseconds and `lcnb --help` does not wait for pandas.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself would be most of what `import lcnb` costs
if TYPE_CHECKING:
    from lcnb.changes import ChangeSet as ChangeSet
    from lcnb.client import AsyncLetsCloud as AsyncLetsCloud
    from lcnb.client import LetsCloud as LetsCloud
    from lcnb.client import connect as connect
    from lcnb.config import accounts as accounts
    from lcnb.fleets import inventory as inventory
    from lcnb.frames import describe as describe
    from lcnb.runbooks.batch import batch as batch
    from lcnb.runbooks.batch import resume_batch as resume_batch
    from lcnb.runbooks.current import run as run
    from lcnb.runbooks.history import runs as runs
    from lcnb.secret import Secret as Secret
    from lcnb.widgets.app import admin as admin
    from lcnb.widgets.runview import runbook as runbook

__version__ = "0.1.0"

_HOME = {
    "AlreadyApplied": "errors",
    "ApiError": "errors",
    "AsyncLetsCloud": "client",
    "AuthenticationError": "errors",
    "BadReply": "errors",
    "CellFailed": "errors",
    "ChangeError": "errors",
    "ChangeFailed": "errors",
    "ChangeSet": "changes",
    "ConfigError": "errors",
    "ConfigWarning": "errors",
    "ConfirmationMissing": "errors",
    "Conflict": "errors",
    "ConnectionFailed": "errors",
    "ConnectionLost": "errors",
    "DeadlineExceeded": "errors",
    "DriftWarning": "errors",
    "Drifted": "errors",
    "InputError": "errors",
    "JournalError": "errors",
    "KernelDied": "errors",
    "LcnbError": "errors",
    "LetsCloud": "client",
    "Locked": "errors",
    "NotFound": "errors",
    "ParameterError": "errors",
    "PermissionDenied": "errors",
    "RateLimited": "errors",
    "Refused": "errors",
    "RunError": "errors",
    "RunTimeout": "errors",
    "SandboxError": "errors",
    "Secret": "secret",
    "ServerError": "errors",
    "TokenMissing": "errors",
    "TransportError": "errors",
    "ValidationError": "errors",
    "WaitTimeout": "errors",
    "accounts": "config",
    "admin": "widgets.app",
    "batch": "runbooks.batch",
    "connect": "client",
    "describe": "frames",
    "inventory": "fleets",
    "resume_batch": "runbooks.batch",
    "run": "runbooks.current",
    "runbook": "widgets.runview",
    "runs": "runbooks.history",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'lcnb' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"lcnb.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def load_ipython_extension(shell: object) -> None:
    """`%load_ext lcnb`: the magic `%lcnb instances --location MIA1`."""
    from lcnb.magic import load

    load(shell)
