"""Wait until machines can be used: SSH answers with a key that is known or recorded, and cloud-init has ended.

"Running" is what the provider says; a machine is usable some time later. `ReachabilityWatch` watches all machines at
once, in a thread of its own, because the flow of an apply must neither block an event loop nor be held by one
machine that hangs. It needs asyncssh (`pip install 'lcnb[ssh]'`).

Only a key of the user's is offered for a login, never a password, and only cloud-init needs a login.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lcnb.changes.known_hosts import HostKey, HostKeyChanged, KnownHosts
from lcnb.changes.tasks import ReachLevel
from lcnb.facts.connection import DEFAULT_PORT, DEFAULT_USER, Connection

#: Seconds that one attempt may take, and between two attempts.
ATTEMPT_S, PAUSE_S = 10.0, 2.0
#: Characters of a banner that are shown and read: a server of another kind may send anything.
MAX_BANNER_BYTES = 255
#: What cloud-init says when it has nothing left to do.
_CLOUD_INIT_ENDED = ("done", "disabled", "not available")


@dataclass(frozen=True)
class SshTarget:
    """A machine to watch: its name for messages, its identifier, its address, and what its tags say."""

    name: str
    identifier: str
    address: str
    connection: Connection = field(default_factory=Connection)

    @property
    def port(self) -> int:
        """The port of its SSH server."""
        return self.connection.port or DEFAULT_PORT


@dataclass
class ReachState:
    """What is known about a machine: `reached`, or the last problem; `final` when waiting cannot help."""

    reached: bool = False
    final: bool = False
    detail: str = "no answer yet"


class ReachabilityWatch:
    """Watches machines until they are usable. `states` has the latest of each by identifier."""

    def __init__(
        self, targets: Iterable[SshTarget], level: ReachLevel, known_hosts: KnownHosts | None = None
    ) -> None:
        self.targets = list(targets)
        self.level = level
        self.known_hosts = known_hosts or KnownHosts()
        self.states = {each.identifier: ReachState() for each in self.targets}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch_all()), daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._started = threading.Event()
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """End all attempts, and wait for their end."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None and self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                pass  # the loop ended between the check and the call
        self._thread.join()

    def waiting(self) -> list[SshTarget]:
        """Return the machines for which waiting can still help."""
        return [each for each in self.targets if not self._is_settled(each)]

    def _is_settled(self, target: SshTarget) -> bool:
        state = self.states[target.identifier]
        return state.reached or state.final

    async def _watch_all(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._started.set()
        try:
            await asyncio.gather(*map(self._watch, self.targets))
        except asyncio.CancelledError:
            pass  # `stop` ends all attempts; what they found so far stays in `states`

    async def _watch(self, target: SshTarget) -> None:
        if target.connection.jumps:
            self.states[target.identifier] = ReachState(
                final=True, detail="it is reached over ssh-jump, and lcnb connects directly only"
            )
            return
        while True:
            state = await self._attempt(target)
            self.states[target.identifier] = state
            if state.reached or state.final:
                return
            await asyncio.sleep(PAUSE_S)

    async def _attempt(self, target: SshTarget) -> ReachState:
        import asyncssh

        try:
            async with asyncio.timeout(ATTEMPT_S):
                return await self._probe(target)
        except HostKeyChanged as changed:
            return ReachState(final=True, detail=str(changed))
        except TimeoutError:
            return ReachState(detail=f"no answer at {_place(target)} within {ATTEMPT_S:g} s")
        except asyncssh.PermissionDenied:
            user = target.connection.user or DEFAULT_USER
            return ReachState(detail=f"SSH answers, and no key of yours may log in as {user}")
        except (OSError, asyncssh.Error, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return ReachState(detail=f"{_place(target)}: {_plain_text(reason)}")
        except (
            ValueError
        ) as error:  # asyncssh raises these for bytes that are not SSH; the others are still watched
            return ReachState(detail=f"{_place(target)}: what it sends is not SSH: {_plain_text(str(error))}")

    async def _probe(self, target: SshTarget) -> ReachState:
        problem = await _banner_problem(target)
        if problem:
            return ReachState(detail=problem)
        key = await self._read_host_key(target)
        if key is None:
            return ReachState(detail=f"{_place(target)}: the SSH server shows no host key")
        new = await asyncio.to_thread(
            self.known_hosts.check_and_record, target.address, target.port, target.identifier, key
        )
        recorded = f"host key {'recorded' if new else 'as recorded'} in {self.known_hosts.path}"
        if self.level == "ssh":
            return ReachState(reached=True, detail=f"SSH answers; {recorded}")
        status = await self._cloud_init_status(target, key)
        return _judge_cloud_init(status, recorded)

    async def _read_host_key(self, target: SshTarget) -> HostKey | None:
        import asyncssh

        known = self.known_hosts.recorded_keys(target.address, target.port, target.identifier)
        kinds = [
            each.kind
            for each in known
            if each.kind.encode() in asyncssh.public_key.get_default_public_key_algs()
        ]
        found = await asyncssh.get_server_host_key(
            target.address, target.port, config=None, server_host_key_algs=kinds or ()
        )
        return None if found is None else _as_host_key(found.export_public_key("openssh").decode())

    async def _cloud_init_status(self, target: SshTarget, key: HostKey) -> str:
        """Log in with a key of the user's and return what `cloud-init status` says."""
        import asyncssh

        host = asyncssh.import_public_key(f"{key.kind} {key.data}")
        path = target.connection.key
        async with asyncssh.connect(
            target.address,
            target.port,
            username=target.connection.user or DEFAULT_USER,
            known_hosts=([host], [], []),
            config=None,
            password=None,
            preferred_auth="publickey",
            client_keys=[str(Path(path).expanduser())] if path else (),
        ) as connection:
            done = await connection.run(
                "command -v cloud-init >/dev/null || { echo 'status: not available'; exit; }; cloud-init status"
            )
        return str(done.stdout or "") or f"status: unreadable (exit status {done.exit_status})"


def _judge_cloud_init(text: str, recorded: str) -> ReachState:
    """Return the state of a machine for what its cloud-init says."""
    status = next(
        (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("status:")),
        "unreadable",
    )
    if status in _CLOUD_INIT_ENDED:
        return ReachState(reached=True, detail=f"cloud-init: {status}; {recorded}")
    return ReachState(final=status == "error", detail=f"SSH answers; cloud-init: {status[:80]}")


def _as_host_key(text: str) -> HostKey:
    kind, data = text.split()[:2]
    return HostKey(kind, data)


async def _banner_problem(target: SshTarget) -> str:
    """Return why what answers is no SSH server; "" if it is one."""
    reader, writer = await asyncio.open_connection(target.address, target.port, limit=MAX_BANNER_BYTES * 16)
    try:
        for _ in range(20):  # a server may send other lines before its version
            line = await reader.readline()
            if line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                return ""
            if not line:
                return f"{_place(target)} closes the connection without a greeting"
    except ValueError:
        pass  # a line longer than the limit, which no SSH server sends
    finally:
        writer.close()
    return f"what answers at {_place(target)} is no SSH server"


def _plain_text(text: str) -> str:
    """Return a text of another server for people, without what a terminal would take for a command."""
    return "".join(each if each.isprintable() else " " for each in text)[:200]


def _place(target: SshTarget) -> str:
    host = f"[{target.address}]" if ":" in target.address else target.address
    return f"{host}:{target.port}"
