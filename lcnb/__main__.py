"""The entry point of the command: `lcnb` and `python -m lcnb`.

`lcnb --version` and runs on a warm server are handled here, because loading all commands takes longer.
"""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working folder, which `-m` adds: its files must not replace modules of Python

import lcnb
from lcnb import streams


def main() -> None:
    """Run the command line of this process and exit with its code."""
    streams.open_streams()
    if sys.argv[1:] == ["--version"]:
        print(f"lcnb, version {lcnb.__version__}")
        sys.exit(streams.finish_output(0))
    if sys.argv[1:2] in (["run"], ["plan-run"]) and (code := _run_on_warm_server()) is not None:
        sys.exit(code)
    from lcnb.cli.main import main as commands

    commands()


def _run_on_warm_server() -> int | None:
    """Run on the server that `lcnb warm` started and return the exit code; None when there is no such server."""
    if _parse_engine(sys.argv[1:]) != "auto":
        return None
    from lcnb.runbooks.engine.warm import run_on_server

    return run_on_server(sys.argv[1:])


def _parse_engine(words: list[str]) -> str:
    """Return the engine in a command line, read as click reads it: the last `--engine` counts.

    >>> _parse_engine(["run", "inventory"]), _parse_engine(["run", "--engine", "auto", "inventory"])
    ('auto', 'auto')
    >>> _parse_engine(["run", "--engine=AUTO", "inventory", "--engine", "kernel"])
    'kernel'
    """
    engine = "auto"
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--engine":
            engine = following
        elif word.startswith("--engine="):
            engine = word.partition("=")[2]
    return engine.lower()


if __name__ == "__main__":
    main()
