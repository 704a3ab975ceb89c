"""Waiting until machines can be used: real SSH servers on this machine, and others that hang, refuse or impersonate."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from filelock import FileLock

import lcnb
from conftest import MANY, TOKEN, lcnb_here, wait_until
from lcnb.api.flows import Pause
from lcnb.api.models import Instance
from lcnb.changes import known_hosts, reach_wait, reachability
from lcnb.changes.known_hosts import HostKey, KnownHosts, as_host_key
from lcnb.changes.live_account import LiveAccount
from lcnb.changes.reachability import ReachabilityWatch, ReachState, SshTarget
from lcnb.changes.tasks import ReachLevel
from lcnb.cli.main import join_wait_values
from lcnb.facts.connection import Connection
from lcnb.runbooks.toolkit import waiting
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread

NEW = {"location": "MIA1", "plan": "1vcpu-1gb-10ssd", "image": "debian-12-x86_64"}


class Hosts:
    """Servers on addresses of this machine: what answers there is decided per address."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.closing: list[Any] = []
        self.keys: dict[str, HostKey] = {}
        self.logins: list[str] = []
        self.answers = 0
        self.hung = 0
        #: Called when a connection begins to hang.
        self.on_hang: Callable[[], object] = lambda: None
        self.cloud_init = ["status: running\n", "status: done\n"]
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(600)

    def serve_ssh(self, address: str, port: int = 0, kind: str = "ssh-ed25519") -> int:
        """Serve SSH at an address, with a host key of that kind; return the port."""
        return int(self.run(self._serve_ssh(address, port, kind)))

    async def _serve_ssh(self, address: str, port: int, kind: str) -> int:
        key = asyncssh.generate_private_key(kind)
        self.keys[address] = as_host_key(key)
        hosts = self

        class Server(asyncssh.SSHServer):
            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                hosts.logins.append(username)
                return key.public_data == hosts.user_key.public_data

        def answer(process: asyncssh.SSHServerProcess[str]) -> None:
            hosts.answers += 1
            process.stdout.write(
                hosts.cloud_init.pop(0) if len(hosts.cloud_init) > 1 else hosts.cloud_init[0]
            )
            process.exit(0)

        server = await asyncssh.create_server(
            Server, address, port, server_host_keys=[key], process_factory=answer
        )
        self.closing.append(server)
        return int(server.sockets[0].getsockname()[1])

    def serve_text(self, address: str, port: int, text: bytes | None) -> None:
        """Serve a greeting at an address; None hangs."""

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if text is None:
                    self.hung += 1
                    self.on_hang()
                    await reader.read()
                else:
                    writer.write(text)
            except (asyncio.CancelledError, OSError):
                pass
            finally:
                writer.close()

        self.closing.append(self.run(asyncio.start_server(greet, address, port)))

    def serve_late(self, address: str, port: int, delay_s: float) -> None:
        """Serve SSH at an address, where each connection gets its first answer after these seconds."""
        behind = self.serve_ssh(address)

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    writer.write(data)
            except (asyncio.CancelledError, OSError):
                pass
            finally:
                writer.close()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(delay_s)
            server = await asyncio.open_connection(address, behind)
            await asyncio.gather(pass_on(reader, server[1]), pass_on(server[0], writer))

        self.closing.append(self.run(asyncio.start_server(answer, address, port)))

    def close(self) -> None:
        async def end() -> None:
            for server in self.closing:
                server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    served = Hosts()
    yield served
    served.close()


