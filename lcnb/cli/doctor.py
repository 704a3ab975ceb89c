"""`lcnb doctor`: one line per check, with its finding and, if it fails, the cure.

The checks go from this machine outwards (Python, packages, folders, kernel, token, network, account), so fix the first
failing line first. The checks change nothing; they only write a probe file and remove it.
"""

from __future__ import annotations

import contextlib
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lcnb.config import Settings, load_settings, notification_filter, notification_targets
from lcnb.errors import LcnbError
from lcnb.folders import check_home, config_dir, runs_dir, state_dir, store_url
from lcnb.transport import network
from lcnb.transport.rate_limit import BudgetStatus

REQUIRED_PACKAGES = (
    "pandas",
    "httpx",
    "papermill",
    "nbformat",
    "nbclient",
    "ipykernel",
    "ipywidgets",
    "pyarrow",
)


@dataclass(frozen=True)
class DoctorResult:
    """One line of the doctor: the name of the check, its result, and the finding with the cure."""

    name: str
    ok: bool
    found: str


def run_checks(account: str | None = None, *, settings: Settings | None = None) -> Iterator[DoctorResult]:
    """Yield the results in order, each as soon as its check is done; stop where later checks cannot succeed."""
    yield DoctorResult(
        "Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield _check_packages()
    try:
        check_home()
        state, config = state_dir(), config_dir()
    except LcnbError as error:
        yield DoctorResult("home folder", False, str(error))
        return
    yield _check_kernel()
    yield _check_warm_runs()
    yield _check_runs_folder()
    yield _check_writable("state folder", state, "LCNB_STATE_DIR")
    yield _check_config_file(config)
    yield from _check_shared_locks()
    yield from _check_notifications()
    try:
        settings = settings or load_settings(account)
    except LcnbError as error:
        yield DoctorResult("token", False, str(error))
        return
    yield DoctorResult("token", True, f"from {settings.token_source}")
    yield DoctorResult("base URL", True, f"{settings.base_url} ({settings.base_url_source})")
    yield _check_changes(settings)
    network_results = [DoctorResult(*each) for each in network.network_checks(settings.base_url)]
    yield from network_results
    try:
        network.checked_proxy(settings.base_url)
    except LcnbError as error:
        if all(each.ok for each in network_results):
            yield DoctorResult("network", False, str(error))
        return
    yield from _check_account(settings)


def _check_packages() -> DoctorResult:
    found, missing = [], []
    for name in ("lcnb", *REQUIRED_PACKAGES):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return DoctorResult("packages", False, f"missing: {', '.join(missing)}. Cure: pip install lcnb")
    return DoctorResult("packages", True, ", ".join(found))


def _check_kernel() -> DoctorResult:
    """Look for the kernel python3 in the folders of Jupyter, and let jupyter_client find it when none has it.

    jupyter_client takes longer to import than all other checks take together.
    """
    from jupyter_core.paths import jupyter_path

    for folder in map(Path, jupyter_path("kernels")):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            spec = json.loads((folder / "python3" / "kernel.json").read_bytes())
            return DoctorResult("Jupyter kernel", True, f"python3: {spec['argv'][0]}")
    return _check_native_kernel()


def _check_native_kernel() -> DoctorResult:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    cure = "python -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return DoctorResult("Jupyter kernel", False, f"kernel python3 is not installed. Cure: {cure}")
    except (ValueError, OSError) as error:
        return DoctorResult("Jupyter kernel", False, f"kernel python3 cannot be read: {error}. Cure: {cure}")
    return DoctorResult("Jupyter kernel", True, f"python3: {spec.argv[0]}")


def _check_warm_runs() -> DoctorResult:
    from lcnb.runbooks.engine import warm

    if not warm.is_supported():
        return DoctorResult("warm runs", True, "not supported on this system: each run starts a kernel")
    if warm.is_server_running():
        return DoctorResult("warm runs", True, f"by the process in {warm.user_server_folder()}")
    return DoctorResult("warm runs", True, "no process is running for them (start one: lcnb warm)")


def _check_runs_folder() -> DoctorResult:
    """Check that runs can be written into their folder, or into their store with its conditions."""
    try:
        folder = runs_dir()
        url = store_url(folder)
        if url is None:
            return _check_writable("runs folder", folder, "LCNB_RUNS_DIR")
        from lcnb.runbooks.records.mirror import check_conditions, mirror_of

        mirror = mirror_of(folder)
        if mirror is not None:
            check_conditions(mirror.store)
        return DoctorResult(
            "runs store", True, f"{url}, where machines do not overwrite each other's records"
        )
    except LcnbError as error:
        return DoctorResult("runs store", False, str(error))


def _check_writable(name: str, folder: Path, variable: str) -> DoctorResult:
    """Check that files can be written there, or in the nearest parent that exists."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), Path(folder.anchor))
    try:
        with tempfile.NamedTemporaryFile(dir=nearest):
            return DoctorResult(name, True, str(folder))
    except OSError as error:
        return DoctorResult(
            name, False, f"{folder}: {error.strerror or error}. Cure: set {variable} to another folder"
        )


def _check_config_file(folder: Path) -> DoctorResult:
    path = folder / "lcnb.toml"
    return DoctorResult("lcnb.toml", True, str(path) if path.exists() else f"not present (optional: {path})")


def _check_changes(settings: Settings) -> DoctorResult:
    """Report whether lcnb makes changes: a read-only account, and how many machines are protected."""
    from lcnb.changes.protection import read_protected

    if settings.read_only:
        return DoctorResult("changes", True, f"refused: the account is read-only ({settings.read_only})")
    try:
        count = len(read_protected(settings))
    except LcnbError as error:
        return DoctorResult("changes", False, str(error))
    allowed = f"need a second person's approval ({settings.approval})" if settings.approval else "allowed"
    machines = "1 machine" if count == 1 else f"{count} machines"
    return DoctorResult("changes", True, f"{allowed}; {machines} protected in {settings.facts_path}")


def _check_shared_locks() -> Iterator[DoctorResult]:
    """Report which locks are held in the store of runs or in Redis, and by whom."""
    from lcnb.leases.place import read_leases, shared_place

    place = shared_place()
    if place is None:
        return
    try:
        store = place.open(0.0)
        held = read_leases(store)
    except LcnbError as error:
        problem = error.statement.rstrip(".")
        yield DoctorResult(
            "shared locks", False, f"{problem}. Until this is right, nothing is changed or run"
        )
        return
    lines = [f"{', '.join(each.unsettled or each.locks)}: {each.holder()}" for each in held]
    text = "; ".join(lines) if lines else "none is held"
    yield DoctorResult("shared locks", True, f"in {store.url}: {text}")


def _check_notifications() -> Iterator[DoctorResult]:
    """Check that each target of LCNB_NOTIFY can be used; nothing is sent."""
    if not notification_targets():
        return
    from lcnb.runbooks.publish.notifications import load_targets

    try:
        notification_filter()
        sender, problems = load_targets()
    except LcnbError as error:
        yield DoctorResult("notifications", False, str(error))
        return
    services = f"{len(sender)} service{'' if len(sender) == 1 else 's'}"
    yield DoctorResult("notifications", not problems, "; ".join(problems) or services)


def _check_account(settings: Settings) -> Iterator[DoctorResult]:
    """Check the token by reading the profile, then the rate limit and the budget."""
    from lcnb.client import LetsCloud

    with LetsCloud(settings) as lc:
        try:
            profile = lc.profile()
        except LcnbError as error:
            yield DoctorResult("account", False, str(error))
            return
        balance = "unknown" if profile.balance is None else f"{profile.currency or ''} {profile.balance:,.2f}"
        yield DoctorResult("account", True, f"{profile.name or 'no name'}, balance {balance.strip()}")
        yield _check_rate_limit(dict(lc.limits))
        yield _check_budget(lc.budget())


def _check_budget(budget: BudgetStatus) -> DoctorResult:
    """Report how many requests all processes of this machine may still send with this token."""
    if budget.problem:
        return DoctorResult(
            "rate budget", False, f"{budget.problem}. Cure: set LCNB_STATE_DIR to another folder"
        )
    text = f"{budget.burst} calls at once, then {budget.calls_per_hour:,.0f} per hour; stored in {budget.stored_in}"
    if budget.blocked_s:
        return DoctorResult(
            "rate budget", False, f"the provider requested a pause; {budget.blocked_s:,.0f} s remain"
        )
    return DoctorResult("rate budget", True, text)


def _check_rate_limit(limits: dict[str, int]) -> DoctorResult:
    """Report the rate limit as far as the provider reports it."""
    if "remaining" not in limits:
        return DoctorResult(
            "rate limit", True, "not reported by the provider (documented: 5,000 calls per hour and token)"
        )
    remaining, limit = limits["remaining"], limits.get("limit")
    of_limit = f" of {limit:,}" if limit else ""
    if remaining <= 0:
        return DoctorResult(
            "rate limit", False, f"used up: 0{of_limit} calls left in this window. Wait up to an hour"
        )
    return DoctorResult("rate limit", True, f"{remaining:,}{of_limit} calls left in this window")
