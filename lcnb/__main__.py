"""The entry point of `lcnb` and `python -m lcnb`: answers what needs no commands, then loads them."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working folder, which `-m` adds: its files must not replace modules of Python


def main() -> None:
    """Call `run`; Ctrl-C while it imports the commands ends as later: with one line and its exit code."""
    try:
        run()
    except KeyboardInterrupt:
        from lcnb.runbooks.ends import INTERRUPTED

        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED.exit_code)


def run() -> None:
    """Answer `lcnb --version`, hand a run to the warm server if one is running, else call the commands."""
    import lcnb
    from lcnb import streams

    streams.open_streams()
    if sys.argv[1:] == ["--version"]:
        print(f"lcnb, version {lcnb.__version__}")
        sys.exit(streams.finish_output(0))
    if sys.argv[1:2] in (["run"], ["plan-run"]) and (code := _run_warm()) is not None:
        sys.stderr.flush()
        os._exit(code)  # the run has written its output; to take this process down in order would take longer
    from lcnb.cli.main import main as run_commands

    run_commands()


def _run_warm() -> int | None:
    """Let the server of `lcnb warm` make the run and return its exit code; None if no server is running."""
    if _requested_engine(sys.argv[1:]) != "auto":
        return None
    from lcnb.runbooks.engine.warm_socket import connect_user_server

    connection = connect_user_server()
    if connection is None:
        return None
    from lcnb.runbooks.engine.warm import run_on_server  # while the server compares its files

    try:
        return run_on_server(connection, sys.argv[1:])
    except Exception as error:
        from lcnb.cli.main import report_error

        return report_error(error)


def _requested_engine(words: list[str]) -> str:
    """Return the engine that a command line requests; as with click, the last `--engine` counts.

    >>> _requested_engine(["run", "inventory"]), _requested_engine(["run", "--engine", "auto", "inventory"])
    ('auto', 'auto')
    >>> _requested_engine(["run", "--engine=AUTO", "inventory", "--engine", "kernel"])
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
