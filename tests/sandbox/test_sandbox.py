"""How the sandbox behaves: over time (its clock is turned by hand), in each shape, and as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TOKEN
from lcnb.sandbox import Clock, Request, Sandbox, World, start
from lcnb.sandbox.shapes import SHAPES

NEW = {
    "location_slug": "MIA1",
    "plan_slug": "1vcpu-1gb-10ssd",
    "hostname": "new.example.com",
    "label": "new",
    "image_slug": "ubuntu-24.04-x86_64",
    "password": "Str0ng-Passw0rd",
}


def ask(sandbox: Sandbox, method: str, path: str, fields: Any = None) -> tuple[int, Any]:
    body = b"" if fields is None else json.dumps(fields).encode()
    reply = sandbox.handle(Request(method, f"/api{path}", {"api-token": TOKEN}, body))
    return reply.status, json.loads(reply.body) if reply.body else None


def turn(sandbox: Sandbox, seconds: float) -> None:
    sandbox.world.clock.turn(seconds)
    sandbox.world.catch_up()


def machine(sandbox: Sandbox, label: str) -> Any:
    rows = ask(sandbox, "GET", "/instances")[1]["data"]
    return next((row for row in rows if row["label"] == label), None)


def running_one(sandbox: Sandbox) -> Any:
    rows = ask(sandbox, "GET", "/instances")[1]["data"]
    return next(row for row in rows if row["booted"] and not row["locked"])


# --- the fleet at the start -----------------------------------------------------------------------------


def test_fleet(still: Sandbox) -> None:
    """At first there are 60 machines with labels of their own over 7 locations, in every state."""
    rows = ask(still, "GET", "/instances")[1]["data"]
    assert len(rows) == len({row["label"] for row in rows}) == 60
    assert len({row["location"]["slug"] for row in rows}) == 7
    assert any(row["suspended"] for row in rows)
    assert any(row["built"] and row["locked"] for row in rows)
    assert any(row["built"] and not row["booted"] and not row["suspended"] for row in rows)
    assert {bool(row["identifier"]) for row in rows if not row["built"]} == {True, False}


def test_seed_decides() -> None:
    """The same seed gives the same account, another seed another one."""
    accounts = [World(Clock(0), number=number).save() for number in (1, 1, 2)]
    assert accounts[0] == accounts[1] != accounts[2]


# --- over time ------------------------------------------------------------------------------------------


def test_create_takes_time(still: Sandbox) -> None:
    """A new machine is absent, then building without identifier, then with addresses, then booted."""
    assert ask(still, "POST", "/instances", NEW)[1] == {
        "success": True,
        "message": "Instance successfully created",
    }
    seen = []
    for _ in range(120):
        row = machine(still, "new")
        stage = row and (bool(row["identifier"]), bool(row["ip_addresses"]), row["built"], row["booted"])
        if not seen or seen[-1] != stage:
            seen.append(stage)
        turn(still, 1)
    assert seen == [
        None,
        (False, False, False, False),
        (True, False, False, False),
        (True, True, False, False),
        (True, True, True, True),
    ]


@pytest.mark.parametrize(
    ("method", "path", "fields", "before", "after"),
    [
        ("PUT", "power-off", None, {"booted": True}, {"booted": False}),
        ("POST", "shutdown", None, {"booted": True}, {"booted": False}),
        ("PUT", "reboot", None, {"booted": True}, {"booted": True}),
        ("PUT", "power-on", None, {"booted": True}, {"booted": True}),
        ("PUT", "change-plan", {"plan_slug": "8vcpu-32gb-240ssd"}, {}, {"cpus": 8, "memory": 32768, "total_disk_size": 240}),
        ("PUT", "reset-password", {"password": "An0ther-Passw0rd"}, {}, {"initial_root_password": "An0ther-Passw0rd"}),
    ],
)  # fmt: skip
def test_action_locks(
    still: Sandbox, method: str, path: str, fields: Any, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """An action locks the machine for a while; meanwhile others are refused; then its effect is there."""
    row = running_one(still)
    where = f"/instances/{row['identifier']}"
    assert before.items() <= row.items()
    assert ask(still, method, f"{where}/{path}", fields)[1]["success"] is True
    assert ask(still, "GET", where)[1]["data"]["locked"] is True
    refused = ask(still, "PUT", f"{where}/power-off")
    assert refused == (200, {"success": False, "message": "The instance is locked, wait until the current action is finished."})  # fmt: skip
    turn(still, 200)
    now = ask(still, "GET", where)[1]["data"]
    assert {"locked": False, **after}.items() <= now.items()


def test_delete_takes_time(still: Sandbox) -> None:
    """A deleted machine is locked at first, then gone, and then not found."""
    where = f"/instances/{running_one(still)['identifier']}"
    ask(still, "DELETE", where)
    assert ask(still, "GET", where)[1]["data"]["locked"] is True
    turn(still, 60)
    assert ask(still, "GET", where) == (404, {"success": False, "message": "Instance not found."})


def test_snapshot_builds(still: Sandbox) -> None:
    """A snapshot is in the listing at once and is built after minutes."""
    row = running_one(still)
    made = ask(still, "POST", f"/instances/{row['identifier']}/snapshots", {"label": "s"})[1]["data"]
    assert made["build"] is False
    turn(still, 400)
    assert ask(still, "GET", f"/snapshots/{made['slug']}")[1]["data"]["build"] is True


def test_same_title_replaces(still: Sandbox) -> None:
    """A key of the same title replaces the old one, and its private half is told once."""
    first = ask(still, "POST", "/sshkeys", {"title": "My Project 1"})[1]["data"]
    second = ask(still, "POST", "/sshkeys", {"title": "My Project 1"})[1]["data"]
    assert first["slug"] == second["slug"] == "my-project-1"
    assert first["private_key"] != second["private_key"]
    stored = ask(still, "GET", "/sshkeys/my-project-1")[1]["data"]
    assert stored == {name: second[name] for name in ("slug", "title", "public_key")}


def test_e1_sizes_are_whole(still: Sandbox) -> None:
    """The size of a snapshot is a whole number of GB, of those at the start and of new ones."""
    for row in ask(still, "GET", "/instances")[1]["data"]:
        if row["built"] and not row["locked"] and not row["suspended"]:
            ask(still, "POST", f"/instances/{row['identifier']}/snapshots", {"label": "s"})
    sizes = [each["size"] for each in ask(still, "GET", "/snapshots")[1]["data"]]
    assert len(sizes) > 40
    assert all(type(size) is int and size >= 1 for size in sizes)


@pytest.mark.parametrize(
    ("method", "path", "fields", "accepted"),
    [
        ("PUT", "/power-off", None, True),
        ("POST", "/shutdown", None, True),
        ("PUT", "/power-on", None, False),
        ("PUT", "/reboot", None, False),
        ("PUT", "/reset-password", {"password": "An0ther-Passw0rd"}, False),
        ("PUT", "/change-plan", {"plan_slug": "8vcpu-32gb-240ssd"}, False),
        ("DELETE", "", None, False),
    ],
)
def test_e2_snapshot_at_once(still: Sandbox, method: str, path: str, fields: Any, accepted: bool) -> None:
    """A snapshot right after a power-off is accepted, and begins when that has ended; other actions refuse it."""
    where = f"/instances/{running_one(still)['identifier']}"
    ask(still, method, f"{where}{path}", fields)
    reply = ask(still, "POST", f"{where}/snapshots", {"label": "s"})[1]
    assert reply["success"] is accepted
    if not accepted:
        assert reply["message"].startswith("The instance is locked")
        return
    slug, seen = reply["data"]["slug"], []
    for _ in range(330):
        flags = ask(still, "GET", where)[1]["data"]
        seen.append(
            (flags["booted"], flags["locked"], ask(still, "GET", f"/snapshots/{slug}")[1]["data"]["build"])
        )
        turn(still, 1)
    assert list(dict.fromkeys(seen)) == [(True, True, False), (False, False, False), (False, False, True)]
    assert seen.index((False, False, True)) - seen.index((False, False, False)) >= 119


def test_e2_a_stuck_machine_takes_none(still: Sandbox) -> None:
    """A lock that never ends refuses a snapshot too, although a power-off was the cause."""
    where = f"/api/instances/{running_one(still)['identifier']}"
    still.handle(Request("PUT", f"{where}/power-off", {"api-token": TOKEN, "x-sandbox-fault": "stuck"}))
    assert (
        ask(still, "POST", f"{where.removeprefix('/api')}/snapshots", {"label": "s"})[1]["success"] is False
    )


def test_e5_pairs_of_the_provider(still: Sandbox, tmp_path: Path) -> None:
    """A pair made by the server is RSA with 1024 bits in PKCS#1 with CRLF, and its private half gives the public line."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    made = ask(still, "POST", "/sshkeys", {"title": "T", "type": "ed25519"})[1]["data"]
    lines = made["private_key"].split("\r\n")
    assert (lines[0], lines[-1]) == ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----")
    assert not any(mark in line for line in lines for mark in "\r\n")
    private = load_pem_private_key(made["private_key"].encode(), None)
    assert isinstance(private, RSAPrivateKey)
    assert private.key_size == 1024
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert made["public_key"] == f"{public} phpseclib-generated-key"


