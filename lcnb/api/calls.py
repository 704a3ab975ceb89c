"""The endpoints of the API: one pure function per endpoint, which returns a `Call`. Nothing is sent here.

The paths, bodies and shapes come from the provider's clients and reference, as docs/api.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from lcnb.errors import InputError
from lcnb.secret import STARS, Secret

#: What a call does to the account; plan files and the journal contain it. Only two values decide something:
#: - "read" or not: a read is sent again after any failure that can pass; a write only if it certainly had no effect.
#:   `Action.may_be_resent` in lcnb.changes decides about a write whose outcome is unknown.
#: - "create" of an ssh key: the provider generates the pair, and only its response contains the private key.
Effect = Literal["read", "set", "delete", "create", "toggle"]

#: The shortest time in seconds that an attempt of a write waits for its response, even if the deadline is shorter:
#: twice the timeout of the provider's own client [go 1.2.0]. Giving up does not undo a write: it may still take effect,
#: and data that only its response holds, such as a private key, is lost.
WRITE_ATTEMPT_MIN_S = 120.0


@dataclass(frozen=True)
class Call:
    """One request as a value. The body is JSON; the repr does not show it, since it may hold a password.

    A Secret in the body is revealed only when it is sent.
    """

    method: str
    path: str
    summary: str
    effect: Effect = "read"
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    #: Some endpoints may return no body at all [doc].
    may_be_empty: bool = False
    #: Return the records as RawRecords if possible: for listings that may be long.
    as_rows: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Raise InputError for a path that would make another host of the base URL: the token would be sent there."""
        if not self.path.startswith("/"):
            raise InputError(f"path {self.path!r}: it does not begin with /. Nothing was sent.")

    @property
    def only_reads(self) -> bool:
        """Whether the call changes nothing: by its method, whatever effect it claims to have."""
        return self.effect == "read" and self.method in ("GET", "HEAD")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets of the body: they are masked if the provider repeats them in a message."""
        return tuple(value for value in (self.body or {}).values() if isinstance(value, Secret))

    def masked_body(self) -> dict[str, Any] | None:
        """Return the body with stars for secrets, for display and the journal."""
        if self.body is None:
            return None
        return {name: STARS if isinstance(value, Secret) else value for name, value in self.body.items()}


def attempt_limit_s(call: Call, remaining_s: float) -> float:
    """Return the seconds that an attempt of a call may take. Only this function decides it.

    A read gets the rest of the deadline; a write gets the same, but at least WRITE_ATTEMPT_MIN_S.
    """
    return remaining_s if call.effect == "read" else max(remaining_s, WRITE_ATTEMPT_MIN_S)


def get_profile() -> Call:
    """Read the profile of the account."""
    return Call("GET", "/profile", "read the profile")


def get_locations() -> Call:
    """List the locations."""
    return Call("GET", "/locations", "list the locations")


def get_plans(location: str) -> Call:
    """List the plans of a location."""
    return Call(
        "GET", f"/locations/{path_segment('location', location)}/plans", f"list the plans of {location}"
    )


def get_images(location: str) -> Call:
    """List the images of a location."""
    return Call(
        "GET", f"/locations/{path_segment('location', location)}/images", f"list the images of {location}"
    )


def get_sshkeys() -> Call:
    """List the ssh keys."""
    return Call("GET", "/sshkeys", "list the ssh keys")


def get_sshkey(slug: str) -> Call:
    """Read an ssh key."""
    return Call("GET", f"/sshkeys/{path_segment('ssh key slug', slug)}", f"read the ssh key {slug}")


def get_instances() -> Call:
    """List the machines."""
    return Call("GET", "/instances", "list the instances")


def get_instance(identifier: str) -> Call:
    """Read a machine."""
    return Call(
        "GET", f"/instances/{path_segment('identifier', identifier)}", f"read the instance {identifier}"
    )


def get_snapshots() -> Call:
    """List the snapshots."""
    return Call("GET", "/snapshots", "list the snapshots")


def get_snapshot(slug: str) -> Call:
    """Read a snapshot."""
    return Call("GET", f"/snapshots/{path_segment('snapshot slug', slug)}", f"read the snapshot {slug}")


# --- writes ---------------------------------------------------------------------------------------------


def create_instance(body: Mapping[str, Any]) -> Call:
    """Create a machine.

    `body` has location_slug, plan_slug, hostname, label, image_slug, and ssh_slug or password or both.
    """
    return Call("POST", "/instances", f"create the instance {body['label']}", "create", dict(body))


def delete_instance(identifier: str) -> Call:
    """Delete a machine and its disk."""
    path = f"/instances/{path_segment('identifier', identifier)}"
    return Call("DELETE", path, f"delete the instance {identifier}", "delete")


def power_on(identifier: str) -> Call:
    """Turn a machine on."""
    return _instance_action("PUT", identifier, "power-on", "turn on", "set")


def power_off(identifier: str) -> Call:
    """Turn a machine off, as pulling the plug does."""
    return _instance_action("PUT", identifier, "power-off", "turn off", "set")


def shutdown(identifier: str) -> Call:
    """Let the operating system of a machine shut down."""
    return _instance_action("POST", identifier, "shutdown", "shut down", "set", may_be_empty=True)


def reboot(identifier: str) -> Call:
    """Restart a machine."""
    return _instance_action("PUT", identifier, "reboot", "reboot", "toggle")


def reset_password(identifier: str, password: Secret) -> Call:
    """Set the root password of a machine."""
    body = {"password": password}
    return _instance_action("PUT", identifier, "reset-password", "reset the password of", "set", body)


def change_plan(identifier: str, plan: str) -> Call:
    """Change the plan of a machine."""
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
    """Add an ssh key. A key of the same title is replaced, so sending the call twice has the same effect as once."""
    return Call("POST", "/sshkeys", f"add the ssh key {title}", "set", {"title": title, "key": public_key})


def generate_sshkey(title: str) -> Call:
    """Let the provider generate a key pair; only this response contains the private key."""
    return Call("POST", "/sshkeys", f"generate the ssh key {title}", "create", {"title": title})


def delete_sshkey(slug: str) -> Call:
    """Delete an ssh key."""
    path_segment("ssh key slug", slug)
    return Call("DELETE", "/sshkeys", f"delete the ssh key {slug}", "delete", {"slug": slug})


def create_snapshot(identifier: str, label: str) -> Call:
    """Store an image of a machine."""
    path = f"/instances/{path_segment('identifier', identifier)}/snapshots"
    return Call("POST", path, f"make the snapshot {label} of {identifier}", "create", {"label": label})


def rename_snapshot(slug: str, label: str) -> Call:
    """Give a snapshot another label."""
    path = f"/snapshots/{path_segment('snapshot slug', slug)}"
    return Call("PUT", path, f"rename the snapshot {slug} to {label}", "set", {"label": label})


def delete_snapshot(slug: str) -> Call:
    """Delete a snapshot."""
    path = f"/snapshots/{path_segment('snapshot slug', slug)}"
    return Call("DELETE", path, f"delete the snapshot {slug}", "delete")


def path_segment(what: str, value: object) -> str:
    """Return `value` as one segment of a path; raise InputError for a value that would address another endpoint."""
    if not isinstance(value, str):
        raise InputError(f"{what}: expected a text, got {value!r}. Nothing was sent.")
    if not value.strip() or value.strip(".") == "" or not value.isprintable() or value != value.strip():
        raise InputError(f"{what}: {value!r} is not a possible value. Nothing was sent.")
    return quote(value, safe="")
