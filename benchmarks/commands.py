"""How soon commands that read answer: against importing pandas, which they do not, and another cloud's command.

And how soon a new Python has its first inventory as a frame, against importing pandas alone. Both sides end without
taking the interpreter down, because a notebook goes on.

`linode-cli` is installed into a temporary environment; without a package index its row is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Ratio, command, medians
from lcnb.sandbox import start

ROUNDS = 7
#: Another provider's command, which like `lcnb` is written in Python.
PEER_PACKAGE, PEER_COMMAND = "linode-cli==5.69.0", "linode-cli"
RUNS = 100


def run() -> Iterator[Ratio]:
    """Yield the ratios of the commands, each against a peer in the same run."""
    pandas = command([sys.executable, "-c", "import pandas"])
    with tempfile.TemporaryDirectory() as place, start(speed=0) as server:
        folder = Path(place)
        write_runs(folder / "runs")
        env = {
            **os.environ,
            "LETSCLOUD_API_KEY": server.token,
            "LCNB_BASE_URL": server.base_url,
            "LCNB_STATE_DIR": str(folder / "state"),
            "LCNB_CONFIG_DIR": str(folder / "config"),
            "LCNB_RUNS_DIR": str(folder / "runs"),
        }
        instances = reading("instances", env)
        peer = install_peer(folder / "peer")
        if peer is not None:
            yield ratio(
                "lcnb instances / linode-cli --version", instances, command([str(peer), "--version"]), 0.9
            )
        for words, work, bound in (
            ("instances", instances, 0.5),
            ("doctor", reading("doctor", env), 0.5),
            ("runbooks", reading("runbooks", env), 0.25),
            (f"runs ({RUNS} runs)", reading("runs", env), 0.3),
            ("journal", reading("journal", env), 0.25),
        ):
            yield ratio(f"lcnb {words} / import pandas", work, pandas, bound)
        yield ratio(
            "import lcnb, connect() and the first inventory() / import pandas",
            python("import lcnb; lcnb.connect().inventory()", env),
            python("import pandas", env),
            1.25,
        )


def python(code: str, env: dict[str, str]) -> Callable[[], object]:
    """Run code in a new Python, which ends right after it."""
    words = [sys.executable, "-c", f"{code}; import os; os._exit(0)"]
    return lambda: subprocess.run(words, check=True, env=env, stdout=subprocess.DEVNULL)


def ratio(name: str, ours: Callable[[], object], theirs: Callable[[], object], bound: float) -> Ratio:
    """Measure both sides by turns."""
    mine, other = medians(ours, theirs, ROUNDS)
    return Ratio(name, mine, other, f"at most {bound:g}", mine / other <= bound)


def reading(name: str, env: dict[str, str]) -> Callable[[], object]:
    """A command of lcnb as its script starts it, with its output in a pipe."""
    words = [str(Path(sys.executable).parent / "lcnb"), name]
    return lambda: subprocess.run(words, check=True, env=env, stdout=subprocess.DEVNULL)


def write_runs(folder: Path) -> None:
    """Write records of ended runs, of the size that real ones have."""
    for number in range(RUNS):
        name = f"20261130T{number // 60:02d}{number % 60:02d}00Z-inventory-{number:06x}"
        facts = {
            "format": 1, "id": name, "runbook": "inventory", "status": "done", "exit_code": 0, "closed": True,
            "started": f"2026-11-30T{number // 60:02d}:{number % 60:02d}:00+00:00", "duration_s": 2.5, "user": "ana",
            "attention": [], "changes": [], "versions": {f"package-{each}": "1.2.3" for each in range(40)},
            "files": {f"table-{each}.csv": {"size": 1024, "sha256": "0" * 64} for each in range(8)},
        }  # fmt: skip
        (folder / name).mkdir(parents=True)
        (folder / name / "run.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def install_peer(folder: Path) -> Path | None:
    """Install the peer into a new environment, and return its command; None when it cannot be installed."""
    python = folder / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", PEER_PACKAGE], check=True, capture_output=True
        )
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"{PEER_PACKAGE} cannot be installed, so its row is left out: {error}", file=sys.stderr)
        return None
    return folder / "bin" / PEER_COMMAND


if __name__ == "__main__":
    for found in run():
        print(
            f"{found.name}: {found.ratio:.3f}, {found.claim}: {'holds' if found.holds else 'does NOT hold'}"
        )
