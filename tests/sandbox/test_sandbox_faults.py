"""The sandbox's faults: what the world did, what the log says of it, and what a client over a socket gets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TOKEN, wait_until
from lcnb.cli.main import cli
from lcnb.sandbox import (
    FAULT_KINDS,
    Clock,
    FaultRule,
    Faults,
    Reply,
    Request,
    Sandbox,
    World,
    main,
    serve_in_thread,
    start,
)
from lcnb.sandbox.faults import FAULT_PARAMETERS

NEW = {
    "location_slug": "MIA1",
    "plan_slug": "1vcpu-1gb-10ssd",
    "hostname": "new.example.com",
    "label": "new",
    "image_slug": "ubuntu-24.04-x86_64",
    "password": "Str0ng-Passw0rd",
}
HEADERS = {"api-token": TOKEN}


def sandbox_with(*rules: FaultRule, seed: int = 0, fleet: int = 1, **options: Any) -> Sandbox:
    return Sandbox(World(Clock(0), fleet=fleet), TOKEN, faults=Faults(rules, seed), **options)


def ask(sandbox: Sandbox, method: str, path: str, fields: Any = None, fault: str = "") -> Reply:
    body = b"" if fields is None else json.dumps(fields).encode()
    headers = HEADERS | ({"x-sandbox-fault": fault} if fault else {})
    return sandbox.handle(Request(method, f"/api{path}", headers, body))


def turn(sandbox: Sandbox, seconds: float) -> None:
    sandbox.world.clock.turn(seconds)
    sandbox.catch_up()


def made(sandbox: Sandbox) -> int:
    """How many machines the world has that were not there at first."""
    return sum(machine["label"] == "new" for machine in sandbox.world.machines)


def rows(reply: Reply) -> list[Any]:
    return json.loads(reply.body)["data"]


# --- every kind, in-process -----------------------------------------------------------------------------

# The fault, whether a create under it is carried out, status and fate of the reply.
TABLE = [
    ("lose-before", False, 0, "lost"),
    ("lose-after", True, 0, "lost"),
    ("late", False, 0, "lost"),
    ("error-before", False, 503, ""),
    ("error-before; status=500", False, 500, ""),
    ("error-after", True, 503, ""),
    ("error-after; status=599", True, 599, ""),
    ("reset", False, 0, "reset"),
    ("reset; after=true", True, 0, "reset"),
    ("reset; after", True, 0, "reset"),
    ("truncate", True, 200, "truncated"),
    ("stall", False, 0, "stall"),
    ("stall; after=true; seconds=5", True, 0, "stall"),
    ("slow", False, 0, "slow"),
    ("slow; seconds=5; delay=9", False, 0, "slow"),
    ("slow; after", True, 0, "slow"),
    ("html", False, 502, ""),
    ("html; status=200", False, 200, ""),
    ("html; after=true", True, 502, ""),
    ("throttle", False, 429, ""),
    ("throttle; retry-after=7", False, 429, ""),
    ("stuck", True, 200, ""),
]


def test_table_is_whole() -> None:
    """Every kind that can befall a create stands in the table; the other one is a listing's."""
    assert {row[0].partition(";")[0] for row in TABLE} | {"lag"} == set(FAULT_KINDS) == set(FAULT_PARAMETERS)


@pytest.mark.parametrize(("fault", "committed", "status", "fate"), TABLE)
@pytest.mark.parametrize("way", ["header", "script"])
def test_create(way: str, fault: str, committed: bool, status: int, fate: str) -> None:
    """Under each fault a create is carried out or not as its kind says, and the log tells which."""
    sandbox = sandbox_with(*([FaultRule.of_header(fault)] if way == "script" else []))
    reply = ask(sandbox, "POST", "/instances", NEW, fault if way == "header" else "")
    assert (reply.status, reply.fate) == (status, fate)
    assert made(sandbox) == committed
    (entry,) = sandbox.log
    wanted = {"fault": fault.partition(";")[0], "committed": committed, "status": status, "method": "POST"}
    assert wanted.items() <= entry.items()
    assert entry["body"] == NEW | {"password": "*****"}


@pytest.mark.parametrize("fault", [row[0] for row in TABLE if row[1]])
def test_refused_is_not_committed(fault: str) -> None:
    """A create that the world refuses is not committed, whatever becomes of the reply."""
    sandbox = sandbox_with(FaultRule.of_header(fault))
    ask(sandbox, "POST", "/instances", NEW | {"label": ""})
    assert (made(sandbox), sandbox.log[0]["committed"]) == (0, False)


@pytest.mark.parametrize("fault", [row[0] for row in TABLE if not row[0].startswith(("late", "stuck"))])
def test_reads(fault: str) -> None:
    """Reads meet faults too; their entries have no `committed`."""
    sandbox = sandbox_with(FaultRule.of_header(fault))
    reply = ask(sandbox, "GET", "/profile")
    assert (reply.status, reply.fate) == next(row[2:] for row in TABLE if row[0] == fault)
    assert "committed" not in sandbox.log[0]


