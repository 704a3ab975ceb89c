"""The endpoints of the API: one pure function per endpoint, which returns a `Call`. Nothing is sent here.

The paths, bodies and shapes come from the provider's clients and reference, as docs/api.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from lcnb.errors import InputError
from lcnb.secret import STARS, Secret

#: What a call does, which decides whether it may be sent again when its outcome is unknown.
Effect = Literal["read", "set", "delete", "create", "toggle"]

#: Seconds that one attempt of a write waits for its answer at least, however short the deadline is: twice what the
#: provider's own client waits [go 1.2.0]. A write that is given up is not undone by that: it may still take effect, and
#: what only its answer holds, such as a private key, is lost.
WRITE_ATTEMPT_MIN_S = 120.0


@dataclass(frozen=True)
class Call:
    """One request as a value. Bodies are JSON; `body` is not shown in a repr, since it may hold a password.

    A Secret in the body is revealed when it is sent, and nowhere else.
    """

    method: str
    path: str
    summary: str
    effect: Effect = "read"
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    #: Some endpoints may answer with no body at all [doc].
    may_be_empty: bool = False
    #: The records of the answer are wanted as Rows, where it is plain enough: for listings that may be long.
    as_rows: bool = field(default=False, repr=False)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be told on when the provider repeats it in a message."""
        return tuple(value for value in (self.body or {}).values() if isinstance(value, Secret))

    def masked_body(self) -> dict[str, Any] | None:
        """The body with stars for secrets, as it is shown and journaled."""
        if self.body is None:
            return None
        return {name: STARS if isinstance(value, Secret) else value for name, value in self.body.items()}


def attempt_limit_s(call: Call, remaining_s: float) -> float:
    """Seconds that one attempt of a call may take. This is the only place that decides it.

    A read has what is left of the deadline. A write has that too, and WRITE_ATTEMPT_MIN_S at least.
    """
    return remaining_s if call.effect == "read" else max(remaining_s, WRITE_ATTEMPT_MIN_S)


# --- the calls ------------------------------------------------------------------------------------------


def get_profile() -> Call:
    return Call("GET", "/profile", "read the profile")


def get_locations() -> Call:
    return Call("GET", "/locations", "list the locations")


def get_plans(location: str) -> Call:
    return Call(
        "GET", f"/locations/{path_segment('location', location)}/plans", f"list the plans of {location}"
    )


def get_images(location: str) -> Call:
    return Call(
        "GET", f"/locations/{path_segment('location', location)}/images", f"list the images of {location}"
    )


def get_sshkeys() -> Call:
    return Call("GET", "/sshkeys", "list the ssh keys")


def get_sshkey(slug: str) -> Call:
    return Call("GET", f"/sshkeys/{path_segment('ssh key slug', slug)}", f"read the ssh key {slug}")


def get_instances() -> Call:
    return Call("GET", "/instances", "list the instances")


def get_instance(identifier: str) -> Call:
    return Call(
        "GET", f"/instances/{path_segment('identifier', identifier)}", f"read the instance {identifier}"
    )


def get_snapshots() -> Call:
    return Call("GET", "/snapshots", "list the snapshots")


def get_snapshot(slug: str) -> Call:
    return Call("GET", f"/snapshots/{path_segment('snapshot slug', slug)}", f"read the snapshot {slug}")


# --- the calls that change something --------------------------------------------------------------------


def create_instance(body: Mapping[str, Any]) -> Call:
    """`body`: location_slug, plan_slug, hostname, label, image_slug, and ssh_slug or password or both."""
    return Call("POST", "/instances", f"create the instance {body['label']}", "create", dict(body))


def delete_instance(identifier: str) -> Call:
    path = f"/instances/{path_segment('identifier', identifier)}"
    return Call("DELETE", path, f"delete the instance {identifier}", "delete")


def power_on(identifier: str) -> Call:
    return _instance_action("PUT", identifier, "power-on", "turn on", "set")


def power_off(identifier: str) -> Call:
    return _instance_action("PUT", identifier, "power-off", "turn off", "set")


def shutdown(identifier: str) -> Call:
    return _instance_action("POST", identifier, "shutdown", "shut down", "set", may_be_empty=True)


def reboot(identifier: str) -> Call:
    return _instance_action("PUT", identifier, "reboot", "reboot", "toggle")


def reset_password(identifier: str, password: Secret) -> Call:
    body = {"password": password}
    return _instance_action("PUT", identifier, "reset-password", "reset the password of", "set", body)


def change_plan(identifier: str, plan: str) -> Call:
    body = {"plan_slug": plan}
    return _instance_action(
        "PUT", identifier, "change-plan", f"change to {plan}", "set", body, may_be_empty=True
    )


def _instance_action(
    method: str,
    identifier: str,
    action: str,
    verb: str,
    effect: Effect,
    body: Mapping[str, Any] | None = None,
    *,
    may_be_empty: bool = False,
) -> Call:
    path = f"/instances/{path_segment('identifier', identifier)}/{action}"
    return Call(method, path, f"{verb} the instance {identifier}", effect, body, may_be_empty)


def add_sshkey(title: str, public_key: str) -> Call:
    """The same title replaces that key, so sending it twice is the same as once."""
    return Call("POST", "/sshkeys", f"add the ssh key {title}", "set", {"title": title, "key": public_key})


def generate_sshkey(title: str) -> Call:
    """The provider makes the pair; the private half stands in this one answer and never again."""
    return Call("POST", "/sshkeys", f"generate the ssh key {title}", "create", {"title": title})


def delete_sshkey(slug: str) -> Call:
    path_segment("ssh key slug", slug)
    return Call("DELETE", "/sshkeys", f"delete the ssh key {slug}", "delete", {"slug": slug})


def create_snapshot(identifier: str, label: str) -> Call:
    path = f"/instances/{path_segment('identifier', identifier)}/snapshots"
    return Call("POST", path, f"make the snapshot {label} of {identifier}", "create", {"label": label})


def rename_snapshot(slug: str, label: str) -> Call:
    path = f"/snapshots/{path_segment('snapshot slug', slug)}"
    return Call("PUT", path, f"rename the snapshot {slug} to {label}", "set", {"label": label})


def delete_snapshot(slug: str) -> Call:
    path = f"/snapshots/{path_segment('snapshot slug', slug)}"
    return Call("DELETE", path, f"delete the snapshot {slug}", "delete")


def path_segment(what: str, value: object) -> str:
    """`value` as one segment of a path. An empty one, or a dot path, would name another endpoint."""
    if not isinstance(value, str):
        raise InputError(f"{what}: expected a text, got {value!r}. Nothing was sent.")
    if not value.strip() or value.strip(".") == "" or not value.isprintable() or value != value.strip():
        raise InputError(f"{what}: {value!r} cannot be one. Nothing was sent.")
    return quote(value, safe="")