@pytest.mark.parametrize("path", ["/instances/{}", "/snapshots/{}", "/sshkeys/{}"])
@pytest.mark.parametrize("name", ["nobody", "Mq5VF63YAdCqXt4U", "0", "a%20b", "%2e"])
def test_e6_blank(path: str, name: str) -> None:
    """In the shape `blank` a GET of an unknown thing is a success without content; a write is refused as ever."""
    sandbox = Sandbox(World(Clock(0)), TOKEN, shapes="blank")
    assert ask(sandbox, "GET", path.format(name)) == (200, {"success": True, "data": {}})
    assert ask(sandbox, "DELETE", path.format(name), {"slug": name})[1]["success"] is False
    assert ask(sandbox, "GET", "/locations/XXX9/plans")[1]["success"] is False


def test_e7_identifiers(still: Sandbox) -> None:
    """Identifiers have 14 lower-case letters or 16 characters of mixed case; they are compared exactly."""
    worlds = [World(Clock(0), number=number, fleet=200) for number in (1, 2)]
    found = [each["identifier"] for world in worlds for each in world.machines]
    assert len(set(found) - {""}) == len(found) - found.count("")
    short = [each for each in found if re.fullmatch("[a-z]{14}", each)]
    mixed = [
        each
        for each in found
        if re.fullmatch("[A-Za-z0-9]{16}", each) and each not in (each.lower(), each.upper())
    ]
    assert min(len(short), len(mixed)) > 100
    assert len(short) + len(mixed) + found.count("") == len(found)
    for row in ask(still, "GET", "/instances")[1]["data"]:
        other = row["identifier"].swapcase()
        assert not other or ask(still, "GET", f"/instances/{other}")[0] == 404


