"""`ChangeSet`: changes that are looked at, confirmed, and applied.

Every write goes this one way: the client's methods, a selection of rows, a desired state and the command line all
return a ChangeSet, and `apply` is the only thing that sends one. So a preview cannot differ from the real thing: it is
the ChangeSet before `apply`. A set that would interrupt or end a protected machine is refused when it is built, and
again when it is applied (see `protection`).
"""

from __future__ import annotations

import inspect
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self

from lcnb.api.calls import Call
from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.changes.client_protocol import ChangeClient
from lcnb.changes.journal import OPEN_STATES, Journal, JournalEntry
from lcnb.changes.outcomes_view import (
    count_outcomes,
    money_change,
    monthly_difference,
    next_steps,
    outcome_rows,
    outcomes_html,
    outcomes_text,
)
from lcnb.changes.plan_file import SavedPlan, read_plan, write_plan
from lcnb.changes.protection import check_protection
from lcnb.changes.results import apply_result, tasks_frame, unapplied_frame
from lcnb.changes.starting import check_arguments, check_may_answer, check_selection_age, prepare_apply
from lcnb.changes.tasks import ChangeTask, OnError, Progress, Wait
from lcnb.config import Settings, check_approved, check_writable
from lcnb.errors import ConfirmationMissing, InputError, JournalError
from lcnb.flags import checked_flag
from lcnb.names import comparable_name, same_name
from lcnb.notebook_kernel import current_kernel, is_in_kernel
from lcnb.rows import Column, rows_of
from lcnb.secret import Secret

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeVar

    #: What `apply` returns: a frame, or for AsyncLetsCloud a coroutine of one.
    R = TypeVar("R", default=pd.DataFrame)
else:
    from typing import TypeVar

    R = TypeVar("R")

__all__ = [
    "Change",
    "ChangeSet",
    "Confirm",
    "OnError",
    "Progress",
    "can_prompt",
    "prompt_confirmation",
]

#: True: apply. None: ask in a terminal or a notebook. A text: what has to be typed (`challenge`). A function: it is
#: called with the ChangeSet, and returns a bool.
Confirm = bool | str | None | Callable[["ChangeSet[Any]"], bool]