def test_bodies() -> None:
    """An error has the envelope, a page is HTML, a throttle tells Retry-After if asked, a cut body is half."""
    sandbox = sandbox_with()
    whole = ask(sandbox, "GET", "/instances")
    error, page, bare, told, dated, cut = (
        ask(sandbox, "GET", "/instances", fault=fault)
        for fault in (
            "error-after",
            "html",
            "throttle",
            "throttle; retry_after=7",
            "throttle; retry_after=Wed, 25 Nov 2026 07:28:00 GMT",
            "truncate",
        )
    )
    assert json.loads(error.body) == {"success": False, "message": "Service Unavailable"}
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert "Retry-After" not in bare.headers
    assert told.headers["Retry-After"] == "7"
    assert dated.headers["Retry-After"] == "Wed, 25 Nov 2026 07:28:00 GMT"
    assert cut.body == whole.body[: len(whole.body) // 2]
    assert cut.headers["Content-Length"] == str(len(whole.body))


# --- late commits ---------------------------------------------------------------------------------------


SLOW = [
    # The fault; whether the create is carried out at once, when the reply is there, and 20 s after it.
    ("slow; seconds=30", (False, True, True)),
    ("slow; seconds=0", (False, True, True)),
    ("slow; seconds=30; after", (True, True, True)),
    ("slow; seconds=30; delay=10", (False, False, True)),
]


@pytest.mark.parametrize(("fault", "steps"), SLOW)
def test_e3_slow(fault: str, steps: tuple[bool, bool, bool]) -> None:
    """A slow reply is the world's own, when it comes; the create is carried out before, with or after it."""
    sandbox = sandbox_with(FaultRule.of_header(fault), fleet=0)
    reply = ask(sandbox, "POST", "/instances", NEW)
    seen = [bool(sandbox.world.machines)]
    turn(sandbox, reply.seconds)
    assert reply.later is not None
    answer = reply.later()
    assert (answer.status, json.loads(answer.body)["success"]) == (200, True)
    seen.append(bool(sandbox.world.machines))
    turn(sandbox, 20)
    assert (*seen, bool(sandbox.world.machines)) == steps
    (entry,) = sandbox.log
    assert (entry["status"], entry["committed"]) == (200, True)


@pytest.mark.parametrize("delay", [0, 10])
def test_e3_slow_refusal(delay: float) -> None:
    """What the world refuses when the reply is due is answered so, and never carried out."""
    sandbox = sandbox_with(FaultRule("slow", seconds=30, delay=delay), fleet=0)
    reply = ask(sandbox, "POST", "/instances", NEW)
    sandbox.world.profile["balance"] = 0.0
    turn(sandbox, 30)
    assert reply.later is not None
    assert json.loads(reply.later().body)["success"] is False
    sandbox.world.profile["balance"] = 100.0
    turn(sandbox, 100)
    assert sandbox.world.machines == []
    assert (sandbox.log[0]["committed"], "due" in sandbox.log[0]) == (False, False)
    assert "balance" in sandbox.log[0]["refused"]


def test_e3_slow_without_a_client() -> None:
    """A write whose client has given up is carried out all the same, at its own moment."""
    sandbox = sandbox_with(FaultRule("slow", seconds=90), fleet=0)
    ask(sandbox, "POST", "/instances", NEW)
    turn(sandbox, 89)
    assert sandbox.world.machines == []
    turn(sandbox, 2)
    assert len(sandbox.world.machines) == 1
    assert sandbox.log[0]["committed_at"] == 90


def test_late() -> None:
    """A late commit happens in its own moment, and its entry then says when that was."""
    sandbox = sandbox_with(FaultRule("late", seconds=40), fleet=0)
    ask(sandbox, "POST", "/instances", NEW)
    assert sandbox.log[0]["due"] == 40
    turn(sandbox, 39)
    assert (made(sandbox), sandbox.log[0]["committed"]) == (0, False)
    turn(sandbox, 1000)
    assert sandbox.log[0]["committed"] is True
    assert sandbox.log[0]["committed_at"] == 40
    assert "due" not in sandbox.log[0]
    (machine,) = sandbox.world.machines
    assert machine["made_at"] == 40
    assert machine["booted"], "built at about 140, long ago when it was looked at"


def test_late_and_refused() -> None:
    """A late request that the world refuses when it comes is told as refused, with the world's words."""
    sandbox = sandbox_with(FaultRule("late", nth=1), rate_limit=5_000)
    (machine,) = sandbox.world.machines
    where = f"/instances/{machine['identifier']}"
    ask(sandbox, "PUT", f"{where}/reboot")
    ask(sandbox, "DELETE", where)
    turn(sandbox, 60)
    entry = sandbox.log[0]
    assert (entry["committed"], entry["refused"]) == (False, "Instance not found.")
    assert not {"due", "committed_at"} & entry.keys()


def test_late_ones_keep_their_order() -> None:
    """Late commits come by their moments, not in the order in which they arrived."""
    sandbox = sandbox_with(fleet=0)
    for seconds, label in ((50, "b"), (10, "a"), (90, "c")):
        ask(sandbox, "POST", "/instances", NEW | {"label": label}, f"late; seconds={seconds}")
    turn(sandbox, 60)
    assert [machine["label"] for machine in sandbox.world.machines] == ["a", "b"]
    turn(sandbox, 60)
    assert [machine["made_at"] for machine in sandbox.world.machines] == [10, 50, 90]


def test_late_is_kept() -> None:
    """The state is kept after a late commit as after any other."""
    kept: list[int] = []
    sandbox = sandbox_with(on_change=lambda world: kept.append(len(world.machines)), fleet=0)
    ask(sandbox, "POST", "/instances", NEW, "late")
    assert kept == []
    turn(sandbox, 30)
    assert kept == [1]


def test_state_that_cannot_be_kept() -> None:
    """A write whose state could not be kept stands in the log as committed and answered 500."""

    def fail(_: World) -> None:
        raise OSError(28, "No space left on device")

    sandbox = sandbox_with(on_change=fail)
    with pytest.raises(OSError, match="No space"):
        ask(sandbox, "POST", "/instances", NEW)
    assert {"committed": True, "status": 500}.items() <= sandbox.log[0].items()


# --- lag and stuck --------------------------------------------------------------------------------------


def test_lag() -> None:
    """A lagging listing does not show a young machine; the machine itself can be asked for, and is shown later."""
    sandbox = sandbox_with(FaultRule("lag", seconds=120), fleet=2)
    ask(sandbox, "POST", "/instances", NEW)
    turn(sandbox, 119)
    labels = [row["label"] for row in rows(ask(sandbox, "GET", "/instances"))]
    assert len(labels) == 2
    assert "new" not in labels
    identifier = sandbox.world.machines[-1]["identifier"]
    assert rows(ask(sandbox, "GET", f"/instances/{identifier}"))["label"] == "new"
    turn(sandbox, 1)
    assert "new" in [row["label"] for row in rows(ask(sandbox, "GET", "/instances"))]
    assert [entry.get("fault") for entry in sandbox.log] == [None, "lag", None, "lag"]


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("DELETE", "", None),
        ("PUT", "/power-off", None),
        ("POST", "/shutdown", None),
        ("PUT", "/reboot", None),
        ("PUT", "/change-plan", {"plan_slug": "8vcpu-32gb-240ssd"}),
        ("PUT", "/reset-password", {"password": "An0ther-Passw0rd"}),
    ],
)
def test_stuck_action(method: str, path: str, fields: Any) -> None:
    """An action that is stuck leaves its machine locked for ever, and other machines alone."""
    sandbox = sandbox_with(fleet=2)
    stuck, other = (f"/instances/{machine['identifier']}" for machine in sandbox.world.machines)
    reply = ask(sandbox, method, f"{stuck}{path}", fields, "stuck")
    ask(sandbox, "PUT", f"{other}/power-off")
    assert json.loads(reply.body)["success"] is True
    turn(sandbox, 86_400)
    assert rows(ask(sandbox, "GET", stuck))["locked"] is True
    assert rows(ask(sandbox, "GET", other))["locked"] is False


