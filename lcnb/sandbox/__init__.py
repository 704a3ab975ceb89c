"""A LetsCloud on this machine: real HTTP, made-up machines, its own clock.

It imports nothing from the rest of lcnb: if both sides shared their models, one mistake would hide in both.
`serve` runs it here, `start` as a process of its own; `python -m lcnb.sandbox` and `lcnb sandbox` are the
same on a command line.
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
