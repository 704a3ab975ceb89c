"""The way into the command: `lcnb` and `python -m lcnb`. What needs no more than this is answered here."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working folder, put there by `-m`: its files are not taken for modules of Python

import lcnb
from lcnb import streams


def main() -> None:
    """`lcnb --version` is answered at once; for all else the commands are loaded."""
    streams.open_streams()
    if sys.argv[1:] == ["--version"]:
        print(f"lcnb, version {lcnb.__version__}")
        sys.exit(streams.finish_output(0))
    if sys.argv[1:2] in (["run"], ["plan-run"]) and (code := _warm()) is not None:
        sys.exit(code)
    from lcnb.cli.main import main as commands

    commands()


def _warm() -> int | None:
    """The exit code of a run that a server for warm runs has made (`lcnb warm`), where there is one."""
    if _engine(sys.argv[1:]) != "auto":
        return None
    from lcnb.runbooks.engine.warm import run_on_server

    return run_on_server(sys.argv[1:])


def _engine(words: list[str]) -> str:
    """The engine that a command line asks for, read as click reads it: the last one counts.

    >>> _engine(["run", "inventory"]), _engine(["run", "--engine", "auto", "inventory"])
    ('auto', 'auto')
    >>> _engine(["run", "--engine=AUTO", "inventory", "--engine", "kernel"])
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
