"""A LetsCloud on this machine: real HTTP, made-up machines, a clock that can be advanced.

The package imports nothing from the rest of lcnb: if client and sandbox shared their models, a mistake in a model would
go unnoticed. `serve` runs the sandbox in this process, `start` in a separate one. On a command line, use `lcnb sandbox`
or `python -m lcnb.sandbox`.
"""

from __future__ import annotations

from lcnb.sandbox.app import Sandbox
from lcnb.sandbox.clock import Clock
from lcnb.sandbox.command import main
from lcnb.sandbox.faults import FAULT_KINDS, FaultRule, Faults
from lcnb.sandbox.http import Reply, Request
from lcnb.sandbox.process import SandboxProcess, start
from lcnb.sandbox.refusals import Refusal
from lcnb.sandbox.server import serve, serve_in_thread
from lcnb.sandbox.world import World

__all__ = [
    "FAULT_KINDS",
    "Clock",
    "FaultRule",
    "Faults",
    "Refusal",
    "Reply",
    "Request",
    "Sandbox",
    "SandboxProcess",
    "World",
    "main",
    "serve",
    "serve_in_thread",
    "start",
]