def test_e7_tokens() -> None:
    """A token has the real form: 54 characters, `$2Y$10$` first, then upper-case letters and digits."""
    from lcnb.sandbox.seed import new_token

    assert all(re.fullmatch(r"\$2Y\$10\$[A-Z0-9]{47}", new_token()) for _ in range(50))
    assert len({new_token() for _ in range(50)}) == 50
    assert len(TOKEN) == 54
    assert TOKEN.startswith("$2Y$10$")


def test_e8_evidence_of_shapes() -> None:
    """Each shape says what it rests on; that numbers come as strings is an assumption."""
    assert "[?]" in SHAPES["strings"].partition(",")[0]
    assert all(re.search(r"\[[^]]+\]", text) for text in SHAPES.values())


CREATE_FORM = NEW | {"image_slug": "centos-74-x64", "label": "My Web Server", "hostname": "my-server"}


def _multipart(fields: dict[str, str], boundary: str = "------------------------8f1e") -> bytes:
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{parts}--{boundary}--\r\n".encode()


FORM = "boundary=------------------------8f1e"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (f"multipart/form-data; {FORM}", _multipart(CREATE_FORM)),
        # as curl sends the page's own example: it adds a boundary to the type that it is given
        (f"application/json; {FORM}", _multipart(CREATE_FORM)),
        (f"Application/JSON;{FORM}", _multipart(CREATE_FORM)),
        ("application/x-www-form-urlencoded", urlencode(CREATE_FORM).encode()),
        ("application/x-www-form-urlencoded; charset=UTF-8", urlencode(CREATE_FORM).encode()),
        ("application/vnd.letscloud.v1+json", json.dumps(CREATE_FORM).encode()),
        ("", json.dumps(CREATE_FORM).encode()),
    ],
)
def test_e9_forms(still: Sandbox, kind: str, body: bytes) -> None:
    """A create in each form of body that the provider's pages and clients show makes a machine of centos-74-x64."""
    reply = still.handle(Request("POST", "/api/instances", {"api-token": TOKEN, "content-type": kind}, body))
    assert json.loads(reply.body) == {"success": True, "message": "Instance successfully created"}
    turn(still, 300)
    row = machine(still, "My Web Server")
    assert (row["hostname"], row["template_label"]) == ("my-server", "CentOS 7.4 x64")
    assert row["initial_root_password"] == CREATE_FORM["password"]