@pytest.fixture
def sandbox(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    served = Sandbox(World(Clock(1000), fleet=80), TOKEN, rate_limit=MANY)
    served.world.profile["balance"] = 1e6
    with serve_in_thread(served) as base_url:
        monkeypatch.setenv("LETSCLOUD_API_KEY", TOKEN)
        monkeypatch.setenv("LCNB_BASE_URL", base_url)
        # A reboot of this sandbox is over before it is seen.
        monkeypatch.setenv("LCNB_SETTLE", "1")
        yield served


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def move(sandbox: Sandbox, lc: lcnb.LetsCloud, labels: list[str], port: int) -> dict[str, str]:
    """Give running machines addresses of this machine, one each; return label → address."""
    moved = {}
    for number, label in enumerate(labels, 1):
        identifier = lc.instance(label).identifier
        address = f"127.0.{number // 250 + 77}.{number % 250 + 1}"
        machine = next(each for each in sandbox.world.machines if each["identifier"] == identifier)
        machine["addresses"] = [address]
        moved[label] = address
    lc.tag(labels, f"ssh-port={port}")
    return moved


class LateClock:
    """The clock of a client that jumps beyond every deadline once only hopeless machines are waited for."""

    def __init__(self, hosts: Hosts, hopeless: set[str], hanging: int) -> None:
        self.hosts, self.hopeless, self.hanging = hosts, hopeless, hanging
        self.waiting = 0

    def __call__(self) -> float:
        # The second connection to a machine that hangs follows the end of the first attempt.
        over = self.waiting == len(self.hopeless) and self.hosts.hung >= 2 * self.hanging
        return time.monotonic() + (1e6 if over else 0)

    def progress(self, ended: int, total: int, step: str) -> None:
        if step.startswith("waiting for ssh of "):
            names = step.removeprefix("waiting for ssh of ").partition(" and ")
            self.waiting = len(names[0].split(", ")) + int((names[2] or "0 more").split()[0])


def test_fifty_machines(
    hosts: Hosts, sandbox: Sandbox, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 50 machines some hang, refuse, greet otherwise or show another key: each is accounted for, at the deadline."""
    monkeypatch.setattr(reachability, "ANSWER_S", 8.0)
    with lcnb.connect() as lc:
        running = lc.instances().query("state == 'running'")
        labels = running.label[~running.label.duplicated(keep=False)].tolist()[:50]
        assert len(labels) == 50
        port = free_port()
        places = move(sandbox, lc, labels, port)
        hanging, refusing, others, impersonated = labels[:5], labels[5:8], labels[8:9], labels[9:12]
        for label in hanging:
            hosts.serve_text(places[label], port, None)
        for label in others:
            hosts.serve_text(places[label], port, b"220 mail.example.com ESMTP\r\n" * 30)
        known = KnownHosts()
        for label in labels[9:]:
            hosts.serve_ssh(places[label], port)
        for label in impersonated:
            other = HostKey(
                "ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIJ4Q2Yb6c5b1mXq0dO0m5m2yXq3uF6mQn0bq3l0Zs1bX"
            )
            known.record(places[label], port, lc.instance(label).identifier, other)
        clock = LateClock(hosts, {*hanging, *refusing, *others}, len(hanging))
        lc._wire.clock = clock
        with pytest.raises(lcnb.WaitTimeout) as caught:
            lc.reboot(labels).apply(confirm=True, wait="ssh", timeout=9e5, progress=clock.progress)
    result = caught.value.result
    assert result is not None
    detail = dict(zip(result.target, result.detail, strict=True))
    assert list(detail) == labels
    assert set(result.outcome) == {"done"}
    for label in labels[12:]:
        assert detail[label] == f"SSH answers; host key recorded in {known.path}"
        assert known.recorded_keys(places[label], port, "") == []
        line = f"[{places[label]}]:{port} ssh-ed25519 {hosts.keys[places[label]].data} lcnb:"
        assert line in known.path.read_text()
    wanted = {
        **dict.fromkeys(hanging, "accepts the connection, and sends no SSH greeting within 8 s"),
        **dict.fromkeys(refusing, "Connect call failed"),
        **dict.fromkeys(others, "is no SSH server"),
        **dict.fromkeys(impersonated, "its host key is not the one in line"),
    }
    for label, words in wanted.items():
        assert detail[label].startswith("running, but not usable: "), detail[label]
        assert words in detail[label], detail[label]
        assert label in str(caught.value)
    # In the order of the changes; waiting cannot help the machines that show another key.
    assert str(caught.value).endswith(
        f". `lcnb wait {' '.join([*hanging, *refusing, *others])} --for ssh` goes on waiting; "
        "nothing needs to be sent again."
    )


@pytest.mark.parametrize("level", ["ssh", "cloud-init"])
def test_new_machine(
    level: str, hosts: Hosts, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    """A new machine is waited for; ssh then checks its key at the first login, and its cloud-init has ended."""
    monkeypatch.setattr("lcnb.sandbox.world.machine_addresses", lambda *_: ["127.0.79.1"])
    port = hosts.serve_ssh("127.0.79.1")
    (own_home / "key").write_bytes(hosts.user_key.export_private_key("openssh"))
    tags = [f"ssh-port={port}", "ssh-user=admin", f"ssh-key={own_home / 'key'}"]
    with lcnb.connect() as lc:
        result = lc.create_instance("new-1", **NEW, tags=tags).apply(confirm=True, wait=level)  # type: ignore[arg-type]
        identifier = lc.instance("new-1").identifier
    assert KnownHosts().recorded_keys("127.0.79.1", port, identifier or "") == [hosts.keys["127.0.79.1"]]
    if level == "ssh":
        assert hosts.logins == []
    else:
        assert set(hosts.logins) == {"admin"}
        assert result.detail[0].startswith("cloud-init: done; host key ")


@pytest.mark.parametrize(
    ("says", "detail"),
    [
        ("status: error\n", "cloud-init: error"),
        ("status: running\n", "cloud-init: running"),
        ("nothing\n", "cloud-init: unreadable"),
        ("", "cloud-init: unreadable"),
    ],
)
def test_cloud_init_does_not_end(
    says: str, detail: str, hosts: Hosts, sandbox: Sandbox, own_home: Path
) -> None:
    """A machine whose cloud-init fails, or does not end, is not usable; what it says last is reported."""
    hosts.cloud_init = [says]
    (own_home / "key").write_bytes(hosts.user_key.export_private_key("openssh"))
    with lcnb.connect() as lc:
        port = hosts.serve_ssh("127.0.77.2")
        move(sandbox, lc, ["web-01"], port)
        lc.tag("web-01", f"ssh-key={own_home / 'key'}")
        # The second answer follows the end of the first attempt.
        lc._wire.clock = lambda: time.monotonic() + (1e6 if hosts.answers > 1 else 0)
        with pytest.raises(lcnb.WaitTimeout, match=detail):
            lc.reboot("web-01").apply(confirm=True, wait="cloud-init", timeout=9e5)


@pytest.mark.parametrize(
    ("tags", "detail"),
    [
        (["ssh-port=none"], "ssh-port"),
        (["ssh-jump=bastion"], "ssh-jump"),
    ],
)
def test_tags_that_cannot_be_used(tags: list[str], detail: str, sandbox: Sandbox) -> None:
    """A machine whose tags say that lcnb cannot reach it is named at once, without a command that waits in vain."""
    with lcnb.connect() as lc:
        lc.tag("web-01", *tags)
        with pytest.raises(lcnb.WaitTimeout, match=rf"{detail}.*`lcnb instances` shows them"):
            lc.reboot("web-01").apply(confirm=True, wait="ssh", timeout=9e5)


def test_no_key_may_log_in(hosts: Hosts, sandbox: Sandbox, own_home: Path) -> None:
    """For cloud-init a login is needed: without a key that may log in, the message says so."""
    (own_home / "key").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh"))
    with lcnb.connect() as lc:
        move(sandbox, lc, ["web-01"], hosts.serve_ssh("127.0.77.2"))
        lc.tag("web-01", f"ssh-key={own_home / 'key'}")
        with pytest.raises(lcnb.WaitTimeout, match="no key of yours may log in as root"):
            lc.reboot("web-01").apply(confirm=True, wait="cloud-init", timeout=30)


@pytest.mark.parametrize("wait", ["SSH", "ready", "", "cloudinit", 2, None])
def test_wrong_wait(wait: Any, sandbox: Sandbox) -> None:
    """Another value is refused before anything is sent."""
    with lcnb.connect() as lc:
        changes = lc.reboot("web-01")
        with pytest.raises(lcnb.InputError, match="wait"):
            changes.apply(confirm=True, wait=wait)
    assert {each["method"] for each in sandbox.log} == {"GET"}


def test_without_asyncssh(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without asyncssh the cure names the extra, and nothing is sent."""
    monkeypatch.setattr("lcnb.changes.starting.find_spec", lambda name: None)
    with lcnb.connect() as lc:
        changes = lc.reboot("web-01")
        with pytest.raises(lcnb.ConfigError, match=r"pip install 'lcnb\[ssh\]'"):
            changes.apply(confirm=True, wait="ssh")
    assert {each["method"] for each in sandbox.log} == {"GET"}


def test_wait_command(hosts: Hosts, sandbox: Sandbox) -> None:
    """`lcnb wait --for ssh` waits for existing machines and prints how each is reached; exit code 4 when one is not."""
    with lcnb.connect() as lc:
        port = hosts.serve_ssh("127.0.77.2")
        move(sandbox, lc, ["web-01", "web-03"], port)
        lc.tag("web-01", "ssh-user=admin")
    done = lcnb_here("wait", "web-01", "--for", "ssh")
    assert (done.returncode, done.stdout) == (0, f"web-01: ssh -p {port} admin@127.0.77.2\n")
    late = lcnb_here("wait", "web-01", "web-03", "--for", "ssh", "--timeout", "12")
    assert (late.returncode, late.stdout) == (4, "")
    assert re.search(r"not usable within \d+ s; last seen: web-03: ", " ".join(late.stderr.split()))


def test_async(hosts: Hosts, sandbox: Sandbox) -> None:
    """The awaited apply waits in the same way, and its event loop goes on meanwhile."""
    with lcnb.connect() as lc:
        move(sandbox, lc, ["web-01"], hosts.serve_ssh("127.0.77.2"))

    async def work() -> int:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.05)

        async with lcnb.AsyncLetsCloud(lc.settings) as client:
            beating = asyncio.create_task(beat())
            await (await client.reboot("web-01")).apply(confirm=True, wait="ssh")
            beating.cancel()
        return beats

    assert asyncio.run(work()) > 5


def test_command(hosts: Hosts, sandbox: Sandbox) -> None:
    """`--wait ssh` on the command line does the same; a machine that refuses gives exit code 4."""
    with lcnb.connect() as lc:
        move(sandbox, lc, ["web-01", "web-03"], hosts.serve_ssh("127.0.77.2"))
    done = lcnb_here("power", "reboot", "web-01", "--wait", "ssh", "--yes", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert "SSH answers; host key recorded" in done.stdout
    late = lcnb_here("power", "reboot", "web-03", "--yes", "--wait", "ssh", "--timeout", "12")
    assert late.returncode == 4
    text = " ".join(late.stderr.split())
    assert "not usable" in text
    assert "`lcnb wait web-03 --for ssh` goes on waiting; nothing needs to be sent again." in text


@pytest.mark.parametrize("wait", ["ssh", "cloud-init", True])
def test_machine_still_built_at_the_deadline(wait: Any, sandbox: Sandbox) -> None:
    """The command that is named for a machine that is still being built waits for what the apply waited for."""
    sandbox.world.clock = Clock(10)  # a machine is built for 40 s and more
    with lcnb.connect() as lc, pytest.raises(lcnb.WaitTimeout) as caught:
        lc.create_instance("new 1", **NEW).apply(confirm=True, wait=wait, timeout=0.1)
    result = caught.value.result
    assert result is not None
    command = f"`lcnb wait 'new 1' --for {wait}`"
    if wait is True:
        command = "`lcnb wait 'new 1'`"
        assert "`lcnb instances` shows them; nothing needs to be sent again." in str(caught.value)
    else:
        assert f"{command} goes on waiting; nothing needs to be sent again." in str(caught.value)
    (step,) = result.attrs["lcnb"]["next"]
    assert f"{command} waits until it is ready (in Python: apply(wait={wait!r}))." in step


WAITS_IN_THE_SANDBOX: dict[str, Callable[[lcnb.LetsCloud], object]] = {
    "create": lambda lc: lc.create_instance("new-1", **NEW).apply(confirm=True, wait="ssh"),
    "reboot": lambda lc: lc.reboot("web-01").apply(confirm=True, wait="cloud-init"),
    "wait": lambda lc: waiting.wait_for_machines(lc, ["web-01"], "ssh", timeout=None),
    "runbook": lambda lc: waiting.wait_until_usable(lc, lc.inventory(), "ssh"),
}


@pytest.mark.parametrize("name", WAITS_IN_THE_SANDBOX)
def test_sandbox(name: str, own_home: Path) -> None:
    """In the sandbox, where no machine answers, such a wait is refused before anything is sent."""
    with lcnb.connect(sandbox=True) as lc:
        with pytest.raises(lcnb.InputError, match=r"wait: the machines of the sandbox .* Nothing was sent\."):
            WAITS_IN_THE_SANDBOX[name](lc)
        assert lc.journal().empty


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8:1::17"])
def test_example_address(address: str, sandbox: Sandbox) -> None:
    """Where the settings do not say that it is a sandbox, the address of a machine says that nothing answers there."""
    with lcnb.connect() as lc:
        identifier = lc.instance("web-01").identifier
        machine = next(each for each in sandbox.world.machines if each["identifier"] == identifier)
        machine["addresses"] = [address]
        with pytest.raises(
            lcnb.WaitTimeout, match=f"web-01: nothing answers at {address}, an address for doc"
        ):
            waiting.wait_for_machines(lc, ["web-01"], "ssh", timeout=9e5)


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        ("create --wait", "create --wait=ready"),
        ("create --wait ssh web-99", "create --wait=ssh web-99"),
        ("delete --wait web-99 --yes", "delete --wait=ready web-99 --yes"),
        ("create --wait cloud-init", "create --wait=cloud-init"),
        ("create --wait=ssh x", "create --wait=ssh x"),
        ("run x -- --wait ssh", "run x -- --wait ssh"),
        ("create --wait -- ssh", "create --wait=ready -- ssh"),
        ("power --wait --wait ssh", "power --wait=ready --wait=ssh"),
        ("create --wait-x ssh", "create --wait-x ssh"),
    ],
)
def test_wait_values(words: str, joined: str) -> None:
    """The value of --wait is optional; the label of a machine is never taken for it."""
    assert join_wait_values(words.split()) == joined.split()


