"""The git commit that a notebook belongs to. git is called with a short timeout; without a reply the commit is None."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

GIT_TIMEOUT_S = 2.0


def find_commit(path: Path) -> dict[str, Any] | None:
    """Return `commit` and `dirty` of the repository that contains a file; None without git, repository or commit.

    A repository is dirty when a tracked file differs from its commit, or when this file is not tracked. An ignored file
    belongs to no repository, such as a file of a virtual environment inside a checkout.

    >>> find_commit(Path("/nowhere/at-all.ipynb")) is None
    True
    """
    if not _is_in_repository(path):
        return None
    listed = _run_git(path, "ls-files", "-t", "--cached", "--others", "--exclude-standard", "--", path.name)
    if not listed:
        return None
    lines = _run_git(path, "status", "--porcelain=v2", "--branch", "--untracked-files=no").splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if commit == "(initial)":
        return None
    changed = any(not line.startswith("#") for line in lines)
    return {"commit": commit, "dirty": changed or listed.startswith("?")}


def _is_in_repository(path: Path) -> bool:
    """Whether a folder above has an entry `.git`. Without one, git finds no repository either, and takes longer."""
    try:
        return any((folder / ".git").exists() for folder in path.resolve().parents)
    except OSError:
        return True


def _run_git(path: Path, *words: str) -> str:
    """Return what git prints, or "". The settings of a repository must not start programs here."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(path.parent), *words]
    try:
        done = subprocess.run(
            command,
            env={**env, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