@pytest.mark.parametrize("kind", [f"multipart/form-data; {FORM}", f"application/json; {FORM}"])
def test_e9_spoofed_methods(still: Sandbox, kind: str) -> None:
    """A POST whose form says `_method` is that method: a reset, a plan change, a rename, a delete."""
    identifier = running_one(still)["identifier"]
    snapshot = ask(still, "GET", "/snapshots")[1]["data"][0]["slug"]
    for path, fields in [
        (f"/snapshots/{snapshot}", {"_method": "PUT", "label": "Your new label"}),
        (f"/snapshots/{snapshot}", {"_method": "DELETE"}),
        (f"/instances/{identifier}/reset-password", {"password": "NewSecurePassword123!", "_method": "PUT"}),
    ]:
        headers = {"api-token": TOKEN, "content-type": kind}
        reply = still.handle(Request("POST", f"/api{path}", headers, _multipart(fields)))
        assert json.loads(reply.body)["success"] is True
    assert [entry["method"] for entry in list(still.log)[-3:]] == ["PUT", "DELETE", "PUT"]


def test_e9_images(still: Sandbox) -> None:
    """The images that the provider's pages and clients name are offered at MIA1."""
    slugs = {each["slug"] for each in ask(still, "GET", "/locations/MIA1/images")[1]["data"]}
    named = {
        "ubuntu-24.04-x86_64",
        "centos-69-x64",
        "centos-74-x64",
        "fedora-27-x64",
        "freebsd-104-x64",
        "freebsd-111-x64",
    }
    assert named <= slugs


