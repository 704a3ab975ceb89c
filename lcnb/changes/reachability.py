"""Wait until machines can be used: SSH answers with a key that is known or recorded, and cloud-init has ended.

"Running" is what the provider says; a machine is usable some time later. `ReachabilityWatch` watches all machines at
once, in a thread of its own, because the flow of an apply must neither block an event loop nor be held by one
machine that hangs. It needs asyncssh (`pip install 'lcnb[ssh]'`).

Only a key of the user's is offered for a login, never a password, and only cloud-init needs a login.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lcnb.changes.known_hosts import (
    HostKey,
    HostKeyRefused,
    KnownHosts,
    KnownHostsBusy,
    KnownHostsUnusable,
    as_host_key,
    has_no_descriptors,
)
from lcnb.changes.tasks import ReachLevel
from lcnb.facts.connection import DEFAULT_PORT, DEFAULT_USER, KEY_TAG, Connection, plain_address

T = TypeVar("T")
#: Seconds in which a connection has to be accepted, and between two attempts.
ATTEMPT_S, PAUSE_S = 10.0, 2.0
#: Seconds for each answer over an accepted connection: sshd may look up the name of the client before it greets.
ANSWER_S = 60.0
#: Seconds of silence after which the system asks whether the other end still exists, between such questions, and how
#: many stay unanswered: a machine that restarts forgets its connections, and nothing else would end them.
KEEPALIVE_S, KEEPALIVE_PAUSE_S, KEEPALIVE_PROBES = 5, 5, 2
#: Characters of a banner that are shown and read: a server of another kind may send anything.
MAX_BANNER_BYTES = 255
#: Networks for documentation (RFC 5737, RFC 3849), in which the machines of a sandbox have their addresses.
_EXAMPLE_NETWORKS = tuple(
    map(ipaddress.ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"))
)
#: What cloud-init says when it has nothing left to do.
_CLOUD_INIT_ENDED = ("done", "disabled", "not available")


@dataclass(frozen=True)
class SshTarget:
    """A machine to watch: its name for messages, its identifier, its address if it has one, and what its tags say."""

    name: str
    identifier: str
    address: str | None
    connection: Connection = field(default_factory=Connection)

    @property
    def port(self) -> int:
        """The port of its SSH server."""
        return self.connection.port or DEFAULT_PORT


@dataclass
class ReachState:
    """What is known about a machine: `reached`, or the last problem; `final` when waiting cannot help.

    `gone`: the machine was deleted.
    """

    reached: bool = False
    final: bool = False
    gone: bool = False
    detail: str = "no answer yet"


class ReachabilityWatch:
    """Watches machines until they are usable. `states` has the latest of each by identifier."""

    def __init__(
        self, targets: Iterable[SshTarget], level: ReachLevel, known_hosts: KnownHosts | None = None
    ) -> None:
        # In their usual form: ssh looks for a host key by that, whatever form the provider reports.
        self._targets = {
            each.identifier: replace(each, address=plain_address(each.address)) for each in targets
        }
        self.level = level
        self.known_hosts = known_hosts or KnownHosts()
        self.states = {each.identifier: ReachState() for each in self.targets}
        self._recording = asyncio.Lock()
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def targets(self) -> list[SshTarget]:
        """The machines, with the addresses at which they are watched now."""
        return list(self._targets.values())

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._watch_all())
        except OSError as error:  # there are no file descriptors left for an event loop
            problem = ReachState(final=True, detail=f"it cannot be watched: {error.strerror or error}")
            self.states = {each.identifier: problem for each in self.targets}
        finally:
            self._started.set()

    def stop(self) -> None:
        """End all attempts, and wait for their end."""
        self._call(lambda: self._task and self._task.cancel())
        self._thread.join()

    def move(self, identifier: str, address: str) -> None:
        """Watch a machine at another address from now on."""
        self._call(lambda: self._watch_at(identifier, address))

    def give_up(self, identifier: str) -> None:
        """End the attempts for a machine that no longer exists."""
        self._call(lambda: self._end(identifier))

    def _call(self, work: Callable[[], object]) -> None:
        """Call `work` in the thread of the watch, if that still runs."""
        if self._loop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(work)
            except RuntimeError:
                pass  # the loop ended between the check and the call

    def waiting(self) -> list[SshTarget]:
        """Return the machines for which waiting can still help."""
        return [each for each in self.targets if not self._is_settled(each)]

    def _is_settled(self, target: SshTarget) -> bool:
        state = self.states[target.identifier]
        return state.reached or state.final

    async def _watch_all(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        for identifier in self._targets:
            self._begin(identifier)
        self._started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass  # `stop` ends all attempts; what they found so far stays in `states`
        for each in self._watching.values():
            each.cancel()
        await asyncio.gather(*self._watching.values(), return_exceptions=True)

    def _begin(self, identifier: str) -> None:
        if identifier in self._watching:
            self._watching[identifier].cancel()
        self._watching[identifier] = asyncio.create_task(self._watch(self._targets[identifier]))

    def _watch_at(self, identifier: str, address: str) -> None:
        self._targets[identifier] = replace(self._targets[identifier], address=plain_address(address))
        self.states[identifier] = ReachState()
        self._begin(identifier)

    def _end(self, identifier: str) -> None:
        self._watching[identifier].cancel()
        self.states[identifier] = ReachState(
            final=True, gone=True, detail="it was deleted meanwhile: the account no longer lists it"
        )

    async def _watch(self, target: SshTarget) -> None:
        if not target.address:
            self.states[target.identifier] = ReachState(detail="it has no address")
            return  # until `move` names one
        if problem := _target_problem(target):
            self.states[target.identifier] = ReachState(final=True, detail=problem)
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
            return await self._probe(target)
        except (HostKeyRefused, KnownHostsUnusable, _KeyUnusable) as problem:
            return ReachState(final=True, detail=str(problem))
        except KnownHostsBusy as busy:
            return ReachState(detail=f"SSH answers, but its host key is not recorded yet: {busy}")
        except _NotInTime as late:
            return ReachState(detail=str(late))
        except asyncssh.PermissionDenied:
            user = target.connection.user or DEFAULT_USER
            return ReachState(detail=f"SSH answers, and no key of yours may log in as {user}")
        except (OSError, asyncssh.Error, EOFError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return ReachState(detail=f"{_place(target)}: {_plain_text(reason)}")
        except Exception as error:
            # asyncssh raises errors of many kinds for bytes that are not SSH; the other machines are still watched.
            reason = _plain_text(str(error) or type(error).__name__)
            return ReachState(detail=f"{_place(target)}: what it sends is not SSH: {reason}")

    async def _probe(self, target: SshTarget) -> ReachState:
        problem = await self._banner_problem(target)
        if problem:
            return ReachState(detail=problem)
        no_key = f"{_place(target)}: the SSH server shows no host key"
        key = await _in_time(self._read_host_key(target), no_key)
        if key is None:
            return ReachState(detail=no_key)
        place = (_address(target), target.port, target.identifier, key)
        self.known_hosts.check(*place)
        state = ReachState(reached=True, detail="SSH answers")
        if self.level == "cloud-init":
            status = self._cloud_init_status(target, key)
            state = _judge_cloud_init(await _in_time(status, "SSH answers, and cloud-init shows no status"))
        if state.reached:
            # Only now: cloud-init may replace the keys of the image.
            recorded = await _in_time(self._record(*place), "SSH answers, but its host key is not recorded")
            state.detail += f"; host key {recorded} in {self.known_hosts.path}"
        return state

    async def _banner_problem(self, target: SshTarget) -> str:
        """Return why what answers is no SSH server; "" if it is one."""
        connecting = asyncio.open_connection(target.address, target.port, limit=MAX_BANNER_BYTES * 16)
        reader, writer = await _in_time(connecting, f"no answer at {_place(target)}", ATTEMPT_S)
        silent = f"{_place(target)} accepts the connection, and sends no SSH greeting"

        def note_silence() -> None:
            self.states[target.identifier] = ReachState(detail=f"{silent} within {ATTEMPT_S:g} s")

        # The deadline of all may pass before the limit of this answer does.
        silence = asyncio.get_running_loop().call_later(ATTEMPT_S, note_silence)
        try:
            _ask_in_silence(writer.get_extra_info("socket"))
            return await _in_time(_read_greeting(reader, target), silent)
        finally:
            silence.cancel()
            writer.close()

    async def _record(self, address: str, port: int, identifier: str, key: HostKey) -> str:
        # One at a time: as many threads would wait for the lock of the file, and none of them can be interrupted.
        async with self._recording:
            new = await asyncio.to_thread(self.known_hosts.record, address, port, identifier, key)
        return "recorded" if new else "as recorded"

    async def _read_host_key(self, target: SshTarget) -> HostKey | None:
        import asyncssh

        address = _address(target)
        known = self.known_hosts.recorded_keys(address, target.port, target.identifier)
        algorithms = _signature_algorithms(known)
        try:
            found = await asyncssh.get_server_host_key(
                address, target.port, config=None, server_host_key_algs=algorithms or ()
            )
        except asyncssh.Error:
            if not algorithms:
                raise
            # Perhaps it has no key of a recorded type any more; `check` says so.
            found = await asyncssh.get_server_host_key(address, target.port, config=None)
        return None if found is None else as_host_key(found)

    async def _cloud_init_status(self, target: SshTarget, key: HostKey) -> str:
        """Log in with a key of the user's and return what `cloud-init status` says."""
        import asyncssh

        host = asyncssh.import_public_key(f"{key.kind} {key.data}")
        async with asyncssh.connect(
            target.address,
            target.port,
            username=target.connection.user or DEFAULT_USER,
            known_hosts=([host], [], []),
            config=None,
            password=None,
            preferred_auth="publickey",
            client_keys=_client_keys(target.connection.key),
        ) as connection:
            done = await connection.run(
                "command -v cloud-init >/dev/null || { echo 'status: not available'; exit; }; cloud-init status"
            )
        return str(done.stdout or "") or f"status: unreadable (exit status {done.exit_status})"


