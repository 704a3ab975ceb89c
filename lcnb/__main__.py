"""The way into the command: `lcnb` and `python -m lcnb`. What needs no more than this is answered here."""

import sys

import lcnb


def main() -> None:
    """`lcnb --version` is answered at once; for all else the commands are loaded."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        print(f"lcnb, version {lcnb.__version__}")
        return
    from lcnb.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
