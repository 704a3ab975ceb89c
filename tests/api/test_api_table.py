"""The API page's endpoint table, row by row, against the sandbox over real HTTP.

Each row is called by `curl` as a person would type it (and by httpx, for machines without curl), with its
fields as JSON, as an urlencoded form and as a multipart form with Laravel's `_method`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from conftest import TOKEN
from lcnb.sandbox import Clock, Sandbox, World, serve_in_thread

VERSION = "application/vnd.letscloud.v1+json"
KEY = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
NEW = {
    "location_slug": "mia1",
    "plan_slug": "1vcpu-1gb-10ssd",
    "hostname": "new.example.com",
    "label": "new",
    "image_slug": "ubuntu-24.04-x86_64",
    "password": "Str0ng-Passw0rd",
}

# Method, path, body, and what comes back: the message, or what `data` is (a word that DATA explains).
TABLE = [
    ("GET", "/profile", {}, "profile"),
    ("GET", "/locations", {}, "locations"),
    ("GET", "/locations/MIA1/plans", {}, "plans"),
    ("GET", "/locations/mia1/images", {}, "images"),
    ("GET", "/sshkeys", {}, "sshkeys"),
    ("GET", "/sshkeys/{key}", {}, "sshkey"),
    ("POST", "/sshkeys", {"title": "My Project 1", "key": KEY.decode()}, "new sshkey"),
    ("POST", "/sshkeys", {"title": "My Project 1"}, "new pair"),
    ("DELETE", "/sshkeys", {"slug": "{key}"}, "SSH Key was successfully deleted!"),
    ("GET", "/instances", {}, "instances"),
    ("GET", "/instances/{instance}", {}, "instance"),
    ("POST", "/instances", NEW, "Instance successfully created"),
    ("POST", "/instances", NEW | {"password": "", "ssh_slug": "{key}"}, "Instance successfully created"),
    ("DELETE", "/instances/{instance}", {}, "Instance successfully deleted"),
    ("PUT", "/instances/{instance}/power-on", {}, "The instance is turning ON"),
    ("PUT", "/instances/{instance}/power-off", {}, "The instance is turning OFF."),
    ("PUT", "/instances/{instance}/reboot", {}, "The instance is rebooting"),
    ("POST", "/instances/{instance}/shutdown", {}, "The instance is shutting down"),
    ("PUT", "/instances/{instance}/reset-password", {"password": "N3w-Passw0rd!"}, "The password was changed successfully."),
    ("PUT", "/instances/{instance}/change-plan", {"plan_slug": "2vcpu-4gb-30ssd"}, "The plan is being changed"),
    ("GET", "/snapshots", {}, "snapshots"),
    ("GET", "/snapshots/{snapshot}", {}, "snapshot"),
    ("GET", "/snapshots/status/{snapshot}", {}, "snapshot status"),
    ("POST", "/instances/{instance}/snapshots", {"label": "before upgrade"}, "new snapshot"),
    ("PUT", "/snapshots/{snapshot}", {"label": "renamed"}, "Snapshot successfully updated"),
    ("DELETE", "/snapshots/{snapshot}", {}, "Snapshot successfully deleted!"),
]  # fmt: skip

DATA: dict[str, Callable[[Any], bool]] = {
    "profile": lambda data: isinstance(data["balance"], str) and data["currency"] in ("$", "R$"),
    "locations": lambda data: [each["slug"] for each in data][:2] == ["MIA1", "MIA2"],
    "plans": lambda data: data[0]["slug"] == "MIA1" and data[0]["plans"][0]["monthly_value"] == "5.40",
    "images": lambda data: {"slug", "distro", "os"} == set(data[0]),
    "sshkeys": lambda data: {"slug", "title", "public_key"} == set(data[0]),
    "sshkey": lambda data: data["public_key"].startswith("ssh-ed25519 "),
    "new sshkey": lambda data: data["slug"] == "my-project-1" and "private_key" not in data,
    "new pair": lambda data: data["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----\r\n"),
    "instances": lambda data: len(data) == 60 and data[0]["initial_root_password"] != "",
    "instance": lambda data: (
        len(data["identifier"]) in (14, 16) and {"address"} == set(data["ip_addresses"][0])
    ),
    "snapshots": lambda data: isinstance(data[0]["locations"], list),
    "snapshot": lambda data: data["build"] is True,
    "snapshot status": lambda data: data["build"] is True,
    "new snapshot": lambda data: data["build"] is False and data["label"] == "before upgrade",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[Sandbox, str]]:
    sandbox = Sandbox(World(Clock(0)), TOKEN)
    with serve_in_thread(sandbox) as base_url:
        yield sandbox, base_url


@pytest.fixture
def fresh(endpoint: tuple[Sandbox, str]) -> tuple[Sandbox, str]:
    """The served sandbox with its first day again."""
    sandbox, base_url = endpoint
    sandbox.world = World(Clock(0))
    sandbox.log.clear()
    return sandbox, base_url


def by_curl(method: str, url: str, headers: dict[str, str], body: tuple[str, Any] | None) -> tuple[int, Any]:
    command = ["curl", "-sS", "-X", method, url, "-w", "\n%{http_code}"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    if body is not None and body[0] == "raw":
        command += ["--data-binary", body[1]]
    elif body is not None:
        option = "--data-urlencode" if body[0] == "form" else "--form-string"
        for name, value in body[1].items():
            command += [option, f"{name}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


def by_httpx(method: str, url: str, headers: dict[str, str], body: tuple[str, Any] | None) -> tuple[int, Any]:
    kind, content = body or ("none", None)
    arguments: dict[str, Any] = {}
    if kind == "raw":
        arguments["content"] = content
    elif kind == "form":
        arguments["data"] = content
    elif kind == "multipart":
        arguments["files"] = {name: (None, value) for name, value in content.items()}
    reply = httpx.request(method, url, headers=headers, trust_env=False, **arguments)
    return reply.status_code, reply.json()


SENDERS = [
    pytest.param(by_curl, id="curl", marks=pytest.mark.skipif(not shutil.which("curl"), reason="no curl")),
    pytest.param(by_httpx, id="httpx"),
]


def calls() -> Iterator[Any]:
    """Each row in each encoding that it can have: `null` stands for no fields, forms are sent by POST."""
    for method, path, fields, expected in TABLE:
        encodings = [
            "json",
            *([] if fields else ["null"]),
            *([] if method == "GET" else ["form", "multipart"]),
        ]
        for encoding in encodings:
            yield pytest.param(
                encoding, method, path, fields, expected, id=f"{method} {path} {encoding} {expected[:12]}"
            )


def names(sandbox: Sandbox) -> dict[str, str]:
    world = sandbox.world
    machine = next(each for each in world.machines if each["built"] and each["booted"] and not each["locked"])
    return {
        "instance": machine["identifier"],
        "key": world.sshkeys[0]["slug"],
        "snapshot": world.snapshots[0]["slug"],
    }


def filled(text: str, places: dict[str, str]) -> str:
    return text.format(**places) if text.startswith(("/", "{")) else text


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(("encoding", "method", "path", "fields", "expected"), list(calls()))
def test_row(
    fresh: tuple[Sandbox, str],
    sender: Callable[..., tuple[int, Any]],
    encoding: str,
    method: str,
    path: str,
    fields: dict[str, str],
    expected: str,
) -> None:
    """The row answers as the page says, in each of the encodings that it names for bodies."""
    sandbox, base_url = fresh
    places = names(sandbox)
    url = base_url + filled(path, places)
    sent = {name: filled(value, places) for name, value in fields.items()}
    headers = {"api-token": TOKEN, "Accept": VERSION}
    body: tuple[str, Any] | None
    if encoding == "json":
        headers["Content-Type"] = "application/json"
        body = ("raw", json.dumps(sent)) if sent else None
    elif encoding == "null":
        body = ("raw", "null")
    else:
        if method != "POST":
            sent["_method"], method = method, "POST"
        body = (encoding, sent or {"unused": "1"})

    status, reply = sender(method, url, headers, body)

    assert (status, reply["success"]) == (200, True), reply
    if expected in DATA:
        assert DATA[expected](reply["data"]), reply["data"]
    else:
        assert reply["message"] == expected
        assert "data" not in reply


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("header", ["Accept", "Content-Type"])
@pytest.mark.parametrize(("version", "status"), [("v1", 200), ("v2", 400)])
def test_version_header(
    fresh: tuple[Sandbox, str],
    sender: Callable[..., tuple[int, Any]],
    header: str,
    version: str,
    status: int,
) -> None:
    """The version may stand in Accept or in the Content-Type of a JSON body; a version that is not there is refused."""
    _, base_url = fresh
    headers = {"api-token": TOKEN, "Content-Type": "application/json"}
    headers[header] = f"application/vnd.letscloud.{version}+json"
    body = ("raw", json.dumps(NEW))
    assert sender("POST", f"{base_url}/instances", headers, body)[0] == status


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
def test_token(fresh: tuple[Sandbox, str], sender: Callable[..., tuple[int, Any]], token: str) -> None:
    """A missing or wrong token is answered 401 with `success: false`."""
    _, base_url = fresh
    status, reply = sender("GET", f"{base_url}/profile", {"api-token": token} if token else {}, None)
    assert (status, reply) == (401, {"success": False, "message": "Unauthorized"})


@pytest.mark.parametrize("path", ["/plans", "/images", "/ssh-keys", "/account", "/instances/{instance}/start", "/v2/x"])  # fmt: skip
def test_what_is_no_endpoint(fresh: tuple[Sandbox, str], path: str) -> None:
    """What some pages name but no client uses is not there."""
    sandbox, base_url = fresh
    status, reply = by_httpx("GET", base_url + path.format(**names(sandbox)), {"api-token": TOKEN}, None)
    assert (status, reply["success"]) == (404, False)


def test_limit_headers(fresh: tuple[Sandbox, str]) -> None:
    """Every answer tells the limit and what is left of it."""
    _, base_url = fresh
    reply = httpx.get(f"{base_url}/profile", headers={"api-token": TOKEN}, trust_env=False)
    assert reply.headers["x-ratelimit-limit"] == "5000"
    assert int(reply.headers["x-ratelimit-remaining"]) < 5000
