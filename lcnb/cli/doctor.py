"""`lcnb doctor`: one line a check, each with what was found and, where it fails, the cure.

The checks go from the machine outwards (Python, packages, folders, kernel, account, network, token), so the
first failing line is the one to mend. Nothing is changed but a probe file that is removed again.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lcnb.config import Settings, load_settings, notification_filter, notification_targets
from lcnb.errors import LcnbError
from lcnb.folders import check_home, config_dir, runs_dir, state_dir
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
class CheckResult:
    """One line: what was looked at, whether it is well, what was found (and the cure)."""

    name: str
    ok: bool
    found: str


def run_checks(account: str | None = None, *, settings: Settings | None = None) -> Iterator[CheckResult]:
    """All checks, in order, each as soon as it is done."""
    yield CheckResult(
        "Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield _check_packages()
    try:
        check_home()
        state, config = state_dir(), config_dir()
    except LcnbError as error:
        yield CheckResult("home folder", False, str(error))
        return
    yield _check_kernel()
    yield _check_warm_runs()
    yield _check_writable("runs folder", runs_dir(), "LCNB_RUNS_DIR")
    yield _check_writable("state folder", state, "LCNB_STATE_DIR")
    yield _check_config_file(config)
    yield from _check_notifications()
    try:
        settings = settings or load_settings(account)
    except LcnbError as error:
        yield CheckResult("token", False, str(error))
        return
    yield CheckResult("token", True, f"from {settings.token_source}")
    yield CheckResult("base URL", True, f"{settings.base_url} ({settings.base_url_source})")
    way = [CheckResult(*each) for each in network.network_checks(settings.base_url)]
    yield from way
    try:
        network.checked_proxy(settings.base_url)
    except LcnbError as error:
        if all(each.ok for each in way):
            yield CheckResult("network", False, str(error))
        return
    yield from _check_account(settings)


def _check_packages() -> CheckResult:
    found, missing = [], []
    for name in ("lcnb", *REQUIRED_PACKAGES):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return CheckResult("packages", False, f"missing: {', '.join(missing)}. Cure: pip install lcnb")
    return CheckResult("packages", True, ", ".join(found))


def _check_kernel() -> CheckResult:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        cure = "python -m ipykernel install --sys-prefix"
        return CheckResult("Jupyter kernel", False, f"there is no kernel python3. Cure: {cure}")
    return CheckResult("Jupyter kernel", True, f"python3: {spec.argv[0]}")


def _check_warm_runs() -> CheckResult:
    from lcnb.runbooks.engine import warm

    if not warm.is_supported():
        return CheckResult("warm runs", True, "not on this system: each run starts a kernel")
    kept = f"by the process in {warm.user_server_folder()}"
    return CheckResult(
        "warm runs", True, kept if warm.is_server_running() else "no process is kept for them (lcnb warm)"
    )


def _check_writable(name: str, folder: Path, variable: str) -> CheckResult:
    """Whether files can be made there, or in the nearest parent that exists."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), Path(folder.anchor))
    try:
        with tempfile.NamedTemporaryFile(dir=nearest):
            return CheckResult(name, True, str(folder))
    except OSError as error:
        return CheckResult(
            name, False, f"{folder}: {error.strerror or error}. Cure: another folder by {variable}"
        )


def _check_config_file(folder: Path) -> CheckResult:
    path = folder / "lcnb.toml"
    return CheckResult("lcnb.toml", True, str(path) if path.exists() else f"none (would be {path})")


def _check_notifications() -> Iterator[CheckResult]:
    """Whether all of LCNB_NOTIFY can be used; nobody is notified."""
    from lcnb.runbooks.publish.notifications import load_targets

    if not notification_targets():
        return
    try:
        notification_filter()
        sender, problems = load_targets()
    except LcnbError as error:
        yield CheckResult("notifications", False, str(error))
        return
    services = f"{len(sender)} service{'' if len(sender) == 1 else 's'}"
    yield CheckResult("notifications", not problems, "; ".join(problems) or services)


def _check_account(settings: Settings) -> Iterator[CheckResult]:
    from lcnb.client import LetsCloud

    with LetsCloud(settings) as lc:
        try:
            profile = lc.profile()
        except LcnbError as error:
            yield CheckResult("account", False, str(error))
            return
        balance = "unknown" if profile.balance is None else f"{profile.currency or ''} {profile.balance:,.2f}"
        yield CheckResult("account", True, f"{profile.name or 'no name'}, balance {balance.strip()}")
        yield _check_rate_limit(dict(lc.limits))
        yield _check_budget(lc.budget())


def _check_budget(look: BudgetStatus) -> CheckResult:
    """What all processes of this machine may still send by this token."""
    if look.problem:
        return CheckResult("rate budget", False, f"{look.problem}. Cure: another folder by LCNB_STATE_DIR")
    text = f"{look.burst} calls at once, then {look.calls_per_hour:,.0f} an hour; kept in {look.stored_in}"
    if look.blocked_s:
        return CheckResult(
            "rate budget", False, f"the provider asked to wait; {look.blocked_s:,.0f} s are left"
        )
    return CheckResult("rate budget", True, text)


def _check_rate_limit(limits: dict[str, int]) -> CheckResult:
    if "remaining" not in limits:
        return CheckResult(
            "rate limit", True, "not told by the provider (documented: 5,000 an hour for each token)"
        )
    left, limit = limits["remaining"], limits.get("limit")
    of = f" of {limit:,}" if limit else ""
    if left <= 0:
        return CheckResult(
            "rate limit", False, f"used up: 0{of} calls left in this window. Wait up to an hour"
        )
    return CheckResult("rate limit", True, f"{left:,}{of} calls left in this window")
