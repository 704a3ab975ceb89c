"""Which commit a notebook is of. git itself is asked, briefly; where it has no answer there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

GIT_TIMEOUT_S = 2.0


def find_commit(path: Path) -> dict[str, Any] | None:
    """`commit` and `dirty` of the repository that a file is in; None without git, repository or commit.

    Dirty is a repository with a tracked file that is not as committed, or where this file is not tracked. An
    ignored file is in no repository: those of an environment inside a checkout are not of its commit.

    >>> commit_of(Path("/nowhere/at-all.ipynb")) is None
    True
    """
    listed = _run_git(path, "ls-files", "-t", "--cached", "--others", "--exclude-standard", "--", path.name)
    if not listed:
        return None
    lines = _run_git(path, "status", "--porcelain=v2", "--branch", "--untracked-files=no").splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if commit == "(initial)":
        return None
    changed = any(not line.startswith("#") for line in lines)
    return {"commit": commit, "dirty": changed or listed.startswith("?")}


def _run_git(path: Path, *words: str) -> str:
    """What git prints, or nothing. A repository's own settings must not start programs here."""
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