def test_balance_runs_down(still: Sandbox) -> None:
    """The balance falls with time; at zero all machines are suspended, and terminated three days later."""
    before = float(ask(still, "GET", "/profile")[1]["data"]["balance"])
    turn(still, 3600)
    after = float(ask(still, "GET", "/profile")[1]["data"]["balance"])
    assert 0 < after < before
    turn(still, 3600 * 24 * 60)
    rows = ask(still, "GET", "/instances")[1]["data"]
    assert all(row["suspended"] for row in rows)
    turn(still, 3600 * 24 * 4)
    assert ask(still, "GET", "/instances")[1]["data"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"location_slug": "XXX9"}, "Location not found."),
        ({"location_slug": "LON1"}, "The location is not available."),
        ({"plan_slug": "99vcpu"}, "The plan is not available in this location."),
        ({"image_slug": "beos"}, "The image is not available in this location."),
        ({"hostname": "-bad-"}, "The hostname is invalid."),
        ({"password": "short"}, "The password must have 12 to 32 characters with an uppercase, a lowercase, a number and a special."),
        ({"password": ""}, "A password or an SSH key is required."),
        ({"label": ""}, "The label field is required."),
        ({"label": ["x"]}, "The label must be a string."),
        ({"label": "x" * 300}, "The label may not be greater than 255 characters."),
        ({"password": "", "ssh_slug": "no-such"}, "SSH Key not found."),
    ],
)  # fmt: skip
def test_create_is_checked(still: Sandbox, change: dict[str, Any], message: str) -> None:
    """A create with a wrong field is refused with words, and makes nothing."""
    assert ask(still, "POST", "/instances", NEW | change)[1] == {"success": False, "message": message}
    turn(still, 300)
    assert machine(still, "new") is None


def test_labels_are_not_unique(still: Sandbox) -> None:
    """Two creates of one label make two machines, as with the provider: uniqueness is the client's care."""
    ask(still, "POST", "/instances", NEW)
    ask(still, "POST", "/instances", NEW)
    turn(still, 200)
    rows = ask(still, "GET", "/instances")[1]["data"]
    assert len({row["identifier"] for row in rows if row["label"] == "new"}) == 2


# --- limits and log -------------------------------------------------------------------------------------


def test_rate_limit() -> None:
    """Calls beyond the limit are answered 429 with Retry-After, until the window has passed."""
    sandbox = Sandbox(World(Clock(0)), TOKEN, rate_limit=3)
    request = Request("GET", "/api/profile", {"api-token": TOKEN})
    assert [sandbox.handle(request).status for _ in range(5)] == [200, 200, 200, 429, 429]
    limited = sandbox.handle(request)
    assert limited.headers["X-RateLimit-Remaining"] == "0"
    assert int(limited.headers["Retry-After"]) == 3600
    turn(sandbox, 3600)
    assert sandbox.handle(request).status == 200


def test_log_masks(still: Sandbox) -> None:
    """The log tells each call and whether it was committed, with passwords as stars."""
    ask(still, "POST", "/instances", NEW)
    ask(still, "POST", "/instances", NEW | {"label": ""})
    reply = still.handle(Request("GET", "/_sandbox/log", {"api-token": TOKEN}))
    entries = json.loads(reply.body)
    assert [entry.get("committed", False) for entry in entries] == [True, False]
    assert NEW["password"] not in reply.body.decode()


def test_advance(still: Sandbox) -> None:
    """The control side turns the clock forward, and nothing else."""
    headers = {"api-token": TOKEN}
    before = still.world.now()
    assert still.handle(Request("POST", "/_sandbox/advance", headers, b'{"seconds": 60}')).status == 200
    assert still.world.now() == before + 60
    for body in (b'{"seconds": -1}', b'{"seconds": "x"}', b"nonsense", b"[]", b'{"seconds": 1e400}'):
        assert still.handle(Request("POST", "/_sandbox/advance", headers, body)).status == 400
    assert still.handle(Request("POST", "/_sandbox/advance", {}, b'{"seconds": 1}')).status == 401


