"""Which Jupyter kernel a notebook runs in, and whether a forked shell can take its place."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcnb.errors import InputError
from lcnb.folders import check_home
from lcnb.runbooks.notebook.find import Runbook
from lcnb.runbooks.notebook.languages import PYTHON, normalize_language

if TYPE_CHECKING:
    pass


def choose_kernel(book: Runbook, kernel: str | None) -> tuple[Runbook, Any]:
    """Return the runbook with the kernel that it will run in, and the spec of that kernel.

    `kernel` overrides the kernel that the notebook names. InputError when the kernel is not installed, or runs another
    language than that of the notebook.
    """
    book = replace(book, kernel=kernel if kernel is not None else book.kernel)
    spec = _find_kernel_spec(book, kernel)
    language = normalize_language(spec.language or book.language)
    if language != book.language and PYTHON in (language, book.language):
        raise InputError(
            f"{book.path} is written in {book.language}, and the Jupyter kernel {book.kernel!r} runs {language}. "
            f"Nothing was started. {_suggest_kernel(book)}"
        )
    return book, spec


def _find_kernel_spec(book: Runbook, chosen: str | None) -> Any:
    """The spec of the runbook's kernel. InputError when it is not installed. `chosen` is the value of --kernel."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    check_home()
    manager = KernelSpecManager()
    try:
        return manager.get_kernel_spec(book.kernel)
    except (NoSuchKernel, ValueError, OSError):
        pass
    if chosen is not None:
        problem = f"--kernel (in Python: kernel=) names {chosen!r}, which is no Jupyter kernel that is installed here"
    elif book.kernel:
        problem = f"{book.path} asks for the Jupyter kernel {book.kernel!r}, which is not here"
    else:
        problem = f"{book.path} names no kernel"
    installed = ", ".join(sorted(manager.find_kernel_specs()))
    raise InputError(f"{problem}. Installed: {installed}. Nothing was started. {_suggest_kernel(book)}")


def _suggest_kernel(book: Runbook) -> str:
    """What to do about a kernel that is not installed, or that runs another language."""
    from jupyter_client.kernelspec import KernelSpecManager

    specs = KernelSpecManager().get_all_specs()
    fit = [
        name
        for name, each in specs.items()
        if normalize_language(each["spec"].get("language", "")) == book.language
    ]
    if not fit:
        return f"Install a Jupyter kernel for {book.language}, and name it: --kernel NAME (in Python: kernel=...)."
    best = Runbook.kernel if Runbook.kernel in fit else sorted(fit)[0]
    return f"To run it in one that is here: --kernel {best} (in Python: kernel={best!r})."


def fits_forked_shell(spec: Any) -> bool:
    """Whether the kernel is ipykernel in this Python, and the user has not configured how IPython starts."""
    program, *words = spec.argv
    words = [each for each in words if not each.startswith("-X")]
    own = f"python{sys.version_info[0]}"
    if program not in ("python", own, f"{own}.{sys.version_info[1]}", sys.executable) or spec.env:
        return False
    if words != ["-m", "ipykernel_launcher", "-f", "{connection_file}"]:
        return False
    profile = Path(os.environ.get("IPYTHONDIR") or Path.home() / ".ipython") / "profile_default"
    changed = [
        *profile.glob("ipython_*config.*"),
        *profile.glob("startup/*.py"),
        *profile.glob("startup/*.ipy"),
    ]
    return not changed
