"""Your LetsCloud account as DataFrames, forms and runbooks.

The public names are listed once, below, with the module that holds each; a module loads on first use, so
that `import lcnb` costs milliseconds and `lcnb --help` does not wait for pandas.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself would be most of what `import lcnb` costs
if TYPE_CHECKING:
    from lcnb.changes.changeset import ChangeSet as ChangeSet
    from lcnb.client import AsyncLetsCloud as AsyncLetsCloud
    from lcnb.client import LetsCloud as LetsCloud
    from lcnb.client import connect as connect
    from lcnb.frames.description import describe as describe
    from lcnb.multi_account import inventory as inventory
    from lcnb.runbooks.batch.runner import batch as batch
    from lcnb.runbooks.batch.runner import resume_batch as resume_batch
    from lcnb.runbooks.current import run as run
    from lcnb.runbooks.records.history import runs as runs
    from lcnb.secret import Secret as Secret
    from lcnb.token_places import accounts as accounts
    from lcnb.widgets.admin_app import admin as admin
    from lcnb.widgets.runbook_view import runbook as runbook

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
    "ChangeSet": "changes.changeset",
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
    "accounts": "token_places",
    "admin": "widgets.admin_app",
    "batch": "runbooks.batch.runner",
    "connect": "client",
    "describe": "frames.description",
    "inventory": "multi_account",
    "resume_batch": "runbooks.batch.runner",
    "run": "runbooks.current",
    "runbook": "widgets.runbook_view",
    "runs": "runbooks.records.history",
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


class _PandasFinder:
    """Gives DataFrames their `.lc` once pandas is imported: `import lcnb` alone must not wait for pandas."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> object:
        if name != "pandas":
            return None
        sys.meta_path.remove(cls)  # type: ignore[arg-type]
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: object) -> None:
                run(module)  # type: ignore[arg-type]
                _register_accessor(module)

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


def _register_accessor(pandas: object) -> None:
    """`frame.lc` for every DataFrame, read from a file or made by pandas; the module behind it loads on first use."""

    def lc(frame: object) -> object:
        from lcnb.changes.accessor import SelectedRows

        return SelectedRows(frame)  # type: ignore[arg-type]

    lc.__doc__ = (
        "The selected rows of an lcnb listing, as a ChangeSet: see lcnb.changes.accessor.SelectedRows."
    )
    there = getattr(pandas.DataFrame, "lc", None)  # type: ignore[attr-defined]
    if getattr(there, "__module__", None) != __name__:  # of another library: pandas warns that it is replaced
        pandas.api.extensions.register_dataframe_accessor("lc")(lc)  # type: ignore[attr-defined]


if hasattr(sys.modules.get("pandas"), "api"):
    _register_accessor(sys.modules["pandas"])
else:
    sys.meta_path.insert(0, _PandasFinder)  # type: ignore[arg-type]


def load_ipython_extension(shell: object) -> None:
    """`%load_ext lcnb`: the magic `%lcnb instances --location MIA1`."""
    from lcnb.cli.magic import register_magic

    register_magic(shell)