def test_stuck_create_and_snapshot() -> None:
    """A create that is stuck gets identifier and addresses and is never built; nor is a snapshot."""
    kept: list[Any] = []
    sandbox = sandbox_with(FaultRule("stuck"), on_change=lambda world: kept.append(json.dumps(world.save())))
    identifier = sandbox.world.machines[0]["identifier"]
    ask(sandbox, "POST", "/instances", NEW)
    ask(sandbox, "POST", f"/instances/{identifier}/snapshots", {"label": "s"})
    turn(sandbox, 86_400)
    restored = World(Clock(0), saved=json.loads(kept[-1]))
    restored.clock.turn(86_400)
    restored.catch_up()
    for world in (sandbox.world, restored):
        machine = world.machines[-1]
        assert machine["identifier"]
        assert machine["addresses"]
        assert (machine["built"], machine["booted"], world.snapshots[-1]["build"]) == (False, False, False)


# --- which requests are struck --------------------------------------------------------------------------


def fates(sandbox: Sandbox, calls: str) -> str:
    """A letter for each of the calls (g: GET, p: POST, of /sshkeys): x where it was lost, else a dot."""
    struck = ""
    for call in calls:
        method, fields = ("POST", {"title": "T", "key": ""}) if call == "p" else ("GET", None)
        struck += "x" if ask(sandbox, method, "/sshkeys", fields).fate else "."
    return struck


