"""Continue a ChangeSet from the journal: settle what was sent, make what was planned.

A planned change of a machine that is protected by now is not sent, and ends as failed. In a read-only account what was
sent is settled by reading, and what was planned stays open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from lcnb.changes.change import Change
from lcnb.changes.changeset import ChangeSet, Confirm
from lcnb.changes.client_protocol import ChangeClient
from lcnb.changes.journal import ChangeSetOwner, Journal, JournalEntry
from lcnb.changes.locks import lock_machines
from lcnb.changes.machine_locks import ChangeLocks
from lcnb.changes.sending import ApplyFlow
from lcnb.changes.session import ApplySession
from lcnb.changes.starting import check_arguments, check_may_answer, reach_level, wait_seconds
from lcnb.changes.tasks import ApplyRules, ChangeTask, OnError, Progress, Wait, apply_rules
from lcnb.config import Settings
from lcnb.errors import AlreadyApplied, InputError, Locked
from lcnb.names import comparable_name
from lcnb.secret import STARS, Secret
from lcnb.suggestions import did_you_mean
from lcnb.transport.budget import budget_key


def open_changesets(client: ChangeClient, changeset: str | None) -> list[str]:
    """Return the ChangeSets of this account that have changes without an outcome, the oldest first.

    `changeset`: only this one; InputError when the journal does not have it, or when it is of another account.
    """
    settings = client.settings
    journal = Journal(settings.state_dir)
    owners = journal.owners()
    if changeset is not None and changeset not in owners:
        raise InputError(
            f"the journal {journal.path} has no ChangeSet {changeset!r}{did_you_mean(changeset, owners)}. "
            "`lcnb pending` lists those that are open. Nothing was sent."
        )
    found = list(dict.fromkeys(each.changeset for each in journal.entries(changeset, pending=True)))
    mine = [name for name in found if _belongs_to(owners[name], settings)]
    if changeset is not None and found and not mine:
        raise InputError(_other_account_message(owners[changeset], settings))
    return mine


def _other_account_message(owner: ChangeSetOwner, settings: Settings) -> str:
    return (
        f"the ChangeSet {owner.id} is of {owner.account or owner.base_url}, this client of "
        f"{settings.account or settings.base_url}, or of another token. Nothing was sent."
    )


def _belongs_to(owner: ChangeSetOwner, settings: Settings) -> bool:
    """Whether a ChangeSet is of this account; without an account name the token decides.

    In another account a machine that was made would look absent, and would be made again.
    """
    if (owner.account, owner.base_url) != (settings.account, settings.base_url):
        return False
    return owner.account is not None or owner.token == budget_key(settings.token)


def unfinished_changes(client: ChangeClient, changeset: str) -> ChangeSet[Any]:
    """Return the changes of a ChangeSet that have no outcome yet, for a look before they are resumed."""
    entries = Journal(client.settings.state_dir).entries(changeset, pending=True)
    changes = [Change.from_plan(entry.plan, allow_new_password=True) for entry in entries]
    return ChangeSet(changes, client, id=changeset, begun=True)


@contextmanager
def prepare_resume(
    client: ChangeClient,
    changeset: str,
    confirm: Confirm,
    wait: Wait,
    timeout: float | None,
    on_error: OnError,
    passwords: Mapping[str, Secret] | None,
    progress: Progress | None,
    *,
    others: bool,
) -> Iterator[ApplyFlow | None]:
    """Yield the flow for the rest of a ChangeSet, and hold its locks; None when it was not confirmed.

    `others`: it is one of several ChangeSets. One that another process is working on is then left to that process, and
    the flow is None.
    """
    left = unfinished_changes(client, changeset)
    check_arguments(confirm, wait, timeout, on_error)
    check_may_answer(client.settings, wait)
    if not len(left) or not left.confirmed(confirm):
        yield None
        return
    rules = apply_rules(client.settings, on_error, wait_seconds(wait, timeout), reach_level(wait))
    with ExitStack() as held:
        try:
            locks = held.enter_context(lock_machines(client, changeset, left.changes))
        except (AlreadyApplied, Locked):
            if not others:
                raise
            yield None
            return
        yield restore_flow(client, changeset, passwords or {}, rules, progress, locks)


def restore_flow(
    client: ChangeClient,
    changeset: str,
    passwords: Mapping[str, Secret],
    rules: ApplyRules,
    progress: Progress | None = None,
    locks: ChangeLocks | None = None,
) -> ApplyFlow:
    """Return the flow of a ChangeSet as the journal has it.

    `passwords`: label → a typed password, passed again. `locks`: the locks across machines, where they are configured.
    """
    given = {comparable_name(label): password for label, password in passwords.items()}
    settings = client.settings
    journal = Journal(settings.state_dir)
    tasks = [
        _restore_task(entry, given, client.clock(), journal.certain_age_s(entry, rules.attempt_s))
        for entry in journal.entries(changeset)
    ]
    return ApplyFlow(ApplySession(changeset, tasks, journal, rules, settings, client.clock, progress, locks))


def _restore_task(
    entry: JournalEntry, passwords: Mapping[str, Secret], now_s: float, age_s: float
) -> ChangeTask:
    """Return the task of a journal entry.

    `now_s`: the time of the client's clock. `age_s`: the seconds that have certainly passed since its last attempt
    ended.
    """
    password = passwords.get(comparable_name(entry.target))
    change = Change.from_plan(entry.plan, password, allow_new_password=True)
    task = ChangeTask(change, entry.position, identifier=entry.identifier, tries=entry.tries)
    typed = STARS in (entry.body or {}).values() and not change.made_password
    task.renewed = typed and password is None
    task.known = frozenset(entry.known or ())
    if entry.state == "sent" and entry.sent_at:
        task.state, task.sent_at = "uncertain", now_s - age_s
        task.detail = entry.detail or "interrupted before its outcome was known"
    elif entry.state != "planned":
        task.state, task.detail, task.ended = entry.state, entry.detail or "", now_s
    return task
