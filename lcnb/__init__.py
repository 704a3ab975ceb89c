"""Your LetsCloud account as DataFrames, forms and runbooks.

The public names are listed below, each with its module. A module loads on first use, so that `import lcnb` takes
milliseconds and `lcnb --help` does not wait for pandas.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself would be most of what `import lcnb` costs
if TYPE_CHECKING:
    from lcnb.changes.accessor import SelectedRows as SelectedRows
    from lcnb.changes.changeset import ChangeSet as ChangeSet
    from lcnb.client import AsyncLetsCloud as AsyncLetsCloud
    from lcnb.client import LetsCloud as LetsCloud
    from lcnb.client import connect as connect
    from lcnb.errors import AlreadyApplied as AlreadyApplied
    from lcnb.errors import ApiError as ApiError
    from lcnb.errors import ApprovalMissing as ApprovalMissing
    from lcnb.errors import AuthenticationError as AuthenticationError
    from lcnb.errors import BadReply as BadReply
    from lcnb.errors import CellFailed as CellFailed
    from lcnb.errors import ChangeError as ChangeError
    from lcnb.errors import ChangeFailed as ChangeFailed
    from lcnb.errors import ChangesRefused as ChangesRefused
    from lcnb.errors import ConfigError as ConfigError
    from lcnb.errors import ConfigWarning as ConfigWarning
    from lcnb.errors import ConfirmationMissing as ConfirmationMissing
    from lcnb.errors import Conflict as Conflict
    from lcnb.errors import ConnectionFailed as ConnectionFailed
    from lcnb.errors import ConnectionLost as ConnectionLost
    from lcnb.errors import DeadlineExceeded as DeadlineExceeded
    from lcnb.errors import Drifted as Drifted
    from lcnb.errors import DriftWarning as DriftWarning
    from lcnb.errors import HistoryError as HistoryError
    from lcnb.errors import HistoryWarning as HistoryWarning
    from lcnb.errors import InputError as InputError
    from lcnb.errors import JournalError as JournalError
    from lcnb.errors import KernelDied as KernelDied
    from lcnb.errors import LcnbError as LcnbError
    from lcnb.errors import Locked as Locked
    from lcnb.errors import NotFound as NotFound
    from lcnb.errors import ParameterError as ParameterError
    from lcnb.errors import PermissionDenied as PermissionDenied
    from lcnb.errors import Protected as Protected
    from lcnb.errors import QueryTimeout as QueryTimeout
    from lcnb.errors import RateLimited as RateLimited
    from lcnb.errors import ReadOnly as ReadOnly
    from lcnb.errors import Refused as Refused
    from lcnb.errors import RunError as RunError
    from lcnb.errors import RunTimeout as RunTimeout
    from lcnb.errors import SandboxError as SandboxError
    from lcnb.errors import ServerError as ServerError
    from lcnb.errors import StoreConflict as StoreConflict
    from lcnb.errors import StoreError as StoreError
    from lcnb.errors import StoreUnavailable as StoreUnavailable
    from lcnb.errors import StoreWarning as StoreWarning
    from lcnb.errors import TokenMissing as TokenMissing
    from lcnb.errors import TransportError as TransportError
    from lcnb.errors import ValidationError as ValidationError
    from lcnb.errors import WaitTimeout as WaitTimeout
    from lcnb.frames.description import describe as describe
    from lcnb.frames.totals import total as total
    from lcnb.multi_account import inventory as inventory
    from lcnb.multi_account import sql as sql
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
    "ChangesRefused": "errors",
    "ConfigError": "errors",
    "ConfigWarning": "errors",
    "ApprovalMissing": "errors",
    "ConfirmationMissing": "errors",
    "Conflict": "errors",
    "ConnectionFailed": "errors",
    "ConnectionLost": "errors",
    "DeadlineExceeded": "errors",
    "DriftWarning": "errors",
    "Drifted": "errors",
    "HistoryError": "errors",
    "HistoryWarning": "errors",
    "InputError": "errors",
    "JournalError": "errors",
    "KernelDied": "errors",
    "LcnbError": "errors",
    "LetsCloud": "client",
    "Locked": "errors",
    "NotFound": "errors",
    "ParameterError": "errors",
    "PermissionDenied": "errors",
    "Protected": "errors",
    "QueryTimeout": "errors",
    "RateLimited": "errors",
    "ReadOnly": "errors",
    "Refused": "errors",
    "RunError": "errors",
    "RunTimeout": "errors",
    "SandboxError": "errors",
    "Secret": "secret",
    "SelectedRows": "changes.accessor",
    "ServerError": "errors",
    "StoreConflict": "errors",
    "StoreError": "errors",
    "StoreUnavailable": "errors",
    "StoreWarning": "errors",
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
    "sql": "multi_account",
    "total": "frames.totals",
}

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # a type checker would accept every misspelt name

    def __getattr__(name: str) -> object:
        """Load the module of a public name on first use."""
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'lcnb' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"lcnb.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """The public names, for completion in an editor or notebook."""
    return [*__all__, "__version__"]


class _PandasFinder:
    """An import hook that adds `.lc` to DataFrames once pandas is imported: `import lcnb` must not wait for pandas.

    It stays in `sys.meta_path`: a thread that removed it could hide the next finder from an import of another thread.
    """

    _found = False

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> object:
        """Return the spec of pandas, whose loader also registers the accessor; None for any other module."""
        if name != "pandas" or cls._found:
            return None
        cls._found = True
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: object) -> None:
                load(module)  # type: ignore[arg-type]
                _register_accessor(module)

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _register_accessor(pandas: object) -> None:
    """Add `.lc` to every DataFrame. The module of the accessor loads on first use."""

    def lc(frame: object) -> object:
        from lcnb.changes.accessor import SelectedRows

        return SelectedRows(frame)  # type: ignore[arg-type]

    lc.__doc__ = (
        "The selected rows of an lcnb listing, as a ChangeSet: see lcnb.changes.accessor.SelectedRows."
    )
    existing = getattr(pandas.DataFrame, "lc", None)  # type: ignore[attr-defined]
    # pandas warns when it replaces another library's accessor.
    if getattr(existing, "__module__", None) != __name__:
        pandas.api.extensions.register_dataframe_accessor("lc")(lc)  # type: ignore[attr-defined]


if hasattr(sys.modules.get("pandas"), "api"):
    _register_accessor(sys.modules["pandas"])
else:
    sys.meta_path.insert(0, _PandasFinder)  # type: ignore[arg-type]


def load_ipython_extension(shell: object) -> None:
    """Register the magic `%lcnb`, such as `%lcnb instances --location MIA1`, for `%load_ext lcnb`."""
    from lcnb.cli.magic import register_magic

    register_magic(shell)
