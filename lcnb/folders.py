"""The folders of lcnb: configuration, state, runs."""

from __future__ import annotations

import os
from pathlib import Path

from lcnb.folder_names import folder_name, state_folder_name

#: In the folder of a store on this machine: the URL of the store.
STORE_URL_FILE = ".store-url"


def config_dir() -> Path:
    """The folder of lcnb.toml: `LCNB_CONFIG_DIR`, or the platform's folder for user configuration."""
    name = folder_name("LCNB_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")
    return Path(name) if name else _configured_folder("LCNB_CONFIG_DIR", "user_config_path")


def state_dir() -> Path:
    """The folder of journals, locks and caches: `LCNB_STATE_DIR`, or the platform's folder for user state."""
    name = state_folder_name()
    return Path(name) if name else _configured_folder("LCNB_STATE_DIR", "user_state_path")


def runs_dir() -> Path:
    """The folder of runbook runs: `LCNB_RUNS_DIR`, or `runs` in the working directory. See `resolve_runs_folder`."""
    return _runs_folder("LCNB_RUNS_DIR", os.environ.get("LCNB_RUNS_DIR") or "runs")


def resolve_runs_folder(folder: str | Path | None) -> Path:
    """Return a runs folder as an absolute path: `folder`, else `LCNB_RUNS_DIR` or `./runs`.

    The URL of a store, such as `s3://bucket/lcnb`, becomes the folder on this machine in which its runs work and are
    kept for reading. ConfigError when it is not the URL of a store.
    """
    return _runs_folder("--runs-dir", str(folder)) if folder else runs_dir()


def runs_location(folder: str | Path | None = None) -> str:
    """Return what names a runs folder on every machine: the URL of its store, or else its absolute path."""
    resolved = resolve_runs_folder(folder)
    return store_url(resolved) or str(resolved)


def store_url(folder: Path) -> str | None:
    """Return the URL of the store that a runs folder belongs to; None for an ordinary folder."""
    try:
        return (folder / STORE_URL_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _runs_folder(variable: str, place: str) -> Path:
    if "://" not in place:
        return expand_path(variable, place)
    import hashlib

    from lcnb.files import write_atomically
    from lcnb.object_store import split_store_url

    scheme, name, prefix = split_store_url(place)
    url = f"{scheme}://{name}/{prefix}".rstrip("/")
    words = "-".join(filter(None, (name, *prefix.split("/"))))[:40]
    path = state_dir() / "stores" / f"{words}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    if store_url(path) != url:
        make_state_folder(path)
        write_atomically(path / STORE_URL_FILE, url)
    return path


def own_notebooks_dir() -> Path | None:
    """The folder of the user's own runbooks: `LCNB_NOTEBOOKS`; None where it is not set."""
    name = os.environ.get("LCNB_NOTEBOOKS")
    return expand_path("LCNB_NOTEBOOKS", name) if name else None


def make_state_folder(path: Path) -> Path:
    """Make a folder below the state folder that only this user can open. ConfigError when it cannot be made,
    LcnbError when the disk is full.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        from lcnb.errors import ConfigError
        from lcnb.files import write_error

        raise write_error(
            error,
            f"the folder {path} cannot be created",
            refused=ConfigError,
            cure="Cure: set LCNB_STATE_DIR to a folder that you may write.",
            not_done="sent",
        ) from None
    return path


def check_home() -> None:
    """Raise ConfigError when this user has no home folder, which Jupyter and IPython need for their files."""
    try:
        Path.home()
    except RuntimeError:
        raise _no_home_error("Jupyter") from None


def expand_path(variable: str, value: str) -> Path:
    """Return the value of a variable as an absolute path.

    Raises ConfigError when it begins with `~` and the user has no home folder.
    """
    return expand_home(variable, value).absolute()


def expand_home(variable: str, value: str) -> Path:
    """Return the value of a setting as a path whose `~` is the home folder. Raises ConfigError when there is none."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise _no_home_error(f"{variable}={value}") from None


def _configured_folder(variable: str, fallback: str) -> Path:
    if given := os.environ.get(variable):
        return expand_path(variable, given)
    import platformdirs

    try:
        path = Path(getattr(platformdirs, fallback)("lcnb", appauthor=False))
    except RuntimeError:
        raise _no_home_error(variable) from None
    if not path.is_absolute():  # an older platformdirs returns a folder named `~` in the working directory
        raise _no_home_error(variable)
    return path


def _no_home_error(wanted: str) -> Exception:
    from lcnb.errors import ConfigError

    user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
    return ConfigError(
        f"there is no home folder ({wanted} needs one): HOME is not set, and {user} is not in the system's user list",
        cure=(
            "Cure: export HOME=/a/folder/that/you/may/write, or set both LCNB_CONFIG_DIR and LCNB_STATE_DIR to such "
            "folders."
        ),
        not_done="sent",
    )