class ChangeSet(Generic[R]):
    """Changes to look at, and then to `apply`. Afterwards the same object shows their outcomes.

    `len(changes)`, iteration and `changes[0]` return the changes; `a + b` joins two sets; `to_frame()` returns a
    DataFrame. A notebook and a terminal show a preview. `apply` returns a frame; for AsyncLetsCloud it is awaited.

    >>> import lcnb
    >>> lc = lcnb.connect(sandbox=True)
    >>> changes = lc.power_off(label="web-01")
    >>> changes.to_frame()[["action", "target", "from", "to"]].values.tolist()
    [['power off', 'web-01', 'running', 'off']]
    """

    def __init__(
        self,
        changes: Sequence[Change],
        client: ChangeClient,
        *,
        notes: Sequence[str] = (),
        id: str | None = None,  # noqa: A002 - the field's own name
        read_at: datetime | None = None,
        begun: bool = False,
    ) -> None:
        self.changes: tuple[Change, ...] = tuple(changes)
        #: When the selected rows were read; None for what was read just now.
        self.read_at = read_at
        #: What was left out, and why: nothing to do, or not possible in place.
        self.notes: tuple[str, ...] = tuple(notes)
        #: The identity of this set, which is applied once and never again.
        self.id: str = id or secrets.token_hex(6)
        #: The frame of outcomes that `apply` returned, or its error carries; None before.
        self.result: pd.DataFrame | None = None
        #: The id of the run in which a second person approved these changes; "" without such a run.
        self.approved_in = ""
        self._client = client
        _check_duplicates(self.changes)
        if self.changes and not begun:  # what was sent has to be settled, and `resume` checks what was not
            check_protection(self.changes, client.settings)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __getitem__(self, position: int) -> Change:
        return self.changes[position]

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, ChangeSet):
            return NotImplemented
        if other._client is not self._client:
            raise InputError("these ChangeSets belong to two clients; apply each by itself")
        read_at = min((each.read_at for each in (self, other) if each.read_at), default=None)
        notes = [*self.notes, *other.notes]
        return type(self)([*self, *other], self._client, notes=notes, read_at=read_at)

    @property
    def settings(self) -> Settings:
        """The settings of the client that the changes belong to."""
        return self._client.settings

    @property
    def requests(self) -> list[tuple[str, str, dict[str, Any] | None]]:
        """The requests that would be sent: method, path, body with stars for secrets."""
        return [(each.call.method, each.call.path, each.call.masked_body()) for each in self]

    @property
    def irreversible(self) -> list[Change]:
        """The changes that cannot be undone."""
        return [each for each in self if action_of(each).irreversible]

    @property
    def challenge(self) -> str:
        """The text to type before `apply`; empty when none is needed."""
        return self._required_typing()[0]

    @property
    def challenge_reason(self) -> str:
        """The sentence that says why `challenge` has to be typed; empty when nothing has to be typed.

        The terminal and the forms show it before they ask for the text.
        """
        return self._required_typing()[1]

    def _required_typing(self) -> tuple[str, str]:
        """Return what has to be typed before `apply`, and the reason; a new reason is added here only."""
        targets = list(dict.fromkeys(each.target for each in self.irreversible))
        if not targets:
            return "", ""
        return (targets[0] if len(targets) == 1 else f"{len(targets)} irreversible"), "This cannot be undone."

    def monthly_difference(self) -> dict[str, float]:
        """Return the difference in monthly cost, by currency code."""
        return monthly_difference([vars(each) for each in self])

    # --- previews ----------------------------------------------------------------------------------------

    def to_frame(self) -> pd.DataFrame:
        """Return one row per change.

        Columns: action, target, identifier, from, to, monthly_before and monthly_after (`Float64`, in the currency of
        currencycode), currencycode, irreversible (`boolean`), request, body (secrets as stars).
        """
        return rows_of(self, _CHANGE_COLUMNS, kind="changes", changeset=self.id).frame()

    def summary(self) -> str:
        """Return one line: the number of changes, their cost, and how many cannot be undone."""
        if not self.changes:
            return "; ".join(["nothing to do", *self.notes])
        parts = [f"{len(self)} change{'s' if len(self) > 1 else ''}"]
        parts += [f"{value:+,.2f} {code} a month" for code, value in self.monthly_difference().items()]
        if self.irreversible:
            parts.append(f"{len(self.irreversible)} cannot be undone")
        return ", ".join(parts)

    def status(self) -> str:
        """Return in a few words whether the changes were made: `not applied`, or the number of each outcome.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> changes = lc.rename_snapshot(lc.snapshots().slug[0], "before the upgrade")
        >>> changes.status()
        'not applied'
        >>> _ = changes.apply(confirm=True)
        >>> changes.status()
        '1 done'
        """
        if self.result is not None:
            return count_outcomes(self.result["outcome"])
        entries = self._journal_entries()
        if not entries:
            return "not applied"
        if any(each.state in OPEN_STATES for each in entries):
            return f"begun, `lcnb resume {self.id}` finds out what happened"
        return f"applied before: {count_outcomes(each.state for each in entries)}"

    def _journal_entries(self) -> list[JournalEntry]:
        """Return what the journal knows of this set: another process, or an interrupted cell, may have applied it."""
        try:
            return Journal(self.settings.state_dir).entries(self.id)
        except JournalError:
            return []  # `apply` reports it

    def __repr__(self) -> str:
        if self.result is not None:
            return outcomes_text(self.id, *self._outcomes(self.result))
        lines = [f"ChangeSet {self.id}: {self.summary()}; {self.status()}"]
        lines += [f"  {number}. {_change_line(each)}" for number, each in enumerate(self, 1)]
        lines += [f"  note: {note}" for note in self.notes if self.changes]
        return "\n".join(lines)

    def _outcomes(self, result: pd.DataFrame) -> tuple[list[dict[str, Any]], Sequence[str], Sequence[str]]:
        """Return what is shown after `apply`: the changes with their outcomes, the notes, and what is next."""
        return outcome_rows(self.changes, result), self.notes, next_steps(result)

    def _repr_html_(self) -> str:
        if self.result is not None:
            return outcomes_html(self.id, *self._outcomes(self.result))
        return self.preview_html(self.status())

    def preview_html(self, status: str = "not applied", *, with_notes: bool = True) -> str:
        """Return the preview as HTML: what the changes cost, the changes, the notes and the exact requests.

        `status`: what is said about their progress. `with_notes`: False for a form, which shows the notes elsewhere.
        """
        from lcnb.display.markup import Html
        from lcnb.display.panels import cards, details
        from lcnb.display.tables import table

        figures: dict[str, object] = {f"change{'s' if len(self) > 1 else ''}, {status}": len(self)}
        figures |= {f"{code} a month": f"{value:+,.2f}" for code, value in self.monthly_difference().items()}
        if self.irreversible:
            figures["cannot be undone"] = len(self.irreversible)
        requests = [
            f"{each.call.method} {each.call.path}  {_body_text(each.call) or ''}".rstrip() for each in self
        ]
        parts = [
            *([cards(figures, warn=["cannot be undone"])] if self.changes else []),
            table(self.preview_frame(), empty="Nothing to do."),
            *([details("Notes", self.notes)] if self.notes and with_notes else []),
            *([details("The exact requests", requests)] if requests else []),
        ]
        return Html.joined(parts, repr(self))._repr_html_()

    def preview_frame(self) -> pd.DataFrame:
        """Return the frame as people read it: prices in one column, and a note for what cannot be undone."""
        columns = [*_PREVIEW_COLUMNS, *([_IRREVERSIBLE_COLUMN] if self.irreversible else [])]
        return rows_of(self, columns).frame()

    # --- plan files ----------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the plan to a file (mode 0600, no secrets in it), for `lc.load_changes(path)` or `lcnb apply`."""
        plan = SavedPlan(self.id, self.notes, self.changes)
        return write_plan(path, plan, self._client.settings)

    @classmethod
    def load(
        cls,
        path: str | Path,
        client: ChangeClient,
        passwords: Mapping[str, Secret] | None = None,
    ) -> Self:
        """Read a plan that `save` wrote. InputError when the file is not such a plan, or is of another account.

        `passwords`: label → a typed password, which the plan does not hold.
        """
        plan = read_plan(path, client.settings, passwords)
        return cls(plan.changes, client, notes=plan.notes, id=plan.id)

    # --- confirming and applying ------------------------------------------------------------------------

    @property
    def is_async(self) -> bool:
        """Whether `apply` has to be awaited, because AsyncLetsCloud built the changes."""
        return inspect.iscoroutinefunction(self._client._wire.run)

    def apply(
        self,
        confirm: Confirm = None,
        *,
        wait: Wait = False,
        timeout: float | None = None,
        on_error: OnError = "stop",
        progress: Progress | None = None,
    ) -> R:
        """Make the changes: each is journaled, sent once, and settled when its outcome is unknown.

        The ChangeSets of AsyncLetsCloud are awaited: `await changes.apply(...)`.

        Args:
            confirm: True when it has been confirmed; the text that has to be typed (`challenge`), such as the label of
                the machine to delete; None asks in a terminal or a notebook, and refuses elsewhere; a function is
                called with the ChangeSet.
            wait: True: wait until each machine or snapshot is in its final state (ready, off, gone, built). "ssh": also
                until each machine that was created or started answers by SSH; its host key is recorded in `known_hosts`
                next to lcnb.toml. "cloud-init": also until its cloud-init has ended, which needs a login by key. Both
                need `pip install 'lcnb[ssh]'`.
            timeout: seconds that waiting may take (1,200).
            on_error: `stop` at the first change that fails and raise ChangeFailed; `continue` with the others and
                report failures in the result.
            progress: called with the number of changes that have ended, of all changes, and the current step.

        Returns a frame with one row per change: change, action, target, identifier, outcome (done, failed, unknown,
        twins, not tried), detail, tries, seconds. Raises ConfirmationMissing, ApprovalMissing, ReadOnly, Protected,
        Drifted and AlreadyApplied (nothing was sent), ChangeFailed, WaitTimeout (`.result` is the frame), JournalError.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.rename_snapshot(lc.snapshots().slug[0], "kept").apply(confirm=True).outcome.tolist()
        ['done']
        """
        how: dict[str, Any] = {"wait": wait, "timeout": timeout, "on_error": on_error, "progress": progress}
        result: Any = self._apply_async(confirm, **how) if self.is_async else self._apply_sync(confirm, **how)
        return result  # type: ignore[no-any-return]

    def _apply_sync(self, confirm: Confirm, **how: Any) -> pd.DataFrame:
        if not self._is_to_be_applied(confirm, **how):
            return unapplied_frame(self.id, self.changes, self.notes)
        with prepare_apply(self._client, self.id, self.changes, **how) as flow:
            tasks: list[ChangeTask] = self._client._wire.run(flow, each_call=True)
        return self._end(tasks, how["on_error"])

    async def _apply_async(self, confirm: Confirm, **how: Any) -> pd.DataFrame:
        if not self._is_to_be_applied(confirm, **how):
            return unapplied_frame(self.id, self.changes, self.notes)
        with prepare_apply(self._client, self.id, self.changes, **how) as flow:
            tasks: list[ChangeTask] = await self._client._wire.run(flow, each_call=True)
        return self._end(tasks, how["on_error"])

    def _end(self, tasks: Sequence[ChangeTask], on_error: str) -> pd.DataFrame:
        """Keep the outcomes, and return them or raise the error that carries them."""
        self.result = tasks_frame(self.id, tasks, self.notes)
        if is_in_kernel() and can_prompt():  # the frame that a cell shows has no room for it
            print("\n".join(next_steps(self.result)))
        return apply_result(self.id, tasks, self.result, on_error)

    def _is_to_be_applied(
        self, confirm: Confirm, *, wait: Wait, timeout: float | None, on_error: OnError, progress: object
    ) -> bool:
        """Whether there are changes, the arguments are right, and the changes are confirmed.

        What is refused in any case is refused before somebody is asked.
        """
        check_arguments(confirm, wait, timeout, on_error)
        check_may_answer(self.settings, wait)
        check_selection_age(self.read_at)
        if not self.changes:
            return False
        self.check_allowed()
        return self.confirmed(confirm)

    def check_allowed(self) -> None:
        """Raise AlreadyApplied, ReadOnly, ApprovalMissing or Protected if `apply` would.

        InputError if the facts file cannot be read.

        >>> import lcnb
        >>> lc = lcnb.connect(sandbox=True)
        >>> lc.power_off(label="web-01").check_allowed()
        """
        Journal(self.settings.state_dir).check_new(self.id)
        check_writable(self.settings)
        check_approved(self.settings, bool(self.approved_in))
        check_protection(self.changes, self.settings)

    def confirmed(self, confirm: Confirm) -> bool:
        """Return whether to apply. ConfirmationMissing where `confirm` is None and nobody can be asked.

        InputError when `confirm` is another text than `challenge`, or it, or the answer of its function, is neither
        True nor False.
        """
        if confirm is None:
            if not can_prompt():
                raise ConfirmationMissing(
                    f"{self.summary()}: nobody confirmed, and nobody can be asked here. Nothing was sent. Once you "
                    "have looked at it, add --yes to the command (in Python: apply(confirm=True))."
                )
            return prompt_confirmation(self)
        if callable(confirm):
            return checked_flag("the answer of confirm", confirm(self))
        if isinstance(confirm, str):
            return self._check_typed(confirm)
        return checked_flag("confirm", confirm)

    def _check_typed(self, text: str) -> bool:
        """Return True for the text that has to be typed; InputError for any other."""
        wanted = self.challenge
        if not wanted:
            return checked_flag("confirm", text, cure="These changes need no typed text: pass confirm=True.")
        if not same_name(text, wanted):
            raise InputError(
                field="confirm",
                expected=f"the text {wanted!r}",
                value=text,
                cure=self.challenge_reason,
                not_done="sent",
            )
        return True