def test_runbook(hosts: Hosts, sandbox: Sandbox) -> None:
    """What the runbook `provision` calls waits for an inventory, and names the machines that are not usable."""
    with lcnb.connect() as lc:
        labels = ["web-01", "web-03"]
        port = free_port()
        places = move(sandbox, lc, labels, port)
        hosts.serve_ssh(places["web-01"], port)
        fleet = lc.inventory().query("label in @labels")
        waiting.wait_until_usable(lc, fleet, "running", timeout=0.1)
        waiting.wait_until_usable(lc, fleet[fleet.label == "web-01"], "ssh", timeout=600)
        with pytest.raises(lcnb.WaitTimeout, match=r"web-03: .*Connect call failed") as caught:
            waiting.wait_until_usable(lc, fleet, "ssh", timeout=12)
    assert "web-01" not in str(caught.value)


# --- machines that change meanwhile ---------------------------------------------------------------------


def reboot_until_ssh(lc: lcnb.LetsCloud) -> str:
    """Reboot web-01 and wait until it answers by SSH; return what the result says."""
    return str(lc.reboot("web-01").apply(confirm=True, wait="ssh", timeout=9e5).detail[0])


WAITS: dict[str, Callable[[lcnb.LetsCloud], object]] = {
    "apply": reboot_until_ssh,
    "wait": lambda lc: waiting.wait_for_machines(lc, ["web-01"], "ssh", timeout=9e5),
    "runbook": lambda lc: waiting.wait_until_usable(
        lc, lc.inventory().query("label == 'web-01'"), "ssh", timeout=9e5
    ),
}


