"""The sandbox's API: a request in, a reply out, without a socket.

`Sandbox.handle` is a plain function from `Request` to `Reply`: token, faults, rate limit, body, route, world. Every
endpoint is one line in `ROUTES`. A small control API below `/_sandbox/` returns a log of what really happened, advances
the clock, and sets the script of faults (see `faults`).
"""

from __future__ import annotations

import copy
import hmac
import json
import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from lcnb.sandbox.clock import Clock
from lcnb.sandbox.damage import at_moment, damage_reply, fault_conditions
from lcnb.sandbox.faults import FAULT_HEADER, READ_METHODS, FaultRule, Faults
from lcnb.sandbox.http import Json, Reply, Request, json_reply
from lcnb.sandbox.limits import RateWindow, unix_time
from lcnb.sandbox.parsing import check_version, effective_method, mask_secrets, parse_fields, record_intent
from lcnb.sandbox.refusals import Refusal
from lcnb.sandbox.seed import LOCATIONS, images_of
from lcnb.sandbox.shapes import Shapes
from lcnb.sandbox.world import World


@dataclass
class LateCommit:
    """A write that is executed later than it arrived: `due` in world seconds, and its reply once it was executed."""

    due: float
    request: Request
    entry: Json
    reply: Reply | None = None


class Sandbox:
    """A LetsCloud for one token.

    Args:
        world: The account and its clock.
        token: The token to accept.
        shapes: The forms of replies: see `lcnb.sandbox.shapes`.
        rate_limit: Calls per hour.
        on_change: Called with the world after each change, before the reply.
        faults: A script of faults.
        log_size: The number of requests that the log keeps.
    """

    def __init__(
        self,
        world: World,
        token: str,
        *,
        shapes: str = "list",
        rate_limit: int = 5_000,
        on_change: Callable[[World], None] | None = None,
        faults: Faults | None = None,
        log_size: int = 20_000,
    ) -> None:
        self.world = world
        self.token = token
        self.shapes = Shapes(shapes)
        self.faults = faults or Faults()
        #: The requests and their outcomes, the newest last, with stars in place of passwords and keys. See `faults`.
        self.log: deque[Json] = deque(maxlen=log_size)
        self._late: list[LateCommit] = []
        self._windows = [RateWindow(3600, rate_limit), RateWindow(86_400, rate_limit * 24)]
        self._on_change = on_change

    def handle(self, request: Request) -> Reply:
        """Return the reply to any request. Everything that is due in the world happens before."""
        self.catch_up()
        if request.path.startswith("/_sandbox/"):
            return self._control(request)
        if self._is_authorized(request):
            reply = self._log_and_answer(request)
        else:
            reply = self._refuse(Refusal("Unauthorized", 401))
        return reply if request.method != "HEAD" else replace(reply, body=b"")

    def catch_up(self) -> None:
        """Apply everything that is due by now in its order, late writes included."""
        while self._late and self._late[0].due <= self.world.now():
            self._commit(self._late[0])
        self.world.catch_up()

    def _log_and_answer(self, request: Request) -> Reply:
        entry: Json = {"at": round(self.world.now(), 3), "method": request.method, "path": request.path}
        if request.method not in READ_METHODS:
            entry["committed"] = False
        entry["status"] = 500  # the server replies so when saving the state fails below, after the change
        self.log.append(entry)
        try:
            fault = self._find_fault(request)
            reply = self._apply_fault(fault, request, entry) if fault else self._answer(request, entry)
        except Refusal as refusal:
            reply = self._refuse(refusal)
        entry["status"] = reply.status
        return reply

    def _answer(self, request: Request, entry: Json, fault: FaultRule | None = None) -> Reply:
        """Return the reply of the world, which may be a refusal."""
        try:
            return self._check_limit() or self._execute(request, entry, fault)
        except Refusal as refusal:
            return self._refuse(refusal)

    def _execute(self, request: Request, entry: Json, fault: FaultRule | None) -> Reply:
        path = request.path.rstrip("/")  # Laravel reads /instances/ as /instances
        if not path.startswith("/api/"):
            raise Refusal("Not Found", 404)
        check_version(request.headers)
        fields = parse_fields(request)
        method = effective_method(request, fields)
        entry.update(method=method, body=mask_secrets(fields))
        function, arguments = _find_route(method, path.removeprefix("/api"))
        with fault_conditions(fault, self.world):
            reply = function(self, *arguments, fields)
        if method not in READ_METHODS:
            entry["committed"] = True
            if self._on_change:
                self._on_change(self.world)
        return replace(reply, headers={**reply.headers, **self._limit_headers()})

    def _is_authorized(self, request: Request) -> bool:
        given = request.headers.get("api-token", "")
        return hmac.compare_digest(given.encode("latin-1", "replace"), self.token.encode())

    def _find_fault(self, request: Request) -> FaultRule | None:
        path = request.path.rstrip("/").removeprefix("/api")
        if FAULT_HEADER not in request.headers:
            return self.faults.decide(request.method, path)
        try:
            rule = FaultRule.of_header(request.headers[FAULT_HEADER])
        except ValueError as error:
            raise Refusal(f"X-Sandbox-Fault: {error}", 400) from None
        if not rule.fits(request.method, path):
            raise Refusal(f"X-Sandbox-Fault: {rule.kind} does not apply to {request.method} {path}", 400)
        return rule

    def _apply_fault(self, fault: FaultRule, request: Request, entry: Json) -> Reply:
        entry["fault"] = fault.kind
        if fault.kind == "slow":
            return self._delay_reply(fault, request, entry)
        if fault.carried_out:
            return damage_reply(fault, self._answer(request, entry, fault))
        record_intent(request, entry)
        if fault.kind == "late":
            self._schedule(fault.seconds or 0.0, request, entry)
        return damage_reply(fault, Reply(0, b""))

    def _schedule(self, seconds: float, request: Request, entry: Json) -> LateCommit:
        """Schedule a write for execution after so many world seconds."""
        entry["due"] = round(self.world.now() + seconds, 3)
        late = LateCommit(entry["due"], request, entry)
        self._late.append(late)
        self._late.sort(key=lambda each: each.due)
        return late

    def _commit(self, late: LateCommit) -> Reply:
        """Execute a late write at its moment, and record that in the log entry of its arrival."""
        self._late.remove(late)
        entry = late.entry
        entry["committed_at"] = entry.pop("due")
        with at_moment(self.world, min(late.due, self.world.now())):
            self.world.catch_up()
            late.reply = self._answer(late.request, entry)
        if not entry["committed"]:
            del entry["committed_at"]
            entry["refused"] = json.loads(late.reply.body)["message"]
        return late.reply

    def _delay_reply(self, fault: FaultRule, request: Request, entry: Json) -> Reply:
        """Return a reply that is sent after `seconds`. A write is executed before, with, or `delay` after the reply."""
        seconds, delay = fault.seconds or 0.0, fault.delay or 0.0
        record_intent(request, entry)
        answered = self._answer(request, entry) if fault.after else None
        late = None
        if answered is None and request.method not in READ_METHODS:
            late = self._schedule((seconds + delay) * self._speed(), request, entry)

        def reply() -> Reply:
            self.catch_up()
            if late is None:
                answer = answered or self._answer(request, entry)
            else:
                answer = late.reply or (self._rehearse(late) if delay else self._commit(late))
            entry["status"] = answer.status
            return answer

        return Reply(0, b"", fate="slow", seconds=seconds, later=reply)

    def _rehearse(self, late: LateCommit) -> Reply:
        """Return the reply that the world would give now to a later write. A refused write is never executed."""
        world, on_change = self.world, self._on_change
        self.world, self._on_change = copy.deepcopy(world), None
        rehearsal: Json = {}
        try:
            reply = self._answer(late.request, rehearsal)
        finally:
            self.world, self._on_change = world, on_change
        if not rehearsal.get("committed"):
            self._late.remove(late)
            del late.entry["due"]
            late.entry["refused"] = json.loads(reply.body)["message"]
        return reply

    def _check_limit(self) -> Reply | None:
        now = self.world.now()
        for window in self._windows:
            if not window.take(now):
                wait = max(1, math.ceil(window.ends_in(now) / self._speed()))
                headers = {"Retry-After": str(wait), "X-RateLimit-Reset": str(unix_time() + wait)}
                body = json.dumps({"message": "Too Many Attempts."}).encode()
                return Reply(429, body, {**headers, **self._limit_headers()})
        return None

    def _speed(self) -> float:
        clock = self.world.clock
        return (clock.speed or 1.0) if isinstance(clock, Clock) else 1.0

    def _limit_headers(self) -> dict[str, str]:
        tightest = min(self._windows, key=RateWindow.left)
        return {"X-RateLimit-Limit": str(tightest.limit), "X-RateLimit-Remaining": str(tightest.left())}

    def _refuse(self, refusal: Refusal) -> Reply:
        status = refusal.status
        if status == 404 and "classic" in self.shapes:
            status = 200
        if status == 400 and "newer" in self.shapes:
            status = 422
        body = {"success": False, "message": refusal.message}
        return json_reply(status, body, self._limit_headers())

    def data(self, data: Any, status: int = 200) -> Reply:
        """A successful reply with data; `status` applies in the shape `newer`."""
        body = {"success": True} if data is None else {"success": True, "data": data}
        return json_reply(status if "newer" in self.shapes else 200, body)

    def _reply_record(self, find: Callable[[], Json]) -> Reply:
        """A single record. In the shape `blank` an unknown one is an empty object instead of an error."""
        try:
            return self.data(find())
        except Refusal as refusal:
            if refusal.status == 404 and "blank" in self.shapes:
                return self.data({})
            raise

    def message(self, text: str, status: int = 200) -> Reply:
        """A successful reply with a message; `status` applies in the shape `newer`."""
        return json_reply(status if "newer" in self.shapes else 200, {"success": True, "message": text})

    def message_or_empty(self, text: str) -> Reply:
        """A successful reply whose body may be empty according to the API page: it is in the shape `empty`."""
        if "empty" in self.shapes:
            return Reply(202 if "newer" in self.shapes else 200, b"")
        return self.message(text, 202)

    def _control(self, request: Request) -> Reply:
        if not self._is_authorized(request):
            return json_reply(401, {"success": False, "message": "Unauthorized"})
        what = request.path.removeprefix("/_sandbox/")
        if (request.method, what) == ("GET", "log"):
            return json_reply(200, list(self.log))
        if (request.method, what) == ("POST", "advance"):
            return self._advance(request)
        if what == "faults" and request.method in ("GET", "POST"):
            return self._faults_script(request)
        known = "GET /_sandbox/log, POST /_sandbox/advance, GET and POST /_sandbox/faults"
        return json_reply(404, {"message": f"unknown; there are {known}"})

    def _faults_script(self, request: Request) -> Reply:
        """Return the script of faults. A posted script replaces it, and starts its counts at 0."""
        if request.method == "POST":
            try:
                self.faults = Faults.of_json(request.body)
            except ValueError as error:
                return json_reply(400, {"message": str(error)})
        return json_reply(200, self.faults.script())

    def _advance(self, request: Request) -> Reply:
        clock = self.world.clock
        try:
            seconds = float(json.loads(request.body)["seconds"])
        except (ValueError, TypeError, KeyError):
            return json_reply(400, {"message": 'expected {"seconds": a number}'})
        if not isinstance(clock, Clock) or not 0 <= seconds < 1e9:
            return json_reply(400, {"message": "the clock can only be advanced, by less than 1e9 seconds"})
        clock.turn(seconds)
        self.catch_up()
        return json_reply(200, {"now": self.world.now()})

    def get_profile(self, _: Json) -> Reply:
        """The profile."""
        return self.data(self.shapes.profile(self.world.profile))

    def get_locations(self, _: Json) -> Reply:
        """All locations."""
        return self.data(self.shapes.many([self.shapes.location(each) for each in LOCATIONS]))

    def get_plans(self, slug: str, _: Json) -> Reply:
        """The plans of a location."""
        return self.data(self.shapes.plans(self.world.location(slug)))

    def get_images(self, slug: str, _: Json) -> Reply:
        """The images of a location."""
        images = images_of(self.world.location(slug)["slug"])
        return self.data(self.shapes.many([self.shapes.image(each) for each in images]))

    def get_sshkeys(self, _: Json) -> Reply:
        """All SSH keys."""
        if not self.world.sshkeys:
            raise Refusal("No SSH Keys found.")  # HTTP 200 with success: false [go, node]
        return self.data(self.shapes.many([self.shapes.sshkey(each) for each in self.world.sshkeys]))

    def get_sshkey(self, slug: str, _: Json) -> Reply:
        """One SSH key."""
        return self._reply_record(lambda: self.shapes.sshkey(self.world.sshkey(slug)))

    def post_sshkeys(self, fields: Json) -> Reply:
        """Store or generate an SSH key."""
        return self.data(self.shapes.sshkey(self.world.add_sshkey(fields)), 201)

    def delete_sshkeys(self, fields: Json) -> Reply:
        """Delete an SSH key."""
        return self.message(self.world.delete_sshkey(fields))

    def get_instances(self, fields: Json) -> Reply:
        """All machines."""
        rows = [self.shapes.listed_instance(machine) for machine in self.world.listed()]
        if "paged" in self.shapes:
            return json_reply(200, _listing_page(rows, fields))
        return self.data(self.shapes.instances(rows))

    def get_instance(self, identifier: str, _: Json) -> Reply:
        """One machine."""
        return self._reply_record(lambda: self.shapes.instance(self.world.machine(identifier)))

    def post_instances(self, fields: Json) -> Reply:
        """Create a machine."""
        message = self.world.create(fields)
        self.world.machines[-1]["made_at"] = self.world.now()  # the fault `lag` needs it
        return self.message(message, 201)

    def delete_instance(self, identifier: str, _: Json) -> Reply:
        """Delete a machine."""
        return self.message(self.world.delete(identifier))

    def power_on(self, identifier: str, _: Json) -> Reply:
        """Power a machine on."""
        return self.message(self.world.power_on(identifier))

    def power_off(self, identifier: str, _: Json) -> Reply:
        """Power a machine off."""
        return self.message(self.world.power_off(identifier))

    def reboot(self, identifier: str, _: Json) -> Reply:
        """Reboot a machine."""
        return self.message(self.world.reboot(identifier))

    def shutdown(self, identifier: str, _: Json) -> Reply:
        """Shut a machine down."""
        return self.message_or_empty(self.world.shutdown(identifier))

    def reset_password(self, identifier: str, fields: Json) -> Reply:
        """Reset the root password of a machine."""
        return self.message(self.world.reset_password(identifier, fields))

    def change_plan(self, identifier: str, fields: Json) -> Reply:
        """Change the plan of a machine."""
        return self.message_or_empty(self.world.change_plan(identifier, fields))

    def get_snapshots(self, _: Json) -> Reply:
        """All snapshots."""
        return self.data(self.shapes.many([self.shapes.snapshot(each) for each in self.world.snapshots]))

    def get_snapshot(self, slug: str, _: Json) -> Reply:
        """One snapshot."""
        return self._reply_record(lambda: self.shapes.snapshot(self.world.snapshot(slug)))

    def get_snapshot_status(self, slug: str, _: Json) -> Reply:
        """Whether a snapshot is complete."""
        snapshot = self.world.snapshot(slug)
        if "empty" in self.shapes:
            return Reply(200, b"")
        return self.data({"slug": slug, "build": snapshot["build"]})

    def post_snapshots(self, identifier: str, fields: Json) -> Reply:
        """Begin a snapshot of a machine."""
        return self.data(self.shapes.snapshot(self.world.add_snapshot(identifier, fields)), 202)

    def put_snapshot(self, slug: str, fields: Json) -> Reply:
        """Rename a snapshot."""
        return self.message(self.world.rename_snapshot(slug, fields))

    def delete_snapshot(self, slug: str, _: Json) -> Reply:
        """Delete a snapshot."""
        return self.message(self.world.delete_snapshot(slug))