# --- prompts ---------------------------------------------------------------------------------------------


def can_prompt() -> bool:
    """Whether somebody can be asked: at a terminal, or at a notebook whose front end can answer."""
    kernel = current_kernel()
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def prompt_confirmation(changes: ChangeSet[Any]) -> bool:
    """Show the changes and ask. If the changes have a challenge, it is typed as the confirmation."""
    if is_in_kernel():
        from IPython.display import display

        display(changes)  # type: ignore[no-untyped-call]
    else:
        from lcnb.display.previews import print_changes

        print_changes(changes)
    wanted = changes.challenge
    if not wanted:
        return typed_answer("Apply? Type yes: ").lower() in ("y", "yes")
    answer = typed_answer(f"{changes.challenge_reason} Type {wanted!r} to go on: ")
    confirmed = same_name(answer, wanted)
    if answer and not confirmed:
        print(f"{answer!r} was typed, and not {wanted!r}", file=sys.stderr)
    return confirmed


def typed_answer(question: str, note: str = "not confirmed: nothing was sent") -> str:
    """Ask a person. The end of the input (Ctrl-D) is an empty answer; after Ctrl-C `note` says what was done."""
    try:
        return input(question).strip()
    except EOFError:
        print()
        return ""
    except KeyboardInterrupt as stop:
        stop.add_note(note)
        raise


