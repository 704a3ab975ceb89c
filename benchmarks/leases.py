"""Contended locks on three "machines": do two holders ever write at the same time?

Each machine is a process group with a state folder and wall clock of its own (up to 30 s off, and set again while it
runs) and three workers. A worker takes one of three locks, and sends writes under it as `lcnb` does: journal, renewal,
check, request. Workers are stopped, continued and killed at random moments, and so is the server of the locks. The
referee is the HTTP server that receives the writes: it compares them by its own clock and trusts no holder. Each write
takes up to a second to be carried out. All times of a lease are about fifty times shorter than by default.
The same with a usual lock (`SET NX PX` in Redis, no check before a write) shows that the referee can see it.
Run alone: `python -m benchmarks.leases [attempts] [seed]`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.measure import Ratio
from benchmarks.s3_server import BUCKET, s3_server
from lcnb.api.calls import Call
from lcnb.api.flows import Flow, GuardedCall
from lcnb.changes.journal import Journal, JournalEntry
from lcnb.config import Settings
from lcnb.errors import AlreadyApplied, LcnbError, Locked, TransportError
from lcnb.leases.clock import Moment, current_moment
from lcnb.leases.holding import HeldLocks, Holder, hold_locks
from lcnb.leases.place import SharedPlace
from lcnb.leases.records import LOCK_FOLDER, LeaseTimes, LockName
from lcnb.secret import Secret
from lcnb.transport.sync import SyncWire

ATTEMPTS, MACHINES, WORKERS, LOCKS = 1_000, 3, 3, 3
OFFSET_S = 30.0
#: The longest time from the arrival of a write to its effect.
EFFECT_S = 1.0
TIMES = LeaseTimes(margin_s=2.5, proven_s=1.2, renew_s=0.3, reserve_s=0.15, poll_s=0.1)


# --- the referee ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """A write as the referee saw it: from its arrival to its effect, in seconds of one clock."""

    lock: str
    lease: str
    fence: int
    arrived: float
    effect: float


@dataclass
class Referee:
    """The server that receives the writes, with what it saw."""

    writes: list[Write] = field(default_factory=list)
    url: str = ""

    def record(self, lock: str, body: dict[str, Any]) -> float:
        """Record a write and return when it takes effect."""
        arrived = time.monotonic()
        effect = arrived + EFFECT_S * random.random() ** 3
        self.writes.append(Write(lock, body["lease"], body["fence"], arrived, effect))
        return effect

    def overlaps(self) -> int:
        """Count pairs of writes of one lock by two holders where the second came before the effect of the first."""
        count = 0
        for lock in {each.lock for each in self.writes}:
            mine = sorted((each for each in self.writes if each.lock == lock), key=lambda each: each.arrived)
            for place, earlier in enumerate(mine):
                count += sum(
                    later.arrived < earlier.effect and later.lease != earlier.lease
                    for later in mine[place + 1 : place + 50]
                )
        return count

    def late_writes(self) -> int:
        """Count writes of a holder that arrived after a write of a later holder of the same lock."""
        newest: Counter[str] = Counter()
        count = 0
        for each in sorted(self.writes, key=lambda each: each.arrived):
            count += each.fence < newest[each.lock]
            newest[each.lock] = max(newest[each.lock], each.fence)
        return count


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    referee: Referee

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        effect = self.referee.record(self.path.rpartition("/")[2], body)
        time.sleep(max(0.0, effect - time.monotonic()))
        answer = b'{"success": true, "data": {}}'
        with contextlib.suppress(OSError):  # the worker was killed
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, *args: Any) -> None:
        """Print nothing of the connections of killed workers."""


@contextmanager
def started_referee() -> Iterator[Referee]:
    """Run the referee in threads of this process."""
    referee = Referee()
    handler = type("Handler", (_Handler,), {"referee": referee})
    server = _Server(("127.0.0.1", 0), handler)
    referee.url = f"http://127.0.0.1:{server.server_port}/api"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield referee
    finally:
        server.shutdown()
        server.server_close()


# --- a worker -------------------------------------------------------------------------------------------


class WrongClock:
    """The clock of a machine: its wall clock is up to 30 s off, and is set again every few seconds."""

    def __init__(self, machine: int) -> None:
        self._steady_offset = machine * 1_000_003.0
        self._wall_offset, self._set_at = 0.0, 0.0

    def __call__(self) -> Moment:
        steady, wall = current_moment()
        if steady > self._set_at:
            self._wall_offset = random.uniform(-OFFSET_S, OFFSET_S)
            self._set_at = steady + random.uniform(3, 20)
        return Moment(steady + self._steady_offset, wall + self._wall_offset)


class Worker:
    """One process of a machine that takes locks and writes under them until it is killed."""

    def __init__(self, machine: int, folder: Path, referee: str, locks: str) -> None:
        self.machine, self.folder = machine, folder
        self.clock = WrongClock(machine)
        self.locks = locks
        is_redis = locks.startswith("redis:")
        self.place = (
            SharedPlace("LCNB_REDIS_URL", Secret(locks)) if is_redis else SharedPlace("LCNB_RUNS_DIR", locks)
        )
        settings = Settings(None, Secret("benchmark"), "benchmark", referee, "benchmark", 5.0, folder, folder)
        self.wire = SyncWire(settings)
        self.wire.budget = None  # the pace of a provider is not what is measured
        self.journal = Journal(folder)
        self.log = (folder / "outcomes.txt").open("a")

    def run(self) -> None:
        """Make one attempt after the other."""
        logging.getLogger("lcnb.leases").setLevel(logging.ERROR)  # what cannot be renewed is counted
        while True:
            outcome = self.attempt(f"machine-{random.randrange(LOCKS)}")
            self.log.write(f"{outcome}\n")
            self.log.flush()
            time.sleep(random.uniform(0, 0.1))

    def attempt(self, lock: str) -> str:
        """Take a lock, write under it and release it; return how that ended."""
        name = LockName(f"{LOCK_FOLDER}/{lock}.json", lock)
        wait_s = random.choice((0.0, 1.0, 5.0))
        holder = Holder("worker", f"machine {self.machine}", None, "sent")
        try:
            with hold_locks(
                self.place, [name], holder, TIMES, self.folder / "locks", wait_s=wait_s, clock=self.clock
            ) as held:
                return self.write_all(lock, held, held.fences[name.key])
        except AlreadyApplied:
            return "taken, but an earlier write of this machine may still take effect"
        except Locked as error:
            return "not known" if "not known" in str(error) else "refused"

    def write_all(self, lock: str, held: HeldLocks, fence: int) -> str:
        """Send one to three writes, each recorded first."""
        changeset = os.urandom(8).hex()
        count = random.randint(1, 3)
        plan = {"identifier": lock}
        entries = [
            JournalEntry(
                changeset, place, "planned", "power off", lock, "PUT", f"/machines/{lock}", None, plan
            )
            for place in range(count)
        ]
        pending: dict[str, Any] = {"pending_s": TIMES.margin_s - EFFECT_S, "attempt_s": EFFECT_S}
        self.journal.begin(changeset, entries, account=None, base_url="referee", **pending)
        try:
            for place in range(count):
                if held.ensure():
                    return "taken, and lost before a write"
                self.journal.record_attempt(changeset, place, [], fence)
                self.wire.run(send_write(lock, held, fence))
                self.journal.record_outcome(changeset, place, "done")
                time.sleep(random.uniform(0, 0.2))
        except Locked:
            self.journal.record_outcome(changeset, place, "failed")
            return "taken, and a write was refused before its first byte"
        except TransportError:
            return "taken, and a write has no outcome"
        finally:
            held.unsettled = self.journal.unsettled(changeset, **pending)
        return "taken, and wrote all"


def send_write(lock: str, held: HeldLocks, fence: int) -> Flow[Any]:
    """Yield the write."""
    body = {"lease": held.lease.record.id, "fence": fence}
    call = Call("PUT", f"/machines/{lock}", "write", "set", body)
    return (yield GuardedCall(call, held.check))


class UsualWorker(Worker):
    """The same with a usual lock: a key that expires, and no check before a write."""

    def attempt(self, lock: str) -> str:
        """Take the lock with SET NX PX, write and delete the key."""
        import redis

        client, token = redis.Redis.from_url(self.locks), os.urandom(8).hex()
        try:
            if not client.set(f"usual:{lock}", token, nx=True, px=int(TIMES.proven_s * 1000)):
                return "refused"
            fence = int(client.incr(f"usual:fence:{lock}"))
            for _ in range(random.randint(1, 3)):
                call = Call("PUT", f"/machines/{lock}", "write", "set", {"lease": token, "fence": fence})
                self.wire.run(plain_flow(call))
                time.sleep(random.uniform(0, 0.2))
            if client.get(f"usual:{lock}") == token.encode():
                client.delete(f"usual:{lock}")
        except (redis.RedisError, LcnbError):
            return "not known"
        return "taken, and wrote all"


def plain_flow(call: Call) -> Flow[Any]:
    """Yield the call without a check."""
    return (yield call)


# --- trouble --------------------------------------------------------------------------------------------


@dataclass
class Trouble:
    """Stops, continues and kills processes at random moments."""

    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    #: (time at which to continue, process)
    stopped: list[tuple[float, subprocess.Popen[bytes]]] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)

    def strike(self, workers: list[subprocess.Popen[bytes]], server: subprocess.Popen[bytes] | None) -> None:
        """Do one thing to one process."""
        what = self.chance.random()
        victim = self.chance.choice(workers)
        if what < 0.08:
            victim.kill()
            self.killed.add(victim.pid)
            self.counts["killed"] += 1
        elif what < 0.11 and server is not None:
            self.stop(server, self.chance.uniform(0.2, 2 * TIMES.proven_s), "stops of the server")
        elif what < 0.6:
            self.stop(victim, self.chance.uniform(0.01, TIMES.proven_s), "short stops")
        else:
            self.stop(
                victim, self.chance.uniform(TIMES.proven_s, 3 * TIMES.lease_s), "stops longer than the lease"
            )

    def count_end(self, process: subprocess.Popen[bytes]) -> None:
        """Count a process that ended without being killed: by the timer of a send, or by a mistake."""
        if process.pid not in self.killed:
            by_timer = process.returncode == -signal.SIGKILL
            self.counts["ended by the timer of a send" if by_timer else "crashed"] += 1

    def stop(self, process: subprocess.Popen[bytes], seconds: float, kind: str) -> None:
        """Stop a process for some seconds."""
        if process not in [each for _, each in self.stopped]:
            process.send_signal(signal.SIGSTOP)
            self.stopped.append((time.monotonic() + seconds, process))
            self.counts[kind] += 1

    def continue_due(self, *, everything: bool = False) -> None:
        """Continue the processes whose time has come."""
        now = time.monotonic()
        for when, process in list(self.stopped):
            if when <= now or everything:
                process.send_signal(signal.SIGCONT)
                self.stopped.remove((when, process))


@dataclass
class Result:
    """What happened with one kind of lock."""

    outcomes: Counter[str]
    troubles: Counter[str]
    writes: int
    overlaps: int
    late_writes: int
    seconds: float

    def line(self, name: str) -> str:
        """Return the numbers as one text."""
        taken = sum(count for outcome, count in self.outcomes.items() if outcome.startswith("taken"))
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        troubles = ", ".join(f"{count} {each}" for each, count in self.troubles.most_common())
        return (
            f"{name}: {self.outcomes.total()} attempts in {self.seconds:.0f} s, {taken} taken ({outcomes}); "
            f"{troubles}; {self.writes} writes, of two holders at the same time {self.overlaps}, after a later holder "
            f"{self.late_writes}"
        )


def measure(
    kind: str, locks: str, server: subprocess.Popen[bytes] | None, attempts: int, seed: int
) -> Result:
    """Let the machines make so many attempts."""
    began = time.monotonic()
    trouble = Trouble(random.Random(seed))
    with started_referee() as referee, ExitStack() as held:
        root = Path(tempfile.mkdtemp(prefix="lcnb-leases-"))
        held.callback(shutil.rmtree, root, ignore_errors=True)
        folders = [root / f"machine-{number}" for number in range(MACHINES)]
        for each in folders:
            (each / "locks").mkdir(parents=True)

        def start(machine: int) -> subprocess.Popen[bytes]:
            arguments = [kind, str(machine), str(folders[machine]), referee.url, locks]
            return subprocess.Popen([sys.executable, "-m", "benchmarks.leases", "worker", *arguments])

        machines = [number for number in range(MACHINES) for _ in range(WORKERS)]
        workers = [start(machine) for machine in machines]
        try:
            while (outcomes := read_outcomes(folders)).total() < attempts:
                time.sleep(trouble.chance.expovariate(1 / 0.15))
                trouble.continue_due()
                trouble.strike(workers, server)
                for place, worker in enumerate(workers):
                    if worker.poll() is not None:
                        trouble.count_end(worker)
                        workers[place] = start(machines[place])
        finally:
            trouble.continue_due(everything=True)
            for worker in workers:
                worker.kill()
                worker.wait()
        time.sleep(EFFECT_S)
        return Result(
            outcomes,
            trouble.counts,
            len(referee.writes),
            referee.overlaps(),
            referee.late_writes(),
            time.monotonic() - began,
        )


def read_outcomes(folders: list[Path]) -> Counter[str]:
    """Count the outcomes that the workers have written."""
    found: Counter[str] = Counter()
    for each in folders:
        with contextlib.suppress(FileNotFoundError):
            found.update((each / "outcomes.txt").read_text().splitlines())
    return found


@contextmanager
def started_redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run a Redis until the block ends, and wait until it may be trusted with leases."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(TIMES.lease_s + 1)
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@contextmanager
def started_s3() -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    """Run the S3 server of the tests until the block ends."""
    with s3_server() as server:
        os.environ.update(server.environment)
        yield f"s3://{BUCKET}/benchmark", None


def run(attempts: int = ATTEMPTS, seed: int = 0) -> Iterator[Ratio]:
    """Yield the ratios of bad writes with our locks to those with a usual lock."""
    with started_redis() as (url, process):
        usual = measure("usual", url, process, attempts, seed)
    print(usual.line("usual lock in Redis"), flush=True)
    for name, started in (("Redis", started_redis), ("S3", started_s3)):
        with started() as (url, server):
            ours = measure("ours", url, server, attempts, seed)
        print(ours.line(name), flush=True)
        bad = ours.overlaps + ours.late_writes
        theirs = max(1, usual.overlaps + usual.late_writes)
        claim = f"{attempts:,} contended locks in {name}: writes of two holders / those with a usual lock"
        yield Ratio(claim, bad, theirs, "0", bad == 0)


def main(arguments: list[str]) -> None:
    """Be a worker, or measure."""
    if arguments[:1] == ["worker"]:
        kind, machine, folder, referee, locks = arguments[1:]
        worker = UsualWorker if kind == "usual" else Worker
        worker(int(machine), Path(folder), referee, locks).run()
    for ratio in run(*map(int, arguments[:2])):
        print(f"{ratio.name}: {ratio.ratio:.3f} ({'holds' if ratio.holds else 'does not hold'})")


if __name__ == "__main__":
    main(sys.argv[1:])
