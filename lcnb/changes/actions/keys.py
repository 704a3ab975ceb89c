"""The actions on ssh keys: add, replace, generate, delete."""

from __future__ import annotations

import os
import shlex
from os import PathLike
from pathlib import Path

from lcnb.api import calls
from lcnb.api.flows import Envelope, Flow, LocalWork
from lcnb.api.key_pairs import find_key_pair
from lcnb.api.models import SSHKey
from lcnb.changes.actions.base import ABSENT, SHOWN, Action, Evidence, SimilarChanges, TaskOutcome
from lcnb.changes.built import BuiltChanges
from lcnb.changes.change import Change
from lcnb.changes.key_files import read_key_file, remove_key, try_key_file, write_key
from lcnb.changes.key_material import (
    SERVER_PAIR_WARNING,
    checked_public_key,
    create_key_pair,
    key_fingerprint,
    key_weakness,
    same_key,
)
from lcnb.changes.live_account import LiveAccount
from lcnb.changes.lookups import find_sshkey
from lcnb.changes.name_rules import NOTHING_SENT, checked_label, slug_of
from lcnb.changes.reading import ReadCache, read_sshkeys
from lcnb.changes.tasks import ChangeTask
from lcnb.errors import InputError
from lcnb.flags import checked_flag
from lcnb.secret import Secret


class KeyAction(Action):
    """An action on an ssh key; the slug that the provider makes of the title identifies it."""

    kind = "sshkey"
    target_can_be_busy = False

    def find_drift(self, change: Change, live: LiveAccount, *, label_only: bool = False) -> str:
        """Return a problem when the key is not the one that was planned for."""
        found = self.find_target(change, live)
        now = found[0].public_key if found else None
        planned = change.expect.get("public_key")
        return "" if now == planned else f"the ssh key {change.identifier} is not what it was"

    def take_response(self, task: ChangeTask, envelope: Envelope) -> Flow[TaskOutcome | None]:
        """Keep the slug that the provider gave; the key may come into force after the response."""
        yield from ()
        task.identifier = envelope.slug or task.identifier
        return None


class AddKey(KeyAction):
    """Add a public key, or a pair that lcnb generated: its private half is on the disk before the request."""

    name = "add ssh key"

    def request_of(self, change: Change) -> calls.Call:
        """Return the request with the public key of a change, or for a pair of the provider."""
        key = (change.call.body or {}).get("key")
        return calls.generate_sshkey(change.target) if key is None else calls.add_sshkey(change.target, key)

    def prepare(self, change: Change) -> Flow[str | None]:
        """Make sure that the private half is stored, or can be stored when the provider sends it."""
        problem: str | None = None
        if change.private_key is not None:
            problem = yield LocalWork("write key", lambda: write_key(change, change.private_key))
        elif change.key_file is not None and _is_generated(change):
            problem = yield LocalWork("try key file", lambda: try_key_file(change))
        elif change.key_file is not None:  # the pair comes from a plan file or from an earlier process
            problem = yield LocalWork("read key file", lambda: read_key_file(change))
        return problem

    def undo_preparation(self, change: Change) -> Flow[None]:
        """Delete a private half that belongs to no key of the account."""
        if change.private_key is not None:
            yield LocalWork("remove key", lambda: remove_key(change))

    def take_response(self, task: ChangeTask, envelope: Envelope) -> Flow[TaskOutcome | None]:
        """Keep the private half of a pair that the provider generated, else the slug."""
        if _is_generated(task.change):
            return (yield from _keep_pair(task, envelope))
        return (yield from super().take_response(task, envelope))

    def next_step(self, task: ChangeTask) -> str:
        """Return where the private half is, and how to use the key."""
        slug, file = task.identifier or task.change.identifier, task.change.key_file
        use = f"New machines get it with `lcnb create ... --ssh-key {slug}`"
        if file is None:
            return f"{use}."
        name = shlex.quote(str(file))
        return f"The private key is in {name}, and nowhere else. {use}; then: ssh -i {name} root@ADDRESS."

    def find_evidence(self, task: ChangeTask, live: LiveAccount, similar: SimilarChanges) -> Evidence:
        """Compare the key of the account with the one that was sent, or with the one of the response."""
        change = task.change
        found = self.find_target(change, live, task.identifier)
        now = found[0].public_key if found else None
        if _is_generated(change) and task.public_key is None:
            if now == change.expect.get("public_key"):
                return ABSENT
            detail = "the pair was made, but its private half was lost with the response; delete it"
            return Evidence("lost", change.identifier, detail)
        sent = task.public_key or str((change.call.body or {}).get("key"))
        return Evidence("shown" if same_key(now, sent) else "absent", change.identifier)


class ReplaceKey(AddKey):
    """Put another key in the place of one with the same title; the old one is lost."""

    name = "replace ssh key"
    irreversible = True


class GenerateKey(AddKey):
    """Let the provider generate a pair. One response holds the private half, and none after it."""

    name = "generate ssh key"
    creates = True


