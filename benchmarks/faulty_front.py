"""A TCP front before an S3 server that does what networks and providers do: errors, delays, cut connections.

`python -m benchmarks.faulty_front PORT SEED` prints its own port, passes requests to PORT, and prints a tally as JSON
when it gets SIGTERM. SIGUSR1 takes the server away (every connection is closed at once), SIGUSR2 brings it back.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Fault → its share of all requests. The seconds of the slow ones are in `Front`.
FAULTS = {
    "500, nothing done": 0.04,
    "500, but done": 0.04,
    "slow answer": 0.05,
    "no answer, done late": 0.02,
    "cut in the request": 0.03,
    "cut in the answer": 0.04,
}
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Front:
    """One front. `slow_s` delays an answer, `late_s` is longer than a client waits."""

    def __init__(self, port: int, seed: int, *, slow_s: float = 0.5, late_s: float = 6.0) -> None:
        self.port = port
        self.chance = random.Random(seed)
        self.slow_s, self.late_s = slow_s, late_s
        self.tally: Counter[str] = Counter()
        self.is_away = False

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a client, or not, and close its connection."""
        try:
            if not self.is_away:
                await self._serve_request(reader, writer)
            else:
                self.tally["away"] += 1
        except asyncio.CancelledError:
            pass  # the front ends
        except (OSError, asyncio.IncompleteReadError):
            self.tally["gone before the answer"] += 1
        finally:
            writer.close()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fault = self._choose_fault()
        self.tally[fault or "passed"] += 1
        body = await reader.readexactly(_content_length(head))
        if fault == "500, nothing done":
            writer.write(ERROR)
        elif fault == "cut in the request":
            await self._send(head, body[: len(body) // 2], whole=False)
        elif fault == "no answer, done late":
            await asyncio.sleep(self.late_s)
            await self._send(head, body)
        else:
            answer = await self._send(head, body)
            if fault == "slow answer":
                await asyncio.sleep(self.chance.uniform(0, 2 * self.slow_s))
            cut = len(answer) * 2 // 3 if fault == "cut in the answer" else len(answer)
            writer.write(ERROR if fault == "500, but done" else answer[:cut])
        await writer.drain()

    def _choose_fault(self) -> str:
        number = self.chance.random()
        for fault, share in FAULTS.items():
            number -= share
            if number < 0:
                return fault
        return ""

    async def _send(self, head: bytes, body: bytes, *, whole: bool = True) -> bytes:
        """Send a request to the server; return its answer, or close the connection after a part of the request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
            await writer.drain()
            return await reader.read() if whole else b""
        finally:
            writer.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def _serve(port: int, seed: int) -> None:
    front = Front(port, seed)
    server = await asyncio.start_server(front.serve_connection, "127.0.0.1", 0)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: setattr(front, "is_away", True))
    loop.add_signal_handler(signal.SIGUSR2, lambda: setattr(front, "is_away", False))
    print(server.sockets[0].getsockname()[1], flush=True)
    await over.wait()
    print(json.dumps(front.tally), flush=True)


@dataclass
class FrontProcess:
    """A front that runs: its port, and its tally after `stop`."""

    port: int
    process: subprocess.Popen[str]
    tally: Counter[str]

    def set_away(self, away: bool) -> None:
        """Take the server away, or bring it back."""
        self.process.send_signal(signal.SIGUSR1 if away else signal.SIGUSR2)

    def stop(self) -> None:
        """End the process and read its tally."""
        self.process.terminate()
        self.tally.update(json.loads(self.process.communicate()[0].splitlines()[-1]))


@contextmanager
def faulty_front(port: int, seed: int = 1) -> Iterator[FrontProcess]:
    """Run a front before the server at `port`."""
    command = [sys.executable, "-m", "benchmarks.faulty_front", str(port), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    front = FrontProcess(int(process.stdout.readline()), process, Counter())
    try:
        yield front
    finally:
        if process.poll() is None:
            front.stop()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
