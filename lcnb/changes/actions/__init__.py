"""What each action means: one class per action, listed here. A new action is one class and one line of `_CLASSES`.

The classes are in `instances`, `keys` and `snapshots`; `base` has what they share. This package imports the value
modules of lcnb.changes (change, tasks, live_account, lookups ...), and nothing that applies changes.
"""

from __future__ import annotations

from lcnb.changes.actions.base import Action
from lcnb.changes.actions.instances import (
    ChangePlan,
    CreateInstance,
    DeleteInstance,
    PowerOff,
    PowerOn,
    Reboot,
    ResetPassword,
    Shutdown,
)
from lcnb.changes.actions.keys import AddKey, DeleteKey, GenerateKey, ReplaceKey
from lcnb.changes.actions.snapshots import CreateSnapshot, DeleteSnapshot, RenameSnapshot
from lcnb.changes.change import Change

_CLASSES: tuple[type[Action], ...] = (
    CreateInstance,
    DeleteInstance,
    PowerOn,
    PowerOff,
    Shutdown,
    Reboot,
    ResetPassword,
    ChangePlan,
    AddKey,
    ReplaceKey,
    GenerateKey,
    DeleteKey,
    CreateSnapshot,
    RenameSnapshot,
    DeleteSnapshot,
)

#: Name → action, in the order of the documentation.
ACTIONS: dict[str, Action] = {each.name: each() for each in _CLASSES}


def action_of(change: Change) -> Action:
    """Return the action of a change, by its name."""
    return ACTIONS[change.action]
