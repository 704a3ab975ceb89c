"""The command line of the sandbox: `lcnb sandbox` and `python -m lcnb.sandbox`."""

from __future__ import annotations

import argparse
import json

from lcnb.sandbox.faults import EXAMPLE_SCRIPT, FAULT_KINDS, FAULT_PARAMETERS
from lcnb.sandbox.server import TOKEN_VARIABLE, serve
from lcnb.sandbox.shapes import SHAPES


def main(arguments: list[str] | None = None) -> int:
    """Run the command line of the sandbox, and return its exit code.

    `arguments` are the words of the command line; those of this process by default.
    """
    parser = argparse.ArgumentParser(
        prog="lcnb sandbox",
        description="A LetsCloud on this machine.",
        epilog=_faults_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 selects a free one")
    parser.add_argument("--state", metavar="FILE", help="file that stores the account between restarts")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster the clock runs")
    parser.add_argument("--seed", type=int, default=1, help="number that determines the fleet")
    parser.add_argument("--fleet", type=int, default=60, help="number of machines at the start")
    parser.add_argument("--token", help=f"the token to accept (or {TOKEN_VARIABLE}); random by default")
    parser.add_argument(
        "--shapes", default="list", help=f"forms of replies, separated by commas: {', '.join(SHAPES)}"
    )
    parser.add_argument("--rate-limit", type=int, default=5_000, help="calls per hour")
    parser.add_argument("--faults", metavar="FILE_OR_JSON", help="a script of faults, see below")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when stdin is closed")
    return serve(**vars(parser.parse_args(arguments)))


def _faults_help() -> str:
    kinds = []
    for kind, meaning in FAULT_KINDS.items():
        defaults = [f"{name}={json.dumps(value)}" for name, value in FAULT_PARAMETERS[kind].items()]
        kinds.append(f"  {kind:13} {meaning}" + (f" [{', '.join(defaults)}]" if defaults else ""))
    return "\n".join(
        [
            "faults, as JSON or as a JSON file:",
            f"  {EXAMPLE_SCRIPT}",
            "A rule may have method and path (regexes), chance (0 to 1), nth, times. POST /_sandbox/faults",
            "replaces the script. The header X-Sandbox-Fault: error-after; status=500 applies to one request.",
            "GET /_sandbox/log returns what really happened.",
            "",
            "kinds [parameters with their defaults]:",
            *kinds,
        ]
    )