#: Method, path, function: the table of endpoints on the API page.
ROUTES: list[tuple[str, str, Callable[..., Reply]]] = [
    ("GET", "/profile", Sandbox.get_profile),
    ("GET", "/locations", Sandbox.get_locations),
    ("GET", "/locations/{}/plans", Sandbox.get_plans),
    ("GET", "/locations/{}/images", Sandbox.get_images),
    ("GET", "/sshkeys", Sandbox.get_sshkeys),
    ("GET", "/sshkeys/{}", Sandbox.get_sshkey),
    ("POST", "/sshkeys", Sandbox.post_sshkeys),
    ("DELETE", "/sshkeys", Sandbox.delete_sshkeys),
    ("GET", "/instances", Sandbox.get_instances),
    ("GET", "/instances/{}", Sandbox.get_instance),
    ("POST", "/instances", Sandbox.post_instances),
    ("DELETE", "/instances/{}", Sandbox.delete_instance),
    ("PUT", "/instances/{}/power-on", Sandbox.power_on),
    ("PUT", "/instances/{}/power-off", Sandbox.power_off),
    ("PUT", "/instances/{}/reboot", Sandbox.reboot),
    ("POST", "/instances/{}/shutdown", Sandbox.shutdown),
    ("PUT", "/instances/{}/reset-password", Sandbox.reset_password),
    ("PUT", "/instances/{}/change-plan", Sandbox.change_plan),
    ("GET", "/snapshots", Sandbox.get_snapshots),
    ("GET", "/snapshots/status/{}", Sandbox.get_snapshot_status),
    ("GET", "/snapshots/{}", Sandbox.get_snapshot),
    ("POST", "/instances/{}/snapshots", Sandbox.post_snapshots),
    ("PUT", "/snapshots/{}", Sandbox.put_snapshot),
    ("DELETE", "/snapshots/{}", Sandbox.delete_snapshot),
]
_ROUTE_PATTERNS = [
    (method, re.compile(path.replace("{}", "([^/]+)")), function) for method, path, function in ROUTES
]