@pytest.mark.parametrize(
    ("rules", "calls", "struck"),
    [
        ([{}], "gpgp", "xxxx"),
        ([{"method": "POST"}], "gpgp", ".x.x"),
        ([{"method": "post|put"}], "gpgp", ".x.x"),
        ([{"method": "P"}], "gpgp", "...."),
        ([{"path": "^/sshkeys$"}], "gp", "xx"),
        ([{"path": "keys"}], "gp", "xx"),
        ([{"path": "^/instances"}], "gp", ".."),
        ([{"nth": 2}], "gggg", ".x.."),
        ([{"nth": 2, "method": "POST"}], "gpgpgp", "...x.."),
        ([{"times": 2}], "gggg", "xx.."),
        ([{"times": 1, "method": "POST"}], "gpp", ".x."),
        ([{"nth": 1}, {"nth": 3}], "gggg", "x.x."),
        ([{"times": 1}, {"times": 1}], "gggg", "xx.."),
        ([{"chance": 0}], "gggg", "...."),
        ([{"chance": 1}], "gggg", "xxxx"),
        ([{"nth": 2, "chance": 0}], "gggg", "...."),
    ],
)
def test_matching(rules: list[dict[str, Any]], calls: str, struck: str) -> None:
    """A rule strikes the requests that all its conditions name, and no other."""
    sandbox = sandbox_with(*(FaultRule("lose-before", **rule) for rule in rules))
    assert fates(sandbox, calls) == struck


def test_first_rule_wins() -> None:
    """Of two rules that strike, the first is taken; the second counts on."""
    sandbox = sandbox_with(FaultRule("html", times=1), FaultRule("throttle", nth=2))
    assert [ask(sandbox, "GET", "/profile").status for _ in range(3)] == [502, 429, 200]


def test_kinds_pass_over_what_they_cannot_befall() -> None:
    """A rule without conditions does not meet, nor count, the requests that its kind cannot befall."""
    sandbox = sandbox_with(FaultRule("late", nth=1), FaultRule("lag", nth=1), FaultRule("stuck", nth=2))
    ask(sandbox, "GET", "/profile")
    ask(sandbox, "POST", "/instances", NEW)
    ask(sandbox, "GET", "/instances")
    ask(sandbox, "POST", "/instances", NEW)
    assert [entry.get("fault") for entry in sandbox.log] == [None, "late", "lag", "stuck"]


def test_chance_is_seeded() -> None:
    """The same seed and requests meet the same faults, another seed others, and about as often as it says."""
    runs = [
        fates(sandbox_with(FaultRule("lose-before", chance=0.3), seed=seed), "g" * 500) for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert all(100 < run.count("x") < 200 for run in runs)


def test_rules_are_independent() -> None:
    """A rule's luck hangs on its own matching requests alone: a rule before it changes nothing of it."""
    alone, behind = (
        fates(sandbox_with(first, FaultRule("lose-before", chance=0.5)), "g" * 60)
        for first in (FaultRule("html", chance=0), FaultRule("html", path="^/sshkeys$", times=30, chance=0.4))
    )
    assert set(zip(alone, behind, strict=True)) == {("x", "x"), (".", "."), ("x", ".")}, (
        "html only takes its place"
    )


def test_trailing_slash() -> None:
    """A path is matched without a slash at its end, as it is routed."""
    sandbox = sandbox_with(FaultRule("html", path="/instances$"))
    assert ask(sandbox, "GET", "/instances/").status == 502


# --- ways in --------------------------------------------------------------------------------------------


def test_header_goes_before_the_script() -> None:
    """The header's fault is taken in place of the script's, and the script does not count that request."""
    sandbox = sandbox_with(FaultRule("html", nth=1))
    assert ask(sandbox, "GET", "/profile", fault="throttle").status == 429
    assert ask(sandbox, "GET", "/profile").status == 502


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "unknown fault 'nonsense'; the faults are: lose-before, lose-after, "),
        (" ", "unknown fault ''; the faults are: "),
        ("html; stats=500", "the fault 'html' has no parameter 'stats'; it has: status, after"),
        ("truncate; after", "the fault 'truncate' has no parameter 'after'; it has none"),
        ("html; chance=0.5", "the fault 'html' has no parameter 'chance'; it has: status, after"),
        ("html; status=302", "html: status 302: expected 200, or 400 to 599"),
        ("error-after; status=abc", "error-after: status 'abc': expected 500 to 599"),
        ("stall; seconds=NaN", "stall: seconds nan: expected a number from 0 to 1e9"),
        ("reset; after=perhaps", "reset: after 'perhaps': expected true or false"),
        ("late", "late does not apply to GET /profile"),
        ("lag", "lag does not apply to GET /profile"),
        ("stuck", "stuck does not apply to GET /profile"),
    ],
)
def test_bad_header(text: str, words: str) -> None:
    """A header that makes no sense is answered 400 with what is known, and nothing is carried out."""
    reply = ask(sandbox_with(), "GET", "/profile", fault=text)
    assert reply.status == 400
    assert json.loads(reply.body)["message"].startswith(f"X-Sandbox-Fault: {words}")


def test_token_goes_first() -> None:
    """A request without the token meets no fault, and counts for none."""
    sandbox = sandbox_with(FaultRule("html", nth=1))
    assert sandbox.handle(Request("GET", "/api/profile")).status == 401
    assert ask(sandbox, "GET", "/profile").status == 502