def machine_of(sandbox: Sandbox, lc: lcnb.LetsCloud, label: str) -> dict[str, Any]:
    """The record of a machine in the sandbox."""
    identifier = lc.instance(label).identifier
    return next(each for each in sandbox.world.machines if each["identifier"] == identifier)


@pytest.mark.parametrize("way", WAITS)
def test_machine_that_is_deleted_meanwhile(
    way: str, hosts: Hosts, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is deleted while it is waited for ends the wait at once, with this reason."""
    monkeypatch.setattr(reach_wait, "READ_PAUSE_S", 0.0)
    with lcnb.connect() as lc:
        port = free_port()
        hosts.serve_text(move(sandbox, lc, ["web-01"], port)["web-01"], port, None)
        machine = machine_of(sandbox, lc, "web-01")
        hosts.on_hang = lambda: sandbox.world.machines.remove(machine)
        with pytest.raises(
            lcnb.WaitTimeout, match=r": web-01: it was deleted meanwhile: the account no longer"
        ):
            WAITS[way](lc)


@pytest.mark.parametrize("way", WAITS)
def test_machine_that_gets_another_address(
    way: str, hosts: Hosts, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that gets another address while it is waited for is watched there, and reported with it."""
    monkeypatch.setattr(reach_wait, "READ_PAUSE_S", 0.0)
    with lcnb.connect() as lc:
        port = hosts.serve_ssh("127.0.79.3")
        hosts.serve_text(move(sandbox, lc, ["web-01"], port)["web-01"], port, None)
        machine = machine_of(sandbox, lc, "web-01")
        hosts.on_hang = lambda: machine.update(addresses=["127.0.79.3"])
        found = WAITS[way](lc)
        identifier = machine["identifier"]
    if way == "wait":
        assert found == [("web-01", f"ssh -p {port} root@127.0.79.3")]
    assert KnownHosts().recorded_keys("127.0.79.3", port, identifier) == [hosts.keys["127.0.79.3"]]


def test_readings_of_the_account(tmp_path: Path) -> None:
    """The account is read each 30 s by the clock that is passed in, and a failed reading changes nothing."""
    now, readings, steps = 0.0, 0, []
    web = SshTarget("web", "a", "127.0.0.1", Connection(port=free_port()))
    watch = ReachabilityWatch([web], "ssh", KnownHosts(tmp_path / "known_hosts"))
    flow = reach_wait.ReachWait(watch, 100.0, lambda: now, steps.append).wait()
    effect: Any = next(flow)
    with pytest.raises(StopIteration):
        while True:
            if isinstance(effect, Pause):
                now += effect.seconds
                effect = flow.send(None)
            else:
                readings += 1
                effect = flow.throw(lcnb.AuthenticationError("refused"))
    assert (readings, steps) == (3, ["waiting for ssh of web"])
    assert [each.name for each in watch.waiting()] == ["web"]


SHOWN = Instance(identifier="a", label="web", ip_addresses=("127.0.0.1",), ipv4="127.0.0.1")
LISTINGS = {
    "complete": LiveAccount({"instance": []}),
    "incomplete": LiveAccount({"instance": []}, {"instance": "$.data: half of it"}),
    "without identifiers": LiveAccount({"instance": [(Instance(label="web"), {})]}),
    "there": LiveAccount({"instance": [(SHOWN, {})]}),
    "two addresses": LiveAccount(
        {"instance": [(replace(SHOWN, ipv4="127.0.0.9", ip_addresses=("127.0.0.9", "127.0.0.1")), {})]}
    ),
    "no address": LiveAccount({"instance": [(replace(SHOWN, ipv4=None, ip_addresses=()), {})]}),
    "another address": LiveAccount({"instance": [(replace(SHOWN, ipv4="127.0.0.9", ip_addresses=("127.0.0.9",)), {})]}),
    "two machines": LiveAccount(
        {"instance": [(replace(SHOWN, label=each, ipv4="127.0.0.9", ip_addresses=("127.0.0.9",)), {}) for each in ("web", "db")]}
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("listings", "ends", "moves"),
    [
        (["complete"], [], []),
        (["complete", "complete"], ["a"], []),
        (["complete", "incomplete", "complete"], ["a"], []),
        (["complete", "there", "complete"], [], []),
        (["incomplete"] * 3, [], []),
        (["without identifiers"] * 3, [], []),
        (["two addresses", "no address"], [], []),
        (["another address"], [], [("a", "127.0.0.9")]),
        (["two machines"], [], []),
    ],
)
def test_what_listings_prove(
    listings: list[str], ends: list[str], moves: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two complete listings without a machine prove that it is gone; one with another address, that it moved."""
    watch = ReachabilityWatch([SshTarget("web", "a", "127.0.0.1")], "ssh")
    ended: list[str] = []
    moved: list[Any] = []
    monkeypatch.setattr(watch, "give_up", ended.append)
    monkeypatch.setattr(watch, "move", lambda *place: moved.append(place))
    follower = reach_wait.ReachWait(watch, 0.0, time.monotonic)
    for name in listings:
        follower._follow(watch.targets[0], LISTINGS[name])
    assert (ended, moved) == (ends, moves)


# --- known_hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-\xff\xfe\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n" + b"\0" * 64,
        b"SSH-2.0-OpenSSH_9.6\r\n\0\0\0\x0c\x07\x14abc" + b"\0" * 7,
        b"SSH-2.0-OpenSSH_9.6\r\n" + bytes(range(256)) * 20,
        b"SSH-2.0-" + b"x" * 3000 + b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_is_no_ssh_server(hosts: Hosts, tmp_path: Path, text: bytes) -> None:
    """Whatever answers instead of an SSH server, it has a reason, and the other machines are still watched."""
    port = free_port()
    hosts.serve_text("127.0.0.1", port, text)
    odd = SshTarget("odd", "a", "127.0.0.1", Connection(port=port))
    watch = ReachabilityWatch([odd], "ssh", KnownHosts(tmp_path / "known_hosts"))
    watch.start()
    try:
        wait_until(lambda: watch.states["a"].detail != "no answer yet" or not watch._thread.is_alive())
        assert watch._thread.is_alive()
        assert watch.states["a"].detail.isprintable()
        assert not watch.states["a"].reached
    finally:
        watch.stop()


def watched(
    hosts: Hosts, known: KnownHosts, *targets: SshTarget, level: ReachLevel = "ssh"
) -> list[ReachState]:
    """The states of machines once each is settled or has been tried."""
    watch = ReachabilityWatch(targets, level, known)
    watch.start()
    try:
        wait_until(lambda: all(each.detail != "no answer yet" for each in watch.states.values()))
    finally:
        watch.stop()
    return [watch.states[each.identifier] for each in targets]


def test_late_greeting(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that greets late, as sshd does when it looks up names, is usable; others are watched meanwhile."""
    monkeypatch.setattr(reachability, "ATTEMPT_S", 0.5)
    port = free_port()
    hosts.serve_late("127.0.77.2", port, 1.5)
    late = SshTarget("late", "a", "127.0.77.2", Connection(port=port))
    prompt = SshTarget("prompt", "b", "127.0.77.3", Connection(port=hosts.serve_ssh("127.0.77.3")))
    watch = ReachabilityWatch([late, prompt], "ssh", KnownHosts(tmp_path / "known_hosts"))
    watch.start()
    try:
        wait_until(lambda: watch.states["a"].detail != "no answer yet")
        assert watch.states["a"].detail == (
            f"127.0.77.2:{port} accepts the connection, and sends no SSH greeting within 0.5 s"
        )
        wait_until(lambda: not watch.waiting())
    finally:
        watch.stop()
    assert watch.states["a"].reached
    assert watch.states["b"].reached


def test_no_greeting(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never greets is tried again after a limit, which the message names."""
    monkeypatch.setattr(reachability, "ANSWER_S", 0.5)
    port = free_port()
    hosts.serve_text("127.0.77.2", port, None)
    target = SshTarget("web", "a", "127.0.77.2", Connection(port=port))
    (state,) = watched(hosts, KnownHosts(tmp_path / "known_hosts"), target)
    assert not state.final
    assert state.detail == f"127.0.77.2:{port} accepts the connection, and sends no SSH greeting within 0.5 s"


def test_connection_to_a_machine_that_restarted(
    hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system asks over a silent connection whether the machine still knows it: a restarted one does not."""
    opened: list[Any] = []
    ask = reachability._ask_in_silence

    def note(connected: Any) -> None:
        ask(connected)
        opened.append({name: connected.getsockopt(*option) for name, option in options.items()})

    options = {
        "asks": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        "after": (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", socket.TCP_KEEPINTVL)),
        "every": (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    }
    monkeypatch.setattr(reachability, "_ask_in_silence", note)
    port = hosts.serve_ssh("127.0.77.2")
    target = SshTarget("web", "a", "127.0.77.2", Connection(port=port))
    watched(hosts, KnownHosts(tmp_path / "known_hosts"), target)
    assert opened[0] == {"asks": 1, "after": 5, "every": 5}


UNUSABLE_FILES: dict[str, Callable[[Path], object]] = {
    "Latin-1": lambda path: path.write_bytes(b"# caf\xe9\n"),
    "a folder": lambda path: path.mkdir(),
    "a folder that is a file": lambda path: (path.parent / "not").write_text(""),
}


@pytest.mark.parametrize("name", UNUSABLE_FILES)
def test_unusable_file(name: str, hosts: Hosts, tmp_path: Path) -> None:
    """If known_hosts cannot be used, the message blames this file and not the machine, and nothing is waited for."""
    path = tmp_path / "config" / ("not/known_hosts" if name == "a folder that is a file" else "known_hosts")
    (tmp_path / "config").mkdir()
    UNUSABLE_FILES[name](tmp_path / "config" / "known_hosts")
    port = hosts.serve_ssh("127.0.77.2")
    (state,) = watched(hosts, KnownHosts(path), SshTarget("web", "a", "127.0.77.2", Connection(port=port)))
    assert (state.reached, state.final) == (False, True)
    assert state.detail.startswith(f"{path} cannot be ")


def test_held_lock(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the lock, the message says so, and the wait can be ended."""
    monkeypatch.setattr("lcnb.changes.known_hosts.LOCK_TIMEOUT_S", 0.1)
    port = hosts.serve_ssh("127.0.77.2")
    known = KnownHosts(tmp_path / "known_hosts")
    with FileLock(tmp_path / ".known_hosts.lock"):
        (state,) = watched(hosts, known, SshTarget("web", "a", "127.0.77.2", Connection(port=port)))
    assert not state.final
    assert state.detail.endswith(f"its host key is not recorded yet: another process writes {known.path}")
    assert known_hosts.LOCK_TIMEOUT_S < reachability.ANSWER_S


def test_rsa_key(hosts: Hosts, tmp_path: Path) -> None:
    """A server with an RSA key only is recognized by its recorded key."""
    known = KnownHosts(tmp_path / "known_hosts")
    target = SshTarget(
        "web", "a", "127.0.77.2", Connection(port=hosts.serve_ssh("127.0.77.2", kind="ssh-rsa"))
    )
    first, second = (watched(hosts, known, target)[0] for _ in range(2))
    assert first.detail == f"SSH answers; host key recorded in {known.path}"
    assert second.detail == f"SSH answers; host key as recorded in {known.path}"


def test_key_of_another_type(hosts: Hosts, tmp_path: Path) -> None:
    """A server that no longer has a key of the recorded type shows another key."""
    known = KnownHosts(tmp_path / "known_hosts")
    port = hosts.serve_ssh("127.0.77.2")
    known.record("127.0.77.2", port, "a", as_host_key(asyncssh.generate_private_key("ssh-rsa")))
    (state,) = watched(hosts, known, SshTarget("web", "a", "127.0.77.2", Connection(port=port)))
    assert state.final
    assert state.detail.startswith("its host key is not the one in line 1 of ")


@pytest.mark.parametrize("address", [None, "", "localhost", "fe80::1%eth0"])
def test_no_address(address: str | None, hosts: Hosts, tmp_path: Path) -> None:
    """A machine without an address is never taken for this machine, and is watched as soon as it has one."""
    port = hosts.serve_ssh("127.0.0.1")
    nowhere = SshTarget("new", "a", address, Connection(port=port))
    web = SshTarget("web", "b", "127.0.0.1", Connection(port=port))
    known = KnownHosts(tmp_path / "known_hosts")
    watch = ReachabilityWatch([nowhere, web], "ssh", known)
    watch.start()
    try:
        wait_until(lambda: watch.states["b"].reached)
        without = watch.states["a"]
        assert (without.reached, without.final, without.detail) == (False, False, "it has no address")
        watch.move("a", "127.0.0.1")
        wait_until(lambda: not watch.waiting())
    finally:
        watch.stop()
    assert watch.targets[0].address == "127.0.0.1"


def test_form_of_an_address(hosts: Hosts, tmp_path: Path) -> None:
    """The key of an IPv6 address is recorded under the form of the address by which ssh looks for it."""
    try:
        port = hosts.serve_ssh("::1")
    except OSError:
        pytest.skip("there is no IPv6")
    known = KnownHosts(tmp_path / "known_hosts")
    (state,) = watched(hosts, known, SshTarget("web", "a", "0:0:0:0:0:0:0:0001", Connection(port=port)))
    assert state.reached
    assert known.path.read_text().startswith(f"[::1]:{port} ")


def test_error_of_any_kind(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of asyncssh that nobody has foreseen is the problem of one machine."""
    port = hosts.serve_ssh("127.0.77.2")

    async def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(asyncssh, "get_server_host_key", fail)
    known = KnownHosts(tmp_path / "known_hosts")
    (state,) = watched(hosts, known, SshTarget("web", "a", "127.0.77.2", Connection(port=port)))
    assert state.detail == f"127.0.77.2:{port}: what it sends is not SSH: AssertionError"


def test_no_event_loop(hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no descriptors left for an event loop, the wait ends with the reason."""

    def fail(work: Coroutine[Any, Any, None]) -> None:
        work.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(asyncio, "run", fail)
    (state,) = watched(hosts, KnownHosts(tmp_path / "known_hosts"), SshTarget("web", "a", "127.0.77.2"))
    assert (state.final, state.detail) == (True, "it cannot be watched: Too many open files")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("encrypted", "Passphrase must be specified to import encrypted private keys. Without the tag, lcnb"),
        ("junk", "Invalid private key"),
        (None, "No such file or directory"),
    ],
)
def test_key_of_the_tag(content: str | None, reason: str, hosts: Hosts, tmp_path: Path) -> None:
    """A private key that cannot be used is the problem, not what the machine sends; nothing is waited for."""
    path = tmp_path / "key"
    if content == "encrypted":
        path.write_bytes(asyncssh.generate_private_key("ssh-rsa").export_private_key("pkcs1-pem", "secret"))
    elif content:
        path.write_text(content)
    port = hosts.serve_ssh("127.0.77.2")
    known = KnownHosts(tmp_path / "known_hosts")
    target = SshTarget("web", "a", "127.0.77.2", Connection(port=port, key=str(path)))
    (state,) = watched(hosts, known, target, level="cloud-init")
    assert state.final
    assert state.detail.startswith(f"the key {path} of the tag ssh-key cannot be used: {reason}")


def test_new_keys_at_the_first_start(hosts: Hosts, tmp_path: Path) -> None:
    """While cloud-init has not ended, nothing is recorded: it may replace the host keys of the image."""
    path = tmp_path / "key"
    path.write_bytes(hosts.user_key.export_private_key("openssh"))
    hosts.cloud_init = ["status: running\n"]
    known = KnownHosts(tmp_path / "known_hosts")
    target = SshTarget(
        "web", "a", "127.0.77.2", Connection(port=hosts.serve_ssh("127.0.77.2"), key=str(path))
    )
    (state,) = watched(hosts, known, target, level="cloud-init")
    assert state.detail == "SSH answers; cloud-init: running"
    assert not known.path.exists()