class _NotInTime(Exception):
    """An attempt took too long; the text says what was missing."""


class _KeyUnusable(Exception):
    """The private key of the tag cannot be used; the text says why."""


def _client_keys(path: str) -> Sequence[Any]:
    """Return the private key of the tag; none, so that asyncssh uses an agent and the usual files, without the tag."""
    import asyncssh

    if not path:
        return ()
    try:
        return [asyncssh.read_private_key(Path(path).expanduser())]
    except (OSError, ValueError, RuntimeError) as error:
        if has_no_descriptors(error):
            raise
        reason = getattr(error, "strerror", None) or str(error)
    raise _KeyUnusable(
        f"the key {path} of the tag {KEY_TAG} cannot be used: {reason}. "
        "Without the tag, lcnb uses those of ssh-agent and ~/.ssh"
    )


def _signature_algorithms(keys: Iterable[HostKey]) -> list[str]:
    """Return the algorithms by which a server proves that it has these keys; an RSA key has several."""
    import asyncssh

    known = asyncssh.public_key.get_default_public_key_algs()
    found: list[str] = []
    for each in keys:
        try:
            key = asyncssh.import_public_key(f"{each.kind} {each.data}")
        except asyncssh.KeyImportError:
            continue
        found += [name.decode() for name in key.sig_algorithms if name in known]
    return list(dict.fromkeys(found))