def test_limit_goes_last() -> None:
    """Only what reaches the world counts against the rate limit, and a limited write is not committed."""
    sandbox = sandbox_with(rate_limit=1)
    assert ask(sandbox, "POST", "/instances", NEW, "lose-before").fate == "lost"
    assert ask(sandbox, "POST", "/instances", NEW, "error-after").status == 503
    assert ask(sandbox, "POST", "/instances", NEW, "truncate").status == 429
    assert [entry["committed"] for entry in sandbox.log] == [False, True, False]
    assert made(sandbox) == 1


def control(sandbox: Sandbox, method: str, body: bytes = b"") -> tuple[int, Any]:
    reply = sandbox.handle(Request(method, "/_sandbox/faults", HEADERS, body))
    return reply.status, json.loads(reply.body)


def test_control() -> None:
    """A posted script replaces the one before, is told, takes itself in again, and `{}` ends it."""
    sandbox = sandbox_with(FaultRule("html"))
    status, told = control(sandbox, "POST", b'{"seed": 3, "rules": [{"kind": "late", "chance": 0.5}]}')
    assert (status, told) == (
        200,
        {"seed": 3, "rules": [{"kind": "late", "chance": 0.5, "seconds": 30.0}]},
    )
    assert control(sandbox, "POST", json.dumps(told).encode()) == control(sandbox, "GET") == (200, told)
    assert repr(sandbox.faults) == f"Faults.read({told!r})"
    assert control(sandbox, "POST", b"{}") == (200, {"seed": 0, "rules": []})
    assert ask(sandbox, "GET", "/profile").status == 200
    assert control(sandbox, "DELETE")[0] == 404
    assert sandbox.handle(Request("POST", "/_sandbox/faults", {}, b"{}")).status == 401


