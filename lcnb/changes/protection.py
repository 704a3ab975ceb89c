"""Which changes the facts file or the settings refuse: protected machines and read-only accounts.

Which actions a protection refuses is stated by the actions (`Action.refused_when_protected`). Each check reads the
facts file again: another process may have protected a machine since. While it cannot be read, these changes are
refused, because a protection may be among the unreadable lines. A machine is found by its identifier only, so that one
that was rebuilt under the same label is not taken for the protected one.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from lcnb.api import calls
from lcnb.api.calls import Call
from lcnb.changes.actions import action_of
from lcnb.changes.change import Change
from lcnb.changes.refusals import refusal_error
from lcnb.config import Settings, check_writable
from lcnb.errors import ChangesRefused, InputError, LcnbError, Protected
from lcnb.facts.facts_file import FactsFile
from lcnb.facts.machine_facts import MachineFacts, format_time
from lcnb.refused_machine import RefusedMachine

#: Machines that the cure of a message names; for more it says LABEL.
MAX_LABELS_IN_CURE = 5
#: How many protected machines the text of an error names: of thousands nobody would read the cure at its end.
MAX_MACHINES_NAMED = 20


#: The path of the facts file that was read last, its content, and the protected machines in it.
_last_read: tuple[Path, bytes, dict[str, MachineFacts]] | None = None


def read_protected(settings: Settings) -> dict[str, MachineFacts]:
    """Return the protected machines of an account, by identifier. Raises InputError if the file cannot be read.

    The file is read each time, and parsed when its content has changed: a set of many machines reads it for each.
    """
    global _last_read
    path = settings.facts_path
    content = _read_content(path)
    last = _last_read
    if last is not None and content is not None and last[:2] == (path, content):
        return last[2]
    try:
        facts = FactsFile(path).read()
    except InputError as error:
        cure = error.cure or "Correct the file: while it cannot be read, every machine counts as protected."
        raise error.restate(cure=cure, not_done="sent") from None
    protected = {identifier: each for identifier, each in facts.items() if each.protected}
    if content is not None and content == _read_content(path):
        _last_read = path, content, protected
    return protected


def _read_content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None  # missing, or unreadable: `FactsFile.read` decides which


def check_protection(changes: Iterable[Change], settings: Settings) -> None:
    """Raise Protected, which lists all protected machines, if a change would interrupt or end one.

    Raises InputError if there is such a change and the facts file cannot be read.
    """
    _refuse_protected({name: each.target for each in changes for name in _guarded_machines(each)}, settings)


def refused_machines_error(
    changes: Iterable[Change], refused: Sequence[RefusedMachine], settings: Settings
) -> ChangesRefused:
    """Return the error for machines that cannot be changed now, with the protected ones among the other changes.

    Raises InputError if there are changes that a protection could refuse and the facts file cannot be read.
    """
    try:
        check_protection(changes, settings)
    except Protected as error:
        return refusal_error([*refused, *error.refused])
    return refusal_error(refused)


def check_call(call: Call, settings: Settings) -> None:
    """Raise Protected for a single call that would interrupt or end a protected machine; InputError as above.

    A call of a machine that lcnb does not know is refused too: nobody knows what it does.
    """
    _refuse_protected({name: name for name in _machines_of_call(call)}, settings)


def find_refusal(change: Change, settings: Settings) -> str:
    """Return why a change of a set that is being applied must not be sent now; "" if it may be.

    The account is read-only, the machine is protected, or the facts file cannot be read.
    """
    try:
        check_writable(settings)
        check_protection([change], settings)
    except LcnbError as error:
        return error.statement
    return ""


def _refuse_protected(guarded: Mapping[str, str], settings: Settings) -> None:
    """Raise Protected if one of these machines is protected. `guarded`: identifier → what to call the machine."""
    if not guarded:
        return
    protected = read_protected(settings)
    found = {identifier: protected[identifier] for identifier in guarded if identifier in protected}
    if found:
        labels = {identifier: guarded[identifier] for identifier in found}
        named = [
            f"{labels[identifier]} ({identifier}) is {_describe(each)}" for identifier, each in found.items()
        ]
        others = len(named) - MAX_MACHINES_NAMED
        more = [f"and {others} more, whose identifiers are in the error's .machines"] if others > 0 else []
        raise Protected(
            "; ".join(named[:MAX_MACHINES_NAMED] + more),
            cure=_cure(labels, settings.account),
            not_done="sent",
            machines=tuple(found),
            refused=tuple(
                RefusedMachine(labels[identifier], identifier, _describe(each), "protected")
                for identifier, each in found.items()
            ),
        )


def _describe(facts: MachineFacts) -> str:
    """Return who protected a machine and when, as a clause."""
    protection = facts.protection
    by = f" by {protection.by}" if protection and protection.by else ""
    since = f" since {format_time(protection.at)}" if protection and protection.at else ""
    return f"protected{by}{since}"


def _cure(labels: Mapping[str, str], account: str | None) -> str:
    # A label that begins with - would be read as an option.
    names = [identifier if label.startswith("-") else label for identifier, label in labels.items()]
    shown = names if len(names) <= MAX_LABELS_IN_CURE else ["LABEL"]
    words = ["lcnb", "unprotect", *shown, *(["--account", account] if account else [])]
    python = json.dumps(shown[0] if len(shown) == 1 else shown, ensure_ascii=False)
    this = "this machine" if len(names) == 1 else "these machines"
    return f"Leave {this} out, or lift the protection first: `{shlex.join(words)}`, in Python lc.unprotect({python})."


# --- which machines a change or a call needs unprotected -----------------------------------------------


def _guarded_machines(change: Change) -> set[str]:
    """Return the identifiers of the machines that a change would interrupt or end.

    The request counts as well as the action: plan files are edited by hand.
    """
    guarded = _machines_of_call(change.call)
    if action_of(change).refused_when_protected and change.identifier:
        guarded.add(change.identifier)
    return guarded


def _machines_of_call(call: Call) -> set[str]:
    """Return the identifier of the machine that a call may interrupt or end, in a set; empty for any other call."""
    method, path = _call_key(call)
    harmless = method == "GET" or (method, tuple(path[2:])) in _HARMLESS_CALLS
    return set() if harmless or len(path) < 2 or path[0] != "instances" else {path[1]}


def _call_key(call: Call) -> tuple[str, list[str]]:
    """Return the method of a call and the segments of its path, as the provider reads them."""
    segments = call.path.partition("?")[0].split("/")
    return call.method.upper(), [unquote(each) for each in segments if each]


def _machine_path(call: Call) -> tuple[str, tuple[str, ...]]:
    method, path = _call_key(call)
    return method, tuple(path[2:])


#: The calls of a machine that leave it as it is: method, and the path behind the identifier.
_HARMLESS_CALLS = frozenset(
    _machine_path(each) for each in (calls.power_on("x"), calls.reboot("x"), calls.create_snapshot("x", "x"))
)
