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

from lcnb.config import Settings, notify_on, notify_targets, resolve
from lcnb.errors import LcnbError
from lcnb.folders import check_home, config_dir, runs_dir, state_dir
from lcnb.transport import network
from lcnb.transport.rate_limit import Look

PACKAGES = ("pandas", "httpx", "papermill", "nbformat", "nbclient", "ipykernel", "ipywidgets", "pyarrow")


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it is well, what was found (and the cure)."""

    name: str
    ok: bool
    found: str


def examine(account: str | None = None, *, settings: Settings | None = None) -> Iterator[Check]:
    """All checks, in order, each as soon as it is done."""
    yield Check("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _packages()
    try:
        check_home()
        state, config = state_dir(), config_dir()
    except LcnbError as error:
        yield Check("home folder", False, str(error))
        return
    yield _kernel()
    yield _warm()
    yield _writable("runs folder", runs_dir(), "LCNB_RUNS_DIR")
    yield _writable("state folder", state, "LCNB_STATE_DIR")
    yield _config_file(config)
    yield from _notifications()
    try:
        settings = settings or resolve(account)
    except LcnbError as error:
        yield Check("token", False, str(error))
        return
    yield Check("token", True, f"from {settings.token_source}")
    yield Check("base URL", True, f"{settings.base_url} ({settings.base_url_source})")
    way = [Check(*each) for each in network.explain(settings.base_url)]
    yield from way
    try:
        network.checked_proxy(settings.base_url)
    except LcnbError as error:
        if all(each.ok for each in way):
            yield Check("network", False, str(error))
        return
    yield from _account(settings)


def _packages() -> Check:
    found, missing = [], []
    for name in ("lcnb", *PACKAGES):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", False, f"missing: {', '.join(missing)}. Cure: pip install lcnb")
    return Check("packages", True, ", ".join(found))


def _kernel() -> Check:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        cure = "python -m ipykernel install --sys-prefix"
        return Check("Jupyter kernel", False, f"there is no kernel python3. Cure: {cure}")
    return Check("Jupyter kernel", True, f"python3: {spec.argv[0]}")


def _warm() -> Check:
    from lcnb.runbooks.engine import warm

    if not warm.usable():
        return Check("warm runs", True, "not on this system: each run starts a kernel")
    kept = f"by the process in {warm.folder_of_all()}"
    return Check("warm runs", True, kept if warm.stays() else "no process is kept for them (lcnb warm)")


def _writable(name: str, folder: Path, variable: str) -> Check:
    """Whether files can be made there, or in the nearest parent that exists."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), Path(folder.anchor))
    try:
        with tempfile.NamedTemporaryFile(dir=nearest):
            return Check(name, True, str(folder))
    except OSError as error:
        return Check(name, False, f"{folder}: {error.strerror or error}. Cure: another folder by {variable}")


def _config_file(folder: Path) -> Check:
    path = folder / "lcnb.toml"
    return Check("lcnb.toml", True, str(path) if path.exists() else f"none (would be {path})")


def _notifications() -> Iterator[Check]:
    """Whether all of LCNB_NOTIFY can be used; nobody is notified."""
    from lcnb.runbooks.publish.notifications import load_targets

    if not notify_targets():
        return
    try:
        notify_on()
        sender, problems = load_targets()
    except LcnbError as error:
        yield Check("notifications", False, str(error))
        return
    services = f"{len(sender)} service{'' if len(sender) == 1 else 's'}"
    yield Check("notifications", not problems, "; ".join(problems) or services)


def _account(settings: Settings) -> Iterator[Check]:
    from lcnb.client import LetsCloud

    with LetsCloud(settings) as lc:
        try:
            profile = lc.profile()
        except LcnbError as error:
            yield Check("account", False, str(error))
            return
        balance = "unknown" if profile.balance is None else f"{profile.currency or ''} {profile.balance:,.2f}"
        yield Check("account", True, f"{profile.name or 'no name'}, balance {balance.strip()}")
        yield _limits(dict(lc.limits))
        yield _budget(lc.budget())


def _budget(look: Look) -> Check:
    """What all processes of this machine may still send by this token."""
    if look.problem:
        return Check("rate budget", False, f"{look.problem}. Cure: another folder by LCNB_STATE_DIR")
    text = f"{look.burst} calls at once, then {look.an_hour:,.0f} an hour; kept in {look.where}"
    if look.blocked_s:
        return Check("rate budget", False, f"the provider asked to wait; {look.blocked_s:,.0f} s are left")
    return Check("rate budget", True, text)


def _limits(limits: dict[str, int]) -> Check:
    if "remaining" not in limits:
        return Check(
            "rate limit", True, "not told by the provider (documented: 5,000 an hour for each token)"
        )
    left, limit = limits["remaining"], limits.get("limit")
    of = f" of {limit:,}" if limit else ""
    if left <= 0:
        return Check("rate limit", False, f"used up: 0{of} calls left in this window. Wait up to an hour")
    return Check("rate limit", True, f"{left:,}{of} calls left in this window")