def _find_route(method: str, path: str) -> tuple[Callable[..., Reply], list[str]]:
    """Return the function of a route and the arguments in its path. Refusal (404 or 405) for an unknown route."""
    wanted = "GET" if method == "HEAD" else method
    known = False
    for each, pattern, function in _ROUTE_PATTERNS:
        match = pattern.fullmatch(path)
        if match and each == wanted:
            return function, [unquote(part) for part in match.groups()]
        known = known or match is not None
    if known:
        raise Refusal("Method Not Allowed", 405)
    raise Refusal("Not Found", 404)


def _listing_page(rows: list[Json], fields: Json) -> Json:
    """One page of a listing in Laravel's form: `page`, and `per_page` with 50 by default and 200 at most [doc]."""
    try:
        size = min(200, max(1, int(fields.get("per_page", 50))))
        page = max(1, int(fields.get("page", 1)))
    except (ValueError, TypeError):
        raise Refusal("The page must be an integer.", 400) from None
    last = max(1, math.ceil(len(rows) / size))
    following = f"/api/instances?page={page + 1}" if page < last else None
    return {
        "success": True,
        "data": rows[(page - 1) * size : page * size],
        "links": {"first": "/api/instances?page=1", "next": following},
        "meta": {"current_page": page, "last_page": last, "per_page": size, "total": len(rows)},
    }