BAD_SCRIPTS = [
    ("{", "not JSON: "),
    ('{"rule": []}', "a script has no 'rule'; it has: seed, rules"),
    ('{"rules": {}}', "rules {}: expected a list"),
    ('{"seed": "x"}', "seed 'x': expected a whole number"),
    ('{"seed": true}', "seed True: expected a whole number"),
    ('{"rules": [5]}', 'rules[0]: expected an object with a "kind"; the kinds are: lose-before, '),
    ('{"rules": [{"chance": 1}]}', 'rules[0]: expected an object with a "kind"'),
    ('{"rules": [{"kind": "late"}, {"kind": "lost"}]}', "rules[1]: unknown fault 'lost'; the faults are: lose-before, "),
    ('{"rules": [{"kind": "late", "second": 3}]}', "rules[0]: the fault 'late' has no parameter 'second'; it has: method, path, chance, nth, times, seconds"),
    ('{"rules": [{"kind": "late", "status": 3}]}', "rules[0]: the fault 'late' has no parameter 'status'; it has: method, "),
    ('{"rules": [{"kind": "late", "seconds": -1}]}', "rules[0]: late: seconds -1: expected a number from 0 to 1e9"),
    ('{"rules": [{"kind": "late", "seconds": Infinity}]}', "rules[0]: late: seconds inf: expected"),
    ('{"rules": [{"kind": "late", "chance": 1.5}]}', "rules[0]: late: chance 1.5: expected a number from 0 to 1"),
    ('{"rules": [{"kind": "late", "chance": true}]}', "rules[0]: late: chance True: expected a number from 0 to 1"),
    ('{"rules": [{"kind": "late", "nth": 0}]}', "rules[0]: late: nth 0: expected a whole number from 1"),
    ('{"rules": [{"kind": "late", "times": 1.5}]}', "rules[0]: late: times 1.5: expected a whole number from 1"),
    ('{"rules": [{"kind": "late", "method": 5}]}', "rules[0]: late: method 5: expected a regex"),
    ('{"rules": [{"kind": "late", "path": "("}]}', "rules[0]: late: path '(': not a regex: "),
    ('{"rules": [{"kind": "error-after", "status": 404}]}', "rules[0]: error-after: status 404: expected 500 to 599"),
    ('{"rules": [{"kind": "html", "status": 204}]}', "rules[0]: html: status 204: expected 200, or 400 to 599"),
    ('{"rules": [{"kind": "throttle", "retry_after": "a\\nb"}]}', "rules[0]: throttle: retry_after 'a\\nb': expected seconds, or the header's text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BAD_SCRIPTS)
def test_bad_script(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that makes no sense is refused with the place and what is known, wherever it comes in."""
    with pytest.raises(ValueError) as caught:
        Faults.read(text)
    assert str(caught.value).startswith(words)
    sandbox = sandbox_with(FaultRule("html"))
    status, told = control(sandbox, "POST", text.encode())
    assert (status, told["message"][: len(words)]) == (400, words)
    assert ask(sandbox, "GET", "/profile").status == 502, "the script before stays"
    path = tmp_path / "faults.json"
    path.write_text(text)
    assert main(["--faults", text]) == main(["--faults", str(path)]) == 2
    inline, file = capsys.readouterr().err.strip().split("\nlcnb sandbox: ")
    assert inline.startswith(f"lcnb sandbox: --faults: {words}")
    assert file.startswith(f"--faults: {str(path)!r}: {words}")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"/etc/passwd"', b"\xff", b"[" * 100_000])
def test_control_takes_objects_only(body: bytes) -> None:
    """What is no JSON object is no script for the control side, least of all a file's name."""
    assert control(sandbox_with(), "POST", body)[0] == 400


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is named, with an example of what would do."""
    assert main(["--faults", str(tmp_path / "none.json")]) == 2
    error = capsys.readouterr().err
    assert "none.json': No such file or directory; expected a file, or JSON: {" in error


def test_read_takes_every_form(tmp_path: Path) -> None:
    """A script can be given as itself, as JSON, as its text, as a file or not at all."""
    document = {"seed": 1, "rules": [{"kind": "throttle", "retry_after": "soon", "times": 2, "nth": None}]}
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(document))
    ready = Faults([FaultRule("throttle", retry_after="soon", times=2)], 1)
    for form in (ready, document, json.dumps(document), f"  {json.dumps(document)}", path, str(path)):
        assert Faults.read(form).script() == ready.script()
    assert Faults.read(None).script() == {"seed": 0, "rules": []}


def test_command_line_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the sandbox tells every kind and every parameter."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for kind, meaning in FAULT_KINDS.items():
        assert f"{kind} " in text
        assert meaning in text
        assert all(name in text for name in FAULT_PARAMETERS[kind])


def test_lcnb_sandbox_takes_them() -> None:
    """`lcnb sandbox --faults` takes a script too, and ends with 2 for a bad one."""
    result = CliRunner().invoke(cli, ["sandbox", "--faults", '{"rules": [{"kind": "x"}]}'])
    assert result.exit_code == 2
    assert "lcnb sandbox: --faults: rules[0]: unknown fault 'x'; the faults are: " in result.output


@pytest.mark.parametrize("form", ["script", "file"])
def test_start(form: str, tmp_path: Path) -> None:
    """`start(faults=...)` gives them to the process that it starts, which tells its log."""
    script: Any = Faults([FaultRule("lose-after", method="POST", times=1)])
    if form == "file":
        script = tmp_path / "faults.json"
        script.write_text('{"rules": [{"kind": "lose-after", "method": "POST", "times": 1}]}')
    with (
        start(fleet=0, faults=script, token=TOKEN) as server,
        httpx.Client(headers=HEADERS, trust_env=False) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(f"{server.base_url}/sshkeys", json={"title": "T"})
        assert client.get(f"{server.base_url}/sshkeys").json()["data"][0]["slug"] == "t"
        log = client.get(server.base_url.replace("/api", "/_sandbox/log")).json()
    assert [(entry.get("fault"), entry.get("committed")) for entry in log] == [
        ("lose-after", True),
        (None, None),
    ]


def test_start_tells_a_bad_script() -> None:
    """A bad script given to `start` is an OSError with the command line's words."""
    with pytest.raises(OSError, match=r"--faults: rules\[0\]: unknown fault 'x'"):
        start(faults={"rules": [{"kind": "x"}]})


# --- over a socket --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[Sandbox, str]]:
    """A sandbox without a script, served from a thread."""
    sandbox = sandbox_with(rate_limit=100_000)
    with serve_in_thread(sandbox) as base_url:
        yield sandbox, base_url


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(headers=HEADERS, trust_env=False, timeout=600) as made:
        yield made


OVER_HTTP: dict[str, tuple[type[Exception], str] | int] = {
    "lose-before": (httpx.RemoteProtocolError, "Server disconnected without sending a response"),
    "lose-after": (httpx.RemoteProtocolError, "Server disconnected without sending a response"),
    "late; seconds=1e9": (httpx.RemoteProtocolError, "Server disconnected without sending a response"),
    "error-before": 503,
    "error-after": 503,
    "reset": (httpx.ReadError, "reset"),
    "reset; after": (httpx.ReadError, "reset"),
    "truncate": (httpx.RemoteProtocolError, "peer closed connection without sending complete message body"),
    "stall": (httpx.ReadTimeout, "timed out"),
    "stall; after": (httpx.ReadTimeout, "timed out"),
    "stall; seconds=0.05": (httpx.RemoteProtocolError, "Server disconnected without sending a response"),
    "html": 502,
    "html; status=200; after": 200,
    "throttle": 429,
    "throttle; retry-after=3": 429,
    "stuck": 200,
}


@pytest.mark.parametrize(("fault", "outcome"), OVER_HTTP.items())
def test_over_http(
    live: tuple[Sandbox, str], client: httpx.Client, fault: str, outcome: tuple[type[Exception], str] | int
) -> None:
    """A client over a real socket gets the exception or the answer that the fault stands for, once each."""
    sandbox, base_url = live
    before, committed = made(sandbox), FaultRule.of_header(fault).carried_out

    def post() -> httpx.Response:
        limits = httpx.Timeout(600, read=2 if fault in ("stall", "stall; after") else 600)
        headers = {"x-sandbox-fault": fault}
        return client.post(f"{base_url}/instances", json=NEW, headers=headers, timeout=limits)

    if isinstance(outcome, int):
        assert post().status_code == outcome
    else:
        with pytest.raises(outcome[0], match=outcome[1]) as caught:
            post()
        assert type(caught.value) is outcome[0]
    assert made(sandbox) == before + committed
    assert sandbox.log[-1]["committed"] is committed
    assert client.get(f"{base_url}/profile").status_code == 200, "the next request is well"


def test_lag_over_http(live: tuple[Sandbox, str], client: httpx.Client) -> None:
    """A lagging listing over a real socket is whole but for the young machines."""
    sandbox, base_url = live
    client.post(f"{base_url}/instances", json=NEW)
    turn(sandbox, 30)
    lagging, whole = (
        client.get(f"{base_url}/instances", headers={"x-sandbox-fault": fault}).json()["data"]
        for fault in ("lag; seconds=31", "lag; seconds=0")
    )
    assert "new" in [row["label"] for row in whole]
    assert [row for row in whole if row["label"] != "new"] == [
        row for row in lagging if row["label"] != "new"
    ]
    assert len(lagging) < len(whole)


def raw(base_url: str, fault: str, *, method: str = "GET", before: bytes = b"") -> tuple[bytes, str]:
    """All bytes that a request is answered with, and how it ended: FIN, RST or silence."""
    with socket.create_connection(("127.0.0.1", httpx.URL(base_url).port or 0), timeout=600) as line:
        head = f"{method} /api/profile HTTP/1.1\r\nHost: x\r\napi-token: {TOKEN}\r\nX-Sandbox-Fault: {fault}\r\n\r\n"
        line.sendall(before + head.encode())
        line.settimeout(0.5 if fault == "stall" else 600)
        got = b""
        try:
            while chunk := line.recv(65_536):
                got += chunk
        except ConnectionResetError:
            return got, "RST"
        except TimeoutError:
            return got, "silence"
        return got, "FIN"


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ("lose-before", "FIN"),
        ("lose-after", "FIN"),
        ("reset", "RST"),
        ("reset; after", "RST"),
        ("stall", "silence"),
        ("stall; seconds=0.05", "FIN"),
        ("stall; seconds=0", "FIN"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_on_the_wire(live: tuple[Sandbox, str], method: str, fault: str, end: str) -> None:
    """A lost reply is a FIN without a byte, a reset an RST, a stall silence and at its end a FIN."""
    assert raw(live[1], fault, method=method) == (b"", end)


def test_cut_on_the_wire(live: tuple[Sandbox, str]) -> None:
    """A truncated reply has its head and a part of its body, then a FIN, on a used connection too."""
    first = f"GET /api/profile HTTP/1.1\r\nHost: x\r\napi-token: {TOKEN}\r\n\r\n".encode()
    got, end = raw(live[1], "truncate", before=first)
    whole_head, whole, rest = got.partition(b'{"success"')[0], *got.rpartition(b"HTTP/1.1")[::2]
    head, _, body = rest.partition(b"\r\n\r\n")
    promised = int(head.partition(b"content-length: ")[2].split()[0])
    assert end == "FIN"
    assert whole_head.startswith(b"HTTP/1.1 200 OK")
    assert 0 < len(body) < promised == len(whole.partition(b"\r\n\r\n")[2])


def test_empty_body_is_cut_too(client: httpx.Client) -> None:
    """Of a reply whose body is empty a byte is promised and not sent."""
    sandbox = sandbox_with(FaultRule("truncate", path="shutdown$"), shapes="empty")
    with (
        serve_in_thread(sandbox) as base_url,
        pytest.raises(httpx.RemoteProtocolError, match="received 0 bytes, expected 1"),
    ):
        client.post(f"{base_url}/instances/{sandbox.world.machines[0]['identifier']}/shutdown")


def test_end_does_not_wait_for_a_stall() -> None:
    """A sandbox with a stall under way ends as fast as any, and closes it."""
    sandbox = sandbox_with(FaultRule("stall"))
    with serve_in_thread(sandbox) as base_url:
        line = socket.create_connection(("127.0.0.1", httpx.URL(base_url).port or 0), timeout=600)
        line.sendall(f"GET /api/profile HTTP/1.1\r\nHost: x\r\napi-token: {TOKEN}\r\n\r\n".encode())
        wait_until(lambda: sandbox.log)
        with pytest.raises(TimeoutError):
            line.settimeout(0.1)
            line.recv(1)
        began = time.monotonic()
    assert time.monotonic() - began < 9  # 10 s where its thread is waited for in vain
    with line:
        line.settimeout(600)
        assert line.recv(1) == b""


def test_nothing_is_printed(tmp_path: Path) -> None:
    """Neither faults nor clients that hang up in the middle of a request make the server print anything."""
    server = start(fleet=0, token=TOKEN)
    process = server._process
    for fault in ("lose-after", "reset", "truncate", "stall; seconds=0.01"):
        raw(server.base_url, fault)
    with socket.create_connection(("127.0.0.1", httpx.URL(server.base_url).port or 0)) as line:
        line.sendall(b"POST /api/sshkeys HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert raw(server.base_url, "html")[0]
    assert process.stdin
    assert process.stderr
    process.stdin.close()
    assert process.wait(600) == 0
    assert process.stderr.read() == ""
    server.stop()


# --- whatever happens -----------------------------------------------------------------------------------

RULES = st.sampled_from(sorted(FAULT_KINDS)).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"kind": st.just(kind)},
        optional={
            "method": st.sampled_from(["GET", "POST", "POST|DELETE"]),
            "path": st.sampled_from(["/instances$", "^/profile", "x"]),
            "chance": st.floats(0, 1),
            "nth": st.integers(1, 5),
            "times": st.integers(1, 3),
            **{name: VALUES[name] for name in FAULT_PARAMETERS[kind]},
        },
    )
)
VALUES: dict[str, Any] = {
    "seconds": st.floats(0, 300),
    "status": st.integers(500, 599),
    "after": st.booleans(),
    "delay": st.floats(0, 300),
    "retry_after": st.none() | st.integers(0, 100) | st.just("soon"),
}
CALLS = st.sampled_from(["create", "create", "bad create", "list", "delete", "reboot", "wait", "HEAD", "%00"])


def step(sandbox: Sandbox, call: str) -> Reply | None:
    identifiers = [machine["identifier"] for machine in sandbox.world.listed() if machine["identifier"]]
    where = f"/instances/{identifiers[-1] if identifiers else 'none'}"
    if call == "wait":
        return turn(sandbox, 45)
    if "create" in call:
        return ask(sandbox, "POST", "/instances", NEW | ({"label": ""} if "bad" in call else {}))
    method, path = {
        "list": ("GET", "/instances"),
        "delete": ("DELETE", where),
        "reboot": ("PUT", f"{where}/reboot"),
        "HEAD": ("HEAD", "/profile"),
        "%00": ("POST", "/%00"),
    }[call]
    return ask(sandbox, method, path)


@settings(max_examples=100, deadline=None)
@given(rules=st.lists(RULES, max_size=4), seed=st.integers(), calls=st.lists(CALLS, min_size=2, max_size=15))
def test_log_is_the_truth(rules: list[dict[str, Any]], seed: int, calls: list[str]) -> None:
    """Whatever goes wrong, there are as many machines as creates and deletes that the log calls committed."""
    sandbox = Sandbox(World(Clock(0), fleet=2), TOKEN, faults=Faults.read({"seed": seed, "rules": rules}))
    replies = [reply for reply in (step(sandbox, call) for call in calls) if reply]
    for reply, entry in zip(replies, sandbox.log, strict=True):
        assert reply.fate in ("", "lost", "reset", "truncated", "stall", "slow")
        assert entry["status"] == reply.status
        assert (reply.status == 0) == (reply.fate in ("lost", "reset", "stall", "slow"))
    turn(sandbox, 1000)
    writes = [entry for entry in sandbox.log if entry["method"] not in ("GET", "HEAD")]
    assert all(isinstance(entry["committed"], bool) and "due" not in entry for entry in writes)
    assert all(
        entry["fault"] in ("late", "slow")
        for entry in writes
        if "committed_at" in entry or "refused" in entry
    )
    done = sorted(
        (entry for entry in writes if entry["committed"]),
        key=lambda entry: entry.get("committed_at", entry["at"]),
    )
    creates = [entry for entry in done if entry["method"] == "POST"]
    last_delete = {entry["path"]: entry.get("fault") for entry in done if entry["method"] == "DELETE"}
    gone = [path for path, fault in last_delete.items() if fault != "stuck"]
    assert len(sandbox.world.machines) == 2 + len(creates) - len(gone)


@settings(max_examples=60, deadline=None)
@given(rules=st.lists(RULES, max_size=4), seed=st.integers(), calls=st.lists(CALLS, max_size=12))
def test_same_again(rules: list[dict[str, Any]], seed: int, calls: list[str]) -> None:
    """The same seed and the same requests give the same replies and the same log."""
    document = {"seed": seed, "rules": rules}
    one, two = (
        Sandbox(World(Clock(0), fleet=2), TOKEN, faults=Faults.read(form))
        for form in (document, json.dumps(Faults.read(document).script()))
    )
    assert [step(one, call) for call in calls] == [step(two, call) for call in calls]
    assert one.log == two.log


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["seed", "rules", "kind", "status", "seconds", "after", "x"]), inner, max_size=4) | st.sampled_from([{"kind": kind} for kind in FAULT_KINDS]),
                    max_leaves=8))  # fmt: skip
def test_any_script(document: Any) -> None:
    """Any JSON is a script or a ValueError, nothing else; a header of any text likewise."""
    for read in (Faults.of_json, FaultRule.of_header):
        try:
            read(json.dumps(document))
        except ValueError as error:
            assert str(error)