# --- shapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "path", "holds"),
    [
        ("list", "/instances", lambda reply: isinstance(reply["data"], list)),
        ("object", "/instances", lambda reply: isinstance(reply["data"], dict) and len(reply["data"]) == 60),
        ("object", "/locations/MIA1/images", lambda reply: isinstance(reply["data"], list)),
        ("object", "/locations", lambda reply: isinstance(reply["data"], list)),
        ("object", "/sshkeys", lambda reply: isinstance(reply["data"], list)),
        ("object", "/snapshots", lambda reply: isinstance(reply["data"], list)),
        ("object", "/locations/MIA1/plans", lambda reply: set(reply["data"]["plans"]["0"]) >= {"slug", "core"}),
        ("missing", "/instances", lambda reply: not {"suspended", "location"} & set(reply["data"][0])),
        ("missing", "/locations", lambda reply: "available" not in reply["data"][0]),
        ("missing", "/locations/MIA1/plans", lambda reply: "currencycode" not in reply["data"][0]["plans"][0]),
        ("strings", "/instances", lambda reply: isinstance(reply["data"][0]["memory"], str)),
        ("strings", "/instances", lambda reply: isinstance(reply["data"][0]["ip_addresses"][0], str)),
        ("extra", "/instances", lambda reply: {"created_at", "price_per_hour"} <= set(reply["data"][0])),
        ("extra", "/instances", lambda reply: reply["data"][0]["domain"] == "localdomain"),
        ("paged", "/instances", lambda reply: len(reply["data"]) == 50 and reply["meta"]["total"] == 60),
    ],
)  # fmt: skip
def test_e4_shape(shapes: str, path: str, holds: Any) -> None:
    """Each documented alternative is answered when it is asked for."""
    sandbox = Sandbox(World(Clock(0)), TOKEN, shapes=shapes)
    assert holds(ask(sandbox, "GET", path)[1])


def test_empty_account() -> None:
    """An account without a key answers 200 with `success: false`; empty listings are lists, or null."""
    empty = Sandbox(World(Clock(0), fleet=0), TOKEN)
    assert ask(empty, "GET", "/sshkeys") == (200, {"success": False, "message": "No SSH Keys found."})
    assert ask(empty, "GET", "/instances") == (200, {"success": True, "data": []})
    null = Sandbox(World(Clock(0), fleet=0), TOKEN, shapes="null")
    assert ask(null, "GET", "/instances") == (200, {"success": True})


@pytest.mark.parametrize(
    ("shapes", "method", "path", "fields", "status"),
    [
        ("newer", "POST", "/instances", NEW, 201),
        ("newer", "POST", "/instances", NEW | {"label": ""}, 422),
        ("newer", "GET", "/instances/none", None, 404),
        ("classic", "GET", "/instances/none", None, 200),
    ],
)
def test_statuses(shapes: str, method: str, path: str, fields: Any, status: int) -> None:
    """The statuses of the reference and of the newer pages can both be had."""
    assert ask(Sandbox(World(Clock(0)), TOKEN, shapes=shapes), method, path, fields)[0] == status


def test_unknown_shape() -> None:
    """A shape that is not there is named, with those that are."""
    with pytest.raises(ValueError, match=r"unknown shape 'lists'; the shapes are: list, object"):
        Sandbox(World(Clock(0)), TOKEN, shapes="object,lists")


PATHS = st.sampled_from(
    ["/profile", "/locations", "/locations/MIA1/plans", "/sshkeys", "/sshkeys/x", "/instances", "/instances/x",
     "/instances/x/power-on", "/instances/{}/snapshots", "/instances/{}/change-plan", "/instances/{}", "/snapshots",
     "/snapshots/x", "/%00", "//", "/instances/%2e%2e", "/instances/%ff"]
)  # fmt: skip
TYPES = st.sampled_from(
    ["", "application/json", "multipart/form-data; boundary=b", "multipart/form-data", "application/x-www-form-urlencoded"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(
    st.sampled_from([*NEW, "slug", "title", "key", "type", "ssh_slug", "_method", "page", "per_page"]), JSON
)


@settings(max_examples=200, deadline=None)
@given(
    shapes=st.lists(st.sampled_from(sorted(SHAPES)), max_size=3).map(",".join),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]),
    path=PATHS,
    kind=TYPES,
    body=st.binary(max_size=60) | FIELDS.map(lambda fields: json.dumps(fields).encode()),
    query=st.sampled_from(["", "page=2", "page=x", "per_page=-1", "page=1&page=%ff"]),
)
def test_never_breaks(shapes: str, method: str, path: str, kind: str, body: bytes, query: str) -> None:
    """Whatever arrives is answered with a JSON envelope and a status below 500."""
    sandbox = Sandbox(World(Clock(0), fleet=3), TOKEN, shapes=shapes)
    path = path.format(sandbox.world.machines[0]["identifier"])
    headers = {"api-token": TOKEN, "content-type": kind}
    reply = sandbox.handle(Request(method, f"/api{path}", headers, body, query))
    assert reply.status < 500
    assert not reply.body or isinstance(json.loads(reply.body), dict)