# --- details --------------------------------------------------------------------------------------------


def _check_duplicates(changes: Sequence[Change]) -> None:
    """Raise InputError when one change occurs twice: two creates of one label would make twins."""
    seen: set[tuple[str, str]] = set()
    for each in changes:
        key = (each.action, each.identifier or comparable_name(each.target))
        if key in seen:
            raise InputError(f"{each.action} {each.target} is in this ChangeSet twice. Nothing was sent.")
        seen.add(key)


def _body_text(call: Call) -> str | None:
    body = call.masked_body()
    return None if body is None else json.dumps(body, ensure_ascii=False)


def _price_text(change: Change) -> str | None:
    return money_change(
        change.monthly_before, change.monthly_after, change.currencycode, change.currencycode_before
    )


def _change_line(change: Change) -> str:
    text = f"{change.action} {change.target}"
    if change.before or change.after:
        text += f": {change.before or '–'} → {change.after or '–'}"
    if _price_text(change):
        text += f" ({_price_text(change)} a month)"
    if action_of(change).irreversible:
        text += " – cannot be undone"
    return f"{text}  [{change.call.method} {change.call.path}]"


# --- columns --------------------------------------------------------------------------------------------

_CHANGE_COLUMNS: Sequence[Column[Change]] = (
    ("action", "str", lambda each: each.action),
    ("target", "str", lambda each: each.target),
    ("identifier", "str", lambda each: each.identifier),
    ("from", "str", lambda each: each.before),
    ("to", "str", lambda each: each.after),
    ("monthly_before", "Float64", lambda each: each.monthly_before),
    ("monthly_after", "Float64", lambda each: each.monthly_after),
    ("currencycode", "str", lambda each: each.currencycode),
    ("irreversible", "boolean", lambda each: action_of(each).irreversible),
    ("request", "str", lambda each: f"{each.call.method} {each.call.path}"),
    ("body", "str", lambda each: _body_text(each.call)),
)
_PREVIEW_COLUMNS: Sequence[Column[Change]] = (
    ("action", "str", lambda each: each.action),
    ("target", "str", lambda each: each.target),
    ("from", "str", lambda each: each.before or None),
    ("to", "str", lambda each: each.after or None),
    ("a month", "str", _price_text),
)
_IRREVERSIBLE_COLUMN: Column[Change] = (
    "note",
    "str",
    lambda each: "cannot be undone" if action_of(each).irreversible else "",
)
