"""Install, remove and inspect units of systemd that run as this user (`systemctl --user`)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lcnb.changes.journal import user_name
from lcnb.errors import InputError, LcnbError, RunError
from lcnb.files import write_atomically
from lcnb.runbooks.schedule.programs import ProgramMissing, call_program, first_line

#: The first words of a comment in each file that lcnb has installed.
OWN_MARK = "# Written by lcnb."
_PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "Result", "ExecMainStatus")


@dataclass(frozen=True)
class UnitState:
    """What systemd knows about a unit: the values of `systemctl show`, each "" when it is not known."""

    load: str = ""
    active: str = ""
    enabled: str = ""
    needs_reload: bool = False
    result: str = ""
    exit_status: str = ""


def units_folder() -> Path:
    """Return the folder of this user's units."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "systemd" / "user"


def check_user_manager() -> None:
    """RunError, with the cure, when systemd runs no manager for this user: then no unit could be loaded."""
    try:
        done = call_program(["systemctl", "--user", "show", "--property=Version"])
        problem = first_line(done.stderr) if done.returncode else ""
    except ProgramMissing as error:
        raise error.restate(cure="Use --to cron.", not_done="written") from None
    if problem:
        user = user_name()
        raise RunError(
            f"systemd runs no session for {user} ({problem})",
            cure=(
                f"Run `loginctl enable-linger {user}` once, perhaps with sudo: it starts the session now and at each "
                "boot. In a shell that is no login (su, sudo, ssh with a command), also set "
                f"XDG_RUNTIME_DIR=/run/user/{os.getuid()}. Without systemd: --to cron."
            ),
            not_done="written",
        )


def is_lingering() -> bool | None:
    """Whether this user's session goes on after a logout; None when that is not known."""
    with suppress(LcnbError):
        done = call_program(["loginctl", "show-user", user_name(), "--property=Linger", "--value"])
        return {"yes": True, "no": False}.get(done.stdout.strip())
    return None


def check_units(files: Mapping[str, str]) -> None:
    """RunError when systemd would not load these units: checked in another folder, so nothing is installed."""
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / name for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        try:
            done = call_program(
                ["systemd-analyze", "--user", "verify", "--man=no", *map(str, paths)],
                env={
                    "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or place
                },  # it does not start without
            )
        except ProgramMissing:
            return  # systemd reports the same when it loads them
        problems = [line for line in done.stderr.splitlines() if any(name in line for name in files)]
        if done.returncode and problems:
            raise RunError(
                f"systemd cannot load the units: {'; '.join(problems).replace(f'{place}/', '')}",
                not_done="written",
            )


def install_units(label: str, files: Mapping[str, str], *, replace: bool) -> None:
    """Write the service and the timer, load them and start the timer. On any failure the files are as before.

    InputError for files of that name that lcnb did not write, or that exist without `replace`; RunError when systemd
    refuses them.
    """
    folder = units_folder()
    before = {name: _read_own_unit(folder / name, label) for name in files}
    if not replace and any(text is not None for text in before.values()):
        raise InputError(
            f"{folder} already has units of that name. To replace them: --replace",
            field=label,
            not_done="written",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_atomically(folder / name, text, mode=0o644)
        _call_systemctl("daemon-reload")
        _call_systemctl("enable", f"{label}.timer")
        _call_systemctl("restart", f"{label}.timer")  # a timer that runs already keeps its old times
    except BaseException as error:
        _restore_units(label, folder, before)
        if isinstance(error, RunError):
            raise error.restate(cure="The unit files are as they were before.") from None
        if isinstance(error, OSError):
            raise RunError(
                f"the units cannot be written into {folder}: {error.strerror or error}", not_done="written"
            ) from None
        raise


def _read_own_unit(path: Path, label: str) -> str | None:
    """Return the text of a unit that lcnb has written, None without a file. InputError for somebody else's file."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}", not_done="written") from None
    if OWN_MARK not in text:
        raise InputError(
            f"{path} exists, and lcnb did not write it",
            cure=f"Choose another name: --label {label}-2",
            not_done="written",
        )
    return text


def _restore_units(label: str, folder: Path, before: Mapping[str, str | None]) -> None:
    with suppress(LcnbError):
        if None in before.values():
            _call_systemctl("disable", "--now", f"{label}.timer")
    for name, text in before.items():
        with suppress(OSError):
            if text is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_atomically(folder / name, text.encode("utf-8", "surrogateescape"), mode=0o644)
    with suppress(LcnbError):
        _call_systemctl("daemon-reload")
        if None not in before.values():
            _call_systemctl("restart", f"{label}.timer")


def remove_units(label: str, names: tuple[str, ...]) -> list[Path]:
    """Stop the timer and delete its files; return those that existed. A run that is active goes on.

    RunError when systemd cannot be reached and files exist, InputError for files that lcnb did not write.
    """
    folder = units_folder()
    existing = [folder / name for name in names if _read_own_unit(folder / name, label) is not None]
    if existing:
        check_user_manager()
        _call_systemctl("disable", "--now", f"{label}.timer")
        for path in existing:
            path.unlink(missing_ok=True)
        _call_systemctl("daemon-reload")
    return existing


def read_unit(name: str) -> UnitState:
    """Return what systemd knows about a unit of this user. RunError when systemd cannot be reached."""
    done = call_program(
        ["systemctl", "--user", "show", name, *(f"--property={each}" for each in _PROPERTIES)]
    )
    if done.returncode:
        raise RunError(f"systemd cannot be asked about {name}: {first_line(done.stderr)}")
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return UnitState(
        found.get("LoadState", ""),
        found.get("ActiveState", ""),
        found.get("UnitFileState", ""),
        found.get("NeedDaemonReload") == "yes",
        found.get("Result", ""),
        found.get("ExecMainStatus", ""),
    )


def _call_systemctl(*words: str) -> None:
    done = call_program(["systemctl", "--user", *words])
    if done.returncode:
        raise RunError(f"systemctl --user {' '.join(words)}: {first_line(done.stderr)}")