# --- as a process ---------------------------------------------------------------------------------------


def test_start_and_stop() -> None:
    """`start` gives a server that answers, and `stop` ends its process; a second stop does nothing."""
    with start(fleet=2) as server:
        reply = httpx.get(
            f"{server.base_url}/instances", headers={"api-token": server.token}, trust_env=False
        )
        assert len(reply.json()["data"]) == 2
        assert server.token not in repr(server)
        command = Path(f"/proc/{server.pid}/cmdline")
        if command.exists():
            assert server.token.encode() not in command.read_bytes()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.base_url, trust_env=False)


def test_ends_with_its_parent(tmp_path: Path) -> None:
    """A sandbox that a killed process had started ends by itself."""
    code = "from lcnb.sandbox.process import start; s = start(fleet=0); print(s.pid, flush=True); input()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin and parent.stdout
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()
    for _ in range(12_000):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return  # ended; nobody is left to fetch its exit code
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the sandbox outlived its parent")


def test_state_survives(tmp_path: Path) -> None:
    """With a state file a restarted sandbox has the same token, machines and work under way."""
    path = tmp_path / "state.json"
    with start(fleet=2, state=path, token=TOKEN) as server:
        headers = {"api-token": TOKEN}
        httpx.post(f"{server.base_url}/instances", json=NEW, headers=headers, trust_env=False)
    assert path.stat().st_mode & 0o077 == 0
    with start(state=path, token=TOKEN) as server:
        advance = server.base_url.replace("/api", "/_sandbox/advance")
        httpx.post(advance, json={"seconds": 300}, headers=headers, trust_env=False)
        rows = httpx.get(f"{server.base_url}/instances", headers=headers, trust_env=False).json()["data"]
    assert [row["label"] for row in rows if row["booted"]][-1] == "new"
    assert len(rows) == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"world": {}}', '{"world": null}', "\x00"])
def test_damaged_state(tmp_path: Path, text: str) -> None:
    """A file that is no state is refused with its name, and left as it is."""
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(OSError, match=r"state\.json: not a state file of the sandbox"):
        start(state=path)
    assert path.read_text() == text


def test_taken_port() -> None:
    """A taken port is one clear error that names it and the cure."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"port {port} on 127.0.0.1 is not available: .*0 selects a free one"
        ):
            start(port=port)


def test_first_line() -> None:
    """The first line that `lcnb sandbox` prints holds the base URL and the token; Ctrl-C ends it quietly.

    A shell that runs what the second line says has both, although the token contains `$`.
    """
    command = [sys.executable, "-m", "lcnb.sandbox", "--fleet", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        words = process.stdout.readline().split()
        base_url, token = words[2], words[4]
        assert (
            httpx.get(f"{base_url}/profile", headers={"api-token": token}, trust_env=False).status_code == 200
        )
        line = process.stdout.readline().removeprefix("in a shell: ")
        shown = 'printf "%s %s" "$LCNB_BASE_URL" "$LETSCLOUD_API_KEY"'
        assert (
            subprocess.run(["sh", "-c", f"{line}\n{shown}"], capture_output=True, text=True).stdout
            == f"{base_url} {token}"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(600) in (0, 130)
        assert process.stderr.read() == ""


def test_faster_clock() -> None:
    """`--speed` makes the world's seconds pass faster than ours."""
    ticks = iter([0.0, 10.0])
    assert Clock(6, source=lambda: next(ticks))() == 60