class DeleteKey(KeyAction):
    """Delete a key of the account; machines that have it keep it."""

    name = "delete ssh key"
    irreversible = True
    deletes = True

    def request_of(self, change: Change) -> calls.Call:
        """Return the request that deletes the key of a change."""
        return calls.delete_sshkey(change.identifier or "")

    def build(self, cache: ReadCache, slug: str) -> Flow[BuiltChanges]:
        """Build the change of a key that exists."""
        calls.path_segment("ssh key slug", slug)
        key = yield from find_sshkey(cache, slug)
        before = key_fingerprint(key.public_key) if key.public_key else ""
        call, expect = calls.delete_sshkey(slug), {"public_key": key.public_key}
        return BuiltChanges([Change(self.name, slug, call, slug, before, "gone", expect=expect)])

    def find_evidence(self, task: ChangeTask, live: LiveAccount, similar: SimilarChanges) -> Evidence:
        """Look for the key under both slugs: the planned one and the one of the response."""
        found = self.find_target(task.change, live, task.identifier)
        gone = found is None and not live.may_hide(self.kind, task.change.target)
        return SHOWN if gone else ABSENT


# --- building -------------------------------------------------------------------------------------------


def add_key(
    cache: ReadCache,
    title: str,
    public_key: str,
    *,
    replace: bool,
    private_key: Secret | None = None,
    file: str | None = None,
) -> Flow[BuiltChanges]:
    """Build the change that adds a public key.

    A title that is taken needs `replace`, since the provider overwrites silently.
    """
    slug = slug_of(title)
    line = checked_public_key(public_key)
    old = yield from _existing_key(cache, title, slug, replace)
    if old is not None and old.public_key and same_key(old.public_key, line):
        return BuiltChanges([], [f"the ssh key {slug} is this one already"], {slug: f"add ssh key {slug}"})
    change = Change(
        ReplaceKey.name if old else AddKey.name,
        title,
        calls.add_sshkey(title, line),
        identifier=slug,
        before=key_fingerprint(old.public_key) if old and old.public_key else "",
        after=key_fingerprint(line),
        expect={"public_key": old.public_key if old else None},
        key_file=file,
        private_key=private_key,
    )
    weak = key_weakness(line)
    return BuiltChanges([change], [f"{title}: {weak}"] if weak else [])


def generate_key(
    cache: ReadCache, title: str, file: str | PathLike[str], *, kind: str, replace: bool, on_server: bool
) -> Flow[BuiltChanges]:
    """Build the change that adds a new pair, generated here or by the provider.

    `file`: where the private half is written; it must not exist. `kind`: ed25519 or rsa, for a pair generated here.
    """
    checked_flag("generate_on_server", on_server)
    path = _free_key_file(file)
    if on_server:
        return (yield from _generate_server_pair(cache, title, path, replace=replace))
    public, private = create_key_pair(kind)
    line = f"{public} {slug_of(title)}"
    return (yield from add_key(cache, title, line, replace=replace, private_key=private, file=path))


def _free_key_file(file: str | PathLike[str]) -> str:
    """Return the absolute path of a file that does not exist, in a folder that can be written to; else InputError."""
    path = Path(file).expanduser().absolute()
    if path.exists():
        problem = "exists, and is not overwritten"
    elif not path.parent.is_dir():
        problem = "has no folder to be in"
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        problem = "has a folder that cannot be written to"
    else:
        return str(path)
    raise InputError(f"file {path}: it {problem}. {NOTHING_SENT}")


def _generate_server_pair(cache: ReadCache, title: str, file: str, *, replace: bool) -> Flow[BuiltChanges]:
    slug = slug_of(title)
    old = yield from _existing_key(cache, title, slug, replace)
    change = Change(
        ReplaceKey.name if old else GenerateKey.name,
        title,
        calls.generate_sshkey(title),
        identifier=slug,
        before=key_fingerprint(old.public_key) if old and old.public_key else "",
        after=f"a pair made by the provider; private half to {file}",
        expect={"public_key": old.public_key if old else None},
        key_file=file,
    )
    return BuiltChanges([change], [SERVER_PAIR_WARNING])


def _existing_key(cache: ReadCache, title: str, slug: str, replace: bool) -> Flow[SSHKey | None]:
    checked_label(title, "title")
    checked_flag("replace", replace)
    for each in (yield from read_sshkeys(cache)):
        if each.slug == slug:
            if not replace:
                raise InputError(
                    f"title {title!r}: the account has the ssh key {slug}, which would be overwritten. Another "
                    f"title, or replace=True. {NOTHING_SENT}"
                )
            return each
    return None


# --- pairs of the provider ------------------------------------------------------------------------------


def _is_generated(change: Change) -> bool:
    """Whether the provider generates the pair; otherwise the request holds the public key."""
    return change.call.effect == "create"


def _keep_pair(task: ChangeTask, envelope: Envelope) -> Flow[TaskOutcome | None]:
    """Write the private half to the disk before anything else, since only this response holds it."""
    pair = find_key_pair(envelope.document)
    if pair is None:
        return TaskOutcome(
            "failed",
            "the provider made a key, but no private half was found in its response; delete it",
            envelope.slug,
        )
    task.identifier = pair.slug or task.change.identifier
    problem = yield LocalWork("write key", lambda: write_key(task.change, pair.private_key))
    if isinstance(problem, str):
        return TaskOutcome("failed", f"the pair was made, but its private half is lost: {problem}; delete it")
    task.note = key_weakness(pair.public_key)
    task.public_key = pair.public_key
    return TaskOutcome("done") if pair.public_key is None else None
