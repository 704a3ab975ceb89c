"""What precedes an apply: its arguments are checked, its rows are recent, its locks are held, its flow is ready."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import get_args

from lcnb.api.flows import Flow
from lcnb.changes.change import Change
from lcnb.changes.client_protocol import ChangeClient
from lcnb.changes.journal import Journal
from lcnb.changes.locks import lock_machines
from lcnb.changes.sending import ApplyFlow
from lcnb.changes.session import ApplySession
from lcnb.changes.tasks import ChangeTask, OnError, Progress, ReachLevel, Wait, apply_rules
from lcnb.config import Settings
from lcnb.errors import ConfigError, Drifted, InputError
from lcnb.flags import checked_flag
from lcnb.transport.budget import budget_key

#: Seconds that waiting for final states may take.
DEFAULT_WAIT_S = 1200.0
#: Seconds that the rows of a selection may be old.
MAX_SELECTION_AGE_S = 900.0


def check_arguments(confirm: object, wait: object, timeout: float | None, on_error: str) -> None:
    """Raise InputError for an argument of `apply` or `resume` that cannot be right."""
    if confirm is not None and not isinstance(confirm, str) and not callable(confirm):
        checked_flag("confirm", confirm)
    if isinstance(wait, str):
        check_reach_level(wait)
    else:
        checked_flag("wait", wait)
    if on_error not in ("stop", "continue"):
        raise InputError(f"on_error: expected 'stop' or 'continue', got {on_error!r}. Nothing was sent.")
    if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout < math.inf):
        raise InputError(f"timeout: expected seconds above 0, got {timeout!r}. Nothing was sent.")


def reach_level(wait: Wait) -> ReachLevel | None:
    """Return what to wait for beyond the state that the provider shows. Raises as `check_reach_level`."""
    if isinstance(wait, str):
        check_reach_level(wait)
        return wait
    return None


def check_reach_level(level: str) -> None:
    """Raise InputError for an unknown level, ConfigError if asyncssh is not installed."""
    if level not in get_args(ReachLevel):
        raise InputError(
            field="wait",
            expected="True, False, " + " or ".join(map(repr, get_args(ReachLevel))),
            value=level,
            not_done="sent",
        )
    if find_spec("asyncssh") is None:
        raise ConfigError(
            "asyncssh is not installed",
            field="wait",
            value=level,
            cure="Install it: pip install 'lcnb[ssh]'.",
            not_done="sent",
        )


def check_may_answer(settings: Settings, wait: Wait) -> None:
    """Raise InputError for a wait until machines of the sandbox can be used: that would never end."""
    if settings.sandbox and isinstance(wait, str):
        raise InputError(
            "the machines of the sandbox are only records, and no SSH server answers at their addresses",
            field="wait",
            value=wait,
            cure="In the sandbox, wait until they run: --wait without a value (in Python: wait=True), or lcnb wait "
            "without --for.",
            not_done="sent",
        )


def check_selection_age(read_at: datetime | None) -> None:
    """Raise Drifted when the selected rows were read too long ago, or nobody knows when, since the clock went back."""
    if read_at is not None:
        age = (datetime.now(UTC) - read_at).total_seconds()
        if abs(age) > MAX_SELECTION_AGE_S:
            when = (
                f"{age / 60:.0f} minutes ago, more than {MAX_SELECTION_AGE_S / 60:.0f}"
                if age > 0
                else f"at {read_at:%Y-%m-%d %H:%M} UTC, which is in the future, so nobody knows how old they are"
            )
            raise Drifted(
                f"the rows were read {when}: the account may have changed since. Read the listing again and select the "
                "rows again. Nothing was sent."
            )


def wait_seconds(wait: Wait, timeout: float | None) -> float | None:
    """Return the seconds to wait for final states; None does not wait."""
    return (timeout or DEFAULT_WAIT_S) if wait else None


@contextmanager
def prepare_apply(
    client: ChangeClient,
    changeset: str,
    changes: Sequence[Change],
    *,
    wait: Wait,
    timeout: float | None,
    on_error: OnError,
    progress: Progress | None,
) -> Iterator[Flow[list[ChangeTask]]]:
    """Yield the flow that makes the changes, and hold their locks."""
    settings = client.settings
    rules = apply_rules(settings, on_error, wait_seconds(wait, timeout), reach_level(wait))
    tasks = [ChangeTask(change, position) for position, change in enumerate(changes)]
    journal = Journal(settings.state_dir)
    with lock_machines(client, changeset, changes) as locks:
        session = ApplySession(changeset, tasks, journal, rules, settings, client.clock, progress, locks)
        yield ApplyFlow(session).apply()


def check_settled(settings: Settings, wanted: Mapping[str, str]) -> None:
    """Raise AlreadyApplied when an open change of one of these things may still take effect.

    `wanted`: identifier → what is wanted, for the message.
    """
    rules = apply_rules(settings)
    Journal(settings.state_dir).check_settled(
        wanted,
        account=settings.account,
        base_url=settings.base_url,
        token=budget_key(settings.token),
        pending_s=rules.settle_s,
        attempt_s=rules.attempt_s,
    )