def _target_problem(target: SshTarget) -> str:
    """Return why a machine with an address cannot be watched at all; "" if it can."""
    if target.connection.jumps:
        return "it is reached over ssh-jump, and lcnb connects directly only"
    if any(ipaddress.ip_address(_address(target)) in each for each in _EXAMPLE_NETWORKS):
        return f"nothing answers at {target.address}, an address for documentation, as sandboxes give to machines"
    return ""


def _judge_cloud_init(text: str) -> ReachState:
    """Return the state of a machine for what its cloud-init says."""
    status = next(
        (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("status:")),
        "unreadable",
    )
    if status in _CLOUD_INIT_ENDED:
        return ReachState(reached=True, detail=f"cloud-init: {status}")
    return ReachState(final=status == "error", detail=f"SSH answers; cloud-init: {status[:80]}")


async def _read_greeting(reader: asyncio.StreamReader, target: SshTarget) -> str:
    """Return why what is sent is no greeting of an SSH server; "" if it is one."""
    try:
        for _ in range(20):  # a server may send other lines before its version
            line = await reader.readline()
            if line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
                return ""
            if not line:
                return f"{_place(target)} closes the connection without a greeting"
    except ValueError:
        pass  # a line longer than the limit, which no SSH server sends
    return f"what answers at {_place(target)} is no SSH server"


def _ask_in_silence(connected: socket.socket) -> None:
    """Let the system end a connection whose other end no longer exists."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_PAUSE_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if option := getattr(socket, name, None):  # not every system has each of them
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


async def _in_time(work: Awaitable[T], problem: str, seconds: float | None = None) -> T:
    """Return what `work` returns; _NotInTime, with the problem, after ANSWER_S or the given seconds."""
    limit = ANSWER_S if seconds is None else seconds
    try:
        async with asyncio.timeout(limit) as timer:
            return await work
    except TimeoutError:
        if not timer.expired():
            raise  # of the connection, whose reason it has
        raise _NotInTime(f"{problem} within {limit:g} s") from None


def _plain_text(text: str) -> str:
    """Return a text of another server for people, without what a terminal would take for a command."""
    return "".join(each if each.isprintable() else " " for each in text)[:200]


def _place(target: SshTarget) -> str:
    address = _address(target)
    return f"[{address}]:{target.port}" if ":" in address else f"{address}:{target.port}"


def _address(target: SshTarget) -> str:
    return target.address or ""
